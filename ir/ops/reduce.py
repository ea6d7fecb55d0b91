"""Rows that combine elements along axes: reductions, running reductions, sorting.

Ties of a maximum or minimum share tangent and cotangent evenly; where the result is NaN, the NaN
elements are the tied ones.  Products need no division: their derivatives hold at zeros, at any
order, because `linrec` is closed under differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import Value
from ..prim import ZERO, Call, Fold, Prim
from ..types import Aval
from .elementwise import and_, cast, equal, not_equal, or_, select
from .index import along, scatter_add, take_along
from .shape import (
    Shape,
    along_rows,
    broadcast,
    check_axes,
    concatenate,
    drop,
    full,
    inverse,
    narrow,
    pad,
    permuted,
    reshaped,
    sum_,
    zeros,
)

__all__ = [
    "all_",
    "any_",
    "argmax",
    "argmin",
    "argsort",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "linrec",
    "max_",
    "min_",
    "prod",
    "sort",
    "sum_",
]

Rule = Callable[..., Any]


def _drop_axes(row: str, *, bools: bool = False, empty: str = "") -> Rule:
    """The type rule of a reduction; `empty` names the ufunc that has no identity."""

    def infer(x: Aval, *, axes: Shape) -> Aval:
        check_axes(row, x.ndim, axes)
        if bools and x.dtype != "bool":
            raise TypeError(f"{row}: {x} is not boolean; compare it with 0 first")
        if empty and any(x.shape[a] == 0 for a in axes):
            raise ValueError(
                f"zero-size array to reduction operation {empty} which has no identity: "
                f"{x} over axes {axes}"
            )
        return Aval(x.dtype, drop(x.shape, axes))

    return infer


# ------------------------------------------------------------------ products


def _others(x: Value, axes: Shape) -> Value:
    """For each element the product of the others along `axes`, without division."""
    order = tuple(i for i in range(x.ndim) if i not in axes) + axes
    front = permuted(x, order)
    last = x.ndim - len(axes)
    count = math.prod(front.shape[last:])
    rows = reshaped(front, (*front.shape[:last], count))
    before = _shifted(cumprod(rows, axis=last), last, 1, 1)
    after = _shifted(cumprod(rows, axis=last, reverse=True), last, -1, 1)
    return permuted(reshaped(before * after, front.shape), inverse(order))


def _prod_jvp(ts: Any, outs: Any, x: Value, *, axes: Shape) -> Any:
    (t,) = ts
    return (ZERO if t is ZERO else sum_(t * _others(x, axes), axes=axes),)


def _prod_vjp(cts: Any, outs: Any, x: Value, *, axes: Shape) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    return (broadcast(ct, shape=x.shape, axes=axes) * _others(x, axes),)


prod: Prim = Prim(
    name="prod",
    infer=_drop_axes("prod"),
    ref=lambda x, *, axes: np.prod(x, axis=axes, dtype=x.dtype),
    emit=Fold(
        {"f": "1.0", "i": "1", "b": "True"},
        {"f": "{acc} * {0}", "i": "{acc} * {0}", "b": "{acc} & {0}"},
    ),
    jvp=_prod_jvp,
    vjp=_prod_vjp,
    batch=along_rows(lambda: prod, "axes"),
)


# ------------------------------------------------------------------ extrema


def _tied(x: Value, y: Value, axes: Shape) -> Value:
    """Where `x` attains its extremum `y`: the NaN elements where there are any."""
    return or_(equal(x, broadcast(y, shape=x.shape, axes=axes)), not_equal(x, x))


def _extremum_jvp(ts: Any, outs: Any, x: Value, *, axes: Shape) -> Any:
    (t,) = ts
    if t is ZERO:
        return (ZERO,)
    tied = _tied(x, outs[0], axes)
    count = sum_(cast(tied, dtype=x.dtype), axes=axes)
    return (sum_(select(tied, t, 0), axes=axes) / count,)


def _extremum_vjp(cts: Any, outs: Any, x: Value, *, axes: Shape) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    tied = _tied(x, outs[0], axes)
    share = ct / sum_(cast(tied, dtype=x.dtype), axes=axes)
    return (select(tied, broadcast(share, shape=x.shape, axes=axes), 0),)


max_: Prim = Prim(
    name="max",
    infer=_drop_axes("max", empty="maximum"),
    ref=lambda x, *, axes: np.max(x, axis=axes),
    emit=Fold(
        {"f": "-math.inf", "i": "min_int", "b": "False"},
        {"f": "ll.rmax({acc}, {0})", "i": "max({acc}, {0})", "b": "{acc} | {0}"},
    ),
    jvp=_extremum_jvp,
    vjp=_extremum_vjp,
    batch=along_rows(lambda: max_, "axes"),
)
min_: Prim = Prim(
    name="min",
    infer=_drop_axes("min", empty="minimum"),
    ref=lambda x, *, axes: np.min(x, axis=axes),
    emit=Fold(
        {"f": "math.inf", "i": "max_int", "b": "True"},
        {"f": "ll.rmin({acc}, {0})", "i": "min({acc}, {0})", "b": "{acc} & {0}"},
    ),
    jvp=_extremum_jvp,
    vjp=_extremum_vjp,
    batch=along_rows(lambda: min_, "axes"),
)
any_: Prim = Prim(
    name="any",
    infer=_drop_axes("any", bools=True),
    ref=lambda x, *, axes: np.any(x, axis=axes),
    emit=Fold({"b": "False"}, {"b": "{acc} | {0}"}),
    nondiff="its result is boolean",
    domain="bool",
    batch=along_rows(lambda: any_, "axes"),
)
all_: Prim = Prim(
    name="all",
    infer=_drop_axes("all", bools=True),
    ref=lambda x, *, axes: np.all(x, axis=axes),
    emit=Fold({"b": "True"}, {"b": "{acc} & {0}"}),
    nondiff="its result is boolean",
    domain="bool",
    batch=along_rows(lambda: all_, "axes"),
)


def _arg_infer(row: str) -> Rule:
    def infer(x: Aval, *, axis: int) -> Aval:
        check_axes(row, x.ndim, (axis,))
        if x.shape[axis] == 0:
            raise ValueError(f"attempt to get {row} of an empty sequence: {x} along axis {axis}")
        return Aval("i64", drop(x.shape, (axis,)))

    return infer


argmax: Prim = Prim(
    name="argmax",
    infer=_arg_infer("argmax"),
    ref=lambda x, *, axis: np.argmax(x, axis=axis),
    emit=Call("argmax"),
    nondiff="its result is an index",
    batch=along_rows(lambda: argmax, "axis"),
)
argmin: Prim = Prim(
    name="argmin",
    infer=_arg_infer("argmin"),
    ref=lambda x, *, axis: np.argmin(x, axis=axis),
    emit=Call("argmin"),
    nondiff="its result is an index",
    batch=along_rows(lambda: argmin, "axis"),
)


# ------------------------------------------------------------------ running reductions


def _running(row: str) -> Rule:
    """The type rule of a running reduction, whose operands and result are alike."""

    def infer(*xs: Aval, axis: int, reverse: bool = False) -> Aval:
        check_axes(row, xs[0].ndim, (axis,))
        if any(x != xs[0] for x in xs):
            raise ValueError(f"{row}: the operands differ: {' '.join(map(str, xs))}")
        return xs[0]

    return infer


def _accumulated(ufunc: np.ufunc) -> Rule:
    def ref(x: np.ndarray, *, axis: int, reverse: bool = False) -> np.ndarray:
        if reverse:
            return np.flip(ufunc.accumulate(np.flip(x, axis), axis, dtype=x.dtype), axis)
        return ufunc.accumulate(x, axis, dtype=x.dtype)

    return ref


def _linrec_ref(a: Any, b: Any, *, axis: int, reverse: bool = False) -> np.ndarray:
    a, h = np.moveaxis(a, axis, 0), np.moveaxis(np.array(b), axis, 0)
    if reverse:
        a, h = a[::-1], h[::-1]
    for i in range(1, len(h)):
        h[i] += a[i] * h[i - 1]
    return np.moveaxis(h[::-1] if reverse else h, 0, axis)


def _shifted(x: Value, axis: int, by: int, fill: int = 0) -> Value:
    """`x` moved one place along an axis (by = 1 or -1), with `fill` in the place that is freed."""
    n = x.shape[axis]
    if n == 0:
        return x
    kept = narrow(x, axis, 0 if by > 0 else 1, n - 1)
    if fill == 0:
        start = tuple(int(i == axis and by > 0) for i in range(x.ndim))
        return pad(kept, shape=x.shape, start=start, step=(1,) * x.ndim)
    edge = full(fill, Aval(x.dtype, tuple(1 if i == axis else m for i, m in enumerate(x.shape))))
    return concatenate(*((edge, kept) if by > 0 else (kept, edge)), axis=axis)


def _before(x: Value, axis: int, reverse: bool, fill: int = 0) -> Value:
    """For each place of a running reduction the element that it visited just before."""
    return _shifted(x, axis, -1 if reverse else 1, fill)


def _pulled(a: Value, ct: Value, axis: int, reverse: bool) -> Value:
    """The cotangent of b in h = linrec(a, b): l[i] = ct[i] + a[i+1] * l[i+1]."""
    return linrec(_before(a, axis, not reverse), ct, axis=axis, reverse=not reverse)


def _linrec_jvp(ts: Any, outs: Any, a: Value, b: Value, *, axis: int, reverse: bool = False) -> Any:
    ta, tb = ts
    if ta is not ZERO:
        moved = ta * _before(outs[0], axis, reverse)
        tb = moved if tb is ZERO else tb + moved
    return (ZERO if tb is ZERO else linrec(a, tb, axis=axis, reverse=reverse),)


def _linrec_vjp(
    cts: Any, outs: Any, a: Value, b: Value, *, axis: int, reverse: bool = False
) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    pulled = _pulled(a, ct, axis, reverse)
    return pulled * _before(outs[0], axis, reverse), pulled


def _cumprod_jvp(ts: Any, outs: Any, x: Value, *, axis: int, reverse: bool = False) -> Any:
    (t,) = ts
    if t is ZERO:
        return (ZERO,)
    return (linrec(x, t * _before(outs[0], axis, reverse, 1), axis=axis, reverse=reverse),)


def _cumprod_vjp(cts: Any, outs: Any, x: Value, *, axis: int, reverse: bool = False) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    return (_pulled(x, ct, axis, reverse) * _before(outs[0], axis, reverse, 1),)


def _cumtied(x: Value, y: Value, axis: int, reverse: bool) -> tuple[Value, Value, Value]:
    """Of a running extremum: where it stays, which elements attain it, and how many so far."""
    previous = _before(y, axis, reverse)
    nans = and_(not_equal(y, y), not_equal(previous, previous))
    stays = cast(or_(equal(y, previous), nans), dtype=x.dtype)
    tied = or_(equal(x, y), not_equal(x, x))
    return stays, tied, linrec(stays, cast(tied, dtype=x.dtype), axis=axis, reverse=reverse)


def _cumextremum_jvp(ts: Any, outs: Any, x: Value, *, axis: int, reverse: bool = False) -> Any:
    (t,) = ts
    if t is ZERO:
        return (ZERO,)
    stays, tied, count = _cumtied(x, outs[0], axis, reverse)
    return (linrec(stays, select(tied, t, 0), axis=axis, reverse=reverse) / count,)


def _cumextremum_vjp(cts: Any, outs: Any, x: Value, *, axis: int, reverse: bool = False) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    stays, tied, count = _cumtied(x, outs[0], axis, reverse)
    return (select(tied, _pulled(stays, ct / count, axis, reverse), 0),)


_FORWARD = {"reverse": False}

cumsum: Prim = Prim(
    name="cumsum",
    infer=_running("cumsum"),
    ref=_accumulated(np.add),
    emit=Call("scan"),
    transpose=lambda ct, x, *, axis, reverse=False: (cumsum(ct, axis=axis, reverse=not reverse),),
    defaults=_FORWARD,
    batch=along_rows(lambda: cumsum, "axis"),
)
cumprod: Prim = Prim(
    name="cumprod",
    infer=_running("cumprod"),
    ref=_accumulated(np.multiply),
    emit=Call("scan"),
    jvp=_cumprod_jvp,
    vjp=_cumprod_vjp,
    defaults=_FORWARD,
    batch=along_rows(lambda: cumprod, "axis"),
)
cummax: Prim = Prim(
    name="cummax",
    infer=_running("cummax"),
    ref=_accumulated(np.maximum),
    emit=Call("scan"),
    jvp=_cumextremum_jvp,
    vjp=_cumextremum_vjp,
    defaults=_FORWARD,
    batch=along_rows(lambda: cummax, "axis"),
)
cummin: Prim = Prim(
    name="cummin",
    infer=_running("cummin"),
    ref=_accumulated(np.minimum),
    emit=Call("scan"),
    jvp=_cumextremum_jvp,
    vjp=_cumextremum_vjp,
    defaults=_FORWARD,
    batch=along_rows(lambda: cummin, "axis"),
)
# h[0] = b[0], h[i] = a[i] * h[i-1] + b[i]: what running products differentiate to.
linrec: Prim = Prim(
    name="linrec",
    infer=_running("linrec"),
    ref=_linrec_ref,
    emit=Call("scan"),
    jvp=_linrec_jvp,
    vjp=_linrec_vjp,
    defaults=_FORWARD,
    batch=along_rows(lambda: linrec, "axis"),
)


# ------------------------------------------------------------------ sorting


MANY = 1 << 15  # elements with equals among them: sorting their places again takes less time


def _sort_infer(row: str, dtype: str = "") -> Rule:
    def infer(x: Aval, *, axis: int) -> Aval:
        check_axes(row, x.ndim, (axis,))
        return Aval(dtype or x.dtype, x.shape)

    return infer


def _sort_jvp(ts: Any, outs: Any, x: Value, *, axis: int) -> Any:
    (t,) = ts
    return (ZERO if t is ZERO else take_along(t, argsort(x, axis=axis), axis),)


def _sort_vjp(cts: Any, outs: Any, x: Value, *, axis: int) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    where, axes = along(argsort(x, axis=axis), axis)
    return (scatter_add(zeros(x.aval), ct, *where, axes=axes),)


def _argsort_ref(x: Any, *, axis: int) -> np.ndarray:
    """Equals in their order; NumPy's quicksort, several times as fast, is stable without equals."""
    if x.dtype.kind not in "fiu" or x.itemsize < 4:
        return np.argsort(x, axis, kind="stable")
    order = np.argsort(x, axis)
    found = x[order] if x.ndim == 1 else np.take_along_axis(x, order, axis)
    if axis not in (-1, x.ndim - 1):
        found = found.swapaxes(axis, -1)
    rises = found[..., 1:] > found[..., :-1]
    if rises.all():
        return order
    if x.shape[axis] < MANY:
        return np.argsort(x, axis, kind="stable")
    return _stably(order.swapaxes(axis, -1), found, rises).swapaxes(axis, -1)


def _stably(order: np.ndarray, found: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """The order along the last axis of what is sorted, with equals (and NaNs) as they came."""
    a, b = found[..., :-1], found[..., 1:]
    if found.dtype.kind == "f":
        rises |= (b != b) & (a == a)
    n = order.shape[-1]
    key = order.copy()
    key[..., 1:] += n * np.cumsum(rises, axis=-1)
    key.sort(axis=-1)
    return key % n


sort: Prim = Prim(
    name="sort",
    infer=_sort_infer("sort"),
    ref=lambda x, *, axis: np.sort(x, axis),
    jvp=_sort_jvp,
    vjp=_sort_vjp,
    batch=along_rows(lambda: sort, "axis"),
)
argsort: Prim = Prim(
    name="argsort",
    infer=_sort_infer("argsort", "i64"),
    ref=_argsort_ref,
    nondiff="its result is an index",
    batch=along_rows(lambda: argsort, "axis"),
)
