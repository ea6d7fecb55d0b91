"""Which Python loops become loops of the program, and which stay a row of ops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from .settings import current
from .tracer.rolling.segments import Load, Policy

# Compiling grows with the ops: a hundred take some tenths of a second, a thousand several.
_SHORT = 100
_LONG = 1000
# Arrays from so many elements on are read and written once by a row of elementwise ops, but in
# every round by a loop.
_LARGE = 2048
# Threads share the rows of stencils over large arrays, but not those that a loop goes over.
_SHARED, _SOME = 1 << 15, 300
_RAGGED = 300  # ops of rounds whose arrays grow or shrink: by themselves, small ones are scalars
_COPIED = 1 << 16  # elements; to stack more than that costs more than a round gains


def policy() -> Policy | None:
    """What becomes of the rounds of Python's loops, by the options in force."""
    found = _POLICIES[current().unroll]
    return replace(found, open=False) if found and _exact.get() else found


_exact: ContextVar[bool] = ContextVar("adjit_exact", default=False)


@contextmanager
def exactly(wanted: bool) -> Iterator[None]:
    """A block in which, if that is wanted, no number of rounds is open."""
    token = _exact.set(wanted or _exact.get())
    try:
        yield
    finally:
        _exact.reset(token)


def _pays(load: Load) -> bool:
    ops = load.rounds * load.ops
    if ops >= _LONG:
        return True
    if load.copied > _COPIED or (load.fusible and load.largest >= _LARGE):
        return False
    if load.stencil and load.largest >= _SHARED:
        return ops >= _SOME
    return ops >= (_RAGGED if load.ragged else _SHORT)


_POLICIES: dict[str, Policy | None] = {
    "auto": Policy(_pays),
    "exact": Policy(_pays, open=False),
    "always": None,
    "never": Policy(lambda load: True),
}
