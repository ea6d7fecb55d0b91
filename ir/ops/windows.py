"""The largest pixel of each window, by its place: what max pooling gathers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Value
from ..prim import Call, Prim
from ..types import Aval
from .shape import Mask, Shape, reshaped


def _infer(x: Aval, *, kernel: Shape, stride: Shape, padding: Shape, places: Shape) -> Aval:
    rank = x.ndim - 2
    if rank < 1 or any(len(p) != rank for p in (kernel, stride, padding, places)):
        raise ValueError(f"window_argmax: {x} and settings of another rank")
    for n, k, s, p, count in zip(x.shape[1:-1], kernel, stride, padding, places, strict=True):
        first, last = -p, (count - 1) * s - p
        if count and (first + k <= 0 or last >= n):
            raise ValueError(f"window_argmax: a window of {kernel} has no pixel of {x}")
    return Aval("i64", (x.shape[0], *places, x.shape[-1]))


def _seen(n: int, k: int, stride: int, padding: int, places: int) -> np.ndarray:
    """Which index of n the k-th of each window is; beyond an edge, the pixel at the edge."""
    return np.clip(np.arange(places) * stride - padding + k, 0, n - 1)


def _ref(
    x: np.ndarray, *, kernel: Shape, stride: Shape, padding: Shape, places: Shape
) -> np.ndarray:
    space = x.shape[1:-1]
    best = where = None
    for at in itertools.product(*map(range, kernel)):
        index = [
            _seen(n, k, s, p, count)
            for n, k, s, p, count in zip(space, at, stride, padding, places, strict=True)
        ]
        seen: Any = (slice(None), *np.ix_(*index))
        part = x[seen]
        place = np.ravel_multi_index(np.ix_(*index), space)[None, ..., None]
        if best is None or where is None:
            best, where = part, np.broadcast_to(place, part.shape)
            continue
        better = (part > best) | ((part != part) & (best == best))
        best, where = np.where(better, part, best), np.where(better, place, where)
    assert where is not None
    return np.ascontiguousarray(where, np.int64)


def _batch(args: Sequence[Value], moved: Mask, **attrs: Shape) -> Value:
    (x,) = args
    flat = reshaped(x, (x.shape[0] * x.shape[1], *x.shape[2:]))
    found = window_argmax(flat, **attrs)
    return reshaped(found, (*x.shape[:2], *found.shape[1:]))


# Images lie as (batch, *space, channels); the result counts pixels of the space as one dim.  Of
# equal pixels the first is taken, of NaN the first one.
window_argmax: Prim = Prim(
    name="window_argmax",
    infer=_infer,
    ref=_ref,
    emit=Call("window_argmax"),
    nondiff="its result is an index",
    batch=_batch,
)
