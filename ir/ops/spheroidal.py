"""Rows of scipy.special for spheroidal wave functions, by the equation that they solve.

Prolate ones solve ((1 - x^2) y')' + (a - c^2 x^2 - m^2 / (1 - x^2)) y = 0 with a = pro_cv(m, n, c);
oblate ones that with -c^2, or (radial ones) with ix for x.  By orders and by c there is no closed
form, and asking for it is an error.
"""

from __future__ import annotations

from typing import Any

from ..prim import NoPartial, Prim
from .arithmetic import Term
from .orders import component
from .special import special

_ORDER = NoPartial("the orders of a spheroidal function are integers")
_C = NoPartial("spheroidal functions have no closed derivative by c")

pro_cv = special("pro_cv", lambda y, m, n, c: (_ORDER, _ORDER, _C), domain="order, count, positive")
obl_cv = special("obl_cv", lambda y, m, n, c: (_ORDER, _ORDER, _C), domain="order, count, positive")


def _prolate(m: Term, n: Term, c: Term, x: Term, y: Term, slope: Term) -> Term:
    rest = 1 - x * x
    return (2 * x * slope - (pro_cv(m, n, c) - c * c * x * x - m * m / rest) * y) / rest


def _oblate_angle(m: Term, n: Term, c: Term, x: Term, y: Term, slope: Term) -> Term:
    rest = 1 - x * x
    return (2 * x * slope - (obl_cv(m, n, c) + c * c * x * x - m * m / rest) * y) / rest


def _oblate_radius(m: Term, n: Term, c: Term, x: Term, y: Term, slope: Term) -> Term:
    rest = 1 + x * x
    return ((obl_cv(m, n, c) - c * c * x * x - m * m / rest) * y - 2 * x * slope) / rest


def _pair(name: str, second: Any, domain: str) -> tuple[Prim, Prim]:
    """The rows of a function and of its slope; `second` is the second derivative."""

    def value(y: Term, m: Term, n: Term, c: Term, x: Term) -> tuple[Any, ...]:
        return _ORDER, _ORDER, _C, slope_row(m, n, c, x)

    def slope(y: Term, m: Term, n: Term, c: Term, x: Term) -> tuple[Any, ...]:
        return _ORDER, _ORDER, _C, second(m, n, c, x, value_row(m, n, c, x), y)

    domain = f"order, count, positive, {domain}"
    value_row: Any = component(name, name, 0, value, domain)
    slope_row: Any = component(f"{name}p", name, 1, slope, domain)
    return value_row, slope_row


pro_ang1, pro_ang1p = _pair("pro_ang1", _prolate, "probability")
pro_rad1, pro_rad1p = _pair("pro_rad1", _prolate, "above 1")
pro_rad2, pro_rad2p = _pair("pro_rad2", _prolate, "above 1")
obl_ang1, obl_ang1p = _pair("obl_ang1", _oblate_angle, "probability")
obl_rad1, obl_rad1p = _pair("obl_rad1", _oblate_radius, "positive")
