"""Weights of a direction and a length, and weights over their spectral norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.draws import randn
from ..eager.tensor_object import Tensor, held
from .lift import lifted
from .module import Module
from .parameter import overwrite
from .parametrize import register_parametrization
from .utils import _weight_norm


class _WeightNorm(Module):
    """v times g over the norm of v."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: Any, v: Any) -> Any:
        return _weight_norm(v, g, dim=None if self.dim is None else self.dim % len(v.shape))

    def right_inverse(self, weight: Any) -> Any:
        """Lengths and directions of a weight."""
        array = weight._value()
        kept = None if self.dim is None else self.dim % array.ndim
        axes = tuple(k for k in range(array.ndim) if k != kept)
        return held(np.sqrt((array * array).sum(axis=axes, keepdims=kept is not None))), weight


@lifted("DivBackward0")
def _over_sigma(w: Any, u: Any, v: Any, *, dim: int) -> Any:
    """A weight over its largest singular value, whose vectors are u and v."""
    matrix = np.moveaxis(w, dim, 0).reshape(w.shape[dim], -1)
    return w / np.sum(u * (matrix @ v))


def _iterated(
    w: np.ndarray, u: np.ndarray, v: np.ndarray, dim: int, times: int, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of the largest singular value after some rounds of the power method."""
    matrix = np.moveaxis(w, dim, 0).reshape(w.shape[dim], -1)
    for _ in range(times):
        u = _unit(matrix @ v, eps)
        v = _unit(matrix.T @ u, eps)
    return u, v


def _unit(x: np.ndarray, eps: float) -> np.ndarray:
    found: np.ndarray = x / max(float(np.linalg.norm(x)), eps)
    return found


def started(w: np.ndarray, dim: int, eps: float, times: int = 15) -> tuple[Tensor, Tensor]:
    """Vectors to begin with, drawn and then iterated."""
    n = w.shape[dim]
    u, v = (_unit(randn(k).numpy().astype(w.dtype), eps) for k in (n, w.size // n))
    u, v = _iterated(w, u, v, dim, times, eps)
    return held(u), held(v)


def normalised(w: Any, u: Any, v: Any, dim: int, times: int, eps: float) -> Any:
    """A weight over its largest singular value; rounds of the power method are written to u, v."""
    if times and isinstance(w, Tensor):
        found = _iterated(w._value(), u._value(), v._value(), dim, times, eps)
        for old, new in zip((u, v), found, strict=True):
            overwrite(old, new)
        u, v = held(found[0].copy()), held(found[1].copy())
    return _over_sigma(w, u, v, dim=dim)


def axis_of(module: Module, dim: int | None) -> int:
    """The axis of a weight that counts the results; of the transposed layers the second."""
    return int(type(module).__name__.startswith("ConvTranspose")) if dim is None else dim


class _SpectralNorm(Module):
    """The weight over its largest singular value, by the power method.

    Miyato et al., "Spectral normalization for generative adversarial networks", 2018.
    """

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        self.n_power_iterations, self.eps = n_power_iterations, eps
        self.dim = dim % weight.ndim
        u, v = started(weight._value(), self.dim, eps)
        self.register_buffer("_u", u)
        self.register_buffer("_v", v)

    def forward(self, weight: Any) -> Any:
        u, v = self._buffers["_u"], self._buffers["_v"]
        times = self.n_power_iterations if self.training else 0
        return normalised(weight, u, v, self.dim, times, self.eps)

    def right_inverse(self, value: Any) -> Any:
        """The value itself."""
        return value


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Make a weight of lengths (`original0`) and directions (`original1`)."""
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
    dim: int | None = None,
) -> Module:  # fmt: skip
    """Divide a weight by its largest singular value."""
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    made = _SpectralNorm(weight, n_power_iterations, axis_of(module, dim), eps)
    return register_parametrization(module, name, made)


__all__ = ["spectral_norm", "weight_norm"]
