"""Regions inside kernels: where what their blocks make is put."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from ..ir.core import Op, Value
from ..ir.plan import Body, Item, Plan, Root, Storage, members
from .inplace import delay_writes, take_over
from .operands import carried

MADE = ("store", "fold", "gemm")  # as a whole: of others a round may change a few elements
LEAST = 8  # elements of an array whose copy takes longer than to call a function


def settle(plan: Plan, r: Root) -> None:
    """Say which values of a region's blocks lie where the region's own results do."""
    op = r.op
    assert op is not None
    moving = len(carried(op))
    for label, body in r.bodies.items():
        if label == "test":
            continue
        delay_writes(plan, body)
        for k, (v, y) in enumerate(zip(body.outs, op.outs, strict=False)):
            if k < moving:
                first = op.attrs.get("consts", 0) + (1 if op.prim.name == "loop" else 0)
                p = body.params[first + k]
                stacked = _stacked(plan, body, moving, p, v)
                if stacked is None:
                    take_over(plan, body, k, p)
                else:
                    plan.storage[v] = Storage("given", ("full",) * v.ndim)
                    body.rows[k] = stacked
            elif y.ndim:
                plan.storage[v] = Storage("given", ("full",) * v.ndim)
                body.homes[v] = k


def _stacked(plan: Plan, body: Body, moving: int, p: Value, v: Value) -> tuple[int, bool] | None:
    """The result that stacks what is carried as `p`, or the next value `v`, if there is one."""
    made = plan.roots.get(v)
    if made is None or made.kind not in MADE or made.op is None or v.aval != p.aval:
        return None
    if v.aval.size < LEAST or v in plan.aliases:
        return None
    for j, u in enumerate(body.outs[moving:], moving):
        copy = plan.roots.get(u)
        if copy is not None and copy.op is None and copy.source in (p, v):
            return j, copy.source is v
    return None


def take_turns(plan: Plan) -> None:
    """Let two arrays take turns where a round would copy one to the other at its end.

    What shares memory with either, in some part of a round, goes along with it.
    """
    for op, bodies in _loops(plan.items):
        body, values = bodies["body"], [v for b in bodies.values() for v in _made(b.items)]
        for k in range(len(carried(op))):
            v, y = body.outs[k], op.outs[k]
            owner = plan.slots.get(v)
            if owner is None or owner is plan.slots.get(y, y) or v.aval != y.aval:
                continue
            if v.aval.size < LEAST or v in body.homes:
                continue
            within = (u for u in values if plan.slots.get(u) is owner)
            if all(prod(plan.kept_shape(u)) <= y.aval.size for u in within):
                body.turns.add(k)


def _loops(items: Sequence[Item]) -> Iterator[tuple[Op, dict[str, Body]]]:
    """The loops among items, and within the regions of these, with their blocks."""
    for r in (r for item in items for r in members(item)):
        if r.op is not None and r.op.prim.name in ("loop", "while"):
            yield r.op, r.bodies
        for body in r.bodies.values():
            yield from _loops(body.items)


def _made(items: Sequence[Item]) -> Iterator[Value]:
    """The values that items make, and the regions in them."""
    for r in (r for item in items for r in members(item)):
        yield r.value
        if r.bodies and r.op is not None:
            yield from r.op.outs
        for body in r.bodies.values():
            yield from _made(body.items)
