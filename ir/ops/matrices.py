"""Functions of rows on stacks of matrices (the last two axes): what linear algebra is said in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..builder import current
from ..core import Const, Value
from ..prim import ZERO
from ..types import Aval, is_float
from .contract import dot
from .elementwise import cast, complex_, conj, equal, greater_equal, less_equal, real, select
from .shape import Shape, broadcast, expand_dims, iota, permuted, reshape, slice_, sum_

Term = Any  # a Value; type checkers do not see its operators


def check_matrices(row: str, *xs: Aval, real: bool = True) -> None:
    """Refuse what NumPy refuses: fewer than two dimensions, and dtypes LAPACK has not."""
    for x in xs:
        if x.ndim < 2:
            raise np.linalg.LinAlgError(
                f"{x.ndim}-dimensional array given. Array must be at least two-dimensional"
            )
        if x.dtype == "f16":
            raise TypeError("array type float16 is unsupported in linalg")
        if not is_float(x.dtype) or (real and x.kind == "c"):
            raise TypeError(f"{row}: {x} is not of dtype f32 or f64; cast it first")
        if x.dtype != xs[0].dtype or x.shape[:-2] != xs[0].shape[:-2]:
            raise ValueError(f"{row}: {x} beside {xs[0]}; they need one dtype and one batch shape")


def check_square(row: str, *xs: Aval, real: bool = True) -> None:
    """`check_matrices`, and each matrix is square."""
    check_matrices(row, *xs, real=real)
    if any(x.shape[-1] != x.shape[-2] for x in xs):
        raise np.linalg.LinAlgError("Last 2 dimensions of the array must be square")


# ------------------------------------------------------------------ products and transposes


def matmul(*xs: Term) -> Term:
    """The product of stacks of matrices of one batch shape, from left to right."""
    out = xs[0]
    for x in xs[1:]:
        n = x.ndim - 2
        lead = tuple(range(n))
        out = dot(out, x, contract=((n + 1,), (n,)), batch=(lead, lead))
    return out


def transposed(x: Term) -> Term:
    """Each matrix transposed (not conjugated)."""
    n = x.ndim
    return permuted(x, (*range(n - 2), n - 1, n - 2))


def conjugated(x: Term) -> Term:
    """Each element conjugated; itself where it is real."""
    return conj(x) if x.aval.kind == "c" else x


def hermitian(x: Term) -> Term:
    """Each matrix transposed and conjugated."""
    return conjugated(transposed(x))


def as_of(v: Term, x: Term) -> Term:
    """A real value in the dtype of `x`."""
    return v if v.dtype == x.dtype else cast(v, dtype=x.dtype)


def real_part(x: Term) -> Term:
    """The real part; itself where it is real."""
    return real(x) if x.aval.kind == "c" else x


def total(*terms: Any) -> Any:
    """The sum of the terms that are not ZERO."""
    there = [t for t in terms if t is not ZERO]
    if not there:
        return ZERO
    out = there[0]
    for t in there[1:]:
        out = out + t
    return out


# ------------------------------------------------------------------ parts of matrices


def _ahead(x: Term) -> Term:
    """Column index minus row index of each element of the last two axes."""
    rows, columns = (iota(shape=x.shape[-2:], axis=i, dtype="i64") for i in (0, 1))
    return columns - rows


def lower_part(x: Term, k: int = 0) -> Term:
    """np.tril of each matrix."""
    return select(less_equal(_ahead(x), k), x, 0)


def upper_part(x: Term, k: int = 0) -> Term:
    """np.triu of each matrix."""
    return select(greater_equal(_ahead(x), k), x, 0)


def halved(x: Term) -> Term:
    """Φ: the lower triangle with half of the diagonal."""
    return (lower_part(x) + lower_part(x, -1)) * 0.5


def triangle(x: Term, lower: bool, unit: bool = False) -> Term:
    """One triangle of each matrix, without its diagonal if that is known to be ones."""
    return lower_part(x, -unit) if lower else upper_part(x, unit)


def diagonal(x: Term) -> Term:
    """The diagonals of square matrices."""
    return sum_(select(equal(_ahead(x), 0), x, 0), axes=(x.ndim - 1,))


def diagonal_of(x: Term) -> Term:
    """The diagonals of square matrices as a view, which is what NumPy's own functions trace to."""
    *batch, n, _ = x.shape
    return slice_(reshape(x, shape=(*batch, n * n)), **diagonal_at(x.aval))


def diagonal_at(x: Aval) -> dict[str, Shape]:
    """Where the diagonals lie in the rows of flat matrices: the attributes of `slice`."""
    *batch, n, _ = x.shape
    start, step = (0,) * (len(batch) + 1), (*(1 for _ in batch), n + 1)
    return {"start": start, "size": (*batch, n), "step": step}


def diagonal_matrix(v: Term) -> Term:
    """Square matrices with these diagonals."""
    n = v.ndim
    wide = broadcast(v, shape=(*v.shape, v.shape[-1]), axes=(n,))
    return select(equal(_ahead(wide), 0), wide, 0)


def off_diagonal(x: Term) -> Term:
    """Square matrices with zeros in place of their diagonals, whatever stood there."""
    return select(equal(_ahead(x), 0), 0, x)


def with_diagonal(x: Term, d: Term) -> Term:
    """Square matrices with the diagonals of others in place of their own."""
    return select(equal(_ahead(x), 0), d, x)


def plus_identity(x: Term) -> Term:
    """`x` plus the unit matrix."""
    return select(equal(_ahead(x), 0), x + 1, x)


def trace(x: Term) -> Term:
    """The sum of each diagonal."""
    return sum_(diagonal(x), axes=(x.ndim - 2,))


# ------------------------------------------------------------------ one triangle for all


def is_masked(v: Value, name: str, k: int) -> Value | None:
    """What a mask leaves of a matrix where column minus row is so; None if it is not masked so."""
    op = current().defs.get(v)
    if op is None or op.prim.name != "select" or not _compares(op.args[0], name, k):
        return None
    _, x, zero = op.args
    blank = type(zero) is Const and bool(zero.data == 0)
    return x if blank and x.shape == v.shape else None


def _compares(m: Value, name: str, k: int) -> bool:
    """Whether a mask is how column minus row compares with a number, as `lower_part` has it."""
    defs = current().defs
    op = defs.get(m)
    if op is None or op.prim.name != name or type(op.args[1]) is not Const or op.args[1].data != k:
        return False
    ahead = defs.get(op.args[0])
    if ahead is None or ahead.prim.name != "sub":
        return False
    made = [defs.get(a) for a in ahead.args]
    return [op.attrs["axis"] for op in made if op and op.prim.name == "iota"] == [1, 0]


def _real_diagonal(x: Term) -> Term:
    return select(equal(_ahead(x), 0), complex_(real(x), 0), 0)


def mirrored(x: Term, lower: bool) -> Term:
    """The symmetric (or Hermitian) matrix whose one triangle is that of `x`."""
    if x.aval.kind == "c":
        part = lower_part(x, -1) if lower else upper_part(x, 1)
        return part + hermitian(part) + _real_diagonal(x)
    if lower:
        return lower_part(x) + transposed(lower_part(x, -1))
    return upper_part(x) + transposed(upper_part(x, 1))


def folded(g: Term, lower: bool) -> Term:
    """The transpose of `mirrored`: both triangles of a cotangent summed into one.

    Of complex matrices it is the adjoint, by the inner product Re tr(Aᴴ B).
    """
    if g.aval.kind == "c":
        both = g + hermitian(g)
        return (lower_part(both, -1) if lower else upper_part(both, 1)) + _real_diagonal(g)
    if lower:
        return lower_part(g) + lower_part(transposed(g), -1)
    return upper_part(g) + upper_part(transposed(g), 1)


# ------------------------------------------------------------------ vectors beside matrices


def rows_of(v: Term) -> Term:
    """(…, n) as (…, 1, n): scales columns."""
    return expand_dims(v, (v.ndim - 1,))


def columns_of(v: Term) -> Term:
    """(…, n) as (…, n, 1): scales rows."""
    return expand_dims(v, (v.ndim,))


def scaled(c: Term, x: Term) -> Term:
    """Each matrix times its own number."""
    return broadcast(c, shape=x.shape, axes=(x.ndim - 2, x.ndim - 1)) * x


def lead(x: Aval) -> Shape:
    """The batch shape."""
    return x.shape[:-2]
