"""Which matrix products take tiles of our own (`packing`) instead of BLAS, and what they need.

OpenBLAS does not reach what the CPU can do where matrices fit into its caches, as those of layers
and attention do: it sets to zero what it then adds to, and fills the second cache twice.  It has
kernels for small matrices, which read them where they lie, unless the second one is transposed; and
for large ones, and for a few rows or columns, it is as fast or faster.
"""

from __future__ import annotations

import functools

import numpy as np

from . import cache, host, link
from .vectors import registers, width

Tile = tuple[int, int]
TILES: dict[int, Tile] = {32: (12, 2), 16: (6, 2)}  # rows and vectors, by the vector registers
DEPTH = 192  # terms summed before c is written: a panel of b leaves a quarter of the first cache
GROUPS = 256 << 10  # bytes of a that are packed at a time, beside what the second cache has to hold
MOST_GROUPS = 16
MOST = 1 << 26  # multiplications beyond which BLAS is faster
FEWEST = 1 << 20  # those below which it is
FEWEST_TURNED = 1 << 15  # where b is transposed
SYMBOL = "adjit_product_"  # of the code for f32 and for f64


@functools.cache
def available() -> bool:
    """Whether this CPU is one that the tiles are made for."""
    return host.IS_X86 and host.cpu_has("avx2") and host.cpu_has("fma")


def tile() -> Tile:
    """Rows and vectors of a tile."""
    return TILES[registers()[1]]


def least(itemsize: int) -> tuple[int, int]:
    """The fewest rows and columns that take tiles: those of one."""
    down, across = tile()
    return down, across * (registers()[0] // itemsize)


def column(itemsize: int) -> int:
    """Elements that a packed column of a group takes."""
    lanes = registers()[0] // itemsize
    return -(-tile()[0] // lanes) * lanes


def may_pay(itemsize: int, m: int, n: int, k: int, turned: bool) -> bool:
    """Whether tiles may be taken for at most these sizes, which may be unknown: -1."""
    down, across = least(itemsize)
    if 0 <= m < down or 0 <= n < across:
        return False
    return min(m, n, k) < 0 or m * n * k >= (FEWEST_TURNED if turned else FEWEST)


def room(dtype: np.dtype, m: int, n: int, k: int) -> int:
    """Bytes of the work memory for a product of at most these sizes, which may be unknown: -1."""
    down, across = least(dtype.itemsize)
    depth = DEPTH if k < 0 else min(max(k, 1), DEPTH)
    group = -(-depth // width(dtype)) * width(dtype) * column(dtype.itemsize) * dtype.itemsize
    count = min(MOST_GROUPS, -(-m // down)) if m >= 0 else MOST_GROUPS
    panel = (group // column(dtype.itemsize) + dtype.itemsize) * across
    return min(group * count, max(group, GROUPS)) + panel


@functools.cache
def address(symbol: str) -> int:
    """The code of that name, from the store if an earlier process compiled it."""

    def make() -> bytes:
        from . import packing

        return packing.object_code(symbol, symbol.removeprefix(SYMBOL))

    return link.load_object(cache.object_code(symbol, f"{symbol} {tile()}", make), symbol, {})
