"""Batching: a function over arrays becomes one over stacks of them, the new axis in front."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder, current
from ..ir.core import Block, Function, Op, Value
from ..ir.ops.control import emit_loop
from ..ir.ops.control_batch import INDEX, repeated
from ..ir.ops.shape import aligned
from ..ir.types import Aval
from .replay import copy, fresh

Mask = tuple[bool, ...]


def batch(function: Function, size: int, moved: Sequence[bool]) -> Function:
    """The function of `size` rows at once: the params that are `moved` have a leading axis.

    Every result has it too; those that depend on no moved param repeat themselves.
    """
    block = Rows(size).batch(function.block, tuple(moved), (True,) * len(function.outs))
    return Function(f"{function.name}_batch", block)


class Rows:
    """How many rows there are; also what a row with regions may ask."""

    def __init__(self, size: int) -> None:
        self.size = size

    def batch(self, block: Block, moved: Mask, wanted: Mask) -> Block:
        """A region over all rows: see `ir.ops.control_batch.BatchContext`."""
        params = tuple(
            raised(p, self.size) if m else same
            for p, same, m in zip(block.params, fresh(block.params), moved, strict=True)
        )
        with Builder(params) as b:
            outs, found = batch_block(self, block, params, moved)
            pairs = zip(outs, found, wanted, strict=True)
            return b.done([repeated(v, self.size) if w and not f else v for v, f, w in pairs])

    def one_by_one(self, op: Op, args: Sequence[Value], moved: Mask) -> tuple[Value, ...]:
        """The op as the body of a loop over the rows: always right."""
        held = [a for a, m in zip(op.args, moved, strict=True) if not m]
        rows = [a for a, m in zip(op.args, moved, strict=True) if m]
        index, params = Value(INDEX, "i"), fresh([*held, *rows])
        given = iter(params[len(held) :])
        kept = iter(params)
        with Builder((index, *params)) as b:
            b.where = op.where
            inner = [next(given) if m else next(kept) for m in moved]
            body = b.done(copy(b, op, inner))
        return emit_loop(
            self.size,
            [a for a, m in zip(args, moved, strict=True) if not m],
            (),
            [a for a, m in zip(args, moved, strict=True) if m],
            body,
            hints=[v.hint for v in op.outs],
        )


def batch_block(
    rows: Rows, block: Block, args: Sequence[Value], moved: Sequence[bool]
) -> tuple[list[Value], list[bool]]:
    """Emit a block over all rows; its results, and which of them have the new axis."""
    b = current()
    env = dict(zip(block.params, args, strict=True))
    known = {p for p, m in zip(block.params, moved, strict=True) if m}
    where = b.where
    for op in block.ops:
        b.where = op.where
        outs, found = _batch_op(
            b, rows, op, [env.get(a, a) for a in op.args], tuple(a in known for a in op.args)
        )
        env.update(zip(op.outs, outs, strict=True))
        known.update(v for v, m in zip(op.outs, found, strict=True) if m)
    b.where = where
    return [env.get(v, v) for v in block.outs], [v in known for v in block.outs]


def _batch_op(
    b: Builder, rows: Rows, op: Op, args: list[Value], moved: Mask
) -> tuple[Sequence[Value], Sequence[bool]]:
    if not any(moved):
        return copy(b, op, args), (False,) * len(op.outs)
    if op.prim.batch_op:
        return op.prim.batch_op(rows, op, args, moved)
    everywhere = (True,) * len(op.outs)
    if op.prim.batch:
        outs = op.prim.batch(args, moved, **op.attrs)
        return outs if isinstance(outs, tuple) else (outs,), everywhere
    if op.prim.elementwise or op.prim.partials:
        return b.add(op.prim, aligned(args, moved), op.attrs), everywhere
    return rows.one_by_one(op, args, moved), everywhere


def raised(v: Value, size: int) -> Value:
    """A new value like this one, with the axis of the rows in front."""
    return Value(Aval(v.aval.dtype, (size, *v.aval.shape)), v.hint)
