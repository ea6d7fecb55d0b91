"""Jacobians and Hessians of programs of scalars, entry by entry.

A program that reads its arrays element by element and computes with scalars has mostly zeros in
its Jacobian, and as many directions as it has arguments.  Here each scalar carries the derivatives
it has, by argument, and no others; where that is less work than all directions at once, the matrix
is put together from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from .vjp import adjoint

Row = list[Value | None]  # the derivatives of one scalar; None stands for a zero

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
    inner = fresh(narrow.params)
    given = [function.params[i].aval for i in wrt]
    limit = _limit(narrow, [v.aval for v in results], given)
    if not limit:
        return None
    try:
        with Builder(inner) as b:
            known = [elements_of(inner[i], {}, {}) for i in wrt]
            pushed = _Pushed(narrow.block, inner, dict(zip(wrt, known, strict=True)), limit)
            rows = [pushed.rows(y) for y in narrow.outs]
            block = b.done(_blocks(rows, [v.aval for v in results], given))
    except _TooMuch:
        return None
    return inline(block, params)


def second_by_elements(
    loss: Function, params: Sequence[Value], wrt: Sequence[int]
) -> list[Value] | None:
    """Blocks (argument, argument) of the Hessian of a scalar, in the same way."""
    given = [loss.params[i].aval for i in wrt]
    if not _limit(loss, given, given) or loss.outs[0].aval != Aval(given[0].dtype):
        return None
    inner = fresh(loss.params)
    single = Aval(given[0].dtype)
    known = [{at: Value(single) for at in places(a.shape)} for a in given]
    elements = [v for parts in known for v in parts.values()]
    with Builder((*inner, *elements)) as b:
        opened = _Pushed(loss.block, inner, dict(zip(wrt, known, strict=True)), None)
        block = b.done(opened.elements(loss.outs[0]).values())
    first = len(inner)
    moving = range(first, first + len(elements))
    scalar = Function(loss.name, block)
    slopes = dce(adjoint(scalar, moving, seed_ones=True, primal_outs=False).function)
    inner = fresh(slopes.params)
    try:
        with Builder(inner) as b:
            each: dict[int, Elements] = {k: {(): inner[k]} for k in moving}
            pushed = _Pushed(slopes.block, inner, each, _limit(slopes, given, given))
            lines = iter([pushed.rows(y)[0] for y in slopes.outs])
            rows = [[next(lines) for _ in parts] for parts in known]
            block = b.done(_blocks(rows, given, given))
    except _TooMuch:
        return None
    here = [v for i in wrt for v in elements_of(params[i], {}, {}).values()]
    return inline(block, (*params, *here))


def _limit(function: Function, outs: Sequence[Aval], given: Sequence[Aval]) -> int:
    """How many derivatives of scalars are less work than all directions; 0 for other programs."""
    sides = [*outs, *given]
    if len({a.dtype for a in sides}) > 1 or sides[0].kind != "f" or 0 in [a.size for a in sides]:
        return 0
    rows, columns = sum(a.size for a in outs), sum(a.size for a in given)
    if rows * columns > ENTRIES or not all(map(_known, function.ops)):
        return 0
    return min(MOST, MEMORY * -(-min(rows, columns) // LANES) * len(function.ops))


def _known(op: Op) -> bool:
    """Whether an op computes scalars from scalars, or moves elements of small arrays."""
    if op.blocks or not (op.prim.pure or op.prim is guard):
        return False
    if op.prim.name in _MOVES:
        return all(1 <= v.aval.size <= SMALL for v in (*op.args, *op.outs))
    return not any(v.aval.shape for v in (*op.args, *op.outs))


class _Pushed:
    """A block of scalars in the current builder, with what each scalar's derivatives are.

    `known` are the elements of some params, in whose order the derivatives by them are numbered;
    there are at most `limit` (None: none are asked for).
    """

    def __init__(
        self,
        block: Block,
        params: Sequence[Value],
        known: Mapping[int, Elements],
        limit: int | None,
    ) -> None:
        self.left = limit or 0
        self.env: dict[Value, Value] = dict(zip(block.params, params, strict=True))
        self.parts: dict[Value, Elements] = {block.params[i]: x for i, x in known.items()}
        self.slopes: dict[Value, dict[int, Value]] = {}
        moving = [v for x in known.values() for v in x.values()] if limit is not None else []
        for k, v in enumerate(moving):
            self.slopes[v] = {k: Const(1, v.dtype)}
        self.columns = len(moving)
        b = current()
        for op in block.ops:
            b.where = op.where
            self._push(b, op)

    def _push(self, b: Builder, op: Op) -> None:
        if op.prim.name in _MOVES:
            self.parts[op.outs[0]] = by_element(op, [self.elements(a) for a in op.args])
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

    def elements(self, v: Value) -> Elements:
        """A value of the block, element by element."""
        if v not in self.parts:
            self.parts[v] = elements_of(v, self.env, self.parts)
        return self.parts[v]

    def rows(self, y: Value) -> list[Row]:
        """The derivatives of each element of a value of the block by all there are."""
        parts = self.elements(y)
        found = [self.slopes.get(parts[at], {}) for at in places(y.shape)]
        return [[slopes.get(k) for k in range(self.columns)] for slopes in found]


def _blocks(
    rows: Sequence[Sequence[Row]], outs: Sequence[Aval], given: Sequence[Aval]
) -> list[Value]:
    """The rows of each result as blocks (result, argument)."""
    found = []
    for lines, y in zip(rows, outs, strict=True):
        first = 0
        for x in given:
            entries = [v for line in lines for v in line[first : first + x.size]]
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
