"""Windows that slide over an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from . import intercept, mutation
from .errors import UnsupportedOp
from .intercept import DECLINE
from .record import fail, recorder
from .surface import is_tracer, many_axes, shape_tuple, surface
from .surface_shape import handle

_shape = ops.shape
_SLICES = 32  # windows up to this width are slices side by side, wider ones a gather


@surface(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """np.lib.stride_tricks.sliding_window_view: a read-only view."""
    h, widths = handle(x), shape_tuple(window_shape)
    axes = tuple(range(h.ndim)) if axis is None else _axes(axis, h.ndim)
    if len(axes) != len(widths):
        what = "window_shape and axis" if axis is not None else "window_shape for all dims of x"
        raise ValueError(f"Must provide matching length {what}; got {len(widths)}, {len(axes)}")
    if any(w < 0 for w in widths):
        raise ValueError("window_shape cannot contain negative values")
    left = list(h.shape)
    for a, w in zip(axes, widths, strict=True):
        if left[a] < w:
            raise ValueError("window shape cannot be larger than input array shape")
        left[a] -= w - 1

    def get(base: Value) -> Value:
        for a, w in zip(axes, widths, strict=True):
            base = _windows(base, a, w)
        return base

    def put(base: Value, new: Value) -> Value:
        raise ValueError("assignment destination is read-only")

    how = mutation.View(get, put, "it is a sliding window (read-only) view")
    return mutation.view(h, how, None)


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes in the order given; one may come twice."""
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    return tuple(many_axes(a, ndim)[0] for a in given)


def _windows(x: Value, axis: int, width: int) -> Value:
    """The windows of this width along an axis, their elements along a new last one."""
    n = x.shape[axis] - width + 1
    if 0 < width <= _SLICES:
        return _shape.stack([_shape.narrow(x, axis, k, n) for k in range(width)], x.ndim)
    aval = Aval("i64", (n, width))
    first, step = (ops.iota(dtype="i64", shape=aval.shape, axis=d) for d in (0, 1))
    found = ops.gather(x, ops.add(first, step), axes=(axis,), mode="clip")
    perm = (*range(2, axis + 2), 0, *range(axis + 2, x.ndim + 1), 1)
    return ops.transpose(found, perm=perm)


def as_strided(
    x: Any, shape: Any = None, strides: Any = None, subok: bool = False, writeable: bool = True
) -> Any:
    """np.lib.stride_tricks.as_strided over the elements of x: a view that cannot be written."""
    h = handle(x)
    own = mutation.strides_of(h)
    shape = h.shape if shape is None else shape_tuple(shape)
    steps = own if strides is None else shape_tuple(strides)
    if len(shape) != len(steps):
        raise ValueError("mismatch in length of strides and shape")
    there, asked = _offsets(h.shape, own).ravel(), _offsets(shape, steps)
    order = np.argsort(there, kind="stable")
    rank = np.searchsorted(there[order], asked).clip(0, max(there.size - 1, 0))
    if asked.size and not (there.size and np.array_equal(there[order][rank], asked)):
        raise fail(
            UnsupportedOp,
            f"as_strided with shape {shape} and strides {steps} reads beyond the array",
            "Its strides are in bytes, of the array as it is in memory (x.strides).",
        )
    index = order[rank] if asked.size else np.zeros(shape, np.int64)

    def get(base: Value) -> Value:
        flat = _shape.reshaped(base, (base.aval.size,))
        at = recorder().lift(np.ascontiguousarray(index, np.int64))
        return ops.gather(flat, at, axes=(0,), mode="clip")

    def put(base: Value, new: Value) -> Value:
        raise ValueError("assignment destination is read-only")

    return mutation.view(h, mutation.View(get, put, "it is a view by as_strided"), None)


def _offsets(shape: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """How far from the first element each element lies, in bytes."""
    out = np.zeros((), np.int64)
    for n, step in zip(shape, strides, strict=True):
        out = out[..., None] + np.arange(n) * step
    return out


def _act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    return as_strided(*args, **kwargs) if args and is_tracer(args[0]) else DECLINE


intercept.enter(np.lib.stride_tricks, "as_strided", _act)
