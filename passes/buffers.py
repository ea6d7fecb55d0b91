"""Which workspace arrays share memory: those whose lives, in items of the plan, do not meet.

Every pointer of a kernel is declared free of aliases, so arrays that share memory must come in
through the same pointer: values are coloured into slots, and a slot is one argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..ir.core import Value
from ..ir.plan import CallItem, Item, Loop, Plan, Root


@dataclass
class Slot:
    """Memory for `size` elements of one dtype, taken until item `busy`."""

    owner: Value
    size: int
    busy: int


def share(plan: Plan) -> None:
    """Fill `plan.slots`: each workspace value's slot, named by the largest value in it."""
    lives = _lives(plan)
    sizes = {v: _size(plan, v) for v in lives}
    slots: dict[str, list[Slot]] = {}
    for v in sorted(lives, key=lambda v: (lives[v][0], -sizes[v])):
        first, last = lives[v]
        free = [s for s in slots.get(v.dtype, ()) if s.busy < first and s.size >= sizes[v]]
        if free:
            slot = min(free, key=lambda s: s.size)
            slot.busy = last
        else:
            slot = Slot(v, sizes[v], last)
            slots.setdefault(v.dtype, []).append(slot)
        plan.slots[v] = slot.owner


def _lives(plan: Plan) -> dict[Value, tuple[int, int]]:
    """First and last top-level item of every value in a workspace."""
    lives: dict[Value, tuple[int, int]] = {}
    for k, item in enumerate(plan.items):
        for r in _roots_of(item):
            if plan.storage[r.value].place in ("full", "scratch"):
                lives.setdefault(r.value, (k, k))
            for a in (*r.accesses, *r.matrices):
                base = a.base
                while base in plan.aliases:
                    base = plan.aliases[base]
                if base in lives:
                    lives[base] = (lives[base][0], max(lives[base][1], k))
    return lives


def _roots_of(item: Item) -> list[Root]:
    if isinstance(item, Loop):
        return item.members
    return [item.root] if isinstance(item, CallItem) else item.members


def _size(plan: Plan, v: Value) -> int:
    return prod(plan.kept_shape(v))
