"""Pooling to a given size, pooling by norms, and the reverse of max pooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .lift import blank, lifted, shape_of
from .pooling import avg_pool1d, avg_pool2d, avg_pool3d
from .windows import Sizes, batched, per_dim

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


def _avg_name(x: Any, *, sizes: tuple[int, ...]) -> str:
    if len(sizes) == 1:
        return "SqueezeBackward1"
    return "MeanBackward1" if set(sizes) == {1} else f"AdaptiveAvgPool{len(sizes)}DBackward0"


@lifted(_avg_name, keeps=False)
def _adaptive_avg(x: Any, *, sizes: tuple[int, ...]) -> Any:
    if set(sizes) == {1}:
        return np.mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)
    return _reduced(x, sizes, lambda part, axis: np.mean(part, axis=axis))


def _table(space: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """For each window the places that it sees, as one number; short windows repeat their last."""
    total = np.zeros((1,) * (2 * len(space)), np.int64)
    for axis, (n, count) in enumerate(zip(space, sizes, strict=True)):
        regions = _regions(n, count)
        longest = max(hi - lo for lo, hi in regions)
        seen = np.array([[min(lo + k, hi - 1) for k in range(longest)] for lo, hi in regions])
        shape = [1] * (2 * len(space))
        shape[axis], shape[len(space) + axis] = seen.shape
        total = total * n + seen.reshape(shape)
    return total.reshape((math.prod(sizes), -1))


def _best(x: Any, sizes: tuple[int, ...]) -> Any:
    """The place of the largest element of each window, the first of equal ones."""
    table = _table(x.shape[2:], sizes)
    flat = x.reshape((*x.shape[:2], -1))
    first = np.argmax(flat[:, :, table], axis=-1)
    seen = np.broadcast_to(table, (*x.shape[:2], *table.shape))
    return np.take_along_axis(seen, first[..., None], 3)[..., 0]


def _max_name(x: Any, *, sizes: tuple[int, ...]) -> str:
    return "SqueezeBackward1" if len(sizes) == 1 else f"AdaptiveMaxPool{len(sizes)}DBackward0"


@lifted(_max_name)
def _adaptive_max(x: Any, *, sizes: tuple[int, ...]) -> Any:
    flat = x.reshape((*x.shape[:2], -1))
    return np.take_along_axis(flat, _best(x, sizes), 2).reshape((*x.shape[:2], *sizes))


@lifted("MaxPoolIndices", keeps=False)
def _adaptive_places(x: Any, *, sizes: tuple[int, ...]) -> Any:
    return _best(x, sizes).reshape((*x.shape[:2], *sizes))


def _sizes(name: str, rank: int, input: Any, output_size: Any) -> tuple[int, ...]:
    s = shape_of(input)
    if len(s) not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"{name}: expected {rank + 1}D or {rank + 2}D input, but got input of shape {s}"
        )
    alone = output_size is None or isinstance(output_size, int | np.integer)
    wanted = (output_size,) * rank if alone else tuple(output_size)
    wanted = wanted * rank if len(wanted) == 1 else wanted
    if len(wanted) != rank:
        raise ValueError(f"{name}: output_size {output_size} does not give {rank} numbers")
    found = tuple(n if m is None else int(m) for n, m in zip(s[-rank:], wanted, strict=True))
    if min(found) < 0 or min(s[-rank:]) < 1:
        raise RuntimeError(f"{name}: output_size {found} is not there for input of shape {s}")
    return found


def _adaptive_avg_pool(name: str, rank: int) -> Any:
    def pool(input: Any, output_size: Any) -> Any:
        """The mean of so many windows that the result has this size (None keeps a dim)."""
        sizes = _sizes(name, rank, input, output_size)
        return batched(input, rank, lambda x: _adaptive_avg(x, sizes=sizes))

    pool.__name__ = pool.__qualname__ = name
    return pool


def _adaptive_max_pool(name: str, rank: int) -> Any:
    def pool(input: Any, output_size: Any, return_indices: bool = False) -> Any:
        """The largest element of so many windows that the result has this size.

        With `return_indices` also their places in the image as one number.
        """
        sizes = _sizes(name, rank, input, output_size)
        found = batched(input, rank, lambda x: _adaptive_max(x, sizes=sizes))
        if not return_indices:
            return found
        return found, batched(input, rank, lambda x: _adaptive_places(x, sizes=sizes))

    pool.__name__ = pool.__qualname__ = name
    return pool


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _adaptive_avg_pool(f"adaptive_avg_pool{r}d", r) for r in (1, 2, 3)
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive_max_pool(f"adaptive_max_pool{r}d", r) for r in (1, 2, 3)
)


# ------------------------------------------------------------------ norms


@lifted("PowBackward0")
def _powers(x: Any, *, p: float) -> Any:
    return x**p


@lifted("PowBackward0")
def _roots(mean: Any, *, p: float, count: int) -> Any:
    return (np.where(mean != 0, mean, 0) * count) ** (1 / p)


def _lp(name: str, rank: int, pool: Any) -> Any:
    def lp(
        input: Any, norm_type: float, kernel_size: Sizes, stride: Any = None,
        ceil_mode: bool = False,
    ) -> Any:  # fmt: skip
        """The p-norm of each window: (sum of x^p)^(1/p)."""
        kernel, p = per_dim(f"{name}: kernel_size", kernel_size, rank), float(norm_type)
        mean = pool(_powers(input, p=p), kernel, stride or None, 0, ceil_mode)
        return _roots(mean, p=p, count=math.prod(kernel))

    lp.__name__ = lp.__qualname__ = name
    return lp


lp_pool1d = _lp("lp_pool1d", 1, avg_pool1d)
lp_pool2d = _lp("lp_pool2d", 2, avg_pool2d)
lp_pool3d = _lp("lp_pool3d", 3, avg_pool3d)


# ------------------------------------------------------------------ the reverse


@lifted("MaxUnpoolBackward0", keeps=False)
def _unpool(x: Any, places: Any, *, space: tuple[int, ...]) -> Any:
    rows = math.prod(x.shape[:2])
    found = blank((rows, math.prod(space)), x)
    found[np.arange(rows)[:, None], places.reshape((rows, -1))] = x.reshape((rows, -1))
    return found.reshape((*x.shape[:2], *space))


def _unpooling(name: str, rank: int) -> Any:
    def unpool(
        input: Any, indices: Any, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0,
        output_size: Any = None,
    ) -> Any:  # fmt: skip
        """Zeros with the elements in the places that `max_pool` found them in."""
        s, t = shape_of(input), shape_of(indices)
        if s != t or len(s) not in (rank + 1, rank + 2):
            raise RuntimeError(
                f"{name}: expected {rank + 1}D or {rank + 2}D input and indices of one shape, but "
                f"got {s} and {t}"
            )
        kernel = per_dim(f"{name}: kernel_size", kernel_size, rank)
        apart = kernel if stride is None else per_dim(f"{name}: stride", stride, rank)
        around = per_dim(f"{name}: padding", padding, rank)
        parts = zip(s[-rank:], kernel, apart, around, strict=True)
        usual = tuple((n - 1) * st - 2 * p + k for n, k, st, p in parts)
        space = usual if output_size is None else tuple(map(int, output_size))[-rank:]
        for n, wanted, st in zip(space, usual, apart, strict=True):
            if not wanted - st < n < wanted + st:
                raise ValueError(
                    f"{name}: output_size {tuple(output_size)} is not near {usual}, which follows "
                    f"from input of shape {s}"
                )
        if len(s) == rank + 2:
            return _unpool(input, indices, space=space)
        return _unpool(input[None], indices[None], space=space)[0]

    unpool.__name__ = unpool.__qualname__ = name
    return unpool


max_unpool1d, max_unpool2d, max_unpool3d = (_unpooling(f"max_unpool{r}d", r) for r in (1, 2, 3))
