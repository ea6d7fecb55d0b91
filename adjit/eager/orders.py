"""The elements of a Tensor in order, and where they stood."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import method
from .indexing import narrow
from .reductions import Extremes, extremes, one_axis
from .tape import Operation, record
from .tensor_object import Tensor, shown

# What `tensors` shows.
__all__ = ["argsort", "sort", "topk"]


def _sort(x: Any, axis: int, descending: bool) -> Any:
    if not x.ndim:
        return x, np.zeros((), np.int64)
    if not descending:
        at = np.argsort(x, axis=axis, kind="stable")
    else:  # of -x, small and unsigned integers and NaN would stand elsewhere
        back = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        at = np.flip(x.shape[axis] - 1 - back, axis)
    return np.take_along_axis(x, at, axis), at


SORT = Operation("SortBackward0", _sort)


@method("sort")
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> Extremes:
    """The elements in order along an axis, and where they stood."""
    node = record(SORT, (input._ref(),), (one_axis(dim, input.ndim), descending))
    return extremes("sort")(shown(node, 0), shown(node, 1))


@method("argsort")
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = None
) -> Tensor:
    """Where the elements stand in order."""
    return sort(input, dim, descending).indices


@method("topk")
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> Extremes:
    """The largest elements along an axis, and where they stand."""
    if not 0 <= k <= (input._aval_shape()[one_axis(dim, input.ndim)] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    values, indices = sort(input, dim, largest)
    return extremes("topk")(narrow(values, dim, 0, k), narrow(indices, dim, 0, k))
