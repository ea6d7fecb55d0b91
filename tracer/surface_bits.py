"""Functions on the bits of numbers, on positions in an array, and on the domain of a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from .surface import (
    array,
    as_bool,
    as_float,
    cast,
    holds_tracer,
    number,
    one_axis,
    shape_tuple,
    surface,
    value,
    wrap,
)
from .surface_ufunc import SPECIAL, call

_shape = ops.shape


# ------------------------------------------------------------------ bits


def _weights(ndim: int, bitorder: str) -> Value:
    if bitorder not in ("big", "little"):
        raise ValueError("'order' must be either 'little' or 'big'")
    steps = np.arange(8) if bitorder == "little" else np.arange(7, -1, -1)
    return value((1 << steps).astype(np.uint8))


@surface(np.packbits)
def packbits(a: Any, /, axis: Any = None, bitorder: str = "big") -> Any:
    """np.packbits: eight elements in a byte."""
    v = value(a)
    if v.aval.kind not in "biu":
        raise TypeError("Expected an input array of integer or boolean data type")
    if axis is None or not v.ndim:
        v, axis = _shape.reshaped(v, (v.aval.size,)), 0
    i = one_axis(axis, v.ndim)
    bits = cast(as_bool(_shape.moveaxis(v, i, v.ndim - 1)), "u8")
    n = bits.shape[-1]
    whole = (*bits.shape[:-1], -(-n // 8) * 8)
    bits = ops.pad(bits, shape=whole, start=(0,) * v.ndim, step=(1,) * v.ndim)
    bits = _shape.reshaped(bits, (*whole[:-1], whole[-1] // 8, 8))
    packed = _shape.sum_(ops.mul(bits, _weights(v.ndim, bitorder)), axes=(v.ndim,))
    return array(_shape.moveaxis(packed, v.ndim - 1, i))


@surface(np.unpackbits)
def unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: str = "big") -> Any:
    """np.unpackbits: the bits of bytes."""
    v = value(a)
    if v.aval.dtype != "u8":
        raise TypeError("Expected an input array of unsigned byte data type")
    if axis is None or not v.ndim:
        v, axis = _shape.reshaped(v, (v.aval.size,)), 0
    i = one_axis(axis, v.ndim)
    front = _shape.moveaxis(v, i, v.ndim - 1)
    wide = _shape.reshaped(front, (*front.shape, 1))
    bits = cast(as_bool(ops.and_(wide, _weights(v.ndim, bitorder))), "u8")
    bits = _shape.reshaped(bits, (*front.shape[:-1], front.shape[-1] * 8))
    n = bits.shape[-1]
    if count is not None:
        m = int(count) if count >= 0 else n + int(count)
        if m < 0:
            raise ValueError(f"-count larger than number of elements ({n})")
        if m <= n:
            bits = _shape.narrow(bits, v.ndim - 1, 0, m)
        else:
            shape = (*bits.shape[:-1], m)
            bits = ops.pad(bits, shape=shape, start=(0,) * v.ndim, step=(1,) * v.ndim)
    return array(_shape.moveaxis(bits, v.ndim - 1, i))


def _frexp(x: Value) -> tuple[Value, Value]:
    """Mantissa in [0.5, 1) and exponent; powers of two are exact, so is their quotient."""
    size = ops.abs_(x)
    odd = ops.or_(ops.equal(size, number(0, x)), ops.not_(ops.isfinite(x)))
    safe = ops.select(odd, number(1, x), size)
    e = ops.add(ops.floor(ops.log2(safe)), number(1, x))
    half = ops.trunc(ops.mul(e, number(0.5, x)))  # in two steps: 2**-e alone may overflow
    m = ops.mul(ops.mul(x, ops.exp2(ops.neg(half))), ops.exp2(ops.sub(half, e)))
    large = ops.greater_equal(ops.abs_(m), number(1, x))
    small = ops.less(ops.abs_(m), number(0.5, x))
    m = ops.select(large, ops.mul(m, number(0.5, x)), m)
    m = ops.select(small, ops.mul(m, number(2, x)), m)
    e = ops.select(large, ops.add(e, number(1, x)), e)
    e = ops.select(small, ops.sub(e, number(1, x)), e)
    return ops.select(odd, x, m), cast(ops.select(odd, number(0, x), e), "i32")


SPECIAL[np.frexp] = _frexp


# ------------------------------------------------------------------ positions


def _strides(shape: tuple[int, ...], order: str) -> list[int]:
    if order not in ("C", "F"):
        raise ValueError("only 'C' or 'F' order is permitted")
    out = [0] * len(shape)
    step = 1
    for i in reversed(range(len(shape))) if order == "C" else range(len(shape)):
        out[i] = step
        step *= shape[i]
    return out


@surface(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    """np.unravel_index; that traced indices are in bounds is not looked at."""
    dims = shape_tuple(shape)
    if not holds_tracer(indices):
        return np.unravel_index(indices, dims, order=order)  # type: ignore[call-overload]
    v = value(indices)
    if v.aval.kind not in "iu":
        raise TypeError("only int indices permitted")
    v = cast(v, "i64")
    strides = _strides(dims, order)
    return tuple(
        wrap(ops.remainder(ops.floordiv(v, value(s)), value(n)))
        for s, n in zip(strides, dims, strict=True)
    )


@surface(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """np.ravel_multi_index; an index out of bounds is noticed where it is used."""
    shape = shape_tuple(dims)
    parts = [value(p) for p in multi_index]
    if not any(map(holds_tracer, multi_index)) and not holds_tracer(multi_index):
        numpys: Any = np.ravel_multi_index
        return numpys(multi_index, dims, mode, order)
    modes = mode if isinstance(mode, tuple) else (mode,) * len(shape)
    if len(parts) != len(shape):
        raise ValueError(f"parameter multi_index must be a sequence of length {len(shape)}")
    if any(p.aval.kind not in "iu" for p in parts):
        raise TypeError("only int indices permitted")
    total: Value | None = None
    for p, n, s, m in zip(parts, shape, _strides(shape, order), modes, strict=True):
        p = cast(p, "i64")
        if m == "wrap":
            p = ops.remainder(p, value(n))
        elif m == "clip":
            p = ops.minimum(ops.maximum(p, value(0)), value(n - 1))
        term = ops.mul(p, value(s))
        total = term if total is None else ops.add(total, term)
    assert total is not None
    return wrap(total)


# ------------------------------------------------------------------ np.emath


_SMALL = ("f32", "i8", "i16", "u8", "u16")


def _complex_where(x: Any, outside: Any) -> Any:
    """The number, complex if any element lies outside of the function's real domain: a guard."""
    v = value(x)
    t = wrap(v)
    if v.aval.kind != "c" and bool(np.any(outside(t))):
        return wrap(cast(v, "c64" if v.aval.dtype in _SMALL else "c128"))
    return t


def _negative(x: Any) -> Any:
    return _complex_where(x, lambda t: t < 0)


def _beyond_one(x: Any) -> Any:
    return _complex_where(x, lambda t: abs(t) > 1)


def _extended(f: np.ufunc, domain: Any) -> Any:
    def evaluate(x: Any) -> Any:
        return wrap(call(f, (domain(x),)))

    return evaluate


for _name, _domain in {
    "sqrt": _negative, "log": _negative, "log2": _negative, "log10": _negative,
    "arccos": _beyond_one, "arcsin": _beyond_one, "arctanh": _beyond_one,
}.items():  # fmt: skip
    surface(getattr(np.emath, _name))(_extended(getattr(np, _name), _domain))


@surface(np.emath.logn)
def logn(n: Any, x: Any) -> Any:
    """np.emath.logn."""
    a, b = _negative(x), _negative(n)
    return wrap(call(np.divide, (wrap(call(np.log, (a,))), wrap(call(np.log, (b,))))))


@surface(np.emath.power)
def power(x: Any, p: Any) -> Any:
    """np.emath.power."""
    a, b = _negative(x), wrap(value(p))
    if b.dtype.kind in "iu" and bool(np.any(b < 0)):
        b = wrap(as_float(value(b)))
    return wrap(call(np.power, (a, b)))
