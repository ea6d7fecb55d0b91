"""Rounds that are known to be equal without having been looked at one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from ...ir.core import Value
from .columns import Columns
from .steps import Reader, Step, integer


class Many:
    """Rounds of as many ops each, one after the other, with the same steps as one that was read.

    key    the tokens of the steps
    first  the number of the first op of the rounds
    size   the ops of each
    at     for each step its first op, counted from the first of the round
    """

    def __init__(self, reader: Reader, columns: Columns, model: Sequence[Step], first: int) -> None:
        self.reader, self.columns = reader, columns
        self.key = tuple([s.token for s in model])
        self.first = first
        begins = [s.last - len(s.ops) for s in model]
        self.at = [b - begins[0] for b in begins]
        self.size = model[-1].last - begins[0]
        self.moves = [s.moves for s in model]
        puts = reader.puts
        self.put = [b in puts and puts[b].out in s.outs for b, s in zip(begins, model, strict=True)]
        self.slots = [(j, a) for j, s in enumerate(model) for a in range(len(s.args))]
        self.outs = [(j, w) for j, s in enumerate(model) for w in range(len(s.outs))]
        self._args = [len(s.args) for s in model]

    def unrolled(self, k: int) -> list[Step]:
        """The steps of round k, which is to stay as it is."""
        return self.reader.steps(self.first + k * self.size, self.first + (k + 1) * self.size)

    def steps(self, k: int) -> list[Step]:
        """The steps of round k, while nobody has seen where they stand."""
        found = []
        for j, at in enumerate(self.at):
            at += self.first + k * self.size
            if self.put[j]:
                found += self.reader.steps(at, self.reader.puts[at].last)
                continue
            op = self.reader.ops[at]
            args = tuple([self.operand(k, j, a) for a in range(self._args[j])])
            found.append(Step(self.key[j], args, op.outs, op, at + 1, (op,)))
            found[-1].moves = self.moves[j]
        return found

    def operand(self, k: int, j: int, a: int) -> Value:
        """Operand a of step j of round k."""
        at = self.first + k * self.size + self.at[j]
        if self.put[j]:
            put = self.reader.puts[at]
            return (put.old, put.new)[a] if a < 2 else integer(put.start[a - 2])
        recipe = self.reader.recipes[at]
        known = len(recipe.takes)
        if a >= known:
            return integer(recipe.attrs["start"][a - known])
        return self.reader.ops[at].args[a]

    def result(self, k: int, j: int, w: int) -> Value:
        """Result w of step j of round k."""
        at = self.first + k * self.size + self.at[j]
        return self.reader.puts[at].out if self.put[j] else self.reader.ops[at].outs[w]

    def numbers(self, a: int, b: int) -> np.ndarray:
        """The operands of rounds a to b as the columns number them, a row for each round."""
        c, first = self.columns, self.first + a * self.size
        begin, end = c.arg_at[first], c.arg_at[first + (b - a) * self.size]
        table = c.args[begin:end].reshape(b - a, -1)
        out = np.empty((b - a, len(self.slots)), np.int32)
        for n, (j, arg) in enumerate(self.slots):
            at = first + self.at[j]
            if self.put[j] or arg >= len(self.reader.recipes[at].takes):
                out[:, n] = [c.number(self.operand(k, j, arg)) for k in range(a, b)]
            else:
                out[:, n] = table[:, c.arg_at[at] - begin + arg]
        return out

    def made(self, a: int, b: int) -> np.ndarray:
        """The numbers of the results of rounds a to b: a row for each round, by `outs`."""
        at, first = self.columns.out_at, self.first
        within = []
        for j, w in self.outs:
            k = first + self.at[j]
            k = self.reader.puts[k].last - 1 if self.put[j] else k
            within.append(int(at[k] - at[first]) + w)
        size = int(at[first + self.size] - at[first])
        begins = at[first] + np.arange(a, b) * size
        return begins[:, None] + np.array(within, np.int64)

    def read_after(self, a: int, b: int, end: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """The results of rounds a to b that are read after `end` ops: round, step and result."""
        read = self.columns.read[self.made(a, b)] > end
        for k, n in zip(*np.nonzero(read), strict=True):
            yield int(k), self.outs[n]


class Equal(Sequence[Step]):
    """One of many rounds; its steps are made when somebody asks for them."""

    __slots__ = ("_steps", "k", "many")

    def __init__(self, many: Many, k: int) -> None:
        self.many, self.k = many, k
        self._steps: list[Step] | None = None

    def __len__(self) -> int:
        return len(self.many.key)

    def __getitem__(self, j: Any) -> Any:
        if self._steps is None:
            self._steps = self.many.steps(self.k)
        return self._steps[j]

    def __iter__(self) -> Iterator[Step]:
        return iter(self[:])


def many_of(reader: Reader, columns: Columns, model: Sequence[Step], after: int) -> Many | None:
    """Rounds that follow one of which these are the steps, if these are nothing but ops."""
    if not model or any(not s.ops or s.guards for s in model):
        return None
    if any(a.last != b.last - len(b.ops) for a, b in pairwise(model)) or model[-1].last != after:
        return None
    if any(len(s.ops) > 1 and s.last - len(s.ops) not in reader.puts for s in model):
        return None  # arrays turned along an axis: by how far is no operand of a recorded op
    return Many(reader, columns, model, after)


# ------------------------------------------------------------------ rounds of either kind


def unrolled(rounds: Sequence[Sequence[Step]]) -> list[Step]:
    """The steps of rounds that are to stay as they are."""
    out: list[Step] = []
    for r in rounds:
        out += r.many.unrolled(r.k) if type(r) is Equal else r
    return out


def key_of(r: Sequence[Any]) -> tuple[Any, ...]:
    """The tokens of the steps of a round."""
    return r.many.key if type(r) is Equal else tuple([s.token for s in r])


def operand(r: Sequence[Any], j: int, a: int) -> Value:
    """Operand a of step j of a round."""
    found: Value = r.many.operand(r.k, j, a) if type(r) is Equal else r[j].args[a]
    return found


def result(r: Sequence[Any], j: int, w: int) -> Value:
    """Result w of step j of a round."""
    found: Value = r.many.result(r.k, j, w) if type(r) is Equal else r[j].outs[w]
    return found


def stretches(rounds: Sequence[Sequence[Any]]) -> Iterator[tuple[Many | None, int, int]]:
    """Runs of rounds: of what they are many, if they are, and their numbers, from and to."""
    k = 0
    for many, group in groupby(rounds, key=lambda r: r.many if type(r) is Equal else None):
        n = len(list(group))
        yield many, k, k + n
        k += n
