"""Polynomials by their coefficients, as np.poly* writes them: highest power first."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from .surface import FUNCTIONS, array, as_float, surface, value, values, wrap
from .surface_linalg import convolve

_shape = ops.shape


@surface(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """np.polyval by Horner's rule."""
    coefficients, v = value(p), wrap(value(x))
    y = v * 0
    for i in range(coefficients.shape[0]):
        y = y * v + wrap(_shape.squeeze(_shape.narrow(coefficients, 0, i, 1), (0,)))
    return y


@surface(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """np.vander: powers as running products."""
    v = value(x)
    n = v.shape[0] if N is None else operator.index(N)
    powers = [ops.shape.full(1, v.aval)]
    for _ in range(n - 1):
        powers.append(ops.mul(powers[-1], v))
    powers = powers[:n]
    return array(_shape.stack(powers if increasing else powers[::-1], 1))


@surface(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """np.polymul, leading zeros kept."""
    return convolve(*(FUNCTIONS[np.atleast_1d](wrap(v, "array")) for v in values(a1, a2)))


@surface(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """np.polyder."""
    x = wrap(value(p), "array")
    for _ in range(operator.index(m)):
        n = x.shape[0] - 1
        x = x[:-1] * np.arange(n, 0, -1)
    return x


@surface(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """np.polyint with one constant for all steps, or one per step."""
    x = wrap(as_float(value(p)), "array")
    m = operator.index(m)
    constants = wrap(_shape.broadcast_to(value(0.0 if k is None else k, "f64"), (m,)), "array")
    for i in range(m):
        head = x / np.arange(x.shape[0], 0, -1)
        x = FUNCTIONS[np.concatenate]((head, constants[i : i + 1]))
    return x
