"""Windows that slide over an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from . import mutation
from .surface import many_axes, refuse, shape_tuple, surface
from .surface_shape import handle

_shape = ops.shape
_SLICES = 32  # windows up to this width are slices side by side, wider ones a gather


@surface(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """np.lib.stride_tricks.sliding_window_view: a read-only view."""
    if writeable:
        raise refuse("a sliding window view that is written through")
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
