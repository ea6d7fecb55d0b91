"""Dead code elimination: drop ops that nothing reads."""

from __future__ import annotations

from ..ir.core import Block, Function, Op, all_ops
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
                op = slim(op, live, sweep)
            kept.append(op)
            live.update(op.args)
    return Block(block.params, tuple(reversed(kept)), block.outs)


def pure(op: Op) -> bool:
    """Whether neither the op nor any op of its regions has an effect."""
    return op.prim.pure and all(o.prim.pure for b in op.blocks.values() for o in all_ops(b))
