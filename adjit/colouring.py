"""Colours of a sparsity pattern: columns of one colour share no row, so one seed serves them all.

A pattern is a boolean CSR array.  A colouring is an array with a number per column, -1 for a column
without entries.  The columns of one row need as many colours as there are: where a colouring
reaches the largest row, it is as good as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, product
from typing import Any

import numpy as np

_EDGES = 150_000  # of a graph that is handed to networkx: about a second
_WORK = 1_000_000  # entries that repeated greedy colouring may visit: about a second
_ROUNDS = 6  # of it at most, each in an order that cannot be worse than the one before
_LARGE = 100_000  # entries of a pattern for which one colour more is as good
_SAMPLE = 1000  # rows that a guess is tried on first
_FORMS = 64  # linear forms of the position that are tried on arrays of several dims
_FEW_NODES = 2_000  # nodes of a graph for which the better, slower order is affordable


def lower_bound(pattern: Any) -> int:
    """The entries of the longest row."""
    return int(np.diff(pattern.indptr).max(initial=0))


def colour(pattern: Any, shape: Sequence[int] = ()) -> np.ndarray:
    """A colouring of the columns, which are the elements of an array of this shape in C order."""
    least = lower_bound(pattern)
    if least <= 1:
        found = np.zeros(pattern.shape[1], np.int64)
    else:
        periodic = _periodic(pattern, least, shape or (pattern.shape[1],))
        found = periodic if periodic is not None else _searched(pattern)
    return _named(pattern, found)


def count(colours: np.ndarray) -> int:
    """How many colours there are."""
    return int(colours.max(initial=-1)) + 1


def valid(pattern: Any, colours: np.ndarray) -> bool:
    """Whether no row has two columns of one colour."""
    used = colours[pattern.indices]
    if used.size and used.min() < 0:
        return False
    few = pattern.indptr[min(pattern.shape[0], _SAMPLE)]
    return _distinct(pattern, colours, few) and _distinct(pattern, colours, used.size)


def _distinct(pattern: Any, colours: np.ndarray, entries: int) -> bool:
    """The same of the rows that the first `entries` lie in."""
    used = colours[pattern.indices[:entries]]
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))[:entries]
    keys = np.sort(rows * (count(colours) + 1) + used)
    return not np.any(keys[1:] == keys[:-1])


def _named(pattern: Any, colours: np.ndarray) -> np.ndarray:
    """The colours that are in use, numbered from 0; -1 for columns without entries."""
    used = np.zeros(pattern.shape[1], bool)
    used[pattern.indices] = True
    out = np.full(pattern.shape[1], -1, np.int64)
    out[used] = np.unique(colours[used], return_inverse=True)[1]
    return out


def _periodic(pattern: Any, least: int, shape: Sequence[int]) -> np.ndarray | None:
    """Stencils: the position by a linear form, modulo a small number of colours."""
    n = pattern.shape[1]
    shapes = [tuple(m for m in shape if m > 1) or (n,)]
    if len(shapes[0]) == 1:  # perhaps several fields, one behind the other
        shapes += [(k, n // k) for k in (2, 3, 4, 5) if n % k == 0 and n > 2 * k]
    for period in (least, least + 1) if pattern.nnz > _LARGE else (least,):
        for extents in shapes:
            where = np.unravel_index(np.arange(n), extents)
            for factors in islice(product(range(period), repeat=len(extents) - 1), _FORMS):
                total = where[-1].copy()
                for x, f in zip(where[:-1], factors, strict=True):
                    total += f * x
                if valid(pattern, total % period):
                    return total % period
    return None


def _searched(pattern: Any) -> np.ndarray:
    """The better of repeated greedy colouring and, on graphs that are not large, networkx's."""
    lengths = np.diff(pattern.indptr).astype(np.int64)
    least, found = lower_bound(pattern), greedy(pattern)
    if count(found) > least and np.sum(lengths * (lengths - 1)) // 2 <= _EDGES:
        found = min(found, _by_graph(pattern), key=count)
    for _ in range(min(_ROUNDS, _WORK // max(pattern.nnz, 1))):
        if count(found) == least:
            break
        # Column classes in reverse order: each class as a whole still finds a colour.
        found = min(found, greedy(pattern, np.argsort(-found, kind="stable")), key=count)
    return found


def _by_graph(pattern: Any) -> np.ndarray:
    """networkx's greedy colouring of the graph in which columns of one row are neighbours."""
    import networkx as nx

    overlaps = (pattern.T @ pattern).tocoo()
    upper = overlaps.row < overlaps.col
    graph = nx.Graph()
    graph.add_nodes_from(range(pattern.shape[1]))
    graph.add_edges_from(
        zip(overlaps.row[upper].tolist(), overlaps.col[upper].tolist(), strict=True)
    )
    small = len(graph) <= _FEW_NODES
    colours = nx.greedy_color(graph, "saturation_largest_first" if small else "smallest_last")
    return np.array([colours[j] for j in range(pattern.shape[1])], np.int64)


def greedy(pattern: Any, order: np.ndarray | None = None) -> np.ndarray:
    """Each column in turn takes the first colour that none of its rows has: O(entries)."""
    columns = pattern.tocsc()
    starts, rows = columns.indptr.tolist(), columns.indices.tolist()
    taken = [0] * pattern.shape[0]  # the colours of each row, as bits
    out = np.zeros(pattern.shape[1], np.int64)
    for j in range(pattern.shape[1]) if order is None else order.tolist():
        mine, busy = rows[starts[j] : starts[j + 1]], 0
        for i in mine:
            busy |= taken[i]
        bit = ~busy & (busy + 1)  # the lowest that is not set
        for i in mine:
            taken[i] |= bit
        out[j] = bit.bit_length() - 1
    return out
