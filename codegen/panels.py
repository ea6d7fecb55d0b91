"""Matrix products whose operands are read where they lie: tiles of vector registers, no packing.

OpenBLAS copies both operands before it multiplies, which for few rows costs more than the product,
and wants them as matrices, so that a convolution has to write its patches down.  Here the rows of
an operand may lie anywhere (`places` counts elements, a negative one stands for a row of zeros).
Four kernels, in LLVM's language, each compiled once per dtype and shape of tile:

    rows   c[targets[m] + n] (+)= sum over t, k of x[places[m, t] + k] b[t, k, n]
    outer  c[t, m, n] (+)= sum over k of a[k, m] x[places[k, t] + n]
    dots   c[m, n] = sum over k of a[m, k] b[n, k]
    turn   y[n // size, places[d, e], n % size] = x[d, n, e], which makes panels of rows
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from . import cache, link
from .team import Member, together
from .vectors import registers as registers
from .vectors import width as width

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
REALS = {"f32": (ir.FloatType(), 4), "f64": (ir.DoubleType(), 8)}
KINDS = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}
STREAMS = 16  # rows of a large operand that are read side by side
CHUNK = 256  # terms summed before the tile moves on, so that what it reads again stays in cache
# Rows and vectors of a tile, by the number of vector registers: accumulators, operands, a spare.
TILES = {32: ((6, 4), (8, 3), (4, 6), (2, 8)), 16: ((6, 2), (4, 3), (2, 5))}
DOTS = {32: ((4, 6), (2, 8)), 16: ((3, 3), (2, 4))}

Tile = tuple[int, int]
Values = Sequence[ir.Value]


def tile(dtype: np.dtype, m: int, n: int) -> Tile:
    """The tile that covers m by n with the fewest products and loads."""
    return min(TILES[registers()[1]], key=lambda t: _work(t, m, -(-n // width(dtype))))


def dots_tile(m: int, n: int) -> Tile:
    """The same where vectors run along what is summed over."""
    return min(DOTS[registers()[1]], key=lambda t: _work(t, m, n))


def _work(t: Tile, m: int, n: int) -> int:
    """Products and loads: of both two fit into a cycle."""
    down, across = t
    return -(-m // down) * -(-n // across) * (down * across + down + across)


def member(kind: str, dtype: np.dtype, shape: Tile, sizes: tuple[int, ...]) -> Member:
    """The kernel for these sizes."""
    return Member(_compiled(kind, KINDS[dtype], shape), MAKERS[kind][1], sizes)


@functools.lru_cache(maxsize=1000)
def call(kind: str, dtype: np.dtype, shape: Tile, sizes: tuple[int, ...]) -> Callable[..., object]:
    """The kernel for these sizes, as a callable of arrays."""
    return together([member(kind, dtype, shape, sizes)])


@functools.cache
def _compiled(kind: str, dtype: str, shape: Tile) -> int:
    """The address of a kernel, from the store if an earlier process compiled it."""
    symbol = f"adjit_{kind}_{dtype}_{shape[0]}_{shape[1]}"

    def make() -> bytes:
        from . import engine  # LLVM is loaded where there is something to compile

        module = ir.Module(symbol)
        maker, pointers, sizes = MAKERS[kind]
        maker(Writer(module, symbol, dtype, shape, pointers, sizes))
        return engine.compile_text(str(module), engine.tidy)

    code = cache.object_code(symbol, f"panels {symbol} {registers()}", make)
    return link.load_object(code, symbol, {})


class Panel(NamedTuple):
    """As many columns as a tile has: the first one, its number, and a mask for each vector."""

    first: ir.Value
    number: ir.Value
    masks: Sequence[ir.Value | None]


class Writer:
    """Writes one kernel; `row_count` and `vectors` are those of its tile."""

    def __init__(
        self, module: ir.Module, symbol: str, dtype: str, shape: Tile, pointers: int, sizes: int
    ) -> None:
        self.real, itemsize = REALS[dtype]
        self.bytes = itemsize
        self.row_count, self.vectors = shape
        self.lanes = registers()[0] // itemsize
        self.vector = ir.VectorType(self.real, self.lanes)
        self.mask = ir.VectorType(I1, self.lanes)
        self.module = module
        table = self.real.as_pointer().as_pointer()
        kind = ir.FunctionType(I64, [table, I64.as_pointer(), ir.DoubleType().as_pointer()])
        self.function = ir.Function(module, kind, symbol)
        self.entry = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.b = ir.IRBuilder(self.function.append_basic_block("body"))
        given, numbers, _ = self.function.args
        self.pointers = [self.b.load(self.b.gep(given, [I64(k)])) for k in range(pointers)]
        self.sizes = [self.b.load(self.b.gep(numbers, [I64(k)])) for k in range(sizes)]

    def done(self, first: ir.Block) -> None:
        """End the function."""
        self.b.ret(I64(0))
        self.entry.branch(first)

    def loop(
        self, low: ir.Value, high: ir.Value, step: int | ir.Value, body: Callable[..., None]
    ) -> None:
        """`for i in range(low, high, step): body(i)`."""
        b = self.b
        step = I64(step) if isinstance(step, int) else step
        around, inside, after = b.block, b.append_basic_block("loop"), b.append_basic_block("end")
        b.cbranch(b.icmp_signed("<", low, high), inside, after)
        b.position_at_end(inside)
        index = b.phi(I64)
        index.add_incoming(low, around)
        body(index)
        following = b.add(index, step, flags=("nsw",))
        index.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, high), inside, after)
        b.position_at_end(after)

    def least(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def at(self, pointer: ir.Value, *offsets: ir.Value) -> ir.Value:
        """The pointer moved by elements."""
        total = functools.reduce(lambda p, q: self.b.add(p, q, flags=("nsw",)), offsets)
        return self.b.gep(pointer, [total], inbounds=True)

    def times(self, x: ir.Value, y: ir.Value | int) -> ir.Value:
        return self.b.mul(x, I64(y) if isinstance(y, int) else y, flags=("nsw",))

    def row(self, x: ir.Value, places: ir.Value, which: ir.Value, zeros: ir.Value) -> ir.Value:
        """Where a row begins; a negative place is the row of zeros."""
        where = self.b.load(self.b.gep(places, [which], inbounds=True))
        missing = self.b.icmp_signed("<", where, I64(0))
        return self.b.select(missing, zeros, self.b.gep(x, [where]))

    def places(self, of: ir.Value) -> ir.Value:
        """A table of whole numbers among the pointers."""
        return self.b.bitcast(of, I64.as_pointer())

    # ---------------------------------------------------------------- vectors

    def masks(self, left: ir.Value) -> list[ir.Value]:
        """Which lanes of each vector of a tile are among the first `left`."""
        found = []
        for v in range(self.vectors):
            here = self.b.sub(left, I64(v * self.lanes))
            here = self.b.select(self.b.icmp_signed("<", here, I64(0)), I64(0), here)
            here = self.least(here, I64(self.lanes))
            wide = self.splat(self.b.trunc(here, I32), I32)
            steps = ir.Constant(ir.VectorType(I32, self.lanes), list(range(self.lanes)))
            found.append(self.b.icmp_signed("<", steps, wide))
        return found

    def splat(self, x: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        """A vector of equal numbers."""
        whole = ir.VectorType(kind or self.real, self.lanes)
        one = self.b.insert_element(ir.Constant(whole, ir.Undefined), x, I32(0))
        order = ir.Constant(ir.VectorType(I32, self.lanes), None)
        return self.b.shuffle_vector(one, ir.Constant(whole, ir.Undefined), order)

    def read(self, pointer: ir.Value, mask: ir.Value | None = None) -> ir.Value:
        """A vector from memory; lanes that are masked are zeros, and not read."""
        place = self.b.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            return self.b.load(place, align=self.bytes)
        rest = ir.Constant(self.vector, None)
        kinds = [place.type, I32, self.mask, self.vector]
        known = self.intrinsic("masked.load", self.vector, kinds, ".p0")
        return self.b.call(known, [place, I32(self.bytes), mask, rest])

    def write(self, value: ir.Value, pointer: ir.Value, mask: ir.Value | None = None) -> None:
        """A vector to memory."""
        place = self.b.bitcast(pointer, self.vector.as_pointer())
        if mask is None:
            self.b.store(value, place, align=self.bytes)
            return
        kinds = [self.vector, place.type, I32, self.mask]
        known = self.intrinsic("masked.store", ir.VoidType(), kinds, ".p0")
        self.b.call(known, [value, place, I32(self.bytes), mask])

    def intrinsic(self, name: str, out: ir.Type, kinds: Sequence[ir.Type], end: str) -> ir.Function:
        """An intrinsic of LLVM's on this kernel's vectors."""
        letter = "f32" if self.bytes == 4 else "f64"
        full = f"llvm.{name}.v{self.lanes}{letter}{end}"
        if full not in self.module.globals:
            ir.Function(self.module, ir.FunctionType(out, kinds), full)
        return self.module.globals[full]

    def transposed(self, rows: Values) -> list[ir.Value]:
        """The columns of as many rows as a vector has lanes; of fewer, those of each square."""
        side, half = len(rows), len(rows) // 2
        starts = range(0, self.lanes, side)
        low = [q + k // 2 + self.lanes * (k % 2) for q in starts for k in range(side)]
        orders = low, [k + half for k in low]
        kind = ir.VectorType(I32, self.lanes)
        found = list(rows)
        for _ in range(half.bit_length()):  # each round interleaves the halves of the list
            found = [
                self.b.shuffle_vector(found[i], found[i + half], ir.Constant(kind, order))
                for i in range(half)
                for order in orders
            ]
        return found

    def multiply_add(self, a: ir.Value, x: ir.Value, total: ir.Value) -> ir.Value:
        """a x + total, rounded once where the CPU can."""
        product = self.b.fmul(a, x, flags=("contract",))
        return self.b.fadd(total, product, flags=("contract", "reassoc", "nsz"))

    def accumulators(self) -> list[list[ir.Value]]:
        """Slots of a tile, which LLVM keeps in registers."""
        rows = range(self.row_count)
        return [[self.entry.alloca(self.vector) for _ in range(self.vectors)] for _ in rows]

    def begin(
        self,
        slots: Sequence[Values],
        fresh: ir.Value,
        out: Values,
        masks: Sequence[ir.Value | None],
    ) -> None:
        """Start a tile at zero, or at what is in memory."""
        with self.b.if_else(fresh) as (then, otherwise):
            with then:
                for row in slots:
                    for slot in row:
                        self.b.store(ir.Constant(self.vector, None), slot)
            with otherwise:
                for row, pointer in zip(slots, out, strict=True):
                    for v, (slot, mask) in enumerate(zip(row, masks, strict=True)):
                        place = self.b.gep(pointer, [I64(v * self.lanes)])
                        self.b.store(self.read(place, mask), slot)

    def end(self, slots: Sequence[Values], out: Values, masks: Sequence[ir.Value | None]) -> None:
        """Write a tile down."""
        for row, pointer in zip(slots, out, strict=True):
            for v, (slot, mask) in enumerate(zip(row, masks, strict=True)):
                place = self.b.gep(pointer, [I64(v * self.lanes)])
                self.write(self.b.load(slot), place, mask)

    def step(
        self, slots: Sequence[Values], left: Values, right: ir.Value,
        masks: Sequence[ir.Value | None],
    ) -> None:  # fmt: skip
        """Add the product of a column, where its elements lie, and a row."""
        vectors = [
            self.read(self.b.gep(right, [I64(v * self.lanes)]), mask)
            for v, mask in enumerate(masks)
        ]
        for row, pointer in zip(slots, left, strict=True):
            a = self.splat(self.b.load(pointer))
            for slot, x in zip(row, vectors, strict=True):
                self.b.store(self.multiply_add(a, x, self.b.load(slot)), slot)

    def columns(self, n: ir.Value, body: Callable[[Panel], None]) -> None:
        """The body for all panels of n columns; the last one may be masked."""
        whole = self.vectors * self.lanes

        def panel(k: ir.Value) -> None:
            first = self.times(k, whole)
            left = self.b.sub(n, first)
            with self.b.if_else(self.b.icmp_signed(">=", left, I64(whole))) as (then, otherwise):
                with then:
                    body(Panel(first, k, [None] * self.vectors))
                with otherwise:
                    body(Panel(first, k, self.masks(left)))

        panels = self.b.sdiv(self.b.add(n, I64(whole - 1)), I64(whole))
        self.loop(I64(0), panels, 1, panel)

    def chunks(
        self, depth: ir.Value, size: int, body: Callable[[ir.Value, ir.Value], None]
    ) -> None:
        """`body(low, high)` for pieces of what is summed over."""

        def chunk(low: ir.Value) -> None:
            body(low, self.least(self.b.add(low, I64(size)), depth))

        self.loop(I64(0), depth, size, chunk)


def _rows(w: Writer, streamed: bool) -> None:
    """Sizes: m, n, taps, k, elements of a panel of b, of a row in it, keep.

    Streamed, some rows of b are read from end to end before the next ones.
    """
    first = w.b.block
    x, places, zeros, b, c, targets = w.pointers
    m, n, taps, depth, panel_size, row_size, keep = w.sizes
    places, targets = w.places(places), w.places(targets)
    slots = w.accumulators()

    def tiles(panel: Panel, t: ir.Value, low: ir.Value, high: ir.Value) -> None:
        base = w.at(b, w.times(panel.number, panel_size))
        start = w.b.or_(w.b.or_(t, low), keep)
        fresh = w.b.icmp_signed("==", start, I64(0))

        def rows(i: ir.Value) -> None:
            at = [w.least(w.b.add(i, I64(j)), w.b.sub(m, I64(1))) for j in range(w.row_count)]
            left = [w.row(x, places, w.b.add(w.times(r, taps), t), zeros) for r in at]
            starts = [w.b.load(w.b.gep(targets, [r], inbounds=True)) for r in at]
            out = [w.at(c, start, panel.first) for start in starts]
            w.begin(slots, fresh, out, panel.masks)
            line = w.times(t, depth)

            def inner(q: ir.Value) -> None:
                right = w.at(base, w.times(w.b.add(line, q), row_size))
                w.step(slots, [w.b.gep(p, [q]) for p in left], right, panel.masks)

            w.loop(low, high, 1, inner)
            w.end(slots, out, panel.masks)

        w.loop(I64(0), m, w.row_count, rows)

    def all_taps(chunk: int, body: Callable[..., None]) -> None:
        w.loop(I64(0), taps, 1, lambda t: w.chunks(depth, chunk, functools.partial(body, t)))

    if streamed:
        all_taps(STREAMS, lambda t, low, high: w.columns(n, lambda p: tiles(p, t, low, high)))
    else:
        w.columns(n, lambda p: all_taps(CHUNK, functools.partial(tiles, p)))
    w.done(first)


def _outer(w: Writer, streamed: bool) -> None:
    """Sizes: m, n, k, taps, elements of a tile of a, of a row in it, of a row of c, of c for one
    tap, keep.

    Streamed, some rows of c are written from end to end before the next ones.
    """
    first = w.b.block
    a, x, places, zeros, c = w.pointers
    m, n, depth, taps, tile_size, row_size, ldc, apart, keep = w.sizes
    places = w.places(places)
    slots = w.accumulators()

    def tile(
        panel: Panel, low: ir.Value, high: ir.Value, t: ir.Value, i: ir.Value, steps: Values
    ) -> None:
        fresh = w.b.icmp_signed("==", w.b.or_(low, keep), I64(0))
        whole = w.at(c, w.times(t, apart))
        out = [w.at(whole, w.times(w.b.add(i, r), ldc), panel.first) for r in steps]
        tile_of_a = w.at(a, w.times(w.b.sdiv(i, I64(w.row_count)), tile_size))
        w.begin(slots, fresh, out, panel.masks)

        def inner(q: ir.Value) -> None:
            line = w.row(x, places, w.b.add(w.times(q, taps), t), zeros)
            column_of_a = w.at(tile_of_a, w.times(q, row_size))
            left = [w.b.gep(column_of_a, [r]) for r in steps]
            w.step(slots, left, w.b.gep(line, [panel.first]), panel.masks)

        w.loop(low, high, 1, inner)
        w.end(slots, out, panel.masks)

    def tiles(body: Callable[[ir.Value, Values], None]) -> None:
        steps = [I64(j) for j in range(w.row_count)]
        rest = w.b.srem(m, I64(w.row_count))
        even = w.b.sub(m, rest)
        w.loop(I64(0), even, w.row_count, lambda i: body(i, steps))
        with w.b.if_then(w.b.icmp_signed(">", rest, I64(0))):
            body(even, [w.least(j, w.b.sub(rest, I64(1))) for j in steps])

    def one(t: ir.Value) -> None:
        if streamed:
            w.chunks(depth, CHUNK, lambda low, high: tiles(
                lambda i, steps: w.columns(n, lambda p: tile(p, low, high, t, i, steps))
            ))  # fmt: skip
        else:
            w.columns(n, lambda p: w.chunks(depth, CHUNK, lambda low, high: tiles(
                lambda i, steps: tile(p, low, high, t, i, steps)
            )))  # fmt: skip

    w.loop(I64(0), taps, 1, one)
    w.done(first)


def _dots(w: Writer) -> None:
    """Sizes: m, n, k, elements of a row of c.  The vectors of a tile run along k."""
    first = w.b.block
    a, b, c = w.pointers
    m, n, depth, ldc = w.sizes
    slots = w.accumulators()
    total = w.intrinsic("vector.reduce.fadd", w.real, [w.real, w.vector], "")

    def across(j: ir.Value) -> None:
        of_b = [w.least(w.b.add(j, I64(q)), w.b.sub(n, I64(1))) for q in range(w.vectors)]
        right = [w.at(b, w.times(r, depth)) for r in of_b]

        def down(i: ir.Value) -> None:
            of_a = [w.least(w.b.add(i, I64(q)), w.b.sub(m, I64(1))) for q in range(w.row_count)]
            left = [w.at(a, w.times(r, depth)) for r in of_a]
            for slot in (s for row in slots for s in row):
                w.b.store(ir.Constant(w.vector, None), slot)

            def add(q: ir.Value, mask: ir.Value | None) -> None:
                ys = [w.read(w.b.gep(p, [q]), mask) for p in right]
                for row, p in zip(slots, left, strict=True):
                    x = w.read(w.b.gep(p, [q]), mask)
                    for slot, y in zip(row, ys, strict=True):
                        w.b.store(w.multiply_add(x, y, w.b.load(slot)), slot)

            rest = w.b.srem(depth, I64(w.lanes))
            even = w.b.sub(depth, rest)
            w.loop(I64(0), even, w.lanes, lambda q: add(q, None))
            with w.b.if_then(w.b.icmp_signed(">", rest, I64(0))):
                add(even, w.masks(rest)[0])
            for row, r in zip(slots, of_a, strict=True):
                for slot, s in zip(row, of_b, strict=True):
                    zero = ir.Constant(w.real, -0.0)
                    value = w.b.call(total, [zero, w.b.load(slot)], fastmath=("reassoc", "nsz"))
                    w.b.store(value, w.at(c, w.times(r, ldc), s))

        w.loop(I64(0), m, w.row_count, down)

    w.loop(I64(0), n, w.vectors, across)
    w.done(first)


def _turn(w: Writer) -> None:
    """Sizes: n, extents of d and e, elements from one n and one d to the next, size, of a panel.

    Blocks of as many rows as a register has lanes are transposed in registers.
    """
    first = w.b.block
    x, places, y = w.pointers
    n, outer, inner, across, down, size, panel_size = w.sizes
    places, lanes = w.places(places), w.lanes

    def block(column: ir.Value) -> None:
        number, within = w.b.sdiv(column, size), w.b.srem(column, size)
        out = w.at(y, w.times(number, panel_size), within)
        last = w.b.sub(n, I64(1))
        at = [w.times(w.least(w.b.add(column, I64(i)), last), across) for i in range(lanes)]

        def plane(d: ir.Value) -> None:
            base, line = w.at(x, w.times(d, down)), w.times(d, inner)

            def square(e: ir.Value) -> None:
                left = w.least(w.b.sub(inner, e), I64(lanes))
                with w.b.if_else(w.b.icmp_signed("==", left, I64(lanes))) as (then, otherwise):
                    with then:
                        write(e, left, None)
                    with otherwise:
                        write(e, left, w.masks(left)[0])

            def write(e: ir.Value, left: ir.Value, mask: ir.Value | None) -> None:
                turned = w.transposed([w.read(w.at(base, row, e), mask) for row in at])
                for j, value in enumerate(turned):
                    where = w.b.add(w.b.add(line, e), w.least(I64(j), w.b.sub(left, I64(1))))
                    to = w.b.load(w.b.gep(places, [where], inbounds=True))
                    wanted = w.b.icmp_signed(">=", to, I64(0))
                    with w.b.if_then(w.b.and_(wanted, w.b.icmp_signed("<", I64(j), left))):
                        w.write(value, w.at(out, w.times(to, size)))

            w.loop(I64(0), inner, lanes, square)

        w.loop(I64(0), outer, 1, plane)

    w.loop(I64(0), n, lanes, block)
    w.done(first)


# Maker, number of pointers, number of sizes.
MAKERS: dict[str, tuple[Callable[[Writer], None], int, int]] = {
    "rows": (functools.partial(_rows, streamed=False), 6, 7),
    "streamed_rows": (functools.partial(_rows, streamed=True), 6, 7),
    "outer": (functools.partial(_outer, streamed=False), 5, 9),
    "streamed_outer": (functools.partial(_outer, streamed=True), 5, 9),
    "dots": (_dots, 3, 4),
    "turn": (_turn, 3, 7),
}
