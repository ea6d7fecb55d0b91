"""A plan as kernel text: the loops, and what each of them stores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod

from ..ir.access import MAX_INTERVALS
from ..ir.core import Const, Op, Value
from ..ir.plan import CallItem, Item, Loop, Plan, Root, Stmts
from ..ir.prim import Call, Fold
from ..ir.types import KIND, Extent
from . import contiguous, indices, triangular
from .calls import CALLS, add_at, gemm, strided_pad
from .emit import ITEM, LITERAL_SIZE, At, Scope, fold_start
from .halves import halves, places
from .indices import indices_of, validate
from .reader import Reader
from .regions import region
from .spikes import spikes
from .vectors import in_vectors

FIRST_MISS = -2  # the status of a kernel whose first guard missed
JAM = 4  # rows that share one pass of an inner loop
JAM_READS = 4
MANY = 4096  # terms of single precision that are added one by one, some in each lane
SOME = 512  # where the loop over them is no vector
FEW = 64  # rounds of an inner loop whose last vector is worth a mask
LINES = 128  # bytes of a row between two requests for memory
LANES = 8  # numbers in a register
EDGE = 2  # rows at an end that are not cut where the meaning of a read changes
SHORTS = 3  # bounds between pieces of so few rows that are left out: these read by conditions
MANY_ROWS = 32  # beside which they take little time


def wide(r: Root) -> list[int]:
    """The reduced dims of a root that have more than one index."""
    return [d for d in r.red if r.dims[d] != 1]


def adds_many(r: Root) -> bool:
    """Whether a sum of single precision has so many terms that a running sum loses digits.

    NumPy adds pairwise; here the sums of parts are added in double precision.
    """
    assert r.op is not None
    if r.value.dtype != "f32" or r.op.prim.name != "sum":
        return False
    extents = [r.dims[d] for d in wide(r)]
    return prod(extents) > MANY or any(isinstance(n, Extent) and n.varies for n in extents)


def _is_flat(loop: Loop) -> bool:
    """Whether the loops in it are too short to be vectors, so that it is one itself."""
    inner = [i for i in loop.body if isinstance(i, Loop)]
    return all(i.high - i.low <= LITERAL_SIZE and _is_flat(i) for i in inner)


def _unrolls(loop: Loop) -> bool:
    """Whether LLVM may unroll a loop: no long loop is inside, which would be there many times."""
    inner = [i for i in loop.body if isinstance(i, Loop)]
    return all(i.high - i.low <= LITERAL_SIZE and _unrolls(i) for i in inner)


def _varies(n: int) -> bool:
    return isinstance(n, Extent) and n.varies


def _fewer(bounds: Sequence[int], kept: Collection[int]) -> list[int]:
    """The bounds of a loop but for those between many short pieces; `kept` ones stay."""
    soft = [False] * len(bounds)
    for k in range(1, len(bounds) - 1):
        before, after = bounds[k] - bounds[k - 1], bounds[k + 1] - bounds[k]
        soft[k] = max(before, after) <= EDGE and bounds[k] not in kept
    out: list[int] = []
    for drop, group in itertools.groupby(range(len(bounds)), soft.__getitem__):
        run = [bounds[k] for k in group]
        out += [] if drop and len(run) >= SHORTS else run
    return out


class Writer(Reader):
    """Writes the text of one kernel from its plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.at: dict[tuple[Root, int], At] = {}  # where each root's domain dims stand now
        self.idle: set[Root] = set()  # members that do not cover the interval at hand
        self.accumulating: dict[Root, str] = {}
        self.late: list[str] | None = None  # stores for the end of a statement list
        self.guards: list[Op] = []  # the k-th of them answers FIRST_MISS - k
        self.failing: dict[int, str] | None = None  # names of what tells at the end of a loop
        self.edge = False  # whether reads say by conditions where they mean something else
        for r in plan.roots.values():
            for d, n in enumerate(r.dims):
                if n == 1:
                    self.at[r, d] = (None, 0, 0)  # as views say it, for the memo

    # ---------------------------------------------------------------- storing values

    def target(self, r: Root, index: Sequence[At]) -> str:
        return self.cell(r.value, index)

    def index_of(self, r: Root) -> tuple[At, ...]:
        """Where the value of a root stands at this point of the loops."""
        return tuple(self.at[r, d] for d in r.par)

    def put(self, r: Root, text: str) -> None:
        """Store a root's value at the current index, or name it if it stays in a register."""
        index = self.index_of(r)
        if self.plan.storage[r.value].place == "local":
            self.local[r.value] = text
            return
        cell, fold = self.target(r, index), self.plan.adds.get(r.value)
        store = f"{cell} = {text}" if fold is None else self.joining(r, fold, cell, text)
        # Others of this round may read what lies there now.
        if self.late is not None and r.value in self.updates:
            self.late.append(store)
        else:
            self.line(store)
        self.scopes[self.depth(index)].memo[(r.value, index, ())] = text
        if r.value.ndim == 0:
            self.local[r.value] = text

    # ---------------------------------------------------------------- items

    def items(self, items: Sequence[Item]) -> None:
        for item in items:
            self.item(item)

    def item(self, item: Item) -> None:
        if isinstance(item, Loop):
            self.loop(item)
        elif isinstance(item, Stmts):
            self.late = []
            for r in item.members:
                if r not in self.idle:
                    self.leaf(r)
            late, self.late = self.late, None
            for text in late:
                self.line(text)
        elif item.root not in self.idle:
            self.call(item.root)

    def leaf(self, r: Root) -> None:
        """One root at one index."""
        if r.kind == "guard":
            self.guard(r)
            return
        domain = tuple(self.at[r, d] for d in range(len(r.dims)))
        if r.kind == "scatter":
            for op in r.chain:
                add_at(self, r, op, domain)
            return
        if r.kind == "fold":
            assert r.op is not None
            value = self.pull(r.op.args[0], domain)
            self.combine(r, value)
            return
        if r.op is None:
            assert r.source is not None
            if self.same_place(r.source, r.value):
                return
            value = self.pull(r.source, domain)
        else:
            value = self.evaluate(r.op, domain, ())
        self.put(r, value)

    def fail(self, condition: str, status: int) -> None:
        """Leave the kernel with a status if a condition holds, at once or at the end of a loop."""
        if self.failing is None:
            self.line(f"if {condition}:")
            self.line(f"    return {status}")
            return
        name = self.failing.setdefault(status, self.names.fresh("failed"))
        self.line(f"{name} = {name} | ll.select({condition}, 1, 0)")

    def guard(self, r: Root) -> None:
        """Leave the kernel where a value is not what it was while tracing."""
        assert r.op is not None
        value, expected = self.pull(r.op.args[0], ()), r.op.attrs["expected"]
        at = f"  # {r.op.where}" if r.op.where else ""
        if isinstance(expected, bool):
            missed = f"not {value}" if expected else value
        else:
            missed = f"{value} != {self.names.literal(Const(expected, 'i64'))}"
        self.line(f"if {missed}:{at}")
        self.line(f"    return {FIRST_MISS - len(self.guards)}")
        self.guards.append(r.op)

    def combine(self, r: Root, value: str) -> None:
        assert r.op is not None and isinstance(r.op.prim.emit, Fold)
        text = r.op.prim.emit.text[self.fold_kind(r)]
        if not wide(r):  # a reduction over nothing is its operand
            self.put(r, value)
            return
        if r in self.accumulating:
            acc = self.accumulating[r]
            self.line(f"{acc} = {text.format(value, acc=acc)}")
            return
        cell = self.target(r, self.index_of(r))
        self.line(self.joining(r, r.op.prim.emit, cell, value))

    def joining(self, r: Root, fold: Fold, cell: str, value: str) -> str:
        """The assignment that joins a value to what a cell of a root's storage holds."""
        there = f"({cell} != 0)" if r.value.dtype == "bool" else cell
        return f"{cell} = {fold.text[self.fold_kind(r)].format(value, acc=there)}"

    def fold_kind(self, r: Root) -> str:
        kind = KIND[r.value.dtype]
        return {"u": "i", "c": "f"}.get(kind, kind)

    def loop(self, loop: Loop) -> None:
        opened = self.open_accumulators(loop, parts=True)
        sums = self.doubled([(r, acc) for r, acc in opened if adds_many(r)])
        joined = contiguous.nest(self, loop)
        if joined:
            self.joined(joined, sums)
        else:
            self.intervals(loop, sums)
        for r, acc in opened:
            del self.accumulating[r]
            self.put(r, f"ll.f32({sums[r]})" if r in sums else acc)

    def intervals(self, loop: Loop, sums: Mapping[Root, str]) -> None:
        """The loop, cut where the set of members or the meaning of a read changes."""
        inner = not any(isinstance(b, Loop) for b in loop.body)
        cuts = self.bounds(loop, reads=not self.edge)
        longest = max((b - a for a, b in itertools.pairwise(cuts)), default=0)
        whole = longest >= MANY_ROWS
        bounds = _fewer(cuts, self.bounds(loop, reads=False)) if whole else cuts
        if len(bounds) - 1 > MAX_INTERVALS and not inner:
            bounds = self.bounds(loop, reads=False)
        if inner and any(r.kind == "fold" for r in loop.members):
            size = max((ITEM.get(r.value.dtype, 8) for r in loop.members), default=8)
            most = FEW if self.adds_columns(loop) and not _varies(loop.high) else LITERAL_SIZE
            bounds = in_vectors(bounds, size, most)
        edge = self.edge
        for low, high in itertools.pairwise(bounds):
            # A few rows take little time, but each piece of them as much text as the whole.
            few = high - low <= EDGE or (high - low < longest and any(low < c < high for c in cuts))
            self.edge = edge or (whole and not inner and few)
            self.interval(loop, low, high, sums)
        self.edge = edge

    def joined(self, chain: Sequence[Loop], sums: Mapping[Root, str]) -> None:
        """Loops one within the other as one, whose variable counts elements in memory."""
        var, end = self.names.fresh("i"), self.product([x.high for x in chain])
        last, count = chain[-1], prod(x.high for x in chain)
        for x in chain[:-1]:
            self.at.update({(r, d): (None, 0, 0) for r, (d, _) in x.dims.items()})
        outer: tuple[str, ...] = ()
        reach = end
        if sums:
            first = self.names.fresh("s")
            outer = (f"for {first} in range(0, {end}, {MANY}):",)
            reach = f"{first}, min({first} + {MANY}, {end})"
        with self.body(*outer), self.in_parts(sums), self.body(f"for {var} in range({reach}):"):
            self.enter(last, var, self.scope.depth, (0, count - 1))
            self.items(last.body)
        for x in chain:
            self.leave(x)

    def bounds(self, loop: Loop, reads: bool = True) -> list[int]:
        """Where along the loop the set of members or the meaning of a read changes."""
        cuts = {loop.low, loop.high}
        for r, (d, off) in loop.dims.items():
            cuts |= {-off, r.dims[d] - off}
            if reads:
                cuts |= {b - off for dd, b in r.breaks if dd == d}
        return sorted(c for c in cuts if loop.low <= c <= loop.high)

    def open_accumulators(self, loop: Loop, parts: bool = False) -> list[tuple[Root, str]]:
        """Start the reductions whose outermost reduced dim this loop carries.

        In `parts`, sums of many terms start with each part.
        """
        opened = []
        for r in loop.members:
            d = loop.dims[r][0]
            if d in r.par or r in self.idle or any((r, e) in self.at for e in wide(r)):
                continue
            if r.kind == "gemm":
                self.clear(r, "0.0")
                continue
            if r.kind == "scatter":
                for i, extent in indices_of(self.plan, r):
                    validate(self, i, extent)
                before = r.chain[0].args[0]
                if r.value in self.plan.adds or self.same_place(before, r.value):
                    continue
                with self.nest(r.value.shape) as index:
                    start = self.pull(before, tuple(index))
                    self.line(f"{self.target(r, index)} = {start}")
                continue
            if r.kind != "fold":
                continue
            assert r.op is not None and isinstance(r.op.prim.emit, Fold)
            start = fold_start(r.op.prim.emit.init[self.fold_kind(r)], r.value.dtype)
            if all((r, p) in self.at for p in r.par):
                acc = self.names.fresh(r.value.hint or "acc")
                if not (parts and adds_many(r)):
                    self.line(f"{acc} = {start}")
                self.accumulating[r] = acc
                opened.append((r, acc))
            else:
                self.clear(r, start)
        return opened

    def clear(self, r: Root, start: str) -> None:
        """Set what a root's storage holds at this point to a start value, if it has none."""
        if r.value in self.plan.adds:
            return
        free = [k for k, p in enumerate(r.par) if (r, p) not in self.at]
        with self.nest([r.value.shape[k] for k in free]) as vars_:
            index = [
                vars_[free.index(k)] if k in free else self.at[r, p] for k, p in enumerate(r.par)
            ]
            self.line(f"{self.cell(r.value, index)} = {start}")

    @contextmanager
    def nest(self, extents: Sequence[int]) -> Iterator[list[At]]:
        """Plain nested loops over extents, which yield their indices."""
        if not extents:
            yield []
            return
        var = self.names.fresh("i")
        n = extents[0]
        with self.body(f"for {var} in range({self.names.size(n)}):") as scope:
            self.of_var[var] = scope.depth
            self.ranges[var] = (0, n - 1)
            with self.nest(extents[1:]) as rest:
                yield [(var, 0, 1), *rest]

    @contextmanager
    def stack(self, r: Root, extents: Sequence[int]) -> Iterator[list[At]]:
        """Loops over the dims of a stack of matrices that no loop around carries; the indices."""
        free = [d for d in range(len(extents)) if (r, d) not in self.at]
        with self.nest([extents[d] for d in free]) as own:
            yield [own[free.index(d)] if d in free else self.at[r, d] for d in range(len(extents))]

    def doubled(self, opened: Sequence[tuple[Root, str]]) -> dict[Root, str]:
        """Sums in double precision, which take what the rounds of a loop add to others."""
        found = {r: self.names.fresh(acc) for r, acc in opened}
        for name in found.values():
            self.line(f"{name} = 0.0")
        return found

    @contextmanager
    def in_parts(self, sums: Mapping[Root, str]) -> Iterator[None]:
        """Let what follows be added up by itself, and then to the sums."""
        for r in sums:
            self.line(f"{self.accumulating[r]} = {fold_start('0.0', r.value.dtype)}")
        yield
        for r, whole in sums.items():
            self.line(f"{whole} = {whole} + ll.f64({self.accumulating[r]})")

    def interval(self, loop: Loop, low: int, high: int, sums: Mapping[Root, str]) -> None:
        before = self.idle
        self.idle = before | {
            r for r, (d, off) in loop.dims.items() if low < -off or high > r.dims[d] - off
        }
        if loop.strip:
            self.strip(loop, low, high, sums)
        elif sums and high - low > 1 and _is_flat(loop):
            self.parts(loop, low, high, sums)
        else:
            var = self.names.fresh("i")
            single = high == low + 1
            a, b = self.names.size(low), self.names.size(high)
            if not single and not _unrolls(loop):
                b = self.names.argument(high)
            end = f"ll.few({b})" if self.has_few(loop, low, high) else b
            header = f"for {var} in range({end if low == 0 else f'{a}, {end}'}):"
            with self.aside() as scope:
                if single:
                    self.line(f"{var} = {a}")
                self.enter(loop, var, scope.depth, (low, high - 1))
                ends = triangular.limits(self, loop, var) if high - low > LITERAL_SIZE else None
                with self.in_parts(sums):
                    self.items(loop.body)
            lines, headers = scope.lines, () if single else (header,)
            # Indices from data are checked wherever they are read.
            if ends is not None and not any("status" in text for text in lines):
                headers = (triangular.header(self, var, (a, b), ends),)
            elif high - low > LITERAL_SIZE:
                found = spikes(var, (a, end), lines, self.names.fresh)
                if found is None:
                    known = partial(places, self.around(), self.ranges, self.moving)
                    found = halves(var, (a, end), lines, self.names.fresh, known)
                lines, headers = (lines, headers) if found is None else (found, ())
            self.under(headers, lines)
            indices.passed(self, scope, var, (low, high))
            self.leave(loop)
        self.idle = before

    def parts(self, loop: Loop, low: int, high: int, sums: Mapping[Root, str]) -> None:
        """The loop in parts of many rounds, so that only the sums of each are rounded much."""
        terms = max(prod(r.dims[d] for d in wide(r) if d != loop.dims[r][0]) for r in sums)
        size = SOME >> (terms - 1).bit_length() or 1 if terms > 1 else MANY
        first, var, end = self.names.fresh("s"), self.names.fresh("i"), self.names.argument(high)
        with self.body(f"for {first} in range({self.names.size(low)}, {end}, {size}):") as scope:
            self.of_var[first] = scope.depth
            rounds = f"for {var} in range({first}, min({first} + {size}, {end})):"
            with self.in_parts(sums), self.body(rounds) as inner:
                self.enter(loop, var, inner.depth, (low, high - 1))
                self.items(loop.body)
        self.leave(loop)

    def has_few(self, loop: Loop, low: int, high: int) -> bool:
        """Whether an inner loop's last rounds are worth a mask.

        Sums in memory wait for one, so that there it is for the rest of whole vectors alone.  Four
        vectors at once that leave no rest need none: softmaxes of 64 take 0.8 of the time so.
        """
        inner = self.scope.depth > 0 and all(isinstance(i, Stmts) for i in loop.body)
        if not inner or _varies(high) or not LITERAL_SIZE < high <= FEW:
            return False
        if self.adds_columns(loop):
            return 0 < low < high - 1
        return high - low > LITERAL_SIZE and (high - low) % (4 * LANES) > 0

    def adds_columns(self, loop: Loop) -> bool:
        """Whether the rounds add to sums in memory."""
        return any(r.kind == "fold" and r not in self.accumulating for r in loop.members)

    def enter(self, loop: Loop, var: str, depth: int, known: tuple[int, int]) -> None:
        self.of_var[var] = depth
        self.ranges[var] = known
        for r, (d, off) in loop.dims.items():
            self.at[r, d] = (var, off, 1)

    def leave(self, loop: Loop) -> None:
        for r, (d, _) in loop.dims.items():
            self.at.pop((r, d), None)

    # ---------------------------------------------------------------- strips and calls

    def strip(self, loop: Loop, low: int, high: int, sums: Mapping[Root, str]) -> None:
        """The loop in blocks of rows, where every item of the body has a row loop of its own."""
        block, rows = self.names.fresh("s"), self.names.fresh("m")
        a, b = self.names.size(low), self.names.size(high)
        with self.body(f"for {block} in range({a}, {b}, {loop.strip}):") as scope:
            self.line(f"{rows} = min({loop.strip}, {b} - {block})")
            self.of_var[block] = self.of_var[rows] = scope.depth
            self.strips.append(loop)
            with self.in_parts(sums):
                for item in loop.body:
                    self.of_block(loop, item, block, rows, (low, high - 1))
            self.strips.pop()
        indices.whole(self, scope, block, low, high)

    def of_block(
        self, loop: Loop, item: Item, block: str, rows: str, known: tuple[int, int]
    ) -> None:
        """An item of a block: a call for all of its rows, or a loop over them."""
        if isinstance(item, CallItem) and item.root.kind != "call":
            self.enter(loop, block, self.scope.depth, known)
            self.call(item.root, rows)
            self.leave(loop)
            return
        first = "0"
        if self.jammable(loop, item):
            assert isinstance(item, Loop)
            first = self.jam(loop, item, block, rows, known)
        row, var = self.names.fresh("r"), self.names.fresh("i")
        reach = rows if first == "0" else f"{first}, {rows}"
        with self.together(f"for {row} in range({reach}):") as inner:
            self.line(f"{var} = {block} + {row}")
            self.block_of[var] = block
            self.enter_row(loop, row, var, inner.depth, known)
            self.item(item)
        indices.passed(self, inner, var, block)
        self.leave(loop)

    @contextmanager
    def together(self, header: str) -> Iterator[Scope]:
        """A loop that no round leaves: what fails in one is noted, and told at the end of all."""
        before, self.failing = self.failing, {}
        with self.aside() as inner:
            inner.together = True
            yield inner
        failing, self.failing = self.failing, before
        for name in failing.values():
            self.line(f"{name} = 0")
        self.under((header,), inner.lines)
        for status, name in failing.items():
            self.line(f"if {name} != 0:")
            self.line(f"    return {status}")

    def enter_row(self, loop: Loop, row: str, var: str, depth: int, known: tuple[int, int]) -> None:
        self.of_var[row] = depth
        self.rows[loop] = row
        self.enter(loop, var, depth, known)

    def jammable(self, loop: Loop, item: Item) -> bool:
        """Whether rows should pass in fours: a light inner loop that ends or adds up once a row.

        A dot product by rows ends with a sum over lanes, and a column sum loads and stores its
        row of sums; four rows at a time share both.
        """
        if not isinstance(item, Loop) or len(item.body) != 1 or loop.strip < 2 * JAM:
            return False
        if not isinstance(item.body[0], Stmts) or len(self.bounds(item)) != 2:
            return False
        if item.high - item.low <= LANES or any(r in self.idle for r in item.members):
            return False
        work = sum(len(r.accesses) for r in item.members)
        return all(r.kind == "fold" for r in item.members) and work <= JAM_READS

    def jam(self, loop: Loop, inner: Loop, block: str, rows: str, known: tuple[int, int]) -> str:
        """Rows in groups of four through one inner loop; returns where the rest begins."""
        group, rest = self.names.fresh("g"), self.names.fresh("m")
        self.line(f"{rest} = {rows} & {-JAM}")
        self.of_var[rest] = self.scope.depth
        with self.body(f"for {group} in range(0, {rest}, {JAM}):") as scope:
            lanes = []
            for k in range(JAM):
                row, var = self.names.fresh("r"), self.names.fresh("i")
                self.line(f"{row} = {group} + {k}" if k else f"{row} = {group}")
                self.line(f"{var} = {block} + {row}")
                self.block_of[var] = block
                self.enter_row(loop, row, var, scope.depth, known)
                opened = self.open_accumulators(inner)
                lanes.append((row, var, opened))
            low, high = self.names.size(inner.low), self.names.size(inner.high)

            def columns(*bounds: str) -> None:
                j = self.names.fresh("i")
                with self.body(f"for {j} in range({', '.join(bounds)}):") as deepest:
                    for row, var, opened in lanes:
                        self.enter_row(loop, row, var, scope.depth, known)
                        self.enter(inner, j, deepest.depth, (inner.low, inner.high - 1))
                        self.accumulating.update(opened)
                        self.items(inner.body)
                self.leave(inner)

            if loop.ahead is not None and inner is loop.body[-1]:
                done = self.fetching(loop, loop.ahead, lanes[0][1], high, columns)
                columns(done, f"ll.few({high})")
            else:
                if self.has_few(inner, inner.low, inner.high):
                    high = f"ll.few({high})"
                columns(*((high,) if inner.low == 0 else (low, high)))
            for row, var, opened in lanes:
                self.enter_row(loop, row, var, scope.depth, known)
                for r, acc in opened:
                    self.accumulating.pop(r, None)
                    self.put(r, acc)
        self.leave(loop)
        return rest

    def fetching(
        self, loop: Loop, v: Value, row: str, columns: str, some: Callable[..., None]
    ) -> str:
        """Columns in groups, each while the cache begins to read as much of the next block.

        Returns where the rest of them begins.
        """
        group, start, done = LINES // ITEM[v.dtype], self.names.fresh("k"), self.names.fresh("m")
        self.line(f"{done} = {columns} & {-group}")
        self.of_var[done] = self.scope.depth
        with self.body(f"for {start} in range(0, {done}, {group}):") as scope:
            self.of_var[start] = scope.depth
            base, index, extents = self.place(v, ((row, loop.strip, 1), (start, 0, JAM)))
            there = self.offset(index, extents)
            self.line(f"ll.ahead({self.pointer(base)}, {there}, {JAM * group})")
            some(start, f"{start} + {group}")
        return done

    def call(self, r: Root, rows: str | None = None) -> None:
        if r.kind == "gemm":
            gemm(self, r, rows)
        elif r.kind == "region":
            before, self.failing = self.failing, None
            region(self, r)
            self.failing = before
        else:
            assert r.op is not None
            emit = r.op.prim.emit
            if isinstance(emit, Call):
                CALLS[emit.name](self, r)
            else:
                strided_pad(self, r)

    # ---------------------------------------------------------------- the whole

    def write(self) -> list[str]:
        """The lines of the kernel's body."""
        self.items(self.plan.items)
        return self.scopes[0].lines
