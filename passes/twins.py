"""Loops that carry the same from the same operands are one, which yields what each of them does.

A derivative recorded apart from its function runs the loop again to keep more of each round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.core import Block, Const, Function, Op, Value
from .dce import pure
from .replay import fresh, inline, rebuild
from .simplify import cleanup


def twins(function: Function) -> Function:
    """The function with such loops of its top level as one."""
    kinds: dict[Any, list[Op]] = {}
    for op in function.ops:
        if op.prim.name == "loop" and pure(op):
            kinds.setdefault(_key(op), []).append(op)
    found: dict[Op, tuple[Op, Block, int]] = {}  # the first, the body of all, this one's outs
    for ops in kinds.values():
        found |= _family(ops)
    if not found:
        return function
    made: dict[Op, Sequence[Value]] = {}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        if op not in found:
            return None
        first, body, at = found[op]
        if op is first:
            b.where = op.where
            made[op] = b.add(op.prim, args, op.attrs, {"body": body}, [v.hint for v in op.outs])
        k = op.attrs["carries"]
        outs = made[first]
        return (*outs[:k], *outs[at : at + len(op.outs) - k])

    return rebuild(function, visit)


def _key(op: Op) -> Any:
    args = tuple([a.key if isinstance(a, Const) else a for a in op.args])
    return args, tuple(sorted(op.attrs.items()))


def _family(ops: Sequence[Op]) -> dict[Op, tuple[Op, Block, int]]:
    """The loops among these that are one with the first."""
    first = ops[0]
    k, body = first.attrs["carries"], first.blocks["body"]
    at = {first: k}
    for op in ops[1:]:
        joined = _joined(body, op.blocks["body"], k)
        if joined is not None:
            at[op] = len(body.outs)
            body = joined
    return {op: (first, body, start) for op, start in at.items()} if len(at) > 1 else {}


def _joined(a: Block, b: Block, carries: int) -> Block | None:
    """A round that yields what both yield, if they carry the same on."""
    params = fresh(a.params)
    with Builder(params) as made:
        both = made.done([*inline(a, params), *inline(b, params)])
    block = cleanup(Function("round", both)).block
    n = len(a.outs)
    mine, other = block.outs[:carries], block.outs[n : n + carries]
    if any(x is not y for x, y in zip(mine, other, strict=True)):
        return None
    return Block(block.params, block.ops, (*block.outs[:n], *block.outs[n + carries :]))
