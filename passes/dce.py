"""Dead code elimination: drop ops that nothing reads."""

from __future__ import annotations

from ..ir.core import Block, Function, Op, Value, all_ops
from ..ir.slim import slim


def dce(function: Function) -> Function:
    """The function without unread ops; ops with effects, such as guards, stay."""
    return Function(function.name, sweep(function.block))


def sweep(block: Block) -> Block:
    """The block without unread ops, and without unread results of ops with regions."""
    live, kept = set(block.outs), []
    for op in reversed(block.ops):
        if not live.isdisjoint(op.outs) or not pure(op):
            if op.blocks:
                op = _slimmed(op, live)
            kept.append(op)
            live.update(op.args)
    return Block(block.params, tuple(reversed(kept)), block.outs)


def _slimmed(op: Op, live: set[Value]) -> Op:
    """An op with regions without what is unread; dropping one thing may make another unread."""
    while True:
        slimmer = slim(op, live, sweep)
        if (len(slimmer.args), len(slimmer.outs)) == (len(op.args), len(op.outs)):
            return slimmer
        op = slimmer


def pure(op: Op) -> bool:
    """Whether neither the op nor any op of its regions has an effect."""
    return op.prim.pure and all(o.prim.pure for b in op.blocks.values() for o in all_ops(b))
