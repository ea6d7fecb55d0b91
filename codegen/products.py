"""Which matrix products are ours instead of those of BLAS, and what they need.

OpenBLAS does not reach what the CPU can do where matrices fit into its caches, as those of layers
and attention do: it sets to zero what it then adds to, and fills the second cache twice.  Few
columns, or few terms, take `narrow`, which packs nothing; products of middling size take the tiles
of `packing`; large ones are as fast or faster in BLAS.
"""

from __future__ import annotations

import functools
import importlib

import numpy as np

from . import cache, host, link
from .vectors import registers, width

Tile = tuple[int, int]
TILES: dict[int, Tile] = {32: (12, 2), 16: (6, 2)}  # rows and vectors, by the vector registers
DEPTH = 192  # terms summed before c is written: a panel of b leaves a quarter of the first cache
GROUPS = 256 << 10  # bytes of a that are packed at a time, beside what the second cache has to hold
MOST_GROUPS = 16
MOST = 1 << 26  # multiplications beyond which BLAS is faster
FEWEST = 1 << 19  # those below which it, or `narrow`, is
FEWEST_TURNED = 1 << 15  # where b is transposed
NARROW = 2  # vectors of columns for which `narrow` serves, however many rows there are
NARROW_DEPTH = 256  # terms beyond which it does not
FLAT = 16  # rows of c that are few enough for any number of terms
SHORT_DEPTH = 32  # those beyond which BLAS has better ways for a few columns, or few rows
TURNED_ROWS = 128  # the fewest rows that pay for turning more terms than that
SYMBOL = "adjit_product_"  # of our code: its family and dtype follow
MAKERS = {"tiles": "packing", "narrow": "narrow"}


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


def symbol(family: str, kind: str) -> str:
    """The name of the code of a family for f32 or f64."""
    return f"{SYMBOL}{family}_{kind}"


@functools.cache
def address(symbol: str) -> int:
    """The code of that name, from the store if an earlier process compiled it."""
    family, kind = symbol.removeprefix(SYMBOL).split("_")

    def make() -> bytes:
        made = importlib.import_module(f".{MAKERS[family]}", __package__).object_code(symbol, kind)
        assert isinstance(made, bytes)
        return made

    return link.load_object(cache.object_code(symbol, f"{symbol} {tile()}", make), symbol, {})
