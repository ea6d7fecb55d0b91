"""Where the loops of a code object are: natural loops of its bytecode, by canonical instruction."""

from __future__ import annotations

import dis
from functools import lru_cache
from itertools import pairwise
from types import CodeType
from typing import NamedTuple

_ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")


class Loop(NamedTuple):
    """A natural loop: its canonical offsets, and those from which it can be left."""

    number: int
    line: int
    members: frozenset[int]
    exits: frozenset[int]


class Loops:
    """The loops of one code object."""

    def __init__(self, code: CodeType) -> None:
        instructions = list(dis.get_instructions(code))
        self.canonical = _canonical(instructions, len(code.co_code))
        self.loops = _natural(instructions, self.canonical)
        self._at: dict[int, tuple[Loop, ...]] = {}

    def place(self, lasti: int) -> int:
        """The canonical offset of what runs at `lasti`, which may lie inside an inline cache."""
        i = lasti // 2
        return self.canonical[i] if 0 <= i < len(self.canonical) else 0

    def at(self, place: int) -> tuple[Loop, ...]:
        """The loops around a canonical offset, outermost first."""
        found = self._at.get(place)
        if found is None:
            inside = [loop for loop in self.loops if place in loop.members]
            found = tuple(sorted(inside, key=lambda loop: -len(loop.members)))
            self._at[place] = found
        return found


@lru_cache(maxsize=4096)
def loops_of(code: CodeType) -> Loops:
    """The loops of a code object, looked for once."""
    return Loops(code)


def _canonical(instructions: list[dis.Instruction], size: int) -> list[int]:
    """For each slot of the bytecode the first offset of an instruction with its source and name.

    Some CPythons compile the test of a `while` twice, and `finally` too.
    """
    first: dict[object, int] = {}
    out: list[int] = []
    for k, this in enumerate(instructions):
        p = this.positions
        known = p is not None and p.lineno is not None and p.col_offset is not None
        offset = first.setdefault((p, _name(this.opname)), this.offset) if known else this.offset
        end = instructions[k + 1].offset if k + 1 < len(instructions) else size
        out += [offset] * ((end - this.offset) // 2)
    return out


def _name(opname: str) -> str:
    """The name of an instruction; of conditional jumps without their sense and direction."""
    return "JUMP_IF" if "JUMP" in opname and "_IF_" in opname else opname


def _natural(instructions: list[dis.Instruction], canonical: list[int]) -> list[Loop]:
    jumps = {*dis.hasjrel, *dis.hasjabs}
    after: dict[int, list[int]] = {}
    for this, following in pairwise([*instructions, None]):
        assert this is not None
        name = this.opname
        targets = [this.argval] if this.opcode in jumps else []
        always = (name.startswith("JUMP_") and "_IF_" not in name) or name in _ENDS
        if following is not None and not always:
            targets.append(following.offset)
        after[this.offset] = targets
    before: dict[int, list[int]] = {}
    for source, targets in after.items():
        for t in targets:
            before.setdefault(t, []).append(source)
    members: dict[int, set[int]] = {}
    for source, targets in after.items():
        for head in targets:
            if head <= source:  # a back edge
                members.setdefault(head, {head}).update(_reaching(source, head, before))
    lines = {i.offset: i.positions.lineno if i.positions else 0 for i in instructions}
    loops = []
    for head, inside in members.items():
        exits = {m for m in inside if any(t not in inside for t in after[m])}
        loops.append(
            Loop(
                len(loops),
                lines[head] or 0,
                frozenset(canonical[m // 2] for m in inside),
                frozenset(canonical[m // 2] for m in exits),
            )
        )
    return loops


def _reaching(source: int, head: int, before: dict[int, list[int]]) -> set[int]:
    """All that reaches `source` without passing `head`."""
    found, todo = set(), [source]
    while todo:
        x = todo.pop()
        if x != head and x not in found:
            found.add(x)
            todo += before.get(x, [])
    return found
