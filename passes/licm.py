"""Loop-invariant code motion: what a round computes from constants alone moves out of the loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.builder import Builder
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.prim import View
from .replay import fresh, rebuild, replay

# These may raise, and a loop may have no rounds.
_RISKY = ("gather", "scatter", "scatter_add")


def licm(function: Function) -> Function:
    """The function with invariant ops before their loops, out of nests as far as they go."""
    return rebuild(function, _visit)


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if op.prim.name not in ("loop", "while"):
        return None
    blocks = {label: replay(r, _visit) for label, r in op.blocks.items()}
    first = 1 if op.prim.name == "loop" else 0  # of the consts, among args and body's params
    a = op.attrs.get("consts", 0)
    held = blocks["body"].params[first : first + a]
    moved = _invariant(blocks["body"], set(held))
    b.where = op.where
    attrs: Mapping[str, Any] = op.attrs
    if moved:
        env = dict(zip(held, args[first : first + a], strict=True))
        blocks, extra = _without(blocks, moved, first + a)
        _emit(b, moved, env)
        args = (*args[: first + a], *(env[v] for v in extra), *args[first + a :])
        attrs = {**attrs, "consts": a + len(extra)}
    return b.add(op.prim, args, attrs, blocks, [v.hint for v in op.outs])


def _invariant(body: Block, known: set[Value]) -> list[Op]:
    """The ops to move; a view costs nothing where it is, so it moves for another's sake only."""
    found = []
    for op in body.ops:
        fixed = all(a in known or type(a) is Const for a in op.args)
        if fixed and op.prim.pure and not op.blocks and op.prim.name not in _RISKY:
            found.append(op)
            known.update(op.outs)
    wanted: set[Value] = set()
    moved = []
    for op in reversed(found):
        if not isinstance(op.prim.emit, View) or not wanted.isdisjoint(op.outs):
            moved.append(op)
            wanted.update(op.args)
    return moved[::-1]


def _without(
    blocks: dict[str, Block], moved: list[Op], at: int
) -> tuple[dict[str, Block], list[Value]]:
    """The regions without these ops, whose results are params now, from position `at` on."""
    body, gone = blocks["body"], set(moved)
    rest = tuple(op for op in body.ops if op not in gone)
    read = {v for op in rest for v in op.args} | set(body.outs)
    extra = [v for op in moved for v in op.outs if v in read]

    def wider(block: Block, ops: tuple[Op, ...], more: tuple[Value, ...]) -> Block:
        return Block((*block.params[:at], *more, *block.params[at:]), ops, block.outs)

    new = {"body": wider(body, rest, tuple(extra))}
    if "test" in blocks:
        new["test"] = wider(blocks["test"], blocks["test"].ops, fresh(extra))
    return {label: new[label] for label in blocks}, extra


def _emit(b: Builder, ops: list[Op], env: dict[Value, Value]) -> None:
    before = b.where
    for op in ops:
        b.where = op.where
        args = [env.get(a, a) for a in op.args]
        outs = b.add(op.prim, args, op.attrs, None, [v.hint for v in op.outs])
        env.update(zip(op.outs, outs, strict=True))
    b.where = before
