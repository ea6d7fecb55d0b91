"""Sums with rows of arrays that rounds carry: added where the array lies, not to all of it.

The adjoint of a round that reads one row of an array adds to one row of its cotangent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value, all_ops, definitions, use_counts
from ..ir.ops.elementwise import add
from ..ir.ops.index import scatter, scatter_add
from ..ir.ops.shape import pad, reshaped
from .dce import sweep
from .normal import missing
from .operands import carried
from .replay import replay

FEWER = 4  # times as many elements has an array if a part of it is added to in its place


def parts(function: Function) -> Function:
    """The function whose rounds add single rows to arrays that they write into elsewhere."""
    if not any(op.prim in (scatter, scatter_add) for op in all_ops(function.block)):
        return function
    found = {a: k for op in all_ops(function.block) for a, k in _sums(op).items()}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        return None if op not in found else (_added(b, args[found[op]], args[1 - found[op]]),)

    if not found:
        return function
    return Function(function.name, sweep(replay(function.block, visit)))


def _sums(op: Op) -> dict[Op, int]:
    """The sums on the way from a carried param to its next value, and which argument is whole.

    All others on that way write into the array, which then stays in its place.
    """
    if op.prim.name not in ("loop", "while"):
        return {}
    body, found = op.blocks["body"], dict[Op, int]()
    defs, uses = definitions(body), use_counts(body)
    for k, v in zip(carried(op), body.outs, strict=False):
        sums, written = dict[Op, int](), False
        while (made := defs.get(v)) is not None:
            if made.prim in (scatter, scatter_add):
                written = True
                v = made.args[0]
                continue
            whole = _whole(made, defs, uses)
            if whole is None:
                break
            sums[made] = whole
            v = made.args[whole]
        if written and v is body.params[k]:
            found |= sums
    return found


def _whole(op: Op, defs: Mapping[Value, Op], uses: Mapping[Value, int]) -> int | None:
    """Which argument of a sum is an array, if the other is a row of it among zeros."""
    for k in (0, 1) if op.prim is add else ():
        x, y = op.args[k], op.args[1 - k]
        made = defs.get(y)
        if made is None or made.prim is not pad or x.aval != y.aval or uses[y] > 1:
            continue
        at = _places(made)
        if at and FEWER * math.prod(n for d, n in enumerate(x.shape) if d not in at) <= x.aval.size:
            return k
    return None


def _places(op: Op) -> list[int]:
    """The axes along which what a pad moves has one place of several."""
    return [d for d, n in enumerate(op.args[0].shape) if n == 1 != op.outs[0].shape[d]]


def _added(b: Builder, x: Value, moved: Value) -> Value:
    """`x + moved`, where it differs from x."""
    op = b.defs[moved]
    (part,), at = op.args, _places(op)
    rest = missing(at, x.ndim)
    row = reshaped(part, tuple(part.shape[d] for d in rest))
    shape, start, step = (
        tuple(f[d] for d in rest) for f in (x.shape, op.attrs["start"], op.attrs["step"])
    )
    if row.shape != shape or any(start):  # the whole of it may come turned round
        row = pad(row, shape=shape, start=start, step=step)
    return scatter_add(x, row, *(Const(op.attrs["start"][d], "i64") for d in at), axes=tuple(at))
