"""Functions of each element, and softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..eager import softmax as softmaxes
from ..eager.rows import row
from ..eager.saved import scalar_name
from ..eager.tensor_object import Tensor
from ..ir.ops import special
from .lift import lifted, over, shape_of


@lifted("ReluBackward0")
def _relu(x: Any) -> Any:
    return np.where(x <= 0, 0, x)


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0), with slope 0 at 0; `inplace` writes it into a Tensor, as everywhere here."""
    found = _relu(input)
    return over(input, found) if inplace else found


@lifted("LeakyReluBackward0")
def _leaky_relu(x: Any, *, slope: float) -> Any:
    return np.where(x > 0, x, slope * x)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where it is positive, else negative_slope * x."""
    found = _leaky_relu(input, slope=float(negative_slope))
    return over(input, found) if inplace else found


@lifted("EluBackward0")
def _elu(x: Any, *, alpha: float, scale: float) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    found = _elu(input, alpha=float(alpha), scale=1.0)
    return over(input, found) if inplace else found


def selu(input: Any, inplace: bool = False) -> Any:
    """Elu scaled so that mean 0 and variance 1 are kept."""
    found = _elu(
        input, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946
    )
    return over(input, found) if inplace else found


@lifted("GeluBackward0")
def _gelu(x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + row(special.erf, x * math.sqrt(0.5)))


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the probability that a standard normal number is below x."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _gelu(input, approximate=approximate)


@lifted("SiluBackward0")
def _silu(x: Any) -> Any:
    return x * row(special.expit, x)


def silu(input: Any, inplace: bool = False) -> Any:
    """x * sigmoid(x)."""
    found = _silu(input)
    return over(input, found) if inplace else found


@lifted("SigmoidBackward0")
def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return row(special.expit, input)


@lifted("TanhBackward0")
def tanh(input: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(input)


@lifted("LogSigmoidBackward0")
def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), without overflow."""
    return -np.logaddexp(0.0, -input)


@lifted("SoftplusBackward0")
def _softplus(x: Any, *, beta: float, threshold: float) -> Any:
    scaled = beta * x
    small = np.where(scaled > threshold, 0, scaled)
    return np.where(scaled > threshold, x, np.logaddexp(0.0, small) / beta)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta; x itself beyond the threshold."""
    return _softplus(input, beta=float(beta), threshold=float(threshold))


@lifted("MishBackward0")
def _mish(x: Any) -> Any:
    return x * np.tanh(np.logaddexp(0.0, x))


def mish(input: Any, inplace: bool = False) -> Any:
    """x * tanh(softplus(x))."""
    found = _mish(input)
    return over(input, found) if inplace else found


@lifted("HardtanhBackward0")
def _hardtanh(x: Any, *, low: float, high: float) -> Any:
    inside = np.where(x <= low, low, x)
    return np.where(x >= high, high, inside)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x cut off below and above."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    found = _hardtanh(input, low=float(min_val), high=float(max_val))
    return over(input, found) if inplace else found


def relu6(input: Any, inplace: bool = False) -> Any:
    """x cut off at 0 and 6."""
    found = _hardtanh(input, low=0.0, high=6.0)
    return over(input, found) if inplace else found


def _six(x: Any) -> Any:
    return np.where(x <= -3, 0, np.where(x >= 3, 1, (x + 3) / 6))


@lifted("HardsigmoidBackward0")
def _hardsigmoid(x: Any) -> Any:
    return _six(x)


@lifted("HardswishBackward0")
def _hardswish(x: Any) -> Any:
    return x * _six(x)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3) / 6."""
    found = _hardsigmoid(input)
    return over(input, found) if inplace else found


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * relu6(x + 3) / 6."""
    found = _hardswish(input)
    return over(input, found) if inplace else found


@lifted("DivBackward0")
def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return input / (1 + np.abs(input))


# ------------------------------------------------------------------ with a threshold


@lifted("PreluKernelBackward0")
def _prelu(x: Any, w: Any) -> Any:
    if w.size > 1:
        w = w.reshape(-1, *[1] * (len(x.shape) - 2))
    return np.where(x > 0, x, w * x)


def prelu(input: Any, weight: Any) -> Any:
    """x where it is positive, else weight * x: one weight, or one per channel (dim 1)."""
    s, w = shape_of(input), shape_of(weight)
    if len(w) > 1:
        raise RuntimeError(f"prelu: expected a scalar or 1D weight, but it has shape {w}")
    channels = s[1] if len(s) > 1 else 1
    if w not in ((), (1,), (channels,)):
        raise RuntimeError(
            f"prelu: mismatch of parameter numbers and input channel size: weight of shape {w} for "
            f"{channels} channels of input of shape {s}"
        )
    return _prelu(input, weight)


@lifted("ThresholdBackward0")
def _threshold(x: Any, *, at: float, value: float) -> Any:
    return np.where(x > at, x, np.asarray(value, x.dtype))


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x above the threshold, else the value."""
    found = _threshold(input, at=float(threshold), value=float(value))
    return over(input, found) if inplace else found


@lifted("HardshrinkBackward0")
def _hardshrink(x: Any, *, lambd: float) -> Any:
    return np.where(np.abs(x) > lambd, x, 0)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| is above lambd, else zero."""
    return _hardshrink(input, lambd=float(lambd))


@lifted("SoftshrinkBackward0")
def _softshrink(x: Any, *, lambd: float) -> Any:
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0))


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards zero by lambd, zero between."""
    return _softshrink(input, lambd=float(lambd))


@lifted("SubBackward0")
def tanhshrink(input: Any) -> Any:
    """x - tanh(x)."""
    return input - np.tanh(input)


@lifted("CeluBackward0")
def _celu(x: Any, *, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x) / alpha))


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where it is positive, else alpha * (exp(x / alpha) - 1)."""
    found = _celu(input, alpha=float(alpha))
    return over(input, found) if inplace else found


# ------------------------------------------------------------------ softmax


@lifted("SoftmaxBackward0")
def _softmax(x: Any, *, dim: int) -> Any:
    return softmaxes.softmax(x, dim)


@lifted("LogSoftmaxBackward0")
def _log_softmax(x: Any, *, dim: int) -> Any:
    return softmaxes.log_softmax(x, dim)


def _dim(name: str, input: Any, dim: int | None) -> int:
    ndim = len(shape_of(input))
    if dim is None:
        dim = 0 if ndim in (0, 1, 3) else 1
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], "
            f"but got {dim})\n  {name}: input of shape {shape_of(input)}"
        )
    return int(dim)


def softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """exp(x) as parts of their sum along a dim; in another dtype if one is given."""
    dim = _dim("softmax", input, dim)
    return _softmax(_floats("softmax", _cast(input, dtype)), dim=dim)


def softmin(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """softmax of -x."""
    return softmax(-input, dim, dtype=dtype)


def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None) -> Any:
    """The logarithm of softmax."""
    dim = _dim("log_softmax", input, dim)
    return _log_softmax(_floats("log_softmax", _cast(input, dtype)), dim=dim)


def _floats(name: str, x: Any) -> Any:
    """Refuse Tensors of whole numbers."""
    if isinstance(x, Tensor) and x.dtype.kind not in "fc":
        raise NotImplementedError(
            f'"{name}_lastdim_kernel_impl" not implemented for {scalar_name(x._dtype)!r}: convert '
            "by .float()"
        )
    return x


def _cast(x: Any, dtype: Any) -> Any:
    if dtype is None:
        return x
    return x.to(dtype) if isinstance(x, Tensor) else x.astype(dtype)


def glu(input: Any, dim: int = -1) -> Any:
    """The first half of a dim times the sigmoid of the second."""
    dim = _dim("glu", input, dim)
    if not shape_of(input):
        raise RuntimeError("glu does not support 0-dimensional tensors")
    n = shape_of(input)[dim]
    if n % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim % len(shape_of(input))} "
            f"is size {n}\n  glu: input of shape "
            f"{shape_of(input)} is size {n}"
        )
    at = dim % len(shape_of(input))
    half = (slice(None),) * at
    return input[(*half, slice(0, n // 2))] * sigmoid(input[(*half, slice(n // 2, n))])


# ------------------------------------------------------------------ in place


def _overwriting(fn: Any) -> Any:
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return fn(input, *args, **kwargs, inplace=True)

    call.__name__ = call.__qualname__ = f"{fn.__name__}_"
    call.__doc__ = f"`{fn.__name__}`, written into the Tensor."
    return call


relu_, elu_, selu_, celu_ = map(_overwriting, (relu, elu, selu, celu))
leaky_relu_, hardtanh_, threshold_ = map(_overwriting, (leaky_relu, hardtanh, threshold))
