"""Convolutions in NumPy: a matrix of patches, and one matrix product.

A patch is what a kernel sees at one place; its pixels lie as (*kernel, channels), or, where the
weights are larger than the patches, as (channels, *kernel), which is how the weights lie.
"""

from __future__ import annotations

import itertools
import threading
from math import prod
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


KEEP = 1 << 26  # bytes of scratch that a thread keeps
SKINNY = 128  # rows of a product up to which it is worth asking for it the other way round
_local = threading.local()


def _scratch(name: str, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Memory of this thread that the next convolution uses again."""
    size = prod(shape) * dtype.itemsize
    if size > KEEP:
        return np.empty(shape, dtype)
    kept = _local.__dict__.get(name)
    if kept is None or kept.nbytes < size:
        kept = _local.__dict__[name] = np.empty(size, np.uint8)
    return kept[:size].view(dtype).reshape(shape)


def _padded(x: np.ndarray, padding: Padding) -> np.ndarray:
    """The images with zeros around them (in scratch); negative padding cuts."""
    if all(pair == (0, 0) for pair in padding):
        return x
    space = tuple(n + lo + hi for n, (lo, hi) in zip(x.shape[1:-1], padding, strict=True))
    out = _scratch("padded", (x.shape[0], *space, x.shape[-1]), x.dtype)
    out[...] = 0
    target, source = [slice(None)], [slice(None)]
    for n, whole, (lo, hi) in zip(x.shape[1:-1], space, padding, strict=True):
        target.append(slice(max(lo, 0), whole - max(hi, 0)))
        source.append(slice(max(-lo, 0), n - max(-hi, 0)))
    out[tuple(target)] = x[tuple(source)]
    return out


def _windows(
    x: np.ndarray, kernel: Shape, stride: Shape, dilation: Shape, places: Shape
) -> np.ndarray:
    """A view (batch, *places, *kernel, channels) of padded images."""
    steps = x.strides[1:-1]
    strides = (
        x.strides[0],
        *(s * k for s, k in zip(steps, stride, strict=True)),
        *(s * d for s, d in zip(steps, dilation, strict=True)),
        x.strides[-1],
    )
    shape = (x.shape[0], *places, *kernel, x.shape[-1])
    # As as_strided, in a tenth of its time; the images are contiguous, so they are a buffer.
    return np.ndarray(shape, x.dtype, x, 0, strides)


def _matrix(
    x: np.ndarray,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    places: Shape,
    as_weights: bool,
) -> np.ndarray:
    """The patches as rows of a matrix."""
    rows, rank = x.shape[0] * prod(places), len(kernel)
    if prod(kernel) == 1 and set(stride) == {1} and set(padding) == {(0, 0)}:
        return np.ascontiguousarray(x).reshape(rows, x.shape[-1])
    w = _windows(_padded(x, padding), kernel, stride, dilation, places)
    if as_weights:
        w = w.transpose(*range(1 + rank), w.ndim - 1, *range(1 + rank, w.ndim - 1))
    out = _scratch("patches", w.shape, x.dtype)
    if as_weights:  # channels are the longest of the dims: innermost, one place in the kernel each
        for at in itertools.product(*map(range, kernel)):
            where: Any = (..., *at)
            out[where] = w[where]
    else:
        np.copyto(out, w)
    return out.reshape(rows, prod(kernel) * x.shape[-1])


def _like_patches(w: np.ndarray, as_weights: bool) -> np.ndarray:
    """Weights as a matrix (results, patch)."""
    if as_weights:
        return w.reshape(w.shape[0], -1)
    out = _scratch("weights", (w.shape[0], *w.shape[2:], w.shape[1]), w.dtype)
    np.copyto(out, w.transpose(0, *range(2, w.ndim), 1))
    return out.reshape(w.shape[0], -1)


def _product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """a @ b, asked for the way round in which the longer side of the result is BLAS's second.

    OpenBLAS is several times slower where its first dimension is the long one and the other tiny.
    """
    if 2 * a.shape[0] <= b.shape[1] and a.shape[0] <= SKINNY:
        turned = _scratch("turned", (b.shape[1], a.shape[0]), out.dtype)
        np.matmul(b.T, a.T, out=turned)
        np.copyto(out, turned.T)
    else:
        np.matmul(a, b, out=out)


def _few(places: int, results: int) -> bool:
    """Whether it costs less to bring the patches into the order of the weights than back."""
    return 4 * places <= results


def _places(space: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape) -> Shape:
    return tuple(
        (n + lo + hi - d * (k - 1) - 1) // s + 1
        for n, k, s, (lo, hi), d in zip(space, kernel, stride, padding, dilation, strict=True)
    )


def _contiguous(*xs: Any) -> list[np.ndarray]:
    return [np.ascontiguousarray(x) for x in xs]


def conv(
    x: Any, w: Any, *, stride: Shape, padding: Padding, dilation: Shape, groups: int
) -> np.ndarray:  # fmt: skip
    """The images seen through the kernels."""
    x, w = _contiguous(x, w)
    kernel = w.shape[2:]
    places = _places(x.shape[1:-1], kernel, stride, padding, dilation)
    out = np.empty((x.shape[0], *places, w.shape[0]), x.dtype)
    if groups > 1:
        return _grouped_conv(x, w, stride, padding, dilation, groups, places, out)
    flat = out.reshape(-1, w.shape[0])
    as_weights = _few(len(flat), w.shape[0])
    rows = _matrix(x, kernel, stride, padding, dilation, places, as_weights)
    _product(rows, _like_patches(w, as_weights).T, flat)
    return out


def conv_weight(
    x: Any, ct: Any, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape,
    groups: int,
) -> np.ndarray:  # fmt: skip
    """The cotangent of the weights."""
    x, ct = _contiguous(x, ct)
    out = np.empty((ct.shape[-1], x.shape[-1] // groups, *kernel), x.dtype)
    places = ct.shape[1:-1]
    if groups > 1:
        return _grouped_weight(x, ct, stride, padding, dilation, groups, places, out)
    flat = ct.reshape(-1, ct.shape[-1])
    as_weights = _few(len(flat), ct.shape[-1]) or prod(kernel) == 1
    rows = _matrix(x, kernel, stride, padding, dilation, places, as_weights)
    if as_weights:
        np.matmul(flat.T, rows, out=out.reshape(len(out), -1))
        return out
    turned = _scratch("weights", (ct.shape[-1], *kernel, x.shape[-1]), x.dtype)
    np.matmul(flat.T, rows, out=turned.reshape(len(out), -1))
    np.copyto(out, turned.transpose(0, turned.ndim - 1, *range(1, turned.ndim - 1)))
    return out


def conv_input(
    ct: Any, w: Any, *, space: Shape, stride: Shape, padding: Padding, dilation: Shape,
    groups: int,
) -> np.ndarray:  # fmt: skip
    """The cotangent of the images."""
    ct, w = _contiguous(ct, w)
    kernel, channels = w.shape[2:], groups * w.shape[1]
    out = np.empty((ct.shape[0], *space, channels), ct.dtype)
    flat = ct.reshape(-1, ct.shape[-1])
    if groups > 1:
        columns = _grouped_columns(flat, w, groups)
    elif set(stride) == {1} and not _few(len(flat), ct.shape[-1]) and prod(kernel) > 1:
        return _mirrored(ct, w, space, padding, dilation, out)
    elif prod(kernel) == 1 and set(stride) == {1} and set(padding) == {(0, 0)}:
        _product(flat, w.reshape(len(w), -1), out.reshape(-1, channels))
        return out
    else:
        columns = _columns(flat, w)
    _gathered(columns.reshape(*ct.shape[:-1], *kernel, channels), stride, padding, dilation, out)
    return out


def _mirrored(
    ct: np.ndarray, w: np.ndarray, space: Shape, padding: Padding, dilation: Shape, out: np.ndarray
) -> np.ndarray:
    """With stride 1 the cotangent is a convolution itself, by the mirrored kernel."""
    kernel = w.shape[2:]
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    around = tuple(
        (r - lo, n - m + lo)
        for r, (lo, _), n, m in zip(reach, padding, space, ct.shape[1:-1], strict=True)
    )
    one = (1,) * len(kernel)
    rows = _matrix(ct, kernel, one, around, dilation, space, False)
    flipped = w[(slice(None), slice(None), *(slice(None, None, -1) for _ in kernel))]
    turned = _scratch("weights", (*kernel, w.shape[0], w.shape[1]), w.dtype)
    np.copyto(turned, np.moveaxis(flipped, (0, 1), (-2, -1)))
    np.matmul(rows, turned.reshape(-1, w.shape[1]), out=out.reshape(-1, w.shape[1]))
    return out


def _columns(flat: np.ndarray, w: np.ndarray) -> np.ndarray:
    """What each place adds to the pixels it sees, as (places, *kernel, channels)."""
    as_weights = _few(len(flat), w.shape[0])
    matrix = _like_patches(w, as_weights)
    out = _scratch("patches", (len(flat), matrix.shape[1]), w.dtype)
    np.matmul(flat, matrix, out=out)
    if not as_weights:
        return out
    rank = w.ndim - 2
    shaped = out.reshape(len(flat), *w.shape[1:])
    return np.transpose(shaped, (0, *range(2, 2 + rank), 1))


def _gathered(
    columns: np.ndarray, stride: Shape, padding: Padding, dilation: Shape, out: np.ndarray
) -> None:
    """Sum what all places add to each pixel."""
    rank = len(stride)
    kernel, places = columns.shape[1 + rank : -1], columns.shape[1 : 1 + rank]
    whole = tuple(
        max(n + lo + hi, d * (k - 1) + s * (p - 1) + 1)
        for n, (lo, hi), d, k, s, p in zip(
            out.shape[1:-1], padding, dilation, kernel, stride, places, strict=True
        )
    )
    same = whole == out.shape[1:-1] and set(padding) == {(0, 0)}
    total = out if same else _scratch("padded", (len(out), *whole, out.shape[-1]), out.dtype)
    total[...] = 0
    for at in itertools.product(*map(range, kernel)):
        seen = tuple(
            slice(k * d, k * d + s * (p - 1) + 1, s)
            for k, d, s, p in zip(at, dilation, stride, places, strict=True)
        )
        total[(slice(None), *seen)] += columns[(slice(None),) * (1 + rank) + at]
    if not same:
        _cut(total, padding, out)


def _cut(total: np.ndarray, padding: Padding, out: np.ndarray) -> None:
    """The part of padded images that is not padding; where padding was cut away, zeros."""
    if any(lo < 0 or hi < 0 for lo, hi in padding):
        out[...] = 0
    target, source = [slice(None)], [slice(None)]
    for n, (lo, hi) in zip(out.shape[1:-1], padding, strict=True):
        target.append(slice(max(-lo, 0), n - max(-hi, 0)))
        first = max(lo, 0)
        source.append(slice(first, first + n - max(-hi, 0) - max(-lo, 0)))
    out[tuple(target)] = total[tuple(source)]


# ------------------------------------------------------------------ groups


def _grouped_rows(
    x: np.ndarray, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape,
    groups: int, places: Shape,
) -> np.ndarray:  # fmt: skip
    """The patches as (groups, places, channels of a group, kernel)."""
    w = _windows(_padded(x, padding), kernel, stride, dilation, places)
    w = w.reshape(*w.shape[:-1], groups, x.shape[-1] // groups)
    w = np.moveaxis(w, (-2, -1), (0, 2 + len(places)))
    return np.ascontiguousarray(w).reshape(groups, x.shape[0] * prod(places), -1)


def _grouped_conv(
    x: np.ndarray, w: np.ndarray, stride: Shape, padding: Padding, dilation: Shape,
    groups: int, places: Shape, out: np.ndarray,
) -> np.ndarray:  # fmt: skip
    rows = _grouped_rows(x, w.shape[2:], stride, padding, dilation, groups, places)
    matrices = w.reshape(groups, w.shape[0] // groups, -1)
    found = np.matmul(rows, np.swapaxes(matrices, 1, 2))
    np.copyto(out.reshape(rows.shape[1], groups, -1), np.moveaxis(found, 0, 1))
    return out


def _grouped_weight(
    x: np.ndarray, ct: np.ndarray, stride: Shape, padding: Padding, dilation: Shape,
    groups: int, places: Shape, out: np.ndarray,
) -> np.ndarray:  # fmt: skip
    rows = _grouped_rows(x, out.shape[2:], stride, padding, dilation, groups, places)
    flat = np.moveaxis(ct.reshape(rows.shape[1], groups, -1), 1, 0)
    np.matmul(np.swapaxes(flat, 1, 2), rows, out=out.reshape(groups, flat.shape[2], -1))
    return out


def _grouped_columns(flat: np.ndarray, w: np.ndarray, groups: int) -> np.ndarray:
    each = w.shape[0] // groups
    parts = np.moveaxis(flat.reshape(len(flat), groups, each), 1, 0)
    found = np.matmul(parts, w.reshape(groups, each, -1))
    found = found.reshape(groups, len(flat), *w.shape[1:])
    rank = w.ndim - 2
    order = (1, *range(3, 3 + rank), 0, 2)
    return np.ascontiguousarray(np.transpose(found, order))
