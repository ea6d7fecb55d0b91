"""Solves, inverses and determinants by one decomposition per matrix, which kernels can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.access import has_emission
from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops import elementwise as el
from ..ir.ops.factored import SPARE, lu_adjugate, lu_apply, lu_factors, lu_inverse
from ..ir.ops.linalg import adjugate, cholesky
from ..ir.ops.matrices import diagonal, diagonal_of, mirrored, transposed
from ..ir.ops.reduce import prod
from ..ir.ops.shape import broadcast, iota, narrow, reshape, slice_, squeeze, sum_
from ..ir.ops.slopes import cholesky_inverse
from ..ir.ops.triangular import solved
from ..ir.plan import STRAIGHT
from .mirrors import Forms
from .replay import rebuild


def factorings(function: Function) -> Function:
    """The function with `solve`, `inv`, `det` and `slogdet` of real matrices by LU."""
    if not any(op.prim.name in _RULES for op in all_ops(function.block)):
        return function
    return rebuild(function, _visit)


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
    rule = _RULES.get(op.prim.name)
    if rule is None or any(a.dtype not in SPARE or 0 in a.shape or -1 in a.shape for a in args):
        return None
    if op.prim is adjugate and has_emission(op):
        return None
    a, trans = untransposed(b, args[0])
    symmetric = op.prim.name in _DEFINITE and Forms(b.defs).symmetric(a)
    if symmetric and (factor := _factor(b, a)) is not None:
        return _DEFINITE[op.prim.name](factor, *args[1:])
    return rule(lu_factors(a), trans and not symmetric, *args[1:])


def _factor(b: Builder, a: Value) -> Value | None:
    """The Cholesky factor of a matrix, if it has been made before."""
    return next((op.outs[0] for op in b.ops if op.prim is cholesky and op.args[0] is a), None)


def untransposed(b: Builder, a: Value) -> tuple[Value, bool]:
    """The matrix of which `a` is perhaps only the transpose."""
    op = b.defs.get(a)
    n = a.ndim
    if op is None or op.prim.name != "transpose":
        return a, False
    if op.attrs["perm"] != (*range(n - 2), n - 1, n - 2):
        return a, False
    return op.args[0], True


# ------------------------------------------------------------------ what each becomes


def _solve(packed: Value, trans: bool, b: Value) -> list[Value]:
    return [lu_apply(packed, b, trans=trans)]


def _inv(packed: Value, trans: bool) -> list[Value]:
    found = lu_inverse(packed)
    return [transposed(found) if trans else found]


def _diagonal(packed: Value) -> Value:
    """The diagonal of U, each element's sign turned by the swap that belongs to it."""
    (*batch, m, n) = packed.shape
    lead = len(batch)
    if batch and n <= STRAIGHT:  # elements of vectors over the matrices, not of memory
        found = diagonal(narrow(packed, lead, 0, n))
    else:
        flat = reshape(packed, shape=(*batch, m * n))
        start, size = (0,) * (lead + 1), (*batch, n)
        found = slice_(flat, start=start, size=size, step=(1,) * lead + (n + 1,))
    row = squeeze(narrow(packed, lead, n, 1), (lead,))
    own: Value = iota(shape=(n,), axis=0, dtype=packed.dtype)
    if lead:
        own = broadcast(own, shape=row.shape, axes=tuple(range(lead)))
    stays = el.equal(row, own)
    return el.select(stays, found, -found)


def _det(packed: Value, trans: bool) -> list[Value]:
    d = _diagonal(packed)
    return [prod(d, axes=(d.ndim - 1,))]


def _slogdet(packed: Value, trans: bool) -> list[Value]:
    d = _diagonal(packed)
    axes = (d.ndim - 1,)
    return [prod(el.sign(d), axes=axes), sum_(el.log(el.abs_(d)), axes=axes)]


def _adjugate(packed: Value, trans: bool) -> list[Value]:
    """Of larger matrices than those whose minors are written out."""
    found = lu_adjugate(packed)
    return [transposed(found) if trans else found]


# ------------------------------------------------------------------ by the factor L of A = L Lᵀ


def _solve_definite(factor: Value, right: Value) -> list[Value]:
    return [solved(factor, solved(factor, right), trans=True)]


def _inv_definite(factor: Value) -> list[Value]:
    return [mirrored(cholesky_inverse(factor), True)]


def _slogdet_definite(factor: Value) -> list[Value]:
    d, axes = diagonal_of(factor), (factor.ndim - 2,)
    return [prod(el.sign(d), axes=axes), sum_(el.log(d), axes=axes) * 2]


_DEFINITE: dict[str, Callable[..., list[Any]]] = {
    "solve": _solve_definite,
    "inv": _inv_definite,
    "slogdet": _slogdet_definite,
}
_RULES: dict[str, Callable[..., list[Any]]] = {
    "adjugate": _adjugate,
    "solve": _solve,
    "inv": _inv,
    "det": _det,
    "slogdet": _slogdet,
}
