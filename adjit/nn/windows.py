"""Convolutions, on (batch, channels, *space) or without the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.rows import row
from ..ir.ops import convolutions as rows
from ..ir.ops.convolutions import extents
from .lift import IMAGES, lifted, same_dtype, shape_of

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
def _conv_transpose(x: Any, w: Any, b: Any, *, beyond: Any = (), **settings: Any) -> Any:
    y = row(rows.conv_input, np.moveaxis(x, 1, -1), w, **settings)
    if beyond:
        y = np.pad(y, [(0, 0), *((0, n) for n in beyond), (0, 0)])
    return np.moveaxis(y if b is None else y + b, -1, 1)


def paddings(
    name: str, padding: Any, kernel: tuple[int, ...], stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:  # fmt: skip
    rank = len(kernel)
    """What is added before and after each dim of the space."""
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
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, "
            f"but got input of size: {list(s)}\n  for weight of shape {t}"
        )
    if groups < 1 or t[0] % groups:
        raise RuntimeError(f"{name}: weight of shape {t} does not divide into groups={groups}")
    channels, wanted = s[-rank - 1], t[0] if out else t[1] * groups
    if channels != wanted:
        given = f"transposed={int(out)}" if out else f"groups={groups}"
        raise RuntimeError(
            f"Given {given}, weight of size {list(t)}, expected input{list(s)} to "
            f"have {wanted} channels, but got {channels} channels instead\n  {name}: input of "
            f"shape {s}, weight of shape {t}"
        )
    results = t[1] * groups if out else t[0]
    if b is not None and shape_of(b) != (results,):
        raise RuntimeError(
            f"Given weight of size {list(t)}, expected bias to be 1-dimensional with {results} "
            f"elements, but got bias of size {list(shape_of(b))} instead\n  {name}"
        )
    same_dtype(name, x, w, b, words=IMAGES)


def _convolve(
    name: str, rank: int, input: Any, weight: Any, bias: Any, stride: Any, padding: Any,
    dilation: Any, groups: int,
) -> Any:  # fmt: skip
    _check_images(name, input, weight, bias, rank, groups, False)
    kernel = shape_of(weight)[2:]
    stride = per_dim(f"{name}: stride", stride, rank)
    dilation = per_dim(f"{name}: dilation", dilation, rank)
    around = paddings(name, padding, kernel, stride, dilation)
    space = shape_of(input)[-rank:]
    if min(stride) < 1 or min(dilation) < 1:
        raise ValueError(f"{name}: stride {stride} and dilation {dilation} must be positive")
    if min(extents(space, kernel, stride, around, dilation)) < 1:
        padded = [n + lo + hi for n, (lo, hi) in zip(space, around, strict=True)]
        reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        inside, window = (" x ".join(map(str, x)) for x in (padded, reach))
        raise RuntimeError(
            f"Calculated padded input size per channel: ({inside}). Kernel size: ({window}). "
            f"Kernel size can't be greater than actual input size\n  {name}: input {space}, "
            f"kernel {kernel} with dilation {dilation}"
        )
    settings = {"stride": stride, "padding": around, "dilation": dilation, "groups": int(groups)}
    return batched(input, rank, lambda x: _conv(x, weight, bias, **settings))


def batched(x: Any, rank: int, run: Any) -> Any:
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
    around = paddings(name, padding, kernel, stride, dilation)
    space = tuple(
        (n - 1) * s - lo - hi + d * (k - 1) + m + 1
        for n, s, (lo, hi), d, k, m in zip(
            shape_of(input)[-rank:], stride, around, dilation, kernel, more, strict=True
        )
    )
    if min(space) < 1:
        raise RuntimeError(
            f"{name}: input {shape_of(input)[-rank:]} with kernel {kernel} and padding {around} "
            f"gives an output of size {space}, which is too small"
        )
    settings: dict[str, Any] = {"stride": stride, "dilation": dilation, "groups": int(groups)}
    if any(m >= s for m, s in zip(more, stride, strict=True)):
        # What is added at the end uncovers what padding hid, then comes what no kernel reaches.
        beyond = tuple(max(m - hi, 0) for m, (_, hi) in zip(more, around, strict=True))
        around = tuple((lo, max(hi - m, 0)) for m, (lo, hi) in zip(more, around, strict=True))
        space = tuple(n - b for n, b in zip(space, beyond, strict=True))
        settings["beyond"] = beyond
    settings |= {"space": space, "padding": around}
    return batched(input, rank, lambda x: _conv_transpose(x, weight, bias, **settings))


def conv_transpose1d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Any:  # fmt: skip
    """The transpose of conv1d; weights are (channels, results / groups, size)."""
    settings = stride, padding, output_padding, groups, dilation
    return _deconvolve("conv_transpose1d", 1, input, weight, bias, *settings)


def conv_transpose2d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Any:  # fmt: skip
    """The transpose of conv2d; weights are (channels, results / groups, height, width)."""
    settings = stride, padding, output_padding, groups, dilation
    return _deconvolve("conv_transpose2d", 2, input, weight, bias, *settings)


def conv_transpose3d(
    input: Any, weight: Any, bias: Any = None, stride: Sizes = 1, padding: Sizes = 0,
    output_padding: Sizes = 0, groups: int = 1, dilation: Sizes = 1,
) -> Any:  # fmt: skip
    """The transpose of conv3d, for volumes."""
    settings = stride, padding, output_padding, groups, dilation
    return _deconvolve("conv_transpose3d", 3, input, weight, bias, *settings)
