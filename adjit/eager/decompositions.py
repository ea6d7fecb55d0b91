"""Linear algebra beyond `matrices`: exponentials, triangles, eigenvalues, ranks; `torch.linalg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tracer.surface_scipy_linalg import expm, solve_triangular
from .arithmetic import add, method, mul
from .elementwise import where
from .indexing import getitem
from .matrices import (
    LinAlgError,
    _floats,
    _square,
    cdist,
    cholesky,
    inverse,
    linalg,
    pinverse,
    vander,
)
from .reductions import extremes, norm
from .tape import Operation, record
from .tensor_object import Tensor, applied, held, shown

# What `tensors` shows.
# fmt: off
__all__ = [
    "addr", "adjoint", "cholesky_inverse", "cholesky_solve", "matrix_exp", "matrix_rank",
    "nuclear_norm", "pdist", "qr", "renorm", "svd", "triangular_solve", "vdot",
]
# fmt: on

EXPM = Operation("LinalgMatrixExpBackward0", lambda x: _each(expm, x))
EIG = Operation("LinalgEigBackward0", lambda x: tuple(np.linalg.eig(x)))
EIGVALS = Operation("LinalgEigBackward0", lambda x: np.linalg.eigvals(x))
VECDOT = Operation("LinalgVecdotBackward0", lambda a, b, axis: np.sum(np.conjugate(a) * b, axis))
TENSORINV = Operation("LinalgTensorinvBackward0", np.linalg.tensorinv)
TENSORSOLVE = Operation("LinalgTensorsolveBackward0", np.linalg.tensorsolve)


def _each(f: Any, x: Any) -> Any:
    """A function of one matrix on a stack of them."""
    if len(x.shape) == 2:
        return f(x)
    rows = [_each(f, x[i]) for i in range(x.shape[0])]
    return np.stack(rows)


def _triangle(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    if len(a.shape) == 2:
        return solve_triangular(a, b, lower=not upper, unit_diagonal=unit)
    rows = [_triangle(a[i], b[i], upper, unit) for i in range(a.shape[0])]
    return np.stack(rows)


TRIANGULAR = Operation("LinalgSolveTriangularBackward0", _triangle)


@method("matrix_exp")
def matrix_exp(input: Tensor) -> Tensor:
    """The exponential of a square matrix."""
    _square("matrix_exp", input)
    return applied(EXPM, _floats("matrix_exp", [input]))


def _solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with A X = B (or X A = B), A a triangle."""
    _square("solve_triangular", A)
    if not left:
        return _solve_triangular(A.mT, B.mT, upper=not upper, unitriangular=unitriangular).mT
    return applied(TRIANGULAR, [A, B], bool(upper), bool(unitriangular))


@method("triangular_solve")
def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    """(X with A X = b, A)."""
    a = A.mT if transpose else A
    found = _solve_triangular(a, b, upper=upper != transpose, unitriangular=unitriangular)
    return extremes("triangular_solve", "solution", "cloned_coefficient")(found, A.clone())


@method("cholesky_solve")
def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with A X = B, of the factor of A."""
    low = L.mT if upper else L
    first = _solve_triangular(low, B, upper=False)
    return _solve_triangular(low.mT, first, upper=True)


@method("cholesky_inverse")
def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, of its factor."""
    return cholesky_solve(held(np.eye(L.shape[-1], dtype=L._dtype)), L, upper)


@method("matrix_rank")
def matrix_rank(A: Tensor, tol: Any = None, hermitian: bool = False, **options: Any) -> Tensor:
    """How many singular values are not (almost) zero."""
    x = A._value()
    s = np.linalg.svd(x, compute_uv=False)
    rtol = options.get("rtol") or max(x.shape[-2:]) * np.finfo(x.dtype).eps
    limit = s.max(-1, keepdims=True) * rtol if tol is None else tol
    return held(np.asarray((s > limit).sum(-1), np.int64))


@method("svd")
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """(U, S, V) with A = U diag(S) Vᴴ."""
    u, s, vh = linalg.svd(input, not some)
    return extremes("svd", "U", "S", "V")(u, s, vh.mT)


@method("qr")
def qr(input: Tensor, some: bool = True) -> Any:
    """Orthonormal columns times a triangle."""
    return linalg.qr(input, "reduced" if some else "complete")


@method("addr")
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * the outer product."""
    return add(mul(input, beta), mul(vec1.outer(vec2), alpha))


@method("vdot")
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The product of vectors, the first conjugated."""
    if input.ndim != 1 or other.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {other.ndim}D tensors")
    return applied(VECDOT, [input, other], -1)


@method("adjoint")
def adjoint(input: Tensor) -> Tensor:
    """The transpose of matrices, conjugated."""
    return input.mH


@method("renorm")
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Slices along an axis, those scaled down whose p-norm is beyond a bound."""
    others = [d for d in range(input.ndim) if d != dim % input.ndim]
    size = norm(input, p, others, True)
    return where(size > maxnorm, input * (maxnorm / (size + 1e-7)), input)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The distances of every two rows."""
    a, b = np.triu_indices(len(input), 1)
    return getitem(cdist(input, input, p), (held(a), held(b)))


@method("nuclear_norm")
def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of singular values."""
    return linalg.matrix_norm(input, "nuc", dim, keepdim)


def _eigen(A: Tensor) -> Any:
    """Eigenvalues, and eigenvectors as columns, of any square matrix; complex."""
    _square("eig", A)
    wide = A if A._dtype.kind == "c" else A.to(np.result_type(A._dtype, np.complex64))
    node = record(EIG, (_floats("eig", [wide])[0]._ref(),))
    return extremes("linalg_eig", "eigenvalues", "eigenvectors")(shown(node, 0), shown(node, 1))


def _eigvals(A: Tensor) -> Tensor:
    """Eigenvalues of any square matrix; complex."""
    return _eigen(A)[0]


def _ex(name: str, f: Any, *fields: str) -> Any:
    def call(A: Tensor, *, check_errors: bool = False, **options: Any) -> Any:
        info = held(np.zeros(A._aval_shape()[:-2], np.int32))
        return extremes(f"linalg_{name}", *fields, "info")(f(A, **options), info)

    call.__name__ = name
    return call


def _matrix_rank(A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False,
                 tol: Any = None) -> Tensor:  # fmt: skip
    return matrix_rank(A, tol if atol is None else atol, hermitian, rtol=rtol)


for _name, _value in {
    "LinAlgError": LinAlgError, "cholesky_ex": _ex("cholesky_ex", cholesky, "L"), "eig": _eigen,
    "eigvals": _eigvals, "inv_ex": _ex("inv_ex", inverse, "inverse"), "matrix_exp": matrix_exp,
    "matrix_rank": _matrix_rank, "solve_triangular": _solve_triangular,
    "tensorinv": lambda A, ind=2: applied(TENSORINV, [A], ind),
    "tensorsolve": lambda A, B: applied(TENSORSOLVE, [A, B]),
    "vander": lambda x, *, N=None: vander(x, N, True),
    "vecdot": lambda x, y, *, dim=-1: applied(VECDOT, [x, y], dim),
    "cholesky": lambda A, *, upper=False: cholesky(A).mH if upper else cholesky(A),
    "pinv": lambda A, **_: pinverse(A), "inv": inverse,
}.items():  # fmt: skip
    setattr(linalg, _name, _value)
