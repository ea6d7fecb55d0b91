"""Linear algebra beyond `matrices`: exponentials, triangles, eigenvalues, ranks; `torch.linalg`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tracer.surface_scipy_linalg import expm, lu, lu_factor, lu_solve, solve_triangular
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
    low = L.mH if upper else L
    first = _solve_triangular(low, B, upper=False)
    return _solve_triangular(low.mH, first, upper=True)


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
    return extremes("svd", "U", "S", "V")(u, s, vh.mH)


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
        info = np.zeros(A._aval_shape()[:-2], np.int32)
        try:
            found = f(A, **options)
        except LinAlgError:
            if check_errors:
                raise
            info, found = _failed(name, A._value()), held(np.zeros(A._aval_shape(), A._dtype))
        return extremes(f"linalg_{name}", *fields, "info")(found, held(info))

    call.__name__ = name
    return call


def _failed(name: str, x: np.ndarray) -> np.ndarray:
    """The order of the first leading minor of each matrix that has no factor; 0 where it has."""
    found = np.zeros(x.shape[:-2], np.int32)
    for at in np.ndindex(found.shape):
        for k in range(1, x.shape[-1] + 1):
            part = x[at][:k, :k]
            try:
                np.linalg.inv(part) if name == "inv_ex" else np.linalg.cholesky(part)
            except np.linalg.LinAlgError:
                found[at] = k
                break
    return found


LU_FACTOR = Operation("LinalgLuFactorExBackward0", lambda x: _packed(*lu_factor(x)))
LU_SOLVE = Operation(
    "LinalgLuSolveBackward0", lambda p, at, b: lu_solve((p, at - 1), b), keeps=True
)
LU = Operation("LinalgLuBackward0", lambda x: tuple(lu(x)))


def _packed(packed: Any, pivots: Any) -> tuple[Any, Any]:
    """PyTorch counts from one."""
    return packed, pivots + 1


def _lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """L and U in one matrix, and which row each was exchanged with."""
    _square("lu_factor", A)
    node = record(LU_FACTOR, (_floats("lu_factor", [A])[0]._ref(),))
    return extremes("linalg_lu_factor", "LU", "pivots")(shown(node, 0), shown(node, 1))


def _lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """x with A x = b, of the factors of A."""
    if not left or adjoint:
        raise RuntimeError("linalg.lu_solve: left=False and adjoint=True are not there")
    return applied(LU_SOLVE, [LU, pivots, B])


def _lu(A: Tensor, *, pivot: bool = True) -> Any:
    """A = P L U."""
    node = record(LU, (_floats("lu", [A])[0]._ref(),))
    return extremes("linalg_lu", "P", "L", "U")(*(shown(node, i) for i in range(3)))


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
    "inv": inverse, "lu": _lu, "lu_factor": _lu_factor, "lu_solve": _lu_solve,
}.items():  # fmt: skip
    setattr(linalg, _name, _value)
