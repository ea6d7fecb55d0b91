"""Rows of scipy.special for Mathieu's functions, which solve y'' = -(a - 2 q cos 2x) y.

The ordinary ones take degrees, the modified ones (cosh for cos, the other sign) do not.  By the
order and by q there is no closed form, and asking for it is an error.
"""

from __future__ import annotations

import math
from typing import Any

from ..prim import NoPartial, Prim
from .arithmetic import Term, cos, cosh
from .orders import component
from .special import special

_ORDER = NoPartial("the order of a Mathieu function is an integer")
_Q = NoPartial("Mathieu functions have no closed derivative by q")
_DEG = math.pi / 180

mathieu_a = special("mathieu_a", lambda y, m, q: (_ORDER, _Q), domain="count, positive")
mathieu_b = special("mathieu_b", lambda y, m, q: (_ORDER, _Q), domain="count, positive")


def _pair(name: str, level: Any, modified: bool) -> tuple[Prim, Prim]:
    """The rows of a function and of its slope; `level` is the characteristic value a."""

    def value(y: Term, m: Term, q: Term, x: Term) -> tuple[Any, ...]:
        return _ORDER, _Q, slope_row(m, q, x) * (1 if modified else _DEG)

    def slope(y: Term, m: Term, q: Term, x: Term) -> tuple[Any, ...]:
        at = value_row(m, q, x)
        if modified:
            return _ORDER, _Q, (level(m, q) - 2 * q * cosh(2 * x)) * at
        return _ORDER, _Q, -_DEG * (level(m, q) - 2 * q * cos(2 * _DEG * x)) * at

    domain = "count, positive, positive"
    value_row: Any = component(name, name, 0, value, domain)
    slope_row: Any = component(f"{name}p", name, 1, slope, domain)
    return value_row, slope_row


mathieu_cem, mathieu_cemp = _pair("mathieu_cem", mathieu_a, False)
mathieu_sem, mathieu_semp = _pair("mathieu_sem", mathieu_b, False)
mathieu_modcem1, mathieu_modcem1p = _pair("mathieu_modcem1", mathieu_a, True)
mathieu_modcem2, mathieu_modcem2p = _pair("mathieu_modcem2", mathieu_a, True)
mathieu_modsem1, mathieu_modsem1p = _pair("mathieu_modsem1", mathieu_b, True)
mathieu_modsem2, mathieu_modsem2p = _pair("mathieu_modsem2", mathieu_b, True)
