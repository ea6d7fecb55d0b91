"""Rows that say where a few elements of a sorted array come from, without sorting all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..prim import Prim
from ..types import Aval
from .reduce import argsort
from .shape import along_rows, check_axes

FEW_LINES = 16  # that are partitioned one by one; more of them are sorted at once
LONG = 256  # elements from which on an array is not sorted for a few of them
Indices = np.ndarray[Any, np.dtype[np.int64]]


def _ranked_infer(x: Aval, *, axis: int, ranks: tuple[int, ...]) -> Aval:
    check_axes("ranked", x.ndim, (axis,))
    if any(not 0 <= k < x.shape[axis] for k in ranks) or list(ranks) != sorted(set(ranks)):
        raise ValueError(f"ranked: {ranks} are not distinct ranks, in order, of {x}")
    return Aval("i64", (*x.shape[:axis], len(ranks), *x.shape[axis + 1 :]))


def _ranked_ref(x: np.ndarray, *, axis: int, ranks: tuple[int, ...]) -> Indices:
    """`np.argsort(x, axis, kind="stable")` at some ranks, by selection where lines are long."""
    lines = np.moveaxis(x, axis, -1)
    n = lines.shape[-1]
    few_long = lines.size <= FEW_LINES * n and n >= LONG
    if not few_long or lines.dtype.kind == "c":  # of complex NaN there are several, in an order
        found = argsort.ref(lines, axis=lines.ndim - 1)[..., list(ranks)]
    else:
        flat = lines.reshape(-1, n)
        found = np.array([_selected(line, ranks) for line in flat], np.int64)
        found = found.reshape(*lines.shape[:-1], len(ranks))
    return np.ascontiguousarray(np.moveaxis(found, -1, axis))


def _selected(line: np.ndarray, ranks: Sequence[int]) -> list[int]:
    """Where the elements of these ranks stand; equals in their order, NaN last."""
    rest, last, found = line.copy(), -1, []
    for k in ranks:
        v = _next(rest, last, k)
        same = np.flatnonzero(line == v if v == v else line != line)
        if len(same) > 1:
            before = np.count_nonzero(line < v) if v == v else len(line) - len(same)
            same = same[k - before :]
        found.append(int(same[0]))
        last = k
    return found


def _next(rest: np.ndarray, last: int, k: int) -> Any:
    """The element of rank `k`, where those up to rank `last` lie in front of the others."""
    if k == len(rest) - 1:
        return np.max(rest[last + 1 :])
    if k > last + 1 or last < 0:
        rest[last + 1 :].partition(k - last - 1)
        return rest[k]
    v = np.min(rest[k:])
    if v != v:  # NaN come last
        v = np.fmin.reduce(rest[k:])
    where = k + int(np.argmax(rest[k:] == v)) if v == v else k
    rest[k], rest[where] = rest[where], rest[k]
    return v


def _kth_infer(x: Aval, *, axis: int, kth: tuple[int, ...]) -> Aval:
    check_axes("argpartition", x.ndim, (axis,))
    return Aval("i64", x.shape)


ranked: Prim = Prim(
    name="ranked",
    infer=_ranked_infer,
    ref=_ranked_ref,
    nondiff="its result is an index",
    batch=along_rows(lambda: ranked, "axis"),
)
argpartition: Prim = Prim(
    name="argpartition",
    infer=_kth_infer,
    ref=lambda x, *, axis, kth: np.argpartition(x, kth, axis),
    nondiff="its result is an index",
    batch=along_rows(lambda: argpartition, "axis"),
)


def few(ranks: int, n: int) -> bool:
    """Whether so many of the elements of a line are few enough to be looked for one by one."""
    return n >= LONG and 0 < ranks <= 64 and ranks * 16 <= n
