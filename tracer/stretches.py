"""Slices between two traced places: one program for all that are of the same length.

`X[i:i + 2]` is as long for every i but near the ends, where NumPy cuts it off.  So the length is
what the program relies on, and the place where it begins is computed.  Slices with one traced end
are of another length for every value of that: there the end itself is fixed.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Const, Value
from . import mutation
from .record import LENGTH, NoSample, recorder
from .surface import cast, value
from .tracer import Tracer


def opened(h: Tracer, index: Any) -> tuple[Tracer, tuple[Any, ...]] | None:
    """The stretches of an array between traced places, and the index that is left on them.

    None where no slice of the index has two traced ends, or the length cannot be known.
    """
    items = list(index) if type(index) is tuple else [index]
    which = [k for k, i in enumerate(items) if type(i) is slice and _moves(i)]
    if not which:
        return None
    used = [_used(i) for i in items]
    dots = next((k for k, i in enumerate(items) if i is Ellipsis), len(items))
    axes = [sum(used[:k]) if k < dots else h.ndim - sum(used[k:]) for k in which]
    if sum(used) > h.ndim:
        return None
    for k, axis in zip(which, axes, strict=True):
        try:
            h = _stretch(h, axis, items[k])
        except NoSample:
            return None
        items[k] = slice(None)
    return h, tuple(items)


def _moves(s: slice) -> bool:
    return _traced(s.start) and _traced(s.stop) and s.step in (None, 1, -1)


def _traced(x: Any) -> bool:
    """Whether it is an integer that depends on a traced input."""
    if type(x) is not Tracer or x._value.aval.shape or x._value.aval.kind not in "iu":
        return False
    return x._concrete() is None


def _used(item: Any) -> int:
    """How many axes an item of an index stands for."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, (list, tuple)):
        item = item if any(type(i) is Tracer for i in item) else np.asarray(item)
    masks = isinstance(item, (Tracer, np.ndarray)) and item.dtype.kind == "b"
    return item.ndim if masks else 1


def _stretch(h: Tracer, axis: int, s: slice) -> Tracer:
    """A view of the places of a slice along an axis."""
    n = h.shape[axis]
    step = 1 if s.step is None else operator.index(s.step)
    first, end = (_clipped(x, n, step) for x in (s.start, s.stop))
    length = ops.maximum(ops.mul(ops.sub(end, first), step), 0)
    count = recorder().decide(length, LENGTH)
    strides = list(mutation.strides_of(h))
    strides[axis] *= step
    shape = (*h.shape[:axis], count, *h.shape[axis + 1 :])
    where = ops.add(ops.mul(ops.iota(shape=(count,), axis=0, dtype="i64"), step), first)
    how = _view(axis, count, where) if count else _nothing(axis, shape)
    return mutation.view(h, how, mutation.normal(shape, tuple(strides), h._value.aval.dtype))


def _clipped(t: Tracer, n: int, step: int) -> Value:
    """A bound as NumPy takes it: negative ones from the end, and none beyond either end."""
    v = value(t)
    if v.dtype == "u64":  # which may be beyond all indices
        v = ops.minimum(v, Const(n, "u64"))
    v = cast(v, "i64")
    v = ops.select(ops.less(v, Const(0, "i64")), ops.add(v, n), v)
    low, high = (0, n) if step > 0 else (-1, n - 1)
    return ops.minimum(ops.maximum(v, low), high)


def _view(axis: int, count: int, where: Value) -> mutation.View:
    def get(base: Value) -> Value:
        return ops.shape.moveaxis(ops.gather(base, where, axes=(axis,), mode="raise"), 0, axis)

    def put(base: Value, new: Value) -> Value:
        return ops.scatter(base, ops.shape.moveaxis(new, axis, 0), where, axes=(axis,))

    return mutation.View(get, put)


def _nothing(axis: int, shape: tuple[int, ...]) -> mutation.View:
    zero = (0,) * len(shape)
    return mutation.slice_view(zero, shape, (1,) * len(shape), shape)
