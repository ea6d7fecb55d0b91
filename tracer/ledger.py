"""What a trace records: flat lists, of which ops are made when somebody asks for them.

An op, its tuples and its place would be ten times the memory, and half the time, of what tells a
recorded op from the others: most ops of a long loop become a few of the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.core import Op, Value
from ..ir.prim import Prim
from ..ir.types import Aval

_NONE: dict[str, Any] = {}


class Recipe:
    """All of an op but its operands, results and place: one object for all that are equal.

    takes  the types of its operands
    gives  those of its results
    made   the op itself, where it was made elsewhere; then it is equal to no other
    """

    __slots__ = ("attrs", "gives", "made", "prim", "takes")

    def __init__(
        self,
        prim: Prim,
        attrs: Mapping[str, Any],
        takes: tuple[Aval, ...],
        gives: tuple[Aval, ...],
        made: Op | None = None,
    ) -> None:
        self.prim, self.attrs, self.made = prim, attrs, made
        self.takes, self.gives = takes, gives


class Ledger:
    """The recorded ops: a recipe and a place of each, operands and results of all."""

    __slots__ = ("args", "outs", "recipes", "wheres")

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []
        self.wheres: list[Any] = []
        self.args: list[Value] = []
        self.outs: list[Value] = []

    def append(self, op: Op, recipe: Recipe | None = None) -> None:
        """Record an op that was made elsewhere (but by this recipe)."""
        if recipe is None:
            takes, gives = (tuple([v.aval for v in vs]) for vs in (op.args, op.outs))
            recipe = Recipe(op.prim, op.attrs, takes, gives, op)
        self.recipes.append(recipe)
        self.wheres.append(op.where)
        self.args += op.args
        self.outs += op.outs

    def op(self, k: int, args: slice, outs: slice) -> Op:
        """Op number k, whose operands and results lie there."""
        r, where = self.recipes[k], self.wheres[k]
        return Op(r.prim, tuple(self.args[args]), r.attrs, tuple(self.outs[outs]), _NONE, where)


def ledger_of(ops: Sequence[Op], recipes: Sequence[Recipe]) -> Ledger:
    """The ledger of ops that have been changed since they were recorded by these recipes."""
    found = Ledger()
    for op, recipe in zip(ops, recipes, strict=True):
        found.append(op, None if recipe.made is not None else recipe)
    return found


class Ops(Sequence[Op]):
    """The ops of a ledger, each made when it is looked at for the first time."""

    def __init__(self, ledger: Ledger, arg_at: np.ndarray, out_at: np.ndarray) -> None:
        self._ledger = ledger
        self._made: dict[int, Op] = {}
        self._arg_at, self._out_at = arg_at, out_at

    def __len__(self) -> int:
        return len(self._ledger.recipes)

    def __getitem__(self, k: Any) -> Any:
        if isinstance(k, slice):
            return [self[i] for i in range(*k.indices(len(self)))]
        op = self._made.get(k)
        if op is None:
            args, outs = (slice(at[k], at[k + 1]) for at in (self._arg_at, self._out_at))
            op = self._made[k] = self._ledger.recipes[k].made or self._ledger.op(k, args, outs)
        return op
