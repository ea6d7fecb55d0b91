"""Normalisation over a batch, a layer or groups of channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..eager.modes import no_grad
from ..eager.reductions import root
from ..eager.tensor_object import Tensor, later
from .lift import lifted, same_dtype, shape_of, tracing

EPS = 1e-5


def _along_channels(v: Any, ndim: int) -> Any:
    return v.reshape((1, -1, *(1,) * (ndim - 2)))


def _scaled(x: Any, w: Any, b: Any) -> Any:
    if w is not None:
        x = x * w
    return x if b is None else x + b


def _standardised(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    centred = x - np.mean(x, axis=axes, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=axes, keepdims=True) + eps)


def _axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


@lifted("NativeBatchNormBackward0")
def _batch_norm(x: Any, w: Any, b: Any, *, eps: float) -> Any:
    w, b = (None if v is None else _along_channels(v, x.ndim) for v in (w, b))
    return _scaled(_standardised(x, _axes(x), eps), w, b)


@lifted("NativeBatchNormBackward0")
def _fixed_norm(x: Any, mean: Any, var: Any, w: Any, b: Any, *, eps: float) -> Any:
    mean, var = _along_channels(mean, x.ndim), _along_channels(var, x.ndim)
    w, b = (None if v is None else _along_channels(v, x.ndim) for v in (w, b))
    return _scaled((x - mean) / np.sqrt(var + eps), w, b)


@lifted("RunningStatistics")
def _moved(x: Any, mean: Any, var: Any, *, momentum: float) -> Any:
    axes = _axes(x)
    count = math.prod(x.shape[a] for a in axes)
    now = np.mean(x, axis=axes, keepdims=True)
    centred = x - now
    spread = np.mean(centred * centred, axis=axes) * (count / max(count - 1, 1))
    keep = 1.0 - momentum
    now = now.reshape(-1)
    return keep * mean + momentum * now, keep * var + momentum * spread


def running_statistics(
    input: Any, running_mean: Any, running_var: Any, momentum: float = 0.1
) -> tuple[Any, Any]:
    """What the running mean and variance are after this batch (the variance is unbiased)."""
    with no_grad():
        return _moved(input, running_mean, running_var, momentum=float(momentum))


def batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = EPS,
) -> Any:  # fmt: skip
    """Each channel (dim 1) less its mean, over its standard deviation.

    In training these are of the batch, and the running statistics are moved in place; inside a
    traced function, where nothing is written in place, ask `running_statistics` for them.
    """
    _check_channels("batch_norm", input, running_mean, running_var, weight, bias)
    if not training and running_mean is not None:
        return _fixed_norm(input, running_mean, running_var, weight, bias, eps=float(eps))
    s = shape_of(input)
    if math.prod(s) == s[1]:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"torch.Size({list(s)})"
        )
    if training and running_mean is not None:
        write_statistics(input, running_mean, running_var, momentum)
    return _batch_norm(input, weight, bias, eps=float(eps))


def write_statistics(
    input: Any, mean: Any, var: Any, momentum: float, moved: Any = running_statistics
) -> None:
    """Move running statistics in place; of Tensors, when something next is computed."""
    if tracing(mean, var):
        raise TypeError(
            "batch_norm: running statistics cannot be written inside a traced function; pass "
            "running_mean=None, and return running_statistics(input, mean, var)"
        )
    if tracing(input):
        return
    new = moved(input, mean, var, momentum)
    for old, value in zip((mean, var), new, strict=True):
        if isinstance(old, Tensor):
            later(old, value)
        else:
            np.copyto(old, value._value() if isinstance(value, Tensor) else value)


_PER_CHANNEL = ("running_mean", "running_var", "weight", "bias")


def _check_channels(name: str, input: Any, *per_channel: Any) -> None:
    s = shape_of(input)
    if len(s) < 2:
        raise ValueError(f"{name}: expected at least 2 dims, got input of shape {s}")
    for k, v in zip(_PER_CHANNEL[-len(per_channel) :], per_channel, strict=True):
        if v is not None and shape_of(v) != (s[1],):
            words = f"{k} should contain {s[1]} elements not {math.prod(shape_of(v))}"
            if name == "group_norm":
                words = (
                    f"Expected {k} to be a vector of size equal to the number of channels in "
                    f"input, but got {k} of shape {list(shape_of(v))} and input of shape {list(s)}"
                )
            raise RuntimeError(f"{words}\n  {name}: {k} of shape {shape_of(v)}, input of shape {s}")
    same_dtype(name, input, *per_channel)


@lifted("NativeLayerNormBackward0")
def _layer_norm(x: Any, w: Any, b: Any, *, dims: int, eps: float) -> Any:
    return _scaled(_standardised(x, tuple(range(x.ndim - dims, x.ndim)), eps), w, b)


def layer_norm(
    input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = EPS
) -> Any:
    """The last dims less their mean, over their standard deviation."""
    wanted = _normalized("layer_norm", input, normalized_shape, weight, bias)
    return _layer_norm(input, weight, bias, dims=len(wanted), eps=float(eps))


def _normalized(name: str, input: Any, shape: Any, *learned: Any) -> tuple[int, ...]:
    """The dims to normalise over; RuntimeError if input or weights do not have them."""
    wanted = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
    s = shape_of(input)
    if not wanted or s[-len(wanted) :] != wanted:
        raise RuntimeError(
            f"Given normalized_shape={list(wanted)}, expected input with shape "
            f"[*, {', '.join(map(str, wanted))}], but got input of size{list(s)}"
        )
    for v in learned:
        if v is not None and shape_of(v) != wanted:
            raise RuntimeError(
                f"{name}: weight or bias of shape {shape_of(v)} does not fit "
                f"normalized_shape={list(wanted)}"
            )
    same_dtype(name, input, *learned)
    return wanted


@lifted("NativeGroupNormBackward0")
def _group_norm(x: Any, w: Any, b: Any, *, groups: int, eps: float) -> Any:
    split = x.reshape((x.shape[0], groups, math.prod(x.shape[1:]) // groups))
    y = _standardised(split, (2,), eps).reshape(x.shape)
    w, b = (None if v is None else _along_channels(v, x.ndim) for v in (w, b))
    return _scaled(y, w, b)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = EPS
) -> Any:
    """Groups of channels, image by image, less their mean, over their standard deviation."""
    _check_channels("group_norm", input, weight, bias)
    s = shape_of(input)
    if s[1] % num_groups:
        raise ValueError(
            "Expected number of channels in input to be divisible by num_groups, but "
            f"got input of shape {list(s)} and num_groups={num_groups}"
        )
    return _group_norm(input, weight, bias, groups=int(num_groups), eps=float(eps))


@lifted("RunningStatistics")
def _moved_instances(x: Any, mean: Any, var: Any, *, momentum: float) -> Any:
    space = tuple(range(2, x.ndim))
    count = math.prod(x.shape[2:])
    now = np.mean(x, axis=space, keepdims=True)
    centred = x - now
    spread = np.mean(centred * centred, axis=space) * (count / max(count - 1, 1))
    keep = 1.0 - momentum
    now = np.mean(now, axis=0).reshape(-1)
    return keep * mean + momentum * now, keep * var + momentum * np.mean(spread, axis=0)


def instance_statistics(
    input: Any, running_mean: Any, running_var: Any, momentum: float = 0.1
) -> tuple[Any, Any]:
    """The running statistics after this batch, as means of those of its images."""
    with no_grad():
        return _moved_instances(input, running_mean, running_var, momentum=float(momentum))


def instance_norm(
    input: Any, running_mean: Any = None, running_var: Any = None, weight: Any = None,
    bias: Any = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = EPS,
) -> Any:  # fmt: skip
    """Each channel of each image less its mean, over its standard deviation."""
    s = shape_of(input)
    if not use_input_stats:
        if running_mean is None:
            raise RuntimeError("instance_norm: without running statistics use_input_stats is true")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(s[2:]) == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, got input size "
            f"torch.Size({list(s)})"
        )
    _check_channels("instance_norm", input, running_mean, running_var, weight, bias)
    if running_mean is not None:
        write_statistics(input, running_mean, running_var, momentum, instance_statistics)
    return _group_norm(input, weight, bias, groups=s[1], eps=float(eps))


@lifted("MulBackward0")
def _rms_norm(x: Any, w: Any, *, dims: int, eps: float) -> Any:
    axes = tuple(range(x.ndim - dims, x.ndim))
    y = x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + eps)
    return y if w is None else y * w


def rms_norm(
    input: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None
) -> Any:
    """The last dims over the root of the mean of their squares (plus eps: that of the dtype)."""
    wanted = _normalized("rms_norm", input, normalized_shape, weight)
    given = float(np.finfo(np.dtype(input.dtype)).eps if eps is None else eps)
    return _rms_norm(input, weight, dims=len(wanted), eps=given)


@lifted("DivBackward0")
def _local_response(x: Any, *, size: int, alpha: float, beta: float, k: float) -> Any:
    widths = [(0, 0), (size // 2, (size - 1) // 2), *[(0, 0)] * (x.ndim - 2)]
    squares, n = np.pad(x * x, widths), x.shape[1]
    total = squares[:, :n]
    for i in range(1, size):
        total = total + squares[:, i : i + n]
    return x / (k + alpha / size * total) ** beta


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """Each element over (k + alpha * mean of squares of `size` channels around)^beta."""
    s = shape_of(input)
    if len(s) < 3:
        raise ValueError(
            f"local_response_norm: expected 3D or higher dimensionality input (got {len(s)} dims)"
        )
    return _local_response(input, size=int(size), alpha=float(alpha), beta=float(beta), k=float(k))


@lifted("DivBackward0")
def _normalize(x: Any, *, p: float, dim: Any, eps: float) -> Any:
    if p == np.inf:
        return x / np.maximum(np.max(np.abs(x), axis=dim, keepdims=True), eps)
    total = np.sum(x * x if p == 2 else np.abs(x) ** p, axis=dim, keepdims=True)
    return x / np.maximum(root(total, p), eps)


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """Vectors along a dim over their p-norm."""
    axes = tuple(map(int, dim)) if isinstance(dim, tuple | list) else int(dim)
    return _normalize(input, p=float(p), dim=axes, eps=float(eps))
