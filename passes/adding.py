"""Kernels whose partial results are added to what the results' arrays hold already.

Parts of the rows that run one after the other need no array each then, nor a pass that joins them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.core import Value
from ..ir.ops.reduce import all_, any_, max_, min_, prod, sum_
from ..ir.plan import KernelStep, Plan, Root, Schedule
from ..ir.prim import Fold
from .buffers import share
from .halos import Part, function_of
from .rowwise import COMBINED_BY
from .schedule import schedule

_FOLDS = {
    COMBINED_BY[p.name]: p.emit
    for p in (sum_, prod, max_, min_, any_, all_)
    if isinstance(p.emit, Fold)
}
_KINDS = ("store", "fold", "gemm", "scatter")  # roots that write each element once, or add to it


def planned(part: Part, adds: bool) -> Schedule | None:
    """The steps of a part; if it `adds` to its results, None where these are no such results."""
    plan = schedule(function_of(part))
    if not adds:
        return plan
    step = plan.steps[0]
    if len(plan.steps) > 1 or not isinstance(step, KernelStep):
        return None
    return plan if step.writes == plan.outs and _add(step.plan, part.stage.combine) else None


def _add(plan: Plan, combine: Sequence[str]) -> bool:
    """Let a kernel join its results to what is there, by the ufunc named for each ("": not at all).

    False, with a plan that is of no more use, where another root reads such a result or a call
    writes it.
    """
    wanted = {v: how for v, how in zip(plan.outs, combine, strict=True) if how}
    if len(wanted) < sum(map(bool, combine)) or not all(v in plan.roots for v in wanted):
        return False
    plan.adds.update((v, _FOLDS[how]) for v, how in wanted.items())
    plan.slots.clear()
    share(plan)
    for v, home in plan.slots.items():  # what is the result in another shape lies in it
        if home in wanted:
            plan.adds[v] = plan.adds[home]
    kinds = {plan.roots[v].kind for v in plan.adds}
    return kinds.issubset(_KINDS) and not any(_reads_sum(plan, r) for r in plan.roots.values())


def _reads_sum(plan: Plan, r: Root) -> bool:
    """Whether a root reads what is added up, and is not the same in another shape."""
    bases = {_behind(plan, a.base) for a in (*r.accesses, *r.matrices)}
    if r.op is None and r.value in plan.adds:
        bases -= {v for v, home in plan.slots.items() if home is r.value}
    return not bases.isdisjoint(plan.adds)


def _behind(plan: Plan, v: Value) -> Value:
    while v in plan.aliases:
        v = plan.aliases[v]
    return v
