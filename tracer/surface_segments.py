"""`ufunc.reduceat`: folds of the segments of an axis, of many of them in a few operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from .surface import array, cast, holds_tracer, number, one_axis, plain, value, wrap
from .surface_folds import fold, loop_dtypes, neutral
from .surface_ufunc import UFUNC_METHODS, store

_shape = ops.shape
FEW = 16  # segments that are read as slices, each folded by itself
PADDING = 4  # elements of the table of padded segments for each one of the array


def reduceat(
    ufunc: np.ufunc, a: Any, indices: Any, axis: Any = 0, dtype: Any = None, out: Any = None
) -> Any:
    """`ufunc.reduceat` at any positions; an IndexError where one lies outside."""
    x, indices = value(a), _positions(indices)
    if not x.ndim:
        raise TypeError("cannot reduceat on a scalar")
    if axis is None and x.ndim > 1:
        raise ValueError("reduceat does not allow multiple axes")
    i = one_axis(0 if axis is None else axis, x.ndim)
    take, want = loop_dtypes(ufunc, x.aval.dtype, dtype)
    x = cast(x, take)
    v = _many(ufunc, x, i, indices)
    v = cast(_each(ufunc, x, i, indices) if v is None else v, want)
    if isinstance(out, tuple):
        (out,) = out
    return array(v) if out is None else store(out, v, True, "unsafe")


def _positions(indices: Any) -> Any:
    """Where segments begin: one row of integers, or the error that NumPy raises."""
    traced = holds_tracer(indices)
    if isinstance(indices, (list, tuple)):
        given = wrap(value(indices, "i64")) if traced else np.asarray(indices).astype(np.int64)
    else:
        given = indices if traced else np.asarray(indices)
    if not np.can_cast(given.dtype, np.int64):
        raise TypeError(
            f"Cannot cast array data from {given.dtype!r} to dtype('int64') according to the rule "
            "'safe'"
        )
    if given.ndim != 1:
        depth = "deep" if given.ndim else "small depth"
        raise ValueError(f"object {'' if given.ndim else 'of '}too {depth} for desired array")
    return given


def _each(ufunc: np.ufunc, x: Value, i: int, indices: Any) -> Value:
    """Every segment as a slice, folded; the positions are known, or guarded."""
    n = x.shape[i]
    starts = plain(indices, f"the indices of {ufunc.__name__}.reduceat").astype(int).tolist()
    for k in starts:
        if not 0 <= k < n:
            raise IndexError(f"index {k} out-of-bounds in {ufunc.__name__}.reduceat [0, {n})")
    parts = []
    for k, end in zip(starts, [*starts, n][1:], strict=True):
        part = _shape.narrow(x, i, k, max(end - k, 1))
        parts.append(_shape.expand_dims(fold(ufunc, part, (i,), None, True), (i,)))
    if len(parts) > 1:
        return ops.concatenate(*parts, axis=i)
    return parts[0] if parts else _shape.narrow(x, i, 0, 0)


def _many(ufunc: np.ufunc, x: Value, i: int, indices: Any) -> Value | None:
    """All segments at once; None where these are few, or their positions do not ascend.

    Only that they ascend is guarded, so one program serves all positions.  Sums are added up
    where they belong; of other folds all segments are filled up to the length of the longest.
    """
    starts = cast(value(indices), "i64")
    n = x.shape[i]
    if starts.shape[0] <= FEW or not _ascend(starts, n):
        return None
    front = _shape.moveaxis(x, i, 0)
    folded = _sums(front, starts) if ufunc is np.add else _padded(ufunc, front, starts)
    return None if folded is None else _shape.moveaxis(folded, 0, i)


def _ascend(starts: Value, n: int) -> bool:
    """Whether each position lies behind the one before it, and all of them within the axis."""
    ends = _shape.narrow(starts, 0, 1, starts.shape[0] - 1)
    rising = ops.all_(ops.greater(ends, _shape.narrow(starts, 0, 0, ends.shape[0])), axes=(0,))
    inside = ops.and_(
        ops.greater_equal(_shape.narrow(starts, 0, 0, 1), 0),
        ops.less(_shape.narrow(starts, 0, ends.shape[0], 1), n),
    )
    both = ops.and_(rising, _shape.squeeze(inside, (0,)))
    return bool(plain(wrap(both), "whether the indices of reduceat ascend"))


def _sums(x: Value, starts: Value) -> Value:
    """Row k of x is added to the segment of which k counts the starts up to it."""
    m, n = starts.shape[0], x.shape[0]
    ones = _shape.broadcast_to(value(1, "i64"), (m,))
    marks = ops.scatter_add(_shape.zeros(Aval("i64", (n,))), ones, starts, axes=(0,))
    which = ops.cumsum(marks, axis=0)  # 0 before the first start
    room = _shape.zeros(Aval(x.aval.dtype, (m + 1, *x.shape[1:])))
    return _shape.narrow(ops.scatter_add(room, x, which, axes=(0,)), 0, 1, m)


def _padded(ufunc: np.ufunc, x: Value, starts: Value) -> Value | None:
    """The segments as rows of a table, filled up with what a fold ignores; None if too large."""
    m, n = starts.shape[0], x.shape[0]
    ignored = neutral(ufunc, x.aval.dtype)
    if ignored is None:
        return None
    end = _shape.broadcast_to(value(n, "i64"), (1,))
    ends = ops.concatenate(_shape.narrow(starts, 0, 1, m - 1), end, axis=0)
    longest, width = ops.max_(ops.sub(ends, starts), axes=(0,)), 1
    while not plain(wrap(ops.less_equal(longest, width)), "the longest segment of reduceat"):
        width *= 2
        if m * width > PADDING * n:
            return None
    column = _shape.iota(dtype="i64", shape=(m, width), axis=1)
    places = ops.add(_over(starts, column.aval.shape), column)
    given = ops.less(places, _over(ends, places.shape))
    rows = ops.gather(x, ops.minimum(places, n - 1), axes=(0,))
    mask = _over(given, rows.shape)
    return fold(ufunc, ops.select(mask, rows, number(ignored, rows)), (1,), None, True)


def _over(v: Value, shape: tuple[int, ...]) -> Value:
    """An array along the first dims of a shape."""
    wide = _shape.reshaped(v, v.shape + (1,) * (len(shape) - v.ndim))
    return _shape.broadcast_to(wide, shape)


UFUNC_METHODS.update(reduceat=reduceat)
