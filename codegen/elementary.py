"""The formulas of the vector maths: exponentials, logarithms, hyperbolic and error functions.

A body takes and returns `Num`s and serves both widths. `table[bits]` picks what differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import coefficients as C
from . import irmath
from .irmath import (
    Num,
    copysign,
    fabs,
    fast_two_sum,
    fma,
    fours,
    ldexp,
    mad,
    poly,
    select,
    sqrt,
    two_product,
    two_sum,
)

INF, NAN = math.inf, math.nan
LOG2E = math.log2(math.e)
# ln 2 in two parts of the format's precision: with an fma the first product is exact.
LN2 = {
    64: (0.6931471805599453, 2.3190468138462996e-17),
    32: (0.6931471824645996, -1.9046542121259336e-09),
}
MAGIC_BITS_32 = 0x4B400000  # of 1.5 * 2**23; those of 1.5 * 2**52 end in 32 zeros
EXP_TOP = {64: 710.0, 32: 89.0}
EXP_ZERO = {64: -745.1332191019412, 32: -103.97208404541016}  # below it exp(x) rounds to zero


def clamp(x: Num, low: float, high: float) -> Num:
    """x held between two bounds; NaN passes."""
    x = select(x < low, low, x)
    return select(x > high, high, x)


def fading(x: Num, zero: float, f: Callable[[Num], Num]) -> Num:
    """f(x), but 0 below a bound; NaN passes.

    What masks leave out of a softmax must not underflow on the way: each such operation is one
    of microcode, and takes ten times as long as the whole function.
    """
    gone = x < zero
    return select(gone, 0.0, f(select(gone, 0.0, x)))


def exp_reduce(x: Num) -> tuple[Num, Num, Num]:
    """x = n ln 2 + r + low: the bits that hold n, r and low."""
    w = x.width
    high, low = LN2[w.bits]
    z = mad(x, LOG2E, w.magic)
    n = z - w.magic
    r1 = fma(-n, high, x)
    r = fma(-n, low, r1)
    return z.bits(), r, fma(-n, low, r1 - r)


def exp_tail(r: Num) -> Num:
    """exp(r) - 1 on a reduced argument."""
    return mad(r * r, fours(r, C.EXP[r.width.bits]), r)


def exp_sharp(x: Num, shift: int = 0) -> Num:
    """exp(x) 2**shift of a bounded x with the last bits of its reduction: a quarter ulp better."""
    n, r, low = exp_reduce(x)
    return scale(1.0 + (r + mad(r * r, poly(r, C.EXP[r.width.bits]), low)), n, shift)


def scale(p: Num, n: Num, shift: int = 0) -> Num:
    """p * 2**(n + shift) in two steps, so that subnormal results round once; n in the low bits."""
    w = p.width
    if irmath.HAS_LDEXP:
        whole = n.low_word() if w.bits == 64 else n - MAGIC_BITS_32
        return ldexp(p, whole + shift if shift else whole)
    half = n >> 1
    first = ((half << w.mantissa) + (w.one + (shift << w.mantissa))).as_real()
    second = (((n - half) << w.mantissa) + w.one).as_real()
    return p * first * second


def exp(x: Num) -> Num:
    top, zero = EXP_TOP[x.width.bits], EXP_ZERO[x.width.bits]

    def near(y: Num) -> Num:
        n, r, _ = exp_reduce(select(y > top, top, y))
        return scale(1.0 + exp_tail(r), n)

    return fading(x, zero, near)


def exp2(x: Num) -> Num:
    w = x.width
    (high, low), top = LN2[w.bits], w.bias + 2.0

    def near(y: Num) -> Num:
        y = select(y > top, top, y)
        z = y + w.magic
        f = y - (z - w.magic)
        r = f * high
        rest = fma(f, high, -r) + f * low
        return scale(1.0 + (exp_tail(r) + rest), z.bits())

    return fading(x, -float(w.bias + w.mantissa), near)


def expm1(x: Num) -> Num:
    w = x.width
    y = clamp(x, -0.75 * w.mantissa - 1.0, EXP_TOP[w.bits])
    n, r, low = exp_reduce(y)
    p = mad(r * r, poly(r, C.EXPM1[w.bits]), low) + r
    # Half of 2**n, since 2**n itself may overflow where the result does not.
    s = ((n << w.mantissa) + (w.one - (1 << w.mantissa))).as_real()
    return select(fabs(x) < 2.0 ** -(w.mantissa + 2), x, 2.0 * mad(s, p, s - 0.5))


def log_split(x: Num, offset: Num | float = 0.0) -> tuple[Num, Num, Num]:
    """x = m 2**e with m in sqrt(1/2) .. sqrt(2): e - offset as a real, m - 1, and 2**-e."""
    w = x.width
    bits = x.bits()
    j = bits + (w.one - SQRT_HALF[w.bits])
    exponent = j & -(1 << w.mantissa)
    big = 2.0**w.mantissa
    e = ((j >> w.mantissa) | ((w.bias + w.mantissa) << w.mantissa)).as_real()
    e = e - (offset + x.const(big + w.bias))
    m = (bits - (exponent - w.one)).as_real()
    return e, m - 1.0, ((2 * w.one) - exponent).as_real()


SQRT_HALF = {64: 0x3FE6A09E667F3BCD, 32: 0x3F3504F3}


def log_tail(f: Num) -> tuple[Num, Num]:
    """h = f*f/2 and t with log(1 + f) = f - (h - t)."""
    s = f / (2.0 + f)
    z = s * s
    h = (0.5 * f) * f
    return h, s * mad(z, poly(z, C.LOG[f.width.bits]), h)


def log_join(e: Num, f: Num) -> Num:
    """e ln 2 + log(1 + f)."""
    high, low = LN2[f.width.bits]
    h, t = log_tail(f)
    return mad(e, high, f - (h - mad(e, low, t)))


def log_ends(x: Num, y: Num) -> Num:
    """y, but the special values of a logarithm of x."""
    y = select(x < INF, y, x)
    return select(x > 0.0, y, select(x.equals(0.0), x.const(-INF), NAN))


def normal(x: Num) -> tuple[Num, Num]:
    """x brought out of the subnormals, and the power of two that did it."""
    w = x.width
    small = x < w.tiny
    up = float(w.mantissa + 2)
    return select(small, x * 2.0**up, x), select(small, x.const(up), 0.0)


def log(x: Num) -> Num:
    y, up = normal(x)
    e, f, _ = log_split(y, up)
    return log_ends(x, log_join(e, f))


def log_sum(u: Num, c: Num, extra: Num | float = 0.0) -> Num:
    """log(u + c) + extra * ln 2 for a normal u and a c below its last place."""
    e, f, down = log_split(u)
    f = select(u > 2.0 ** (2 * u.width.mantissa), f, mad(c, down, f))
    return log_join(e + extra, f)


def log1p(x: Num) -> Num:
    u = 1.0 + x
    y = log_ends(u, log_sum(u, x - (u - 1.0)))
    return select(fabs(x) < 2.0 ** -(x.width.mantissa + 2), x, y)


def log_pair(x: Num) -> tuple[Num, Num, Num]:
    """e, and log(m) as a rounded value and the rest, for bases other than e."""
    y, up = normal(x)
    e, f, _ = log_split(y, up)
    h, t = log_tail(f)
    rest = fma(0.5 * f, f, -h)
    a, low = fast_two_sum(f, -h)
    return e, a, low + (t - rest)


def log_base(x: Num, unit: tuple[float, float], two: tuple[float, float]) -> Num:
    """log(x) in a base where a natural unit is `unit` and log(2) is `two`, both as high, low."""
    e, a, low = log_pair(x)
    v = a * unit[0]
    rest = fma(a, unit[0], -v) + mad(a, unit[1], low * unit[0])
    top = e * two[0]
    rest = rest + mad(e, two[1], fma(e, two[0], -top))
    y, more = fast_two_sum(top, v)
    return log_ends(x, y + (more + rest))


LOG2E_PARTS = {
    64: (1.4426950408889634, 2.0355273740931033e-17),
    32: (1.4426950216293335, 1.925963033500011e-08),
}
LOG10E_PARTS = {
    64: (0.4342944819032518, 1.098319650216765e-17),
    32: (0.4342944920063019, -1.0103049952192578e-08),
}
LOG10_2_PARTS = {
    64: (0.3010299956639812, -2.8037281277851704e-18),
    32: (0.3010300099849701, -1.432098883924482e-08),
}


def log2(x: Num) -> Num:
    return log_base(x, LOG2E_PARTS[x.width.bits], (1.0, 0.0))


def log10(x: Num) -> Num:
    return log_base(x, LOG10E_PARTS[x.width.bits], LOG10_2_PARTS[x.width.bits])


def tanh(x: Num) -> Num:
    w = x.width
    a = fabs(x)
    z = x * x
    small = mad(x * z, poly(z, C.TANH[w.bits]), x)
    y = select(a > w.mantissa * 0.375 + 2.0, w.mantissa * 0.375 + 2.0, a)
    n, r, _ = exp_reduce(y + y)
    e = (1.0 + exp_tail(r)) * ((n << w.mantissa) + w.one).as_real()
    return copysign(select(a < 0.55, small, 1.0 - 2.0 / (e + 1.0)), x)


def half_exp(a: Num) -> Num:
    """exp(a) / 2 for a >= 0, which overflows only where sinh and cosh do."""
    top = EXP_TOP[a.width.bits] + 1.0
    return exp_sharp(select(a > top, top, a), -1)


def sinh(x: Num) -> Num:
    a = fabs(x)
    z = x * x
    small = mad(a * z, poly(z, C.SINH[x.width.bits]), a)
    h = half_exp(a)
    return copysign(select(a < 1.0, small, h - 0.25 / h), x)


def cosh(x: Num) -> Num:
    h = half_exp(fabs(x))
    return h + 0.25 / h


def asinh(x: Num) -> Num:
    a = fabs(x)
    big = a > 2.0 ** (x.width.mantissa // 2 + 2)
    square = a * a
    r = a + square / (1.0 + sqrt(square + 1.0))
    u = select(big, a, 1.0 + r)
    y = log_sum(u, select(big, 0.0, r - (u - 1.0)), select(big, x.const(1.0), 0.0))
    return copysign(select(a < INF, y, a), x)


def acosh(x: Num) -> Num:
    big = x > 2.0 ** (x.width.mantissa // 2 + 2)
    t = x - 1.0
    s = sqrt(mad(t, t, t + t))
    u = select(big, x, x + s)
    y = log_sum(u, select(big, 0.0, (x - u) + s), select(big, x.const(1.0), 0.0))
    return select(x < INF, select(x >= 1.0, y, NAN), x)


def atanh(x: Num) -> Num:
    a = fabs(x)
    inverse = 1.0 / (1.0 - a)
    r = (a + a) * inverse
    error = fma(-r, 1.0 - a, a + a) - r * ((1.0 - (1.0 - a)) - a)
    u = 1.0 + r
    y = 0.5 * log_sum(u, mad(error, inverse, r - (u - 1.0)))
    return copysign(select(a < 1.0, y, select(a.equals(1.0), x.const(INF), NAN)), x)


def expit(x: Num) -> Num:
    e = fading(-fabs(x), EXP_ZERO[x.width.bits], exp_sharp)
    up = select(x < 0.0, e, 1.0)
    down, low = fast_two_sum(1.0, e)
    inverse = 1.0 / down
    y = up * inverse
    return mad(fma(-y, down, up) - y * low, inverse, y)


def log_expit(x: Num) -> Num:
    return select(x < 0.0, x, -0.0) - log1p(exp(-fabs(x)))


def logaddexp(x: Num, y: Num) -> Num:
    """log(exp(x) + exp(y)); the gap between equal infinities is 0, not NaN."""
    gap = select(x.equals(y), 0.0, -fabs(x - y))
    return select(x > y, x, y) + log1p(exp(gap))


def logaddexp2(x: Num, y: Num) -> Num:
    gap = select(x.equals(y), 0.0, -fabs(x - y))
    return select(x > y, x, y) + LOG2E * log1p(exp2(gap))


def cbrt(x: Num) -> Num:
    w = x.width
    y, up = normal(fabs(x))
    bits = y.bits()
    m = ((bits & ((1 << w.mantissa) - 1)) | w.one).as_real()
    big = 2.0**w.mantissa
    e = ((bits >> w.mantissa) | ((w.bias + w.mantissa) << w.mantissa)).as_real()
    e = e - (up + x.const(big + w.bias))
    z = mad(e, 1.0 / 3.0, w.magic)
    rest = e - 3.0 * (z - w.magic)
    over, under = rest > 0.0, rest < 0.0
    a = m * select(over, x.const(2.0), select(under, x.const(0.5), 1.0))
    root = 2.0 ** (1.0 / 3.0)
    inverse = poly(m, C.CBRT[w.bits])
    inverse = inverse * select(over, x.const(1.0 / root), select(under, x.const(root), 1.0))
    third = 1.0 / 3.0
    if w.bits == 64:
        inverse = mad(inverse * third, mad(-(a * inverse), inverse * inverse, 1.0), inverse)
    square = inverse * inverse
    r = a * square
    power, low = two_product(r, r)
    r = mad(fma(-power, r, a) - low * r, square * third, r)
    r = copysign(r * ((z.bits() << w.mantissa) + w.one).as_real(), x)
    return select((fabs(x) > 0.0) & (fabs(x) < INF), r, x)


def erfcx(a: Num, low: Num | float = 0.0) -> tuple[Num, Num]:
    """exp(a^2) erfc(a) for a >= 0.5 (and its own last bits), rounded and the rest.

    The polynomial is centred, since its value grows tenfold over its range. Small a magnify the
    error of u = 4 / (a + 4) up to 4.5 times: it is corrected by its own size times
    d ln(value) / d ln(u), which 1 + 3.5 u^2 approaches well enough.
    """
    first, *others = C.ERFCX[a.width.bits]
    d = a + 4.0
    u = 4.0 / d
    error = mad(u, (a - (d - 4.0)) + low, fma(u, d, -4.0))
    v = u - 0.4375
    product, last = two_product(v, poly(v, others))
    p, more = two_sum(product, product.const(first))
    t, rest = two_product(p, u)
    return t, mad(last + more, u, mad(t * error, mad(u * u, -0.875, -0.25), rest))


def gauss_tail(t: Num, more: Num, h: Num, low: Num) -> Num:
    """(t + more) exp(-h - low), subnormals rounded once; h below 2^10."""
    n, r, last = exp_reduce(-h)
    p, rest = fast_two_sum(1.0, exp_tail(r))
    rest = mad(last - low, p, rest)
    y, last = two_product(p, t)
    return scale(y + (last + mad(t, rest, p * more)), n)


def erf_small(x: Num) -> Num:
    """erf(x) where -0.5 < x < 0.5."""
    return mad(x, poly(x * x, C.ERF[x.width.bits]), x)


def erfc(x: Num) -> Num:
    limit = {64: 28.0, 32: 10.6}[x.width.bits]
    a = fabs(x)
    b = select(a > limit, limit, a)
    y = gauss_tail(*erfcx(b), *two_product(b, b))
    return select(a < 0.5, 1.0 - erf_small(x), select(x < 0.0, 2.0 - y, y))


def erf(x: Num) -> Num:
    """The tail is at most 0.16, so a plain exp(-x^2) does; a kernel that needs it too shares it."""
    bits = x.width.bits
    limit = {64: 6.0, 32: 4.0}[bits]
    a = fabs(x)
    square = x * x
    y = select(a > limit, limit, a)
    # Not exp(-square): LLVM writes a kernel's own exp(-(x * x)) like this, and shares it.
    tail = exp(x * -x) * poly((y - 2.0) / (y + 2.0), C.ERFC_TAIL[bits])
    near = mad(x, poly(square, C.ERF_UNIT[bits]), x)
    return select(a < 1.0, near, copysign(1.0 - tail, x))


SQRT_HALF_PARTS = {
    64: (0.7071067811865476, -4.833646656726457e-17),
    32: (0.7071067690849304, 1.210161710447897e-08),
}


def ndtr_parts(x: Num) -> tuple[Num, Num, Num, Num]:
    """Of a = |x| / sqrt(2): exp(a^2) erfc(a) and erfc(a) / 2, each rounded and (some of) the rest.

    The first is only right for a >= 0.5.
    """
    high, low = SQRT_HALF_PARTS[x.width.bits]
    limit = {64: 40.0, 32: 15.0}[x.width.bits]
    b = fabs(x)
    b = select(b > 2.0**60, 2.0**60, b)
    a = b * high
    rest = mad(b, low, fma(b, high, -a))
    t, more = erfcx(a, rest)
    b = select(b > limit, limit, b)
    y = gauss_tail(t, more, *two_product(0.5 * b, b))
    # erf(a + rest) to first order: the slope 2 exp(-a^2) / sqrt(pi) where a < 0.5.
    erf_near = mad(rest, mad(a * a, -1.0, 1.128), erf_small(a))
    near, last = fast_two_sum(0.5, -0.5 * erf_near)
    small = a < 0.5
    return t, more, select(small, near, 0.5 * y), select(small, last, 0.0)


def ndtr(x: Num) -> Num:
    _, _, y, _ = ndtr_parts(x)
    return select(x < 0.0, y, 1.0 - y)


def log_ndtr(x: Num) -> Num:
    """log of the normal distribution: of 1 - tail, of the tail, and far out of the tail's parts."""
    t, more, tail, low = ndtr_parts(x)
    far = x < -1.0
    right = x > 0.0
    u = select(far, 0.5 * t, select(right, 1.0 - tail, tail))
    c = select(far, 0.5 * more, select(right, ((1.0 - u) - tail) - low, low))
    y = log_sum(u, c)
    y = -fabs(select(far, y - (0.5 * x) * x, y))
    return select(x.is_nan(), x, y)


BODIES: dict[str, tuple[int, Callable[..., Num]]] = {
    "exp": (1, exp),
    "exp2": (1, exp2),
    "expm1": (1, expm1),
    "log": (1, log),
    "log1p": (1, log1p),
    "log2": (1, log2),
    "log10": (1, log10),
    "sqrt": (1, sqrt),
    "cbrt": (1, cbrt),
    "sinh": (1, sinh),
    "cosh": (1, cosh),
    "tanh": (1, tanh),
    "asinh": (1, asinh),
    "acosh": (1, acosh),
    "atanh": (1, atanh),
    "expit": (1, expit),
    "log_expit": (1, log_expit),
    "logaddexp": (2, logaddexp),
    "logaddexp2": (2, logaddexp2),
    "erf": (1, erf),
    "erfc": (1, erfc),
    "ndtr": (1, ndtr),
    "log_ndtr": (1, log_ndtr),
}
