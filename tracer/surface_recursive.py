"""scipy.signal's recursive filters: a convolution, then a loop that carries the last outputs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import intercept
from .control import record_scan
from .intercept import DECLINE
from .record import recorder
from .surface import as_float, holds_tracer, one_axis, refuse, value, values, wrap
from .surface_filters import convolve1d

_FEW = 8  # so many terms of a convolution are written out


def lfilter(b: Any, a: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """scipy.signal.lfilter; with `zi` it returns (y, zf).

    What the numerator makes of x is a convolution v; then y[t] = v[t] - sum_k a[k] y[t - k].
    """
    given = [as_float(value(t)) for t in (b, a, x, *(() if zi is None else (zi,)))]
    b, a, x, *states = (wrap(v, "array") for v in values(*(wrap(v, "array") for v in given)))
    b, a = np.ravel(b), np.ravel(a)
    if recorder().concrete(value(a[0])) == 0:
        raise ValueError("The first element of the denominator coefficients cannot be 0.")
    axis, order = one_axis(axis, x.ndim), max(len(a), len(b)) - 1
    b, a = b / a[0], a[1:] / a[0]
    x = np.moveaxis(x, axis, 0)
    n = len(x)
    whole = _convolved(b, x, n + order)
    if states:
        state = np.moveaxis(states[0], axis, 0)
        if state.shape != (order, *x.shape[1:]):
            raise ValueError(f"Unexpected shape for zi: expected {(order, *x.shape[1:])}, found "
                             f"{state.shape}.")  # fmt: skip
        whole = whole + np.concatenate([state, np.zeros_like(whole[: len(whole) - order])])
    y = whole[:n]
    if len(a) and n:
        y = _recursed(a, y)
    out = np.moveaxis(y, 0, axis)
    if not states:
        return out
    left = whole[n:] - _convolved(np.concatenate([np.zeros_like(a[:1]), a]), y, n + order)[n:]
    return out, np.moveaxis(left, 0, axis)


def _convolved(b: Any, x: Any, length: int) -> Any:
    """The sum of b[k] x[t - k] along the first axis, zeros after its end."""
    n, rest = len(x), ((0, 0),) * (x.ndim - 1)
    if x.ndim == 1 and n and len(b) > _FEW:
        full = np.convolve(b, x)[:length]
        return np.pad(full, (0, length - len(full)))
    parts = [
        b[k] * np.pad(x, ((k, length - n - k), *rest)) for k in range(len(b)) if k + n <= length
    ]
    return sum(parts[1:], parts[0]) if parts else np.zeros((length, *x.shape[1:]), x.dtype)


def _recursed(a: Any, v: Any) -> Any:
    """y[t] = v[t] - sum_k a[k] y[t - 1 - k] along the first axis."""
    last = tuple(np.zeros_like(v[0]) for _ in range(len(a)))
    taps = tuple(a[k] for k in range(len(a)))

    def step(carry: Any, now: Any) -> Any:
        taps, last = carry
        y = now
        for tap, old in zip(taps, last, strict=True):
            y = y - tap * old
        return (taps, (y, *last[:-1])), y

    return record_scan(step, (taps, last), v, None, False)[1]


def sosfilt(sos: Any, x: Any, axis: int = -1, zi: Any = None) -> Any:
    """scipy.signal.sosfilt: one filter of second order after the other."""
    if np.ndim(sos) != 2 or np.shape(sos)[1] != 6:
        raise ValueError("sos array must be shape (n_sections, 6)")
    left = []
    for k in range(len(sos)):
        b, a = sos[k, :3], sos[k, 3:]
        if zi is None:
            x = lfilter(b, a, x, axis)
        else:
            x, state = lfilter(b, a, x, axis, zi[k])
            left.append(state)
    return x if zi is None else (x, np.stack(left))


def upfirdn(
    h: Any, x: Any, up: int = 1, down: int = 1, axis: int = -1, mode: str = "constant",
    cval: float = 0,
) -> Any:  # fmt: skip
    """scipy.signal.upfirdn: zeros between the samples, a filter, every `down`-th result."""
    if mode not in ("constant", None) or cval:
        raise refuse("scipy.signal.upfirdn beyond zeros at the ends", "Pad the signal before.")
    h, x = (wrap(v, "array") for v in values(*(wrap(as_float(value(t)), "array") for t in (h, x))))
    if h.ndim != 1 or not h.size:
        raise ValueError("h must be 1-D with non-zero length")
    if int(up) < 1 or int(down) < 1:
        raise ValueError("Both up and down must be >= 1")
    axis = one_axis(axis, x.ndim)
    x = np.moveaxis(x, axis, 0)
    spread = np.zeros_like(x, shape=((len(x) - 1) * int(up) + 1, *x.shape[1:]))
    spread[:: int(up)] = x
    out = _convolved(h, spread, len(spread) + len(h) - 1)[:: int(down)]
    return np.moveaxis(out, 0, axis)


def _act(f: Any) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args, *kwargs.values()))):
            return DECLINE
        return f(*args, **kwargs)

    return act


def _fill() -> bool:
    inside = sys.modules.get("scipy.signal._signaltools")
    face = sys.modules.get("scipy.signal")
    if inside is None or not hasattr(face, "sosfilt"):
        return False
    for f in (lfilter, sosfilt, upfirdn):
        for module in (face, inside):  # filtfilt and its like call it by the inner name
            intercept.enter(module, f.__name__, _act(f))
    golay = sys.modules.get("scipy.signal._savitzky_golay")
    if hasattr(golay, "convolve1d"):
        intercept.enter(golay, "convolve1d", _act(convolve1d))
    return True


intercept.when_imported(_fill)
