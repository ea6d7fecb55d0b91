"""How many threads BLAS may use while a kernel runs.

A kernel calls BLAS on blocks that fit a cache, one after another: more threads than one lose there,
and when the cores are busy they lose a hundredfold, since OpenBLAS's threads spin.  The number of
threads belongs to the whole process, so it is set when the first kernel with large products or
LAPACK starts, and put back when the last one ends.  ADJIT_BLAS_THREADS names another number; 0
leaves it alone.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable

from . import symbols

_lock = threading.Lock()
_running = 0
_before: int | None = None


@functools.cache
def wanted() -> int:
    """Threads for BLAS inside kernels; 0 for what the process has."""
    try:
        return max(0, int(os.environ.get("ADJIT_BLAS_THREADS", "1")))
    except ValueError:
        return 1


def limits() -> bool:
    """Whether kernels with large products change the number of BLAS's threads."""
    return wanted() != 0 and symbols.get_threads() is not None


def begin() -> None:
    """Hold BLAS to the wanted number of threads, until as many calls of `end` came."""
    global _running, _before
    count = wanted()
    with _lock:
        if _running == 0:
            _before = symbols.get_threads()
            if _before != count:
                symbols.set_threads(count)
        _running += 1


def end() -> None:
    """A kernel is done."""
    global _running
    with _lock:
        _running -= 1
        if _running == 0 and _before is not None and _before != wanted():
            symbols.set_threads(_before)


def limited(call: Callable[..., object]) -> Callable[..., object]:
    """`call` with BLAS held to the wanted number of threads."""
    if not limits():
        return call

    def run(*args: object) -> object:
        begin()
        try:
            return call(*args)
        finally:
            end()

    return run


def _after_fork() -> None:
    """A child runs no kernel yet, and its lock is free."""
    global _lock, _running
    _lock = threading.Lock()
    _running = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
