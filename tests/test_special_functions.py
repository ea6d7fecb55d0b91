"""Every ufunc of scipy.special: SciPy's value, derivatives against differences, or a refusal."""

from __future__ import annotations

import re
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as sp

import adjit
from adjit import elementwise_grad, errors, grad, jit
from adjit.ir import ops
from adjit.tracer import surface_special as table

UFUNCS = {n: f for n, f in vars(sp).items() if isinstance(f, np.ufunc) and not n.startswith("_")}
RNG = np.random.default_rng(0)
CHANCE, UNIT, SMALL, DF = (0.1, 0.9), (0.1, 0.9), (-0.8, 0.8), (1.0, 6.0)
BETA = [(0.5, 3), (0.5, 3), CHANCE]
COUNTS = [(1, 4), (8, 12), CHANCE]
WIDE: tuple[float, float] = (0.3, 2.0)
# Where arguments are drawn from, where it is not `WIDE`.
DOMAINS: dict[str, list[tuple[float, float]]] = {
    **{n: [(0.5, 3), CHANCE] for n in ("gammaincinv", "gammainccinv")},
    **dict.fromkeys(("betainc", "betaincc", "betaincinv", "betainccinv"), BETA),
    **dict.fromkeys(("bdtr", "bdtrc", "bdtri"), COUNTS),
    **{n: [(1, 4), (3, 5), CHANCE] for n in ("nbdtr", "nbdtrc", "nbdtri")},
    **{n: [UNIT] for n in ("ellipk", "ellipe", "ellipkm1", "ndtri", "logit")},
    **{n: [(-1, 1), UNIT] for n in ("ellipkinc", "ellipeinc")},
    **{n: [(1, 4), WIDE] for n in ("expn", "kn", "yn")},
    "gdtrix": [(0.5, 2), (1, 3), CHANCE],
    "gdtria": [CHANCE, (1, 3), (0.5, 2)],
    "chdtri": [DF, CHANCE],
    "stdtr": [DF, (-2, 2)],
    "stdtrit": [DF, CHANCE],
    "pdtri": [(1, 4), CHANCE],
    "fdtri": [(2, 5), (3, 6), CHANCE],
    "chndtrix": [CHANCE, DF, (0.5, 2)],
    "ndtri_exp": [(-3, -0.2)],
    "tklmbda": [(-0.5, 0.5), (0.2, 0.8)],
    "hyp2f1": [(0.5, 2), (0.5, 2), (2, 3), SMALL],
    "lpmv": [(1, 2), (2, 4), SMALL],
    "ellipj": [(-2, 2), UNIT],
    "nrdtrimn": [CHANCE, (0.5, 2), (-1, 1)],
    "nrdtrisd": [(-1, 1), (0.6, 0.9), (2, 3)],
    "erfinv": [(-0.9, 0.9)],
    "kolmogi": [CHANCE],
    **{n: [(0, 2), (2, 4), WIDE, CHANCE] for n in ("pro_ang1", "obl_ang1")},
    **{n: [(0, 2), (2, 4), WIDE, (1.2, 3)] for n in ("pro_rad1", "pro_rad2")},
    **{n: [(0, 2), (2, 4), (0.5, 2), (0.3, 2)] for n in ("obl_rad1",)},
    **{n: [(0, 2), (2, 4), WIDE] for n in ("pro_cv", "obl_cv")},
    "chndtrinc": [(2, 4), (1, 3), (0.2, 0.4)],
    "ncfdtri": [DF, DF, WIDE, CHANCE],
    "ncfdtrinc": [(2, 4), (3, 6), (0.2, 0.4), (1.5, 2)],
    **{n: [(1, 4), WIDE, (10, 80)] for n in ("mathieu_cem", "mathieu_sem")},
    "erfcinv": [(0.1, 1.9)],
    "owens_t": [(-2, 2), (-1, 1)],
    "powm1": [(0.5, 2), (-1, 2)],
    "binom": [(2, 5), (0.5, 1.5)],
    "eval_sh_jacobi": [(0, 4), (3, 4), (2, 3), SMALL],
    "huber": [(1.5, 2), (0.3, 1.0)],
    "spence": [(0.3, 0.9)],
}
# The first argument is an integer, given as int64 or as a float.
WHOLE = {n for n in UFUNCS if n.startswith("eval_")} | {"expn", "kn", "yn"}
WHOLE_FLOATS = {
    **dict.fromkeys(("nbdtr", "nbdtrc", "nbdtri", "lpmv"), 2),
    **dict.fromkeys((n for n in UFUNCS if n.startswith("mathieu")), 1),
    **dict.fromkeys((n for n in UFUNCS if n.startswith(("pro_", "obl_"))), 2),
    **dict.fromkeys(("pdtr", "pdtrc", "pdtri", "bdtr", "bdtrc", "bdtri"), 1),
}
# SciPy itself is this inaccurate.
ROUGH = {"itairy": 1e-5, "chndtrix": 1e-5, "ncfdtrinc": 1e-3}
SAYS = re.compile("has no derivative by `.*test_special_functions.py:")
SUPPORTED = sorted(n for n in UFUNCS if n not in table.REASONS)


pytestmark = pytest.mark.usefixtures("interpreted")


def arguments(name: str, n: int = 4) -> list[np.ndarray]:
    f = UFUNCS[name]
    domains = DOMAINS.get(name, [WIDE] * f.nin)
    rng = np.random.default_rng(3)
    args = [rng.uniform(*d, n) for d in domains]
    if name in WHOLE:
        args[0] = np.arange(1, n + 1) - (1 if name.startswith("eval_") else 0)
    if name.startswith("eval_") and name not in DOMAINS:
        args[-1] = rng.uniform(*SMALL, n)
    for i in range(WHOLE_FLOATS.get(name, 0)):
        args[i] = np.floor(args[i])
    if name.startswith("bdtr"):  # SciPy warns of a float here
        args[1] = args[1].astype(int)
    return args


def part(name: str, k: int) -> Any:
    f = UFUNCS[name]
    if name == "wofz" or "hankel" in name:
        return lambda *xs: np.real(f(*xs)) + 2 * np.imag(f(*xs))
    if name == "kelvin":
        return lambda x: np.real(f(x)[k]) + 2 * np.imag(f(x)[k])
    return (lambda *xs: f(*xs)[k]) if f.nout > 1 else (lambda *xs: f(*xs))


def slope(g: Any, args: list[np.ndarray], i: int, h: float = 1e-3) -> np.ndarray:
    """A five-point difference, element by element."""

    def at(step: float) -> np.ndarray:
        return np.asarray(g(*args[:i], args[i] + step, *args[i + 1 :]))

    return (at(-2 * h) - 8 * at(-h) + 8 * at(h) - at(2 * h)) / (12 * h)


def test_every_ufunc_is_in_one_table() -> None:
    for name in UFUNCS:
        said = (name in ops.SPECIAL_UFUNCS or name in table.SEVERAL) + (name in table.REASONS)
        assert said == 1, name
    assert set(table.PARTLY) <= {*SUPPORTED, "zeta"}
    assert len(SUPPORTED) >= 203


@pytest.mark.filterwarnings("ignore::adjit.errors.ZeroGradient")
@pytest.mark.parametrize("name", SUPPORTED)
def test_values_and_derivatives(name: str) -> None:
    args, f = arguments(name), UFUNCS[name]
    refused = 0
    for k in range(f.nout):
        g = part(name, k)
        np.testing.assert_allclose(jit(g)(*args), g(*args), rtol=1e-12 if "bdtr" in name else 1e-14)
        for i, x in enumerate(args):
            if x.dtype.kind != "f":
                continue
            try:
                found = elementwise_grad(g, argnums=i)(*args)
            except errors.NotDifferentiable as error:
                refused += SAYS.search(str(error)) is not None
                continue
            if name in ("gammasgn", "round") or ("bdtr" in name and i < 2):
                np.testing.assert_array_equal(found, 0)
                continue
            rtol = ROUGH.get(name, 1e-7)
            np.testing.assert_allclose(found, slope(g, args, i), rtol=rtol, atol=rtol, err_msg=name)
    assert bool(refused) == (name in table.PARTLY and name not in WHOLE - {
        *("eval_gegenbauer", "eval_genlaguerre", "eval_jacobi", "eval_sh_jacobi")
    })  # fmt: skip


TWICE = (
    *("gammainc2", "betainc", "jv2", "kv2", "ive2", "struve", "hyp1f1", "hyp2f1", "stdtr"),
    *("gdtr", "fdtr", "ellipkinc", "agm", "elliprf", "bei", "kerp", "inv_boxcox", "boxcox1p"),
    *("kolmogorov", "ncfdtr", "loggamma", "ndtri_exp", "wrightomega", "expn2", "voigt_profile"),
)


@pytest.mark.parametrize("row", TWICE)
def test_second_derivatives(row: str) -> None:
    """Of the last argument: the derivative is a program again."""
    name = next(n for n, p in ops.SPECIAL_UFUNCS.items() if p is getattr(ops, row))
    args = arguments(name)
    i = len(args) - 1
    first = elementwise_grad(UFUNCS[name], argnums=i)
    found = elementwise_grad(lambda *xs: first(*xs), argnums=i)(*args)
    np.testing.assert_allclose(found, slope(first, args, i), rtol=1e-6, atol=1e-6)


# ------------------------------------------------------------------ against mpmath


def _mp(f: Any, *xs: float) -> float:
    with mpmath.workdps(30):
        return float(mpmath.re(f(*map(mpmath.mpf, xs))))


EXACT: dict[str, tuple[Any, tuple[float, ...], Any]] = {
    "gammainc": (sp.gammainc, (2.5, 1.3), lambda a, x: mpmath.gammainc(a, 0, x, True)),
    "betainc": (sp.betainc, (2.5, 1.5, 0.3), lambda a, b, x: mpmath.betainc(a, b, 0, x, True)),
    "jv": (sp.jv, (1.7, 2.2), mpmath.besselj),
    "kv": (sp.kv, (0.5, 1.2), mpmath.besselk),
    "hyp1f1": (sp.hyp1f1, (0.7, 1.9, -0.4), mpmath.hyp1f1),
    "hyp2f1": (sp.hyp2f1, (0.7, 1.9, 2.4, 0.3), mpmath.hyp2f1),
    "ellipkinc": (sp.ellipkinc, (0.8, 0.6), mpmath.ellipf),
    "ellipkinc, m small": (sp.ellipkinc, (0.8, 1e-4), mpmath.ellipf),
    "ellipeinc, m small": (sp.ellipeinc, (0.8, 1e-4), mpmath.ellipe),
    "elliprd": (sp.elliprd, (0.8, 0.6, 1.2), mpmath.elliprd),
    "elliprd, equal": (sp.elliprd, (1.2, 0.6, 1.2), mpmath.elliprd),
    "elliprg": (sp.elliprg, (0.8, 0.6, 1.2), mpmath.elliprg),
    "agm": (sp.agm, (0.8, 2.6), mpmath.agm),
    "expn": (lambda x: sp.expn(3, x), (0.9,), lambda x: mpmath.expint(3, x)),
    "expi": (sp.expi, (0.9,), mpmath.ei),
    "sici": (lambda x: sp.sici(x)[0], (0.9,), mpmath.si),
    "sici at 0": (lambda x: sp.sici(x)[0], (1e-200,), mpmath.si),
    "struve": (sp.struve, (0.5, 1.4), mpmath.struveh),
    "airy": (lambda x: sp.airy(x)[0], (-1.3,), mpmath.airyai),
    "sn": (lambda u, m: sp.ellipj(u, m)[0], (0.7, 0.4), lambda u, m: mpmath.ellipfun("sn", u, m=m)),
    "dn": (
        lambda u, m: sp.ellipj(u, m)[2], (0.7, 1e-5), lambda u, m: mpmath.ellipfun("dn", u, m=m)
    ),
    "zeta": (lambda q: sp.zeta(2.5, q), (1.4,), lambda q: mpmath.zeta(2.5, q)),
    "lambertw": (lambda x: sp.lambertw(x).real, (0.7,), mpmath.lambertw),
    "lambertw -1": (lambda x: sp.lambertw(x, -1).real, (-0.2,), lambda x: mpmath.lambertw(x, -1)),
    "spherical_jn": (
        lambda x: sp.spherical_jn(2, x), (0.6,),
        lambda x: mpmath.sqrt(mpmath.pi / 2 / x) * mpmath.besselj(2.5, x),
    ),
    "legendre": (lambda x: sp.eval_legendre(5, x), (1.0,), lambda x: mpmath.legendre(5, x)),
    "hermite": (lambda x: sp.eval_hermite(4, x), (0.3,), lambda x: mpmath.hermite(4, x)),
    "inv_boxcox": (sp.inv_boxcox, (0.8, 1e-5), lambda x, p: (1 + p * x) ** (1 / p)),
    "inv_boxcox, p large": (sp.inv_boxcox, (0.8, 0.9), lambda x, p: (1 + p * x) ** (1 / p)),
    "comb": (sp.comb, (5.5, 2.25), mpmath.binomial),
    "softplus": (sp.softplus, (0.4,), lambda x: mpmath.log(1 + mpmath.exp(x))),
    "diric": (
        lambda x: sp.diric(x, 4), (0.4,), lambda x: mpmath.sin(2 * x) / 4 / mpmath.sin(x / 2)
    ),
    "jvp": (lambda x: sp.jvp(1, x, 2), (0.9,), lambda x: mpmath.besselj(1, x, 2)),
    "kvp": (
        lambda x: sp.kvp(1, x), (0.9,),
        lambda x: -(mpmath.besselk(0, x) + mpmath.besselk(2, x)) / 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_against_mpmath(name: str) -> None:
    f, at, g = EXACT[name]
    np.testing.assert_allclose(jit(f)(*at), _mp(g, *at), rtol=1e-10)
    for i in range(len(at)):
        try:
            found = grad(f, argnums=i)(*at)
        except errors.NotDifferentiable:
            continue
        order = tuple(int(j == i) for j in range(len(at)))
        with mpmath.workdps(40):
            want = float(mpmath.re(mpmath.diff(g, tuple(map(mpmath.mpf, at)), order)))
        np.testing.assert_allclose(found, want, rtol=1e-8, err_msg=f"argument {i}")


# ------------------------------------------------------------------ edges, kernels, refusals


def test_slopes_at_the_ends_of_their_domains() -> None:
    zero, one = np.float64(0.0), np.float64(1.0)
    assert elementwise_grad(lambda x: sp.gammainc(1.0, x))(zero) == 1
    assert elementwise_grad(lambda x: sp.betainc(1.0, 1.0, x))(one) == 1
    assert elementwise_grad(lambda x: sp.jv(0.0, x))(zero) == 0
    assert elementwise_grad(lambda x: sp.spherical_jn(1, x))(zero) == pytest.approx(1 / 3)
    assert elementwise_grad(lambda x: sp.eval_chebyt(5, x))(one) == 25
    assert elementwise_grad(lambda x: sp.eval_legendre(0, x))(one) == 0
    assert elementwise_grad(lambda x: sp.lambertw(x).real)(zero) == 1
    assert elementwise_grad(lambda x: sp.factorial(x))(np.array([-1.0]))[0] == 0
    assert np.isnan(jit(lambda x: sp.lambertw(x).real)(-1.0))
    np.testing.assert_allclose(jit(lambda x: sp.diric(x, 3))(np.zeros(2)), 1.0)
    np.testing.assert_allclose(jit(sp.comb)(np.array([3.0, 2.0]), np.array([2.0, 3.0])), [3, 0])


def test_python_functions_have_scipys_values() -> None:
    x = np.array([0.4, 1.7])
    for f in (
        lambda x: sp.comb(5.0, x), lambda x: sp.perm(5.0, x), lambda x: sp.factorial(x),
        lambda x: sp.spherical_jn(2, x), lambda x: sp.spherical_yn(1, x, True),
        lambda x: sp.spherical_in(2, x, derivative=True), lambda x: sp.spherical_kn(0, x),
        lambda x: sp.jvp(2, x, 2), lambda x: sp.ivp(1, x), lambda x: sp.kvp(0, x, 3),
        lambda x: sp.yvp(1, x), lambda x: sp.zeta(x + 1), lambda x: sp.zeta(3.0, x),
        lambda x: sp.lambertw(x), lambda x: sp.diric(x, 5), lambda x: sp.comb(x, 2),
        lambda x: sp.comb(x, 2, repetition=True), lambda x: sp.softplus(x),
        lambda x: sp.multigammaln(x + 2, 2), lambda x: sp.logsumexp(x), lambda x: sp.softmax(x, 0),
        lambda x: sp.logsumexp(x, b=[2.0, 3.0], return_sign=True)[0],
    ):  # fmt: skip
        np.testing.assert_allclose(jit(f)(x), f(x), rtol=1e-12)


def test_kernels_call_scipys_own_code() -> None:
    names = [
        *("gammainc", "betaincinv", "jv", "struve", "hyp2f1", "elliprd", "ber"),
        *("bdtr", "expn", "sici", "eval_legendre"),
    ]
    values = [arguments(n, 2) for n in names]

    def f(values: Any) -> Any:
        return [UFUNCS[n](*xs) for n, xs in zip(names, values, strict=True)]

    with adjit.options(interpret=False):
        found = jit(f)(values)
    for name, y, xs in zip(names, found, values, strict=True):
        np.testing.assert_allclose(y, UFUNCS[name](*xs), rtol=1e-13, err_msg=name)


@pytest.mark.parametrize("name", sorted(table.REASONS))
def test_refusals_say_why(name: str) -> None:
    args = [0.5] * UFUNCS[name].nin
    with pytest.raises(errors.UnsupportedOp) as error:
        jit(lambda *xs: UFUNCS[name](*xs))(*args)
    assert table.REASONS[name] in str(error.value)


def test_refused_functions_and_arguments() -> None:
    x = np.array([0.5])
    for f, says in (
        (lambda x: sp.comb(x, 2, exact=True), "exact"),
        (lambda x: sp.lambertw(x, 3), "branch"),
        (lambda x: sp.sph_harm_y(1, 1, x, x), "lpmv"),
        (lambda x: sp.factorial2(x), "gamma"),
        (lambda x: sp.h1vp(1, x), "custom_jvp"),
    ):
        with pytest.raises(errors.UnsupportedOp, match=says):
            jit(f)(x)


@pytest.mark.parametrize("name", ["j1", "y1", "i1", "k1"])
def test_slopes_of_first_order_hold_near_zero_and_further(name):
    x = np.array([-30.0, -1.0, -0.99, -1e-3, 0.0, 1e-9, 0.3, 0.999, 1.0, 2.5, 10.0])
    x = x if name in ("j1", "i1") else x[x > 0]
    f, exact = getattr(sp, name), getattr(sp, f"{name[0]}vp")
    for order in (1, 2, 3):
        f = elementwise_grad(f)
        want = exact(1, x, order)
        np.testing.assert_allclose(f(x), want, rtol=1e-11, atol=1e-12)
