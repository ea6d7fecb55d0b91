"""Arrays turned along an axis, as np.roll does it: by how far may differ from round to round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...ir import ops as rows
from ...ir.core import Const, Op, Value
from ...ir.ops import shape as shapes


class Turn(NamedTuple):
    """`x` turned by `shift` along `axis`, which the ops before `end` say."""

    x: Value
    shift: int
    axis: int
    end: int


def turn(ops: Sequence[Op], first: int, last: int) -> Turn | None:
    """The turn that is recorded from op `first` on: its last rows, the others, both joined."""
    tail, end = ops[first], first + 1
    if tail.prim is not rows.slice_ or end >= last:
        return None
    x = head = tail.args[0]
    if ops[end].prim is rows.slice_ and ops[end].args[0] is x and end + 1 < last:
        head, end = ops[end].outs[0], end + 1
    joined = ops[end]
    if joined.prim is not rows.concatenate or joined.args != (tail.outs[0], head):
        return None
    axis, out = joined.attrs["axis"], joined.outs[0]
    count = x.shape[axis]
    shift = tail.outs[0].shape[axis]
    begins = tuple(count - shift if d == axis else 0 for d in range(x.ndim))
    whole = out.aval == x.aval and tail.attrs["start"] == begins
    if head is not x:
        whole = whole and not any(ops[end - 1].attrs["start"])
    plain = all(s == 1 for op in ops[first:end] for s in op.attrs["step"])
    return Turn(x, shift, axis, end + 1) if whole and plain else None


def turned(x: Value, shift: Value, axis: int) -> Value:
    """`x` turned by a shift that may be computed, of 0 up to the extent."""
    n = x.shape[axis]
    if type(shift) is Const:
        by = int(shift.data)
        tail, head = shapes.narrow(x, axis, n - by, by), shapes.narrow(x, axis, 0, n - by)
        return rows.concatenate(tail, head, axis=axis)
    at = rows.sub(shapes.iota(shape=(n,), axis=0, dtype="i64"), within(shift, n))
    return shapes.moveaxis(rows.gather(x, at, axes=(axis,), mode="raise"), 0, axis)


def within(number: Value, last: int) -> Value:
    """A number that is known to be one of 0 to `last`, said in ops."""
    return rows.maximum(rows.minimum(number, Const(last, "i64")), Const(0, "i64"))
