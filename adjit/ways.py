"""Ways through a function that may never come again: they are traced, and the interpreter answers.

A call that no variant takes goes a way of its own.  To compile it pays only if it is gone again, so
the first few ways of a signature get a program at once, the others when they have come again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .ir.core import Function, all_ops
from .ir.ops.guards import guard
from .ir.types import NUMPY
from .settings import Options
from .staging import Staged
from .tracer.facts import Trace
from .trials import trips
from .variant import Interpreted, Variant

_AT_ONCE = 5  # ways that are compiled when they are first gone
_EARNED = 16  # calls that existing programs answer for one more of these
_REMEMBERED = 1024  # ways without a program: of each, a number
_MORE = 16  # programs from which on a way has to come once more, and again from twice as many on
_LONGEST = 20_000  # recorded ops; loops of so many are compiled as loops
_LARGEST = 1 << 28  # bytes of all values, which the interpreter keeps to the end


ONE_PROGRAM = (
    "np.where(condition, a, b), adjit.cond(condition, f, g) and adjit.while_loop(test, body, init) "
    "are one program."
)


class Ways:
    """What is known of the ways through one signature that have no program."""

    def __init__(self) -> None:
        self.interpreted = 0  # calls that went one
        self.count = 0  # how many they were, as far as one is remembered
        self._credit = _AT_ONCE - 1.0  # the first of them has its program
        self._answered = 0
        self._missed = 0
        self._unfit = False  # whether one was too large for the interpreter
        self._met: dict[int, int] = {}  # how often each way came, the last at the end

    def fleeting(self, made: Sequence[Variant], now: Options) -> bool:
        """Whether a call that none of these variants takes may go a way that never comes again."""
        made = [v for v in made if v.decisions]
        if not made or self._unfit or now.check or now.memory_budget is not None:
            return False
        if any(v.staged.trace.recorded > _LONGEST for v in made):
            return False
        self._missed += 1
        answered = sum(v.decisions.calls for v in made)
        earned = max(0, answered - self._answered) / _EARNED
        self._credit = min(_AT_ONCE, self._credit + earned)
        self._answered = answered
        if self._credit >= 1:
            self._credit -= 1
            return False
        # Loops with open ends or conditions: one more trace may show what serves all ways.
        learns = any(trips(v.staged.trace) for v in made)
        return not (learns and self._missed & (self._missed - 1) == 0)

    def worth(self, staged: Staged, made: int) -> bool:
        """Note that a way was gone; whether it has come often enough for a program.

        The more programs there are, `made`, the more often it has to come: to compile each may take
        longer than to interpret all calls.
        """
        if staged.trace.recorded > _LONGEST or not _small(staged):
            self._unfit = True
            return True
        way = told(staged.traced, staged.trace)
        times = self._met.pop(way, 0) + 1
        self.count += times == 1
        if times > 1 + made // _MORE:
            self.count -= 1
            return True
        self.interpreted += 1
        while len(self._met) >= _REMEMBERED:
            del self._met[next(iter(self._met))]
        self._met[way] = times
        return False


def parting(made: Sequence[Variant]) -> str:
    """The line at which most calls left these variants."""
    missed = sum((v.decisions.missed for v in made), Counter())
    return missed.most_common(1)[0][0] if missed else "an unknown line"


def told(function: Function, trace: Trace) -> int:
    """What tells a way through a function, as it was recorded, from others of its signature."""
    ops = function.ops
    steps = tuple([id(op.prim) for op in ops])
    decided = tuple([op.attrs["expected"] for op in ops if op.prim is guard])
    seen = tuple([np.asarray(c.value).tobytes() for c in trace.captures if not c.live])
    return hash((steps, decided, seen))


def _small(staged: Staged) -> bool:
    """Whether the interpreter may keep all values of a program at a time."""
    outs = (v.aval for op in all_ops(staged.function.block) for v in op.outs)
    return sum(a.size * NUMPY[a.dtype].itemsize for a in outs) <= _LARGEST


def answer(staged: Staged, leaves: Sequence[Any]) -> Any:
    """What the interpreter makes of the leaves of a call; a `GuardMiss` if they go another way."""
    given = [*leaves, *(c.read() for c in staged.captures)]
    params = staged.function.params
    inputs = [np.asarray(x, NUMPY[p.aval.dtype]) for x, p in zip(given, params, strict=True)]
    found = Interpreted(staged.function).call(inputs)
    outs = (_as(found[out[1]], out[2]) if out[0] == "value" else out[1] for out in staged.outs)
    return staged.out_tree.unflatten(outs)


def _as(x: np.ndarray, kind: str) -> Any:
    """A result as the array, the NumPy scalar or the Python number that it is to be."""
    return x if kind == "array" else x[()] if kind == "scalar" else x.item()
