"""The wiring of a loop: whether consecutive rounds are the same up to what moves from one to the
next.

That rounds are iterations of one loop is proved here by their operands alone: where they begin
may have been guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ...ir.core import Const, Value
from ...ir.records import dataclass
from ...ir.types import Aval
from .many import key_of, operand, stretches

LEAST = 3  # rounds that must agree
_AT_ONCE = 256  # rounds of a part


class Step(Protocol):
    """One thing that a round does: an op, or a loop that was found in it already.

    token   equal for steps that are the same up to their operands (rows, types, attributes)
    args    the operands; integers among the attributes that may differ from round to round
            are operands too, as literals
    outs    the results
    """

    token: Any
    args: tuple[Value, ...]
    outs: tuple[Value, ...]


class Table(Value):
    """An array of literals, known while tracing."""

    __slots__ = ("data",)

    def __init__(self, data: np.ndarray, dtype: str) -> None:
        super().__init__(Aval(dtype, data.shape))
        self.data = data

    @property
    def key(self) -> tuple[str, tuple[int, ...], bytes]:
        """Equal for equal bits."""
        return self.aval.dtype, self.aval.shape, self.data.tobytes()


def is_literal(v: Value) -> bool:
    """Whether the value is known while tracing."""
    return type(v) is Const or type(v) is Table


# ------------------------------------------------------------------ what an operand can be


@dataclass(frozen=True, slots=True)
class Same:
    """The same value in each round, made before the loop, or a literal."""

    value: Value


@dataclass(frozen=True, slots=True)
class Local:
    """Result `out` of step `step` of this very round."""

    step: int
    out: int


@dataclass(frozen=True, slots=True)
class Carried:
    """Result `out` of step `step`, `distance` rounds ago; `before` is read in the first rounds.

    `before[t]` is what round t of the loop reads, t < distance.
    """

    step: int
    out: int
    distance: int
    before: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Affine:
    """The literal `start + step * k` in round k of the loop, of the given dtype."""

    start: int
    step: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Listed:
    """Other values in each round, made before the loop: one for each (all literals, or not)."""

    values: tuple[Value, ...]

    @property
    def literal(self) -> bool:
        """Whether all of them are known."""
        return all(map(is_literal, self.values))


Operand = Same | Local | Carried | Affine | Listed


@dataclass(frozen=True, slots=True)
class Matched:
    """Rounds `start` to `stop` (of those given) are one loop.

    operands[j][a] is what operand a of step j is; the rounds before `start` are none of the loop.
    """

    start: int
    stop: int
    operands: tuple[tuple[Operand, ...], ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why rounds are no loop: `round` is the first from which on all agree, if any do.

    step, arg   the operand that differs (-1: the steps themselves do)
    """

    reason: str
    round: int
    step: int = -1
    arg: int = -1


# ------------------------------------------------------------------ the proof


def match(rounds: Sequence[Sequence[Step]], least: int = LEAST) -> Matched | Mismatch:
    """Whether consecutive rounds of steps are the iterations of one loop.

    Each operand position, looked at over the rounds, must be: the same value, a result of its own
    round, a result of a fixed number of rounds ago (a carry, its values in the first rounds being
    from before), a literal that grows by a constant step, or a list of literals or of values from
    before the loop.  Rounds at the beginning for which that is not yet so are left out (`start`),
    but at least `least` and half of all must agree.  The rounds must follow one another without
    anything between them; that their results are read elsewhere is the caller's affair.
    """
    q = len(rounds)
    if q < least:
        return Mismatch(f"only {q} rounds", q)
    tokens = key_of(rounds[-1])
    for k in range(q - 2, -1, -1):
        if key_of(rounds[k]) != tokens:
            return Mismatch("the rounds do different things", k + 1)
    return _Wiring(rounds).solve(least)


class _Wiring:
    """Operands as numbers: results by place, all else by identity (literals: by value) below 0."""

    def __init__(self, rounds: Sequence[Sequence[Step]]) -> None:
        self.rounds = rounds
        self.template = rounds[-1]
        self.width = max((len(s.outs) for s in self.template), default=0) or 1
        self.period = len(self.template) * self.width
        self.slots = [(j, a) for j, s in enumerate(self.template) for a in range(len(s.args))]
        many = any(m is not None for m, _, _ in stretches(rounds))
        self.ids = self._mapped() if many else self._number()

    def _number(self) -> np.ndarray:
        made: dict[Value, int] = {}
        n = 0
        for r in self.rounds:
            for s in r:
                for w, v in enumerate(s.outs):
                    made[v] = n + w
                n += self.width
        literals: dict[Any, int] = {}
        rows = []
        for r in self.rounds:
            row = []
            for s in r:
                for a in s.args:
                    x = made.get(a)
                    if x is None:
                        key = a.key if type(a) is Const or type(a) is Table else a
                        x = literals.setdefault(key, -1 - len(literals))
                        made[a] = x
                    row.append(x)
            rows.append(row)
        return np.array(rows, np.int64).reshape(len(rows), len(self.slots))

    def _mapped(self) -> np.ndarray:
        """The same from the columns of the trace, where rounds are known to be equal."""
        runs = list(stretches(self.rounds))
        columns = next(m.columns for m, _, _ in runs if m is not None)
        q = len(self.rounds)
        dtype = np.result_type(np.int32, np.min_scalar_type(-q * self.period))
        ids = np.empty((q, len(self.slots)), dtype)
        made: list[tuple[int, Callable[[int, int], Any]]] = []  # results, from which round on
        for many, a, b in runs:
            if many is None:
                rounds = self.rounds[a:b]
                ids[a:b] = [[columns.number(v) for s in r for v in s.args] for r in rounds]
                known = [[columns.number(v) for s in r for v in s.outs] for r in rounds]
                made.append((a, lambda k, end, known=known: known[k:end]))  # type: ignore[misc]
            else:
                first = self.rounds[a].k  # type: ignore[attr-defined]
                ids[a:b] = many.numbers(first, first + b - a)
                made.append((a - first, many.made))
        names = np.full(columns.highest - columns.lowest + 1, -1, dtype)  # below zero: at the end
        outs = [(j, w) for j, s in enumerate(self.template) for w in range(len(s.outs))]
        places = np.array([j * self.width + w for j, w in outs], np.int64)
        for (_, a, b), (first, results) in zip(runs, made, strict=True):
            for k, end in _parts(a, b):
                at = np.array(results(k - first, end - first), np.int64).reshape(end - k, -1)
                names[at] = np.arange(k, end)[:, None] * self.period + places
        for k, end in _parts(0, q):
            part = ids[k:end]
            elsewhere = np.where(part < 0, part, columns.lowest - 1 - part)
            ids[k:end] = np.where(names[part] >= 0, names[part], elsewhere)
        return ids

    def solve(self, least: int) -> Matched | Mismatch:
        ids, q = self.ids, len(self.rounds)
        kinds = [self._kind(c) for c in range(ids.shape[1])]
        start = max((k[1] for k in kinds), default=0)
        start = self._settled(kinds, start)
        if q - start < max(least, q / 2):
            worst = max(range(len(kinds)), key=lambda c: kinds[c][1])
            step, arg = self.slots[worst]
            return Mismatch("an operand follows no rule", start, step, arg)
        found: list[list[Operand]] = [[] for _ in self.template]
        for c, ((j, _), kind) in enumerate(zip(self.slots, kinds, strict=True)):
            found[j].append(self._operand(c, kind, start))
        return Matched(start, q, tuple(map(tuple, found)))

    def _kind(self, c: int) -> tuple[str, int, int]:
        """What a column is, from which round on at least, and its distance."""
        column, q = self.ids[:, c], len(self.ids)
        last = int(column[-1])
        same = _since(column == last)
        if last < 0:
            outer = _since(column < 0)
            if same - outer > 2 or (same > outer and q - same < LEAST):
                return "list", outer, 0
            return "same", same, 0
        made = last // self.period
        moved = column - np.arange(q) * self.period
        relative = _since((moved == moved[-1]) & (column >= 0))
        distance = q - 1 - made
        confirmed = q - relative >= 2 and q - distance >= 2
        if confirmed and relative - distance <= max(same, made + 1):
            return "moving", max(relative - distance, 0), distance
        return "same", max(same, made + 1), 0

    def _settled(self, kinds: list[tuple[str, int, int]], start: int) -> int:
        """The first round such that all that is read from before it was made before it."""
        q = len(self.ids)
        while True:
            least = start
            for c, (kind, _, distance) in enumerate(kinds):
                if kind == "moving" and distance:
                    first = self.ids[start : min(start + distance, q), c]
                    inside = first[first >= 0]
                    if inside.size:
                        least = max(least, int(inside.max()) // self.period + 1)
            if least == start or least >= q:
                return least
            start = least

    def _operand(self, c: int, kind: tuple[str, int, int], start: int) -> Operand:
        name, _, distance = kind
        if name == "same":
            return Same(self._value(-1, c))
        if name == "list":
            return _listed([self._value(k, c) for k in range(start, len(self.rounds))])
        place = int(self.ids[-1, c]) % self.period
        step, out = divmod(place, self.width)
        if not distance:
            return Local(step, out)
        before = tuple(self._value(k, c) for k in range(start, start + distance))
        return Carried(step, out, distance, before)

    def _value(self, k: int, c: int) -> Value:
        return operand(self.rounds[k], *self.slots[c])


def _parts(a: int, b: int) -> Iterator[tuple[int, int]]:
    """A range of rounds in parts, so that what is made of them on the way stays small."""
    return ((k, min(b, k + _AT_ONCE)) for k in range(a, b, _AT_ONCE))


def _since(holds: np.ndarray) -> int:
    """The first row from which on something holds in all rows."""
    if holds.all():
        return 0
    return len(holds) - int(np.argmin(holds[::-1]))


def _listed(values: list[Value]) -> Operand:
    """Literals of equal steps are no list: they are computed."""
    dtype = values[0].aval.dtype
    if all(type(v) is Const for v in values) and values[0].aval.kind in "iuf":
        numbers = [v.data for v in values]  # type: ignore[attr-defined]
        whole = [_whole(x) for x in numbers]
        if None not in whole:
            start, step = whole[0], whole[1] - whole[0]  # type: ignore[operator]
            if all(x == start + k * step for k, x in enumerate(whole)):  # type: ignore[operator]
                return Affine(start, step, dtype)  # type: ignore[arg-type]
    return Listed(tuple(values))


def _whole(x: Any) -> int | None:
    """The integer that a literal is, if a conversion from i64 gives exactly its bits."""
    if isinstance(x, np.floating):
        small = bool(abs(x) < 2.0 ** (np.finfo(x.dtype).nmant + 1))
        if not small or x != np.floor(x) or (x == 0 and np.signbit(x)):
            return None
    return int(x) if -(2**62) < int(x) < 2**62 else None
