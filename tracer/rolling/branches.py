"""Rounds that differ by traced conditions become equal rounds: conditions and what they decide turn
into one `cond` step each.

That a column of operands follows a rule is concluded from all rounds that were seen, with what
names held whenever Python decided.  Where two rules would do, or one that no round has tested, the
rounds stay as they are: one program for each way through them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import CodeType
from typing import Any

from ...ir.core import Const, Value
from ...ir.ops.guards import guard
from ...ir.records import dataclass
from ...ir.types import Aval
from .afterwards import Afterwards
from .conds import Column, Emission, Phi, Plan, Ref
from .flow import flow_of
from .fold import Refused, fold, name_values
from .forks import Branch, Side, Spot, Template, last_of
from .kept import depends_on_ways
from .match import Matched, is_literal, match
from .names import Seen
from .natural_loops import Loop
from .offers import Mark, key
from .origins import Origins, affine
from .steps import Reader, Step

MOST_LAG = 4


@dataclass
class Converted:
    """Equal rounds, and what is read after them under which name it has now."""

    rounds: list[list[Step]]
    after: list[tuple[Value, Value]]


def branched(
    reader: Reader,
    rounds: Sequence[Sequence[Step]],
    held: Seen,
    code: CodeType,
    loop: Loop,
    ending: Callable[[Sequence[Sequence[Step]]], list[Step]] | None = None,
) -> list[Step]:
    """The loop of rounds that differ by traced conditions, and what names its results have after
    it.

    ending  makes the loop of rounds of which the last ended at a condition, and the loop with it
    """
    flow, prefix = flow_of(code), f"{id(code)} "

    def live(path: str) -> bool:
        return path.startswith(prefix) and flow.read_after(path.removeprefix(prefix), loop)

    conversion = _Conversion(reader, rounds, held, live, ending is not None, (code, loop))
    found = conversion.result()
    last = found.rounds[-1][-1].last
    reads = {v: reader.columns.last_read(v) for v, _ in found.after}
    for old, new in found.after:
        reader.columns.rename(old, new, last)
    try:
        steps = _folded(reader, found.rounds) if ending is None else ending(found.rounds)
    finally:
        for old, n in reads.items():
            reader.columns.rename(old, None, n)
    for old, new in found.after:
        token = reader.token(("same", new.aval))
        steps.append(Step(token, (new,), (old,), lambda b, args: args, last))
    return steps


def _folded(reader: Reader, rounds: Sequence[Sequence[Step]]) -> list[Step]:
    matched = match(rounds)
    if not isinstance(matched, Matched):
        raise Refused(f"{matched.reason}, its conditions apart")
    return fold(reader, rounds, matched)


class _Conversion:
    """The rounds with a `cond` for each condition that was met both ways, column by column.

    ended  whether the last one ended at a condition that was met otherwise, and the loop with it
    """

    def __init__(
        self,
        reader: Reader,
        rounds: Sequence[Sequence[Step]],
        held: Seen,
        live: Callable[[str], bool],
        ended: bool,
        loop: tuple[Any, Loop],
    ) -> None:
        self.reader = reader
        self.loop = loop
        self.live = live
        self.template = Template(rounds, ended)
        self.held = held
        self.last = last_of(rounds[-1][-1])
        self.size, self.full = self.template.size, self.template.full
        self.plans = {b: Plan(b) for b in self.template.branches}
        self.top = [b for b in self.template.root.items if type(b) is Branch]
        if not self.top:
            raise Refused("no condition was met both ways")
        self.origins = Origins(self.template, rounds, flow_of, held, loop)
        self._known: dict[Any, list[Value | None] | Refused] = {}
        self._given: dict[Any, Phi | Refused | None] = {}
        self.rows: dict[int, list[list[Value]]] = {}  # new operands of the steps of all rounds

    def result(self) -> Converted:
        """Resolve all that is read, in the rounds and after them."""
        self._check_evidence()
        self._check_python()
        self._check_left()
        tail = self.template.tail
        for x in self.template.root.items:
            if type(x) is Branch:
                self._sides(x)
                continue
            assert type(x) is Spot
            at = {**x.at, self.full: tail[1]} if tail and tail[0] == x.number else x.at
            args = [[s.args[a] if (s := at.get(k)) else None for k in range(self.size)]
                    for a in range(len(_args(x)))]  # fmt: skip
            self.rows[x.number] = [
                self.resolved(c, x.number, self._doubt(x, a, c)) for a, c in enumerate(args)
            ]
        for b in self.top:
            self.plans[b].condition = self.resolved(_conditions(b, self.size), b.number)
        after = self._after()
        for b in self.top:
            self._read_ahead(b)
        self.emissions = {b: Emission(b, self.plans) for b in self.top}
        return Converted([self._round(k) for k in range(self.size)], after)

    # -------------------------------------------------------------- what must have been seen

    def _check_evidence(self) -> None:
        """Demand that both ways were followed by another round."""
        for b in self.template.branches:
            if not self._seen(b, 1):
                raise Refused(f"one way was taken in the last round alone{_where(b)}")

    def _check_python(self) -> None:
        """Demand that Python itself keeps nothing that depends on the way taken."""
        for name in self.origins.changing():
            column = self.origins.column(name)
            try:
                self.resolved(column, self.top[0].number)
                if not self.live(name):
                    continue
            except Refused:
                pass
            shown = name.split(" ", 1)[-1].rstrip(")")
            raise Refused(f"`{shown}`, which Python keeps, depends on the way taken")

    def _check_left(self) -> None:
        """Demand that Python is left with nothing that depends on a way, but what rounds made."""
        rows, _, _ = self.origins.ends(self.loop)
        end = self.full if self.template.tail else self.size - 1
        name = depends_on_ways(self.origins, rows, end, self.live, self._is_from_before)
        if name:
            raise Refused(f"{name}, which Python keeps, depends on the way taken")

    def _is_from_before(self, v: Value) -> bool:
        """Whether a value was made before the loop and is read after it."""
        return v not in self.template.made and self.reader.columns.last_read(v) > self.last

    def _doubt(self, x: Spot, a: int, column: Sequence[Value | None]) -> bool | None:
        """Whether ways may decide what literal an operand is; None: it is not known."""
        present = [v for v in column if v is not None]
        if any(v in self.template.made for v in present):
            return False
        same = type(present[0]) is Const and len({key(v) for v in present}) == 1
        value = present[0].data.item() if same else None  # type: ignore[attr-defined]
        return self.origins.taint.operand(x.at[max(x.at)], a, value)

    # -------------------------------------------------------------- columns at the top

    def resolved(
        self, column: Sequence[Value | None], at: int, doubt: bool | None = None
    ) -> list[Any]:
        """The values of the rounds that are read here, those that depend on a way renamed.

        doubt  whether literals, or values from before the loop, may depend on one
        """
        values = [v for v in column if v is not None]
        known = (at, doubt, tuple(None if v is None else key(v) for v in column))
        found = self._known.get(known)
        if found is None:
            found = self._known[known] = list(column)
            if not self._plain(column, at, doubt):
                try:
                    found[:] = self._renamed(column, _one_aval(values), at)
                except Refused as reason:
                    self._known[known] = reason
                    raise
        if isinstance(found, Refused):
            raise found
        return found

    def _plain(self, column: Sequence[Value | None], at: int, doubt: bool | None) -> bool:
        """Whether no way decides what is read: then the wiring alone says what it is."""
        present = [(k, v) for k, v in enumerate(column) if v is not None]
        values = [v for _, v in present]
        if doubt:
            return False
        if len({key(v) for v in values}) <= 1:
            return self._root(values[0]) if values else True
        if all(map(is_literal, values)):
            if affine(present) is not None:
                return True
            return not (self.origins.changing() if doubt is False else self.origins.conditional(at))
        made = [(k, self.template.made.get(v)) for k, v in present]
        if any(m is not None and m[1].side is not self.template.root for _, m in made):
            return False
        inside = [(k - m[0], m[1].number, m[2]) for k, m in made if m is not None]
        if not inside:
            return len({key(v) for v in values}) == len(values)
        distance = inside[0][0]
        if len(set(inside)) > 1 or any((k < distance) is (m is not None) for k, m in made):
            return False
        return not distance or all(self._tested(b, distance, at) for b in self.template.branches)

    def _tested(self, b: Branch, distance: int, at: int) -> bool:
        """Whether rounds that read what was made in the loop came after both ways."""
        late = {f.outcome for k, f in b.at.items() if k >= distance}
        return self._seen(b, distance) and (b.end > at or len(late) == 2)

    def _seen(self, b: Branch, distance: int) -> bool:
        """Whether both ways were taken so many rounds before another one, at least."""
        return len({f.outcome for k, f in b.at.items() if k < self.full - distance}) == 2

    def _root(self, v: Value) -> bool:
        made = self.template.made.get(v)
        return made is None or made[1].side is self.template.root

    def _renamed(
        self, column: Sequence[Value | None], aval: Aval, at: int
    ) -> Iterator[Value | None]:
        for lag in range(MOST_LAG + 1):
            early = [v for v in column[:lag] if v is not None]
            if any(v in self.template.made for v in early):
                break
            rows = {k - lag: v for k, v in enumerate(column) if v is not None and k >= lag}
            mark = Mark(rows)
            for b in reversed(self.top):
                if lag == 0 and b.end > at:
                    continue
                if not rows.keys() <= b.at.keys():
                    raise Refused("what ends the loop follows no rule")
                phi = self._explained(b, rows, aval, mark)
                if phi is not None:
                    return iter(
                        [
                            _as(column[k], aval) if k < lag else phi.outs[k - lag]
                            if column[k] is not None else None
                            for k in range(self.size)
                        ]
                    )  # fmt: skip
        raise Refused("what a round reads follows no rule that its conditions could give")

    # -------------------------------------------------------------- what a branch gives

    def _explained(self, b: Branch, rows: Column, aval: Aval, mark: Mark) -> Phi | None:
        """The result of a branch that is read in rounds; None if they read what it left alone."""
        known = b, aval, mark
        if known not in self._given:
            try:
                self._given[known] = self._phi(b, rows, aval)
            except Refused as reason:
                self._given[known] = reason
        found = self._given[known]
        if isinstance(found, Refused):
            raise found
        return found

    def _phi(self, b: Branch, rows: Column, aval: Aval) -> Phi | None:
        """The same, found out."""
        if not self._may_give(b, rows):
            return None
        refs: dict[bool, Ref] = {}
        for outcome in (True, False):
            given = {k: v for k, v in rows.items() if b.at[k].outcome is outcome}
            if not given:
                raise Refused(f"nothing was read after one of the ways{_where(b)}")
            side = b.sides[outcome]
            refs[outcome] = self._inside(side, given, b.end, aval)
        if refs[True] == refs[False]:
            return None
        plan, given_by = self.plans[b], (refs[True], refs[False])
        phi = plan.phi_of.get(given_by)
        if phi is None:
            phi = plan.phi_of[given_by] = Phi(refs, aval, {k: Value(aval) for k in b.at})
            plan.phis.append(phi)
        return phi

    def _may_give(self, b: Branch, rows: Column) -> bool:
        """Whether the branch can have had to do with values: nobody rebinds what has no name."""
        made = self.template.made
        for k, v in rows.items():
            m = made.get(v)
            if m is not None and m[0] == k and b.number < m[1].number < b.end:
                return True
            if is_literal(v) or self.origins.offers[b].names(k, v):
                return True
        return not all((m := made.get(v)) is not None and m[0] == k for k, v in rows.items())

    def _inside(self, side: Side, rows: Column, at: int, aval: Aval) -> Ref:
        """Where a side finds what was read in these rounds."""
        made, b = self.template.made, side.branch
        assert b is not None
        places = [made.get(v) for v in rows.values()]
        first = places[0]
        if first is not None and first[1].side is side and first[1].number < at:
            same = all(
                m is not None and m[0] == k and m[1:] == first[1:]
                for k, m in zip(rows, places, strict=True)
            )
            if same:
                return ("spot", first[1].number, first[2])
        here = any(
            m is not None and m[0] == k and m[1].number > b.number
            for k, m in zip(rows, places, strict=True)
        )
        if not here:
            found = self._captured(b, side, rows, aval, at != b.end)
            if found is not None:
                return ("capture", found)
        mark = Mark(rows)
        for inner in side.branches(at):
            phi = self._explained(inner, rows, aval, mark)
            if phi is not None:
                return ("phi", phi)
        raise Refused(f"what is read after a condition follows no rule{_where(b)}")

    def _captured(
        self, b: Branch, side: Side, rows: Column, aval: Aval, within: bool
    ) -> int | None:
        """The value from before the branch that was read, known in all rounds; None: it is not."""
        columns = set(self.origins.before(b, side, rows, aval, within))
        if not columns:
            return None
        if len(columns) > 1:
            raise Refused(f"more than one variable held what is read{_where(b)}")
        (wanted,) = columns
        column = wanted.rows
        plan = self.plans[b]
        known = plan.capture_at.get(wanted)
        if known is not None:
            return known
        c = plan.capture_at[wanted] = len(plan.captures)
        plan.captures.append(column)
        plan.inner.append(None)
        if b.side is self.template.root:
            plan.inner[c] = self.resolved([column.get(k) for k in range(self.size)], b.number)
        else:
            plan.inner[c] = self._inside(b.side, column, b.number, aval)
        return c

    def _sides(self, b: Branch) -> None:
        """Where the steps of both sides find their operands."""
        plan = self.plans[b]
        if b.side is not self.template.root:
            rows = {k: f.args[0] for k, f in b.at.items()}
            plan.condition = self._inside(b.side, rows, b.number, Aval("bool"))
        for side in b.sides.values():
            for x in side.items:
                if type(x) is Branch:
                    self._sides(x)
                    continue
                assert type(x) is Spot
                refs = []
                for a, like in enumerate(_args(x)):
                    rows = {k: s.args[a] for k, s in x.at.items()}
                    _one_aval(list(rows.values()))
                    refs.append(self._inside(side, rows, x.number, like.aval))
                plan.spots[x.number] = refs

    def _read_ahead(self, b: Branch) -> None:
        """Let regions of arrays that sides read be read before the branch, as in all rounds.

        So rows of an array stay rows of the loop, whose derivative is as large as a row.
        """
        plan = self.plans[b]
        for side in b.sides.values():
            for x in side.items:
                if type(x) is Branch or x.at[max(x.at)].moves is None:
                    continue
                s, refs = x.at[max(x.at)], plan.spots[x.number]
                if any(r[0] != "capture" or plan.inner[r[1]] is None for r in refs):
                    continue
                columns = [plan.inner[r[1]] for r in refs]
                assert s.moves is not None
                size, step = s.moves
                made: dict[int, Step] = {}
                for k in b.at:
                    array, *start = (c[k] for c in columns)
                    if not _inside_of(array, start, size, step):
                        break
                    out = Value(s.outs[0].aval, s.outs[0].hint)
                    made[k] = self.reader.slice(array, start, size, step, out, b.at[k].last)
                else:
                    plan.ahead[x.number] = len(plan.captures)
                    plan.captures.append({k: t.outs[0] for k, t in made.items()})
                    plan.inner.append([made[k].outs[0] if k in made else None
                                       for k in range(self.size)])  # fmt: skip
                    plan.steps.append(made)

    # -------------------------------------------------------------- rounds again

    def _after(self) -> list[tuple[Value, Value]]:
        """Values that are read after the rounds, and as what."""
        found = Afterwards(
            self.template, self.origins, self.plans, self.live, self.resolved, self.loop
        )
        return found.renamed(self.reader.columns.read_after(self.template.made, self.last))

    def _round(self, k: int) -> list[Step]:
        out: list[Step] = []
        for x in self.template.root.items:
            if k not in x.at:
                assert self.template.tail is not None
                args = tuple(c[k] for c in self.rows[x.number])
                return [*out, _with(self.template.tail[1], args)]
            if type(x) is Branch:
                out += [made[k] for made in self.plans[x].steps]
                out.append(self._cond(x, k))
                continue
            assert type(x) is Spot
            s, args = x.at[k], tuple(c[k] for c in self.rows[x.number])
            if all(a is b for a, b in zip(args, s.args, strict=True)):
                out.append(s)
                continue
            out.append(_with(s, args))
        return out

    def _cond(self, b: Branch, k: int) -> Step:
        plan, emission = self.plans[b], self.emissions[b]
        args = (plan.condition[k], *(plan.inner[c][k] for c in emission.used))
        outs = tuple(phi.outs[k] for phi in plan.phis)
        token = self.reader.token(("cond", tuple(a.aval for a in args), emission.facts))
        made = Step(token, args, outs, emission, last_of(b.at[k]), (), emission.weight)
        made.guards = emission.guards
        return made


# ------------------------------------------------------------------ small things


def _inside_of(
    array: Value, start: Sequence[Value], size: Sequence[int], step: Sequence[int]
) -> bool:
    """Whether a region is known to lie in an array."""
    if any(type(s) is not Const for s in start):
        return False
    low = [int(s.data) for s in start]  # type: ignore[attr-defined]
    ends = (s + (n - 1) * by for s, n, by in zip(low, size, step, strict=True))
    return min(low, default=0) >= 0 and all(e < n for e, n in zip(ends, array.shape, strict=True))


def _with(s: Step, args: tuple[Value, ...]) -> Step:
    """A step with other operands."""
    name_values(s.ops)
    new = copy.copy(s)
    new.args, new.again = args, None
    new.ops = tuple(replace(op, args=args) for op in s.ops if op.prim is guard)
    return new


def _conditions(b: Branch, size: int) -> list[Value | None]:
    return [f.args[0] if (f := b.at.get(k)) else None for k in range(size)]


def _args(x: Spot) -> tuple[Value, ...]:
    return x.at[max(x.at)].args


def _where(b: Branch) -> str:
    where = next(iter(b.at.values())).guard.ops[0].where
    return f" at {where}" if where is not None else ""


def _one_aval(values: Sequence[Value]) -> Aval:
    """The type of a column, whose numbers may yet have another."""
    avals = {v.aval for v in values if not is_literal(v)} or {v.aval for v in values}
    if len(avals) != 1:
        raise Refused("a value is of another shape or dtype in some rounds")
    return next(iter(avals))


def _as(v: Value | None, aval: Aval) -> Value | None:
    if type(v) is Const and v.aval != aval:
        if aval.shape or v.aval.shape:
            raise Refused("a value is of another shape or dtype in some rounds")
        return Const(v.data, aval.dtype)
    return v
