"""More of scipy.linalg: special matrices, matrix functions and equations, general eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops.linalg import frechet
from . import intercept
from . import surface_decompositions as numpy
from .surface import cast, plain, refuse, value, values, wrap
from .surface_decompositions import as_asked, matrix
from .surface_scipy import filler
from .surface_scipy_linalg import _square, eigh, expm

_Ignored = bool


def _traced(*xs: Any) -> list[Any]:
    """The arguments as arrays that are traced, floating-point and of one dtype."""
    return [wrap(v, "array") for v in values(*(wrap(matrix(x), "array") for x in xs))]


# ------------------------------------------------------------------ special matrices


def toeplitz(c: Any, r: Any = None) -> Any:
    """scipy.linalg.toeplitz: constant diagonals, from a first column and a first row."""
    (column,) = (wrap(value(c), "array"),)
    row = np.conj(column) if r is None else wrap(value(r), "array")
    m, n = column.shape[-1], row.shape[-1]
    line = np.concatenate([column[..., ::-1], row[..., 1:]], axis=-1)
    return line[..., m - 1 - np.arange(m)[:, None] + np.arange(n)]


def convolution_matrix(a: Any, n: Any, mode: str = "full") -> Any:
    """scipy.linalg.convolution_matrix, by a Toeplitz matrix."""
    (line,) = _traced(a)
    if n <= 0:
        raise ValueError("n must be a positive integer.")
    m = line.shape[-1]
    if not m:
        raise ValueError("len(a) must be at least 1.")
    if mode not in ("full", "valid", "same"):
        raise ValueError("'mode' argument must be one of ('full', 'valid', 'same')")
    ahead, behind = np.arange(m + n - 1)[:, None], np.arange(n)
    index = ahead - behind
    found = np.where((index >= 0) & (index < m), line[..., np.clip(index, 0, m - 1)], 0)
    trim = {"full": 0, "valid": 2 * (min(n, m) - 1), "same": min(n, m) - 1}[mode]
    return found[..., trim // 2 : m + n - 1 - (trim - trim // 2), :]


def hankel(c: Any, r: Any = None) -> Any:
    """scipy.linalg.hankel: constant antidiagonals, from a first column and a last row."""
    column = np.ravel(wrap(value(c), "array"))
    row = np.zeros_like(column) if r is None else np.ravel(wrap(value(r), "array"))
    line = np.concatenate([column, row[1:]])
    return line[np.arange(len(column))[:, None] + np.arange(len(row))]


def circulant(c: Any) -> Any:
    """scipy.linalg.circulant."""
    column = wrap(value(c), "array")
    n = column.shape[-1]
    return column[..., (np.arange(n)[:, None] - np.arange(n)) % n]


def companion(a: Any) -> Any:
    """scipy.linalg.companion of the coefficients of a polynomial."""
    (line,) = _traced(a)
    n = line.shape[-1] - 1
    if n < 1:
        raise ValueError("The length of `a` along the last axis must be at least 2.")
    first = -line[..., None, 1:] / line[..., None, :1]
    below = np.broadcast_to(np.eye(n - 1, n), (*line.shape[:-1], n - 1, n))
    return np.concatenate([first, below.astype(line.dtype)], axis=-2)


def khatri_rao(a: Any, b: Any) -> Any:
    """scipy.linalg.khatri_rao."""
    x, y = (wrap(v, "array") for v in values(a, b))
    if x.shape[-1] != y.shape[-1]:
        raise ValueError("The number of columns for both arrays should be equal.")
    out = x[..., :, None, :] * y[..., None, :, :]
    return out.reshape((*out.shape[:-3], x.shape[-2] * y.shape[-2], x.shape[-1]))


# ------------------------------------------------------------------ structured systems


def _matrix_of(c_or_cr: Any) -> Any:
    return toeplitz(*c_or_cr) if isinstance(c_or_cr, tuple) else toeplitz(np.ravel(c_or_cr))


def solve_toeplitz(c_or_cr: Any, b: Any, check_finite: _Ignored = True) -> Any:
    """scipy.linalg.solve_toeplitz, by a general solve."""
    m, rhs = _traced(_matrix_of(c_or_cr), b)
    return np.linalg.solve(m, rhs)


def matmul_toeplitz(
    c_or_cr: Any, x: Any, check_finite: _Ignored = False, workers: Any = None
) -> Any:
    """scipy.linalg.matmul_toeplitz, by a general product."""
    m, rhs = _traced(_matrix_of(c_or_cr), x)
    return m @ rhs


def solve_circulant(
    c: Any, b: Any, singular: str = "raise", tol: Any = None, caxis: int = -1, baxis: int = 0,
    outaxis: int = 0,
) -> Any:  # fmt: skip
    """scipy.linalg.solve_circulant of one matrix, by a general solve."""
    if (caxis, baxis, outaxis) != (-1, 0, 0) or singular != "raise":
        raise refuse("scipy.linalg.solve_circulant with axes or singular='lstsq'")
    m, rhs = _traced(circulant(np.ravel(c)), b)
    return np.linalg.solve(m, rhs)


def solve_banded(
    l_and_u: Any, ab: Any, b: Any, overwrite_ab: _Ignored = False, overwrite_b: _Ignored = False,
    check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.solve_banded."""
    low, high = (int(plain(n, "the number of diagonals")) for n in l_and_u)
    band, rhs = values(*_traced(ab, b))
    vector = rhs.ndim == 1
    rhs = ops.shape.expand_dims(rhs, (1,)) if vector else rhs
    return as_asked(ops.banded_solve(band, rhs, lower=low, upper=high), vector)


def solveh_banded(
    ab: Any, b: Any, overwrite_ab: _Ignored = False, overwrite_b: _Ignored = False,
    lower: bool = False, check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.solveh_banded, as a general banded system: nothing looks if it is definite."""
    (band,) = _traced(ab)
    u = band.shape[0] - 1
    n = band.shape[1]
    rows = list(band) if lower else [_moved(band[u - k], -k) for k in range(u + 1)]
    upper = [np.conj(_moved(rows[k], k)) for k in range(u, 0, -1)]
    whole = np.stack([*upper, *rows]) if n else band
    return solve_banded((u, u), whole, b)


def _moved(x: Any, by: int) -> Any:
    """A row of a band moved along, zeros behind it."""
    if not by:
        return x
    zeros = np.zeros(min(abs(by), len(x)), x.dtype)
    return np.concatenate([zeros, x[:-by]] if by > 0 else [x[-by:], zeros])


def _tridiagonal(d: Any, e: Any) -> Any:
    main, side = _traced(d, e)
    return np.diag(main) + np.diag(side, -1) + np.diag(side, 1)


def eigh_tridiagonal(
    d: Any, e: Any, eigvals_only: bool = False, select: str = "a", select_range: Any = None,
    check_finite: _Ignored = True, tol: float = 0.0, lapack_driver: str = "auto",
) -> Any:  # fmt: skip
    """scipy.linalg.eigh_tridiagonal: all eigenvalues, or those of a range of indices."""
    if select not in ("a", "i"):
        raise refuse("scipy.linalg.eigh_tridiagonal with select='v'")
    subset = select_range if select == "i" else None
    return eigh(_tridiagonal(d, e), eigvals_only=eigvals_only, subset_by_index=subset)


def eigvalsh_tridiagonal(d: Any, e: Any, select: str = "a", *args: Any, **options: Any) -> Any:
    """scipy.linalg.eigvalsh_tridiagonal."""
    return eigh_tridiagonal(d, e, True, select, *args, **options)


# ------------------------------------------------------------------ matrix functions, equations


def _one_matrix(a: Any) -> Value:
    return _square(matrix(a))


def sqrtm(A: Any, *_: Any, **__: Any) -> Any:
    """scipy.linalg.sqrtm; a real matrix whose root is complex raises at run time."""
    return wrap(ops.sqrtm(_one_matrix(A)))


def logm(A: Any, *_: Any, **__: Any) -> Any:
    """scipy.linalg.logm; a real matrix whose logarithm is complex raises at run time."""
    out = ops.logm(_one_matrix(A))
    return wrap(cast(out, "f64") if out.aval.dtype == "f32" else out)


def expm_frechet(
    A: Any, E: Any, method: Any = None, compute_expm: bool = True, check_finite: _Ignored = True
) -> Any:
    """scipy.linalg.expm_frechet."""
    x, e = values(*_traced(A, E))
    moved = wrap(frechet(ops.expm, x, e))
    return (expm(wrap(x)), moved) if compute_expm else moved


def _exponentials(A: Any, unit: complex) -> tuple[Any, Any]:
    (x,) = _traced(A)
    return expm(unit * x), expm(-unit * x)


def _trigonometric(A: Any, unit: complex, sign: int, by: complex) -> Any:
    ahead, back = _exponentials(A, unit)
    out = (ahead + sign * back) / by
    return np.real(out) if unit == 1j and value(A).aval.kind != "c" else out


def cosm(A: Any) -> Any:
    """scipy.linalg.cosm."""
    return _trigonometric(A, 1j, 1, 2)


def sinm(A: Any) -> Any:
    """scipy.linalg.sinm."""
    return _trigonometric(A, 1j, -1, 2j)


def coshm(A: Any) -> Any:
    """scipy.linalg.coshm."""
    return _trigonometric(A, 1, 1, 2)


def sinhm(A: Any) -> Any:
    """scipy.linalg.sinhm."""
    return _trigonometric(A, 1, -1, 2)


def tanm(A: Any) -> Any:
    """scipy.linalg.tanm."""
    return np.linalg.solve(cosm(A), sinm(A))


def tanhm(A: Any) -> Any:
    """scipy.linalg.tanhm."""
    return np.linalg.solve(coshm(A), sinhm(A))


def solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """scipy.linalg.solve_sylvester."""
    return wrap(ops.sylvester(*values(*_traced(a, b, q))))


def solve_continuous_lyapunov(a: Any, q: Any) -> Any:
    """scipy.linalg.solve_continuous_lyapunov: A X + X Aᴴ = Q."""
    x, rhs = _traced(a, q)
    return solve_sylvester(x, np.conj(np.swapaxes(x, -1, -2)), rhs)


def solve_discrete_lyapunov(a: Any, q: Any, method: Any = None) -> Any:
    """scipy.linalg.solve_discrete_lyapunov: A X Aᴴ - X + Q = 0, by a Kronecker product."""
    x, rhs = _traced(a, q)
    n = x.shape[-1]
    if x.ndim != 2:
        raise refuse("scipy.linalg.solve_discrete_lyapunov of stacks")
    system = np.eye(n * n) - np.kron(x, np.conj(x))
    return np.linalg.solve(system, np.ravel(rhs)).reshape((n, n))


# ------------------------------------------------------------------ decompositions


def eig(
    a: Any, b: Any = None, left: bool = False, right: bool = True, overwrite_a: _Ignored = False,
    overwrite_b: _Ignored = False, check_finite: _Ignored = True,
    homogeneous_eigvals: bool = False,
) -> Any:  # fmt: skip
    """scipy.linalg.eig with right eigenvectors; the eigenvalues are complex always."""
    if b is not None or left or homogeneous_eigvals:
        raise refuse("scipy.linalg.eig with b, left vectors or homogeneous eigenvalues")
    x = _one_matrix(a)
    w, v = ops.eig(x, vectors=bool(right))
    if not right:
        return wrap(w)
    return wrap(w), wrap(ops.real(v) if numpy.all_real(x, w) else v)


def eigvals(a: Any, b: Any = None, *_: Any, **__: Any) -> Any:
    """scipy.linalg.eigvals."""
    return eig(a, b, right=False)


def pinvh(
    a: Any, atol: Any = None, rtol: Any = None, lower: bool = True, return_rank: bool = False,
    check_finite: _Ignored = True,
) -> Any:  # fmt: skip
    """scipy.linalg.pinvh with a relative cut-off."""
    if atol is not None or return_rank:
        raise refuse("scipy.linalg.pinvh with atol or return_rank")
    x = _one_matrix(a)
    whole = wrap(ops.matrices.mirrored(x, bool(lower)))
    return numpy.pinv(whole, rtol=rtol)


def polar(a: Any, side: str = "right") -> Any:
    """scipy.linalg.polar."""
    if side not in ("right", "left"):
        raise ValueError("`side` must be either 'right' or 'left'")
    (x,) = _traced(a)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    back = np.conj(np.swapaxes(vt, -1, -2))
    scaled = (back if side == "right" else u) * s[..., None, :]
    other = vt if side == "right" else np.conj(np.swapaxes(u, -1, -2))
    return u @ vt, scaled @ other


def _rank(s: Any, shape: Any, rcond: Any) -> int:
    """How many singular values count, which is guarded."""
    if rcond is None:
        rcond = np.finfo(s.dtype).eps * max(shape)
    return int(np.sum(s > np.max(s, initial=0.0) * rcond))


def null_space(
    A: Any, rcond: Any = None, *, overwrite_a: _Ignored = False, check_finite: _Ignored = True,
    lapack_driver: Any = None,
) -> Any:  # fmt: skip
    """scipy.linalg.null_space: only what does not depend on the choice of a basis has a slope."""
    (x,) = _traced(A)
    _, s, vt = np.linalg.svd(x, full_matrices=True)
    return np.conj(vt[_rank(s, x.shape, rcond) :].T)


def orth(A: Any, rcond: Any = None) -> Any:
    """scipy.linalg.orth."""
    (x,) = _traced(A)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return u[:, : _rank(s, x.shape, rcond)]


def subspace_angles(A: Any, B: Any) -> Any:
    """scipy.linalg.subspace_angles, where they are not zero."""
    a, b = _traced(A, B)
    qa, qb = np.linalg.qr(a)[0], np.linalg.qr(b)[0]
    if qa.shape[1] < qb.shape[1]:
        qa, qb = qb, qa
    inner = np.conj(qa.T) @ qb
    cosines = np.linalg.svd(inner, compute_uv=False)
    sines = np.linalg.svd(qb - qa @ inner, compute_uv=False)
    small = cosines[::-1] ** 2 >= 0.5
    low = np.arcsin(np.where(small, np.clip(sines, 0.0, 1.0), 0.0))
    high = np.arccos(np.where(small, 0.0, np.clip(cosines[::-1], -1.0, 1.0)))
    return np.where(small, low, high)


TABLE = {
    f.__name__: f
    for f in (
        toeplitz, convolution_matrix, hankel, circulant, companion, khatri_rao, solve_toeplitz,
        matmul_toeplitz,
        solve_circulant, solve_banded, solveh_banded, eigh_tridiagonal, eigvalsh_tridiagonal,
        sqrtm, logm, expm_frechet, cosm, sinm, tanm, coshm, sinhm, tanhm, solve_sylvester,
        solve_continuous_lyapunov, solve_discrete_lyapunov, eig, eigvals, pinvh, polar,
        null_space, orth, subspace_angles,
    )
}  # fmt: skip
TABLE["solve_lyapunov"] = solve_continuous_lyapunov
intercept.when_imported(filler("scipy.linalg", TABLE))
