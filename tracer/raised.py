"""Errors that Python raises where NumPy answers inf or NaN, for code that waits for them.

`math.log(0.0)` and `1 / 0.0` raise errors; of traced numbers they are infinite, as in NumPy.  Where
a function that is being called handles such errors, the values are asked: decisions like any other.
Compiled code raises no FloatingPointError, whatever np.errstate asks for: there that is refused.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np

from . import intercept
from .errors import UnsupportedOp
from .intercept import DECLINE
from .place import OURS, USER, owner
from .record import fail

_LARGEST = float(np.log(np.finfo(float).max))


_OF_VALUES = frozenset(("ValueError",))
_OF_RANGES = frozenset(("OverflowError", "ArithmeticError"))
_OF_DIVISIONS = frozenset(("ZeroDivisionError", "ArithmeticError"))
_OF_FLOATS = frozenset(("FloatingPointError", "ArithmeticError"))


def handled(names: frozenset[str]) -> bool:
    """Whether a function of the user's that is being called names one of these errors."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not names.isdisjoint(code.co_names) and owner(code.co_filename) == USER:
            return True
        if code.co_name == "_run" and owner(code.co_filename) == OURS:
            return False  # what is traced begins here
        frame = frame.f_back
    return False


# What raises a ValueError in `math`, and what an OverflowError.
_OUTSIDE: dict[str, Any] = {
    "sqrt": lambda x: x < 0,
    "log": lambda x, *base: x <= 0,
    "log2": lambda x: x <= 0,
    "log10": lambda x: x <= 0,
    "log1p": lambda x: x <= -1,
    "asin": lambda x: abs(x) > 1,
    "acos": lambda x: abs(x) > 1,
    "acosh": lambda x: x < 1,
    "atanh": lambda x: abs(x) >= 1,
    "fmod": lambda x, y: y == 0,
    "gamma": lambda x: (x <= 0) & (np.floor(x) == x),
    "lgamma": lambda x: (x <= 0) & (np.floor(x) == x),
}
_BEYOND: dict[str, Any] = {
    "exp": lambda x: (x > _LARGEST) & np.isfinite(x),
    "expm1": lambda x: (x > _LARGEST) & np.isfinite(x),
    "sinh": lambda x: (abs(x) > _LARGEST + 0.6931471805599453) & np.isfinite(x),
    "cosh": lambda x: (abs(x) > _LARGEST + 0.6931471805599453) & np.isfinite(x),
}


def check_domain(name: str, args: Any) -> None:
    """Raise what a function of `math` raises, where the user's code handles that."""
    outside, beyond = _OUTSIDE.get(name), _BEYOND.get(name)
    if outside is not None and handled(_OF_VALUES) and bool(outside(*args)):
        raise ValueError("math domain error")
    if beyond is not None and handled(_OF_RANGES) and bool(beyond(*args)):
        raise OverflowError("math range error")


def check_divisor(b: Any) -> None:
    """Raise what a division of Python's numbers by zero raises, where that is handled."""
    if handled(_OF_DIVISIONS) and bool(b == 0):
        raise ZeroDivisionError("division by zero")


def _errstate(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if not (user and "raise" in (*args, *kwargs.values())):
        return DECLINE
    if not handled(_OF_FLOATS):
        return DECLINE
    raise fail(
        UnsupportedOp,
        "a FloatingPointError is waited for, which a compiled program does not raise",
        "Ask the values: if np.isfinite(y).all(), or np.where(x > 0, ..., ...).",
    )


def enter() -> None:
    """Fill the table of interception."""
    intercept.enter(np, "errstate", _errstate)
    intercept.enter(np, "seterr", _errstate)
