"""Convolutions as products of panels, which read pixels where they lie.

A table says for each place and each tap of the kernel (flat, over all dims) where the pixel is that
it sees; -1 is padding.  The weights are copied into panels, or, where they are much larger than the
patches, the patches are written down in the order of the weights, which are then read once.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from ..ir.core import Op
from ..ir.types import NUMPY
from . import depthwise, memory, panels, shares, single
from .copies import member as copying
from .copies import text
from .forms import Class, Form, Table, classes_of, seen, starts_of
from .team import together

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # operands to result
Part = Callable[[np.ndarray, np.ndarray, np.ndarray], None]  # operands and result of some images
Copy = Callable[[np.ndarray], np.ndarray]

GROUPS = 64  # of channels, which are done one after the other
ROWS = 4096  # places of the images that are done at a time
KEEP = 1 << 26  # bytes of scratch that a thread keeps
PACKED = 16  # places up to which cotangents are read where they lie
_local = threading.local()


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
        return depthwise.prepared(op.prim.name, form, seen(form, 1), x[0])
    if form.channels == form.results == groups == 1:
        alone = single.prepared(op.prim.name, form, x[0])
        if alone is not None:
            return alone
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
    table = starts_of(rows, form.patch) if form.thin else seen(form, images)
    taps, depth = (1, form.patch) if form.thin else (form.taps, form.channels)
    size = shape[1] * panels.width(dtype)
    sizes = rows, form.results, taps, depth, form.patch * size, size, 0
    zeros, targets = _zeros(dtype, form.channels), starts_of(rows, form.place)
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
    table = starts_of(rows, form.patch) if written else seen(form, images)
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
        classes = classes_of(form, largest)
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
    starts, targets = starts_of(rows, form.place), starts_of(rows, patch)
    sizes = rows, patch, 1, form.results, size, patch, 0
    product = shares.rows(kind, dtype, shape, sizes, starts, targets, form.threads)
    zeros, table = _zeros(dtype, form.results), seen(form, images)
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
    classes = classes_of(form, images)
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


# ------------------------------------------------------------------ scratch


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
    table = seen(form, images)
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
        members = [
            copying("packed", form.dtype, size, high - low, depth, len(taps), *steps)
            for low, high in cuts
        ]
    else:
        planes = (depth, form.taps) if mirrored else (1, whole)
        order = _rows_of_panels(form, None if flat else taps, mirrored)
        members = [
            panels.member("turn", form.dtype, (1, 1), (high - low, *planes, steps[0], whole, size,
                                                       line * size))
            for low, high in cuts
        ]  # fmt: skip
    write = together(members)

    def packed(w: np.ndarray) -> np.ndarray:
        out = _scratch("packed" + name, need, form.dtype)
        given = w.reshape(-1)
        write(*[x for low, _ in cuts for x in (given[low * steps[0] :], order, out[low * line :])])
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
