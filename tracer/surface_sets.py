"""What finds, keeps or drops elements by their values: nonzero, unique, sets, insert and delete.

The shape of such a result depends on data.  What decides it (a mask) is looked at in the call that
is traced, and guarded: another call with the same mask runs the same program.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from .surface import (
    array,
    as_bool,
    filled,
    holds_tracer,
    number,
    one_axis,
    plain,
    surface,
    value,
    values,
    wrap,
)
from .surface_choose import take
from .surface_join import concatenate
from .surface_order import lexsorted
from .surface_search import searchsorted
from .surface_shape import handle, ravel
from .tracer import Tracer

_shape = ops.shape


def mask_of(x: Any, what: str) -> np.ndarray:
    """Which elements are not zero: known, or guarded."""
    return plain(wrap(as_bool(value(x)), "array") if holds_tracer(x) else np.asarray(x) != 0, what)


# ------------------------------------------------------------------ by a mask


@surface(np.nonzero)
def nonzero(a: Any) -> Any:
    """np.nonzero, guarded by which elements are zero."""
    return np.nonzero(mask_of(a, "the argument of np.nonzero"))


@surface(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """np.flatnonzero, guarded by which elements are zero."""
    return np.flatnonzero(mask_of(a, "the argument of np.flatnonzero"))


@surface(np.argwhere)
def argwhere(a: Any) -> Any:
    """np.argwhere, guarded by which elements are zero."""
    return np.argwhere(mask_of(a, "the argument of np.argwhere"))


@surface(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """np.compress, guarded by the condition."""
    mask = mask_of(condition, "the condition of np.compress")
    if mask.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    return take(a, np.flatnonzero(mask), axis, out)


@surface(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """np.extract, guarded by the condition."""
    return take(ravel(arr), flatnonzero(condition))


@surface(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """np.trim_zeros, guarded by which elements are zero."""
    x = handle(filt)
    sides = trim.lower()
    if sides not in ("fb", "bf", "f", "b"):
        raise ValueError(f"unexpected character(s) in `trim`: {trim!r}")
    axes = range(x.ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    found = np.argwhere(mask_of(x, "the argument of np.trim_zeros"))
    index = [slice(None)] * x.ndim
    for i in (one_axis(a, x.ndim) for a in axes):
        start = found[:, i].min() if len(found) else x.shape[i]
        stop = found[:, i].max() + 1 if len(found) else 0
        if not len(found):  # all zero: nothing is left
            start, stop = (x.shape[i], x.shape[i]) if sides == "f" else (0, 0)
        index[i] = slice(int(start) if "f" in sides else 0, int(stop) if "b" in sides else None)
    return x[tuple(index)]


# ------------------------------------------------------------------ delete and insert


def _known_places(obj: Any, what: str) -> Any:
    return plain(obj, what) if holds_tracer(obj) else obj


@surface(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """np.delete at positions that are known, or guarded."""
    x = handle(arr) if axis is not None else ravel(arr)
    i = 0 if axis is None else one_axis(axis, x.ndim)
    places = _known_places(obj, "the positions of np.delete")
    left = np.arange(x.shape[i])
    try:
        left = np.delete(left, places)
    except IndexError:
        raise IndexError(
            f"index {obj} is out of bounds for axis {i} with size {x.shape[i]}"
        ) from None
    return take(x, left, i)


@surface(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """np.insert at positions that are known, or guarded."""
    x = handle(arr) if axis is not None else ravel(arr)
    i = 0 if axis is None else one_axis(axis, x.ndim)
    n = x.shape[i]
    places = _known_places(obj, "the positions of np.insert")
    if isinstance(places, slice):
        places = np.arange(n)[places]
    places = np.asarray(places)
    if places.dtype == bool:
        places = np.flatnonzero(places)
    if places.ndim > 1:
        raise ValueError("index array argument obj to insert must be one dimensional or scalar")
    places = places.astype(int)
    outside = places[(places < -n) | (places > n)]
    if outside.size:
        raise IndexError(f"index {obj} is out of bounds for axis {i} with size {n}")
    v = value(values, x._value.aval.dtype)
    if places.size == 1:
        v = _shape.reshaped(v, (1,) * (x.ndim - v.ndim) + v.shape)
        v = _shape.moveaxis(v, 0, i) if places.ndim == 0 else v
        places = np.full(v.shape[i], places.item())
    new = _shape.broadcast_to(v, tuple(len(places) if d == i else m for d, m in enumerate(x.shape)))
    table = np.insert(np.arange(n), places, n + np.arange(len(places)))
    return take(concatenate([x, wrap(new, "array")], i), table, i)


# ------------------------------------------------------------------ unique


class _Order(NamedTuple):
    """Lines in ascending order: them, where each came from, and which begin a run of equals."""

    lines: Value
    places: Value
    starts: np.ndarray


def _ordered(x: Value, equal_nan: bool) -> _Order:
    """The lines of a matrix (the elements of a vector), guarded by which are equal."""
    n = x.shape[0]
    order = ops.argsort(x, axis=0) if x.ndim == 1 else lexsorted(x)
    lines = ops.gather(x, order, axes=(0,), mode="raise")
    if n < 2:
        return _Order(lines, order, np.ones(n, bool))
    low, high = _shape.narrow(lines, 0, 0, n - 1), _shape.narrow(lines, 0, 1, n - 1)
    other = ops.not_equal(high, low)
    if equal_nan and x.aval.kind in "fc" and x.ndim == 1:
        other = ops.and_(other, ops.not_(ops.and_(ops.isnan(high), ops.isnan(low))))
    if other.ndim > 1:
        other = ops.any_(other, axes=(1,))
    later = plain(wrap(other, "array"), "which elements of np.unique's argument are equal")
    return _Order(lines, order, np.concatenate([[True], later]))


@surface(np.unique)
def unique(
    ar: Any, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: Any = None, *, equal_nan: bool = True, sorted: bool = True,
) -> Any:  # fmt: skip
    """np.unique, guarded by which elements are equal (once they are sorted)."""
    x = value(ar)
    shape = x.shape
    if axis is None:
        front = _shape.reshaped(x, (x.aval.size,))
    else:
        i = one_axis(axis, x.ndim)
        moved = _shape.moveaxis(x, i, 0)
        front = moved
        if x.ndim > 1:
            front = _shape.reshaped(moved, (moved.shape[0], math.prod(moved.shape[1:])))
    order = _ordered(front, equal_nan)
    first = np.flatnonzero(order.starts)
    kept = ops.gather(order.lines, value(first), axes=(0,), mode="raise")
    if axis is not None and x.ndim > 1:
        kept = _shape.moveaxis(_shape.reshaped(kept, (len(first), *moved.shape[1:])), 0, i)
    out = [array(kept)]
    if return_index:
        out.append(array(ops.gather(order.places, value(first), axes=(0,), mode="raise")))
    if return_inverse:
        runs = value(np.cumsum(order.starts) - 1)
        back = filled(0, Aval("i64", (front.shape[0],)))
        back = ops.scatter(back, runs, order.places, axes=(0,))
        out.append(array(_shape.reshaped(back, shape) if axis is None else back))
    if return_counts:
        out.append(np.diff(np.append(first, len(order.starts))))
    return tuple(out) if len(out) > 1 else out[0]


def _named(result: str, **options: bool) -> Any:
    """np.unique_all and its like: named tuples of np.unique's results."""

    def find(x: Any) -> Any:
        from numpy.lib import _arraysetops_impl as types

        return getattr(types, result)(*unique(x, equal_nan=False, **options))

    return find


surface(np.unique_all)(
    _named("UniqueAllResult", return_index=True, return_inverse=True, return_counts=True)
)
surface(np.unique_counts)(_named("UniqueCountsResult", return_counts=True))
surface(np.unique_inverse)(_named("UniqueInverseResult", return_inverse=True))


@surface(np.unique_values)
def unique_values(x: Any) -> Any:
    """np.unique_values, in ascending order."""
    return unique(x, equal_nan=False)


# ------------------------------------------------------------------ sets


def _set(x: Any, assume_unique: bool) -> Tracer:
    return ravel(x) if assume_unique else handle(unique(x))


@surface(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """np.union1d, guarded by which elements are equal."""
    return unique(concatenate((ar1, ar2), None))


@surface(np.intersect1d)
def intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    """np.intersect1d, guarded by which elements are equal."""
    if assume_unique or not return_indices:
        a, b = _set(ar1, assume_unique), _set(ar2, assume_unique)
    else:
        (a, i), (b, j) = (unique(x, return_index=True) for x in (ar1, ar2))
    both = concatenate((a, b))
    order = ops.argsort(value(both), axis=0)
    line = array(ops.gather(value(both), order, axes=(0,), mode="raise"))
    same = mask_of(line[1:] == line[:-1], "which elements of np.intersect1d's arguments are equal")
    if not return_indices:
        return line[:-1][same]
    places = array(order)
    first, second = places[:-1][same], places[1:][same] - a.size
    if assume_unique:
        return line[:-1][same], first, second
    return line[:-1][same], handle(i)[first], handle(j)[second]


@surface(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """np.setxor1d, guarded by which elements are equal."""
    both = concatenate((_set(ar1, assume_unique), _set(ar2, assume_unique)))
    line = array(ops.sort(value(both), axis=0))
    if not line.size:
        return line
    other = mask_of(line[1:] != line[:-1], "which elements of np.setxor1d's arguments are equal")
    edge = np.array([True])
    flags = np.concatenate((edge, other, edge))
    return line[flags[1:] & flags[:-1]]


@surface(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    """np.setdiff1d, guarded by which elements are equal, and which are in the other set."""
    a = _set(ar1, assume_unique)
    return a[mask_of(isin(a, ar2, invert=True), "which elements np.setdiff1d keeps")]


_FEW = 32  # up to this many test elements, each is compared


@surface(np.isin)
def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
    kind: Any = None,
) -> Any:  # fmt: skip
    """np.isin: no shape depends on data, so nothing is guarded."""
    x, tests = values(element, test_elements)
    line = _shape.reshaped(tests, (tests.aval.size,))
    if line.shape[0] <= _FEW:
        wide = _shape.reshaped(x, (*x.shape, 1))
        found = ops.any_(ops.equal(wide, line), axes=(x.ndim,))
    else:
        line = ops.sort(line, axis=0)
        at = value(searchsorted(array(line), array(x)))
        at = ops.minimum(at, number(line.shape[0] - 1, at))
        found = ops.equal(ops.gather(line, at, axes=(0,), mode="raise"), x)
    return array(ops.not_(found) if invert else found)
