"""scipy.linalg's functions that have a meaning in rows; entered once the user imports them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops import matrices
from ..ir.ops.factors import permutation, unit_lower
from ..ir.types import Aval
from . import intercept
from . import surface_decompositions as numpy
from .surface import FUNCTIONS, as_float, cast, refuse, value, values, wrap
from .surface_decompositions import as_asked, cholesky_factor, matrix, stretched
from .surface_scipy import filler

# What only tells LAPACK how to work; the result is the same.
_Ignored = bool


def _square(v: Value) -> Value:
    if v.ndim < 2:
        raise ValueError(f"Expected at least ndim=2, got a1.ndim={v.ndim}")
    if v.shape[-1] != v.shape[-2]:
        raise ValueError(f"Expected square matrix, got a1.shape={v.shape}")
    return v


def _system(a: Any, b: Any) -> tuple[Value, Value, bool]:
    x, y = values(wrap(matrix(a), "array"), wrap(matrix(b), "array"))
    x = _square(x)
    vector = y.ndim == 1
    y = ops.shape.expand_dims(y, (1,)) if vector else y
    if y.ndim < 2 or y.shape[-2] != x.shape[-1]:
        raise ValueError(f"shapes of a {x.shape} and b {y.shape} are incompatible")
    return *stretched(x, y), vector


# ------------------------------------------------------------------ systems


def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False,
    overwrite_b: _Ignored = False, check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.solve_triangular."""
    x, y, vector = _system(a, b)
    if trans in (2, "C") and x.aval.kind == "c":
        x = ops.conj(x)
    turned = trans in (1, "T", 2, "C")
    out = ops.triangular_solve(x, y, lower=bool(lower), trans=turned, unit=bool(unit_diagonal))
    return as_asked(out, vector)


_STRUCTURES = {
    None: "gen", "gen": "gen", "general": "gen",
    "sym": "sym", "symmetric": "sym", "her": "sym", "hermitian": "sym",
    "pos": "pos", "positive definite": "pos",
    "lower triangular": "lower", "upper triangular": "upper",
    "diagonal": "diagonal", "tridiagonal": "gen",
}  # fmt: skip


def solve(
    a: Any, b: Any, lower: bool = False, overwrite_a: _Ignored = False,
    overwrite_b: _Ignored = False, check_finite: _Ignored = True, assume_a: Any = None,
    transposed: bool = False,
) -> Any:  # fmt: skip
    """scipy.linalg.solve; a symmetric matrix is read from one triangle."""
    if assume_a not in _STRUCTURES:
        if assume_a == "banded":
            raise refuse("scipy.linalg.solve with assume_a='banded'", "Leave assume_a out.")
        raise ValueError(f"{assume_a} is not a recognized matrix structure")
    x, y, vector = _system(a, b)
    kind = _STRUCTURES[assume_a]
    if kind in ("lower", "upper", "diagonal"):
        if kind == "diagonal":
            x = matrices.triangle(x, True)
        out = ops.triangular_solve(x, y, lower=kind != "upper", trans=bool(transposed))
    elif kind == "pos" and x.aval.kind == "f":
        out = _cholesky_solve(cholesky_factor(x, not lower), y, bool(lower))
    else:
        if kind != "gen" and x.aval.kind == "f":
            x = matrices.mirrored(x, bool(lower))
        out = ops.solve(matrices.transposed(x) if transposed else x, y)
    return as_asked(out, vector)


def _cholesky_solve(c: Value, b: Value, lower: bool) -> Value:
    first = ops.triangular_solve(c, b, lower=lower, trans=not lower)
    return ops.triangular_solve(c, first, lower=lower, trans=lower)


def cho_solve(
    c_and_lower: Any, b: Any, overwrite_b: _Ignored = False, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.cho_solve."""
    c, lower = c_and_lower
    x, y, vector = _system(c, b)
    if x.aval.kind == "c":
        raise refuse("scipy.linalg.cho_solve of a complex matrix")
    return as_asked(_cholesky_solve(x, y, bool(lower)), vector)


def cholesky(
    a: Any, lower: bool = False, overwrite_a: _Ignored = False, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.cholesky, which reads one triangle of its argument."""
    return wrap(cholesky_factor(_square(matrix(a, "scipy.linalg.cholesky")), not lower))


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: _Ignored = False, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.cho_factor: the factor in one triangle, the argument's in the other."""
    x = _square(matrix(a, "scipy.linalg.cho_factor"))
    rest = matrices.upper_part(x, 1) if lower else matrices.lower_part(x, -1)
    return wrap(ops.add(cholesky_factor(x, not lower), rest)), lower


def inv(
    a: Any, overwrite_a: _Ignored = False, check_finite: _Ignored = True, *,
    assume_a: Any = None, lower: bool = False,
) -> Any:  # fmt: skip
    """scipy.linalg.inv."""
    x = _square(matrix(a))
    kind = _STRUCTURES.get(assume_a, "gen")
    if kind in ("sym", "pos") and x.aval.kind == "f":
        x = matrices.mirrored(x, bool(lower))
    elif kind != "gen":
        raise refuse(f"scipy.linalg.inv with assume_a={assume_a!r}", "Leave assume_a out.")
    return wrap(ops.inv(x))


def det(a: Any, overwrite_a: _Ignored = False, check_finite: _Ignored = True) -> Any:
    """scipy.linalg.det, in double precision always."""
    x = matrix(a)
    if x.ndim < 2:
        raise ValueError("The input array must be at least two-dimensional.")
    if x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"Last 2 dimensions of the array must be square but received shape {x.shape}."
        )
    return wrap(ops.det(value(x, "c128" if x.aval.kind == "c" else "f64")))


def expm(A: Any) -> Any:
    """scipy.linalg.expm."""
    x = as_float(value(A))
    if x.aval.dtype == "f16":
        x = value(x, "f32")
    if x.ndim < 2 and x.aval.size == 1:
        return wrap(ops.reshape(ops.exp(x), shape=(1, 1)))
    if x.ndim < 2:
        raise np.linalg.LinAlgError("The input array must be at least two-dimensional")
    return wrap(ops.expm(x))


# ------------------------------------------------------------------ LU


def lu_factor(a: Any, overwrite_a: _Ignored = False, check_finite: _Ignored = True) -> Any:
    """scipy.linalg.lu_factor of square matrices."""
    packed, pivots, _ = ops.lu(_square(matrix(a)))
    return wrap(packed), wrap(cast(pivots, "i32"), "array")


def lu_solve(
    lu_and_piv: Any, b: Any, trans: int = 0, overwrite_b: _Ignored = False,
    check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.lu_solve."""
    lu, piv = lu_and_piv
    x, y, vector = _system(lu, b)
    order = ops.pivot_order(value(piv, "i64"))
    rows = permutation(order, x.aval.dtype)
    if rows.shape[:-2] != x.shape[:-2]:
        rows = ops.shape.broadcast_to(rows, x.shape[:-2] + rows.shape[-2:])
    if trans == 2 and x.aval.kind == "c":
        x = ops.conj(x)
    if trans:
        first = ops.triangular_solve(x, y, lower=False, trans=True)
        last = ops.triangular_solve(x, first, lower=True, trans=True, unit=True)
        return as_asked(matrices.matmul(matrices.transposed(rows), last), vector)
    first = ops.triangular_solve(x, matrices.matmul(rows, y), lower=True, unit=True)
    return as_asked(ops.triangular_solve(x, first, lower=False), vector)


def lu(
    a: Any, permute_l: bool = False, overwrite_a: _Ignored = False,
    check_finite: _Ignored = True, p_indices: bool = False,
) -> Any:  # fmt: skip
    """scipy.linalg.lu of square matrices."""
    packed, _, order = ops.lu(_square(matrix(a)))
    low, high = unit_lower(packed), matrices.upper_part(packed)
    back = matrices.transposed(permutation(order, packed.aval.dtype))
    if permute_l:
        return wrap(matrices.matmul(back, low)), wrap(high)
    if p_indices:
        back = cast(ops.argsort(order, axis=order.ndim - 1), "i32")
        return wrap(back, "array"), wrap(low), wrap(high)
    return wrap(back), wrap(low), wrap(high)


# ------------------------------------------------------------------ decompositions


def eigh(
    a: Any, b: Any = None, *, lower: bool = True, eigvals_only: bool = False,
    overwrite_a: _Ignored = False, overwrite_b: _Ignored = False, type: int = 1,
    check_finite: _Ignored = True, subset_by_index: Any = None, subset_by_value: Any = None,
    driver: Any = None,
) -> Any:  # fmt: skip
    """scipy.linalg.eigh: all eigenvalues, of a x = w x or a x = w b x."""
    if type != 1 or subset_by_index is not None or subset_by_value is not None:
        raise refuse("scipy.linalg.eigh of another type or of a subset of the eigenvalues")
    x = _square(matrix(a, "scipy.linalg.eigh"))
    if b is None:
        w, v = ops.eigh(x, lower=bool(lower), driver="evr")
        return wrap(w) if eigvals_only else (wrap(w), wrap(v))
    x, y = values(wrap(x), wrap(_square(matrix(b, "scipy.linalg.eigh"))))
    factor = cholesky_factor(y, not lower)
    factor = factor if lower else matrices.transposed(factor)
    # b = L Lᵀ: the eigenvalues are those of L⁻¹ a L⁻ᵀ, the vectors L⁻ᵀ times its own.
    half = ops.triangular_solve(factor, matrices.mirrored(x, bool(lower)), lower=True)
    whole = ops.triangular_solve(factor, matrices.transposed(half), lower=True)
    w, v = ops.eigh(whole, lower=True)
    if eigvals_only:
        return wrap(w)
    return wrap(w), wrap(ops.triangular_solve(factor, v, lower=True, trans=True))


def eigvalsh(a: Any, b: Any = None, *, lower: bool = True, **options: Any) -> Any:
    """scipy.linalg.eigvalsh."""
    return eigh(a, b, lower=lower, eigvals_only=True, **options)


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: _Ignored = False,
    check_finite: _Ignored = True, lapack_driver: Any = None,
) -> Any:  # fmt: skip
    """scipy.linalg.svd."""
    out = numpy.svd(a, full_matrices, compute_uv)
    return tuple(out) if compute_uv else out


def qr(
    a: Any, overwrite_a: _Ignored = False, lwork: Any = None, mode: str = "full",
    pivoting: bool = False, check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.qr without pivoting."""
    if pivoting:
        raise refuse("scipy.linalg.qr with pivoting")
    if mode not in ("full", "economic", "r"):
        raise refuse(f"scipy.linalg.qr with mode={mode!r}")
    q, r = numpy.qr(a, "reduced" if mode == "economic" else "complete")
    return (r,) if mode == "r" else (q, r)


def pinv(
    a: Any, *, atol: Any = None, rtol: Any = None, return_rank: bool = False,
    check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.pinv with a relative cut-off."""
    if atol is not None or return_rank:
        raise refuse("scipy.linalg.pinv with atol or return_rank")
    return numpy.pinv(a, rtol=rtol)


def lstsq(
    a: Any, b: Any, cond: Any = None, overwrite_a: _Ignored = False, overwrite_b: _Ignored = False,
    check_finite: _Ignored = True, lapack_driver: Any = None,
) -> Any:  # fmt: skip
    """scipy.linalg.lstsq; reading the residuals of a deficient matrix raises."""
    x, residuals, rank, s = numpy.lstsq(a, b, -1 if cond is None else cond)
    if x.ndim == 1 and residuals.size:
        residuals = residuals[0]
    return x, residuals, wrap(value(rank, "i64"), "python"), s


def block_diag(*arrs: Any) -> Any:
    """scipy.linalg.block_diag of matrices."""
    parts = values(*(np.atleast_2d(wrap(value(a), "array")) for a in arrs))
    if any(p.ndim > 2 for p in parts):
        raise refuse("scipy.linalg.block_diag of stacks")
    shape = tuple(sum(p.shape[i] for p in parts) for i in (0, 1))
    out, at = ops.shape.zeros(Aval(parts[0].aval.dtype, shape)), (0, 0)
    for p in parts:
        out = ops.add(out, ops.pad(p, shape=shape, start=at, step=(1, 1)))
        at = (at[0] + p.shape[0], at[1] + p.shape[1])
    return wrap(out)


def norm(
    a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False,
    check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.norm."""
    return FUNCTIONS[np.linalg.norm](a, ord, axis, keepdims)


TABLE = {
    "solve_triangular": solve_triangular,
    "solve": solve,
    "cho_solve": cho_solve,
    "cholesky": cholesky,
    "cho_factor": cho_factor,
    "inv": inv,
    "det": det,
    "expm": expm,
    "lu_factor": lu_factor,
    "lu_solve": lu_solve,
    "lu": lu,
    "eigh": eigh,
    "eigvalsh": eigvalsh,
    "svd": svd,
    "svdvals": lambda a, overwrite_a=False, check_finite=True: numpy.svdvals(a),
    "qr": qr,
    "pinv": pinv,
    "lstsq": lstsq,
    "block_diag": block_diag,
    "norm": norm,
}
intercept.when_imported(filler("scipy.linalg", TABLE))
