"""Rows that move elements: broadcast and its transpose `sum_`, views, concatenation, iota.

`sum_` lives here because it and `broadcast` are each other's transpose.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..core import Const, Value
from ..prim import Call, Fold, Prim, View, ViewMap
from ..types import NUMPY, Aval, broadcast_shapes

Shape = tuple[int, ...]


def check_axes(row: str, ndim: int, axes: Shape) -> None:
    """Refuse axes that are out of range, negative, unsorted or repeated."""
    for a in axes:
        if not 0 <= a < ndim:
            raise AxisError(a, ndim, row)
    if list(axes) != sorted(set(axes)):
        raise ValueError(f"{row}: axes {axes} are not sorted and distinct")


def drop(shape: Shape, axes: Shape) -> Shape:
    """The shape without the given axes."""
    return tuple(n for i, n in enumerate(shape) if i not in axes)


# ------------------------------------------------------------------ batching


Mask = tuple[bool, ...]
Batch = Callable[..., Value]


def stacked(x: Value, size: int) -> Value:
    """`size` rows, each of them `x`, along a new axis in front."""
    return broadcast(x, shape=(size, *x.shape), axes=(0,))


def behind(dims: Iterable[int]) -> Shape:
    """Where these dims stand once the axis of the rows is in front."""
    return tuple(d + 1 for d in dims)


def all_stacked(args: Sequence[Value], moved: Mask) -> list[Value]:
    """The arguments, all of them with the axis of the rows."""
    size = args[moved.index(True)].shape[0]
    return [a if m else stacked(a, size) for a, m in zip(args, moved, strict=True)]


def aligned(args: Sequence[Value], moved: Mask) -> list[Value]:
    """Operands that broadcast row by row: new axes follow that of the rows where one is short."""
    shapes = [a.shape[1:] if m else a.shape for a, m in zip(args, moved, strict=True)]
    whole = broadcast_shapes(*shapes)

    def one(a: Value) -> Value:
        short = len(whole) - (a.ndim - 1)
        if not short:
            return a
        # abs: where an extent is unknown, 1 stretches to it.
        shape = (a.shape[0], *map(abs, whole[:short]), *a.shape[1:])
        return broadcast(a, shape=shape, axes=tuple(range(1, 1 + short)))

    return [one(a) if m else a for a, m in zip(args, moved, strict=True)]


def along_rows(row: Callable[[], Prim], *names: str) -> Batch:
    """The rule of a row whose attrs `names` are an axis or axes, over operands of one shape."""

    def rule(args: Sequence[Value], moved: Mask, **attrs: Any) -> Value:
        for name in names:
            old = attrs[name]
            attrs[name] = old + 1 if isinstance(old, int) else behind(old)
        return row()(*all_stacked(args, moved), **attrs)

    return rule


def _broadcast_batch(args: Sequence[Value], moved: Mask, *, shape: Shape, axes: Shape) -> Value:
    (x,) = args
    return broadcast(x, shape=(x.shape[0], *shape), axes=behind(axes))


def _reshape_batch(args: Sequence[Value], moved: Mask, *, shape: Shape) -> Value:
    (x,) = args
    return reshape(x, shape=(x.shape[0], *shape))


def _transpose_batch(args: Sequence[Value], moved: Mask, *, perm: Shape) -> Value:
    return transpose(args[0], perm=(0, *behind(perm)))


def _slice_batch(
    args: Sequence[Value], moved: Mask, *, start: Shape, size: Shape, step: Shape
) -> Value:
    (x,) = args
    return slice_(x, start=(0, *start), size=(x.shape[0], *size), step=(1, *step))


def _pad_batch(
    args: Sequence[Value], moved: Mask, *, shape: Shape, start: Shape, step: Shape
) -> Value:
    (x,) = args
    return pad(x, shape=(x.shape[0], *shape), start=(0, *start), step=(1, *step))


# ------------------------------------------------------------------ broadcast and sum


def _broadcast_infer(x: Aval, *, shape: Shape, axes: Shape) -> Aval:
    check_axes("broadcast", len(shape), axes)
    if drop(shape, axes) != x.shape:
        raise ValueError(f"broadcast: {x} does not fill {shape} without its new axes {axes}")
    return Aval(x.dtype, shape)


def _broadcast_ref(x: np.ndarray, *, shape: Shape, axes: Shape) -> np.ndarray:
    return np.broadcast_to(np.expand_dims(x, axes), shape)


def _broadcast_index(operand: Shape, /, *, shape: Shape, axes: Shape) -> ViewMap:
    kept = (i for i in range(len(shape)) if i not in axes)
    return ViewMap(tuple((k, 0, 1) for k in kept))


def _drop_axes(x: Aval, *, axes: Shape) -> Aval:
    check_axes("sum", x.ndim, axes)
    return Aval(x.dtype, drop(x.shape, axes))


broadcast: Prim = Prim(
    name="broadcast",
    infer=_broadcast_infer,
    ref=_broadcast_ref,
    emit=View(_broadcast_index),
    transpose=lambda ct, x, *, shape, axes: (sum_(ct, axes=axes),),
    batch=_broadcast_batch,
)
sum_: Prim = Prim(
    name="sum",
    infer=_drop_axes,
    ref=lambda x, *, axes: np.sum(x, axis=axes, dtype=x.dtype),
    emit=Fold(
        {"f": "0.0", "i": "0", "b": "False"},
        {"f": "ll.radd({acc}, {0})", "i": "{acc} + {0}", "b": "{acc} | {0}"},
    ),
    transpose=lambda ct, x, *, axes: (broadcast(ct, shape=x.shape, axes=axes),),
    batch=along_rows(lambda: sum_, "axes"),
)


# ------------------------------------------------------------------ reshape and transpose


def _reshape_infer(x: Aval, *, shape: Shape) -> Aval:
    out = Aval(x.dtype, shape)
    if out.size != x.size or any(n < 0 for n in shape):
        raise ValueError(f"cannot reshape array of size {x.size} into shape {shape}")
    return out


def _transpose_infer(x: Aval, *, perm: Shape) -> Aval:
    if sorted(perm) != list(range(x.ndim)):
        raise ValueError(f"transpose: axes {perm} do not match the array {x}")
    return Aval(x.dtype, tuple(x.shape[p] for p in perm))


def inverse(perm: Sequence[int]) -> Shape:
    """The permutation that undoes `perm`."""
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


reshape: Prim = Prim(
    name="reshape",
    infer=_reshape_infer,
    ref=lambda x, *, shape: np.reshape(x, shape),
    emit=Call("reshape"),
    transpose=lambda ct, x, *, shape: (reshape(ct, shape=x.shape),),
    batch=_reshape_batch,
)
transpose: Prim = Prim(
    name="transpose",
    infer=_transpose_infer,
    ref=lambda x, *, perm: np.transpose(x, perm),
    emit=View(lambda operand, /, *, perm: ViewMap(tuple((k, 0, 1) for k in inverse(perm)))),
    transpose=lambda ct, x, *, perm: (transpose(ct, perm=inverse(perm)),),
    batch=_transpose_batch,
)


# ------------------------------------------------------------------ slice and pad


def _check_strided(row: str, whole: Shape, start: Shape, size: Shape, step: Shape) -> None:
    """Refuse positions `start + k*step`, k < size, that leave the shape `whole`."""
    if not len(start) == len(size) == len(step) == len(whole):
        raise ValueError(f"{row}: {start=}, {size=}, {step=} do not match the shape {whole}")
    for n, at, count, by in zip(whole, start, size, step, strict=True):
        inside = count == 0 or (0 <= at < n and 0 <= at + (count - 1) * by < n)
        if count < 0 or by == 0 or not inside:
            raise ValueError(f"{row}: {start=}, {size=}, {step=} leave the shape {whole}")


def _slice_infer(x: Aval, *, start: Shape, size: Shape, step: Shape) -> Aval:
    _check_strided("slice", x.shape, start, size, step)
    return Aval(x.dtype, size)


def _strided(start: Shape, size: Shape, step: Shape) -> tuple[slice, ...]:
    """NumPy's index of the positions `start + k*step`, k < size."""

    def along(at: int, count: int, by: int) -> slice:
        if count == 0:
            return slice(0, 0)
        stop = at + count * by
        return slice(at, stop if stop >= 0 else None, by)

    return tuple(map(along, start, size, step))


def _slice_index(operand: Shape, /, *, start: Shape, size: Shape, step: Shape) -> ViewMap:
    return ViewMap(tuple((k, at, by) for k, (at, by) in enumerate(zip(start, step, strict=True))))


def _pad_infer(x: Aval, *, shape: Shape, start: Shape, step: Shape) -> Aval:
    _check_strided("pad", shape, start, x.shape, step)
    return Aval(x.dtype, shape)


def _pad_ref(x: np.ndarray, *, shape: Shape, start: Shape, step: Shape) -> np.ndarray:
    out = np.zeros(shape, x.dtype)
    out[_strided(start, x.shape, step)] = x
    return out


def _pad_index(operand: Shape, /, *, shape: Shape, start: Shape, step: Shape) -> ViewMap | None:
    dims, windows = [], []
    for k, (n, size, at, by) in enumerate(zip(shape, operand, start, step, strict=True)):
        if size <= 1:
            by = 1
        if by not in (1, -1):
            return None  # the operand index would be a quotient
        dims.append((k, -at * by, by))
        low = at if by == 1 else at - size + 1
        if size != n:
            windows.append((k, low, low + size, 1))
    return ViewMap(tuple(dims), tuple(windows))


slice_: Prim = Prim(
    name="slice",
    infer=_slice_infer,
    ref=lambda x, *, start, size, step: x[_strided(start, size, step)],
    emit=View(_slice_index),
    transpose=lambda ct, x, *, start, size, step: (pad(ct, shape=x.shape, start=start, step=step),),
    batch=_slice_batch,
)
pad: Prim = Prim(
    name="pad",
    infer=_pad_infer,
    ref=_pad_ref,
    emit=View(_pad_index),
    transpose=lambda ct, x, *, shape, start, step: (
        slice_(ct, start=start, size=x.shape, step=step),
    ),
    batch=_pad_batch,
)


# ------------------------------------------------------------------ concatenate and iota


def _concatenate_infer(*xs: Aval, axis: int) -> Aval:
    if not xs:
        raise ValueError("need at least one array to concatenate")
    first = xs[0]
    check_axes("concatenate", first.ndim, (axis,))
    for x in xs:
        if x.dtype != first.dtype:
            raise TypeError(f"concatenate: {x} beside {first}; cast them to one dtype first")
        if x.ndim != first.ndim or drop(x.shape, (axis,)) != drop(first.shape, (axis,)):
            raise ValueError(
                f"concatenate: all dimensions except axis {axis} must match exactly: "
                f"{' '.join(str(a.shape) for a in xs)}"
            )
    return Aval(first.dtype, _with(first.shape, axis, sum(x.shape[axis] for x in xs)))


def _concatenate_transpose(ct: Value, *xs: Value, axis: int) -> tuple[Value, ...]:
    out, at = [], 0
    for x in xs:
        out.append(narrow(ct, axis, at, x.shape[axis]))
        at += x.shape[axis]
    return tuple(out)


def _iota_infer(*, shape: Shape, axis: int, dtype: str) -> Aval:
    check_axes("iota", len(shape), (axis,))
    return Aval(dtype, shape)


def _iota_ref(*, shape: Shape, axis: int, dtype: str) -> np.ndarray:
    axes = tuple(i for i in range(len(shape)) if i != axis)
    return _broadcast_ref(np.arange(shape[axis]).astype(NUMPY[dtype]), shape=shape, axes=axes)


concatenate: Prim = Prim(
    name="concatenate",
    infer=_concatenate_infer,
    ref=lambda *xs, axis: np.concatenate(xs, axis),
    emit=Call("concatenate"),
    transpose=_concatenate_transpose,
    batch=along_rows(lambda: concatenate, "axis"),
)
iota = Prim(
    name="iota",
    infer=_iota_infer,
    ref=_iota_ref,
    emit=Call("iota"),
    nondiff="it has no operand",
)


# ------------------------------------------------------------------ functions of these rows


def _with(shape: Shape, axis: int, n: int) -> Shape:
    """The shape with another extent along one axis."""
    return (*shape[:axis], n, *shape[axis + 1 :])


def full(value: Any, aval: Aval) -> Value:
    """An array of this aval filled with a number or a 0-d value of its dtype."""
    scalar = value if isinstance(value, Value) else Const(value, aval.dtype)
    if scalar.aval != Aval(aval.dtype):
        raise TypeError(f"full: {scalar} is not a scalar of dtype {aval.dtype}")
    if not aval.shape:
        return scalar
    return broadcast(scalar, shape=aval.shape, axes=tuple(range(aval.ndim)))


def zeros(aval: Aval) -> Value:
    """An array of zeros (False for booleans)."""
    return full(0, aval)


def reshaped(x: Value, shape: Shape) -> Value:
    """`x` with this shape: itself where it has it already."""
    return x if x.shape == shape else reshape(x, shape=shape)


def squeeze(x: Value, axes: Shape) -> Value:
    """`x` without these axes, each of extent 1."""
    check_axes("squeeze", x.ndim, axes)
    if any(x.shape[a] != 1 for a in axes):
        raise ValueError(
            "cannot select an axis to squeeze out which has size not equal to one: "
            f"axes {axes} of {x.aval}"
        )
    return reshaped(x, drop(x.shape, axes))


def expand_dims(x: Value, axes: Shape) -> Value:
    """`x` with new axes of extent 1, numbered in the result."""
    check_axes("expand_dims", x.ndim + len(axes), axes)
    extents = iter(x.shape)
    return reshaped(x, tuple(1 if i in axes else next(extents) for i in range(x.ndim + len(axes))))


def stack(xs: Sequence[Value], axis: int = 0) -> Value:
    """The arrays, of one shape, joined along a new axis."""
    if any(x.shape != xs[0].shape for x in xs):
        raise ValueError(
            f"all input arrays must have the same shape: {' '.join(str(x.shape) for x in xs)}"
        )
    return concatenate(*(expand_dims(x, (axis,)) for x in xs), axis=axis)


def broadcast_to(x: Value, shape: Shape) -> Value:
    """`x` stretched to `shape` by NumPy's rules; itself where it has that shape."""
    if x.shape == shape:
        return x
    extra = len(shape) - x.ndim
    if extra < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[extra:], strict=True)):
        raise ValueError(f"could not broadcast from shape {x.shape} into shape {shape}")
    stretched = tuple(i for i, n in enumerate(x.shape) if n != shape[i + extra])
    axes = (*range(extra), *(i + extra for i in stretched))
    return broadcast(squeeze(x, stretched), shape=shape, axes=axes)


def unbroadcast(ct: Value, shape: Shape) -> Value:
    """Sum a cotangent back to the shape its primal had before broadcasting."""
    if ct.shape == shape:
        return ct
    extra = ct.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, ct.shape[extra:], strict=True)):
        raise ValueError(f"shape {shape} does not broadcast to the cotangent's {ct.shape}")
    axes = tuple(i for i, m in enumerate(ct.shape) if i < extra or m != shape[i - extra])
    return reshaped(sum_(ct, axes=axes), shape)


def narrow(x: Value, axis: int, start: int, size: int) -> Value:
    """The part `start : start + size` of one axis; `x` itself where that is all of it."""
    if (start, size) == (0, x.shape[axis]):
        return x
    at = _with((0,) * x.ndim, axis, start)
    return slice_(x, start=at, size=_with(x.shape, axis, size), step=(1,) * x.ndim)


def flip(x: Value, axes: Shape) -> Value:
    """`x` read backwards along these axes."""
    check_axes("flip", x.ndim, axes)
    turned = [i in axes and n > 1 for i, n in enumerate(x.shape)]
    if not any(turned):
        return x
    return slice_(
        x,
        start=tuple(n - 1 if t else 0 for n, t in zip(x.shape, turned, strict=True)),
        size=x.shape,
        step=tuple(-1 if t else 1 for t in turned),
    )


def permuted(x: Value, perm: Sequence[int]) -> Value:
    """`x` with its axes in this order: itself where the order is its own."""
    perm = tuple(map(operator.index, perm))
    return x if perm == tuple(range(x.ndim)) else transpose(x, perm=perm)


def moveaxis(x: Value, source: int, target: int) -> Value:
    """`x` with one axis (both non-negative) moved to another place, the others in order."""
    perm = [i for i in range(x.ndim) if i != source]
    perm.insert(target, source)
    return permuted(x, perm)
