"""What a variant relies on of the values of a call: its guards, and how often they held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

from .ir.core import Block, Function, Op, all_ops
from .ir.interp import evaluate
from .ir.ops.guards import guard
from .ir.ops.show import muted
from .passes.dce import sweep


class Decisions:
    """The guards of a program, and a count of the calls that they let pass or sent away."""

    def __init__(self, function: Function) -> None:
        block = function.block
        self.guards = [op for op in all_ops(block) if op.prim is guard]
        self.passed: Iterator[int] = count()  # one step per call: atomic, and cheap
        self._left: dict[Op, int] = {}  # of the compiled program, whose ops are copies
        self._last: Op | None = None
        self._fronts: list[tuple[Any, Callable[[Any], int], Callable[[Any], list[int]]]] = []
        only = sweep(Block(block.params, block.ops, ())) if self.guards else block
        self._only = Function(function.name, only)

    def __bool__(self) -> bool:
        return bool(self.guards)

    def count_also(
        self, made: Any, calls: Callable[[Any], int], left: Callable[[Any], list[int]]
    ) -> None:
        """Count what a compiled front answers by itself, too."""
        self._fronts.append((made, calls, left))

    def hold(self, inputs: Iterable[Any]) -> bool:
        """Whether a call with these inputs takes this path, by NumPy's own arithmetic."""
        try:
            with muted():
                evaluate(self._only, *inputs)
        except Exception:  # on a path that is not theirs, values may do anything
            return False
        return True

    def miss(self, op: Op | None) -> None:
        """Count a call that left at this guard."""
        if op is not None:
            self._last = op
            self._left[op] = self._left.get(op, 0) + 1

    @property
    def missed(self) -> Counter[str]:
        """How many calls left at each line."""
        lines: Counter[str] = Counter()
        for op, times in list(self._left.items()):
            lines[place(op)] += times
        for made, _, left in list(self._fronts):
            for op, times in zip(self.guards, left(made), strict=False):
                lines[place(op)] += times
        return +lines

    @property
    def last(self) -> str:
        """The line where the last call left."""
        return place(self._last) if self._last is not None else ""

    @property
    def calls(self) -> int:
        """How many calls took this path."""
        by_front = sum(calls(made) for made, calls, _ in list(self._fronts))
        return int(repr(self.passed)[len("count(") : -1]) + by_front

    def describe(self) -> Iterator[str]:
        """Each deciding line once: what it was while tracing, and how many calls it sent away."""
        lines: dict[str, list[str]] = {}
        missed = self.missed
        for op in self.guards:
            lines.setdefault(place(op), []).append(str(op.attrs["expected"]))
        for where, values in lines.items():
            shown = ", ".join(values if len(values) <= 4 else [*values[:2], "...", values[-1]])
            times = missed[where]
            yield f"{where} was {shown}" + (f"; {times} left here" if times else "")


def place(op: Op) -> str:
    """The line of a guard, as a user looks for it."""
    if op.where is None:
        return "an unknown line"
    source = getattr(op.where, "source", "")
    return f"{op.where}: {source}" if source else str(op.where)
