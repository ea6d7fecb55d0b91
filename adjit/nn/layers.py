"""The layers: modules around the functions of `functional`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..creation import empty, zeros
from ..creation import ones as ones_tensor
from ..tensor_object import Tensor, held
from . import functional as F
from . import init
from .module import Module, Parameter
from .normalization import running_statistics
from .windows import per_dim


class Identity(Module):
    """The input."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """x @ weight.T + bias."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_features, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights."""
        _draw(self)

    def forward(self, input: Any) -> Any:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


def _draw(layer: Any) -> None:
    """Weights and bias, even within 1 / sqrt(fan in)."""
    init.kaiming_uniform_(layer.weight, a=math.sqrt(5))
    if layer.bias is not None:
        bound = 1 / math.sqrt(max(init.fans(layer.weight)[0], 1))
        init.uniform_(layer.bias, -bound, bound)


class Bilinear(Module):
    """x W y + bias."""

    def __init__(self, in1_features: int, in2_features: int, out_features: int, bias: bool = True):
        super().__init__()
        self.weight = Parameter(empty(out_features, in1_features, in2_features))
        self.register_parameter("bias", Parameter(empty(out_features)) if bias else None)
        bound = 1 / math.sqrt(in1_features)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return F.bilinear(input1, input2, self.weight, self.bias)


# ------------------------------------------------------------------ convolutions


class _Conv(Module):
    rank = 2
    transposed = False

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1,
        padding: Any = 0, dilation: Any = 1, groups: int = 1, bias: bool = True,
        padding_mode: str = "zeros", dtype: Any = None, output_padding: Any = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"in_channels {in_channels} and out_channels {out_channels} must be divisible "
                f"by groups {groups}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(f"padding_mode {padding_mode!r} is none of zeros, reflect, …")
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
        _draw(self)

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"conv{self.rank}d")
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            pairs = [n for p in reversed(padding) for n in (p, p)]
            input, padding = F.pad(input, pairs, self.padding_mode), 0
        return run(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

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
        dilation: Any = 1,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            output_padding=output_padding,
        )  # fmt: skip

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"conv_transpose{self.rank}d")
        return run(
            input, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip


class ConvTranspose1d(_ConvTranspose):
    """`conv_transpose1d` with weights of its own."""

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    """`conv_transpose2d` with weights of its own."""


# ------------------------------------------------------------------ pooling


class _MaxPool(Module):
    rank = 2

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"max_pool{self.rank}d")
        return run(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode
        )

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


class _AvgPool(Module):
    rank = 2

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Any) -> Any:
        run = getattr(F, f"avg_pool{self.rank}d")
        return run(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad,
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


class _Adaptive(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        name = type(self).__name__
        kind = "avg" if "Avg" in name else "max"
        return getattr(F, f"adaptive_{kind}_pool{name[-2]}d")(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """`adaptive_avg_pool1d`."""


class AdaptiveAvgPool2d(_Adaptive):
    """`adaptive_avg_pool2d`."""


class AdaptiveMaxPool1d(_Adaptive):
    """`adaptive_max_pool1d`."""


class AdaptiveMaxPool2d(_Adaptive):
    """`adaptive_max_pool2d`."""


# ------------------------------------------------------------------ normalisation


def _affine(layer: Module, shape: tuple[int, ...], weight: bool, bias: bool) -> None:
    """Weights of one and biases of zero, or none."""
    ones = np.ones(shape, np.float32)
    layer.register_parameter("weight", Parameter(ones) if weight else None)
    layer.register_parameter("bias", Parameter(np.zeros_like(ones)) if bias else None)


class _BatchNorm(Module):
    dims: tuple[int, ...] = (4,)

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1,
        affine: bool = True, track_running_stats: bool = True, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        _affine(self, (num_features,), affine, affine and bias)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features) if track else None)
        self.register_buffer("running_var", ones_tensor(num_features) if track else None)
        count = held(np.zeros((), np.int64))
        self.register_buffer("num_batches_tracked", count if track else None)

    def forward(self, input: Any) -> Any:
        if len(input.shape) not in self.dims:
            wanted = " or ".join(f"{d}D" for d in self.dims)
            raise ValueError(f"expected {wanted} input (got {len(input.shape)}D input)")
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

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """`batch_norm` of (batch, channels) or (batch, channels, length)."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`batch_norm` of (batch, channels, height, width)."""


class BatchNorm3d(_BatchNorm):
    """`batch_norm` of volumes."""

    dims = (5,)


class LayerNorm(Module):
    """`layer_norm` over the last dims."""

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        given = normalized_shape
        self.normalized_shape = (given,) if isinstance(given, int) else tuple(given)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        wanted = elementwise_affine and bias
        _affine(self, self.normalized_shape, elementwise_affine, wanted)

    def forward(self, input: Any) -> Any:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(Module):
    """`group_norm`."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_channels % num_groups:
            raise ValueError("num_channels must be divisible by num_groups")
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.affine = affine
        _affine(self, (num_channels,), affine, affine and bias)

    def forward(self, input: Any) -> Any:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


# ------------------------------------------------------------------ shapes, dropout, embeddings


class Flatten(Module):
    """Several dims as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        s = tuple(input.shape)
        lo, hi = self.start_dim % len(s), self.end_dim % len(s)
        return input.reshape((*s[:lo], math.prod(s[lo : hi + 1]), *s[hi + 1 :]))

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dim as several."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        s, at = tuple(input.shape), self.dim % len(input.shape)
        return input.reshape((*s[:at], *self.unflattened_size, *s[at + 1 :]))

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False, generator: Any = None) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace, self.generator = p, inplace, generator

    def forward(self, input: Any) -> Any:
        run = F.dropout if type(self) is Dropout else F.dropout2d
        return run(input, self.p, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """`dropout` while training."""


class Dropout2d(_Dropout):
    """`dropout2d` while training: whole channels."""


class Embedding(Module):
    """Rows of the weight by number."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(empty(num_embeddings, embedding_dim))
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight._own()[self.padding_idx] = 0.0

    def forward(self, input: Any) -> Any:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        words = f"{self.num_embeddings}, {self.embedding_dim}"
        return words if self.padding_idx is None else f"{words}, padding_idx={self.padding_idx}"


# ------------------------------------------------------------------ activations and losses


class _Function(Module):
    """A function of `functional` with its settings, by name."""

    name = ""
    settings: tuple[tuple[str, Any], ...] = ()
    shown: tuple[str, ...] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        known = [*(k for k, _ in self.settings), "inplace"]
        given = dict(zip(known, args, strict=False)) | kwargs
        if len(args) > len(known) or not set(given) <= set(known):
            raise TypeError(f"{type(self).__name__}() takes {known}, not {args} and {kwargs}")
        self.inplace = bool(given.pop("inplace", False))
        for k, default in self.settings:
            setattr(self, k, given.get(k, default))

    def forward(self, *args: Any) -> Any:
        settings = {k: getattr(self, k) for k, _ in self.settings}
        return getattr(F, self.name)(*args, **settings)

    def extra_repr(self) -> str:
        names = [k for k, _ in self.settings] if self.shown is None else self.shown
        words = [f"{k}={getattr(self, k)!r}" for k in names]
        return ", ".join([*words, "inplace=True"] if self.inplace else words)


def _module(title: str, name: str, shown: Any = None, **settings: Any) -> Any:
    body = {"name": name, "settings": tuple(settings.items()), "shown": shown}
    doc = f"`{name}` as a layer."
    return type(title, (_Function,), {**body, "__doc__": doc, "__module__": __name__})


ReLU = _module("ReLU", "relu")
ReLU6 = _module("ReLU6", "relu6")
LeakyReLU = _module("LeakyReLU", "leaky_relu", negative_slope=0.01)
ELU = _module("ELU", "elu", alpha=1.0)
SELU = _module("SELU", "selu")
GELU = _module("GELU", "gelu", approximate="none")
SiLU = _module("SiLU", "silu")
Mish = _module("Mish", "mish")
Sigmoid = _module("Sigmoid", "sigmoid")
LogSigmoid = _module("LogSigmoid", "logsigmoid")
Tanh = _module("Tanh", "tanh")
Hardtanh = _module("Hardtanh", "hardtanh", min_val=-1.0, max_val=1.0)
Hardswish = _module("Hardswish", "hardswish")
Hardsigmoid = _module("Hardsigmoid", "hardsigmoid")
Softplus = _module("Softplus", "softplus", beta=1.0, threshold=20.0)
Softsign = _module("Softsign", "softsign")
Softmax = _module("Softmax", "softmax", dim=None)
LogSoftmax = _module("LogSoftmax", "log_softmax", dim=None)
GLU = _module("GLU", "glu", dim=-1)

MSELoss = _module("MSELoss", "mse_loss", (), reduction="mean")
L1Loss = _module("L1Loss", "l1_loss", (), reduction="mean")
SmoothL1Loss = _module("SmoothL1Loss", "smooth_l1_loss", (), reduction="mean", beta=1.0)
HuberLoss = _module("HuberLoss", "huber_loss", (), reduction="mean", delta=1.0)
BCELoss = _module("BCELoss", "binary_cross_entropy", (), weight=None, reduction="mean")
BCEWithLogitsLoss = _module(
    "BCEWithLogitsLoss", "binary_cross_entropy_with_logits", (),
    weight=None, reduction="mean", pos_weight=None,
)  # fmt: skip
NLLLoss = _module("NLLLoss", "nll_loss", (), weight=None, ignore_index=-100, reduction="mean")
KLDivLoss = _module("KLDivLoss", "kl_div", (), reduction="mean", log_target=False)
CrossEntropyLoss = _module(
    "CrossEntropyLoss", "cross_entropy", (),
    weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0,
)  # fmt: skip
