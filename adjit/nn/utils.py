"""Gradients cut to size, parameters as one vector, and weights made of a direction and a length."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..eager.shapes import cat
from ..eager.tensor_object import Tensor, held
from . import packing as rnn
from .lift import lifted
from .module import Module, Parameter, overwrite


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


def _norm(arrays: Iterable[np.ndarray], norm_type: float) -> float:
    """The norm of all arrays as one vector."""
    if norm_type == math.inf:
        return max((float(np.abs(x).max(initial=0.0)) for x in arrays), default=0.0)
    if norm_type == 2:
        squares = (float(np.vdot(x, x)) for x in arrays)
        return math.sqrt(math.fsum(squares))
    return math.fsum(float((np.abs(x) ** norm_type).sum()) for x in arrays) ** (1 / norm_type)


def _finite(norm: float, norm_type: float, demanded: bool) -> None:
    if demanded and not math.isfinite(norm):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """The norm of all Tensors as one vector."""
    listed = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    arrays = [x._value() if isinstance(x, Tensor) else np.asarray(x) for x in listed]
    norm = _norm(arrays, float(norm_type))
    _finite(norm, norm_type, error_if_nonfinite)
    return held(np.asarray(norm, arrays[0].dtype if arrays else np.float32))


def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Any, foreach: Any = None
) -> None:
    """Scale the gradients as if their norm together were this."""
    _scale(_gradients(parameters), float(max_norm), float(total_norm))


def _scale(arrays: list[np.ndarray], max_norm: float, norm: float) -> None:
    factor = max_norm / (norm + 1e-6)
    if factor < 1 or math.isnan(factor):
        for x in arrays:
            x *= x.dtype.type(factor)


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Tensor:  # fmt: skip
    """Scale the gradients so that their norm together is at most max_norm; returns what it was."""
    arrays = _gradients(parameters)
    norm = _norm(arrays, float(norm_type))
    _finite(norm, norm_type, error_if_nonfinite)
    _scale(arrays, float(max_norm), norm)
    return held(np.asarray(norm, arrays[0].dtype if arrays else np.float32))


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Cut every element of the gradients off at ± clip_value."""
    for x in _gradients(parameters):
        np.clip(x, -clip_value, clip_value, out=x)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector into parameters; ValueError if it is shorter than they are."""
    if not isinstance(vec, Tensor | np.ndarray):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    array = vec._value() if isinstance(vec, Tensor) else vec
    listed = list(parameters)
    if array.size < sum(p.numel() for p in listed):
        raise ValueError(
            f"vector_to_parameters: a vector of {array.size} elements for parameters of "
            f"{sum(p.numel() for p in listed)}"
        )
    at = 0
    for p in listed:
        n = p.numel()
        overwrite(p, array[at : at + n].reshape(tuple(p.shape)))
        at += n


# ------------------------------------------------------------------ direction and length


@lifted("WeightNormInterfaceBackward0")
def _weight_norm(v: Any, g: Any, *, dim: int | None) -> Any:
    axes = tuple(k for k in range(v.ndim) if k != dim)
    return v * (g / np.sqrt(np.sum(v * v, axis=axes, keepdims=True)).reshape(g.shape))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a weight of a direction `weight_v` and lengths `weight_g` (along a dim, or one).

    Salimans and Kingma, "Weight normalization", 2016.
    """
    weight = module._parameters.get(name)
    if weight is None:
        raise AttributeError(f"{type(module).__name__} has no parameter {name!r}")
    array = weight._value()
    kept = None if dim is None else dim % array.ndim
    axes = tuple(k for k in range(array.ndim) if k != kept)
    length = np.sqrt((array * array).sum(axis=axes, keepdims=kept is not None))
    del module._parameters[name]
    module.register_parameter(f"{name}_g", Parameter(length))
    module.register_parameter(f"{name}_v", Parameter(array))

    def made(m: Any) -> Any:
        return _weight_norm(m._parameters[f"{name}_v"], m._parameters[f"{name}_g"], dim=kept)

    module._computed[name] = made
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """The weight as one parameter again."""
    if name not in module._computed:
        raise ValueError(f"weight_norm of '{name}' not found in {type(module).__name__}")
    weight = getattr(module, name).detach()
    del module._computed[name], module._parameters[f"{name}_g"], module._parameters[f"{name}_v"]
    module.register_parameter(name, Parameter(weight))
    return module


__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "remove_weight_norm",
    "rnn",
    "vector_to_parameters",
    "weight_norm",
]
