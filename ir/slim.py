"""What of a control op is alive: the results that are read, and what they are made from.

An adjoint is made before it is known which results have a cotangent, so a loop first carries and
stacks too much; here it loses what nobody reads: results, carries, operands, literals.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from typing import Any

from .builder import Builder
from .core import Block, Const, Op, Value
from .regions import fresh, inlined, pruned

Sweep = Callable[[Block], Block]


def slim(op: Op, read: Container[Value], sweep: Sweep = pruned) -> Op:
    """The op with the results in `read` and what they need; its regions go through `sweep`."""
    rule = _RULES.get(op.prim.name)
    if rule is None:
        return replace(op, blocks={label: sweep(b) for label, b in op.blocks.items()})
    while True:
        before, op = op, rule(op, read, sweep)
        # What an inner op no longer takes may be all that a carry or operand was for.
        nested = any(o.blocks for b in op.blocks.values() for o in b.ops)
        if not nested or (len(op.args), len(op.outs)) == (len(before.args), len(before.outs)):
            return op


def _keep(mask: Iterable[bool], xs: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(x for m, x in zip(mask, xs, strict=True) if m)


def _needed(block: Block, outs: Iterable[Value]) -> set[Value]:
    """The values of a block that these results depend on, or an op with an effect reads."""
    live = set(outs)
    for op in reversed(block.ops):
        if not live.isdisjoint(op.outs) or not _pure(op):
            live.update(op.args)
    return live


def _pure(op: Op) -> bool:
    return op.prim.pure and all(_pure(o) for b in op.blocks.values() for o in b.ops)


def _sunk(block: Block, literals: dict[Value, Const]) -> Block:
    """The block with params replaced by literals (they stay params, which nothing reads)."""
    if not any(p in literals for p in block.params):
        return block
    params = fresh(block.params)
    given = [literals.get(p, new) for p, new in zip(block.params, params, strict=True)]
    with Builder(params) as b:
        return b.done(inlined(block, given))


def _literals(params: Sequence[Value], operands: Sequence[Value]) -> dict[Value, Const]:
    pairs = zip(params, operands, strict=True)
    return {p: x for p, x in pairs if isinstance(x, Const)}


# ------------------------------------------------------------------ one rule a row


def _branches(op: Op, read: Container[Value], sweep: Sweep) -> Op:
    """cond and call: all regions take the same arguments, cond a condition before them."""
    first = 1 if op.prim.name == "cond" else 0
    args = op.args[first:]
    kept = [v in read for v in op.outs]
    blocks = {}
    for label, b in op.blocks.items():
        b = _sunk(b, _literals(b.params, args))
        blocks[label] = sweep(Block(b.params, b.ops, _keep(kept, b.outs)))
    used = [False] * len(args)
    for b in blocks.values():
        live = _needed(b, b.outs)
        used = [u or p in live for u, p in zip(used, b.params, strict=True)]
    return replace(
        op,
        args=(*op.args[:first], *_keep(used, args)),
        outs=_keep(kept, op.outs),
        blocks={k: Block(_keep(used, b.params), b.ops, b.outs) for k, b in blocks.items()},
    )


def _loop(op: Op, read: Container[Value], sweep: Sweep) -> Op:
    a, k = op.attrs.get("consts", 0), op.attrs.get("carries", 0)
    body = op.blocks["body"]
    consts = op.args[1 : 1 + a]
    body = _sunk(body, _literals(body.params[1 : 1 + a], consts))
    stacked = [v in read for v in op.outs[k:]]
    moving = body.params[1 + a : 1 + a + k]
    carried = _carried(
        body, moving, [v in read for v in op.outs[:k]], _keep(stacked, body.outs[k:])
    )
    kept = (*carried, *stacked)
    swept = sweep(Block(body.params, body.ops, _keep(kept, body.outs)))
    live = _needed(swept, swept.outs)
    used = (
        *(p in live for p in body.params[1 : 1 + a]),
        *carried,
        *(p in live for p in body.params[1 + a + k :]),
    )
    params = (body.params[0], *_keep(used, body.params[1:]))
    return replace(
        op,
        args=(op.args[0], *_keep(used, op.args[1:])),
        attrs={**op.attrs, "consts": sum(used[:a]), "carries": sum(carried)},
        outs=_keep(kept, op.outs),
        blocks={"body": Block(params, swept.ops, swept.outs)},
    )


def _carried(
    body: Block, moving: Sequence[Value], read: Sequence[bool], others: Iterable[Value]
) -> list[bool]:
    """Which carries are read after the loop, or in a round by what is."""
    live, others = list(read), tuple(others)
    while True:
        needed = _needed(body, (*_keep(live, body.outs[: len(live)]), *others))
        grown = [m or p in needed for m, p in zip(live, moving, strict=True)]
        if grown == live:
            return live
        live = grown


def _while(op: Op, read: Container[Value], sweep: Sweep) -> Op:
    a = op.attrs.get("consts", 0)
    body, test = (_sunk(b, _literals(b.params[:a], op.args[:a])) for b in _regions(op))
    test = sweep(test)
    tested = _needed(test, test.outs)
    start = [v in read for v in op.outs[:-1]]
    start = [s or p in tested for s, p in zip(start, test.params[a:], strict=True)]
    carried = _carried(body, body.params[a:], start, ())
    swept = sweep(Block(body.params, body.ops, _keep(carried, body.outs)))
    live = _needed(swept, swept.outs)
    used = (
        *(p in live or q in tested for p, q in zip(body.params[:a], test.params[:a], strict=True)),
        *carried,
    )
    return replace(
        op,
        args=_keep(used, op.args),
        attrs={**op.attrs, "consts": sum(used[:a])},
        outs=(*_keep(carried, op.outs[:-1]), op.outs[-1]),
        blocks={
            "test": Block(_keep(used, test.params), test.ops, test.outs),
            "body": Block(_keep(used, swept.params), swept.ops, swept.outs),
        },
    )


def _regions(op: Op) -> tuple[Block, Block]:
    return op.blocks["body"], op.blocks["test"]


_RULES: dict[str, Callable[[Op, Container[Value], Sweep], Op]] = {
    "cond": _branches,
    "call": _branches,
    "loop": _loop,
    "while": _while,
}
