"""Convolutions and pooling, on (batch, channels, *space) or without the batch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..ir.ops import convolutions as rows
from ..ir.ops.convolutions import extents
from ..ir.ops.windows import window_argmax
from .lift import lifted, row, same_dtype, shape_of

Sizes = int | tuple[int, ...]


def per_dim(name: str, x: Any, rank: int) -> tuple[int, ...]:
    """A setting for each dim of the space."""
    if type(x) is tuple and len(x) == rank:
        return x
    found = (x,) * rank if isinstance(x, int | np.integer) else tuple(x)
    found = found * rank if len(found) == 1 else found
    if len(found) != rank:
        raise ValueError(f"{name}: {x} does not give {rank} numbers")
    return tuple(int(n) for n in found)


# ------------------------------------------------------------------ convolution


@lifted("ConvolutionBackward0")
def _conv(x: Any, w: Any, b: Any, **settings: Any) -> Any:
    y = row(rows.conv, np.moveaxis(x, 1, -1), w, **settings)
    return np.moveaxis(y if b is None else y + b, -1, 1)


@lifted("ConvolutionBackward0")
def _conv_transpose(x: Any, w: Any, b: Any, **settings: Any) -> Any:
    y = row(rows.conv_input, np.moveaxis(x, 1, -1), w, **settings)
    return np.moveaxis(y if b is None else y + b, -1, 1)


def _padding(
    name: str, padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    rank = len(kernel)
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "same":
        if set(stride) != {1}:
            raise ValueError(f"{name}: padding='same' is not supported for strided convolutions")
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    if isinstance(padding, str):
        raise ValueError(f"{name}: padding is 'same', 'valid' or numbers, not {padding!r}")
    return tuple((p, p) for p in per_dim(f"{name}: padding", padding, rank))


def _check_images(name: str, x: Any, w: Any, b: Any, rank: int, groups: int, out: bool) -> None:
    s, t = shape_of(x), shape_of(w)
    if len(t) != rank + 2:
        raise RuntimeError(f"{name}: expected a weight of {rank + 2} dims, but it has shape {t}")
    if len(s) not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input, "
            f"but got input of shape {s} for weight of shape {t}"
        )
    if groups < 1 or t[0] % groups:
        raise RuntimeError(f"{name}: weight of shape {t} does not divide into groups={groups}")
    channels, wanted = s[-rank - 1], t[0] if out else t[1] * groups
    if channels != wanted:
        raise RuntimeError(
            f"{name}: given groups={groups}, weight of shape {t}, expected input of shape {s} to "
            f"have {wanted} channels, but got {channels} channels instead"
        )
    results = t[1] * groups if out else t[0]
    if b is not None and shape_of(b) != (results,):
        raise RuntimeError(
            f"{name}: given weight of shape {t}, expected bias of shape {(results,)}, "
            f"but got {shape_of(b)}"
        )
    same_dtype(name, x, w, b)


def _convolve(
    name: str, rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> Any:  # fmt: skip
    _check_images(name, input, weight, bias, rank, groups, False)
    kernel = shape_of(weight)[2:]
    stride = per_dim(f"{name}: stride", stride, rank)
    dilation = per_dim(f"{name}: dilation", dilation, rank)
    around = _padding(name, padding, kernel, stride, dilation)
    space = shape_of(input)[-rank:]
    if min(stride) < 1 or min(dilation) < 1:
        raise ValueError(f"{name}: stride {stride} and dilation {dilation} must be positive")
    if min(extents(space, kernel, stride, around, dilation)) < 1:
        padded = tuple(n + lo + hi for n, (lo, hi) in zip(space, around, strict=True))
        raise RuntimeError(
            f"{name}: kernel size can't be greater than actual input size: input {space} padded "
            f"to {padded}, kernel {kernel} with dilation {dilation}"
        )
    settings = {"stride": stride, "padding": around, "dilation": dilation, "groups": int(groups)}
    return _batched(input, rank, lambda x: _conv(x, weight, bias, **settings))


def _batched(x: Any, rank: int, run: Any) -> Any:
    """Run on images with a batch dim, which is put there and taken away if there is none."""
    if len(shape_of(x)) == rank + 2:
        return run(x)
    return run(x[None])[0]


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Signals (batch, channels, length) seen through kernels (results, channels / groups, size)."""
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """Images (batch, channels, height, width) seen through kernels (results, channels / groups, …).

    Padding is a number per dim, "same" or "valid".  Raises RuntimeError naming both shapes where
    they do not fit.
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Any = 0,
    dilation: Sizes = 1, groups: int = 1,
) -> Any:  # fmt: skip
    """As conv2d, for volumes."""
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _deconvolve(
    name: str, rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    output_padding: Any, groups: int, dilation: Any,
) -> Any:  # fmt: skip
    _check_images(name, input, weight, bias, rank, groups, True)
    kernel = shape_of(weight)[2:]
    stride = per_dim(f"{name}: stride", stride, rank)
    dilation = per_dim(f"{name}: dilation", dilation, rank)
    more = per_dim(f"{name}: output_padding", output_padding, rank)
    if any(m >= max(s, d) for m, s, d in zip(more, stride, dilation, strict=True)):
        raise RuntimeError(
            f"{name}: output padding {more} must be smaller than either stride or dilation"
        )
    around = _padding(name, padding, kernel, stride, dilation)
    space = tuple(
        (n - 1) * s - lo - hi + d * (k - 1) + m + 1
        for n, s, (lo, hi), d, k, m in zip(
            shape_of(input)[-rank:], stride, around, dilation, kernel, more, strict=True
        )
    )
    settings = {"space": space, "stride": stride, "padding": around, "dilation": dilation}
    settings["groups"] = int(groups)
    return _batched(input, rank, lambda x: _conv_transpose(x, weight, bias, **settings))


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Any:  # fmt: skip
    """The transpose of conv1d; weights are (channels, results / groups, size)."""
    return _deconvolve(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Any:  # fmt: skip
    """The transpose of conv2d; weights are (channels, results / groups, height, width)."""
    return _deconvolve(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


# ------------------------------------------------------------------ pooling


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
                f"{name}: windows of {kernel} do not fit input of {space} padded by {padding}"
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


@lifted("MaxPool2DWithIndicesBackward0")
def _max_pool(x: Any, *, dilation: Any, **settings: Any) -> Any:
    if set(dilation) != {1}:
        return _dilated_max(x, dilation=dilation, **settings)
    images = np.moveaxis(x, 1, -1)
    where = row(window_argmax, images, **settings)
    flat = images.reshape((x.shape[0], -1, x.shape[1]))
    best = np.take_along_axis(flat, where.reshape((x.shape[0], -1, x.shape[1])), 1)
    return np.moveaxis(best.reshape(where.shape), -1, 1)


def _dilated_max(x: Any, **settings: Any) -> Any:
    low = -np.inf if np.dtype(x.dtype).kind == "f" else np.iinfo(x.dtype).min
    best = None
    for part in _window_slices(x, low, **settings):
        if best is None:
            best = part
            continue
        better = part > best
        if np.dtype(x.dtype).kind == "f":
            better = better | (part != part)
        best = np.where(better, part, best)
    return best


@lifted("AvgPool2DBackward0")
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
            f"{name}: expected {rank + 1}D or {rank + 2}D input, but got input of shape {s}"
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
        dilation: Sizes = 1, ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        """The largest element of each window; the first of equal ones gets the derivative."""
        settings = _pool_settings(
            name, rank, input, kernel_size, stride, padding, dilation, ceil_mode
        )
        return _batched(input, rank, lambda x: _max_pool(x, **settings))

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
        return _batched(input, rank, lambda x: _avg_pool(x, counts, **settings))

    pool.__name__ = pool.__qualname__ = name
    return pool


max_pool1d, max_pool2d, max_pool3d = (_max(f"max_pool{r}d", r) for r in (1, 2, 3))
avg_pool1d, avg_pool2d, avg_pool3d = (_avg(f"avg_pool{r}d", r) for r in (1, 2, 3))


# ------------------------------------------------------------------ adaptive pooling


def _regions(n: int, count: int) -> list[tuple[int, int]]:
    """Where each of `count` windows over n elements begins and ends."""
    return [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _reduced(x: Any, sizes: tuple[int, ...], reduce: Any) -> Any:
    """Reduce each dim of the space to its number of windows, one dim after the other."""
    for axis, count in enumerate(sizes, 2):
        n = x.shape[axis]
        if count == n:
            continue
        if n % count == 0:
            split = x.reshape((*x.shape[:axis], count, n // count, *x.shape[axis + 1 :]))
            x = reduce(split, axis + 1)
            continue
        parts = [
            reduce(x[(slice(None),) * axis + (slice(lo, hi),)], axis)
            for lo, hi in _regions(n, count)
        ]
        x = np.stack(parts, axis)
    return x


@lifted("AdaptiveAvgPool2DBackward0", keeps=False)
def _adaptive_avg(x: Any, *, sizes: tuple[int, ...]) -> Any:
    if set(sizes) == {1}:
        return np.mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)
    return _reduced(x, sizes, lambda part, axis: np.mean(part, axis=axis))


@lifted("AdaptiveMaxPool2DBackward0")
def _adaptive_max(x: Any, *, sizes: tuple[int, ...]) -> Any:
    return _reduced(x, sizes, lambda part, axis: np.max(part, axis=axis))


def _adaptive(name: str, rank: int, run: Any) -> Any:
    def pool(input: Any, output_size: Any) -> Any:
        """So many windows that the result has this size (None keeps a dim)."""
        s = shape_of(input)
        if len(s) not in (rank + 1, rank + 2):
            raise RuntimeError(
                f"{name}: expected {rank + 1}D or {rank + 2}D input, but got input of shape {s}"
            )
        wanted = (output_size,) * rank if isinstance(output_size, int) else tuple(output_size)
        sizes = tuple(n if m is None else int(m) for n, m in zip(s[-rank:], wanted, strict=True))
        return _batched(input, rank, lambda x: run(x, sizes=sizes))

    pool.__name__ = pool.__qualname__ = name
    return pool


adaptive_avg_pool1d = _adaptive("adaptive_avg_pool1d", 1, _adaptive_avg)
adaptive_avg_pool2d = _adaptive("adaptive_avg_pool2d", 2, _adaptive_avg)
adaptive_max_pool1d = _adaptive("adaptive_max_pool1d", 1, _adaptive_max)
adaptive_max_pool2d = _adaptive("adaptive_max_pool2d", 2, _adaptive_max)
