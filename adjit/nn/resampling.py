"""Images in another size: interpolation, and sampling at given places."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from .adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .lift import lifted, shape_of

RANKS = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}
Scales = tuple[float | None, ...]

# ------------------------------------------------------------------ another size


def _ratio(n: int, count: int, scale: float | None, dtype: Any) -> Any:
    """How far apart in the input two neighbours of the result are."""
    return dtype.type(1.0 / scale) if scale else dtype.type(n) / dtype.type(count)


def _nearest(n: int, count: int, scale: float | None, dtype: Any, exact: bool) -> np.ndarray:
    at = np.arange(count).astype(dtype) + dtype.type(0.5 if exact else 0.0)
    return np.minimum(np.floor(at * _ratio(n, count, scale, dtype)).astype(np.int64), n - 1)


def _sources(n: int, count: int, scale: float | None, corners: bool, dtype: Any) -> np.ndarray:
    """The places in the input, as numbers with fractions."""
    at = np.arange(count).astype(dtype)
    if corners:
        return at * (dtype.type(n - 1) / dtype.type(count - 1) if count > 1 else dtype.type(0))
    half = dtype.type(0.5)
    return (at + half) * _ratio(n, count, scale, dtype) - half


def _taps(
    n: int, count: int, scale: float | None, corners: bool, dtype: Any, cubic: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each neighbour that a result is mixed of, its index and its weight."""
    src = _sources(n, count, scale, corners, dtype)
    if not cubic:
        src = np.maximum(src, 0)
        low = np.minimum(src.astype(np.int64), n - 1)
        part = np.clip(src - low, 0, 1).astype(dtype)
        return [(low, 1 - part), (np.minimum(low + 1, n - 1), part)]
    low = np.floor(src).astype(np.int64)
    t = (src - low).astype(dtype)
    around = (-1, 0, 1, 2)
    return [(np.clip(low + k, 0, n - 1), _cubic(np.abs(t - k)).astype(dtype)) for k in around]


def _cubic(d: Any) -> Any:
    """Keys' kernel with a = -3/4, for distances below 2."""
    a = -0.75
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)


def _name(x: Any, *, mode: str, **_: Any) -> str:
    words = {"nearest-exact": "NearestExact", "linear": "Linear", "bicubic": "Bicubic"}
    kind = words.get(mode, mode.capitalize())
    if kind == "Linear":
        kind = {3: "Linear", 4: "Bilinear", 5: "Trilinear"}[len(shape_of(x))]
    return f"Upsample{kind}{len(shape_of(x)) - 2}DBackward0"


@lifted(_name)
def _resampled(x: Any, *, sizes: tuple[int, ...], scales: Scales, mode: str, corners: bool) -> Any:
    """One dim after the other."""
    dtype = np.dtype(x.dtype)
    for axis, (count, scale) in enumerate(zip(sizes, scales, strict=True), 2):
        n = x.shape[axis]
        if mode.startswith("nearest"):
            x = np.take(x, _nearest(n, count, scale, dtype, mode != "nearest"), axis=axis)
            continue
        if n == count and (mode != "bicubic" or corners or scale in (None, 1.0)):
            continue  # as they are, whatever the scale was
        total = None
        for index, weight in _taps(n, count, scale, corners, dtype, mode == "bicubic"):
            part = np.take(x, index, axis=axis) * weight.reshape((-1, *(1,) * (x.ndim - axis - 1)))
            total = part if total is None else total + part
        x = total
    return x


def _wanted(
    s: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], Scales]:
    """The size of the space, and what it was scaled by (None where that does not count)."""
    rank = len(s) - 2
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        given = (size,) * rank if isinstance(size, int | np.integer) else tuple(size)
        _check_rank("output size", given, s)
        return tuple(map(int, given)), (None,) * rank
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    alone = isinstance(scale_factor, int | float | np.number)
    factors = (scale_factor,) * rank if alone else tuple(scale_factor)
    _check_rank("scale_factor", factors, s)
    sizes = tuple(math.floor(n * float(f)) for n, f in zip(s[2:], factors, strict=True))
    return sizes, (None,) * rank if recompute else tuple(map(float, factors))


def _check_rank(what: str, given: tuple[Any, ...], s: tuple[int, ...]) -> None:
    if len(given) != len(s) - 2:
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {list(s[2:])} and {what} of {given}. Please provide input "
            "tensor in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) format."
        )


def interpolate(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:  # fmt: skip
    """Signals, images or volumes (batch, channels, *space) in another size.

    Modes are nearest, nearest-exact, linear, bilinear, trilinear, bicubic and area.
    """
    s = shape_of(input)
    rank = len(s) - 2
    plain = mode in ("nearest", "nearest-exact", "area")
    if not plain and mode not in RANKS:
        raise NotImplementedError(f"interpolate: there is no mode {mode!r}")
    if plain and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear"
        )
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not there")
    sizes, scales = _wanted(s, size, scale_factor, recompute_scale_factor)
    if rank not in RANKS.get(mode, (1, 2, 3)):
        raise NotImplementedError(
            f"interpolate: got {len(s)}D input of shape {s}, but {mode} mode needs "
            f"{RANKS[mode][0] + 2}D input" if mode in RANKS else
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {len(s)}D)\n  "
            f"interpolate: input of shape {s}"
        )  # fmt: skip
    if min(sizes) < 1 or min(s[2:]) < 1:
        raise RuntimeError(
            f"interpolate: input and output sizes should be greater than 0, but got input {s} and "
            f"output {sizes}"
        )
    if mode == "area":
        pools = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)
        return pools[rank - 1](input, sizes)
    return _resampled(input, sizes=sizes, scales=scales, mode=mode, corners=bool(align_corners))


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:  # fmt: skip
    """`interpolate` under its old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` by the nearest element."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """`interpolate` of images, corners on corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ------------------------------------------------------------------ given places


@lifted("AffineGridGeneratorBackward0")
def _affine_grid(theta: Any, *, size: tuple[int, ...], corners: bool) -> Any:
    space = size[2:]
    lines = []
    for n in space:
        line = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        lines.append(line if corners else line * (n - 1) / n)
    mesh = np.meshgrid(*lines, indexing="ij")
    base = np.stack([*mesh[::-1], np.ones(space)], -1).reshape(-1, len(space) + 1)
    found = base.astype(np.dtype(theta.dtype)) @ np.swapaxes(theta, 1, 2)
    return found.reshape((size[0], *space, len(space)))


def affine_grid(theta: Any, size: Any, align_corners: bool | None = None) -> Any:
    """Where the pixels of a result of this size lie in images moved by matrices (2, 3)."""
    wanted, s = tuple(map(int, size)), shape_of(theta)
    rank = len(wanted) - 2
    if rank not in (2, 3) or s != (wanted[0], rank, rank + 1):
        raise ValueError(
            f"affine_grid: expected a batch of {rank}x{rank + 1} affine matrices of shape "
            f"({wanted[0]}, {rank}, {rank + 1}) for size {wanted}, but got {s}"
        )
    return _affine_grid(theta, size=wanted, corners=bool(align_corners))


def _unnormalised(g: Any, n: int, corners: bool) -> Any:
    return (g + 1) / 2 * (n - 1) if corners else ((g + 1) * n - 1) / 2


def _mirrored(g: Any, low2: int, high2: int) -> Any:
    """Places beyond the edges, mirrored at them; edges are given times two."""
    if low2 == high2:
        return g * 0
    low, span = low2 / 2, (high2 - low2) / 2
    away = np.abs(g - low)
    turns = np.floor(away / span)
    extra = away - turns * span
    return np.where(turns % 2 == 0, extra + low, span - extra + low)


def _inside(g: Any, n: int, padding: str, corners: bool) -> Any:
    if padding == "reflection":
        g = _mirrored(g, 0, 2 * (n - 1)) if corners else _mirrored(g, -1, 2 * n - 1)
    return g if padding == "zeros" else np.where(g <= 0, 0, np.where(g >= n - 1, n - 1, g))


@lifted(lambda x, *_, **__: f"GridSampler{len(shape_of(x)) - 2}DBackward0")
def _grid_sample(x: Any, grid: Any, *, mode: str, padding: str, corners: bool) -> Any:
    batch, channels, *space = x.shape
    found = grid.shape[1:-1]
    flat = x.reshape((batch, channels, -1))
    places = []
    for k, n in enumerate(space[::-1]):
        places.append(_inside(_unnormalised(grid[..., k], n, corners), n, padding, corners))
    places = places[::-1]
    if mode == "bicubic":
        return _cubic_sample(flat, grid, space, padding, corners)
    if mode == "nearest":
        return _read(flat, [np.rint(p) for p in places], space, found)
    low = [np.floor(p) for p in places]
    total: Any = None
    for corner in itertools.product((0, 1), repeat=len(space)):
        weight: Any = None
        for p, a, c in zip(places, low, corner, strict=True):
            part = p - a if c else 1 - (p - a)
            weight = part if weight is None else weight * part
        seen = _read(flat, [a + c for a, c in zip(low, corner, strict=True)], space, found)
        part = seen * weight[:, None]
        total = part if total is None else total + part
    return total


def _cubic_sample(flat: Any, grid: Any, space: list[int], padding: str, corners: bool) -> Any:
    """Sixteen pixels around each place; each of them lies where the padding has it."""
    taps = []
    for k, n in enumerate(space[::-1]):
        p = _unnormalised(grid[..., k], n, corners)
        low = np.floor(p)
        t = p - low
        away = ((-1, t + 1), (0, t), (1, 1 - t), (2, 2 - t))
        taps.append([(_inside(low + i, n, padding, corners), _cubic(d)) for i, d in away])
    total: Any = None
    for (x, by_x), (y, by_y) in itertools.product(*taps):
        part = _read(flat, [y, x], space, grid.shape[1:-1]) * (by_x * by_y)[:, None]
        total = part if total is None else total + part
    return total


def _read(flat: Any, places: list[Any], space: list[int], found: tuple[int, ...]) -> Any:
    """The elements at whole places, zeros outside."""
    index: Any = None
    valid: Any = None
    for p, n in zip(places, space, strict=True):
        within = (p >= 0) & (p <= n - 1)
        at = np.where(within, p, 0).astype(np.int64)
        index = at if index is None else index * n + at
        valid = within if valid is None else valid & within
    batch, channels = flat.shape[:2]
    where = np.broadcast_to(index.reshape((batch, 1, -1)), (batch, channels, math.prod(found)))
    seen = np.take_along_axis(flat, where, 2).reshape((batch, channels, *found))
    return np.where(valid[:, None], seen, 0)


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:  # fmt: skip
    """Images or volumes read at places (x, y) in [-1, 1], which may lie between pixels."""
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', "
            f"but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "grid_sample: expected padding_mode to be zeros, border or reflection, but got "
            f"{padding_mode!r}"
        )
    s, t = shape_of(input), shape_of(grid)
    if len(s) not in (4, 5) or len(t) != len(s) or t[0] != s[0] or t[-1] != len(s) - 2:
        raise RuntimeError(
            f"grid_sample: expected input (batch, channels, *space) and a grid (batch, *space, "
            f"{len(s) - 2}), but got input of shape {s} and grid of shape {t}"
        )
    corners = bool(align_corners)
    if mode == "bicubic" and len(s) != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    return _grid_sample(input, grid, mode=mode, padding=padding_mode, corners=corners)
