"""Rounds whose arrays grow or shrink, brought to one size.

Every array has its greatest extent in each round, and how much of it counts is an integer of the
round: an operand like any other, by which rounds are found equal.  What lies beyond is finite
whatever the program computes (`padded` sees to it), so a cotangent of zero stays zero there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...ir.core import Const, Value
from ...ir.records import dataclass
from ...ir.types import Aval
from .fold import Refused, name_values
from .match import LEAST, Table
from .padded import FIXED, RULES, At, Length, Piece, cut, emission, settled
from .steps import Reader, Step, integer

Place = tuple[int, int]
_FEW = 4  # arrays of several extents from before the loop, of which nothing is known
_WASTE = 3.5  # times the elements that count: for triangles of two axes it is three


@dataclass(frozen=True)
class Evened:
    """Rounds of equal steps, what has to be done before them, and after them."""

    ahead: list[Step]
    rounds: list[list[Step]]
    behind: list[Step]


def alike(rounds: Sequence[Sequence[Step]]) -> int:
    """How many of the rounds do the same up to extents, if these differ among them; else 0."""
    if len(rounds) < LEAST or len({len(r) for r in rounds[:LEAST]}) > 1:
        return 0
    first = [_likeness(s) for s in rounds[0]]
    count = 1
    for r in rounds[1:]:
        if len(r) != len(first) or any(_likeness(s) != x for s, x in zip(r, first, strict=True)):
            break
        count += 1
    return count if count >= LEAST else 0


def _likeness(s: Step) -> object:
    """Equal for steps that do the same up to extents."""
    name = _row(s)
    if not name:
        return s.token
    kinds = tuple([(v.aval.dtype, v.aval.ndim) for v in (*s.args, *s.outs)])
    attrs = s.ops[0].attrs
    return name, kinds, tuple([(k, attrs[k]) for k in FIXED.get(name, attrs)])


def _row(s: Step) -> str:
    """The row of a step that may have other extents in each round, if there is a rule for it."""
    if len(s.ops) != 1 or s.guards or len(s.outs) != 1:
        return ""
    if any(v.aval.kind == "c" for v in (*s.args, *s.outs)):
        return ""
    name = s.ops[0].prim.name
    return name if name in RULES else ""


def evened(reader: Reader, rounds: Sequence[Sequence[Step]]) -> Evened:
    """The rounds, which are alike, with all arrays at their greatest extents."""
    return _Evening(reader, rounds).result


class _Evening:
    """One such change, step by step."""

    def __init__(self, reader: Reader, rounds: Sequence[Sequence[Step]]) -> None:
        self.reader = reader
        self.rounds = [list(r) for r in rounds]
        name_values(op for s in rounds[-1] for op in s.ops)
        self.first, self.last = rounds[0][0].last, rounds[-1][-1].last
        self.made: dict[Value, tuple[int, int, int]] = {}
        for k, r in enumerate(self.rounds):
            for j, s in enumerate(r):
                for w, v in enumerate(s.outs):
                    self.made[v] = k, j, w
        self.extents: dict[Place, np.ndarray] = {}  # of results, by round and axis
        self.clean: set[Place] = set()  # whose elements beyond are zero
        self.wide: dict[Place, tuple[int, ...]] = {}  # of those that later rounds read
        self.ahead: list[Step] = []
        self.behind: list[Step] = []
        self._outside: dict[Value, Value] = {}
        self._known: dict[tuple[int, int], np.ndarray] = {}
        self._now: list[dict[Place, Value]] = [{} for _ in self.rounds]
        self._settled: list[dict[Place, Value]] = [{} for _ in self.rounds]
        self._measure()
        self._widen()
        self.result = Evened(self.ahead, self._rounds(), self.behind)

    # -------------------------------------------------------------- extents

    def _measure(self) -> None:
        """Which results have other extents from round to round."""
        counted = whole = 0
        for j, s in enumerate(self.rounds[-1]):
            for w, v in enumerate(s.outs):
                if not v.aval.shape:
                    continue
                shapes = np.array([r[j].outs[w].aval.shape for r in self.rounds], np.int64)
                if (shapes != shapes[-1]).any():
                    self.extents[j, w] = shapes
                    counted += int(shapes.prod(1).sum())
                    whole += len(shapes) * int(shapes.max(0).prod())
        if not self.extents or whole > _WASTE * counted + 1024:
            raise Refused("the extents differ too much")

    def _widen(self) -> None:
        """How wide what later rounds read has to be."""
        for j, s in enumerate(self.rounds[-1]):
            for a in range(len(s.args)):
                places = {self.made[v][1:] for v in self._earlier(j, a)}
                ragged = [p for p in places if p in self.extents]
                if not ragged:
                    continue
                if len(ragged) != 1 or len(places) != 1:
                    raise Refused("an array is carried from several places")
                place = ragged[0]
                own = self.extents[place].max(0)
                before = np.array(self.wide.get(place, own))
                most = np.maximum(np.maximum(own, before), self._shapes(j, a).max(0))
                self.wide[place] = tuple(map(int, most))

    def _earlier(self, j: int, a: int) -> Iterator[Value]:
        """What operand a of step j is where a round before made it."""
        for k, r in enumerate(self.rounds):
            v = r[j].args[a]
            if v in self.made and self.made[v][0] < k:
                yield v

    def _shapes(self, j: int, a: int) -> np.ndarray:
        found = self._known.get((j, a))
        if found is None:
            shapes = [r[j].args[a].aval.shape for r in self.rounds]
            found = self._known[j, a] = np.array(shapes, np.int64)
        return found

    # -------------------------------------------------------------- rounds

    def _rounds(self) -> list[list[Step]]:
        out: list[list[Step]] = [[] for _ in self.rounds]
        for j, s in enumerate(self.rounds[-1]):
            ragged = any((j, w) in self.extents for w in range(len(s.outs)))
            if ragged or any(self._ragged(j, a) for a in range(len(s.args))):
                made = self._padded(j, [self._shapes(j, a) for a in range(len(s.args))])
            else:
                made = [r[j] for r in self.rounds]
            for steps, step in zip(out, made, strict=True):
                steps.append(step)
        for place in self.wide:
            for k, steps in enumerate(out):
                self._carried((k, *place))
                steps.append(self._settle(k, place))
        return out

    def _padded(self, j: int, slots: list[np.ndarray]) -> list[Step]:
        """Step j of each round at the greatest extents."""
        template = self.rounds[-1][j]
        name = _row(template)
        if not name:
            raise Refused("a step has no rule for arrays of several extents")
        given = [self._given(j, a) for a in range(len(slots))]
        numbers = _Numbers(len(slots))
        results = np.array([r[j].outs[0].shape for r in self.rounds], np.int64)
        piece = Piece(
            extents=slots,
            results=results,
            starts=self._starts(j) if name == "slice" else np.zeros((1, 0), np.int64),
            slots=tuple(map(numbers.lengths, slots)),
            out=numbers.lengths(results),
            size=tuple(map(int, results.max(0))),
            clean=tuple([clean for _, clean in given]),
        )
        emit, clean = emission(template.ops[0], piece)
        if clean:
            self.clean.add((j, 0))
        attrs = template.ops[0].attrs
        numbers_of = tuple([x.tobytes() for x in (*slots, results, piece.starts)])
        token = self.reader.token(
            (
                ("padded", name, *(attrs[k] for k in FIXED.get(name, attrs))),
                tuple([values[0].aval for values, _ in given]),
                (piece.slots, piece.out, piece.clean, len(self.rounds)),
                numbers_of,
            )
        )
        made = []
        for k, r in enumerate(self.rounds):
            args = (*[values[k] for values, _ in given], *numbers.of(k))
            made.append(Step(token, args, (self._result(k, j),), emit, r[j].last))
        return made

    def _starts(self, j: int) -> np.ndarray:
        """Where the region of a slice begins, by round and axis."""
        consts = [[a.data for a in r[j].args[1:]] for r in self.rounds]  # type: ignore[attr-defined]
        return np.array(consts, np.int64)

    def _result(self, k: int, j: int) -> Value:
        """What stands for the result of step j of round k; what is read later is cut to size."""
        v = self.rounds[k][j].outs[0]
        if (j, 0) not in self.extents:
            return v
        self.reader.forget(v)
        size = tuple(map(int, self.extents[j, 0].max(0)))
        out = self._now[k][j, 0] = Value(Aval(v.dtype, size), v.hint)
        read = self.reader.columns.last_read(v)
        if read > self.last:
            # What later rounds read is kept anyway.
            kept = self._carried((k, j, 0)) if (j, 0) in self.wide else out
            self.reader.reads(kept, read)
            token = self.reader.token(("cut", kept.aval, v.aval))
            self.behind.append(Step(token, (kept,), (v,), cut(v.shape), self.last))
        return out

    def _settle(self, k: int, place: Place) -> Step:
        """What later rounds read: zero beyond, and as wide as they ask for."""
        numbers = _Numbers(1)
        lengths = numbers.lengths(self.extents[place])
        x = self._now[k][place]
        out = self._settled[k][place]
        clean = place in self.clean
        token = self.reader.token(("settled", x.aval, out.aval, lengths, clean))
        emit = settled(lengths, out.shape, clean)
        return Step(token, (x, *numbers.of(k)), (out,), emit, self.rounds[k][-1].last)

    # -------------------------------------------------------------- operands

    def _ragged(self, j: int, a: int) -> bool:
        """Whether operand a of step j has other extents, or counts as one that has."""
        shapes = self._shapes(j, a)
        if not shapes.shape[1]:
            return False
        if (shapes != shapes[-1]).any():
            return True
        made = (self.made.get(r[j].args[a]) for r in self.rounds)
        return any(at is not None and at[1:] in self.extents for at in made)

    def _given(self, j: int, a: int) -> tuple[list[Value], bool]:
        """Operand a of step j in each round, and whether it is zero beyond what counts."""
        values = [r[j].args[a] for r in self.rounds]
        if not self._ragged(j, a):
            return values, True
        shapes = self._shapes(j, a)
        clean, found = True, []
        width = next((self.wide[self.made[v][1:]] for v in self._earlier(j, a)), None)
        for k, v in enumerate(values):
            at = self.made.get(v)
            if at is None:
                found.append(self._padded_outside(v, width or tuple(map(int, shapes.max(0)))))
            elif at[1:] not in self.extents:
                raise Refused("an array has several extents in some rounds only")
            elif at[0] == k:
                found.append(self._now[k][at[1:]])
                clean = clean and at[1:] in self.clean
            else:
                found.append(self._carried(at))
        if any(x.aval != found[-1].aval for x in found):
            raise Refused("an operand is made in several places")
        return found, clean

    def _carried(self, at: tuple[int, int, int]) -> Value:
        """The settled result of an earlier round."""
        k, place = at[0], at[1:]
        if place not in self._settled[k]:
            dtype = self.rounds[k][place[0]].outs[place[1]].dtype
            for settled_ in self._settled:
                settled_[place] = Value(Aval(dtype, self.wide[place]))
        return self._settled[k][place]

    def _padded_outside(self, v: Value, size: tuple[int, ...]) -> Value:
        """An array from before the loop, zero beyond its end."""
        known = self.reader.known(v)
        if known is not None:
            data = np.zeros(size, known.dtype)
            data[tuple(map(slice, known.shape))] = known
            return Table(data, v.dtype)
        out = self._outside.get(v)
        if out is None or out.shape != size:
            if len(self._outside) >= _FEW:
                raise Refused("the rounds read many arrays of several extents")
            out = self._outside[v] = Value(Aval(v.dtype, size), v.hint)
            token = self.reader.token(("settled", v.aval, out.aval))
            self.ahead.append(Step(token, (v,), (out,), settled(v.shape, size, True), self.first))
            self.reader.reads(v, self.last)
        return out


class _Numbers:
    """Integers that differ from round to round: operands after the others."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.columns: list[np.ndarray] = []

    def lengths(self, shapes: np.ndarray) -> tuple[Length, ...]:
        """The extents: what is one number in all rounds itself, else which operand has it."""
        return tuple([self._length(x) for x in shapes.T])

    def _length(self, column: np.ndarray) -> Length:
        if (column == column[0]).all():
            return int(column[0])
        for n, known in enumerate(self.columns):
            if (known == column).all():
                return At(self.first + n)
        self.columns.append(column)
        return At(self.first + len(self.columns) - 1)

    def of(self, k: int) -> list[Const]:
        """The operands of round k."""
        return [integer(int(c[k])) for c in self.columns]
