"""Products and norms: everything that multiplies arrays lowers to the one `dot`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops.matrices import check_square
from ..ir.types import NUMPY, broadcast_shapes
from .surface import (
    FUNCTIONS,
    array,
    as_float,
    broadcast_all,
    cast,
    many_axes,
    number,
    one_axis,
    surface,
    value,
    values,
    wrap,
)
from .surface_ufunc import PRODUCTS, store

_shape = ops.shape
_sum = ops.shape.sum_


def contract(a: Value, b: Value, dims: Any, batch: Any = ((), ())) -> Value:
    """`dot` with sorted-out special cases: no contraction is a product of broadcasts."""
    if dims[0] or batch[0]:
        return ops.dot(
            a,
            b,
            contract=(tuple(dims[0]), tuple(dims[1])),
            batch=(tuple(batch[0]), tuple(batch[1])),
        )
    return ops.mul(_shape.reshaped(a, a.shape + (1,) * b.ndim), b)


# ------------------------------------------------------------------ matmul


def _mismatch(name: str, a: Value, b: Value) -> ValueError:
    return ValueError(
        f"{name}: shapes {a.shape} and {b.shape} do not match in the summed dimension "
        f"({a.shape[-1]} is different from {b.shape[-2 if b.ndim > 1 else 0]})"
    )


def matmul(a: Any, b: Any, *, axes: Any = None, **options: Any) -> Any:
    """np.matmul."""
    if options:
        raise TypeError(f"matmul() got an unexpected keyword argument {next(iter(options))!r}")
    x, y = values(a, b)
    if axes is not None:
        first, second, last = axes
        x, y = _ending(x, first), _ending(y, second)
        out = value(matmul(wrap(x, "array"), wrap(y, "array")))
        return wrap(_ending(out, last, back=True))
    if not x.ndim or not y.ndim:
        raise ValueError(
            "matmul: Input operand does not have enough dimensions (has 0, gufunc core with "
            "signature (n?,k),(k,m?)->(n?,m?) requires 1)"
        )
    return wrap(_matmul(x, y))


def _ending(v: Value, axes: Any, back: bool = False) -> Value:
    """The value with these axes last (or with its last axes there, going `back`)."""
    own = (axes,) if isinstance(axes, int) else tuple(axes)
    where = [one_axis(i, v.ndim) for i in own]
    order = [*(i for i in range(v.ndim) if i not in where), *where]
    return _shape.permuted(v, _shape.inverse(tuple(order)) if back else tuple(order))


def _matmul(x: Value, y: Value) -> Value:
    row, column = x.ndim == 1, y.ndim == 1
    if x.shape[-1] != y.shape[-1 if column else -2]:
        raise _mismatch("matmul", x, y)
    if y.ndim <= 2:  # the common case: one contraction, no batch
        return ops.dot(x, y, contract=((x.ndim - 1,), (0,)), batch=((), ()))
    if row:
        # (k) @ (..., k, m): contract, the batch dims of y stay in front.
        return ops.dot(x, y, contract=((0,), (y.ndim - 2,)), batch=((), ()))
    lead = broadcast_shapes(x.shape[:-2], y.shape[:-2])
    x = _shape.broadcast_to(x, lead + x.shape[-2:])
    y = _shape.broadcast_to(y, lead + y.shape[-2:])
    dims = tuple(range(len(lead)))
    n = len(lead)
    return ops.dot(x, y, contract=((n + 1,), (n,)), batch=(dims, dims))


def _vecdot(a: Any, b: Any, axis: Any = -1, **_: Any) -> Any:
    x, y = broadcast_all(values(a, b))
    x = ops.conj(x) if x.aval.kind == "c" else x
    return wrap(_sum(ops.mul(x, y), axes=(one_axis(axis, x.ndim),)))


def _matvec(a: Any, b: Any) -> Any:
    x, y = values(a, b)
    _enough("matvec", "(m,n),(n)->(m)", (x, 2), (y, 1))
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"matvec: shapes {x.shape} and {y.shape} do not match")
    if y.ndim == 1:
        return matmul(a, b)
    return wrap(_last_dropped(_matmul(x, _shape.expand_dims(y, (y.ndim,))), -1))


def _vecmat(a: Any, b: Any) -> Any:
    x, y = values(a, b)
    _enough("vecmat", "(n),(n,m)->(m)", (x, 1), (y, 2))
    x = ops.conj(x) if x.aval.kind == "c" else x
    return wrap(_last_dropped(_matmul(_shape.expand_dims(x, (x.ndim - 1,)), y), -2))


def _enough(name: str, signature: str, *pairs: tuple[Value, int]) -> None:
    for i, (v, least) in enumerate(pairs):
        if v.ndim < least:
            raise ValueError(
                f"{name}: Input operand {i} does not have enough dimensions (has {v.ndim}, gufunc "
                f"core with signature {signature} requires {least})"
            )


def _last_dropped(v: Value, axis: int) -> Value:
    return _shape.squeeze(v, (axis % v.ndim,))


PRODUCTS[np.matmul] = matmul
for _name, _f in {"vecdot": _vecdot, "matvec": _matvec, "vecmat": _vecmat}.items():
    if hasattr(np, _name):
        PRODUCTS[getattr(np, _name)] = _f


# ------------------------------------------------------------------ dot and kin


@surface(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """np.dot."""
    x, y = values(a, b)
    if x.ndim == 0 or y.ndim == 0:
        v = ops.mul(x, y)
    else:
        k = y.ndim - 2 if y.ndim > 1 else 0
        if x.shape[-1] != y.shape[k]:
            raise ValueError(
                f"shapes {x.shape} and {y.shape} not aligned: {x.shape[-1]} (dim {x.ndim - 1}) "
                f"!= {y.shape[k]} (dim {k})"
            )
        v = contract(x, y, ((x.ndim - 1,), (k,)))
    if out is None:
        return wrap(v)
    if out.dtype != NUMPY[v.aval.dtype] or np.ndim(out) != v.ndim:
        raise ValueError("output array is not acceptable (must have the right datatype, number of "
                         "dimensions, and be a C-Array)")  # fmt: skip
    if out.shape != v.shape:
        raise ValueError("output array has wrong dimensions")
    return store(out, v)


@surface(np.vdot)
def vdot(a: Any, b: Any, /) -> Any:
    """np.vdot."""
    x, y = values(a, b)
    x = ops.conj(x) if x.aval.kind == "c" else x
    x, y = _shape.reshaped(x, (x.aval.size,)), _shape.reshaped(y, (y.aval.size,))
    return wrap(contract(x, y, ((0,), (0,))))


@surface(np.inner)
def inner(a: Any, b: Any, /) -> Any:
    """np.inner."""
    x, y = values(a, b)
    if x.ndim == 0 or y.ndim == 0:
        return wrap(ops.mul(x, y))
    return wrap(contract(x, y, ((x.ndim - 1,), (y.ndim - 1,))))


@surface(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Any:
    """np.linalg.outer of two vectors."""
    n, m = value(x1).ndim, value(x2).ndim
    if n != 1 or m != 1:
        raise ValueError(
            f"Input arrays must be one-dimensional, but they are x1.ndim={n} and x2.ndim={m}."
        )
    return outer(x1, x2)


@surface(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    """np.outer."""
    x, y = values(a, b)
    v = ops.mul(_shape.reshaped(x, (x.aval.size, 1)), _shape.reshaped(y, (1, y.aval.size)))
    return wrap(v) if out is None else store(out, v)


@surface(np.tensordot, np.linalg.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """np.tensordot."""
    x, y = values(a, b)
    try:
        left, right = axes
    except TypeError:
        n = operator.index(axes)
        left, right = range(x.ndim - n, x.ndim), range(n)
    left = [left] if isinstance(left, (int, np.integer)) else list(left)
    right = [right] if isinstance(right, (int, np.integer)) else list(right)
    left = [one_axis(i, x.ndim) for i in left]
    right = [one_axis(i, y.ndim) for i in right]
    if [x.shape[i] for i in left] != [y.shape[i] for i in right]:
        raise ValueError("shape-mismatch for sum")
    return array(contract(x, y, (left, right)))


@surface(np.kron)
def kron(a: Any, b: Any) -> Any:
    """np.kron."""
    x, y = values(a, b)
    n = max(x.ndim, y.ndim)
    x = _shape.reshaped(x, (1,) * (n - x.ndim) + x.shape)
    y = _shape.reshaped(y, (1,) * (n - y.ndim) + y.shape)
    wide = _shape.reshaped(x, tuple(m for k in x.shape for m in (k, 1)))
    other = _shape.reshaped(y, tuple(m for k in y.shape for m in (1, k)))
    v = ops.mul(wide, other)
    return wrap(_shape.reshaped(v, tuple(p * q for p, q in zip(x.shape, y.shape, strict=True))))


@surface(np.cross)
def cross(
    a: Any, b: Any, axisa: Any = -1, axisb: Any = -1, axisc: Any = -1, axis: Any = None
) -> Any:
    """np.cross of vectors of three components (or two, giving the third)."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = values(a, b)
    x = _shape.moveaxis(x, one_axis(axisa, x.ndim), x.ndim - 1)
    y = _shape.moveaxis(y, one_axis(axisb, y.ndim), y.ndim - 1)
    if x.shape[-1] not in (2, 3) or y.shape[-1] not in (2, 3):
        raise ValueError("incompatible dimensions for cross product (must be 2 or 3)")

    def parts(v: Value) -> list[Any]:
        last = v.ndim - 1
        got = [_shape.squeeze(_shape.narrow(v, last, i, 1), (last,)) for i in range(v.shape[-1])]
        return [*got, None][:3] if len(got) == 2 else got

    def minus(p: Any, q: Any) -> Any:
        if p is None:
            return ops.neg(q)
        return p if q is None else ops.sub(p, q)

    def times(p: Any, q: Any) -> Any:
        return None if p is None or q is None else ops.mul(p, q)

    p, q = parts(x), parts(y)
    third = minus(times(p[0], q[1]), times(p[1], q[0]))
    if p[2] is None and q[2] is None:
        return wrap(third)
    first = minus(times(p[1], q[2]), times(p[2], q[1]))
    second = minus(times(p[2], q[0]), times(p[0], q[2]))
    v = _shape.stack(broadcast_all([first, second, third]), third.ndim)
    return wrap(_shape.moveaxis(v, v.ndim - 1, one_axis(axisc, v.ndim)))


@surface(np.linalg.cross)
def linalg_cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """np.linalg.cross."""
    return cross(x1, x2, axis=axis)


@surface(np.linalg.multi_dot)
def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """np.linalg.multi_dot, in the order that multiplies least."""
    if len(arrays) < 2:
        raise ValueError("Expecting at least two arrays.")
    for i, ndim in enumerate(value(a).ndim for a in arrays):
        if ndim != 2 and (ndim != 1 or 0 < i < len(arrays) - 1):
            raise np.linalg.LinAlgError(
                f"{ndim}-dimensional array given. Array must be two-dimensional"
            )
    total = _cheapest([wrap(value(a)) for a in arrays])
    return total if out is None else store(out, value(total))


def _cheapest(arrays: list[Any]) -> Any:
    """The product of a chain, split where that costs least (Cormen et al., matrix chains)."""
    sizes = [1 if arrays[0].ndim == 1 else arrays[0].shape[0]]
    sizes += [1 if a.ndim == 1 and k else a.shape[-1] for k, a in enumerate(arrays)]
    n = len(arrays)
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(n)}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i: int, j: int) -> Any:
        k = best[i, j][1]
        return arrays[i] if i == j else dot(product(i, k), product(k + 1, j))

    return product(0, n - 1)


@surface(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Any:
    """np.linalg.matrix_power."""
    x = value(a)
    check_square("matrix_power", as_float(x).aval, real=False)
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError("exponent must be an integer") from error
    if n < 0:
        n, x = -n, ops.inv(as_float(x))
    if n == 0:
        eye = value(np.eye(x.shape[-1]), x.aval.dtype)
        return wrap(_shape.broadcast_to(eye, x.shape))
    out, square = None, x
    while n:
        if n & 1:
            out = square if out is None else _matmul(out, square)
        n >>= 1
        if n:
            square = _matmul(square, square)
    return wrap(out)  # type: ignore[arg-type]


# ------------------------------------------------------------------ norms


def _power_norm(x: Value, order: Any, axes: tuple[int, ...]) -> Value:
    size = value(abs(wrap(x)))
    if order == np.inf:
        return _largest(size, axes)
    if order == -np.inf:
        return ops.min_(size, axes=axes)
    if order == 0:
        return _sum(cast(ops.not_equal(size, number(0, size)), size.aval.dtype), axes=axes)
    if order == 1:
        return _sum(size, axes=axes)
    if order in (None, 2):
        return _root(_sum(squared(x), axes=axes))
    p = number(order, size)
    total = _sum(ops.pow_(size, p), axes=axes)
    return _at_zero(total, lambda v: ops.pow_(v, number(1 / order, v)), order > 0)


def _at_zero(total: Value, root: Any, there: bool = True) -> Value:
    """A root of a sum; where that is zero, it is zero and has slope zero."""
    if not there:
        return root(total)
    zero = ops.equal(total, number(0, total))
    return ops.select(zero, number(0, total), root(ops.select(zero, number(1, total), total)))


def _root(total: Value) -> Value:
    return _at_zero(total, ops.sqrt)


def _largest(size: Value, axes: tuple[int, ...]) -> Value:
    """The maximum of sizes, 0 where there are none."""
    if size.aval.size:
        return ops.max_(size, axes=axes)
    return value(FUNCTIONS[np.max](wrap(size, "array"), axis=axes, initial=0))


def _least(size: Value, axes: tuple[int, ...]) -> Value:
    return ops.min_(size, axes=axes)


def squared(x: Value) -> Value:
    """|x|² of each element."""
    if x.aval.kind == "c":
        re, im = ops.real(x), ops.imag(x)
        return ops.add(ops.mul(re, re), ops.mul(im, im))
    return ops.mul(x, x)


def _matrix_norm(x: Value, order: Any, axes: tuple[int, int]) -> Value:
    rows, columns = axes
    size = value(abs(wrap(x)))
    if order in ("fro", None):
        return _root(_sum(squared(x), axes=tuple(sorted(axes))))
    if order in (1, -1, np.inf, -np.inf):
        first, second = (rows, columns) if abs(order) == 1 else (columns, rows)
        sums = _sum(size, axes=(first,))
        second -= second > first
        return (_largest if order > 0 else _least)(sums, (second,))
    if order in (2, -2, "nuc"):
        lead = tuple(i for i in range(x.ndim) if i not in axes)
        sizes = ops.svd(_shape.permuted(x, (*lead, *axes)), full=False)[1]
        last = (sizes.ndim - 1,)
        if order == "nuc":
            return _sum(sizes, axes=last)
        return (_largest if order == 2 else _least)(sizes, last)
    raise ValueError("Invalid norm order for matrices.")


@surface(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """np.linalg.norm: of vectors and of matrices, of any order."""
    v = as_float(value(x))
    shape = v.shape
    if axis is None and (ord is None or (ord in ("f", "fro") and v.ndim == 2) or
                         (ord == 2 and v.ndim == 1)):  # fmt: skip
        out = _root(_sum(squared(v), axes=tuple(range(v.ndim))))
        return wrap(_shape.reshaped(out, (1,) * len(shape)) if keepdims else out)
    if axis is None:
        axes: tuple[int, ...] = tuple(range(v.ndim))
    elif isinstance(axis, tuple):
        axes = tuple(one_axis(i, v.ndim) for i in axis)
    else:
        axes = (one_axis(axis, v.ndim),)
    if len(axes) == 1:
        if isinstance(ord, str):
            raise ValueError(f"Invalid norm order '{ord}' for vectors")
        out = _power_norm(v, ord, axes)
    elif len(axes) == 2:
        out = _matrix_norm(v, "fro" if ord in ("f", "fro") else ord, axes)
    else:
        raise ValueError("Improper number of dimensions to norm.")
    if keepdims:
        out = _shape.reshaped(out, tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return wrap(out)


@surface(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """np.linalg.vector_norm."""
    v = as_float(value(x))
    axes = many_axes(axis, v.ndim)
    out = _power_norm(v, ord, axes)
    if keepdims:
        out = _shape.reshaped(out, tuple(1 if i in axes else n for i, n in enumerate(v.shape)))
    return wrap(out)


@surface(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """np.linalg.matrix_norm."""
    return norm(x, ord, (-2, -1), keepdims)


# ------------------------------------------------------------------ convolution and integrals


@surface(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Any:
    """np.trapezoid."""
    f = value(y)  # neighbours are added in the dtype that they have
    i = one_axis(axis, f.ndim)
    n = f.shape[i]
    if not n:
        return FUNCTIONS[np.sum](wrap(as_float(f), "array"), axis=i)
    pairs = wrap(ops.add(_shape.narrow(f, i, 1, n - 1), _shape.narrow(f, i, 0, n - 1)), "array")
    if x is None:
        steps = dx
    else:
        steps = FUNCTIONS[np.diff](wrap(value(x), "array"), axis=axis if value(x).ndim > 1 else -1)
        if steps.ndim == 1:
            steps = steps.reshape(tuple(-1 if d == i else 1 for d in range(f.ndim)))
    return FUNCTIONS[np.sum](steps * pairs / 2.0, axis=i)
