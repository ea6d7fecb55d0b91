"""Operations that move elements: views of other shapes, joining, splitting."""

from __future__ import annotations

import builtins
import itertools
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .aliases import view, views
from .arithmetic import cast, method, operands
from .reductions import axes_of, one_axis
from .tape import Operation
from .tensor_object import Tensor, applied, as_tensor
from .titles import titled

# What `tensors` shows.
# fmt: off
__all__ = [
    "broadcast_to", "cat", "chunk", "concat", "concatenate", "contiguous", "diag", "expand",
    "expand_as", "flatten", "flip", "hstack", "permute", "ravel", "reshape", "reshape_as", "roll",
    "split", "squeeze", "stack", "t", "tile", "trace", "transpose", "tril", "triu", "unbind",
    "unsqueeze", "vstack",
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
    if -1 in wanted and not known and not input.numel():
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(wanted)} because the "
            "unspecified dimension size -1 can be any value and is ambiguous"
        )
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
    if lo > hi:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
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


@method("tile")
def tile(input: Tensor, *dims: Any) -> Tensor:
    """Copies side by side."""
    return applied(REPEAT, [input], _sizes(dims))


@method("repeat")
def _repeat(input: Tensor, *repeats: Any) -> Tensor:
    """Copies side by side, along every axis."""
    times = _sizes(repeats)
    if len(times) < input.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    return applied(REPEAT, [input], times)


@method("flip")
def flip(input: Tensor, *dims: Any) -> Tensor:
    """Reversed along axes."""
    axes = _sizes(dims)
    return applied(FLIP, [input], axes_of(axes, input.ndim) if axes and input.ndim else ())


@method("roll")
def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted around along axes."""
    frozen = tuple(shifts) if isinstance(shifts, list) else shifts
    return applied(ROLL, [input], frozen, tuple(dims) if isinstance(dims, list) else dims)


@method("contiguous")
def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
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
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    return applied(TRACE, [input])


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
    dtype, listed = operands(name, *listed)
    if name == "cat":
        for k, x in enumerate(listed):
            if not x._aval_shape():
                raise RuntimeError(
                    f"zero-dimensional tensor (at position {k}) cannot be concatenated"
                )
        # an empty vector joins anything
        listed = [x for x in listed if x._aval_shape() != (0,)] or listed[:1]
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
    return split(input, -(-n // chunks) if n else [0] * chunks, dim)


@method("unbind")
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis."""
    axis = one_axis(dim, input.ndim)
    if not input.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    n = input._aval_shape()[axis]
    return views(UNBIND, input, n, n, axis) if n else ()
