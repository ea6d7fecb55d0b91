"""Systems whose matrix is known to be triangular: a Cholesky factor, or its transpose."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops.linalg import cholesky, inv, solve, triangular_solve
from ..ir.ops.matrices import plus_identity
from ..ir.ops.shape import zeros
from .factorings import untransposed
from .replay import rebuild


def triangles(function: Function) -> Function:
    """The function whose `solve` and `inv` of real Cholesky factors decompose nothing."""
    prims = {op.prim for op in all_ops(function.block)}
    return rebuild(function, _visit) if cholesky in prims and prims & {solve, inv} else function


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    if op.prim not in (solve, inv) or any(a.aval.kind == "c" for a in args):
        return None
    a, trans = untransposed(b, args[0])
    made = b.defs.get(a)
    if made is None or made.prim is not cholesky:
        return None
    right = args[1] if op.prim is solve else plus_identity(zeros(a.aval))
    return (triangular_solve(a, right, lower=True, trans=trans),)
