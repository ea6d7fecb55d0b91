"""Rows of scipy.special about ellipses: incomplete integrals, Carlson's, Jacobi's functions."""

from __future__ import annotations

import math
from typing import Any

from ..prim import NoPartial
from .arithmetic import Term, abs_, cos, equal, less, select, sin, sqrt
from .orders import component
from .special import ellipk_slope, special

_NO_J = NoPartial("the derivatives of Carlson's R_J are not written yet")


def _powers(phi: Term) -> tuple[Term, Term, Term]:
    """The integrals of sin^2, sin^4 and sin^6 from 0."""
    s2, s4, s6 = sin(2 * phi), sin(4 * phi), sin(6 * phi)
    return (
        (2 * phi - s2) / 4,
        (12 * phi - 8 * s2 + s4) / 32,
        (60 * phi - 45 * s2 + 9 * s4 - s6) / 192,
    )


def _flat(m: Term) -> tuple[Term, Term]:
    """Whether m is so small that quotients by it cancel, and an m that does no harm there."""
    near = less(abs_(m), 3e-4)
    return near, select(near, 0.5, m)


def f_by_m(phi: Term, m: Term, f: Term) -> Term:
    """The derivative of the incomplete integral of the first kind by m."""
    near, far = _flat(m)
    s, e = sin(phi), ellipeinc(phi, far)
    delta = sqrt(1 - far * s * s)
    there = e / (2 * far * (1 - far)) - f / (2 * far) - s * cos(phi) / (2 * (1 - far) * delta)
    a, b, c = _powers(phi)
    return select(near, 0.5 * (a + m * (1.5 * b + 1.875 * m * c)), there)


def e_by_m(phi: Term, m: Term, e: Term) -> Term:
    """The derivative of the incomplete integral of the second kind by m."""
    near, far = _flat(m)
    a, b, c = _powers(phi)
    there = (e - ellipkinc(phi, far)) / (2 * far)
    return select(near, -0.5 * (a + m * (0.5 * b + 0.375 * m * c)), there)


def _delta(phi: Term, m: Term) -> Term:
    s = sin(phi)
    return sqrt(1 - m * s * s)


ellipkinc: Any = special(
    "ellipkinc",
    lambda y, phi, m: (1 / _delta(phi, m), f_by_m(phi, m, y)),
    domain="small, small",
)
ellipeinc: Any = special(
    "ellipeinc", lambda y, phi, m: (_delta(phi, m), e_by_m(phi, m, y)), domain="small, small"
)


def _ellipkm1_slope(y: Term, p: Term) -> Term:
    return -ellipk_slope(y, 1 - p)


ellipkm1 = special("ellipkm1", lambda y, p: (_ellipkm1_slope(y, p),), domain="probability")


def _agm_partials(y: Term, a: Term, b: Term) -> tuple[Any, ...]:
    """With agm = pi a / 2 K(1 - (b / a)^2)."""
    q = b / a
    m = 1 - q * q
    k = 0.5 * math.pi * a / y
    by_m = y / k * ellipk_slope(k, m)
    return y / a - 2 * by_m * q * q / a, 2 * by_m * q / a


agm = special("agm", _agm_partials, domain="positive", commutes=True)

# ------------------------------------------------------------------ Jacobi's functions


def _am_by_m(u: Term, m: Term, am: Term, dn: Term) -> Term:
    return -dn * f_by_m(am, m, u)


def _jacobi(u: Term, m: Term) -> tuple[Term, Term, Term, Term]:
    return sn(u, m), cn(u, m), dn(u, m), am(u, m)


def _sn_partials(y: Term, u: Term, m: Term) -> tuple[Any, ...]:
    _, c, d, a = _jacobi(u, m)
    return c * d, c * _am_by_m(u, m, a, d)


def _cn_partials(y: Term, u: Term, m: Term) -> tuple[Any, ...]:
    s, _, d, a = _jacobi(u, m)
    return -s * d, -s * _am_by_m(u, m, a, d)


def _dn_partials(y: Term, u: Term, m: Term) -> tuple[Any, ...]:
    s, c, _, a = _jacobi(u, m)
    return -m * s * c, -(0.5 * s * s + m * s * c * _am_by_m(u, m, a, y)) / y


def _am_partials(y: Term, u: Term, m: Term) -> tuple[Any, ...]:
    d = dn(u, m)
    return d, _am_by_m(u, m, y, d)


sn: Any = component("sn", "ellipj", 0, _sn_partials, "real, probability")
cn: Any = component("cn", "ellipj", 1, _cn_partials, "real, probability")
dn: Any = component("dn", "ellipj", 2, _dn_partials, "real, probability")
am: Any = component("am", "ellipj", 3, _am_partials, "real, probability")

# ------------------------------------------------------------------ Carlson's integrals


def _rd_slope(y: Term, p: Term, q: Term, r: Term) -> Term:
    """The derivative of R_D(p, q, r) by p, by partial fractions; its limit where p is r."""
    same, level = equal(p, r), equal(q, r)
    apart = (y - elliprd(q, r, p)) / (2 * select(same, 1, r - p))
    limit = (sqrt(q) / (r * r) - y) * -0.375 / select(level, 1, q - r)
    return select(same, select(level, -0.3 / (r * r * sqrt(r)), limit), apart)


def _rd_partials(y: Term, p: Term, q: Term, r: Term) -> tuple[Any, ...]:
    """The last one follows from homogeneity."""
    by_p, by_q = _rd_slope(y, p, q, r), _rd_slope(y, q, p, r)
    return by_p, by_q, (-1.5 * y - p * by_p - q * by_q) / r


def _rg_partials(y: Term, a: Term, b: Term, c: Term) -> tuple[Any, ...]:
    f = elliprf(a, b, c)
    return tuple(
        0.25 * f - r * elliprd(p, q, r) / 12 for p, q, r in ((b, c, a), (c, a, b), (a, b, c))
    )


elliprf: Any = special(
    "elliprf",
    lambda y, a, b, c: (
        elliprd(b, c, a) / -6,
        elliprd(c, a, b) / -6,
        elliprd(a, b, c) / -6,
    ),
    domain="positive",
)
elliprc = special(
    "elliprc",
    lambda y, x, z: (elliprd(z, z, x) / -6, elliprd(x, z, z) / -3),
    domain="positive",
)
elliprd: Any = special("elliprd", _rd_partials, domain="positive")
elliprg = special("elliprg", _rg_partials, domain="positive")
elliprj = special("elliprj", lambda y, a, b, c, p: (_NO_J,) * 4, domain="positive")
