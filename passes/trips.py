"""Loops of no round or of one round are no loops."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value, all_ops
from ..ir.ops.shape import reshape, zeros
from .replay import inline, rebuild


def trips(function: Function) -> Function:
    """The function without loops of at most one round."""
    if not any(_short(op) for op in all_ops(function.block)):
        return function
    return rebuild(function, _visit)


def _short(op: Op) -> bool:
    return op.prim.name == "loop" and 0 <= op.attrs.get("length", -1) <= 1


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    if not _short(op):
        return None
    first = 1 + op.attrs.get("consts", 0)
    last = first + op.attrs.get("carries", 0)
    if op.attrs["length"] == 0:
        return [*args[first:last], *(zeros(v.aval) for v in op.outs[last - first :])]
    rows = [reshape(x, shape=x.shape[1:]) for x in args[last:]]
    outs = inline(op.blocks["body"], [Const(0, "i64"), *args[1:last], *rows], _visit)
    stacked = [reshape(v, shape=(1, *v.shape)) for v in outs[last - first :]]
    return [*outs[: last - first], *stacked]
