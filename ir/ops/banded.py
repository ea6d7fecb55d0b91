"""The row of banded systems: diagonals in, no dense matrix anywhere.

A band of `lower` + `upper` + 1 diagonals has as many rows, A[i, j] = ab[upper + i - j, j],
as LAPACK and SciPy have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import ZERO, Prim
from ..types import Aval
from .matrices import Term, check_matrices, total
from .shape import concatenate, expand_dims, narrow, pad, reshaped, sum_

__all__ = ["banded_solve"]


def _infer(ab: Aval, b: Aval, *, lower: int, upper: int) -> Aval:
    for x in (ab, b):
        check_matrices("banded_solve", x, real=False)
    if ab.dtype != b.dtype or ab.ndim != 2 or b.ndim != 2:
        raise TypeError(f"banded_solve: {ab} and {b} are not matrices of one dtype")
    if lower + upper + 1 != ab.shape[0]:
        raise ValueError(
            f"invalid values for the number of lower and upper diagonals: l+u+1 "
            f"({lower + upper + 1}) does not equal ab.shape[0] ({ab.shape[0]})"
        )
    if ab.shape[1] != b.shape[0]:
        raise ValueError("shapes of ab and b are not compatible.")
    return b


def _ref(ab: Any, b: Any, *, lower: int, upper: int) -> np.ndarray:
    import scipy.linalg

    return np.asarray(scipy.linalg.solve_banded((lower, upper), ab, b)).astype(b.dtype, copy=False)


def _shifted(x: Term, by: int) -> Term:
    """Rows i of the result are rows i - by of a matrix, zeros where there is none."""
    n = x.shape[0]
    if abs(by) >= n:
        return x * 0
    kept = narrow(x, 0, max(0, -by), n - abs(by))
    return pad(kept, shape=x.shape, start=(max(0, by), 0), step=(1, 1))


def _diagonal(ab: Term, k: int) -> Term:
    """Row k of the band, as a column."""
    return reshaped(narrow(ab, 0, k, 1), (ab.shape[1], 1))


def _times(ab: Term, x: Term, upper: int) -> Term:
    """The banded matrix times a matrix: diagonal k adds ab[k, j] x[j] to row j + k - upper."""
    return total(*(_shifted(_diagonal(ab, k) * x, k - upper) for k in range(ab.shape[0])))


def _turned(ab: Term, upper: int) -> Term:
    """The band of the transposed matrix."""
    rows = [_shifted(_diagonal(ab, k), k - upper) for k in reversed(range(ab.shape[0]))]
    return concatenate(*(expand_dims(reshaped(r, (ab.shape[1],)), (0,)) for r in rows), axis=0)


def _jvp(ts: Any, outs: Any, ab: Term, b: Term, *, lower: int, upper: int) -> Any:
    """dX = A⁻¹ (dB - dA X)."""
    ta, tb = ts
    t = total(tb, ZERO if ta is ZERO else -_times(ta, outs[0], upper))
    return (ZERO if t is ZERO else banded_solve(ab, t, lower=lower, upper=upper),)


def _vjp(cts: Any, outs: Any, ab: Term, b: Term, *, lower: int, upper: int) -> Any:
    """B̄ = A⁻ᵀ X̄, Ā = -B̄ Xᵀ within the band."""
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    to_b = banded_solve(_turned(ab, upper), ct, lower=upper, upper=lower)
    rows = [
        expand_dims(-sum_(_shifted(to_b, upper - k) * outs[0], axes=(1,)), (0,))
        for k in range(ab.shape[0])
    ]
    return concatenate(*rows, axis=0), to_b


banded_solve: Prim = Prim(
    name="banded_solve",
    infer=_infer,
    ref=_ref,
    jvp=_jvp,
    vjp=_vjp,
)
