"""Sums, products and quotients in LLVM's language, of which a straight line has thousands.

llvmlite's own instructions check their types, look for a free name and format what metadata they
have, which takes three times as long as to write them.
"""

from __future__ import annotations

import itertools

from llvmlite import ir

WORD = ir.IntType(64)
_numbers = itertools.count()  # no two values of a function have one name


class Arithmetic(ir.Instruction):  # type: ignore[misc]
    """An instruction of two operands of one type, without flags or metadata."""

    def __init__(self, block: ir.Block, name: str, x: ir.Value, y: ir.Value) -> None:
        self.parent = block
        self.type = x.type
        self.opname = name
        self.operands = (x, y)
        self.flags: list[str] = []
        self.metadata: dict[str, object] = {}
        self._name = f"#{next(_numbers)}"
        self._reference = f'%"{self._name}"'

    def get_reference(self) -> str:
        return self._reference

    def __str__(self) -> str:
        x, y = self.operands
        places = f"{x.get_reference()}, {y.get_reference()}"
        return f"{self._reference} = {self.opname} {self.type} {places}"


class Word(Arithmetic):
    """A value at some place of an array of words: `load` gives it, `store` puts it there."""

    def __init__(
        self, block: ir.Block, name: str, value: ir.Value, base: ir.Value, at: int
    ) -> None:
        super().__init__(block, name, value, base)
        self.at = at

    def __str__(self) -> str:
        value, base = self.operands
        place = f'%"{self._name}.at"'
        found = f"{place} = getelementptr inbounds i64, ptr {base.get_reference()}, i64 {self.at}"
        if self.opname == "store":
            return f"{found}\n  store {value.type} {value.get_reference()}, ptr {place}"
        return f"{found}\n  {self._reference} = load {self.type}, ptr {place}"


def put(b: ir.IRBuilder, name: str, x: ir.Value, y: ir.Value) -> ir.Value:
    """Append `x name y`, of one type."""
    made = Arithmetic(b.block, name, x, y)
    b._insert(made)
    return made


def load(b: ir.IRBuilder, kind: ir.Type, base: ir.Value, at: int) -> ir.Value:
    """Append a load of the word `at` of an array, which is of some type."""
    made = Word(b.block, "load", ir.Constant(kind, ir.Undefined), base, at)
    b._insert(made)
    return made


def store(b: ir.IRBuilder, value: ir.Value, base: ir.Value, at: int) -> None:
    """Append a store of a value as the word `at` of an array."""
    b._insert(Word(b.block, "store", value, base, at))
