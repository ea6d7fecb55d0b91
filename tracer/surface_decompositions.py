"""np.linalg: solves, determinants and decompositions, said in the rows of linear algebra."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops import matrices
from ..ir.types import NUMPY, broadcast_shapes
from .errors import TracedBranch
from .surface import (
    as_float,
    cast,
    holds_tracer,
    plain,
    refuse,
    surface,
    value,
    values,
    wrap,
)
from .surface_linalg import squared

_shape = ops.shape


@functools.cache
def _results() -> dict[str, Any]:
    """NumPy's own namedtuples of results, by the function that returns them."""
    one = np.eye(1)
    named: dict[str, Any] = {
        "eigh": np.linalg.eigh,
        "eig": np.linalg.eig,
        "qr": np.linalg.qr,
        "svd": np.linalg.svd,
    }
    return {k: type(f(one)) for k, f in named.items()} | {"slogdet": type(np.linalg.slogdet(one))}


def _named(name: str, *vs: Value) -> Any:
    return _results()[name](*map(wrap, vs))


def matrix(x: Any) -> Value:
    """The value as matrices of floating-point numbers."""
    return as_float(value(x))


# ------------------------------------------------------------------ systems


def stretched(a: Value, b: Value) -> tuple[Value, Value]:
    """Two stacks of matrices with their batch shapes broadcast."""
    if a.shape[:-2] == b.shape[:-2]:
        return a, b
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return tuple(_shape.broadcast_to(x, lead + x.shape[-2:]) for x in (a, b))  # type: ignore


def system(a: Any, b: Any) -> tuple[Value, Value, bool]:
    """A matrix and right-hand sides of one dtype and batch shape; whether they were one vector."""
    x, y = values(wrap(matrix(a), "array"), wrap(matrix(b), "array"))
    matrices.check_square("solve", x.aval, real=False)
    if not y.ndim:
        raise ValueError(
            "solve: Input operand 1 does not have enough dimensions (has 0, gufunc core with "
            "signature (m,m),(m,n)->(m,n) requires 2)"
        )
    vector = y.ndim == 1
    x, y = stretched(x, _shape.expand_dims(y, (1,)) if vector else y)
    return x, y, vector


def as_asked(x: Value, vector: bool) -> Any:
    """The solution of a system, as a vector if the right-hand side was one."""
    return wrap(_shape.squeeze(x, (x.ndim - 1,)) if vector else x)


@surface(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """np.linalg.solve; b is a vector exactly if it has one dimension."""
    x, y, vector = system(a, b)
    return as_asked(ops.solve(x, y), vector)


@surface(np.linalg.inv)
def inv(a: Any) -> Any:
    """np.linalg.inv."""
    return wrap(ops.inv(matrix(a)))


@surface(np.linalg.det)
def det(a: Any) -> Any:
    """np.linalg.det."""
    return wrap(ops.det(matrix(a)))


@surface(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    """np.linalg.slogdet."""
    return _named("slogdet", *ops.slogdet(matrix(a)))


@surface(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """np.linalg.cholesky, which reads one triangle of its argument."""
    return wrap(cholesky_factor(matrix(a), upper))


def cholesky_factor(a: Value, upper: bool) -> Value:
    """The lower factor from the lower triangle, or the upper one from the upper triangle."""
    matrices.check_square("cholesky", a.aval, real=False)
    if upper:
        return matrices.hermitian(ops.cholesky(matrices.hermitian(a)))
    return ops.cholesky(a)


# ------------------------------------------------------------------ decompositions


@surface(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """np.linalg.qr in the modes reduced, complete and r."""
    if mode not in ("reduced", "complete", "r"):
        if mode == "raw":
            raise refuse("np.linalg.qr with mode='raw'", "Use mode='reduced'.")
        raise ValueError(f"Unrecognized mode '{mode}'")
    x = matrix(a)
    matrices.check_matrices("qr", x.aval, real=False)
    m, n = x.shape[-2:]
    last = x.ndim - 1
    q, r = ops.qr(_shape.narrow(x, last, 0, min(m, n)), complete=mode == "complete")
    if n > m:  # the columns beyond the square are only turned
        rest = _shape.narrow(x, last, m, n - m)
        r = ops.concatenate(r, matrices.matmul(matrices.hermitian(q), rest), axis=last)
    return wrap(r) if mode == "r" else _named("qr", q, r)


@surface(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    """np.linalg.eigh, which reads one triangle of its argument."""
    return _named("eigh", *_eigh(a, UPLO))


@surface(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """np.linalg.eigvalsh."""
    return wrap(_eigh(a, UPLO)[0])


def _eigh(a: Any, uplo: str) -> tuple[Value, Value]:
    if uplo.upper() not in ("L", "U"):
        raise ValueError("UPLO argument must be 'L' or 'U'")
    return ops.eigh(matrix(a), lower=uplo.upper() == "L")


@surface(np.linalg.eig)
def eig(a: Any) -> Any:
    """np.linalg.eig."""
    x = matrix(a)
    w, v = ops.eig(x)
    parts = (ops.real(w), ops.real(v)) if _made_real() and all_real(x, w) else (w, v)
    return _named("eig", *parts)


@surface(np.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """np.linalg.eigvals: real as in eig."""
    return real_eigvals(a) if _made_real() else wrap(ops.eig(matrix(a), vectors=False)[0])


def real_eigvals(a: Any) -> Any:
    """The eigenvalues; real of a real matrix where all of them are, which is guarded."""
    x = matrix(a)
    w, _ = ops.eig(x, vectors=False)
    return wrap(ops.real(w) if all_real(x, w) else w)


@functools.cache
def _made_real() -> bool:
    """Whether this NumPy gives real eigenvalues where it can; from 2.5 on they are complex."""
    return np.linalg.eigvals(np.eye(1)).dtype.kind == "f"


def all_real(x: Value, w: Value) -> bool:
    """Whether a real matrix has real eigenvalues alone, in this call: that is guarded."""
    if x.aval.kind == "c":
        return False
    try:
        return bool(np.all(wrap(ops.imag(w), "array") == 0))
    except TracedBranch:
        raise refuse(
            "the eigenvalues of a real matrix whose values are not known here: they are real or "
            "complex",
            "Pass the matrix as complex: np.linalg.eig(a.astype(complex)).",
        ) from None


@surface(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """np.linalg.svd."""
    if hermitian:
        return _symmetric_svd(a, compute_uv)
    u, s, vt = ops.svd(matrix(a), full=bool(full_matrices and compute_uv))
    return _named("svd", u, s, vt) if compute_uv else wrap(s)


def _symmetric_svd(a: Any, compute_uv: bool) -> Any:
    """From eigenvalues: their sizes in falling order, the signs in the right-hand vectors."""
    w, v = eigh(a)
    order = np.argsort(np.abs(w), axis=-1)[..., ::-1]
    w = np.take_along_axis(w, order, axis=-1)
    if not compute_uv:
        return np.abs(w)
    u = np.take_along_axis(v, order[..., None, :], axis=-1)
    vt = np.conj(np.swapaxes(u * np.sign(w)[..., None, :], -1, -2))
    return _results()["svd"](u, np.abs(w), vt)


@surface(np.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """np.linalg.svdvals."""
    return svd(x, compute_uv=False)


# ------------------------------------------------------------------ least squares


@surface(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = 1e-15) -> Any:
    """np.linalg.pinv, with a cut-off that is one number known while tracing."""
    x = matrix(a)
    if rcond is None:
        rcond = max(x.shape[-2:]) * _eps(x) if rtol is None else rtol
    cut = plain(rcond, "the cut-off of np.linalg.pinv")
    if cut.size != 1:
        raise refuse("np.linalg.pinv with a cut-off for each matrix")
    if hermitian:
        matrices.check_square("pinv", x.aval, real=False)
        x = matrices.mirrored(x, True)
    return wrap(ops.pinv(x, rcond=float(cut.reshape(()))))


def _eps(x: Value) -> float:
    return float(np.finfo(NUMPY[x.aval.dtype]).eps)


@surface(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """np.linalg.lstsq; reading the residuals of a deficient matrix raises: NumPy gives none."""
    x, y = values(*(wrap(matrix(v), "array") for v in (a, b)))
    vector = y.ndim == 1
    y = _shape.expand_dims(y, (1,)) if vector else y
    for v in (x, y):
        if v.ndim != 2:
            raise np.linalg.LinAlgError(
                f"{v.ndim}-dimensional array given. Array must be two-dimensional"
            )
    m, n = x.shape
    if rcond is None:
        rcond = _eps(x) * max(m, n)
    cut = float(plain(rcond, "the cut-off of np.linalg.lstsq"))
    solution, rank = ops.lstsq(x, y, rcond=cut)
    rest = ops.sub(y, matrices.matmul(x, solution))
    residuals = ops.sum_(squared(rest), axes=(0,))
    if m > n:
        residuals = ops.of_full_rank(residuals, rank, full=n)
    else:
        residuals = _shape.narrow(residuals, 0, 0, 0)
    return (
        as_asked(solution, vector),
        wrap(residuals, "array"),
        wrap(cast(rank, "i32")),
        svdvals(wrap(x)),
    )


@surface(np.polyfit)
def polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """np.polyfit of one degree: least squares of scaled powers."""
    deg = int(plain(deg, "the degree of np.polyfit"))
    if deg < 0:
        raise ValueError("expected deg >= 0")
    t, rhs = wrap(matrix(x), "array"), wrap(matrix(y), "array")
    if t.ndim != 1:
        raise TypeError("expected 1D vector for x")
    if t.size == 0:
        raise TypeError("expected non-empty vector for x")
    if rhs.ndim not in (1, 2):
        raise TypeError("expected 1D or 2D array for y")
    if t.shape[0] != rhs.shape[0]:
        raise TypeError("expected x and y to have same length")
    powers = np.vander(t, deg + 1)
    if w is not None:
        weights = wrap(matrix(w), "array")
        powers = powers * weights[:, None]
        rhs = rhs * (weights[:, None] if rhs.ndim == 2 else weights)
    scale = np.sqrt(np.sum(powers * powers, axis=0))
    cut = len(t) * _eps(value(t)) if rcond is None else rcond
    powers = powers / scale
    found, residuals, rank, s = lstsq(powers, rhs, cut)
    found = found / (scale[:, None] if rhs.ndim == 2 else scale)
    if full:
        return found, residuals, rank, s, cut
    return (found, _covariance(powers, scale, residuals, rhs.ndim, cov)) if cov else found


def _covariance(powers: Any, scale: Any, residuals: Any, ndim: int, cov: Any) -> Any:
    """The covariance of the coefficients that np.polyfit finds."""
    base = np.linalg.inv(powers.T @ powers) / np.outer(scale, scale)
    if not (isinstance(cov, str) and cov == "unscaled"):
        count, order = powers.shape
        if count <= order:
            raise ValueError(
                "the number of data points must exceed order to scale the covariance matrix"
            )
        factor = residuals / (count - order)
    else:
        factor = 1
    return base * factor if ndim == 1 else base[:, :, None] * factor


@surface(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """np.linalg.matrix_rank: a count, so not differentiable."""
    if rtol is not None and tol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    v = matrix(A)
    if v.ndim < 2:
        return wrap(value(np.any(wrap(v) != 0), "i64"), "python")
    s = svd(A, compute_uv=False, hermitian=hermitian)
    if tol is None:
        tol = np.max(s, axis=-1, keepdims=True) * (
            max(v.shape[-2:]) * _eps(v) if rtol is None else np.asarray(rtol)[..., None]
        )
    else:
        tol = tol[..., None] if holds_tracer(tol) else np.asarray(tol)[..., None]
    return np.count_nonzero(s > tol, axis=-1)


@surface(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Any:
    """np.linalg.cond; but a singular matrix raises where the inverse is asked for."""
    v = matrix(x)
    if v.ndim < 2:
        raise np.linalg.LinAlgError(
            f"{v.ndim}-dimensional array given. Array must be at least two-dimensional"
        )
    if not v.aval.size:
        raise np.linalg.LinAlgError("cond is not defined on empty arrays")
    t = wrap(v)
    if p in (None, 2, -2):
        s = svdvals(t)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return np.linalg.norm(t, p, (-2, -1)) * np.linalg.norm(inv(t), p, (-2, -1))


# ------------------------------------------------------------------ products, tensors as matrices


@surface(np.linalg.matmul)
def matmul(x1: Any, x2: Any, /) -> Any:
    """np.linalg.matmul."""
    return np.matmul(x1, x2)


@surface(np.linalg.vecdot)
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """np.linalg.vecdot."""
    product: Any = np.vecdot  # its stub knows no axis
    return product(x1, x2, axis=axis)


@surface(np.linalg.trace)
def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """np.linalg.trace, over the last two axes."""
    return np.trace(x, offset, -2, -1, dtype)


@surface(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """np.linalg.tensorsolve: a solve of the flattened dimensions."""
    x, y = values(wrap(matrix(a), "array"), wrap(matrix(b), "array"))
    if axes is not None:
        order = [k for k in range(x.ndim) if k not in axes]
        x = _shape.permuted(x, [*order, *axes])
    shape = x.shape[y.ndim :]
    size = math.prod(shape)
    if x.aval.size != size**2:
        raise np.linalg.LinAlgError(
            "Input arrays must satisfy the requirement "
            "prod(a.shape[b.ndim:]) == prod(a.shape[:b.ndim])"
        )
    out = ops.solve(_shape.reshaped(x, (size, size)), _shape.reshaped(y, (size, 1)))
    return wrap(_shape.reshaped(out, shape))


@surface(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Any:
    """np.linalg.tensorinv: the inverse of the flattened dimensions."""
    if ind <= 0:
        raise ValueError("Invalid ind argument.")
    x = matrix(a)
    size = math.prod(x.shape[ind:])
    flat = _shape.reshaped(x, (x.aval.size // size if size else 0, size))
    return wrap(_shape.reshaped(ops.inv(flat), x.shape[ind:] + x.shape[:ind]))
