"""A function becomes a program: whole, in parts that fit a cache, or shared among threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from time import perf_counter
from typing import Any

from . import background
from .ir.core import Block, Function, all_ops
from .ir.ops.guards import guard
from .ir.plan import KernelStep, Schedule
from .passes.adding import planned
from .passes.halos import part
from .passes.partition import (
    Partition,
    gains,
    partition,
    passes_on,
    threads_for,
    waits,
    worth_cutting,
)
from .passes.schedule import labelled, schedule
from .settings import Options

_LARGE = 8 << 20  # scratch memory from which on parts that fit a cache are faster
_FITS = 1 << 20  # scratch memory that is taken to stay in a cache


class Build:
    """The programs that a function, after the passes, may become under some options.

    `varying` are the (param, axis) whose extents change; the first `strict` results (all, if
    None) are the user's, as `schedule` takes them.
    """

    def __init__(
        self,
        function: Function,
        options: Options,
        varying: Collection[tuple[int, int]] = (),
        strict: int | None = None,
    ) -> None:
        self.function, self._options = function, options
        self._varying, self._strict = varying, strict

    @functools.cached_property
    def _block(self) -> Block:
        return labelled(self.function, self._varying)

    @functools.cached_property
    def plan(self) -> Schedule:
        """The kernels and host steps of the whole."""
        return schedule(self.function, self._varying, self._strict, self._block)

    @functools.cached_property
    def rows(self) -> Partition | None:
        """The best cut along rows, if there is one."""
        return partition(self.function.name, self._block)

    @property
    def large(self) -> bool:
        """Whether the whole takes so much scratch memory that parts are faster."""
        return _parts(self.plan, 1) is not None

    def program(self) -> Any:
        """The program that is taken to be the fastest, or two of which calls find the faster."""
        # Numba is imported in there, at the first compilation of the process.
        from .codegen.contest import MUCH, Contest
        from .codegen.footprint import footprint

        start = perf_counter()
        parts = _parts(self.plan, self._options.threads)
        seconds = {"plan": perf_counter() - start}
        cut = self.cut(parts, gains) if parts is not None else None
        small = cut is not None and footprint(cut).scratch < _LARGE
        if not small:
            cut = self.cut(None)
        if cut is not None:
            if not self._contested():
                return cut
            # The same kernels, one part after the other, are there already.
            much = 0.0 if passes_on(cut.plan) else MUCH
            return Contest(cut.alone(), cut, None if small else _Later(self.whole), much)
        whole = self.whole()
        whole.seconds |= seconds
        return Contest(whole.alone(), whole) if whole.shared and self._contested() else whole

    def whole(self) -> Any:
        """The program whose kernels run in one thread each; convolutions are shared."""
        from .codegen.program import build

        return build(self.plan, self._options.rung, self._options.threads)

    def cut(self, parts: int | None, good: Callable[[Partition], bool] = lambda cut: True) -> Any:
        """The program in so many parts, or as many as threads, if its rows can be cut.

        None also where it is not worth to wake threads.
        """
        threads = self._options.threads
        if parts is None and (threads == 1 or not worth_cutting(self.function)):
            return None
        from .codegen.parallel import build_parallel

        found = self.rows
        if found is None or not good(found) or (parts is not None and waits(found)):
            return None
        if parts is None and (threads := threads_for(found, threads)) == 1:
            return None
        return build_parallel(found, threads, part, planned, self._options.rung, parts)

    def _contested(self) -> bool:
        """Whether a call may try out whether threads are worth it, by running it several times."""
        if self._options.threads == 1 or self._options.memory_budget is not None:
            return False
        return all(op.prim.pure or op.prim is guard for op in all_ops(self.function.block))


class _Later:
    """A program that is compiled beside the calls, from when it is asked for; None until then.

    In a process that has no compiler yet the store is asked first.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._made = make, None
        self._job: background.Job | None = None
        self._missing = False  # whether the store has not all of its kernels

    def __call__(self) -> Any | None:
        if self._job is None:
            compiles = self._missing or background.has_compiler()
            work = self._work if compiles else self._load
            self._job = background.submit(work, self._forked, compiles)
        elif self._job.done() and self._missing and self._made is None:
            self._job = background.submit(self._work, self._forked)
            self._missing = False
        return self._made

    def _work(self) -> None:
        self._made = self._make()

    def _load(self) -> None:
        from .codegen.compile import NotStored, stored

        try:
            with stored():
                self._made = self._make()
        except NotStored:
            self._missing = True

    def _forked(self) -> None:
        self._job = None


def _parts(plan: Schedule, threads: int) -> int | None:
    """In how many parts a program is run so that its scratch memory stays in the cache."""
    scratch = sum(step.plan.scratch for step in plan.steps if isinstance(step, KernelStep))
    if scratch < _LARGE:
        return None
    parts = 1 << (scratch // _FITS).bit_length()
    return -(-parts // threads) * threads
