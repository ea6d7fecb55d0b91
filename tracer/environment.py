"""Files and environment variables that a function reads, and what it asks the user for.

A compiled call reads nothing.  So what was read is guarded: another content of the variable, or
another time stamp of the file, leads to another trace.  `input` is refused.
"""

from __future__ import annotations

import builtins
import io
import os
import stat
import sys
from types import FrameType
from typing import Any

import numpy as np

from . import intercept
from .errors import StateInTrace
from .facts import StateGuard
from .intercept import DECLINE
from .place import LIBRARY, USER, owner
from .record import fail, recorder


def asked_by_user(frame: FrameType | None) -> bool:
    """Whether the user's code asks, from this frame or through Python code of libraries."""
    while frame is not None:
        file = frame.f_code.co_filename
        who = owner(file)
        if who == USER:
            return True
        if who != LIBRARY or file.startswith("<frozen importlib"):
            return False
        frame = frame.f_back
    return False


def _variable(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """How a key of os.environ is encoded, which each look at it asks for, by the key."""
    read = sys._getframe(2)
    if read.f_code.co_name != "__getitem__" or not asked_by_user(read):
        return DECLINE
    (name,), kept = args, os.environ._data  # type: ignore[attr-defined]
    key = original(name)
    seen = kept.get(key)

    def check() -> bool:
        return bool(kept.get(key) == seen)

    recorder().guards.append(StateGuard(check, f"os.environ[{name!r}] is as it was"))
    return DECLINE


def _open(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    mode = args[1] if len(args) > 1 else kwargs.get("mode", "r")
    if args and isinstance(mode, str) and ("r" in mode or "+" in mode):
        _watch(args[0])
    return DECLINE


def _load(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if args:
        _watch(args[0])
    return DECLINE


def _watch(path: Any) -> None:
    """Rely on a file that the user's code reads."""
    if not isinstance(path, (str, bytes, os.PathLike)) or not asked_by_user(sys._getframe(3)):
        return
    seen = _stamp(path)
    if seen is None:
        return  # the error will say so
    if not stat.S_ISREG(seen[0]):
        raise fail(
            StateInTrace,
            f"{os.fspath(path)!r} is no ordinary file; what it gave while tracing would be the "
            "same in every call",
            "Read it before, and pass what it gave as an argument.",
        )
    text = f"the file {os.fspath(path)!r} is as it was"
    recorder().guards.append(StateGuard(lambda: _stamp(path) == seen, text))


def _stamp(path: Any) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mode, found.st_mtime_ns, found.st_size, found.st_ino


def _input(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if not user:
        return DECLINE
    raise fail(
        StateInTrace,
        "input() asks while tracing; every call would get the same answer",
        "Ask before, and pass the answer as an argument.",
    )


def enter() -> None:
    """Fill the table of interception."""
    # Not the class's `__getitem__`: CPython 3.13 does not notice when that of a class that was
    # changed a thousand times is changed again.
    for environ in (os.environ, *([os.environb] if os.supports_bytes_environ else [])):
        intercept.enter(environ, "encodekey", _variable, direct=False)
    for module in (builtins, io):
        intercept.enter(module, "open", _open)
    intercept.enter(builtins, "input", _input)
    for name in ("load", "loadtxt", "genfromtxt", "fromfile"):
        intercept.enter(np, name, _load)
