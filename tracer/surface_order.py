"""Sorting, quantiles, and functions of one row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from .surface import (
    array,
    as_float,
    cast,
    many_axes,
    method,
    number,
    one_axis,
    plain,
    refuse,
    surface,
    value,
    wrap,
)
from .surface_reduce import as_method, finish, kept
from .surface_ufunc import store
from .tracer import Tracer

_NONE = np._NoValue
_NONE = np._NoValue
_sum = ops.shape.sum_
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
    """np.unwrap of floats: jumps are rounded to whole periods."""
    x = as_float(value(p))
    i = one_axis(axis, x.ndim)
    n = x.shape[i]
    d = ops.sub(_shape.narrow(x, i, 1, n - 1), _shape.narrow(x, i, 0, n - 1))
    half, whole = number(period / 2, d), number(period, d)
    near = ops.sub(ops.remainder(ops.add(d, half), whole), half)
    tie = ops.and_(ops.equal(near, ops.neg(half)), ops.greater(d, number(0, d)))
    jump = ops.sub(ops.select(tie, half, near), d)
    least = number(max(discont or 0, period / 2), d)
    jump = ops.select(ops.less(ops.abs_(d), least), number(0, d), jump)
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
    x, axis = _along(a, axis)
    return array(ops.sort(x, axis=axis))


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
    x, axis = _along(a, axis)
    return array(ops.argsort(x, axis=axis))


@surface(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    """np.partition: a full sort is one of the orders that NumPy allows."""
    return sort(a, axis)


@surface(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Any:
    """np.argpartition: a full sort is one of the orders that NumPy allows."""
    return argsort(a, axis)


@surface(np.quantile)
def quantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: bool = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """np.quantile, for fractions that are known while tracing and the linear kin of methods."""
    if weights is not None:
        raise refuse("np.quantile with weights")
    fractions = plain(q, "q of np.quantile").astype(float)
    if np.any((fractions < 0) | (fractions > 1)):
        raise ValueError("Quantiles must be in the range [0, 1]")
    x = as_float(value(a))
    lines, shape, axes = _lines(x, axis)
    n = lines.shape[-1]
    nan = ops.any_(ops.isnan(lines), axes=(lines.ndim - 1,))
    parts = [_at_rank(lines, f * (n - 1), nan, method) for f in fractions.ravel()]
    parts = [kept(p, shape, axes, keepdims) for p in parts]
    if fractions.ndim == 0:
        return finish(parts[0], out)
    whole = ops.shape.stack(parts)
    return finish(ops.shape.reshaped(whole, fractions.shape + parts[0].shape), out)


def _at_rank(lines: Value, rank: float, nan: Value, method: str) -> Value:
    """The interpolated element of sorted lines at a fractional rank; NaN where there is one."""
    low, high = int(np.floor(rank)), int(np.ceil(rank))
    nearest = int(np.around(rank))
    choices = {"lower": low, "higher": high, "nearest": nearest}
    last = lines.ndim - 1

    def element(i: int) -> Value:
        return ops.shape.squeeze(ops.shape.narrow(lines, last, i, 1), (last,))

    if method in choices:
        got = element(choices[method])
    elif method in ("linear", "midpoint"):
        t = rank - low if method == "linear" else 0.5 * (high != low)
        a, b = element(low), element(high)
        got = a if t == 0 else ops.add(a, ops.mul(ops.sub(b, a), number(t, a)))
    else:
        raise refuse(f"method={method!r} of np.quantile")
    return ops.select(nan, number(np.nan, got), got)


@surface(np.nanquantile)
def nanquantile(
    a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: Any = False, *, weights: Any = None,
) -> Any:  # fmt: skip
    """np.nanquantile by linear interpolation: the rank depends on how many elements count."""
    if weights is not None or method != "linear":
        raise refuse("np.nanquantile with weights or another method than linear")
    fractions = plain(q, "q of np.nanquantile").astype(float)
    lines, shape, axes = _lines(as_float(value(a)), axis)
    last = lines.ndim - 1
    counted = cast(ops.not_(ops.isnan(lines)), lines.aval.dtype)
    count = ops.shape.sum_(counted, axes=(last,))
    keep = keepdims is not np._NoValue and keepdims
    parts = [
        kept(_at_traced_rank(lines, count, f), shape, axes, keep)
        for f in fractions.ravel().tolist()
    ]
    if fractions.ndim == 0:
        return finish(parts[0], out)
    return finish(ops.shape.reshaped(ops.shape.stack(parts), fractions.shape + parts[0].shape), out)


def _at_traced_rank(lines: Value, count: Value, fraction: float) -> Value:
    """The element of sorted lines, NaN last, at a fraction of the elements that count."""
    last = ops.maximum(ops.sub(count, number(1, count)), number(0, count))
    rank = ops.mul(last, number(fraction, last))
    low = ops.floor(rank)

    def element(position: Value) -> Value:
        at = ops.shape.expand_dims(cast(position, "i64"), (position.ndim,))
        got = ops.index.take_along(lines, at, lines.ndim - 1)
        return ops.shape.squeeze(got, (lines.ndim - 1,))

    a, b = element(low), element(ops.ceil(rank))
    got = ops.add(a, ops.mul(ops.sub(b, a), ops.sub(rank, low)))
    return ops.select(ops.equal(count, number(0, count)), number(np.nan, got), got)


def _lines(x: Value, axis: Any) -> tuple[Value, tuple[int, ...], tuple[int, ...]]:
    """The elements along the axes as sorted lines; the shape and axes they came from."""
    axes = many_axes(axis, x.ndim)
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    shape = (*(x.shape[i] for i in rest), x.aval.size // max(_extent(x, rest), 1))
    flat = ops.shape.reshaped(ops.shape.permuted(x, rest + axes), shape)
    return ops.sort(flat, axis=len(rest)), x.shape, axes


def _extent(x: Value, axes: tuple[int, ...]) -> int:
    n = 1
    for i in axes:
        n *= x.shape[i]
    return n


@surface(np.nanpercentile)
def nanpercentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    """np.nanpercentile."""
    return nanquantile(a, plain(q, "q of np.nanpercentile") / 100, *args, **kwargs)


@surface(np.nanmedian)
def nanmedian(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: Any = False
) -> Any:
    """np.nanmedian."""
    return nanquantile(a, 0.5, axis, out, keepdims=keepdims)


@surface(np.percentile)
def percentile(a: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    """np.percentile."""
    return quantile(a, plain(q, "q of np.percentile") / 100, *args, **kwargs)


@surface(np.median)
def median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
    keepdims: bool = False,
) -> Any:  # fmt: skip
    """np.median."""
    return quantile(a, 0.5, axis, out, keepdims=keepdims)


# ------------------------------------------------------------------ methods


as_method("argsort", argsort)


@method
def sort_(self: Tracer, axis: int = -1, kind: Any = None, order: Any = None, **_: Any) -> None:
    """ndarray.sort, in place."""
    store(self, ops.sort(self._read(), axis=one_axis(axis, self.ndim)))


@method
def partition_(self: Tracer, kth: Any, axis: int = -1, **_: Any) -> None:
    """ndarray.partition, in place."""
    store(self, ops.sort(self._read(), axis=one_axis(axis, self.ndim)))
