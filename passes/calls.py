"""Calls end where differentiation does: their bodies become part of the program around them."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops.control import call
from .replay import inline, rebuild


def expand(function: Function) -> Function:
    """The function with the body of every call in its place."""
    if not any(op.prim is call for op in all_ops(function.block)):
        return function
    return rebuild(function, _visit)


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    return inline(op.blocks["body"], args, _visit) if op.prim is call else None
