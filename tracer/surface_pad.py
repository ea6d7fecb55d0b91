"""np.pad, one axis after the other: what is put in front and behind is made of what is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from . import mutation
from .surface import (
    FUNCTIONS,
    as_float,
    broadcast_all,
    cast,
    filled,
    holds_tracer,
    number,
    plain,
    surface,
    value,
    wrap,
)
from .surface import array as array_of

_shape = ops.shape
_KEYWORDS: dict[str, tuple[str, ...]] = {
    "empty": (), "edge": (), "wrap": (), "constant": ("constant_values",),
    "linear_ramp": ("end_values",), "maximum": ("stat_length",), "minimum": ("stat_length",),
    "mean": ("stat_length",), "median": ("stat_length",), "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",),
}  # fmt: skip
_MAX_RUNS = 6  # stretches beside an axis; more are gathered
_STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}


@surface(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """np.pad by widths known while tracing, in every mode."""
    v = value(array)
    widths = _widths(pad_width, v.ndim)
    if callable(mode):
        return _by_function(v, widths, mode, kwargs)
    if mode not in _KEYWORDS:
        raise ValueError(f"mode '{mode}' is not supported")
    extra = set(kwargs) - {*_KEYWORDS[mode]}
    if extra:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {extra}")
    if mode in ("constant", "empty"):
        return array_of(_constant(v, widths, kwargs.get("constant_values", 0)))
    if not v.aval.size:
        for i, pair in enumerate(widths):
            if not v.shape[i] and any(pair):
                raise ValueError(
                    f"can't extend empty axis {i} using modes other than 'constant' or 'empty'"
                )
        return array_of(_constant(v, widths, 0))
    for i, (before, after) in enumerate(widths):
        if before or after:
            v = _extended(v, i, before, after, mode, kwargs)
    return array_of(v)


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        pairs: list[Any] = [(0, 0)] * ndim
        for i, width in pad_width.items():
            pairs[i] = width if isinstance(width, tuple) else (width, width)
        pad_width = pairs
    known = plain(pad_width, "pad_width of np.pad")
    if known.dtype.kind != "i":
        raise TypeError("`pad_width` must be of integral type.")
    if np.any(known < 0):
        raise ValueError("index can't contain negative values")
    return [(int(a), int(b)) for a, b in np.broadcast_to(known, (ndim, 2))]


def _pairs(x: Any, ndim: int) -> list[tuple[Any, Any]]:
    """A pair of values for each axis, from however few the user gave."""
    if holds_tracer(x):
        table = _shape.broadcast_to(value(x), (ndim, 2))
        return [(wrap(table)[i, 0], wrap(table)[i, 1]) for i in range(ndim)]
    return [tuple(p) for p in np.broadcast_to(np.asarray(x), (ndim, 2))]


def _joined(i: int, *parts: Value) -> Value:
    kept = [p for p in parts if p.shape[i]]
    return kept[0] if len(kept) == 1 else ops.concatenate(*kept, axis=i)


def _edge(v: Value, i: int, width: int, x: Any) -> Value:
    """A block of this width filled with one value (or with one slice)."""
    shape = (*v.shape[:i], width, *v.shape[i + 1 :])
    return _shape.broadcast_to(value(x, v.aval.dtype), shape)


# ------------------------------------------------------------------ constants


def _constant(v: Value, widths: list[tuple[int, int]], fill: Any) -> Value:
    start = tuple(a for a, _ in widths)
    shape = tuple(a + n + b for n, (a, b) in zip(v.shape, widths, strict=True))
    one = (1,) * v.ndim
    if not holds_tracer(fill) and not np.any(np.asarray(fill)):
        return ops.pad(v, shape=shape, start=start, step=one)
    if not holds_tracer(fill) and np.asarray(fill).size == 1:
        x = cast(value(np.asarray(fill).item()), v.aval.dtype)
        base = _shape.broadcast_to(x, shape)
        return mutation.put_slice(base, v, start, one)
    for i, ((before, after), (low, high)) in enumerate(
        zip(widths, _pairs(fill, v.ndim), strict=True)
    ):
        v = _joined(i, _edge(v, i, before, low), v, _edge(v, i, after, high))
    return v


def _by_function(v: Value, widths: list[tuple[int, int]], function: Any, options: Any) -> Any:
    """The user's function on each line of the padded array, which it writes into."""
    out = array_of(_constant(v, widths, 0))
    for i in range(v.ndim):
        lines = FUNCTIONS[np.moveaxis](out, i, -1)
        for at in np.ndindex(lines.shape[:-1]):
            function(lines[(*at, ...)], np.asarray(widths[i]), i, options)
    return out


# ------------------------------------------------------------------ the other modes


def _extended(v: Value, i: int, before: int, after: int, mode: str, options: Any) -> Value:
    if mode == "linear_ramp":
        low, high = _pairs(options.get("end_values", 0), v.ndim)[i]
        left = _ramp(v, i, low, 0, before)
        right = _shape.flip(_ramp(v, i, high, v.shape[i] - 1, after), (i,))
        return _joined(i, left, v, right)
    if mode in _STATISTICS:
        given = options.get("stat_length")
        lengths = (None, None) if given is None else _pairs(given, v.ndim)[i]
        left, right = _statistics(v, i, _STATISTICS[mode], lengths)
        return _joined(i, _edge(v, i, before, left), v, _edge(v, i, after, right))
    if options.get("reflect_type", "even") == "odd" and v.shape[i] > 1:
        return _odd(v, i, before, after, mode == "symmetric")
    table = np.pad(np.arange(v.shape[i]), (before, after), mode)  # type: ignore[call-overload]
    front, back = _runs(table[:before]), _runs(table[before + v.shape[i] :])
    if len(front) + len(back) <= _MAX_RUNS:
        return _joined(i, *(_run(v, i, *r) for r in front), v, *(_run(v, i, *r) for r in back))
    return value(FUNCTIONS[np.take](wrap(v, "array"), table, axis=i))


def _runs(table: np.ndarray) -> list[tuple[int, int, int]]:
    """Positions as stretches that rise, fall or stay: (first, how many, step)."""
    found: list[tuple[int, int, int]] = []
    for at in table.tolist():
        if found:
            first, count, step = found[-1]
            if count == 1 and abs(at - first) <= 1:
                found[-1] = first, 2, at - first
                continue
            if count > 1 and at == first + count * step:
                found[-1] = first, count + 1, step
                continue
        found.append((at, 1, 0))
    return found


def _run(v: Value, i: int, first: int, count: int, step: int) -> Value:
    """The slices of one stretch."""
    if step == 0:
        shape = (*v.shape[:i], count, *v.shape[i + 1 :])
        return _shape.broadcast_to(_shape.narrow(v, i, first, 1), shape)
    if step > 0:
        return _shape.narrow(v, i, first, count)
    return _shape.flip(_shape.narrow(v, i, first - count + 1, count), (i,))


def _ramp(v: Value, i: int, end: Any, at: int, width: int) -> Value:
    """From an end value towards an element, which it does not reach."""
    edge = as_float(_shape.narrow(v, i, at, 1))
    end = value(end, edge.aval.dtype)
    shape = tuple(width if d == i else 1 for d in range(v.ndim))
    steps = value(np.arange(width, dtype=float).reshape(shape), edge.aval.dtype)
    step = ops.div(ops.sub(edge, end), number(max(width, 1), edge))
    line = broadcast_all([ops.add(end, ops.mul(steps, step)), filled(0, Aval("bool", shape))])[0]
    if v.aval.kind != "f":
        line = ops.floor(line)
    return cast(_shape.broadcast_to(line, (*v.shape[:i], width, *v.shape[i + 1 :])), v.aval.dtype)


def _statistics(v: Value, i: int, f: Any, lengths: tuple[Any, Any]) -> list[Any]:
    n, out = v.shape[i], []
    for length, last in zip(lengths, (False, True), strict=True):
        m = n if length is None else min(int(length), n)
        if not m and f in (np.max, np.min):
            raise ValueError("stat_length of 0 yields no value for padding")
        part = _shape.narrow(v, i, n - m if last else 0, m)
        found = FUNCTIONS[f](wrap(part, "array"), axis=i, keepdims=True)
        out.append(np.rint(found) if v.aval.kind in "iu" and found.dtype.kind == "f" else found)
    return out


def _odd(v: Value, i: int, before: int, after: int, symmetric: bool) -> Value:
    """Reflected through its ends, as often as the width wants it."""
    period, double = v.shape[i], number(2, v)

    def mirrored(edge: Value, part: Value) -> Value:
        return ops.sub(ops.mul(double, edge), _shape.flip(part, (i,)))

    while before or after:
        n = v.shape[i]
        if symmetric:
            whole, skip = n // period * period, 0
        else:
            whole, skip = (n - 1) // (period - 1) * (period - 1), 1
        parts = [v]
        left, right = min(whole, before), min(whole, after)
        if left:
            parts.insert(0, mirrored(_shape.narrow(v, i, 0, 1), _shape.narrow(v, i, skip, left)))
        if right:
            part = _shape.narrow(v, i, n - skip - right, right)
            parts.append(mirrored(_shape.narrow(v, i, n - 1, 1), part))
        v = _joined(i, *parts)
        before, after = before - left, after - right
    return v
