"""Linear algebra on Tensors: products with a sum, factorisations, and the namespace `linalg`."""

from __future__ import annotations

from functools import reduce
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ..ir.ops.arithmetic import stop_gradient
from .arithmetic import add, div, method, mul, sub
from .products import bmm, matmul, mv
from .reductions import axes_of, norm
from .rows import row
from .tape import Operation, record, rows, run
from .tensor_object import Tensor, applied, as_tensor, shown
from .titles import titled

# What `tensors` shows.
# fmt: off
__all__ = [
    "addbmm", "addcdiv", "addcmul", "addmm", "addmv", "baddbmm", "cdist", "chain_matmul",
    "cholesky", "cross", "det", "dist", "ger", "inner", "inverse", "kron", "lerp", "linalg",
    "logdet", "matrix_power", "pinverse", "slogdet", "tensordot", "vander",
]
# fmt: on


def _with_sum(name: str, product: Any) -> Any:
    def call(input: Tensor, a: Tensor, b: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
        p = product(a, b)
        return add(input if beta == 1 else mul(input, beta), p if alpha == 1 else mul(p, alpha))

    call.__name__ = name
    call.__doc__ = "beta * input + alpha * the product."
    return method(name)(call)


addmm = _with_sum("addmm", matmul)
addmv = _with_sum("addmv", mv)
baddbmm = _with_sum("baddbmm", bmm)
addbmm = _with_sum("addbmm", lambda a, b: bmm(a, b).sum(0))


@method("addcmul")
def addcmul(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 * tensor2."""
    found = mul(tensor1, tensor2)
    return add(input, found if value == 1 else mul(found, value))


@method("addcdiv")
def addcdiv(input: Tensor, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Tensor:
    """input + value * tensor1 / tensor2."""
    found = div(tensor1, tensor2)
    return add(input, found if value == 1 else mul(found, value))


@method("lerp")
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight * (end - input)."""
    found = add(input, mul(sub(end, input), weight))
    return titled(found, f"LerpBackward{int(isinstance(weight, Tensor))}")


def _floats(name: str, xs: Any) -> list[Tensor]:
    found = [as_tensor(x) for x in xs]
    for x in found:
        if x.dtype.kind not in "fc":
            raise RuntimeError(
                f"linalg.{name}: Expected a floating point or complex tensor as input. "
                f"Got {x.dtype}"
            )
    return found


def _square(name: str, x: Tensor) -> None:
    if x.ndim < 2:
        raise RuntimeError(f"linalg.{name}: The input tensor A must have at least 2 dimensions.")
    if x.shape[-1] != x.shape[-2]:
        n, m = x.shape[-2:]
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are {n} by {m} matrices"
        )


class LinAlgError(RuntimeError):
    """A matrix has no inverse, or no factor."""


_FAILING = {
    "inv": "The diagonal element is zero, the inversion could not be completed because the input "
    "matrix is singular.",
    "solve": "The solver failed because the input matrix is singular.",
    "cholesky": "The factorization could not be completed because the input is not "
    "positive-definite.",
}


def _solver(name: str, title: str, fn: Any, doc: str) -> Any:
    operation = Operation(f"{title}Backward0", fn)

    def call(*xs: Any) -> Any:
        found = _floats(name, xs)
        _square(name, found[0])
        try:
            node = record(operation, tuple(x._ref() for x in found))
            results = [shown(node, i) for i in range(len(node.avals))]
            if name in _FAILING and not rows.open:
                run([node])  # what fails, fails in its own line
        except np.linalg.LinAlgError:
            raise LinAlgError(f"linalg.{name}: {_FAILING[name]}") from None
        except ValueError as error:
            raise RuntimeError(f"linalg.{name}: {error}") from None
        return results[0] if len(results) == 1 else results

    call.__name__ = name
    call.__doc__ = doc
    return call


def _symmetric(x: Any) -> Any:
    """The derivative is shared by both triangles, as PyTorch has it."""
    return 0.5 * (x + np.conjugate(np.swapaxes(x, -1, -2)))


def _factor(x: Any) -> Any:
    """Of the lower triangle, as NumPy has it; with the derivative of both."""
    both, low = _symmetric(x), np.tril(x)
    read = low + np.conjugate(np.swapaxes(np.tril(x, -1), -1, -2))
    return np.linalg.cholesky(both + row(stop_gradient, read - both))


det = _solver("det", "LinalgDet", np.linalg.det, "The determinant.")
inverse = _solver("inv", "LinalgInvEx", np.linalg.inv, "The inverse.")
_low = _solver("cholesky", "LinalgCholeskyEx", _factor, "A = L Lᴴ.")
_eigh = _solver("eigh", "LinalgEigh", lambda x: tuple(np.linalg.eigh(_symmetric(x))), "")
_slogdet = _solver("slogdet", "LinalgSlogdet", lambda x: tuple(np.linalg.slogdet(x)), "")
_eigvalsh = _solver(
    "eigvalsh",
    "LinalgEigh",
    lambda x: np.linalg.eigvalsh(_symmetric(x)),
    "Eigenvalues of a symmetric A.",
)
for _name, _f in (("det", det), ("inverse", inverse)):
    method(_name)(_f)


@method("cholesky")
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The triangle L with A = L Lᴴ, or its adjoint."""
    return _low(input).mH if upper else _low(input)


def _solve(a: Any, b: Any) -> Any:
    """A right-hand side of one axis less than A is one of vectors."""
    if len(b.shape) == 1 or (len(a.shape) == len(b.shape) + 1 and a.shape[:-1] == b.shape):
        return np.linalg.solve(a, b[..., None])[..., 0]
    return np.linalg.solve(a, b)


_solved = _solver("solve", "LinalgSolveEx", _solve, "x with A x = b.")


class SlogDet(NamedTuple):
    """The sign of a determinant, and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor


class Eigen(NamedTuple):
    """Eigenvalues in rising order, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class SVD(NamedTuple):
    """A = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class QR(NamedTuple):
    """A = Q R."""

    Q: Tensor
    R: Tensor


class Fit(NamedTuple):
    """The x of the least |A x - b|², and what is left where A has full rank."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


@method("slogdet")
def slogdet(input: Tensor) -> SlogDet:
    """The sign and the logarithm of the size of the determinant."""
    return SlogDet(*_slogdet(input))


@method("logdet")
def logdet(input: Tensor) -> Tensor:
    """The logarithm of the determinant."""
    return det(input).log()


SVD_OP = Operation("LinalgSvdBackward0", lambda x, full: tuple(np.linalg.svd(x, full)))
SVDVALS = Operation("LinalgSvdBackward0", lambda x: np.linalg.svd(x, compute_uv=False))
QR_OP = Operation("LinalgQrBackward0", lambda x, mode: tuple(np.linalg.qr(x, mode)))
PINV = Operation("LinalgPinvBackward0", lambda x, rtol: np.linalg.pinv(x, rtol=rtol))
POWER = Operation("LinalgMatrixPowerBackward0", np.linalg.matrix_power)
CROSS = Operation("LinalgCrossBackward0", lambda a, b, axis: np.cross(a, b, axis=axis))
KRON = Operation("KronBackward0", np.kron)
TENSORDOT = Operation("TensordotBackward0", np.tensordot)
INNER = Operation("InnerBackward0", np.inner)
VANDER = Operation("VanderBackward0", lambda x, n, up: np.vander(x, n, up).astype(x.dtype))
MATRIX_NORM = Operation(
    "LinalgMatrixNormBackward0",
    lambda x, order, keep: np.linalg.norm(x, order, axis=(-2, -1), keepdims=keep),
)


def _cdist(x: Any, y: Any, p: float) -> Any:
    d = np.abs(x[..., :, None, :] - y[..., None, :, :])
    if p == np.inf:
        return np.max(d, -1)
    if p == 1:
        return np.sum(d, -1)
    total = np.sum(d**p, -1)
    zero = total == 0  # the derivative there is zero, not NaN
    return np.where(zero, 0, np.where(zero, 1, total) ** (1 / p)).astype(x.dtype)


CDIST = Operation("CdistBackward0", _cdist)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0) -> Tensor:
    """The distances of every row to every other."""
    return applied(CDIST, [x1, x2], float(p))


@method("dist")
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the difference."""
    return norm(sub(input, other), p)


@method("cross")
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The cross product of vectors along an axis of extent three."""
    if dim is None:
        dim = next((k for k, n in enumerate(input.shape) if n == 3), -1)
    if input.shape[dim] != 3 or other.shape[dim] != 3:
        raise RuntimeError(
            "linalg.cross: inputs dimension must have length 3. "
            f"Got {input.shape[dim]} and {other.shape[dim]}"
        )
    return applied(CROSS, [input, other], dim)


@method("kron")
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product."""
    return applied(KRON, [input, other])


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """A sum of products over several axes."""
    frozen = dims if isinstance(dims, int) else tuple(tuple(d) for d in dims)
    return applied(TENSORDOT, [a, b], frozen)


@method("inner")
def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last axes."""
    return applied(INNER, [input, other])


@method("ger")
def ger(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of every element with every other."""
    return input.outer(vec2)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """Powers of a vector, as columns; falling unless `increasing`."""
    return applied(VANDER, [x], len(x) if N is None else N, increasing)


@method("matrix_power")
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The product of a matrix with itself."""
    _square("matrix_power", input)
    return applied(POWER, [input], n)


@method("pinverse")
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudo-inverse."""
    return applied(PINV, _floats("pinv", [input]), rcond)


def _pinv(
    A: Tensor, *given: Any, atol: Any = None, rtol: Any = None, hermitian: bool = False,
    rcond: Any = None,
) -> Tensor:  # fmt: skip
    """The pseudo-inverse, singular values below a part of the largest counted as zero."""
    if atol is not None:
        raise RuntimeError("linalg.pinv: atol is not there; use rtol")
    cut = next((x for x in (*given, rtol, rcond) if x is not None), None)
    return applied(PINV, _floats("pinv", [A]), None if cut is None else float(cut))


def _lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: Any = None) -> Fit:
    """The least squares, of least length where several are."""
    vector = B.ndim == A.ndim - 1
    b = B.unsqueeze(-1) if vector else B
    x = matmul(_pinv(A, rcond), b)
    rank = linalg.matrix_rank(A, rtol=rcond)
    rows, columns = A.shape[-2:]
    left = A.new_zeros(0)
    if rows > columns and bool((rank == columns).all()):
        left = sub(matmul(A, x), b).abs().square().sum(-2)
    return Fit(x.squeeze(-1) if vector else x, left, rank, A.new_zeros(0))


def _cond(A: Tensor, p: Any = None) -> Tensor:
    """The norm times that of the inverse."""
    if p in (None, 2, -2):
        s = applied(SVDVALS, _floats("cond", [A]))
        most, least = s[..., 0], s[..., -1]
        return div(least, most) if p == -2 else div(most, least)
    _square("cond", A)
    return mul(_matrix_norm(A, p), _matrix_norm(inverse(A), p))


def _solve_system(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """x with A x = b, or with x A = b."""
    if left:
        return _solved(A, B)
    return _solved(A.mT, B.mT).mT


def _crossed(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross product of vectors along an axis."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    return cross(input, other, dim)


def _multi_dot(tensors: Any) -> Tensor:
    """The product of several matrices; a vector may stand at either end."""
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    return chain_matmul(tensors)


def chain_matmul(*matrices: Any) -> Tensor:
    """The product of several matrices."""
    listed = matrices[0] if len(matrices) == 1 else matrices
    return reduce(matmul, listed)


def _svd(A: Tensor, full_matrices: bool = True) -> SVD:
    """The singular value decomposition."""
    node = record(SVD_OP, (_floats("svd", [A])[0]._ref(),), (full_matrices,))
    return SVD(*(shown(node, i) for i in range(3)))


def _qr(A: Tensor, mode: str = "reduced") -> QR:
    """Orthonormal columns times a triangle."""
    if mode == "r":
        return QR(A.new_zeros(0), _qr(A)[1])
    node = record(QR_OP, (_floats("qr", [A])[0]._ref(),), (mode,))
    return QR(shown(node, 0), shown(node, 1))


def _vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The p-norm of all elements, or along axes."""
    axes_of(dim, x.ndim)
    return norm(x, ord, dim, keepdim)


def _matrix_norm(A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """A norm of matrices: "fro", "nuc", 1, -1, 2, -2, inf."""
    return applied(MATRIX_NORM, [A.movedim(dim, (-2, -1))], ord, keepdim)


def _norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False) -> Tensor:
    """A vector's norm, or with `ord` a matrix's where there are two axes."""
    two = A.ndim == 2 if dim is None else isinstance(dim, tuple | list) and len(dim) == 2
    if ord is not None and dim is None and A.ndim > 2:
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{A.ndim}D."
        )
    if isinstance(ord, str) and not two:
        raise RuntimeError(
            "linalg.matrix_norm: The input tensor A must have at least 2 dimensions."
        )
    if ord is not None and two:
        return _matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim)
    return _vector_norm(A, 2 if ord is None else ord, dim, keepdim)


linalg = SimpleNamespace(
    cholesky=cholesky, cond=_cond, cross=_crossed, det=det,
    diagonal=lambda A, *, offset=0, dim1=-2, dim2=-1: A.diagonal(offset, dim1, dim2),
    eigh=lambda A: Eigen(*_eigh(A)), eigvalsh=_eigvalsh, inv=inverse,
    lstsq=_lstsq, matmul=matmul, matrix_norm=_matrix_norm, matrix_power=matrix_power,
    multi_dot=_multi_dot, norm=_norm, pinv=_pinv, qr=_qr, slogdet=slogdet, solve=_solve_system,
    svd=_svd,
    svdvals=lambda A: applied(SVDVALS, _floats("svdvals", [A])),
    vector_norm=_vector_norm,
)  # fmt: skip
