"""Convolutions of images of one channel by one kernel, such as filters and np.convolve.

There is no panel to multiply: along the last dim each tap is a row of the padded image that begins
somewhere else, and eight taps at a time pass over a stretch of the results that the first cache
holds.  The cotangent of the images is such a convolution of the padded cotangents by the kernel
turned around.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from math import prod

import numpy as np

from . import memory
from .copies import text
from .forms import Form, Shape, Table

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]
LEAST = 8  # results side by side, below which panels are no slower


def prepared(kind: str, form: Form, images: int) -> Run | None:
    """What runs `conv`, `conv_input` or `conv_weight`; None where the places do not lie in rows."""
    if set(form.stride) != {1} or min(form.places[-1], form.space[-1]) < LEAST:
        return None
    if kind != "conv_input":
        if min(map(min, form.padding)) < 0:
            return None
        return _slid(form, images, turned=False) if kind == "conv" else _weighed(form, images)
    spans = [d * (k - 1) for d, k in zip(form.dilation, form.kernel, strict=True)]
    around = tuple((n - lo, n - hi) for n, (lo, hi) in zip(spans, form.padding, strict=True))
    if min(map(min, around)) < 0:  # there are places that see nothing but padding
        return None
    return _slid(form._replace(space=form.places, padding=around), images, turned=True)


@functools.lru_cache(maxsize=100)
def _rows(form: Form) -> tuple[Shape, Table, Table]:
    """The shape of a padded image, where in it each row of places begins, and each tap."""
    shape = tuple(n + lo + hi for n, (lo, hi) in zip(form.space, form.padding, strict=True))
    steps = [prod(shape[d + 1 :]) for d in range(len(shape))]
    rows, taps = np.zeros((), np.int64), np.zeros((), np.int64)
    for d, step in enumerate(steps):
        places = form.places[d] if d + 1 < len(shape) else 1
        rows = rows[..., None] + np.arange(places) * step
        taps = taps[..., None] + np.arange(form.kernel[d]) * (form.dilation[d] * step)
    return shape, rows.reshape(-1), taps.reshape(-1)


def _padder(form: Form, images: int) -> Callable[[np.ndarray], np.ndarray]:
    """The images with their padding, each in one piece."""
    shape, _, _ = _rows(form)
    if shape == form.space:
        return lambda x: x.reshape(images, -1)
    inside = tuple(slice(lo, lo + n) for n, (lo, _) in zip(form.space, form.padding, strict=True))

    def padded(x: np.ndarray) -> np.ndarray:
        whole = np.zeros((images, *shape), form.dtype)
        whole[:, *inside] = x.reshape(images, *form.space)
        return whole.reshape(images, -1)

    return padded


def _slid(form: Form, images: int, turned: bool) -> Run:
    _, rows, taps = _rows(form)
    padded = _padder(form, images)
    call = text("slid", form.dtype, taps.size, taps.size & -8, rows.size, form.places[-1])

    def run(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        y = memory.aligned((images, *form.places, 1), form.dtype)
        flat = w.reshape(-1)
        flat = np.ascontiguousarray(flat[::-1]) if turned else flat
        for image, out in zip(padded(x), y.reshape(images, -1), strict=True):
            call(image, flat, out, rows, taps)
        return y

    return run


def _weighed(form: Form, images: int) -> Run:
    _, rows, taps = _rows(form)
    padded = _padder(form, images)
    call = text("slid_weight", form.dtype, taps.size, taps.size & -8, rows.size, form.places[-1])

    def run(x: np.ndarray, ct: np.ndarray) -> np.ndarray:
        w = np.zeros((1, 1, *form.kernel), form.dtype)
        flat = w.reshape(-1)
        for image, cts in zip(padded(x), ct.reshape(images, -1), strict=True):
            call(image, flat, cts, rows, taps)
        return w

    return run
