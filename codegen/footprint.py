"""How much memory a program takes besides its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from ..ir.core import Const, Value
from ..ir.types import NUMPY, Aval
from .program import KernelRun


@dataclass(frozen=True)
class Footprint:
    """Bytes: of the results, of the scratch memory kept between calls, at the peak of a call."""

    results: int
    scratch: int
    peak: int


def footprint(program: Any) -> Footprint:
    """The footprint of a compiled program; what a host step takes inside of NumPy is not in it."""
    if hasattr(program, "steps"):
        return _of_stages(program)
    outs = {v for v in program.schedule.outs if type(v) is not Const}
    return _walk(
        [(_scratch([run]), _writes(run), _reads(run)) for run in program.runs], outs, program
    )


def _of_stages(program: Any) -> Footprint:
    events = []
    for step in program.steps:
        if step.once is not None:
            inner = footprint(step.once)
            held = inner.peak - inner.results
            events.append((held, list(step.stage.writes), list(step.stage.reads)))
            continue
        partial = sum(
            bytes_of(v.aval)
            for v, how in zip(step.stage.writes, step.stage.combine, strict=True)
            if how
        )
        # As many parts as there are threads run at a time; each has a total of its own.
        first = step.groups[0].parts
        held = (_scratch([first[0].run]) + partial) * len(first)
        events.append((held, list(step.stage.writes), list(step.stage.reads)))
    outs = {v for v in program.outs if type(v) is not Const}
    return _walk(events, outs, program)


def _walk(
    events: list[tuple[int, list[Value], list[Value]]], outs: set[Value], program: Any
) -> Footprint:
    """Follow what is alive from step to step; scratch memory stays between calls."""
    params = set(getattr(program, "params", ()) or program.schedule.params)
    last: dict[Value, int] = {}
    for k, (_, _, reads) in enumerate(events):
        last.update((v, k) for v in reads)
    alive: dict[Value, int] = {}
    scratch, peak = 0, 0
    for k, (held, writes, reads) in enumerate(events):
        scratch += held
        alive.update((v, bytes_of(v.aval)) for v in writes if v not in params)
        peak = max(peak, sum(alive.values()))
        for v in reads:
            if last[v] == k and v not in outs:
                alive.pop(v, None)
    results = sum(bytes_of(v.aval) for v in outs)
    return Footprint(results, scratch, max(peak, results) + scratch)


def _scratch(runs: list[Any]) -> int:
    return sum(bytes_of(a) for r in runs if isinstance(r, KernelRun) for a in r.kernel.workspaces)


def _writes(run: Any) -> list[Value]:
    return list(run.step.writes if isinstance(run, KernelRun) else run.op.outs)


def _reads(run: Any) -> list[Value]:
    reads = run.step.reads if isinstance(run, KernelRun) else run.reads
    return [v for v in reads if type(v) is not Const]


def bytes_of(a: Aval) -> int:
    """The size of an array; an extent that is not known counts as none."""
    return NUMPY[a.dtype].itemsize * prod(max(0, int(n)) for n in a.shape)
