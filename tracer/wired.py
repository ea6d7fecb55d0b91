"""Rounds that are one loop, as the op of that loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from ..ir.builder import Builder, infer
from ..ir.core import Block, Const, Op, Value
from ..ir.ops.control import loop
from ..ir.ops.elementwise import add
from ..ir.ops.index import gather
from ..ir.ops.shape import zeros
from ..ir.printer import canonical
from ..ir.records import dataclass
from ..ir.types import Aval
from .rolling.match import Affine, Carried, Listed, Local, Operand, Same

INDEX = Aval("i64")


@dataclass(slots=True)
class Step:
    """An op of a round, or (`op` is None) its index, or what it leaves to be looked at."""

    token: Any
    args: tuple[Value, ...]
    outs: tuple[Value, ...]
    op: Op | None = None


def step_of(op: Op, args: tuple[Value, ...]) -> Step:
    """A recorded op as a step of its round."""
    facts = tuple(sorted(op.attrs.items()))
    regions = tuple((label, canonical(b)) for label, b in op.blocks.items())
    token = (op.prim, tuple(v.aval for v in op.args), facts, regions)
    return Step(token, args, op.outs, op)


class Unlike(Exception):
    """An operand that differs from round to round in a way that no loop can follow."""

    def __init__(self, op: Op | None, operand: Operand) -> None:
        self.op = op
        self.operand = operand


@dataclass
class Wired:
    """A loop in the making.

    Carries are shift registers: `registers` maps what was made so many rounds ago to its param,
    what it holds in the first round, and what in the next: (step, out), or a younger param.
    """

    steps: Sequence[Step]  # of the last round; the first of them makes the index
    operands: Sequence[Sequence[Operand]]
    first: int = 0  # the number of the round that is the loop's first
    where: Any = None
    whole: Value | None = None  # the number of rounds, if arrays of so many rows are run over
    rows: dict[Value, Value] = field(default_factory=dict)  # such arrays, and their rows
    env: dict[tuple[int, int], Value] = field(default_factory=dict)
    consts: dict[Value, Value] = field(default_factory=dict)
    registers: dict[Any, tuple[Value, Value, Any]] = field(default_factory=dict)
    body: Builder = field(default_factory=lambda: Builder(number=False))
    counter: Value = field(default_factory=lambda: Value(INDEX, "i"))

    def __post_init__(self) -> None:
        with self.body as b:
            for j, (s, operands) in enumerate(zip(self.steps, self.operands, strict=True)):
                if s.op is None:
                    b.where, start = self.where, self.first
                    self.env[j, 0] = add(self.counter, start) if start else self.counter
                    continue
                b.where = s.op.where
                if (array := self._run_over(s.op, operands)) is not None:
                    self.env[j, 0] = self.rows.setdefault(array, Value(s.outs[0].aval))
                    continue
                args = [self.inside(o, s.op) for o in operands]
                hints = [v.hint for v in s.outs]
                outs = b.add(s.op.prim, args, s.op.attrs, s.op.blocks, hints)
                self.env.update(((j, w), v) for w, v in enumerate(outs))

    def _run_over(self, op: Op, operands: Sequence[Operand]) -> Value | None:
        """The array whose row of this round an op reads, if all its rows are."""
        n = self.whole
        if not isinstance(n, Const) or op.prim is not gather or operands[1:] != (Local(0, 0),):
            return None
        x = operands[0]
        if op.attrs["axes"] != (0,) or not isinstance(x, Same) or x.value.shape[0] != n.data:
            return None
        return x.value

    def inside(self, o: Operand, op: Op | None = None) -> Value:
        """An operand as a value of the body."""
        if isinstance(o, Local):
            return self.env[o.step, o.out]
        if isinstance(o, Carried):
            return self._register(o.step, o.out, o.before)
        if isinstance(o, Affine | Listed):
            raise Unlike(op, o)
        v = o.value
        if isinstance(v, Const):
            return v
        if v not in self.consts:
            self.consts[v] = Value(v.aval, v.hint)
        return self.consts[v]

    def _register(self, step: int, out: int, before: tuple[Value, ...]) -> Value:
        """The param that holds what was made so many rounds ago as there are values before it."""
        key = (step, out, tuple(v.key if isinstance(v, Const) else v for v in before))
        if key not in self.registers:
            made = self.steps[step].outs[out]
            param = Value(made.aval, made.hint)
            if len(before) > 1:
                self.registers[key] = (param, before[0], self._register(step, out, before[1:]))
            else:
                self.registers[key] = (param, before[0], (step, out))
        return self.registers[key][0]

    def op(
        self,
        n: Value,
        last: dict[Value, Operand],
        given: dict[Value, Value],
        stacked: Sequence[Operand],
    ) -> Op:
        """The loop of `n` rounds: its results are the `last` values, which keep their names, and
        then the stacked ones.

        Without rounds they are what is `given`; where nothing is, there are rounds, and zeros are
        emitted into the current builder.
        """
        yields: list[Value] = []
        starts: list[Value] = []
        moving: list[Value] = []
        outs: list[Value] = []
        leaving = [(v, self.inside(o)) for v, o in last.items()]
        rows = [self.inside(o) for o in stacked]
        places = {id(x): v for v, x in leaving}
        for param, start, source in self.registers.values():
            x = self.env[source] if isinstance(source, tuple) else source
            v = places.get(id(x))
            fits = v is not None and v not in outs and _equal(given.get(v, start), start)
            moving.append(param)
            starts.append(start)
            yields.append(x)
            outs.append(v if v is not None and fits else Value(x.aval))
        known = set(outs)
        for v, x in leaving:
            if v in known:
                continue
            moving.append(Value(v.aval))
            starts.append(given[v] if v in given else zeros(v.aval))
            yields.append(x)
            outs.append(v)
        taken = (self.counter, *self.consts.values(), *moving, *self.rows.values())
        block = Block(taken, tuple(self.body.ops), (*yields, *rows))
        length = max(int(n.data), 0) if isinstance(n, Const) else -1
        attrs = {
            "consts": len(self.consts),
            "carries": len(moving),
            "reverse": False,
            "length": length,
        }
        args = (n, *self.consts, *starts, *self.rows)
        blocks = {"body": block}
        found = infer(loop, tuple(a.aval for a in args), (), attrs, blocks)
        results = (*outs, *map(Value, found[len(moving) :]))
        assert tuple(v.aval for v in results) == found
        return Op(loop, args, attrs, results, blocks, self.where)


def _equal(a: Value, b: Value) -> bool:
    """Whether two operands are the same value, or equal literals."""
    return a is b or (isinstance(a, Const) and isinstance(b, Const) and a.key == b.key)
