"""Joining, splitting, choosing: concatenate and kin, where, select, clip, pad, take, diagonals."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval, broadcast_shapes
from . import mutation
from .promote import can_cast, dtype_name
from .record import recorder
from .surface import (
    FUNCTIONS,
    array,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    many_axes,
    number,
    one_axis,
    plain,
    shape_tuple,
    surface,
    value,
    values,
    wrap,
)
from .surface_array import laid
from .surface_shape import handle, ravel, reshape
from .surface_ufunc import check_traced, store
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
    _check_depths(arrays, depth, ())
    ndim = max(depth, *(value(a).ndim for a in _flat(arrays)))
    return array(_block(arrays, depth, ndim))


def _depth(x: Any) -> int:
    return 1 + max(map(_depth, x)) if isinstance(x, list) else 0


def _check_depths(x: Any, depth: int, place: tuple[int, ...]) -> None:
    """NumPy's error where lists are nested unevenly."""
    if isinstance(x, list) and depth:
        for i, e in enumerate(x):
            _check_depths(e, depth - 1, (*place, i))
    elif isinstance(x, list) or depth:
        at = "".join(f"[{i}]" for i in place)
        raise ValueError(f"List depths are mismatched. There is another depth at arrays{at}")


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
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    grids = [reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    if indexing == "xy" and n > 1:
        grids = [g.swapaxes(0, 1) for g in grids]
    if not sparse:
        grids = list(FUNCTIONS[np.broadcast_arrays](*grids))
    return tuple(g.copy() for g in grids) if copy else tuple(grids)


# ------------------------------------------------------------------ splitting


def _bounds(n: int, parts: Any, exact: bool) -> list[tuple[int, int]]:
    if isinstance(parts, (int, np.integer)) or (is_tracer(parts) and not parts.shape):
        count = operator.index(parts)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        if exact and n % count:
            raise ValueError("array split does not result in an equal division")
        each, extra = divmod(n, count)
        cuts = [i * each + min(i, extra) for i in range(count + 1)]
    else:
        if holds_tracer(parts):
            parts = plain(parts, "where an array is split")
        cuts = [0, *(operator.index(i) for i in parts), n]
    return list(pairwise(cuts))


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
    if handle(ary).ndim < 2:
        raise ValueError("vsplit only works on arrays of 2 or more dimensions")
    return split(ary, indices_or_sections, 0)


@surface(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """np.hsplit."""
    if handle(ary).ndim == 0:
        raise ValueError("hsplit only works on arrays of 1 or more dimensions")
    return split(ary, indices_or_sections, 1 if handle(ary).ndim > 1 else 0)


@surface(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """np.dsplit."""
    if handle(ary).ndim < 3:
        raise ValueError("dsplit only works on arrays of 3 or more dimensions")
    return split(ary, indices_or_sections, 2)


@surface(np.unstack)
def unstack(x: Any, /, *, axis: Any = 0) -> Any:
    """np.unstack."""
    return tuple(FUNCTIONS[np.moveaxis](x, axis, 0))


# ------------------------------------------------------------------ repeating


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
    if counts.dtype.kind not in "iub":
        raise TypeError("Cannot cast the counts of np.repeat to int64 by the rule 'safe'")
    if v.shape[i] and np.any(counts < 0):
        raise ValueError("repeats may not contain negative values.")
    if counts.size != 1:
        if counts.shape != (v.shape[i],):
            raise ValueError(
                f"operands could not be broadcast together with shape ({v.shape[i]},) "
                f"{counts.shape}"
            )
        return FUNCTIONS[np.take](wrap(v), np.repeat(np.arange(v.shape[i]), counts), axis=i)
    n = int(counts.ravel()[0])
    wide = (*v.shape[: i + 1], n, *v.shape[i + 1 :])
    v2 = ops.broadcast(v, shape=wide, axes=(i + 1,))
    return array(_shape.reshaped(v2, (*v.shape[:i], v.shape[i] * n, *v.shape[i + 1 :])))


# ------------------------------------------------------------------ triangles and diagonals


def _triangle(upper: bool) -> Any:
    def cut(m: Any, k: Any = 0) -> Any:
        v = value(m)
        shape: Any = v.shape[-2:]
        numpys: Any = np.tri
        mask = numpys(*shape, k=operator.index(k) - upper, dtype=bool)  # NumPy's error if 0-d
        if upper:
            mask = ~mask
        wide = v.shape if v.ndim > 1 else mask.shape  # a vector becomes a triangle of its copies
        c = _shape.broadcast_to(recorder().lift(mask), wide)
        return array(ops.select(c, _shape.broadcast_to(v, wide), number(0, v)))

    return cut


tril = surface(np.tril)(_triangle(False))
triu = surface(np.triu)(_triangle(True))


@surface(np.diagonal)
def diagonal(a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1) -> Any:
    """np.diagonal, a view that may not be written."""
    return diagonal_view(handle(a), operator.index(offset), axis1, axis2, "it is a diagonal")


def diagonal_view(h: Any, offset: int, axis1: Any, axis2: Any, frozen: str = "") -> Any:
    """The elements of a diagonal, behind the other dims."""
    i, j = one_axis(axis1, h.ndim), one_axis(axis2, h.ndim)
    if i == j:
        raise ValueError("axis1 and axis2 cannot be the same")
    rest = tuple(d for d in range(h.ndim) if d not in (i, j))
    lead, (n, m) = tuple(h.shape[d] for d in rest), (h.shape[i], h.shape[j])
    count = max(min(n, m - offset) if offset >= 0 else min(n + offset, m), 0)
    first = offset if offset >= 0 else -offset * m
    # Elements of a diagonal lie m + 1 apart in the flattened matrix.
    start = (0,) * len(lead) + (first if count else 0,)
    step = (1,) * len(lead) + (m + 1,)
    perm = (*rest, i, j)

    def flat(base: Value) -> Value:
        return _shape.reshaped(_shape.permuted(base, perm), (*lead, n * m))

    def get(base: Value) -> Value:
        return ops.slice_(flat(base), start=start, size=(*lead, count), step=step)

    def put(base: Value, new: Value) -> Value:
        whole = _shape.reshaped(mutation.put_slice(flat(base), new, start, step), (*lead, n, m))
        return _shape.permuted(whole, _shape.inverse(perm))

    old, shape = mutation.strides_of(h), (*lead, count)
    strides = mutation.normal(
        shape, (*(old[d] for d in rest), old[i] + old[j]), h._value.aval.dtype
    )
    return mutation.view(h, mutation.View(get, put, frozen), strides)


@surface(np.linalg.diagonal)
def linalg_diagonal(x: Any, /, *, offset: Any = 0) -> Any:
    """np.linalg.diagonal."""
    return diagonal(x, offset, -2, -1)


@surface(np.diag)
def diag(v: Any, k: Any = 0) -> Any:
    """np.diag."""
    x = value(v)
    if x.ndim == 2:
        return diagonal(v, k)  # a view, too
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
    """np.fill_diagonal: the elements that np.fill_diagonal writes into an array of positions."""
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    check_traced(a)
    mask = np.zeros(a.shape, int)
    np.fill_diagonal(mask, 1, wrap=wrap)  # NumPy's error where the lengths differ
    at = np.nonzero(mask)
    v = value(val, a._value.aval.dtype)
    if v.ndim:
        v = _shape.reshaped(v, (v.aval.size,))
        turns = np.arange(at[0].size) % max(v.aval.size, 1)
        v = ops.gather(v, value(turns), axes=(0,), mode="raise")
    ENTRY["setitem"](a, at, v)


@surface(np.trace)
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
        strides = mutation.ordered_strides(new, name, order)
        if is_tracer(a) and shape is None:
            strides = laid(a, name, order)
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
    strides = None if shape is not None or not is_tracer(a) else laid(a, name, order)
    return wrap(_shape.broadcast_to(value(fill_value, name), new), "array", strides)


@surface(np.diff)
def diff(a: Any, n: int = 1, axis: Any = -1, prepend: Any = _NONE, append: Any = _NONE) -> Any:
    """np.diff."""
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    x = handle(a)
    if n == 0:
        return x
    if not x.ndim:
        raise ValueError("diff requires input that is at least one dimensional")
    i = one_axis(axis, x.ndim)
    edge = tuple(1 if d == i else m for d, m in enumerate(x.shape))
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
        v = ops.not_equal(high, low) if v.aval.dtype == "bool" else ops.sub(high, low)
    return array(v)


def _shift_axes(x: Any, axes: Any, back: bool) -> Any:
    h = handle(x)
    found = many_axes(axes, h.ndim)
    by = [-(h.shape[i] // 2) if back else h.shape[i] // 2 for i in found]
    return FUNCTIONS[np.roll](h, tuple(by), axis=tuple(found))


@surface(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """np.fft.fftshift."""
    return _shift_axes(x, axes, False)


@surface(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """np.fft.ifftshift."""
    return _shift_axes(x, axes, True)


@surface(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """np.ediff1d."""
    line = ravel(ary)
    dtype = line._value.aval.dtype
    ends = []
    for name, end in (("to_begin", to_begin), ("to_end", to_end)):
        v = value(end if end is not None else np.empty(0, line.dtype))
        if not can_cast(v.aval.dtype, dtype, "same_kind"):
            raise TypeError(f"dtype of `{name}` must be compatible with input `ary` under the "
                            "`same_kind` rule.")  # fmt: skip
        ends.append(ravel(wrap(cast(v, dtype), "array")))
    return concatenate([ends[0], diff(line), ends[1]])


@surface(np.copyto)
def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """np.copyto."""
    store(dst, value(src), where, casting)


@surface(np.put)
def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """np.put at positions that are known, or guarded; values are repeated."""
    check_traced(a)
    places = np.atleast_1d(plain(ind, "the positions of np.put")).ravel().astype(int)
    size = a.size
    if mode == "wrap":
        places = places % max(size, 1)
    elif mode == "clip":
        places = np.clip(places, 0, size - 1)
    new = value(v, a._value.aval.dtype)
    new = _shape.reshaped(new, (new.aval.size,))
    if not places.size or not new.aval.size:
        return
    turns = np.arange(places.size) % new.aval.size
    handle(a).flat[places] = wrap(ops.gather(new, value(turns), axes=(0,), mode="raise"), "array")


@surface(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """np.putmask; values are repeated over the array."""
    check_traced(a)
    v = value(values, a._value.aval.dtype)
    m = value(mask, "bool")
    if m.aval.size != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    if v.aval.size == 1:
        v = _shape.broadcast_to(_shape.reshaped(v, ()), a.shape)
    elif v.shape != a.shape:
        v = _shape.reshaped(v, (v.aval.size,))
        turns = np.arange(a.size) % max(v.aval.size, 1)
        v = ops.gather(v, value(turns), axes=(0,), mode="raise")
    store(a, _shape.reshaped(v, a.shape), wrap(_shape.reshaped(m, a.shape), "array"))


@surface(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """np.place; of several values the mask is guarded."""
    check_traced(arr)
    if value(mask).aval.size != arr.size:
        raise ValueError("place: mask and data must be the same size")
    if value(vals).aval.size == 1:
        putmask(arr, mask, vals)
    else:
        at = np.flatnonzero(plain(mask, "the mask of np.place"))
        flat = value(vals, arr._value.aval.dtype)
        flat = _shape.reshaped(flat, (flat.aval.size,))
        order = np.arange(at.size) % flat.aval.size
        arr.flat[at] = wrap(ops.gather(flat, value(order), axes=(0,), mode="raise"), "array")


def value_of_index(indices: Any) -> Any:
    """An index array for one dim, as an array of the trace."""
    v = cast(value(indices), "i64")
    return wrap(_shape.reshaped(v, (v.aval.size,)), "array")


@surface(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """np.put_along_axis."""
    check_traced(arr)
    if axis is None:
        arr.flat[value_of_index(indices)] = values
        return
    x = arr._read()
    at = cast(value(indices), "i64")
    i = one_axis(axis, x.ndim)
    if at.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    others = tuple(1 if d == i else n for d, n in enumerate(x.shape))
    at = _shape.broadcast_to(at, broadcast_shapes(at.shape, others))
    v = _shape.broadcast_to(value(values, x.aval.dtype), at.shape)
    places, axes = ops.index.along(at, i)
    stretched = [d for d, n in enumerate(x.shape) if d != i and n != at.shape[d]]
    places = tuple(ops.mul(p, number(0, p)) if d in stretched else p for d, p in enumerate(places))
    mutation.write(arr, ops.scatter(x, v, *places, axes=axes))
