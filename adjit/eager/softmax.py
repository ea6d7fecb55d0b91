"""Softmax and its logarithm on arrays, once for Tensors' methods, functions, losses and draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.ops.arithmetic import stop_gradient
from .rows import row


def top(x: Any, axis: Any) -> Any:
    """The maxima along axes, which a result is shifted by and does not depend on."""
    if 0 in x.shape:
        return np.sum(x, axis=axis, keepdims=True)
    return row(stop_gradient, np.max(x, axis=axis, keepdims=True))


def softmax(x: Any, axis: int) -> Any:
    """exp(x) over its sum along an axis."""
    e = np.exp(x - top(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: int) -> Any:
    """The logarithm of softmax."""
    s = x - top(x, axis)
    return s - np.log(np.sum(np.exp(s), axis=axis, keepdims=True))
