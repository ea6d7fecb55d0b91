"""Clocks that cannot be swapped: methods of classes in C (`datetime.now`), and functions that are
held elsewhere than in their module.

Where the code within reach mentions one, the calls of a trace are profiled for it.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import types
from collections.abc import Iterator
from types import FrameType
from typing import Any

from .errors import ClockInTrace
from .place import USER, owner
from .record import fail

CLOCKS: dict[int, tuple[Any, str]] = {}  # id of a function -> the function, its name
_OF_DATES = ("now", "utcnow", "today")


def clock_name(x: Any) -> str:
    """The name of a clock in C, "" for anything else."""
    if not isinstance(x, types.BuiltinFunctionType):
        return ""
    of = x.__self__
    if isinstance(of, type) and issubclass(of, datetime.date) and x.__name__ in _OF_DATES:
        return f"{of.__name__}.{x.__name__}"
    known = CLOCKS.get(id(x))
    return known[1] if known is not None and known[0] is x else ""


@contextlib.contextmanager
def watching(on: bool) -> Iterator[None]:
    """Refuse calls of these clocks by the user's code."""
    if not on:
        yield
        return
    before = sys.getprofile()
    sys.setprofile(_called)
    try:
        yield
    finally:
        sys.setprofile(before)


def _called(frame: FrameType, event: str, x: Any) -> None:
    if event == "c_call":
        name = clock_name(x)
        if name and owner(frame.f_code.co_filename) == USER and not importing(frame):
            raise clock_error(name)


def importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported, which happens once, whoever traces."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def clock_error(name: str) -> ClockInTrace:
    """The error of using what a clock shows."""
    return fail(  # type: ignore[return-value]
        ClockInTrace,
        f"what {name} showed while tracing would be the same in every call",
        "Pass the time as an argument, or measure around the call.",
    )
