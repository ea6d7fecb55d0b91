"""Elements in another order: patches as columns, pixels as channels, channels shuffled."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..ir.ops.convolutions import extents
from .lift import blank, lifted, shape_of
from .windows import per_dim

Pair = tuple[int, ...]

# ------------------------------------------------------------------ patches as columns


def _seen(places: Pair, kernel: Pair, dilation: Pair, stride: Pair) -> Any:
    """For each place in a window, the slices of the padded image that all windows see there."""
    for at in itertools.product(*map(range, kernel)):
        yield tuple(
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, n, s in zip(at, dilation, places, stride, strict=True)
        )


@lifted("Im2ColBackward0", keeps=False)
def _unfold(
    x: Any, *, places: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair
) -> Any:
    if any(padding):
        x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    windows = _seen(places, kernel, dilation, stride)
    parts = [x[(slice(None), slice(None), *seen)] for seen in windows]
    return np.stack(parts, 2).reshape((x.shape[0], x.shape[1] * len(parts), math.prod(places)))


@lifted("Col2ImBackward0", keeps=False)
def _fold(
    x: Any, *, size: Pair, places: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair
) -> Any:
    count = math.prod(kernel)
    channels = x.shape[1] // count
    parts = x.reshape((x.shape[0], channels, count, *places))
    padded = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    found = blank((x.shape[0], channels, *padded), x)
    for k, seen in enumerate(_seen(places, kernel, dilation, stride)):
        found[(slice(None), slice(None), *seen)] += parts[:, :, k]
    inside = tuple(slice(p, p + n) for n, p in zip(size, padding, strict=True))
    return found[(slice(None), slice(None), *inside)]


def _windows(
    name: str, space: Pair, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> dict[str, Pair]:
    settings = {
        "kernel": per_dim(f"{name}: kernel_size", kernel, 2),
        "dilation": per_dim(f"{name}: dilation", dilation, 2),
        "padding": per_dim(f"{name}: padding", padding, 2),
        "stride": per_dim(f"{name}: stride", stride, 2),
    }
    around = tuple((p, p) for p in settings["padding"])
    places = extents(space, settings["kernel"], settings["stride"], around, settings["dilation"])
    if min(places) < 1:
        raise RuntimeError(
            f"{name}: given spatial size {space}, kernel_size={settings['kernel']}, "
            f"dilation={settings['dilation']}, padding={settings['padding']}, the shape of the "
            f"array of sliding blocks is {tuple(places)}, but its components must be at least one"
        )
    return {"places": tuple(places), **settings}


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Patches of images (batch, channels, height, width) as columns."""
    s = shape_of(input)
    if len(s) not in (3, 4):
        raise RuntimeError(f"unfold: expected 3D or 4D input, but got input of shape {s}")
    settings = _windows("unfold", s[-2:], kernel_size, dilation, padding, stride)
    return _unfold(input, **settings) if len(s) == 4 else _unfold(input[None], **settings)[0]


def fold(
    input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Any:  # fmt: skip
    """Images whose patches are these columns; where patches overlap they are added."""
    s = shape_of(input)
    if len(s) not in (2, 3):
        raise RuntimeError(f"fold: expected 2D or 3D input, but got input of shape {s}")
    size = per_dim("fold: output_size", output_size, 2)
    settings = _windows("fold", size, kernel_size, dilation, padding, stride)
    if s[-2] % math.prod(settings["kernel"]):
        raise RuntimeError(
            f"fold: expected size of input's dimension 1 to be divisible by the product of "
            f"kernel_size {settings['kernel']}, but got input of shape {s}"
        )
    if s[-1] != math.prod(settings["places"]):
        raise RuntimeError(
            f"fold: given output_size={size} and kernel_size={settings['kernel']}, expected the "
            f"last dim of input to be {math.prod(settings['places'])} blocks "
            f"{settings['places']}, but got input of shape {s}"
        )
    if len(s) == 3:
        return _fold(input, size=size, **settings)
    return _fold(input[None], size=size, **settings)[0]


# ------------------------------------------------------------------ pixels and channels


@lifted("PixelShuffleBackward0", keeps=False)
def _pixel_shuffle(x: Any, *, by: int) -> Any:
    *lead, c, h, w = x.shape
    split = x.reshape((-1, c // by**2, by, by, h, w))
    return split.transpose((0, 1, 4, 2, 5, 3)).reshape((*lead, c // by**2, h * by, w * by))


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels (…, channels * by * by, height, width) as pixels between pixels."""
    s, by = shape_of(input), int(upscale_factor)
    if len(s) < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got {s}"
        )
    if by < 1 or s[-3] % by**2:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor {by}, but input of shape {s} has {s[-3]} channels"
        )
    return _pixel_shuffle(input, by=by)


@lifted("PixelUnshuffleBackward0", keeps=False)
def _pixel_unshuffle(x: Any, *, by: int) -> Any:
    *lead, c, h, w = x.shape
    split = x.reshape((-1, c, h // by, by, w // by, by))
    return split.transpose((0, 1, 3, 5, 2, 4)).reshape((*lead, c * by**2, h // by, w // by))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """The reverse of `pixel_shuffle`."""
    s, by = shape_of(input), int(downscale_factor)
    if len(s) < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got {s}"
        )
    if by < 1 or s[-1] % by or s[-2] % by:
        raise RuntimeError(
            f"pixel_unshuffle expects height and width to be divisible by downscale_factor {by}, "
            f"but input has shape {s}"
        )
    return _pixel_unshuffle(input, by=by)


@lifted("ChannelShuffleBackward0", keeps=False)
def _channel_shuffle(x: Any, *, groups: int) -> Any:
    n, c, *space = x.shape
    return np.swapaxes(x.reshape((n, groups, c // groups, *space)), 1, 2).reshape(x.shape)


def channel_shuffle(input: Any, groups: int) -> Any:
    """Channels in the order: the first of every group, the second of every group, and so on."""
    s = shape_of(input)
    if len(s) < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with {s}")
    if groups < 1 or s[1] % groups:
        raise RuntimeError(
            f"channel_shuffle: number of channels must be divisible by groups. Got {s[1]} "
            f"channels and {groups} groups."
        )
    return _channel_shuffle(input, groups=int(groups))
