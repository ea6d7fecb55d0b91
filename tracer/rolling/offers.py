"""What names held at the decisions of a branch, as numbers that are compared all at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...ir.builder import literal
from ...ir.core import Const, Value
from ...ir.types import Aval
from .match import is_literal
from .names import Held

_NUMBERS = (bool, int, float, complex, np.generic)
Column = dict[int, Value]  # by round


def key(v: Value) -> Any:
    """Equal for the same value, and for equal literals."""
    return id(v) if type(v) is Value or not is_literal(v) else v.key  # type: ignore[attr-defined]


class Mark:
    """A column; equal to those that hold the same in the same rounds.  Its hash is made once."""

    __slots__ = ("_hash", "_said", "rows")

    def __init__(self, rows: Column) -> None:
        self.rows = rows
        self._said = (*rows, *map(key, rows.values()))
        self._hash = hash(self._said)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mark) and self._said == other._said


class Offers:
    """What names held when Python decided, round by round.

    rounds  in which it did
    paths   to what was held, in their order
    """

    def __init__(self, held: Mapping[int, Held], numbers: dict[Any, int]) -> None:
        self.rounds = sorted(held)
        self.paths = sorted({p for h in held.values() for p in h})
        self._held = held
        self._numbers = numbers  # equal for what is equal
        self._at = {k: n for n, k in enumerate(self.rounds)}
        rows = {p: n for n, p in enumerate(self.paths)}
        self._table = np.full((len(self.paths), len(self.rounds)), -1, np.int64)
        self._known: dict[int, set[int]] = {}
        for n, k in enumerate(self.rounds):
            found = [numbers.setdefault(_key(x), len(numbers)) for x in held[k].values()]
            self._table[[rows[p] for p in held[k]], n] = found
            self._known[k] = set(found)
        self._columns: dict[tuple[str, Aval], Mark | None] = {}

    def names(self, k: int, v: Value) -> bool:
        """Whether a name held a value in a round."""
        return self._numbers.get(_key(v), -1) in self._known[k]

    def leading(self, rows: Column) -> list[str]:
        """The paths that led to these values in all of these rounds."""
        numbers = self._numbers
        wanted = [numbers.get(_key(v), -2) for v in rows.values()]
        if not wanted or min(wanted) < 0:
            return []
        at = self._at
        table = self._table[:, [at[k] for k in rows]]
        found = np.flatnonzero((table == np.array(wanted)).all(1))
        return [self.paths[n] for n in found]

    def column(self, path: str, aval: Aval) -> Mark | None:
        """What a path led to in all rounds, as values of a type; None where it did not."""
        known = path, aval
        if known not in self._columns:
            found: dict[int, Any] = {}
            for k in self.rounds:
                v = found[k] = as_value(self._held[k].get(path), aval)
                if v is None or v.aval != aval:
                    self._columns[known] = None
                    break
            else:
                self._columns[known] = Mark(found)
        return self._columns[known]


def as_value(x: Any, aval: Aval | None) -> Value | None:
    """What a name held, as a value of this type where it was a number."""
    if type(x) is Const and aval is not None and x.aval != aval and not aval.shape:
        x = x.data.item()
    if isinstance(x, Value):
        return x
    if not isinstance(x, _NUMBERS) or (aval is not None and aval.shape):
        return None
    if aval is None:
        return literal(x)
    kind = aval.kind
    if isinstance(x, complex) and kind != "c":
        return None
    if isinstance(x, float) and kind not in "fc":
        return None
    return Const(x, aval.dtype)


def _key(x: Any) -> Any:
    if type(x) is Value:
        return x
    if type(x) is Const:
        return x.data.item()
    if isinstance(x, np.generic):
        return x.item()
    return x
