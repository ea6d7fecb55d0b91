"""The pieces a kernel's text is made of: scopes of lines, indices, sizes and literals."""

from __future__ import annotations

import builtins
import keyword
import math
from collections.abc import Hashable
from dataclasses import field

from ..ir.access import Index
from ..ir.core import Const, Value
from ..ir.records import dataclass
from ..ir.types import KIND, Extent

LITERAL_SIZE = 16  # extents up to here are literals, so that LLVM unrolls; larger are arguments
ITEM = {"f32": 4, "f64": 8, "i64": 8, "i32": 4, "bool": 1}

# An index of the kernel: `step * variable + offset`; the variable is None for a fixed index.
At = Index


@dataclass(eq=False)
class Scope:
    """The lines of one loop body, and the values already computed in it.

    checks    the indices from data that each round checks, with their extents
    facts     those that the loops in it so far have checked, by where: a range of rows or a block
    tested    whether the status was looked at since
    together  whether no round may leave
    """

    depth: int
    lines: list[str] = field(default_factory=list)
    memo: dict[object, str] = field(default_factory=dict)
    checks: list[tuple[tuple[Value, int], At]] = field(default_factory=list)
    facts: dict[tuple[Value, int], set[tuple[tuple[int, int] | str, int]]] = field(
        default_factory=dict
    )
    tested: bool = True
    together: bool = False


class Names:
    """Fresh, readable names, and the sizes and constants that become arguments."""

    def __init__(self) -> None:
        # What the text may call; a variable of the user's may have any name.
        self.used: set[str] = {"np", "math", "vm", "ll", "sp", "blas", "status", *dir(builtins)}
        self.counts: dict[str, int] = {}
        self.sizes: dict[tuple[int, Hashable], str] = {}  # by value and class
        self.consts: dict[float, str] = {}
        self.head: list[str] = []
        self._literals: dict[tuple[str, bytes], str] = {}

    def fresh(self, stem: str) -> str:
        """A name not used before, from a stem such as a user's variable name."""
        usable = stem.isidentifier() and not keyword.iskeyword(stem)
        stem = stem if usable and not stem.startswith("__") else "t"
        while True:
            k = self.counts.get(stem, -1) + 1
            self.counts[stem] = k
            name = stem if k == 0 and len(stem) > 1 else f"{stem}{k}"
            if name not in self.used:
                self.used.add(name)
                return name

    def size(self, n: int) -> str:
        """An integer of the program: a literal if tiny, else an argument, shared within a class."""
        if n < 0:
            return f"(-{self.size(-n)})"
        literal = n <= LITERAL_SIZE and not (isinstance(n, Extent) and n.varies and n > 1)
        return str(int(n)) if literal else self.argument(n)

    def argument(self, n: int) -> str:
        """An integer that LLVM does not know, so that it unrolls no loop by it."""
        key = int(n), n.label if isinstance(n, Extent) else -1
        if key not in self.sizes:
            self.sizes[key] = self.fresh("n")
        return self.sizes[key]

    def literal(self, c: Const) -> str:
        """A constant as kernel text, of exactly its dtype."""
        kind, dtype = KIND[c.dtype], c.dtype
        if kind == "b":
            return "True" if c.data else "False"
        if kind in "iu":
            return self._integer(int(c.data), dtype)
        known = self._literals.get(c.key)
        if known is None:
            known = self._literals[c.key] = self._float(float(c.data), dtype)
        return known

    def _integer(self, x: int, dtype: str) -> str:
        text = f"({x})" if x < 0 else str(x)
        if dtype == "i64" and -(2**63) < x < 2**63:
            return text
        name = self.fresh("k")
        self.head.append(f"{name} = ll.{dtype}({text})")
        return name

    def _float(self, x: float, dtype: str) -> str:
        plain = self._is_plain(x)
        if plain and dtype == "f64":
            return f"({x!r})" if math.copysign(1.0, x) < 0 else repr(x)
        if math.isnan(x):
            text = "math.nan"
            if dtype == "f64":
                return text
        elif plain:
            text = repr(x)
        else:
            if x not in self.consts:
                self.consts[x] = self.fresh("c")
            text = self.consts[x]
            if dtype == "f64":
                return text
        name = self.fresh("k")
        self.head.append(f"{name} = ll.{dtype}({text})")
        return name

    def _is_plain(self, x: float) -> bool:
        """Numbers of the mathematics (2, 0.5) stay in the text; the user's become arguments.

        So do quarters: the mean of 4 rows has one, and that of 5 rows has none.  So do infinities:
        where LLVM knows that one changes no maximum, it skips rows under a mask, one by one.
        """
        return math.isfinite(x) and abs(x) <= 2.0 and x * 2.0 == int(x * 2.0)


def fold_start(token: str, dtype: str) -> str:
    """The start value of an accumulation, of exactly the accumulator's dtype."""
    kind = KIND[dtype]
    if token in ("min_int", "max_int"):
        bits = 8 * ITEM.get(dtype, int(dtype[1:]) // 8)
        if kind == "u":
            value = 0 if token == "min_int" else 2**bits - 1
        else:
            value = -(2 ** (bits - 1)) if token == "min_int" else 2 ** (bits - 1) - 1
        token = f"({value})" if value >= 0 else f"(-{2 ** (bits - 1) - 1} - 1)"
    return token if dtype in ("f64", "i64", "bool") else f"ll.{dtype}({token})"
