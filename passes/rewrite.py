"""Rules as lines of mathematics: compile a pattern, match it, emit its replacement."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.core import Const, Op, Value
from ..ir.ops.shape import broadcast_to
from ..ir.prim import Prim
from ..ir.records import dataclass
from ..ir.types import Aval
from .normal import Normal, Step

Line = Callable[..., tuple[Any, Any]]
Found = list[Value | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern and its replacement.

    Parameters of the line are wildcards; those named c… match constants only, those named m… are
    booleans.  The matcher tries both orders of commuting ops.
    """

    text: str
    root: Op
    defs: Mapping[Value, Op]
    index: Mapping[Value, int]
    constant: tuple[bool, ...]
    result: Any
    kinds: str = ""
    lenient: bool = False
    literal: bool = False  # whether one of the arguments has to be a constant
    made: frozenset[Prim] = frozenset()  # rows that have to have made some of them

    def __call__(self, b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Any:
        """The value that stands for an op of these arguments, or None."""
        if attrs and dict(attrs) != dict(self.root.attrs):
            return None
        if (self.kinds and args[0].aval.kind not in self.kinds) or (self.lenient > b.lenient):
            return None
        if self.literal and Const not in [type(a) for a in args]:
            return None
        if self.made:
            rows = [op.prim for a in args if (op := b.defs.get(a)) is not None]
            if not self.made.issubset(rows):
                return None
        found: Found = [None] * len(self.constant)
        if not _arguments(self, b, self.root, args, found):
            return None
        out = _emit(self, b, self.result, found)
        shape = _broadcast(args)
        return out if out.aval.shape == shape else broadcast_to(out, shape)


def rule(line: Line, kinds: str = "", lenient: bool = False) -> Rule:
    """Compile one line, for operands of these kinds of dtype (none given: all)."""
    names = list(inspect.signature(line).parameters)
    wild = [Value(Aval("bool" if n.startswith("m") else "f64"), n) for n in names]
    with Builder(wild) as b:
        pattern, result = line(*wild)
    root = b.defs[pattern]
    return Rule(
        ", ".join(names),
        root,
        b.defs,
        {v: i for i, v in enumerate(wild)},
        tuple(n.startswith("c") for n in names),
        result,
        kinds,
        lenient,
        any(type(a) is Const for a in root.args),
        frozenset(b.defs[a].prim for a in root.args if a in b.defs),
    )


def rules(*lines: Line, kinds: str = "", lenient: bool = False) -> dict[str, tuple[Step, ...]]:
    """Lines of mathematics as a table, by the row at the root of each pattern.

    `lenient` lines apply only where the builder may move a NaN, an infinity or more.
    """
    table: dict[str, tuple[Step, ...]] = {}
    for line in lines:
        r = rule(line, kinds, lenient)
        name = r.root.prim.name
        table[name] = (*table.get(name, ()), r)
    return table


def merged(*tables: Mapping[str, Sequence[Step]]) -> dict[str, tuple[Step, ...]]:
    """Tables one after another."""
    out: dict[str, tuple[Step, ...]] = {}
    for t in tables:
        for name, steps in t.items():
            out[name] = (*out.get(name, ()), *steps)
    return out


# ------------------------------------------------------------------ matching


def _arguments(r: Rule, b: Builder, pattern: Op, args: tuple[Value, ...], found: Found) -> bool:
    orders = (args, args[::-1]) if pattern.prim.commutes and len(args) == 2 else (args,)
    for order in orders:
        trial = list(found)
        if all(_matches(r, b, p, v, trial) for p, v in zip(pattern.args, order, strict=True)):
            found[:] = trial
            return True
    return False


def _matches(r: Rule, b: Builder, pattern: Value, v: Value, found: Found) -> bool:
    i = r.index.get(pattern)
    if i is not None:
        if r.constant[i] and type(v) is not Const:
            return False
        if (v.aval.dtype == "bool") != (pattern.aval.dtype == "bool"):
            return False
        if found[i] is None:
            found[i] = v
            return True
        return same(found[i], v)
    if type(pattern) is Const:
        return type(v) is Const and bool(v.data == pattern.data)
    want, op = r.defs[pattern], b.defs.get(v)
    if op is None or op.prim is not want.prim or dict(op.attrs) != dict(want.attrs):
        return False
    return _arguments(r, b, want, op.args, found)


def same(x: Value | None, y: Value) -> bool:
    """Whether two values are one: constants by their bits."""
    return x is y or (type(x) is Const and type(y) is Const and x.key == y.key)


def _emit(r: Rule, b: Builder, template: Any, found: Found) -> Value:
    """The replacement; its numbers take the dtype of what they meet."""
    out = _term(r, b, template, found)
    if isinstance(out, Value):
        return out
    dtype = next(v.aval.dtype for v in found if v is not None)
    return Const(out, dtype)


def _term(r: Rule, b: Builder, template: Any, found: Found) -> Any:
    if not isinstance(template, Value):
        return template
    i = r.index.get(template)
    if i is not None:
        return found[i]
    if type(template) is Const:
        return template.data.item()
    op = r.defs[template]
    return b.add(op.prim, [_term(r, b, a, found) for a in op.args], op.attrs)[0]


def _broadcast(args: tuple[Value, ...]) -> tuple[int, ...]:
    from_all = [a.aval.shape for a in args]
    first = from_all[0]
    if all(s == first or not s for s in from_all):
        return first or max(from_all, key=len)
    n = max(map(len, from_all))
    padded = [(1,) * (n - len(s)) + s for s in from_all]
    return tuple(next((d for d in dims if d != 1), 1) for dims in zip(*padded, strict=True))
