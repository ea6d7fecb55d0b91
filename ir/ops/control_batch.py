"""Batching of rows that own regions: the regions again, over all rows of a batch at once.

Where rows take different ways, all ways are gone and each row keeps what is its own; a region for
which that could fail or never end is run row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..builder import Builder, literal
from ..core import Block, Op, Value, all_ops
from ..regions import copied, fresh, inlined
from ..types import Aval
from .control_rules import INDEX, emit_call, emit_cond, emit_loop, emit_while
from .elementwise import add, cast, less, select
from .reduce import any_, max_
from .shape import broadcast, full, moveaxis, stacked, zeros

__all__ = ["INDEX", "BatchContext", "call_batch", "cond_batch", "loop_batch", "while_batch"]

Mask = tuple[bool, ...]
Found = tuple[Sequence[Value], Sequence[bool]]


class BatchContext(Protocol):
    """What the rows below ask of the pass that batches them.

    Masks are tuples of bools, one per param or result: which have the axis of the rows in front.
    A rule `(ctx, op, args, moved) -> (outs, which of them moved)` emits into the current builder.
    """

    size: int

    def batch(self, block: Block, moved: Mask, wanted: Mask) -> Block:
        """The block over all rows; `wanted` holds for every result that depends on a moved one."""
        ...

    def one_by_one(self, op: Op, args: Sequence[Value], moved: Mask) -> tuple[Value, ...]:
        """The op as the body of a loop over the rows."""
        ...


def reached(block: Block, moved: Sequence[bool]) -> Mask:
    """Which results may depend on params that are moved."""
    live = {p for p, m in zip(block.params, moved, strict=True) if m}
    for op in block.ops:
        if not live.isdisjoint(op.args):
            found = _arrived(op, tuple(a in live for a in op.args))
            live.update(v for v, m in zip(op.outs, found, strict=True) if m)
    return tuple(v in live for v in block.outs)


def _arrived(op: Op, moved: Mask) -> Mask:
    """Which results of an op its batching moves.

    Through regions one by one: the value of a branch, beside its tangent, does not depend on it.
    """
    everywhere = (True,) * len(op.outs)
    match op.prim.name:
        case "call":
            return reached(op.blocks["body"], moved)
        case "cond" if not moved[0]:
            return _either_way(op, moved)
        case "loop" if not moved[0]:
            a, k = op.attrs.get("consts", 0), op.attrs.get("carries", 0)
            return _rounds(op.blocks["body"], (False, *moved[1 : 1 + a]), moved[1 + a :], k)
        case "while":
            a = op.attrs.get("consts", 0)
            carries = _rounds(op.blocks["body"], moved[:a], moved[a:], len(moved) - a)
            if not any(reached(op.blocks["test"], (*moved[:a], *carries))):
                return (*carries, False)
    return everywhere


def _either_way(op: Op, moved: Mask) -> Mask:
    """Which results of a cond on what all rows share are moved."""
    then, otherwise = op.blocks["then"], op.blocks["else"]
    return _either(reached(then, moved[1:]), reached(otherwise, moved[1:]))


def _rounds(body: Block, consts: Mask, rest: Mask, k: int) -> Mask:
    """Which results of rounds are moved; what a round moves, the k carries bring to the next."""
    carries, inputs = rest[:k], rest[k:]
    while True:
        outs = reached(body, (*consts, *carries, *inputs))
        grown = _either(carries, outs[:k])
        if grown == carries:
            return (*carries, *outs[k:])
        carries = grown


def harmless(block: Block) -> bool:
    """Whether a region may run for rows that do not need it: it ends, and it cannot fail."""
    return all(
        op.prim.pure
        and op.prim.name not in ("while", "scatter", "scatter_add")
        and not (op.prim.name == "gather" and op.attrs.get("mode", "raise") == "raise")
        for op in all_ops(block)
    )


def _either(a: Sequence[bool], b: Sequence[bool]) -> Mask:
    return tuple(x or y for x, y in zip(a, b, strict=True))


def _chosen(p: Value, x: Value, y: Value) -> Value:
    """Rows of `x` where `p` holds, else of `y`."""
    return select(_beside(p, x.ndim), x, y)


def _beside(p: Value, ndim: int) -> Value:
    """A number of each row, with axes of extent 1 up to this many."""
    if ndim == 1:
        return p
    return broadcast(p, shape=(*p.shape, *(1,) * (ndim - 1)), axes=tuple(range(1, ndim)))


def repeated(x: Value, size: int) -> Value:
    """`stacked`, also where an extent is known at run time only."""
    if -1 not in x.shape:
        return stacked(x, size)
    return select(_beside(full(True, Aval("bool", (size,))), x.ndim + 1), x, x)


def _hints(op: Op) -> list[str]:
    return [v.hint for v in op.outs]


# ------------------------------------------------------------------ cond and call


def cond_batch(ctx: BatchContext, op: Op, args: Sequence[Value], moved: Mask) -> Found:
    """One condition for all rows stays one; else both branches run."""
    then, otherwise = op.blocks["then"], op.blocks["else"]
    if moved[0]:
        everywhere = (True,) * len(op.outs)
        if not (harmless(then) and harmless(otherwise)):
            return ctx.one_by_one(op, args, moved), everywhere
        xs = inlined(ctx.batch(then, moved[1:], everywhere), args[1:])
        ys = inlined(ctx.batch(otherwise, moved[1:], everywhere), args[1:])
        return [_chosen(args[0], x, y) for x, y in zip(xs, ys, strict=True)], everywhere
    wanted = _either_way(op, moved)
    left, right = (ctx.batch(b, moved[1:], wanted) for b in (then, otherwise))
    return emit_cond(args[0], args[1:], left, right, _hints(op)), wanted


def call_batch(ctx: BatchContext, op: Op, args: Sequence[Value], moved: Mask) -> Found:
    """The body over all rows."""
    body = op.blocks["body"]
    wanted = reached(body, moved)
    recompute = bool(op.attrs.get("recompute", False))
    region = ctx.batch(body, moved, wanted)
    late = bool(op.attrs.get("late", False))
    return emit_call(args, region, _hints(op), recompute=recompute, late=late), wanted


# ------------------------------------------------------------------ loop


def loop_batch(ctx: BatchContext, op: Op, args: Sequence[Value], moved: Mask) -> Found:
    """One loop whose rounds work on all rows: as many as the longest row wants."""
    a, k = op.attrs.get("consts", 0), op.attrs.get("carries", 0)
    body, n = op.blocks["body"], args[0]
    held, rest, moved_rest = list(args[1 : 1 + a]), args[1 + a :], moved[1 + a :]
    consts = moved[1 : 1 + a]
    if moved[0]:
        body = _guarded(body, a, k)
        held, consts = [n, *held], (True, *consts)
        n = max_(n, axes=(0,)) if ctx.size else literal(0)
    wanted = _rounds(body, (False, *consts), moved_rest, k)
    carries, inputs = wanted[:k], moved_rest[k:]
    starts = _brought(ctx, rest[:k], moved_rest[:k], carries)
    # A round takes one element along the first axis of an input: there the rows come second.
    slices = [moveaxis(x, 0, 1) if m else x for x, m in zip(rest[k:], inputs, strict=True)]
    region = ctx.batch(body, (False, *consts, *carries, *inputs), wanted)
    reverse = op.attrs.get("reverse", False)
    states = op.attrs.get("states", 0)
    found = emit_loop(
        n, held, starts, slices, region, reverse=reverse, hints=_hints(op), states=states
    )
    pairs = zip(found[k:], wanted[k:], strict=True)
    return [*found[:k], *(moveaxis(v, 1, 0) if m else v for v, m in pairs)], wanted


def _guarded(body: Block, consts: int, carries: int) -> Block:
    """One round that does nothing beyond the number of rounds, which is its first const."""
    params, n = fresh(body.params), Value(INDEX, "n")
    kept = params[1 + consts : 1 + consts + carries]
    with Builder((params[0], n, *params[1:])) as b:
        outs = emit_cond(less(params[0], n), params, copied(body), _idle(body, kept, params))
        return b.done(outs)


def _idle(body: Block, kept: Sequence[Value], params: Sequence[Value]) -> Block:
    """A round that keeps its carries and has zeros for the outs."""
    own = dict(zip(params, fresh(params), strict=True))
    with Builder(tuple(own.values())) as b:
        return b.done([*(own[v] for v in kept), *(zeros(v.aval) for v in body.outs[len(kept) :])])


def _brought(
    ctx: BatchContext, values: Sequence[Value], moved: Sequence[bool], wanted: Sequence[bool]
) -> list[Value]:
    """Values of which those that are wanted have the axis of the rows."""
    triples = zip(values, moved, wanted, strict=True)
    return [repeated(v, ctx.size) if w and not m else v for v, m, w in triples]


# ------------------------------------------------------------------ while


def while_batch(ctx: BatchContext, op: Op, args: Sequence[Value], moved: Mask) -> Found:
    """Rounds go on until no row wants another; rows that are done keep their carries."""
    a = op.attrs.get("consts", 0)
    test, body = op.blocks["test"], op.blocks["body"]
    consts = moved[:a]
    carries = _rounds(body, consts, moved[a:], len(moved) - a)
    if not any(reached(test, (*consts, *carries))):
        starts = _brought(ctx, args[a:], moved[a:], carries)
        regions = (
            ctx.batch(test, (*consts, *carries), (False,)),
            ctx.batch(body, (*consts, *carries), carries),
        )
        return emit_while(args[:a], starts, *regions, _hints(op)), (*carries, False)
    everywhere = (True,) * (len(carries) + 1)
    starts = _brought(ctx, [*args[a:], literal(0)], (*moved[a:], False), everywhere)
    region = ctx.batch(_asking(test, body, a), (*consts, *everywhere), everywhere)
    asked = _any_row(ctx.batch(test, (*consts, *everywhere[:-1]), (True,)), ctx.size)
    return emit_while(args[:a], starts, asked, region, _hints(op))[:-1], everywhere


def _asking(test: Block, body: Block, consts: int) -> Block:
    """One round that does nothing where the test fails; its last carry counts the others."""
    params, rounds = fresh(body.params), Value(INDEX, "rounds")
    with Builder((*params, rounds)) as b:
        (p,) = inlined(test, params)
        then, idle = copied(body), fresh(body.params)
        kept = emit_cond(p, params, then, Block(idle, (), idle[consts:]))
        return b.done([*kept, add(rounds, cast(p, dtype=INDEX.dtype))])


def _any_row(asked: Block, size: int) -> Block:
    """The test of a batched while: does any row want another round?"""
    params, rounds = fresh(asked.params), Value(Aval(INDEX.dtype, (size,)), "rounds")
    with Builder((*params, rounds)) as b:
        (p,) = inlined(asked, params)
        return b.done([any_(p, axes=(0,))])
