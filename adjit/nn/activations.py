"""Functions of each element, and softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir.ops import special
from .lift import lifted, row, shape_of


@lifted("ReluBackward0")
def relu(input: Any) -> Any:
    """max(x, 0), with slope 0 at 0."""
    return np.where(input <= 0, 0, input)


@lifted("LeakyReluBackward0")
def _leaky_relu(x: Any, *, slope: float) -> Any:
    return np.where(x > 0, x, slope * x)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    """x where it is positive, else negative_slope * x."""
    return _leaky_relu(input, slope=float(negative_slope))


@lifted("EluBackward0")
def _elu(x: Any, *, alpha: float, scale: float) -> Any:
    return scale * np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x)))


def elu(input: Any, alpha: float = 1.0) -> Any:
    """x where it is positive, else alpha * (exp(x) - 1)."""
    return _elu(input, alpha=float(alpha), scale=1.0)


def selu(input: Any) -> Any:
    """Elu scaled so that mean 0 and variance 1 are kept."""
    return _elu(
        input, alpha=1.6732632423543772848170429916717, scale=1.0507009873554804934193349852946
    )


@lifted("GeluBackward0")
def _gelu(x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * (1 + row(special.erf, x * math.sqrt(0.5)))


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the probability that a standard normal number is below x."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return _gelu(input, approximate=approximate)


@lifted("SiluBackward0")
def silu(input: Any) -> Any:
    """x * sigmoid(x)."""
    return input * row(special.expit, input)


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
    small = np.minimum(scaled, threshold)
    return np.where(scaled > threshold, x, np.logaddexp(0.0, small) / beta)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta; x itself beyond the threshold."""
    return _softplus(input, beta=float(beta), threshold=float(threshold))


@lifted("MishBackward0")
def mish(input: Any) -> Any:
    """x * tanh(softplus(x))."""
    return input * np.tanh(np.logaddexp(0.0, input))


@lifted("HardtanhBackward0")
def _hardtanh(x: Any, *, low: float, high: float) -> Any:
    inside = np.where(x <= low, low, x)
    return np.where(x >= high, high, inside)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """x cut off below and above."""
    return _hardtanh(input, low=float(min_val), high=float(max_val))


def relu6(input: Any) -> Any:
    """x cut off at 0 and 6."""
    return _hardtanh(input, low=0.0, high=6.0)


def hardsigmoid(input: Any) -> Any:
    """relu6(x + 3) / 6."""
    return relu6(input + 3) / 6


def hardswish(input: Any) -> Any:
    """x * relu6(x + 3) / 6."""
    return input * relu6(input + 3) / 6


@lifted("DivBackward0")
def softsign(input: Any) -> Any:
    """x / (1 + |x|)."""
    return input / (1 + np.abs(input))


# ------------------------------------------------------------------ softmax


@lifted("SoftmaxBackward0")
def _softmax(x: Any, *, dim: int) -> Any:
    e = np.exp(x - np.max(x, axis=dim, keepdims=True))
    return e / np.sum(e, axis=dim, keepdims=True)


@lifted("LogSoftmaxBackward0")
def _log_softmax(x: Any, *, dim: int) -> Any:
    s = x - np.max(x, axis=dim, keepdims=True)
    return s - np.log(np.sum(np.exp(s), axis=dim, keepdims=True))


def _dim(name: str, input: Any, dim: int | None) -> int:
    ndim = len(shape_of(input))
    if dim is None:
        dim = 0 if ndim in (0, 1, 3) else 1
    if not -max(ndim, 1) <= dim < max(ndim, 1):
        raise IndexError(
            f"{name}: dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], "
            f"but got {dim})"
        )
    return int(dim)


def softmax(input: Any, dim: int | None = None) -> Any:
    """exp(x) as parts of their sum along a dim."""
    return _softmax(input, dim=_dim("softmax", input, dim))


def log_softmax(input: Any, dim: int | None = None) -> Any:
    """The logarithm of softmax."""
    return _log_softmax(input, dim=_dim("log_softmax", input, dim))


def glu(input: Any, dim: int = -1) -> Any:
    """The first half of a dim times the sigmoid of the second."""
    n = shape_of(input)[dim]
    if n % 2:
        raise RuntimeError(f"glu: dim {dim} of {shape_of(input)} is not even")
    at = dim % len(shape_of(input))
    half = (slice(None),) * at
    return input[(*half, slice(0, n // 2))] * sigmoid(input[(*half, slice(n // 2, n))])
