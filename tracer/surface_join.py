"""Joining, splitting, choosing: concatenate and kin, where, select, clip, pad, take, diagonals."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import NUMPY, Aval
from . import mutation
from .promote import common_dtype, dtype_name
from .record import recorder
from .surface import (
    FUNCTIONS,
    array,
    as_bool,
    broadcast_all,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    many_axes,
    number,
    one_axis,
    plain,
    refuse,
    shape_tuple,
    stack_nested,
    surface,
    value,
    values,
    wrap,
)
from .surface_shape import broadcast_to, handle, ravel, reshape
from .surface_ufunc import call, store
from .tracer import ENTRY

_NONE = np._NoValue
_shape = ops.shape


def _parts(arrays: Any, dtype: Any = None) -> list[Value]:
    """The arrays of a sequence (or the rows of one array) in their common dtype."""
    parts = list(arrays)
    if not parts:
        raise ValueError("need at least one array to concatenate")
    vs = [value(p) for p in parts]
    return values(*vs, dtype=dtype_name(dtype) if dtype is not None else None)


# ------------------------------------------------------------------ joining


@surface(np.concatenate)
def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Any:
    """np.concatenate."""
    vs = _parts(arrays, dtype)
    if axis is None:
        vs, axis = [_shape.reshaped(v, (v.aval.size,)) for v in vs], 0
    if any(v.ndim == 0 for v in vs):
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    if any(v.ndim != vs[0].ndim for v in vs):
        raise ValueError(
            "all the input array dimensions except for the concatenation axis must match "
            f"exactly: {' '.join(str(v.shape) for v in vs)}"
        )
    i = one_axis(axis, vs[0].ndim)
    v = vs[0] if len(vs) == 1 else ops.concatenate(*vs, axis=i)
    return array(v) if out is None else store(out, v)


@surface(np.stack)
def stack(
    arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Any:
    """np.stack."""
    vs = _parts(arrays, dtype)
    v = _shape.stack(vs, one_axis(axis, vs[0].ndim + 1))
    return array(v) if out is None else store(out, v)


def _wider(v: Value, shape: tuple[int, ...]) -> Value:
    return _shape.reshaped(v, shape)


@surface(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Any:
    """np.vstack."""
    vs = _parts(tup, dtype)
    return concatenate([_wider(v, (1, v.aval.size)) if v.ndim < 2 else v for v in vs])


@surface(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Any:
    """np.hstack."""
    vs = [_wider(v, (1,)) if v.ndim == 0 else v for v in _parts(tup, dtype)]
    return concatenate(vs, 0 if vs[0].ndim == 1 else 1)


@surface(np.dstack)
def dstack(tup: Any) -> Any:
    """np.dstack."""
    vs = [value(FUNCTIONS[np.atleast_3d](wrap(v, "array"))) for v in _parts(tup)]
    return concatenate(vs, 2)


@surface(np.column_stack)
def column_stack(tup: Any) -> Any:
    """np.column_stack."""
    vs = [_wider(v, (v.aval.size, 1)) if v.ndim < 2 else v for v in _parts(tup)]
    return concatenate(vs, 1)


@surface(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """np.append."""
    return concatenate((value(arr), value(values)), axis)


@surface(np.block)
def block(arrays: Any) -> Any:
    """np.block of nested lists."""
    depth = _depth(arrays)
    ndim = max(depth, *(value(a).ndim for a in _flat(arrays)))
    return array(_block(arrays, depth, ndim))


def _depth(x: Any) -> int:
    return 1 + max(map(_depth, x)) if isinstance(x, list) else 0


def _flat(x: Any) -> Any:
    return [e for part in x for e in _flat(part)] if isinstance(x, list) else [x]


def _block(x: Any, depth: int, ndim: int) -> Value:
    if not isinstance(x, list):
        v = value(x)
        return _wider(v, (1,) * (ndim - v.ndim) + v.shape)
    return value(concatenate([_block(e, depth - 1, ndim) for e in x], -depth))


@surface(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """np.meshgrid."""
    n = len(xi)
    grids = [reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        grids = [g.swapaxes(0, 1) for g in grids]
    if not sparse:
        grids = list(FUNCTIONS[np.broadcast_arrays](*grids))
    return tuple(g.copy() for g in grids) if copy else tuple(grids)


# ------------------------------------------------------------------ splitting


def _bounds(n: int, parts: Any, exact: bool) -> list[tuple[int, int]]:
    if isinstance(parts, (int, np.integer)) or is_tracer(parts):
        count = operator.index(parts)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        if exact and n % count:
            raise ValueError("array split does not result in an equal division")
        each, extra = divmod(n, count)
        cuts = [i * each + min(i, extra) for i in range(count + 1)]
    else:
        cuts = [0, *(operator.index(i) for i in parts), n]
    return list(zip(cuts, cuts[1:], strict=False))


def _split(ary: Any, sections: Any, axis: Any, exact: bool) -> list[Any]:
    h = handle(ary)
    i = one_axis(axis, h.ndim)
    front = (slice(None),) * i
    return [
        ENTRY["getitem"](h, (*front, slice(a, b))) for a, b in _bounds(h.shape[i], sections, exact)
    ]


@surface(np.split)
def split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    """np.split."""
    return _split(ary, indices_or_sections, axis, True)


@surface(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: Any = 0) -> Any:
    """np.array_split."""
    return _split(ary, indices_or_sections, axis, False)


@surface(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """np.vsplit."""
    return split(ary, indices_or_sections, 0)


@surface(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """np.hsplit."""
    return split(ary, indices_or_sections, 1 if handle(ary).ndim > 1 else 0)


@surface(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """np.dsplit."""
    return split(ary, indices_or_sections, 2)


@surface(np.unstack)
def unstack(x: Any, /, *, axis: Any = 0) -> Any:
    """np.unstack."""
    return tuple(FUNCTIONS[np.moveaxis](x, axis, 0))


# ------------------------------------------------------------------ choosing


@surface(np.where)
def where(condition: Any, x: Any = _NONE, y: Any = _NONE, /) -> Any:
    """np.where with three arguments; with one, of a mask known while tracing."""
    if x is _NONE:
        return np.where(plain(condition, "the condition of np.where(c)"))
    c = as_bool(value(condition))
    a, b = values(x, y, weak=True)
    return wrap(ops.select(*broadcast_all([c, a, b])), "array")


@surface(np.nonzero)
def nonzero(a: Any) -> Any:
    """np.nonzero of a mask known while tracing."""
    return np.nonzero(plain(a, "the argument of np.nonzero"))


@surface(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """np.flatnonzero of a mask known while tracing."""
    return np.flatnonzero(plain(a, "the argument of np.flatnonzero"))


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
    vs = values(*choices)
    i, *vs = broadcast_all([i, *vs])
    picked = vs[-1]
    for k in range(len(vs) - 2, -1, -1):
        picked = ops.select(ops.equal(i, number(k, i)), vs[k], picked)
    return wrap(picked)


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


@surface(np.round, np.around)
def round_(a: Any, decimals: Any = 0, out: Any = None) -> Any:
    """np.round."""
    v = value(a)
    if v.aval.kind in "f":
        scale = 10.0 ** abs(operator.index(decimals))
        if decimals > 0:
            v = ops.div(ops.rint(ops.mul(v, number(scale, v))), number(scale, v))
        elif decimals < 0:
            v = ops.mul(ops.rint(ops.div(v, number(scale, v))), number(scale, v))
        else:
            v = ops.rint(v)
    elif decimals < 0:
        raise refuse("np.round of integers to tens")
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
    if v.aval.kind != "f":
        return wrap(v)
    info = np.finfo(NUMPY[v.aval.dtype])
    high = info.max if posinf is None else posinf
    low = info.min if neginf is None else neginf
    out = ops.select(ops.isnan(v), number(nan, v), v)
    out = ops.select(ops.equal(v, number(np.inf, v)), number(high, v), out)
    return wrap(ops.select(ops.equal(v, number(-np.inf, v)), number(low, v), out))


# ------------------------------------------------------------------ repeating and padding


@surface(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """np.tile."""
    v = value(A)
    counts = shape_tuple(reps)
    n = max(len(counts), v.ndim)
    counts = (1,) * (n - len(counts)) + counts
    shape = (1,) * (n - v.ndim) + v.shape
    split_ = tuple(m for n_ in shape for m in (1, n_))
    wide = tuple(m for c, n_ in zip(counts, shape, strict=True) for m in (c, n_))
    v = _shape.broadcast_to(_shape.reshaped(v, split_), wide)
    return array(_shape.reshaped(v, tuple(c * m for c, m in zip(counts, shape, strict=True))))


@surface(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """np.repeat by counts known while tracing."""
    v = value(a)
    if axis is None:
        v, axis = _shape.reshaped(v, (v.aval.size,)), 0
    i = one_axis(axis, v.ndim)
    counts = plain(repeats, "the counts of np.repeat")
    if counts.size != 1:
        return FUNCTIONS[np.take](wrap(v), np.repeat(np.arange(v.shape[i]), counts), axis=i)
    n = int(counts.ravel()[0])
    wide = (*v.shape[: i + 1], n, *v.shape[i + 1 :])
    v2 = ops.broadcast(v, shape=wide, axes=(i + 1,))
    return array(_shape.reshaped(v2, (*v.shape[:i], v.shape[i] * n, *v.shape[i + 1 :])))


@surface(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    """np.pad, modes constant, edge, wrap, reflect, symmetric, zeros by index tables."""
    v = value(array)
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(i, pad_width.get(i - v.ndim, (0, 0))) for i in range(v.ndim)]
    widths = np.broadcast_to(plain(pad_width, "pad_width"), (v.ndim, 2)).astype(int).tolist()
    fill = options.pop("constant_values", 0)
    if mode != "constant" or options:
        return _pad_by_index(v, widths, mode, options)
    shape = tuple(a + n + b for n, (a, b) in zip(v.shape, widths, strict=True))
    start = tuple(a for a, _ in widths)
    if not is_tracer(fill) and np.ndim(fill) == 0 and fill == 0:
        return wrap(ops.pad(v, shape=shape, start=start, step=(1,) * v.ndim), "array")
    if np.ndim(fill) != 0 and not is_tracer(fill):
        raise refuse("np.pad with several constant values")
    base = filled(0, Aval(v.aval.dtype, shape))
    base = ops.add(base, value(fill, v.aval.dtype))
    return wrap(mutation.put_slice(base, v, start, (1,) * v.ndim), "array")


def _pad_by_index(v: Value, widths: Any, mode: Any, options: Any) -> Any:
    if not isinstance(mode, str) or mode not in ("edge", "wrap", "reflect", "symmetric"):
        raise refuse(f"np.pad with mode={mode!r}")
    for i, (a, b) in enumerate(widths):
        if a or b:
            table = np.pad(np.arange(v.shape[i]), (a, b), mode, **options)
            v = value(FUNCTIONS[np.take](wrap(v, "array"), table, axis=i))
    return wrap(v, "array")


# ------------------------------------------------------------------ taking


@surface(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """np.take."""
    x = value(a)
    if axis is None:
        x, axis = _shape.reshaped(x, (x.aval.size,)), 0
    i = one_axis(axis, x.ndim)
    if holds_tracer(indices):
        at = cast(value(indices), "i64")
    else:
        table = np.asarray(indices)
        if table.size and table.dtype.kind not in "iub":
            raise TypeError("Cannot cast array data to int64 according to the rule 'safe'")
        at = value(table.astype(np.int64)) if table.ndim else value(int(table))
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
    full = tuple(
        n if d == i else max(n, m) for d, (n, m) in enumerate(zip(at.shape, x.shape, strict=True))
    )
    at = _shape.broadcast_to(at, full)
    wide = tuple(m if d == i else n for d, (n, m) in enumerate(zip(full, x.shape, strict=True)))
    return array(ops.index.take_along(_shape.broadcast_to(x, wide), at, i))


@surface(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """np.compress by a mask known while tracing."""
    return take(a, np.flatnonzero(plain(condition, "the condition of np.compress")), axis)


@surface(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """np.delete at positions known while tracing."""
    x = handle(arr) if axis is not None else ravel(arr)
    i = 0 if axis is None else one_axis(axis, x.ndim)
    return take(x, np.delete(np.arange(x.shape[i]), obj), i)


@surface(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """np.insert at one position known while tracing."""
    x = handle(arr) if axis is not None else ravel(arr)
    i = 0 if axis is None else one_axis(axis, x.ndim)
    at = operator.index(obj) % (x.shape[i] + 1) if not np.ndim(obj) else None
    if at is None:
        raise refuse("np.insert at several positions")
    v = value(values, x._value.aval.dtype)
    part = list(x.shape)
    part[i] = 1 if v.ndim < x.ndim or (x.ndim == 1 and v.ndim == 0) else v.shape[i]
    if x.ndim == 1 and v.ndim == 1:
        part[0] = v.shape[0]
    new = _shape.broadcast_to(v, tuple(part))
    head, tail = split(x, [at], i)
    return concatenate([head, wrap(new), tail], i)


@surface(np.trim_zeros)
def trim_zeros(filt: Any, *_: Any, **__: Any) -> Any:
    """np.trim_zeros."""
    raise refuse("np.trim_zeros", "Its shape depends on values.")


# ------------------------------------------------------------------ triangles and diagonals


def _triangle(upper: bool) -> Any:
    def cut(m: Any, k: Any = 0) -> Any:
        v = value(m)
        mask = np.tri(*v.shape[-2:], k=operator.index(k) - upper, dtype=bool)
        if upper:
            mask = ~mask
        c = _shape.broadcast_to(recorder().lift(mask), v.shape)
        return array(ops.select(c, v, number(0, v)))

    return cut


tril = surface(np.tril)(_triangle(False))
triu = surface(np.triu)(_triangle(True))


@surface(np.diagonal)
def diagonal(a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    """np.diagonal, as a fresh array (NumPy's is a read-only view)."""
    v = value(a)
    i, j = one_axis(axis1, v.ndim), one_axis(axis2, v.ndim)
    if i == j:
        raise ValueError("axis1 and axis2 cannot be the same")
    offset = operator.index(offset)
    rest = tuple(d for d in range(v.ndim) if d not in (i, j))
    v = _shape.permuted(v, (*rest, i, j))
    n, m = v.shape[-2:]
    count = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    first = offset if offset >= 0 else -offset * m
    lead = v.shape[:-2]
    # Elements of a diagonal lie m + 1 apart in the flattened matrix.
    flat = _shape.reshaped(v, (*lead, n * m))
    k = len(lead)
    out = ops.slice_(
        flat,
        start=(0,) * k + (first if count else 0,),
        size=(*lead, count),
        step=(1,) * k + (m + 1,),
    )
    return array(out)


@surface(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: Any = 0) -> Any:
    """np.linalg.diagonal."""
    return diagonal(x, offset, -2, -1)


@surface(np.diag)
def diag(v: Any, k: Any = 0) -> Any:
    """np.diag."""
    x = value(v)
    if x.ndim == 2:
        return diagonal(v, k)
    if x.ndim != 1:
        raise ValueError("Input must be 1- or 2-d.")
    k = operator.index(k)
    n = x.shape[0] + abs(k)
    first = k if k >= 0 else -k * n
    line = x
    if x.shape[0]:
        line = ops.pad(x, shape=(n * n,), start=(first,), step=(n + 1,))
    return array(_shape.reshaped(line, (n, n)))


@surface(np.diagflat)
def diagflat(v: Any, k: Any = 0) -> Any:
    """np.diagflat."""
    return diag(ravel(v), k)


@surface(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """np.fill_diagonal of a matrix."""
    if wrap or handle(a).ndim != 2:
        raise refuse("np.fill_diagonal of this kind")
    n = min(a.shape)
    at = np.arange(n)
    ENTRY["setitem"](a, (at, at), val)


@surface(np.trace, np.linalg.trace)
def trace_(
    a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1, dtype: Any = None, out: Any = None
) -> Any:
    """np.trace."""
    return FUNCTIONS[np.sum](diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype, out=out)


# ------------------------------------------------------------------ like, differences, copies


def _like(fill: Any) -> Any:
    def make(
        a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, *,
        device: Any = None,
    ) -> Any:  # fmt: skip
        aval = value(a).aval
        name = dtype_name(dtype) if dtype is not None else aval.dtype
        new = aval.shape if shape is None else shape_tuple(shape)
        strides = None
        if is_tracer(a) and a._strides is not None and shape is None and order in "KA":
            strides = mutation.fresh_strides(new, name, a)
        return wrap(filled(fill, Aval(name, new)), "array", strides)

    return make


zeros_like = surface(np.zeros_like, np.empty_like)(_like(0))
ones_like = surface(np.ones_like)(_like(1))


@surface(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
    shape: Any = None, *, device: Any = None,
) -> Any:  # fmt: skip
    """np.full_like."""
    aval = value(a).aval
    name = dtype_name(dtype) if dtype is not None else aval.dtype
    new = aval.shape if shape is None else shape_tuple(shape)
    return array(_shape.broadcast_to(value(fill_value, name), new))


@surface(np.diff)
def diff(a: Any, n: int = 1, axis: Any = -1, prepend: Any = _NONE, append: Any = _NONE) -> Any:
    """np.diff."""
    x = handle(a)
    i = one_axis(axis, x.ndim)
    edge = tuple(1 if d == i else m for d, m in enumerate(x.shape))
    parts = [handle(p) if np.ndim(p) or p is a else None for p in ()]
    parts = []
    for extra, first in ((prepend, True), (append, False)):
        if extra is _NONE:
            continue
        v = value(extra)
        v = _shape.broadcast_to(v, edge) if v.ndim == 0 else v
        parts.append((first, v))
    for first, v in parts:
        x = concatenate([v, x] if first else [x, v], i)
    v = value(x)
    for _ in range(n):
        m = max(v.shape[i] - 1, 0)
        high, low = _shape.narrow(v, i, min(1, v.shape[i]), m), _shape.narrow(v, i, 0, m)
        if v.aval.dtype == "bool":
            v = ops.not_equal(high, low)
        else:
            v = ops.sub(high, low)
    return array(v)


@surface(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """np.ediff1d."""
    parts = [ravel(to_begin)] if to_begin is not None else []
    parts.append(diff(ravel(ary)))
    return concatenate(parts + ([ravel(to_end)] if to_end is not None else []))


@surface(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """np.copyto."""
    v = value(src, dst._value.aval.dtype) if is_tracer(dst) else value(src)
    store(dst, v, where, casting)


@surface(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """np.put."""
    handle(a).flat[ind] = v


@surface(np.putmask, np.place)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """np.putmask."""
    v = value(values, a._value.aval.dtype)
    if v.aval.size != 1 and v.shape != a.shape:
        raise refuse("np.putmask with repeated values")
    v = _shape.broadcast_to(_shape.reshaped(v, ()) if v.aval.size == 1 else v, a.shape)
    store(a, v, mask)


@surface(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """np.put_along_axis."""
    x = arr._read()
    at = cast(value(indices), "i64")
    i = one_axis(axis, x.ndim)
    v = _shape.broadcast_to(value(values, x.aval.dtype), at.shape)
    places, axes = ops.index.along(at, i)
    mutation.write(arr, ops.scatter(x, v, *places, axes=axes))


@surface(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """np.searchsorted: how many elements are below (or not above) each value."""
    if sorter is not None:
        a = take(a, sorter)
    keys, xs = values(a, v)
    wide = _shape.reshaped(xs, (*xs.shape, 1))
    below = (ops.less if side == "left" else ops.less_equal)(keys, wide)
    counts = _shape.sum_(cast(below, "i64"), axes=(xs.ndim,))
    return wrap(counts)


@surface(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """np.interp, linear between increasing abscissae."""
    if period is not None:
        raise refuse("np.interp with a period")
    v, xs, fs = (cast(value(a), "f64") for a in (x, xp, fp))
    n = xs.shape[0]
    at = value(searchsorted(wrap(xs, "array"), wrap(v), "right"))
    low = ops.minimum(ops.maximum(ops.sub(at, number(1, at)), number(0, at)), number(n - 2, at))
    high = ops.add(low, number(1, low))
    x0, x1, f0, f1 = (
        ops.gather(s, i, axes=(0,), mode="raise") for s in (xs, fs) for i in (low, high)
    )
    t = ops.div(ops.sub(v, x0), ops.sub(x1, x0))
    y = ops.add(f0, ops.mul(ops.sub(f1, f0), t))
    first = value(fp if left is None else left, "f64")
    last = value(fp if right is None else right, "f64")
    if left is None:
        first = _shape.squeeze(_shape.narrow(first, 0, 0, 1), (0,))
    if right is None:
        last = _shape.squeeze(_shape.narrow(last, 0, n - 1, 1), (0,))
    end = _shape.squeeze(_shape.narrow(xs, 0, n - 1, 1), (0,))
    begin = _shape.squeeze(_shape.narrow(xs, 0, 0, 1), (0,))
    y = ops.select(ops.greater(v, end), last, y)
    return wrap(ops.select(ops.less(v, begin), first, y))


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
    return x.shape == y.shape and bool(FUNCTIONS[np.all](x == y))


_ = (common_dtype, many_axes, stack_nested, broadcast_to)
