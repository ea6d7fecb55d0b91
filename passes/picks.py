"""Elements picked row by row, as `x[np.arange(n), i]` and np.take_along_axis pick them.

Where an index counts along its axis the rows stay rows: what is picked of all of them one after the
other is the array itself, and what is put into each of them is a choice along the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.access import counted, identity
from ..ir.core import Value
from ..ir.ops.elementwise import add, equal, select
from ..ir.ops.index import gather
from ..ir.ops.shape import broadcast, iota, permuted, reshaped
from ..ir.prim import Expr
from .normal import Normal, Step

Args = tuple[Value, ...]
Attrs = Mapping[str, Any]


def _rows(b: Normal, x: Value, indices: Args, axes: tuple[int, ...]) -> dict[int, int]:
    """The dims of the indices that count along whole axes of x, by axis."""
    shape = indices[0].shape
    found: dict[int, int] = {}
    for axis, i in zip(axes, indices, strict=True):
        at = counted(b.defs, i, identity(len(shape)), x.shape[axis])
        if at is None or at[0] is None or at[0] in found.values():
            continue
        if at[1:] == (0, 1) and shape[at[0]] == x.shape[axis]:
            found[axis] = at[0]
    return found


def _gather(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """All rows one after the other."""
    x, *indices = args
    shape = indices[0].shape
    if attrs["axes"] != (0,) or not _rows(b, x, tuple(indices), (0,)):
        return None
    whole = indices[0].aval.size == x.shape[0]
    return reshaped(x, (*shape, *x.shape[1:])) if whole else None


def _put(added: bool) -> Step:
    """The rule of `scatter_add`, or of `scatter`."""

    def rule(b: Normal, args: Args, attrs: Attrs) -> Value | None:
        x, upd, *indices = args
        axes, shape = attrs["axes"], indices[0].shape
        rows = _rows(b, x, tuple(indices), axes)
        rest = [a for a in axes if a not in rows]
        units = [d for d in range(len(shape)) if d not in rows.values()]
        if not rows or len(rest) > 1 or any(shape[d] != 1 for d in units) or not _made(b, x):
            return None
        kept = [a for a in range(x.ndim) if a not in axes]
        # The dims of the updates, in the order of the axes of x that they run along.
        order = {a: rows[a] for a in rows} | {a: len(shape) + k for k, a in enumerate(kept)}
        put = _ordered(upd, [order[a] for a in sorted(order)], units)
        if not rest:
            return add(x, put) if added else put
        (axis,) = rest
        at = _ordered(indices[axes.index(axis)], [rows[a] for a in sorted(rows)], units)
        n = x.shape[axis]
        # A look at 0, 1, 2... by the index: it is checked, and one from the end is turned.
        at = gather(iota(shape=(n,), axis=0, dtype="i64"), at, axes=(0,))
        at = broadcast(at, shape=x.shape, axes=tuple(a for a in range(x.ndim) if a not in rows))
        here = equal(iota(shape=x.shape, axis=axis, dtype="i64"), at)
        put = broadcast(put, shape=x.shape, axes=(axis,))
        return select(here, add(x, put) if added else put, x)

    return rule


def _ordered(v: Value, dims: list[int], units: list[int]) -> Value:
    """A value with its dims in this order, those of a single element dropped."""
    turned = permuted(v, [*dims, *units])
    return reshaped(turned, turned.shape[: len(dims)])


def _made(b: Normal, x: Value) -> bool:
    """Whether an array is made element by element: what is stored is changed in place."""
    op = b.defs.get(x)
    return op is not None and (type(op.prim.emit) is Expr or op.prim is broadcast)


PICKS: dict[str, tuple[Step, ...]] = {
    "gather": (_gather,),
    "scatter": (_put(False),),
    "scatter_add": (_put(True),),
}
