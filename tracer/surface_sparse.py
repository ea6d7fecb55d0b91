"""scipy.sparse: products of a plain sparse matrix with a traced vector or dense matrix.

The matrix is entries and their places: a product gathers what meets an entry and adds up by rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.types import Aval
from . import intercept
from .errors import UnsupportedOp
from .intercept import DECLINE
from .record import fail
from .surface import is_tracer, value, values, wrap

_shape = ops.shape


def _product(a: Any, x: Any) -> Any:
    """`a @ x` of a sparse matrix and a traced array of one or two dims."""
    v = value(x)
    if v.ndim not in (1, 2):
        raise ValueError("could not interpret dimensions")
    rows, columns = a.shape
    if v.shape[0] != columns:
        tail = "1?" if v.ndim == 1 or v.shape[1] == 1 else "m"
        raise ValueError(
            "matmul: dimension mismatch with signature "
            f"(n,k={columns}),(k={v.shape[0]},{tail})->(n,{tail})"
        )
    entries = a.tocoo()
    row, column = (value(np.asarray(i, np.int64)) for i in (entries.row, entries.col))
    data, v = values(entries.data, wrap(v, "array"))
    met = ops.gather(v, column, axes=(0,))
    if v.ndim == 2:
        data = _shape.broadcast_to(_shape.reshaped(data, (*data.shape, 1)), met.shape)
    start = _shape.zeros(Aval(v.aval.dtype, (rows, *v.shape[1:])))
    return wrap(ops.scatter_add(start, ops.mul(data, met), row, axes=(0,)), "array")


def _from_left(x: Any, a: Any) -> Any:
    """`x @ a` of a traced array and a sparse matrix."""
    v = value(x)
    turned = x if v.ndim < 2 else x.T
    out = _product(a.T, turned)
    return out if v.ndim < 2 else out.T


def _refusal(a: Any, x: Any) -> Any:
    raise fail(
        UnsupportedOp,
        "a sparse matrix with a traced value in it cannot be traced",
        "Products with traced arrays work: t * (A @ x) for (t * A) @ x; A.toarray() is dense.",
    )


_METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "__matmul__": _product,
    "__rmatmul__": lambda a, x: _from_left(x, a),
    "_matmul_dispatch": lambda a, x: _product(a, x) if np.ndim(x) else _refusal(a, x),
    "_rmatmul_dispatch": lambda a, x: _from_left(x, a) if np.ndim(x) else _refusal(a, x),
    "dot": lambda a, x: _product(a, x) if np.ndim(x) else _refusal(a, x),
    "__add__": lambda a, x: _dense(a, x, lambda p, q: p + q),
    "__radd__": lambda a, x: _dense(a, x, lambda p, q: q + p),
    "__sub__": lambda a, x: _dense(a, x, lambda p, q: p - q),
    "__rsub__": lambda a, x: _dense(a, x, lambda p, q: q - p),
    "__truediv__": _refusal,
    "multiply": _refusal,
}
# `*` is the product of matrices for the classes that are matrices, and elementwise for arrays.
_OF_MATRICES = {"__mul__": _METHODS["_matmul_dispatch"], "__rmul__": _METHODS["_rmatmul_dispatch"]}
_OF_ARRAYS = dict.fromkeys(("__mul__", "__rmul__"), _refusal)


def _dense(a: Any, x: Any, f: Callable[[Any, Any], Any]) -> Any:
    """A sum with a dense array, which is dense."""
    if np.shape(x) != a.shape:
        raise (
            ValueError("inconsistent shapes")
            if np.ndim(x)
            else NotImplementedError("adding a nonzero scalar to a sparse array is not supported")
        )
    return f(a.toarray(), x)


def _settled(x: Any) -> Any:
    """What a sparse matrix is made of, in plain arrays."""
    if isinstance(x, tuple | list):
        parts = [_settled(e) for e in x]
        return tuple(parts) if isinstance(x, tuple) else parts
    if not is_tracer(x):
        return x
    known = x._concrete()
    if known is None:
        raise fail(
            UnsupportedOp,
            "a sparse matrix made of traced values cannot be traced",
            "Say its product: y = np.zeros(n); np.add.at(y, rows, data * x[columns]).",
        )
    return np.array(known)


def _make(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """A matrix is made of plain arrays: SciPy's compiled code fills what it makes like them."""
    self, *rest = args
    return original(self, *map(_settled, rest), **{k: _settled(v) for k, v in kwargs.items()})


def _act(f: Callable[[Any, Any], Any]) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if len(args) != 2 or not is_tracer(args[1]) or len(args[0].shape) != 2:
            return DECLINE
        return f(*args)

    return act


def _below(kind: Any) -> list[type]:
    """The classes under a class."""
    return [k for below in kind.__subclasses__() for k in (below, *_below(below))]


def _fill() -> bool:
    modules = sys.modules.get
    base = getattr(modules("scipy.sparse._base"), "_spbase", None)
    coo = getattr(modules("scipy.sparse._coo"), "_coo_base", None)
    matrix = getattr(modules("scipy.sparse._matrix"), "spmatrix", None)
    if base is None or coo is None or matrix is None:
        return False
    tables = (base, _METHODS | _OF_ARRAYS), (coo, _METHODS), (matrix, _OF_MATRICES)
    for kind, table in tables:
        for name, f in table.items():
            if name in vars(kind):
                intercept.enter(kind, name, _act(f), direct=False)
    for kind in _below(base):
        if "__init__" in vars(kind):
            intercept.enter(kind, "__init__", _make, direct=False)
    return True


intercept.when_imported(_fill)
