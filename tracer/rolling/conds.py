"""Branches of rounds as `cond` ops: what their sides read, what they give, and how to say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from ...ir.builder import Builder
from ...ir.core import Const, Value
from ...ir.ops.control_rules import emit_cond
from ...ir.records import dataclass
from ...ir.types import Aval
from .fold import Refused, name_values
from .forks import Branch, Spot
from .steps import Step

Column = dict[int, Value]  # by round
Ref = tuple[Any, ...]  # ("spot", number, result), ("phi", phi) or ("capture", number)


@dataclass(eq=False)
class Phi:
    """A result of a condition: what each way gives for it, and its values in the rounds."""

    refs: dict[bool, Ref]
    aval: Aval
    outs: dict[int, Value] = field(default_factory=dict)


@dataclass(eq=False)
class Plan:
    """What is known of a branch: what its sides read from before it, and what it results in."""

    branch: Branch
    captures: list[Column] = field(default_factory=list)
    inner: list[Any] = field(default_factory=list)  # where the captures are found around it
    phis: list[Phi] = field(default_factory=list)
    condition: Any = None
    spots: dict[int, list[Ref]] = field(default_factory=dict)
    ahead: dict[int, int] = field(default_factory=dict)  # regions read before it: captures
    steps: list[dict[int, Step]] = field(default_factory=list)  # which read them, by round
    capture_at: dict[Any, int] = field(default_factory=dict)  # by what the column holds
    phi_of: dict[tuple[Ref, Ref], Phi] = field(default_factory=dict)  # by what the ways give


class Emission:
    """Says a branch in ops."""

    def __init__(self, b: Branch, plans: Mapping[Branch, Plan]) -> None:
        self.branch, self.plan = b, plans[b]
        self.inner = {
            x: Emission(x, plans) for s in b.sides.values() for x in s.items if type(x) is Branch
        }
        self.weight, self.guards = 2, 0
        self.used: list[int] = []  # captures, in the order of the operands
        facts: list[Any] = []
        for side in b.sides.values():
            for x in side.items:
                if type(x) is Branch:
                    e = self.inner[x]
                    refs = tuple(map(self._fact, e.given()))
                    facts.append((x.number - b.number, refs, e.facts))
                    self.weight, self.guards = self.weight + e.weight, self.guards + e.guards
                    continue
                assert type(x) is Spot
                if x.number in self.plan.ahead:
                    continue
                s = next(iter(x.at.values()))
                name_values(s.ops)
                refs = tuple(map(self._fact, self.plan.spots[x.number]))
                facts.append((x.number - b.number, s.token, refs))
                self.weight, self.guards = self.weight + s.weight, self.guards + s.guards
            facts.append(tuple(self._fact(p.refs[side.outcome]) for p in self.plan.phis))
        self.facts: tuple[Any, ...] = tuple(facts)

    def _fact(self, ref: Ref) -> Any:
        """The same for the same place in equal branches; notes what is read from outside."""
        ref = self._known(ref)
        if ref[0] == "spot":
            return ref[1] - self.branch.number, ref[2]
        if ref[0] == "capture":
            if self.plan.inner[ref[1]] is None:
                raise Refused("what a round reads follows no rule")
            if ref[1] not in self.used:
                self.used.append(ref[1])
            return -1, self.used.index(ref[1])
        inner = next(x for x, e in self.inner.items() if ref[1] in e.plan.phis)
        return "phi", inner.number - self.branch.number, self.inner[inner].plan.phis.index(ref[1])

    def _known(self, ref: Ref) -> Ref:
        """Where a result is found: what was read ahead is given."""
        if ref[0] == "spot" and ref[1] in self.plan.ahead:
            return ("capture", self.plan.ahead[ref[1]])
        return ref

    def given(self) -> list[Ref]:
        """What a branch within another reads there."""
        return [self.plan.condition, *(self.plan.inner[c] for c in self.used)]

    def __call__(self, b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        condition, captures = args[0], args[1:]
        given = [x for x in captures if type(x) is not Const]
        then, otherwise = (self._block(captures, outcome) for outcome in (True, False))
        asked = next(iter(self.branch.at.values())).guard
        b.where = asked.ops[0].where
        return emit_cond(condition, given, then, otherwise)

    def _block(self, captures: Sequence[Value], outcome: bool) -> Any:
        params = [x if type(x) is Const else Value(x.aval, x.hint) for x in captures]
        with Builder([p for p in params if type(p) is not Const], number=False) as inner:
            found: dict[Any, Value] = {}

            def at(ref: Ref) -> Value:
                ref = self._known(ref)
                if ref[0] == "capture":
                    return params[self.used.index(ref[1])]
                return found[ref[1:] if ref[0] == "spot" else ref[1]]

            for x in self.branch.sides[outcome].items:
                if type(x) is Branch:
                    e = self.inner[x]
                    outs = e(inner, list(map(at, e.given())))
                    found.update(zip(e.plan.phis, outs, strict=True))
                    continue
                assert type(x) is Spot
                if x.number in self.plan.ahead:
                    continue
                s = x.at[max(x.at)]
                outs = s.emit(inner, [at(r) for r in self.plan.spots[x.number]])
                found.update({(x.number, w): v for w, v in enumerate(outs)})
            return inner.done([at(p.refs[outcome]) for p in self.plan.phis])
