"""Sums, products and quotients in LLVM's language, of which a straight line has thousands.

llvmlite's own instructions check their types, look for a free name and format what metadata they
have, which takes three times as long as to write them.
"""

from __future__ import annotations

import itertools

from llvmlite import ir

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


def put(b: ir.IRBuilder, name: str, x: ir.Value, y: ir.Value) -> ir.Value:
    """Append `x name y`, of one type."""
    made = Arithmetic(b.block, name, x, y)
    b._insert(made)
    return made
