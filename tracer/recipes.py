"""The Builder of a trace: what a recorded op has in common with others is looked up."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from ..ir.builder import Builder, infer
from ..ir.core import Const, Op, Value
from ..ir.ops.shape import broadcast
from ..ir.prim import Prim
from ..ir.types import Aval
from .ledger import Ledger, Recipe

# Recipes by row, attributes and identity of the operands' avals (kept alive by the entry):
# hashing avals is a third of the time of an op.
_known: dict[Any, tuple[Recipe, Any]] = {}
_recipes: dict[Any, Recipe] = {}  # by row, attributes and avals
_LIMIT = 50_000
_EMPTY: dict[str, Any] = {}


_new: Any = object.__new__


class TraceBuilder(Builder):
    """A Builder that records and does not number; ops are made when somebody looks at them."""

    where: Any  # a Place: read like a Where, decoded late

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.recipes = self.ledger.recipes
        self.zeros: set[Value] = set()  # arrays of +0, as np.zeros makes them
        self._ops: list[Op] = []
        self._defs: dict[Value, Op] = {}
        self._seen = (0, 0)  # how many operands and results the ops have that were made
        super().__init__(number=False)

    @property
    def ops(self) -> list[Op]:
        """The recorded ops."""
        if len(self._ops) != len(self.recipes):
            self._make()
        return self._ops

    @ops.setter
    def ops(self, ops: list[Op]) -> None:
        self._ops = ops

    @property
    def defs(self) -> dict[Value, Op]:
        """The op that made a value."""
        if len(self._ops) != len(self.recipes):
            self._make()
        return self._defs

    @defs.setter
    def defs(self, defs: dict[Value, Op]) -> None:
        self._defs = defs

    def _make(self) -> None:
        ledger, ops, defs, (a, o) = self.ledger, self._ops, self._defs, self._seen
        recipes, wheres, args, outs = ledger.recipes, ledger.wheres, ledger.args, ledger.outs
        for k in range(len(ops), len(recipes)):
            r = recipes[k]
            start, a = a, a + len(r.takes)
            if r.made is None and len(r.gives) == 1:
                v = outs[o]
                op = Op(r.prim, tuple(args[start:a]), r.attrs, (v,), _EMPTY, wheres[k])
                defs[v] = op
                o += 1
            else:
                first, o = o, o + len(r.gives)
                op = r.made or ledger.op(k, slice(start, a), slice(first, o))
                for v in op.outs:
                    defs[v] = op
            ops.append(op)
        self._seen = a, o

    def add(
        self,
        prim: Prim,
        args: Sequence[Any],
        attrs: Mapping[str, Any] | None = None,
        blocks: Mapping[str, Any] | None = None,
        hints: Sequence[str] = (),
    ) -> tuple[Value, ...]:
        """Append an op; returns its results."""
        try:
            avals = [a.aval for a in args]
        except AttributeError:
            return self._other(prim, self._lift(prim, args), attrs, blocks, hints)
        if blocks or hints:
            return self._other(prim, args, attrs, blocks, hints)
        known = _known.get((prim, *attrs.items(), *map(id, avals)) if attrs else
                           (prim, *map(id, avals)))  # fmt: skip
        return self.put(known[0] if known is not None else recipe(prim, attrs, avals), args)

    def again(self, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Append an op of another block; what results were called there is told as well."""
        return self.add(op.prim, args, op.attrs, None, [v.hint for v in op.outs])

    def put(self, recipe: Recipe, args: Sequence[Value]) -> tuple[Value, ...]:
        """Append the op of a recipe; returns its results."""
        outs = tuple([Value(a) for a in recipe.gives])
        ledger = self.ledger
        ledger.recipes.append(recipe)
        ledger.wheres.append(self.where)
        ledger.args += args
        ledger.outs += outs
        if recipe.prim is broadcast and type(args[0]) is Const and not any(args[0].data.tobytes()):
            self.zeros.add(outs[0])
        return outs

    def one(self, recipe: Recipe, x: Value) -> Value:
        """Append an op of one operand and one result; returns its result."""
        out: Value = _new(Value)
        out.aval = recipe.gives[0]
        out.hint = ""
        ledger = self.ledger
        ledger.recipes.append(recipe)
        ledger.wheres.append(self.where)
        ledger.args.append(x)
        ledger.outs.append(out)
        return out

    def chain(self, first: int, x: Value, out: Value) -> tuple[Recipe, ...] | None:
        """The recipes of the ops from one on, if each reads only what the one before made."""
        ledger, n = self.ledger, len(self.recipes) - first
        found = tuple(self.recipes[first:])
        if any(len(r.takes) != 1 or len(r.gives) != 1 or r.made is not None for r in found):
            return None
        if any(r.prim is broadcast for r in found):
            return None
        made = [x, *(ledger.outs[-n:] if n else [])]
        wired = made[-1] is out and all(map(operator.is_, ledger.args[-n:] if n else [], made))
        return found if wired else None

    def _other(
        self, prim: Prim, args: Sequence[Value], attrs: Any, blocks: Any, hints: Sequence[str]
    ) -> tuple[Value, ...]:
        """Append an op with regions or names."""
        attrs = {} if attrs is None else attrs
        facts = tuple(sorted(attrs.items()))
        avals = infer(prim, tuple([v.aval for v in args]), facts, attrs, blocks)
        outs = tuple(map(Value, avals, (*hints, *("",) * (len(avals) - len(hints)))))
        self.append(Op(prim, tuple(args), attrs, outs, blocks or {}, self.where))
        return outs

    def append(self, op: Op) -> None:
        """Append an op that was made elsewhere."""
        self.ledger.append(op)

    def cut(self, start: int) -> list[Op]:
        """Take the ops from this one on away again; returns them."""
        gone, ledger = self.ops[start:], self.ledger
        del self._ops[start:], ledger.recipes[start:], ledger.wheres[start:]
        for op in gone:
            for v in op.outs:
                del self._defs[v]
        args, outs = sum(len(op.args) for op in gone), sum(len(op.outs) for op in gone)
        self._seen = len(ledger.args) - args, len(ledger.outs) - outs
        del ledger.args[self._seen[0] :], ledger.outs[self._seen[1] :]
        return gone


def recipe(prim: Prim, attrs: Mapping[str, Any] | None, avals: Sequence[Aval]) -> Recipe:
    """The recipe of an op of this row, with these attributes, of operands of these types."""
    facts = tuple(attrs.items()) if attrs else ()
    if len(_known) > _LIMIT:
        _known.clear()
        _recipes.clear()
    key = (prim, facts, tuple(avals))
    found = _recipes.get(key)
    if found is None:
        outs = infer(prim, tuple(avals), tuple(sorted(facts)), attrs or _EMPTY)
        found = _recipes[key] = Recipe(prim, attrs or _EMPTY, tuple(avals), outs)
    _known[(prim, *facts, *map(id, avals))] = found, avals
    return found
