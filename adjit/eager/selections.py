"""What is looked for in values: places, counts, ranks, running extremes; functions of elements."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..ir.ops import special
from ..tracer.surface import array, value
from . import dtypes
from .arithmetic import _whole, method, operand, operands, pairwise, unary
from .elementwise import _row, isnan, where
from .indexing import gather
from .orders import sort
from .promotion import floating
from .reductions import (
    Extremes,
    applied_along,
    extremes,
    filled,
    max,
    mean,
    min,
    one_axis,
    std,
    var,
)
from .shapes import reshape
from .tape import Operation, record
from .tensor_object import Tensor, applied, as_tensor, held, shown

# What `tensors` shows.
# fmt: off
__all__ = [
    "aminmax", "bincount", "bucketize", "count_nonzero", "cummax", "cummin", "deg2rad", "digamma",
    "erfc", "erfinv", "fmod", "frac", "heaviside", "histc", "hypot", "is_complex",
    "is_floating_point", "isclose", "isin", "kthvalue", "lgamma", "logaddexp", "logical_xor",
    "logit", "median", "mode", "nan_to_num", "nanmean", "nansum", "nonzero", "quantile", "rad2deg",
    "result_type", "searchsorted", "sinc", "std_mean", "unique", "var_mean", "xlogy",
]
# fmt: on


def _two(fn: Any) -> Any:
    return lambda a, b, dtype: fn(a.astype(dtype), b.astype(dtype))


lgamma = unary("lgamma", _row(special.gammaln))
digamma = unary("digamma", _row(special.digamma))
erfc = unary("erfc", _row(special.erfc))
erfinv = unary("erfinv", _row(special.erfinv))
_logit = unary("logit", _row(special.logit))


@method("logit")
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(p / (1 - p)); with `eps` of p in [eps, 1 - eps]."""
    return _logit(input if eps is None else input.clamp(eps, 1 - eps))


sinc = unary("sinc", np.sinc)
deg2rad = unary("deg2rad", np.deg2rad)
rad2deg = unary("rad2deg", np.rad2deg)
frac = unary("frac", lambda x: x - np.trunc(x), floats=False)
hypot = method("hypot")(pairwise("hypot", Operation("HypotBackward0", _two(np.hypot))))
fmod = method("fmod")(_whole("fmod", Operation("FmodBackward0", _two(np.fmod))))
logaddexp = method("logaddexp")(
    pairwise("logaddexp", Operation("LogaddexpBackward0", _two(np.logaddexp)))
)
heaviside = method("heaviside")(
    pairwise(
        "heaviside",
        Operation("heaviside", _two(lambda a, b: np.where(a == 0, b, (a > 0).astype(a.dtype)))),
    )
)
logical_xor = method("logical_xor")(
    pairwise("logical_xor", Operation("logical_xor", _two(np.logical_xor)))
)
XLOGY = Operation(
    "XlogyBackward0",
    lambda a, b, d: array(special.xlogy(value(a.astype(d)), value(b.astype(d)))),
)


@method("xlogy")
def xlogy(input: Any, other: Any) -> Tensor:
    """input * log(other), zero where `input` is."""
    dtype, (a, b) = operands("xlogy", input, other)
    dtype = floating(dtype)
    return shown(record(XLOGY, (operand(a, dtype), operand(b, dtype)), (dtype,)))


NAN_TO_NUM = Operation("NanToNumBackward0", lambda x, a, b, c: np.nan_to_num(x, True, a, b, c))


@method("nan_to_num")
def nan_to_num(input: Tensor, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """With numbers for what is none."""
    return applied(NAN_TO_NUM, [input], nan, posinf, neginf)


NANSUM = Operation("NansumBackward0", lambda x, a, k: np.nansum(x, axis=a, keepdims=k))
NANMEAN = Operation("NanmeanBackward0", lambda x, a, k: np.nanmean(x, axis=a, keepdims=k))
nansum = applied_along("nansum", NANSUM)
nanmean = applied_along("nanmean", NANMEAN)


# ------------------------------------------------------------------ places and counts


@method("nonzero")
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Where elements are not zero: one row each, or one index array per axis."""
    found = np.nonzero(input._value())
    return tuple(map(held, found)) if as_tuple else held(np.stack(found, 1).astype(np.int64))


@method("count_nonzero")
def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements are not zero."""
    axis = tuple(dim) if isinstance(dim, list) else dim
    return held(np.array(np.count_nonzero(input._value(), axis=axis), np.int64))


@method("unique")
def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The different elements (or slices) in order; with their places and counts on request."""
    values, inverse, counts = np.unique(
        input._value(), return_inverse=True, return_counts=True, axis=dim
    )
    inverse = inverse.reshape(input.shape if dim is None else -1)
    found = [held(values)]
    found += [held(inverse)] * return_inverse + [held(counts)] * return_counts
    return tuple(found) if len(found) > 1 else found[0]


@method("bincount")
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each whole number occurs."""
    w = None if weights is None else weights._value()
    found = np.bincount(input._value(), w, minlength)
    return held(found if w is None else found.astype(w.dtype))


@method("histc")
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall in each of equal intervals."""
    x = input._value()
    limits = (x.min(), x.max()) if min == max and x.size else (min, max)
    return held(np.histogram(x, bins, limits)[0].astype(x.dtype))


def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Where values belong in a sorted vector (or in the rows of one)."""
    if side not in (None, "left", "right"):
        raise RuntimeError(
            "torch.searchsorted(): side can only be 'left' or 'right' but got " + str(side)
        )
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites")
    if sorter is not None:
        sorted_sequence = gather(sorted_sequence, -1, sorter)
    rows, v = sorted_sequence._value(), as_tensor(input)._value()
    which: Any = "right" if right or side == "right" else "left"
    kind = np.int32 if out_int32 else np.int64
    if rows.ndim == 1:
        return held(np.array(np.searchsorted(rows, v, which), kind))
    if rows.shape[:-1] != v.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(rows.shape)} and input value tensor {list(v.shape)}"
        )
    flat = rows.reshape(-1, rows.shape[-1]), v.reshape(-1, v.shape[-1])
    found = [np.searchsorted(r, x, which) for r, x in zip(*flat, strict=True)]
    return held(np.array(found, kind).reshape(v.shape))


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The numbers of the intervals between boundaries that values fall in."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Which elements are among others."""
    x, others = as_tensor(elements)._value(), as_tensor(test_elements)._value()
    return held(np.asarray(np.isin(x, others, assume_unique=assume_unique, invert=invert)))


@method("isclose")
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Which elements agree."""
    return held(np.array(np.isclose(input._value(), other._value(), rtol, atol, equal_nan)))


# ------------------------------------------------------------------ ranks


@method("kthvalue")
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Extremes:
    """The k-th smallest element along an axis, and where it stands."""
    return _ranked("kthvalue", input, k, dim, keepdim)


def _ranked(name: str, input: Tensor, k: int, dim: int, keepdim: bool) -> Extremes:
    axis = one_axis(dim, input.ndim)
    if not input.ndim:
        return extremes(name)(input.clone(), held(np.zeros((), np.int64)))
    filled(name, input, axis)
    if not 1 <= k <= input.shape[axis]:
        raise RuntimeError(f"{name}(): selected number k out of range for dimension {axis}")
    values, indices = sort(input, axis)
    at = slice(k - 1, k) if keepdim else k - 1
    part = (*[slice(None)] * axis, at)
    return extremes(name)(values[part], indices[part])


def _median(x: Any, middle: Any) -> Any:
    if x.dtype.kind != "f":
        return np.max(np.where(x == middle, x, middle)).astype(x.dtype)
    # Several middle elements share the derivative, as those of a maximum.  Of NaN it is NaN.
    return np.max(np.where((x == middle) | (middle != middle), x, -np.inf)).astype(x.dtype)


MEDIAN = Operation("MedianBackward0", _median)


@method("median")
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element, the lower one of two, NaN if there is one; along an axis also where."""
    if dim is None and not input.numel():
        none = 0 if input._dtype.kind in "iu" else np.nan
        return held(np.array(none, input._dtype))
    if dim is None:
        flat = reshape(input, -1)
        middle = _middle(flat, 0, False).values
        return applied(MEDIAN, [flat, middle.detach()])
    return _middle(input, one_axis(dim, input.ndim), keepdim)


def _middle(input: Tensor, axis: int, keepdim: bool) -> Extremes:
    n = input.shape[axis] if input.ndim else 1
    k = (n + 1) // 2
    if not input.is_floating_point() or not n or not input.ndim:
        return _ranked("median", input, k, axis, keepdim)
    values, places = sort(input, axis)
    count = isnan(input).sum(axis, keepdim=True)  # in order they are the last
    at = where(count > 0, n - count, k - 1)
    found = [values.gather(axis, at), places.gather(axis, at)]
    return extremes("median")(*(found if keepdim else [t.squeeze(axis) for t in found]))


@method("mode")
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Extremes:
    """The element that occurs most along an axis, the smallest of several; its last place."""
    axis = one_axis(dim, input.ndim)
    if not input.ndim:
        return extremes("mode")(input.clone(), held(np.zeros((), np.int64)))
    filled("mode", input, axis)
    x = np.moveaxis(input._value(), axis, -1)
    same = x[..., :, None] == x[..., None, :]
    count = same.sum(-1)
    best = np.where(count == count.max(-1, keepdims=True), x, x.max(-1, keepdims=True))
    hit = (x == best.min(-1, keepdims=True)) & (count == count.max(-1, keepdims=True))
    at = x.shape[-1] - 1 - np.argmax(hit[..., ::-1], -1)
    places = held(np.expand_dims(at, axis).astype(np.int64))
    values = gather(input, axis, places)
    if not keepdim:
        values, places = values.squeeze(axis), places.squeeze(axis)
    return extremes("mode")(values, places)


QUANTILE = Operation(
    "QuantileBackward0", lambda x, q, a, k, how: np.quantile(x, q, axis=a, keepdims=k, method=how)
)


@method("quantile")
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear",
) -> Tensor:  # fmt: skip
    """Quantiles of all elements, or along an axis; of several q along a new first axis."""
    if input._dtype.kind != "f":
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    levels = np.array(q._value() if isinstance(q, Tensor) else q, np.float64)
    if ((levels < 0) | (levels > 1)).any():
        raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {levels.ravel()[0]}")
    several = tuple(levels.tolist()) if levels.ndim else levels.item()
    found = applied(QUANTILE, [input], several, dim, keepdim, interpolation)
    return found if found.dtype == input.dtype else found.to(input.dtype)


def _running(name: str, accumulate: Any) -> Any:
    def lower(x: Any, axis: int) -> Any:
        shape = [1] * len(x.shape)
        shape[axis] = -1
        hit = (x == accumulate(x, axis)) | (x != x)  # NaN is an extreme from there on
        own = np.where(hit, np.arange(x.shape[axis]).reshape(shape), 0)
        at = np.maximum.accumulate(own, axis)
        return np.take_along_axis(x, at, axis), at

    operation = Operation(f"{name.capitalize()}Backward0", lower)

    def call(input: Tensor, dim: int) -> Extremes:
        axis = one_axis(dim, input.ndim)
        if not input.ndim:
            return extremes(name)(input.clone(), held(np.zeros((), np.int64)))
        if not input.numel():
            return extremes(name)(input.clone(), held(np.zeros(input._aval_shape(), np.int64)))
        node = record(operation, (input._ref(),), (axis,))
        return extremes(name)(shown(node, 0), shown(node, 1))

    call.__name__ = name
    call.__doc__ = "The extremes so far along an axis, and where they stand."
    return method(name)(call)


cummax = _running("cummax", np.maximum.accumulate)
cummin = _running("cummin", np.minimum.accumulate)


@method("aminmax")
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """The least and the greatest element."""
    kind = extremes("aminmax", "min", "max")
    if dim is None:
        return kind(min(input), max(input))
    return kind(input.amin(dim, keepdim), input.amax(dim, keepdim))


def var_mean(input: Tensor, dim: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    """Variance and mean."""
    return var(input, dim, **options), mean(input, dim, options.get("keepdim", False))


def std_mean(input: Tensor, dim: Any = None, **options: Any) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean."""
    return std(input, dim, **options), mean(input, dim, options.get("keepdim", False))


# ------------------------------------------------------------------ facts


@method("is_floating_point")
def is_floating_point(input: Tensor) -> builtins.bool:
    """Whether the dtype is a floating-point one."""
    return input.dtype.kind == "f"


@method("is_complex")
def is_complex(input: Tensor) -> builtins.bool:
    """Whether the dtype is a complex one."""
    return input.dtype.kind == "c"


def result_type(tensor1: Any, tensor2: Any) -> dtypes.dtype:
    """The dtype of the sum of these."""
    return dtypes.of(operands("result_type", tensor1, tensor2)[0])
