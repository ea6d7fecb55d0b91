"""A partition becomes a program: stages that run once, and kernels that threads run on parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..ir.core import Const, Function, Value
from ..ir.interp import GuardMiss
from ..ir.plan import KernelStep, Schedule
from ..ir.records import dataclass
from ..ir.types import NUMPY
from . import memory
from .kernel import Kernel
from .program import LARGE_PRODUCT, KernelRun, Program, build
from .team import MOST, Member, part_of, together
from .threads import limited

_MOST_FORMS = 16  # kernels of a stage: parts that read all of a value at their own place differ
_ROWS = 32  # parts are multiples of a block of rows


@dataclass(eq=False)
class _Part:
    """Some of the rows of a stage, and the kernel that does them.

    inputs    the values, by their place among what the stage reads, that the kernel wants
    given     for each of what the stage reads, the rows that the part is given, None for all
    results   for each of what it writes, the rows that are the part's, None for a partial result
    """

    run: KernelRun
    inputs: tuple[int, ...]
    given: tuple[slice | None, ...] = ()
    results: tuple[slice | None, ...] = ()


@dataclass(eq=False)
class _Step:
    """A stage that can be run: once, or in groups of parts that run at the same time."""

    stage: Any  # passes.partition.Stage, which this room does not know
    once: Program | None
    groups: tuple[_Group, ...] = ()


@dataclass(eq=False)
class _Group:
    """Parts that run at the same time, by one call without Python's lock."""

    parts: tuple[_Part, ...]
    call: Callable[..., object]


@dataclass(eq=False)
class ParallelProgram:
    """A program in stages; `call(inputs)` gives fresh outputs, as that of a `Program` does.

    `threads` parts run at the same time.
    """

    name: str
    threads: int
    params: tuple[Value, ...]
    outs: tuple[Value, ...]
    steps: tuple[_Step, ...]
    seconds: dict[str, float]
    plan: Any

    def call(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results, as arrays owned by the caller; inputs are C-contiguous arrays."""
        env: dict[Value, np.ndarray] = dict(zip(self.params, inputs, strict=True))
        for step, dead in zip(self.steps, self._last, strict=True):
            reads = [env[v] for v in step.stage.reads]
            if step.once is not None:
                env.update(zip(step.stage.writes, step.once.call(reads), strict=True))
            else:
                _run_parts(step, reads, env)
            del reads
            for v in dead:
                del env[v]
        outs: list[np.ndarray] = []
        for k, v in enumerate(self.outs):
            if type(v) is Const:
                outs.append(np.array(v.data))
            elif v in self.params or v in self.outs[:k]:
                outs.append(memory.copied(env[v]))
            else:
                outs.append(env[v])
        return outs

    @functools.cached_property
    def _last(self) -> list[set[Value]]:
        """For each step the values that nothing needs after it."""
        kept = {*self.params, *self.outs}
        last: list[set[Value]] = []
        for step in reversed(self.steps):
            last.append({v for v in step.stage.reads if v not in kept})
            kept.update(step.stage.reads)
        return last[::-1]

    def alone(self) -> ParallelProgram:
        """The same with one part after the other."""
        steps = [
            replace(s, groups=tuple(_group([p]) for g in s.groups for p in g.parts))
            for s in self.steps
        ]
        return replace(self, threads=1, steps=tuple(steps))

    @property
    def runs(self) -> list[Any]:
        """What runs, in order: the parts of a stage are one."""
        return [
            r for s in self.steps for r in (s.once.runs if s.once else [s.groups[0].parts[0].run])
        ]

    @property
    def kernels(self) -> list[KernelRun]:
        """The distinct kernels."""
        return [r for r in self.runs if isinstance(r, KernelRun)]

    @property
    def sources(self) -> list[tuple[str, str]]:
        """Path and text of each kernel."""
        return [(str(r.executable.path), r.kernel.source.text) for r in self.kernels]

    @property
    def single(self) -> None:
        """Never one kernel alone."""
        return None


def _run_parts(step: _Step, reads: Sequence[np.ndarray], env: dict[Value, np.ndarray]) -> None:
    stage = step.stage
    totals: list[np.ndarray | None] = [
        None if how else memory.empty(v.shape, NUMPY[v.dtype])
        for v, how in zip(stage.writes, stage.combine, strict=True)
    ]
    partial: list[Any] = [None] * len(totals)
    for group in step.groups:
        for outs in _run_group(group, reads, totals):
            for i, how in enumerate(stage.combine):
                if how and partial[i] is None:
                    partial[i] = outs[i]
                elif how:
                    getattr(np, how)(partial[i], outs[i], out=partial[i])
    for v, total, joined in zip(stage.writes, totals, partial, strict=True):
        env[v] = joined if total is None else total


def _run_group(
    group: _Group, reads: Sequence[np.ndarray], totals: Sequence[np.ndarray | None]
) -> list[list[np.ndarray]]:
    """What each part writes: its rows of the totals, or arrays of its own."""
    results: list[list[np.ndarray]] = []
    spaces: list[Any] = []
    arrays: list[np.ndarray] = []
    for part in group.parts:
        outs = [
            memory.empty(a.shape, NUMPY[a.dtype]) if total is None else total[at]
            for total, at, a in zip(totals, part.results, part.run.kernel.outputs, strict=True)
        ]
        space = part.run.workspace.take()
        given = part.given
        arrays += (reads[k] if given[k] is None else reads[k][given[k]] for k in part.inputs)
        arrays += outs
        arrays += space
        results.append(outs)
        spaces.append(space)
    status = group.call(*arrays)
    for part, space in zip(group.parts, spaces, strict=True):
        part.run.workspace.give(space)
    if status is not True:
        assert isinstance(status, int)
        number, own = part_of(status)
        run = group.parts[number].run
        op = run.kernel.missed(own)
        raise run.failure(own) if op is None else GuardMiss.of(op)
    return results


def build_parallel(
    partition: Any,
    threads: int,
    part: Callable[..., Any],
    function_of: Callable[[Any], Function],
    schedule: Callable[[Function], Schedule],
    rung: str | None,
    parts: int | None = None,
) -> ParallelProgram | None:
    """The program for some threads; None where a stage is not one kernel.

    `part` and `function_of` are those of passes/halos.py, which this room does not know.

    More `parts` than threads take less scratch memory: as many as threads run at a time.
    """
    threads = min(threads, MOST)
    seconds: dict[str, float] = {}
    steps: list[_Step] = []
    bounds = _bounds(partition.extent, min(parts or threads, -(-partition.extent // _ROWS)))
    for stage in partition.stages:
        if not stage.rows:
            once = build(schedule(function_of(part(partition, stage))), rung, threads)
            _add(seconds, once.seconds)
            steps.append(_Step(stage, once))
            continue
        pieces = _pieces(
            [part(partition, stage, *rows) for rows in bounds], function_of, schedule, rung, seconds
        )
        if pieces is None:
            return None
        groups = (pieces[k : k + threads] for k in range(0, len(pieces), threads))
        steps.append(_Step(stage, None, tuple(_group(g) for g in groups)))
    p = partition
    return ParallelProgram(p.name, threads, p.params, p.outs, tuple(steps), seconds, p)


def _pieces(
    parts: Sequence[Any],
    function_of: Callable[[Any], Function],
    schedule: Callable[[Function], Schedule],
    rung: str | None,
    seconds: dict[str, float],
) -> list[_Part] | None:
    """The parts of a stage, those that are equal with the same kernel; None if one has several."""
    if len({p.form for p in parts}) > _MOST_FORMS:
        return None
    pieces: list[_Part] = []
    made: dict[Any, _Part] = {}
    for p in parts:
        like = made.get(p.form)
        if like is None:
            plan = schedule(function_of(p))
            if len(plan.steps) != 1 or not isinstance(plan.steps[0], KernelStep):
                return None
            program = build(plan, rung)
            _add(seconds, program.seconds)
            only = program.single
            if only is None:
                return None
            like = made[p.form] = _part(only, plan)
        pieces.append(replace(like, given=_slices(p.given), results=_slices(p.results)))
    return pieces


def _slices(spans: Sequence[tuple[int, int] | None]) -> tuple[slice | None, ...]:
    return tuple(span and slice(*span) for span in spans)


def _part(run: KernelRun, plan: Schedule) -> _Part:
    places = {v: i for i, v in enumerate(plan.params)}
    return _Part(run, tuple(places[run.step.reads[i]] for i in run.kernel.inputs))


def _group(parts: Sequence[_Part]) -> _Group:
    members = [
        Member(p.run.executable.address, _pointers(p.run.kernel), p.run.kernel.sizes,
               p.run.kernel.consts)
        for p in parts
    ]  # fmt: skip
    call = together(members)
    for p in parts:
        p.run.workspace.keep = max(p.run.workspace.keep, len(parts))
    large = max(p.run.kernel.flops for p in parts) >= LARGE_PRODUCT
    return _Group(tuple(parts), limited(call) if large else call)


def _pointers(k: Kernel) -> int:
    return len(k.inputs) + len(k.outputs) + len(k.workspaces)


def _bounds(extent: int, threads: int) -> list[tuple[int, int]]:
    """Equal parts of the rows, in whole blocks."""
    blocks = -(-extent // _ROWS)
    cuts = [min(extent, _ROWS * round(blocks * k / threads)) for k in range(threads + 1)]
    cuts[-1] = extent
    return [(a, b) for a, b in pairwise(cuts) if b > a]


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for k, s in more.items():
        total[k] = total.get(k, 0.0) + s
