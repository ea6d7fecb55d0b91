"""Operands of control ops: which stand for which params, and what of them lies in memory."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.access import is_inline, view_map
from ..ir.core import Block, Const, Op, Value
from ..ir.prim import Call, View

# Rows whose operands (all, or the first) kernels read through a pointer.
_POINTERS = {
    "cholesky_inverse": 1,
    "cholesky_slope": 1,
    "dot": 2,
    "gather": 1,
    "lu_adjugate": 1,
    "lu_apply": 1,
    "lu_inverse": 1,
    "reshape": 1,
    "triangular_solve": 1,
}


def params_of(op: Op) -> list[tuple[Value, ...]]:
    """For each argument of a control op the params of its regions that stand for it."""
    name, blocks = op.prim.name, list(op.blocks.values())
    if name == "cond":
        return [(), *(tuple(ps) for ps in zip(*(b.params for b in blocks), strict=True))]
    if name == "loop":
        return [(), *((p,) for p in blocks[0].params[1:])]
    return [tuple(ps) for ps in zip(*(b.params for b in blocks), strict=True)]


def carried(op: Op) -> range:
    """The positions among a control op's arguments of what a loop carries from round to round."""
    consts = op.attrs.get("consts", 0)
    if op.prim.name == "loop":
        return range(1 + consts, 1 + consts + op.attrs.get("carries", 0))
    return range(consts, len(op.args)) if op.prim.name == "while" else range(0)


def stored_operands(op: Op, defs: Mapping[Value, Op]) -> list[Value]:
    """The operands that are made before the regions run, not pulled into them."""
    moving = carried(op)
    out = []
    for k, (a, params) in enumerate(zip(op.args, params_of(op), strict=True)):
        made = defs.get(a)
        if made is None or k in moving or type(a) is Const or -1 in a.shape:
            continue
        if not a.ndim or not _light(made) or any(_by_pointer(p, op) for p in params):
            out.append(a)
    return out


def _light(op: Op) -> bool:
    """Whether a value is only another way to read something."""
    return isinstance(op.prim.emit, View) and is_inline(op)


def _by_pointer(p: Value, op: Op) -> bool:
    return any(_needs_pointer(b, p) for b in op.blocks.values())


def _needs_pointer(block: Block, p: Value) -> bool:
    """Whether a region reads a param, or a view of it, through a pointer."""
    seen = {p}
    for op in block.ops:
        if seen.isdisjoint(op.args):
            continue
        emit = op.prim.emit
        if op.blocks:
            return True
        if isinstance(emit, Call) and view_map(op) is None:
            reach = _POINTERS.get(emit.name, 0)
            if any(a in seen for a in op.args[:reach]):
                return True
        if isinstance(emit, View):
            seen.update(op.outs)
    return False
