"""Pooling in windows, on (batch, channels, *space) or without the batch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..eager.rows import row
from ..ir.ops.windows import window_argmax
from .lift import lifted, shape_of
from .windows import Sizes, batched, per_dim


def _places(
    name: str, space: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...],
    padding: tuple[int, ...], dilation: tuple[int, ...], ceil: bool,
) -> tuple[int, ...]:  # fmt: skip
    """How many windows there are; with `ceil` a last one may reach beyond the padding."""
    found = []
    for n, k, s, p, d in zip(space, kernel, stride, padding, dilation, strict=True):
        over = n + 2 * p - d * (k - 1) - 1
        count = over // s + 1
        if ceil and over % s and (count * s) < n + p:
            count += 1
        if count < 1:
            raise RuntimeError(
                f"Output size is too small\n  {name}: windows of {kernel} do not fit input of "
                f"{space} padded by {padding}"
            )
        found.append(count)
    return tuple(found)


def _window_slices(
    x: Any, fill: float, places: tuple[int, ...], kernel: tuple[int, ...],
    stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...],
) -> Any:  # fmt: skip
    """For each place in a window the elements there, and where they are outside (or None)."""
    space = x.shape[2:]
    ends = [
        (c - 1) * s + (k - 1) * d + 1
        for c, s, k, d in zip(places, stride, kernel, dilation, strict=True)
    ]
    widths = [(p, max(0, e - n - p)) for n, p, e in zip(space, padding, ends, strict=True)]
    outside = None
    if any(pair != (0, 0) for pair in widths):
        x = np.pad(x, [(0, 0), (0, 0), *widths])
        if fill:
            outside = np.pad(np.zeros(space, bool), widths, constant_values=True)
    for at in itertools.product(*map(range, kernel)):
        seen = tuple(
            slice(k * d, k * d + (c - 1) * s + 1, s)
            for k, d, c, s in zip(at, dilation, places, stride, strict=True)
        )
        part = x[(slice(None), slice(None), *seen)]
        beyond = None if outside is None else outside[seen]
        if beyond is not None and beyond.any():
            part = np.where(beyond, fill, part)
        yield part


def _rank_name(words: str) -> Any:
    """A name with the number of dims; signals are pooled as images of one row."""
    names = {3: "SqueezeBackward1", 4: words.format(2), 5: words.format(3)}
    return lambda x, *_, **__: names[len(shape_of(x))]


@lifted(_rank_name("MaxPool{}DWithIndicesBackward0"))
def _max_pool(x: Any, *, dilation: Any, **settings: Any) -> Any:
    if set(dilation) != {1}:
        return _dilated_max(x, dilation=dilation, **settings)
    images = np.moveaxis(x, 1, -1)
    where = row(window_argmax, images, **settings)
    flat = images.reshape((x.shape[0], math.prod(images.shape[1:-1]), x.shape[1]))
    at = where.reshape((x.shape[0], math.prod(where.shape[1:-1]), x.shape[1]))
    best = np.take_along_axis(flat, at, 1)
    return np.moveaxis(best.reshape(where.shape), -1, 1)


def _dilated_max(x: Any, **settings: Any) -> Any:
    return _dilated(x, **settings)[0]


def _dilated(x: Any, **settings: Any) -> tuple[Any, Any]:
    """The largest elements, and their places in the image as one number."""
    low = -np.inf if np.dtype(x.dtype).kind == "f" else np.iinfo(x.dtype).min
    space = x.shape[2:]
    numbers = np.arange(int(np.prod(space))).reshape((1, 1, *space))
    best: Any = None
    where: Any = None
    parts = zip(
        _window_slices(x, low, **settings), _window_slices(numbers, 0, **settings), strict=True
    )
    for part, place in parts:
        if best is None:
            best, where = part, np.broadcast_to(place, part.shape)
            continue
        better = part > best
        if np.dtype(x.dtype).kind == "f":
            better = better | (part != part)
        best, where = np.where(better, part, best), np.where(better, place, where)
    return best, where


@lifted("MaxPoolIndices", keeps=False)
def _max_places(x: Any, *, dilation: Any, **settings: Any) -> Any:
    if set(dilation) != {1}:
        return _dilated(x, dilation=dilation, **settings)[1]
    return np.moveaxis(row(window_argmax, np.moveaxis(x, 1, -1), **settings), -1, 1)


@lifted(_rank_name("AvgPool{}DBackward0"))
def _avg_pool(x: Any, counts: Any, **settings: Any) -> Any:
    total = None
    for part in _window_slices(x, 0.0, **settings):
        total = part if total is None else total + part
    return total / counts


def _pool_settings(
    name: str, rank: int, input: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> dict[str, Any]:  # fmt: skip
    s = shape_of(input)
    if len(s) not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"non-empty {rank + 1}D or {rank + 2}D (batch mode) tensor expected for input\n  "
            f"{name}: got input of shape {s}"
        )
    kernel = per_dim(f"{name}: kernel_size", kernel_size, rank)
    given = kernel if stride is None else per_dim(f"{name}: stride", stride, rank)
    around = per_dim(f"{name}: padding", padding, rank)
    if any(2 * p > k for p, k in zip(around, kernel, strict=True)):
        raise RuntimeError(
            f"{name}: pad should be at most half of effective kernel size, but got "
            f"padding {around} for kernel {kernel}"
        )
    apart = per_dim(f"{name}: dilation", dilation, rank)
    settings = {"kernel": kernel, "stride": given, "padding": around, "dilation": apart}
    places = _places(name, s[-rank:], kernel, given, around, apart, ceil_mode)
    return {"places": places, **settings}


def _max(name: str, rank: int) -> Any:
    def pool(
        input: Any, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0,
        dilation: Sizes = 1, ceil_mode: bool = False, return_indices: bool = False,
    ) -> Any:  # fmt: skip
        """The largest element of each window; the first of equal ones gets the derivative.

        With `return_indices` also their places in the image as one number, for `max_unpool`.
        """
        settings = _pool_settings(
            name, rank, input, kernel_size, stride, padding, dilation, ceil_mode
        )
        found = batched(input, rank, lambda x: _max_pool(x, **settings))
        if not return_indices:
            return found
        return found, batched(input, rank, lambda x: _max_places(x, **settings))

    pool.__name__ = pool.__qualname__ = name
    return pool


def _counts(
    space: tuple[int, ...], settings: dict[str, Any], include: bool, dtype: Any
) -> np.ndarray:
    """How many elements the mean of each window is over."""
    ones = np.ones((), dtype)
    parts = zip(
        space, settings["places"], settings["kernel"], settings["stride"], settings["padding"],
        strict=True,
    )  # fmt: skip
    for n, count, k, s, p in parts:
        start = np.arange(count) * s - p
        end = np.minimum(start + k, n + p)
        inside = end - start if include else np.minimum(end, n) - np.maximum(start, 0)
        ones = ones[..., None] * inside.astype(dtype)
    return ones if (ones != ones.flat[0]).any() else np.asarray(ones.flat[0])


def _avg(name: str, rank: int) -> Any:
    def pool(
        input: Any, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,
    ) -> Any:  # fmt: skip
        """The mean of each window."""
        settings = _pool_settings(name, rank, input, kernel_size, stride, padding, 1, ceil_mode)
        dtype = np.dtype(input.dtype)
        counts = (
            np.asarray(divisor_override, dtype)
            if divisor_override
            else _counts(shape_of(input)[-rank:], settings, count_include_pad, dtype)
        )
        return batched(input, rank, lambda x: _avg_pool(x, counts, **settings))

    pool.__name__ = pool.__qualname__ = name
    return pool


max_pool1d, max_pool2d, max_pool3d = (_max(f"max_pool{r}d", r) for r in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg(f"avg_pool{r}d", r) for r in (1, 2, 3))
