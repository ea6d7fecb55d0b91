"""Pooling as layers."""

from __future__ import annotations

from typing import Any

from . import functional as F
from .module import Module
from .windows import per_dim

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]


class _MaxPool(Module):
    rank = 2

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"max_pool{self.rank}d")
        return run(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """`max_pool1d`."""

    rank = 1


class MaxPool2d(_MaxPool):
    """`max_pool2d`."""


class MaxPool3d(_MaxPool):
    """`max_pool3d`."""

    rank = 3


class _AvgPool(Module):
    rank = 2

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"avg_pool{self.rank}d")
        return run(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        sizes = [self.kernel_size, self.stride, self.padding]
        if self.rank == 1:
            sizes = [per_dim("pool", s, 1) for s in sizes]
        return "kernel_size={}, stride={}, padding={}".format(*sizes)


class AvgPool1d(_AvgPool):
    """`avg_pool1d`."""

    rank = 1


class AvgPool2d(_AvgPool):
    """`avg_pool2d`."""


class AvgPool3d(_AvgPool):
    """`avg_pool3d`."""

    rank = 3


class _LPPool(Module):
    rank = 2

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"lp_pool{self.rank}d")
        return run(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """`lp_pool1d`."""

    rank = 1


class LPPool2d(_LPPool):
    """`lp_pool2d`."""


class LPPool3d(_LPPool):
    """`lp_pool3d`."""

    rank = 3


class _MaxUnpool(Module):
    rank = 2

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = per_dim("kernel_size", kernel_size, self.rank)
        self.stride = self.kernel_size if stride is None else per_dim("stride", stride, self.rank)
        self.padding = per_dim("padding", padding, self.rank)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        run = getattr(F, f"max_unpool{self.rank}d")
        return run(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """`max_unpool1d`."""

    rank = 1


class MaxUnpool2d(_MaxUnpool):
    """`max_unpool2d`."""


class MaxUnpool3d(_MaxUnpool):
    """`max_unpool3d`."""

    rank = 3


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return getattr(F, f"adaptive_avg_pool{type(self).__name__[-2]}d")(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"adaptive_max_pool{type(self).__name__[-2]}d")
        return run(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_Adaptive):
    """`adaptive_avg_pool1d`."""


class AdaptiveAvgPool2d(_Adaptive):
    """`adaptive_avg_pool2d`."""


class AdaptiveAvgPool3d(_Adaptive):
    """`adaptive_avg_pool3d`."""


class AdaptiveMaxPool1d(_AdaptiveMax):
    """`adaptive_max_pool1d`."""


class AdaptiveMaxPool2d(_AdaptiveMax):
    """`adaptive_max_pool2d`."""


class AdaptiveMaxPool3d(_AdaptiveMax):
    """`adaptive_max_pool3d`."""
