"""exp, log1p, log, tanh and the normal distribution for the hand-written kernels.

Branch-free polynomials that LLVM vectorises; Numba alone would call the C library for each element.
They cover the range the problems need (no NaN, infinities or subnormals): what an expert would do
who knows his data.  Accurate to a few ulp, see tests/test_benchmarks.py.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from scipy import special

# Contraction to fma, but no reassociation: the reductions of the arguments rely on the order.
EXACT = {"contract", "nsz", "nnan", "ninf"}
inline = njit(fastmath=EXACT, error_model="numpy", forceinline=True)


def _bits(source, target, llvm):
    @intrinsic
    def cast(typing, x):
        return target(source), lambda ctx, b, signature, args: b.bitcast(args[0], llvm)

    return cast


bits64 = _bits(types.float64, types.int64, ir.IntType(64))
float64 = _bits(types.int64, types.float64, ir.DoubleType())
bits32 = _bits(types.float32, types.int32, ir.IntType(32))
float32 = _bits(types.int32, types.float32, ir.FloatType())


@intrinsic
def select(typing, condition, x, y):
    """`x if condition else y` without a branch."""
    return x(types.boolean, x, x), lambda ctx, b, signature, args: b.select(*args)


def fitted(f, lo, hi, degree):
    """Coefficients, lowest first, of a polynomial close to f on [lo, hi]."""
    fit = Chebyshev.interpolate(f, degree, domain=(lo, hi))
    return [float(c) for c in fit.convert(kind=Polynomial, domain=(-1, 1)).coef]


def polynomial(coefficients, dtype=""):
    """The polynomial as an inlined function, by Estrin's scheme: short chains of fma."""
    terms, lines, x = [f"{dtype}({c!r})" for c in coefficients], ["def p(x1):"], 1
    while len(terms) > 1:
        pairs = [terms[i : i + 2] for i in range(0, len(terms), 2)]
        terms = [p[0] if len(p) == 1 else f"({p[0]} + x{x}*{p[1]})" for p in pairs]
        lines.append(f"    x{2 * x} = x{x}*x{x}")
        x *= 2
    space: dict = {"float32": np.float32}
    exec("\n".join([*lines, f"    return {terms[0]}"]), space)
    return inline(space["p"])


_MAGIC = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, found in the low bits
_MAGIC_BITS = int(np.float64(_MAGIC).view(np.int64))
_LN2_HI, _LN2_LO = 0.6931471803691238, 1.9082149292705877e-10
_exp = polynomial([1.0 / math.factorial(k) for k in range(13)])


@inline
def exp(x):
    """For -708 < x < 709."""
    t = x * 1.4426950408889634 + _MAGIC
    k = t - _MAGIC
    r = (x - k * _LN2_HI) - k * _LN2_LO
    return float64(bits64(_exp(r)) + (bits64(t) << 52))


_MAGIC_32 = np.float32(12582912.0)  # 1.5 * 2**23
_LOG2E_32, _LN2_HI_32, _LN2_LO_32 = np.float32([1.442695, 0.693359375, -2.12194440e-4])
_exp_32 = polynomial(fitted(np.exp, -0.35, 0.35, 6), "float32")


@inline
def exp32(x):
    """For float32 below 88; below -87 it is about 1e-38."""
    x = max(x, np.float32(-87.0))
    t = x * _LOG2E_32 + _MAGIC_32
    k = t - _MAGIC_32
    r = (x - k * _LN2_HI_32) - k * _LN2_LO_32
    return float32(bits32(_exp_32(r)) + (bits32(t) << np.int32(23)))


def _atanh_rest(z):
    """(2 atanh(s) / s - 2) / z for z = s*s: what the logarithm adds to its first term."""
    return sum(2.0 / (2 * j + 1) * z ** (j - 1) for j in range(1, 60))


_log = polynomial(fitted(_atanh_rest, 0.0, 0.0296, 7))
_log1p = polynomial(fitted(_atanh_rest, 0.0, 1.0 / 9.0, 10))
_HALF_ROOT = int(np.float64(math.sqrt(0.5)).view(np.int64))


@inline
def log(x):
    """For normal x > 0."""
    bits = bits64(x)
    k = (bits - _HALF_ROOT) >> 52
    f = float64(bits - (k << 52)) - 1.0
    e = float64(k + _MAGIC_BITS) - _MAGIC
    s = f / (2.0 + f)
    h = 0.5 * f * f
    z = s * s
    return e * _LN2_HI - ((h - (s * (h + z * _log(z)) + e * _LN2_LO)) - f)


@inline
def log1p(x):
    """For 0 <= x <= 1."""
    s = x / (2.0 + x)
    z = s * s
    return 2.0 * s + s * z * _log1p(z)


_small_tanh = polynomial(
    fitted(
        lambda z: np.where(z < 1e-9, -1.0 / 3.0, (np.tanh(r := np.sqrt(z)) / r - 1.0) / z),
        1e-12,
        0.0625,
        7,
    )
)


@inline
def tanh(x):
    a, z = abs(x), x * x
    e = exp(-2.0 * a)
    y = select(a < 0.25, a + a * z * _small_tanh(z), (1.0 - e) / (1.0 + e))
    return select(x < 0.0, -y, y)


_SPLIT = 3.5
_tail = polynomial(
    fitted(
        lambda q: special.erfcx(x := _SPLIT * (1.0 + q) / (1.0 - q + 1e-300)) * (1.0 + 2.0 * x),
        -1.0,
        1.0 - 1e-9,
        19,
    )
)


@inline
def normal(x):
    """The normal distribution function and exp(-x*x/2); one exponential serves both.

    By (1 + 2a) exp(a*a) erfc(a) as a polynomial in (a - 3.5) / (a + 3.5): Shepherd and Laframboise,
    Mathematics of Computation 36 (1981).
    """
    a = abs(x) * 0.7071067811865476
    g = exp(-a * a)
    tail = 0.5 * g * _tail((a - _SPLIT) / (a + _SPLIT)) / (1.0 + 2.0 * a)
    return select(x > 0.0, 1.0 - tail, tail), g
