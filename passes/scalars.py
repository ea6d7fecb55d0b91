"""Small arrays become scalars: what is stacked and indexed, element by element."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ..ir.builder import Builder, current
from ..ir.core import Block, Const, Function, Op, Value, all_ops
from ..ir.ops.elementwise import add
from ..ir.ops.shape import broadcast, concatenate, pad, reshape, slice_, sum_, transpose
from ..ir.types import broadcast_shapes
from .dce import sweep
from .replay import copy, fresh

SMALL = 4  # elements
_VIEWS = ("reshape", "slice", "broadcast", "transpose", "concatenate", "sum", "pad")
Elements = Mapping[tuple[int, ...], Value]


def scalars(function: Function) -> Function:
    """The function with arrays of at most four elements, if only elements are read, taken apart."""
    stacks = (op for op in all_ops(function.block) if op.prim is concatenate)
    if not any(1 <= op.outs[0].aval.size <= SMALL for op in stacks):
        return function
    return Function(function.name, taken_apart(function.block))


def taken_apart(block: Block, limit: int = SMALL) -> Block:
    """The block with arrays of at most `limit` elements taken apart, if only elements are read."""
    return sweep(_apart(block, limit))


def _apart(block: Block, limit: int) -> Block:
    split = _splittable(block, limit)
    params = fresh(block.params)
    with Builder(params) as b:
        env: dict[Value, Value] = dict(zip(block.params, params, strict=True))
        parts: dict[Value, Elements] = {}
        for op in block.ops:
            b.where = op.where
            if op.outs[0] in split if op.outs else False:
                operands = [elements_of(a, env, parts) for a in op.args]
                parts[op.outs[0]] = by_element(op, operands)
                if not op.outs[0].shape:
                    env[op.outs[0]] = parts[op.outs[0]][()]
                continue
            if op.blocks:
                blocks = {label: _apart(r, limit) for label, r in op.blocks.items()}
                args = [env.get(a, a) for a in op.args]
                outs = b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])
            else:
                outs = copy(b, op, [env.get(a, a) for a in op.args])
            env.update(zip(op.outs, outs, strict=True))
        return b.done([env.get(v, v) for v in block.outs])


def _splittable(block: Block, limit: int) -> set[Value]:
    """Results of ops that can be had element by element, where nobody wants them whole."""
    whole: set[Value] = {v for v in block.outs if v.shape}
    split: set[Value] = set()
    for op in reversed(block.ops):
        if _simple(op, limit) and not (op.outs[0].shape and op.outs[0] in whole):
            split.add(op.outs[0])
        else:
            whole.update(op.args)
    # A scalar computed from scalars is no change, and a parameter taken apart for nothing is one.
    gains = {
        op.outs[0] for op in block.ops if op.outs and op.outs[0] in split and op.prim is concatenate
    }
    return _connected(block, split, gains)


def _simple(op: Op, limit: int) -> bool:
    if len(op.outs) != 1 or op.blocks or not op.prim.pure:
        return False
    if not (op.prim.elementwise or op.prim.name in _VIEWS):
        return False
    return all(1 <= v.aval.size <= limit for v in (*op.args, *op.outs))


def _connected(block: Block, split: set[Value], seeds: set[Value]) -> set[Value]:
    """Of the splittable values those from which, or to which, a stack of scalars leads."""
    near: set[Value] = set()
    more = set(seeds)
    while more - near:
        near |= more
        for op in block.ops:
            arrays = {a for a in op.args if a.shape}
            if op.outs and op.outs[0] in split and not arrays.isdisjoint(near):
                more.add(op.outs[0])
            if op.outs and op.outs[0] in near:
                more |= arrays & split
    return near


# ------------------------------------------------------------------ element by element


def elements_of(v: Value, env: Mapping[Value, Value], parts: Mapping[Value, Elements]) -> Elements:
    if v in parts:
        return parts[v]
    x = env.get(v, v)
    if type(x) is Const or not x.shape:
        return {(): x}
    ones = (1,) * x.ndim
    return {
        at: reshape(slice_(x, start=at, size=ones, step=ones), shape=()) for at in places(x.shape)
    }


def places(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*map(range, shape)))


def by_element(op: Op, operands: list[Elements]) -> Elements:
    shape = op.outs[0].shape
    if op.prim.elementwise:
        return _applied(op, operands, shape)
    if op.prim is concatenate:
        return _joined(op, operands)
    (x,) = operands
    if op.prim is pad:
        return {at: _padded(op, x, at) for at in places(shape)}
    return {at: _source(op, x, at) for at in places(shape)}


def _applied(op: Op, operands: list[Elements], shape: tuple[int, ...]) -> Elements:
    avals = [a.shape for a in op.args]
    assert broadcast_shapes(*avals) == shape
    out = {}
    for at in places(shape):
        args = []
        for x, own in zip(operands, avals, strict=True):
            tail = at[len(at) - len(own) :]
            args.append(x[tuple(0 if n == 1 else i for i, n in zip(tail, own, strict=True))])
        out[at] = current().add(op.prim, args, op.attrs)[0]
    return out


def _padded(op: Op, x: Elements, at: tuple[int, ...]) -> Value:
    """The element of a pad at one place: one of the operand's, or zero."""
    inner = []
    for i, start, step, n in zip(
        at, op.attrs["start"], op.attrs["step"], op.args[0].shape, strict=True
    ):
        k, rest = divmod(i - start, step)
        if rest or not 0 <= k < n:
            return Const(0, op.outs[0].dtype)
        inner.append(k)
    return x[tuple(inner)]


def _joined(op: Op, operands: list[Elements]) -> Elements:
    axis, offset, out = op.attrs["axis"], 0, {}
    for a, x in zip(op.args, operands, strict=True):
        for at, v in x.items():
            out[(*at[:axis], at[axis] + offset, *at[axis + 1 :])] = v
        offset += a.shape[axis]
    return out


def _source(op: Op, x: Elements, at: tuple[int, ...]) -> Value:
    """The element of a moved array, or of a sum, at one place."""
    attrs: Mapping[str, Any] = op.attrs
    inner = op.args[0].shape
    if op.prim is reshape:
        return x[places(inner)[places(op.outs[0].shape).index(at)]]
    if op.prim is slice_:
        triples = zip(attrs["start"], at, attrs["step"], strict=True)
        return x[tuple(s + i * k for s, i, k in triples)]
    if op.prim is broadcast:
        return x[tuple(i for d, i in enumerate(at) if d not in attrs["axes"])]
    if op.prim is transpose:
        back = dict(zip(attrs["perm"], at, strict=True))
        return x[tuple(back[d] for d in range(len(at)))]
    assert op.prim is sum_
    kept = [d for d in range(len(inner)) if d not in attrs["axes"]]
    terms = [v for place, v in x.items() if tuple(place[d] for d in kept) == at]
    total = terms[0]
    for t in terms[1:]:
        total = add(total, t)
    return total
