"""Jacobians of programs of scalars, entry by entry.

A program that reads its arrays element by element and computes with scalars has mostly zeros in
its Jacobian, and as many directions as it has arguments.  Here each scalar carries the derivatives
it has, by argument, and no others; where that is less work than all directions at once, the matrix
is put together from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..ir.access import MAX_INTERVALS
from ..ir.builder import Builder, current
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.guards import guard
from ..ir.ops.shape import concatenate, reshaped, zeros
from ..ir.prim import ZERO
from ..ir.types import Aval, is_float
from .dce import dce
from .jvp import tangents_of
from .replay import copy, fresh, inline
from .scalars import Elements, by_element, elements_of, places

SMALL = 64  # elements of an array that is taken apart
ENTRIES = 1024  # of the matrix
MOST = 3000  # derivatives of scalars
LANES = 8  # directions that a vector loop computes at once
MEMORY = 3  # how much longer it takes by reading and writing its directions
_MOVES = frozenset(("reshape", "slice", "broadcast", "transpose", "concatenate", "pad"))


class _TooMuch(Exception):
    """The program is none of scalars, or its derivatives are more work than all directions."""


def matrix_by_elements(
    function: Function, params: Sequence[Value], outs: Sequence[int], wrt: Sequence[int]
) -> list[Value] | None:
    """Blocks (result, argument) of a Jacobian in the current builder; None where others are faster.

    Results and arguments are small and of one real dtype.
    """
    results = tuple(function.outs[i] for i in outs)
    narrow = dce(Function(function.name, Block(function.params, function.ops, results)))
    sides = [*(v.aval for v in results), *(function.params[i].aval for i in wrt)]
    rows, columns = (sum(a.size for a in side) for side in (sides[: len(outs)], sides[len(outs) :]))
    if len({a.dtype for a in sides}) > 1 or sides[0].kind != "f" or 0 in [a.size for a in sides]:
        return None
    if rows * columns > ENTRIES or not all(map(_known, narrow.ops)):
        return None
    at_once = -(-min(rows, columns) // LANES)
    limit = min(MOST, MEMORY * at_once * len(narrow.ops))
    inner = fresh(narrow.params)
    try:
        with Builder(inner) as b:
            block = b.done(_Pushed(narrow.block, inner, wrt, limit).blocks())
    except _TooMuch:
        return None
    return inline(block, params)


def _known(op: Op) -> bool:
    """Whether an op computes scalars from scalars, or moves elements of small arrays."""
    if op.blocks or not (op.prim.pure or op.prim is guard):
        return False
    if op.prim.name in _MOVES:
        return all(1 <= v.aval.size <= SMALL for v in (*op.args, *op.outs))
    return not any(v.aval.shape for v in (*op.args, *op.outs))


class _Pushed:
    """A block of scalars in the current builder, with what each scalar's derivatives are."""

    def __init__(
        self, block: Block, params: Sequence[Value], wrt: Sequence[int], limit: int
    ) -> None:
        self.block, self.wrt, self.left = block, wrt, limit
        self.env: dict[Value, Value] = dict(zip(block.params, params, strict=True))
        self.parts: dict[Value, Elements] = {}
        self.slopes: dict[Value, dict[int, Value]] = {}
        first = 0
        for i in wrt:
            x = block.params[i]
            self.parts[x] = elements_of(x, self.env, self.parts)
            for v in self.parts[x].values():
                self.slopes[v] = {first: Const(1, x.dtype)}
                first += 1
        b = current()
        for op in block.ops:
            b.where = op.where
            self._push(b, op)

    def _push(self, b: Builder, op: Op) -> None:
        if op.prim.name in _MOVES:
            self.parts[op.outs[0]] = by_element(op, [self._elements(a) for a in op.args])
            return
        args = tuple([self._scalar(a) for a in op.args])
        outs = copy(b, op, args)
        self.env.update(zip(op.outs, outs, strict=True))
        slopes = [self.slopes.get(a, {}) for a in args]
        if op.prim.nondiff or any(v in self.slopes for v in outs):
            return
        for column in sorted({k for s in slopes for k in s}):
            self.left -= 1
            if self.left < 0:
                raise _TooMuch
            given = [s.get(column, ZERO) for s in slopes]
            for v, t in zip(outs, tangents_of(op, given, outs, args), strict=True):
                if t is not ZERO and is_float(v.aval.dtype):
                    self.slopes.setdefault(v, {})[column] = t

    def _scalar(self, v: Value) -> Value:
        return self.parts[v][()] if v in self.parts else self.env.get(v, v)

    def _elements(self, v: Value) -> Elements:
        if v not in self.parts:
            self.parts[v] = elements_of(v, self.env, self.parts)
        return self.parts[v]

    def blocks(self) -> list[Value]:
        """The derivatives of each result by each argument."""
        found = []
        for y in self.block.outs:
            parts = self._elements(y)
            rows = [parts[at] for at in places(y.shape)]
            first = 0
            for i in self.wrt:
                x = self.block.params[i].aval
                entries = [
                    self.slopes.get(v, {}).get(k)
                    for v in rows
                    for k in range(first, first + x.size)
                ]
                found.append(_joined(entries, Aval(x.dtype, y.shape + x.shape)))
                first += x.size
        return found


def _joined(entries: Sequence[Value | None], aval: Aval) -> Value:
    """An array of entries; None stands for a zero."""
    if aval.ndim == 2 and max(aval.shape) <= MAX_INTERVALS:  # written where they lie
        m, n = aval.shape
        rows = [_row(entries[k * n : (k + 1) * n], (1,), aval.dtype) for k in range(m)]
        return rows[0] if m == 1 else concatenate(*rows, axis=0)
    return reshaped(_row(entries, (), aval.dtype), aval.shape)


def _row(entries: Sequence[Value | None], outer: tuple[int, ...], dtype: str) -> Value:
    """Entries along the last axis, behind axes of extent one."""
    pieces: list[Value] = []
    for none, group in groupby(entries, key=lambda v: v is None):
        run = list(group)
        if none:
            pieces.append(zeros(Aval(dtype, (*outer, len(run)))))
        else:
            pieces += [reshaped(v, (*outer, 1)) for v in run if v is not None]
    return pieces[0] if len(pieces) == 1 else concatenate(*pieces, axis=len(outer))
