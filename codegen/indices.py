"""Indices from data: which are checked where they are used, and which were checked before.

An index of a row that a loop over all rows has checked is not checked again by the next loop over
them: between the two the kernel looks at the status, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import Plan, Root
from .emit import At, Scope

if TYPE_CHECKING:
    from .loops import Writer
    from .reader import Reader

FEW_INDICES = 64  # that are checked where they are used


def indices_of(plan: Plan, r: Root) -> Iterator[tuple[Value, int]]:
    """The indices from data that the updates of a scatter read, with the extents they are for."""
    stack, seen = [*r.chain], set()
    while stack:
        op = stack.pop()
        if op in seen:
            continue
        seen.add(op)
        indexed = op.prim.name in ("gather", "scatter", "scatter_add")
        if indexed and op.attrs.get("mode", "raise") == "raise":
            first = 1 if op.prim.name == "gather" else 2
            for axis, i in zip(op.attrs["axes"], op.args[first:], strict=True):
                yield i, op.args[0].shape[axis]
        read = op.args[1:] if op in r.chain else op.args
        made = (a for a in read if a not in plan.roots and a not in plan.aliases)
        stack.extend(plan.defs[a] for a in made if a in plan.defs)


def validate(w: Writer, i: Value, extent: int) -> None:
    """Check indices from data in a loop of vectors, before one that cannot be."""
    known = (i, extent) in w.valid or len(w.scopes) > 1
    if i not in w.param_names or known or i.aval.size < FEW_INDICES:
        return
    n = w.names.size(extent)
    w.uses_status = True
    with w.nest(i.shape) as index:
        raw = w.pull(i, tuple(index))
        w.line(f"status |= ll.select(({raw} >= -{n}) & ({raw} < {n}), 0, 1)")
    _leave(w, w.scope)
    w.valid.add((i, extent))


def _leave(w: Reader, scope: Scope) -> None:
    """Leave the kernel here if an index so far was bad."""
    w.line("if status != 0:", scope.depth)
    w.line("    return status", scope.depth)


def passed(w: Writer, body: Scope, var: str, where: tuple[int, int] | str) -> None:
    """What the rounds of a loop checked, all of them; `where` is their range, or their block."""
    for (i, extent), (who, off, step) in body.checks:
        if who != var or step != 1:
            continue
        fact = where if isinstance(where, str) else (where[0] + off, where[1] + off)
        w.scope.facts.setdefault((i, extent), set()).add((fact, off))
        w.scope.tested = False


def whole(w: Writer, body: Scope, block: str, low: int, high: int) -> None:
    """What all blocks checked holds for all rows."""
    for key, facts in body.facts.items():
        for where, off in facts:
            if where == block:
                fact = (low + off, high + off)
                w.scope.facts.setdefault(key, set()).add((fact, off))
                w.scope.tested = False


def is_sure(w: Reader, i: Value, extent: int, at: At) -> bool:
    """Whether a loop before this one has checked the index in every round."""
    who, off, step = at
    if who is None or step != 1 or (who not in w.block_of and who not in w.ranges):
        return False
    block = w.block_of.get(who)
    low, high = w.ranges.get(who, (0, -1))
    for scope in w.scopes:
        if scope.together:  # vectors may go through it, so that nothing may leave it
            return False
        for where, by in scope.facts.get((i, extent), ()):
            if isinstance(where, str):
                found = where == block and by == off
            else:
                found = low <= high and where[0] <= low + off and high + off < where[1]
            if found:
                if not scope.tested:
                    _leave(w, scope)
                    scope.tested = True
                return True
    return False
