"""Methods of ufuncs: reduce, accumulate, outer and at, for every ufunc of two operands.

Where a row is the reduction, it is taken.  An associative ufunc without one is folded by halves,
in log n steps; any other one element after the other, as NumPy does.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Const, Value
from ..ir.types import KIND, NUMPY, Aval, broadcast_shapes
from . import mutation
from .promote import dtype_name
from .record import recorder
from .surface import (
    cast,
    filled,
    is_tracer,
    many_axes,
    number,
    one_axis,
    plain,
    refuse,
    value,
    wrap,
)
from .surface_ufunc import (
    UFUNC_METHODS,
    call,
    call_with_options,
    check_traced,
    lowering,
    store,
)
from .tracer import ENTRY

_NONE = np._NoValue
_shape = ops.shape


def _ignoring_nan(row: Any, largest: bool) -> Callable[..., Value]:
    """np.fmax or np.fmin over axes: NaN where there is nothing else."""

    def reduced(x: Value, *, axes: tuple[int, ...]) -> Value:
        if x.aval.kind != "f":
            return row(x, axes=axes)
        nan = ops.isnan(x)
        best = row(ops.select(nan, number(limit(x.aval.dtype, largest), x), x), axes=axes)
        return ops.select(ops.all_(nan, axes=axes), number(np.nan, best), best)

    return reduced


# The row that is the reduction by a ufunc, and the one that keeps what is folded so far.
FOLDS: dict[np.ufunc, Any] = {
    np.add: ops.shape.sum_, np.multiply: ops.prod, np.maximum: ops.max_, np.minimum: ops.min_,
    np.logical_and: ops.all_, np.logical_or: ops.any_,
    np.fmax: _ignoring_nan(ops.max_, False), np.fmin: _ignoring_nan(ops.min_, True),
}  # fmt: skip
SCANS: dict[np.ufunc, Any] = {
    np.add: ops.cumsum, np.multiply: ops.cumprod, np.maximum: ops.cummax, np.minimum: ops.cummin,
}  # fmt: skip
ASSOCIATIVE = {
    np.logaddexp, np.logaddexp2, np.hypot, np.fmax, np.fmin, np.logical_xor, np.bitwise_and,
    np.bitwise_or, np.bitwise_xor, np.gcd, np.lcm, *FOLDS,
}  # fmt: skip
# What an excluded element is, of the ufuncs whose identity NumPy does not name.
_NEUTRAL: dict[np.ufunc, Callable[[str], Any]] = {
    np.maximum: lambda dtype: limit(dtype, False),
    np.minimum: lambda dtype: limit(dtype, True),
    np.fmax: lambda dtype: limit(dtype, False) if KIND[dtype] != "f" else np.nan,
    np.fmin: lambda dtype: limit(dtype, True) if KIND[dtype] != "f" else np.nan,
}


def limit(dtype: str, largest: bool) -> Any:
    """The largest or smallest number of a dtype, infinite where there is one."""
    kind = KIND[dtype]
    if kind in "fc":
        return np.inf if largest else -np.inf
    if kind == "b":
        return largest
    info = np.iinfo(NUMPY[dtype])
    return info.max if largest else info.min


# ------------------------------------------------------------------ operands


def fold_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes of a reduction; NumPy lets 0 and -1 pass for an array of no dims."""
    one = axis is not None and not isinstance(axis, (tuple, list))
    if ndim == 0 and one and operator.index(axis) in (0, -1):
        return ()
    return many_axes(axis, ndim)


_loops: dict[Any, tuple[str, str]] = {}


def loop_dtypes(ufunc: np.ufunc, dtype: str, wanted: Any) -> tuple[str, str]:
    """The dtypes a reduction reads and returns, as NumPy resolves them."""
    memo = (ufunc, dtype, wanted)
    known = _loops.get(memo)
    if known is None:
        if ufunc.nin != 2 or ufunc.nout != 1:
            raise ValueError("reduce only supported for binary functions")
        signature = (None if wanted is None else np.dtype(wanted), None, None)
        found = ufunc.resolve_dtypes(
            (None, NUMPY[dtype], None),
            signature=signature,
            casting="same_kind" if wanted is None else "unsafe",
            reduction=True,
        )
        known = _loops[memo] = (dtype_name(found[1]), dtype_name(found[2]))
    return known


def masked(x: Value, where: Any, fill: Any) -> Value:
    """`x` with `fill` where the mask excludes it; the mask must not be wider than `x`."""
    if where is _NONE or where is True:
        return x
    mask = value(where, "bool")
    if broadcast_shapes(mask.shape, x.shape) != x.shape:
        raise ValueError(
            f"non-broadcastable operand with shape {x.shape} doesn't match the broadcast shape "
            f"{broadcast_shapes(mask.shape, x.shape)}"
        )
    return ops.select(_shape.broadcast_to(mask, x.shape), x, number(fill, x))


def neutral(ufunc: np.ufunc, dtype: str) -> Any:
    """The identity of a ufunc, or None."""
    if ufunc in _NEUTRAL:
        return _NEUTRAL[ufunc](dtype)
    found = ufunc.identity
    return None if found is None else np.asarray(found).astype(NUMPY[dtype])[()]  # -1: all bits


# ------------------------------------------------------------------ reduce


def reduce(
    ufunc: np.ufunc,
    a: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = _NONE,
    where: Any = True,
) -> Any:
    """`ufunc.reduce`, which np.sum and its like are as well."""
    x = value(a)
    axes = fold_axes(axis, x.ndim)
    take, want = loop_dtypes(ufunc, x.aval.dtype, None if dtype is _NONE else dtype)
    if ufunc is np.hypot and initial is _NONE:
        initial = 0.0  # NumPy starts from the identity, which drops the sign of a single element
    v = fold(ufunc, cast(x, take), axes, initial, where)
    if keepdims is not _NONE and keepdims:
        v = _shape.reshaped(v, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    v = cast(v, want)
    if isinstance(out, tuple):
        (out,) = out
    return wrap(v) if out is None or out is _NONE else store(out, v, True, "unsafe")


def fold(ufunc: np.ufunc, x: Value, axes: tuple[int, ...], initial: Any, where: Any) -> Value:
    """The elements of `x` along `axes` folded by a ufunc, from an initial value."""
    if x.aval.kind == "c" and ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        raise refuse("the maximum or minimum of complex numbers", "Compare np.abs of them.")
    given = initial is not _NONE and initial is not None
    if where is not True and where is not _NONE and not given and ufunc.identity is None:
        raise ValueError(
            f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a where "
            "mask one has to specify 'initial'"
        )
    if len(axes) > 1 and ufunc not in ASSOCIATIVE:
        raise ValueError(
            f"reduction operation '{ufunc.__name__}' is not reorderable, so at most one axis may "
            "be specified"
        )
    start = value(_plain_number(initial, x.aval.dtype), x.aval.dtype) if given else None
    ignored = neutral(ufunc, x.aval.dtype)
    count = math.prod(x.shape[i] for i in axes)
    if not count:
        return _of_nothing(ufunc, x, axes, start, initial)
    if ignored is None and ufunc not in ASSOCIATIVE:
        return _one_by_one(ufunc, x, axes, start, where)
    x = masked(x, where, ignored) if ignored is not None else x
    if not axes:
        v = x
    elif ufunc in FOLDS:
        v = FOLDS[ufunc](x, axes=axes)
    else:
        v = _halved(ufunc, *_in_front(x, axes))
    same = type(start) is Const and start.data == ignored and ufunc is not np.hypot
    fresh = start is None or same
    return v if fresh else call(ufunc, (start, v))


def _plain_number(x: Any, dtype: str) -> Any:
    """An initial value that NumPy converts to the dtype of the reduction without asking."""
    if is_tracer(x) or isinstance(x, Value):
        return wrap(cast(value(x), dtype))
    with np.errstate(all="ignore"):
        return np.asarray(x).astype(NUMPY[dtype])[()]


def _of_nothing(
    ufunc: np.ufunc, x: Value, axes: tuple[int, ...], start: Value | None, initial: Any
) -> Value:
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    if start is None and (ufunc.identity is None or initial is None) and 0 not in shape:
        raise ValueError(
            f"zero-size array to reduction operation {ufunc.__name__} which has no identity"
        )
    if start is None:
        return filled(neutral(ufunc, x.aval.dtype) or 0, Aval(x.aval.dtype, shape))
    return _shape.broadcast_to(start, shape)


def _in_front(x: Value, axes: tuple[int, ...]) -> tuple[Value, int]:
    """The elements along `axes` as one leading dim; how many there are."""
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    n = math.prod(x.shape[i] for i in axes)
    x = _shape.permuted(x, axes + rest)
    return _shape.reshaped(x, (n, *x.shape[len(axes) :])), n


def _halved(ufunc: np.ufunc, x: Value, n: int) -> Value:
    """An associative fold over the leading dim: the two halves by each other, again and again."""
    rest = None
    while n > 1:
        half = n // 2
        last = _shape.narrow(x, 0, 2 * half, 1) if n % 2 else None
        x = call(ufunc, (_shape.narrow(x, 0, 0, half), _shape.narrow(x, 0, half, half)))
        if last is not None:
            rest = last if rest is None else call(ufunc, (last, rest))
        n = half
    x = x if rest is None else call(ufunc, (x, rest))
    return _shape.squeeze(x, (0,))


def _one_by_one(
    ufunc: np.ufunc, x: Value, axes: tuple[int, ...], start: Value | None, where: Any
) -> Value:
    front, n = _in_front(x, axes)
    mask = None
    if where is not True and where is not _NONE:
        mask, _ = _in_front(_shape.broadcast_to(value(where, "bool"), x.shape), axes)

    def item(v: Value, i: int) -> Value:
        return _shape.squeeze(_shape.narrow(v, 0, i, 1), (0,))

    first = 0 if start is not None else 1
    total = _shape.broadcast_to(start, front.shape[1:]) if start is not None else item(front, 0)
    for i in range(first, n):
        new = cast(call(ufunc, (total, item(front, i))), x.aval.dtype)
        total = new if mask is None else ops.select(item(mask, i), new, total)
    return total


# ------------------------------------------------------------------ accumulate


def accumulate(ufunc: np.ufunc, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    """`ufunc.accumulate`."""
    x = value(a)
    if not x.ndim and axis in (0, -1):
        raise TypeError("cannot accumulate on a scalar")
    i = one_axis(axis, x.ndim)
    take, want = loop_dtypes(ufunc, x.aval.dtype, dtype)
    x = cast(x, take)
    v = cast(scan(ufunc, x, i), want)
    if isinstance(out, tuple):
        (out,) = out
    if out is not None:
        return store(out, v, True, "unsafe")
    laid = is_tracer(a) and a.shape == v.shape
    return wrap(v, "array", mutation.fresh_strides(v.shape, want, a) if laid else None)


def scan(ufunc: np.ufunc, x: Value, axis: int) -> Value:
    """Every leading part of `x` along an axis, folded."""
    n = x.shape[axis]
    if ufunc in SCANS:
        return SCANS[ufunc](x, axis=axis)
    if n < 2:
        return x
    if ufunc in ASSOCIATIVE:
        step = 1
        while step < n:  # after each turn, every element holds the fold of 2 * step of them
            low = _shape.narrow(x, axis, 0, n - step)
            high = _shape.narrow(x, axis, step, n - step)
            head = _shape.narrow(x, axis, 0, step)
            x = ops.concatenate(head, call(ufunc, (low, high)), axis=axis)
            step *= 2
        return x
    parts = [_shape.narrow(x, axis, 0, 1)]
    for k in range(1, n):
        new = call(ufunc, (parts[-1], _shape.narrow(x, axis, k, 1)))
        parts.append(cast(new, x.aval.dtype))
    return ops.concatenate(*parts, axis=axis)


# ------------------------------------------------------------------ outer


def outer(ufunc: np.ufunc, a: Any, b: Any, **options: Any) -> Any:
    """`ufunc.outer`."""
    va, vb = value(a), value(b)
    left = _shape.reshaped(va, va.shape + (1,) * vb.ndim)
    return call_with_options(ufunc, wrap(left), wrap(vb), **options)


# ------------------------------------------------------------------ at


def at(ufunc: np.ufunc, a: Any, index: Any, b: Any = None) -> None:
    """`ufunc.at`: additions by a scatter, the others once per time that a place is named.

    Where that is often and the order does not matter, each place is given all at once.
    """
    check_traced(a)
    if b is not None and ufunc in (np.add, np.subtract):
        update = value(b, a._value.aval.dtype)
        update = ops.neg(update) if ufunc is np.subtract else update
        ENTRY["scatter"](a, index, update, ops.scatter_add)
        return
    if lowering(ufunc) is None or ufunc.nout != 1:
        raise refuse(f"{ufunc.__name__}.at")
    mutation.check_writable(a, recorder())
    old = a._read()
    places = np.arange(old.aval.size).reshape(old.shape)[_known_index(index)]
    line = _shape.reshaped(old, (old.aval.size,))
    other = None
    if b is not None:
        other = _shape.reshaped(_shape.broadcast_to(value(b), places.shape), (places.size,))
    places = places.ravel()
    turns = _turns(places)
    if len(turns) > FEW_TURNS and other is not None and _orderless(ufunc, old, other):
        places, other = _gathered(ufunc, places, other, len(turns))
        turns = [np.arange(places.size)]
    for turn in turns:
        here = value(places[turn])
        new = ops.gather(line, here, axes=(0,), mode="raise")
        if other is not None:
            part = ops.gather(other, value(turn), axes=(0,), mode="raise")
            out = call(ufunc, (new, part))
        else:
            out = call(ufunc, (new,))
        line = ops.scatter(line, cast(out, old.aval.dtype), here, axes=(0,))
    mutation.write(a, _shape.reshaped(line, old.shape))


FEW_TURNS = 4
EVEN = 4  # times as many elements as there are, in a matrix with a row for each place


def _orderless(ufunc: np.ufunc, old: Value, other: Value) -> bool:
    """Whether a place may be given what it is given in any order."""
    if ufunc in (np.maximum, np.minimum, np.fmax, np.fmin):
        return old.aval.kind != "c"
    return ufunc is np.multiply and old.aval.dtype == other.aval.dtype


def _gathered(
    ufunc: np.ufunc, places: np.ndarray, other: Value, most: int
) -> tuple[np.ndarray, Value]:
    """The places, each once, and what the function makes of all that is for it.

    If about as many elements are for each, these are rows of a matrix.  Else, in the order of
    places, each element takes in the one 1, 2, 4, ... behind it for the same place.
    """
    order = np.argsort(places, kind="stable")
    sorted_ = places[order]
    own, first, count = np.unique(sorted_, return_index=True, return_counts=True)
    if len(own) * most <= EVEN * places.size:
        at = first[:, None] + np.arange(most)
        rows = np.where(np.arange(most) < count[:, None], order[np.minimum(at, len(order) - 1)], -1)
        each = ops.gather(other, value(np.maximum(rows, 0)), axes=(0,), mode="raise")
        there = ops.greater_equal(value(rows), value(0))
        none = number(1 if ufunc is np.multiply else _NEUTRAL[ufunc](other.aval.dtype), other)
        return own, FOLDS[ufunc](ops.select(there, each, none), axes=(1,))
    line = ops.gather(other, value(order), axes=(0,), mode="raise")
    owner, n, step = value(sorted_), places.size, 1
    while step < most:
        mine, behind = (_shape.narrow(line, 0, k, n - step) for k in (0, step))
        same = ops.equal(*(_shape.narrow(owner, 0, k, n - step) for k in (0, step)))
        both = ops.select(same, cast(call(ufunc, (mine, behind)), line.aval.dtype), mine)
        line = ops.concatenate(both, _shape.narrow(line, 0, n - step, step), axis=0)
        step *= 2
    return own, ops.gather(line, value(first), axes=(0,), mode="raise")


def _known_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_known_index(i) for i in index)
    if is_tracer(index):
        return plain(index, "the index of ufunc.at")
    return index


def _turns(places: np.ndarray) -> list[np.ndarray]:
    """The positions of `places`, split so that no place is named twice in a part."""
    order = np.argsort(places, kind="stable")
    ranks = np.empty(places.size, int)
    ordered = places[order]
    first = np.searchsorted(ordered, ordered)
    ranks[order] = np.arange(places.size) - first
    return [np.flatnonzero(ranks == r) for r in range(int(ranks.max(initial=-1)) + 1)]


UFUNC_METHODS.update(reduce=reduce, accumulate=accumulate, outer=outer, at=at)
