"""Rows of LU decomposition with row pivoting: A[perm] = L U, stacks of square matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import ZERO, Prim
from ..types import Aval
from .elementwise import cast, equal
from .linalg import triangular_solve
from .matrices import (
    Term,
    check_square,
    columns_of,
    lower_part,
    matmul,
    plus_identity,
    transposed,
    upper_part,
)
from .shape import along_rows, iota

__all__ = ["lu", "lu_order", "pivot_order"]


def permutation(order: Term, dtype: str) -> Term:
    """The matrix P of an order of rows: P A = A[order]."""
    n = order.shape[-1]
    return cast(equal(columns_of(order), iota(shape=(n, n), axis=1, dtype="i64")), dtype=dtype)


def unit_lower(packed: Term) -> Term:
    """L of a packed decomposition."""
    return plus_identity(lower_part(packed, -1))


def _lu_infer(a: Aval) -> tuple[Aval, Aval, Aval]:
    check_square("lu", a, real=False)
    rows = Aval("i64", a.shape[:-1])
    return a, rows, rows


def _pivot_order_ref(pivots: Any) -> np.ndarray:
    order = np.empty(pivots.shape, np.int64)
    for at in np.ndindex(pivots.shape[:-1]):
        rows = list(range(pivots.shape[-1]))
        for i, p in enumerate(pivots[at]):
            rows[i], rows[p] = rows[p], rows[i]
        order[at] = rows
    return order


def _lu_ref(a: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    packed, pivots = np.empty_like(a), np.empty(a.shape[:-1], np.int64)
    if a.size:
        from scipy.linalg.lapack import get_lapack_funcs

        (getrf,) = get_lapack_funcs(("getrf",), (a,))
        for at in np.ndindex(a.shape[:-2]):
            packed[at], pivots[at], _ = getrf(a[at])
    return packed, pivots, _pivot_order_ref(pivots)


def _lu_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """With W = L⁻¹ P dA U⁻¹: dL = L tril(W, -1), dU = triu(W) U."""
    (t,) = ts
    packed, _, order = outs
    if t is ZERO:
        return ZERO, ZERO, ZERO
    moved = matmul(permutation(order, a.dtype), t)
    left = triangular_solve(packed, moved, lower=True, unit=True)
    both = transposed(triangular_solve(packed, transposed(left), lower=False, trans=True))
    low = matmul(unit_lower(packed), lower_part(both, -1))
    return low + matmul(upper_part(both), upper_part(packed)), ZERO, ZERO


def _lu_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = Pᵀ L⁻ᵀ (tril(Lᵀ L̄, -1) + triu(Ū Uᵀ)) U⁻ᵀ (de Hoog, Anderssen and Lukas 2011,
    "Differentiation of matrix functionals using triangular factorization").
    """
    ct = cts[0]
    packed, _, order = outs
    if ct is ZERO:
        return (ZERO,)
    low = lower_part(matmul(transposed(unit_lower(packed)), lower_part(ct, -1)), -1)
    high = upper_part(matmul(upper_part(ct), transposed(upper_part(packed))))
    left = triangular_solve(packed, low + high, lower=True, trans=True, unit=True)
    both = transposed(triangular_solve(packed, transposed(left), lower=False))
    return (matmul(transposed(permutation(order, a.dtype)), both),)


# L (without its ones) and U in one matrix, LAPACK's row swaps, and the order of rows they make.
lu: Prim = Prim(
    name="lu",
    infer=_lu_infer,
    ref=_lu_ref,
    jvp=_lu_jvp,
    vjp=_lu_vjp,
    batch=along_rows(lambda: lu),
)
pivot_order: Prim = Prim(
    name="pivot_order",
    infer=lambda pivots: Aval("i64", pivots.shape),
    ref=_pivot_order_ref,
    nondiff="its result is an index",
    domain="index",
    batch=along_rows(lambda: pivot_order),
)


def _lu_order_ref(a: Any) -> np.ndarray:
    order = np.empty(a.shape[:-1], np.int64)
    if not a.size:
        return np.broadcast_to(np.arange(a.shape[-2]), order.shape)
    from scipy.linalg.lapack import get_lapack_funcs

    (getrf,) = get_lapack_funcs(("getrf",), (a,))
    for at in np.ndindex(a.shape[:-2]):
        rows = list(range(a.shape[-2]))
        for i, p in enumerate(getrf(a[at])[1]):
            rows[i], rows[p] = rows[p], rows[i]
        order[at] = rows
    return order


# The order of rows that pivoting gives a tall matrix.
lu_order: Prim = Prim(
    name="lu_order",
    infer=lambda a: Aval("i64", a.shape[:-1]),
    ref=_lu_order_ref,
    nondiff="its result is an index",
    batch=along_rows(lambda: lu_order),
)
