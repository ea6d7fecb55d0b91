"""Gathers of few elements move inward: `f(x)[i]` is `f(x[i])`, so that `f` runs on what is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value, all_ops
from ..ir.ops.index import gather
from ..ir.ops.shape import broadcast, reshape
from ..ir.prim import Expr
from ..ir.records import dataclass
from .replay import rebuild

FEWER = 4  # times as few elements as there are
MAX_OPS = 16  # of an expression that is computed anew on what is read


def inward(function: Function) -> Function:
    """The function whose elementwise work runs on gathered elements, where these are few.

    What is not gathered is then neither computed for this nor given a cotangent of zero.
    """
    if not any(map(_picks, all_ops(function.block))):
        return function

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        made = b.defs.get(args[0]) if _picks(op) else None
        if made is None or not (_elementwise(made) or made.prim is broadcast):
            return None
        elements = _Elements(b, args[1:])
        found = elements.of(args[0])
        # An index that none of the gathers looks at would not be checked any more.
        return (found,) if len(elements.used) == len(elements.index) else None

    return rebuild(function, visit)


def _picks(op: Op) -> bool:
    """Whether an op gathers few elements, by indices along its operand's leading axes."""
    if op.prim is not gather or op.attrs.get("mode", "raise") != "raise":
        return False
    x, out = op.args[0], op.outs[0]
    leading = op.attrs["axes"] == tuple(range(len(op.args) - 1))
    known = -1 not in (*x.shape, *out.shape) and 0 not in x.shape
    return leading and known and out.aval.size * FEWER <= x.aval.size


def _elementwise(op: Op) -> bool:
    plain = type(op.prim.emit) is Expr and not op.blocks and op.prim.pure
    return plain and len(op.outs) == 1 and op.outs[0].ndim > 0


@dataclass
class _Elements:
    """The elements that some indices gather along leading axes."""

    b: Builder
    index: tuple[Value, ...]
    left: int = MAX_OPS
    used: set[int] = field(default_factory=set)  # numbers of the indices that gathers look at

    def of(self, v: Value) -> Value:
        """Those of a value, made of those of its operands as far as these are made."""
        op = self.b.defs.get(v)
        if op is not None and op.prim is broadcast:
            return self.repeated(op)
        if op is None or not _elementwise(op) or self.left == 0:
            return self.gathered(v, range(len(self.index)))
        self.left -= 1
        args = [self.operand(a, v.shape) for a in op.args]
        (out,) = self.b.add(op.prim, args, op.attrs, None, [v.hint])
        return out

    def gathered(self, v: Value, mine: Sequence[int]) -> Value:
        """Gathered by some of the indices; the value itself if there are none."""
        if not mine:
            return v
        self.used.update(mine)
        return gather(v, *(self.index[d] for d in mine), axes=tuple(range(len(mine))))

    def repeated(self, op: Op) -> Value:
        """Those of a value that is repeated along new axes."""
        (a,), new, shape = op.args, op.attrs["axes"], op.outs[0].shape
        n, ahead = len(self.index), self.index[0].ndim
        mine = [d for d in range(n) if d not in new]
        axes = [*(() if mine else range(ahead)), *(d - n + ahead for d in new if d >= n)]
        few = self.gathered(a, mine)
        whole = (*self.index[0].shape, *shape[n:])
        return broadcast(few, shape=whole, axes=tuple(axes)) if axes else few

    def operand(self, a: Value, shape: tuple[int, ...]) -> Value:
        """Those of an operand that broadcasts to `shape`."""
        if type(a) is Const or not a.ndim:
            return a
        if a.shape == shape:
            return self.of(a)
        n, ahead = len(self.index), len(shape) - a.ndim
        mine = [d for d in range(ahead, n) if a.shape[d - ahead] == shape[d]]
        kept = (*(shape[d] for d in mine), *a.shape[max(0, n - ahead) :])
        return self.gathered(a if kept == a.shape else reshape(a, shape=kept), mine)
