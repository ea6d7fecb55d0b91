"""Straight lines of many statements, cut into parts: functions that run one after the other.

LLVM's time grows faster than the length of a function: its register allocator compares what lives
at the same time, and in an adjoint most values wait for long.  So what a later part reads lies in
memory, where the allocator would have put it anyway: 8700 statements take it 0.5 of the time.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from llvmlite import ir

from ..ir.records import dataclass
from . import arithmetic
from .lines import BOUND, WORD

LONG = 600  # statements in a row that are still compiled in one piece
PART = 1000
NAME = "straight"  # what stands for such a line in the text that is left
_PLAIN = re.compile(r"    (\w+)(?:\[\w+\])? = (?!.*(?: if |blas\.|\.tape_))")


@dataclass(frozen=True)
class Part:
    """Statements that become a function.

    reads   the names in them that are made elsewhere
    leaves  the names that they give a value which others read
    """

    lines: Sequence[str]
    reads: Sequence[str]
    leaves: Sequence[str]


@dataclass(frozen=True)
class Run:
    """A long straight line; `leaves` are the names that are read after it."""

    parts: Sequence[Part]
    leaves: Sequence[str]


def cut(text: str) -> tuple[str, list[Run]]:
    """A kernel's text with `straight(k)` for its k-th long straight line, and these in parts."""
    lines = text.split("\n")
    if len(lines) <= LONG:
        return text, []
    stores = Counter(BOUND.findall(text))
    loads = Counter(WORD.findall(text))
    loads.subtract(stores)
    runs: list[Run] = []
    plain = [(m := _PLAIN.match(line)) is not None and stores[m[1]] < 2 for line in lines]
    at = 0
    for alike, run in itertools.groupby(plain):
        start, at = at, at + len(list(run))
        if not alike or at - start <= LONG:
            continue
        parts = [_part(lines[k : min(k + PART, at)], loads) for k in range(start, at, PART)]
        leaves = _part(lines[start:at], loads).leaves
        # The lines of the others keep their numbers.
        lines[start:at] = [f"    {NAME}({len(runs)})", *[""] * (at - start - 1)]
        runs.append(Run(parts, leaves))
    return "\n".join(lines), runs


def _part(lines: Sequence[str], loads: Counter[str]) -> Part:
    text = "\n".join(line.split("#")[0] for line in lines)
    stored = dict.fromkeys(BOUND.findall(text))
    inside = Counter(WORD.findall(text))
    inside.subtract(list(stored))
    reads = [name for name in inside if name not in stored]
    return Part(lines, reads, [name for name in stored if loads[name] > inside[name]])


Places = dict[str, tuple[int, ir.Type]]  # where in an array of words a name's value is


class Frame:
    """Memory for the values that parts hand on, a word each."""

    def __init__(self, entry: ir.IRBuilder) -> None:
        self.room = entry.alloca(arithmetic.WORD, size=0)
        self.places: Places = {}

    def keep(self, b: ir.IRBuilder, base: ir.Value, name: str, value: ir.Value) -> None:
        """Store what a name stands for."""
        place, _ = self.places.setdefault(name, (len(self.places), value.type))
        self.room.operands[0].constant = len(self.places)
        arithmetic.store(b, value, base, place)


class Values(dict[str, ir.Value]):
    """The values of a function, by name; those in tables are loaded at its entry once named."""

    def __init__(
        self,
        entry: ir.IRBuilder,
        tables: Sequence[tuple[ir.Value, Places]],
        known: Mapping[str, ir.Value],
    ) -> None:
        super().__init__(known)
        self.entry = entry
        self.tables = tables

    def __missing__(self, name: str) -> ir.Value:
        for base, places in self.tables:
            if name in places:
                place, kind = places[name]
                value = self[name] = arithmetic.load(self.entry, kind, base, place)
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or any(name in places for _, places in self.tables)
