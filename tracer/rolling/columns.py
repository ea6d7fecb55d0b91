"""A trace as columns of numbers, in which equal rounds are found and compared all at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import filterfalse
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir import ops as rows
from ...ir.core import Value
from ..ledger import Ledger, Ops, Recipe
from .activations import Walk

if TYPE_CHECKING:
    from .steps import Put

_FEW = 8  # blocks that are compared first


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
        kind = np.fromiter(map(kinds.__getitem__, ledger.recipes), np.int64, count)
        self.arg_at = _offsets(np.array([len(r.takes) for r in kinds], np.int64)[kind])
        self.out_at = _offsets(np.array([len(r.gives) for r in kinds], np.int64)[kind])
        self.ops = Ops(ledger, self.arg_at, self.out_at)
        self.tokens = _tokens(kinds, kind, puts)
        self.starts = np.array([*walk.starts, count])
        moves = np.zeros(len(walk.lastis), np.int64)
        moves[list(walk.moves)] = list(walk.moves.values())
        self.entries = (moves << 40) + (np.diff(self.starts) << 20) + np.array(walk.lastis, int)
        self._later: dict[Value, int] = {}  # of what no recorded op made
        self._others: dict[Any, int] = {}
        self._number = dict(zip(ledger.outs, range(len(ledger.outs)), strict=True))
        for v in filterfalse(self._number.__contains__, ledger.args):
            self.number(v)
        known = map(self._number.__getitem__, ledger.args)
        self.args = np.fromiter(known, np.int64, len(ledger.args))
        self.read = np.zeros(len(ledger.outs), np.int64)
        made = self.args >= 0
        done = np.repeat(np.arange(1, count + 1), np.diff(self.arg_at))
        self.read[self.args[made]] = done[made]  # the last one stands

    def number(self, v: Value) -> int:
        """The number of a value; equal literals have one."""
        x = self._number.get(v)
        if x is None:
            key = getattr(v, "key", v)  # literals have one
            x = self._number[v] = self._others.setdefault(key, -2 - len(self._others))
        return x

    # -------------------------------------------------------------- who reads what

    def reads(self, v: Value, last: int) -> None:
        """A value is read by something that is done after `last` ops."""
        x = self._number.get(v, -1)
        if x >= 0:
            self.read[x] = max(int(self.read[x]), last)
        else:
            self._later[v] = max(self._later.get(v, 0), last)

    def last_read(self, v: Value) -> int:
        """How many ops had been recorded when a value was read for the last time."""
        x = self._number.get(v, -1)
        return int(self.read[x]) if x >= 0 else self._later.get(v, 0)

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


def _equal(column: np.ndarray, first: int, size: int, count: int) -> int:
    """How many of the `count` blocks after the one at `first` are equal to it."""
    head = column[first : first + size]
    same = (column[first + size : first + size * (count + 1)].reshape(count, size) == head).all(1)
    return count if same.all() else int(np.argmin(same))


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)])


def _tokens(kinds: Mapping[Recipe, int], kind: np.ndarray, puts: Mapping[int, Put]) -> np.ndarray:
    facts: dict[Any, int] = {}
    names = np.empty(len(kinds), np.int64)
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
