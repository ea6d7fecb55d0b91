"""Compilation beside the calls: one worker thread, while the interpreter answers.

LLVM runs without Python's lock, so a second core compiles while the first one computes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module


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
        """Whether it has ended, well or not."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> None:
        """Wait for its end, and raise what it raised; a TimeoutError if that takes longer."""
        if not self._ended.wait(timeout):
            raise TimeoutError(f"still compiling in the background after {timeout} s")
        if self.error is not None:
            raise self.error

    def work(self) -> None:
        """Do it."""
        try:
            _load()
            self.run()
        except BaseException as error:
            self.error = error
        self._ended.set()


_lock = threading.Lock()
_jobs: deque[Job] = deque()  # those that have not ended; the worker is at the first of them


def submit(run: Callable[[], None], forked: Callable[[], None]) -> Job:
    """Let the worker do a job, after those that were given before.

    The worker is a thread that ends when there is nothing to do.  When the process is to end, it
    ends the job it is at, whose kernels are stored, and leaves the others.
    """
    import logging  # noqa: F401 in the worker it would register for forks that wait for it

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


_importing = threading.RLock()


def _load() -> None:
    """Import what compiles; forks wait for it, whose children would find half a module."""
    with _importing:
        for name in ("footprint", "front", "direct", "convolve"):
            import_module(f".codegen.{name}", __package__)


def _after_fork() -> None:
    """A child has no worker: the thread exists in the parent alone."""
    global _lock, _importing
    _lock, _importing = threading.Lock(), threading.RLock()
    jobs = list(_jobs)
    _jobs.clear()
    for job in jobs:
        job.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _importing.acquire(),
        after_in_parent=lambda: _importing.release(),
        after_in_child=_after_fork,
    )
