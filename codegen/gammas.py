"""The formulas of the gamma function's logarithm and its first two derivatives.

Small arguments are moved by the recurrence f(x + 1) = f(x) + ..., in one quotient of polynomials
whose terms have one sign; from 8 or 10 on Stirling's series has all digits; what is negative is
reflected at 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from . import coefficients as C
from .elementary import INF, NAN, log
from .irmath import Num, fabs, mad, poly, select

BERNOULLI = (
    *(Fraction(1, 6), Fraction(-1, 30), Fraction(1, 42), Fraction(-1, 30), Fraction(5, 66)),
    *(Fraction(-691, 2730), Fraction(7, 6), Fraction(-3617, 510), Fraction(43867, 798)),
)
SHIFT = 8  # how far small arguments are moved
FAR = 10.0  # from where on Stirling's series of the derivatives need no shift
# The root of digamma in two parts of the format's precision.
ROOT = {64: (1.4616321449683622, 9.549995429965697e-17), 32: (1.4616321325302124, 1.243815e-08)}


def _times(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The product of two polynomials, lowest power first."""
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def _rising() -> tuple[list[int], list[int], list[int]]:
    """P = x (x + 1) ... (x + 7), its slope, and P'^2 - P P'', which is P^2 times -(log P)''."""
    p = [1]
    for k in range(SHIFT):
        p = _times(p, [k, 1])
    first = [k * c for k, c in enumerate(p)][1:]
    second = [k * c for k, c in enumerate(first)][1:]
    square, other = _times(first, first), _times(p, second)
    return p, first, [a - b for a, b in zip(square, other, strict=True)]


RISING, SLOPE, CURVE = _rising()


def _series(scale: Callable[[int], Fraction]) -> list[float]:
    """Stirling's series in 1 / x^2: Bernoulli's numbers B_2k times a scale of k."""
    return [float(b * scale(k)) for k, b in enumerate(BERNOULLI, 1)]


DIGAMMA_SERIES = _series(lambda k: Fraction(1, 2 * k))
TRIGAMMA_SERIES = _series(lambda k: Fraction(1))
GAMMALN_SERIES = _series(lambda k: Fraction(1, 2 * k * (2 * k - 1)))


def _reflected(x: Num) -> tuple[Num, Num, Num]:
    """Whether an argument is negative, its mirror image if so, and its distance to an integer."""
    negative = x < 0.0
    return negative, select(negative, 1.0 - x, x), x - x.intrinsic("rint")


def digamma(x: Num) -> Num:
    bits = x.width.bits
    negative, y, r = _reflected(x)
    low, near, far = y < 1.0, y < 4.0, y >= FAR
    # Around the root: from 1 to 2, and by one or two steps of the recurrence from 0 to 4.
    high, third = near & (y > 2.0), near & (y >= 3.0)
    t = select(low, y + 1.0, select(third, y - 2.0, select(high, y - 1.0, y)))
    t = select(near, t, 1.5)
    root, rest = ROOT[bits]
    close = poly(t - 1.5, C.DIGAMMA[bits]) * ((t - root) - rest)
    m = select(near | far, 3.0, y)
    step = select(low, x.const(-1.0), select(third, t + (t + 1.0), select(high, x.const(1.0), 0.0)))
    above = select(near, step, -poly(m, SLOPE))
    below = select(near, select(low, y, select(third, t * (t + 1.0), t)), poly(m, RISING))
    moved = select(far, 0.0, above / below)
    s = select(far, y, m + float(SHIFT))
    w = 1.0 / s
    z = w * w
    series = log(s) - mad(z, poly(z, DIGAMMA_SERIES), 0.5 * w)
    value = select(near, close, series) + moved
    turn = 1.0 / r - r * poly(r * r, C.COT_PI[bits])
    value = select(negative, value - turn, value)
    value = select(negative & r.equals(0.0), x.const(NAN), value)
    return select(x.is_nan(), x, value)


def trigamma(x: Num) -> Num:
    bits = x.width.bits
    negative, y, r = _reflected(x)
    far = y >= FAR
    m = select(far, 1.0, y)
    p = poly(m, RISING)
    moved = select(far, 0.0, poly(m, CURVE) / (p * p))
    s = select(far, y, m + float(SHIFT))
    w = 1.0 / s
    z = w * w
    value = moved + mad(z, mad(w, poly(z, TRIGAMMA_SERIES), 0.5), w)
    square = r * r
    turn = 1.0 / square + poly(square, C.CSC_PI[bits])
    value = select(negative, turn - value, value)
    value = select(x.equals(-INF) | (negative & r.equals(0.0)), x.const(INF), value)
    return select(x.is_nan(), x, value)


def gammaln(x: Num) -> Num:
    bits = x.width.bits
    negative, y, r = _reflected(x)
    far, low = y >= 8.0, y < 1.0
    t = select(far, 2.0, y)
    product = x.const(1.0)
    for _ in range(5):
        above = t >= 3.0
        t = select(above, t - 1.0, t)
        product = select(above, product * t, product)
    size = log(select(far | low, y, product))
    a, b = select(low, y, t - 1.0), select(low, y - 1.0, t - 2.0)
    close = mad(a * b, poly(b, C.GAMMALN[bits]), select(low, -size, size))
    w = 1.0 / select(far, y, 8.0)
    constant = 0.5 * math.log(2 * math.pi) - 0.5
    series = mad(w, poly(w * w, GAMMALN_SERIES), constant)
    value = select(far, mad(y - 0.5, size - 1.0, series), close)
    square = r * r
    turn = log(fabs(r)) + square * poly(square, C.LOG_SINC[bits])
    value = select(negative, -(turn + value), value)
    value = select(negative & r.equals(0.0), x.const(INF), value)
    value = select(x.equals(-INF), x.const(-INF), value)
    return select(x.is_nan(), x, value)


BODIES: dict[str, tuple[int, Callable[..., Num]]] = {
    "digamma": (1, digamma),
    "trigamma": (1, trigamma),
    "gammaln": (1, gammaln),
}
