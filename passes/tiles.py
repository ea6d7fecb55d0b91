"""Normal form of sums of arrays that lie apart: parts that touch are one part, in pieces.

The adjoint of a rotation adds two arrays, each of them zeros where the other is not: its two pieces
one after the other are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Op, Value
from ..ir.ops.elementwise import add
from ..ir.ops.shape import concatenate, pad
from .normal import Normal, Step

_FAR = 16  # sums back from where a part is looked for that another one touches


def _add(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    x, y = args
    if x.aval != y.aval:
        return None
    for whole, part in ((x, y), (y, x)):
        moved = b.made_by(part, "pad")
        found = None if moved is None else _joined(b, whole, moved, _FAR)
        if found is not None:
            return found
    return None


def _joined(b: Normal, v: Value, moved: Op, far: int) -> Value | None:
    """`v` plus what a pad moves, which touches a part of v; None if it touches none."""
    op = b.made_by(v, "pad", "add")
    if op is None:
        return None
    if op.prim is pad:
        return _beside(b, op, moved)
    if far and b.single(v):
        for x, y in (op.args, op.args[::-1]):
            found = _joined(b, y, moved, far - 1) if x.aval == y.aval else None
            if found is not None:
                return add(x, found)
    return None


def _beside(b: Normal, p: Op, q: Op) -> Value | None:
    """The sum of two pads whose parts lie side by side and fill a box."""
    (x,), (y,), shape = p.args, q.args, p.attrs["shape"]
    if any(
        n > 1 != s for f in (p, q) for n, s in zip(f.args[0].shape, f.attrs["step"], strict=True)
    ):
        return None
    at, by = p.attrs["start"], q.attrs["start"]
    differ = [d for d in range(len(shape)) if (at[d], x.shape[d]) != (by[d], y.shape[d])]
    if len(differ) != 1:
        return None
    (axis,) = differ
    if at[axis] > by[axis]:
        return _beside(b, q, p)
    if at[axis] + x.shape[axis] != by[axis]:
        return None
    whole = concatenate(*_pieces(b, x, axis), *_pieces(b, y, axis), axis=axis)
    return whole if whole.shape == shape else pad(whole, shape=shape, start=at, step=(1,) * len(at))


def _pieces(b: Normal, v: Value, axis: int) -> tuple[Value, ...]:
    """What a value is put together of along an axis."""
    op = b.made_by(v, "concatenate")
    return op.args if op is not None and op.attrs["axis"] == axis else (v,)


TILES: dict[str, tuple[Step, ...]] = {"add": (_add,)}
