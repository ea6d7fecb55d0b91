"""Comparisons with Python's integers that are beyond the numbers they are compared with.

NumPy answers these of integer arrays without looking at the elements; Python compares its floats
with integers of any size exactly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Const, Value
from ..ir.types import Aval
from .surface import filled, value
from .tracer import Tracer

_SWAPPED = {
    np.less: np.greater, np.less_equal: np.greater_equal, np.greater: np.less,
    np.greater_equal: np.less_equal, np.equal: np.equal, np.not_equal: np.not_equal,
}  # fmt: skip


def beyond(ufunc: np.ufunc, a: Any, b: Any, operator: bool) -> Value | None:
    """The comparison of a traced value with an int too large for its dtype; None for others.

    `operator` says whether a Python number is compared as Python does it.
    """
    if ufunc not in _SWAPPED:
        return None
    t, c, ufunc = (a, b, ufunc) if type(a) is Tracer else (b, a, _SWAPPED[ufunc])
    if type(c) is not int or type(t) is not Tracer:
        return None
    kind = t._value.aval.kind
    exact = kind == "f" and t._kind == "python" and operator
    equality = ufunc in (np.equal, np.not_equal)
    if kind in "iu" or (exact and equality):
        return filled(bool(ufunc(0, 1 if c > 0 else -1)), Aval("bool", t._value.aval.shape))
    if not exact:
        return None  # which NumPy refuses, too
    below = ufunc in (np.less, np.less_equal)
    rows = (ops.less, ops.greater_equal) if c > 0 else (ops.less_equal, ops.greater)
    return rows[not below](value(t), Const(math.inf if c > 0 else -math.inf, "f64"))
