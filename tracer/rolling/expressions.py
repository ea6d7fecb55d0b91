"""Which instructions compute what another one takes from the stack."""

from __future__ import annotations

import dis
from collections.abc import Set as AbstractSet
from functools import lru_cache
from types import CodeType

from .flow import Flow, flow_of
from .natural_loops import loaded_names

_TAKES = {
    "BINARY_OP": 2, "COMPARE_OP": 2, "IS_OP": 2, "CONTAINS_OP": 2, "BINARY_SUBSCR": 2,
    "BINARY_SLICE": 3, "STORE_SUBSCR": 3, "STORE_SLICE": 4, "STORE_ATTR": 2, "DELETE_SUBSCR": 2,
}  # fmt: skip
_SHUFFLES = ("SWAP", "COPY", "ROT_", "UNPACK", "DUP")
_MOVES = (*_SHUFFLES, "NOP", "EXTENDED_ARG", "CACHE")
WAY = "*"  # stands for what a condition within an expression decides

Span = tuple[int, int]  # instructions by number: from, and up to which


class Expressions:
    """The expressions of one code object."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.instructions = flow.instructions
        self.height = self._heights()
        self._joins: dict[int, int] = {}  # where jumps forward arrive: the first that comes there
        for k, i in enumerate(self.instructions):
            for t in flow.after[i.offset]:
                to = flow.places[t]
                if to > k + 1 or (to == k + 1 and "JUMP" in i.opname):
                    self._joins.setdefault(to, k)

    def _heights(self) -> list[int]:
        """The height of the stack before each instruction; -1 where it is not known."""
        after, places = self.flow.after, self.flow.places
        out = [-1] * len(self.instructions)
        todo = [(0, 0)]
        while todo:
            k, h = todo.pop()
            if out[k] >= 0:
                continue
            out[k], i = h, self.instructions[k]
            for t in after[i.offset]:
                jumps = places[t] != k + 1
                todo.append((places[t], h + dis.stack_effect(i.opcode, i.arg, jump=jumps)))
        return out

    def number(self, lasti: int) -> int:
        """The number of the instruction at this offset."""
        return self.flow.places.get(self.flow.canonical(lasti), -1)

    def _begin(self, end: int, height: int) -> int:
        """Where that begins which the stack holds above a height when instruction `end` runs."""
        k = need = end
        while k > 0:
            if k in self._joins and self.height[k] > height:
                need = min(need, self._joins[k])
            between = need < end and "JUMP" in self.instructions[k - 1].opname
            if k < end and k <= need and 0 <= self.height[k] <= height and not between:
                return k
            k -= 1
        return 0

    def _effect(self, k: int) -> int:
        i = self.instructions[k]
        return dis.stack_effect(i.opcode, i.arg, jump=False)

    def result(self, k: int) -> int:
        """Where the expression begins whose last instruction is this."""
        return self._begin(k, self.height[k] + min(self._effect(k) - 1, 0))

    def operands(self, k: int) -> list[Span]:
        """What computes each operand of an instruction, or all of them together."""
        i = self.instructions[k]
        takes = _TAKES.get(i.opname, 0)
        if i.opname in ("CALL", "CALL_FUNCTION"):
            takes = i.arg or 0
        elif i.opname.startswith("STORE_") and not takes:
            return [self._stored(k)]
        out: list[Span] = []
        stop = k
        while stop and self.instructions[stop - 1].opname in ("PRECALL", "KW_NAMES"):
            stop -= 1
        height = self.height[stop]
        if not takes:
            return [(self.result(k), k)]
        if stop and self.instructions[stop - 1].opname.startswith(_SHUFFLES):
            return [(self._begin(stop, height - takes), stop)]
        for n in range(1, takes + 1):
            begin = self._begin(stop, height - n)
            out.append((begin, stop))
            stop = begin
        return out[::-1]

    def _stored(self, k: int) -> Span:
        """What computes the value that is stored; of all, where several are unpacked or swapped."""
        first = k
        while first and self.instructions[first - 1].opname.startswith((*_MOVES, "STORE_")):
            first -= 1
        if first == k:
            return self._begin(k, self.height[k] - 1), k
        last = k
        while self.instructions[last + 1].opname.startswith((*_MOVES, "STORE_")):
            last += 1
        return self._begin(first, min(self.height[first : last + 2])), k

    def iterable(self, k: int) -> Span | None:
        """What computes the iterable whose next item an instruction stores."""
        while k and self.instructions[k - 1].opname.startswith((*_MOVES, "STORE_")):
            k -= 1
        if not k or self.instructions[k - 1].opname != "FOR_ITER":
            return None
        k -= 2
        known = k >= 0 and self.instructions[k].opname == "GET_ITER"
        return (self.result(k), k) if known else (0, k + 1)

    def loads(
        self, span: Span, traced: AbstractSet[int], asked: AbstractSet[int]
    ) -> tuple[set[str], set[object]]:
        """The names and literals that instructions load, but for what goes into traced values.

        At the offsets `traced` ops were recorded, at those `asked` conditions were asked for.
        """
        names: set[str] = set()
        literals: set[object] = set()
        begin, k = span[0], span[1] - 1
        while k >= begin:
            i = self.instructions[k]
            place = self.flow.canonical(i.offset)
            if i.opname == "COPY":
                begin = min(begin, self._begin(k, self.height[k] - (i.arg or 0)))
            if place in asked:
                names.add(WAY)
            elif place in traced and self.height[k] >= 0:
                k = max(self.result(k), begin) - 1
                continue
            if i.opname == "LOAD_CONST":
                literals.add(i.argval if isinstance(i.argval, (int, float)) else None)
            elif "LOAD" in i.opname:
                names.update(loaded_names(i))
            k -= 1
        return names, literals


@lru_cache(maxsize=1024)
def expressions_of(code: CodeType) -> Expressions:
    """The expressions of a code object, found once."""
    return Expressions(flow_of(code))
