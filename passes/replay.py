"""The one traversal: copy a block through a Builder, where a visitor may answer otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..ir.builder import Builder, current
from ..ir.core import Block, Function, Op, Value

# What stands in for the results of an op, whose arguments are given under their new names; None
# copies the op as it is.
Visit = Callable[[Builder, Op, tuple[Value, ...]], Sequence[Value] | None]


def keep(b: Builder, op: Op, args: tuple[Value, ...]) -> None:
    """The visitor that copies every op."""


def fresh(params: Iterable[Value]) -> tuple[Value, ...]:
    """New values like these."""
    return tuple(Value(p.aval, p.hint) for p in params)


def copy(b: Builder, op: Op, args: Sequence[Value], visit: Visit = keep) -> tuple[Value, ...]:
    """Emit an op with new arguments; the visitor sees the ops of its regions."""
    if not op.blocks:
        return b.again(op, tuple(args))
    blocks = {label: replay(r, visit) for label, r in op.blocks.items()}
    b.where = op.where
    return b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])


def inline(block: Block, args: Sequence[Value], visit: Visit = keep) -> list[Value]:
    """Emit a copy of a block's ops into the innermost builder; returns the block's results."""
    b = current()
    env: dict[Value, Value] = dict(zip(block.params, args, strict=True))
    get = env.get
    where = b.where
    for op in block.ops:
        b.where = op.where
        new = tuple([get(a, a) for a in op.args])
        outs = visit(b, op, new)
        if outs is None:
            outs = copy(b, op, new, visit) if op.blocks else b.again(op, new)
        env.update(zip(op.outs, outs, strict=True))
    b.where = where
    return [get(v, v) for v in block.outs]


def replay(block: Block, visit: Visit = keep) -> Block:
    """A copy of a block, as a block of its own."""
    params = fresh(block.params)
    with Builder(params) as b:
        return b.done(inline(block, params, visit))


def rebuild(function: Function, visit: Visit = keep) -> Function:
    """A copy of a function under the same name."""
    return Function(function.name, replay(function.block, visit))
