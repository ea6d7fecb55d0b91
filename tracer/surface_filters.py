"""Linear filters of scipy.ndimage, and convolutions of scipy.signal in several dimensions.

All of them are one correlation of a padded array; SciPy's own are C code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import KIND
from . import intercept
from .intercept import DECLINE
from .promote import common_dtype
from .surface import array, as_float, cast, holds_tracer, is_tracer, one_axis, refuse, value

# How scipy.ndimage continues an array beyond its ends, in the words of np.pad.
_MODES = {
    "reflect": "symmetric",
    "grid-mirror": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "constant": "constant",
    "grid-constant": "constant",
    "wrap": "wrap",
    "grid-wrap": "wrap",
}


def _floats(x: Any, what: str) -> Any:
    """An array of floats as a Tracer."""
    v = value(x)
    if v.aval.kind != "f":
        raise refuse(f"{what} of {v.aval.dtype} values", "Write x.astype(float).")
    return array(v)


def _slid(x: Any, weights: Any) -> Any:
    """`weights`, of as many dims as `x`, at every place where they fit, without turning them."""
    v = value(x)
    w = cast(as_float(value(weights)), v.dtype)
    rank = v.ndim
    image = ops.reshape(v, shape=(1, *v.shape, 1))
    kernel = ops.reshape(w, shape=(1, 1, *w.shape))
    found: Value = ops.conv(
        image,
        kernel,
        stride=(1,) * rank,
        padding=((0, 0),) * rank,
        dilation=(1,) * rank,
        groups=1,
    )
    return array(ops.reshape(found, shape=found.shape[1:-1]))


def _padded(x: Any, widths: Sequence[tuple[int, int]], mode: str, cval: Any) -> Any:
    if mode not in _MODES:
        raise RuntimeError("boundary mode not supported")
    options = {"constant_values": cval} if _MODES[mode] == "constant" else {}
    return np.pad(x, list(widths), mode=_MODES[mode], **options)  # type: ignore[call-overload]


# ------------------------------------------------------------------ scipy.ndimage


def _plain(name: str, output: Any) -> None:
    if output is not None:
        raise refuse(f"scipy.ndimage.{name} with output=", "Take the result, x.astype(dtype).")


def _along(x: Any, weights: Any, axis: int, mode: str, cval: Any, origin: int = 0) -> Any:
    """Correlation along one axis."""
    x = _floats(x, "a filter")
    axis = one_axis(axis, x.ndim)
    w = weights if is_tracer(weights) else np.asarray(weights, float)
    size = w.shape[0]
    before = size // 2 + origin
    if not 0 <= before < size:
        raise ValueError("Invalid origin; origin must satisfy -(len(weights) // 2) <= origin <= "
                         "(len(weights)-1) // 2")  # fmt: skip
    widths = [(before, size - 1 - before) if d == axis else (0, 0) for d in range(x.ndim)]
    shape = tuple(size if d == axis else 1 for d in range(x.ndim))
    return _slid(_padded(x, widths, mode, cval), w.reshape(shape))


def correlate1d(
    input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """scipy.ndimage.correlate1d."""
    _plain("correlate1d", output)
    return _along(input, weights, axis, mode, cval, origin)


def convolve1d(
    input: Any, weights: Any, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """scipy.ndimage.convolve1d."""
    _plain("convolve1d", output)
    turned = (weights if is_tracer(weights) else np.asarray(weights))[::-1]
    return _along(input, turned, axis, mode, cval, -origin - (turned.shape[0] % 2 == 0))


def _gaussian(sigma: Any, order: int, truncate: float, radius: int | None) -> Any:
    """The weights of a Gaussian, or of its derivative of this order."""
    if radius is None:
        if is_tracer(sigma):
            raise refuse(
                "a Gaussian filter of a traced sigma", "Say radius=, which fixes its size."
            )
        radius = int(truncate * float(sigma) + 0.5)
    x = np.arange(-radius, radius + 1.0)
    phi = np.exp(-0.5 * x * x / (sigma * sigma))
    phi = phi / np.sum(phi)
    # The n-th derivative is a polynomial times the Gaussian: p -> p' - x p / sigma^2.
    p: list[Any] = [1.0]
    for _ in range(order):
        slope = [*[k * c for k, c in enumerate(p)][1:], 0.0, 0.0]
        moved = [0.0, *(c / (sigma * sigma) for c in p)]
        p = [a - b for a, b in zip(slope[: len(moved)], moved, strict=True)]
    # Turned over, because filters correlate.
    return (phi * sum(c * (-x) ** k for k, c in enumerate(p))) if order else phi


def gaussian_filter1d(
    input: Any, sigma: Any, axis: int = -1, order: int = 0, output: Any = None,
    mode: str = "reflect", cval: Any = 0.0, truncate: float = 4.0, *, radius: int | None = None,
) -> Any:  # fmt: skip
    """scipy.ndimage.gaussian_filter1d."""
    _plain("gaussian_filter1d", output)
    return _along(input, _gaussian(sigma, order, truncate, radius), axis, mode, cval)


def _each(x: Any, axes: Any, *settings: Any) -> list[tuple[Any, ...]]:
    """The axes of a filter, each with its own of the settings."""
    chosen = range(x.ndim) if axes is None else [one_axis(a, x.ndim) for a in np.atleast_1d(axes)]
    split = [s if isinstance(s, (list, tuple)) else [s] * len(chosen) for s in settings]
    if any(len(s) != len(chosen) for s in split):
        raise RuntimeError("sequence argument must have length equal to input rank")
    return list(zip(chosen, *split, strict=True))


def gaussian_filter(
    input: Any, sigma: Any, order: Any = 0, output: Any = None, mode: Any = "reflect",
    cval: Any = 0.0, truncate: float = 4.0, *, radius: Any = None, axes: Any = None,
) -> Any:  # fmt: skip
    """scipy.ndimage.gaussian_filter."""
    _plain("gaussian_filter", output)
    x = _floats(input, "gaussian_filter")
    for axis, s, n, m, r in _each(x, axes, sigma, order, mode, radius):
        if is_tracer(s) or s > 1e-15:
            x = _along(x, _gaussian(s, n, truncate, r), axis, m, cval)
    return x


def uniform_filter1d(
    input: Any, size: int, axis: int = -1, output: Any = None, mode: str = "reflect",
    cval: Any = 0.0, origin: int = 0,
) -> Any:  # fmt: skip
    """scipy.ndimage.uniform_filter1d."""
    _plain("uniform_filter1d", output)
    return _along(input, np.full(size, 1 / size), axis, mode, cval, origin)


def uniform_filter(
    input: Any, size: Any = 3, output: Any = None, mode: Any = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """scipy.ndimage.uniform_filter."""
    _plain("uniform_filter", output)
    x = _floats(input, "uniform_filter")
    for axis, n, m, o in _each(x, axes, size, mode, origin):
        if n > 1:
            x = _along(x, np.full(n, 1 / n), axis, m, cval, o)
    return x


def _correlated(x: Any, weights: Any, mode: str, cval: Any, origin: Any, turned: bool) -> Any:
    x = _floats(x, "a filter")
    w = weights if is_tracer(weights) else np.asarray(weights, float)
    if w.ndim != x.ndim:
        raise RuntimeError("filter weights array has incorrect shape.")
    widths = []
    for _, n, o in _each(x, None, list(w.shape), origin):
        o = -o - (n % 2 == 0) if turned else o
        widths.append((n // 2 + o, n - 1 - n // 2 - o))
    return _slid(_padded(x, widths, mode, cval), np.flip(w) if turned else w)


def correlate(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """scipy.ndimage.correlate."""
    _plain("correlate", output if axes is None else axes)
    return _correlated(input, weights, mode, cval, origin, False)


def convolve(
    input: Any, weights: Any, output: Any = None, mode: str = "reflect", cval: Any = 0.0,
    origin: Any = 0, *, axes: Any = None,
) -> Any:  # fmt: skip
    """scipy.ndimage.convolve."""
    _plain("convolve", output if axes is None else axes)
    return _correlated(input, weights, mode, cval, origin, True)


def _edges(name: str, smooth: Sequence[float]) -> Callable[..., Any]:
    def filtered(
        input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: Any = 0.0
    ) -> Any:
        _plain(name, output)
        x = _floats(input, name)
        axis = one_axis(axis, x.ndim)
        modes = dict(_each(x, None, mode))
        x = _along(x, [-1.0, 0.0, 1.0], axis, modes[axis], cval)
        for d in range(x.ndim):
            x = x if d == axis else _along(x, smooth, d, modes[d], cval)
        return x

    return filtered


def laplace(
    input: Any, output: Any = None, mode: Any = "reflect", cval: Any = 0.0, *, axes: Any = None
) -> Any:
    """scipy.ndimage.laplace."""
    _plain("laplace", output)
    x = _floats(input, "laplace")
    total: Any = 0.0
    for axis, m in _each(x, axes, mode):
        total = total + _along(x, [1.0, -2.0, 1.0], axis, m, cval)
    return total


# ------------------------------------------------------------------ scipy.signal

_BOUNDARIES = {"fill": "constant", "wrap": "wrap", "symm": "symmetric"}


def _whole(
    first: Any,
    second: Any,
    mode: str,
    turned: bool,
    boundary: str = "fill",
    fillvalue: Any = 0,
    middle: int = 0,
) -> Any:
    """The convolution (or, not `turned`, the correlation) of two arrays of one rank.

    `middle` is which of its two middle elements a kernel of even size is centred at.  Integers are
    added up as floats, which is exact below 2^53.
    """
    if mode not in ("full", "same", "valid") or boundary not in _BOUNDARIES:
        raise ValueError("acceptable mode flags are 'valid', 'same', or 'full'")
    given = [value(x) for x in (first, second)]
    name = common_dtype([v.aval.dtype for v in given])
    floating = KIND[name] == "f"
    if KIND[name] == "c":
        raise refuse("a convolution of complex arrays", "Convolve real and imaginary part apart.")
    a, b = (array(cast(v, name if floating else "f64")) for v in given)
    if a.ndim != b.ndim:
        raise ValueError("in1 and in2 should have the same dimensionality")
    sizes, kernel = a.shape, b.shape
    if mode == "valid" and any(n < k for n, k in zip(sizes, kernel, strict=True)):
        raise refuse("a valid convolution by a larger array", "Exchange the two.")
    widths = [(0, 0) if mode == "valid" else (k - 1, k - 1) for k in kernel]
    options = {"constant_values": fillvalue} if boundary == "fill" else {}
    wide = np.pad(a, widths, mode=_BOUNDARIES[boundary], **options)  # type: ignore[call-overload]
    full = _slid(wide, np.flip(b) if turned else b)
    if not floating:
        full = array(cast(cast(value(full), "i64"), name))
    if mode != "same":
        return full
    starts = [(k - 1 + middle) // 2 for k in kernel]
    return full[tuple(slice(s, s + n) for s, n in zip(starts, sizes, strict=True))]


def convolve2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Any:
    """scipy.signal.convolve2d."""
    return _whole(in1, in2, mode, True, boundary, fillvalue)


def correlate2d(
    in1: Any, in2: Any, mode: str = "full", boundary: str = "fill", fillvalue: Any = 0
) -> Any:
    """scipy.signal.correlate2d."""
    return _whole(in1, in2, mode, False, boundary, fillvalue, middle=1)


def _several_dims(turned: bool) -> Callable[..., Any]:
    """convolve and correlate; in one dim SciPy's Python is mostly NumPy's functions already."""

    def f(in1: Any, in2: Any, mode: str = "full", method: str = "auto") -> Any:
        a, b = (value(x) for x in (in1, in2))
        # NumPy's "same" is as long as the longer of both, not as the first.
        longer = a.ndim == b.ndim == 1 and b.shape[0] > a.shape[0] > 0 and mode == "same"
        whole = (a.ndim > 1 or longer) and method != "fft"
        return _whole(in1, in2, mode, turned) if whole else DECLINE

    return f


# ------------------------------------------------------------------ interception

_NDIMAGE: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(correlate1d, convolve1d, gaussian_filter1d, gaussian_filter, uniform_filter1d),
        *(uniform_filter, correlate, convolve, laplace),
    )
} | {"sobel": _edges("sobel", [1.0, 2.0, 1.0]), "prewitt": _edges("prewitt", [1.0, 1.0, 1.0])}
_SIGNAL: dict[str, Callable[..., Any]] = {
    "convolve2d": convolve2d,
    "correlate2d": correlate2d,
    "convolve": _several_dims(True),
    "correlate": _several_dims(False),
}


def _act(f: Callable[..., Any]) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args, *kwargs.values()))):
            return DECLINE
        return f(*args, **kwargs)

    return act


def _filler(module: str, entries: dict[str, Callable[..., Any]]) -> Callable[[], bool]:
    def fill() -> bool:
        found = sys.modules.get(module)
        if not all(hasattr(found, name) for name in entries):
            return False
        for name, f in entries.items():
            intercept.enter(found, name, _act(f))
        return True

    return fill


intercept.when_imported(_filler("scipy.ndimage", _NDIMAGE))
intercept.when_imported(_filler("scipy.signal", _SIGNAL))
