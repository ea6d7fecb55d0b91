"""Rows that kernels solve systems with: an LU decomposition kept in one array, and its use.

They are made after differentiation, from `solve`, `inv`, `det`, `slogdet` and `adjugate`, so that
whatever asks for one matrix, or for its transpose, factors it once.  A matrix of n rows becomes an
array of more: LAPACK's decomposition Aᵀ = P L U by columns, so that A = Uᵀ Lᵀ Pᵀ by rows, then the
row that each row was swapped with, as floating-point numbers, and a mark of how it was decomposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import Call, Prim
from ..types import Aval

# Rows behind the matrix: room for as many integers of 64 bits, and for a mark.
SPARE = {"f64": 2, "f32": 3}
_MADE = "it is made after differentiation"


def _factors_infer(a: Aval) -> Aval:
    (*batch, m, n) = a.shape
    if a.dtype not in SPARE or m != n or not n:
        raise TypeError(f"lu_factors: takes square matrices of f32 or f64, not {a}")
    return Aval(a.dtype, (*batch, n + SPARE[a.dtype], n))


def _factors_ref(a: Any) -> np.ndarray:
    from scipy.linalg.lapack import get_lapack_funcs

    n = a.shape[-1]
    (getrf,) = get_lapack_funcs(("getrf",), (a,))
    spare = SPARE["f32" if a.dtype == np.float32 else "f64"]
    out = np.zeros((*a.shape[:-2], n + spare, n), a.dtype)
    for at in np.ndindex(a.shape[:-2]):
        packed, pivots, _ = getrf(a[at].T)
        out[at][:n], out[at][n] = packed.T, pivots
    return out


def _solve_infer(packed: Aval, b: Aval, *, trans: bool = False) -> Aval:
    n = packed.shape[-1]
    if packed.dtype != b.dtype or packed.shape[:-2] != b.shape[:-2] or b.shape[-2] != n:
        raise TypeError(f"lu_apply: {packed} does not fit {b}")
    return b


def _solve_ref(packed: Any, b: Any, *, trans: bool = False) -> np.ndarray:
    from scipy.linalg.lapack import get_lapack_funcs

    n = packed.shape[-1]
    (getrs,) = get_lapack_funcs(("getrs",), (packed, b))
    out = np.empty_like(b)
    for at in np.ndindex(b.shape[:-2]):
        m = packed[at]
        if not np.all(np.diagonal(m)):
            raise np.linalg.LinAlgError("Singular matrix")
        out[at], _ = getrs(m[:n].T, m[n].astype(np.int32), b[at], trans=int(not trans))
    return out


def _square_infer(packed: Aval) -> Aval:
    (*batch, _, n) = packed.shape
    return Aval(packed.dtype, (*batch, n, n))


def _inverse_ref(packed: Any) -> np.ndarray:
    (*batch, _, n) = packed.shape
    unit = np.broadcast_to(np.eye(n, dtype=packed.dtype), (*batch, n, n))
    return _solve_ref(packed, np.ascontiguousarray(unit))


def _adjugate_ref(packed: Any) -> np.ndarray:
    """det(P) P Up⁻¹ adj(Lo), where adj(Lo) needs no division, so that pivots may be zero."""
    n = packed.shape[-1]
    out = np.zeros((*packed.shape[:-2], n, n), packed.dtype)
    for at in np.ndindex(packed.shape[:-2]):
        m, x = packed[at], out[at]
        places = m[n].astype(int)
        before = np.prod(np.where(places == np.arange(n), 1.0, -1.0)).astype(packed.dtype)
        for i in range(n):
            x[i] = -m[i, :i] @ x[:i]
            x[:i] *= m[i, i]
            x[i, i] = before
            before = before * m[i, i]
        for i in reversed(range(n)):
            x[i] -= m[i, i + 1 :] @ x[i + 1 :]
        for i in reversed(range(n)):
            x[[i, places[i]]] = x[[places[i], i]]
    return out


lu_factors = Prim(
    name="lu_factors",
    infer=_factors_infer,
    ref=_factors_ref,
    emit=Call("lu_factors"),
    nondiff=_MADE,
)
# The solution X of A X = B, or of Aᵀ X = B.
lu_apply = Prim(
    name="lu_apply",
    infer=_solve_infer,
    ref=_solve_ref,
    emit=Call("lu_apply"),
    nondiff=_MADE,
    defaults={"trans": False},
)
lu_inverse = Prim(
    name="lu_inverse",
    infer=_square_infer,
    ref=_inverse_ref,
    emit=Call("lu_inverse"),
    nondiff=_MADE,
)
# The transposed cofactors of A: the gradient of its determinant, also where that is zero.
lu_adjugate = Prim(
    name="lu_adjugate",
    infer=_square_infer,
    ref=_adjugate_ref,
    emit=Call("lu_adjugate"),
    nondiff=_MADE,
)
