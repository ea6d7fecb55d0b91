"""Calls end where differentiation does: their bodies become part of the program around them.

So do functions with a derivative of their own, once nothing is differentiated any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value, all_ops
from ..ir.ops.control import call, custom, hold
from .replay import copy, inline, rebuild


def expand(function: Function) -> Function:
    """The function with the body of every call in its place.

    What a checkpoint computes again waits for its cotangents, and is not merged with what was
    computed before: it reads its arguments from behind a `hold`.
    """
    if not any(op.prim in (call, custom) for op in all_ops(function.block)):
        return function

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        if op.prim not in (call, custom):
            # Within a region the primal and its adjoint are rounds or branches apart.
            return copy(b, op, args, _visit) if op.blocks else None
        if op.attrs.get("late", False):
            args = _held(b, args)
        return inline(op.blocks["body"], args, visit)

    return rebuild(function, visit)


def _held(b: Builder, args: tuple[Value, ...]) -> tuple[Value, ...]:
    """The arguments as results of a hold."""
    known = [a for a in dict.fromkeys(args) if type(a) is not Const]
    if not known:
        return args
    outs = b.add(hold, known, {}, None, [v.hint for v in known])
    env = dict(zip(known, outs, strict=True))
    return tuple(env.get(a, a) for a in args)


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    return inline(op.blocks["body"], args, _visit) if op.prim in (call, custom) else None


def settle(function: Function) -> Function:
    """The function without rules of the user's, which nothing will ask any more."""
    if not any(op.prim is custom for op in all_ops(function.block)):
        return function
    return rebuild(function, _settled)


def _settled(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    return inline(op.blocks["body"], args, _settled) if op.prim is custom else None
