"""Matrix products by tiles of vector registers: what kernels call where OpenBLAS is slower.

Both operands are packed, so that a tile reads them in order: first the rows of a, in groups of as
many as a tile has, which stay in the second cache, then a panel of columns of b, which stays in
the first one while all groups pass by.  Packing turns what is transposed, so one machine code
serves all layouts and sizes.

    c[m, n] (+)= sum over k of a[m, k] b[k, n]     a[k, m] if ta, b[n, k] if tb
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from . import engine, products
from .operations import fetch
from .panels import I32, I64, Writer
from .vectors import registers

POINTERS, SIZES = 4, 9
REST = {32: 4, 16: 2}  # rows of the tile for what is left, by the number of vector registers
UNROLL = 2
AHEAD = 8  # columns of a group that are fetched before they are read


def object_code(symbol: str, kind: str) -> bytes:
    """The code for f32 or f64, in the calling convention of kernels: a, b, c, work memory."""
    module = ir.Module(symbol)
    w = Writer(module, symbol, kind, products.tile(), POINTERS, SIZES)
    first = w.b.block
    Product(w).write()
    w.done(first)
    return engine.compile_text(str(module), engine.tidy)


Slots = Sequence[Sequence[ir.Value]]


class Packer:
    """Parts of the kernel, written where they are used.

    A group of rows of a is `column` elements for each term of the sums, a panel of b is `width`.
    """

    def __init__(self, w: Writer) -> None:
        self.w = w
        self.width = w.vectors * w.lanes
        self.column = products.column(w.bytes)
        self.rest = REST[registers()[1]]

    def copy(
        self, source: ir.Value, stride: ir.Value, along: ir.Value, across: ir.Value,
        target: ir.Value, piece: int, width: int, apart: ir.Value,
    ) -> None:  # fmt: skip
        """Rows cut into pieces: row q of piece p lies at p apart + q width, ended by zeros."""
        w = self.w
        pieces = w.b.sdiv(w.b.add(across, I64(piece - 1)), I64(piece))

        def one(p: ir.Value) -> None:
            begin, to = w.times(p, piece), w.at(target, w.times(p, apart))
            left = w.least(w.b.sub(across, begin), I64(piece))
            masks = w.masks(left)[: width // w.lanes]

            def row(q: ir.Value) -> None:
                here = w.at(source, w.times(q, stride), begin)
                for v, mask in enumerate(masks):
                    value = w.read(w.at(here, I64(v * w.lanes)), mask)
                    w.write(value, w.at(to, w.times(q, width), I64(v * w.lanes)))

            w.loop(I64(0), along, 1, row)

        w.loop(I64(0), pieces, 1, one)

    def turn(
        self, source: ir.Value, stride: ir.Value, along: ir.Value, across: ir.Value,
        target: ir.Value, width: int,
    ) -> None:  # fmt: skip
        """Column q of `across` rows lies at q width; the last row ends it."""
        w = self.w
        last, some = w.b.sub(across, I64(1)), 16 // w.bytes
        even = w.b.and_(along, I64(-some))

        def line(r: ir.Value) -> ir.Value:
            return w.at(source, w.times(w.least(r, last), stride))

        def strip(j: ir.Value) -> None:
            lines = [line(w.b.add(j, I64(r))) for r in range(w.lanes)]

            def square(q: ir.Value) -> None:
                to = w.at(target, w.times(q, width), j)
                for e, value in enumerate(self.columns([w.at(x, q) for x in lines], some)):
                    w.write(value, w.at(to, I64(e * width)))

            w.loop(I64(0), even, some, square)

        def single(q: ir.Value) -> None:
            def element(r: ir.Value) -> None:
                w.b.store(w.b.load(w.at(line(r), q)), w.at(target, w.times(q, width), r))

            w.loop(I64(0), I64(width), 1, element)

        w.loop(I64(0), I64(width), w.lanes, strip)
        w.loop(even, along, 1, single)

    def columns(self, rows: Sequence[ir.Value], some: int) -> list[ir.Value]:
        """The first columns of as many rows as a register has lanes: the `some` that 16 bytes hold.

        A register is put together of 16 bytes of every row that is `some` after the last one.
        """
        b = self.w.b
        part = ir.VectorType(self.w.real, some).as_pointer()
        found = []
        for i in range(some):
            pieces = [b.load(b.bitcast(x, part), align=self.w.bytes) for x in rows[i::some]]
            while len(pieces) > 1:
                size = 2 * pieces[0].type.count
                order = ir.Constant(ir.VectorType(I32, size), list(range(size)))
                pairs = zip(pieces[::2], pieces[1::2], strict=True)
                pieces = [b.shuffle_vector(x, y, order) for x, y in pairs]
            found += pieces
        return self.w.transposed(found)

    def tile(
        self, slots: Slots, column: ir.Value, panel: ir.Value, along: ir.Value,
        out: Sequence[ir.Value], left: ir.Value, fresh: ir.Value,
    ) -> None:  # fmt: skip
        """One tile of c, where its rows begin, whose first `left` columns are there."""
        w, vectors = self.w, len(slots[0])
        for slot in (s for row in slots for s in row):
            w.b.store(ir.Constant(w.vector, None), slot)
        for row in out:
            for v in range(vectors):
                fetch(w.b, w.at(row, I64(v * w.lanes)), writes=True)
        free: list[ir.Value | None] = [None] * vectors
        turns = UNROLL if (len(slots), vectors) == (w.row_count, w.vectors) else 1

        def step(q: ir.Value) -> None:
            of_a, of_b = w.at(column, w.times(q, self.column)), w.at(panel, w.times(q, self.width))
            for v in range(self.column // w.lanes):
                fetch(w.b, w.at(of_a, I64(AHEAD * self.column + v * w.lanes)))
            w.step(slots, [w.at(of_a, I64(r)) for r in range(len(slots))], of_b, free)

        def steps(q: ir.Value) -> None:
            for u in range(turns):
                step(w.b.add(q, I64(u)))

        even = w.b.and_(along, I64(-turns))
        w.loop(I64(0), even, turns, steps)
        if turns > 1:
            w.loop(even, along, 1, step)
        masks = w.masks(left)[:vectors]
        sums = self.sums(slots, out, masks, fresh)
        if registers()[1] == 32:
            self.finish(sums, out, masks)
            return
        # Without registers for masks, some CPUs take long to store by one.
        whole = w.b.icmp_signed(">=", left, I64(vectors * w.lanes))
        with w.b.if_else(whole) as (then, otherwise):
            with then:
                self.finish(sums, out, free)
            with otherwise:
                self.finish(sums, out, masks)

    def sums(
        self, slots: Slots, out: Sequence[ir.Value], masks: Sequence[ir.Value], fresh: ir.Value
    ) -> Slots:
        """A tile, added to what is there unless that is nothing yet."""
        w = self.w
        none = ir.Constant(w.mask, None)
        known = [w.b.select(fresh, none, mask) for mask in masks]
        return [
            [
                w.b.fadd(w.b.load(slot), w.read(w.at(pointer, I64(v * w.lanes)), mask))
                for v, (slot, mask) in enumerate(zip(row, known, strict=True))
            ]
            for row, pointer in zip(slots, out, strict=True)
        ]

    def finish(
        self, sums: Slots, out: Sequence[ir.Value], masks: Sequence[ir.Value | None]
    ) -> None:
        """Write a tile."""
        for row, pointer in zip(sums, out, strict=True):
            for v, (value, mask) in enumerate(zip(row, masks, strict=True)):
                self.w.write(value, self.w.at(pointer, I64(v * self.w.lanes)), mask)


class Product:
    """The kernel.  Sizes: m, n, k, elements of a row of a, of b, of c, whether a is transposed,
    whether b is, and whether c is added to.

    In the work memory lie a panel of b, a row that nobody reads, and groups of rows of a.
    """

    def __init__(self, w: Writer) -> None:
        self.w, self.parts, self.down = w, Packer(w), w.row_count
        self.a, self.b, self.c, self.panel = w.pointers
        self.m, self.n, self.depth, self.lda, self.ldb, self.ldc, ta, tb, self.keep = w.sizes
        self.a_turned, self.b_turned = (w.b.icmp_signed("!=", t, I64(0)) for t in (ta, tb))
        none = w.b.icmp_signed("<", self.depth, I64(1))
        self.some = w.b.select(none, I64(1), self.depth)  # of no terms zeros are written, too
        self.chunk = _share(w, self.some, I64(products.DEPTH), w.lanes)
        self.group_size = w.times(self.chunk, self.parts.column)
        fit = w.b.sdiv(I64(products.GROUPS // w.bytes), self.group_size)
        rows = w.times(w.least(fit, I64(products.MOST_GROUPS)), self.down)
        self.most = _share(w, self.m, rows, self.down)
        self.spare = w.at(self.panel, w.times(self.chunk, self.parts.width))
        self.groups = w.at(self.spare, I64(self.parts.width))
        self.slots = w.accumulators()

    def write(self) -> None:
        """All of it."""
        w = self.w
        w.loop(I64(0), self.m, self.most, lambda i: w.loop(
            I64(0), self.some, self.chunk, lambda q: self.block(i, q)
        ))  # fmt: skip

    def place(
        self, base: ir.Value, turned: ir.Value, stride: ir.Value, row: ir.Value, column: ir.Value
    ) -> ir.Value:
        """Where an element lies."""
        b = self.w.b
        r, q = b.select(turned, column, row), b.select(turned, row, column)
        return self.w.at(base, self.w.times(r, stride), q)

    def block(self, i0: ir.Value, q: ir.Value) -> None:
        """What some rows of a add to c by some of the terms."""
        w = self.w
        rows = w.least(w.b.sub(self.m, i0), self.most)
        along = w.least(w.b.sub(self.depth, q), self.chunk)
        fresh = w.b.icmp_signed("==", w.b.or_(q, self.keep), I64(0))
        source = self.place(self.a, self.a_turned, self.lda, i0, q)
        self.pack_a(source, rows, along)

        def columns(j: ir.Value) -> None:
            left = w.b.sub(self.n, j)
            source = self.place(self.b, self.b_turned, self.ldb, q, j)
            self.pack_b(source, w.least(left, I64(self.parts.width)), along)

            def tiles(i: ir.Value, slots: Slots, there: Sequence[ir.Value | None]) -> None:
                c = w.at(self.c, w.times(w.b.add(i0, i), self.ldc), j)
                self.tile(c, i, slots, there, along, left, fresh)

            def few(i: ir.Value) -> None:
                slots, missing = self.slots[: self.parts.rest], w.b.sub(rows, i)
                tiles(i, slots, [w.b.icmp_signed("<", I64(r), missing) for r in range(len(slots))])

            even = w.times(w.b.sdiv(rows, I64(self.down)), self.down)
            w.loop(I64(0), even, self.down, lambda i: tiles(i, self.slots, [None] * self.down))
            w.loop(even, rows, self.parts.rest, few)

        w.loop(I64(0), self.n, self.parts.width, columns)

    def pack_a(self, source: ir.Value, rows: ir.Value, along: ir.Value) -> None:
        """Groups of as many rows as a tile has."""
        w, p, lda = self.w, self.parts, self.lda

        def turn(i: ir.Value) -> None:
            left = w.least(w.b.sub(rows, i), I64(self.down))
            to = w.at(self.groups, w.times(w.b.sdiv(i, I64(self.down)), self.group_size))
            p.turn(w.at(source, w.times(i, lda)), lda, along, left, to, p.column)

        with w.b.if_else(self.a_turned) as (then, otherwise):
            with then:
                p.copy(source, lda, along, rows, self.groups, self.down, p.column, self.group_size)
            with otherwise:
                w.loop(I64(0), rows, self.down, turn)

    def pack_b(self, source: ir.Value, across: ir.Value, along: ir.Value) -> None:
        """As many columns as a tile has."""
        w, p = self.w, self.parts
        with w.b.if_else(self.b_turned) as (then, otherwise):
            with then:
                p.turn(source, self.ldb, along, across, self.panel, p.width)
            with otherwise:
                p.copy(source, self.ldb, along, across, self.panel, p.width, p.width, I64(0))

    def tile(
        self, c: ir.Value, i: ir.Value, slots: Slots, there: Sequence[ir.Value | None],
        along: ir.Value, left: ir.Value, fresh: ir.Value,
    ) -> None:  # fmt: skip
        """A tile from row i of those that are packed, by half of its vectors if that will do.

        A row that is not there goes to memory that nobody reads.
        """
        w, p = self.w, self.parts
        group, within = w.b.sdiv(i, I64(self.down)), w.b.srem(i, I64(self.down))
        column = w.at(self.groups, w.times(group, self.group_size), within)
        lines = [w.at(c, w.times(self.ldc, r)) for r in range(len(slots))]
        out = [
            x if t is None else w.b.select(t, x, self.spare)
            for t, x in zip(there, lines, strict=True)
        ]
        with w.b.if_else(w.b.icmp_signed(">", left, I64(w.lanes))) as (then, otherwise):
            with then:
                p.tile(slots, column, self.panel, along, out, left, fresh)
            with otherwise:
                p.tile([s[:1] for s in slots], column, self.panel, along, out, left, fresh)


def _share(w: Writer, n: ir.Value, most: ir.Value, multiple: int) -> ir.Value:
    """How long parts of n are that are about equal, multiples, and no longer than `most`."""
    count = w.b.sdiv(w.b.sub(w.b.add(n, most), I64(1)), most)
    count = w.b.select(w.b.icmp_signed("<", count, I64(1)), I64(1), count)
    part = w.b.sdiv(w.b.sub(w.b.add(n, count), I64(1)), count)
    return w.times(w.b.sdiv(w.b.add(part, I64(multiple - 1)), I64(multiple)), multiple)
