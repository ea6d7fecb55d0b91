"""The last step of the normal form: what pays only when the readers of a value are known."""

from __future__ import annotations

from collections import Counter

from ..ir.builder import Builder
from ..ir.core import Block, Const, Op, Value, definitions, use_counts
from ..ir.ops.elementwise import (
    abs_,
    div,
    exp,
    greater_equal,
    log1p,
    maximum,
    mul,
    neg,
    select,
    sub,
)
from ..ir.ops.special import expit, logaddexp
from .dce import sweep
from .normal import is_number
from .replay import replay


def finished(block: Block) -> Block:
    """Share reciprocals, put signs into constants, write softplus and logistic on one exp."""
    return sweep(_signed(sweep(_shared(block))))


def _shared(block: Block) -> Block:
    """`x / y` with a `y` that divides twice becomes `x * (1 / y)`."""
    divides = Counter(
        op.args[1] for op in block.ops if op.prim is div and type(op.args[1]) is not Const
    )
    often = {y for y, n in divides.items() if n > 1}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op.prim is div and op.args[1] in often:
            x, y = args
            r = div(1.0, y)
            return (r if is_number(x, 1) else mul(r, x) if type(x) is Const else mul(x, r),)
        if op.prim is logaddexp and is_number(args[0], 0):
            x = args[1]
            return (maximum(x, 0) + log1p(_decay(b, x)),)
        if op.prim is logaddexp and is_number(args[1], 0):
            x = args[0]
            return (maximum(x, 0) + log1p(_decay(b, x)),)
        if op.prim is expit and args[0] in soft:
            x = args[0]
            e = _decay(b, x)
            return (select(greater_equal(x, 0), 1, e) / (1 + e),)
        return None

    soft: set[Value] = set()

    def watch(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op.prim is logaddexp:
            soft.update(args)
            soft.update(_negatives(b, args))
        return visit(b, op, args)

    return replay(block, watch)


def _negatives(b: Builder, args: tuple[Value, ...]) -> list[Value]:
    out = []
    for a in args:
        op = b.defs.get(a)
        if op is not None and op.prim is neg:
            out.append(op.args[0])
    return out


def _decay(b: Builder, x: Value) -> Value:
    """`exp(-|x|)`, the same for x and -x."""
    op = b.defs.get(x)
    return exp(-abs_(op.args[0] if op is not None and op.prim is neg else x))


def _signed(block: Block) -> Block:
    """A sign that is left goes into a constant factor or turns a difference round."""
    defs, uses = definitions(block), use_counts(block)

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op.prim is not neg:
            return None
        inner = defs.get(op.args[0])
        if inner is None or uses[op.args[0]] > 1:
            return None
        now = b.defs.get(args[0])
        if now is None or now.prim is not inner.prim:
            return None
        x, *rest = now.args
        if now.prim is mul and type(rest[0]) is Const:
            return (mul(x, Const(-rest[0].data, rest[0].dtype)),)
        if now.prim is div and type(x) is Const:
            return (div(Const(-x.data, x.dtype), rest[0]),)
        if now.prim is sub:
            return (sub(rest[0], x),)
        return None

    return replay(block, visit)
