"""Products of panels that threads share: each does some rows, or some columns, of the result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from . import panels
from .team import MOST, together

LEAST = 1 << 20  # multiplications of one thread: waking another one costs 10 us
COPIED = 1 << 15  # elements that one thread copies
Table = np.ndarray[Any, np.dtype[np.int64]]


def cuts(
    extent: int, unit: int, work: int, threads: int, least: int = COPIED
) -> list[tuple[int, int]]:
    """Parts of an extent for threads, in whole units; one if the work is not worth more."""
    count = min(threads, MOST, -(-extent // unit), max(1, work // least))
    units = -(-extent // unit)
    marks = [min(extent, unit * (units * k // count)) for k in range(count + 1)]
    return list(pairwise(marks))


def rows(
    kind: str, dtype: np.dtype, shape: panels.Tile, sizes: tuple[int, ...], places: Table,
    targets: Table, threads: int,
) -> Callable[..., None]:  # fmt: skip
    """The product "rows" as a function of (x, zeros, b, c)."""
    m, n, taps, depth, panel, row, keep = sizes
    places, work = places.reshape(m, -1), m * n * taps * depth
    if kind == "rows" and m >= 2 * threads * shape[0]:
        bounds = cuts(m, shape[0], work, threads, LEAST)
        call = together([
            panels.member(kind, dtype, shape, (high - low, *sizes[1:])) for low, high in bounds
        ])  # fmt: skip
        parts = [(places[low:high], targets[low:high]) for low, high in bounds]

        def by_rows(x: np.ndarray, zeros: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
            call(*[a for at, to in parts for a in (x, at, zeros, b, c, to)])

        return by_rows
    width = shape[1] * panels.width(dtype)
    bounds = cuts(n, width, work, threads, LEAST)
    across = together([
        panels.member(kind, dtype, shape, (m, high - low, taps, depth, panel, row, keep))
        for low, high in bounds
    ])  # fmt: skip
    starts = [(low // width * panel, low) for low, _ in bounds]

    def by_columns(x: np.ndarray, zeros: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        of_b, of_c = b.reshape(-1), c.reshape(-1)
        across(*[
            a for start, low in starts
            for a in (x, places, zeros, of_b[start:], of_c[low:], targets)
        ])  # fmt: skip

    return by_columns


def outer(
    kind: str, dtype: np.dtype, shape: panels.Tile, sizes: tuple[int, ...], places: Table,
    threads: int,
) -> Callable[..., None]:  # fmt: skip
    """The product "outer" as a function of (a, x, zeros, c)."""
    m, n, depth, taps, tile, _, ldc, *_ = sizes
    bounds = cuts(m, shape[0], m * n * depth * taps, threads, LEAST)
    call = together([
        panels.member(kind, dtype, shape, (high - low, *sizes[1:])) for low, high in bounds
    ])  # fmt: skip
    starts = [(low // shape[0] * tile, low * ldc) for low, _ in bounds]

    def product(a: np.ndarray, x: np.ndarray, zeros: np.ndarray, c: np.ndarray) -> None:
        of_a, of_c = a.reshape(-1), c.reshape(-1)
        call(*[y for at, to in starts for y in (of_a[at:], x, places, zeros, of_c[to:])])

    return product


def dots(
    dtype: np.dtype, shape: panels.Tile, sizes: tuple[int, ...], threads: int
) -> Callable[..., None]:
    """The product "dots" as a function of (a, b, c)."""
    m, n, k, ldc = sizes
    bounds = cuts(n, shape[1], m * n * k, threads, LEAST)
    call = together([
        panels.member("dots", dtype, shape, (m, high - low, k, ldc)) for low, high in bounds
    ])  # fmt: skip

    def product(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        of_b, of_c = b.reshape(-1), c.reshape(-1)
        call(*[x for low, _ in bounds for x in (a, of_b[low * k :], of_c[low:])])

    return product
