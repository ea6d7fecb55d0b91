"""Common subexpressions: equal pure ops get one value."""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value
from .replay import rebuild


def cse(function: Function) -> Function:
    """Number values; operands of commuting ops are ordered first, so `x*y` and `y*x` are equal."""
    order: dict[Value, int] = {}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if not op.prim.commutes or op.blocks or len(args) != 2:
            return None
        # Constants come last; parameters are met before any result of an op.
        x, y = args
        kx = (type(x) is Const, order.setdefault(x, len(order)))
        ky = (type(y) is Const, order.setdefault(y, len(order)))
        swapped = (y, x) if ky < kx else args
        return b.add(op.prim, swapped, op.attrs, None, [v.hint for v in op.outs])

    return rebuild(function, visit)
