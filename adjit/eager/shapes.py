"""Operations that move elements: views, indexing, joining; and writing in place."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import functions as F
from .aliases import view, views
from .arithmetic import cast, method, operands
from .elementwise import to
from .modes import recording
from .reductions import one_axis
from .tape import Operation, record, rows
from .tensor_object import LEAF_WRITE, Tensor, applied, as_tensor, held, in_c, shown
from .titles import titled

# What `tensors` shows.
# fmt: off
__all__ = [
    "broadcast_to", "cat", "chunk", "concat", "concatenate", "contiguous", "diag",
    "expand", "expand_as", "flatten", "flip", "gather", "hstack", "index_select", "masked_fill",
    "masked_select", "narrow", "permute", "ravel", "reshape", "reshape_as", "roll", "select",
    "split", "squeeze", "stack", "t", "tile", "trace", "transpose", "tril",
    "triu", "unbind", "unsqueeze", "vstack",
]
# fmt: on


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    for n in sizes:
        if isinstance(n, str | bytes) or n is None:
            raise TypeError(f"a size is a whole number, not {n!r}")
    return tuple(int(n) for n in sizes)


# ------------------------------------------------------------------ shapes


def _moves(name: str, fn: Any) -> Operation:
    return Operation(f"{name}Backward0", fn, keeps=False)


def _expanded(x: Any, shape: tuple[int, ...]) -> Any:
    """Repeated along axes; of memory a view that may be written where nothing is repeated."""
    found = np.broadcast_to(x, shape)
    return as_strided(x, shape, found.strides) if type(x) is np.ndarray else found


VIEW = _moves("View", np.reshape)
TRANSPOSE = _moves("Transpose", np.swapaxes)
T_2D = _moves("T", np.transpose)
PERMUTE = _moves("Permute", np.transpose)
SQUEEZE = _moves("Squeeze", np.squeeze)
SQUEEZE_ONE = Operation("SqueezeBackward1", np.squeeze, keeps=False)
SQUEEZE_SOME = Operation("SqueezeBackward2", np.squeeze, keeps=False)
UNSQUEEZE = _moves("Unsqueeze", np.expand_dims)
EXPAND = _moves("Expand", _expanded)
REPEAT = _moves("Repeat", np.tile)
FLIP = _moves("Flip", np.flip)
ROLL = _moves("Roll", np.roll)


@method("reshape", "view")
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The elements in another shape; -1 stands for what is left."""
    wanted = _sizes(shape)
    if wanted.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = int(np.prod([n for n in wanted if n != -1], dtype=np.int64))
    if -1 in wanted and known:
        wanted = tuple(input.numel() // known if n == -1 else n for n in wanted)
    if int(np.prod(wanted, dtype=np.int64)) != input.numel():
        raise RuntimeError(
            f"shape '{list(_sizes(shape))}' is invalid for input of size {input.numel()}"
        )
    return view(VIEW, input, wanted)


@method("view_as", "reshape_as")
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """The elements in the shape of another."""
    return reshape(input, tuple(other.shape))


@method("flatten")
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Several axes as one."""
    if not input.ndim:
        return reshape(input, 1)
    s, lo, hi = tuple(input.shape), one_axis(start_dim, input.ndim), one_axis(end_dim, input.ndim)
    return reshape(input, (*s[:lo], int(np.prod(s[lo : hi + 1], dtype=np.int64)), *s[hi + 1 :]))


@method("ravel")
def ravel(input: Tensor) -> Tensor:
    """All elements along one axis."""
    return reshape(input, -1)


@method("transpose", "swapaxes")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    return view(TRANSPOSE, input, one_axis(dim0, input.ndim), one_axis(dim1, input.ndim))


@method("t")
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return view(T_2D, input)


@method("permute")
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    axes = tuple(one_axis(d, input.ndim) for d in _sizes(dims))
    if len(axes) != input.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not "
            f"equal to len(dims) = {len(axes)}"
        )
    if len(set(axes)) < len(axes):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return view(PERMUTE, input, axes)


def _reversed_axes(self: Tensor) -> Tensor:
    return view(PERMUTE, self, tuple(reversed(range(self.ndim))))


Tensor.T = property(_reversed_axes)  # type: ignore[attr-defined]
Tensor.mT = property(lambda self: transpose(self, -2, -1))  # type: ignore[attr-defined]


@method("squeeze")
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without axes of extent one."""
    s = tuple(input.shape)
    dims = range(len(s)) if dim is None else [one_axis(d, len(s)) for d in _sizes((dim,))]
    operation = SQUEEZE if dim is None else SQUEEZE_ONE if isinstance(dim, int) else SQUEEZE_SOME
    return view(operation, input, tuple(d for d in dims if s and s[d] == 1))


@method("unsqueeze")
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With one more axis of extent one."""
    return view(UNSQUEEZE, input, one_axis(dim, input.ndim + 1))


@method("expand")
def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Repeated along axes of extent one; -1 keeps an extent."""
    wanted, s = _sizes(sizes), tuple(input.shape)
    lead = len(wanted) - len(s)
    full = tuple(s[i - lead] if n == -1 else n for i, n in enumerate(wanted))
    try:
        return view(EXPAND, input, full)
    except ValueError:
        for back in range(1, builtins.min(len(s), len(full)) + 1):
            if s[-back] not in (1, full[-back]):
                raise RuntimeError(
                    f"The expanded size of the tensor ({full[-back]}) must match the existing size "
                    f"({s[-back]}) at non-singleton dimension {len(full) - back}.  Target sizes: "
                    f"{list(full)}.  Tensor sizes: {list(s)}"
                ) from None
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(wanted)}) must be greater or equal to the "
            f"number of dimensions in the tensor ({len(s)})"
        ) from None


broadcast_to = method("broadcast_to")(expand)


@method("expand_as")
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Repeated to the shape of another."""
    return expand(input, tuple(other.shape))


@method("repeat", "tile")
def tile(input: Tensor, *sizes: Any) -> Tensor:
    """Copies side by side."""
    return applied(REPEAT, [input], _sizes(sizes))


@method("flip")
def flip(input: Tensor, *dims: Any) -> Tensor:
    """Reversed along axes."""
    return applied(FLIP, [input], _sizes(dims))


@method("roll")
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted around along axes."""
    frozen = tuple(shifts) if isinstance(shifts, list) else shifts
    return applied(ROLL, [input], frozen, tuple(dims) if isinstance(dims, list) else dims)


@method("contiguous")
def contiguous(input: Tensor) -> Tensor:
    """The Tensor, or a copy of what shows the memory of another in another order."""
    return input if input.is_contiguous() else titled(input.clone(), "CloneBackward0")


TRIL = Operation("TrilBackward0", np.tril, keeps=False)
TRIU = Operation("TriuBackward0", np.triu, keeps=False)
DIAG = Operation("DiagBackward0", np.diag, keeps=False)
TRACE = Operation("TraceBackward0", np.trace, keeps=False)


def _by_diagonal(name: str, operation: Operation) -> Any:
    def call(input: Tensor, diagonal: int = 0) -> Tensor:
        return applied(operation, [input], diagonal)

    call.__name__ = name
    return method(name)(call)


tril = _by_diagonal("tril", TRIL)
triu = _by_diagonal("triu", TRIU)
diag = _by_diagonal("diag", DIAG)


@method("trace")
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal."""
    return applied(TRACE, [input])


# ------------------------------------------------------------------ indexing

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


@method("__getitem__")
def getitem(self: Tensor, index: Any) -> Tensor:
    """A part of the Tensor."""
    if index is False:
        return getitem(unsqueeze(self, 0), slice(0, 0))
    key, arrays = frozen(index)
    if arrays:
        _check_masks(self, index)
    _check_index(self, key)
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
    if recording.on and self._requires and self._node is None:
        raise RuntimeError(f"a view of {LEAF_WRITE}")
    _check_masks(self, index)
    key, arrays = frozen(index)
    _check_index(self, key)
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


@method("gather")
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """One element per index along an axis."""
    axis = one_axis(dim, input.ndim)
    if index._dtype.kind not in "iu":
        raise RuntimeError("gather(): Expected dtype int32/int64 for index")
    if index.ndim != input.ndim:
        raise RuntimeError("Index tensor must have the same number of dimensions as input tensor")
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
    _in_reach(index, input._aval_shape()[one_axis(dim, input.ndim)], "index out of range in self")
    return applied(TAKE, [input, index], one_axis(dim, input.ndim))


@method("masked_fill")
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """A number where the mask holds."""
    if mask._dtype != np.bool_:
        raise RuntimeError(
            f"masked_fill_ only supports boolean masks, but got mask with dtype {in_c(mask._dtype)}"
        )
    return F.where(mask, value, input)


@method("masked_select")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds."""
    return getitem(input, mask)


@method("narrow")
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A range along an axis."""
    axis = one_axis(dim, input.ndim)
    return getitem(input, (*[slice(None)] * axis, slice(start, start + length)))


@method("select")
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One slice along an axis."""
    return getitem(input, (*[slice(None)] * one_axis(dim, input.ndim), index))


# ------------------------------------------------------------------ joining and splitting


def _cat(*rest: Any) -> Any:
    *xs, axis, dtype = rest
    return np.concatenate([cast(x, dtype) for x in xs], axis)


def _stack(*rest: Any) -> Any:
    *xs, axis, dtype = rest
    return np.stack([cast(x, dtype) for x in xs], axis)


CAT = Operation("CatBackward0", _cat, keeps=False)
STACK = Operation("StackBackward0", _stack, keeps=False)


def _joined(name: str, operation: Operation, xs: Any, dim: int, extra: int) -> Tensor:
    listed = [as_tensor(x) for x in xs]
    if not listed and name == "stack":
        raise RuntimeError("stack expects a non-empty TensorList")
    if not listed:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    if name == "cat":  # an empty vector joins anything
        listed = [x for x in listed if x._aval_shape() != (0,)] or listed[:1]
    dtype, listed = operands(name, *listed)
    try:
        return applied(operation, listed, one_axis(dim, listed[0].ndim + extra), dtype)
    except ValueError:
        raise _misfit(name, [x._aval_shape() for x in listed], dim) from None


def _misfit(name: str, shapes: list[tuple[int, ...]], dim: int) -> RuntimeError:
    """The complaint about shapes that cannot be joined."""
    first = shapes[0]
    for k, s in enumerate(shapes[1:], 1):
        if name == "stack" and s != first:
            return RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first)} at entry 0 and "
                f"{list(s)} at entry {k}"
            )
        if len(s) != len(first):
            return RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and {len(s)}"
            )
        axis = dim % len(first)
        bad = [i for i, (a, b) in enumerate(zip(first, s, strict=True)) if a != b and i != axis]
        if bad:
            return RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size "
                f"{first[bad[0]]} but got size {s[bad[0]]} for tensor number {k} in the list."
            )
    return RuntimeError(f"{name}: the shapes do not fit along dimension {dim}: {shapes}")


def cat(tensors: Any, dim: int = 0) -> Tensor:
    """The Tensors one after the other along an axis."""
    return _joined("cat", CAT, tensors, dim, 0)


def stack(tensors: Any, dim: int = 0) -> Tensor:
    """The Tensors along a new axis."""
    return _joined("stack", STACK, tensors, dim, 1)


concat = concatenate = cat


def hstack(tensors: Any) -> Tensor:
    """The Tensors side by side."""
    listed = [x if x.ndim else reshape(x, 1) for x in map(as_tensor, tensors)]
    return cat(listed, 0 if listed[0].ndim == 1 else 1)


def vstack(tensors: Any) -> Tensor:
    """The Tensors below each other."""
    return cat([x if x.ndim > 1 else reshape(x, 1, -1) for x in map(as_tensor, tensors)])


def _parts(x: Any, cuts: tuple[int, ...], axis: int) -> Any:
    lead = (slice(None),) * axis
    return tuple(x[(*lead, slice(a, b))] for a, b in itertools.pairwise(cuts))


def _slices(x: Any, n: int, axis: int) -> Any:
    lead = (slice(None),) * axis
    return tuple(x[(*lead, i, ...)] for i in range(n))


SPLIT = _moves("Split", _parts)
SPLIT_SIZES = _moves("SplitWithSizes", _parts)
UNBIND = _moves("Unbind", _slices)


@method("split")
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Consecutive parts along an axis."""
    axis = one_axis(dim, tensor.ndim)
    n, sizes = tensor._aval_shape()[axis], split_size_or_sections
    if isinstance(sizes, int):
        if sizes < 0:
            raise RuntimeError(
                f"split expects split_size be non-negative, but got split_size={sizes}"
            )
        cuts = (*range(0, n, sizes), n) if n else (0, 0)
        return views(SPLIT, tensor, len(cuts) - 1, cuts, axis)
    if builtins.sum(sizes) != n:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at "
            f"dimension {dim}), but got split_sizes={list(sizes)}"
        )
    cuts = (0, *itertools.accumulate(sizes))
    return views(SPLIT_SIZES, tensor, len(sizes), cuts, axis)


@method("chunk")
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """About as many parts along an axis."""
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    n = input._aval_shape()[one_axis(dim, input.ndim)]
    return split(input, builtins.max(-(-n // chunks), 1), dim)


@method("unbind")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis."""
    axis = one_axis(dim, input.ndim)
    n = input._aval_shape()[axis]
    return views(UNBIND, input, n, n, axis) if n else ()
