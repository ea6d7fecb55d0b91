"""Padding, resampling and rearranging as layers."""

from __future__ import annotations

from typing import Any

from . import functional as F
from .module import Module

__all__ = [
    "ChannelShuffle",
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Fold",
    "PixelShuffle",
    "PixelUnshuffle",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


# ------------------------------------------------------------------ padding


class _Pad(Module):
    """Elements around: the same number everywhere, or (left, right, top, bottom, …)."""

    rank = 2
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: Any) -> None:
        super().__init__()
        n = 2 * self.rank
        self.padding = (padding,) * n if isinstance(padding, int) else tuple(padding)
        if len(self.padding) != n:
            raise ValueError(f"{type(self).__name__}: {padding} is neither one number nor {n}")

    def forward(self, input: Any) -> Any:
        ndim = len(input.shape)
        if self.mode != "constant" and ndim not in (self.rank + 1, self.rank + 2):
            raise ValueError(
                f"{type(self).__name__}: expected {self.rank + 1}D or {self.rank + 2}D input (got "
                f"{ndim}D input of shape {tuple(input.shape)})"
            )
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ZeroPad1d(_Pad):
    """Zeros around signals."""

    rank = 1


class ZeroPad2d(_Pad):
    """Zeros around images."""


class ZeroPad3d(_Pad):
    """Zeros around volumes."""

    rank = 3


class ConstantPad1d(_ConstantPad):
    """One value around signals."""

    rank = 1


class ConstantPad2d(_ConstantPad):
    """One value around images."""


class ConstantPad3d(_ConstantPad):
    """One value around volumes."""

    rank = 3


class ReflectionPad1d(_Pad):
    """Signals go on as in a mirror."""

    rank = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    """Images go on as in a mirror."""

    mode = "reflect"


class ReflectionPad3d(_Pad):
    """Volumes go on as in a mirror."""

    rank = 3
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Signals go on with their ends."""

    rank = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    """Images go on with their edges."""

    mode = "replicate"


class ReplicationPad3d(_Pad):
    """Volumes go on with their faces."""

    rank = 3
    mode = "replicate"


class CircularPad1d(_Pad):
    """Signals go on from their other end."""

    rank = 1
    mode = "circular"


class CircularPad2d(_Pad):
    """Images go on from their other edge."""

    mode = "circular"


class CircularPad3d(_Pad):
    """Volumes go on from their other face."""

    rank = 3
    mode = "circular"


# ------------------------------------------------------------------ another size


class Upsample(Module):
    """`interpolate` to a size, or by a factor."""

    def __init__(
        self, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
        align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        many = isinstance(scale_factor, tuple | list)
        self.size = tuple(size) if isinstance(size, list) else size
        self.scale_factor = (
            tuple(map(float, scale_factor)) if many else scale_factor and float(scale_factor)
        )
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Any) -> Any:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners,
            self.recompute_scale_factor,
        )  # fmt: skip

    def extra_repr(self) -> str:
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`interpolate` of images by the nearest pixel."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor)


class UpsamplingBilinear2d(Upsample):
    """`interpolate` of images, corners on corners."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


# ------------------------------------------------------------------ another order


class Unfold(Module):
    """`unfold`: patches as columns."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Any) -> Any:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Unfold):
    """`fold`: columns as patches, added where they overlap."""

    def __init__(
        self, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
        stride: Any = 1,
    ) -> None:  # fmt: skip
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        settings = self.kernel_size, self.dilation, self.padding, self.stride
        return F.fold(input, self.output_size, *settings)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"


class PixelShuffle(Module):
    """`pixel_shuffle`."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """`pixel_unshuffle`."""

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Any:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """`channel_shuffle`."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Any) -> Any:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
