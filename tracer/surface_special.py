"""scipy.special beyond one row per ufunc: several results, integer orders, Python functions.

`REASONS` says of every ufunc that is refused why; a ufunc stands in exactly one of the rows'
table, `SEVERAL` and `REASONS`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import KIND
from . import intercept
from .intercept import DECLINE
from .surface import (
    array,
    as_float,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    number,
    refuse,
    values,
    wrap,
)
from .surface_ufunc import OF_REALS, SCIPY, SCIPY_REASONS

# ------------------------------------------------------------------ ufuncs


def _outputs(*names: str) -> Callable[..., tuple[Value, ...]]:
    """The results of a ufunc that has several, each a row."""
    return lambda *xs: tuple(getattr(ops, name)(*xs) for name in names)


def _alike(row: str) -> Callable[..., Value]:
    """A row whose operands have one dtype, for a ufunc that also has loops over integers."""
    return lambda *xs: getattr(ops, row)(*(cast(x, xs[-1].dtype) for x in xs))


def _binomial(row: Any, k: Value, n: Value, p: Value, full: int) -> Value:
    """A row of the beta family for at most k successes of n; `full` is its value at k = n."""
    k, n = ops.floor(cast(k, p.dtype)), ops.floor(cast(n, p.dtype))
    one = number(1, p)
    failures = ops.sub(n, k)
    certain = ops.equal(failures, number(0, p))
    among = row(ops.add(k, one), ops.select(certain, one, failures), p)
    return ops.select(certain, number(full, p), among)


def _failures(k: Value, n: Value, p: Value) -> tuple[Value, Value, Value]:
    """The operands of the beta family for k failures before n successes."""
    k, n = ops.floor(cast(k, p.dtype)), ops.floor(cast(n, p.dtype))
    return n, ops.add(k, number(1, p)), p


def _hankel(sign: int, turned: bool) -> Callable[[Value, Value], Value]:
    """jv + i yv of a real argument (or its conjugate), times exp(-+ix) if turned."""

    def lower(v: Value, z: Value) -> Value:
        x = ops.real(z)
        re, im = ops.jv2(v, x), ops.yv2(v, x)
        if turned:
            c, s = ops.cos(x), ops.sin(x)
            re, im = (
                ops.add(ops.mul(re, c), ops.mul(im, s)),
                ops.sub(ops.mul(im, c), ops.mul(re, s)),
            )
        return ops.complex_(re, im if sign > 0 else ops.neg(im))

    return lower


def _kelvin(x: Value) -> tuple[Value, ...]:
    """Kelvin's functions in pairs, as complex numbers."""
    pairs = ("ber", "bei"), ("ker", "kei"), ("berp", "beip"), ("kerp", "keip")
    return tuple(ops.complex_(getattr(ops, a)(x), getattr(ops, b)(x)) for a, b in pairs)


OF_REALS |= {"hankel1", "hankel1e", "hankel2", "hankel2e"}
SEVERAL: dict[str, Callable[..., Any]] = {
    "airy": _outputs("airy_a", "airy_ap", "airy_b", "airy_bp"),
    "airye": _outputs("airye_a", "airye_ap", "airye_b", "airye_bp"),
    "ellipj": _outputs("sn", "cn", "dn", "am"),
    "fresnel": _outputs("fresnel_s", "fresnel_c"),
    "iti0k0": _outputs("iti0", "itk0"),
    "itj0y0": _outputs("itj0", "ity0"),
    "it2i0k0": _outputs("it2i0", "it2k0"),
    "it2j0y0": _outputs("it2j0", "it2y0"),
    "itairy": _outputs("itairy_a", "itairy_b", "itairy_am", "itairy_bm"),
    "pbdv": _outputs("pbdv", "pbdvp"),
    "pbvv": _outputs("pbvv", "pbvvp"),
    "pbwa": _outputs("pbwa", "pbwap"),
    "sici": _outputs("si", "ci"),
    **{
        name: _outputs(name, f"{name}p")
        for name in (
            *("mathieu_cem", "mathieu_sem", "mathieu_modcem1", "mathieu_modcem2"),
            *("mathieu_modsem1", "mathieu_modsem2"),
            *("pro_ang1", "pro_rad1", "pro_rad2", "obl_ang1", "obl_rad1"),
        )
    },
    "hankel1": _hankel(1, False),
    "hankel1e": _hankel(1, True),
    "hankel2": _hankel(-1, False),
    "hankel2e": _hankel(-1, True),
    "kelvin": _kelvin,
    "shichi": _outputs("shi", "chi"),
    "nrdtrimn": lambda p, sd, x: ops.sub(x, ops.mul(sd, ops.ndtri(p))),
    "nrdtrisd": lambda mean, p, x: ops.div(ops.sub(x, mean), ops.ndtri(p)),
    # Loops over integers: the order is counted, and all else is real.
    "kn": _alike("kv2"),
    "yn": _alike("yv2"),
    "expn": _alike("expn2"),
    "pdtri": _alike("pdtri"),
    # By incomplete beta functions: SciPy's own are for integers, and warn of all else.
    "bdtr": lambda k, n, p: _binomial(ops.betaincc, k, n, p, 1),
    "bdtrc": lambda k, n, p: _binomial(ops.betainc, k, n, p, 0),
    "bdtri": lambda k, n, y: _binomial(ops.betainccinv, k, n, y, 1),
    "nbdtr": lambda k, n, p: ops.betainc(*_failures(k, n, p)),
    "nbdtrc": lambda k, n, p: ops.betaincc(*_failures(k, n, p)),
    "nbdtri": lambda k, n, y: ops.betaincinv(*_failures(k, n, y)),
}

_INVERSE = (
    "An inverse by a shape parameter has no closed derivative; use adjit.root, or scipy.optimize "
    "on a function of x."
)
_DENSITY = "adjit has no rule for its density; wrap it in a function with adjit.custom_jvp."
_RARE = (
    "adjit has no rule for it; wrap it in a function with adjit.custom_jvp, which states the "
    "derivative."
)
REASONS: dict[str, str] = {
    **dict.fromkeys(("modfresnelm", "modfresnelp"), "Its results are complex; use fresnel."),
    **dict.fromkeys(
        (
            *("bdtrik", "bdtrin", "btdtria", "btdtrib", "chdtriv", "chndtridf", "fdtridfd"),
            *("gdtrib", "nbdtrik", "nbdtrin", "ncfdtridfd", "ncfdtridfn", "nctdtridf"),
            *("nctdtrinc", "nctdtrit", "pdtrik", "stdtridf"),
        ),
        _INVERSE,
    ),
    **dict.fromkeys(("smirnov", "smirnovi", "nctdtr"), _DENSITY),
    **dict.fromkeys(
        (
            *("obl_ang1_cv", "obl_rad1_cv", "obl_rad2_cv"),
            *("pro_ang1_cv", "pro_rad1_cv", "pro_rad2_cv"),
        ),
        "Leave the characteristic value out: pro_ang1 for pro_ang1_cv.",
    ),
    "obl_rad2": "SciPy's values and its slopes of it do not agree.",
}
# Differentiable by some arguments only: `name: (arguments that are refused when active)`.
_SPHEROIDS = ("pro_", "obl_")
PARTLY: dict[str, str] = {
    **dict.fromkeys(("jv", "jn", "yv", "iv", "kv", "ive", "kve", "jve", "yve"), "v"),
    **dict.fromkeys(("struve", "modstruve", "pbdv", "pbvv", "pbwa"), "v"),
    **dict.fromkeys(("gammainc", "gammaincc", "gammaincinv", "gammainccinv"), "a"),
    **dict.fromkeys(("betainc", "betaincc", "betaincinv", "betainccinv"), "a, b"),
    **dict.fromkeys(("chdtr", "chdtrc", "chdtri", "stdtr", "stdtrit"), "df"),
    **dict.fromkeys(("chndtr", "chndtrix"), "df"),
    **dict.fromkeys(("fdtr", "fdtrc", "fdtri"), "dfn, dfd"),
    **dict.fromkeys(("gdtr", "gdtrc", "gdtrix", "gdtria"), "b"),
    **dict.fromkeys(("pdtr", "pdtrc", "pdtri"), "k"),
    **dict.fromkeys(("expn", "kn", "yn", "hyp0f1", "tklmbda", "zeta"), "the order"),
    **dict.fromkeys(
        ("hyp1f1", "hyp2f1", "hyperu", "wright_bessel", "log_wright_bessel"), "the parameters"
    ),
    **dict.fromkeys((n for n in ops.SPECIAL_UFUNCS if n.startswith("eval_")), "the degree"),
    "lpmv": "m, v",
    "besselpoly": "lmb, nu",
    "chndtrinc": "df",
    **dict.fromkeys(("ncfdtr", "ncfdtri", "ncfdtrinc"), "dfn, dfd"),
    **dict.fromkeys(("hankel1", "hankel1e", "hankel2", "hankel2e"), "v"),
    **dict.fromkeys((n for n in (*SEVERAL, "mathieu_a", "mathieu_b") if "mathieu" in n), "m, q"),
    **dict.fromkeys((n for n in (*SEVERAL, "pro_cv", "obl_cv") if n[:4] in _SPHEROIDS), "m, n, c"),
    "elliprj": "all arguments",
    "zetac": "all arguments",
}
SCIPY.update(SEVERAL)
SCIPY_REASONS.update(REASONS)


# ------------------------------------------------------------------ Python functions


def _reals(*xs: Any) -> list[Value]:
    """Floating-point values of one dtype."""
    vs = values(*xs)
    if any(KIND[v.dtype] == "c" for v in vs):
        raise refuse("a special function of complex values")
    return [as_float(v) for v in vs]


def _by_first(name: str, argument: str) -> Any:
    return refuse(f"scipy.special.{name} of a traced {argument}", f"Pass {argument} as a number.")


def lambertw(z: Any, k: Any = 0, tol: float = 1e-8) -> Any:
    """scipy.special.lambertw of real values, where it is real (NaN elsewhere); complex as SciPy's.

    Only the branches 0 and -1 have real values.
    """
    (x,) = _reals(z)
    if holds_tracer(k) or int(k) not in (0, -1):
        raise refuse("scipy.special.lambertw of another branch than 0 and -1")
    real = (ops.lambert_lower if int(k) else ops.lambert_upper)(x)
    return wrap(cast(real, "c64" if real.dtype == "f32" else "c128"))


def zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    """scipy.special.zeta of Riemann and Hurwitz."""
    if out is not None:
        raise refuse("scipy.special.zeta with out=")
    if q is None:
        if not is_tracer(x):
            return DECLINE
        q = 1.0
    s, a = _reals(x, q)
    return wrap(ops.hurwitz(s, a))


def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """scipy.special.comb by binom, in floating point."""
    if exact:
        raise refuse("scipy.special.comb with exact=True", "Drop exact: binom is differentiable.")
    n, m = _reals(N, k)
    zero, one = number(0, n), number(1, n)
    if repetition:
        nothing = ops.and_(ops.equal(m, zero), ops.less_equal(zero, n))
        return wrap(ops.select(nothing, one, ops.binom(ops.sub(ops.add(n, m), one), m)))
    counts = ops.and_(
        ops.and_(ops.less_equal(m, n), ops.less_equal(zero, n)), ops.less_equal(zero, m)
    )
    return wrap(ops.select(counts, ops.binom(n, m), zero))


def perm(N: Any, k: Any, exact: bool = False) -> Any:
    """scipy.special.perm by poch, in floating point."""
    if exact:
        raise refuse("scipy.special.perm with exact=True", "Drop exact: poch is differentiable.")
    n, m = _reals(N, k)
    zero = number(0, n)
    counts = ops.and_(
        ops.and_(ops.less_equal(m, n), ops.less_equal(zero, n)), ops.less_equal(zero, m)
    )
    return wrap(ops.select(counts, ops.poch(ops.add(ops.sub(n, m), number(1, n)), m), zero))


def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """scipy.special.factorial by gamma, in floating point."""
    if exact or extend != "zero":
        raise refuse("scipy.special.factorial with exact=True or extend=", "Use gamma(n + 1).")
    (x,) = _reals(n)
    one = number(1, x)
    return wrap(ops.select(ops.less(x, number(0, x)), number(0, x), ops.gamma(ops.add(x, one))))


def _spherical(name: str) -> Any:
    row = getattr(ops, name)

    def lower(n: Any, z: Any, derivative: bool = False) -> Any:
        order, x = _reals(n, z)
        if not derivative:
            return wrap(row(order, x))
        return wrap(row.partials(row(order, x), order, x)[1])

    return lower


def _slope(row: str) -> Any:
    """jvp, yvp, ivp, kvp: the n-th derivative, by differentiating the row n times."""

    def lower(v: Any, z: Any, n: int = 1) -> Any:
        if holds_tracer(n) or int(n) < 0:
            raise refuse(f"scipy.special.{row[0]}vp of this n")
        order, x = _reals(v, z)
        sign = {"jv2": -1, "yv2": -1, "iv2": 1, "kv2": 1}[row]
        total: Any = None
        for i in range(int(n) + 1):  # Leibniz' rule for the recurrence in the order
            term = getattr(ops, row)(order - int(n) + 2 * i, x)
            factor = sign**i * math.comb(int(n), i) / 2 ** int(n)
            term = ops.mul(term, number(factor, x))
            total = term if total is None else ops.add(total, term)
        return wrap(ops.mul(total, number((-1) ** int(n), x)) if row == "kv2" else total)

    return lower


def diric(x: Any, n: int) -> Any:
    """scipy.special.diric for an n known while tracing."""
    if holds_tracer(n):
        raise _by_first("diric", "n")
    (v,) = _reals(x)
    if n <= 0 or n != int(n):
        return wrap(filled(np.nan, v.aval))
    half = ops.mul(v, number(0.5, v))
    below = ops.sin(half)
    near = ops.less(ops.abs_(below), number(1e-9 if v.dtype == "f64" else 1e-4, v))
    harmless = ops.select(near, number(1, v), below)
    above = ops.sin(ops.mul(half, number(n, v)))
    ratio = ops.div(above, ops.mul(harmless, number(n, v)))
    turns = ops.rint(ops.div(v, number(2 * math.pi, v)))
    sign = ops.cos(ops.mul(turns, number(math.pi * (n - 1), v)))
    return array(ops.select(near, ops.rint(sign), ratio))


def softplus(x: Any, **options: Any) -> Any:
    """scipy.special.softplus."""
    if options:
        raise refuse("scipy.special.softplus with options of ufuncs")
    (v,) = _reals(x)
    return wrap(ops.logaddexp(number(0, v), v))


_REFUSED = {
    **dict.fromkeys(
        (
            *("assoc_legendre_p", "assoc_legendre_p_all", "legendre_p", "legendre_p_all"),
            *("sph_harm_y", "sph_harm_y_all", "sph_legendre_p", "sph_legendre_p_all"),
        ),
        "Use lpmv or eval_legendre, whose derivatives are known.",
    ),
    **dict.fromkeys(
        ("factorial2", "factorialk", "stirling2"), "They count; use gamma for real arguments."
    ),
    **dict.fromkeys(
        ("h1vp", "h2vp", "lmbda", "lqmn", "lqn", "riccati_jn", "riccati_yn", "pbdn_seq",
         "pbdv_seq", "pbvv_seq", "ellip_harm", "ellip_harm_2", "ellip_normal"),
        _RARE,
    ),
}  # fmt: skip


def _act(name: str, f: Callable[..., Any]) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args, *kwargs.values()))):
            return DECLINE
        return f(*args, **kwargs)

    return act


def _refusal(name: str, advice: str) -> Callable[..., Any]:
    def f(*args: Any, **kwargs: Any) -> Any:
        raise refuse(f"scipy.special.{name}", advice)

    return f


FUNCTIONS_OF_SPECIAL: dict[str, Callable[..., Any]] = {
    "lambertw": lambertw,
    "zeta": zeta,
    "comb": comb,
    "perm": perm,
    "factorial": factorial,
    "diric": diric,
    "softplus": softplus,
    **{n: _spherical(n) for n in ("spherical_jn", "spherical_yn", "spherical_in", "spherical_kn")},
    **{f"{row[0]}vp": _slope(row) for row in ("jv2", "yv2", "iv2", "kv2")},
    **{name: _refusal(name, advice) for name, advice in _REFUSED.items()},
}


def _fill() -> bool:
    special = sys.modules.get("scipy.special")
    if special is None:
        return False
    for name, f in FUNCTIONS_OF_SPECIAL.items():
        intercept.enter(special, name, _act(name, f))
    return True


intercept.when_imported(_fill)
