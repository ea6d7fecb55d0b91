"""Compilation beside the calls: one worker thread, while the interpreter answers.

LLVM runs without Python's lock, so a second core compiles while the first one computes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import field
from importlib import import_module

from .ir.records import dataclass


@dataclass(eq=False)
class Job:
    """What the worker is to do, and how that ended.

    forked  called instead in a child of this process, where there is no worker
    """

    run: Callable[[], None]
    forked: Callable[[], None]
    error: BaseException | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def done(self) -> bool:
        """Whether it has ended, well or not; leaves it a moment if it has not.

        Calls that follow one another keep Python's lock, for which the worker would have to wait
        5 ms after each call of the compiler.
        """
        return self._ended.wait(SLICE)

    def result(self, timeout: float | None = None) -> None:
        """Wait for its end, and raise what it raised; a TimeoutError if that takes longer."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"still compiling in the background after {timeout} s")
        if self.error is not None:
            raise self.error

    def work(self) -> None:
        """Do it."""
        try:
            self.run()
        except BaseException as error:
            self.error = error
        self._ended.set()


SLICE = 1e-4  # seconds
_MODULES = ("footprint", "front", "convolve")
_COMPILER = "direct"
_lock = threading.Lock()
_jobs: deque[Job] = deque()  # those that have not ended; the worker is at the first of them


def has_compiler() -> bool:
    """Whether a compiler is imported, which takes 40 MB and most of a tenth of a second."""
    return f"{__package__}.codegen.{_COMPILER}" in sys.modules


def submit(run: Callable[[], None], forked: Callable[[], None], compiles: bool = True) -> Job:
    """Let the worker do a job, after those that were given before.

    The worker is a thread that ends when there is nothing to do.  When the process is to end, it
    ends the job it is at, whose kernels are stored, and leaves the others.
    """
    with suppress(ImportError):  # the job will say so
        for name in (
            *_MODULES,
            *((_COMPILER,) if compiles else ()),
        ):  # not by the worker: a child forked meanwhile would have halves
            import_module(f".codegen.{name}", __package__)
    job = Job(run, forked)
    with _lock:
        _jobs.append(job)
        if len(_jobs) == 1:
            threading.Thread(target=_work, args=(job,), name="adjit-compile").start()
    return job


def _work(job: Job | None) -> None:
    while job is not None:
        job.work()
        with _lock:
            _jobs.popleft()
            job = _jobs[0] if _jobs and threading.main_thread().is_alive() else None


def _after_fork() -> None:
    """A child has no worker: the thread exists in the parent alone."""
    global _lock
    _lock = threading.Lock()
    jobs = list(_jobs)
    _jobs.clear()
    for job in jobs:
        job.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
