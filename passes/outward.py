"""Gathers of rows move outward: `f(x[i])` is `f(x)[i]`, on fewer rows where `i` repeats them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ..ir.access import counted, identity
from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value, all_ops, definitions, use_counts
from ..ir.ops.contract import dot
from ..ir.ops.elementwise import select, stop_gradient
from ..ir.ops.index import gather, scatter
from ..ir.ops.shape import broadcast, full, reshape, slice_, zeros
from ..ir.prim import Expr, Fold
from ..ir.records import dataclass
from ..ir.types import KIND, Aval
from .dce import dce
from .replay import rebuild

REPEATS = 2  # how often a row must be read on average
COST = 12  # additions per row that must be saved: each index is looked at once more
MAX_OPS = 32  # of an expression that is taken apart
MANY = 1 << 30


def outward(function: Function) -> Function:
    """The function whose elementwise work and products on repeated rows run on the rows once.

    Rows that no index reaches count as one that an index does, and get a cotangent of exactly zero:
    what they hold, or any one number, may be outside of `f`'s domain.
    """
    if not any(map(repeats, all_ops(function.block))):
        return function
    return rebuild(function, _Mover(use_counts(function.block)).visit)


def unmasked(function: Function) -> Function:
    """The function where rows are as they are if whoever reads them knows what no index reaches.

    To gather by the same indices reads no such row, and a mask that stands before what adjoints
    return forgets them.  Then the rows need not wait until the indices have been looked at.
    """
    defs = definitions(function.block)
    masks = [
        op
        for op in function.ops
        if op.prim is select
        and op.args[1].aval == op.outs[0].aval
        and _reaching(defs, op) is not None
    ]
    if not masks:
        return function
    function = dce(function)
    uses: dict[Value, list[Op]] = {}
    for op in function.ops:
        for a in dict.fromkeys(op.args):
            uses.setdefault(a, []).append(op)
    outs = set(function.outs)
    bare = {op.outs[0] for op in masks if _forgotten(defs, uses, outs, op.outs[0])}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        return (args[1],) if op.outs and op.outs[0] in bare else None

    return rebuild(function, visit)


def _reaching(defs: Mapping[Value, Op], op: Op) -> Value | None:
    """The indices of rows that `select(reached, x, y)` leaves, where an op is that."""
    m = op.args[0]
    made = defs.get(m)
    if made is not None and made.prim is broadcast:
        made = defs.get(made.args[0])
    if made is None or made.prim is not scatter or m.ndim != op.outs[0].ndim:
        return None
    base, put, i = made.args[0], made.args[1], made.args[-1]
    known = _repeated(defs, base) is False and _repeated(defs, put) is True
    rows = made.outs[0].ndim == 1 and made.outs[0].shape[0] == op.outs[0].shape[0]
    return i if known and rows else None


def _repeated(defs: Mapping[Value, Op], v: Value) -> object:
    """The number that all elements of a value are; None if they are not known to be one."""
    op = defs.get(v)
    v = op.args[0] if op is not None and op.prim is broadcast else v
    return bool(v.data) if type(v) is Const and v.dtype == "bool" else None


def _forgotten(
    defs: Mapping[Value, Op], uses: Mapping[Value, list[Op]], outs: set[Value], v: Value
) -> bool:
    """Whether nothing that is made of a value's rows shows those that no index reaches."""
    i, n = _reaching(defs, defs[v]), v.shape[0]
    todo, seen = [v], {v}
    while todo:
        w = todo.pop()
        if w in outs:
            return False
        for op in uses.get(w, ()):
            read = op.prim is gather and op.args == (w, i) and _takes_rows(op)
            hidden = op.prim is select and op.args[1] is w and w is not op.args[2]
            if read or (hidden and _reaching(defs, op) is i):
                continue
            (out, *more) = op.outs or (None,)
            plain = type(op.prim.emit) is Expr and not op.blocks and op.prim.pure
            if out is None or more or not plain or out.shape != w.shape or out.shape[0] != n:
                return False
            if out not in seen:
                seen.add(out)
                todo.append(out)
    return True


def _takes_rows(op: Op) -> bool:
    """Whether a gather takes whole rows, at indices as they are."""
    return op.attrs["axes"] == (0,) and op.attrs.get("mode", "raise") == "raise"


def repeats(op: Op) -> bool:
    """Whether an op gathers whole rows, most of them several times."""
    if op.prim is not gather or not _takes_rows(op):
        return False
    x, i = op.args
    known = -1 not in (*x.shape, *i.shape)
    return known and i.ndim > 0 and i.aval.size >= REPEATS * x.shape[0] > 0


@dataclass(eq=False)
class _Tree:
    """What an expression on rows that `index` gathers comes to: its gathers, its cost per row."""

    index: Value
    cost: int = 0
    ops: list[Op] = field(default_factory=list)
    leaves: dict[Value, Value] = field(default_factory=dict)  # rows, by what is gathered of them
    same: dict[Value, Value] = field(default_factory=dict)  # numbers, by what repeats them

    @property
    def extent(self) -> int:
        """How many rows there are."""
        return next(iter(self.leaves.values())).shape[0]


class _Mover:
    """Moves the gathers of one function, whose values are read so many times."""

    def __init__(self, uses: Mapping[Value, int]) -> None:
        self.sound: set[Value] = set()  # rows without what no index reaches
        self.uses = uses
        self.reads: dict[Value, int] = {}  # how often the values of the new function are read

    def visit(self, b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        """The op on the rows, then gathered; None where that does not pay."""
        for old, new in zip(op.args, args, strict=True):
            self.reads[new] = max(self.reads.get(new, 0), self.uses.get(old, MANY))
        if op.prim is dot:
            return self.product(b, op, args)
        if op.prim is gather:
            return _through(b, op, args)
        if op.blocks or not isinstance(op.prim.emit, Expr | Fold) or KIND[op.outs[0].dtype] != "f":
            return None
        i = _index(b, args)
        return None if i is None else self.expression(b, op, args, _Tree(i))

    def expression(
        self, b: Builder, op: Op, args: tuple[Value, ...], tree: _Tree
    ) -> tuple[Value, ...] | None:
        """An elementwise op or a reduction along rows, with all such before it."""
        new = Op(op.prim, args, op.attrs, op.outs, {}, op.where)
        if not _joins(b, new, tree) or not tree.leaves:
            return None
        if tree.cost < COST and not self.is_free(tree, op.outs[0]):
            return None
        known = {v: self.rows(rows, tree.index) for v, rows in tree.leaves.items()} | tree.same
        for inner in tree.ops:
            operands = [known.get(a, a) for a in inner.args]
            attrs = _by_row(inner, tree.index, tree.extent)
            assert attrs is not None
            known[inner.outs[0]] = b.add(inner.prim, operands, attrs)[0]
        few = known[op.outs[0]]
        self.sound.add(few)
        return (gather(few, tree.index, axes=(0,)),)

    def is_free(self, tree: _Tree, out: Value) -> bool:
        """Whether moving an op takes no look at an index more than there are already.

        Its rows are free of what no index reaches, nothing else reads what is gathered, and the
        rows of its result are no longer than those.
        """
        if not all(rows in self.sound for rows in tree.leaves.values()):
            return False
        inside = Counter(a for op in tree.ops for a in op.args)
        made = [*tree.leaves, *(op.outs[0] for op in tree.ops[:-1])]
        return all(self.reads.get(v, MANY) <= inside[v] for v in made) and out.aval.size <= sum(
            v.aval.size for v in tree.leaves
        )

    def product(self, b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        """A product of gathered rows and a matrix."""
        made = b.defs.get(args[0])
        if made is None or not repeats(made) or op.attrs["batch"][0]:
            return None
        x, i = made.args
        ahead = i.ndim - 1
        left, right = op.attrs["contract"]
        if min(left) < i.ndim:
            return None
        rows = self.rows(x, i)
        moved = tuple(d - ahead for d in left), right
        few = dot(rows, args[1], contract=moved, batch=op.attrs["batch"])
        self.sound.add(few)
        return (gather(few, i, axes=(0,)),)

    def rows(self, x: Value, i: Value) -> Value:
        """The rows that a value is gathered from, the first of them where no index reaches.

        Where `f(x[i], w)` has slopes, so has that row: then zero times it is zero in those of `w`.
        """
        if x in self.sound:
            return x
        n = x.shape[0]
        one = slice_(i, start=(0,) * i.ndim, size=(1,) * i.ndim, step=(1,) * i.ndim)
        first = stop_gradient(gather(x, reshape(one, shape=()), axes=(0,)))
        reached = scatter(
            zeros(Aval("bool", (n,))), full(True, Aval("bool", i.shape)), i, axes=(0,)
        )
        if x.ndim > 1:
            reached = broadcast(reached, shape=x.shape, axes=tuple(range(1, x.ndim)))
        return select(reached, x, broadcast(first, shape=x.shape, axes=(0,)))


def _index(b: Builder, args: Sequence[Value]) -> Value | None:
    """The index by which an expression reads repeated rows first."""
    todo, looked = list(args), 0
    while todo and looked < MAX_OPS:
        op = b.defs.get(todo.pop())
        looked += 1
        if op is not None and repeats(op):
            return op.args[1]
        if op is not None and not op.blocks and len(op.outs) == 1 and _is_by_row(op):
            todo += op.args
    return None


def _is_by_row(op: Op) -> bool:
    return isinstance(op.prim.emit, Expr | Fold) or op.prim in (broadcast, reshape)


def _by_row(op: Op, i: Value, rows: int) -> Mapping[str, Any] | None:
    """The attributes of an op on rows, which does the same for each; None if there is none."""
    k, attrs = i.ndim, dict(op.attrs)
    if isinstance(op.prim.emit, Fold) or op.prim is broadcast:
        if min(attrs["axes"], default=k) < k:
            return None
        attrs["axes"] = tuple(a - k + 1 for a in attrs["axes"])
    if op.prim in (broadcast, reshape):
        if op.args[0].shape[:k] != i.shape:
            return None
        attrs["shape"] = (rows, *op.outs[0].shape[k:])
    return attrs


def _joins(b: Builder, op: Op, tree: _Tree) -> bool:
    """Add an op to a tree, after what it reads; whether that is rows of one index alone."""
    i, (out, *more) = tree.index, op.outs
    if op in tree.ops:
        return True
    if more or op.blocks or not _is_by_row(op) or len(tree.ops) >= MAX_OPS:
        return False
    if out.shape[: i.ndim] != i.shape or _by_row(op, i, 0) is None:
        return False
    wide = max((a.ndim for a in op.args), default=0)
    found = [_reads_rows(b, a, wide, tree) for a in op.args]
    if None in found or True not in found:
        return False
    emit = op.prim.emit
    if isinstance(emit, Expr):
        shapes = [a.shape for a in op.args if a not in tree.same]
        if np.broadcast_shapes(*shapes) != out.shape:
            return False
    each = emit.cost if isinstance(emit, Expr) else 1 if isinstance(emit, Fold) else 0
    tree.cost += each * max(a.aval.size for a in (out, *op.args)) // max(1, i.aval.size)
    tree.ops.append(op)
    return True


def _reads_rows(b: Builder, v: Value, rank: int, tree: _Tree) -> bool | None:
    """Whether an operand of an op of this rank reads the tree's rows; None if it reads others."""
    i = tree.index
    if type(v) is Const or v.ndim <= rank - i.ndim:
        return False
    op = b.defs.get(v)
    if op is None:
        return None
    if op.prim is broadcast and not op.args[0].ndim:
        tree.same[v] = op.args[0]
        return False
    if v.ndim != rank:  # its rows lie beside dims of another operand's rows
        return None
    if repeats(op):
        x, j = op.args
        if j is not i or (tree.leaves and x.shape[0] != tree.extent):
            return None
        tree.leaves[v] = x
        return True
    return True if _joins(b, op, tree) else None


def _through(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
    """Elements picked of rows that are gathered one after the other are picked of the rows."""
    x, *at = args
    made = b.defs.get(x)
    if made is None or not repeats(made) or op.attrs.get("mode", "raise") != "raise":
        return None
    rows, i = made.args
    axes, defs = op.attrs["axes"], b.defs
    if i.ndim != 1 or 0 not in axes or at[0].ndim != 1:
        return None
    k = axes.index(0)
    if counted(defs, at[k], identity(1), i.shape[0]) != (0, 0, 1) or at[k].shape != i.shape:
        return None
    at[k] = i
    return (gather(rows, *at, axes=axes),)
