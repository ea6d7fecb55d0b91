"""Rows that the derivative of a Cholesky factor is made of, for real matrices.

With L Lᵀ = A, a cotangent G of L becomes Ā = L⁻ᵀ Φ(Lᵀ G) L⁻¹, symmetrised, where Φ takes the lower
triangle with half of the diagonal (Murray 2016, "Differentiation of the Cholesky decomposition").
All of that lies in the lower triangle, as A is read there alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..prim import ZERO, Call, Prim
from ..types import Aval
from .lower_products import Parts, same_numbers, weighed
from .matrices import (
    Term,
    check_matrices,
    check_square,
    folded,
    halved,
    lower_part,
    matmul,
    mirrored,
    total,
    transposed,
    with_diagonal,
)
from .shape import along_rows
from .triangular import solved, stacked

__all__ = ["cholesky_inverse", "cholesky_slope", "factor_tangent", "symmetric_slope"]


def factor_tangent(factor: Term, t: Term) -> Term:
    """L Φ(L⁻¹ T L⁻ᵀ): how L moves with A, where T is symmetric."""
    left = solved(factor, t)
    both = transposed(solved(factor, transposed(left)))
    return matmul(factor, halved(both))


# ------------------------------------------------------------------ any cotangent


def _slope_infer(factor: Aval, g: Aval) -> Aval:
    check_square("cholesky_slope", factor)
    check_matrices("cholesky_slope", factor, g)
    if factor != g:
        raise ValueError(f"cholesky_slope: {g} beside {factor}")
    return factor


def _slope_ref(factor: Any, g: Any) -> np.ndarray:
    from scipy.linalg import solve_triangular

    def one(low: np.ndarray, slope: np.ndarray) -> np.ndarray:
        low = np.tril(low)
        inner = np.tril(low.T @ np.tril(slope))
        inner -= 0.5 * np.diag(np.diag(inner))
        left = solve_triangular(low, inner, lower=True, trans=1, check_finite=False)
        both = solve_triangular(low, left.T, lower=True, trans=1, check_finite=False)
        return np.tril((both + both.T) * (1 - 0.5 * np.eye(len(low), dtype=low.dtype)))

    return stacked(one, factor.shape, factor, g) if factor.size else np.zeros_like(factor)


def _slope_jvp(ts: Any, outs: Any, factor: Term, g: Term) -> Any:
    """With S the symmetric slope: dS = slope of (dG + L⁻ᵀ dLᵀ G) - Z - Zᵀ, Z = L⁻ᵀ dLᵀ S."""
    moved, t = ts
    turned: Any = ZERO
    taken: Any = ZERO
    if moved is not ZERO:
        low = transposed(lower_part(moved))
        turned = solved(factor, matmul(low, lower_part(g)), trans=True)
        whole = (outs[0] + transposed(outs[0])) * 0.5
        z = solved(factor, matmul(low, whole), trans=True)
        taken = -folded(z + transposed(z), True)
    change = total(t, turned)
    return (total(taken, ZERO if change is ZERO else cholesky_slope(factor, change)),)


def _slope_vjp(cts: Any, outs: Any, factor: Term, g: Term) -> Any:
    """With W = L⁻¹ C L⁻ᵀ and M = Φ(Lᵀ G): Ḡ = L Φ(W), L̄ = G Φ(W)ᵀ - L⁻ᵀ (M + Mᵀ) W."""
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    low = lower_part(g)
    left = solved(factor, mirrored(ct, True))
    w = transposed(solved(factor, transposed(left)))
    inner = mirrored(matmul(transposed(lower_part(factor)), low), True)
    second = solved(factor, matmul(inner, w), trans=True)
    to_factor = lower_part(matmul(low, transposed(halved(w))) - second)
    return to_factor, lower_part(matmul(lower_part(factor), halved(w)))


# Ā for a cotangent G of the factor L: (L, G), of which the lower triangles are read.
cholesky_slope: Prim = Prim(
    name="cholesky_slope",
    infer=_slope_infer,
    ref=_slope_ref,
    emit=Call("cholesky_slope"),
    jvp=_slope_jvp,
    vjp=_slope_vjp,
    batch=along_rows(lambda: cholesky_slope),
)


# ------------------------------------------------------------------ the inverse


def _inverse_infer(factor: Aval) -> Aval:
    check_square("cholesky_inverse", factor)
    return factor


def _inverse_ref(factor: Any) -> np.ndarray:
    from scipy.linalg.lapack import get_lapack_funcs

    if not factor.size:
        return np.zeros_like(factor)
    (potri,) = get_lapack_funcs(("potri",), (factor,))

    def one(low: np.ndarray) -> np.ndarray:
        found, info = potri(low, lower=1)
        if info > 0:
            raise np.linalg.LinAlgError("Singular matrix")
        return np.tril(found)

    return stacked(one, factor.shape, factor)


def _inverse_jvp(ts: Any, outs: Any, factor: Term) -> Any:
    """dX = -(Z + Zᵀ), Z = L⁻ᵀ dLᵀ X."""
    (t,) = ts
    if t is ZERO:
        return (ZERO,)
    product = matmul(transposed(lower_part(t)), mirrored(outs[0], True))
    z = solved(factor, product, trans=True)
    return (-lower_part(z + transposed(z)),)


def _inverse_vjp(cts: Any, outs: Any, factor: Term) -> Any:
    """L̄ = -X (L⁻¹ (C + Cᵀ))ᵀ, where C is symmetric with half of the cotangent off its diagonal."""
    (ct,) = cts
    if ct is ZERO:
        return (ZERO,)
    low = lower_part(ct)
    moved = solved(factor, low + transposed(low))
    return (-lower_part(matmul(mirrored(outs[0], True), transposed(moved))),)


# The lower triangle of (L Lᵀ)⁻¹, zeros above it; that of L is read.
cholesky_inverse: Prim = Prim(
    name="cholesky_inverse",
    infer=_inverse_infer,
    ref=_inverse_ref,
    emit=Call("cholesky_inverse"),
    jvp=_inverse_jvp,
    vjp=_inverse_vjp,
    batch=along_rows(lambda: cholesky_inverse),
)


# ------------------------------------------------------------------ cotangents of few columns


def symmetric_slope(factor: Term, parts: Parts | None) -> Term | None:
    """Ā from c I + Σ f A Bᵀ = Lᵀ G where that is symmetric: L⁻ᵀ and L⁻¹ around it.

    Likelihoods leave that: quadratic forms of the inverse, and the determinant.
    """
    if parts is None or not (parts.identity or parts.products) or not _symmetric(parts.products):
        return None
    terms = [weighed(c, cholesky_inverse(factor)) for c in parts.identity]
    for f, a, b in parts.products:
        one, two = (solved(factor, x, trans=True) for x in (a, b))
        terms.append(matmul(weighed(f, one), transposed(two)))
    whole = total(*terms)
    return lower_part(with_diagonal(whole, whole * 0.5))


def _symmetric(products: Sequence[tuple[Any, Term, Term]]) -> bool:
    """Whether with each f A Bᵀ its transpose is there, if it is not symmetric itself."""
    left = [p for p in products if p[1] is not p[2]]
    while left:
        f, a, b = left.pop()
        mate = next((p for p in left if p[1] is b and p[2] is a and same_numbers(p[0], f)), None)
        if mate is None:
            return False
        left.remove(mate)
    return True
