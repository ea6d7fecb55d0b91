"""Writing at computed places: scatter, index_add and their like, and reading there."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arithmetic import div, fitting, method
from .elementwise import to
from .indexing import frozen, gather, thawed
from .reductions import one_axis
from .shapes import reshape
from .tape import Operation, record
from .tensor_object import Tensor, applied, as_tensor, held, shown

# What `tensors` shows.
# fmt: off
__all__ = [
    "index_add", "index_copy", "index_fill", "index_put", "index_reduce", "masked_scatter",
    "scatter", "scatter_add", "scatter_reduce", "take", "take_along_dim",
]
# fmt: on


def _in_place(name: str, fn: Any) -> None:
    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._write(lambda: fn(self, *args, **kwargs))

    call.__name__ = f"{name}_"
    method(f"{name}_")(call)


def _values(name: str, x: Tensor, v: Any) -> Tensor:
    """The values to be written, which have the dtype of what they are written into."""
    if not isinstance(v, Tensor):
        return held(np.array(fitting(v, x._dtype)).astype(x._dtype))
    if v.dtype != x.dtype:
        raise RuntimeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    return v


# ------------------------------------------------------------------ one place per value


def _places(index: Any, axis: int) -> tuple[Any, ...]:
    """An index for every axis: `index` along this one, its own positions along the others."""
    shape = index.shape
    grids = [np.arange(n).reshape(-1, *[1] * (len(shape) - k - 1)) for k, n in enumerate(shape)]
    return (*grids[:axis], index, *grids[axis + 1 :])


def _cut(v: Any, shape: tuple[int, ...]) -> Any:
    return v[tuple(slice(n) for n in shape)] if len(v.shape) else v


def _put(x: Any, i: Any, v: Any, axis: int) -> Any:
    y = x.copy()
    y[_places(i, axis)] = _cut(v, i.shape)
    return y


def _put_sum(x: Any, i: Any, v: Any, axis: int) -> Any:
    y = x.copy()
    np.add.at(y, _places(i, axis), _cut(v, i.shape))
    return y


SCATTER = Operation("ScatterBackward0", _put)
SCATTER_ADD = Operation("ScatterAddBackward0", _put_sum)


def _check(name: str, x: Tensor, dim: int, index: Tensor, src: Tensor) -> int:
    axis = one_axis(dim, x.ndim)
    if index.dtype.kind != "i":
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    if index.ndim != x.ndim or (src.ndim and src.ndim != x.ndim):
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as self and src tensor"
        )
    s, n, m = tuple(index.shape), tuple(x.shape), tuple(src.shape)
    apart = builtins.any(a > b for k, (a, b) in enumerate(zip(s, n, strict=True)) if k != axis)
    if apart or (m and builtins.any(a > b for a, b in zip(s, m, strict=True))):
        raise RuntimeError(
            f"Expected index {list(s)} to be no larger than self {list(n)} apart from dimension "
            f"{axis} and to be no larger size than src {list(m)}"
        )
    return axis


def _in_range(index: Tensor, extent: int, axis: int) -> None:
    at = index._value()
    bad = at[(at < 0) | (at >= extent)]
    if bad.size:
        raise RuntimeError(
            f"index {int(bad[0])} is out of bounds for dimension {axis} with size {extent}"
        )


@method("scatter")
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None,
) -> Tensor:  # fmt: skip
    """A copy with values written along an axis at the places `index` tells."""
    if reduce is not None:
        kinds = {"add": "sum", "multiply": "prod"}
        v = _values("scatter", input, src if value is None else value)
        v = v if v.ndim else v.expand_as(index)
        return scatter_reduce(input, dim, index, v, kinds[reduce])
    if isinstance(src, Tensor) and src.ndim != index.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    v = _values("scatter", input, src if value is None else value)
    axis = _check("scatter", input, dim, index, v)
    _in_range(index, input.shape[axis], axis)
    return applied(SCATTER, [input, index, v], axis)


@method("scatter_add")
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with values added along an axis at the places `index` tells."""
    v = _values("scatter_add", input, src)
    axis = _check("scatter_add", input, dim, index, v)
    _in_range(index, input.shape[axis], axis)
    return applied(SCATTER_ADD, [input, index, v], axis)


def _reduced_at(x: Any, i: Any, v: Any, axis: int, kind: str, include: bool) -> Any:
    """Extremes and products by one column of candidates per value; ties share evenly."""
    n, m = x.shape[axis], i.shape[axis]
    v, x = np.moveaxis(_cut(v, i.shape), axis, -1), np.moveaxis(x, axis, -1)
    at = np.moveaxis(i, axis, -1)
    hit = at[..., None, :] == np.arange(n)[:, None]
    neutral = {"prod": 1.0, "amax": -np.inf, "amin": np.inf}[kind]
    reduce: Any = {"prod": np.prod, "amax": np.max, "amin": np.min}[kind]
    inner = x[tuple(slice(k) for k in at.shape[:-1])]
    rows = np.where(hit, v[..., None, :], neutral)
    first = inner if include else np.where(np.any(hit, -1), neutral, inner)
    found = reduce(np.concatenate([rows, first[..., None]], -1), axis=-1)
    assert rows.shape[-1] == m
    y = x.copy()
    y[tuple(slice(k) for k in at.shape[:-1])] = found
    return np.moveaxis(y, -1, axis)


SCATTER_REDUCE = Operation("ScatterReduceBackward0", _reduced_at)


@method("scatter_reduce")
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy with values folded in along an axis: "sum", "mean", "prod", "amax" or "amin"."""
    v = _values("scatter", input, src)
    axis = _check("scatter_reduce", input, dim, index, v)
    _in_range(index, input.shape[axis], axis)
    if reduce in ("prod", "amax", "amin"):
        return applied(SCATTER_REDUCE, [input, index, v], axis, reduce, bool(include_self))
    if reduce not in ("sum", "mean"):
        raise RuntimeError(
            "reduce argument must be either sum, prod, mean, amax or amin, got " + reduce
        )
    base = input
    ones = held(np.ones(tuple(index.shape), input.dtype))
    if not include_self:
        base = applied(SCATTER, [input, index, held(np.zeros((), input.dtype))], axis)
    total = scatter_add(base, axis, index, v)
    if reduce == "sum":
        return total
    start = held(np.full(tuple(input.shape), float(include_self), input.dtype))
    count = scatter_add(start, axis, index, ones).clamp(min=1)
    return div(total, count)


# ------------------------------------------------------------------ slices


def _slices(i: Any, axis: int) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, i)


def _slices_sum(x: Any, i: Any, v: Any, axis: int) -> Any:
    y = x.copy()
    np.add.at(y, _slices(i, axis), v)
    return y


def _slices_put(x: Any, i: Any, v: Any, axis: int) -> Any:
    y = x.copy()
    y[_slices(i, axis)] = v
    return y


INDEX_ADD = Operation("IndexAddBackward0", _slices_sum)
INDEX_COPY = Operation("IndexCopyBackward0", _slices_put)
INDEX_FILL = Operation("IndexFillBackward0", _slices_put)


@method("index_add")
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy with slices added along an axis."""
    axis = one_axis(dim, input.ndim)
    _in_range(index, input.shape[axis], axis)
    v = _values("index_add", input, source)
    return applied(INDEX_ADD, [input, index, v if alpha == 1 else v * alpha], axis)


@method("index_copy")
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy with slices written along an axis."""
    axis = one_axis(dim, input.ndim)
    if source.ndim and source.shape[axis] != index.numel():
        raise IndexError(
            f"index_copy_(): Number of indices ({index.numel()}) should be equal to "
            f"source.size(dim) ({source.shape[axis]})"
        )
    _in_range(index, input.shape[axis], axis)
    return applied(INDEX_COPY, [input, index, _values("index_copy", input, source)], axis)


@method("index_reduce")
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
    include_self: bool = True,
) -> Tensor:  # fmt: skip
    """A copy with slices folded in along an axis: "prod", "mean", "amax" or "amin"."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either prod, mean, amax or amin, got {reduce}")
    axis = one_axis(dim, input.ndim)
    at = index.reshape([-1 if k == axis else 1 for k in range(input.ndim)])
    at = at.expand(source._aval_shape())
    return scatter_reduce(input, axis, at, source, reduce, include_self=include_self)


@method("index_fill")
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy with one value in slices along an axis."""
    axis = one_axis(dim, input.ndim)
    _in_range(index, input.shape[axis], axis)
    return applied(INDEX_FILL, [input, index, _values("index_fill", input, value)], axis)


def _indexed_sum(x: Any, v: Any, *rest: Any) -> Any:
    *arrays, key = rest
    y = x.copy()
    np.add.at(y, thawed(key, arrays), v)
    return y


def _indexed(x: Any, v: Any, *rest: Any) -> Any:
    *arrays, key = rest
    y = x.copy()
    y[thawed(key, arrays)] = v
    return y


INDEX_PUT = Operation("IndexPutBackward0", _indexed)
INDEX_PUT_SUM = Operation("IndexPutBackward0", _indexed_sum)


@method("index_put")
def index_put(
    input: Tensor, indices: Sequence[Tensor], values: Any, accumulate: bool = False
) -> Tensor:
    """A copy with values written (or added) where the index arrays say."""
    key, arrays = frozen(tuple(indices))
    refs = [input, _values("index_put", input, values), *arrays]
    operation = INDEX_PUT_SUM if accumulate else INDEX_PUT
    return shown(record(operation, tuple(t._ref() for t in refs), (key,)))


@method("masked_scatter")
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy whose elements under the mask are those of `source`, in order."""
    full = np.broadcast_to(mask._value(), tuple(input.shape))
    count = int(full.sum())
    if count > source.numel():
        raise RuntimeError("Number of elements of source < number of ones in mask")
    return index_put(input, (held(full.copy()),), reshape(source, -1)[:count])


# ------------------------------------------------------------------ reading


TAKE = Operation("TakeBackward0", lambda x, i: np.take(x, i))


@method("take")
def take(input: Tensor, index: Any) -> Tensor:
    """Elements by their places in the flat Tensor."""
    at = as_tensor(index)
    value, n = at._value(), input.numel()
    if ((value < -n) | (value >= n)).any():
        raise IndexError("take(): index out of range")
    return applied(TAKE, [input, to(at, np.int64)])


@method("take_along_dim")
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """One element per index along an axis; the other extents broadcast."""
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    axis = one_axis(dim, input.ndim)
    s, t = list(input.shape), list(indices.shape)
    s[axis], t[axis] = 1, 1
    both = list(np.broadcast_shapes(s, t))
    s, t = both.copy(), both.copy()
    s[axis], t[axis] = input.shape[axis], indices.shape[axis]
    return gather(input.expand(s), axis, indices.expand(t))


for _f in (scatter, scatter_add, scatter_reduce, index_add, index_copy, index_fill, index_put,
           index_reduce, masked_scatter):  # fmt: skip
    _in_place(_f.__name__, _f)
