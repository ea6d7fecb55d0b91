"""How the axes of an array lie in memory, and programs that read arrays where they lie.

A kernel reads arrays in C order.  One whose axes follow each other in another order is in C order
once it is transposed, which takes no time; so the program of a call with such an array has that as
its parameter, and transposes it back as its first op, which its passes know how to absorb.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from .ir.builder import Builder
from .ir.core import Function, Value
from .ir.ops.shape import inverse, permuted, transpose
from .ir.types import Aval
from .passes.layouts import Layouts
from .passes.replay import inline

Order = tuple[int, ...]
SMALL = 4096  # elements of an array that is fast to read in any order


def order_of(x: np.ndarray) -> Order | None:
    """The axes from the slowest to the fastest, () in C order; None if elements lie apart."""
    flags = x.flags
    if flags.c_contiguous:
        return ()
    if flags.f_contiguous:
        return tuple(range(x.ndim))[::-1]
    order = tuple(sorted(range(x.ndim), key=lambda d: (x.shape[d] != 1, -x.strides[d])))
    return order if x.transpose(order).flags.c_contiguous else None


def strides(dtype: np.dtype, shape: tuple[int, ...], order: Order) -> tuple[int, ...]:
    """The strides of a dense array whose axes lie in this order, () for C order."""
    steps = [0] * len(shape)
    step = dtype.itemsize
    for d in reversed(order or range(len(shape))):
        steps[d] = step
        step *= shape[d]
    return tuple(steps)


def turned(function: Function, orders: Sequence[Order]) -> Function:
    """The function of arrays that are transposed, each by its order."""
    if not any(orders):
        return function
    params = [
        Value(Aval(v.dtype, tuple(v.shape[d] for d in order)), v.hint and f"{v.hint}_T")
        if order
        else Value(v.aval, v.hint)
        for v, order in zip(function.params, orders, strict=True)
    ]
    with Builder(params) as b:
        back = [
            permuted(p, inverse(order)) if order else p
            for p, order in zip(params, orders, strict=True)
        ]
        block = b.done(inline(function.block, back))
    return Function(function.name, Layouts().run(block))


def strangers(function: Function, orders: Sequence[Order]) -> frozenset[int]:
    """The params of a turned function that it reads across: they are better copied in C order.

    A transpose of anything else is there because of all that are turned.
    """
    source = {v: {k} for k, v in enumerate(function.params) if orders[k]}
    found: set[int] = set()
    for op in function.ops:
        whose = set().union(*(source.get(a, ()) for a in op.args))
        if op.prim.elementwise and whose:
            source.update((v, whose) for v in op.outs)
        across = (op.blocks and whose) or op.prim is transpose
        if across and any(a.aval.size >= SMALL for a in op.args):
            found |= whose or {k for k, order in enumerate(orders) if order}
    return frozenset(found)


def moved(axes: Collection[tuple[int, int]], orders: Sequence[Order]) -> frozenset[tuple[int, int]]:
    """Pairs (param, axis), with the axes as the transposed arrays have them."""
    return frozenset((k, orders[k].index(d) if orders[k] else d) for k, d in axes)


def lain(arrays: Sequence[np.ndarray], orders: Sequence[Order]) -> list[np.ndarray]:
    """The arrays, transposed by their orders."""
    return [x.transpose(o) if o else x for x, o in zip(arrays, orders, strict=True)]
