"""Convolutions as layers."""

from __future__ import annotations

from typing import Any

from ..eager.creation import empty
from . import functional as F
from .layers import draw
from .module import Module, Parameter
from .windows import paddings, per_dim

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]


class _Conv(Module):
    rank = 2
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
        output_padding: Any = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name, n in (("in_channels", in_channels), ("out_channels", out_channels)):
            if n % groups:
                raise ValueError(
                    f"{name} must be divisible by groups\n  but {n} % {groups} is not 0"
                )
        modes = ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(
                f"padding_mode must be one of {list(modes)}, but got padding_mode={padding_mode!r}"
            )
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(
                f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
            )
        if padding == "same" and any(n != 1 for n in per_dim("stride", stride, self.rank)):
            raise ValueError("padding='same' is not supported for strided convolutions")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = per_dim("kernel_size", kernel_size, self.rank)
        self.stride = per_dim("stride", stride, self.rank)
        self.padding = (
            padding if isinstance(padding, str) else per_dim("padding", padding, self.rank)
        )
        self.dilation = per_dim("dilation", dilation, self.rank)
        self.output_padding = per_dim("output_padding", output_padding, self.rank)
        self.groups, self.padding_mode = groups, padding_mode
        ends = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (ends[0], ends[1] // groups, *self.kernel_size)
        self.weight = Parameter(empty(*shape, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        draw(self)

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"conv{self.rank}d")
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            pairs = [n for pair in reversed(self._around()) for n in pair]
            input, padding = F.pad(input, pairs, self.padding_mode), 0
        return run(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _around(self) -> tuple[tuple[int, int], ...]:
        """What is added before and after each dim of the space."""
        sizes = self.kernel_size, self.stride, self.dilation
        return paddings(type(self).__name__, self.padding, *sizes)

    def extra_repr(self) -> str:
        words = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        words.append(f"stride={self.stride}")
        if isinstance(self.padding, str) or set(self.padding) != {0}:
            words.append(f"padding={self.padding}")
        if set(self.dilation) != {1}:
            words.append(f"dilation={self.dilation}")
        if set(self.output_padding) != {0}:
            words.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            words.append(f"groups={self.groups}")
        if self.bias is None:
            words.append("bias=False")
        if self.padding_mode != "zeros":
            words.append(f"padding_mode={self.padding_mode}")
        return ", ".join(words)


class Conv1d(_Conv):
    """`conv1d` with weights of its own."""

    rank = 1


class Conv2d(_Conv):
    """`conv2d` with weights of its own."""


class Conv3d(_Conv):
    """`conv3d` with weights of its own."""

    rank = 3


class _ConvTranspose(_Conv):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, output_padding: Any = 0, groups: int = 1, bias: bool = True,
        dilation: Any = 1, padding_mode: str = "zeros", device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            dtype=dtype, output_padding=output_padding,
        )  # fmt: skip

    def forward(self, input: Any, output_size: Any = None) -> Any:
        run = getattr(F, f"conv_transpose{self.rank}d")
        more = self.output_padding if output_size is None else self._more(input, output_size)
        return run(
            input, self.weight, self.bias, self.stride, self.padding, more, self.groups,
            self.dilation,
        )  # fmt: skip

    def _more(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """The output padding that leads to a size."""
        wanted = tuple(map(int, output_size))[-self.rank :]
        settings: Any = (self.stride, self.padding, self.dilation, self.kernel_size)
        parts = zip(tuple(input.shape)[-self.rank :], *settings, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in parts]
        found = tuple(w - m for w, m in zip(wanted, least, strict=True))
        if any(not 0 <= m < s for m, s in zip(found, self.stride, strict=True)):
            most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
            raise ValueError(
                f"requested an output size of {list(wanted)}, but valid sizes range from {least} "
                f"to {most} (for an input of {list(input.shape)})"
            )
        return found


class ConvTranspose1d(_ConvTranspose):
    """`conv_transpose1d` with weights of its own."""

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """`conv_transpose2d` with weights of its own."""


class ConvTranspose3d(_ConvTranspose):
    """`conv_transpose3d` with weights of its own."""

    rank = 3
