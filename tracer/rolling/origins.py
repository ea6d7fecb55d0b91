"""Where what a condition's way reads comes from, and what Python keeps beside the trace."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ...ir.core import Const, Value
from ...ir.types import Aval
from .flow import Flow
from .forks import Branch, Fork, Side, Spot, Template, asked_at, decided, last_of, recorded
from .match import is_literal
from .names import Held, Seen
from .natural_loops import Loop
from .offers import Column, Mark, Offers, as_value
from .steps import Step
from .taint import Taint

_PATH = re.compile(r"(?:len\()?(\d+) (\w+)")
_NONE = object()


class Origins:
    """What names held at the decisions of rounds, and what the code says of literals."""

    def __init__(
        self,
        template: Template,
        rounds: Sequence[Sequence[Step]],
        flows: Callable[[Any], Flow],
        seen: Seen,
        loop: tuple[Any, Loop],
    ) -> None:
        self.template = template
        self.rounds = rounds
        self.flows = flows
        self.seen = seen
        branches = template.branches
        self.held = {b: {k: decided(seen.at, f) for k, f in b.at.items()} for b in branches}
        self.top = next((b for b in template.root.items if type(b) is Branch), None)
        numbers: dict[Any, int] = {}
        self.offers = {b: Offers(at, numbers) for b, at in self.held.items()}
        self._levels: dict[Side, tuple[int, set[object]]] = {}
        self._left: dict[Branch, bool] = {}
        every = (h for at in self.held.values() for h in at.values())
        self.taint = Taint(template.branches, template.root, loop, every)

    # -------------------------------------------------------------- names

    def column(self, path: str) -> list[Value | None]:
        """What a name held at the first decision of each round; None where that was no number."""
        assert self.top is not None
        rounds = self.held[self.top]
        seen = [rounds[k].get(path) if k in rounds else None for k in range(self.template.size)]
        aval = next((x.aval for x in seen if isinstance(x, Value)), None)
        return [as_value(x, aval) for x in seen]

    def as_values(self, seen: Sequence[Any]) -> list[Value | None]:
        """What a name held, as values of one type."""
        aval = next((x.aval for x in seen if isinstance(x, Value)), None)
        return [as_value(x, aval) for x in seen]

    def ends(self, loop: tuple[Any, Loop]) -> tuple[dict[int, Held], int, set[str]]:
        """What names held at the ends of rounds, or when they were asked whether to go on; the
        number of that place; and the names of which it cannot be told.
        """
        code, inside = loop
        flow, size = self.flows(code), self.template.size
        if self.template.tail is not None:
            at, _ = self.template.tail
            spot = next(x for x in self.template.root.items if x.number == at)
            asked = {**spot.at, self.template.full: self.template.tail[1]}
            return {k: self.seen.at[s.last - 1] for k, s in asked.items()}, at, set()
        found = {}
        for k in range(1, size + 1):
            op = _first(self.rounds[k]) if k < size else last_of(self.rounds[-1][-1])
            if op in self.seen.between:
                found[k - 1] = self.seen.between[op]
        where: Any = next((s.ops[0].where for s in _flat(self.rounds[-1]) if s.ops), None)
        if where is None or where.code is not code:
            return (
                found,
                self.template.count,
                {f"{id(code)} {n}" for n in flow.stored(inside.members)},
            )
        place = flow.canonical(where.lasti)
        return (
            found,
            self.template.count,
            {f"{id(code)} {n}" for n in flow.stored_before(inside, place)},
        )

    def traced_ever(self, path: str) -> bool:
        """Whether a name ever held a traced value."""
        return any(isinstance(h.get(path), Value) for at in self.held.values() for h in at.values())

    def before(
        self, b: Branch, side: Side, rows: Column, aval: Aval, within: bool
    ) -> Iterator[Mark]:
        """What each rule says that was there before a branch, in all rounds that came to it.

        `rows` is what was read in some rounds, `within` the side or after it.
        """
        offers = self.offers[b]
        paths = offers.leading(rows)
        if within and all(map(is_literal, rows.values())):
            paths = self._readable(side, paths, len(rows))
        for path in paths:
            column = offers.column(path, aval)
            if column is not None:
                yield column
        if all(map(is_literal, rows.values())):
            yield from map(Mark, self._literals(b, side, rows, aval))
            return
        values = list(rows.values())
        made = [self.template.made.get(v) for v in values]
        first = made[0]
        if first is None:
            if all(v is values[0] for v in values):
                yield Mark(dict.fromkeys(sorted(b.at), values[0]))
            return
        if all(m is not None and m[0] == k and m[1:] == first[1:]
               for k, m in zip(rows, made, strict=True)) and _sees(b, first[1]):  # fmt: skip
            yield Mark({k: first[1].at[k].outs[first[2]] for k in sorted(b.at)})

    # -------------------------------------------------------------- literals

    def _readable(self, side: Side, paths: list[str], rounds: int) -> list[str]:
        """Those paths to numbers that the code of a side can have taken.

        Any number may be found at some path by chance; what is computed from it, at none.
        """
        level, _ = self._level(side)
        if level and rounds < 3:
            return []
        assert side.branch is not None
        call, place = asked_at(side.branch)
        flow = self.flows(call.code)
        loaded = flow.loaded(flow.side(place, side.outcome))
        out = []
        for path in paths:
            found = _PATH.match(path)
            here = found is not None and found[1] == str(id(call.code))
            if found is not None and (found[2] in loaded if here else rounds > 2):
                out.append(path)
        return out

    def _literals(self, b: Branch, side: Side, rows: Column, aval: Aval) -> Iterator[Column]:
        """A literal that is always the same, or an index that moves by equal steps."""
        values = list(rows.values())
        level, known = self._level(side)
        if any(type(v) is not Const for v in values):
            if all(v is values[0] for v in values):
                yield dict.fromkeys(sorted(b.at), values[0])
            return
        numbers = [v.data.item() for v in values]  # type: ignore[attr-defined]
        if all(v.key == values[0].key for v in values):  # type: ignore[attr-defined]
            sure = level == 0 or (len(rows) > 2 and (level == 1 or abs(numbers[0]) in known))
            if sure:
                same = values[0] if values[0].aval == aval else Const(numbers[0], aval.dtype)
                yield dict.fromkeys(sorted(b.at), same)
            return
        found = affine(list(rows.items()))
        if found is not None and level < 2 and len(rows) > 2:
            start, step = found
            yield {k: Const(start + k * step, aval.dtype) for k in sorted(b.at)}

    def _level(self, side: Side) -> tuple[int, set[object]]:
        """How the code of a side may make numbers that no trace sees; its literals."""
        found = self._levels.get(side)
        if found is None:
            found = self._levels[side] = self._looked_at(side)
        return found

    def _looked_at(self, side: Side) -> tuple[int, set[object]]:
        assert side.branch is not None
        call, place = asked_at(side.branch)
        seen: dict[Any, set[int]] = {}
        for code, lasti, _ in recorded(side):
            seen.setdefault(code, set()).add(self.flows(code).canonical(lasti))
        worst = 0
        literals: set[object] = set()
        for code, offsets in {call.code: set(), **seen}.items():
            flow = self.flows(code)
            region = flow.side(place, side.outcome) if code is call.code else None
            more, known = flow.computes(region, offsets)
            worst, literals = max(worst, more), literals | known
        return worst, literals

    # -------------------------------------------------------------- what Python keeps

    def conditional(self, at: int) -> bool:
        """Whether literals that are read here may follow from the ways that were taken."""
        if self.changing() or self.taint.any():
            return True
        return any(b.end <= at and self._leaves(b) for b in self.template.branches)

    def _leaves(self, b: Branch) -> bool:
        """Whether a branch is an expression, or returns from a function: its value has no name."""
        found = self._left.get(b)
        if found is None:
            call, place = asked_at(b)
            found = self._left[b] = self.flows(call.code).leaves(place)
        return found

    def changing(self) -> list[str]:
        """Names of what Python keeps, and may keep otherwise if another way is taken."""
        assert self.top is not None
        rounds = self.held[self.top]
        stored = self.stored()
        out = []
        paths = {p for k in rounds for p in rounds[k]}
        for path in sorted(paths):
            seen = [rounds[k].get(path, _NONE) for k in sorted(rounds)]
            if all(isinstance(x, Value) or x is seen[0] for x in seen):
                continue
            plain = [x for x in seen if not isinstance(x, Value) and x is not _NONE]
            name = path.split(" ", 1)[1]
            if path.startswith("len("):
                name = path[4:-1].split(" ", 1)[1]
                sizes = [x for x in seen if x is not _NONE]
                if len({b - a for a, b in pairwise(sizes)}) > 1:
                    out.append(path)
            elif "[-" in name:
                continue  # what a list ends with: see its length
            elif "[" in name or "." in name:
                if any(x != plain[0] for x in plain) and not self._grows(path):
                    out.append(path)
            elif (path in stored or name in stored) and any(
                type(x) is not type(plain[0]) or x != plain[0] for x in plain
            ):
                out.append(path)
        return out

    def _grows(self, path: str) -> bool:
        """Whether an element stands in a list that grows."""
        assert self.top is not None
        base = f"len({path[: path.rindex('[')]})" if "[" in path else ""
        sizes = {x.get(base) for x in self.held[self.top].values()}
        return len(sizes) > 1

    def stored(self) -> set[str]:
        """The names that are bound or not, or bound to this or that, by the ways taken."""
        out: set[str] = set()
        for b in self.template.branches:
            call, place = asked_at(b)
            flow = self.flows(call.code)
            out |= {f"{id(call.code)} {n}" for n in flow.stored(flow.region(place))}
            out |= {f"{id(call.code)} {n}" for n in flow.stored_next(place)}
        return out


def _flat(steps: Sequence[Step]) -> Iterator[Step]:
    for s in steps:
        if type(s) is Fork:
            yield from (s.guard, *_flat(s.middle))
        else:
            yield s


def _first(steps: Sequence[Step]) -> int:
    """The number of the first op of a round."""
    s = next(_flat(steps))
    return s.last - len(s.ops)


def _sees(b: Branch, spot: Spot) -> bool:
    """Whether a step is done before a branch, whenever that is reached."""
    side: Side | None = b.side
    while side is not None:
        if spot.side is side:
            return spot.number < b.number
        side = side.branch.side if side.branch is not None else None
    return False


def affine(present: Sequence[tuple[int, Value]]) -> tuple[int, int] | None:
    """Start and step of integers that grow by equal steps from round to round."""
    if any(type(v) is not Const or v.aval.kind not in "iuf" for _, v in present):
        return None
    numbers = [(k, v.data) for k, v in present]  # type: ignore[attr-defined]
    if any(x != int(x) if abs(x) < 2**53 else True for _, x in numbers):
        return None
    (k, x), (m, y) = numbers[0], numbers[-1]
    if m == k or (int(y) - int(x)) % (m - k):
        return None
    step = (int(y) - int(x)) // (m - k)
    start = int(x) - k * step
    return (start, step) if all(int(z) == start + j * step for j, z in numbers) else None
