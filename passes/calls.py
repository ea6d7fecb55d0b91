"""Calls end where differentiation does: their bodies become part of the program around them.

So do functions with a derivative of their own, once nothing is differentiated any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops.control import call, custom
from .replay import inline, rebuild


def expand(function: Function) -> Function:
    """The function with the body of every call in its place."""
    if not any(op.prim in (call, custom) for op in all_ops(function.block)):
        return function
    return rebuild(function, _visit)


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    return inline(op.blocks["body"], args, _visit) if op.prim in (call, custom) else None


def settle(function: Function) -> Function:
    """The function without rules of the user's, which nothing will ask any more."""
    if not any(op.prim is custom for op in all_ops(function.block)):
        return function
    return rebuild(function, _settled)


def _settled(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    return inline(op.blocks["body"], args, _settled) if op.prim is custom else None
