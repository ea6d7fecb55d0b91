"""np.fft and scipy.fft: lengths, axes and norms sorted out around the rows of transforms."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.ops.fourier import swapped
from . import intercept
from .surface import FUNCTIONS, array, as_float, cast, number, one_axis, surface, value, wrap
from .surface_scipy import filler
from .surface_ufunc import store

_shape = ops.shape
_COMPLEX = {"f32": "c64", "f64": "c128"}
_NORMS = ("backward", "ortho", "forward")


# ------------------------------------------------------------------ arguments


def _points(a: Any) -> Value:
    """The operand, integers as float64 and half precision as single."""
    v = as_float(value(a))
    return cast(v, "f32") if v.aval.dtype == "f16" else v


def _whole(v: Value) -> Value:
    return v if v.aval.kind == "c" else cast(v, _COMPLEX[v.aval.dtype])


def _norm(norm: Any) -> str:
    if norm is None:
        return "backward"
    if norm not in _NORMS:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    return str(norm)


def _count(n: Any) -> int:
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"Invalid number of FFT data points ({n}) specified.")
    return n


def _resized(v: Value, axis: int, n: int) -> Value:
    """`v` with n points along an axis: cut, or with zeros behind."""
    have = v.shape[axis]
    if n <= have:
        return _shape.narrow(v, axis, 0, n)
    shape = (*v.shape[:axis], n, *v.shape[axis + 1 :])
    return ops.pad(v, shape=shape, start=(0,) * v.ndim, step=(1,) * v.ndim)


def _axis(v: Value, axis: Any) -> int:
    if not v.ndim:
        raise IndexError("tuple index out of range")
    return one_axis(axis, v.ndim)


def _sizes(v: Value, s: Any, axes: Any, halved: bool = False) -> tuple[list[int], list[int]]:
    """Points and axes of a transform along several; `halved` says that 2 (n - 1) is the last."""
    if axes is None:
        axes = range(-(v.ndim if s is None else len(tuple(s))), 0)
    axes = [axes] if isinstance(axes, (int, np.integer)) else list(axes)
    at = [one_axis(a, v.ndim) for a in axes]
    if s is None:
        sizes = [v.shape[a] for a in at]
        if halved and at:
            sizes[-1] = (sizes[-1] - 1) * 2
    else:
        s = [s] if isinstance(s, (int, np.integer)) else s
        sizes = [v.shape[a] if n == -1 else operator.index(n) for n, a in zip(s, at, strict=False)]
        if len(list(s)) != len(at):
            raise ValueError("Shape and axes have different lengths.")
    return [_count(n) for n in sizes], at


def _given(v: Value, out: Any) -> Any:
    return array(v) if out is None else store(out, v)


# ------------------------------------------------------------------ transforms


def _along(v: Value, sizes: Sequence[int], axes: Sequence[int], inverse: bool, norm: str) -> Value:
    """The complex transform along several axes, the last one first."""
    if not axes:
        return _whole(v)
    if len(set(axes)) < len(axes):  # an axis that is named twice is transformed twice
        for n, a in zip(reversed(sizes), reversed(axes), strict=True):
            v = ops.fft(_resized(v, a, n), axes=(a,), inverse=inverse, norm=norm)
        return v
    for n, a in zip(sizes, axes, strict=True):
        v = _resized(v, a, n)
    return ops.fft(v, axes=tuple(sorted(axes)), inverse=inverse, norm=norm)


def _forward(v: Value, n: int, axis: int, norm: str) -> Value:
    if v.aval.kind == "c":
        raise TypeError("ufunc 'rfft' not supported for complex input; use fft")
    return ops.rfft(_resized(v, axis, n), axis=axis, norm=norm)


def _backward(v: Value, n: int, axis: int, norm: str) -> Value:
    return ops.irfft(_whole(_resized(v, axis, n // 2 + 1)), n=n, axis=axis, norm=norm)


def _conjugate(v: Value) -> Value:
    return ops.conj(v) if v.aval.kind == "c" else v


def _one(name: str, body: Callable[[Value, int | None, int, str], Value]) -> Callable[..., Any]:
    def call(a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None) -> Any:
        v = _points(a)
        at = _axis(v, axis)
        return _given(body(v, None if n is None else _count(n), at, _norm(norm)), out)

    call.__name__, call.__doc__ = name, f"np.fft.{name}."
    return call


def _complex(inverse: bool) -> Callable[[Value, int | None, int, str], Value]:
    def body(v: Value, n: int | None, axis: int, norm: str) -> Value:
        return _along(v, [_count(v.shape[axis]) if n is None else n], [axis], inverse, norm)

    return body


def _rfft(v: Value, n: int | None, axis: int, norm: str) -> Value:
    return _forward(v, _count(v.shape[axis]) if n is None else n, axis, norm)


def _irfft(v: Value, n: int | None, axis: int, norm: str) -> Value:
    return _backward(v, _count(2 * (v.shape[axis] - 1)) if n is None else n, axis, norm)


def _hfft(v: Value, n: int | None, axis: int, norm: str) -> Value:
    return _irfft(_conjugate(v), n, axis, swapped(norm))


def _ihfft(v: Value, n: int | None, axis: int, norm: str) -> Value:
    return ops.conj(_rfft(v, n, axis, swapped(norm)))


ONE = {
    "fft": _complex(False),
    "ifft": _complex(True),
    "rfft": _rfft,
    "irfft": _irfft,
    "hfft": _hfft,
    "ihfft": _ihfft,
}


def _fftn(v: Value, s: Any, axes: Any, norm: str) -> Value:
    return _along(v, *_sizes(v, s, axes), False, norm)


def _ifftn(v: Value, s: Any, axes: Any, norm: str) -> Value:
    return _along(v, *_sizes(v, s, axes), True, norm)


def _rfftn(v: Value, s: Any, axes: Any, norm: str) -> Value:
    sizes, at = _sizes(v, s, axes)
    if not at:
        raise IndexError("list index out of range")
    return _along(_forward(v, sizes[-1], at[-1], norm), sizes[:-1], at[:-1], False, norm)


def _irfftn(v: Value, s: Any, axes: Any, norm: str) -> Value:
    sizes, at = _sizes(v, s, axes, halved=True)
    if not at:
        raise IndexError("list index out of range")
    return _backward(_along(v, sizes[:-1], at[:-1], True, norm), sizes[-1], at[-1], norm)


SEVERAL = {"fft": _fftn, "ifft": _ifftn, "rfft": _rfftn, "irfft": _irfftn}


def _several(name: str, body: Callable[..., Value], default: Any) -> Callable[..., Any]:
    def call(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        return _given(body(_points(a), s, axes, _norm(norm)), out)

    call.__name__, call.__doc__ = name, f"np.fft.{name}."
    return call


for _name, _body in ONE.items():
    surface(getattr(np.fft, _name))(_one(_name, _body))
for _name, _each in SEVERAL.items():
    surface(getattr(np.fft, f"{_name}n"))(_several(f"{_name}n", _each, None))
    surface(getattr(np.fft, f"{_name}2"))(_several(f"{_name}2", _each, (-2, -1)))


# ------------------------------------------------------------------ shifts


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    v = value(x)
    if axes is None:
        axes = range(v.ndim)
    at = [axes] if isinstance(axes, (int, np.integer)) else list(axes)
    moves = [sign * v.shape[one_axis(a, v.ndim)] for a in at]
    halves = [m // 2 if sign > 0 else -(-m // 2) for m in moves]
    return FUNCTIONS[np.roll](wrap(v, "array"), tuple(halves), tuple(at))


@surface(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """np.fft.fftshift."""
    return _shifted(x, axes, 1)


@surface(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """np.fft.ifftshift."""
    return _shifted(x, axes, -1)


# ------------------------------------------------------------------ scipy.fft


def _scipy_one(f: Callable[..., Any]) -> Callable[..., Any]:
    def call(
        x: Any, n: Any = None, axis: Any = -1, norm: Any = None, overwrite_x: bool = False,
        workers: Any = None, *, plan: Any = None,
    ) -> Any:  # fmt: skip
        return f(x, n, axis, norm)

    return call


def _scipy_several(body: Callable[..., Value], default: Any) -> Callable[..., Any]:
    def call(
        x: Any, s: Any = None, axes: Any = default, norm: Any = None, overwrite_x: bool = False,
        workers: Any = None, *, plan: Any = None,
    ) -> Any:  # fmt: skip
        return array(body(_points(x), s, axes, _norm(norm)))

    return call


def _hfftn(v: Value, s: Any, axes: Any, norm: str) -> Value:
    return _irfftn(_conjugate(v), s, axes, swapped(norm))


def _ihfftn(v: Value, s: Any, axes: Any, norm: str) -> Value:
    return ops.conj(_rfftn(v, s, axes, swapped(norm)))


_INVERSE = {1: 1, 2: 3, 3: 2, 4: 4}
_ROOT = 2.0**0.5


def _scaled(v: Value, axis: int, ends: Sequence[int], by: float) -> Value:
    at = ops.iota(shape=v.shape, axis=axis, dtype="i64")
    for end in dict.fromkeys(e % v.shape[axis] for e in ends):
        v = ops.select(ops.equal(at, number(end, at)), ops.mul(v, number(by, v)), v)
    return v


def _trigonometric(v: Value, kind: int, axis: int, sine: bool, norm: str, unit: bool) -> Value:
    """One cosine or sine transform; `unit` scales the outermost terms so that it is orthogonal."""
    if v.aval.kind == "c":
        re, im = (
            _trigonometric(p, kind, axis, sine, norm, unit) for p in (ops.real(v), ops.imag(v))
        )
        return ops.complex_(re, im)
    ends = [-1] if sine else [0, -1] if kind == 1 else [0]
    unit = unit and kind != 4 and not (sine and kind == 1)
    if unit and kind in (1, 3):
        v = _scaled(v, axis, ends, _ROOT)
    out = ops.trigonometric(v, axis=axis, kind=kind, sine=sine, norm=norm)
    return _scaled(out, axis, ends, 1 / _ROOT) if unit and kind in (1, 2) else out


def _kind(type: Any, inverse: bool) -> int:
    if type not in _INVERSE:
        raise ValueError(f"Type {type} not implemented" if type else f"invalid type {type}")
    return _INVERSE[type] if inverse else type


def _trigonometric_one(sine: bool, inverse: bool) -> Callable[..., Any]:
    def call(
        x: Any, type: int = 2, n: Any = None, axis: Any = -1, norm: Any = None,
        overwrite_x: bool = False, workers: Any = None, orthogonalize: Any = None,
    ) -> Any:  # fmt: skip
        v = _points(x)
        at = _axis(v, axis)
        v = _resized(v, at, _count(v.shape[at] if n is None else n))
        way = _norm(norm)
        unit = way == "ortho" if orthogonalize is None else bool(orthogonalize)
        way = swapped(way) if inverse else way
        return array(_trigonometric(v, _kind(type, inverse), at, sine, way, unit))

    return call


def _trigonometric_several(sine: bool, inverse: bool) -> Callable[..., Any]:
    def call(
        x: Any, type: int = 2, s: Any = None, axes: Any = None, norm: Any = None,
        overwrite_x: bool = False, workers: Any = None, *, orthogonalize: Any = None,
    ) -> Any:  # fmt: skip
        v = _points(x)
        way = _norm(norm)
        unit = way == "ortho" if orthogonalize is None else bool(orthogonalize)
        way = swapped(way) if inverse else way
        for n, at in zip(*_sizes(v, s, axes), strict=True):
            v = _trigonometric(_resized(v, at, n), _kind(type, inverse), at, sine, way, unit)
        return array(v)

    return call


TABLE: dict[str, Any] = {
    **{name: _scipy_one(_one(name, body)) for name, body in ONE.items()},
    **{f"{name}n": _scipy_several(body, None) for name, body in SEVERAL.items()},
    **{f"{name}2": _scipy_several(body, (-2, -1)) for name, body in SEVERAL.items()},
    "hfftn": _scipy_several(_hfftn, None),
    "hfft2": _scipy_several(_hfftn, (-2, -1)),
    "ihfftn": _scipy_several(_ihfftn, None),
    "ihfft2": _scipy_several(_ihfftn, (-2, -1)),
    "fftshift": fftshift,
    "ifftshift": ifftshift,
    **{
        ("i" if inverse else "") + name: _trigonometric_one(name == "dst", inverse)
        for name in ("dct", "dst")
        for inverse in (False, True)
    },
    **{
        ("i" if inverse else "") + name + "n": _trigonometric_several(name == "dst", inverse)
        for name in ("dct", "dst")
        for inverse in (False, True)
    },
}
intercept.when_imported(filler("scipy.fft", TABLE))
