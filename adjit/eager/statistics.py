"""Statistics and rules of integration along axes, windows, and parts written into copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tracer.surface_linalg import trapezoid as _trapezoid
from .arithmetic import method
from .elementwise import isnan, where
from .indexing import getitem
from .joins import tensor_split
from .orders import sort
from .promotion import default, floating
from .reductions import axes_of, extremes, one_axis
from .selections import quantile
from .shapes import split, vstack
from .tape import Operation
from .tensor_object import Tensor, applied, held

# What `tensors` shows.
# fmt: off
__all__ = [
    "bartlett_window", "blackman_window", "corrcoef", "cov", "cumulative_trapezoid", "diagflat",
    "diagonal_scatter", "dsplit", "gradient", "hamming_window", "hann_window", "histogram",
    "hsplit", "kaiser_window", "logcumsumexp", "msort", "nanmedian", "nanquantile", "row_stack",
    "select_scatter", "slice_scatter", "split_with_sizes", "trapezoid", "trapz",
    "unique_consecutive", "unsafe_chunk", "unsafe_split", "vsplit",
]
# fmt: on


def _cov(x: Any, ddof: int) -> Any:
    return np.cov(x, ddof=ddof).astype(floating(x.dtype))


COV = Operation("CovBackward0", _cov)
CORRCOEF = Operation("CorrcoefBackward0", lambda x: np.corrcoef(x).astype(floating(x.dtype)))


@method("cov")
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Covariances of the rows."""
    if fweights is None and aweights is None:
        return applied(COV, [input], correction)
    w = [None if t is None else t._value() for t in (fweights, aweights)]
    weighted = Operation("CovBackward0", lambda x: np.cov(x, ddof=correction, fweights=w[0],
                                                          aweights=w[1]))  # fmt: skip
    return applied(weighted, [input]).to(floating(input._dtype))


@method("corrcoef")
def corrcoef(input: Tensor) -> Tensor:
    """Correlations of the rows."""
    return applied(CORRCOEF, [input])


def _logcumsumexp(x: Any, axis: int) -> Any:
    return np.logaddexp.accumulate(x, axis)


LOGCUMSUMEXP = Operation("LogcumsumexpBackward0", _logcumsumexp)


@method("logcumsumexp")
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Logarithms of running sums of exponentials."""
    return applied(LOGCUMSUMEXP, [input], one_axis(dim, input.ndim))


TRAPEZOID = Operation("TrapezoidBackward0", lambda y, dx, a: _trapezoid(y, dx=dx, axis=a))
TRAPEZOID_X = Operation("TrapezoidBackward0", lambda y, x, a: _trapezoid(y, x, axis=a))


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral along an axis by trapezoids."""
    if x is None:
        return applied(TRAPEZOID, [y], 1.0 if dx is None else dx, one_axis(dim, y.ndim))
    return applied(TRAPEZOID_X, [y, x], one_axis(dim, y.ndim))


trapz = trapezoid


def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Any:
    """Integrals from the start of an axis, by trapezoids."""
    axis = one_axis(dim, y.ndim)
    n = y.shape[axis]
    means = (y.narrow(axis, 1, n - 1) + y.narrow(axis, 0, n - 1)) / 2
    if x is None:
        return (means * (1.0 if dx is None else dx)).cumsum(axis)
    steps = x.diff(dim=axis if x.ndim > 1 else 0)
    if x.ndim == 1:
        steps = steps.reshape([-1 if d == axis else 1 for d in range(y.ndim)])
    return (means * steps).cumsum(axis)


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Slopes of samples along axes, by differences."""
    axes = axes_of(dim, input.ndim) or tuple(range(input.ndim))
    steps = list(spacing) if isinstance(spacing, list | tuple) else [spacing] * len(axes)
    found = []
    for axis, step in zip(axes, steps, strict=True):
        h: Any = tuple(step.tolist()) if isinstance(step, Tensor) else step
        found.append(applied(GRADIENT, [input], h, axis, edge_order))
    return tuple(found)


def _gradient(x: Any, h: Any, axis: int, order: int) -> Any:
    """Second-order differences inside, of first or second order at the ends."""
    x, n = np.moveaxis(x.astype(floating(x.dtype)), axis, 0), x.shape[axis]
    steps = np.diff(np.array(h)) if isinstance(h, tuple) else np.full(n - 1, float(h))
    steps = steps.astype(x.dtype).reshape(-1, *[1] * (len(x.shape) - 1))
    slopes = (x[1:] - x[:-1]) / steps
    a, b = steps[:-1], steps[1:]
    inner = (slopes[:-1] * b + slopes[1:] * a) / (a + b)
    ends = [slopes[:1], slopes[-1:]]
    if order == 2:
        ends = [2 * slopes[:1] - inner[:1], 2 * slopes[-1:] - inner[-1:]]
    return np.moveaxis(np.concatenate([ends[0], inner, ends[1]]), 0, axis)


GRADIENT = Operation("GradientBackward0", _gradient)


@method("histogram")
def histogram(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None,
    density: bool = False,
) -> Any:  # fmt: skip
    """(counts, edges) of intervals."""
    edges = bins._value() if isinstance(bins, Tensor) else bins
    w = None if weight is None else weight._value().ravel()
    counts, ends = np.histogram(input._value(), edges, range, density=density, weights=w)
    kind = input._dtype
    return extremes("histogram", "hist", "bin_edges")(
        held(counts.astype(kind)), held(ends.astype(kind))
    )


@method("nanmedian")
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element of those that are numbers, the lower one of two."""
    if dim is None:
        flat = getitem(input.reshape(-1), isnan(input.reshape(-1)).logical_not())
        return flat.median()
    full = where(isnan(input), float("inf"), input)
    values, places = sort(full, dim)
    count = isnan(input).logical_not().sum(dim, keepdim=True)
    at = ((count - 1) // 2).clamp(min=0)
    found = [values.gather(dim, at), places.gather(dim, at)]
    if not keepdim:
        found = [t.squeeze(dim) for t in found]
    return extremes("nanmedian")(*found)


NANQUANTILE = Operation(
    "NanquantileBackward0",
    lambda x, q, a, k, how: np.nanquantile(x, q, axis=a, keepdims=k, method=how),
)


@method("nanquantile")
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Tensor:  # fmt: skip
    """Quantiles of those elements that are numbers."""
    if not bool(isnan(input).any()):
        return quantile(input, q, dim, keepdim, interpolation=interpolation)
    levels = np.array(q._value() if isinstance(q, Tensor) else q, np.float64)
    several: Any = tuple(levels.tolist()) if levels.ndim else levels.item()
    found = applied(NANQUANTILE, [input], several, dim, keepdim, interpolation)
    return found if found._dtype == input._dtype else found.to(input._dtype)


@method("msort")
def msort(input: Tensor) -> Tensor:
    """The elements in order along the first axis."""
    return sort(input, 0).values


# ------------------------------------------------------------------ parts


@method("diagflat")
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """A matrix with all elements on its diagonal."""
    return input.reshape(-1).diag(offset)


def _scattered(name: str, part: Any) -> Any:
    def call(input: Tensor, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        copy = input.clone()
        part(copy, *args, **kwargs).copy_(src)
        return copy

    call.__name__ = name
    call.__doc__ = "A copy with a part of it written."
    return method(name)(call)


def _sliced(x: Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Tensor:
    return x[(*[slice(None)] * one_axis(dim, x.ndim), slice(start, end, step))]


select_scatter = _scattered("select_scatter", lambda x, dim, index: x.select(dim, index))
slice_scatter = _scattered("slice_scatter", _sliced)
diagonal_scatter = _scattered(
    "diagonal_scatter", lambda x, offset=0, dim1=0, dim2=1: x.diagonal(offset, dim1, dim2)
)
split_with_sizes = method("split_with_sizes")(lambda x, sizes, dim=0: split(x, list(sizes), dim))
unsafe_split = method("unsafe_split")(split)
unsafe_chunk = method("unsafe_chunk")(lambda x, chunks, dim=0: x.chunk(chunks, dim))


def _even(name: str, least: int, axis: int) -> Any:
    """A split into parts of one size, or at places."""

    def call(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
        if input.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension"
                f"{'s' * (least > 1)}, but got a tensor with {input.ndim} dimensions!"
            )
        along, parts = min(axis, input.ndim - 1), indices_or_sections
        if isinstance(parts, int) and input.shape[along] % parts:
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {along}, but the size of the "
                f"dimension {input.shape[along]} is not divisible by the split_size {parts}!"
            )
        return tensor_split(input, parts, along)

    call.__name__ = name
    call.__doc__ = "Consecutive parts along an axis."
    return method(name)(call)


vsplit, hsplit, dsplit = _even("vsplit", 2, 0), _even("hsplit", 1, 1), _even("dsplit", 3, 2)


def row_stack(tensors: Any) -> Tensor:
    """The Tensors below each other."""
    return vstack(tensors)


@method("unique_consecutive")
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """Without repetitions of neighbours; with their places and counts on request."""
    x = input._value()
    axis = 0 if dim is None else one_axis(dim, input.ndim)
    x = x.ravel() if dim is None else x
    rows = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    first: Any = np.concatenate([[True], np.any(rows[1:] != rows[:-1], 1)]) if len(rows) else []
    starts = np.flatnonzero(first)
    found = [held(np.take(x, starts, axis))]
    if return_inverse:
        inverse = np.cumsum(first) - 1
        found.append(held(inverse.reshape(input._aval_shape() if dim is None else -1)))
    if return_counts:
        found.append(held(np.diff([*starts, x.shape[axis]]).astype(np.int64)))
    return tuple(found) if len(found) > 1 else found[0]


# ------------------------------------------------------------------ windows


def _window(name: str, make: Any) -> Any:
    def call(
        window_length: int, periodic: bool = True, *args: Any, dtype: Any = None,
        requires_grad: bool = False, **_: Any,
    ) -> Tensor:  # fmt: skip
        n = window_length + 1 if periodic and window_length > 1 else window_length
        found = make(n, *args)[:window_length].astype(dtype or default())
        return held(found.copy()).requires_grad_(requires_grad)

    call.__name__ = name
    call.__doc__ = "Weights of a window."
    return call


def _hamming(n: int, alpha: float = 0.54, beta: float = 0.46) -> np.ndarray:
    return alpha - beta * np.cos(2 * np.pi * np.arange(n) / max(n - 1, 1))


hann_window = _window("hann_window", np.hanning)
hamming_window = _window("hamming_window", _hamming)
bartlett_window = _window("bartlett_window", np.bartlett)
blackman_window = _window("blackman_window", np.blackman)
kaiser_window = _window("kaiser_window", lambda n, beta=12.0: np.kaiser(n, beta))
