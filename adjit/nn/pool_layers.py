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


class _OfRank(Module):
    """A layer of a function of `functional` that is there for one, two and three dims."""

    function: str
    rank: int

    def __init_subclass__(cls, rank: int = 0) -> None:
        super().__init_subclass__()
        if rank:
            cls.rank = rank

    @property
    def _pool(self) -> Any:
        return getattr(F, f"{self.function}{self.rank}d")


class _MaxPool(_OfRank):
    function = "max_pool"

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        return_indices: bool = False, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        return self._pool(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool, rank=1):
    """`max_pool1d`."""


class MaxPool2d(_MaxPool, rank=2):
    """`max_pool2d`."""


class MaxPool3d(_MaxPool, rank=3):
    """`max_pool3d`."""


class _AvgPool(_OfRank):
    function = "avg_pool"

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        return self._pool(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        sizes = [self.kernel_size, self.stride, self.padding]
        if self.rank == 1:
            sizes = [per_dim("pool", s, 1) for s in sizes]
        return "kernel_size={}, stride={}, padding={}".format(*sizes)


class AvgPool1d(_AvgPool, rank=1):
    """`avg_pool1d`."""


class AvgPool2d(_AvgPool, rank=2):
    """`avg_pool2d`."""


class AvgPool3d(_AvgPool, rank=3):
    """`avg_pool3d`."""


class _LPPool(_OfRank):
    function = "lp_pool"

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Any) -> Any:
        return self._pool(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool, rank=1):
    """`lp_pool1d`."""


class LPPool2d(_LPPool, rank=2):
    """`lp_pool2d`."""


class LPPool3d(_LPPool, rank=3):
    """`lp_pool3d`."""


class _MaxUnpool(_OfRank):
    function = "max_unpool"

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        self.kernel_size = per_dim("kernel_size", kernel_size, self.rank)
        self.stride = self.kernel_size if stride is None else per_dim("stride", stride, self.rank)
        self.padding = per_dim("padding", padding, self.rank)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return self._pool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool, rank=1):
    """`max_unpool1d`."""


class MaxUnpool2d(_MaxUnpool, rank=2):
    """`max_unpool2d`."""


class MaxUnpool3d(_MaxUnpool, rank=3):
    """`max_unpool3d`."""


class _Adaptive(_OfRank):
    function = "adaptive_avg_pool"

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return self._pool(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveMax(_Adaptive):
    function = "adaptive_max_pool"

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        return self._pool(input, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_Adaptive, rank=1):
    """`adaptive_avg_pool1d`."""


class AdaptiveAvgPool2d(_Adaptive, rank=2):
    """`adaptive_avg_pool2d`."""


class AdaptiveAvgPool3d(_Adaptive, rank=3):
    """`adaptive_avg_pool3d`."""


class AdaptiveMaxPool1d(_AdaptiveMax, rank=1):
    """`adaptive_max_pool1d`."""


class AdaptiveMaxPool2d(_AdaptiveMax, rank=2):
    """`adaptive_max_pool2d`."""


class AdaptiveMaxPool3d(_AdaptiveMax, rank=3):
    """`adaptive_max_pool3d`."""
