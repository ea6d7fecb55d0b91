"""Where the loops of a code object are: natural loops of its bytecode, by canonical instruction."""

from __future__ import annotations

import dis
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from types import CodeType
from typing import NamedTuple

from .. import bytecode

_ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")


class Loop(NamedTuple):
    """A natural loop of a code object.

    members  its canonical offsets
    exits    those from which it can be left
    targets  what its `for` statements store the items of their iterators in
    outlive  of these, what is read after the loop
    stores   what it assigns that is no local variable
    head     where its rounds begin
    """

    number: int
    line: int
    members: frozenset[int]
    exits: frozenset[int]
    targets: frozenset[str]
    outlive: frozenset[str]
    stores: tuple[str, ...]
    head: int


class Loops:
    """The loops of one code object."""

    def __init__(self, code: CodeType) -> None:
        steps = bytecode.instructions(code)
        self.canonical = _canonical(steps, len(code.co_code))
        self.loops = _natural(steps, self.canonical) if jumps_back(code) else []
        self._at: dict[int, tuple[Loop, ...]] = {}
        self._known: dict[int, tuple[int, tuple[Loop, ...]]] = {}

    def locate(self, lasti: int) -> tuple[int, tuple[Loop, ...]]:
        """The canonical offset of what runs at `lasti`, and the loops around it."""
        found = self._known.get(lasti)
        if found is None:
            place = self.place(lasti)
            found = self._known[lasti] = place, self.at(place)
        return found

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


_BACK = frozenset(code for name, code in dis.opmap.items() if "BACKWARD" in name)


@lru_cache(maxsize=4096)
def jumps_back(code: CodeType) -> bool:
    """Whether there is any loop in a code object, at a glance."""
    return not _BACK.isdisjoint(code.co_code[::2])


@lru_cache(maxsize=4096)
def loops_of(code: CodeType) -> Loops:
    """The loops of a code object, looked for once."""
    return Loops(code)


def _canonical(instructions: Sequence[dis.Instruction], size: int) -> list[int]:
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


def successors(instructions: Sequence[dis.Instruction]) -> dict[int, list[int]]:
    """For the offset of each instruction those that may come next, exceptions apart."""
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
    return after


def _natural(instructions: Sequence[dis.Instruction], canonical: list[int]) -> list[Loop]:
    after = successors(instructions)
    before: dict[int, list[int]] = {}
    for source, targets in after.items():
        for t in targets:
            before.setdefault(t, []).append(source)
    members: dict[int, set[int]] = {}
    for source, targets in after.items():
        for head in targets:
            if head <= source:  # a back edge
                members.setdefault(head, {head}).update(_reaching(source, head, before))
    places = {i.offset: k for k, i in enumerate(instructions)}
    loops: list[Loop] = []
    for head, inside in members.items():
        exits = {m for m in inside if any(t not in inside for t in after[m])}
        exits |= {e for m in exits for e in _asked_at(instructions, places[m])}
        lines = (p.lineno for m in inside if (p := instructions[places[m]].positions))
        stored = _targets(instructions, inside)
        beyond = {t for m in inside for t in after[m] if t not in inside}
        loops.append(
            Loop(
                len(loops),
                min((n for n in lines if n), default=0),
                frozenset(canonical[m // 2] for m in inside),
                frozenset(canonical[m // 2] for m in exits),
                stored,
                frozenset(t for t in stored if is_read(t, beyond, after, instructions, places)),
                tuple(str(i.argval) for i in instructions
                      if i.offset in inside and i.opname.startswith(_ELSEWHERE)),
                head,
            )
        )  # fmt: skip
    return loops


_ELSEWHERE = ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF", "DELETE_ATTR", "DELETE_GLOBAL")
_LOADS = ("LOAD_FAST", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLOSURE", "DELETE_FAST")


def _asked_at(instructions: Sequence[dis.Instruction], k: int) -> list[int]:
    """Where a conditional jump asks for the truth: in later CPythons one instruction before."""
    before = instructions[k - 1] if k else None
    asks = before is not None and before.opname in ("TO_BOOL", "COMPARE_OP", "UNARY_NOT")
    return [before.offset] if before is not None and asks else []


_STORE_AND_LOAD = "STORE_FAST_LOAD_FAST"  # two instructions in one, since CPython 3.13


def names_of(i: dis.Instruction) -> tuple[str, ...]:
    """The names an instruction is about: mostly one."""
    return tuple(map(str, i.argval)) if isinstance(i.argval, tuple) else (str(i.argval),)


def stored_names(i: dis.Instruction) -> tuple[str, ...]:
    """The names that an instruction which stores binds, that of the stack's top first."""
    return names_of(i)[:1] if i.opname == _STORE_AND_LOAD else names_of(i)


def loaded_names(i: dis.Instruction) -> tuple[str, ...]:
    """The names that an instruction which loads reads."""
    return names_of(i)[1:] if i.opname == _STORE_AND_LOAD else names_of(i)


def _targets(instructions: Sequence[dis.Instruction], inside: set[int]) -> frozenset[str]:
    """The names that follow a FOR_ITER: its targets."""
    between = ("STORE_", "UNPACK_", "EXTENDED_ARG", "SWAP", "NOP")
    out: set[str] = set()
    for k, i in enumerate(instructions):
        if i.opname == "FOR_ITER" and i.offset in inside:
            for j in instructions[k + 1 :]:
                if j.opname.startswith("STORE_"):
                    out.update(stored_names(j))
                if j.opname == _STORE_AND_LOAD or not j.opname.startswith(between):
                    break
    return frozenset(out)


def is_read(
    name: str,
    start: set[int],
    after: dict[int, list[int]],
    instructions: Sequence[dis.Instruction],
    places: dict[int, int],
) -> bool:
    """Whether a name may be read, from there on, before it is stored again."""
    seen: set[int] = set()
    todo = list(start)
    while todo:
        x = todo.pop()
        if x in seen:
            continue
        seen.add(x)
        i = instructions[places[x]]
        stores = i.opname.startswith("STORE_") and name in stored_names(i)
        loads = i.opname.startswith((*_LOADS, _STORE_AND_LOAD)) and name in loaded_names(i)
        if loads and not stores:
            return True
        if not stores:
            todo += after[x]
    return False


def _reaching(source: int, head: int, before: dict[int, list[int]]) -> set[int]:
    """All that reaches `source` without passing `head`."""
    found, todo = set(), [source]
    while todo:
        x = todo.pop()
        if x != head and x not in found:
            found.add(x)
            todo += before.get(x, [])
    return found
