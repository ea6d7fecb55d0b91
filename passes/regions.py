"""Regions inside kernels: where what their blocks make is put."""

from __future__ import annotations

from ..ir.plan import Plan, Root, Storage
from .inplace import delay_writes, take_over
from .operands import carried


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
                take_over(plan, body, k, body.params[first + k])
            elif y.ndim:
                plan.storage[v] = Storage("given", ("full",) * v.ndim)
                body.homes[v] = k
