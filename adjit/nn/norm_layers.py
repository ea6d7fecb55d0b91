"""Normalisation as layers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..eager import promotion
from ..eager.creation import ones as ones_tensor
from ..eager.creation import zeros
from ..eager.tensor_object import Tensor, held
from . import functional as F
from . import init
from .module import Module, Parameter
from .normalization import instance_statistics, running_statistics
from .windows import batched

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


def _affine(
    layer: Module, shape: tuple[int, ...], weight: bool, bias: bool, dtype: Any = None
) -> None:
    """Weights of one and biases of zero, or none."""
    ones = np.ones(shape, promotion.default() if dtype is None else dtype)
    layer.register_parameter("weight", Parameter(ones) if weight else None)
    layer.register_parameter("bias", Parameter(np.zeros_like(ones)) if bias else None)


class _Statistics(Module):
    """Channels with weights, and with running statistics if they are tracked."""

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool,
        track_running_stats: bool, bias: bool, dtype: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        _affine(self, (num_features,), affine, affine and bias, dtype)
        for name, make in (("running_mean", zeros), ("running_var", ones_tensor)):
            found = make(num_features, dtype=dtype) if track_running_stats else None
            self.register_buffer(name, found)
        count = held(np.zeros((), np.int64))
        self.register_buffer("num_batches_tracked", count if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Zeros and ones again."""
        if self.track_running_stats:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """First values, of the statistics too."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Statistics):
    dims: tuple[int, ...] = (4,)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def forward(self, input: Any) -> Any:
        if len(input.shape) not in self.dims:
            wanted = " or ".join(f"{d}D" for d in self.dims)
            raise ValueError(
                f"expected {wanted} input (got {len(input.shape)}D input)\n  of shape "
                f"{tuple(input.shape)}"
            )
        mean, var = self._buffers["running_mean"], self._buffers["running_var"]
        batch = self.training or mean is None
        if batch and self.training and mean is not None:
            momentum = self._counted()
            if not isinstance(mean, Tensor):  # a module of arrays: what is new replaces what was
                moved = running_statistics(input, mean, var, momentum)
                self._buffers["running_mean"], self._buffers["running_var"] = moved
                mean = var = None
            return F.batch_norm(input, mean, var, self.weight, self.bias, True, momentum, self.eps)
        return F.batch_norm(input, mean, var, self.weight, self.bias, batch, 0.0, self.eps)

    def _counted(self) -> float:
        count = self.num_batches_tracked
        if isinstance(count, Tensor):
            array = count._own()
            array += 1
        if self.momentum is None:
            return 1.0 / float(count.item())
        return self.momentum


class BatchNorm1d(_BatchNorm):
    """`batch_norm` of (batch, channels) or (batch, channels, length)."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`batch_norm` of (batch, channels, height, width)."""


class BatchNorm3d(_BatchNorm):
    """`batch_norm` of volumes."""

    dims = (5,)


class _InstanceNorm(_Statistics):
    rank = 2

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, bias, dtype)

    def forward(self, input: Any) -> Any:
        s = tuple(input.shape)
        if len(s) not in (self.rank + 1, self.rank + 2):
            raise ValueError(
                f"expected {self.rank + 1}D or {self.rank + 2}D input (got {len(s)}D input)\n  of "
                f"shape {s}"
            )
        channels = s[-self.rank - 1]
        if channels != self.num_features:
            if self.affine or self.track_running_stats:
                raise ValueError(
                    f"expected input's size at dim={len(s) - self.rank - 1} to match num_features "
                    f"({self.num_features}), but got: {channels}."
                )
            warnings.warn(
                f"input's size at dim={len(s) - self.rank - 1} does not match num_features. Since "
                "affine=False, num_features is not used in the normalization process.",
                stacklevel=4,
            )
        return batched(input, self.rank, self._normed)

    def _normed(self, x: Any) -> Any:
        mean, var = self._buffers["running_mean"], self._buffers["running_var"]
        own = self.training or mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        if own and mean is not None and not isinstance(mean, Tensor):  # a module of arrays
            moved = instance_statistics(x, mean, var, momentum)
            self._buffers["running_mean"], self._buffers["running_var"] = moved
            mean = var = None
        return F.instance_norm(x, mean, var, self.weight, self.bias, own, momentum, self.eps)


class InstanceNorm1d(_InstanceNorm):
    """`instance_norm` of signals."""

    rank = 1


class InstanceNorm2d(_InstanceNorm):
    """`instance_norm` of images."""


class InstanceNorm3d(_InstanceNorm):
    """`instance_norm` of volumes."""

    rank = 3


class LayerNorm(Module):
    """`layer_norm` over the last dims."""

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        given = normalized_shape
        self.normalized_shape = (given,) if isinstance(given, int) else tuple(given)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        wanted = elementwise_affine and bias
        _affine(self, self.normalized_shape, elementwise_affine, wanted, dtype)

    def reset_parameters(self) -> None:
        """Ones and zeros again."""
        _reset(self)

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


def _reset(layer: Any) -> None:
    if layer.weight is not None:
        init.ones_(layer.weight)
    if getattr(layer, "bias", None) is not None:
        init.zeros_(layer.bias)


class RMSNorm(Module):
    """`rms_norm` over the last dims."""

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        given = normalized_shape
        self.normalized_shape = (given,) if isinstance(given, int) else tuple(given)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        ones = np.ones(self.normalized_shape, promotion.default() if dtype is None else dtype)
        self.register_parameter("weight", Parameter(ones) if elementwise_affine else None)

    def reset_parameters(self) -> None:
        """Ones again."""
        _reset(self)

    def forward(self, input: Any) -> Any:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class LocalResponseNorm(Module):
    """`local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Any) -> Any:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class GroupNorm(Module):
    """`group_norm`."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        _affine(self, (num_channels,), affine, affine and bias, dtype)

    def reset_parameters(self) -> None:
        """Ones and zeros again."""
        _reset(self)

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
