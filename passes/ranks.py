"""A few elements of a sorted array are looked for, and the array is not sorted.

Quantiles, medians, the least and the largest: what reads a slice of `sort(x)` reads `x` where the
elements of these ranks stand, and its cotangent goes there alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Block, Function, Op, Value, all_ops
from ..ir.ops.index import take_along
from ..ir.ops.ranks import few, ranked
from ..ir.ops.reduce import argsort, sort
from ..ir.ops.shape import concatenate, slice_
from .replay import replay

Line = tuple[Value, int]  # what is sorted, and along which axis


def ranks(function: Function) -> Function:
    """The function without sorting of arrays of which slices of few elements are read."""
    if not any(op.prim in (sort, argsort) for op in all_ops(function.block)):
        return function
    wanted = _wanted(function.block)
    if not wanted:
        return function

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        made = defs.get(op.args[0]) if op.prim is slice_ else None
        if made is None or (line := _line(made)) not in wanted:
            return None
        _, axis = line
        (x,) = b.defs[args[0]].args  # the sort is there still, and nobody will read it
        order = ranked(x, axis=axis, ranks=wanted[line])
        mine = _part(order, [wanted[line].index(k) for k in _along(op, axis)], axis)
        found = mine if made.prim is argsort else take_along(x, mine, axis)
        start, step = ((*op.attrs[f][:axis], e, *op.attrs[f][axis + 1 :])
                       for f, e in (("start", 0), ("step", 1)))  # fmt: skip
        return (slice_(found, start=start, size=op.attrs["size"], step=step),)

    defs = {v: op for op in function.block.ops for v in op.outs}
    return Function(function.name, replay(function.block, visit))


def _line(op: Op) -> Line | None:
    return (op.args[0], op.attrs["axis"]) if op.prim in (sort, argsort) else None


def _along(op: Op, axis: int) -> list[int]:
    """The places that a slice reads along an axis."""
    first, by = op.attrs["start"][axis], op.attrs["step"][axis]
    return [first + by * k for k in range(op.attrs["size"][axis])]


def _wanted(block: Block) -> dict[Line, tuple[int, ...]]:
    """The ranks that are read of what is sorted, where slices alone read few of them."""
    defs = {op.outs[0]: op for op in block.ops if op.prim in (sort, argsort)}
    found: dict[Line, set[int]] = {}
    whole = {_line(defs[v]) for v in block.outs if v in defs}
    for op in block.ops:
        for a in op.args:
            made = defs.get(a)
            line = _line(made) if made is not None else None
            if line is None:
                continue
            if op.prim is not slice_:
                whole.add(line)
                continue
            size = op.attrs["size"][line[1]]
            if few(size, a.shape[line[1]]):
                found.setdefault(line, set()).update(_along(op, line[1]))
            else:
                whole.add(line)
    return {
        (x, axis): tuple(sorted(places))
        for (x, axis), places in found.items()
        if (x, axis) not in whole and few(len(places), x.shape[axis])
    }


def _part(order: Value, places: list[int], axis: int) -> Value:
    """Some of the indices along an axis, in this order."""

    def run(first: int, by: int, size: int) -> Value:
        start = tuple(first if d == axis else 0 for d in range(order.ndim))
        shape = (*order.shape[:axis], size, *order.shape[axis + 1 :])
        step = tuple(by if d == axis and size > 1 else 1 for d in range(order.ndim))
        return slice_(order, start=start, size=shape, step=step)

    gaps = {b - a for a, b in itertools.pairwise(places)}
    if len(gaps) <= 1:
        return run(places[0], min(gaps, default=1), len(places))
    return concatenate(*(run(p, 1, 1) for p in places), axis=axis)
