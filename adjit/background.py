"""Compilation beside the calls: one worker thread, while the interpreter answers.

LLVM runs without Python's lock, so a second core compiles while the first one computes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None


def submit(job: Callable[[], None]) -> Future[None]:
    """Run a job in the worker, after those that were given before."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(1, thread_name_prefix="adjit-compile")
        return _pool.submit(job)


def _after_fork() -> None:
    """A child has no worker yet: the thread exists in the parent alone."""
    global _lock, _pool
    _lock, _pool = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
