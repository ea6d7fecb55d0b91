"""Polynomials by their coefficients, as np.poly* writes them: highest power first."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from .errors import TracedBranch
from .promote import common_dtype
from .surface import FUNCTIONS, array, as_float, cast, filled, refuse, surface, value, values, wrap
from .surface_decompositions import real_eigvals
from .surface_signal import convolve

_shape = ops.shape


@surface(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """np.polyval by Horner's rule, also of a polynomial in the place of x."""
    coefficients, v = value(p), x if isinstance(x, np.poly1d) else wrap(value(x))
    y: Any = 0 if v is x else np.zeros_like(v)
    for i in range(coefficients.shape[0]):
        y = y * v + wrap(_shape.squeeze(_shape.narrow(coefficients, 0, i, 1), (0,)))
    return y


@surface(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """np.vander: powers as running products."""
    v = value(x)
    if v.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    v = cast(v, common_dtype((v.aval.dtype, "i64")))
    n = v.shape[0] if N is None else operator.index(N)
    powers = [ops.shape.full(1, v.aval)]
    for _ in range(n - 1):
        powers.append(ops.mul(powers[-1], v))
    powers = powers[:n]
    return array(_shape.stack(powers if increasing else powers[::-1], 1))


@surface(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """np.polymul; whether a leading coefficient is zero is decided."""
    first, second = values(a1, a2)
    return convolve(leading(first), leading(second))


def leading(v: Value) -> Any:
    """Coefficients from the first that is not zero, as np.poly1d keeps them."""
    p = FUNCTIONS[np.atleast_1d](wrap(v, "array"))
    try:
        while p.shape[0] > 1 and bool(p[0] == 0):
            p = p[1:]
    except TracedBranch:  # in rows of vmap all have one shape: zeros may lead
        pass
    return p


@surface(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """np.polyadd."""
    return _termwise(np.add, a1, a2)


@surface(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """np.polysub."""
    return _termwise(np.subtract, a1, a2)


def _termwise(f: np.ufunc, a1: Any, a2: Any) -> Any:
    a, b = (FUNCTIONS[np.atleast_1d](wrap(v, "array")) for v in values(a1, a2))
    n = max(a.shape[0], b.shape[0])
    a, b = (FUNCTIONS[np.pad](p, (n - p.shape[0], 0)) for p in (a, b))
    return f(a, b)


@surface(np.polydiv)
def polydiv(u: Any, v: Any) -> Any:
    """np.polydiv; whether a leading coefficient of the remainder is zero is decided."""
    a, b = (FUNCTIONS[np.atleast_1d](wrap(as_float(x), "array")) for x in values(u, v))
    m, n = a.shape[0] - 1, b.shape[0] - 1
    rest, quotient = a, []
    for k in range(m - n + 1):
        d = rest[k] / b[0]
        quotient.append(d)
        moved = FUNCTIONS[np.pad](d * b, (k, m - n - k))
        rest = rest - moved
    q = FUNCTIONS[np.stack](quotient) if quotient else array(filled(0, Aval("f64", (1,))))
    while rest.shape[0] > 1 and bool(FUNCTIONS[np.allclose](rest[0], 0, rtol=1e-14)):
        rest = rest[1:]
    return q, rest


@surface(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """np.poly of the zeros of a polynomial."""
    zeros = FUNCTIONS[np.atleast_1d](wrap(as_float(value(seq_of_zeros)), "array"))
    if zeros.ndim == 2 and zeros.shape[0] == zeros.shape[1]:
        zeros = FUNCTIONS[np.linalg.eigvals](zeros)
    elif zeros.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    out = FUNCTIONS[np.ones_like](zeros, shape=(1,))
    for k in range(zeros.shape[0]):
        factor = FUNCTIONS[np.stack]([FUNCTIONS[np.ones_like](zeros[k]), -zeros[k]])
        out = convolve(out, factor)
    if zeros.dtype.kind == "c" and zeros.shape[0] and _in_pairs(zeros):
        out = out.real
    return out if zeros.shape[0] else 1.0


def _in_pairs(zeros: Any) -> bool:
    """Whether complex numbers are conjugates of each other, in this call: that is guarded."""
    order = FUNCTIONS[np.sort]
    try:
        return bool(FUNCTIONS[np.all](order(zeros) == order(zeros.conj())))
    except TracedBranch:
        raise refuse(
            "np.poly of complex zeros whose values are not known here: its coefficients are real "
            "where the zeros are conjugates of each other",
            "Multiply the factors by np.convolve.",
        ) from None


@surface(np.roots)
def roots(p: Any) -> Any:
    """np.roots: eigenvalues of the companion matrix; which ends are zero is guarded."""
    c = FUNCTIONS[np.atleast_1d](wrap(as_float(value(p)), "array"))
    if c.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    found = FUNCTIONS[np.flatnonzero](c)
    if not found.size:
        return np.array([])
    zeros = c.shape[0] - 1 - int(found[-1])
    c = c[int(found[0]) : int(found[-1]) + 1]
    n = c.shape[0] - 1
    if not n:
        return array(filled(0, Aval("f64", (zeros,))))
    below = np.eye(n, k=-1, dtype=c.dtype)[1:]
    companion = FUNCTIONS[np.concatenate]([(-c[1:] / c[0])[None], below])
    out = real_eigvals(companion)
    return FUNCTIONS[np.pad](out, (0, zeros)) if zeros else out


@surface(np.polyder)
def polyder(p: Any, m: int = 1) -> Any:
    """np.polyder."""
    x = wrap(value(p), "array")
    if operator.index(m) < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    for _ in range(operator.index(m)):
        n = x.shape[0] - 1
        x = x[:-1] * np.arange(n, 0, -1)
    return x


@surface(np.polyint)
def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """np.polyint with one constant for all steps, or one per step."""
    x = wrap(as_float(value(p)), "array")
    m = operator.index(m)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    constants = wrap(_shape.broadcast_to(value(0.0 if k is None else k, "f64"), (m,)), "array")
    for i in range(m):
        head = x / np.arange(x.shape[0], 0, -1)
        x = FUNCTIONS[np.concatenate]((head, constants[i : i + 1]))
    return x
