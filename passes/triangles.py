"""Systems whose matrix is known to be triangular: a Cholesky factor, or its transpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops import elementwise as el
from ..ir.ops.linalg import cholesky, det, inv, slogdet, solve
from ..ir.ops.matrices import diagonal_at, diagonal_of, is_masked, plus_identity
from ..ir.ops.reduce import prod
from ..ir.ops.shape import reshape, slice_, sum_, zeros
from ..ir.ops.triangular import solved, triangular_solve
from ..ir.prim import Prim
from .factorings import untransposed
from .replay import rebuild


def triangles(function: Function) -> Function:
    """The function whose systems of real Cholesky factors, and their determinants, need no other
    decomposition; and triangular systems read the factor itself.
    """
    prims = {op.prim for op in all_ops(function.block)}
    wanted = cholesky in prims and prims & _RULES.keys()
    return rebuild(function, _visit) if wanted else function


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    rule = _RULES.get(op.prim)
    if rule is None or any(a.aval.kind == "c" for a in args):
        return None
    if op.prim is slice_:
        return _diagonal(b, args[0], op)
    find = _triangle_of if op.prim is triangular_solve else _factor
    found = find(b, args[0])
    return None if found is None else rule(op, *found, *args[1:])


def _factor(b: Builder, a: Value) -> tuple[Value, bool] | None:
    """The Cholesky factor that `a` is, and whether it is transposed."""
    a, trans = untransposed(b, a)
    op = b.defs.get(a)
    return (a, trans) if op is not None and op.prim is cholesky else None


def _triangle_of(b: Builder, a: Value) -> tuple[Value, bool] | None:
    """The same, whatever stands in the other triangle of `a`, as SciPy's cho_factor leaves it."""
    a, trans = untransposed(b, a)
    op = b.defs.get(a)
    for one, other in (op.args, op.args[::-1]) if op is not None and op.prim is el.add else ():
        found = _factor(b, one)
        if found is not None:
            factor, turned = found
            beside = (
                is_masked(other, "less_equal", -1)
                if turned
                else is_masked(other, "greater_equal", 1)
            )
            return None if beside is None else (factor, trans is not turned)
    found = _factor(b, a)
    return None if found is None else (found[0], trans is not found[1])


def _diagonal(b: Builder, flat: Value, op: Op) -> Sequence[Value] | None:
    """The diagonal of a factor, read from the factor itself."""
    made = b.defs.get(flat)
    if made is None or made.prim is not reshape or made.args[0].ndim < 2:
        return None
    found = _triangle_of(b, made.args[0])
    if found is None or op.outs[0].shape != found[0].shape[:-1] or found[0] is made.args[0]:
        return None
    return (diagonal_of(found[0]),) if op.attrs == diagonal_at(found[0].aval) else None


def _solve(op: Op, factor: Value, trans: bool, *rest: Value) -> Sequence[Value] | None:
    right = rest[0] if rest else plus_identity(zeros(factor.aval))
    return (solved(factor, right, trans=trans),)


def _triangular(op: Op, factor: Value, trans: bool, right: Value) -> Sequence[Value] | None:
    """By the factor itself; a system of the other triangle stays what it is."""
    if op.attrs["lower"] is trans:
        return None
    turned = op.attrs.get("trans", False) is not trans
    unit = op.attrs.get("unit", False)
    return (solved(factor, right, trans=turned, unit=unit),)


def _det(op: Op, factor: Value, trans: bool) -> Sequence[Value] | None:
    return (prod(diagonal_of(factor), axes=(factor.ndim - 2,)),)


def _slogdet(op: Op, factor: Value, trans: bool) -> Sequence[Value] | None:
    d, axes = diagonal_of(factor), (factor.ndim - 2,)
    return prod(el.sign(d), axes=axes), sum_(el.log(d), axes=axes)


_RULES: dict[Prim, Callable[..., Sequence[Value] | None]] = {
    det: _det,
    inv: _solve,
    slice_: _diagonal,
    slogdet: _slogdet,
    solve: _solve,
    triangular_solve: _triangular,
}
