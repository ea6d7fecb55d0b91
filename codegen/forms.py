"""What a convolution looks like: its sizes, and tables of which pixel each place sees."""

from __future__ import annotations

import functools
import itertools
from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import panels

Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]
Table = np.ndarray[Any, np.dtype[np.int64]]

FEW = 4  # places times this, up to the number of results: the weights are read where they lie


class Form(NamedTuple):
    """One kind of convolution, without the number of images; channels and results of one group."""

    dtype: np.dtype
    space: Shape
    kernel: Shape
    stride: Shape
    padding: Padding
    dilation: Shape
    channels: int
    results: int
    groups: int = 1
    threads: int = 1  # how many share a product

    @property
    def places(self) -> Shape:
        """How many places the kernel has along each dim."""
        return tuple(
            (n + lo + hi - d * (k - 1) - 1) // s + 1
            for n, k, s, (lo, hi), d in zip(
                self.space, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    @property
    def taps(self) -> int:
        """How many pixels a place sees."""
        return prod(self.kernel)

    @property
    def patch(self) -> int:
        """How many numbers a place sees."""
        return self.channels * self.taps

    @property
    def pixel(self) -> int:
        """Elements of a pixel of the images."""
        return self.channels * self.groups

    @property
    def place(self) -> int:
        """Elements of a place of the results."""
        return self.results * self.groups

    @property
    def simple(self) -> bool:
        """Whether each place sees its own pixel alone, and all of it."""
        one = self.taps == 1 and set(self.stride) == {1} and self.groups == 1
        return one and set(self.padding) == {(0, 0)}

    @property
    def thin(self) -> bool:
        """Whether a pixel fills less than a vector register."""
        return self.channels < panels.width(self.dtype)

    def rows(self, images: int) -> int:
        """The places of so many images."""
        return images * prod(self.places)

    def few(self, images: int) -> bool:
        """Whether weights are so large that they are read where they lie, once."""
        return FEW * self.rows(images) <= self.results


class Class(NamedTuple):
    """Pixels that are seen by the same taps.

    `places` says by which place of the results, tap by tap; `pixels`, where in the images they are.
    """

    taps: tuple[int, ...]
    places: Table
    pixels: Table


@functools.lru_cache(maxsize=100)
def seen(form: Form, images: int) -> Table:
    """Where the pixel is that each place sees by each tap, in elements of the images."""
    flat = np.zeros((1,) * (2 * len(form.space)), np.int64)
    valid = np.ones_like(flat, bool)
    rank = len(form.space)
    for d, (n, k, s, (lo, _), step, count) in enumerate(
        zip(form.space, form.kernel, form.stride, form.padding, form.dilation, form.places,
            strict=True)
    ):  # fmt: skip
        at = np.arange(count)[:, None] * s - lo + np.arange(k) * step
        lie = [1] * (2 * rank)
        lie[d], lie[rank + d] = count, k
        flat = flat * n + at.reshape(lie)
        valid = valid & ((at >= 0) & (at < n)).reshape(lie)
    return _stacked(flat, valid, prod(form.places), images, prod(form.space), form.pixel)


@functools.lru_cache(maxsize=100)
def classes_of(form: Form, images: int) -> list[Class]:
    """The pixels by what is left of their indices, divided by the strides."""
    found = []
    rank = len(form.space)
    for rest in itertools.product(*map(range, form.stride)):
        pixels = [np.arange(r, n, s) for r, n, s in zip(rest, form.space, form.stride, strict=True)]
        flat = np.zeros((1,) * (2 * rank), np.int64)
        valid, taps = np.ones_like(flat, bool), np.zeros((1,) * rank, np.int64)
        where = np.zeros((1,) * rank, np.int64)
        for d, (at, n, k, s, (lo, _), step, count) in enumerate(
            zip(pixels, form.space, form.kernel, form.stride, form.padding, form.dilation,
                form.places, strict=True)
        ):  # fmt: skip
            fit = [t for t in range(k) if (rest[d] + lo - t * step) % s == 0]
            seen = (at[:, None] + lo - np.array(fit, np.int64) * step) // s
            lie = [1] * (2 * rank)
            lie[d], lie[rank + d] = len(at), len(fit)
            flat = flat * count + seen.reshape(lie)
            valid = valid & ((seen >= 0) & (seen < count)).reshape(lie)
            taps = taps * k + np.array(fit, np.int64).reshape(lie[rank:])
            where = where * n + at.reshape(lie[:rank])
        if not where.size:
            continue
        table = _stacked(flat, valid, where.size, images, prod(form.places), form.place)
        pixel = np.arange(images)[:, None] * prod(form.space) + where.reshape(-1)
        places = pixel.reshape(-1) * form.pixel
        found.append(Class(tuple(taps.reshape(-1).tolist()), table, places))
    return found


def _stacked(flat: Table, valid: Table, rows: int, images: int, apart: int, channels: int) -> Table:
    """A table of one image's rows, for several images."""
    one, fits = flat.reshape(rows, -1), valid.reshape(rows, -1)
    every = np.arange(images)[:, None, None] * apart + one
    found = np.where(fits, every * channels, -1)
    return np.ascontiguousarray(found.reshape(images * rows, -1), np.int64)


@functools.lru_cache(maxsize=100)
def starts_of(rows: int, size: int) -> Table:
    """Where rows start that lie one after the other."""
    return np.arange(rows, dtype=np.int64) * size
