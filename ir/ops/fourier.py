"""Rows of discrete Fourier transforms, complex and real, and of the cosine and sine transforms.

All are linear, so each is its own tangent, and a transpose is a transform again: the matrix of a
complex transform is symmetric, and cotangents pair with tangents without a conjugate.  `norm` says
where NumPy divides by the number of points: in the inverse ("backward"), in the transform
("forward"), or by its root in both ("ortho").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Value
from ..prim import Prim
from ..types import KIND, Aval
from .arithmetic import _PARTS, _WHOLE, conj, equal, or_, real, select
from .shape import Shape, along_rows, check_axes, iota

__all__ = ["fft", "irfft", "rfft", "swapped", "trigonometric"]

_OTHER = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def swapped(norm: str) -> str:
    """The norm of the opposite direction."""
    return _OTHER[norm]


def _check(row: str, x: Aval, axes: Shape, norm: str) -> None:
    if x.dtype not in _PARTS and x.dtype not in _WHOLE:
        raise TypeError(f"{row}: takes f32, f64, c64 or c128, not {x.dtype}")
    check_axes(row, x.ndim, axes)
    if norm not in _OTHER:
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".')
    if any(x.shape[a] < 1 for a in axes):
        raise ValueError("Invalid number of FFT data points (0) specified.")


def _with(shape: Shape, axis: int, n: int) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


# ------------------------------------------------------------------ complex transforms


def _fft_infer(x: Aval, *, axes: Shape, inverse: bool = False, norm: str = "backward") -> Aval:
    _check("fft", x, axes, norm)
    return Aval(_WHOLE.get(x.dtype, x.dtype), x.shape)


def _fft_ref(x: Any, *, axes: Shape, inverse: bool = False, norm: str = "backward") -> Any:
    transform: Any = np.fft.ifftn if inverse else np.fft.fftn
    return transform(x, axes=axes, norm=norm)


def _fft_transpose(ct: Value, x: Value, **attrs: Any) -> tuple[Value]:
    out = fft(ct, **attrs)
    return (out if x.aval.kind == "c" else real(out),)


fft: Prim = Prim(
    name="fft",
    infer=_fft_infer,
    ref=_fft_ref,
    transpose=_fft_transpose,
    defaults={"inverse": False, "norm": "backward"},
    batch=along_rows(lambda: fft, "axes"),
)


# ------------------------------------------------------------------ real transforms


def _ends(x: Value, axis: int, n: int) -> Value:
    """Which of the coefficients of n real points stand for themselves alone: 0, and n/2 if even."""
    at = iota(shape=x.shape, axis=axis, dtype="i64")
    first = equal(at, 0)
    return first if n % 2 else or_(first, equal(at, n // 2))


def _rfft_infer(x: Aval, *, axis: int, norm: str = "backward") -> Aval:
    _check("rfft", x, (axis,), norm)
    if KIND[x.dtype] != "f":
        raise TypeError(f"rfft: takes real points, not {x.dtype}; use fft")
    return Aval(_WHOLE[x.dtype], _with(x.shape, axis, x.shape[axis] // 2 + 1))


def _rfft_transpose(ct: Value, x: Value, *, axis: int, norm: str = "backward") -> tuple[Value]:
    """Re(ct · exp(-iθ)) summed over the coefficients there are: irfft counts inner ones twice."""
    n = x.shape[axis]
    turned = conj(ct)
    once = select(_ends(ct, axis, n), turned, turned * 0.5)
    return (irfft(once, n=n, axis=axis, norm=swapped(norm)),)


def _irfft_infer(x: Aval, *, n: int, axis: int, norm: str = "backward") -> Aval:
    _check("irfft", x, (axis,), norm)
    if KIND[x.dtype] != "c" or n < 1 or x.shape[axis] != n // 2 + 1:
        raise TypeError(f"irfft: {n} points along axis {axis} need {n // 2 + 1} complex, not {x}")
    return Aval(_PARTS[x.dtype], _with(x.shape, axis, n))


def _irfft_transpose(
    ct: Value, x: Value, *, n: int, axis: int, norm: str = "backward"
) -> tuple[Value]:
    out = conj(rfft(ct, axis=axis, norm=swapped(norm)))
    return (select(_ends(out, axis, n), out, out * 2.0),)


rfft: Prim = Prim(
    name="rfft",
    copies=True,
    infer=_rfft_infer,
    ref=lambda x, *, axis, norm="backward": np.fft.rfft(x, axis=axis, norm=norm),
    transpose=_rfft_transpose,
    defaults={"norm": "backward"},
    batch=along_rows(lambda: rfft, "axis"),
)
irfft: Prim = Prim(
    name="irfft",
    copies=True,
    infer=_irfft_infer,
    ref=lambda x, *, n, axis, norm="backward": np.fft.irfft(x, n, axis=axis, norm=norm),
    transpose=_irfft_transpose,
    defaults={"norm": "backward"},
    batch=along_rows(lambda: irfft, "axis"),
)


# ------------------------------------------------------------------ cosine and sine transforms


def _trigonometric_infer(
    x: Aval, *, axis: int, kind: int, sine: bool = False, norm: str = "backward"
) -> Aval:
    _check("trigonometric", x, (axis,), norm)
    if KIND[x.dtype] != "f":
        raise TypeError(f"trigonometric: takes real points, not {x.dtype}")
    if kind not in (1, 2, 3, 4):
        raise ValueError(f"Type {kind} not implemented")
    if kind == 1 and not sine and x.shape[axis] < 2:
        raise RuntimeError("zero-length FFT requested")
    return x


def _trigonometric_ref(
    x: Any, *, axis: int, kind: int, sine: bool = False, norm: str = "backward"
) -> Any:
    import scipy.fft

    f = scipy.fft.dst if sine else scipy.fft.dct
    return f(x, kind, axis=axis, norm=norm, orthogonalize=False)


def _at_ends(x: Value, axis: int, kind: int, sine: bool, by: float) -> Value:
    """`x` with those of its outermost elements scaled that count once in the sum of SciPy's."""
    at = iota(shape=x.shape, axis=axis, dtype="i64")
    first, last = equal(at, 0), equal(at, x.shape[axis] - 1)
    chosen = last if sine else or_(first, last) if kind == 1 else first
    return select(chosen, x * by, x)


def _trigonometric_transpose(
    ct: Value, x: Value, *, axis: int, kind: int, sine: bool = False, norm: str = "backward"
) -> tuple[Value]:
    """Types 2 and 3 are each other's transpose, up to the one term that type 3 counts once."""
    attrs = {"axis": axis, "sine": sine, "norm": norm}
    once = kind in (2, 3) or (kind == 1 and not sine)
    if once and kind != 3:
        ct = _at_ends(ct, axis, kind, sine, 2.0)
    out = trigonometric(ct, kind={2: 3, 3: 2}.get(kind, kind), **attrs)
    return (_at_ends(out, axis, kind, sine, 0.5) if once and kind != 2 else out,)


# The cosine (or sine) transform of a type, as SciPy defines it without orthogonalizing.
trigonometric: Prim = Prim(
    name="trigonometric",
    copies=True,
    infer=_trigonometric_infer,
    ref=_trigonometric_ref,
    transpose=_trigonometric_transpose,
    defaults={"sine": False, "norm": "backward"},
    batch=along_rows(lambda: trigonometric, "axis"),
)
