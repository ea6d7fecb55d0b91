"""Loop-invariant motion: what a round computes from constants alone is computed before the loop."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.prim import Expr, Fold
from .dce import sweep
from .replay import fresh, replay

_WORTH = 8  # of an op that makes an array larger than what it reads, in units of one addition


def licm(function: Function) -> Function:
    """The function with invariant ops of loops before them, as further constants of theirs."""
    if not any(op.blocks for op in function.ops):
        return function
    return Function(function.name, sweep(_block(function.block)))


def _block(block: Block) -> Block:
    if not any(op.blocks for op in block.ops):
        return block

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if not op.blocks:
            return None
        blocks = {label: _block(r) for label, r in op.blocks.items()}
        b.where = op.where
        if op.prim.name in ("loop", "while"):
            return _hoisted(b, op, args, blocks)
        return b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])

    return replay(block, visit)


def _hoisted(
    b: Builder, op: Op, args: tuple[Value, ...], blocks: dict[str, Block]
) -> tuple[Value, ...]:
    """The loop, after its invariant ops; a region reads their results as params."""
    # A loop's trip count comes first among its operands, its index among the params of its body.
    first = 1 if op.prim.name == "loop" else 0
    count = op.attrs.get("consts", 0)
    last = first + count
    extra: list[tuple[str, Value, Value]] = []
    rest: dict[str, Sequence[Op]] = {}
    for label, r in blocks.items():
        moved, kept = _invariant(r, set(r.params[first:last]))
        rest[label] = [o for o in r.ops if o not in moved or o in kept]
        env = dict(zip(r.params[first:last], args[first:last], strict=True))
        for o in r.ops:
            if o in moved:
                b.where = o.where
                new = [env.get(a, a) for a in o.args]
                outs = b.add(o.prim, new, o.attrs, None, [v.hint for v in o.outs])
                env.update(zip(o.outs, outs, strict=True))
        extra += [(label, v, env[v]) for v in _read(r, moved - kept)]
    b.where = op.where
    grown = {
        label: Block(
            (
                *r.params[:last],
                *(v if label == where else fresh([v])[0] for where, v, _ in extra),
                *r.params[last:],
            ),
            tuple(rest[label]),
            r.outs,
        )
        for label, r in blocks.items()
    }
    operands = (*args[:last], *(v for _, _, v in extra), *args[last:])
    attrs = {**op.attrs, "consts": count + len(extra)} if extra else op.attrs
    return b.add(op.prim, operands, attrs, grown, [v.hint for v in op.outs])


def _invariant(block: Block, consts: set[Value]) -> tuple[set[Op], set[Op]]:
    """The ops to compute before the loop, once, even for no round at all; those also kept in it."""
    known, moved = set(consts), set()
    for op in block.ops:
        if op.args and all(a in known or type(a) is Const for a in op.args) and _safe(op):
            moved.add(op)
            known.update(op.outs)
    # What is only another way to read a constant, or cheap and larger, is computed where it is
    # read; before the loop as well, for what is computed from it there.
    kept: set[Op] = set()
    while True:
        read = set(_read(block, moved - kept))
        stays = {o for o in moved - kept if not read.isdisjoint(o.outs) and not _worth(o)}
        if not stays:
            return moved, kept
        kept |= stays


def _safe(op: Op) -> bool:
    """Whether the op neither has an effect nor may raise."""
    emit = op.prim.emit
    plain = op.prim.name in ("dot", "reshape", "transpose", "broadcast", "slice", "pad")
    return op.prim.pure and not op.blocks and (plain or isinstance(emit, Expr | Fold))


def _worth(op: Op) -> bool:
    emit = op.prim.emit
    if isinstance(emit, Expr):
        larger = op.outs[0].aval.size > max(a.aval.size for a in op.args)
        return emit.cost >= _WORTH if larger else True
    return isinstance(emit, Fold) or op.prim.name == "dot"


def _read(block: Block, moved: set[Op]) -> list[Value]:
    """The results of ops that are only before the loop which are read inside, or returned."""
    read = {a for op in block.ops if op not in moved for a in op.args} | set(block.outs)
    return [v for op in block.ops if op in moved for v in op.outs if v in read]
