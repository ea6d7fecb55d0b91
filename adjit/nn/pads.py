"""Elements added around."""

from __future__ import annotations

from typing import Any

import numpy as np

from .lift import lifted, shape_of

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
Widths = tuple[tuple[int, int], ...]


def _cut(x: Any, widths: Widths) -> tuple[Any, Widths]:
    """Without what negative widths take away, and the widths that are left."""
    if all(lo >= 0 and hi >= 0 for lo, hi in widths):
        return x, widths
    sizes = zip(x.shape, widths, strict=True)
    x = x[tuple(slice(max(-lo, 0), n - max(-hi, 0)) for n, (lo, hi) in sizes)]
    return x, tuple((max(lo, 0), max(hi, 0)) for lo, hi in widths)


def _name(x: Any, *, mode: str, **_: Any) -> str:
    words = {"reflect": "Reflection", "replicate": "Replication"}
    if mode in words:
        return f"{words[mode]}Pad{max(len(shape_of(x)) - 2, 1)}DBackward0"
    return "CopySlices" if mode == "circular" else "ConstantPadNdBackward0"


@lifted(_name, keeps=False)
def _pad(x: Any, *, widths: Widths, mode: str, value: float) -> Any:
    x, widths = _cut(x, widths)
    if mode != "constant":
        return np.pad(x, widths, mode=MODES[mode])  # type: ignore[call-overload]
    return np.pad(x, widths, constant_values=value) if value else np.pad(x, widths)


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """Elements added around, as pairs (before, after) that begin with the last dim.

    Negative numbers take elements away.  Raises RuntimeError where the pairs do not fit the shape,
    or a mirror would show what is not there.
    """
    s = shape_of(input)
    given = tuple(int(n) for n in pad)
    if len(given) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2\n  pad: got {given}")
    if len(given) // 2 > len(s):
        raise RuntimeError(
            f"pad: padding length should be less than or equal to two times the input dimension, "
            f"but got padding {given} for input of shape {s}"
        )
    if mode not in ("constant", *MODES):
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if mode != "constant" and value is not None:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    pairs = list(zip(given[::2], given[1::2], strict=True))[::-1]
    widths = ((0, 0),) * (len(s) - len(pairs)) + tuple(pairs)
    if mode != "constant" and len(pairs) not in (len(s) - 1, len(s) - 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} is for all dims but one or two, batch and channels: padding "
            f"{given} does not fit input of shape {s}"
        )
    for n, (lo, hi) in zip(s, widths, strict=True):
        _check(mode, given, s, n, lo, hi)
    return _pad(input, widths=widths, mode=mode, value=float(value or 0.0))


def _check(mode: str, given: Any, s: tuple[int, ...], n: int, lo: int, hi: int) -> None:
    words = f"padding {given} for input of shape {s}"
    if mode == "reflect" and max(lo, hi) >= n > 0:
        raise RuntimeError(
            f"pad: padding size should be less than the corresponding input dimension, but got "
            f"{words}"
        )
    if mode == "circular" and max(lo, hi) > n:
        raise RuntimeError(f"pad: padding value causes wrapping around more than once: {words}")
    if n + lo + hi < 0 or (n and n + lo + hi == 0 and mode != "constant"):
        raise RuntimeError(f"pad: the result would have size {n + lo + hi}: {words}")
