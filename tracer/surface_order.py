"""Sorting, quantiles, and functions of one row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops.ranks import LONG
from ..ir.types import Aval
from .mutation import fresh_strides
from .surface import (
    FUNCTIONS,
    array,
    as_float,
    cast,
    is_tracer,
    method,
    number,
    one_axis,
    plain,
    refuse,
    surface,
    value,
    wrap,
)
from .surface_reduce import as_method
from .surface_ufunc import store
from .tracer import Tracer

_shape = ops.shape


# ------------------------------------------------------------------ functions of one row


@surface(np.sinc)
def sinc(x: Any) -> Any:
    """np.sinc, whose row knows its slope at 0."""
    v = as_float(value(x))
    if v.aval.kind != "c":
        return wrap(ops.sinc(v))
    zero = ops.equal(v, number(0, v))
    turn = ops.mul(ops.select(zero, number(1e-20, v), v), number(np.pi, v))  # as NumPy has it
    return wrap(ops.div(ops.sin(turn), turn))


@surface(np.i0)
def i0(x: Any) -> Any:
    """np.i0."""
    return wrap(ops.i0(as_float(value(x))), "array")


@surface(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """np.iscomplex."""
    v = value(x)
    if v.aval.kind != "c":
        return wrap(ops.shape.full(False, Aval("bool", v.shape)))
    im = ops.imag(v)
    return wrap(ops.not_equal(im, number(0, im)))


@surface(np.isreal)
def isreal(x: Any) -> Any:
    """np.isreal."""
    return wrap(ops.not_(value(iscomplex(x))))


@surface(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 2 * np.pi) -> Any:
    """np.unwrap: jumps are rounded to whole periods; integers stay so where the period is one."""
    x = value(p)
    i = one_axis(axis, x.ndim)
    n = x.shape[i]
    if not n:
        return array(as_float(x))
    d = value(FUNCTIONS[np.diff](wrap(x, "array"), axis=i))  # in the dtype of x
    least: float = max(discont or 0, period / 2)
    up, odd = divmod(period, 2)
    if x.aval.kind == "i" and type(period) is int:
        least = math.ceil(least)
    else:
        x, d, up, odd = as_float(x), as_float(d), period / 2, 0
    half, whole = number(up, d), number(period, d)
    near = ops.sub(ops.remainder(ops.add(d, half), whole), half)
    if not odd:
        tie = ops.and_(ops.equal(near, number(-up, d)), ops.greater(d, number(0, d)))
        near = ops.select(tie, half, near)
    jump = ops.sub(near, d)
    jump = ops.select(ops.less(ops.abs_(d), number(least, d)), number(0, d), jump)
    start = tuple(int(k == i) for k in range(x.ndim))
    moved = ops.pad(ops.cumsum(jump, axis=i), shape=x.shape, start=start, step=(1,) * x.ndim)
    return array(ops.add(x, moved))


# ------------------------------------------------------------------ order


def _along(a: Any, axis: Any) -> tuple[Value, int]:
    x = value(a)
    if axis is None:
        return ops.shape.reshaped(x, (x.aval.size,)), 0
    return x, one_axis(axis, x.ndim)


def _ascending(descending: Any) -> None:
    """NumPy sorts downwards from 2.5 on."""
    if descending not in (False, None, np._NoValue):
        raise refuse("descending=True", "Write np.flip(np.sort(x)) or np.argsort(-x).")


def _known(kind: Any) -> None:
    """Every kind of sorting gives the same result, but an unknown one is an error."""
    if kind is not None:
        np.sort(np.empty(0), kind=kind)


@surface(np.sort)
def sort(
    a: Any,
    axis: Any = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: Any = False,
) -> Any:
    """np.sort."""
    _ascending(descending)
    _known(kind)
    x, i = _along(a, axis)
    out = ops.sort(x, axis=i)
    as_given = axis is not None and is_tracer(a)
    return wrap(out, "array", fresh_strides(out.shape, out.aval.dtype, a) if as_given else None)


@surface(np.argsort)
def argsort(
    a: Any,
    axis: Any = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: Any = False,
) -> Any:
    """np.argsort."""
    _ascending(descending)
    _known(kind)
    x = value(a)
    if not x.ndim and axis in (0, -1):  # NumPy lets these pass
        x = _shape.reshaped(x, (1,))
        return array(ops.argsort(x, axis=0))
    x, axis = _along(a, axis)
    return array(ops.argsort(x, axis=axis))


def _check_rank(kth: Any, x: Value, axis: int) -> None:
    """NumPy's error for an element to partition by that is not there."""
    n = x.shape[axis] if x.ndim else 1
    if not x.aval.size:
        return
    for k in np.atleast_1d(plain(kth, "kth")).tolist():
        if not -n <= k < n:
            raise ValueError(f"kth(={k}) out of bounds ({n})")


@surface(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    """np.partition: a full sort, of short arrays, is one of the orders that NumPy allows."""
    x, i = _along(a, axis)
    _check_rank(kth, x, i)
    if not _long(x, i):
        return sort(a, axis)
    order = ops.argpartition(x, axis=i, kth=_ranks_of(kth))
    return array(ops.index.take_along(x, order, i))


def _long(x: Value, axis: int) -> bool:
    return x.ndim > 0 and x.shape[axis] >= LONG and x.aval.kind in "fiu"


def _ranks_of(kth: Any) -> tuple[int, ...]:
    return tuple(np.atleast_1d(plain(kth, "kth")).tolist())


@surface(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    """np.argpartition: a full sort, of short arrays, is one of the orders that NumPy allows."""
    x = value(a)
    x, i = _along(a, axis) if x.ndim or axis is None else (x, 0)
    _check_rank(kth, x, i)
    if not _long(x, i):
        return argsort(a, axis)
    return array(ops.argpartition(x, axis=i, kth=_ranks_of(kth)))


def lexsorted(rows: Value) -> Value:
    """The order of the rows of a matrix: by their first elements, then their second ones."""
    order = ops.iota(shape=rows.shape[:1], axis=0, dtype="i64")
    for k in reversed(range(rows.shape[1])):
        column = _shape.squeeze(_shape.narrow(rows, 1, k, 1), (1,))
        key = ops.gather(column, order, axes=(0,), mode="raise")
        order = ops.gather(order, ops.argsort(key, axis=0), axes=(0,), mode="raise")
    return order


@surface(np.lexsort)
def lexsort(keys: Any, axis: Any = -1) -> Any:
    """np.lexsort: by the last key, then by the one before it."""
    parts = [value(k) for k in keys]
    if not parts:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if any(p.shape != parts[0].shape for p in parts):
        raise ValueError("all keys need to be the same shape")
    if not parts[0].ndim:
        return np.zeros((), int)
    i = one_axis(axis, parts[0].ndim)
    order = ops.argsort(parts[0], axis=i)
    for p in parts[1:]:
        key = ops.index.take_along(p, order, i)
        order = ops.index.take_along(order, ops.argsort(key, axis=i), i)
    return array(order)


@surface(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """np.sort_complex: by real, then by imaginary part."""
    v = value(sort(a))
    return array(v if v.aval.kind == "c" else cast(v, "c128"))


# ------------------------------------------------------------------ methods


as_method("argsort", argsort)
as_method("argpartition", argpartition)


@method
def sort_(self: Tracer, axis: int = -1, kind: Any = None, order: Any = None, **_: Any) -> None:
    """ndarray.sort, in place."""
    _known(kind)
    store(self, ops.sort(self._read(), axis=one_axis(axis, self.ndim)))


@method
def partition_(self: Tracer, kth: Any, axis: int = -1, **_: Any) -> None:
    """ndarray.partition, in place."""
    _check_rank(kth, self._read(), one_axis(axis, self.ndim))
    store(self, ops.sort(self._read(), axis=one_axis(axis, self.ndim)))
