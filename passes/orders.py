"""Arrays that are sorted and whose order is asked for as well: read in that order."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops.index import take_along
from ..ir.ops.reduce import argsort, sort
from .replay import rebuild


def orders(function: Function) -> Function:
    """The function without `sort` of what has an `argsort` too, as derivatives make them."""
    searched = (op for op in all_ops(function.block) if op.prim is argsort)
    ordered = {(op.args[0], op.attrs["axis"]) for op in searched}
    if not ordered:
        return function

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        if op.prim is not sort or (op.args[0], op.attrs["axis"]) not in ordered:
            return None
        (x,), axis = args, op.attrs["axis"]
        return (take_along(x, argsort(x, axis=axis), axis),)

    return rebuild(function, visit)
