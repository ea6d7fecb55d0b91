"""How arrays lie in memory, and programs that read them there.

A kernel reads arrays in C order.  One whose axes follow each other in another order is in C order
once it is transposed, and one with gaps between its rows or elements is a part of one without; so
the program of a call with such an array has that as its parameter, and takes the array out of it by
its first ops, which passes know how to absorb.  What lies in the gaps is never read: behind the
last row there may be no memory.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .ir.builder import Builder
from .ir.core import Function, Op, Value
from .ir.ops.shape import inverse, permuted, reshape, slice_, transpose
from .ir.records import dataclass
from .ir.types import Aval
from .passes.layouts import Layouts
from .passes.replay import inline

Shape = tuple[int, ...]
SMALL = 4096  # elements up to which an array is fast to copy, and to read in any order
APART = 4  # places from one element to the next up to which a copy takes longer than it saves


@dataclass(frozen=True, slots=True)
class Lie:
    """How an array lies in a larger one that is in C order.

    order   its axes, from the slowest to the fastest
    room    the extents of the larger one; one more than axes where elements lie apart
    """

    order: Shape
    room: Shape

    @property
    def turned(self) -> bool:
        """Whether the axes lie in another order."""
        return self.order != tuple(range(len(self.order)))


Lies = Sequence[Lie | None]


def lie_of(x: np.ndarray) -> Lie | None:
    """How an array lies; None in C order, and where it does not lie so."""
    shape, item = x.shape, x.itemsize
    if x.flags.c_contiguous:
        return None
    order = tuple(sorted(range(x.ndim), key=lambda d: (shape[d] != 1, -x.strides[d])))
    steps = [x.strides[d] for d in order if shape[d] != 1] + [item]
    if not 0 < min(steps) <= steps[-2] <= APART * item:
        return None
    if any(a % b for a, b in pairwise(steps)):
        return None
    wide = [shape[d] for d in order if shape[d] != 1]
    inner = [a // b for a, b in pairwise(steps)]
    if any(n > m for n, m in zip(wide[1:], inner, strict=False)):  # rows that overlap
        return None
    room = (1,) * (x.ndim - len(wide)) + (wide[0], *inner)
    return Lie(order, room if inner[-1] > 1 else room[:-1])


def steps_of(room: Shape) -> Shape:
    """How far apart the elements of an array in C order lie, along each axis."""
    steps, step = [], 1
    for n in reversed(room):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def strides(dtype: np.dtype, shape: Shape, lie: Lie | None) -> Shape:
    """The strides of an array."""
    if lie is None:
        return tuple(dtype.itemsize * n for n in steps_of(shape))
    steps = dict(zip(lie.order, steps_of(lie.room), strict=False))
    return tuple(dtype.itemsize * steps[d] for d in range(len(shape)))


def within(x: np.ndarray, lie: Lie) -> np.ndarray:
    """The larger array that an array lies in, of which only that may be read."""
    if len(lie.order) == len(lie.room) and lie.room == tuple(x.shape[d] for d in lie.order):
        return x.transpose(lie.order)
    return as_strided(x, lie.room, [x.itemsize * n for n in steps_of(lie.room)])


def filled(arrays: Sequence[np.ndarray], lies: Lies) -> list[np.ndarray]:
    """The arrays, or larger ones in which they lie and that may be read as a whole."""
    found = []
    for x, lie in zip(arrays, lies, strict=True):
        if lie is not None:
            whole = np.zeros(lie.room, x.dtype)
            part = whole[..., 0] if len(lie.room) > x.ndim else whole
            part[tuple(slice(0, x.shape[d]) for d in lie.order)] = x.transpose(lie.order)
            x = whole
        found.append(x)
    return found


# ------------------------------------------------------------------ programs


def turned(function: Function, lies: Lies) -> Function:
    """The function of the larger arrays in which its arguments lie."""
    if not any(lies):
        return function
    params = [
        Value(v.aval, v.hint) if lie is None else Value(Aval(v.dtype, lie.room), _hint(v))
        for v, lie in zip(function.params, lies, strict=True)
    ]
    with Builder(params) as b:
        args = [
            p if lie is None else _taken(p, lie, v.shape)
            for p, v, lie in zip(params, function.params, lies, strict=True)
        ]
        block = b.done(inline(function.block, args))
    return Function(function.name, Layouts().run(block))


def _hint(v: Value) -> str:
    return v.hint and f"{v.hint}_T"


def _taken(whole: Value, lie: Lie, shape: Shape) -> Value:
    """The array out of the one in which it lies."""
    size = tuple(shape[d] for d in lie.order)
    n = len(lie.room)
    full = (*size, 1)[:n]
    part = whole if full == lie.room else slice_(whole, start=(0,) * n, size=full, step=(1,) * n)
    part = part if n == len(size) else reshape(part, shape=size)
    return permuted(part, inverse(lie.order))


def strangers(function: Function, lies: Lies, shapes: Sequence[Shape]) -> frozenset[int]:
    """The params of a turned function that are better copied in C order, or have to be.

    Those that it reads across, where another transpose counts as made by all of them; and those of
    which it reads more than the arrays of these `shapes`.
    """
    source = {v: {k} for k, v in enumerate(function.params) if lies[k] is not None}
    turned_ones = set().union(*source.values())
    inside = {v: _inside(lies[k], shapes[k]) for k, v in enumerate(function.params) if v in source}
    found = {k for v, (k,) in source.items() if inside[v] != v.shape and v in function.outs}
    for op in function.ops:
        whose = set().union(*(source.get(a, ()) for a in op.args))
        for a in op.args:
            if a in inside and inside[a] != a.shape and not _only(op, inside[a]):
                found |= source[a]
        if (op.prim.elementwise or op.prim in (slice_, reshape)) and whose:
            source.update((v, whose) for v in op.outs)
        across = (op.blocks and whose) or op.prim is transpose
        if across and any(a.aval.size >= SMALL for a in op.args):
            found |= whose or turned_ones
    return frozenset(found)


def _inside(lie: Lie | None, shape: Shape) -> Shape:
    """The extents of an array in the one in which it lies."""
    assert lie is not None
    return (*(shape[d] for d in lie.order), 1)[: len(lie.room)]


def _only(op: Op, size: Shape) -> bool:
    """Whether an op reads no more of its operand than its first elements along each axis."""
    if op.prim is not slice_ or 0 in op.attrs["size"]:
        return False
    spans = zip(op.attrs["start"], op.attrs["size"], op.attrs["step"], size, strict=True)
    return all(max(a, a + (n - 1) * s) < most for a, n, s, most in spans)


def moved(axes: Collection[tuple[int, int]], lies: Lies) -> frozenset[tuple[int, int]]:
    """Pairs (param, axis), with the axes as the larger arrays have them."""
    found = set()
    for k, d in axes:
        lie = lies[k]
        found.add((k, d if lie is None else lie.order.index(d)))
    return frozenset(found)
