"""Rows that read and write at computed positions: gather, scatter, scatter_add, searchsorted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..access import counted, identity
from ..builder import current
from ..core import Const, Value
from ..prim import ZERO, Call, Prim
from ..types import Aval
from .elementwise import (
    add,
    and_,
    cast,
    equal,
    isnan,
    less,
    less_equal,
    maximum,
    minimum,
    not_,
    or_,
    remainder,
    select,
    sub,
)
from .shape import (
    Mask,
    Shape,
    behind,
    broadcast,
    check_axes,
    drop,
    iota,
    moveaxis,
    permuted,
    reshaped,
    stacked,
    sum_,
    zeros,
)

MODES = ("raise", "clip", "wrap")


def _gathered(row: str, x: Aval, indices: tuple[Aval, ...], axes: Shape) -> Shape:
    """The shape of x at these indices: theirs, then the dims of x that are not indexed."""
    check_axes(row, x.ndim, axes)
    if len(indices) != len(axes) or not axes:
        raise IndexError(f"{row}: {len(indices)} index arrays for the axes {axes} of {x}")
    for i in indices:
        if i.dtype != "i64":
            raise IndexError(f"{row}: arrays used as indices must be of dtype i64, not {i.dtype}")
        if i.shape != indices[0].shape:
            shapes = " ".join(str(j.shape) for j in indices)
            raise IndexError(f"{row}: indexing arrays of different shapes: {shapes}")
    return indices[0].shape + drop(x.shape, axes)


def _gather_infer(x: Aval, *indices: Aval, axes: Shape, mode: str = "raise") -> Aval:
    if mode not in MODES:
        raise ValueError(f"gather: mode {mode!r} is none of {', '.join(MODES)}")
    return Aval(x.dtype, _gathered("gather", x, indices, axes))


def _scatter_infer(x: Aval, upd: Aval, *indices: Aval, axes: Shape) -> Aval:
    wanted = Aval(x.dtype, _gathered("scatter", x, indices, axes))
    if upd != wanted:
        raise ValueError(f"scatter: {upd} cannot be written where {wanted} is indexed in {x}")
    return x


def _settled(shape: Shape, indices: Any, axes: Shape, mode: str) -> tuple[np.ndarray, ...]:
    """Indices that NumPy takes as they are; an IndexError if one is out of bounds."""
    out = []
    for i, a in zip(map(np.asarray, indices), axes, strict=True):
        n = shape[a]
        if i.size and n == 0 and mode != "raise":
            raise IndexError("cannot do a non-empty take from an empty axes.")
        if mode == "clip":
            i = np.clip(i, 0, max(n - 1, 0))
        elif mode == "wrap":
            i = np.remainder(i, max(n, 1))
        else:
            outside = i[(i < -n) | (i >= n)]
            if outside.size:
                raise IndexError(f"index {outside[0]} is out of bounds for axis {a} with size {n}")
        # NumPy visits index arrays in the order of their memory; repeated ones need program order.
        out.append(np.asarray(i, order="C"))
    return tuple(out)


def _gather_ref(x: Any, *indices: Any, axes: Shape, mode: str = "raise") -> np.ndarray:
    front = np.moveaxis(x, axes, range(len(axes)))
    return front[_settled(x.shape, indices, axes, mode)]


def _scatter_ref(x: Any, upd: Any, *indices: Any, axes: Shape) -> np.ndarray:
    out = np.array(x, order="C")
    front = np.moveaxis(out, axes, range(len(axes)))
    front[_settled(out.shape, indices, axes, "raise")] = np.asarray(upd, order="C")
    return out


def _scatter_add_ref(x: Any, upd: Any, *indices: Any, axes: Shape) -> np.ndarray:
    out = np.array(x, order="C")
    front = np.moveaxis(out, axes, range(len(axes)))
    np.add.at(front, _settled(out.shape, indices, axes, "raise"), upd)
    return out


def _inside(i: Value, n: int, mode: str) -> Value:
    """The index that a mode turns `i` into."""
    if mode == "clip":
        return minimum(maximum(i, 0), n - 1)
    return remainder(i, n) if mode == "wrap" else i


def _gather_transpose(
    ct: Value, x: Value, *indices: Value, axes: Shape, mode: str = "raise"
) -> tuple[Any, ...]:
    turns = _turns(x.shape, indices, axes) if mode == "raise" else None
    if turns is not None:
        return _turned_back(ct, turns, axes), *(ZERO for _ in indices)
    at = [_inside(i, x.shape[a], mode) for i, a in zip(indices, axes, strict=True)]
    return scatter_add(zeros(x.aval), ct, *at, axes=axes), *(ZERO for _ in indices)


def _turns(shape: Shape, indices: Sequence[Value], axes: Shape) -> list[tuple[int, Value]] | None:
    """The dims of indices that turn whole axes, and by how far: `iota - shift` along each.

    They reach each place once, negative ones from the end.
    """
    found = [_turn(i) for i in indices]
    known = [t for t in found if t is not None]
    every = sorted(d for d, _ in known) == [*range(len(indices))] == [*range(indices[0].ndim)]
    whole = every and [indices[0].shape[d] for d, _ in known] == [shape[a] for a in axes]
    return known if whole else None


def _turn(i: Value) -> tuple[int, Value] | None:
    """Along which of its dims an index counts from below, and what is taken off."""
    defs, dim = current().defs, 0
    op = defs.get(i)
    if op is not None and op.prim is broadcast and op.args[0].ndim == 1:
        (dim,) = drop(tuple(range(i.ndim)), op.attrs["axes"])
        op = defs.get(op.args[0])
    elif i.ndim != 1:
        return None
    counts = defs.get(op.args[0]) if op is not None and op.prim is sub else None
    if op is None or counts is None or counts.prim is not iota or op.args[1].ndim:
        return None
    return dim, op.args[1]


def _turned_back(ct: Value, turns: Sequence[tuple[int, Value]], axes: Shape) -> Value:
    """What was turned along these axes, turned the other way, its dims in order."""
    dims = [d for d, _ in turns]
    ct = permuted(ct, [*dims, *range(len(dims), ct.ndim)])
    shape = ct.shape[: len(dims)]
    where = []
    for k, (n, (_, shift)) in enumerate(zip(shape, turns, strict=True)):
        back = sub(iota(shape=(n,), axis=0, dtype="i64"), sub(n, shift))
        where.append(broadcast(back, shape=shape, axes=drop(tuple(range(len(shape))), (k,))))
    found = gather(ct, *where, axes=tuple(range(len(dims))))
    order = (*axes, *drop(tuple(range(ct.ndim)), axes))
    return permuted(found, [order.index(d) for d in range(ct.ndim)])


def _scatter_add_transpose(
    ct: Value, x: Value, upd: Value, *indices: Value, axes: Shape
) -> tuple[Any, ...]:
    return ct, gather(ct, *indices, axes=axes), *(ZERO for _ in indices)


def _scatter_transpose(
    ct: Value, x: Value, upd: Value, *indices: Value, axes: Shape
) -> tuple[Any, ...]:
    kept = scatter(ct, zeros(upd.aval), *indices, axes=axes)
    written = gather(ct, *indices, axes=axes)
    won = _winners(tuple(x.shape[a] for a in axes), indices)
    if won is not None:
        extra = tuple(range(won.ndim, upd.ndim))
        written = select(broadcast(won, shape=upd.shape, axes=extra), written, 0)
    return kept, written, *(ZERO for _ in indices)


def _winners(extents: Shape, indices: tuple[Value, ...]) -> Value | None:
    """Where an update survives: it is the last one at its place (None: there is one at most)."""
    shape = indices[0].shape
    count = math.prod(shape)
    if count <= 1 or _apart(extents, indices):
        return None
    order = reshaped(iota(shape=(count,), axis=0, dtype="i64"), shape)
    axes = tuple(range(len(extents)))
    last = scatter(zeros(Aval("i64", extents)), order, *indices, axes=axes)
    return equal(gather(last, *indices, axes=axes), order)


def _apart(extents: Shape, indices: tuple[Value, ...]) -> bool:
    """Whether no two places are one: along every dim of the indices one of them counts."""
    defs, shape = current().defs, indices[0].shape
    found = [
        counted(defs, i, identity(len(shape)), n) for i, n in zip(indices, extents, strict=True)
    ]
    dims = {at[0] for at in found if at is not None and at[2] != 0}
    return all(n == 1 or d in dims for d, n in enumerate(shape))


def _at_rows(
    size: int, indices: Sequence[Value], moved: Sequence[bool], axes: Shape
) -> tuple[list[Value], Shape]:
    """Indices that differ from row to row, and the row itself as the first of them."""
    every = [i if m else stacked(i, size) for i, m in zip(indices, moved, strict=True)]
    return [iota(shape=every[0].shape, axis=0, dtype="i64"), *every], (0, *behind(axes))


def _gather_batch(args: Sequence[Value], moved: Mask, *, axes: Shape, mode: str = "raise") -> Value:
    x, *indices = args
    if not any(moved[1:]):
        return moveaxis(gather(x, *indices, axes=behind(axes), mode=mode), indices[0].ndim, 0)
    size = args[moved.index(True)].shape[0]
    if moved[0]:
        where, axes = _at_rows(size, indices, moved[1:], axes)
    else:
        where = [i if m else stacked(i, size) for i, m in zip(indices, moved[1:], strict=True)]
    return gather(x, *where, axes=axes, mode=mode)


def _scatter_rule(row: Callable[[], Prim]) -> Callable[..., Value]:
    def rule(args: Sequence[Value], moved: Mask, *, axes: Shape) -> Value:
        size = args[moved.index(True)].shape[0]
        x, upd = (a if m else stacked(a, size) for a, m in zip(args[:2], moved[:2], strict=True))
        indices = args[2:]
        if any(moved[2:]):
            where, axes = _at_rows(size, indices, moved[2:], axes)
            return row()(x, upd, *where, axes=axes)
        return row()(x, moveaxis(upd, 0, indices[0].ndim), *indices, axes=behind(axes))

    return rule


gather: Prim = Prim(
    name="gather",
    infer=_gather_infer,
    ref=_gather_ref,
    emit=Call("gather"),
    transpose=_gather_transpose,
    linear=(0,),
    batch=_gather_batch,
    defaults={"mode": "raise"},
    domain="index",
)
scatter_add: Prim = Prim(
    name="scatter_add",
    infer=_scatter_infer,
    ref=_scatter_add_ref,
    emit=Call("scatter_add"),
    transpose=_scatter_add_transpose,
    linear=(0, 1),
    batch=_scatter_rule(lambda: scatter_add),
    domain="index",
)
scatter: Prim = Prim(
    name="scatter",
    infer=_scatter_infer,
    ref=_scatter_ref,
    emit=Call("scatter"),
    transpose=_scatter_transpose,
    linear=(0, 1),
    batch=_scatter_rule(lambda: scatter),
    domain="index",
)


def along(indices: Value, axis: int) -> tuple[tuple[Value, ...], Shape]:
    """Index arrays and axes that read every dim at its own position but `axis` at `indices`."""
    shape = indices.shape
    where = (
        indices if d == axis else iota(shape=shape, axis=d, dtype="i64") for d in range(len(shape))
    )
    return tuple(where), tuple(range(len(shape)))


def take_along(x: Value, indices: Value, axis: int) -> Value:
    """`x` at `indices` along one axis, as np.take_along_axis (equal extents elsewhere)."""
    check_axes("take_along", x.ndim, (axis,))
    if drop(x.shape, (axis,)) != drop(indices.shape, (axis,)):
        raise IndexError(f"indices of shape {indices.shape} do not match {x.shape} off axis {axis}")
    where, axes = along(indices, axis)
    return gather(x, *where, axes=axes)


def add_into(x: Value, y: Value) -> Value:
    """`x + y`; a scatter into zeros becomes one into the other, which touches what it adds."""
    defs = current().defs
    for whole, part in ((x, y), (y, x)):
        op = defs.get(part)
        if op is not None and op.prim is scatter_add and _are_zeros(op.args[0]):
            return scatter_add(whole, *op.args[1:], **op.attrs)
    return add(x, y)


def _are_zeros(v: Value) -> bool:
    op = current().defs.get(v)
    scalar = op.args[0] if op is not None and op.prim is broadcast else v
    return isinstance(scalar, Const) and bool(scalar.data == 0)


# ------------------------------------------------------------------ search


def _search_infer(keys: Aval, x: Aval, *, right: bool = False) -> Aval:
    if keys.ndim != 1:
        raise ValueError(f"searchsorted: the keys {keys} are not a vector")
    if keys.dtype != x.dtype:
        raise TypeError(f"searchsorted: keys {keys} and values {x} are of different dtypes")
    return Aval("i64", x.shape)


def _search_ref(keys: Any, x: Any, *, right: bool = False) -> np.ndarray:
    found = np.searchsorted(keys, x, "right" if right else "left")
    return np.asarray(found, np.int64)


def below(keys: Value, x: Value, *, right: bool) -> Value:
    """How many of the ascending keys along the last axis lie below each value, all compared.

    At it, too, on the right; NaN come last.
    """
    wide = reshaped(x, (*x.shape, 1))
    found = (less_equal if right else less)(keys, wide)
    if x.aval.kind == "f":
        nan = isnan(wide)
        found = or_(found, nan if right else and_(nan, not_(isnan(keys))))
    return sum_(cast(found, dtype="i64"), axes=(x.ndim,))


def _search_batch(args: Sequence[Value], moved: Mask, *, right: bool = False) -> Value:
    """Keys that differ from row to row are compared, all of them, with the row's values."""
    keys, x = args
    if not moved[0]:
        return searchsorted(keys, x, right=right)
    x = x if moved[1] else stacked(x, keys.shape[0])
    size, n = keys.shape
    return below(reshaped(keys, (size, *(1 for _ in x.shape[1:]), n)), x, right=right)


searchsorted: Prim = Prim(
    name="searchsorted",
    infer=_search_infer,
    ref=_search_ref,
    emit=Call("searchsorted"),
    nondiff="how many keys lie below a value is a whole number",
    batch=_search_batch,
    defaults={"right": False},
    domain="sorted",
)
