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
_ROUNDS = 6  # of greedy colourings, each in an order that cannot be worse than the one before
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
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
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
    """Stencils: the position by a linear form, modulo the least number of colours."""
    where = np.unravel_index(np.arange(pattern.shape[1]), tuple(shape))
    dims = [d for d, n in enumerate(shape) if n > 1]
    if not dims:
        return None
    forms = product(range(1, least), repeat=len(dims) - 1)
    for factors in islice(forms, _FORMS):
        total = where[dims[-1]].copy()
        for d, f in zip(dims, factors, strict=False):
            total += f * where[d]
        if valid(pattern, total % least):
            return total % least
    return None


def _searched(pattern: Any) -> np.ndarray:
    """The better of repeated greedy colouring and, on graphs that are not large, networkx's."""
    lengths = np.diff(pattern.indptr).astype(np.int64)
    least, found = lower_bound(pattern), greedy(pattern)
    if count(found) > least and np.sum(lengths * (lengths - 1)) // 2 <= _EDGES:
        found = min(found, _by_graph(pattern), key=count)
    for _ in range(_ROUNDS):
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
