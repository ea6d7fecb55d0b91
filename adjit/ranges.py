"""`adjit.range`: a Python `for` whose rounds become one loop."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Iterable
from typing import Any

from .tracer import ranges
from .tracer.record import is_tracing


def range(start: Any, stop: Any = None, step: int = 1) -> Iterable[Any]:
    """`for i in adjit.range(n)`: as the builtin, but recorded as one loop while tracing.

    A few rounds are run; the index is traced, and the bounds may be.  What a round hands to the
    next is found by itself; lists it appends to hold all rounds afterwards (where the bounds are
    plain).  Where a round decides by what differs from round to round, or breaks, all rounds are
    recorded, as those of the builtin are.  A round cannot change Python's own numbers: a
    `ControlFlow` error says where.
    """
    low, high = (0, start) if stop is None else (start, stop)
    step = operator.index(step)
    if not is_tracing():
        return builtins.range(low, high, step)
    if step == 0:
        raise ValueError("adjit.range: the step is zero")
    return ranges.symbolic(low, high, step)
