"""What a later kernel computes again instead of reading it: cheap values of stored ones.

A value that crosses from one kernel to another is written and read as a whole.  Where it takes a
few additions to make it from something that is stored anyway, the later kernel does that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir.access import is_inline
from ..ir.core import Block, Const, Op, Value
from ..ir.prim import Expr

LIMIT = 8  # additions per element
SMALL = 1 << 10  # elements: a value this small costs nothing to keep


def crossing(block: Block, stages: Mapping[Op, int]) -> tuple[dict[int, list[Op]], set[Value]]:
    """The ops of each stage, with those that it repeats, and the values to be stored."""
    place = {op: k for k, op in enumerate(block.ops)}
    defs = {v: op for op in block.ops for v in op.outs}
    again = cheap(block.ops)
    members: dict[int, set[Op]] = {}
    for op in block.ops:
        members.setdefault(stages[op], set()).add(op)
    wanted = set(block.outs)
    for stage, ops in members.items():
        todo = [a for op in ops for a in op.args]
        while todo:
            v = todo.pop()
            made = defs.get(v)
            if made is None or stages[made] == stage or made in ops:
                continue
            if stage % 2 == 0 and v in again:
                ops.add(made)
                todo.extend(made.args)
            else:
                wanted.add(v)
    ordered = {s: sorted(ops, key=place.__getitem__) for s, ops in sorted(members.items())}
    return ordered, wanted


def cheap(ops: Sequence[Op]) -> set[Value]:
    """The values that cost little to make from stored ones at least as small."""
    cost: dict[Value, int] = {}
    for op in ops:
        if len(op.outs) != 1 or op.blocks or not is_inline(op) or op.prim.domain == "index":
            continue
        (v,) = op.outs
        emit = op.prim.emit
        total = emit.cost if isinstance(emit, Expr) else 0
        for a in op.args:
            if a in cost and type(a) is not Const:
                total += cost[a]
        free = total == 0 and all(type(a) is Const or a in cost for a in op.args)
        if total <= LIMIT and (free or v.aval.size > SMALL):
            cost[v] = total
    return set(cost)
