"""np.convolve, np.correlate, np.cov: sums of products of shifted or centred copies."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from .promote import common_dtype, dtype_name
from .surface import FUNCTIONS, cast, holds_tracer, surface, value, values, wrap

_shape = ops.shape
_FEW = 12  # elements of a vector that are multiplied one by one
_MANY = 1 << 13  # products from which on a convolution is a step of its own


@surface(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """np.convolve: a sum of shifted copies, one per element of the shorter operand."""
    x, w = (_vector(p) for p in values(a, v))
    if not x.shape[0] or not w.shape[0]:
        raise ValueError("a cannot be empty" if not x.shape[0] else "v cannot be empty")
    if w.shape[0] > x.shape[0]:
        x, w = w, x
    return wrap(_slid(x, _shape.flip(w, (0,)), mode))


def _vector(v: Value) -> Value:
    if v.ndim > 1:
        raise ValueError("object too deep for desired array")
    return _shape.reshaped(v, (v.aval.size,))


def _slid(x: Value, w: Value, mode: str) -> Value:
    """The products of a vector with a shorter one at every place where they overlap."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"mode must be one of 'valid', 'same' or 'full', not {mode!r}")
    n, m = x.shape[0], w.shape[0]
    wide = ops.pad(x, shape=(n + 2 * (m - 1),), start=(m - 1,), step=(1,))
    if m <= _FEW and x.aval.kind in "fc":
        places = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}
        skip, size = places[mode]
        factors = [_shape.reshaped(_shape.narrow(w, 0, k, 1), ()) for k in range(m)]
        moved = [_shape.narrow(wide, 0, skip + k, size) for k in range(m)]
        return functools.reduce(ops.add, map(ops.mul, moved, factors))
    if x.aval.kind == w.aval.kind == "f" and n * m >= _MANY:
        around = {"full": (m - 1, m - 1), "same": (m // 2, (m - 1) // 2), "valid": (0, 0)}[mode]
        image, kernel = _shape.reshaped(x, (1, n, 1)), _shape.reshaped(w, (1, 1, m))
        slid = ops.conv(image, kernel, stride=(1,), padding=(around,), dilation=(1,), groups=1)
        return _shape.reshaped(slid, (slid.shape[1],))
    # Row k of the table is x moved k places: one gather, one product.
    table = np.arange(n + m - 1)[:, None] + np.arange(m)[None, :]
    windows = ops.gather(wide, value(table), axes=(0,), mode="raise")
    full = ops.dot(windows, w, contract=((1,), (0,)), batch=((), ()))
    if mode == "same":
        return _shape.narrow(full, 0, (m - 1) // 2, n)
    return _shape.narrow(full, 0, m - 1, n - m + 1) if mode == "valid" else full


@surface(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """np.correlate: the longer operand may come second, which turns the result around."""
    x, w = (_vector(p) for p in values(a, v))
    w = ops.conj(w) if w.aval.kind == "c" else w
    if not x.shape[0] or not w.shape[0]:
        raise ValueError("first array argument cannot be empty" if not x.shape[0]
                         else "second array argument cannot be empty")  # fmt: skip
    if w.shape[0] > x.shape[0]:
        return wrap(_shape.flip(_slid(w, x, mode), (0,)))
    return wrap(_slid(x, w, mode))


@surface(np.cov)
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None,
    fweights: Any = None, aweights: Any = None, *, dtype: Any = None,
) -> Any:  # fmt: skip
    """np.cov."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    if value(m).ndim > 2:
        raise ValueError("m has more than 2 dimensions")
    kinds = [value(p).aval.dtype for p in (m, y) if p is not None]
    name = common_dtype((*kinds, "f64")) if dtype is None else dtype_name(dtype)

    def rows(a: Any) -> Any:
        x = wrap(value(a, name), "array")
        if x.ndim < 2:
            return x.reshape((1, -1))
        return x if rowvar else x.T

    x = rows(m)
    if y is not None:
        x = FUNCTIONS[np.concatenate]((x, rows(y)))
    ddof = (0 if bias else 1) if ddof is None else ddof
    w = _weights(fweights, aweights, x.shape[1])
    if w is None:
        centred = x - x.mean(axis=1, keepdims=True)
        out = centred @ centred.T.conj() / max(x.shape[1] - ddof, 0)
    else:
        whole = w.sum()
        centred = x - ((x * w).sum(axis=1) / whole)[:, None]
        fact = whole - ddof
        if aweights is not None and ddof:
            fact = whole - ddof * (w * wrap(value(aweights, "f64"), "array")).sum() / whole
        out = centred @ (centred * w).T.conj() * (1 / np.maximum(fact, 0))
    return FUNCTIONS[np.squeeze](out)


def _weights(fweights: Any, aweights: Any, n: int) -> Any:
    """The weight of each observation: how often it counts, times how much."""
    w = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        v = value(given)
        if v.ndim > 1:
            raise RuntimeError(f"cannot handle multidimensional {name}")
        if v.shape != (n,):
            raise RuntimeError(f"incompatible numbers of samples and {name}")
        if not holds_tracer(given):
            _check_weights(name, np.asarray(given))
        part = wrap(cast(v, "f64"), "array")
        w = part if w is None else w * part
    return w


def _check_weights(name: str, given: np.ndarray) -> None:
    if name == "fweights" and np.any(given != np.around(given)):
        raise TypeError("fweights must be integer")
    if np.any(given < 0):
        raise ValueError(f"{name} cannot be negative")
