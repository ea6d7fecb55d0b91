"""The row of triangular systems, and what it shares with that of general ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..prim import ZERO, Call, Prim
from ..types import Aval
from .matrices import Term, check_matrices, check_square, matmul, total, transposed, triangle
from .shape import Mask, along_rows, moveaxis, reshape

__all__ = ["triangular_solve"]


def stacked(f: Callable[..., np.ndarray], shape: tuple[int, ...], *xs: Any) -> np.ndarray:
    """`f` of each matrix of stacks that have one batch shape."""
    out = np.empty(shape, xs[0].dtype)
    for at in np.ndindex(shape[:-2]):
        out[at] = f(*(x[at] for x in xs))
    return out


def check_system(row: str, a: Aval, b: Aval) -> None:
    """Refuse a matrix that is not square, and right-hand sides of other heights."""
    check_square(row, a, real=False)
    check_matrices(row, a, b, real=False)
    if b.shape[-2] != a.shape[-1]:
        raise ValueError(
            f"{row}: Input operand 1 has a mismatch in its core dimension 0, with gufunc "
            f"signature (m,m),(m,n)->(m,n) (size {b.shape[-2]} is different from {a.shape[-1]})"
        )


def system_batch(row: Callable[[], Prim]) -> Callable[..., Any]:
    """One matrix for all rows is factored once: their right-hand sides are columns beside."""
    stacks = along_rows(row)

    def rule(args: Sequence[Any], moved: Mask, **attrs: Any) -> Any:
        a, b = args
        if moved[0]:
            return stacks(args, moved, **attrs)
        columns = moveaxis(b, 0, b.ndim - 1)
        shape = (*columns.shape[:-2], columns.shape[-2] * columns.shape[-1])
        out = reshape(row()(a, reshape(columns, shape=shape), **attrs), shape=columns.shape)
        return moveaxis(out, b.ndim - 1, 0)

    return rule


def _infer(a: Aval, b: Aval, *, lower: bool, trans: bool = False, unit: bool = False) -> Aval:
    check_system("triangular_solve", a, b)
    return b


def _ref(a: Any, b: Any, *, lower: bool, trans: bool = False, unit: bool = False) -> np.ndarray:
    if not b.size:
        return np.zeros_like(b)
    from scipy.linalg.lapack import get_lapack_funcs

    (trtrs,) = get_lapack_funcs(("trtrs",), (a, b))

    def one(m: np.ndarray, rhs: np.ndarray) -> np.ndarray:
        # The transpose of a C-ordered matrix is in the order LAPACK wants.
        x, info = trtrs(m.T, rhs, lower=not lower, trans=not trans, unitdiag=unit)
        if info > 0:
            raise np.linalg.LinAlgError(
                f"singular matrix: resolution failed at diagonal {info - 1}"
            )
        return x

    return stacked(one, b.shape, a, b)


def solved(
    a: Term, b: Term, *, lower: bool = True, trans: bool = False, unit: bool = False
) -> Term:
    """A system by one triangle, said in one way, so that equal systems are one op."""
    flags = {"trans": trans, "unit": unit}
    return triangular_solve(a, b, lower=lower, **{k: True for k, v in flags.items() if v})


def _op(a: Term, trans: bool) -> Term:
    return transposed(a) if trans else a


def _jvp(
    ts: Any, outs: Any, a: Term, b: Term, *, lower: bool, trans: bool = False, unit: bool = False
) -> Any:
    """dX = op(A)⁻¹ (dB - op(dA) X), dA in its triangle."""
    ta, tb = ts
    moved = ZERO if ta is ZERO else -matmul(_op(triangle(ta, lower, unit), trans), outs[0])
    t = total(tb, moved)
    if t is ZERO:
        return (ZERO,)
    return (solved(a, t, lower=lower, trans=trans, unit=unit),)


def _vjp(
    cts: Any, outs: Any, a: Term, b: Term, *, lower: bool, trans: bool = False, unit: bool = False
) -> Any:
    """B̄ = op(A)⁻ᵀ X̄, and op(Ā) = -B̄ Xᵀ in the triangle of A."""
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    to_b = solved(a, ct, lower=lower, trans=not trans, unit=unit)
    product = matmul(to_b, transposed(outs[0]))
    return triangle(-_op(product, trans), lower, unit), to_b


# Solves op(A) X = B, where only one triangle of A is read; `unit` takes its diagonal to be ones.
triangular_solve: Prim = Prim(
    name="triangular_solve",
    infer=_infer,
    ref=_ref,
    emit=Call("triangular_solve"),
    jvp=_jvp,
    vjp=_vjp,
    batch=system_batch(lambda: triangular_solve),
    defaults={"trans": False, "unit": False},
)
