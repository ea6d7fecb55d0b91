"""Convolutions as products of panels, which read pixels where they lie.

A table says for each place and each tap of the kernel (flat, over all dims) where the pixel is that
it sees; -1 is padding.  The weights are copied into panels, or, where they are much larger than the
patches, the patches are written down in the order of the weights, which are then read once.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Op
from ..ir.types import NUMPY
from . import depthwise, memory, panels, shares
from .copies import text

Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]
Table = np.ndarray[Any, np.dtype[np.int64]]
Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # operands to result
Part = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # operands and result of some images
Copy = Callable[[np.ndarray], np.ndarray]

GROUPS = 64  # of channels, which are done one after the other
ROWS = 4096  # places of the images that are done at a time
KEEP = 1 << 26  # bytes of scratch that a thread keeps
FEW = 4  # places times this, up to the number of results: the weights are read where they lie
PACKED = 16  # places up to which cotangents are read where they lie
_local = threading.local()


class Form(NamedTuple):
    """One kind of convolution, without the number of images; channels and results of one group."""

    dtype: np.dtype
    space: Shape
    kernel: Shape
    stride: Shape
    padding: Padding
    dilation: Shape
    channels: int
    results: int
    groups: int = 1
    threads: int = 1  # how many share a product

    @property
    def places(self) -> Shape:
        """How many places the kernel has along each dim."""
        return tuple(
            (n + lo + hi - d * (k - 1) - 1) // s + 1
            for n, k, s, (lo, hi), d in zip(
                self.space, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )

    @property
    def taps(self) -> int:
        """How many pixels a place sees."""
        return prod(self.kernel)

    @property
    def patch(self) -> int:
        """How many numbers a place sees."""
        return self.channels * self.taps

    @property
    def pixel(self) -> int:
        """Elements of a pixel of the images."""
        return self.channels * self.groups

    @property
    def place(self) -> int:
        """Elements of a place of the results."""
        return self.results * self.groups

    @property
    def simple(self) -> bool:
        """Whether each place sees its own pixel alone, and all of it."""
        one = self.taps == 1 and set(self.stride) == {1} and self.groups == 1
        return one and set(self.padding) == {(0, 0)}

    @property
    def thin(self) -> bool:
        """Whether a pixel fills less than a vector register."""
        return self.channels < panels.width(self.dtype)

    def rows(self, images: int) -> int:
        """The places of so many images."""
        return images * prod(self.places)

    def few(self, images: int) -> bool:
        """Whether weights are so large that they are read where they lie, once."""
        return FEW * self.rows(images) <= self.results


def prepared(op: Op, threads: int = 1) -> Run | None:
    """What runs an op on C-contiguous operands, if it is one of these convolutions."""
    found = _MAKERS.get(op.prim.name)
    if found is None:
        return None
    maker, images, weights = found
    values = [*op.args, *op.outs]
    out = op.outs[0].aval
    if out.dtype not in panels.REALS or any(v.aval.size == 0 for v in values):
        return None
    x, w = values[images].shape, values[weights].shape
    stride, padding, dilation = (op.attrs[k] for k in ("stride", "padding", "dilation"))
    groups = op.attrs["groups"]
    sizes = w[1], w[0] // groups, groups, threads
    form = Form(NUMPY[out.dtype], x[1:-1], w[2:], stride, padding, dilation, *sizes)
    if form.channels == form.results == 1 < groups:
        return depthwise.prepared(op.prim.name, form, _seen(form, 1), x[0])
    return maker(form, x[0]) if groups <= GROUPS else None


# ------------------------------------------------------------------ the three products


def _parts(form: Form, count: int) -> list[tuple[int, int]]:
    """Ranges of images that are done at a time."""
    each = max(1, ROWS // prod(form.places))
    return [(i, min(i + each, count)) for i in range(0, count, each)]


def _forward(form: Form, count: int) -> Run:
    ranges = _parts(form, count)
    largest = ranges[0][1]
    weights: Copy = _as_they_are
    if not form.few(largest):
        shape = panels.tile(form.dtype, form.rows(largest), form.results)
        weights = _packer(form, shape[1], None if form.thin else tuple(range(form.taps)), False)
    made = {n: _seeing_patches(form, n) if form.few(largest) else _seeing(form, n, largest)
            for n in {high - low for low, high in ranges}}  # fmt: skip
    size = (count, *form.places, form.place)

    def run(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        y = memory.aligned(size, form.dtype)
        for g in range(form.groups):
            ready = weights(_of_group(form, w, g))
            for low, high in ranges:
                xs = x[low:high].reshape(-1)[g * form.channels :]
                made[high - low](xs, ready, y[low:high].reshape(-1)[g * form.results :])
        return y

    return run


def _seeing_patches(form: Form, images: int) -> Part:
    """Patches by weights as they lie."""
    rows = form.rows(images)
    patches = _patcher(form, images)
    shape = panels.dots_tile(rows, form.results)
    dots = shares.dots(
        form.dtype, shape, (rows, form.results, form.patch, form.place), form.threads
    )

    def part(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
        dots(patches(x), w, y)

    return part


def _seeing(form: Form, images: int, largest: int) -> Part:
    """Pixels, or patches of thin ones, by weights in panels."""
    rows, dtype = form.rows(images), form.dtype
    shape = panels.tile(dtype, form.rows(largest), form.results)
    patches: Copy = _patcher(form, images) if form.thin else _as_they_are
    table = _starts(rows, form.patch) if form.thin else _seen(form, images)
    taps, depth = (1, form.patch) if form.thin else (form.taps, form.channels)
    size = shape[1] * panels.width(dtype)
    sizes = rows, form.results, taps, depth, form.patch * size, size, 0
    zeros, targets = _zeros(dtype, form.channels), _starts(rows, form.place)
    product = shares.rows("rows", dtype, shape, sizes, table, targets, form.threads)

    def part(x: np.ndarray, w: np.ndarray, y: np.ndarray) -> None:
        product(patches(x), zeros, w, y)

    return part


def _weight(form: Form, count: int) -> Run:
    ranges = _parts(form, count)
    written = form.thin or form.rows(ranges[0][1]) <= form.results
    turned = not written and form.taps > 1
    made = {(high - low, low > 0): _adding(form, high - low, written, low > 0)
            for low, high in ranges}  # fmt: skip
    back = text("back", form.dtype, form.taps, form.results, form.channels)
    whole = (form.place, form.channels, *form.kernel)

    def run(x: np.ndarray, ct: np.ndarray) -> np.ndarray:
        w = memory.aligned(whole, form.dtype)
        for g in range(form.groups):
            mine = _of_group(form, w, g)
            out = _scratch("turned", mine.size, form.dtype) if turned else mine
            for low, high in ranges:
                xs = x[low:high].reshape(-1)[g * form.channels :]
                cts = ct[low:high].reshape(-1)[g * form.results :]
                made[high - low, low > 0](xs, out, cts)
            if turned:
                back(out, mine)
        return w

    return run


def _adding(form: Form, images: int, written: bool, keep: bool) -> Part:
    """What some images add to the cotangent of the weights."""
    rows, results, dtype = form.rows(images), form.results, form.dtype
    patches: Copy = _patcher(form, images) if written else _as_they_are
    table = _starts(rows, form.patch) if written else _seen(form, images)
    columns, taps = (form.patch, 1) if written else (form.channels, form.taps)
    shape = panels.tile(dtype, results, columns)
    cts: Copy = _as_they_are
    within = shape[0], form.place
    if rows > PACKED:
        cts, within = _columns(form, rows, shape[0]), (rows * shape[0], shape[0])
    kind = "outer" if rows > PACKED else "streamed_outer"
    sizes = (results, columns, rows, taps, *within, columns, results * form.channels, int(keep))
    product = shares.outer(kind, dtype, shape, sizes, table, form.threads)
    zeros = _zeros(dtype, form.channels)

    def part(x: np.ndarray, w: np.ndarray, ct: np.ndarray) -> None:
        product(cts(ct), patches(x), zeros, w)

    return part


def _input(form: Form, count: int) -> Run:
    ranges = _parts(form, count)
    largest = ranges[0][1]
    few = form.few(largest) or form.thin
    packs: list[Copy] = [_as_they_are]
    tiles: list[panels.Tile] = []
    classes: list[Class] = []
    if not few:
        classes = _classes(form, largest)
        tiles = [panels.tile(form.dtype, len(c.pixels), form.channels) for c in classes]
        packs = [_packer(form, t[1], c.taps, True, str(k))
                 for k, (t, c) in enumerate(zip(tiles, classes, strict=True))]  # fmt: skip
    made = {n: _spreading(form, n) if few else _mirrored(form, n, tiles)
            for n in {high - low for low, high in ranges}}  # fmt: skip
    whole = (count, *form.space, form.pixel)
    added = not form.simple if few else not all(c.taps for c in classes)

    def run(ct: np.ndarray, w: np.ndarray) -> np.ndarray:
        x = memory.aligned(whole, form.dtype)
        if added:
            x[...] = 0
        for g in range(form.groups):
            ready = [pack(_of_group(form, w, g)) for pack in packs]
            for low, high in ranges:
                cts = ct[low:high].reshape(-1)[g * form.results :]
                made[high - low](x[low:high].reshape(-1)[g * form.channels :], ready, cts)
        return x

    return run


def _spreading(form: Form, images: int) -> Callable[..., None]:
    """Each place by the weights as they lie, spread over the pixels that it sees."""
    rows, dtype, patch = form.rows(images), form.dtype, form.patch
    shape = panels.tile(dtype, rows, patch)
    size = shape[1] * panels.width(dtype)
    kind = "streamed_rows" if form.few(images) else "rows"
    starts, targets = _starts(rows, form.place), _starts(rows, patch)
    sizes = rows, patch, 1, form.results, size, patch, 0
    product = shares.rows(kind, dtype, shape, sizes, starts, targets, form.threads)
    zeros, table = _zeros(dtype, form.results), _seen(form, images)
    spread = text("spread", dtype, form.taps, rows, form.channels)

    def part(x: np.ndarray, ready: Sequence[np.ndarray], ct: np.ndarray) -> None:
        columns = x if form.simple else _scratch("patches", rows * patch, dtype)
        product(ct, zeros, ready[0], columns)
        if not form.simple:
            spread(columns, table, x)

    return part


def _mirrored(form: Form, images: int, tiles: Sequence[panels.Tile]) -> Callable[..., None]:
    """Each pixel from the places that see it, by weights in panels."""
    zeros = _zeros(form.dtype, form.results)
    products = []
    classes = _classes(form, images)
    for shape, c in zip(tiles, classes, strict=True):
        size = shape[1] * panels.width(form.dtype)
        taps = len(c.taps)
        apart = form.results * taps * size
        sizes = len(c.pixels), form.channels, taps, form.results, apart, size, 0
        made = shares.rows("rows", form.dtype, shape, sizes, c.places, c.pixels, form.threads)
        products.append(made if taps else None)  # pixels that no place sees: zeros

    def part(x: np.ndarray, ready: Sequence[np.ndarray], ct: np.ndarray) -> None:
        for product, w in zip(products, ready, strict=True):
            if product is not None:
                product(ct, zeros, w, x)

    return part


# Row -> maker, and which of its operands and results are the images and the weights.
_MAKERS: dict[str, tuple[Callable[[Form, int], Run], int, int]] = {
    "conv": (_forward, 0, 1),
    "conv_weight": (_weight, 0, 2),
    "conv_input": (_input, 2, 1),
}


# ------------------------------------------------------------------ what lies where


class Class(NamedTuple):
    """Pixels that are seen by the same taps.

    `places` says by which place of the results, tap by tap; `pixels`, where in the images they are.
    """

    taps: tuple[int, ...]
    places: Table
    pixels: Table


@functools.lru_cache(maxsize=500)
def _seen(form: Form, images: int) -> Table:
    """Where the pixel is that each place sees by each tap, in elements of the images."""
    flat = np.zeros((1,) * (2 * len(form.space)), np.int64)
    valid = np.ones_like(flat, bool)
    rank = len(form.space)
    for d, (n, k, s, (lo, _), step, count) in enumerate(
        zip(form.space, form.kernel, form.stride, form.padding, form.dilation, form.places,
            strict=True)
    ):  # fmt: skip
        at = np.arange(count)[:, None] * s - lo + np.arange(k) * step
        lie = [1] * (2 * rank)
        lie[d], lie[rank + d] = count, k
        flat = flat * n + at.reshape(lie)
        valid = valid & ((at >= 0) & (at < n)).reshape(lie)
    return _stacked(flat, valid, prod(form.places), images, prod(form.space), form.pixel)


@functools.lru_cache(maxsize=500)
def _classes(form: Form, images: int) -> list[Class]:
    """The pixels by what is left of their indices, divided by the strides."""
    found = []
    rank = len(form.space)
    for rest in itertools.product(*map(range, form.stride)):
        pixels = [np.arange(r, n, s) for r, n, s in zip(rest, form.space, form.stride, strict=True)]
        flat = np.zeros((1,) * (2 * rank), np.int64)
        valid, taps = np.ones_like(flat, bool), np.zeros((1,) * rank, np.int64)
        where = np.zeros((1,) * rank, np.int64)
        for d, (at, n, k, s, (lo, _), step, count) in enumerate(
            zip(pixels, form.space, form.kernel, form.stride, form.padding, form.dilation,
                form.places, strict=True)
        ):  # fmt: skip
            fit = [t for t in range(k) if (rest[d] + lo - t * step) % s == 0]
            seen = (at[:, None] + lo - np.array(fit, np.int64) * step) // s
            lie = [1] * (2 * rank)
            lie[d], lie[rank + d] = len(at), len(fit)
            flat = flat * count + seen.reshape(lie)
            valid = valid & ((seen >= 0) & (seen < count)).reshape(lie)
            taps = taps * k + np.array(fit, np.int64).reshape(lie[rank:])
            where = where * n + at.reshape(lie[:rank])
        if not where.size:
            continue
        table = _stacked(flat, valid, where.size, images, prod(form.places), form.place)
        pixel = np.arange(images)[:, None] * prod(form.space) + where.reshape(-1)
        places = pixel.reshape(-1) * form.pixel
        found.append(Class(tuple(taps.reshape(-1).tolist()), table, places))
    return found


def _stacked(flat: Table, valid: Table, rows: int, images: int, apart: int, channels: int) -> Table:
    """A table of one image's rows, for several images."""
    one, fits = flat.reshape(rows, -1), valid.reshape(rows, -1)
    every = np.arange(images)[:, None, None] * apart + one
    found = np.where(fits, every * channels, -1)
    return np.ascontiguousarray(found.reshape(images * rows, -1), np.int64)


@functools.lru_cache(maxsize=500)
def _starts(rows: int, size: int) -> Table:
    """Where rows start that lie one after the other."""
    return np.arange(rows, dtype=np.int64) * size


@functools.lru_cache(maxsize=50)
def _zeros(dtype: np.dtype, size: int) -> np.ndarray:
    return np.zeros(size + 256, dtype)


def _scratch(name: str, size: int, dtype: np.dtype) -> np.ndarray:
    """Aligned memory of this thread that the next convolution uses again."""
    need = size * dtype.itemsize
    if need > KEEP:
        return memory.empty((size,), dtype)
    kept = _local.__dict__.get(name)
    if kept is None or kept.nbytes < need:
        block = np.empty(need + memory.ALIGN, np.uint8)
        start = -block.ctypes.data % memory.ALIGN
        kept = _local.__dict__[name] = block[start : start + need]
    return kept[:need].view(dtype)


# ------------------------------------------------------------------ copies into other orders


def _as_they_are(x: np.ndarray) -> np.ndarray:
    return x


def _of_group(form: Form, w: np.ndarray, g: int) -> np.ndarray:
    """The weights of a group."""
    return w if form.groups == 1 else w[g * form.results : (g + 1) * form.results]


def _patcher(form: Form, images: int) -> Copy:
    """What each place sees, as (places, channels, taps)."""
    if form.simple:
        return _as_they_are
    table = _seen(form, images)
    kind = "thin_patches" if form.thin else "patches"
    write = text(kind, form.dtype, form.taps, len(table), form.channels)
    size = len(table) * form.patch

    def patches(x: np.ndarray) -> np.ndarray:
        out = _scratch("patches", size, form.dtype)
        write(x, table, out)
        return out

    return patches


def _packer(
    form: Form, vectors: int, taps: tuple[int, ...] | None, mirrored: bool, name: str = ""
) -> Copy:
    """Weights as panels (tap, what is summed over, as many columns as a tile has).

    Without `taps` they are among what is summed over, in the order that they have.
    """
    size, whole = vectors * panels.width(form.dtype), form.patch
    columns, depth, steps = form.results, form.channels, (whole, form.taps)
    flat = taps is None
    if taps is None:
        taps, depth, steps = (0,), whole, (whole, 1)
    if mirrored:
        columns, depth, steps = form.channels, form.results, (form.taps, whole)
    order = np.array(taps, np.int64)
    line = depth * len(taps)
    need = -(-columns // size) * size * line
    cuts = shares.cuts(columns, size, need, form.threads)
    if mirrored and form.taps == 1:  # rows as they are
        jobs = [
            (text("packed", form.dtype, size, high - low, depth, len(taps), *steps), low)
            for low, high in cuts
        ]
    else:
        planes = (depth, form.taps) if mirrored else (1, whole)
        order = _rows_of_panels(form, None if flat else taps, mirrored)
        jobs = [
            (panels.call("turn", form.dtype, (1, 1), (high - low, *planes, steps[0], whole, size,
                                                      line * size)), low)
            for low, high in cuts
        ]  # fmt: skip

    def packed(w: np.ndarray) -> np.ndarray:
        out = _scratch("packed" + name, need, form.dtype)
        given = w.reshape(-1)
        shares.run([
            functools.partial(write, given[low * steps[0] :], order, out[low * line :])
            for write, low in jobs
        ])  # fmt: skip
        return out

    return packed


def _rows_of_panels(form: Form, taps: tuple[int, ...] | None, mirrored: bool) -> Table:
    """Which row of a panel each number of a result's weights goes to; -1 where it is none."""
    if taps is None:
        return np.arange(form.patch, dtype=np.int64)
    depth = form.results if mirrored else form.channels
    found = np.full((depth, form.taps), -1, np.int64)
    found[:, list(taps)] = np.arange(len(taps)) * depth + np.arange(depth)[:, None]
    return found


def _columns(form: Form, rows: int, tile: int) -> Copy:
    """Cotangents as (tiles of results, places, results of a tile)."""
    write = text("columns", form.dtype, tile, rows, form.results, form.place)
    size = -(-form.results // tile) * tile * rows

    def columns(ct: np.ndarray) -> np.ndarray:
        out = _scratch("columns", size, form.dtype)
        write(ct, out)
        return out

    return columns
