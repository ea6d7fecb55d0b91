"""The derivative of a branch that reads little of large arrays: it keeps what it read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..builder import Builder
from ..core import Block, Op, Value
from ..prim import ZERO
from ..regions import Division, Mask, copied, depends, divide, fresh, inlined
from ..types import NUMPY, Aval
from .shape import zeros

_LESS = 4  # times: how much smaller what is kept must be than the arguments that it is read from
_SMALL = 256  # bytes of an argument that the adjoint may read again
Emit = Callable[..., tuple[Value, ...]]
Pull = Callable[[Sequence[Any]], list[Any]]


def keeping(
    ctx: Any, op: Op, args: Sequence[Value], active: Mask, emit: Emit
) -> tuple[tuple[Value, ...], Pull] | None:
    """Primal and pull of a `cond` whose branches hand over residuals; None where that is no gain.

    In a loop, what the adjoint of a branch reads is kept round by round: a whole array, of which
    one element matters, must not be.
    """
    params = args[1:]
    if max((_bytes(a.aval) for a in params), default=0) <= _SMALL:
        return None
    blocks = [op.blocks["then"], op.blocks["else"]]
    seeded = tuple(x or y for x, y in zip(*(depends(b, active) for b in blocks), strict=True))
    free = tuple(_bytes(a.aval) <= _SMALL for a in params)
    n = len(op.outs)
    joints = [ctx.joint(b, active, seeded) for b in blocks]
    parts = [divide(j, len(params), n, free, stacked=True) for j in joints]
    kept = [tuple(v.aval for v in p.primal.outs[n:]) for p in parts]
    again = [divide(j, len(params), n, (True,) * len(params), stacked=True) for j in joints]
    before = sum(_bytes(params[i].aval) for i in {i for p in again for i in p.reads})
    if any(-1 in a.shape for avals in kept for a in avals):
        return None
    if before < _LESS * sum(_bytes(a) for avals in kept for a in avals):
        return None
    found = emit(args[0], params, *_primals(parts, kept, n), [v.hint for v in op.outs])

    def pull(cts: Sequence[Any]) -> list[Any]:
        given = [c for c, s in zip(cts, seeded, strict=True) if s]
        seeds = [zeros(v.aval) if c is ZERO else c for c, v in _seeds(given, seeded, op.outs)]
        reads = tuple(sorted({i for p in parts for i in p.reads}))
        passed = [*(params[i] for i in reads), *found[n:], *seeds]
        grads = iter(emit(args[0], passed, *_adjoints(parts, kept, reads, passed)))
        return [ZERO, *(next(grads) if a else ZERO for a in active)]

    return found[:n], pull


def _seeds(given: Sequence[Any], seeded: Mask, outs: Sequence[Value]) -> list[tuple[Any, Value]]:
    return list(zip(given, [v for v, s in zip(outs, seeded, strict=True) if s], strict=True))


def _primals(parts: Sequence[Division], kept: Sequence[Sequence[Aval]], n: int) -> list[Block]:
    """Both branches with the residuals of both: zeros for those of the other one."""
    out = []
    for k, part in enumerate(parts):
        given = fresh(part.primal.params)
        with Builder(given) as b:
            outs = inlined(part.primal, given)
            rest = [outs[n:] if j == k else [zeros(a) for a in kept[j]] for j in range(2)]
            out.append(b.done([*outs[:n], *rest[0], *rest[1]]))
    return out


def _adjoints(
    parts: Sequence[Division],
    kept: Sequence[Sequence[Aval]],
    reads: tuple[int, ...],
    passed: Sequence[Value],
) -> list[Block]:
    """Both adjoints, of all that is passed: arguments that are read, residuals of both, seeds."""
    out = []
    for k, part in enumerate(parts):
        given = fresh(passed)
        first = len(reads) + (len(kept[0]) if k else 0)
        last = len(reads) + len(kept[0]) + len(kept[1])
        own = [given[reads.index(i)] for i in part.reads]
        residuals = given[first : first + len(kept[k])]
        with Builder(given) as b:
            adjoint = copied(part.adjoint)
            out.append(b.done(inlined(adjoint, (*own, *residuals, *given[last:]))))
    return out


def _bytes(a: Aval) -> int:
    return abs(a.size) * NUMPY[a.dtype].itemsize
