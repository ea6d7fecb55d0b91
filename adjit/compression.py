"""Which seeds a sparse matrix of derivatives needs, and where its entries stand in what they give.

A seed of forward mode is a sum of unit tangents, one of reverse mode a sum of unit cotangents.  A
few long rows (a sum over everything) or long columns (a shared parameter) would each cost a seed
per entry by the one mode, and cost a single seed by the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import colouring
from .ir.records import dataclass

MOST_APART = 64  # long rows or columns that get a seed of their own
_LARGE = 100_000  # entries of a pattern whose colours take some time
_Shape = Sequence[int]


@dataclass(frozen=True, eq=False)
class Compression:
    """Seeds for a pattern of m rows and n columns.

    forward, reverse  the seed of each column, of each row (-1: none), or None
    symmetric         entries may stand where their mirror images are
    alone             seeds that serve one row or column only: all of the way `single`, or the
                      last of the symmetric ones
    """

    pattern: Any
    forward: np.ndarray | None = None
    reverse: np.ndarray | None = None
    symmetric: bool = False
    alone: int = 0
    single: str = ""

    @property
    def sweeps(self) -> tuple[int, int]:
        """How many seeds there are, forward and reverse."""
        ways = (self.forward, self.reverse)
        return tuple(0 if w is None else colouring.count(w) for w in ways)  # type: ignore[return-value]

    @property
    def compressed(self) -> int:
        """How many numbers the sweeps give."""
        m, n = self.pattern.shape
        forward, reverse = self.sweeps
        return forward * m + reverse * n

    def places(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Where these entries stand among the results of all forward, then all reverse sweeps."""
        m, n = self.pattern.shape
        if self.symmetric:
            assert self.forward is not None
            # Seeds of single columns come last, and what they do not find is found by theirs.
            first = colouring.count(self.forward) - self.alone
            mirrored = (self.forward[rows] >= first) & (self.forward[columns] < first)
            rows, columns = np.where(mirrored, (columns, rows), (rows, columns))
            return self.forward[columns] * m + rows
        if self.reverse is None:
            assert self.forward is not None
            return self.forward[columns] * m + rows
        base = self.sweeps[0] * m
        back = base + self.reverse[rows] * n + columns
        if self.forward is None:
            return back
        back_only = self.reverse[rows] >= 0 if self.single == "reverse" else (
            self.forward[columns] < 0
        )  # fmt: skip
        return np.where(back_only, back, self.forward[columns] * m + rows)

    def __str__(self) -> str:
        m, n = self.pattern.shape
        share = 100 * self.pattern.nnz / max(m * n, 1)
        forward, reverse = self.sweeps
        ways = [f"{k} {name}" for k, name in ((forward, "forward"), (reverse, "reverse")) if k]
        alone = f", {self.alone} of them for one row or column" if self.alone else ""
        seeds = f"{' and '.join(ways) or 'no'} seeds{alone}"
        return f"{m} x {n}, {self.pattern.nnz} entries ({share:.2g} %); {seeds}"


def compress(pattern: Any, mode: str | None, inner: _Shape = (), outer: _Shape = ()) -> Compression:
    """The cheapest seeds found: forward, reverse, or both.

    `inner` and `outer` are the shapes whose elements the columns and rows are, if it is one each.
    """
    flipped = pattern.T.tocsr()
    if mode == "fwd":
        return _one_way(pattern, pattern, inner, "forward", 0)
    if mode == "rev":
        return _one_way(pattern, flipped, outer, "reverse", 0)
    ways = [(*_apart(pattern), "forward"), (*_apart(flipped), "reverse")]
    best: Compression | None = None
    for least, apart, way in sorted(ways, key=lambda w: w[0]):
        if best is not None and sum(best.sweeps) <= (2 if pattern.nnz > _LARGE else 1) * least:
            break  # the other way cannot win, or not by what searching its colours takes
        turned, shape = (pattern, inner) if way == "forward" else (flipped, outer)
        found = _one_way(pattern, turned, shape, way, apart)
        best = found if best is None or sum(found.sweeps) < sum(best.sweeps) else best
    assert best is not None
    return best


def _apart(pattern: Any) -> tuple[int, int]:
    """The least number of seeds when the longest rows have their own, and how many those are."""
    lengths = np.sort(np.diff(pattern.indptr))[::-1][: MOST_APART + 1]
    totals = lengths + np.arange(lengths.size)
    if not totals.size:
        return 0, 0
    apart = int(np.argmin(totals))
    if apart and totals[apart] > 0.8 * totals[0]:  # not worth a second way
        apart = 0
    return int(totals[apart]), apart


def _longest(pattern: Any, apart: int) -> np.ndarray:
    """The numbers of the longest rows."""
    return np.sort(np.argsort(-np.diff(pattern.indptr), kind="stable")[:apart])


def _without(pattern: Any, rows: np.ndarray) -> Any:
    """The pattern without the entries of some rows."""
    from scipy.sparse import diags_array

    if not rows.size:
        return pattern
    kept = np.ones(pattern.shape[0], bool)
    kept[rows] = False
    rest = (diags_array(kept, dtype=bool) @ pattern).tocsr()
    rest.eliminate_zeros()
    return rest


def _one_way(pattern: Any, turned: Any, shape: _Shape, way: str, apart: int) -> Compression:
    """Colours for the columns of `turned`, and seeds of their own for its longest rows."""
    long = _longest(turned, apart)
    colours = colouring.colour(_without(turned, long), shape)
    if not apart:
        only: dict[str, Any] = {way: colours}
        return Compression(pattern, **only)
    single = np.full(turned.shape[0], -1, np.int64)
    single[long] = np.arange(apart)
    other = "reverse" if way == "forward" else "forward"
    ways: dict[str, Any] = {way: colours, other: single}
    return Compression(pattern, **ways, alone=apart, single=other)


def compress_symmetric(pattern: Any, shape: _Shape = ()) -> Compression:
    """Forward seeds for a symmetric pattern; of its longest rows, each has one as a column."""
    _, apart = _apart(pattern)
    long = _longest(pattern, apart)
    rest = _without(_without(pattern, long).T.tocsr(), long)
    colours = colouring.colour(rest, shape)
    colours[long] = colouring.count(colours) + np.arange(apart)
    return Compression(pattern, forward=colours, symmetric=True, alone=apart)
