"""Whether a loop that a traced condition ends can be believed at numbers of rounds never traced.

Python may keep count where a trace cannot see it.  So the first calls of such a program are traced
again (once for the same inputs), and must come out the same; else the program is dropped, and each
number of rounds is a program of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .ir.interp import GuardMiss, evaluate
from .ir.printer import canonical
from .staging import Staged
from .tracer.facts import Trace
from .tracer.guards import same_content
from .tracer.rolling.segments import Note

_NUMBERS = 3  # of rounds not seen before that must agree
_CALLS = 8  # that are looked at, at most

Inputs = Callable[[Staged], list[np.ndarray]]


class Trial:
    """What is known of the open loops of a program."""

    def __init__(self, trace: Trace) -> None:
        self._seen = {trips(trace)}
        self._calls = _CALLS if trips(trace) else 0
        self._looked: set[bytes] = set()

    @property
    def settled(self) -> bool:
        """Whether no more calls need be looked at."""
        return self._calls <= 0 or len(self._seen) > _NUMBERS

    def agrees(self, staged: Staged, other: Staged, inputs: Inputs) -> bool:
        """Whether a program does at these inputs what another trace, of this very call, does."""
        self._calls -= 1
        if not same_text(staged, other) and not _same_values(staged, other, inputs):
            return False
        self._seen.add(trips(other.trace))
        if not self.settled:
            self._looked.add(_digest(inputs(staged)))
        return True

    def looked_at(self, inputs: Callable[[], list[np.ndarray]]) -> bool:
        """Whether a trace with these very inputs has agreed already; it counts as a call."""
        known = bool(self._looked) and _digest(inputs()) in self._looked
        self._calls -= known
        return known


def _digest(arrays: list[np.ndarray]) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for a in arrays:
        found.update(f"{a.dtype.str}{a.shape}".encode())
        found.update(np.ascontiguousarray(a).data.cast("B") if a.size else b"")
    return found.digest()


def trips(trace: Trace) -> tuple[int, ...]:
    """The rounds that each open loop had in this trace, and the ways that rounds took."""
    return tuple(x for n in trace.loops if is_open(n) for x in (n.rounds, n.ways))


def is_open(note: Note) -> bool:
    """Whether other calls may go through a loop in another way."""
    return (note.open or bool(note.ways)) and not note.reason


def same_text(staged: Staged, other: Staged) -> bool:
    """Whether two traces gave the same program, and the same numbers in it."""
    if canonical(staged.function) != canonical(other.function):
        return False
    pairs = zip(staged.trace.captures, other.trace.captures, strict=True)
    return all(a.live == b.live and (a.live or same_content(a.value, b.value)) for a, b in pairs)


def _same_values(staged: Staged, other: Staged, inputs: Inputs) -> bool:
    """Whether the results are the same, but for the last digits (of derivatives)."""
    try:
        found, wanted = (evaluate(s.function, *inputs(s)) for s in (staged, other))
    except GuardMiss:
        return False
    return len(found) == len(wanted) and all(map(_close, found, wanted))


def _close(x: Any, y: Any) -> bool:
    if x.dtype.kind not in "fc":
        return bool(np.array_equal(x, y))
    scale = np.max(np.abs(y), initial=0.0, where=np.isfinite(y))
    return bool(np.allclose(x, y, rtol=1e-9, atol=1e-9 * scale, equal_nan=True))
