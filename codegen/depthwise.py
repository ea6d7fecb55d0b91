"""Convolutions of each channel by itself: tap by tap, along the channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import memory
from .copies import text


def prepared(
    kind: str, form: Any, places: np.ndarray, images: int
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What runs `conv`, `conv_input` or `conv_weight`; `places` are those of one image."""
    channels, taps, dtype = form.groups, form.taps, form.dtype
    call = text(kind, dtype, taps, len(places), channels)
    space, seen = (images, *form.space, channels), (images, *form.places, channels)

    def turned(w: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(w.reshape(channels, taps).T)

    def conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        y, w = memory.aligned(seen, dtype), turned(w)
        y[...] = 0
        for k in range(images):
            call(x[k], w, y[k], places)
        return y

    def conv_input(y: np.ndarray, w: np.ndarray) -> np.ndarray:
        x, w = memory.aligned(space, dtype), turned(w)
        x[...] = 0
        for k in range(images):
            call(x[k], w, y[k], places)
        return x

    def conv_weight(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        w = np.zeros((taps, channels), dtype)
        for k in range(images):
            call(x[k], w, y[k], places)
        return np.ascontiguousarray(w.T).reshape(channels, 1, *form.kernel)

    return {"conv": conv, "conv_input": conv_input, "conv_weight": conv_weight}[kind]
