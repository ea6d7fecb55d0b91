"""scipy.linalg's functions that have a meaning in rows; entered once the user imports them."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops import matrices
from ..ir.ops.factors import permutation, unit_lower
from ..ir.types import Aval, broadcast_shapes
from . import intercept
from . import surface_decompositions as numpy
from .control import kind_of
from .surface import FUNCTIONS, as_float, cast, plain, refuse, value, values, wrap
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
    "sym": "sym", "symmetric": "sym", "her": "her", "hermitian": "her",
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
    elif kind == "pos":
        out = _cholesky_solve(cholesky_factor(x, not lower), y, bool(lower))
    else:
        if kind in ("sym", "her"):
            x = _mirrored(x, bool(lower), kind)
        out = ops.solve(matrices.transposed(x) if transposed else x, y)
    return as_asked(out, vector)


def _mirrored(x: Value, lower: bool, kind: str) -> Value:
    """The whole matrix of one triangle; one that is symmetric may be complex all the same."""
    if kind != "sym" or x.aval.kind != "c":
        return matrices.mirrored(x, lower)
    part = matrices.triangle(x, lower)
    strict = matrices.lower_part(x, -1) if lower else matrices.upper_part(x, 1)
    return ops.add(part, matrices.transposed(strict))


def _cholesky_solve(c: Value, b: Value, lower: bool) -> Value:
    turned = matrices.conjugated(c)
    first = ops.triangular_solve(c if lower else turned, b, lower=lower, trans=not lower)
    return ops.triangular_solve(turned if lower else c, first, lower=lower, trans=lower)


def cho_solve(
    c_and_lower: Any, b: Any, overwrite_b: _Ignored = False, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.cho_solve."""
    c, lower = c_and_lower
    x, y, vector = _system(c, b)
    return as_asked(_cholesky_solve(x, y, bool(lower)), vector)


def cholesky(
    a: Any, lower: bool = False, overwrite_a: _Ignored = False, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.cholesky, which reads one triangle of its argument."""
    return wrap(cholesky_factor(_square(matrix(a)), not lower))


def cho_factor(
    a: Any, lower: bool = False, overwrite_a: _Ignored = False, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.cho_factor: the factor in one triangle, zeros or the argument's in the other."""
    x = _square(matrix(a))
    factor = cholesky_factor(x, not lower)
    if _keeps_other_triangle():
        factor = ops.add(factor, matrices.upper_part(x, 1) if lower else matrices.lower_part(x, -1))
    return wrap(factor), _scipy().cho_factor(np.ones((*x.shape[:-2], 1, 1)), lower)[1]


@functools.cache
def _keeps_other_triangle() -> bool:
    """Whether cho_factor copies the triangle that it does not need, as before SciPy 1.18."""
    factor, _ = _scipy().cho_factor(np.array([[2.0, 1.0], [1.0, 2.0]]))
    return bool(factor[1, 0])


def _scipy() -> Any:
    """scipy.linalg, to be asked what kind of thing it returns."""
    return sys.modules["scipy.linalg"]


def inv(
    a: Any, overwrite_a: _Ignored = False, check_finite: _Ignored = True, *,
    assume_a: Any = None, lower: bool = False,
) -> Any:  # fmt: skip
    """scipy.linalg.inv."""
    x = _square(matrix(a))
    kind = _STRUCTURES.get(assume_a, "gen")
    if kind in ("sym", "her", "pos"):
        x = _mirrored(x, bool(lower), kind)
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


def _rectangular(x: Value) -> tuple[Value, Value, Value]:
    """The order of rows, L and U of any matrix: a square decomposition, and what it leaves over."""
    m, n = x.shape[-2:]
    if m == n:
        packed, _, order = ops.lu(x)
        return order, unit_lower(packed), matrices.upper_part(packed)
    last, above = x.ndim - 1, x.ndim - 2
    if m < n:
        packed, _, order = ops.lu(ops.shape.narrow(x, last, 0, m))
        rest = matrices.matmul(permutation(order, x.dtype), ops.shape.narrow(x, last, m, n - m))
        beside = ops.triangular_solve(packed, rest, lower=True, unit=True)
        high = ops.concatenate(matrices.upper_part(packed), beside, axis=last)
        return order, unit_lower(packed), high
    order = ops.lu_order(x)
    moved = matrices.matmul(permutation(order, x.dtype), x)
    packed, _, _ = ops.lu(ops.shape.narrow(moved, above, 0, n))
    rest = matrices.transposed(ops.shape.narrow(moved, above, n, m - n))
    below = matrices.transposed(ops.triangular_solve(packed, rest, lower=False, trans=True))
    low = ops.concatenate(unit_lower(packed), below, axis=above)
    return order, low, matrices.upper_part(packed)


def lu(
    a: Any, permute_l: bool = False, overwrite_a: _Ignored = False,
    check_finite: _Ignored = True, p_indices: bool = False,
) -> Any:  # fmt: skip
    """scipy.linalg.lu."""
    x = matrix(a)
    if x.ndim < 2:
        raise ValueError("The input array must be at least two-dimensional.")
    order, low, high = _rectangular(x)
    real = {"c64": "f32", "c128": "f64"}.get(x.dtype, x.dtype)
    back = matrices.transposed(permutation(order, real))
    if permute_l:
        return wrap(matrices.matmul(matrices.as_of(back, low), low)), wrap(high)
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
    if type not in (1, 2, 3):
        raise ValueError('"type" keyword only accepts 1, 2, and 3.')
    if subset_by_value is not None:
        raise refuse("scipy.linalg.eigh with subset_by_value", "Use subset_by_index.")
    if subset_by_index is not None:
        low, high = (int(plain(i, "the subset of scipy.linalg.eigh")) for i in subset_by_index)
        whole = eigh(a, b, lower=lower, type=type)
        w, v = (part[..., low : high + 1] for part in whole)
        return w if eigvals_only else (w, v)
    x = _square(matrix(a))
    if b is None:
        w, v = ops.eigh(x, lower=bool(lower), driver="evr")
        return wrap(w) if eigvals_only else (wrap(w), wrap(v))
    x, y = values(wrap(x), wrap(_square(matrix(b))))
    factor = cholesky_factor(y, not lower)
    factor = factor if lower else matrices.hermitian(factor)
    # b = L Lᴴ: the eigenvalues are those of L⁻¹ a L⁻ᴴ, the vectors L⁻ᴴ times its own.
    x = matrices.mirrored(x, bool(lower))
    if type == 1:
        half = ops.triangular_solve(factor, x, lower=True)
        whole = ops.triangular_solve(factor, matrices.hermitian(half), lower=True)
    else:  # a b x = w x, b a x = w x: those of Lᴴ a L
        whole = matrices.matmul(matrices.hermitian(factor), x, factor)
    w, v = ops.eigh(whole, lower=True)
    if eigvals_only:
        return wrap(w)
    if type == 3:
        return wrap(w), wrap(matrices.matmul(factor, v))
    turned = matrices.conjugated(factor)
    return wrap(w), wrap(ops.triangular_solve(turned, v, lower=True, trans=True))


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
    kinds = _lstsq_kinds()
    if x.ndim == 1 and residuals.size:
        residuals = wrap(value(residuals[0]), kinds[0])
    return x, residuals, wrap(value(rank, "i64"), kinds[1]), s


@functools.cache
def _lstsq_kinds() -> tuple[str, str]:
    """Of what kind the residual of a vector and the rank are: it changed in SciPy 1.18."""
    _, residual, rank, _ = _scipy().lstsq(np.array([[1.0], [0.0]]), np.ones(2))
    return kind_of(residual), kind_of(rank)


def block_diag(*arrs: Any) -> Any:
    """scipy.linalg.block_diag of matrices, or of stacks of them."""
    parts = values(*(np.atleast_2d(wrap(value(a), "array")) for a in arrs))
    lead = broadcast_shapes(*(p.shape[:-2] for p in parts))
    shape = lead + tuple(sum(p.shape[i] for p in parts) for i in (-2, -1))
    out, at = ops.shape.zeros(Aval(parts[0].aval.dtype, shape)), (0, 0)
    for p in parts:
        wide = ops.shape.broadcast_to(p, lead + p.shape[-2:])
        start = (0,) * len(lead) + at
        out = ops.add(out, ops.pad(wide, shape=shape, start=start, step=(1,) * len(shape)))
        at = (at[0] + p.shape[-2], at[1] + p.shape[-1])
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
