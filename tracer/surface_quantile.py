"""Quantiles and medians, by every method of NumPy's, weighted, and with NaN left out.

Lines are sorted; a method says at which rank between two elements a fraction lies.  Ranks are
plain numbers where the fraction is known and nothing is left out, else they are traced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from .promote import common_dtype
from .surface import (
    array,
    as_float,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    many_axes,
    number,
    one_axis,
    surface,
    value,
    wrap,
)
from .surface_reduce import finish, kept, nanmean

_NONE = np._NoValue
_shape = ops.shape
Rank = Any  # a number, or a Tracer

# ------------------------------------------------------------------ ranks


def _hyndman_fan(alpha: float, beta: float) -> Callable[[Any, Any], Rank]:
    """The rank by two constants; Hyndman & Fan, "Sample quantiles in statistical packages"."""
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


def _stepped(shift: float, odd: bool) -> Callable[[Any, Any], Rank]:
    """The element at or after the rank n q - 1 - shift (at it: of odd ranks alone, if `odd`)."""

    def at(n: Any, q: Any) -> Rank:
        rank = n * q - 1 - shift
        low = np.floor(rank)
        stay = (rank == low) & (low % 2 == 1) if odd else rank == low
        return np.maximum(np.where(stay, low, low + 1), 0)

    return at


# Methods that give an element as it is: the rank is whole.
WHOLE: dict[str, Callable[[Any, Any], Rank]] = {
    "inverted_cdf": _stepped(0.0, False),
    "closest_observation": _stepped(0.5, True),
    "lower": lambda n, q: np.floor((n - 1) * q),
    "higher": lambda n, q: np.ceil((n - 1) * q),
    "nearest": lambda n, q: np.rint((n - 1) * q),
}
# Methods that interpolate: the rank, and the weight of the upper neighbour from the fraction.
BETWEEN: dict[str, Callable[[Any, Any], Rank]] = {
    "linear": lambda n, q: (n - 1) * q,
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    "interpolated_inverted_cdf": _hyndman_fan(0, 1),
    "hazen": _hyndman_fan(0.5, 0.5),
    "weibull": _hyndman_fan(0, 0),
    "median_unbiased": _hyndman_fan(1 / 3, 1 / 3),
    "normal_unbiased": _hyndman_fan(3 / 8, 3 / 8),
    "midpoint": lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
}
_WEIGHT: dict[str, Callable[[Any], Any]] = {
    "averaged_inverted_cdf": lambda t: np.where(t == 0, 0.5, 1.0),
    "midpoint": lambda t: np.where(t == 0, 0.0, 0.5),
}


# ------------------------------------------------------------------ lines


def _lines(x: Value, axes: tuple[int, ...]) -> Value:
    """The elements along the axes as the last dim."""
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    shape = (*(x.shape[i] for i in rest), math.prod(x.shape[i] for i in axes))
    return _shape.reshaped(_shape.permuted(x, rest + axes), shape)


def _element(lines: Value, rank: Rank) -> Value:
    """The elements of the lines at a whole rank, known or traced (one per line, or one)."""
    last = lines.ndim - 1
    if not is_tracer(rank):
        n = lines.shape[-1]
        i = min(max(int(rank), 0), n - 1)
        return _shape.squeeze(_shape.narrow(lines, last, i, 1), (last,))
    at = cast(_shape.broadcast_to(value(rank), lines.shape[:-1]), "i64")
    got = ops.index.take_along(lines, _shape.expand_dims(at, (at.ndim,)), last)
    return _shape.squeeze(got, (last,))


def _at_rank(lines: Value, n: Any, rank: Rank, method: str, dtype: str) -> Value:
    """The elements between which a rank lies, interpolated."""
    low = np.floor(rank)
    weight = _WEIGHT.get(method, lambda t: t)(rank - low)
    top = np.maximum(n - 1, 0)
    inside = (rank >= 0) & (rank < n - 1)
    first = np.clip(low, 0, top)
    a, b = _element(lines, first), _element(lines, np.where(inside, first + 1, first))
    step = cast(ops.sub(b, a), dtype)  # in the dtype of the data, as NumPy
    a, b = cast(a, dtype), cast(b, dtype)
    t = value(weight, dtype)
    near = ops.add(a, ops.mul(step, t))
    far = ops.sub(b, ops.mul(step, ops.sub(number(1, t), t)))
    if not is_tracer(weight):  # as NumPy: from the nearer end
        return far if weight >= 0.5 else near
    half = _shape.broadcast_to(ops.greater_equal(t, number(0.5, t)), near.shape)
    return ops.select(half, far, near)


def _without_nan(lines: Value) -> Any:
    """How many elements of each line count."""
    if lines.aval.kind not in "fc":
        return lines.shape[-1]
    counted = cast(ops.not_(ops.isnan(lines)), "f64")
    return wrap(_shape.sum_(counted, axes=(lines.ndim - 1,)))


# ------------------------------------------------------------------ the functions


def _fractions(q: Any, scale: float, what: str) -> tuple[list[Any], tuple[int, ...], str | None]:
    """The fractions one by one, their shape, and their dtype (None: a weak Python number)."""
    weak = type(q) in (int, float) or (is_tracer(q) and q._kind == "python")
    if holds_tracer(q):
        v = value(q)
        v = as_float(v) if scale == 1 else ops.div(as_float(v), number(scale, as_float(v)))
        flat = wrap(_shape.reshaped(v, (v.aval.size,)), "array")
        return [flat[i] for i in range(v.aval.size)], v.shape, None if weak else v.aval.dtype
    x = np.asarray(q)
    x = np.true_divide(x, scale) if scale != 1 else x
    if np.any((x < 0) | (x > 1)):
        raise ValueError(what)
    return x.ravel().tolist(), x.shape, None if weak else value(x[..., None][..., :0]).aval.dtype


def _quantile(scale: float, what: str, skip: bool) -> Any:
    def find(
        a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
        method: str = "linear", keepdims: Any = False, *, weights: Any = None,
    ) -> Any:  # fmt: skip
        x = value(a)
        if x.aval.kind == "c":
            raise TypeError("a must be an array of real numbers")
        parts, shape, dtype = _fractions(q, scale, what)
        if weights is not None and method != "inverted_cdf":
            raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
        if method not in WHOLE and method not in BETWEEN:
            known = ", ".join((*BETWEEN, *WHOLE))
            raise ValueError(f"{method!r} is not a valid method. Use one of: {known}")
        axes = many_axes(axis, x.ndim)
        if not x.aval.size and skip:
            return nanmean(a, axis, out=out, keepdims=keepdims)
        lines = _lines(x, axes)
        if weights is not None:
            found = _weighted(lines, parts, _weights(weights, x, axes, axis), skip)
        else:
            found = _plain(lines, parts, method, dtype, skip)
        done = [kept(v, x.shape, axes, keepdims) for v in found]
        if not shape and weights is not None and out is None:
            return array(done[0])  # NumPy leaves it an array
        if not shape:
            return finish(done[0], out)
        rest = done[0].shape if done else tuple(n for i, n in enumerate(x.shape) if i not in axes)
        whole = _shape.stack(done) if done else filled(0, Aval(x.aval.dtype, (0, *rest)))
        return finish(_shape.reshaped(whole, shape + rest), out)

    return find


def _plain(
    lines: Value, parts: list[Any], method: str, dtype: str | None, skip: bool
) -> list[Value]:
    n = lines.shape[-1]
    whole = method in WHOLE or (method == "linear" and dtype is not None and dtype[0] in "iub")
    have = lines.aval.dtype
    wide = as_float(lines).aval.dtype if dtype is None else _common(have, dtype)
    if not n and 0 not in lines.shape[:-1]:
        raise IndexError("index -1 is out of bounds for axis 0 with size 0")
    lines = ops.sort(lines, axis=lines.ndim - 1)
    count = _without_nan(lines) if skip else n
    found = []
    for q in parts:
        rank = {**WHOLE, **BETWEEN}[method](count, q)
        if not math.prod(lines.shape):
            got = filled(0, Aval(have if whole else wide, lines.shape[:-1]))
        elif whole:
            got = _element(lines, np.maximum(rank, 0) if is_tracer(rank) else rank)
        else:
            got = _at_rank(lines, count, rank, method, wide)
        found.append(_nan_where_due(got, lines, count, skip))
    return found


def _common(a: str, b: str) -> str:
    return common_dtype((a, b if b[0] == "f" else "f64"))


def _nan_where_due(got: Value, lines: Value, count: Any, skip: bool) -> Value:
    """NaN for a line with a NaN in it, or (where they are left out) without anything else."""
    if lines.aval.kind not in "fc" or not math.prod(lines.shape):
        return got
    answer: Value = number(np.nan, got)
    if skip:
        nothing = value(count)
        nan = ops.equal(nothing, number(0, nothing))
    else:
        last = _element(lines, lines.shape[-1] - 1)
        nan = ops.isnan(last)
        answer = last if last.aval.kind == "c" else answer  # which half of it is NaN remains
    return ops.select(nan, answer, got)


# ------------------------------------------------------------------ weights


def _weights(weights: Any, x: Value, axes: tuple[int, ...], axis: Any) -> Value:
    w = value(weights)
    if not holds_tracer(weights) and np.any(np.asarray(weights) < 0):
        raise ValueError("Weights must be non-negative.")
    if w.shape != x.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        order = [one_axis(i, x.ndim) for i in (axis if isinstance(axis, tuple) else (axis,))]
        if w.shape != tuple(x.shape[i] for i in order):
            raise ValueError(
                "Shape of weights must be consistent with shape of a along specified axis."
            )
        w = _shape.permuted(w, [order.index(i) for i in axes])
        w = _shape.reshaped(w, tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))
        w = _shape.broadcast_to(w, x.shape)
    return _lines(w, axes)


def _weighted(lines: Value, parts: list[Any], w: Value, skip: bool) -> list[Value]:
    """The first element up to which the weights reach the fraction of their sum."""
    last, n = lines.ndim - 1, lines.shape[-1]
    w = cast(w, "f64")
    if not n:
        raise IndexError("index -1 is out of bounds for axis 0 with size 0")
    if skip and lines.aval.kind in "fc":
        w = ops.select(ops.isnan(lines), number(0, w), w)
    order = ops.argsort(lines, axis=last)
    lines = ops.index.take_along(lines, order, last)
    reached = ops.cumsum(ops.index.take_along(w, order, last), axis=last)
    total = _shape.narrow(reached, last, n - 1, 1)
    reached = ops.div(reached, total)
    reached = ops.select(ops.equal(reached, number(0, reached)), number(-1, reached), reached)
    count = _without_nan(lines)
    found = []
    for q in parts:
        below = cast(ops.less(reached, value(q, "f64")), "i64")
        at = ops.minimum(_shape.sum_(below, axes=(last,)), value(n - 1))
        found.append(_nan_where_due(_element(lines, wrap(at, "array")), lines, count, skip))
    return found


_ASK = "Quantiles must be in the range [0, 1]"
_ASK_PERCENT = "Percentiles must be in the range [0, 100]"
quantile = surface(np.quantile)(_quantile(1, _ASK, False))
percentile = surface(np.percentile)(_quantile(100, _ASK_PERCENT, False))
nanquantile = surface(np.nanquantile)(_quantile(1, _ASK, True))
nanpercentile = surface(np.nanpercentile)(_quantile(100, _ASK_PERCENT, True))


def _median(skip: bool) -> Any:
    def find(
        a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
        keepdims: Any = False,
    ) -> Any:  # fmt: skip
        x = value(a)
        axes = many_axes(axis, x.ndim)
        if not x.aval.size and skip:
            return nanmean(a, axis, out=out, keepdims=keepdims)
        lines = _lines(x, axes)
        n, last = lines.shape[-1], lines.ndim - 1
        wide = as_float(lines).aval.dtype
        if not n:
            v = filled(np.nan, Aval(wide, lines.shape[:-1]))
        else:
            lines = ops.sort(lines, axis=last)
            count = _without_nan(lines) if skip else n
            low, high = (count - 1) // 2, count // 2
            if is_tracer(low):
                low = np.maximum(low, 0)
                high = np.minimum(high, n - 1)
            a_, b_ = (cast(_element(lines, r), wide) for r in (low, high))
            v = a_ if not is_tracer(low) and low == high else _middle(a_, b_)
            v = _nan_where_due(v, lines, count, skip)
        v = kept(v, x.shape, axes, keepdims)
        if keepdims is True and not x.ndim and out is None:
            return array(v)
        return finish(v, out)

    return find


def _middle(a: Value, b: Value) -> Value:
    return ops.div(ops.add(a, b), number(2, a))


median = surface(np.median)(_median(False))
nanmedian = surface(np.nanmedian)(_median(True))
