"""A trace as columns of numbers, in which equal rounds are found and compared all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir import ops as rows
from ...ir.core import Value
from ..ledger import Ledger, Ops, Recipe
from .activations import Walk

if TYPE_CHECKING:
    from .steps import Put

_FEW = 8  # blocks that are compared first
_AT_ONCE = 1 << 14  # ops: what is made of them on the way stays small


class Columns:
    """What was recorded, as arrays.

    entries   for each entry from user code one number: instruction, way to it, how many ops
    starts    how many ops there were at each entry, and in the end
    ops       what was recorded, made when looked at
    tokens    for each op a number, equal where ops are the same up to operands and to where the
              regions that they read or write begin
    out_at    the number of the first result of each op
    args      the operands of all ops: numbers of results, or below zero what is no result
    arg_at    where those of each op begin
    read      how many ops there were when each result was read for the last time
    """

    def __init__(self, ledger: Ledger, puts: Mapping[int, Put], walk: Walk) -> None:
        count = len(ledger.recipes)
        unlike = dict.fromkeys(ledger.recipes)
        kinds = dict(zip(unlike, range(len(unlike)), strict=True))
        kind = np.fromiter(map(kinds.__getitem__, ledger.recipes), np.int32, count)
        self.arg_at = _offsets(np.array([len(r.takes) for r in kinds], np.int32)[kind])
        self.out_at = _offsets(np.array([len(r.gives) for r in kinds], np.int32)[kind])
        self.ops = Ops(ledger, self.arg_at, self.out_at)
        self.tokens = _tokens(kinds, kind, puts)
        self.starts = np.append(np.array(walk.starts), np.int32(count))
        self.entries = np.zeros(len(walk.lastis), np.int64)
        self.entries[walk.moved] = walk.moves
        self.entries <<= 20
        self.entries += np.diff(self.starts)
        self.entries <<= 20
        self.entries += np.array(walk.lastis)
        self._later: dict[Value, int] = {}  # of what no recorded op made
        self._others: dict[Any, int] = {}
        self._number: dict[Value, int] = {}  # of the values that were asked for
        self._made = _Results(ledger.outs)
        self.args = np.empty(len(ledger.args), np.int32)
        self.read = np.zeros(len(ledger.outs), np.int32)
        for k in range(0, count, _AT_ONCE):
            self._read_by(k, min(count, k + _AT_ONCE), ledger.args)

    def _read_by(self, first: int, last: int, args: Sequence[Value]) -> None:
        """Note what a range of ops reads."""
        at = self.arg_at[first : last + 1]
        values = args[at[0] : at[-1]]
        ids = _identities(values)
        found = self._made.places(ids)
        other = np.flatnonzero(found < 0)
        _, some, same = np.unique(ids[other], return_index=True, return_inverse=True)
        names = [self.number(values[k]) for k in other[some]]
        found[other] = np.array(names, np.int32)[same]
        self.args[at[0] : at[-1]] = found
        made = found >= 0
        done = np.repeat(np.arange(first + 1, last + 1, dtype=np.int32), np.diff(at))
        self.read[found[made]] = done[made]  # the last one stands

    def number(self, v: Value) -> int:
        """The number of a value; equal literals have one."""
        x = self._number.get(v)
        if x is None:
            x = self._made.place(v)
            if x < 0:
                key = getattr(v, "key", v)  # literals have one
                x = self._others.setdefault(key, -2 - len(self._others))
            self._number[v] = x
        return x

    @property
    def lowest(self) -> int:
        """The least number there is."""
        return -1 - len(self._others)

    @property
    def highest(self) -> int:
        """The largest number there is."""
        return len(self.read) - 1

    # -------------------------------------------------------------- who reads what

    def reads(self, v: Value, last: int) -> None:
        """A value is read by something that is done after `last` ops."""
        x = self._made.place(v)
        if x >= 0:
            self.read[x] = max(int(self.read[x]), last)
        else:
            self._later[v] = max(self._later.get(v, 0), last)

    def last_read(self, v: Value) -> int:
        """How many ops had been recorded when a value was read for the last time."""
        x = self._made.place(v)
        return int(self.read[x]) if x >= 0 else self._later.get(v, 0)

    def read_after(self, values: Iterable[Value], last: int) -> list[Value]:
        """Those of the values that are read by something that is done after `last` ops."""
        values = list(values)
        places = self._made.places(_identities(values)).tolist()
        read, later = self.read, self._later
        return [
            v
            for v, x in zip(values, places, strict=True)
            if (read[x] if x >= 0 else later.get(v, 0)) > last
        ]

    def rename(self, old: Value, new: Value | None, last: int) -> None:
        """What reads a value after `last` ops reads another one instead."""
        later = self.last_read(old)
        x = self._number.get(old, -1)
        if x >= 0:
            self.read[x] = last
        else:
            self._later[old] = last
        if new is not None:
            self.reads(new, later)

    # -------------------------------------------------------------- what comes again

    def again(self, first: int, second: int, end: int) -> int:
        """How many blocks of entries follow that are equal to the one from `first` to `second`."""
        size = second - first
        most = (end - second) // size
        if most < 1 or self.entries[second] != self.entries[first]:
            return 0
        a, b = int(self.starts[first]), int(self.starts[second])
        few = min(_FEW, most)
        while True:
            found = _equal(self.entries, first, size, few)
            found = min(found, _equal(self.tokens, a, b - a, found))
            if found < few or few == most:
                return found
            few = min(8 * few, most)


class _Results:
    """Finds the number of a result by its identity, which is a tenth of the memory of a dict."""

    def __init__(self, values: Sequence[Value]) -> None:
        ids = _identities(values)
        self._order = np.argsort(ids).astype(np.int32)
        self._ids = ids[self._order]

    def places(self, ids: np.ndarray) -> np.ndarray:
        """The numbers of the values with these identities, -1 where they are no results."""
        if not len(self._ids):
            return np.full(len(ids), -1, np.int32)
        at = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[at] == ids, self._order[at], np.int32(-1))

    def place(self, v: Value) -> int:
        """The number of a value, -1 if it is no result."""
        return int(self.places(np.array([id(v)]))[0])


def _identities(values: Sequence[Value]) -> np.ndarray:
    return np.fromiter(map(id, values), np.int64, len(values))


def _equal(column: np.ndarray, first: int, size: int, count: int) -> int:
    """How many of the `count` blocks after the one at `first` are equal to it."""
    head = column[first : first + size]
    same = (column[first + size : first + size * (count + 1)].reshape(count, size) == head).all(1)
    return count if same.all() else int(np.argmin(same))


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _tokens(kinds: Mapping[Recipe, int], kind: np.ndarray, puts: Mapping[int, Put]) -> np.ndarray:
    facts: dict[Any, int] = {}
    names = np.empty(len(kinds), np.int32)
    for r, k in kinds.items():
        moving = r.prim is rows.slice_ and r.made is None
        key: Any = (r.takes, r.attrs["size"], r.attrs["step"]) if moving else r
        names[k] = facts.setdefault(key, len(facts))
    found = names[kind]
    for put in puts.values():
        if put.first < put.last:
            same = (put.old.aval, put.new.aval, put.step, put.last - put.first)
            found[put.first] = facts.setdefault(same, len(facts))
            found[put.first + 1 : put.last] = facts.setdefault("put", len(facts))
    return found
