"""Fusion: roots to few fat loop nests, one axis at a time, from the outside in.

Two roots share a loop when each can name one of its axes such that every edge between them is
aligned: the consumer's row i reads only the producer's row i.  Groups form one total order and a
root is placed at or after its producers, so cycles cannot arise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product

from ..ir.access import DYNAMIC, has_many_pieces, is_inline
from ..ir.core import Block, Function, Op, Value
from ..ir.plan import Access, Body, CallItem, Item, Loop, Plan, Root, Stmts
from ..ir.prim import Expr
from ..ir.records import dataclass
from .buffers import share
from .promotions import promotions
from .regions import settle, take_turns
from .roots import Roots, batches
from .rounding import EVERY_STEP, Rounding
from .storage import assign

MAX_TEXT = 32  # ranges of a loop times roots in it, which is what each dim has of text
MAX_SHIFT = 4  # how far the ranges of members of one loop may differ at either end
MAX_MEMBERS = 40
MAX_FLAT = 1000  # the same where all have one dim: they run in strips, some at a time
MAX_MERGES = 8  # earlier loops that one is tried with
TINY_LOOP = 4  # an outer loop this short is no worse than a longer one
BLOCK_ROWS = 64  # rows of a block that holds products
L2 = 1 << 20  # bytes of a core's second cache, of the smallest machine worth tuning for
MAX_ROUNDS = 12
MANY_OPS, FEW_ROUNDS = 400, 4  # what many loops compute again is found soon, or costs little
CROWD = 2000  # pieces of an array, times the loops that would each look for theirs among all
SOME_ROUNDS = 64  # where their number is not known
MAX_DEPTH = 16  # of an inlined expression; scalars are local variables in any case
MAX_SCALAR_DEPTH = 4


class Cand(dict[Root, tuple[int, int]]):
    """A way to share a loop: for each root the dim that runs along it, and its shift.

    ranges   the shifts and extents there are, which are few
    """

    ranges: frozenset[tuple[int, int]]

    def __init__(self, dims: Mapping[Root, tuple[int, int]]) -> None:
        super().__init__(dims)
        self.ranges = frozenset((off, int(r.dims[d])) for r, (d, off) in dims.items())

    def beside(self, r: Root, d: int, off: int) -> Cand:
        """The same with one more root."""
        more = Cand.__new__(Cand)
        more.update(self)
        more[r] = d, off
        more.ranges = self.ranges | {(off, int(r.dims[d]))}
        return more


Tied = dict[tuple[Value, int, int], list[int]]  # where reads by a step start in a dim of an array


@dataclass(eq=False)
class Group:
    """Roots that will run together: in one loop, as statements, or as one call."""

    kind: str
    members: list[Root]
    cands: list[Cand]


def fuse(function: Function, rounding: Rounding = EVERY_STEP) -> Plan:
    """The plan of a function: its roots in loops, and where each root's value lives."""
    plan = _planned(function.block, rounding)
    share(plan)
    take_turns(plan)
    return plan


def _planned(block: Block, rounding: Rounding, rounds: int = 0) -> Plan:
    """The plan of a block, in which those of its regions are nested; of one that runs in rounds."""
    products = rounding.products(block)
    promoted = _deep_values(block, products)
    promoted |= _crowded(block, promoted)
    for left in reversed(range(MAX_ROUNDS if len(block.ops) < MANY_OPS else FEW_ROUNDS)):
        roots = Roots(block, promoted, rounds)
        items = Scheduler(roots).run()
        more = promotions(roots, items) - promoted if left else None
        if not more:
            break
        promoted |= more
    plan = Plan(block.params, roots.outs, items, roots.values, {}, roots.defs, dict(roots.aliases))
    plan.products |= products
    plan.inside.update(roots.inside)
    assign(plan, roots, inner=rounds > 0)
    for r in [r for r in plan.roots.values() if r.kind == "region"]:
        assert r.op is not None
        for label, region in r.op.blocks.items():
            body = _planned(region, rounding, max(1, rounds) * _rounds(r.op))
            r.bodies[label] = Body(body.params, body.outs, body.items)
            plan.roots.update(body.roots)
            plan.storage.update(body.storage)
            plan.defs.update(body.defs)
            plan.aliases.update(body.aliases)
            plan.inside.update(body.inside)
            plan.products |= body.products
        settle(plan, r)
    return plan


def _rounds(op: Op) -> int:
    """How often the blocks of an op run, as far as the program says so."""
    if op.prim.name not in ("loop", "while"):
        return 1
    known = op.attrs.get("length", -1)
    return known if known > 0 else SOME_ROUNDS


def _deep_values(block: Block, products: set[Value]) -> set[Value]:
    """Values that end long chains of inlined ops, so that no expression is too deep to walk.

    Inside one loop such a root is a local variable and costs nothing.
    """
    depth: dict[Value, int] = {}
    deep: set[Value] = set()
    for op in block.ops:
        if not op.outs:
            continue
        level = 1 + max([0, *[depth.get(a, 0) for a in op.args]]) if is_inline(op) else 0
        most = MAX_DEPTH if op.outs[0].ndim else MAX_SCALAR_DEPTH
        ends = level >= most and isinstance(op.prim.emit, Expr) and -1 not in op.outs[0].shape
        if ends and op.outs[0] not in products:
            deep.update(op.outs)
            level = 0
        for v in op.outs:
            depth[v] = level
    return deep


def _crowded(block: Block, kept: set[Value]) -> set[Value]:
    """Arrays of many pieces that many loops read parts of: planning them takes their product."""
    if not any(map(has_many_pieces, block.ops)):
        return set()
    loops: Counter[Value] = Counter(block.outs)
    for op in reversed(block.ops):
        pulled = is_inline(op) and kept.isdisjoint(op.outs)
        times = min(sum(loops[v] for v in op.outs), CROWD) if pulled else 1
        for a in op.args:
            loops[a] += times
    many = [op for op in block.ops if has_many_pieces(op)]
    return {op.outs[0] for op in many if len(op.args) * loops[op.outs[0]] > CROWD}


class Scheduler:
    """Groups the roots of one function into loops, recursively."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots
        self.members = list(roots.values.values())
        self.producers: dict[Root, list[tuple[Root, Access]]] = {
            r: [(roots.values[a.base], a) for a in r.accesses if a.base in roots.values]
            for r in self.members
        }
        self.block_products = _worth_blocking(self.members)
        self.tied: dict[tuple[Root, int], Tied] = {}

    def run(self) -> list[Item]:
        return self._schedule(self._in_order(), {r: _units(r) for r in self.members})

    def _in_order(self) -> list[Root]:
        """Program order, with every producer before its consumers (copies come last)."""
        return self.members

    def _schedule(self, members: list[Root], fixed: dict[Root, frozenset[int]]) -> list[Item]:
        groups: list[Group] = []
        place: dict[Root, int] = {}
        touching: dict[Value, set[int]] = {}  # the groups that read an array
        for r in members:
            producers = [(p, a) for p, a in self.producers[r] if p in place]
            if r.kind == "part":  # made where its region is
                place[r] = place[producers[0][0]]
                continue
            place[r] = g = self._place(r, producers, groups, place, fixed, touching)
            for base in self._bases(r):
                touching.setdefault(base, set()).add(g)
        self._hasten(groups, place, fixed, touching)
        self._merge(groups, place, fixed)
        items: list[Item] = []
        for group in groups:
            items.extend(self._items(group, fixed))
        return items

    def _hasten(
        self,
        groups: list[Group],
        place: dict[Root, int],
        fixed: dict[Root, frozenset[int]],
        touching: dict[Value, set[int]],
    ) -> None:
        """Move what only shares arrays with its loop to an earlier one that reads them all.

        What waits for it then need not wait for that loop.
        """
        for late, group in enumerate(groups):
            if group.kind != "loop" or len(group.members) < 2:
                continue
            used = {p for m in group.members for p, _ in self.producers[m]}
            for r in [r for r in group.members if r not in used and r.accesses]:
                after = max((place[p] for p, _ in self.producers[r] if p in place), default=-1)
                where = set.intersection(*(touching[base] for base in self._bases(r)))
                for g in sorted(g for g in where if after < g < late):
                    early = groups[g]
                    if early.kind != "loop":
                        continue
                    cands = self._joined(early, r, [], fixed[r])
                    if cands:
                        early.members.append(r)
                        early.cands, place[r] = cands, g
                        group.members.remove(r)
                        group.cands = [
                            Cand({m: at for m, at in c.items() if m is not r}) for c in group.cands
                        ]
                        break

    def _merge(
        self, groups: list[Group], place: dict[Root, int], fixed: dict[Root, frozenset[int]]
    ) -> None:
        """Join loops that a member placed later has brought together.

        One that reads what two loops do shares the first of them; only then have these two an
        array in common.
        """
        touching: dict[Value, list[int]] = {}
        for late, group in enumerate(groups):
            if group.kind != "loop":
                continue
            bases = {base for r in group.members for base in self._bases(r)}
            near = sorted({g for base in bases for g in touching.get(base, ())})
            for base in bases.union(r.value for r in group.members):
                touching.setdefault(base, []).append(late)
            for early in near[-MAX_MERGES:]:
                a, b = groups[early], groups[late]
                if not a.members or not self._adjacent(early, late, groups, place):
                    continue
                joined = Group("loop", list(a.members), a.cands)
                for r in b.members:
                    edges = [(p, x) for p, x in self.producers[r] if p in joined.members]
                    joined.cands = self._joined(joined, r, edges, fixed[r])
                    if not joined.cands:
                        break
                    joined.members.append(r)
                if not joined.cands:
                    continue
                first = self._movable(b, early, late, place)
                home, gone = (a, b) if first else (b, a)
                home.members, home.cands = joined.members, joined.cands
                gone.members, gone.cands = [], []
                place.update((r, early if first else late) for r in home.members)
                if first:
                    break

    def _movable(self, late: Group, early: int, g: int, place: dict[Root, int]) -> bool:
        """Whether what group `g` reads is there by the end of an earlier one."""
        made = (place.get(p, g) for r in late.members for p, _ in self.producers[r])
        return all(at == g or at <= early for at in made)

    def _adjacent(self, early: int, late: int, groups: list[Group], place: dict[Root, int]) -> bool:
        """Whether two loops could stand where one of them does."""
        if self._movable(groups[late], early, late, place):
            return True
        between = (r for g in groups[early + 1 : late] for r in g.members)
        return not any(place.get(p) == early for r in between for p, _ in self.producers[r])

    def _place(
        self,
        r: Root,
        producers: list[tuple[Root, Access]],
        groups: list[Group],
        place: dict[Root, int],
        fixed: dict[Root, frozenset[int]],
        touching: dict[Value, set[int]],
    ) -> int:
        first = max((place[p] for p, _ in producers), default=0)
        free = [d for d in range(len(r.dims)) if d not in fixed[r]]
        if r.kind in ("call", "region", "gemm") and not self._may_join(r, fixed):
            groups.append(Group("call", [r], []))
            return len(groups) - 1
        if not free:
            return self._place_scalar(r, producers, groups, place, first, fixed)
        best: tuple[bool, int, list[Cand]] | None = None
        made = {place[p] for p, _ in producers}
        near = made.union(*(touching.get(base, ()) for base in self._bases(r)))
        for g in sorted(near):
            group = groups[g]
            if g < first or group.kind != "loop":
                continue
            edge = g in made
            cands = self._join(group, r, producers, place, g, fixed[r])
            if cands and (best is None or (edge and not best[0])):
                best = (edge, g, cands)
        if best is not None:
            _, g, cands = best
            groups[g].members.append(r)
            groups[g].cands = cands
            return g
        groups.append(Group("loop", [r], [Cand({r: (d, 0)}) for d in self._row_dims(r, fixed[r])]))
        return len(groups) - 1

    def _place_scalar(
        self,
        r: Root,
        producers: list[tuple[Root, Access]],
        groups: list[Group],
        place: dict[Root, int],
        first: int,
        fixed: dict[Root, frozenset[int]],
    ) -> int:
        low = max(
            (place[p] + (groups[place[p]].kind != "stmts") for p, _ in producers), default=first
        )
        for g in range(low, len(groups)):
            # What is set at places apart keeps a loop from running in vectors.
            if groups[g].kind != "stmts" or self._apart(r) != self._apart(groups[g].members[0]):
                continue
            if len(groups[g].members) < MAX_MEMBERS or not fixed[r]:
                groups[g].members.append(r)
                return g
        groups.append(Group("stmts", [r], []))
        return len(groups) - 1

    def _apart(self, r: Root) -> object:
        """What statements have in common that may be one loop: the same scatter, or piece."""
        if r.kind == "scatter":
            return r
        return self.roots.scattered(r)

    def _may_join(self, r: Root, fixed: dict[Root, frozenset[int]]) -> bool:
        """Products share a loop only over rows of blocks, or over batches of matrices."""
        if any(d not in fixed[r] for d in _stack(r)):
            return True
        if r.kind != "gemm" or not self.block_products or fixed[r] - _units(r):
            return False
        # Operands may both lie so that no axis passes row by row.
        return bool(self._gemm_row_dims(r, [d for d in range(len(r.dims)) if d not in fixed[r]]))

    def _bases(self, r: Root) -> list[Value]:
        """The arrays that a root reads, and the one that it writes a piece of."""
        found = [a.base for a in r.accesses]
        piece = self.roots.inside.get(r.value)
        return found if piece is None else [*found, piece.whole]

    def _items(self, g: Group, fixed: dict[Root, frozenset[int]]) -> list[Item]:
        if not g.members:
            return []
        if g.kind == "stmts":
            return [Stmts(g.members)]
        if g.kind == "call":
            return [CallItem(g.members[0])]
        cand = max(g.cands, key=lambda c: self._rank(c, fixed))
        if all(r.kind == "gemm" and cand[r][0] >= len(r.dims) - 3 for r in g.members):
            return [CallItem(r) for r in g.members]  # nothing to gain from a loop around them
        inner = {**fixed, **{r: fixed[r] | {cand[r][0]} for r in g.members}}
        low = min(-cand[r][1] for r in g.members)
        high = max(r.dims[cand[r][0]] - cand[r][1] for r in g.members)
        return [Loop(dict(cand), g.members, self._schedule(g.members, inner), low, high)]

    def _rank(self, cand: Cand, fixed: dict[Root, frozenset[int]]) -> tuple[int, int, int]:
        """Parallel in most members first, then not tiny, then slowest in memory."""
        parallel = sum(d in r.par for r, (d, _) in cand.items())
        size = max(r.dims[d] for r, (d, _) in cand.items())
        return parallel, min(size, TINY_LOOP), -sum(d for d, _ in cand.values())

    # -------------------------------------------------------------- alignment

    def _row_dims(self, r: Root, fixed: frozenset[int]) -> list[int]:
        """Dims that may be an outer loop: never the contiguous one of an access with others."""
        free = [d for d in range(len(r.dims)) if d not in fixed]
        if r.kind == "gemm":
            return self._gemm_row_dims(r, free)
        if r.kind == "call":
            return [d for d in _stack(r) if d in free]
        inner: set[int] = set()
        stores = Access(r.value, tuple((d, 0, 1) for d in r.par))
        for a in (*r.accesses, stores):
            dims = [i[0] for i in a.index if i[0] is not None and i[0] in free]
            # A row found by an index from data is as far from the next as rows of any array.
            apart = len(set(dims)) > 1 or (DYNAMIC in a.index and len(free) > 1)
            if dims and apart and a.index[-1][0] == dims[-1]:
                inner.add(dims[-1])
        if r.kind == "scatter" and len(free) > 1 and r.chain[0].args[2].ndim < len(r.dims):
            inner.add(len(r.dims) - 1)
        rows = [d for d in free if d not in inner]
        if rows:
            return rows
        return free[:-1] or free

    def _gemm_row_dims(self, r: Root, free: list[int]) -> list[int]:
        nb = batches(r)
        if any(d in free for d in range(nb)):
            return [d for d in range(nb) if d in free]
        m, k = nb, len(r.dims) - 1
        # Of an array of the caller's, columns of rows apart are as good; others are kept by rows.
        given = self.roots.params if not self.roots.rounds else frozenset()
        (first, x), (second, y) = ((a.index[nb][0], a.base in given) for a in r.matrices)
        rows = [m] if first == m or x else []
        rows += [k] if (first == k or x) and (second == k or y) else []
        return [d for d in rows if d in free]

    def _join(
        self,
        group: Group,
        r: Root,
        producers: list[tuple[Root, Access]],
        place: dict[Root, int],
        g: int,
        fixed: frozenset[int],
    ) -> list[Cand]:
        return self._joined(group, r, [(p, a) for p, a in producers if place[p] == g], fixed)

    def _joined(
        self, group: Group, r: Root, edges: list[tuple[Root, Access]], fixed: frozenset[int]
    ) -> list[Cand]:
        """The ways in which a root can share a loop with a group that makes `edges` for it."""
        if len(group.members) >= MAX_MEMBERS:
            more = len(group.members) > MAX_MEMBERS  # the others were looked at before
            flat = len(r.dims) == 1 and (more or all(len(m.dims) == 1 for m in group.members))
            if not flat or len(group.members) >= MAX_FLAT:
                return []
        rows = self._row_dims(r, fixed)
        out: list[Cand] = []
        for cand in group.cands:
            for d in rows:
                off = self._edge_offset(cand, d, edges) if edges else self._sibling(cand, r, d)
                if off is not None and _same_range(cand, r, d, off) and _short(cand, r, d, off):
                    out.append(cand.beside(r, d, off))
        return out

    def _edge_offset(self, cand: Cand, d: int, edges: list[tuple[Root, Access]]) -> int | None:
        offsets = set()
        for p, a in edges:
            dp, op = cand[p]
            if dp not in p.par:
                return None
            dim, start, step = a.index[p.par.index(dp)]
            if dim != d or start is None or step != 1:
                return None
            offsets.add(op - start)
        return offsets.pop() if len(offsets) == 1 else None

    def _sibling(self, cand: Cand, r: Root, d: int) -> int | None:
        """The shift under which most reads of shared arrays fall together; None if none do."""
        votes: Counter[int] = Counter()
        mine = self._tied(r, d)
        for m, (dm, om) in cand.items() if mine else ():
            for at, starts in self._tied(m, dm).items():
                for start, s in product(starts, mine.get(at, ())):
                    votes[om + start - s] += 1
        if not votes:
            return None
        # Where a range begins or ends within another, the loop is cut, once more in each dim.
        ends = {e for m, (dm, om) in cand.items() for e in (-om, m.dims[dm] - om)}

        def whole(o: int) -> bool:
            return -o in ends and r.dims[d] - o in ends

        return max(votes, key=lambda o: (whole(o), votes[o], o == 0, -abs(o)))

    def _tied(self, r: Root, d: int) -> Tied:
        """The reads of a root whose index runs with its dim d, and its place in a woven array.

        Of every third element, that of the same three counts as the same.
        """
        found = self.tied.get((r, d))
        if found is None:
            found = self.tied[r, d] = {}
            for a in r.accesses:
                for q, (dim, start, step) in enumerate(a.index):
                    if dim == d and step >= 1 and start is not None:
                        found.setdefault((a.base, q, step), []).append(start // step)
            piece = self.roots.inside.get(r.value)
            if piece is not None:
                found[piece.whole, d, piece.step[d]] = [0]
        return found


def _units(r: Root) -> frozenset[int]:
    """Dims with a single index, which need no loop (a product keeps its own)."""
    if r.kind in ("gemm", "call", "part"):
        return frozenset()
    return frozenset(d for d, n in enumerate(r.dims) if n == 1)


def _stack(r: Root) -> list[int]:
    """The dims of a stack of matrices along which a product or a nest may share loops."""
    return [d for d in range(batches(r)) if r.kind == "gemm" or r.dims[d] != 1]


def _same_range(cand: Cand, r: Root, d: int, off: int) -> bool:
    low, high = -off, int(r.dims[d]) - off
    near = [abs(low + o) <= MAX_SHIFT and abs(high - (n - o)) <= MAX_SHIFT for o, n in cand.ranges]
    return all(near)


def _short(cand: Cand, r: Root, d: int, off: int) -> bool:
    """Whether a loop with one more root is not cut into many pieces of long text."""
    ranges = cand.ranges | {(off, int(r.dims[d]))}
    return len(ranges) == 1 or len(ranges) * (len(cand) + 1) <= MAX_TEXT


def _worth_blocking(members: list[Root]) -> bool:
    """Whether products should run inside a block of rows with what surrounds them.

    Weights and their gradients must stay in half of the second cache while the rows pass, and
    the intermediates of the whole batch must not fit there anyway.
    """
    gemms = [r for r in members if r.kind == "gemm" and len(r.dims) == 3]
    if not gemms or any(len(r.dims) != 3 for r in members if r.kind == "gemm"):
        return False
    rows = max(max(r.dims[0], r.dims[2]) for r in gemms)
    if rows < 8 * BLOCK_ROWS:
        return False
    resident = streamed = 0
    seen: set[Value] = set()
    for r in gemms:
        size = 4 if r.value.dtype == "f32" else 8
        for v, shape in [(r.value, r.value.shape), *((a.base, a.base.shape) for a in r.accesses)]:
            if v in seen:
                continue
            seen.add(v)
            area = size * shape[0] * (shape[1] if len(shape) > 1 else 1)
            if rows in shape:
                streamed += area
            else:
                resident += area
    return resident <= L2 // 2 < streamed
