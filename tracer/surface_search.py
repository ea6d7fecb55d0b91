"""Searching and counting: searchsorted, interp, bins, histograms."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops.index import below
from ..ir.types import Aval
from .promote import common_dtype
from .record import recorder
from .surface import (
    FUNCTIONS,
    array,
    as_float,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    number,
    plain,
    surface,
    value,
    values,
    wrap,
)
from .surface_choose import take
from .surface_shape import handle, ravel

_shape = ops.shape
_NUMPYS_EDGES = np.histogram_bin_edges._implementation  # type: ignore[attr-defined]
_FEW = 32  # in a table up to this long every entry is compared; a longer one is searched


def known(x: Any) -> np.ndarray | None:
    """The array behind something that depends on no traced input."""
    if not holds_tracer(x):
        return np.asarray(x)
    found = recorder().concrete(value(x))
    return None if found is None else np.asarray(found)


@surface(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """np.searchsorted: how many elements are below (or not above) each value."""
    if side[:1].lower() not in ("l", "r") or not "left|right".count(side.lower()):
        raise ValueError(f"search side must be 'left' or 'right' (got '{side}')")
    if value(a).ndim != 1:
        few = "of too small depth for" if value(a).ndim == 0 else "too deep for"
        raise ValueError(f"object {few} desired array")
    if sorter is not None:
        a = take(a, sorter)
    keys, xs = values(a, v)
    return wrap(_counted(keys, xs, side[:1].lower() == "r"))


def _counted(keys: Value, xs: Value, right: bool) -> Value:
    """How many of the ascending keys lie below each value (or at it, if `right`)."""
    count = ops.searchsorted if keys.shape[0] > _FEW else below
    return count(keys, xs, right=right)


# ------------------------------------------------------------------ interpolation


@surface(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """np.interp, linear between increasing abscissae."""
    f = value(fp)
    if f.aval.kind == "c":
        re, im = (interp(x, xp, wrap(part(f), "array"), *_ends(left, right, part), period)
                  for part in (ops.real, ops.imag))  # fmt: skip
        return wrap(ops.complex_(value(re), value(im)))
    if any(value(a).aval.kind == "c" for a in (x, xp)):
        raise TypeError("np.interp takes complex numbers as fp alone: x and xp must be real")
    v, xs, fs = (cast(value(a), "f64") for a in (x, xp, fp))
    if xs.ndim != 1 or fs.ndim != 1:
        raise ValueError("object too deep for desired array")
    if xs.shape != fs.shape:
        raise ValueError("fp and xp are not of the same length.")
    if not xs.shape[0]:
        raise ValueError("array of sample points is empty")
    if period is not None:
        v, xs, fs, left, right = (*_periodic(v, xs, fs, period), None, None)
    n = xs.shape[0]
    ends = (
        _item(fs, 0) if left is None else value(left, "f64"),
        _item(fs, n - 1) if right is None else value(right, "f64"),
    )
    y = _between(v, xs, fs, n) if n > 1 else _shape.broadcast_to(_item(fs, 0), v.shape)
    y = ops.select(ops.greater(v, _item(xs, n - 1)), ends[1], y)
    return wrap(ops.select(ops.less(v, _item(xs, 0)), ends[0], y))


def _between(v: Value, xs: Value, fs: Value, n: int) -> Value:
    """The lines between the points, from the right where from the left there is no number."""
    at = _counted(xs, v, True)
    low = ops.minimum(ops.maximum(ops.sub(at, number(1, at)), number(0, at)), number(n - 2, at))
    high = ops.add(low, number(1, low))
    x0, x1, f0, f1 = (
        ops.gather(s, i, axes=(0,), mode="raise") for s in (xs, fs) for i in (low, high)
    )
    slope = ops.div(ops.sub(f1, f0), ops.sub(x1, x0))
    left, right = (ops.add(ops.mul(slope, ops.sub(v, x)), f) for x, f in ((x0, f0), (x1, f1)))
    level = ops.and_(ops.isnan(right), ops.and_(ops.equal(f0, f1), ops.not_(ops.isnan(v))))
    rest = ops.select(ops.or_(ops.equal(v, x0), level), f0, right)
    return ops.select(ops.equal(v, x1), f1, ops.select(ops.isnan(left), rest, left))


def _item(v: Value, i: int) -> Value:
    return _shape.squeeze(_shape.narrow(v, 0, i, 1), (0,))


def _ends(left: Any, right: Any, part: Any) -> tuple[Any, Any]:
    return tuple(None if e is None else wrap(part(value(e, "c128"))) for e in (left, right))  # type: ignore[return-value]


def _periodic(v: Value, xs: Value, fs: Value, period: Any) -> tuple[Value, Value, Value]:
    """The points of one period in ascending order, one more at either end."""
    if not is_tracer(period) and period == 0:
        raise ValueError("period must be a non-zero value")
    whole = value(abs(period), "f64")
    v, xs = ops.remainder(v, whole), ops.remainder(xs, whole)
    order = ops.argsort(xs, axis=0)
    xs, fs = (ops.gather(s, order, axes=(0,), mode="raise") for s in (xs, fs))
    n = xs.shape[0]
    first, last = (_shape.narrow(xs, 0, 0, 1), _shape.narrow(xs, 0, n - 1, 1))
    xs = ops.concatenate(ops.sub(last, whole), xs, ops.add(first, whole), axis=0)
    ends = (_shape.narrow(fs, 0, n - 1, 1), _shape.narrow(fs, 0, 0, 1))
    return v, xs, ops.concatenate(ends[0], fs, ends[1], axis=0)


# ------------------------------------------------------------------ counts by bins


@surface(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: int = 0) -> Any:
    """np.bincount; the largest bin of traced integers is decided, the bins themselves are not."""
    bins, least = value(x), operator.index(minlength)
    if bins.ndim != 1:
        few = "object of too small depth for" if not bins.ndim else "object too deep for"
        raise ValueError(f"{few} desired array")
    if least < 0:
        raise ValueError("'minlength' must not be negative")
    if bins.aval.kind not in "biu":
        raise TypeError(f"Cannot cast array data from dtype('{bins.aval.dtype}') to dtype('int64') "
                        "according to the rule 'safe'")  # fmt: skip
    found = known(x)
    if found is not None and weights is None:
        return np.bincount(found, None, least)
    if not bins.shape[0]:
        return array(filled(0, Aval("i64", (least,))))
    bins = cast(bins, "i64")
    low, high = (f(wrap(bins, "array")) for f in (FUNCTIONS[np.min], FUNCTIONS[np.max]))
    if low < 0:
        raise ValueError("'list' argument must have no negative elements")
    size = max(operator.index(high) + 1, least)
    if weights is None:
        ones = filled(1, Aval("i64", bins.shape))
    else:
        ones = cast(value(weights), "f64")
        if ones.shape != bins.shape:
            raise ValueError("The weights and list don't have the same length.")
    total = filled(0, Aval(ones.aval.dtype, (size,)))
    return array(ops.scatter_add(total, ones, bins, axes=(0,)))


@surface(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """np.digitize; whether traced bins rise or fall is decided."""
    edges = value(bins)
    if edges.ndim != 1:
        raise ValueError("object of too small depth for desired array")
    if value(x).aval.kind == "c":
        raise TypeError("x may not be complex")
    steps = np.diff(handle(bins))
    side = "left" if operator.truth(right) else "right"
    if bool(np.all(steps >= 0)):
        return searchsorted(bins, x, side)
    if not bool(np.all(steps <= 0)):
        raise ValueError("bins must be monotonically increasing or decreasing")
    above = searchsorted(handle(bins)[::-1], x, side)
    return edges.shape[0] - above


# ------------------------------------------------------------------ histograms


def _range(x: Value, limits: Any) -> tuple[Any, Any]:
    """The outer edges: given ones, or the extremes, apart by one where they are equal."""
    if limits is not None:
        low, high = limits
        if not is_tracer(low) and not is_tracer(high):
            if low > high:
                raise ValueError("max must be larger than min in range parameter.")
            if not (np.isfinite(low) and np.isfinite(high)):
                raise ValueError(f"supplied range of [{low}, {high}] is not finite")
            return (low - 0.5, high + 0.5) if low == high else (low, high)
    elif not x.aval.size:
        return 0, 1
    else:
        flat = _shape.reshaped(x, (x.aval.size,))
        low, high = (wrap(row(flat, axes=(0,))) for row in (ops.min_, ops.max_))
    apart = np.where(low == high, 0.5, 0.0)
    if low.dtype.kind == "f":
        apart = apart.astype(low.dtype)
    return low - apart, high + apart


def _edges(a: Value, bins: Any, limits: Any, weights: Any) -> Any:
    """The edges of bins: as given, or equally spaced, or as many as an estimator says."""
    if isinstance(bins, str):
        if weights is not None:
            raise TypeError("Automated estimation of the number of bins is not supported for "
                            "weighted data")  # fmt: skip
        return _estimated(a, bins, limits)
    if np.ndim(bins) == 0 if not is_tracer(bins) else bins.ndim == 0:
        try:
            n = operator.index(bins)
        except TypeError:
            raise TypeError("`bins` must be an integer, a string, or an array") from None
        if n < 1:
            raise ValueError("`bins` must be positive, when an integer")
        low, high = _range(a, limits)
        return _spaced(low, high, n, _edge_dtype(a, low, high))
    edges = value(bins)
    if edges.ndim != 1:
        raise ValueError("`bins` must be 1d, when an array")
    if bool(np.any(handle(bins)[:-1] > handle(bins)[1:])):
        raise ValueError("`bins` must increase monotonically, when an array")
    return array(edges)


def _edge_dtype(a: Value, low: Any, high: Any) -> str:
    found = FUNCTIONS[np.result_type](low, high, wrap(a, "array"))
    name = str(common_dtype([value(np.empty(0, found)).aval.dtype]))
    return name if name[0] == "f" else "f64"


def _spaced(low: Any, high: Any, n: int, dtype: str) -> Any:
    a, b = (value(e, "f64") for e in (low, high))
    steps = value(np.linspace(0.0, 1.0, n + 1))
    line = ops.add(a, ops.mul(ops.sub(b, a), steps))
    parts = [_shape.reshaped(a, (1,)), _shape.narrow(line, 0, 1, n - 1), _shape.reshaped(b, (1,))]
    return array(cast(ops.concatenate(*parts, axis=0), dtype))


def _estimated(a: Value, name: str, limits: Any) -> Any:
    """As many bins as NumPy's estimator says, which decides about the shape: a guard."""
    if a.aval.kind in "biu":
        x = plain(wrap(a, "array"), "data of which np.histogram estimates the number of bins")
        return array(value(np.histogram_bin_edges(x, name, limits)))
    return handle(_NUMPYS_EDGES(wrap(a, "array"), name, limits))


@surface(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """np.histogram_bin_edges; extremes of the data carry derivatives to the edges."""
    return _edges(value(a), bins, range, weights)


def _bin(edges: Value, x: Value) -> tuple[Value, Value]:
    """The bin of each element, the last one closed; and whether there is one."""
    edges, x = values(wrap(edges, "array"), wrap(x, "array"))
    n = edges.shape[0] - 1
    at = _counted(edges, x, True)
    at = ops.sub(at, number(1, at))
    top = ops.equal(x, _item(edges, n))
    at = ops.select(top, number(n - 1, at), at)
    inside = ops.and_(ops.greater_equal(at, number(0, at)), ops.less(at, number(n, at)))
    return ops.select(inside, at, number(0, at)), inside


def _weights(weights: Any, x: Value, dtype: str) -> Value:
    if weights is None:
        return filled(1, Aval(dtype, x.shape))
    w = value(weights)
    if w.shape != x.shape:
        raise ValueError("weights should have the same shape as a.")
    return w


@surface(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """np.histogram: counts, or sums of weights, which carry derivatives."""
    x = value(a)
    w = _weights(weights, x, "i64")
    edges = _edges(x, bins, range, weights)
    line, w = (_shape.reshaped(v, (x.aval.size,)) for v in (x, w))
    if x.aval.dtype == "bool":
        line = cast(line, "u8")
    n = edges.shape[0] - 1
    at, inside = _bin(value(edges), line)
    kind = w.aval.dtype
    wide = w if weights is None or w.aval.kind == "c" else cast(w, "f64")
    wide = ops.select(inside, wide, number(0, wide))
    total = filled(0, Aval(wide.aval.dtype, (n,)))
    counts = array(cast(ops.scatter_add(total, wide, at, axes=(0,)), kind))
    if density:
        widths = array(as_float(value(np.diff(edges))))
        counts = counts / widths.astype(float) / counts.sum()
    return counts, edges


@surface(np.histogramdd)
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """np.histogramdd: counts, or sums of weights, which carry derivatives."""
    x = handle(sample)
    if x.ndim != 2 or isinstance(sample, (list, tuple)):
        x = handle(FUNCTIONS[np.atleast_2d](sample)).T
    d = x.shape[1]
    if isinstance(bins, int) or (np.ndim(bins) == 0 and not is_tracer(bins)):
        bins = [bins] * d
    if len(bins) != d:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    limits = [None] * d if range is None else range
    if len(limits) != d:
        raise ValueError("range argument must have one entry per dimension")
    columns = [value(x[:, i]) for i in np.arange(d).tolist()]
    pairs = enumerate(zip(columns, bins, limits, strict=True))
    edges = [_edges_of(c, b, r, i) for i, (c, b, r) in pairs]
    return _counts(columns, edges, weights, density), list(edges)


def _edges_of(x: Value, bins: Any, limits: Any, i: int) -> Any:
    if not is_tracer(bins) and np.ndim(bins) == 0:
        if bins < 1:
            raise ValueError(f"`bins[{i}]` must be positive, when an integer")
        low, high = _range(x, limits)
        return _spaced(low, high, operator.index(bins), _edge_dtype(x, low, high))
    return _edges(x, bins, limits, None)


def _counts(columns: Sequence[Value], edges: Sequence[Any], weights: Any, density: Any) -> Any:
    n = columns[0].shape[0]
    sizes = [e.shape[0] - 1 for e in edges]
    place, inside = filled(0, Aval("i64", (n,))), filled(True, Aval("bool", (n,)))
    for column, e, size in zip(columns, edges, sizes, strict=True):
        at, here = _bin(value(e), column)
        place = ops.add(ops.mul(place, number(size, place)), at)
        inside = ops.and_(inside, here)
    w = cast(value(weights), "f64") if weights is not None else filled(1, Aval("f64", (n,)))
    w = ops.select(inside, w, number(0, w))
    total = filled(0, Aval("f64", (math.prod(sizes),)))
    counts = array(_shape.reshaped(ops.scatter_add(total, w, place, axes=(0,)), tuple(sizes)))
    if density:
        whole = counts.sum()
        for i, e in enumerate(edges):
            widths = np.diff(e)
            counts = counts / widths.reshape([-1 if k == i else 1 for k in range(len(edges))])
        counts = counts / whole
    return counts


@surface(np.histogram2d)
def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """np.histogram2d: counts, or sums of weights, which carry derivatives."""
    a, b = ravel(x), ravel(y)
    if a.shape != b.shape:
        raise ValueError("x and y must have the same length.")
    try:
        count = len(bins)
    except TypeError:
        count = 1
    if count not in (1, 2):
        bins = [bins, bins]
    elif not isinstance(bins, int) and count == 1:
        bins = [bins, bins] if not isinstance(bins, (list, tuple)) else [bins[0], bins[0]]
    points = FUNCTIONS[np.stack]([a, b], 1)
    counts, edges = histogramdd(points, bins, range, density, weights)
    return counts, edges[0], edges[1]
