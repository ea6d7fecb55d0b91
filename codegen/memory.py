"""Memory for large results: freed by the caller, used again by the next call.

A fresh block of megabytes costs a page fault per 4 KB when it is first written, often more than
the kernel that fills it.  So a large result borrows its block, and the block comes back when the
array and every view of it are gone.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Any

import numpy as np

LARGE = 1 << 20  # bytes from which a block is worth keeping
ALIGNED = 1 << 13  # bytes from which vectors that straddle cache lines cost more than borrowing
KEEP = 1 << 29  # bytes kept in all; more is given back to the system
AGE = 64  # blocks asked for at first until one that waits is given back, too
ALIGN = 64


class _Lease:
    """Owner of one block while an array uses it; NumPy keeps it as the array's base."""

    __slots__ = ("__array_interface__", "block")

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.block = block
        start = block.__array_interface__["data"][0]
        self.__array_interface__ = {
            "data": (start + -start % ALIGN, False),
            "shape": shape,
            "typestr": dtype.str,
            "version": 3,
        }

    def __del__(self) -> None:
        if _give_back is not None:  # at the very end of the process names are gone already
            _give_back(self.block)


_free: dict[int, list[tuple[int, np.ndarray]]] = {}  # by size: since when, and the block
_lock = threading.Lock()
_kept = 0
_asked = 0  # how many blocks have been asked for
_age = AGE  # how many may be until one that waits has a size that nobody needs any more
_dropped: set[int] = set()  # sizes of such blocks: if one is missed, that was too early


def _give_back(block: np.ndarray) -> None:
    global _kept
    # A collection may run this inside a call that holds the lock: then the block is just freed.
    if not _lock.acquire(blocking=False):
        return
    try:
        if _kept + block.nbytes <= KEEP:
            _free.setdefault(block.nbytes, []).append((_asked, block))
            _kept += block.nbytes
    finally:
        _lock.release()


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """As `empty`; where it is worth the time, also small ones start with a cache line."""
    return empty(shape, dtype, ALIGNED)


def empty(shape: tuple[int, ...], dtype: np.dtype, large: int = LARGE) -> np.ndarray:
    """An uninitialised C-contiguous array; a large one borrows a block used before."""
    global _kept, _asked
    size = dtype.itemsize
    for n in shape:
        size *= n
    if size < large:
        return np.empty(shape, dtype)
    block = None
    old: list[np.ndarray] = []  # freed when the lock is open again
    with _lock:
        _asked += 1
        stack = _free.get(size + ALIGN)
        if stack:
            _, block = stack.pop()
            _kept -= block.nbytes
        else:
            old = _outdated(size + ALIGN)
            _kept -= sum(b.nbytes for b in old)
    if block is None:
        del old
        block = np.empty(size + ALIGN, np.uint8)
    return np.asarray(_Lease(block, shape, dtype))


def _outdated(missed: int) -> list[np.ndarray]:
    """Take away the blocks that nobody has asked for in a long time, now that one is missed."""
    global _age
    if missed in _dropped:  # programs take turns: each of them may have many blocks
        _age *= 2
        _dropped.clear()
    found: list[np.ndarray] = []
    for size, stack in list(_free.items()):
        while stack and stack[0][0] < _asked - _age:
            found.append(stack.pop(0)[1])
            _dropped.add(size)
        if not stack:
            del _free[size]
    if len(_dropped) > 1000:
        _dropped.clear()
    return found


def contiguous(x: np.ndarray) -> np.ndarray:
    """An array in C order: itself, or a copy, which borrows if it is large."""
    return x if x.flags.c_contiguous else copied(x)


def copied(x: np.ndarray) -> np.ndarray:
    """A copy in C order, which borrows if it is large."""
    out = empty(x.shape, x.dtype)
    np.copyto(out, x)
    return out


def release() -> None:
    """Give every block that is kept back to the system."""
    global _kept
    with _lock:
        _free.clear()
        _kept = 0


def kept() -> dict[str, Any]:
    """How many bytes and blocks wait for use."""
    with _lock:
        return {"bytes": _kept, "blocks": sum(map(len, _free.values()))}


class Cells(np.ndarray):
    """The words of some tapes (see tapes.py); their memory goes when this does."""

    def __del__(self) -> None:
        if self.base is None and ctypes is not None:  # views own nothing
            for address in self[::2].tolist():
                _release(address)


def cells(words: int) -> np.ndarray:
    """Words for tapes that have no memory yet."""
    made = np.ndarray.__new__(Cells, (words,), np.int64)
    made.fill(0)
    return made


_release = ctypes.pythonapi.PyMem_RawFree
_release.restype, _release.argtypes = None, [ctypes.c_void_p]


def _after_fork() -> None:
    """A child gets a fresh lock: the thread that held it does not exist there."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
