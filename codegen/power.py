"""The formula of pow: a logarithm in two parts, a product and an exponential."""

from __future__ import annotations

import math

from . import coefficients as C
from .elementary import LN2, exp_reduce, exp_tail, log_split, normal, scale
from .irmath import (
    F32,
    F64,
    Num,
    fabs,
    fast_two_sum,
    fma,
    mad,
    poly,
    select,
    two_product,
)

INF, NAN = math.inf, math.nan
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)


def log_two(x: Num) -> tuple[Num, Num]:
    """log(x) as a rounded value and the rest, about 2^-64 together, for x > 0.

    2 atanh(s) with s = f / (2 + f): the terms s and s^3 carry their errors along.
    """
    y, up = normal(x)
    e, f, _ = log_split(y, up)
    d = f + 2.0
    inverse = 1.0 / d
    s = f * inverse
    s_low = (fma(-s, d, f) - s * (f - (d - 2.0))) * inverse
    z, z_low = two_product(s, s)
    z_low = mad(s + s, s_low, z_low)
    a, a_low = fast_two_sum(TWO_THIRDS[0], z * poly(z, C.POW[64]))
    a_low = a_low + TWO_THIRDS[1]
    b, b_low = two_product(z, a)
    b_low = b_low + mad(z, a_low, z_low * a)
    c, c_low = fast_two_sum(2.0, b)
    c_low = c_low + b_low
    v, v_low = two_product(s, c)
    v_low = v_low + mad(s, c_low, s_low * c)
    high, low = LN2[64]
    t, t_low = two_product(e, high)
    result, rest = fast_two_sum(t, v)
    return result, rest + (mad(e, low, t_low) + v_low)


def pow_positive(x: Num, y: Num) -> Num:
    """x ** y for finite x > 0."""
    high, low = log_two(x)
    p, rest = two_product(y, high)
    rest = mad(y, low, rest)
    rest = select(fabs(p) < 800.0, rest, 0.0)
    p = select(p < -800.0, -800.0, p)
    n, r, last = exp_reduce(select(p > 800.0, 800.0, p))
    s = exp_tail(r)
    return scale(1.0 + mad(last + rest, 1.0 + s, s), n)


def pow_positive_32(x: Num, y: Num) -> Num:
    """x ** y for finite x > 0 of 32 bits, in 64 bits with short polynomials."""
    high, _low = LN2[64]
    e, f, _ = log_split(x.to(F64))
    s = f / (2.0 + f)
    z = s * s
    log = mad(e, high, mad(s, z * poly(z, C.POW_LOG[64]), s + s))
    p = y.to(F64) * log
    p = select(p < -200.0, -200.0, p)
    n, r, _ = exp_reduce(select(p > 200.0, 200.0, p))
    tail = mad(r * r, poly(r, C.POW_EXP[64]), r)
    return ((1.0 + tail) * ((n << 52) + F64.one).as_real()).to(F32)


def pow(x: Num, y: Num) -> Num:
    """x ** y with C's special values."""
    w = x.width
    a = fabs(x)
    core = pow_positive_32 if w is F32 else pow_positive
    # A bounded exponent keeps 1 ** inf from being 0 * inf.
    top = 2.0 ** (w.bias - 60)
    bounded = select(y > top, top, select(y < -top, -top, y))
    r = core(a, bounded)
    up = y > 0.0
    zero, infinite = a.equals(0.0), a.equals(INF)
    ends = select(zero ^ up, x.const(INF), 0.0)
    r = select(zero | infinite, ends, r)
    whole = y.intrinsic("rint").equals(y)
    half = 0.5 * y
    odd = whole & ~half.intrinsic("rint").equals(half)
    sign = select(odd, x.bits(), 0) & (1 << (w.bits - 1))
    r = (r.bits() | sign).as_real()
    r = select((x < 0.0) & ~whole & ~infinite, NAN, r)
    r = select(x.is_nan() | y.is_nan(), NAN, r)
    return select(x.equals(1.0) | y.equals(0.0), 1.0, r)


BODIES = {"pow": (2, pow)}
