"""Parts of Tensors by their indices: read, written into, gathered, masked."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from .aliases import view
from .arithmetic import fits, fitting, method, number
from .elementwise import WHERE, to
from .modes import recording
from .reductions import one_axis
from .shapes import unsqueeze
from .tape import Operation, record, rows
from .tensor_object import LEAF_WRITE, Tensor, applied, as_tensor, held, in_c, shown

__all__ = ["gather", "index_select", "masked_fill", "masked_select", "narrow", "select"]

Key = tuple[tuple[Any, ...], ...]


def frozen(index: Any) -> tuple[Key, list[Tensor]]:
    """An index as a hashable description, and the index arrays apart."""
    parts: list[tuple[Any, ...]] = []
    arrays: list[Tensor] = []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, Tensor) and not part.ndim and not rows.open:
            part = part.item() if part._dtype.kind in "iu" else part
        if part is None or part is Ellipsis:
            parts.append(("new",) if part is None else ("rest",))
        elif isinstance(part, slice):
            bounds = (part.start, part.stop, part.step)
            parts.append(("slice", *(None if b is None else int(b) for b in bounds)))
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            parts.append(("int", int(part)))
        else:
            if part is True:
                parts.append(("new",))
                continue
            for found in _positions(as_tensor(part)):
                parts.append(("array", len(arrays)))
                arrays.append(found)
    return tuple(parts), arrays


def _positions(x: Tensor) -> list[Tensor]:
    if x.dtype.kind == "b":
        return [held(i) for i in np.nonzero(x._value())]
    if x.dtype.kind not in "iu":
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    return [x]


def thawed(key: Key, arrays: Sequence[Any]) -> tuple[Any, ...]:
    """The index again."""
    made: dict[str, Any] = {
        "new": lambda: None,
        "rest": lambda: Ellipsis,
        "slice": slice,
        "int": lambda n: n,
        "array": lambda k: arrays[k],
    }
    return tuple(made[kind](*data) for kind, *data in key)


def _get(x: Any, *rest: Any) -> Any:
    *arrays, key = rest
    index = thawed(key, arrays)
    if type(x) is np.ndarray and not arrays and ("rest",) not in key:
        index = (*index, ...)  # a view also of one element
    return x[index]


GETS = {
    kind: Operation(f"{name}Backward0", _get, keeps=kind == "array")
    for kind, name in (
        ("int", "Select"), ("slice", "Slice"), ("rest", "Slice"), ("new", "Unsqueeze"),
        ("array", "Index"),
    )
}  # fmt: skip
ALIAS = Operation("AliasBackward0", _get, keeps=False)


def _apart(key: Key) -> bool:
    """Whether whole numbers and arrays stand apart: NumPy then moves the arrays' axes in front."""
    at = [k for k, part in enumerate(key) if part[0] in ("int", "array")]
    return at[-1] - at[0] >= len(at) and len(at) > builtins.sum(p[0] == "array" for p in key)


def _without_rest(x: Tensor, key: Key) -> Key:
    """Without an ellipsis that stands for no axis: arrays on both sides are neighbours."""
    used = builtins.sum(part[0] in ("int", "slice", "array") for part in key)
    return tuple(p for p in key if p[0] != "rest") if used == x.ndim else key


def _truth(part: Any) -> Any:
    """True or False of one that is a Tensor, or None."""
    if isinstance(part, Tensor) and part._dtype.kind == "b" and not part.ndim:
        return bool(part)
    return part if part is True or part is False else None


def _has_truth(index: Any) -> bool:
    parts = index if type(index) is tuple else (index,) if isinstance(index, Tensor) else ()
    return any(_truth(part) is not None for part in parts)


def _truth_first(index: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """True and False as new axes, and as arrays that choose their one element, or none."""
    first: list[Any] = []
    rest: list[Any] = []
    for part in index if type(index) is tuple else (index,):
        truth = _truth(part)
        rest.append(part if truth is None else held(np.zeros(int(truth), np.int64)))
        mask = isinstance(part, Tensor) and part._dtype.kind == "b"
        if part is not None:
            whole = [slice(None)] * (part.ndim if mask else 1)
            first += [None] if truth is not None else [part] if part is Ellipsis else whole
    return tuple(first), tuple(rest)


def _numbers_first(key: Key, arrays: Sequence[Tensor]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """An index of the whole numbers alone, and the index of what they leave."""
    first = [
        Ellipsis if part[0] == "rest" else part[1] if part[0] == "int" else slice(None)
        for part in key
        if part[0] != "new"
    ]
    return tuple(first), thawed(tuple(part for part in key if part[0] != "int"), arrays)


@method("__getitem__")
def getitem(self: Tensor, index: Any) -> Tensor:
    """A part of the Tensor."""
    if index is False:
        return getitem(unsqueeze(self, 0), slice(0, 0))
    if _has_truth(index):
        first, rest = _truth_first(index)
        return getitem(getitem(self, first), rest)
    key, arrays = frozen(index)
    if arrays:
        _check_masks(self, index)
        key = _without_rest(self, key)
    _check_index(self, key)
    if arrays and _apart(key):
        first, rest = _numbers_first(key, arrays)
        return getitem(getitem(self, first), rest)
    if not arrays:
        kinds = [part[0] for part in key]
        kind = "int" if "int" in kinds else kinds[-1] if kinds else ""
        return view(GETS.get(kind, ALIAS), self, key)
    _check_arrays(self, key, arrays)
    return shown(record(GETS["array"], tuple(x._ref() for x in (self, *arrays)), (key,)))


def _check_index(x: Tensor, key: Key) -> None:
    used = builtins.sum(part[0] in ("int", "slice", "array") for part in key)
    if used > x.ndim:
        if not x.ndim:
            raise IndexError("invalid index of a 0-dim tensor. Use `tensor.item()`")
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    axis = 0
    for kind, *data in key:
        if kind == "rest":
            axis += x.ndim - used
        elif kind == "int":
            n = x._aval_shape()[axis]
            if not -n <= data[0] < n:
                raise IndexError(
                    f"index {data[0]} is out of bounds for dimension {axis} with size {n}"
                )
        elif kind == "slice" and data[2] is not None and data[2] < 1:
            raise ValueError("step must be greater than zero")
        axis += kind in ("int", "slice", "array")


def _check_masks(x: Tensor, index: Any) -> None:
    """Refuse masks of another shape than what they choose from."""
    axis, s = 0, x._aval_shape()
    for part in index if isinstance(index, tuple) else (index,):
        if part is Ellipsis:
            return
        if isinstance(part, Tensor) and part._dtype.kind == "b":
            t = part._aval_shape()
            for i, n in enumerate(t):
                if s[axis + i : axis + i + 1] != (n,):
                    raise IndexError(
                        f"The shape of the mask {list(t)} at index {i} does not match the shape of "
                        f"the indexed tensor {list(s)} at index {axis + i}"
                    )
            axis += len(t)
        elif part is not None and part is not True:
            axis += 1


def _check_arrays(x: Tensor, key: Key, arrays: Sequence[Tensor]) -> None:
    """Refuse places that are none; what is computed under vmap is not known."""
    axis, used = 0, builtins.sum(part[0] in ("int", "slice", "array") for part in key)
    for kind, *data in key:
        if kind == "rest":
            axis += x.ndim - used
        elif kind == "array" and not rows.open:
            at, n = arrays[data[0]]._value(), x._aval_shape()[axis]
            if at.size and (at.min() < -n or at.max() >= n):
                bad = at[(at < -n) | (at >= n)].flat[0]
                raise IndexError(f"index {bad} is out of bounds for dimension {axis} with size {n}")
        axis += kind in ("int", "slice", "array")


def _set(x: Any, v: Any, *rest: Any) -> Any:
    *arrays, key = rest
    y = x.copy()
    y[thawed(key, arrays)] = v
    return y


SET = Operation("CopySlices", _set, keeps=False)


@method("__setitem__")
def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Write into a part of the Tensor."""
    if index is False:
        return
    if _has_truth(index):
        first, rest = _truth_first(index)
        setitem(getitem(self, first), rest, value)
        return
    _check_masks(self, index)
    key, arrays = frozen(index)
    key = _without_rest(self, key) if arrays else key
    if recording.on and self._requires and self._node is None:
        itself = arrays and not any(part[0] in ("int", "slice", "new") for part in key)
        raise RuntimeError(LEAF_WRITE if itself else f"a view of {LEAF_WRITE}")
    _check_index(self, key)
    if arrays and _apart(key):
        first, rest = _numbers_first(key, arrays)
        setitem(getitem(self, first), rest, value)
        return
    v = as_tensor(value)
    v = v if v._dtype == self._dtype else to(v, self._dtype)
    _check_arrays(self, key, arrays)
    refs = [self, v, *arrays]
    try:
        self._write(lambda: shown(record(SET, tuple(x._ref() for x in refs), (key,))))
    except ValueError as error:
        if not arrays:
            raise _unfit(getitem(self.detach(), index), v) from None
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(v.shape)} cannot be broadcast to "
            f"indexing result: {error}"
        ) from None


def _unfit(part: Tensor, v: Tensor) -> RuntimeError:
    """That a value does not have the sizes of the part it is written into."""
    s, t = list(part.shape), list(v.shape)
    at = next((k for k in range(-1, -len(t) - 1, -1) if t[k] not in (1, ([1] * 9 + s)[k])), -1)
    return RuntimeError(
        f"The expanded size of the tensor ({([1] * 9 + s)[at]}) must match the existing size "
        f"({t[at]}) at non-singleton dimension {len(s) + at}.  Target sizes: {s}.  Tensor sizes: "
        f"{t}"
    )


@method("__delitem__")
def _delitem(self: Tensor, index: Any) -> None:
    raise TypeError("Tensor does not support deleting items")


GATHER = Operation("GatherBackward0", lambda x, i, axis: np.take_along_axis(x, i, axis))
TAKE = Operation("IndexSelectBackward0", lambda x, i, axis: np.take(x, i, axis))


def _in_reach(index: Tensor, n: int, words: str) -> None:
    if not rows.open:
        at = index._value()
        if at.size and (at.min() < -n or at.max() >= n):
            raise IndexError(words)


def _covered(x: Tensor, index: Tensor, axis: int) -> Tensor:
    """The part that an index reaches, which may be smaller along the other axes."""
    s, t = x._aval_shape(), index._aval_shape()
    wide = [k for k, (a, b) in enumerate(zip(t, s, strict=True)) if a > b and k != axis]
    if wide:
        raise RuntimeError(
            f"Size does not match at dimension {wide[0]} expected index {list(t)} to be no larger "
            f"than self {list(s)} apart from dimension {axis}"
        )
    cut = tuple(slice(None) if k == axis or n == s[k] else slice(n) for k, n in enumerate(t))
    return x if cut == (slice(None),) * len(s) else getitem(x, cut)


@method("gather")
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """One element per index along an axis."""
    axis = one_axis(dim, input.ndim)
    if index._dtype.kind not in "iu":
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if not input.ndim and index.ndim < 2:
        return gather(unsqueeze(input, 0), 0, index.reshape(-1)).reshape(index._aval_shape())
    if index.ndim != input.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
    input = _covered(input, index, axis)
    n = input._aval_shape()[axis]
    if not rows.open:
        at = index._value()
        if at.size and (at.min() < 0 or at.max() >= n):
            bad = at[(at < 0) | (at >= n)].flat[0]
            raise RuntimeError(f"index {bad} is out of bounds for dimension {axis} with size {n}")
    return applied(GATHER, [input, index], one_axis(dim, input.ndim))


@method("index_select")
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Slices along an axis, by their places."""
    if index._dtype.kind not in "iu":
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if index.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if not index.ndim:
        index = unsqueeze(index, 0)
    if not input.ndim:
        return index_select(unsqueeze(input, 0), 0, index).reshape(())
    _in_reach(index, input._aval_shape()[one_axis(dim, input.ndim)], "index out of range in self")
    return applied(TAKE, [input, index], one_axis(dim, input.ndim))


@method("masked_fill")
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A number where the mask holds."""
    if mask._dtype != np.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {in_c(mask._dtype)}"
        )
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s)."
        )
    dtype = input._dtype
    filling = value._ref() if isinstance(value, Tensor) else number(fitting(value, dtype), dtype)
    try:
        return shown(record(WHERE, (mask._ref(), filling, input._ref()), (dtype,)))
    except ValueError:
        fits("masked_fill", input._aval_shape(), mask._aval_shape())
        raise


@method("masked_select")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds; both broadcast."""
    if mask._dtype != np.bool_:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    s, t = input._aval_shape(), mask._aval_shape()
    if s == t:
        return getitem(input, mask)
    fits("masked_select", s, t)
    shape = np.broadcast_shapes(s, t)
    return getitem(input.expand(shape), mask.expand(shape))


@method("narrow")
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A range along an axis."""
    axis = one_axis(dim, input.ndim)
    n, start = input._aval_shape()[axis], int(start)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -n <= start <= n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return getitem(input, (*[slice(None)] * axis, slice(start, start + length)))


@method("select")
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One slice along an axis."""
    if not input.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    axis = one_axis(dim, input.ndim)
    n = input._aval_shape()[axis]
    if not isinstance(index, Tensor) and not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {axis}"
        )
    return getitem(input, (*[slice(None)] * axis, index))
