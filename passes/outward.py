"""Gathers of rows move outward: `f(x[i])` is `f(x)[i]`, on fewer rows where `i` repeats them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value, all_ops, definitions
from ..ir.ops.contract import dot
from ..ir.ops.elementwise import select, stop_gradient
from ..ir.ops.index import gather, scatter
from ..ir.ops.shape import broadcast, full, reshape, slice_, zeros
from ..ir.prim import Expr
from ..ir.records import dataclass
from ..ir.types import KIND, Aval
from .dce import dce
from .replay import rebuild

REPEATS = 2  # how often a row must be read on average
COST = 12  # additions per row that must be saved: each index is looked at once more
MAX_OPS = 32  # of an expression that is taken apart


def outward(function: Function) -> Function:
    """The function whose elementwise work and products on repeated rows run on the rows once.

    Rows that no index reaches count as one that an index does, and get a cotangent of exactly zero:
    what they hold, or any one number, may be outside of `f`'s domain.
    """
    if not any(map(_repeats, all_ops(function.block))):
        return function
    return rebuild(function, _Mover().visit)


def unmasked(function: Function) -> Function:
    """The function where rows are as they are if whoever reads them knows what no index reaches.

    To gather by the same indices reads no such row, and a mask that stands before what adjoints
    return forgets them.  Then the rows need not wait until the indices have been looked at.
    """
    defs = definitions(function.block)
    masks = [op for op in function.ops if op.prim is select and _reaching(defs, op) is not None]
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
            read = op.prim is gather and op.args == (w, i) and op.attrs["axes"] == (0,)
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


def _repeats(op: Op) -> bool:
    """Whether an op gathers whole rows, most of them several times."""
    if (
        op.prim is not gather
        or op.attrs["axes"] != (0,)
        or op.attrs.get("mode", "raise") != "raise"
    ):
        return False
    x, i = op.args
    known = -1 not in (*x.shape, *i.shape)
    return known and i.ndim > 0 and i.aval.size >= REPEATS * x.shape[0] > 0


@dataclass(eq=False)
class _Tree:
    """What an expression on gathered rows comes to: its gathers' rows and index, its cost."""

    index: Value | None = None
    cost: int = 0
    ops: list[Op] = field(default_factory=list)
    leaves: dict[Value, Value] = field(default_factory=dict)  # gathered values, by their rows


class _Mover:
    """Moves the gathers of one function."""

    def __init__(self) -> None:
        self.sound: set[Value] = set()  # rows without what no index reaches

    def visit(self, b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        """The op on the rows, then gathered; None where that does not pay."""
        if op.prim is dot:
            return self.product(b, op, args)
        if op.blocks or type(op.prim.emit) is not Expr or not op.outs[0].ndim:
            return None
        tree = _Tree(cost=op.prim.emit.cost)
        if not all(_grow(b, a, op.outs[0].shape, tree) for a in args) or tree.index is None:
            return None
        i, out = tree.index, op.outs[0]
        if KIND[out.dtype] != "f" or tree.cost * _width(out, i) < COST:
            return None
        known = {v: self.rows(rows, i) for v, rows in tree.leaves.items()}
        for inner in tree.ops:
            operands = [known.get(a, a) for a in inner.args]
            known[inner.outs[0]] = b.add(inner.prim, operands, inner.attrs)[0]
        operands = [known.get(a, a) for a in args]
        (few,) = b.add(op.prim, operands, op.attrs)
        self.sound.add(few)
        return (gather(few, i, axes=(0,)),)

    def product(self, b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        """A product of gathered rows and a matrix."""
        made = b.defs.get(args[0])
        if made is None or not _repeats(made) or op.attrs["batch"][0]:
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


def _grow(b: Builder, v: Value, shape: tuple[int, ...], tree: _Tree) -> bool:
    """Add an operand to a tree; whether it reads rows by the tree's index alone."""
    if type(v) is Const or not v.ndim:
        return True
    op = b.defs.get(v)
    if op is not None and _repeats(op):
        x, i = op.args
        if tree.index is not None and (i is not tree.index or x.shape[0] != _extent(tree)):
            return False
        tree.index = i
        tree.leaves[v] = x
        return v.shape == shape
    if op is not None and type(op.prim.emit) is Expr and not op.blocks and v.shape == shape:
        if op in tree.ops:
            return True
        if len(tree.ops) >= MAX_OPS or not all(_grow(b, a, shape, tree) for a in op.args):
            return False
        tree.cost += op.prim.emit.cost
        if op not in tree.ops:
            tree.ops.append(op)
        return True
    if tree.index is None:
        return False
    return v.ndim <= len(shape) - tree.index.ndim


def _extent(tree: _Tree) -> int:
    return next(iter(tree.leaves.values())).shape[0]


def _width(v: Value, i: Value) -> int:
    """Elements of one row."""
    return v.aval.size // i.aval.size
