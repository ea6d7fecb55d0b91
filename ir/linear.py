"""Whether a block is linear in some of its params, by its ops alone: a rule that is can be turned.

The answer is on the safe side: an op that is not known to be linear counts as not linear.
"""

from __future__ import annotations

from collections.abc import Sequence

from .core import Block, Const, Op, Value
from .types import is_float

_PRODUCTS = ("mul", "dot")  # linear in either operand alone
_SOLVES = ("solve", "triangular_solve", "lstsq")  # linear in the right-hand side
_SUMS = ("add", "sub")


def nonlinear(block: Block, given: Sequence[bool]) -> Op | None:
    """The first op that keeps the block from being linear in the params that are `given`."""
    return _scan(block, given)[0]


def _scan(block: Block, given: Sequence[bool]) -> tuple[Op | None, tuple[bool, ...]]:
    """The first op that is not linear, and which results depend on the given params."""
    moving = {p for p, g in zip(block.params, given, strict=True) if g}
    zero: set[Value] = set()
    for op in block.ops:
        if moving.isdisjoint(op.args):
            if op.prim.name in ("broadcast", "reshape", "cast") and _is_zero(op.args[0], zero):
                zero.update(op.outs)
            continue
        found = _of_op(op, moving, zero)
        if found is None:
            return op, ()
        moving.update(v for v, m in zip(op.outs, found, strict=True) if m)
    return None, tuple(v in moving for v in block.outs)


def _of_op(op: Op, moving: set[Value], zero: set[Value]) -> Sequence[bool] | None:
    """Which results of an op move linearly; None where one does not."""
    args = [a in moving for a in op.args]
    name, prim = op.prim.name, op.prim
    if op.blocks:
        return _of_regions(op, args, zero)
    everywhere = (True,) * len(op.outs)
    still = [a for a, m in zip(op.args, args, strict=True) if not m]
    if name in _SUMS:
        return everywhere if all(_is_zero(a, zero) for a in still) else None
    if name in _PRODUCTS:
        return everywhere if sum(args) == 1 else None
    if name == "div":
        return everywhere if not args[1] else None
    if name in _SOLVES:
        return everywhere if not any(args[:1]) and args[1] and not any(args[2:]) else None
    if name == "neg":
        return everywhere
    if name == "cast":
        return everywhere if is_float(op.outs[0].aval.dtype) else None
    if prim.transpose is None:
        return None
    linear = range(len(args)) if prim.linear is None else prim.linear
    if any(m and i not in linear for i, m in enumerate(args)):
        return None
    rest = [a for i, a in enumerate(op.args) if i in linear and not args[i]]
    return everywhere if all(_is_zero(a, zero) for a in rest) else None


def _is_zero(v: Value, zero: set[Value]) -> bool:
    return v in zero or (isinstance(v, Const) and v.data == 0)


def _of_regions(op: Op, args: Sequence[bool], zero: set[Value]) -> Sequence[bool] | None:
    name, blocks = op.prim.name, op.blocks
    if name == "linear_solve" and not any(args[1:]):
        return (True,)
    if name in ("call", "custom"):
        return _outs(blocks["body"], args)
    if name == "cond" and not args[0]:
        then, otherwise = (_outs(b, args[1:]) for b in blocks.values())
        return then if then == otherwise else None
    if name == "loop" and not args[0]:
        a, k = op.attrs.get("consts", 0), op.attrs.get("carries", 0)
        held, carried, rows = args[1 : 1 + a], list(args[1 + a : 1 + a + k]), args[1 + a + k :]
        while True:
            outs = _outs(blocks["body"], (False, *held, *carried, *rows))
            if outs is None:
                return None
            grown = [x or y for x, y in zip(carried, outs[:k], strict=True)]
            if grown == carried:
                break
            carried = grown
        starts = zip(op.args[1 + a : 1 + a + k], args[1 + a :], carried, strict=False)
        if any(now and not before and not _is_zero(v, zero) for v, before, now in starts):
            return None
        return (*carried, *outs[k:])
    return None


def _outs(block: Block, given: Sequence[bool]) -> tuple[bool, ...] | None:
    op, outs = _scan(block, given)
    return None if op is not None else outs
