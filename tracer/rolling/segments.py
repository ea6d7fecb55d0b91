"""Where rounds begin: the entries of each call, cut by the loops of its code, innermost first."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from itertools import groupby, pairwise
from types import CodeType
from typing import Any

import numpy as np

from ...ir.core import Const, Value
from ...ir.ops.guards import guard
from ...ir.ops.shape import reshape
from ...ir.prim import View
from ...ir.records import dataclass
from .. import rolling
from .activations import Activation, Walk, places
from .flow import flow_of
from .fold import Refused, by_indices, fold
from .forks import Fork, cut_down, differ, grown, pattern
from .late import last_alone
from .many import Equal, key_of, many_of, unrolled
from .match import LEAST, Listed, Matched, Mismatch, match
from .names import Seen
from .natural_loops import Loop, Loops, jumps_back, loops_of
from .ragged import alike, evened
from .steps import Reader, Step
from .whiles import ends_by_guard, rolled

Rounds = Sequence[Sequence[Step]]
PERIODS = (1, 2, 3, 4)
_MANY = 8  # equal rounds that are not looked at one by one
_CUTS = 3  # times that rounds which do not agree are tried in two parts


@dataclass
class Note:
    """What became of a loop: `rounds` rolled of those seen, or the reason why not.

    open   whether a traced condition ends it, so that the number of rounds is not fixed
    ways   of a loop whose rounds decide by traced values: a number for the ways they took
    """

    file: str
    line: int
    rounds: int
    reason: str = ""
    open: bool = False
    ways: int = 0


@dataclass(frozen=True)
class Load:
    """What decides whether rolling pays.

    rounds   how many there are
    ops      recorded ops of one round
    largest  elements of the largest array that a round computes
    fusible  whether the ops of all rounds would be one loop over the elements
    stencil  whether elements are read with their neighbours
    guarded  whether Python decides by traced values in a round
    copied   elements that are stacked before the loop, so that each round finds its own
    ragged   whether arrays have other extents from round to round
    """

    rounds: int
    ops: int
    largest: int
    fusible: bool
    guarded: bool = False
    copied: int = 0
    stencil: bool = False
    ragged: bool = False


@dataclass(frozen=True)
class Policy:
    """What is to be rolled.

    worth  whether such rounds are to be one loop
    open   whether a traced condition may say how many rounds there are
    """

    worth: Callable[[Load], bool]
    open: bool = True


@dataclass
class _Level:
    """A loop that is open: its rounds so far, and from where the last entry of each came."""

    loop: Loop
    first: int  # the entry that the round began with
    now: _Round
    rounds: list[Sequence[Step] | _Round] = field(default_factory=list)  # before it
    ends: set[int] = field(default_factory=set)
    patience: int = 0  # rounds to look at before the next try to see many at once

    def next(self, first: int) -> None:
        """The last round is over, another one begins."""
        self.ends.update(q for q, _ in self.now.entries[-1:])
        self.rounds.append(self.now)
        self.now, self.first = _Round(), first


@dataclass
class _Round:
    """The steps of one round; the last entries, if from one instruction, are kept apart."""

    entries: list[tuple[int, list[Step]]] = field(default_factory=list)
    again: bool = False  # whether one instruction may have several entries in a row


class Segments:
    """Parses the calls of a trace into steps, loops folded."""

    def __init__(self, walk: Walk, count: int, reader: Reader, policy: Policy) -> None:
        self.starts = walk.starts + array("i", [count])
        self.lastis = walk.lastis
        self.decisions, self.open = walk.decisions, policy.open
        self.held = Seen(walk.held, walk.between)
        self.reader, self.worth = reader, policy.worth
        self.notes: dict[tuple[str, int], Note] = {}
        self._where = ("", 0)
        self._loops: dict[int, Loops] = {}
        self._inner = False  # whether another loop is around the one that is folded

    def parse(self, call: Activation) -> list[Step]:
        """The steps of one call of a function of the user's."""
        facts = self._loops.get(id(call.code))  # to hash a code takes long
        if facts is None:
            facts = self._loops[id(call.code)] = loops_of(call.code)
        top = _Round()
        levels: list[_Level] = []
        previous, at, calls = -1, call.first, iter(call.calls)
        inner = next(calls, None)
        while at < call.end:
            what = inner if inner is not None and inner.first == at else None
            p, around = facts.locate(what.lasti if what is not None else self.lastis[at])
            while levels and levels[-1].loop not in around:
                self._close(levels, top, call)
            end = what.end if what is not None else at + 1
            if self.starts[at] < self.starts[end]:
                if levels and (
                    p < previous or (p == previous and self._repeats(levels[-1], at, p))
                ):
                    far = self._next(levels[-1], at, call)
                    if far > at:
                        at = far
                        while inner is not None and inner.first < at:
                            inner = next(calls, None)
                        what = inner if inner is not None and inner.first == at else None
                        end = what.end if what is not None else at + 1
                if len(levels) < len(around):
                    levels += [_Level(loop, at, _Round()) for loop in around[len(levels) :]]
                steps = self._entry(at, what)  # it may read what the closed loops have made
                if what is None and steps[-1].guards:
                    steps[-1].place = call, p
                now = levels[-1].now if levels else top
                now.again = now.again or p == previous
                now.entries.append((p, steps))
                previous = p
            if what is not None:
                inner = next(calls, None)
            at = end
        while levels:
            self._close(levels, top, call)
        return list(self._flat(top, call))

    def _entry(self, at: int, what: Activation | None) -> list[Step]:
        if what is not None:
            return self.parse(what)
        return self.reader.steps(self.starts[at], self.starts[at + 1])

    def _repeats(self, level: _Level, at: int, p: int) -> bool:
        """Whether the instruction that comes again means another round, and not a loop in C."""
        entries = level.now.entries
        if any(q != p for q, _ in entries):
            return False
        # In CPython 3.13 one instruction compares and asks for the truth of what it found.
        asks = self.reader.ops[self.starts[at + 1] - 1].prim is guard
        before = entries[-1][1] if entries else []
        if asks and before and not before[-1].guards:
            return False
        return level.ends <= {p}

    def _next(self, level: _Level, at: int, call: Activation) -> int:
        """A round ends: from which entry on another one is to be looked at.

        Rounds that come again and again are taken as they are, but for the last.
        """
        first = level.first
        level.next(at)
        if level.patience:
            level.patience -= 1
            return at
        columns = self.reader.columns
        size = at - first
        count = columns.again(first, at, call.end) - 1 if call.end - at > _MANY * size else 0
        if count >= _MANY:
            tree = self._flat(level.rounds.pop(), call, level.loop)
            level.rounds.append(tree)
            model = expanded(tree)
            many = many_of(self.reader, columns, model, self.starts[at])
            if many is not None:
                level.rounds += [Equal(many, k) for k in range(count)]
                level.first = at + count * size
                return level.first
        level.patience = len(level.rounds)
        return at

    def _close(self, levels: list[_Level], top: _Round, call: Activation) -> None:
        level = levels.pop()
        rounds = [self._flat(r, call, level.loop) for r in (*level.rounds, level.now)]
        self._where = (call.code.co_filename, level.loop.line)
        self._inner = bool(levels)
        flat = list(map(expanded, rounds))
        steps = self._ended(flat, call.code, level.loop) if self.open else None
        if steps is None and self.open:
            self._where = (call.code.co_filename, level.loop.line)
            steps = self._both(rounds, call.code, level.loop)
        if steps is None:
            self._where = (call.code.co_filename, level.loop.line)
            steps = self._branched(rounds, call.code, level.loop) if self.open else None
        if steps is None:
            self._where = (call.code.co_filename, level.loop.line)
            steps = self._fold(rounds)
        outer = levels[-1].now if levels else top
        outer.entries.append((-1 - level.loop.head, steps))

    def _flat(
        self, r: Sequence[Step] | _Round, call: Activation, loop: Loop | None = None
    ) -> Sequence[Step]:
        """The steps of a round; many entries from one instruction are a loop in C."""
        if not isinstance(r, _Round):
            return r
        if self.open and any(s and s[-1].place is not None for _, s in r.entries):
            return grown(r.entries, flow_of(call.code), loop.exits if loop else frozenset())
        steps: list[Step] = []
        if not r.again:
            for _, more in r.entries:
                steps += more
            return steps
        for p, group in groupby(r.entries, key=lambda e: e[0]):
            entries = [s for _, s in group]
            if len(entries) >= LEAST and p >= 0:
                self._where = (call.code.co_filename, 0)
                steps += self._fold(entries)
            else:
                steps += [s for e in entries for s in e]
        return steps

    # -------------------------------------------------------------- rounds to loops

    def _ended(self, rounds: Rounds, code: CodeType, loop: Loop) -> list[Step] | None:
        """The steps of a loop that a traced condition ends."""
        count = ends_by_guard(rounds)
        if not count:
            return None
        first = len(rounds) - 1 - count
        places = dict(self.reader.parts)
        try:
            steps, trips = rolled(self.reader, rounds[first:], code, loop, self.decisions)
        except Refused as why:
            self.reader.parts.clear()
            self.reader.parts.update(places)
            self.notes[self._where] = Note(*self._where, count, str(why), open=True)
            return None
        self.notes[self._where] = Note(*self._where, trips, open=True)
        return [*self._fold(rounds[:first]), *steps]

    def _conditional(self, rounds: Rounds, code: CodeType, loop: Loop, *end: Any) -> list[Step]:
        """The steps of rounds that traced conditions tell apart."""
        return rolling.branched(self.reader, rounds, self.held, code, loop, *end)

    def _branched(self, rounds: Rounds, code: CodeType, loop: Loop) -> list[Step] | None:
        """The steps of a loop whose rounds differ by traced conditions alone."""
        if not differ(rounds) or not self.worth(load_of(list(map(expanded, rounds)))):
            return None
        for first, last in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1)):
            inside = rounds[first : len(rounds) - last]
            if len(inside) < LEAST or not differ(inside):
                continue
            note = self.notes[self._where] = Note(*self._where, len(inside), ways=pattern(inside))
            try:
                steps = self._conditional(inside, code, loop)
            except Refused as why:
                note.reason = str(why)
                continue
            ends = rounds[:first], rounds[len(rounds) - last :]
            return [*unrolled(ends[0]), *steps, *unrolled(ends[1])]
        return None

    def _both(self, rounds: Rounds, code: CodeType, loop: Loop) -> list[Step] | None:
        """The steps of a loop that a condition ends, and in whose rounds others decide."""
        last = rounds[-1][-1] if rounds[-1] else None
        if last is None or not last.guards or last.place is None or type(last) is Fork:
            return None
        if last.place[1] not in loop.exits or not differ(rounds[:-1]):
            return None
        trips = 0

        def ending(made: Rounds) -> list[Step]:
            nonlocal trips
            if not ends_by_guard(made):
                raise Refused("the condition decides within a round")
            steps, trips = rolled(self.reader, made, code, loop, self.decisions)
            return steps

        places = dict(self.reader.parts)
        for first in (0, 1, 2):
            inside = rounds[first:]
            if len(inside) <= LEAST or not differ(inside):
                continue
            ways = pattern(inside)
            try:
                steps = self._conditional(inside, code, loop, ending)
            except Refused as why:
                self.reader.parts.clear()
                self.reader.parts.update(places)
                self.notes[self._where] = Note(
                    *self._where, len(inside), str(why), open=True, ways=ways
                )
                continue
            self.notes[self._where] = Note(*self._where, trips, open=True, ways=ways)
            return [*unrolled(rounds[:first]), *steps]
        return None

    def _fold(self, rounds: Rounds) -> list[Step]:
        """The steps of consecutive rounds, with runs of equal ones rolled up."""
        given, rounds = rounds, list(map(cut_down, rounds))
        keys = _keys(plain := list(map(expanded, rounds)))
        out: list[Step] = []
        k = 0
        while k < len(rounds):
            period, count = _run(keys, k)
            if not period:
                # Loops of other numbers of rounds in each round are equal if they go by indices.
                others = list(map(_indexed, rounds[k:])) if any(map(_loops, rounds[k])) else []
                period, count = _run(_keys(others), 0) if others else (0, 0)
                if not period:
                    count, steps = self._evened(plain[k:])
                    out += steps if count else unrolled(given[k : k + 1])
                    k += count or 1
                    continue
                plain[k : k + period * count] = others[: period * count]
            whole = plain[k : k + count]
            if period > 1:
                ends = range(k, k + period * (count + 1), period)
                whole = [[s for r in plain[a:b] for s in r] for a, b in pairwise(ends)]
            made = self._roll(whole, _CUTS)
            stays = not any(s.weight > 1 and not s.ops for s in made)
            out += unrolled(given[k : k + period * count]) if stays else made
            k += period * count
        return out

    def _evened(self, rounds: Rounds) -> tuple[int, list[Step]]:
        """The first rounds as a loop over arrays of one size, if they differ by extents alone."""
        rounds = rounds[: alike(rounds)]
        load = replace(load_of(rounds), ragged=True) if len(rounds) >= LEAST else None
        if load is None or not self.worth(load):
            return 0, []
        try:
            made = evened(self.reader, rounds)
        except Refused as why:
            self._note(len(rounds), str(why))
            return 0, []
        found = match(made.rounds)
        if not isinstance(found, Matched):
            self._note(len(rounds), self._reason(found, made.rounds))
            return 0, []
        if not self.worth(replace(load, copied=copied(found, self.reader))):
            return 0, []
        self._note(found.stop - found.start, "")
        return len(rounds), [*made.ahead, *fold(self.reader, made.rounds, found), *made.behind]

    def _roll(self, rounds: Rounds, cuts: int) -> list[Step]:
        """Equal rounds as a loop, if their wiring says that they are one."""
        load = load_of(rounds)
        if all(map(_moves, rounds[-1])):
            return unrolled(rounds)
        if not self.worth(load):
            inner = self._inner and not load.guarded
            return self._perhaps(rounds) if inner else unrolled(rounds)
        found = match(rounds)
        if isinstance(found, Matched):
            count = found.stop - found.start
            if not self.worth(replace(load, rounds=count, copied=copied(found, self.reader))):
                return unrolled(rounds)
            if count > LEAST and last_alone(self.reader, rounds, found):
                return [*self._roll(rounds[:-1], cuts), *unrolled(rounds[-1:])]
            nest = self._nest(rounds, found)
            if nest is not None:
                return nest
            self._note(found.stop - found.start, "")
            return fold(self.reader, rounds, found)
        if cuts and 0 < found.round < len(rounds):
            a, b = rounds[: found.round], rounds[found.round :]
            return [*self._roll(a, cuts - 1), *self._roll(b, cuts - 1)]
        self._note(len(rounds), self._reason(found, rounds))
        return unrolled(rounds)

    def _perhaps(self, rounds: Rounds) -> list[Step]:
        """Rounds in another loop as a loop that does not pay by itself, but may let that one be."""
        found = match(rounds)
        if not isinstance(found, Matched):
            return unrolled(rounds)
        inside = rounds[found.start :]
        step = by_indices(self.reader, inside, found)
        if step is None:
            return unrolled(rounds)
        step.plain = unrolled(inside)
        return [*unrolled(rounds[: found.start]), step]

    def _nest(self, rounds: Rounds, found: Matched) -> list[Step] | None:
        """Rounds of a loop in a loop that has nothing of its own: as two loops, if they are."""
        ends = breaks(found) if self._inner else []
        if len(ends) < LEAST:
            return None
        self._inner = False
        places = dict(self.reader.parts)
        edges = [found.start, *(found.start + e for e in ends), found.stop]
        groups = [self._fold(rounds[a:b]) for a, b in pairwise(edges)]
        steps = self._fold(groups)
        if sum(s.weight > 1 or not s.rows for s in steps) > 4 * len(rounds[-1]) + 16:
            self.reader.parts.clear()
            self.reader.parts.update(places)
            return None
        return [*unrolled(rounds[: found.start]), *steps]

    def _reason(self, found: Mismatch, rounds: Rounds) -> str:
        if found.step < 0:
            return found.reason
        ops = rounds[-1][found.step].ops
        at = f" at {ops[0].where}" if ops else ""
        return f"an operand{at} is another one from round to round"

    def _note(self, rounds: int, reason: str) -> None:
        known = self.notes.get(self._where)
        if known is not None and (known.open or known.ways):
            return
        if known is None or (known.reason and not reason):
            self.notes[self._where] = Note(*self._where, rounds, reason)
        elif bool(known.reason) == bool(reason):
            known.rounds = max(known.rounds, rounds)


def may_loop(call: Activation, walk: Walk) -> bool:
    """Whether anything in a call can have come in rounds."""
    seen = list(places(call, walk))
    if jumps_back(call.code) or len(set(seen)) + LEAST <= len(seen) + 1:
        return True
    return any(may_loop(inner, walk) for inner in call.calls)


def expanded(steps: Sequence[Step]) -> Sequence[Step]:
    """Without the loops that do not pay by themselves."""
    if isinstance(steps, Equal) or not any(s.plain for s in steps):
        return steps
    return expanded([t for s in steps for t in (s.plain or (s,))])


def _loops(s: Step) -> bool:
    return s.again is not None or s.plain is not None


def _indexed(steps: Sequence[Step]) -> list[Step]:
    """The steps with loops that go by indices alone, where they can."""
    made = {id(s): t for s in steps if s.again is not None and (t := s.again()) is not None}
    aside = {id(t) for s in steps if id(s) in made for t in s.around}
    return [made.get(id(s), s) for s in steps if id(s) not in aside]


def _keys(rounds: Sequence[Sequence[Step]]) -> list[int]:
    """Equal numbers for rounds of equal steps."""
    names: dict[tuple[Any, ...], int] = {}
    return [names.setdefault(key_of(r), len(names)) for r in rounds]


def load_of(rounds: Sequence[Sequence[Step]]) -> Load:
    """How much there is to do, by the last round."""
    last = rounds[-1]
    largest = max((v.aval.size for s in last for v in s.outs), default=0)
    stencil = _stencil(last) or _moving(rounds[-2:])
    fusible = not stencil and all(_fusible(s) for s in last)
    guarded = any(s.guards for s in last)
    ops = sum(s.weight for s in last)
    return Load(len(rounds), ops, largest, fusible, guarded, stencil=stencil)


def _moves(s: Step) -> bool:
    """Whether a step is but another way to read something."""
    return bool(s.ops) and all(isinstance(o.prim.emit, View) or o.prim is reshape for o in s.ops)


def _fusible(s: Step) -> bool:
    return bool(s.ops) and all(
        o.prim.elementwise or isinstance(o.prim.emit, View) or o.prim is reshape for o in s.ops
    )


def _stencil(steps: Sequence[Step]) -> bool:
    """Whether several regions of one array overlap: then each element is read with others."""
    regions: dict[Value, list[tuple[tuple[int, ...], list[Value]]]] = {}
    for s in steps:
        if s.moves is None:
            continue
        size, start = s.moves[0], list(s.args[1:])
        for other, before in regions.setdefault(s.args[0], []):
            apart = list(zip(start, before, size, other, strict=True))
            known = all(type(a) is type(b) is Const for a, b, _, _ in apart)
            if known and _overlap([(int(a.data), int(b.data), n, m) for a, b, n, m in apart]):  # type: ignore[attr-defined]
                return True
        regions[s.args[0]].append((size, start))
    return False


def _moving(rounds: Sequence[Sequence[Step]]) -> bool:
    """Whether a region moves from one round to the next, and not beyond where it was."""
    return any(
        s.moves is not None and t.moves is not None and _stencil((s, t))
        for s, t in zip(rounds[0], rounds[-1], strict=False)
    )


def _overlap(dims: Sequence[tuple[int, int, int, int]]) -> bool:
    """Whether two regions, by starts and sizes in each dim, share a part but not their start."""
    shared = all(a < b + m and b < a + n for a, b, n, m in dims)
    return shared and any(a != b for a, b, _, _ in dims)


def copied(found: Matched, reader: Reader) -> int:
    """How many elements are stacked before the loop."""
    lists = {
        tuple(map(id, o.values)): o.values
        for operands in found.operands
        for o in operands
        if isinstance(o, Listed) and not o.literal and o.values[0] not in reader.parts
    }
    return sum(v.aval.size for values in lists.values() for v in values)


def breaks(found: Matched) -> list[int]:
    """The rounds at which indices jump: there a loop further out has gone one round further."""
    jumps: set[int] = set()
    for operands in found.operands:
        for o in operands:
            if isinstance(o, Listed) and all(type(v) is Const for v in o.values):
                numbers = [v.data for v in o.values]  # type: ignore[attr-defined]
                kind = numbers[0].dtype.kind
                if kind in "iu" or (kind == "f" and all(x == np.floor(x) for x in numbers)):
                    steps = [b - a for a, b in pairwise(numbers)]
                    usual = Counter(steps).most_common(1)[0][0]
                    jumps.update(k + 1 for k, s in enumerate(steps) if s != usual)
    return sorted(jumps) if len(jumps) <= (found.stop - found.start) / 2 else []


def _run(keys: Sequence[int], k: int) -> tuple[int, int]:
    """The period of the keys from `k` on, and how many rounds of it there are; or (0, 0)."""
    for period in PERIODS:
        end = k + period
        while end < len(keys) and keys[end] == keys[end - period]:
            end += 1
        count = (end - k) // period
        if count >= LEAST:
            return period, count
    return 0, 0
