"""How much memory a program takes besides its arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from ..ir.core import Const, Value
from ..ir.ops.control import hold
from ..ir.plan import HostStep, KernelStep, Schedule
from ..ir.records import dataclass
from ..ir.types import NUMPY, Aval
from . import memory
from .kernel import Kernel, write_kernel
from .program import VIEWS, KernelRun


@dataclass(frozen=True)
class Footprint:
    """Bytes: of the results, of the scratch memory kept between calls, at the peak of a call."""

    results: int
    scratch: int
    peak: int


@dataclass(frozen=True)
class _Event:
    """A step of a program: what it reads and writes.

    same   whether the results are the arrays that it reads
    lent   whether they are blocks that are kept when nobody needs them any more
    held   scratch memory of its own
    inside what it takes while it runs, in code that is not ours
    """

    reads: Sequence[Value]
    writes: Sequence[Value]
    same: bool = False
    lent: bool = True
    held: int = 0
    inside: int = 0


def footprint(program: Any) -> Footprint:
    """The footprint of a compiled program; what NumPy takes in a host step is an estimate."""
    if hasattr(program, "steps"):
        return _of_stages(program)
    kernels = [r.kernel for r in program.runs if isinstance(r, KernelRun)]
    return _of_schedule(program.schedule, kernels)


def planned(schedule: Schedule) -> Footprint:
    """The footprint of a program that is not compiled yet."""
    plans = [step.plan for step in schedule.steps if isinstance(step, KernelStep)]
    return _of_schedule(schedule, [write_kernel(plan, "kernel") for plan in plans])


def _of_schedule(schedule: Schedule, kernels: Sequence[Kernel]) -> Footprint:
    events = [_event(step) for step in schedule.steps]
    return _walk(events, schedule.outs, schedule.params, _scratch(kernels))


def _event(step: KernelStep | HostStep) -> _Event:
    if isinstance(step, KernelStep):
        return _Event(step.reads, step.writes)
    op = step.op
    inside = sum(bytes_of(v.aval) for v in (*op.args, *op.outs)) if op.prim.copies else 0
    same = op.prim is hold or op.prim in VIEWS
    return _Event(op.args, op.outs, same=same, lent=False, inside=inside)


def _of_stages(program: Any) -> Footprint:
    events = []
    for step in program.steps:
        stage = step.stage
        if step.once is not None:
            inner = footprint(step.once)
            held = inner.peak - inner.results
        else:
            partial = sum(
                bytes_of(v.aval) for v, how in zip(stage.writes, stage.combine, strict=True) if how
            )
            # As many parts as there are threads run at a time, each with a total of its own.
            held = step.shares.scratch + partial * (step.shares.count - 1)
        reads = [program.plan.same.get(v, v) for v in stage.reads]
        events.append(_Event(reads, stage.writes, held=held))
    return _walk(events, program.outs, program.params, 0)


def _walk(
    events: Sequence[_Event], outs: Iterable[Value], params: Iterable[Value], scratch: int
) -> Footprint:
    """Follow what is alive from step to step; scratch memory and lent blocks stay."""
    last: dict[Value, int] = {}
    home: dict[Value, Value] = {}  # the value whose array another one has, too
    for k, e in enumerate(events):
        if e.same:
            home.update((v, home.get(a, a)) for v, a in zip(e.writes, e.reads, strict=False))
        last.update((home.get(v, v), k) for v in e.reads)
    results = {v for v in outs if type(v) is not Const}
    kept = {home.get(v, v) for v in results} | set(params)
    alive: dict[Value, int] = {}
    lent: Counter[int] = Counter()  # blocks by their size: those in use, and all there are
    blocks: Counter[int] = Counter()
    peak = 0
    for k, e in enumerate(events):
        scratch += e.held
        new = [] if e.same else [v for v in e.writes if v not in kept or v in results]
        for v in new:
            size = alive[v] = bytes_of(v.aval)
            if e.lent and size >= memory.ALIGNED:
                del alive[v]
                lent[size] += 1
                blocks[size] = max(blocks[size], lent[size])
        held = sum(alive.values()) + sum(n * size for size, n in blocks.items())
        peak = max(peak, held + e.inside)
        for v in {home.get(v, v) for v in (*e.reads, *new)} - kept:
            if last.get(v, k) == k and v in alive:
                del alive[v]
            elif last.get(v, k) == k:
                lent[bytes_of(v.aval)] -= 1
    owned = sum(bytes_of(v.aval) for v in results)
    return Footprint(owned, scratch, max(peak, owned) + scratch)


def _scratch(kernels: Sequence[Kernel]) -> int:
    """The workspaces of kernels that run one after the other; large ones share their memory."""
    sizes = [(sum(map(bytes_of, k.workspaces)), k.tapes > 0) for k in kernels]
    room = max((n for n, tapes in sizes if not tapes), default=0)
    if len(sizes) < 2 or max(n for n, _ in sizes) < memory.LARGE:
        return sum(n for n, _ in sizes)
    return room + sum(n for n, tapes in sizes if tapes)


def bytes_of(a: Aval) -> int:
    """The size of an array; an extent that is not known counts as none."""
    return NUMPY[a.dtype].itemsize * prod(max(0, int(n)) for n in a.shape)
