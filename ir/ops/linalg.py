"""Rows of linear algebra without spectra: solves, inverses, determinants, Cholesky, exponential.

All act on stacks of matrices, the last two axes.  A matrix that NumPy calls singular, or not
positive definite, raises `LinAlgError` when the program runs, from the derivative too where that
needs the inverse.  Formulas after Giles, "An extended collection of matrix derivative results for
forward and reverse mode algorithmic differentiation" (2008), unless another source is named.
Transposes never conjugate where a row is a holomorphic function; where it is not (cholesky), the
formulas are those of the inner product Re tr(Aᴴ B), whose gradients are conjugates of cotangents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..prim import ZERO, Call, Prim
from ..types import Aval
from .arithmetic import _PARTS as PARTS
from .arithmetic import complex_, imag, real
from .lower_products import lower_parts, of_few
from .matrices import (
    Term,
    check_square,
    conjugated,
    folded,
    halved,
    hermitian,
    lead,
    matmul,
    mirrored,
    scaled,
    total,
    trace,
    transposed,
)
from .shape import along_rows, concatenate, narrow, zeros
from .slopes import cholesky_slope, symmetric_slope
from .triangular import check_system, system_batch, triangular_solve

__all__ = [
    "adjugate",
    "cholesky",
    "det",
    "expm",
    "inv",
    "slogdet",
    "solve",
    "triangular_solve",
]


def _square(row: str) -> Callable[..., Aval]:
    def infer(a: Aval) -> Aval:
        check_square(row, a, real=False)
        return a

    return infer


# ------------------------------------------------------------------ general systems


def _solve_infer(a: Aval, b: Aval) -> Aval:
    check_system("solve", a, b)
    return b


def _solve_jvp(ts: Any, outs: Any, a: Term, b: Term) -> Any:
    """dX = A⁻¹ (dB - dA X)."""
    ta, tb = ts
    t = total(tb, ZERO if ta is ZERO else -matmul(ta, outs[0]))
    return (ZERO if t is ZERO else solve(a, t),)


def _solve_vjp(cts: Any, outs: Any, a: Term, b: Term) -> Any:
    """B̄ = A⁻ᵀ X̄, Ā = -B̄ Xᵀ."""
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    to_b = solve(transposed(a), ct)
    return -matmul(to_b, transposed(outs[0])), to_b


def _inv_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """dX = -X dA X."""
    (t,) = ts
    (x,) = outs
    return (ZERO if t is ZERO else -matmul(x, t, x),)


def _inv_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = -Xᵀ X̄ Xᵀ, from both sides where X̄ is a product of few columns."""
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    x = transposed(outs[0])
    found = of_few(ct)
    if found is None:
        return (-matmul(x, ct, x),)
    left, right = found
    return (-matmul(matmul(x, left), matmul(right, x)),)


solve: Prim = Prim(
    name="solve",
    copies=True,
    infer=_solve_infer,
    ref=np.linalg.solve,
    jvp=_solve_jvp,
    vjp=_solve_vjp,
    batch=system_batch(lambda: solve),
)
inv: Prim = Prim(
    name="inv",
    infer=_square("inv"),
    ref=np.linalg.inv,
    jvp=_inv_jvp,
    vjp=_inv_vjp,
    batch=along_rows(lambda: inv),
)


# ------------------------------------------------------------------ determinants


def _numbers(row: str) -> Callable[..., Aval]:
    def infer(a: Aval) -> Aval:
        check_square(row, a, real=False)
        return Aval(a.dtype, lead(a))

    return infer


def _adjugate_ref(a: Any) -> np.ndarray:
    wide = a.astype(np.result_type(a, np.float64))  # as NumPy computes single precision
    found = _by_inverse(wide)
    return (_by_singular_values(wide) if found is None else found).astype(a.dtype)


def _by_inverse(a: np.ndarray) -> np.ndarray | None:
    """adj(A) = det(A) A⁻¹; None where that would cost more than four digits."""
    if not a.size:
        return a
    try:
        x = np.linalg.inv(a)
    except np.linalg.LinAlgError:
        return None
    loss = np.abs(a).sum(-1).max(-1) * np.abs(x).sum(-1).max(-1)
    return np.linalg.det(a)[..., None, None] * x if np.all(loss < 1e4) else None


def _by_singular_values(a: np.ndarray) -> np.ndarray:
    """adj(U S Vᵀ) = det(U Vᵀ) V adj(S) Uᵀ, where adj(S) needs no division."""
    u, s, vt = np.linalg.svd(a)
    others = np.empty_like(s)
    for i in range(s.shape[-1]):
        others[..., i] = np.prod(np.delete(s, i, -1), axis=-1)
    turn = np.linalg.det(u) * np.linalg.det(vt)
    right = np.conj(np.swapaxes(u, -1, -2)) * (others * turn[..., None])[..., :, None]
    return np.conj(np.swapaxes(vt, -1, -2)) @ right


def _adjugate_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """d adj(A) = tr(A⁻¹ dA) adj(A) - A⁻¹ dA adj(A)."""
    (t,) = ts
    if t is ZERO:
        return (ZERO,)
    x = solve(a, t)
    return (scaled(trace(x), outs[0]) - matmul(x, outs[0]),)


def _adjugate_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = A⁻ᵀ (tr(Ȳᵀ adj(A)) - Ȳ adj(A)ᵀ)."""
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    product = matmul(ct, transposed(outs[0]))
    x = inv(transposed(a))
    return (scaled(trace(product), x) - matmul(x, product),)


def _det_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """d det(A) = tr(adj(A) dA) (Jacobi)."""
    (t,) = ts
    return (ZERO if t is ZERO else trace(matmul(adjugate(a), t)),)


def _det_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = ȳ adj(A)ᵀ."""
    (ct,) = cts
    return (ZERO if ct is ZERO else scaled(ct, transposed(adjugate(a))),)


def _slogdet_infer(a: Aval) -> tuple[Aval, Aval]:
    check_square("slogdet", a, real=False)
    return Aval(a.dtype, lead(a)), Aval(PARTS.get(a.dtype, a.dtype), lead(a))


def _slogdet_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """d log|det A| = Re τ, τ = tr(A⁻¹ dA); the sign turns by Im τ, and is constant if real."""
    (t,) = ts
    if t is ZERO:
        return ZERO, ZERO
    moved = trace(solve(a, t))
    if a.aval.kind != "c":
        return ZERO, moved
    return outs[0] * complex_(0, imag(moved)), real(moved)


def _slogdet_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = c A⁻ᵀ, where Re(c τ) is what the result moves by."""
    turn, size = cts
    if a.aval.kind != "c":
        return (ZERO if size is ZERO else scaled(size, transposed(inv(a))),)
    terms = [] if turn is ZERO else [complex_(0, imag(turn * outs[0]))]
    terms += [] if size is ZERO else [complex_(size, 0)]
    ct = total(*terms)
    return (ZERO if ct is ZERO else scaled(ct, transposed(inv(a))),)


det: Prim = Prim(
    name="det",
    infer=_numbers("det"),
    ref=np.linalg.det,
    jvp=_det_jvp,
    vjp=_det_vjp,
    batch=along_rows(lambda: det),
)
# The transposed cofactors: the gradient of det, also where A is singular.  Its own derivative
# divides by det, so second derivatives of det need a regular matrix (LinAlgError otherwise).
adjugate: Prim = Prim(
    name="adjugate",
    infer=_square("adjugate"),
    ref=_adjugate_ref,
    emit=Call("adjugate", largest=4),
    jvp=_adjugate_jvp,
    vjp=_adjugate_vjp,
    batch=along_rows(lambda: adjugate),
)
slogdet: Prim = Prim(
    name="slogdet",
    copies=True,
    infer=_slogdet_infer,
    ref=lambda a: tuple(np.linalg.slogdet(a)),
    jvp=_slogdet_jvp,
    vjp=_slogdet_vjp,
    batch=along_rows(lambda: slogdet),
)


# ------------------------------------------------------------------ Cholesky


def _cholesky_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """dL = L Φ(L⁻¹ dA L⁻ᴴ), dA Hermitian by its lower triangle."""
    (t,) = ts
    (factor,) = outs
    if t is ZERO:
        return (ZERO,)
    left = triangular_solve(factor, mirrored(t, True), lower=True)
    both = hermitian(triangular_solve(factor, hermitian(left), lower=True))
    return (matmul(factor, halved(both)),)


def _cholesky_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = L⁻ᴴ Φ(Lᴴ L̄) L⁻¹, folded into the lower triangle (Murray 2016, "Differentiation of the
    Cholesky decomposition").
    """
    (ct,) = cts
    (factor,) = outs
    if ct is ZERO:
        return (ZERO,)
    if factor.aval.kind != "c":
        found = symmetric_slope(factor, lower_parts(factor, ct))
        return (cholesky_slope(factor, ct) if found is None else found,)
    inner = halved(matmul(hermitian(factor), conjugated(ct)))
    turned = conjugated(factor)
    left = triangular_solve(turned, inner, lower=True, trans=True)
    both = hermitian(triangular_solve(turned, hermitian(left), lower=True, trans=True))
    return (conjugated(folded((both + hermitian(both)) * 0.5, True)),)


# Reads the lower triangle alone, as NumPy does, and so its derivative is in that triangle alone.
cholesky: Prim = Prim(
    name="cholesky",
    copies=True,
    infer=_square("cholesky"),
    ref=np.linalg.cholesky,
    emit=Call("cholesky"),
    jvp=_cholesky_jvp,
    vjp=_cholesky_vjp,
    batch=along_rows(lambda: cholesky),
)


# ------------------------------------------------------------------ the exponential


def _expm_ref(a: Any) -> np.ndarray:
    if not a.size:
        return np.zeros_like(a)
    import scipy.linalg

    return scipy.linalg.expm(a).astype(a.dtype, copy=False)


def frechet(function: Callable[..., Any], a: Term, e: Term) -> Term:
    """The derivative of a matrix function at A along E: the upper right block of f [[A, E], [0, A]]
    (Mathias 1996, "A chain rule for matrix functions").
    """
    n, rows, columns = a.shape[-1], a.ndim - 2, a.ndim - 1
    top = concatenate(a, e, axis=columns)
    low = concatenate(zeros(a.aval), a, axis=columns)
    y = function(concatenate(top, low, axis=rows))
    return narrow(narrow(y, rows, 0, n), columns, n, n)


def _expm_jvp(ts: Any, outs: Any, a: Term) -> Any:
    """dY = L(A, dA)."""
    (t,) = ts
    return (ZERO if t is ZERO else frechet(expm, a, t),)


def _expm_vjp(cts: Any, outs: Any, a: Term) -> Any:
    """Ā = L(Aᵀ, Ȳ)."""
    (ct,) = cts
    return (ZERO if ct is ZERO else frechet(expm, transposed(a), ct),)


expm: Prim = Prim(
    name="expm",
    copies=True,
    infer=_square("expm"),
    ref=_expm_ref,
    jvp=_expm_jvp,
    vjp=_expm_vjp,
    batch=along_rows(lambda: expm),
)
