"""Choosing and taking: where, select, clip, rounding, take, search and interpolation."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import NUMPY
from . import mutation
from .surface import (
    FUNCTIONS,
    array,
    as_bool,
    broadcast_all,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    number,
    one_axis,
    surface,
    value,
    values,
    wrap,
)
from .surface_shape import handle
from .surface_ufunc import PRODUCTS, call, store
from .watched import bare

_NONE = np._NoValue
_shape = ops.shape


# ------------------------------------------------------------------ choosing


@surface(np.where)
def where(condition: Any, x: Any = _NONE, y: Any = _NONE, /) -> Any:
    """np.where with three arguments; with one, np.nonzero."""
    if x is _NONE:
        return FUNCTIONS[np.nonzero](condition)
    if y is _NONE:
        raise ValueError("either both or neither of x and y should be given")
    c = as_bool(value(condition))
    a, b = values(x, y, weak=True)
    out = ops.select(*broadcast_all([c, a, b]))
    given = [h for h in (condition, x, y) if is_tracer(h) and h.shape == out.shape]
    return wrap(out, "array", mutation.fresh_strides(out.shape, out.aval.dtype, *given))


@surface(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """np.select: the first condition that holds."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    vs = values(*choicelist, default, weak=True)
    conds = [value(c) for c in condlist]
    if any(c.aval.dtype != "bool" for c in conds):
        raise TypeError("invalid entry in condlist: should be boolean ndarray")
    *bs, last = broadcast_all([*conds, *vs])
    out = last
    for c, v in zip(bs[: len(conds)][::-1], bs[len(conds) :][::-1], strict=True):
        out = ops.select(c, v, out)
    return wrap(out, "array")


@surface(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """np.piecewise: every function on all of x, the last condition that holds decides."""
    v = value(x)
    if not isinstance(condlist, (list, tuple)) or (not np.ndim(condlist[0]) and v.ndim):
        condlist = [condlist]
    conds = [_shape.broadcast_to(as_bool(value(c)), v.shape) for c in condlist]
    out = filled(0, v.aval)
    if len(funclist) == len(conds) + 1:
        out = _piece(funclist[-1], v, args, kw)
    elif len(funclist) != len(conds):
        raise ValueError(
            f"with {len(conds)} condition(s), either {len(conds)} or {len(conds) + 1} functions "
            "are expected"
        )
    for c, f in zip(conds, funclist, strict=False):
        out = ops.select(c, _piece(f, v, args, kw), out)
    return wrap(out, "array")


def _piece(f: Any, v: Value, args: Any, kw: Any) -> Value:
    got = f(wrap(v, "array"), *args, **kw) if callable(f) else f
    return _shape.broadcast_to(value(got, v.aval.dtype), v.shape)


@surface(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """np.apply_along_axis: the function once per line."""
    x = handle(arr)
    i = one_axis(axis, x.ndim)
    lines = FUNCTIONS[np.moveaxis](x, i, -1)
    rest = lines.shape[:-1]
    if not np.prod(rest, dtype=int):
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    got = [value(func1d(lines[k], *args, **kwargs)) for k in np.ndindex(*rest)]
    inner = got[0].shape
    v = _shape.reshaped(_shape.stack(got), rest + inner)
    n, m = len(rest), len(inner)
    return array(_shape.permuted(v, (*range(i), *range(n, n + m), *range(i, n))))


@surface(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """np.apply_over_axes."""
    x = handle(a)
    for i in [axes] if isinstance(axes, int) else axes:
        out = func(x, i)
        x = out if out.ndim == x.ndim else FUNCTIONS[np.expand_dims](out, one_axis(i, x.ndim))
    return x


@surface(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """np.choose."""
    i = value(a)
    if i.aval.kind not in "biu":
        raise TypeError("Cannot cast array data from a float to int64 by the rule 'safe'")
    vs = values(*choices)
    last = len(vs) - 1
    if mode == "clip":
        i = ops.minimum(ops.maximum(i, number(0, i)), number(last, i))
    elif mode == "wrap":
        i = cast(i, "i64")
        i = ops.remainder(i, number(len(vs), i))
    elif vs[-1].aval.size and not holds_tracer(a):
        chosen = np.asarray(a)
        if np.any((chosen < 0) | (chosen > last)):
            raise ValueError("invalid entry in choice array")
    elif vs[-1].aval.size:
        i = _within(cast(i, "i64"), len(vs))
    i, *vs = broadcast_all([i, *vs])
    picked = vs[-1]
    for k in range(len(vs) - 2, -1, -1):
        picked = ops.select(ops.equal(i, number(k, i)), vs[k], picked)
    return wrap(picked) if out is None else store(out, picked)


def _within(i: Value, n: int) -> Value:
    """Integers that are from 0 on below n; the program raises an IndexError for others."""
    table = value(np.arange(n))
    at = ops.select(ops.less(i, number(0, i)), number(n, i), i)
    return ops.gather(table, at, axes=(0,), mode="raise")


@surface(np.clip)
def clip(
    a: Any, a_min: Any = _NONE, a_max: Any = _NONE, out: Any = None, *, min: Any = _NONE,
    max: Any = _NONE, **options: Any,
) -> Any:  # fmt: skip
    """np.clip."""
    low = min if a_min is _NONE else a_min
    high = max if a_max is _NONE else a_max
    v = a
    if low is not _NONE and low is not None:
        v = wrap(call(np.maximum, (v, low)), getattr(v, "_kind", None))
    if high is not _NONE and high is not None:
        v = wrap(call(np.minimum, (v, high)))
    v = value(v)
    return wrap(v) if out is None else store(out, v)


PRODUCTS[np._core.umath.clip] = clip  # type: ignore[attr-defined]  # what `a.clip(x, y)` calls


@surface(np.round, np.around)
def round_(a: Any, decimals: Any = 0, out: Any = None) -> Any:
    """np.round."""
    v = value(a)
    if v.aval.kind == "c":
        parts = (round_(wrap(part(v)), decimals) for part in (ops.real, ops.imag))
        v = ops.complex_(*map(value, parts))
    elif v.aval.kind in "f":
        scale = 10.0 ** abs(operator.index(decimals))
        if decimals > 0:
            v = ops.div(ops.rint(ops.mul(v, number(scale, v))), number(scale, v))
        elif decimals < 0:
            v = ops.mul(ops.rint(ops.div(v, number(scale, v))), number(scale, v))
        else:
            v = ops.rint(v)
    elif decimals < 0:
        scale = 10.0 ** abs(operator.index(decimals))
        near = cast(v, "f64")
        near = ops.mul(ops.rint(ops.div(near, number(scale, near))), number(scale, near))
        v = cast(near, v.aval.dtype)
    return wrap(v) if out is None else store(out, v)


@surface(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """np.fix."""
    v = call(np.trunc, (x,))
    return wrap(v) if out is None else store(out, v)


@surface(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """np.nan_to_num."""
    v = value(x)
    if v.aval.kind == "c":
        re, im = (nan_to_num(wrap(f(v)), True, nan, posinf, neginf) for f in (ops.real, ops.imag))
        new = ops.complex_(value(re), value(im))
    else:
        new = _without_nan(v, nan, posinf, neginf) if v.aval.kind == "f" else v
    in_place = not copy and is_tracer(x) and x._kind == "array"
    return store(x, new) if in_place else wrap(new)


def _without_nan(v: Value, nan: Any, posinf: Any, neginf: Any) -> Value:
    info = np.finfo(NUMPY[v.aval.dtype])
    high = info.max if posinf is None else posinf
    low = info.min if neginf is None else neginf
    out = ops.select(ops.isnan(v), number(nan, v), v)
    out = ops.select(ops.equal(v, number(np.inf, v)), number(high, v), out)
    return ops.select(ops.equal(v, number(-np.inf, v)), number(low, v), out)


# ------------------------------------------------------------------ taking


@surface(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """np.take."""
    x = value(a)
    if axis is None:
        x, axis = _shape.reshaped(x, (x.aval.size,)), 0
    if not x.ndim and axis in (0, -1):  # NumPy lets these pass
        x = _shape.reshaped(x, (1,))
    i = one_axis(axis, x.ndim)
    if holds_tracer(indices):
        at = value(indices)
        if at.aval.kind not in "biu":
            raise TypeError("Cannot cast array data from a float to int64 by the rule 'safe'")
        at = cast(at, "i64")
    else:
        table = np.asarray(bare(indices) if np.ndim(indices) else indices)
        if table.ndim and table.size and table.dtype.kind not in "iub":
            raise TypeError("Cannot cast array data to int64 according to the rule 'safe'")
        table = table.astype(np.int64, copy=False)  # which may be live
        at = value(table) if table.ndim else value(int(table))
        if table.size and not x.shape[i]:
            raise IndexError("cannot do a non-empty take from an empty axes.")
        if mode == "raise" and np.any((table < -x.shape[i]) | (table >= x.shape[i])):
            raise IndexError(
                f"index {table.max()} is out of bounds for axis {i} with size {x.shape[i]}"
            )
    got = ops.gather(x, at, axes=(i,), mode=mode)
    n = at.ndim
    perm = (*range(n, n + i), *range(n), *range(n + i, got.ndim))
    v = _shape.permuted(got, perm)
    return wrap(v) if out is None else store(out, v)


@surface(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """np.take_along_axis."""
    x, at = value(arr), cast(value(indices), "i64")
    if axis is None:
        x, axis = _shape.reshaped(x, (x.aval.size,)), 0
    i = one_axis(axis, x.ndim)
    if at.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    full = tuple(
        n if d == i or m == 1 else m for d, (n, m) in enumerate(zip(at.shape, x.shape, strict=True))
    )
    at = _shape.broadcast_to(at, full)
    wide = tuple(m if d == i else n for d, (n, m) in enumerate(zip(full, x.shape, strict=True)))
    return array(ops.index.take_along(_shape.broadcast_to(x, wide), at, i))


# ------------------------------------------------------------------ comparing


@surface(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """np.isclose."""
    x, y = (wrap(v) for v in values(a, b, weak=True))
    near = abs(x - y) <= atol + rtol * abs(y)
    out = (near & np.isfinite(y)) | (x == y)
    return out | (np.isnan(x) & np.isnan(y)) if equal_nan else out


@surface(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    """np.allclose, a Python bool."""
    return bool(FUNCTIONS[np.all](isclose(a, b, rtol, atol, equal_nan)))


@surface(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """np.array_equal, a Python bool."""
    x, y = wrap(value(a1)), wrap(value(a2))
    if x.shape != y.shape:
        return False
    same = x == y
    if equal_nan and x.dtype.kind in "fc" and y.dtype.kind in "fc":
        same = same | (np.isnan(x) & np.isnan(y))
    return bool(FUNCTIONS[np.all](same))


@surface(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> bool:
    """np.array_equiv, a Python bool."""
    x, y = wrap(value(a1)), wrap(value(a2))
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return bool(FUNCTIONS[np.all](x == y))
