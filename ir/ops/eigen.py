"""Rows of general eigenvalues, and of the matrix functions that solve equations: Sylvester, sqrtm.

Eigenvectors have the gauge that LAPACK gives them: length one, and the component of largest size
real.  It is differentiated along, so that derivatives are those of what `np.linalg.eig` returns;
where eigenvalues coincide, vectors have no derivative, and the rules divide by zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import ZERO, Prim
from ..types import Aval
from .arithmetic import _WHOLE as WHOLE
from .arithmetic import complex_, equal, imag, modulus, real, select
from .linalg import frechet, solve
from .matrices import (
    Term,
    as_of,
    check_matrices,
    check_square,
    columns_of,
    conjugated,
    diagonal,
    diagonal_matrix,
    hermitian,
    matmul,
    off_diagonal,
    plus_identity,
    rows_of,
    total,
    transposed,
)
from .reduce import argmax
from .shape import along_rows, iota, sum_

__all__ = ["eig", "logm", "sqrtm", "sylvester"]


# ------------------------------------------------------------------ eigenvalues


def _eig_infer(a: Aval, *, vectors: bool = True) -> tuple[Aval, Aval]:
    check_square("eig", a, real=False)
    dtype = WHOLE.get(a.dtype, a.dtype)
    return Aval(dtype, a.shape[:-1]), Aval(dtype, a.shape if vectors else (*a.shape[:-1], 0))


def _eig_ref(a: Any, *, vectors: bool = True) -> tuple[np.ndarray, np.ndarray]:
    dtype = np.result_type(a, np.complex64)
    if not vectors:
        return np.linalg.eigvals(a).astype(dtype), np.empty((*a.shape[:-1], 0), dtype)
    w, v = np.linalg.eig(a)
    return w.astype(dtype), v.astype(dtype)


def _gaps(w: Term) -> Term:
    """F: 1 / (wⱼ - wᵢ) off the diagonal, zero on it."""
    return off_diagonal(1 / plus_identity(rows_of(w) - columns_of(w)))


def _largest(v: Term) -> Term:
    """Where each column has the component that is real because it is the largest."""
    size = select(equal(imag(v), 0), modulus(v), 0)
    at = argmax(size, axis=v.ndim - 2)
    return equal(iota(shape=v.shape, axis=v.ndim - 2, dtype="i64"), rows_of(at))


def _over_rows(x: Term) -> Term:
    return sum_(x, axes=(x.ndim - 2,))


def _eig_jvp(ts: Any, outs: Any, a: Term, *, vectors: bool = True) -> Any:
    """With B = V⁻¹ dA V: dw = diag B, dV = U + V diag(c), U = V (F ∘ B), and c for the gauge:
    Re c = -Re diag(Vᴴ U), Im c = -Im(u) / v at the largest component.
    """
    (t,) = ts
    if t is ZERO:
        return ZERO, ZERO
    w, v = outs if vectors else eig(a)
    inner = solve(v, matmul(as_of(t, v), v))
    if not vectors:
        return diagonal(inner), ZERO
    moved = matmul(v, _gaps(w) * inner)
    chosen = _largest(v)
    along = real(_over_rows(conjugated(v) * moved))
    size = _over_rows(select(chosen, real(v), 0))
    turn = _over_rows(select(chosen, imag(moved), 0)) / size
    return diagonal(inner), moved - v * rows_of(complex_(along, turn))


def _eig_vjp(cts: Any, outs: Any, a: Term, *, vectors: bool = True) -> Any:
    """Ā = V⁻ᴴ (diag(w̄) + F̄ ∘ (Vᴴ Ū)) Vᴴ, with Ū = V̄ - V Re κ + i Im κ / v at the largest
    component, κ = diag(V̄ᴴ V); all are gradients by Re tr(Aᴴ B).
    """
    cw, cv = cts
    if cw is ZERO and (cv is ZERO or not vectors):
        return (ZERO,)
    w, v = outs if vectors else eig(a)
    terms = [] if cw is ZERO else [diagonal_matrix(conjugated(cw))]
    if cv is not ZERO and vectors:
        ct = conjugated(cv)
        kept = _over_rows(cv * v)
        chosen = _largest(v)
        size = _over_rows(select(chosen, real(v), 0))
        turn = select(chosen, rows_of(complex_(0, imag(kept) / size)), 0)
        moved = ct - v * rows_of(complex_(real(kept), 0)) + turn
        terms.append(conjugated(_gaps(w)) * matmul(hermitian(v), moved))
    inner = total(*terms)
    out = conjugated(solve(hermitian(v), matmul(inner, hermitian(v))))
    return (out if a.aval.kind == "c" else real(out),)


# Complex always: whether NumPy's result is real depends on the matrix.
eig: Prim = Prim(
    name="eig",
    copies=True,
    infer=_eig_infer,
    ref=_eig_ref,
    jvp=_eig_jvp,
    vjp=_eig_vjp,
    batch=along_rows(lambda: eig),
    defaults={"vectors": True},
)


# ------------------------------------------------------------------ Sylvester's equation


def _sylvester_infer(a: Aval, b: Aval, c: Aval) -> Aval:
    check_square("sylvester", a, real=False)
    check_square("sylvester", b, real=False)
    check_matrices("sylvester", a, b, c, real=False)
    if c.shape[-2:] != (a.shape[-1], b.shape[-1]):
        raise ValueError(f"sylvester: {a}, {b} and {c} do not match")
    return c


def _sylvester_ref(a: Any, b: Any, c: Any) -> np.ndarray:
    import scipy.linalg

    out = np.empty_like(c)
    for at in np.ndindex(c.shape[:-2]):
        out[at] = scipy.linalg.solve_sylvester(a[at], b[at], c[at])
    return out


def _sylvester_jvp(ts: Any, outs: Any, a: Term, b: Term, c: Term) -> Any:
    """A dX + dX B = dC - dA X - X dB."""
    ta, tb, tc = ts
    (x,) = outs
    t = total(
        tc,
        ZERO if ta is ZERO else -matmul(ta, x),
        ZERO if tb is ZERO else -matmul(x, tb),
    )
    return (ZERO if t is ZERO else sylvester(a, b, t),)


def _sylvester_vjp(cts: Any, outs: Any, a: Term, b: Term, c: Term) -> Any:
    """C̄ solves Aᵀ C̄ + C̄ Bᵀ = X̄; Ā = -C̄ Xᵀ, B̄ = -Xᵀ C̄."""
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO, ZERO
    x = transposed(outs[0])
    to_c = sylvester(transposed(a), transposed(b), ct)
    return -matmul(to_c, x), -matmul(x, to_c), to_c


# X with A X + X B = C.
sylvester: Prim = Prim(
    name="sylvester",
    copies=True,
    infer=_sylvester_infer,
    ref=_sylvester_ref,
    jvp=_sylvester_jvp,
    vjp=_sylvester_vjp,
    batch=along_rows(lambda: sylvester),
)


# ------------------------------------------------------------------ roots and logarithms


def _function_infer(row: str) -> Any:
    def infer(a: Aval) -> Aval:
        check_square(row, a, real=False)
        return a

    return infer


def _function_ref(name: str) -> Any:
    def ref(a: Any) -> np.ndarray:
        import scipy.linalg

        out = np.empty_like(a)
        for at in np.ndindex(a.shape[:-2]):
            found = np.asarray(getattr(scipy.linalg, name)(a[at]))
            if found.dtype.kind == "c" and a.dtype.kind != "c":
                if np.any(found.imag):
                    raise np.linalg.LinAlgError(
                        f"{name} of this real matrix is complex; pass the matrix as complex"
                    )
                found = found.real
            out[at] = found
        return out

    return ref


def _sqrtm_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """Y dY + dY Y = dA."""
    (t,) = ts
    return (ZERO if t is ZERO else sylvester(outs[0], outs[0], t),)


def _sqrtm_vjp(cts: Any, outs: Any, a: Term) -> Any:
    (ct,) = cts
    y = transposed(outs[0])
    return (ZERO if ct is ZERO else sylvester(y, y, ct),)


sqrtm: Prim = Prim(
    name="sqrtm",
    copies=True,
    infer=_function_infer("sqrtm"),
    ref=_function_ref("sqrtm"),
    jvp=_sqrtm_jvp,
    vjp=_sqrtm_vjp,
    batch=along_rows(lambda: sqrtm),
)


def _logm_jvp(ts: Any, outs: Any, a: Term) -> Any:
    (t,) = ts
    return (ZERO if t is ZERO else frechet(logm, a, t),)


def _logm_vjp(cts: Any, outs: Any, a: Term) -> Any:
    (ct,) = cts
    return (ZERO if ct is ZERO else frechet(logm, transposed(a), ct),)


logm: Prim = Prim(
    name="logm",
    copies=True,
    infer=_function_infer("logm"),
    ref=_function_ref("logm"),
    jvp=_logm_jvp,
    vjp=_logm_vjp,
    batch=along_rows(lambda: logm),
)
