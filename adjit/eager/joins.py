"""Axes moved, split, repeated and joined, beyond what `shapes` has."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .aliases import view
from .arithmetic import fits, method
from .indexing import index_select, narrow
from .reductions import one_axis
from .shapes import cat, permute, reshape, stack
from .tape import Operation
from .tensor_object import Tensor, applied, as_tensor, held

# What `tensors` shows.
# fmt: off
__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_tensors",
    "cartesian_prod",
    "column_stack",
    "combinations",
    "diag_embed",
    "diagonal",
    "diff",
    "dstack",
    "fliplr",
    "flipud",
    "moveaxis",
    "movedim",
    "repeat_interleave",
    "rot90",
    "swapaxes",
    "swapdims",
    "tensor_split",
    "tril_indices",
    "triu_indices",
    "unflatten",
]
# fmt: on


def _moves(name: str, fn: Any) -> Operation:
    return Operation(f"{name}Backward0", fn, keeps=False)


def _diagonal(x: Any, offset: int, a: int, b: int) -> Any:
    found = np.diagonal(x, offset, a, b)
    if type(x) is np.ndarray:
        found.flags.writeable = x.flags.writeable
    return found


DIAGONAL = _moves("Diagonal", _diagonal)
ROT90 = _moves("Rot90", np.rot90)
DIFF = _moves("Sub", np.diff)


def _windows(x: Any, axis: int, size: int, step: int) -> Any:
    if type(x) is np.ndarray:
        found = sliding_window_view(x, size, axis, writeable=True)
        return found[(*[slice(None)] * axis, slice(None, None, step))]
    at = np.arange(0, x.shape[axis] - size + 1, step)[:, None] + np.arange(size)
    return np.moveaxis(np.take(x, at, axis=axis), axis + 1, -1)


UNFOLD = _moves("Unfold", _windows)


def _diag_embed(x: Any, offset: int, a: int, b: int) -> Any:
    n = x.shape[-1] + abs(offset)
    rows = np.pad(x, [(0, 0)] * (len(x.shape) - 1) + [(max(-offset, 0), max(offset, 0))])
    return np.moveaxis(rows[..., None] * np.eye(n, k=offset, dtype=x.dtype), (-2, -1), (a, b))


DIAG_EMBED = _moves("DiagEmbed", _diag_embed)


@method("movedim", "moveaxis")
def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes at other places; the others keep their order."""
    olds, news = ([d] if isinstance(d, int) else list(d) for d in (source, destination))
    olds, news = ([one_axis(d, input.ndim) for d in ds] for ds in (olds, news))
    order = [d for d in range(input.ndim) if d not in olds]
    for new, old in sorted(zip(news, olds, strict=True)):
        order.insert(new, old)
    return permute(input, order)


moveaxis = movedim


@method("swapdims")
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    return input.transpose(dim0, dim1)


swapaxes = swapdims


@method("unflatten")
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis as several; -1 stands for what is left."""
    axis, shape, wanted = one_axis(dim, input.ndim), tuple(input.shape), tuple(sizes)
    if -1 in wanted:
        known = math.prod(n for n in wanted if n != -1)
        wanted = tuple(shape[axis] // max(known, 1) if n == -1 else n for n in wanted)
    if math.prod(wanted) != shape[axis]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} "
            f"({shape[axis]}) in the input tensor"
        )
    return reshape(input, (*shape[:axis], *wanted, *shape[axis + 1 :]))


@method("repeat_interleave")
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Every element (or slice along an axis) several times in a row."""
    if repeats is None:  # the numbers of times are given alone
        return held(np.repeat(np.arange(len(input)), input._value()))
    x, axis = (reshape(input, -1), 0) if dim is None else (input, one_axis(dim, input.ndim))
    counts = repeats._value() if isinstance(repeats, Tensor) else np.asarray(repeats)
    n = x.shape[axis]
    if counts.size and counts.min() < 0:
        raise RuntimeError("Repeats must be non-negative")
    if counts.size not in (1, n):
        raise RuntimeError(
            "repeats must have the same size as input along dim, but got repeats.size(0) = "
            f"{counts.size} and input.size(0) = {n}"
        )
    return index_select(x, axis, held(np.repeat(np.arange(n), counts)))


@method("diagonal")
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, along a last axis."""
    axes = one_axis(dim1, input.ndim), one_axis(dim2, input.ndim)
    return view(DIAGONAL, input, offset, *axes)


@method("diag_embed")
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last axis on their diagonals."""
    axes = one_axis(dim1, input.ndim + 1), one_axis(dim2, input.ndim + 1)
    if axes[0] == axes[1]:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return applied(DIAG_EMBED, [input], offset, *axes)


@method("rot90")
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k quarters in the plane of two axes."""
    return applied(ROT90, [input], k, tuple(dims))


@method("fliplr")
def fliplr(input: Tensor) -> Tensor:
    """Reversed along the second axis."""
    return input.flip(1)


@method("flipud")
def flipud(input: Tensor) -> Tensor:
    """Reversed along the first axis."""
    return input.flip(0)


@method("diff")
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Differences of neighbours along an axis, n times."""
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    parts = [t for t in (prepend, input, append) if t is not None]
    if len(parts) > 1:
        input = cat(parts, one_axis(dim, input.ndim))
    return applied(DIFF, [input], n, one_axis(dim, input.ndim))


@method("unfold")
def _unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows along an axis, each along a new last axis."""
    axis = one_axis(dimension, input.ndim)
    if size > input.shape[axis]:
        raise RuntimeError(
            f"maximum size for tensor at dimension {axis} is {input.shape[axis]} but size is {size}"
        )
    return view(UNFOLD, input, axis, size, step)


@method("tensor_split")
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """As many parts along an axis, the first ones longer; or parts that end at these places."""
    axis = one_axis(dim, input.ndim)
    n, cuts = input.shape[axis], indices_or_sections
    if isinstance(cuts, int):
        size, more = divmod(n, cuts)
        cuts = np.cumsum([size + (k < more) for k in range(cuts - 1)]).tolist()
    ends = [0, *(min(c if c >= 0 else c + n, n) for c in cuts), n]
    return tuple(narrow(input, axis, a, max(b - a, 0)) for a, b in itertools.pairwise(ends))


def _given(xs: tuple[Any, ...]) -> list[Tensor]:
    listed = xs[0] if len(xs) == 1 and isinstance(xs[0], list | tuple) else xs
    return [as_tensor(x) for x in listed]


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The Tensors in their common shape."""
    xs = _given(tensors)
    shape: tuple[int, ...] = ()
    for x in xs:
        fits("broadcast_tensors", shape, x._aval_shape())
        shape = np.broadcast_shapes(shape, x._aval_shape())
    return tuple(x.expand(shape) for x in xs)


def _at_least(n: int) -> Any:
    def call(*tensors: Any) -> Any:
        xs = [_raised(x, n) for x in _given(tensors)]
        return xs[0] if len(tensors) == 1 and isinstance(tensors[0], Tensor) else tuple(xs)

    call.__name__ = f"atleast_{n}d"
    call.__doc__ = f"The Tensors with {n} axes or more."
    return call


def _raised(x: Tensor, n: int) -> Tensor:
    if x.ndim == 2 and n == 3:
        return x.unsqueeze(-1)
    while x.ndim < n:
        x = x.unsqueeze(0 if x.ndim < 2 else -1)
    return x


atleast_1d, atleast_2d, atleast_3d = map(_at_least, (1, 2, 3))


def dstack(tensors: Any) -> Tensor:
    """The Tensors behind each other, along a third axis."""
    return cat([_raised(as_tensor(x), 3) for x in tensors], 2)


def column_stack(tensors: Any) -> Tensor:
    """Vectors as the columns of a matrix, beside matrices."""
    xs = [as_tensor(x) for x in tensors]
    return cat([reshape(x, -1, 1) if x.ndim < 2 else x for x in xs], 1)


def block_diag(*tensors: Any) -> Tensor:
    """A matrix with these on its diagonal."""
    xs = [_raised(x, 2) for x in _given(tensors)]
    width, before, rows = sum(x.shape[1] for x in xs), 0, []
    for x in xs:
        left, right = before, width - before - x.shape[1]
        zeros = [held(np.zeros((x.shape[0], n), x.dtype)) for n in (left, right)]
        rows.append(cat([zeros[0], x, zeros[1]], 1))
        before += x.shape[1]
    return cat(rows, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All tuples of elements, one a row."""
    grids = np.meshgrid(*(np.arange(len(x)) for x in tensors), indexing="ij")
    picked = [x[held(g.reshape(-1))] for x, g in zip(tensors, grids, strict=True)]
    return stack(picked, 1) if len(picked) > 1 else picked[0]


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements, one a row."""
    every = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    at = np.array(list(every(range(len(input)), r)), np.int64).reshape(-1, r)
    return input[held(at)]


def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Where the lower triangle of a matrix stands: rows, then columns."""
    return held(np.stack(np.tril_indices(row, offset, col)).astype(np.int64))


def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Where the upper triangle of a matrix stands: rows, then columns."""
    return held(np.stack(np.triu_indices(row, offset, col)).astype(np.int64))
