"""Threads that run parts of a kernel: they wait on raw locks, which wakes them in about 10 us."""

from __future__ import annotations

import _thread
import os
import threading
from collections.abc import Callable, Sequence


class _Worker:
    """One waiting thread."""

    def __init__(self) -> None:
        self._start, self._done = _thread.allocate_lock(), _thread.allocate_lock()
        self._start.acquire()
        self._done.acquire()
        self._job: Callable[[], object] | None = None
        self._result: object = None
        self._error: BaseException | None = None
        threading.Thread(target=self._loop, name="adjit-worker", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._start.acquire()
            job, self._job = self._job, None
            try:
                assert job is not None
                self._result, self._error = job(), None
            except BaseException as error:
                self._result, self._error = None, error
            del job
            self._done.release()

    def begin(self, job: Callable[[], object]) -> None:
        self._job = job
        self._start.release()

    def end(self) -> object:
        """The job's result; its error is raised here."""
        self._done.acquire()
        result, error = self._result, self._error
        self._result = self._error = None
        if error is not None:
            raise error
        return result


_workers: list[_Worker] = []
_busy = threading.Lock()


def run(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """The results of the jobs, run at the same time; one after the other if the workers are busy.

    The first job runs in this thread.  All have ended when this returns or raises.
    """
    if len(jobs) == 1 or not _busy.acquire(blocking=False):
        return [job() for job in jobs]
    try:
        while len(_workers) < len(jobs) - 1:
            _workers.append(_Worker())
        helpers = _workers[: len(jobs) - 1]
        for worker, job in zip(helpers, jobs[1:], strict=True):
            worker.begin(job)
        results: list[object] = []
        error: BaseException | None = None
        for end in (jobs[0], *(w.end for w in helpers)):
            try:
                results.append(end())
            except BaseException as failure:
                error = error or failure
        if error is not None:
            raise error
        return results
    finally:
        _busy.release()


def _after_fork() -> None:
    """A child has none of the threads."""
    global _busy
    _workers.clear()
    _busy = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
