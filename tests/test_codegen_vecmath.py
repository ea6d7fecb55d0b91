"""The vector maths against mpmath and NumPy: accuracy, special values, and that it vectorises."""

import itertools
import math
import platform
import re
import subprocess
import sys
from functools import cache

import mpmath as mp
import numpy as np
import pytest
from numba import njit
from scipy import special

from adjit.codegen import irmath, special_symbols
from adjit.codegen import lowlevel as ll
from adjit.codegen import special as sp
from adjit.codegen import vecmath as vm

REAL = {64: np.float64, 32: np.float32}
WIDE, SMALL = "wide", "small"  # positive of any magnitude; of both signs, towards zero

# Inputs as ranges: those beyond what 32 bits hold are cut at the results' overflow.
DOMAINS = {
    "exp": [(-745.0, 709.7), (-1.0, 1.0), SMALL],
    "exp2": [(-1074.0, 1023.9), (-1.0, 1.0), SMALL],
    "expm1": [(-40.0, 709.7), (-1.0, 1.0), SMALL],
    "log": [WIDE, (0.5, 2.0), (0.99, 1.01)],
    "log2": [WIDE, (0.5, 2.0), (0.99, 1.01)],
    "log10": [WIDE, (0.5, 2.0), (0.99, 1.01)],
    "log1p": [WIDE, (-0.999, 1.0), SMALL],
    "sqrt": [WIDE],
    "cbrt": [WIDE, (-8.0, 8.0)],
    "sin": [(-10.0, 10.0), (-1e5, 1e5), (-8e9, 8e9), WIDE, SMALL],
    "cos": [(-10.0, 10.0), (-1e5, 1e5), (-8e9, 8e9), WIDE, SMALL],
    "tan": [(-10.0, 10.0), (-1e5, 1e5), (-8e9, 8e9), WIDE, SMALL],
    "asin": [(-1.0, 1.0), SMALL],
    "acos": [(-1.0, 1.0), (0.9, 1.0), SMALL],
    "atan": [(-3.0, 3.0), WIDE, SMALL],
    "sinh": [(-709.0, 709.0), (-2.0, 2.0), SMALL],
    "cosh": [(-709.0, 709.0), (-2.0, 2.0), SMALL],
    "tanh": [(-20.0, 20.0), (-1.0, 1.0), SMALL],
    "asinh": [(-3.0, 3.0), WIDE, SMALL],
    "acosh": [(1.0, 3.0), (1.0, 1e6)],
    "atanh": [(-1.0, 1.0), (-0.3, 0.3), SMALL],
    "expit": [(-740.0, 40.0), (-5.0, 5.0)],
    "log_expit": [(-700.0, 700.0), (-5.0, 5.0)],
    "erf": [(-6.0, 6.0), (-1.2, 1.2), SMALL],
    "erfc": [(-6.0, 26.5), (-1.0, 1.0), SMALL],
    "ndtr": [(-37.5, 8.0), (-1.0, 1.0)],
    "log_ndtr": [(-37.5, 8.0), (-1.5, 1.5), (-1e6, -40.0)],
    "digamma": [(0.0, 3.0), (1.3, 1.6), (3.0, 3.3), (2.5, 20.0), (20.0, 1e7)],
    "trigamma": [(0.0, 3.0), (2.5, 20.0), (-4.9, 0.0)],
    "gammaln": [(0.0, 3.0), (0.9, 1.1), (1.9, 2.1), (2.5, 20.0), WIDE],
    "pow": [((0.5, 2.0), (-90.0, 90.0)), (WIDE, (-0.9, 0.9)), ((0.0, 10.0), (-8.0, 8.0))],
    "hypot": [((-10.0, 10.0), (-10.0, 10.0)), (WIDE, WIDE)],
    "atan2": [((-10.0, 10.0), (-10.0, 10.0)), (WIDE, WIDE)],
    "logaddexp": [((0.0, 10.0), (0.0, 10.0)), ((99.0, 300.0), (99.0, 300.0))],
    "logaddexp2": [((0.0, 10.0), (0.0, 10.0)), ((99.0, 300.0), (99.0, 300.0))],
}
MP = {
    "exp2": lambda x: mp.power(2, x),
    "log2": lambda x: mp.log(x, 2),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "pow": mp.power,
    "expit": lambda x: 1 / (1 + mp.exp(-x)),
    "log_expit": lambda x: -mp.log1p(mp.exp(-x)),
    "ndtr": mp.ncdf,
    "log_ndtr": lambda x: mp.log1p(-mp.ncdf(-x)) if x > 0 else mp.log(mp.ncdf(x)),
    "trigamma": lambda x: mp.zeta(2, x),
    "gammaln": lambda x: mp.loggamma(x),
    "logaddexp": lambda x, y: mp.log(mp.exp(x) + mp.exp(y)),
    "logaddexp2": lambda x, y: mp.log(mp.power(2, x) + mp.power(2, y), 2),
}
NUMPY = {
    "pow": np.power,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "trigamma": lambda x: special.zeta(x.dtype.type(2), x),
}
# A logarithm of an error function that is itself off by up to 1.8 ulp, and sums of quotients.
LIMIT = {"log_ndtr": 2.4, "digamma": 3.4, "trigamma": 3.2}
FAR_TAIL = -40.0  # where mpmath's normal distribution needs its asymptotic form


def numpy_function(name):
    return NUMPY.get(name) or getattr(np, name, None) or getattr(special, name)


@cache
def run_all(bits):
    """One compiled function with a loop per vector function: `o[k] = f(x[k], y[k])`."""
    text = "def run(x, y, o):\n"
    for k, (name, arity) in enumerate(vm.FUNCTIONS.items()):
        operands = ("x[{k}, i]", "x[{k}, i], y[{k}, i]")[arity - 1].format(k=k)
        text += (
            f"    for i in range(o.shape[1]):\n        o[{k}, i] = vm.{name}{bits}({operands})\n"
        )
    scope = {"vm": vm}
    exec(text, scope)
    t = f"float{bits}[:, ::1]"
    return njit(f"void({t}, {t}, {t})", error_model="numpy")(scope["run"])


def evaluate(bits, columns):
    """Each function of its own (x, y); all of one length."""
    x, y = (np.array([c[i] for c in columns], REAL[bits]) for i in (0, 1))
    out = np.empty_like(x)
    run_all(bits)(x, y, out)
    return x, y, out


def draw(rng, where, bits, n):
    if where == WIDE:
        exponent = rng.integers(*((-1060, 1020) if bits == 64 else (-145, 124)), n)
        return np.ldexp(rng.uniform(1, 2, n), exponent)
    if where == SMALL:
        return np.ldexp(rng.uniform(1, 2, n), rng.integers(-60, 0, n)) * rng.choice([-1, 1], n)
    low, high = where
    if bits == 32:
        low, high = (e / 8.2 if 30 < abs(e) < 2000 else e for e in (low, high))
    return rng.uniform(low, high, n)


def inputs(name, bits, n=240):
    rng = np.random.default_rng(list(name.encode()))
    parts = DOMAINS[name]
    each = n // len(parts)
    if vm.FUNCTIONS[name] == 1:
        x = np.concatenate([draw(rng, p, bits, each) for p in parts])
        return x, x
    pairs = [[draw(rng, q, bits, each) for q in p] for p in parts]
    return tuple(np.concatenate(c) for c in zip(*pairs, strict=True))


@cache
def results(bits):
    return evaluate(bits, [inputs(name, bits) for name in vm.FUNCTIONS])


def exact(name, *args):
    function = MP.get(name) or getattr(mp, name)
    with mp.workdps(50):
        if name == "log_ndtr" and args[0] < FAR_TAIL:
            a = -mp.mpf(args[0])
            series = sum((-1) ** k * mp.fac2(2 * k - 1) / a ** (2 * k) for k in range(12))
            return -a * a / 2 - mp.log(a * mp.sqrt(2 * mp.pi)) + mp.log(series)
        return function(*map(mp.mpf, args))


def ulps(got, wanted, dtype):
    """The distance of each result from the exact one in units of its last place."""
    high = np.array([float(w) for w in wanted])
    low = np.array([float(w - mp.mpf(float(w))) for w in wanted])
    place = np.spacing(
        np.maximum(np.abs(high), float(np.finfo(dtype).smallest_normal)), dtype=dtype
    )
    # Rounding to the narrow type may step up to the next power of two.
    place = np.minimum(place, np.spacing(np.abs(high).astype(dtype)).clip(min=place.min()))
    return np.abs((got.astype(np.float64) - high) - low) / place.astype(np.float64)


def test_every_function_has_a_domain():
    assert set(DOMAINS) == set(vm.FUNCTIONS)


@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("name", vm.FUNCTIONS)
def test_accuracy(name, bits):
    k = list(vm.FUNCTIONS).index(name)
    x, y, out = (a[k] for a in results(bits))
    args = (x,) if vm.FUNCTIONS[name] == 1 else (x, y)
    wanted = [exact(name, *map(float, point)) for point in zip(*args, strict=True)]
    error = ulps(out, wanted, REAL[bits])
    worst = int(np.argmax(error))
    assert error[worst] <= LIMIT.get(name, 2.0), (x[worst], y[worst], out[worst])


def special_points(bits):
    info = np.finfo(REAL[bits])
    big = [1.0, 0.5, 1.5, 2.0, 3.0, 1e4, float(info.max), math.inf]
    small = [0.0, float(info.smallest_subnormal), float(info.tiny), float(info.eps), 1e-3]
    return [s * v for v in small + big for s in (1, -1)] + [math.nan]


def differ(got, wanted):
    """Where NaN, infinities or signs of zeros differ, or anything else by many last places."""
    odd = np.isnan(wanted) | np.isnan(got)
    exact = np.isinf(wanted) | np.isinf(got) | (wanted == 0) | (got == 0)
    with np.errstate(all="ignore"):
        far = np.abs(got - wanted) > 8 * np.spacing(np.abs(wanted))
    bad = np.where(exact, (got != wanted) | (np.signbit(got) != np.signbit(wanted)), far)
    return np.where(odd, np.isnan(got) != np.isnan(wanted), bad)


# Where SciPy's formulas overflow or cancel and ours do not.
BETTER = {"expit", "log_expit", "log_ndtr", "ndtr"}


@pytest.mark.parametrize("bits", [64, 32])
def test_special_values(bits):
    points = special_points(bits)
    x, y = np.array(list(itertools.product(points, repeat=2))).T
    x, y, out = evaluate(bits, [(x, y)] * len(vm.FUNCTIONS))
    wrong = []
    for k, (name, arity) in enumerate(vm.FUNCTIONS.items()):
        args = (x[k], y[k])[:arity]
        with np.errstate(all="ignore"):
            bad = differ(out[k], numpy_function(name)(*args))
        if name in BETTER:
            bad &= ~((np.abs(x[k]) > 80) & np.isfinite(x[k]))
        if name == "gammaln":  # SciPy's overflows at the smallest numbers
            bad &= np.abs(x[k]) >= np.finfo(REAL[bits]).tiny
        wrong += [(name, *(float(a[i]) for a in (*args, out[k]))) for i in np.flatnonzero(bad)]
    assert not wrong, sorted(set(wrong), key=str)


def packed(function):
    """The number of packed multiplications in a function's machine code."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("reads x86 assembly")
    (text,) = function.inspect_asm().values()
    return len(re.findall(r"\bv?(?:mul|fmadd\w*)p[sd]\b", text))


@pytest.mark.parametrize("bits", [64, 32])
def test_every_loop_is_a_vector_loop(bits):
    (text,) = run_all(bits).inspect_llvm().values()
    calls = set(re.findall(r"call \w+ @(\w+)\(", text))
    # Only far-away angles go to the C library, from forms that have tested a whole vector.
    assert not [c for c in calls if "adjit" in c or c in ("exp", "log", "pow", "expf", "sinf")]
    # A vector loop of each function stores whole vectors.
    stores = re.findall(r"store <\d+ x (?:double|float)> .*", text)
    assert len(stores) >= len(vm.FUNCTIONS)
    assert packed(run_all(bits)) > 10 * len(vm.FUNCTIONS)


@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log10", "sin", "erfc", "pow"])
def test_without_fused_multiply_add(name, monkeypatch):
    monkeypatch.setattr(irmath, "HAS_FMA", False)
    monkeypatch.setattr(irmath, "HAS_LDEXP", False)
    operands = ("x[i]", "x[i], y[i]")[vm.FUNCTIONS[name] - 1]
    scope = {"vm": vm}
    text = f"for i in range(o.shape[0]):\n        o[i] = vm.{name}64({operands})"
    exec(f"def run(x, y, o):\n    {text}\n", scope)
    x, y = inputs(name, 64, 90)
    out = np.empty_like(x)
    njit(error_model="numpy")(scope["run"])(x, y, out)
    args = (x, y)[: vm.FUNCTIONS[name]]
    wanted = [exact(name, *map(float, point)) for point in zip(*args, strict=True)]
    assert ulps(out, wanted, np.float64).max() <= 2.5


ONE = ("fabs", "rint", "floor", "ceil", "trunc", "sqrt", "sign")
TWO = {
    "copysign": np.copysign,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "fmaximum": np.maximum,
    "fminimum": np.minimum,
    "radd": np.add,
    "rmul": np.multiply,
    "rmax": np.maximum,
    "rmin": np.minimum,
}
TESTS = ("isnan", "isinf", "isfinite", "signbit")


@cache
def low_level():
    lines = [f"o[{k}, i] = ll.{n}(x[i])" for k, n in enumerate(ONE)]
    lines += [f"o[{k}, i] = ll.{n}(x[i], y[i])" for k, n in enumerate(TWO, len(ONE))]
    lines += [f"b[{k}, i] = ll.{n}(x[i])" for k, n in enumerate(TESTS)]
    scope = {"ll": ll}
    body = "\n        ".join(lines)
    exec(f"def run(x, y, o, b):\n    for i in range(x.shape[0]):\n        {body}\n", scope)
    return njit(error_model="numpy")(scope["run"])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_low_level_operations_are_numpys(dtype):
    points = [*special_points(64 if dtype == np.float64 else 32), 2.5, -2.5, 3.5, -0.4]
    x, y = np.array(list(itertools.product(points, repeat=2)), dtype).T.copy()
    o, b = np.empty((len(ONE) + len(TWO), len(x)), dtype), np.empty((len(TESTS), len(x)), bool)
    low_level()(x, y, o, b)
    for k, name in enumerate((*ONE, *TWO)):
        with np.errstate(all="ignore"):
            wanted = TWO[name](x, y) if name in TWO else getattr(np, name)(x)
        bad = differ(o[k], wanted)
        if name in TWO and "m" in name[:2]:  # which of two zeros is larger is left open
            bad &= (x != 0) | (y != 0)
        assert not bad.any(), (name, x[bad][:3], y[bad][:3], o[k][bad][:3])
    for k, name in enumerate(TESTS):
        np.testing.assert_array_equal(b[k], getattr(np, name)(x))


def test_casts_and_selects_take_any_scalar():
    @njit(error_model="numpy")
    def run(x, n, z):
        return (
            ll.f32(x),
            ll.i32(x),
            ll.u8(n),
            ll.bool(x),
            ll.c128(x),
            ll.select(x > 0, n, 0),
            ll.select(x > 0, z, 0),
            ll.select(x > 0, True, n > 0),
            ll.select(n > 0, ll.f32(x), ll.f32(1)),
            ll.radd(ll.f32(x), 1),
            ll.fma(x, x, x),
        )

    got = run(2.7, 300, 1 + 2j)
    assert got == (np.float32(2.7), 2, 44, True, 2.7, 300, 1 + 2j, True, np.float32(2.7),
                   np.float32(2.7) + 1, 2.7 * 2.7 + 2.7)  # fmt: skip
    types = [str(t) for t in run.nopython_signatures[0].return_type]
    assert types[:3] == ["float32", "int32", "uint8"]
    assert types[5:] == ["int64", "complex128", "bool", "float32", "float32", "float64"]
    assert run(math.nan, -5, 0j)[3] is True
    assert run(-0.0, -5, 0j)[3] is False


def test_accumulating_operations_become_vector_reductions():
    @njit("void(float64[::1], float64[::1])", error_model="numpy")
    def run(x, o):
        total, low, high = 0.0, np.inf, -np.inf
        for i in range(x.shape[0]):
            total = ll.radd(total, x[i])
            low, high = ll.rmin(low, x[i]), ll.rmax(high, x[i])
        o[0], o[1], o[2] = total, low, high

    x, out = np.random.default_rng(0).normal(size=1003), np.empty(3)
    run(x, out)
    np.testing.assert_allclose(out, [x.sum(), x.min(), x.max()], rtol=1e-13)
    x[77] = np.nan
    run(x, out)
    assert np.isnan(out).all()
    (text,) = run.inspect_llvm().values()
    assert re.search(r"fadd reassoc nsz <\d+ x double>", text)
    assert re.search(r"maximum\.v\d+f64", text)


@pytest.mark.parametrize("bits", [64, 32])
def test_special_functions_are_scipys(bits):
    names = ["gammaln", "psi", "erfinv", "i0e", "iv", "betaln", "betainc", "zeta"]
    lines = []
    for k, name in enumerate(names):
        operands = ", ".join(["a[i]", "x[i]", "u[i]"][-sp.FUNCTIONS[name] :])
        if sp.FUNCTIONS[name] == 2:
            operands = "a[i], x[i]"
        lines.append(f"o[{k}, i] = sp.{name}{bits}({operands})")
    scope = {"sp": sp}
    body = "\n        ".join(lines)
    exec(f"def run(a, x, u, o):\n    for i in range(u.shape[0]):\n        {body}\n", scope)
    rng = np.random.default_rng(1)
    a, x, u = (rng.uniform(*r, 50).astype(REAL[bits]) for r in ((1.1, 9), (0.1, 20), (0, 1)))
    out = np.empty((len(names), 50), REAL[bits])
    njit(error_model="numpy")(scope["run"])(a, x, u, out)
    arity = [(u,), (a, x), (a, x, u)]
    for k, name in enumerate(names):
        args = [np.float64(v) for v in arity[sp.FUNCTIONS[name] - 1]]
        wanted = getattr(special, name)(*args).astype(REAL[bits])
        np.testing.assert_array_max_ulp(out[k], wanted, 8)


def test_zeta_at_its_edges():
    points = [(2.0, 0.0), (2.0, -3.0), (1.0, 2.0), (0.5, 2.0), (2.5, -0.5), (math.nan, 1.0),
              (2.0, math.inf), (3.0, -0.5), (60.0, 0.3), (2.0, 1e9)]  # fmt: skip
    for s, q in points:
        np.testing.assert_allclose(
            sp.zeta64(s, q), special.zeta(s, q), rtol=1e-14, err_msg=f"{s},{q}"
        )


def test_addresses_need_no_numba():
    code = (
        "import sys; from adjit.codegen.special_symbols import *\n"
        "assert all(address(n) for n in SPECIAL)\n"
        "assert resolve(['adjit_sp_psi', 'exp']) == {'adjit_sp_psi': address('psi')}\n"
        "assert 'numba' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_function_says_what_to_do(monkeypatch):
    monkeypatch.setitem(special_symbols.SPECIAL, "nowhere", 1)
    with pytest.raises(ImportError, match=r"scipy\.special\.nowhere"):
        special_symbols.address("nowhere")
