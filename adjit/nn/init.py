"""First values of parameters, written in place; draws are NumPy's, from `manual_seed` or given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..eager import creation
from ..eager.tensor_object import Tensor
from .module import overwrite


def _rng(generator: Any) -> np.random.Generator:
    found = creation._default if generator is None else generator
    rng: np.random.Generator = found.numpy if isinstance(found, creation.Generator) else found
    return rng


def _fill(tensor: Any, values: Any) -> Any:
    if isinstance(tensor, Tensor):
        overwrite(tensor, np.asarray(values).astype(np.dtype(tensor.dtype)))
    else:
        tensor[...] = values
    return tensor


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Even draws from [a, b)."""
    drawn = _rng(generator).random(tuple(tensor.shape), np.float32)
    return _fill(tensor, a + (b - a) * drawn)


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal draws."""
    drawn = _rng(generator).standard_normal(tuple(tensor.shape), np.float32)
    return _fill(tensor, mean + std * drawn)


def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
    generator: Any = None,
) -> Any:  # fmt: skip
    """Normal draws that lie in [a, b]."""
    rng = _rng(generator)
    out = rng.normal(mean, std, tuple(tensor.shape))
    while (outside := (out < a) | (out > b)).any():
        out[outside] = rng.normal(mean, std, int(outside.sum()))
    return _fill(tensor, out)


def constant_(tensor: Any, val: float) -> Any:
    """One number everywhere."""
    return _fill(tensor, val)


def ones_(tensor: Any) -> Any:
    """Ones."""
    return _fill(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """Zeros."""
    return _fill(tensor, 0.0)


def eye_(tensor: Any) -> Any:
    """Ones on the diagonal of a matrix."""
    if len(tensor.shape) != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    return _fill(tensor, np.eye(*tensor.shape))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps variances the same through a nonlinearity."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 0.75, "linear": 1.0, "sigmoid": 1.0}
    if nonlinearity not in gains and not nonlinearity.startswith("conv"):
        raise ValueError(f"Unsupported nonlinearity {nonlinearity}")
    return gains.get(nonlinearity, 1.0)


def fans(tensor: Any) -> tuple[int, int]:
    """How many inputs each result has, and how many results each input."""
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    size = math.prod(shape[2:])
    return shape[1] * size, shape[0] * size


_calculate_fan_in_and_fan_out = fans  # as PyTorch's users write it in layers of their own


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Even draws of variance 2 gain² / (fan in + fan out)."""
    bound = gain * math.sqrt(6.0 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal draws of variance 2 gain² / (fan in + fan out)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(fans(tensor))), generator)


def _fan(tensor: Any, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return fans(tensor)[mode == "fan_out"]


def kaiming_uniform_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:  # fmt: skip
    """Even draws of variance gain² / fan."""
    if 0 in tensor.shape:
        return tensor
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3.0 / _fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:  # fmt: skip
    """Normal draws of variance gain² / fan."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """A matrix (results, all else) of orthogonal rows or columns."""
    shape = tuple(tensor.shape)
    n, m = shape[0], math.prod(shape[1:])
    q, r = np.linalg.qr(_rng(generator).standard_normal((max(n, m), min(n, m))))
    q = q * np.sign(np.diag(r))
    return _fill(tensor, gain * (q.T if n < m else q).reshape(shape))


def dirac_(tensor: Any, groups: int = 1) -> Any:
    """Kernels of convolutions that hand on their channels as they are."""
    shape = tuple(tensor.shape)
    if len(shape) not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if shape[0] % groups:
        raise ValueError("dim 0 must be divisible by groups")
    values = np.zeros(shape)
    each = shape[0] // groups
    middle = tuple(n // 2 for n in shape[2:])
    for g in range(groups):
        for d in range(min(each, shape[1])):
            values[(g * each + d, d, *middle)] = 1.0
    return _fill(tensor, values)


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal draws, with this share of zeros in each column."""
    if len(tensor.shape) != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rng = _rng(generator)
    values = rng.normal(0.0, std, tuple(tensor.shape))
    zeros = math.ceil(sparsity * values.shape[0])
    for column in values.T:
        column[rng.permutation(len(column))[:zeros]] = 0.0
    return _fill(tensor, values)
