"""Rounds as trees: what a round does because of a traced condition hangs from that condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import CodeType
from typing import Any

from ...ir.core import Op, Value
from .flow import Flow
from .fold import Refused
from .many import Equal
from .steps import Step


class Fork(Step):
    """A traced condition and what was done because of it, before the ways meet again.

    key      where it was asked for
    outcome  what it was
    """

    __slots__ = ("guard", "key", "middle", "outcome")

    def __init__(self, guard: Step, middle: Sequence[Step]) -> None:
        super().__init__(guard.token, guard.args, (), guard.ops[0], guard.last)
        assert guard.place is not None
        call, place = guard.place
        self.guard = guard
        self.middle = middle
        self.key = (id(call.code), place)
        self.outcome = bool(guard.ops[0].attrs["expected"])
        self.plain = [guard, *middle]


def grown(
    entries: Sequence[tuple[int, Sequence[Step]]], flow: Flow, exits: frozenset[int]
) -> list[Step]:
    """The steps of a round or a call in order, with what conditions decide hung from them.

    Entries have the place they came from; a loop in the round has -1 - that of its head.
    """
    steps, end = _grown(entries, 0, None, flow, exits)
    assert end == len(entries)
    return steps


def _grown(
    entries: Sequence[tuple[int, Sequence[Step]]],
    k: int,
    region: frozenset[int] | None,
    flow: Flow,
    exits: frozenset[int],
) -> tuple[list[Step], int]:
    out: list[Step] = []
    while k < len(entries):
        p, steps = entries[k]
        if region is not None and (p if p >= 0 else -1 - p) not in region:
            break
        k += 1
        if not _forks(steps, p, exits):
            out += steps
            continue
        middle, k = _grown(entries, k, flow.region(p), flow, exits)
        out += [*steps[:-1], Fork(steps[-1], middle)]
    return out, k


def _forks(steps: Sequence[Step], p: int, exits: frozenset[int]) -> bool:
    if not steps or p < 0 or p in exits:
        return False
    last = steps[-1]
    return (
        type(last) is not Fork
        and last.place is not None
        and last.place[1] == p
        and len(last.ops) == 1
        and type(last.ops[0].attrs["expected"]) is bool
    )


def cut_down(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps as they were recorded: conditions, and what followed."""
    if isinstance(steps, Equal) or not any(type(s) is Fork for s in steps):
        return steps
    out: list[Step] = []
    for s in steps:
        if type(s) is Fork:
            out += [s.guard, *cut_down(s.middle)]
        else:
            out.append(s)
    return out


# ------------------------------------------------------------------ the rounds laid over each other


class Spot:
    """A step that rounds have in common: its number in the template, and its instances."""

    __slots__ = ("at", "number", "side")

    def __init__(self, number: int, side: Side, at: dict[int, Step]) -> None:
        self.number = number
        self.side = side
        self.at = at


class Branch:
    """A condition that was met both ways, its instances, and its two sides."""

    __slots__ = ("at", "end", "number", "side", "sides")

    def __init__(self, number: int, side: Side, at: dict[int, Fork]) -> None:
        self.number = number
        self.side = side
        self.at = at
        self.sides: dict[bool, Side] = {}
        self.end = number


class Side:
    """What is done one after the other: in a round, or in one because a condition was so."""

    __slots__ = ("branch", "items", "outcome", "rounds")

    def __init__(self, branch: Branch | None, outcome: bool, rounds: Sequence[int]) -> None:
        self.branch = branch
        self.outcome = outcome
        self.rounds = frozenset(rounds)
        self.items: list[Spot | Branch] = []

    def branches(self, before: int) -> Iterator[Branch]:
        """The conditions that are over before this number, the last one first."""
        for x in reversed(self.items):
            if type(x) is Branch and x.end <= before:
                yield x


class Template:
    """What rounds have in common, up to the outcomes of conditions that were met both ways.

    size  how many rounds there are
    full  how many of them are whole: the last one may end at a condition, which ends the loop
    tail  the number of the condition that ended the loop, and how it was asked then
    made  for each value that rounds made: the round, the spot and which result
    """

    def __init__(self, rounds: Sequence[Sequence[Step]], ended: bool = False) -> None:
        self.size = len(rounds)
        self.full = self.size - ended
        self.count = 0
        self.tail: tuple[int, Step] | None = None  # the condition that ended the loop
        self.made: dict[Value, tuple[int, Spot, int]] = {}
        self.branches: list[Branch] = []
        self.root = Side(None, True, range(len(rounds)))
        self._lay(dict(enumerate(map(list, rounds))), self.root)

    def _number(self) -> int:
        self.count += 1
        return self.count - 1

    def _lay(self, rounds: dict[int, list[Step]], side: Side) -> None:
        """Lay lists of steps over each other."""
        j = 0
        while any(j < len(r) for r in rounds.values()):
            at = {k: r[j] for k, r in rounds.items() if j < len(r)}
            some = next(iter(at.values()))
            if side is self.root and self.full in rounds and j + 1 >= len(rounds[self.full]):
                self.tail = self.count, rounds.pop(self.full)[j]
                at.pop(self.full)
            if len(at) < len(rounds):
                raise Refused(f"some rounds do more than others{_at(some)}")
            j += 1
            if all(type(s) is Fork for s in at.values()):
                forks: dict[int, Any] = at
                if len({s.key for s in forks.values()}) > 1:
                    raise Refused(f"the rounds ask for other conditions{_at(some)}")
                outcomes = {s.outcome for s in forks.values()}
                if len(outcomes) == 1:  # the other way may be taken by another call
                    j -= 1
                    for k, s in forks.items():
                        rounds[k][j : j + 1] = [s.guard, *s.middle]
                    continue
                self._fork(forks, side)
                continue
            if len({s.token for s in at.values()}) > 1 or any(type(s) is Fork for s in at.values()):
                raise Refused(f"the rounds do different things{_at(some)}")
            spot = Spot(self._number(), side, at)
            side.items.append(spot)
            for k, s in at.items():
                self.made.update((v, (k, spot, w)) for w, v in enumerate(s.outs))

    def _fork(self, forks: dict[int, Any], side: Side) -> None:
        branch = Branch(self._number(), side, forks)
        self.branches.append(branch)
        side.items.append(branch)
        for outcome in (True, False):
            inside = {k: list(s.middle) for k, s in forks.items() if s.outcome is outcome}
            branch.sides[outcome] = Side(branch, outcome, list(inside))
            self._lay(inside, branch.sides[outcome])
        branch.end = self._number()


def asked_at(b: Branch) -> tuple[Any, int]:
    """The call and the place where Python asked for a condition."""
    guard = next(iter(b.at.values())).guard
    assert guard.place is not None
    return guard.place


def recorded(side: Side) -> Iterator[tuple[CodeType, int, Op]]:
    """The ops of a side and of all within it, with the code and the offset that recorded them."""
    todo: list[Spot | Branch] = list(side.items)
    while todo:
        x = todo.pop()
        if type(x) is Branch:
            todo += [y for s in x.sides.values() for y in s.items]
            continue
        for s in x.at.values():
            for op in s.ops:
                code = getattr(op.where, "code", None)
                if code is not None:
                    yield code, op.where.lasti, op  # type: ignore[union-attr]


def last_of(s: Step) -> int:
    """How many ops had been recorded when a step was done, with what hangs from it."""
    if type(s) is Fork and s.middle:
        return last_of(s.middle[-1])
    return s.last


def _at(s: Step) -> str:
    ops = s.guard.ops if type(s) is Fork else s.ops
    return f" at {ops[0].where}" if ops and ops[0].where is not None else ""


def differ(rounds: Sequence[Sequence[Step]]) -> bool:
    """Whether a condition at the same place was met both ways."""
    seen: dict[Any, bool] = {}
    todo = [s for r in rounds if type(r) is not Equal for s in r if type(s) is Fork]
    while todo:
        s = todo.pop()
        if seen.setdefault(s.key, s.outcome) is not s.outcome:
            return True
        todo += [t for t in s.middle if type(t) is Fork]
    return False


def pattern(rounds: Sequence[Sequence[Step]]) -> int:
    """A number for the outcomes of all conditions, in their order."""
    out: list[Any] = []
    todo: list[Any] = [s for r in reversed(rounds) for s in reversed(r) if type(s) is Fork]
    while todo:
        s = todo.pop()
        out.append((s.key[1], s.outcome))
        todo += [t for t in reversed(s.middle) if type(t) is Fork]
    return hash(tuple(out))


def decided(held: Mapping[int, Any], fork: Fork) -> Any:
    """What names held when Python decided."""
    return held[fork.guard.last - 1]
