"""Which workspace arrays share memory: those whose lives, in items of the plan, do not meet.

Every pointer of a kernel is declared free of aliases, so arrays that share memory must come in
through the same pointer: values are coloured into slots, and a slot is one argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ..ir.core import Value
from ..ir.plan import Item, Plan, members


@dataclass
class Slot:
    """Memory for `size` elements of one dtype, taken until item `busy`."""

    owner: Value
    size: int
    busy: int


def share(plan: Plan) -> None:
    """Fill `plan.slots`: each workspace value's slot, named by the largest value in it."""
    _colour(plan, plan.items, ())
    for v in plan.slots:
        owner = plan.slots[v]
        while plan.slots[owner] is not owner:
            owner = plan.slots[owner]
        plan.slots[v] = owner


def _colour(plan: Plan, items: Sequence[Item], outs: Sequence[Value]) -> list[Value]:
    """The slots of the values that items make, and of those in the regions below them.

    The results of a region are read at its end.
    """
    lives = _lives(plan, items)
    lives.update((v, (lives[v][0], len(items))) for v in outs if v in lives)
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
    return [s.owner for same in slots.values() for s in same]


def _lives(plan: Plan, items: Sequence[Item]) -> dict[Value, tuple[int, int]]:
    """First and last of these items for every value in a workspace."""
    lives: dict[Value, tuple[int, int]] = {}
    for k, item in enumerate(items):
        for r in members(item):
            for v in r.op.outs if r.kind == "region" and r.op is not None else (r.value,):
                if plan.storage[v].place in ("full", "scratch") and -1 not in v.shape:
                    lives.setdefault(v, (k, k))
            for a in (*r.accesses, *r.matrices):
                base = a.base
                while base in plan.aliases:
                    base = plan.aliases[base]
                if base in lives:
                    lives[base] = (lives[base][0], max(lives[base][1], k))
            for body in r.bodies.values():
                lives.update((v, (k, k)) for v in _colour(plan, body.items, body.outs))
    return lives


def _size(plan: Plan, v: Value) -> int:
    return prod(plan.kept_shape(v))
