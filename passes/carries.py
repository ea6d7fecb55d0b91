"""Small arrays that a loop carries become scalars, which live in registers from round to round."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Block, Function, Op, Value, all_ops, definitions
from ..ir.ops.shape import concatenate, reshape, slice_
from ..ir.regions import inlined
from ..ir.types import Aval
from .dce import sweep
from .operands import carried
from .replay import fresh, replay
from .scalars import taken_apart

FEW, MANY = 4, 8  # elements of an array that is worth it always, and in a short round
SHORT = 48  # ops of a round that is short


def carries(function: Function) -> Function:
    """The function whose loops carry small arrays, of which only elements are read, as scalars."""
    if not any(_candidates(op) for op in all_ops(function.block)):
        return function
    changed: list[Op] = []
    block = _block(function.block, changed)
    return Function(function.name, sweep(block)) if changed else function


def _limit(op: Op) -> int:
    return MANY if len(op.blocks["body"].ops) <= SHORT else FEW


def _candidates(op: Op) -> tuple[int, ...]:
    """The arguments of a loop that are carried and small arrays."""
    if op.prim.name not in ("loop", "while"):
        return ()
    small = (k for k in carried(op) if op.args[k].ndim and op.args[k].aval.size in range(1, 9))
    return tuple(k for k in small if op.args[k].aval.size <= _limit(op))


def _block(block: Block, changed: list[Op]) -> Block:
    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        if not op.blocks:
            return None
        inner = {label: _block(r, changed) for label, r in op.blocks.items()}
        b.where = op.where
        op = Op(op.prim, args, op.attrs, op.outs, inner, op.where)
        chosen = _candidates(op)
        while chosen:
            blocks = {label: _unpacked(op, r, label, chosen) for label, r in inner.items()}
            kept = tuple(
                k for k in chosen if not any(_whole(r, op, k, chosen) for r in blocks.values())
            )
            if kept == chosen:
                changed.append(op)
                return _with_scalars(b, op, blocks, chosen)
            chosen = kept
        return b.add(op.prim, args, op.attrs, inner, [v.hint for v in op.outs])

    return replay(block, visit)


def _unpacked(op: Op, block: Block, label: str, chosen: Sequence[int]) -> Block:
    """A region that takes the chosen carries element by element, and yields them so."""
    groups = [
        tuple(Value(Aval(p.dtype), p.hint) for _ in range(p.aval.size if k in chosen else 0))
        or fresh([p])
        for k, p in enumerate(block.params)
    ]
    first = carried(op).start
    with Builder([v for group in groups for v in group]) as b:
        given = [
            _packed(group, p) if k in chosen else group[0]
            for k, (group, p) in enumerate(zip(groups, block.params, strict=True))
        ]
        outs = inlined(block, given)
        if label == "body":
            outs = _spread(outs, [k - first for k in chosen])
        whole = b.done(outs)
    return taken_apart(whole, _limit(op))


def _packed(elements: Sequence[Value], like: Value) -> Value:
    """Scalars as an array."""
    ones = [reshape(v, shape=(1,)) for v in elements]
    flat = concatenate(*ones, axis=0) if len(ones) > 1 else ones[0]
    return flat if like.ndim == 1 else reshape(flat, shape=like.shape)


def _spread(values: Sequence[Value], chosen: Sequence[int]) -> list[Value]:
    """The values, those chosen element by element."""
    out: list[Value] = []
    for k, v in enumerate(values):
        if k not in chosen:
            out.append(v)
            continue
        ones = (1,) * v.ndim
        out.extend(
            reshape(slice_(v, start=at, size=ones, step=ones), shape=())
            for at in itertools.product(*map(range, v.shape))
        )
    return out


def _whole(block: Block, op: Op, k: int, chosen: Sequence[int]) -> bool:
    """Whether a region still wants carry `k` as an array."""
    before = sum(op.args[j].aval.size - 1 for j in chosen if j < k)
    group = block.params[k + before : k + before + op.args[k].aval.size]
    defs = definitions(block)
    for o in block.ops:
        if o.prim is concatenate:
            made = (defs.get(a) for a in o.args)
            sources = tuple(m.args[0] for m in made if m is not None and m.prim is reshape)
            if sources == group:
                return True
    return False


def _with_scalars(
    b: Builder, op: Op, blocks: dict[str, Block], chosen: Sequence[int]
) -> list[Value]:
    """The loop over scalars, and its results as they were."""
    first = carried(op).start
    args = _spread(op.args, chosen)
    count = sum(op.args[k].aval.size - 1 for k in chosen)
    attrs = dict(op.attrs)
    if op.prim.name == "loop":
        attrs["carries"] = op.attrs.get("carries", 0) + count
    found = iter(b.add(op.prim, args, attrs, blocks, ()))
    outs = []
    for k, v in enumerate(op.outs):
        if first + k in chosen:
            outs.append(_packed([next(found) for _ in range(v.aval.size)], v))
        else:
            outs.append(next(found))
    return outs
