"""What a traced condition decides in a code object: the instructions that run or not."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType

from ..bytecode import instructions
from .natural_loops import Loop, is_read, loaded_names, loops_of, stored_names, successors

_STORES = ("STORE_FAST", "STORE_NAME", "STORE_DEREF", "DELETE_FAST", "DELETE_NAME", "DELETE_DEREF")
_LEAVES = -2  # stands for whatever is outside of the loop
_AGAIN = -1  # stands for the next round


class Flow:
    """The control flow of one code object, by canonical instructions."""

    def __init__(self, code: CodeType) -> None:
        self.loops = loops_of(code)
        self.instructions = list(instructions(code))
        self.after = successors(self.instructions)
        self.places = {i.offset: k for k, i in enumerate(self.instructions)}
        self._regions: dict[int, dict[bool, frozenset[int]]] = {}
        self._postdominators: dict[int, dict[int, int]] = {}
        self._beyond: dict[int, set[int]] = {}
        self._rounds: dict[int, dict[int, list[int]]] = {}
        self._numbers: dict[int, list[int]] = {}  # of the instructions at a canonical offset
        for k, i in enumerate(self.instructions):
            self._numbers.setdefault(self.canonical(i.offset), []).append(k)

    def canonical(self, offset: int) -> int:
        """The canonical offset of an instruction."""
        return self.loops.place(offset)

    def jump(self, place: int) -> int:
        """The conditional jump that a decision is about; later CPythons ask just before it."""
        k = self.places.get(place)
        if k is None or k + 1 == len(self.instructions):
            return place
        asks = self.instructions[k].opname in ("TO_BOOL", "COMPARE_OP")
        following = self.instructions[k + 1]
        return self.canonical(following.offset) if asks and "_IF_" in following.opname else place

    def decided(self, place: int) -> dict[bool, frozenset[int]]:
        """What may run before the ways of a conditional jump meet again, if it jumps or not.

        The ways meet at the end of the round at the latest.
        """
        place = self.jump(place)
        found = self._regions.get(place)
        if found is None:
            found = self._regions[place] = self._decided(place)
        return found

    def region(self, place: int) -> frozenset[int]:
        """Both ways together."""
        return frozenset().union(*self.decided(place).values())

    def side(self, place: int, outcome: bool) -> frozenset[int]:
        """What may run because a condition was so, before the ways meet again."""
        place = self.jump(place)
        name = self.instructions[self.places[place]].opname if place in self.places else ""
        if "_IF_" not in name:
            return self.region(place)
        return self.decided(place)[outcome if "TRUE" in name else not outcome]

    def _decided(self, place: int) -> dict[bool, frozenset[int]]:
        around = self.loops.at(place)
        loop = around[-1] if around else None
        after = self._within(loop)
        behind = self._behind(loop, after)
        targets = after.get(place, [])
        out = {}
        for jumps in (False, True):
            todo = targets[:1] if jumps else targets[1:]
            if len(targets) < 2:
                todo = []
            seen: set[int] = set()
            while todo:
                x = todo.pop()
                if x not in seen and x >= 0 and not behind[place] >> self.places[x] & 1:
                    seen.add(x)
                    todo = [*todo, *after[x]]
            out[jumps] = frozenset(self.canonical(x) for x in seen)
        return out

    def _within(self, loop: Loop | None) -> dict[int, list[int]]:
        """What comes next within a round of a loop (or in a call, if there is none)."""
        number = loop.number if loop is not None else -1
        known = self._rounds.get(number)
        if known is not None:
            return known
        out = {}
        for x, targets in self.after.items():
            if loop is not None and self.canonical(x) not in loop.members:
                continue
            out[x] = [self._seen(t, loop) for t in targets] or [_LEAVES]
        self._rounds[number] = out
        return out

    def _seen(self, t: int, loop: Loop | None) -> int:
        if loop is None:
            return t
        if t == loop.head:
            return _AGAIN
        return t if self.canonical(t) in loop.members else _LEAVES

    def _behind(self, loop: Loop | None, after: dict[int, list[int]]) -> dict[int, int]:
        """For each instruction those that come after it on every way, itself too, as bits."""
        key = loop.number if loop is not None else -1
        known = self._postdominators.get(key)
        if known is not None:
            return known
        whole = (1 << len(self.instructions)) - 1
        out = dict.fromkeys(after, whole)
        again = True
        while again:
            again = False
            for x in sorted(after, reverse=True):
                met = whole
                for t in after[x]:
                    met &= out.get(t, 0)
                met |= 1 << self.places[x]
                if met != out[x]:
                    out[x], again = met, True
        self._postdominators[key] = out
        return out

    def stored(self, offsets: frozenset[int]) -> set[str]:
        """The names that these instructions bind."""
        out: set[str] = set()
        for i in self._of(offsets):
            if i.opname.startswith(_STORES):
                out.update(stored_names(i))
        return out

    def loaded(self, offsets: frozenset[int]) -> set[str]:
        """The names that these instructions read."""
        out: set[str] = set()
        for i in self._of(offsets):
            if "LOAD" in i.opname and "CONST" not in i.opname:
                out.update(loaded_names(i))
        return out

    def stored_next(self, place: int) -> set[str]:
        """The name that is bound to what a conditional expression gives, where its ways meet."""
        i = self._meeting(place)
        if i is None or not i.opname.startswith(_STORES):
            return set()
        return set(stored_names(i)[:1])

    def leaves(self, place: int) -> bool:
        """Whether the ways of a conditional jump leave a value that has no name yet."""
        place = self.jump(place)
        region = self.region(place)
        if any(i.opname.startswith("RETURN") for i in self._of(region)):
            return True
        if place in self.places and "OR_POP" in self.instructions[self.places[place]].opname:
            return True
        return any(self._height(place, t) > 0 for t in self.after.get(place, [])[:2])

    def _height(self, place: int, start: int) -> int:
        """By how much the stack grows from the end of a conditional jump until its ways meet."""
        region = self.region(place)
        x, height, seen = start, 0, set()
        while self.canonical(x) in region and x not in seen:
            seen.add(x)
            i = self.instructions[self.places[x]]
            height += dis.stack_effect(i.opcode, i.arg, jump=False)
            if not self.after[x]:
                break
            x = self.after[x][0 if i.opname.startswith("JUMP_") and "_IF_" not in i.opname else -1]
        return height

    def _meeting(self, place: int) -> dis.Instruction | None:
        """The instruction where the ways of a conditional jump meet again."""
        place = self.jump(place)
        region = self.region(place)
        for x in (place, *(i.offset for i in self._of(region))):
            for t in self.after.get(x, []):
                if self.canonical(t) not in region and t > place:
                    return self.instructions[self.places[t]]
        return None

    def numbers(self, offsets: frozenset[int]) -> list[int]:
        """Which instructions stand at canonical offsets, in their order."""
        return sorted(k for x in offsets for k in self._numbers.get(x, ()))

    def _of(self, offsets: frozenset[int]) -> list[dis.Instruction]:
        return [self.instructions[k] for k in self.numbers(offsets)]

    def stored_before(self, loop: Loop, place: int) -> set[str]:
        """The names that a round may bind before it comes to an instruction."""
        after = self._within(loop)
        todo, seen = [loop.head], set()
        while todo:
            x = todo.pop()
            if x >= 0 and x not in seen and self.canonical(x) != place:
                seen.add(x)
                todo += after[x]
        return self.stored(frozenset(map(self.canonical, seen)))

    def read_after(self, name: str, loop: Loop) -> bool:
        """Whether a name may be read after a loop, before it is bound again."""
        beyond = self._beyond.get(loop.number)
        if beyond is None:
            targets = {t for i in self._of(loop.members) for t in self.after[i.offset]}
            beyond = {t for t in targets if self.canonical(t) not in loop.members}
            self._beyond[loop.number] = beyond
        return is_read(name, beyond, self.after, self.instructions, self.places)

    def computes(self, offsets: frozenset[int] | None, seen: set[int]) -> tuple[int, set[object]]:
        """How instructions may make numbers that no trace sees, and the literals that they load.

        `seen` recorded something.  0: in no way, 1: by adding and multiplying, 2: in any way.
        """
        worst = 0
        literals: set[object] = set()
        for i in self.instructions if offsets is None else self._of(offsets):
            if i.opname == "LOAD_CONST" and isinstance(i.argval, (int, float, tuple)):
                literals.update(i.argval if isinstance(i.argval, tuple) else (i.argval,))
            elif self.canonical(i.offset) in seen:
                continue
            elif i.opname == "BINARY_OP":
                plain = i.argrepr.rstrip("=") in ("+", "-", "*")
                worst = max(worst, 1 if plain else 2)
            elif i.opname.startswith(_COMPUTES):
                worst = 2
        return worst, literals


_COMPUTES = ("BINARY_", "CALL", "COMPARE_OP", "CONTAINS_OP", "IS_OP", "FOR_ITER", "YIELD", "SEND")


@lru_cache(maxsize=1024)
def flow_of(code: CodeType) -> Flow:
    """The control flow of a code object, found once."""
    return Flow(code)
