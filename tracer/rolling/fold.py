"""Matched rounds become one step: a loop with a closed body, operands and results.

The body is kept as a list of steps over numbered values until the whole program is emitted.  So
literals can stay operands while loops further out are matched; what turns out to be a literal
after all then sinks into the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...ir import ops as rows
from ...ir.builder import Builder
from ...ir.core import Const, Op, Value
from ...ir.ops import shape as shapes
from ...ir.ops.control_rules import emit_loop
from ...ir.types import NUMPY, Aval
from .many import result, stretches, unrolled
from .match import Affine, Carried, Listed, Local, Matched, Operand, Same, Table, is_literal
from .steps import INDEX, Reader, Step, integer, region


class Chain:
    """Registers that hold what a result was 1, 2, ... rounds ago, and their first values."""

    def __init__(self, step: int, out: int) -> None:
        self.step, self.out = step, out
        self.first: list[Value] = []

    def takes(self, first: Sequence[Value]) -> bool:
        """Whether these first values agree with those that are there; longer ones are added."""
        if any(_key(a) != _key(b) for a, b in zip(self.first, first, strict=False)):
            return False
        self.first += first[len(self.first) :]
        return True


def _key(v: Value) -> Any:
    return v.key if is_literal(v) else v  # type: ignore[attr-defined]


class Body:
    """The round of a loop: steps over numbered values.

    Numbers: the index is 0, then consts, carries and rows of inputs, then results of the steps.
    """

    def __init__(self) -> None:
        self.avals: list[Aval] = []
        self.hints: list[str] = []
        self.steps: list[tuple[Step, tuple[int, ...]]] = []
        self.results: list[int] = []

    def facts(self) -> Any:
        """Equal for equal bodies."""
        steps = tuple([(s.token, refs) for s, refs in self.steps])
        return (tuple(self.avals), steps, tuple(self.results))

    def run(self, b: Builder, env: list[Value]) -> list[Value]:
        """Emit the round; `env` holds the values of the first numbers."""
        for step, refs in self.steps:
            env.extend(step.emit(b, [env[r] for r in refs]))
        return [env[r] for r in self.results]


def fold(reader: Reader, rounds: Sequence[Sequence[Step]], found: Matched) -> list[Step]:
    """The steps of matched rounds: those before the loop as they are, the loop, its rows."""
    before = unrolled(rounds[: found.start])
    inside = rounds[found.start : found.stop]
    made = Fold(reader, inside, found)
    made.step.around = (*made.ahead, *made.behind)
    if made.inputs:
        made.step.again = lambda: by_indices(reader, inside, found)
    return [*before, *made.ahead, made.step, *made.behind]


def by_indices(reader: Reader, rounds: Sequence[Sequence[Step]], found: Matched) -> Step | None:
    """The loop of matched rounds alone, if it needs neither inputs nor stacked results."""
    try:
        return ByIndices(reader, rounds, found).step
    except Refused:
        return None


class Refused(Exception):
    """Why rounds stay as they are."""


class Fold:
    """One folding, step by step."""

    def __init__(self, reader: Reader, rounds: Sequence[Sequence[Step]], found: Matched) -> None:
        self.reader, self.rounds, self.found = reader, rounds, found
        self.count = len(rounds)
        self.template = rounds[-1]
        self.first = rounds[0][0].last
        self.last = rounds[-1][-1].last
        self.ahead: list[Step] = []
        self.behind: list[Step] = []
        self.consts: list[Value] = []
        self.inputs: list[Value] = []
        self._const_at: dict[Value, int] = {}
        self._input_at: dict[Any, int] = {}
        self.chains: list[Chain] = []
        self.body = Body()
        self._whole: dict[Value, Value] = {}
        self._flattened: dict[Value, Value] = {}
        self._rows: dict[int, tuple[Value, int]] = {}
        plan = [self._planned(j, s) for j, s in enumerate(self.template)]
        extra = self._read_after()
        self._number(plan, extra)
        self.step = self._step(extra)

    # -------------------------------------------------------------- operands

    def _planned(self, j: int, step: Step) -> Any:
        """What the body has for a step: itself and where it reads, or a row of an input."""
        operands = self.found.operands[j]
        row = self._as_input(step, operands)
        if row is not None:
            return row
        return [self._place(o) for o in operands]

    def _place(self, o: Operand) -> Any:
        """Where an operand is found in the body: (group, number, ...)."""
        if isinstance(o, Local):
            return ("local", o.step, o.out)
        if isinstance(o, Same):
            return ("const", self._const(o.value))
        if isinstance(o, Affine):
            return ("affine", self._literal(o.step), self._literal(o.start), o.dtype)
        if isinstance(o, Carried):
            return ("carry", *self._carry(o))
        return ("input", self._input(o))

    def _const(self, v: Value) -> int:
        if is_literal(v):  # equal ones may differ in another round of a loop further out
            self.consts.append(v)
            return len(self.consts) - 1
        at = self._const_at.get(v)
        if at is None:
            at = self._const_at[v] = len(self.consts)
            self.consts.append(v)
        return at

    def _literal(self, n: int) -> int:
        self.consts.append(integer(n))
        return len(self.consts) - 1

    def _carry(self, o: Carried) -> tuple[int, int]:
        first = list(reversed(o.before))
        for c, chain in enumerate(self.chains):
            if (chain.step, chain.out) == (o.step, o.out) and chain.takes(first):
                return c, o.distance - 1
        chain = Chain(o.step, o.out)
        chain.takes(first)
        self.chains.append(chain)
        return len(self.chains) - 1, o.distance - 1

    def _input(self, o: Listed) -> int:
        key = tuple(map(_key, o.values))
        at = self._input_at.get(key)
        if at is None:
            at = self._input_at[key] = self._add_input(self._joined(o))
        return at

    def _add_input(self, v: Value) -> int:
        self.inputs.append(v)
        return len(self.inputs) - 1

    def _joined(self, o: Listed) -> Value:
        """One array of the values of a list, in the order of the rounds."""
        values = o.values
        if o.literal:
            data = np.array([v.data for v in values])  # type: ignore[attr-defined]
            dtype = values[0].aval.dtype
            return Table(data.astype(NUMPY[dtype], copy=False), dtype)
        known = [self.reader.known(v) for v in values]
        if not any(x is None for x in known):
            return Table(np.stack(known), values[0].aval.dtype)  # type: ignore[arg-type]
        found = self._rows_of_one(values)
        if found is not None:
            return found
        out = Value(Aval(values[0].dtype, (len(values), *values[0].shape)))
        token = self.reader.token(("stack", values[0].aval, len(values)))
        self.ahead.append(Step(token, values, (out,), _stack, self.first))
        return out

    def _rows_of_one(self, values: Sequence[Value]) -> Value | None:
        """The array of which the values are rows at equal steps, or that part of it."""
        places = [self.reader.parts.get(v) for v in values]
        if None in places:
            return None
        (array, start), (_, second) = places[:2]  # type: ignore[misc]
        by = second - start
        if by == 0 or any(
            p[0] is not array or p[1] != start + k * by  # type: ignore[index]
            for k, p in enumerate(places)
        ):
            return None
        if start == 0 and by == 1 and array.shape[0] == len(values):
            self.reader.reads(array, self.last)
            return array
        rest = array.ndim - 1
        size = (len(values), *array.shape[1:])
        return self._cut(array, (start, *(0,) * rest), size, (by, *(1,) * rest))

    def _cut(
        self, x: Value, start: Sequence[int | Value], size: tuple[int, ...], step: tuple[int, ...]
    ) -> Value:
        """A region of an array from before the loop."""
        out = Value(Aval(x.dtype, size), x.hint)
        self.ahead.append(self.reader.slice(x, start, size, step, out, self.first))
        self.reader.reads(x, self.last)
        return out

    def _as_input(self, step: Step, operands: Sequence[Operand]) -> Any:
        """A region of an array from before the loop that moves along one axis, as an input."""
        if step.moves is None or not isinstance(operands[0], Same):
            return None
        size, by = step.moves
        starts = operands[1:]
        moving = [d for d, o in enumerate(starts) if not isinstance(o, Same)]
        if len(moving) != 1 or size[moving[0]] != 1:
            return None
        (axis,) = moving
        o = starts[axis]
        if not isinstance(o, Affine) or not o.step:
            return None
        x = operands[0].value
        start = [s.value if isinstance(s, Same) else o.start for s in starts]
        whole = tuple(self.count if d == axis else n for d, n in enumerate(size))
        steps = tuple(o.step if d == axis else s for d, s in enumerate(by))
        out = self._rows_first(self._cut(x, start, whole, steps), axis)
        return ("row", self._add_input(out), size)

    def _rows_first(self, x: Value, axis: int) -> Value:
        if axis == 0:
            return x
        shape = (x.shape[axis], *(n for d, n in enumerate(x.shape) if d != axis))
        out = Value(Aval(x.dtype, shape), x.hint)
        token = self.reader.token(("rows first", x.aval, axis))

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            return (shapes.moveaxis(args[0], axis, 0),)

        self.ahead.append(Step(token, (x,), (out,), emit, self.first))
        return out

    # -------------------------------------------------------------- results

    def _read_after(self) -> dict[tuple[int, int], list[int]]:
        """Which results, and of which rounds, are read after the loop."""
        read, last = self.reader.columns.last_read, self.last
        out: dict[tuple[int, int], list[int]] = {}
        for many, a, b in stretches(self.rounds):
            if many is not None:
                first = self.rounds[a].k  # type: ignore[attr-defined]
                for k, place in many.read_after(first, first + b - a, last):
                    out.setdefault(place, []).append(a + k)
                continue
            for k in range(a, b):
                for j, s in enumerate(self.rounds[k]):
                    for w, v in enumerate(s.outs):
                        self._made_inside(v)
                        if read(v) > last:
                            out.setdefault((j, w), []).append(k)
        return out

    def _made_inside(self, v: Value) -> None:
        self.reader.forget(v)

    def _number(self, plan: list[Any], extra: dict[tuple[int, int], list[int]]) -> None:
        body = self.body
        results: dict[tuple[int, int], int] = {}
        first = 1 + len(self.consts)
        starts: list[int] = []
        n = first
        for chain in self.chains:
            starts.append(n)
            n += len(chain.first)
        for place, ks in extra.items():  # what only the last round tells
            if ks == [self.count - 1] and not self._chains_of(place):
                chain = Chain(*place)
                chain.first.append(self._zero(self.template[place[0]].outs[place[1]]))
                self.chains.append(chain)
                starts.append(n)
                n += 1
        given = n
        n += len(self.inputs)

        def at(place: Any) -> int:
            nonlocal n
            group = place[0]
            if group == "local":
                return results[place[1], place[2]]
            if group == "const":
                return 1 + place[1]
            if group == "carry":
                return starts[place[1]] + place[2]
            if group == "input":
                return given + place[1]
            body.steps.append((affine(self.reader, place[3]),
                               (0, 1 + place[1], 1 + place[2])))  # fmt: skip
            n += 1
            return n - 1

        for j, (step, places) in enumerate(zip(self.template, plan, strict=True)):
            if isinstance(places, tuple):
                body.steps.append((_row(self.reader, step, places[2]), (given + places[1],)))
            else:
                refs = tuple(map(at, places))
                body.steps.append((step, refs))
            for w in range(len(step.outs)):
                results[j, w] = n
                n += 1
        for chain, start in zip(self.chains, starts, strict=True):
            ends = [results[chain.step, chain.out]]
            body.results += [*ends, *range(start, start + len(chain.first) - 1)]
        self._result_at = results

    def _chains_of(self, place: tuple[int, int]) -> list[Chain]:
        return [c for c in self.chains if (c.step, c.out) == place]

    def _zero(self, like: Value) -> Value:
        if not like.shape:
            return Const(0, like.dtype)
        out = Value(like.aval)
        token = self.reader.token(("zeros", like.aval))

        def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
            return (shapes.zeros(like.aval),)

        self.ahead.append(Step(token, (), (out,), emit, self.first))
        return out

    def _step(self, extra: dict[tuple[int, int], list[int]]) -> Step:
        outs = self._last()
        known = set(outs)
        for (j, w), ks in extra.items():
            if any(result(self.rounds[k], j, w) not in known for k in ks):
                self._stacked((j, w), ks, outs, known)
        starts = [v for chain in self.chains for v in chain.first]
        starts = self._settle()
        body = self.body
        args = (integer(self.count), *self.consts, *starts, *self.inputs)
        layout = (len(self.consts), len(starts), len(self.inputs))
        # Rounds with rows of their own are of one number; others have it as an operand alone.
        arrays = tuple(v.aval for v in (*self.inputs, *outs[len(starts) :]))
        token = self.reader.token(("loop", layout, arrays, body.facts()))
        weight = 4 + sum(s.weight for s, _ in body.steps)
        made = Step(token, args, tuple(outs), _looping(body, layout), self.last, (), weight)
        made.guards = sum(s.guards for s in self.template)
        made.rows = self._rows
        return made

    def _last(self) -> list[Value]:
        """What the registers hold in the end."""
        outs: list[Value] = []
        known: set[Value] = set()
        for chain in self.chains:
            for d in range(len(chain.first)):
                original = None
                if d < self.count:
                    original = result(self.rounds[-1 - d], chain.step, chain.out)
                if original is None or original in known:
                    original = Value(chain.first[d].aval)
                known.add(original)
                outs.append(original)
        return outs

    def _settle(self) -> list[Value]:
        """Types and names of the body's params; returns the first values of the carries."""
        starts = [v for chain in self.chains for v in chain.first]
        name_values(o for s in self.template for o in s.ops)
        names = [self.template[c.step].outs[c.out].hint for c in self.chains for _ in c.first]
        body = self.body
        body.avals = [INDEX, *(v.aval for v in (*self.consts, *starts)),
                      *(Aval(v.dtype, v.shape[1:]) for v in self.inputs)]  # fmt: skip
        body.hints = ["i", *(v.hint for v in self.consts), *names, *(v.hint for v in self.inputs)]
        return starts

    def _stacked(
        self, place: tuple[int, int], ks: list[int], outs: list[Value], known: set[Value]
    ) -> None:
        """A stacked result, and its rows that are read after the loop."""
        j, w = place
        row_of, first, by = self.template[j].rows.get(w), 0, 1
        if row_of is not None:  # a row of what a loop in this one stacked: of its rows, all in one
            whole = self._flat(row_of[0], outs)
            first, by = row_of[1], row_of[0].shape[0]
        else:
            whole = self._stack_of(place, outs)
        for k in ks:
            v = result(self.rounds[k], j, w)
            self.reader.parts[v] = (whole, first + k * by)
            if v in known:
                self._rows[outs.index(v)] = whole, first + k * by
            else:
                self.behind.append(part(self.reader, whole, first + k * by, v, self.last))

    def _stack_of(self, place: tuple[int, int], outs: list[Value]) -> Value:
        like = self.template[place[0]].outs[place[1]]
        whole = self._whole.get(like)
        if whole is None:
            whole = Value(Aval(like.dtype, (self.count, *like.shape)), like.hint)
            self._whole[like] = whole
            outs.append(whole)
            self.body.results.append(self._result_at[place])
        return whole

    def _flat(self, inner: Value, outs: list[Value]) -> Value:
        """All rows of a stacked result of a loop in this one, round by round."""
        flat = self._flattened.get(inner)
        if flat is None:
            places = ((j, s.outs.index(inner)) for j, s in enumerate(self.template)
                      if inner in s.outs)  # fmt: skip
            whole = self._stack_of(next(places), outs)
            shape = (self.count * inner.shape[0], *inner.shape[1:])
            flat = self._flattened[inner] = Value(Aval(inner.dtype, shape), inner.hint)
            token = self.reader.token(("flat", whole.aval))

            def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
                return (shapes.reshaped(args[0], shape),)

            self.behind.append(Step(token, (whole,), (flat,), emit, self.last))
        return flat


class ByIndices(Fold):
    """A folding that is the same for every number of rounds."""

    def _as_input(self, step: Step, operands: Sequence[Operand]) -> Any:
        return None

    def _input(self, o: Listed) -> int:
        raise Refused

    def _zero(self, like: Value) -> Value:
        if like.shape:
            raise Refused
        return super()._zero(like)

    def _made_inside(self, v: Value) -> None:
        """The rounds may yet stay as they are."""

    def _stacked(self, place: Any, ks: list[int], outs: list[Value], known: set[Value]) -> None:
        raise Refused


def name_values(ops: Iterable[Op]) -> None:
    """Give the last result of every statement the name the user stored it under."""
    where, last = None, None
    for op in ops:
        if op.where is not where:
            _name(last, where)
            where, last = op.where, None
        if len(op.outs) == 1:
            last = op.outs[0]
    _name(last, where)


def _name(v: Value | None, where: Any) -> None:
    if v is None or where is None or v.hint or type(v) is Const:
        return
    if where.name.isidentifier():
        v.hint = where.name


# ------------------------------------------------------------------ steps that are put in


def part(reader: Reader, whole: Value, k: int, out: Value, last: int) -> Step:
    """Row k of a stacked array."""
    token = reader.token(("part", whole.aval))
    size = (1, *whole.shape[1:])

    def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        x, k = args
        start = (k, *(integer(0),) * (x.ndim - 1))
        return (shapes.reshaped(region(x, start, size, (1,) * x.ndim), x.shape[1:]),)

    made = Step(token, (whole, integer(k)), (out,), emit, last)
    made.rows[0] = whole, k
    return made


def _stack(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
    return (shapes.stack(args),)


def _row(reader: Reader, step: Step, size: tuple[int, ...]) -> Step:
    """A region of extent 1 along an axis from its row."""
    token = reader.token(("row", step.outs[0].aval))

    def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        return (shapes.reshaped(args[0], size),)

    return Step(token, (), step.outs, emit, step.last)


def affine(reader: Reader, dtype: str) -> Step:
    """start + step * i, in this dtype."""

    def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        i, step, start = args
        if not (type(step) is Const and step.data == 1):
            i = rows.mul(i, step)
        if not (type(start) is Const and start.data == 0):
            i = rows.add(i, start)
        return (i if dtype == "i64" else rows.cast(i, dtype=dtype),)

    return Step(reader.token(("affine", dtype)), (), (Value(Aval(dtype)),), emit, 0)


def _looping(body: Body, layout: tuple[int, int, int]) -> Callable[..., Sequence[Value]]:
    """How the loop is emitted; operands that are literals by then sink into the body."""
    held, moving, _ = layout

    def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        n, rest = args[0], args[1:]
        consts, others = rest[:held], rest[held:]
        params = [Value(a, h) for a, h in zip(body.avals, body.hints, strict=True)]
        env = [
            x if type(x) is Const else p
            for x, p in zip((n, *consts), params[: 1 + held], strict=True)
        ]
        env[0] = params[0]
        env += params[1 + held :]
        open_ = [(p, x) for p, x in zip(params[1:], consts, strict=False) if type(x) is not Const]
        given = [p for p, _ in open_]
        with Builder((params[0], *given, *params[1 + held :]), number=False) as inner:
            block = inner.done(body.run(inner, env))
        b.where = inner.where or b.where
        return emit_loop(n, [x for _, x in open_], others[:moving], others[moving:], block)

    return emit
