"""The formulas of the vector maths: sines, tangents, their inverses, hypot."""

from __future__ import annotations

import math
from collections.abc import Callable

from . import coefficients as C
from .irmath import F32, F64, Num, copysign, fabs, fma, mad, poly, select, sqrt, two_sum
from .rare import rarely

INF, NAN = math.inf, math.nan
# pi/2 in three parts of the format's precision.
HALF_PI = {
    64: (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
    32: (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
}


def reduce(x: Num) -> tuple[Num, Num, Num]:
    """x = n pi/2 + r + low with r in +-pi/4: the bits that hold n modulo 4, r and low.

    The first product cancels exactly against x, the second one's error is kept.
    """
    w = x.width
    first, second, third = HALF_PI[w.bits]
    z = mad(x, 2.0 / math.pi, w.magic)
    n = z - w.magic
    r = fma(-n, first, x)
    p = n * second
    error = fma(n, second, -p)
    r, low = two_sum(r, -p)
    return z.bits(), r, low - mad(n, third, error)


def sin_near(r: Num, low: Num) -> Num:
    """sin(r + low) in +-pi/4."""
    z = r * r
    return r + mad(r * z, poly(z, C.SIN[r.width.bits]), low)


def cos_near(r: Num, low: Num) -> Num:
    """cos(r + low) in +-pi/4."""
    z = r * r
    h = 0.5 * z
    y = 1.0 - h
    return y + (((1.0 - y) - h) + mad(z * z, poly(z, C.COS[r.width.bits]), -(r * low)))


def flip(x: Num, n: Num) -> Num:
    """x, negated where bit 1 of n is set."""
    w = x.width
    return (x.bits() ^ ((n & 2) << (w.bits - 2))).as_real()


# Up to here the reduction is right to the last place, and n is rounded well.
NEAR = {64: 2.0**33, 32: 1e5}


def anywhere(name: str, x: Num, y: Num) -> Num:
    """y where the reduction of x is good, the C library's function beyond."""
    return rarely(name, x, y, NEAR[x.width.bits])


def sin(x: Num) -> Num:
    n, r, low = reduce(x)
    y = select((n & 1).equals(0), sin_near(r, low), cos_near(r, low))
    y = select(fabs(x) < 2.0 ** -(x.width.mantissa // 2 + 1), x, flip(y, n))
    return anywhere("sin", x, y)


def cos(x: Num) -> Num:
    n, r, low = reduce(x)
    y = select((n & 1).equals(0), cos_near(r, low), sin_near(r, low))
    return anywhere("cos", x, flip(y, n + 1))


def tan(x: Num) -> Num:
    n, r, low = reduce(x)
    s, c = sin_near(r, low), cos_near(r, low)
    even = (n & 1).equals(0)
    y = select(even, s, -c) / select(even, c, s)
    y = select(fabs(x) < 2.0 ** -(x.width.mantissa // 2 + 2), x, y)
    return anywhere("tan", x, y)


def asin(x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    a = fabs(x)
    big = a > 0.5
    z = select(big, mad(a, -0.5, 0.5), a * a)
    s = select(big, sqrt(z), a)
    t = s * z * poly(z, C.ASIN[x.width.bits])
    return copysign(select(big, (first - 2.0 * s) + (second - 2.0 * t), s + t), x)


def acos(x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    a = fabs(x)
    big = a > 0.5
    z = select(big, mad(a, -0.5, 0.5), a * a)
    s = select(big, sqrt(z), x)
    t = s * z * poly(z, C.ASIN[x.width.bits])
    y = 2.0 * (s + t)
    ends = select(x < 0.0, 2.0 * first - (y - 2.0 * second), y)
    return select(big, ends, first - (s - (second - t)))


def atan_near(t: Num) -> Num:
    """atan(t) where -1 <= t <= 1."""
    z = t * t
    return mad(t * z, poly(z, C.ATAN[t.width.bits]), t)


def atan(x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    a = fabs(x)
    big = a > 1.0
    y = atan_near(select(big, x.const(-1.0), a) / select(big, a, 1.0))
    return copysign(select(big, first + (y + second), y), x)


def atan2(y: Num, x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    ax, ay = fabs(x), fabs(y)
    steep = ay > ax
    small, big = select(steep, ax, ay), select(steep, ay, ax)
    t = select(big.equals(0.0), small, select(small.equals(big), 1.0, small / big))
    p = atan_near(t)
    p = select(steep, first - (p - second), p)
    p = select(x.bits() < 0, 2.0 * first - (p - 2.0 * second), p)
    return copysign(p, y)


def hypot(x: Num, y: Num) -> Num:
    ax, ay = fabs(x), fabs(y)
    infinite = ax.equals(INF) | ay.equals(INF)
    if x.width is F32:
        wide, other = ax.to(F64), ay.to(F64)
        return select(infinite, x.const(INF), sqrt(mad(wide, wide, other * other)).to(F32))
    swap = ax > ay
    big, small = select(swap, ax, ay), select(swap, ay, ax)
    scale = select(
        big > 2.0**500, x.const(2.0**-600), select(big < 2.0**-450, x.const(2.0**600), 1.0)
    )
    back = select(
        big > 2.0**500, x.const(2.0**600), select(big < 2.0**-450, x.const(2.0**-600), 1.0)
    )
    big, small = big * scale, small * scale
    return select(infinite, x.const(INF), sqrt(mad(big, big, small * small)) * back)


BODIES: dict[str, tuple[int, Callable[..., Num]]] = {
    "sin": (1, sin),
    "cos": (1, cos),
    "tan": (1, tan),
    "asin": (1, asin),
    "acos": (1, acos),
    "atan": (1, atan),
    "atan2": (2, atan2),
    "hypot": (2, hypot),
}
