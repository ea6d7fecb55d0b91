"""What is read after rounds that decided by traced conditions: which result of them it is now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...ir.core import Value
from .conds import Phi, Plan
from .fold import Refused
from .forks import Branch, Side, Spot, Template
from .natural_loops import Loop
from .origins import Origins


class Afterwards:
    """Finds by the names that held them what values of rounds have become.

    live      whether a name is read after the loop
    resolved  the values of a column of rounds, those that depend on a way renamed
    """

    def __init__(
        self,
        template: Template,
        origins: Origins,
        plans: Mapping[Branch, Plan],
        live: Callable[[str], bool],
        resolved: Callable[[Sequence[Value | None], int], Sequence[Value | None]],
        loop: tuple[Any, Loop],
    ) -> None:
        self.template = template
        self.size, self.full = template.size, template.full
        self.top = [b for b in template.root.items if type(b) is Branch]
        self.origins = origins
        self.plans = plans
        self.live = live
        self.resolved = resolved
        self.loop = loop

    def renamed(self, wanted: Sequence[Value]) -> list[tuple[Value, Value]]:
        """These values of the rounds, and as what they are read."""
        if not wanted:
            return []
        given, unknown = self._ends()
        out = []
        for v in wanted:
            found = {id(x): x for x in given.get(v, ())}
            top = self.template.made[v][1].side is self.template.root
            if not found and top and not unknown:
                continue
            if not found and not top:
                phis = [(p, max(p.outs)) for b in self.top for p in self.plans[b].phis]
                aliases = (p.outs[k] for p, k in phis if self._value_of(p, k) is v)
                found = {id(x): x for x in aliases}
            if len(found) != 1:
                raise Refused("it cannot be told which variable is read after the loop")
            (new,) = found.values()
            if new is not v:
                out.append((v, new))
        return out

    def _ends(self) -> tuple[dict[Value, list[Value]], bool]:
        """For what names and lists hold in the end, as what it is known now; and whether there are
        names, of those that ways bind, of which nothing is known.
        """
        rows, at, apart = self.origins.ends(self.loop)
        given: dict[Value, list[Value]] = {}
        unknown = False
        stored = self.origins.stored()
        paths = {p for x in rows.values() for p, v in x.items() if isinstance(v, Value)}
        for path in sorted(paths):
            plain = "[" not in path and "." not in path
            if (plain and not self.live(path)) or "[-2]" in path or "[-3]" in path:
                continue
            seen = [rows[k].get(path) if k in rows else None for k in range(self.size)]
            try:
                if path in apart:
                    raise Refused("it is bound before the round begins")
                if not self._met_both_ways(seen):
                    raise Refused("nothing is known of it after one of the ways")
                column = self.origins.as_values(seen)
                found = self._continued(column, self.resolved(column, at))
            except Refused:
                unknown = unknown or path in stored or not plain
                continue
            last = self.full if self.template.tail else self.size - 1
            for k in range(self.size) if path.endswith("[-1]") else (last,):
                old, new = found[k]
                if old is not None and new is not None:
                    given.setdefault(old, []).append(new)
        return given, unknown or any(
            self.live(p) and p not in paths and self.origins.traced_ever(p) for p in stored
        )

    def _met_both_ways(self, column: Sequence[Any]) -> bool:
        """Whether something is known of rounds that took the one way, and of those that took the
        other.
        """
        present = {k for k, x in enumerate(column) if x is not None}
        return all(len({f.outcome for k, f in b.at.items() if k in present}) == 2 for b in self.top)

    def _continued(
        self, column: Sequence[Value | None], found: Sequence[Value | None]
    ) -> list[tuple[Value | None, Value | None]]:
        """What a column was and is, with the last round, of which nothing was seen, as the rule
        says.
        """
        pairs = list(zip(column, found, strict=True))
        if self.template.tail or column[-1] is not None or len(pairs) < 2:
            return pairs
        old, new = pairs[-2]
        if old is None or new is None:
            return pairs
        for b in self.top:
            for phi in self.plans[b].phis:
                for k, v in phi.outs.items():
                    if v is new:
                        pairs[-1] = self._value_of(phi, k + 1), phi.outs[k + 1]
                        return pairs
        made = self.template.made.get(new)
        if made is not None and (column[-3] is not new if len(pairs) > 2 else True):
            k, spot, w = made
            new = spot.at[k + 1].outs[w]
        pairs[-1] = new, new
        return pairs

    def _value_of(self, phi: Phi, k: int) -> Value:
        """What was recorded for a result in a round."""
        b = next(b for b in self.template.branches if phi in self.plans[b].phis)
        ref = phi.refs[b.at[k].outcome]
        while True:
            if ref[0] == "spot":
                spot = self._spot(ref[1])
                return spot.at[k].outs[ref[2]]
            if ref[0] == "capture":
                return self.plans[b].captures[ref[1]][k]
            b = next(x for x in self.template.branches if ref[1] in self.plans[x].phis)
            ref = ref[1].refs[b.at[k].outcome]

    def _spot(self, number: int) -> Spot:
        todo: list[Side] = [self.template.root]
        while todo:
            for x in todo.pop().items:
                if type(x) is Branch:
                    todo += x.sides.values()
                elif x.number == number:
                    assert type(x) is Spot
                    return x
        raise KeyError(number)
