"""Products of panels that threads share: each does some rows, or some columns, of the result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from . import panels, workers

LEAST = 1 << 20  # multiplications of one thread: waking another one costs 10 us
COPIED = 1 << 15  # elements that one thread copies
Table = np.ndarray[Any, np.dtype[np.int64]]
Job = Callable[[], object]


def run(jobs: Sequence[Job]) -> None:
    """Do all jobs, at the same time if there are several."""
    if len(jobs) == 1:
        jobs[0]()
    else:
        workers.run(jobs)


def cuts(
    extent: int, unit: int, work: int, threads: int, least: int = COPIED
) -> list[tuple[int, int]]:
    """Parts of an extent for threads, in whole units; one if the work is not worth more."""
    count = min(threads, -(-extent // unit), max(1, work // least))
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
        parts = [
            (panels.call(kind, dtype, shape, (high - low, *sizes[1:])), places[low:high],
             targets[low:high])
            for low, high in cuts(m, shape[0], work, threads, LEAST)
        ]  # fmt: skip

        def by_rows(x: np.ndarray, zeros: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
            run([functools.partial(call, x, at, zeros, b, c, to) for call, at, to in parts])

        return by_rows
    width = shape[1] * panels.width(dtype)
    columns = [
        (panels.call(kind, dtype, shape, (m, high - low, taps, depth, panel, row, keep)),
         low // width * panel, low)
        for low, high in cuts(n, width, work, threads, LEAST)
    ]  # fmt: skip

    def by_columns(x: np.ndarray, zeros: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        of_b, of_c = b.reshape(-1), c.reshape(-1)
        run([functools.partial(call, x, places, zeros, of_b[start:], of_c[low:], targets)
             for call, start, low in columns])  # fmt: skip

    return by_columns


def outer(
    kind: str, dtype: np.dtype, shape: panels.Tile, sizes: tuple[int, ...], places: Table,
    threads: int,
) -> Callable[..., None]:  # fmt: skip
    """The product "outer" as a function of (a, x, zeros, c)."""
    m, n, depth, taps, tile, _, ldc, *_ = sizes
    parts = [
        (panels.call(kind, dtype, shape, (high - low, *sizes[1:])), low // shape[0] * tile,
         low * ldc)
        for low, high in cuts(m, shape[0], m * n * depth * taps, threads, LEAST)
    ]  # fmt: skip

    def product(a: np.ndarray, x: np.ndarray, zeros: np.ndarray, c: np.ndarray) -> None:
        of_a, of_c = a.reshape(-1), c.reshape(-1)
        run([functools.partial(call, of_a[start:], x, places, zeros, of_c[low:])
             for call, start, low in parts])  # fmt: skip

    return product


def dots(
    dtype: np.dtype, shape: panels.Tile, sizes: tuple[int, ...], threads: int
) -> Callable[..., None]:
    """The product "dots" as a function of (a, b, c)."""
    m, n, k, ldc = sizes
    parts = [
        (panels.call("dots", dtype, shape, (m, high - low, k, ldc)), low * k, low)
        for low, high in cuts(n, shape[1], m * n * k, threads, LEAST)
    ]

    def product(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
        of_b, of_c = b.reshape(-1), c.reshape(-1)
        run([functools.partial(call, a, of_b[start:], of_c[low:]) for call, start, low in parts])

    return product
