"""The last step of the normal form: what pays only when the readers of a value are known."""

from __future__ import annotations

from ..ir.builder import Builder
from ..ir.core import Block, Const, Op, Value, definitions, use_counts
from ..ir.ops.elementwise import (
    abs_,
    add,
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
from .jumps import deciding
from .normal import is_number
from .replay import replay


def finished(block: Block) -> Block:
    """Share reciprocals, put signs into constants, write softplus and logistic on one exp."""
    often, soft = _repeated(block), _both_signs(block)
    if often or soft or any(op.prim is logaddexp for op in block.ops):
        block = sweep(_shared(block, often, soft))
    turned = _turned(block)
    return sweep(_signed(block, turned)) if turned else block


def _repeated(block: Block) -> set[Op]:
    """The divisions by a value that divides more than once."""
    found: dict[Value, list[Op]] = {}
    for op in block.ops:
        if op.prim is div and type(op.args[1]) is not Const:
            found.setdefault(op.args[1], []).append(op)
    often = {op for ops in found.values() if len(ops) > 1 for op in ops}
    return often - deciding(block) if often else often


def _both_signs(block: Block) -> set[Value]:
    """The arguments of logistics that are also taken of the opposite."""
    args = {op.args[0] for op in block.ops if op.prim is expit}
    pairs = {op.args[0]: op.outs[0] for op in block.ops if op.prim is neg and op.outs[0] in args}
    return {v for x, minus in pairs.items() if x in args for v in (x, minus)}


def _shared(block: Block, often: set[Op], both: set[Value]) -> Block:
    """`x / y` with a `y` that divides twice becomes `x * (1 / y)`; logistics share their exp."""
    soft: set[Value] = set()

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op in often:
            x, y = args
            r = div(1.0, y)
            return (r if is_number(x, 1) else mul(r, x) if type(x) is Const else mul(x, r),)
        if op.prim is logaddexp:
            soft.update(args)
            soft.update(_negatives(b, args))
            for zero, x in (args, args[::-1]):
                if is_number(zero, 0):
                    return (maximum(x, 0) + log1p(_decay(b, x)),)
        if op.prim is expit and (args[0] in soft or op.args[0] in both):
            return (_logistic(b, args[0], twice=op.args[0] in both),)
        return None

    return replay(block, visit)


def _negatives(b: Builder, args: tuple[Value, ...]) -> list[Value]:
    out = []
    for a in args:
        op = b.defs.get(a)
        if op is not None and op.prim is neg:
            out.append(op.args[0])
    return out


def _logistic(b: Builder, x: Value, *, twice: bool) -> Value:
    """`1 / (1 + exp(-x))` on `exp(-|x|)`; `twice` shares the division with the same of -x."""
    e = _decay(b, x)
    op = b.defs.get(x)
    if op is not None and op.prim is neg:
        top = select(greater_equal(op.args[0], 0), e, 1)
    else:
        top = select(greater_equal(x, 0), 1, e)
    whole = add(1.0, e)
    return mul(top, div(1.0, whole)) if twice else div(top, whole)


def _decay(b: Builder, x: Value) -> Value:
    """`exp(-|x|)`, the same for x and -x."""
    op = b.defs.get(x)
    return exp(-abs_(op.args[0] if op is not None and op.prim is neg else x))


def _turned(block: Block) -> set[Op]:
    """The negations of a value that nobody else reads, which can take the sign itself."""
    defs, uses = definitions(block), use_counts(block)
    found = set()
    for op in block.ops:
        if op.prim is neg and uses[op.args[0]] == 1:
            inner = defs.get(op.args[0])
            if inner is not None and (
                inner.prim is sub
                or (inner.prim is mul and type(inner.args[1]) is Const)
                or (inner.prim is div and type(inner.args[0]) is Const)
            ):
                found.add(op)
    return found


def _signed(block: Block, turned: set[Op]) -> Block:
    """A sign that is left goes into a constant factor or turns a difference round."""

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op not in turned:
            return None
        inner = b.defs[args[0]]
        x, y = inner.args
        if inner.prim is mul:
            return (mul(x, _opposite(y)),)
        return (div(_opposite(x), y) if inner.prim is div else sub(y, x),)

    return replay(block, visit)


def _opposite(c: Value) -> Const:
    assert isinstance(c, Const)
    return Const(-c.data, c.aval.dtype)
