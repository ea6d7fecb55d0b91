"""Where the last digit of a value decides: what rounding functions read is computed as written."""

from __future__ import annotations

from ..ir.core import Block, Op, Value
from ..ir.prim import View

_JUMPS = ("floor", "ceil", "trunc", "rint", "floordiv", "remainder", "fmod", "guard")


def deciding(block: Block) -> set[Op]:
    """The ops whose last digit decides by how much a result jumps, as in `floor(x / width)`."""
    live: set[Value] = set()
    ops = set()
    for op in reversed(block.ops):
        whole = op.prim.name == "cast" and op.outs[0].aval.kind in "iu"
        if op.prim.name in _JUMPS or whole:
            live.update(op.args)
        elif not live.isdisjoint(op.outs) and (
            op.prim.elementwise or isinstance(op.prim.emit, View)
        ):
            ops.add(op)
            live.update(op.args)
    return ops
