"""Shift invariance: the maximum that softmax and logsumexp subtract counts as a constant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..ir.builder import Builder
from ..ir.core import Block, Function, Op, Value, definitions
from ..ir.ops.elementwise import add, div, exp, log, stop_gradient, sub
from ..ir.ops.reduce import max_
from ..ir.ops.shape import broadcast, sum_
from ..ir.records import dataclass
from .replay import replay

_MOVES = ("broadcast", "reshape")


def constant_shifts(function: Function) -> Function:
    """The function where `m = max(x)` is a constant if no result depends on it mathematically.

    That is so if m is read by `e = exp(x - m)`, by `log(sum(e)) + m` and `(x - m) - log(sum(e))`
    alone, and e by `sum(e)` and `e / sum(e)` alone: these are the same for any m.  [rounding]
    """
    return Function(function.name, _frozen(function.block))


@dataclass(frozen=True, slots=True)
class _Uses:
    """Who makes and who reads the values of a block."""

    made: Mapping[Value, Op]
    readers: Mapping[Value, list[Op]]
    outs: frozenset[Value]

    def of(self, values: Iterable[Value]) -> list[Op] | None:
        """The ops that read values however these are repeated; None if one is a result."""
        ops: list[Op] = []
        todo = list(values)
        while todo:
            v = todo.pop()
            if v in self.outs:
                return None
            for op in self.readers.get(v, ()):
                unit = op.prim is sum_ and all(v.shape[a] == 1 for a in op.attrs["axes"])
                if op.prim.name in _MOVES or unit:
                    todo.append(op.outs[0])
                else:
                    ops.append(op)
        return ops

    def varies(self, v: Value, ndim: int) -> set[int]:
        """The dims of a result of this rank along which an operand may vary."""
        op = self.made.get(v)
        new = op.attrs["axes"] if op is not None and op.prim is broadcast else ()
        extra = ndim - v.ndim
        return {k + extra for k, n in enumerate(v.shape) if n != 1 and k not in new}


def _frozen(block: Block) -> Block:
    readers: dict[Value, list[Op]] = {}
    for op in block.ops:
        for a in dict.fromkeys(op.args):
            readers.setdefault(a, []).append(op)
    uses = _Uses(definitions(block), readers, frozenset(block.outs))
    shifts = {op.outs[0] for op in block.ops if op.prim is max_ and _is_shift(op, uses)}

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
        if op.blocks:
            blocks = {label: _frozen(r) for label, r in op.blocks.items()}
            return b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])
        if op.outs and op.outs[0] in shifts:
            (m,) = b.add(op.prim, args, op.attrs, None, [v.hint for v in op.outs])
            return (stop_gradient(m),)
        return None

    return replay(block, visit) if shifts or any(op.blocks for op in block.ops) else block


def _is_shift(op: Op, uses: _Uses) -> bool:
    (x,), m, axes = op.args, op.outs[0], set(op.attrs["axes"])
    readers = uses.of([m])
    if not readers:
        return False
    shifted = [
        u
        for u in readers
        if u.prim is sub and u.args[0] is x and axes.isdisjoint(uses.varies(u.args[1], x.ndim))
    ]
    added = {u for u in readers if u.prim is add}
    if not shifted or len(shifted) + len(added) != len(readers):
        return False
    tops = {u.outs[0] for u in shifted}
    reading = uses.of(tops)
    exps = [u for u in reading or () if u.prim is exp]
    left = {u for u in reading or () if u.prim is sub and u.args[0] in tops}
    if not exps or reading is None or len(exps) + len(left) != len(reading):
        return False
    allowed: set[Op] = set()
    for e in {u.outs[0] for u in exps}:
        sums = _normalised(e, op.attrs["axes"], tops, uses)
        if sums is None:
            return False
        allowed |= sums
    return added | left == allowed


def _normalised(e: Value, axes: tuple[int, ...], tops: set[Value], uses: _Uses) -> set[Op] | None:
    """The ops that add `log(sum(e))` to m or take it from x - m, one of `tops`.

    None if e is used for more than these and quotients by its sum.
    """
    readers = uses.of([e])
    if readers is None:
        return None
    sums = [u for u in readers if u.prim is sum_ and u.args[0] is e and u.attrs["axes"] == axes]
    totals = uses.of([u.outs[0] for u in sums])
    if not totals:
        return None
    quotients = {
        u
        for u in totals
        if u.prim is div and u.args[0] is e and set(axes).isdisjoint(uses.varies(u.args[1], e.ndim))
    }
    logs = [u for u in totals if u.prim is log]
    if set(readers) - set(sums) != quotients or len(quotients) + len(logs) != len(totals):
        return None
    added = uses.of([u.outs[0] for u in logs])
    if added is None or not all(_settles(u, axes, tops, uses) for u in added):
        return None
    return set(added)


def _settles(op: Op, axes: tuple[int, ...], tops: set[Value], uses: _Uses) -> bool:
    """Whether an op adds a logarithm to its row's shift, or takes it from what is shifted."""
    if op.prim is add:
        return _aligned(op, uses)
    if op.prim is not sub:
        return False
    x, y = op.args
    return x in tops and y not in tops and set(axes).isdisjoint(uses.varies(y, x.ndim))


def _aligned(op: Op, uses: _Uses) -> bool:
    """Whether both terms vary along the same dims, so that one shift meets its own row."""
    x, y = op.args
    n = op.outs[0].ndim
    return uses.varies(x, n) == uses.varies(y, n)
