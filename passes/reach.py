"""Sets of columns for the elements of a value, and their unions: the algebra of `sparsity`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.records import dataclass
from ..ir.types import Aval

LIMIT = 30_000_000  # entries of all the sets of one value


class TooDense(Exception):
    """The sets are so large that there is nothing to win."""


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """For each element of a value the number of its set; sets are rows of a boolean CSR array.

    Set 0 is empty.  `rows` may be a broadcast view.  A value that depends on nothing has None in
    place of a Reach.
    """

    rows: np.ndarray
    sets: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape

    def expanded(self) -> Any:
        """The whole pattern: one row per element, in C order."""
        flat = self.rows.ravel()
        check(int(np.diff(self.sets.indptr)[flat].sum()))
        return self.sets[flat]


def _csr(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    return csr_array((data, indices, indptr), shape=shape)


def _ones(n: int) -> np.ndarray:
    return np.ones(n, np.bool_)


def seed(aval: Aval, start: int, width: int) -> Reach:
    n = aval.size
    indptr = np.concatenate(([0], np.arange(n + 1)))
    sets = _csr(_ones(n), np.arange(start, start + n), indptr, (n + 1, width))
    return Reach(np.arange(1, n + 1).reshape(aval.shape), sets)


def check(count: int) -> None:
    if count > LIMIT:
        raise TooDense(f"more than {LIMIT} entries")


def _with_empty(sets: Any) -> Any:
    """The sets, with the empty one in front as number 0."""
    check(sets.nnz)
    sets.sort_indices()
    indptr = np.concatenate((sets.indptr[:1], sets.indptr))
    return _csr(sets.data, sets.indices, indptr, (sets.shape[0] + 1, sets.shape[1]))


def _core(rows: np.ndarray, *more: np.ndarray) -> list[np.ndarray]:
    """The same arrays of one shape without what merely repeats in all of them: extent 1 there."""
    every = (rows, *more)
    index = tuple(
        slice(0, 1) if all(r.strides[d] == 0 for r in every) else slice(None)
        for d in range(rows.ndim)
    )
    return [r[index] for r in every] if rows.size else list(every)


def _pair(a: Reach, b: Reach, shape: tuple[int, ...]) -> Reach:
    """The union, element by element."""
    wide = [np.broadcast_to(r.rows, shape) for r in (a, b)]
    left, right = _core(*wide)
    if a.sets is b.sets and np.array_equal(left, right):
        return Reach(wide[0], a.sets)
    core, counts = left.shape, (a.sets.shape[0], b.sets.shape[0])
    left, right = left.ravel(), right.ravel()
    if 2 * max(counts) < left.size:  # equal pairs are one
        keys, back = np.unique(left * counts[1] + right, return_inverse=True)
        left, right = keys // counts[1], keys % counts[1]
    else:
        back = np.arange(left.size)
    for sets, which in ((a.sets, left), (b.sets, right)):
        check(int(np.diff(sets.indptr)[which].sum()))
    first, second = a.sets[left], b.sets[right]
    both = first + second
    if both.nnz == first.nnz:
        return Reach(wide[0], a.sets)
    if both.nnz == second.nnz:
        return Reach(wide[1], b.sets)
    rows = (back + 1).reshape(core)
    return Reach(np.broadcast_to(rows, shape), _with_empty(both))


def union(parts: Sequence[Reach | None], shape: tuple[int, ...]) -> Reach | None:
    """The union of what broadcasts to one shape."""
    total: Reach | None = None
    for r in parts:
        if r is None:
            continue
        total = Reach(np.broadcast_to(r.rows, shape), r.sets) if total is None else _pair(
            total, r, shape
        )  # fmt: skip
    return total


def folded(r: Reach | None, axes: Sequence[int]) -> Reach | None:
    """The union along axes, which are dropped."""
    if r is None:
        return None
    if not axes:
        return r
    kept = [d for d in range(r.rows.ndim) if d not in axes]
    shape = tuple(r.shape[d] for d in kept)
    if r.rows.size == 0:
        return None
    (core,) = _core(np.transpose(r.rows, (*kept, *axes)))
    outer = core.shape[: len(kept)]
    count = int(np.prod(outer, dtype=int))
    table = core.reshape(count, -1)
    inner, names = table.shape[1], r.sets.shape[0]
    if inner == 1:
        return Reach(np.broadcast_to(table.reshape(outer), shape), r.sets)
    if inner > names:  # many repeat
        keys = np.unique(table + np.arange(count)[:, None] * names)
        lengths = np.bincount(keys // names, minlength=count)
        flat, indptr = keys % names, np.concatenate(([0], np.cumsum(lengths)))
    else:
        flat, indptr = table.ravel(), np.arange(0, count * inner + 1, inner)
    return collected(r.sets, flat, indptr, outer, shape)


def collected(
    sets: Any, flat: np.ndarray, indptr: np.ndarray, outer: tuple[int, ...], shape: tuple[int, ...]
) -> Reach:
    """Unions of the sets `flat[indptr[k] : indptr[k + 1]]`."""
    count = len(indptr) - 1
    check(int(np.diff(sets.indptr)[flat].sum()))
    chosen = _csr(_ones(flat.size), flat, indptr, (count, sets.shape[0]))
    rows = np.arange(1, count + 1).reshape(outer)
    return Reach(np.broadcast_to(rows, shape), _with_empty(chosen @ sets))


def stretched(r: Reach | None, axes: Sequence[int], shape: tuple[int, ...]) -> Reach | None:
    """The same along new axes of the given shape."""
    if r is None:
        return None
    return Reach(np.broadcast_to(np.expand_dims(r.rows, tuple(axes)), shape), r.sets)


def moved(r: Reach | None, move: Callable[[np.ndarray], np.ndarray]) -> Reach | None:
    return None if r is None else Reach(move(r.rows), r.sets)
