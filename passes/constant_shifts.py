"""Shift invariance: the maximum that softmax and logsumexp subtract counts as a constant."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.builder import Builder
from ..ir.core import Block, Function, Op, Value, definitions
from ..ir.ops.elementwise import exp, stop_gradient, sub
from ..ir.types import KIND
from .replay import replay
from .shifts import MOVES, is_invariant

_SCALES = frozenset(("mul", "div", "neg", "cast"))
_MOST = 20  # ops between a difference and its exponential


def constant_shifts(function: Function) -> Function:
    """The function where what is subtracted in exp(x - m) is a constant if that changes no result.

    The value of m does not matter mathematically if the results are the same for any m; then m has
    no slope, and need not be differentiated.  [rounding]
    """
    return Function(function.name, _frozen(function.block))


def _frozen(block: Block) -> Block:
    made = definitions(block)
    candidates = dict.fromkeys(
        v for op in block.ops if op.prim is exp for v in _subtracted(op.args[0], made)
    )
    shifts: set[Value] = set()
    if candidates:
        readers: dict[Value, list[Op]] = {}
        for op in block.ops:
            for a in dict.fromkeys(op.args):
                readers.setdefault(a, []).append(op)
        order = {op: k for k, op in enumerate(block.ops)}
        shifts = {v for v in candidates if is_invariant(v, made, readers, order, block.outs)}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op.blocks:
            blocks = {label: _frozen(r) for label, r in op.blocks.items()}
            return b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])
        if op.outs and op.outs[0] in shifts:
            (m,) = b.add(op.prim, args, op.attrs, None, [v.hint for v in op.outs])
            return (stop_gradient(m),)
        return None

    return replay(block, visit) if shifts or any(op.blocks for op in block.ops) else block


def _subtracted(v: Value, made: dict[Value, Op]) -> Iterator[Value]:
    """Both sides of the differences that a value is made of, up to scales, where ops make them."""
    todo, looked = [v], 0
    while todo and looked < _MOST:
        op = made.get(todo.pop())
        looked += 1
        if op is not None and op.prim.name in _SCALES | MOVES:
            widest = max(a.aval.size for a in op.args)
            todo += [a for a in op.args if a.aval.size == widest]
        for a in op.args if op is not None and op.prim is sub else ():
            while (inner := made.get(a)) is not None and inner.prim.name in (*MOVES, "gather"):
                a = inner.args[0]
            if inner is None or inner.blocks or inner.prim is stop_gradient:
                continue
            if len(inner.outs) == 1 and KIND[a.dtype] == "f":
                yield a
