"""Which workspace arrays share memory: those whose lives, in items of the plan, do not meet.

Every pointer of a kernel is declared free of aliases, so arrays that share memory must come in
through the same pointer: values are coloured into slots, and a slot is one argument.  A value may
also take the place of one that dies in the very loops that write it, and an array that is gone
before a result of its kind is written lies in the memory of that result.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

from ..ir.core import Value
from ..ir.plan import Item, Loop, Plan, members
from ..ir.records import dataclass
from .overwrite import Overwrites, adds_into, likeness


@dataclass
class Slot:
    """Memory for `size` elements of one dtype, whose last `holder` is read until item `busy`.

    That of a result is lent: the result is written from item `until` on.
    """

    owner: Value
    size: int
    busy: int
    holder: Value
    until: int | None = None


def share(plan: Plan) -> None:
    """Fill `plan.slots`: each workspace value's slot, named by the largest value in it."""
    seen = _reshaped(plan)
    lent = [s for s in _lent(plan) if s.owner not in seen.values()]
    _colour(plan, plan.items, (), lent, out_of=seen)
    plan.slots.update(seen)
    for v in plan.slots:
        owner = plan.slots[v]
        while plan.slots.get(owner, owner) is not owner:
            owner = plan.slots[owner]
        plan.slots[v] = owner


def _reshaped(plan: Plan) -> dict[Value, Value]:
    """Values that are results in another shape, and nothing else: they are written as these."""
    found: dict[Value, Value] = {}
    for out in plan.outs:
        r = plan.roots.get(out)
        if r is None or r.op is not None or r.source not in plan.aliases:
            continue
        base = r.source
        while base in plan.aliases:
            base = plan.aliases[base]
        made = plan.roots.get(base)
        if made is None or made.kind not in ("store", "fold", "gemm", "scatter", "call"):
            continue
        if plan.storage[base].place == "full" and plan.storage[out].place == "output":
            found.setdefault(base, out)
    return found


def _lent(plan: Plan) -> list[Slot]:
    """The memory of the results that loops or products write, for what is gone by then."""
    found = []
    for k, item in enumerate(plan.items):
        for r in members(item):
            v = r.value
            lends = r.kind in ("store", "gemm", "scatter") or (r.kind == "call" and adds_into(r))
            if plan.storage[v].place == "output" and lends and v.ndim and v not in plan.adds:
                found.append(Slot(v, _size(plan, v), -1, v, k))
    return found


def _colour(
    plan: Plan,
    items: Sequence[Item],
    outs: Sequence[Value],
    lent: Sequence[Slot] = (),
    only: Collection[Value] | None = None,
    out_of: Collection[Value] = (),
) -> list[Value]:
    """The slots of the values that items make (`only` these), and of those in the regions below.

    The results of a region are read at its end.
    """
    lives = {v: life for v, life in _lives(plan, items, only).items() if v not in out_of}
    lives.update((v, (lives[v][0], len(items))) for v in outs if v in lives)
    sizes = {v: _size(plan, v) for v in lives}
    slots: dict[str, list[Slot]] = {}
    over = Overwrites(plan)
    offers: dict[object, list[Slot]] = {}
    for s in lent:
        offers.setdefault(likeness(s.owner), []).append(s)
    for v in sorted(lives, key=lambda v: (lives[v][0], -sizes[v])):
        first, last = lives[v]
        same = slots.setdefault(v.dtype, [])
        slot = _place(over, items, lives, v, same, offers.get(likeness(v), ()) if lent else ())
        if slot is None:
            free = [s for s in same if s.busy < first and s.size >= sizes[v]]
            slot = min(free, key=lambda s: s.size, default=None)
        if slot is None:
            slot = Slot(v, sizes[v], last, v)
            same.append(slot)
        slot.busy, slot.holder = last, v
        plan.slots[v] = slot.owner
    return [s.owner for same in slots.values() for s in same]


def _place(
    over: Overwrites,
    items: Sequence[Item],
    lives: dict[Value, tuple[int, int]],
    v: Value,
    same: Sequence[Slot],
    lent: Sequence[Slot],
) -> Slot | None:
    """The place of a value that dies where this one is written, or one that a result lends.

    `same` are the places of its dtype, `lent` those of results that are alike.
    """
    first, last = lives[v]

    def dies(s: Slot) -> bool:
        made = lives.get(s.holder, (first,))[0]
        return first > made and over.claim(items[first], v, s.holder)

    def lasts(s: Slot) -> bool:
        if s.until is None or last < s.until:
            return True
        return last == s.until and over.claim(items[last], s.owner, v)

    offered = [s for s in lent if s.until is not None and last <= s.until]
    for s in (*offered, *same):
        if s.busy == first and dies(s) and lasts(s):
            return s
    return next((s for s in offered if s.busy < first and lasts(s)), None)


def _lives(
    plan: Plan, items: Sequence[Item], only: Collection[Value] | None
) -> dict[Value, tuple[int, int]]:
    """First and last of these items for every value in a workspace.

    What one round of a loop makes and reads has its place among the items of that round.
    """
    lives: dict[Value, tuple[int, int]] = {}
    for k, item in enumerate(items):
        inner: Collection[Value] = ()
        if isinstance(item, Loop) and (inner := _of_rounds(plan, item, only)):
            lives.update((v, (k, k)) for v in _colour(plan, item.body, (), only=inner))
        for r in members(item):
            for v in r.op.outs if r.kind == "region" and r.op is not None else (r.value,):
                if v in inner or (only is not None and v not in only):
                    continue
                if v in plan.inside:  # the whole lives from its first piece on
                    v = plan.inside[v].whole
                if plan.storage[v].place in ("full", "scratch") and -1 not in v.shape:
                    lives[v] = (lives.get(v, (k, k))[0], k)
            for a in (*r.accesses, *r.matrices):
                base = a.base
                while base in plan.aliases:
                    base = plan.aliases[base]
                if base in lives:
                    lives[base] = (lives[base][0], max(lives[base][1], k))
            for body in r.bodies.values():
                lives.update((v, (k, k)) for v in _colour(plan, body.items, body.outs))
    return lives


def _of_rounds(plan: Plan, loop: Loop, only: Collection[Value] | None) -> set[Value]:
    """The values that one round of a loop, or one block of its rows, makes and reads."""
    found = set()
    for r in loop.members:
        d, home = loop.dims[r][0], plan.storage[r.value]
        if d in r.par and home.place == "scratch" and home.kept[r.par.index(d)] != "full":
            found.add(r.value)
    return found if only is None else found.intersection(only)


def _size(plan: Plan, v: Value) -> int:
    return prod(plan.kept_shape(v))
