"""Nests of loops over arrays whose elements all of them visit in the order of memory.

Rows of ten numbers fill no register, and a sum over all of them would add up each row by itself.
Where every member of a nest reads and writes whole arrays, one loop over all elements does what the
nest would, in the same order: sums over (20000, 10) take a fifth of the time so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from ..ir.access import Index, identity, reads, view_map
from ..ir.core import Const, Op, Value
from ..ir.plan import Loop, Root, Stmts
from ..ir.prim import Expr
from ..ir.types import Extent

if TYPE_CHECKING:
    from .reader import Reader

At = tuple[Index, ...]
Axes = Mapping[int, int]  # dims of a domain, from the outermost on, and their extents

FEW = 64  # elements of a row that is worth joining with others; of a nest that LLVM unrolls


def nest(w: Reader, loop: Loop) -> list[Loop]:
    """The loops from this one to the innermost that can be one loop; none if they cannot."""
    chain = [loop]
    while len(chain[-1].body) == 1 and isinstance(chain[-1].body[0], Loop):
        chain.append(chain[-1].body[0])
    rows = chain[1:]
    plain = not any(x.strip or x.low or x.ahead for x in chain)
    row = prod(x.high for x in rows)
    short = bool(rows) and row <= FEW < row * loop.high and not any(map(_varies, rows))
    if not (plain and short and all(isinstance(i, Stmts) for i in chain[-1].body)):
        return []
    whole = all(x.dims.keys() == loop.dims.keys() for x in rows)
    return chain if whole and all(_fits(w, r, chain) for r in loop.members) else []


def _varies(loop: Loop) -> bool:
    return isinstance(loop.high, Extent) and loop.high.varies


def _fits(w: Reader, r: Root, chain: Sequence[Loop]) -> bool:
    """Whether a member reads and writes arrays whole, in their order."""
    if r.kind not in ("store", "fold"):
        return False
    axes = {}
    for x in chain:
        d, off = x.dims[r]
        axes[d] = x.high
        if off or r.dims[d] != x.high:
            return False
    if any(d in axes for d, _ in r.breaks) or len({d in r.par for d in axes}) > 1:
        return False
    here = identity(len(r.dims))
    written = not axes.keys().isdisjoint(r.par)
    if written and not _in_order(w, r.value, [here[p] for p in r.par], axes):
        return False
    if r.op is None:
        return r.source is not None and _all_whole(w, [(r.source, here)], axes)
    if r.kind == "fold":
        return _all_whole(w, [(r.op.args[0], here)], axes)
    return _plain(r.op) and _all_whole(w, list(reads(r.op, here)), axes)


def _all_whole(w: Reader, todo: list[tuple[Value, At]], axes: Axes) -> bool:
    """Whether values are made of arrays that are read in their order, or not along these axes."""
    seen = set(todo)
    while todo:
        v, index = todo.pop()
        if type(v) is Const or v in w.local:  # what rounds carry in a register
            continue
        if v in w.bound or w.is_stored(v):
            if not _in_order(w, v, index, axes):
                return False
            continue
        op = w.plan.defs[v]
        if not _plain(op):
            return False
        more = [found for found in reads(op, index) if found not in seen]
        seen.update(more)
        todo += more
    return True


def _plain(op: Op) -> bool:
    """Whether an op is elementwise, or another index everywhere."""
    view = None if isinstance(op.prim.emit, Expr) else view_map(op)
    return isinstance(op.prim.emit, Expr) or (view is not None and not view.windows)


def _in_order(w: Reader, v: Value, index: Sequence[Index], axes: Axes) -> bool:
    """Whether an array is read (or written) along these axes of a domain as it lies in memory."""
    wide = [k for k, n in enumerate(v.shape) if n != 1]
    along = [k for k in wide if index[k][0] in axes]
    if not along:
        return True
    first = wide.index(along[0])
    if along != wide[first : first + len(axes)] or v in w.plan.inside or v in w.bound:
        return False
    start = index[along[0]][1]  # the outermost of them may begin further on
    if start is None or [index[k] for k in along] != _counting(axes, start):
        return False
    if [v.shape[k] for k in along[1:]] != list(axes.values())[1:]:
        return False
    storage = w.plan.storage.get(v)
    if v in w.plan.aliases or storage is None:
        return True
    return {storage.kept[k] for k in along} in ({"full"}, {"drop"})


def _counting(axes: Axes, start: int) -> list[Index]:
    """Indices that count along these axes, the first of them from `start` on."""
    return [(d, 0 if k else start, 1) for k, d in enumerate(axes)]
