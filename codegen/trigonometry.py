"""The formulas of the vector maths: sines, tangents, their inverses, hypot."""

from __future__ import annotations

import math
from collections.abc import Callable

from . import coefficients as C
from .irmath import (
    F32,
    F64,
    Num,
    copysign,
    fabs,
    fast_two_sum,
    fma,
    mad,
    poly,
    select,
    sqrt,
    two_sum,
)
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


def sin_near(r: Num, low: Num) -> tuple[Num, Num]:
    """sin(r + low) in +-pi/4 as a large and a small summand."""
    z = r * r
    return r, mad(r * z, poly(z, C.SIN[r.width.bits]), low)


def cos_near(r: Num, low: Num) -> tuple[Num, Num]:
    """cos(r + low) in +-pi/4 as a large and a small summand."""
    z = r * r
    h = 0.5 * z
    y, rest = fast_two_sum(1.0, -h)
    return y, rest + mad(z * z, poly(z, C.COS[r.width.bits]), -(r * low))


def added(parts: tuple[Num, Num]) -> Num:
    """The rounded sum of a large and a small summand."""
    return parts[0] + parts[1]


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
    s, c = added(sin_near(r, low)), added(cos_near(r, low))
    y = flip(select((n & 1).equals(0), s, c), n)
    return anywhere("sin", x, select(fabs(x) < 2.0 ** -(x.width.mantissa // 2 + 1), x, y))


def cos(x: Num) -> Num:
    n, r, low = reduce(x)
    s, c = added(sin_near(r, low)), added(cos_near(r, low))
    return anywhere("cos", x, flip(select((n & 1).equals(0), c, s), n + 1))


def tan(x: Num) -> Num:
    """The quotient of sine and cosine or its negative inverse, corrected by both remainders."""
    n, r, low = reduce(x)
    s, s_low = fast_two_sum(*sin_near(r, low))
    c, c_low = fast_two_sum(*cos_near(r, low))
    even = (n & 1).equals(0)
    up, up_low = select(even, s, -c), select(even, s_low, -c_low)
    down, down_low = select(even, c, s), select(even, c_low, s_low)
    inverse = 1.0 / down
    y = up * inverse
    y = mad(fma(-y, down, up) + (up_low - y * down_low), inverse, y)
    return anywhere("tan", x, select(fabs(x) < 2.0 ** -(x.width.mantissa // 2 + 2), x, y))


def asin(x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    a = fabs(x)
    big = a > 0.5
    z = select(big, mad(a, -0.5, 0.5), a * a)
    s = select(big, sqrt(z), a)
    t = s * z * poly(z, C.ASIN[x.width.bits])
    y, rest = fast_two_sum(first, -2.0 * s)
    return copysign(select(big, y + (rest + (second - 2.0 * t)), s + t), x)


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


def atan_from(base: Num, low: Num, t: Num) -> Num:
    """base + low + atan(t) where -1 <= t <= 1 and base is 0 or larger than t."""
    z = t * t
    y, rest = fast_two_sum(base, t)
    return y + (rest + mad(t * z, poly(z, C.ATAN[t.width.bits]), low))


def atan(x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    a = fabs(x)
    big = a > 1.0
    t = select(big, x.const(-1.0), a) / select(big, a, 1.0)
    base, low = select(big, x.const(first), 0.0), select(big, x.const(second), 0.0)
    return copysign(atan_from(base, low, t), x)


def atan2(y: Num, x: Num) -> Num:
    first, second, _ = HALF_PI[x.width.bits]
    ax, ay = fabs(x), fabs(y)
    steep, left = ay > ax, x.bits() < 0
    small, big = select(steep, ax, ay), select(steep, ay, ax)
    t = select(big.equals(0.0), small, select(small.equals(big), 1.0, small / big))
    t = select(steep ^ left, -t, t)
    # pi/2 where y is larger, else pi or 0.
    turns = select(steep, x.const(1.0), select(left, x.const(2.0), 0.0))
    return copysign(atan_from(turns * first, turns * second, t), y)


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
