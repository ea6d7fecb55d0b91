"""From a recorded program to one with loops: steps, loops folded, and ops again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import CodeType

import numpy as np

from ...ir.builder import Builder
from ...ir.core import Op, Value
from ...ir.records import dataclass
from ..ledger import Ledger
from .activations import Walk
from .columns import Columns
from .match import Table
from .segments import Note, Policy, Segments, expanded, may_loop
from .steps import Put, Reader, Step


@dataclass(frozen=True)
class Inputs:
    """What rolling asks of the trace: hidden inputs.

    table  the input of literals that differ from round to round
    limit  the input that says how many rounds the while at a place may have, given how many it had
    known  what an input holds that was made while tracing; None of any other value
    """

    table: Callable[[Table], Value]
    limit: Callable[[CodeType, int, int], Value]
    known: Callable[[Value], np.ndarray | None]


@dataclass(frozen=True)
class Rolled:
    """The ops of a program with loops, its results, and what became of each loop."""

    ops: tuple[Op, ...]
    outs: tuple[Value, ...]
    notes: tuple[Note, ...]


def roll(
    ledger: Ledger,
    outs: Sequence[Value],
    walk: Walk,
    puts: Mapping[int, Put],
    inputs: Inputs,
    policy: Policy,
) -> Rolled | None:
    """Roll the loops of a trace; None where nothing can be one."""
    call = walk.done()
    if not any(may_loop(inner, walk) for inner in call.calls):
        return None
    columns = Columns(ledger, puts, walk)
    count = len(ledger.recipes)
    for v in outs:
        columns.reads(v, count + 1)
    reader = Reader(columns.ops, ledger.recipes, puts, columns, inputs.limit, inputs.known)
    segments = Segments(walk, count, reader, policy)
    first = walk.starts[0] if walk.starts else count
    steps = [*reader.steps(0, first), *expanded(segments.parse(call))]
    notes = tuple(segments.notes.values())
    if all(s.ops for s in steps):
        return Rolled(tuple(columns.ops), tuple(outs), notes)
    return Rolled(*_emitted(_live(steps, outs), outs, inputs.table), notes)


def _live(steps: Sequence[Step], outs: Sequence[Value]) -> list[Step]:
    """Without the steps that were put in and that nothing reads."""
    live, kept = set(outs), []
    for s in reversed(steps):
        if not _droppable(s) or not live.isdisjoint(s.outs):
            kept.append(s)
            live.update(s.args)
    return kept[::-1]


def _droppable(s: Step) -> bool:
    """Whether a step is nothing but moved elements: what is read of a loop may be other ones."""
    if s.ops:
        return len(s.ops) == 1 and s.ops[0].prim.name == "reshape"
    return s.weight == 1


def _emitted(
    steps: Sequence[Step], outs: Sequence[Value], table: Callable[[Table], Value]
) -> tuple[tuple[Op, ...], tuple[Value, ...]]:
    env: dict[Value, Value] = {}
    with Builder(number=False) as b:
        for s in steps:
            if s.ops:
                b.ops.extend(_renamed(op, env) for op in s.ops)
                continue
            args = [env.get(a, a) for a in s.args]
            args = [table(a) if type(a) is Table else a for a in args]
            env.update(zip(s.outs, s.emit(b, args), strict=True))
    return tuple(b.ops), tuple(env.get(v, v) for v in outs)


def _renamed(op: Op, env: Mapping[Value, Value]) -> Op:
    if env and any(a in env for a in op.args):
        return replace(op, args=tuple(env.get(a, a) for a in op.args))
    return op
