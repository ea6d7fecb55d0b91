"""Shapes: reshape, transposition, broadcasting, flips, copies, and ndarray's attributes."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from . import mutation
from .record import recorder
from .surface import (
    array,
    is_tracer,
    many_axes,
    method,
    one_axis,
    shape_tuple,
    surface,
    value,
)
from .tracer import ENTRY, Tracer

Shape = tuple[int, ...]


def handle(a: Any) -> Tracer:
    """Anything as an array of the trace that views may be taken of."""
    if is_tracer(a) and a._kind == "array":
        return a
    return array(value(a))


# ------------------------------------------------------------------ reshape


def _settle(shape: Shape, size: int) -> Shape:
    """The shape with -1 replaced by what is left."""
    if -1 in shape:
        known = 1
        for n in shape:
            known *= n if n != -1 else 1
        if shape.count(-1) > 1:
            raise ValueError("can only specify one unknown dimension")
        if known and size % known == 0:
            return tuple(size // known if n == -1 else n for n in shape)
    total = 1
    for n in shape:
        total *= n
    if total != size or any(n < 0 for n in shape):
        raise ValueError(f"cannot reshape array of size {size} into shape {shape}")
    return shape


def _fortran(h: Tracer, shape: Shape) -> Any:
    """A reshape in Fortran order: C order of the transposed arrays."""
    back = transpose(reshape(transpose(h), shape[::-1]))
    return back


@surface(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None, **old: Any) -> Any:
    """np.reshape: a view where the strides allow it."""
    h = handle(a)
    new = _settle(shape_tuple(old.get("newshape", shape)), h.size)
    if order == "A":
        order = "F" if h._strides is not None and is_fortran(h) else "C"
    if order == "F" and (h.ndim > 1 or len(new) > 1):
        out = _fortran(h, new)
        return Tracer(recorder(), value(out), "array") if copy else out
    is_view, strides = mutation.reshaped_strides(h, new)
    if is_view and not copy:
        return mutation.view(h, mutation.reshape_view(new), strides)
    if copy is False:
        raise ValueError("Unable to avoid creating a copy while reshaping.")
    return array(ops.shape.reshaped(value(h), new))


def is_fortran(h: Tracer) -> bool:
    """Whether an array is contiguous in Fortran order."""
    return mutation.normal(h.shape[::-1], mutation.strides_of(h)[::-1], h._value.aval.dtype) is None


@surface(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """np.ravel: a view only where the array is contiguous in that order."""
    h = handle(a)
    fortran = is_fortran(h)
    if order == "K" and h._strides is not None:  # the order of memory
        old = mutation.strides_of(h)
        perm = sorted(range(h.ndim), key=lambda i: -abs(old[i]))
        return ravel(transpose(h, perm))
    if order == "A":
        order = "F" if fortran and h._strides is not None else "C"
    contiguous = h._strides is None if order in "CK" else fortran
    return reshape(h, (h.size,), "F" if order == "F" else "C", copy=None if contiguous else True)


@method
def reshape_(self: Tracer, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    """ndarray.reshape."""
    if len(shape) == 1 and (shape[0] is None or not isinstance(shape[0], (int, np.integer))):
        (shape,) = shape
    return reshape(self, shape, order, copy=copy)


@method
def ravel_(self: Tracer, order: str = "C") -> Any:
    """ndarray.ravel."""
    return ravel(self, order)


@method
def flatten(self: Tracer, order: str = "C") -> Any:
    """ndarray.flatten."""
    return array(value(ravel(self, order)))


@surface(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """np.squeeze."""
    h = handle(a)
    if axis is None or (not h.ndim and axis in (0, -1)):  # NumPy lets these pass
        axes = tuple(i for i, n in enumerate(h.shape) if n == 1)
    else:
        axes = many_axes(axis, h.ndim)
    if any(h.shape[i] != 1 for i in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return _restrided(h, [i for i in range(h.ndim) if i not in axes])


@surface(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """np.expand_dims."""
    h = handle(a)
    n = h.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1)
    axes = many_axes(axis, n)
    old = iter(range(h.ndim))
    return _restrided(h, [None if i in axes else next(old) for i in range(n)])


def _restrided(h: Tracer, dims: list[int | None]) -> Any:
    """A view with dims of extent 1 dropped or inserted."""
    old = mutation.strides_of(h)
    shape = tuple(1 if d is None else h.shape[d] for d in dims)
    strides = tuple(0 if d is None else old[d] for d in dims)
    strides_ = mutation.normal(shape, strides, h._value.aval.dtype)
    return mutation.view(h, mutation.reshape_view(shape), strides_)


@method
def squeeze_(self: Tracer, axis: Any = None) -> Any:
    """ndarray.squeeze."""
    return squeeze(self, axis)


def _at_least(n: int, place: Any) -> Any:
    def widen(*arys: Any) -> Any:
        out = [place(handle(a)) if handle(a).ndim < n else handle(a) for a in arys]
        return out[0] if len(out) == 1 else tuple(out)

    return widen


def _to_3d(h: Tracer) -> Tracer:
    shape = {0: (1, 1, 1), 1: (1, *h.shape, 1), 2: (*h.shape, 1)}[h.ndim]
    return reshape(h, shape)


surface(np.atleast_1d)(_at_least(1, lambda h: reshape(h, (1,))))
surface(np.atleast_2d)(
    _at_least(2, lambda h: reshape(h, (1, 1) if h.ndim == 0 else (1, h.shape[0])))
)
surface(np.atleast_3d)(_at_least(3, _to_3d))

# ------------------------------------------------------------------ transposition


@surface(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    """np.transpose."""
    h = handle(a)
    if axes is None:
        perm = tuple(range(h.ndim))[::-1]
    else:
        if len(axes) != h.ndim:
            raise ValueError("axes don't match array")
        perm = tuple(one_axis(i, h.ndim) for i in axes)
        if len(set(perm)) != len(perm):
            raise ValueError("repeated axis in transpose")
    old = mutation.strides_of(h)
    shape = tuple(h.shape[p] for p in perm)
    strides = mutation.normal(shape, tuple(old[p] for p in perm), h._value.aval.dtype)
    return mutation.view(h, mutation.transpose_view(perm), strides)


@method
def transpose_(self: Tracer, *axes: Any) -> Any:
    """ndarray.transpose."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
        (axes,) = axes
    return transpose(self, axes or None)


@surface(np.swapaxes)
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    """np.swapaxes."""
    h = handle(a)
    i, j = one_axis(axis1, h.ndim), one_axis(axis2, h.ndim)
    perm = list(range(h.ndim))
    perm[i], perm[j] = j, i
    return transpose(h, perm)


@method
def swapaxes_(self: Tracer, axis1: Any, axis2: Any) -> Any:
    """ndarray.swapaxes."""
    return swapaxes(self, axis1, axis2)


@surface(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """np.moveaxis."""
    h = handle(a)
    one = isinstance(source, (int, np.integer))
    pairs = [(source, destination)] if one else list(zip(source, destination, strict=True))
    placed = sorted((one_axis(d, h.ndim), one_axis(s, h.ndim)) for s, d in pairs)
    order = [i for i in range(h.ndim) if i not in {s for _, s in placed}]
    for d, s in placed:
        order.insert(d, s)
    return transpose(h, order)


@surface(np.rollaxis)
def rollaxis(a: Any, axis: Any, start: Any = 0) -> Any:
    """np.rollaxis."""
    h = handle(a)
    i = one_axis(axis, h.ndim)
    start = start + h.ndim if start < 0 else start
    return moveaxis(h, i, start - 1 if i < start else start)


@surface(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """np.matrix_transpose."""
    return swapaxes(x, -1, -2)


# ------------------------------------------------------------------ flips and turns


@surface(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """np.flip."""
    h = handle(m)
    index = [slice(None)] * h.ndim
    for i in many_axes(axis, h.ndim):
        index[i] = slice(None, None, -1)
    return ENTRY["getitem"](h, tuple(index))


@surface(np.fliplr)
def fliplr(m: Any) -> Any:
    """np.fliplr."""
    if handle(m).ndim < 2:
        raise ValueError("Input must be >= 2-d.")
    return flip(m, 1)


@surface(np.flipud)
def flipud(m: Any) -> Any:
    """np.flipud."""
    if handle(m).ndim < 1:
        raise ValueError("Input must be >= 1-d.")
    return flip(m, 0)


@surface(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """np.roll by shifts that are known while tracing."""
    x = value(a)
    if axis is None:
        flat = ops.shape.reshaped(x, (x.aval.size,))
        return array(ops.shape.reshaped(_rolled(flat, operator.index(shift), 0), x.shape))
    shifts, axes = np.broadcast_arrays(np.asarray(shift), np.asarray(axis))
    for s, i in zip(shifts.ravel().tolist(), axes.ravel().tolist(), strict=True):
        x = _rolled(x, s, one_axis(i, x.ndim))
    return array(x)


def _rolled(x: Value, shift: int, axis: int) -> Value:
    n = x.shape[axis]
    if not n:
        return x
    shift %= n  # one of 0 is recorded, too: in a loop, shifts are numbers like others
    tail = ops.shape.narrow(x, axis, n - shift, shift)
    return ops.concatenate(tail, ops.shape.narrow(x, axis, 0, n - shift), axis=axis)


@surface(np.rot90)
def rot90(m: Any, k: Any = 1, axes: Any = (0, 1)) -> Any:
    """np.rot90."""
    h = handle(m)
    i, j = (one_axis(a, h.ndim) for a in axes)
    if i == j:
        raise ValueError("Axes must be different.")
    k = operator.index(k) % 4
    if k == 0:
        return ENTRY["getitem"](h, ...)
    if k == 2:
        return flip(flip(h, i), j)
    return swapaxes(flip(h, j), i, j) if k == 1 else flip(swapaxes(h, i, j), j)


# ------------------------------------------------------------------ broadcasting


@surface(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """np.broadcast_to: a read-only view."""
    h = handle(array)
    new = shape_tuple(shape)
    old = mutation.strides_of(h)
    extra = len(new) - h.ndim
    view = mutation.view(h, mutation.broadcast_view(new), None)
    strides = [0] * extra + [
        0 if n == 1 and m != 1 else s for n, m, s in zip(h.shape, new[extra:], old, strict=True)
    ]
    view._strides = mutation.normal(new, tuple(strides), h._value.aval.dtype)
    return view


@surface(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """np.broadcast_arrays."""
    shape = np.broadcast_shapes(*(np.shape(a) if not is_tracer(a) else a.shape for a in args))
    return tuple(handle(a) if handle(a).shape == shape else broadcast_to(a, shape) for a in args)
