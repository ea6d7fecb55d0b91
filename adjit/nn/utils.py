"""Gradients cut to size, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..shapes import cat
from ..tensor_object import Tensor, held
from .module import overwrite


def _gradients(parameters: Any) -> list[np.ndarray]:
    listed = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    found = []
    for p in listed:
        if p.grad is not None:
            array = p.grad._own()
            assert p.grad._storage is not None
            p.grad._storage.touch()
            found.append(array)
    return found


def get_total_norm(arrays: Iterable[np.ndarray], norm_type: float = 2.0) -> float:
    """The norm of all arrays as one vector."""
    if norm_type == math.inf:
        return max((float(np.abs(x).max(initial=0.0)) for x in arrays), default=0.0)
    if norm_type == 2:
        squares = (float(np.vdot(x, x)) for x in arrays)
        return math.sqrt(math.fsum(squares))
    return math.fsum(float((np.abs(x) ** norm_type).sum()) for x in arrays) ** (1 / norm_type)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale the gradients so that their norm together is at most max_norm; returns what it was."""
    arrays = _gradients(parameters)
    norm = get_total_norm(arrays, float(norm_type))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped."
        )
    factor = max_norm / (norm + 1e-6)
    if factor < 1 or math.isnan(factor):
        for x in arrays:
            x *= x.dtype.type(factor)
    return held(np.asarray(norm, arrays[0].dtype if arrays else np.float32))


def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Cut every element of the gradients off at ± clip_value."""
    for x in _gradients(parameters):
        np.clip(x, -clip_value, clip_value, out=x)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector into parameters."""
    array = vec._value() if isinstance(vec, Tensor) else np.asarray(vec)
    at = 0
    for p in parameters:
        n = p.numel()
        overwrite(p, array[at : at + n].reshape(tuple(p.shape)))
        at += n


__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "get_total_norm", "parameters_to_vector",
    "vector_to_parameters",
]  # fmt: skip
