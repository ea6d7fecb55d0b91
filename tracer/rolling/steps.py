"""What a round does, step by step: recorded ops, and what stands for some of them in a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Any

import numpy as np

from ...ir import ops as rows
from ...ir.builder import Builder, current
from ...ir.core import Const, Function, Op, Value
from ...ir.ops import shape as shapes
from ...ir.printer import canonical
from ...ir.types import Aval
from ..ledger import Recipe
from .activations import Activation
from .columns import Columns
from .turned import turn, turned, within

Shape = tuple[int, ...]
Emit = Callable[[Builder, Sequence[Value]], Sequence[Value]]
INDEX = Aval("i64")
_integers: dict[int, Const] = {}


def integer(n: int) -> Const:
    """A literal index."""
    known = _integers.get(n)
    if known is None:
        known = Const(n, "i64")
        if len(_integers) < 10_000:
            _integers[n] = known
    return known


class Step:
    """Some ops of a program as one: what tells them apart, operands, results, how to emit them.

    last    how many ops of the trace had been recorded when it was done
    weight  how many ops it is
    ops     the recorded ops that it stands for (none for what was put in between)
    moves   of a strided region: its size and step
    rows    results that are a row of a stacked result: that result, and which row
    guards  how many guards it holds
    place   of a guard: the call and the instruction that asked
    around  of a loop: the steps that were put in before and after it
    again   of a loop: the same by indices alone, whatever the number of its rounds
    plain   of a loop that does not pay by itself: the steps that it stands for
    """

    __slots__ = (
        "_how", "again", "args", "around", "guards", "last", "moves", "ops", "outs", "place",
        "plain", "rows", "token", "weight",
    )  # fmt: skip

    def __init__(
        self,
        token: Any,
        args: tuple[Value, ...],
        outs: tuple[Value, ...],
        how: Emit | Op,
        last: int,
        ops: Sequence[Op] = (),
        weight: int = 1,
    ) -> None:
        self.token = token
        self.args = args
        self.outs = outs
        self._how = how
        self.last = last
        self.ops = ops
        self.weight = weight
        self.moves: tuple[Shape, Shape] | None = None
        self.rows: dict[int, tuple[Value, int]] = {}
        self.guards = 0
        self.around: tuple[Step, ...] = ()
        self.again: Callable[[], Step | None] | None = None
        self.plain: Sequence[Step] | None = None
        self.place: tuple[Activation, int] | None = None

    def emit(self, b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        """Say it in ops, with these operands; returns the results."""
        if type(self._how) is Op:
            return _again(self._how, b, args)
        return self._how(b, args)  # type: ignore[operator]


class Put:
    """A write into a region of an array: ops `first` to `last` of the trace say it."""

    __slots__ = ("first", "last", "new", "old", "out", "start", "step")

    def __init__(
        self, first: int, last: int, old: Value, new: Value, out: Value, start: Shape, step: Shape
    ) -> None:
        self.first, self.last = first, last
        self.old, self.new, self.out = old, new, out
        self.start, self.step = start, step


class Reader:
    """Makes steps of recorded ops, in their order.

    columns     the trace as numbers
    limit       the input that says how many rounds the while at this place may have, given how
                many there were
    known       what an input holds that was made while tracing; None of any other value
    parts       what is known to be a row of a stacked array: value -> (array, row)
    """

    def __init__(
        self,
        ops: Sequence[Op],
        recipes: Sequence[Recipe],
        puts: Mapping[int, Put],
        columns: Columns,
        limit: Callable[[CodeType, int, int], Value],
        known: Callable[[Value], np.ndarray | None],
    ) -> None:
        self.ops = ops
        self.limit = limit
        self.known = known
        self.recipes = recipes
        self.puts = puts
        self.columns = columns
        self.parts: dict[Value, tuple[Value, int]] = {}
        self._lifted: dict[Value, tuple[Value, int]] = {}  # the same with an axis in front
        self._blocks: dict[Value, tuple[Value, int]] = {}  # rows of an array from one row on
        self._tokens: dict[Any, int] = {}
        self._slices: dict[int, tuple[int, tuple[Const, ...]]] = {}  # by recorded tokens

    def reads(self, v: Value, last: int) -> None:
        """A step that is done after `last` ops reads this value."""
        self.columns.reads(v, last)

    def token(self, facts: Any) -> int:
        """The number of these facts (below zero: no identity of a recorded token)."""
        return self._tokens.setdefault(facts, -1 - len(self._tokens))

    def forget(self, v: Value) -> None:
        """The value is now made within a loop: where it stood is not seen from outside."""
        self.parts.pop(v, None)
        self._lifted.pop(v, None)
        self._blocks.pop(v, None)

    def steps(self, first: int, last: int) -> list[Step]:
        """The steps of a range of recorded ops."""
        if last - first == 1 and first not in self.puts:  # nearly always
            op, recipe = self.ops[first], self.recipes[first]
            if recipe.made is None and op.prim not in _SPECIAL and op.prim is not rows.guard:
                return [Step(id(recipe), op.args, op.outs, op, last, (op,))]
        found = []
        ops, recipes, puts, special = self.ops, self.recipes, self.puts, _SPECIAL
        k = first
        while k < last:
            op = ops[k]
            token = recipes[k] if recipes[k].made is None else None
            if k in puts and puts[k].last <= last:
                found.append(self._put(puts[k]))
                k = puts[k].last
                continue
            if op.prim is rows.slice_ and (made := self._turn(k, last)) is not None:
                found.append(made)
                k = made.last
                continue
            k += 1
            if token is None or op.prim in special:
                found.append(self._op(op, token, k))
            else:
                found.append(Step(id(token), op.args, op.outs, op, k, (op,)))
                if op.prim is rows.guard:
                    found[-1].guards = 1
        return found

    def _op(self, op: Op, token: Any, last: int) -> Step:
        if op.prim is rows.slice_:
            attrs = op.attrs
            known = self._slices.get(id(token)) if token is not None else None
            if known is None:
                avals = (op.args[0].aval, attrs["size"], attrs["step"])
                known = (self.token(("slice", *avals)), tuple(map(integer, attrs["start"])))
                if token is not None:
                    self._slices[id(token)] = known
            made = Step(known[0], (*op.args, *known[1]), op.outs, op, last, (op,))
            made.moves = attrs["size"], attrs["step"]
            x, start = op.args[0], attrs["start"]
            if attrs["size"] == (1, *x.shape[1:]) and not any(start[1:]):
                self._lifted[op.outs[0]] = (x, start[0])
            return made
        if (self._lifted or self._blocks) and op.prim is rows.concatenate and op.attrs["axis"] == 0:
            joined = self._join(op, last)
            if joined is not None:
                return joined
        if op.prim is rows.reshape:
            (x,), (y,) = op.args, op.outs
            if x in self.parts and y.shape == (1, *x.shape):
                self._lifted[y] = self.parts[x]
            elif x in self._lifted and x.shape == (1, *y.shape):
                self.parts[y] = self._lifted[x]
            elif x in self._blocks and y.shape == (1, *x.shape):
                self._blocks[y] = self._blocks[x]
        number = id(token)
        if token is None:
            types = tuple([a.aval for a in op.args])
            regions = tuple((k, canonical(Function("", r))) for k, r in op.blocks.items())
            number = self.token((op.prim, types, tuple(op.attrs.items()), regions))
        return Step(number, op.args, op.outs, op, last, (op,))

    def slice(
        self, x: Value, start: Sequence[int | Value], size: Shape, step: Shape, out: Value,
        last: int,
    ) -> Step:  # fmt: skip
        """A strided region of an array; where it begins is an operand."""
        token = self.token(("slice", x.aval, size, step))
        args = (x, *(integer(s) if isinstance(s, int) else s for s in start))

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            return (region(args[0], args[1:], size, step),)

        made = Step(token, args, (out,), emit, last)
        made.moves = size, step
        return made

    def _join(self, op: Op, last: int) -> Step | None:
        """Rows of stacked arrays joined again: pieces of those arrays."""
        stacked = self._restack(op, last)
        if stacked is not None:
            return stacked
        pieces: list[tuple[Value, int, int, int]] = []  # value, first row, step, number of rows
        for a in op.args:
            array, k = self._lifted.get(a, (a, -1))
            if pieces and k >= 0:
                x, first, by, n = pieces[-1]
                if x is array and first >= 0 and (k > first if n == 1 else k == first + n * by):
                    pieces[-1] = (x, first, k - first if n == 1 else by, n + 1)
                    continue
            pieces.append((array, k, 1, 1))
        if 2 * len(pieces) > len(op.args):
            return None
        for x, first, _, _ in pieces:
            if first >= 0:
                self.reads(x, last)
        if len(pieces) == 1 and pieces[0][2] == 1:
            self._blocks[op.outs[0]] = pieces[0][:2]
        shapes_ = tuple((x.aval, *rest) for x, *rest in pieces)

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            b.where = op.where
            found = [piece(x, *p[1:]) for x, p in zip(args, pieces, strict=True)]
            return (found[0] if len(found) == 1 else rows.concatenate(*found, axis=0),)

        return Step(self.token(("join", shapes_)), tuple(p[0] for p in pieces), op.outs, emit, last)

    def _restack(self, op: Op, last: int) -> Step | None:
        """Equal blocks of rows of one array, joined one after the other: its rows in blocks."""
        blocks = [self._blocks.get(a) for a in op.args]
        if None in blocks or any(a.aval != op.args[0].aval for a in op.args):
            return None
        array, first = blocks[0]  # type: ignore[misc]
        count = op.args[0].shape[1]
        if any(b != (array, first + k * count) for k, b in enumerate(blocks)):
            return None
        self.reads(array, last)
        shape = op.outs[0].shape
        token = self.token(("restack", array.aval, first, shape))

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            b.where = op.where
            return (shapes.reshaped(piece(args[0], first, 1, len(blocks) * count), shape),)

        return Step(token, (array,), op.outs, emit, last)

    def _put(self, put: Put) -> Step:
        step = put.step
        args = (put.old, put.new, *map(integer, put.start))
        token = self.token(("put", put.old.aval, put.new.aval, step))
        ops = self.ops[put.first : put.last]
        where = ops[0].where

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            b.where = where
            return (replaced(args[0], args[1], args[2:], step),)

        return Step(token, args, (put.out,), emit, put.last, ops, len(ops))

    def _turn(self, first: int, last: int) -> Step | None:
        """An array turned along an axis; by how far is an operand."""
        found = turn(self.ops, first, last)
        if found is None:
            return None
        ops, axis, out = self.ops[first : found.end], found.axis, self.ops[found.end - 1].outs[0]
        where = ops[-1].where

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            b.where = where
            return (turned(args[0], args[1], axis),)

        args = (found.x, integer(found.shift))
        token = self.token(("turn", found.x.aval, axis))
        return Step(token, args, (out,), emit, found.end, ops, len(ops))


_SPECIAL = frozenset((rows.slice_, rows.reshape, rows.concatenate))


def _again(op: Op, b: Builder, args: Sequence[Value]) -> Sequence[Value]:
    """A recorded op with other operands."""
    b.where = op.where
    if op.prim is rows.slice_:
        return (region(args[0], args[1:], op.attrs["size"], op.attrs["step"]),)
    return b.add(op.prim, args, op.attrs, op.blocks, [v.hint for v in op.outs])


# ------------------------------------------------------------------ regions that move


def piece(x: Value, first: int, by: int, count: int) -> Value:
    """`count` rows of an array from row `first` on; the array itself where that is negative."""
    if first < 0 or (first == 0 and by == 1 and count == x.shape[0]):
        return x
    rest = x.ndim - 1
    return rows.slice_(
        x, start=(first, *(0,) * rest), size=(count, *x.shape[1:]), step=(by, *(1,) * rest)
    )


def region(x: Value, start: Sequence[Value], size: Shape, step: Shape) -> Value:
    """`x[start : start + size * step : step]` with starts that may be computed."""
    moving = [d for d, s in enumerate(start) if type(s) is not Const]
    fixed = [0 if d in moving else int(start[d].data) for d in range(x.ndim)]  # type: ignore[attr-defined]
    part = tuple(x.shape[d] if d in moving else size[d] for d in range(x.ndim))
    by = tuple(1 if d in moving else step[d] for d in range(x.ndim))
    if any(fixed) or part != x.shape or any(s != 1 for s in by):
        x = rows.slice_(x, start=tuple(fixed), size=part, step=by)
    single = [d for d in moving if size[d] == 1]
    if single:
        x = rows.gather(x, *(start[d] for d in single), axes=tuple(single), mode="raise")
        x = shapes.reshaped(x, tuple(1 if d in single else n for d, n in enumerate(part)))
    wide = [d for d in moving if size[d] != 1]
    if not wide:
        return x
    shape = tuple(size[d] for d in wide)
    where = [
        across(positions(start[d], size[d], step[d], x.shape[d]), k, shape)
        for k, d in enumerate(wide)
    ]
    x = rows.gather(x, *where, axes=tuple(wide), mode="raise")
    order = (*wide, *(d for d in range(x.ndim) if d not in wide))
    return shapes.permuted(x, tuple(map(order.index, range(x.ndim))))


def across(line: Value, axis: int, shape: Shape) -> Value:
    """A vector along one axis of a shape, repeated along the others."""
    alone = tuple(n if d == axis else 1 for d, n in enumerate(shape))
    return shapes.broadcast_to(shapes.reshaped(line, alone), shape)


def positions(start: Value, size: int, step: int, extent: int) -> Value:
    """`start + step * (0, 1, ..., size - 1)`.

    Where `start` is one of the numbers that were recorded, these lie within the extent: its bounds
    say so to who reads the program.
    """
    if current().defs.get(start) is None:
        start = within(start, extent - 1 - (size - 1) * step)
    steps = shapes.iota(shape=(size,), axis=0, dtype="i64")
    if step != 1:
        steps = rows.mul(steps, Const(step, "i64"))
    return rows.add(steps, start)


def replaced(old: Value, new: Value, start: Sequence[Value], step: Shape) -> Value:
    """`old` with the region that begins at `start` replaced by `new`."""
    size = new.shape
    if all(type(s) is Const for s in start):
        at = tuple(int(s.data) for s in start)  # type: ignore[attr-defined]
        moved = rows.pad(new, shape=old.shape, start=at, step=step)
        inside = shapes.full(True, Aval("bool", size))
        return rows.select(rows.pad(inside, shape=old.shape, start=at, step=step), moved, old)
    given = [d for d in range(old.ndim) if type(start[d]) is not Const or size[d] != old.shape[d]]
    wide = [d for d in given if size[d] != 1]
    shape = tuple(size[d] for d in wide)
    where = []
    for d in given:
        if d in wide:
            along = positions(start[d], size[d], step[d], old.shape[d])
            where.append(across(along, wide.index(d), shape))
        else:
            where.append(shapes.broadcast_to(start[d], shape))
    order = (*wide, *(d for d in range(old.ndim) if d not in given))
    rest = (*order, *(d for d in given if d not in wide))
    update = shapes.reshaped(shapes.permuted(new, rest), tuple(size[d] for d in order))
    return rows.scatter(old, update, *where, axes=tuple(given))
