"""Writes into parts of an array, put together: n writes make one array of n pieces, not n arrays.

A write is recorded as a choice between what is written, moved to its place, and what was there.
Here a chain of them is an array in pieces: a part that is read is taken from the piece that was
written last, and the whole is the pieces one after the other.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator

from ..ir.builder import Builder
from ..ir.core import Block, Const, Function, Op, Value, all_ops
from ..ir.ops.elementwise import select
from ..ir.ops.shape import broadcast, concatenate, narrow, pad, reshaped, slice_, zeros
from ..ir.records import dataclass
from ..ir.types import Aval
from .replay import fresh

FEWEST = 2  # writes from which on it pays


@dataclass(frozen=True)
class _Piece:
    """Rows `start` to `stop` of an array, or elements in C order; None for zeros."""

    start: int
    stop: int
    value: Value | None

    def part(self, start: int, stop: int) -> _Piece:
        """A part of the piece."""
        v = self.value
        cut = None if v is None else narrow(v, 0, start - self.start, stop - start)
        return _Piece(start, stop, cut)


@dataclass(frozen=True)
class _Written:
    """An array in pieces, and how many writes made it; `row` is the shape of what they count."""

    pieces: tuple[_Piece, ...]
    writes: int
    row: tuple[int, ...]

    def splits(self, *edges: int) -> bool:
        """Whether a place in C order lies within a row."""
        return any(edge % math.prod(self.row) for edge in edges)

    def flat(self) -> _Written:
        """The same by elements."""
        size = math.prod(self.row)
        pieces = (_Piece(p.start * size, p.stop * size, _flat(p.value)) for p in self.pieces)
        return _Written(tuple(pieces), self.writes, ()) if self.row else self


def _flat(v: Value | None) -> Value | None:
    return None if v is None else reshaped(v, (v.aval.size,))


def puts(function: Function) -> Function:
    """The function with chains of writes in pieces."""
    if sum(op.prim is pad for op in all_ops(function.block)) < FEWEST:
        return function
    return Function(function.name, _rewritten(function.block))


def _rewritten(block: Block) -> Block:
    params = fresh(block.params)
    with Builder(params, number=False) as b:
        state = _Rewrite(block, b, dict(zip(block.params, params, strict=True)))
        for op in block.ops:
            b.where = op.where
            state.visit(op)
        return b.done([state.get(v) for v in block.outs])


class _Rewrite:
    """One walk over a block, which makes a new one."""

    def __init__(self, block: Block, b: Builder, env: dict[Value, Value]) -> None:
        self.b = b
        self.env = env
        self.defs = {v: op for op in block.ops for v in op.outs}
        self.written: dict[Value, _Written] = {}
        self.late: dict[Value, Op] = {}  # what is emitted once somebody reads it

    def get(self, v: Value) -> Value:
        """A value under its new name, emitted now if it was put off."""
        if v in self.env or type(v) is Const:
            return self.env.get(v, v)
        where, op = self.b.where, self.late[v]
        self.b.where = op.where
        whole = self.written.get(v)
        if whole is not None and whole.writes >= FEWEST:
            parts = [zeros(Aval(v.dtype, (p.stop - p.start, *whole.row))) if p.value is None
                     else p.value for p in whole.pieces]  # fmt: skip
            joined = parts[0] if len(parts) == 1 else concatenate(*parts, axis=0)
            self.env[v] = reshaped(joined, v.shape)
            self.env[v].hint = v.hint
        else:
            self._emit(op)
        self.b.where = where
        return self.env[v]

    def visit(self, op: Op) -> None:
        """Emit an op, or put it off."""
        found = self._put(op)
        if found is not None:
            self.written[op.outs[0]] = found
        if found is not None or op.prim in (pad, broadcast):  # those may be parts of a write only
            self.late[op.outs[0]] = op
        elif op.prim is slice_ and (part := self._read(op)) is not None:
            self.env[op.outs[0]] = part
        else:
            self._emit(op)

    def _emit(self, op: Op) -> None:
        args = [self.get(a) for a in op.args]
        blocks = {label: _rewritten(r) for label, r in op.blocks.items()}
        outs = self.b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])
        self.env.update(zip(op.outs, outs, strict=True))

    def _put(self, op: Op) -> _Written | None:
        """The array that a write makes, if the op is one, of elements that follow one another."""
        old: Value | None = None
        moved: Op | None = op
        if op.prim is select:
            mask, new, old = op.args
            if any(a.shape != op.outs[0].shape for a in op.args):
                return None
            moved, place = self.defs.get(new), self.defs.get(mask)
            if moved is None or place is None or place.prim is not pad or not self._full(place):
                return None
            if (place.attrs, place.args[0].shape) != (moved.attrs, moved.args[0].shape):
                return None
        if moved is None or moved.prim is not pad or not moved.outs[0].ndim:
            return None
        span = _run(moved, moved.args[0], moved.outs[0])
        if span is None:
            return None
        before = self._before(old, moved.outs[0])
        if before.splits(*span):
            before = before.flat()
        size = math.prod(before.row)
        start, stop = span[0] // size, span[1] // size
        value = reshaped(self.get(moved.args[0]), (stop - start, *before.row))
        pieces = tuple(_replaced(before.pieces, _Piece(start, stop, value)))
        return _Written(pieces, before.writes + 1, before.row)

    def _before(self, old: Value | None, like: Value) -> _Written:
        """What a write changes, in pieces."""
        rows, row = like.shape[0], like.shape[1:]
        if old is None:
            return _Written((_Piece(0, rows, None),), 0, row)
        if old in self.written and old not in self.env:
            return self.written[old]
        return _Written((_Piece(0, rows, self.get(old)),), 0, row)

    def _full(self, place: Op) -> bool:
        """Whether a mask that is moved to its place is made of True alone."""
        op = self.defs.get(place.args[0])
        x = op.args[0] if op is not None and op.prim is broadcast else None
        return isinstance(x, Const) and bool(x.data)

    def _read(self, op: Op) -> Value | None:
        """A slice that lies within one piece."""
        whole = self.written.get(op.args[0])
        span = _run(op, op.outs[0], op.args[0]) if whole is not None else None
        if whole is None or span is None:
            return None
        if whole.splits(*span):
            whole = whole.flat()
        size = math.prod(whole.row)
        start, stop = span[0] // size, span[1] // size
        k = bisect_right([p.start for p in whole.pieces], start) - 1
        piece = whole.pieces[k]
        if stop > piece.stop:
            return None
        v = piece.part(start, stop).value
        return zeros(op.outs[0].aval) if v is None else reshaped(v, op.outs[0].shape)


def _run(op: Op, part: Value, whole: Value) -> tuple[int, int] | None:
    """Where a region of an array begins and ends in C order; None if it has gaps there."""
    starts, sizes, extents = op.attrs["start"], part.shape, whole.shape
    if any(s != 1 for s in op.attrs["step"]) or not part.aval.size:
        return None
    partial = next((d for d, n in enumerate(sizes) if n != 1), len(sizes))
    if sizes[partial + 1 :] != extents[partial + 1 :]:
        return None
    if any(s < 0 or s + n > m for s, n, m in zip(starts, sizes, extents, strict=True)):
        return None
    first = sum(s * math.prod(extents[d + 1 :]) for d, s in enumerate(starts))
    return first, first + part.aval.size


def _replaced(pieces: tuple[_Piece, ...], new: _Piece) -> Iterator[_Piece]:
    """The pieces with some elements replaced."""
    for p in pieces:
        if p.stop <= new.start or p.start >= new.stop:
            yield p
            continue
        if p.start < new.start:
            yield p.part(p.start, new.start)
        if p.start <= new.start:
            yield new
        if p.stop > new.stop:
            yield p.part(new.stop, p.stop)
