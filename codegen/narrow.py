"""Products of matrices with few columns or few terms, read where they lie, by tiles of registers.

Points times a rotation, rows of a mixture, layers of a handful of units: OpenBLAS packs both
operands of such products, which takes longer than to multiply them.  Here a tile holds some rows
and one or two vectors of c; each term broadcasts an element of every row of a, which may lie
anywhere, so a transposed a costs nothing.  A transposed b is turned first, some terms at a time.

    c[m, n] (+)= sum over k of a[m, k] b[k, n]     a[k, m] if ta, b[n, k] if tb
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from llvmlite import ir

from . import engine
from .packing import Packer
from .panels import I64, Writer
from .vectors import registers

POINTERS, SIZES = 3, 9
VECTORS = 2  # of a tile
ROWS = {32: (8, 4), 16: (6, 3)}  # of a tile and a small one, by the number of vector registers
TERMS = 128  # of b that are turned or copied at a time
MANY = 24  # rows that pay for a copy
APART = 4  # rows of a tile that share a pointer: the others are an index away


def object_code(symbol: str, kind: str) -> bytes:
    """The code for f32 or f64, in the calling convention of kernels: a, b, c."""
    module = ir.Module(symbol)
    whole, rest = ROWS[registers()[1]]
    w = Writer(module, symbol, kind, (whole, VECTORS), POINTERS, SIZES)
    first = w.b.block
    Narrow(w, rest).write()
    w.done(first)
    return engine.compile_text(str(module), engine.tidy)


class Narrow:
    """The kernel.  Sizes: m, n, k, elements of a row of a, of b, of c, whether a is transposed,
    whether b is, and whether c is added to.
    """

    def __init__(self, w: Writer, rest: int) -> None:
        self.w, self.rest, self.parts = w, rest, Packer(w)
        self.a, self.b, self.c = w.pointers
        self.m, self.n, self.depth, lda, self.ldb, self.ldc, ta, tb, self.keep = w.sizes
        turned = w.b.icmp_signed("!=", ta, I64(0))
        self.down = w.b.select(turned, I64(1), lda)
        self.along = w.b.select(turned, lda, I64(1))
        self.b_turned = w.b.icmp_signed("!=", tb, I64(0))
        self.width = VECTORS * w.lanes
        self.panel = w.entry.alloca(w.real, TERMS * self.width)
        self.panel.align = 64
        none = w.b.icmp_signed("<", self.depth, I64(1))
        self.some = w.b.select(none, I64(1), self.depth)
        wide = w.b.icmp_signed(">", self.n, I64(self.width))
        wide = w.b.and_(wide, w.b.icmp_signed(">=", self.m, I64(MANY)))
        self.moved = w.b.or_(wide, self.b_turned)
        self.chunk = w.b.select(self.moved, I64(TERMS), self.some)
        self.step = w.b.select(self.moved, I64(self.width), self.ldb)
        self.slots = w.accumulators()

    def write(self) -> None:
        """All of it: terms by chunks, so that of no terms zeros are written too."""
        w = self.w
        w.loop(I64(0), self.some, self.chunk, lambda q: w.loop(
            I64(0), self.n, self.width, partial(self.columns, q)
        ))  # fmt: skip

    def columns(self, q: ir.Value, j: ir.Value) -> None:
        """As many columns of c as a tile has."""
        w, b = self.w, self.w.b
        left, terms = b.sub(self.n, j), w.least(b.sub(self.depth, q), self.chunk)
        here = w.at(self.b, w.times(q, self.ldb), j)
        with b.if_then(self.moved):
            self.move(w.at(self.b, w.times(j, self.ldb), q), here, terms, left)
        right = b.select(self.moved, self.panel, here)
        masks = w.masks(left)
        with b.if_else(b.icmp_signed(">", left, I64(w.lanes))) as (then, otherwise):
            with then:
                self.tiles(q, j, right, terms, masks)
            with otherwise:
                self.tiles(q, j, right, terms, masks[:1])

    def move(self, turned: ir.Value, here: ir.Value, terms: ir.Value, left: ir.Value) -> None:
        """Put some terms of b side by side, from where they are if b is turned or is not."""
        w, to, width = self.w, self.panel, self.width
        across = w.least(left, I64(width))
        with w.b.if_else(self.b_turned) as (then, otherwise):
            with then:
                self.parts.turn(turned, self.ldb, terms, across, to, width)
            with otherwise:
                self.parts.copy(here, self.ldb, terms, across, to, width, width, I64(0))

    def tiles(
        self, q: ir.Value, j: ir.Value, right: ir.Value, terms: ir.Value,
        masks: Sequence[ir.Value],
    ) -> None:  # fmt: skip
        """All rows: by whole tiles, and the rest by small ones."""
        w = self.w
        tile = partial(self.tile, q, j, right, terms, masks)
        even = w.b.sub(self.m, w.b.srem(self.m, I64(w.row_count)))
        w.loop(I64(0), even, w.row_count, partial(tile, w.row_count, APART))
        w.loop(even, self.m, self.rest, partial(tile, self.rest, self.rest))

    def tile(
        self, q: ir.Value, j: ir.Value, right: ir.Value, terms: ir.Value,
        masks: Sequence[ir.Value], count: int, apart: int, i: ir.Value,
    ) -> None:  # fmt: skip
        """One tile from row i, where `apart` rows share a pointer.

        If all of them do, a row that is not there is the last one once more, written as often.
        """
        w, b = self.w, self.w.b
        last = b.sub(b.sub(self.m, I64(1)), i)
        steps = [I64(r) if apart < count else w.least(I64(r), last) for r in range(count)]
        slots = [row[: len(masks)] for row in self.slots[:count]]
        out = [w.at(self.c, w.times(b.add(i, r), self.ldc), j) for r in steps]
        w.begin(slots, b.icmp_signed("==", b.or_(q, self.keep), I64(0)), out, masks)
        corner = w.at(self.a, w.times(i, self.down), w.times(q, self.along))
        bases = [w.at(corner, w.times(self.down, r)) for r in range(0, count, apart)]
        offsets = [w.times(self.down, r) for r in steps[:apart]]

        def term(t: ir.Value) -> None:
            at = [b.add(w.times(t, self.along), r, flags=("nsw",)) for r in offsets]
            left = [w.at(bases[r // apart], at[r % apart]) for r in range(count)]
            w.step(slots, left, w.at(right, w.times(t, self.step)), masks)

        w.loop(I64(0), terms, 1, term)
        w.end(slots, out, masks)
