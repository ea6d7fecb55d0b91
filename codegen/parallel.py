"""A partition becomes a program: stages that run once, and kernels that threads run on parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, islice, pairwise
from typing import Any

import numpy as np

from ..ir.core import Const, Value
from ..ir.plan import KernelStep, Schedule
from ..ir.records import dataclass
from ..ir.types import NUMPY, Aval
from . import memory
from .kernel import item_bytes
from .program import KernelRun, Program, Workspace, build
from .team import MOST, Member, part_of, together
from .threads import limited
from .turns import Turn, Turns, turn_of

_MOST_FORMS = 16  # kernels of a stage: parts that read all of a value at their own place differ
_ROWS = 32  # parts are multiples of a block of rows, unless there are few
_FEW = 64


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
    """A stage that can be run: once, or in parts, each thread some of them in turn."""

    stage: Any  # passes.partition.Stage, which this room does not know
    once: Program | None
    shares: _Shares | None = None

    @property
    def runs(self) -> list[Any]:
        """The runs of the program, or that of the first part."""
        if self.shares is not None:
            return [self.shares.parts[0].run]
        return [] if self.once is None else self.once.runs


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
            reads = [env[self.plan.same.get(v, v)] for v in step.stage.reads]
            if step.once is not None:
                env.update(zip(step.stage.writes, step.once.call(reads), strict=True))
            else:
                assert step.shares is not None
                written = step.shares.run(step.stage, reads)
                env.update(zip(step.stage.writes, written, strict=True))
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
            reads = {self.plan.same.get(v, v) for v in step.stage.reads}
            last.append(reads - kept)
            kept |= reads
        return last[::-1]

    def alone(self) -> ParallelProgram:
        """The same with one part after the other."""
        steps = [
            replace(s, shares=s.shares and _Shares(s.stage, [s.shares.parts], s.shares.adds))
            for s in self.steps
        ]
        return replace(self, threads=1, steps=tuple(steps))

    def release(self) -> None:
        """Let go of the memory that the parts work in, until the next call."""
        for step in self.steps:
            for holder in (step.once, step.shares):
                if holder is not None:
                    holder.release()

    @property
    def runs(self) -> list[Any]:
        """What runs, in order: the parts of a stage are one."""
        return [run for step in self.steps for run in step.runs]

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


class _Shares:
    """The parts of a stage, and who runs which: the first share is the caller's.

    Parts that are run in turn may add their partial results (`adds`) to those before them: so many
    need one set of results for each share, else each part has its own.  The first is the total;
    the others lie in lines of the cache of their own, where threads do not slow each other down
    (a mixture of 25 components took 2.4 times as long when small arrays of both lay side by side).
    """

    def __init__(self, stage: Any, shares: Sequence[Sequence[_Part]], adds: bool) -> None:
        self.parts = tuple(p for share in shares for p in share)
        self.adds = adds
        self.count = len(shares)
        self._firsts = list(accumulate(map(len, shares[:-1]), initial=0))
        room = max(p.run.workspace.bytes for p in self.parts)
        self._room = Workspace((Aval("u8", (room,)),), keep=len(shares))
        self._sets = [1 if adds else len(share) for share in shares]
        partial = tuple(v.aval for v, how in zip(stage.writes, stage.combine, strict=True) if how)
        self._others = Workspace(partial * (sum(self._sets) - 1))
        self._turns = [
            Turns([_turn(stage, p, i % sets, sets) for i, p in enumerate(share)], k == 0)
            for k, (share, sets) in enumerate(zip(shares, self._sets, strict=True))
        ]
        counts = [len(stage.reads) + sets * len(stage.writes) + 1 for sets in self._sets]
        call = together(
            [Member(t.address, n, t.words) for t, n in zip(self._turns, counts, strict=True)]
        )
        limits = any(p.run.kernel.shares for p in self.parts)
        self._call = limited(call) if limits else call

    def run(self, stage: Any, reads: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the stage writes."""
        joins = [how if self.adds else "" for how in stage.combine]
        totals = [_results(v.aval, how) for v, how in zip(stage.writes, joins, strict=True)]
        partial = self._others.take()
        left = iter(partial)
        others = [
            [
                _filled(next(left), join) if how else total
                for total, how, join in zip(totals, stage.combine, joins, strict=True)
            ]
            for _ in range(1, sum(self._sets))
        ]
        written, arrays = iter([totals, *others]), list[np.ndarray]()
        spaces = [self._room.take() for _ in self._sets]
        for sets, space in zip(self._sets, spaces, strict=True):
            arrays += (*reads, *(x for own in islice(written, sets) for x in own), *space)
        status = self._call(*arrays)
        for space in spaces:
            self._room.give(space)
        if status is not True:
            assert isinstance(status, int)
            self._fail(status)
        for own in others:
            for total, more, how in zip(totals, own, stage.combine, strict=True):
                if how:
                    getattr(np, how)(total, more, out=total)
        self._others.give(partial)
        return totals

    def _fail(self, status: int) -> None:
        """Raise what a status says; guards are never in parts of the rows (passes/partition.py)."""
        share, status = part_of(status)
        turn, status = turn_of(status)
        raise self.parts[self._firsts[share] + turn].run.failure(status)

    def release(self) -> None:
        """Let go of the memory that the parts work in."""
        self._room.release()
        self._others.release()

    @property
    def scratch(self) -> int:
        """Bytes of what the parts that run at the same time work in."""
        return self.count * self._room.bytes


def _turn(stage: Any, part: _Part, own: int, sets: int) -> Turn:
    """A part as one of those that are run in turn, which writes its `own` set of results.

    A share has what it reads, the sets that it writes, and a room.
    """
    kernel = part.run.kernel
    reads, writes = len(stage.reads), len(stage.writes)
    places = [(k, _start(stage.reads[k].aval, part.given[k])) for k in part.inputs]
    for k, rows in enumerate(part.results):
        places.append((reads + own * writes + k, _start(stage.writes[k].aval, rows)))
    places += [(reads + sets * writes, at) for at in part.run.workspace.offsets]
    return Turn(part.run.executable.address, kernel.sizes, kernel.consts, tuple(places))


def _start(aval: Aval, rows: slice | None) -> int:
    """Where rows of an array begin, in bytes."""
    return 0 if rows is None else rows.start * item_bytes(aval) // int(aval.shape[0])


def _results(aval: Aval, how: str) -> np.ndarray:
    """An array for results; filled with what a ufunc leaves every number as it is."""
    return _filled(memory.empty(tuple(map(int, aval.shape)), NUMPY[aval.dtype]), how)


def _filled(made: np.ndarray, how: str) -> np.ndarray:
    if how:
        made.fill(_neutral(how, made.dtype))
    return made


def _neutral(how: str, dtype: np.dtype) -> Any:
    identity = getattr(np, how).identity
    if identity is not None:
        return identity
    least = how == "maximum"
    if dtype.kind == "f":
        return -np.inf if least else np.inf
    if dtype.kind == "b":
        return not least
    return np.iinfo(dtype).min if least else np.iinfo(dtype).max


def build_parallel(
    partition: Any,
    threads: int,
    part: Callable[..., Any],
    planned: Callable[[Any, bool], Schedule | None],
    rung: str | None,
    parts: int | None = None,
) -> ParallelProgram | None:
    """The program for some threads; None where a stage is not one kernel.

    `part` is that of passes/halos.py, `planned` that of passes/adding.py, which this room does not
    know.  More `parts` than threads take less scratch memory: as many as threads run at a time.
    """
    threads = min(threads, MOST)
    seconds: dict[str, float] = {}
    steps: list[_Step] = []
    bounds = _bounds(partition.extent, parts or threads)
    for stage in partition.stages:
        if not stage.rows:
            plan = planned(part(partition, stage), False)
            assert plan is not None
            once = build(plan, rung, threads)
            _add(seconds, once.seconds)
            steps.append(_Step(stage, once))
            continue
        adds = parts is not None
        rows = [part(partition, stage, *r) for r in bounds]
        pieces = _pieces(rows, adds, planned, rung, seconds)
        if pieces is None:
            return None
        count = min(threads, len(pieces))
        cuts = [len(pieces) * k // count for k in range(count + 1)]
        shares = [pieces[low:high] for low, high in pairwise(cuts)]
        steps.append(_Step(stage, None, _Shares(stage, shares, adds)))
    p = partition
    return ParallelProgram(p.name, threads, p.params, p.outs, tuple(steps), seconds, p)


def _pieces(
    parts: Sequence[Any],
    adds: bool,
    planned: Callable[[Any, bool], Schedule | None],
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
            plan = planned(p, adds)
            if plan is None or len(plan.steps) != 1 or not isinstance(plan.steps[0], KernelStep):
                return None
            program = build(plan, rung)
            _add(seconds, program.seconds)
            only = program.single
            if only is None or only.workspace.tapes:
                return None
            like = made[p.form] = _part(only, plan)
        pieces.append(replace(like, given=_slices(p.given), results=_slices(p.results)))
    return pieces


def _slices(spans: Sequence[tuple[int, int] | None]) -> tuple[slice | None, ...]:
    return tuple(span and slice(*span) for span in spans)


def _part(run: KernelRun, plan: Schedule) -> _Part:
    places = {v: i for i, v in enumerate(plan.params)}
    return _Part(run, tuple(places[run.step.reads[i]] for i in run.kernel.inputs))


def _bounds(extent: int, count: int) -> list[tuple[int, int]]:
    """So many equal parts of the rows, or less, in whole blocks."""
    block = _ROWS if extent > _FEW else 1
    blocks = -(-extent // block)
    count = min(count, blocks)
    cuts = [min(extent, block * round(blocks * k / count)) for k in range(count + 1)]
    return [(a, b) for a, b in pairwise(cuts) if b > a]


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for k, s in more.items():
        total[k] = total.get(k, 0.0) + s
