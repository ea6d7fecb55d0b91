"""Which inlined values are kept, so that what reads them need not compute them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from ..ir.access import Index, has_many_pieces, reads
from ..ir.core import Op, Value
from ..ir.plan import Item, Loop, Root, Stmts
from ..ir.prim import Call, Expr
from .roots import Roots

PROMOTE_COST = 8  # additions: above it a value read in two loops is kept, not computed again
ROW_COST = 3  # the same for work per row that would run scalar beside a vector loop
COLUMN_COST = 3  # the same for work along a row that every row would do again
COLUMN_WORK = 1 << 14  # additions that must be saved: a loop more takes its time to compile
COLUMN_ROUND = 64  # the same in one round of many
REPEAT_COST = 16  # the same for work that one loop would do again at other indices
GATHER_COST = 4
SLOW = frozenset(("div", "sqrt"))  # in vectors they take as long as PROMOTE_COST additions


class _Costs(dict[Value, int]):
    """What it costs to compute inlined values again, each found when it is asked for."""

    def __init__(self, roots: Roots) -> None:
        self.roots = roots

    def __missing__(self, v: Value) -> int:
        found = self[v] = _subtree_cost(self.roots, v, set())
        return found


_NONE: frozenset[int] = frozenset()


def promotions(roots: Roots, items: list[Item]) -> set[Value]:
    """Inlined values worth keeping: costly ones that several loops would compute."""
    leaves: dict[Value, set[int]] = {}
    row_work: set[Value] = set()
    cost = _Costs(roots)
    times: dict[Value, int] = {}
    nest: dict[int, int] = {}  # of each leaf
    for leaf, top, (r, vector) in enumerate_leaves(items):
        nest[leaf] = top
        _visit(roots, r, vector, leaf, leaves, row_work, cost, times)
    row_work |= _scanned(roots)
    order = [v for op in roots.block.ops for v in op.outs]
    picked = _joined(roots, items) | _sparse(roots)
    for v in order:
        readers = leaves.get(v, _NONE)
        if len(readers) < 2 and times.get(v, 0) < 2 and v not in row_work:
            continue
        # Where one nest computes a value again, to keep it is a row in a near cache.
        near = len(readers) >= 2 and len({nest[leaf] for leaf in readers}) == 1
        if near and cost[v] < PROMOTE_COST:
            cost[v] = _subtree_cost(roots, v, set(), near)
        many = len(readers) >= 2 and cost[v] >= PROMOTE_COST
        again = (times.get(v, 0) - 1) * cost[v]
        if again >= REPEAT_COST:  # what is left of it beside earlier picks must still be
            again = (times[v] - 1) * _subtree_cost(roots, v, picked)
        wanted = False
        if many or v in row_work:  # unless earlier picks make it cheap to compute again
            left = _subtree_cost(roots, v, picked, near)
            wanted = left >= (ROW_COST if v in row_work else PROMOTE_COST)
        loops = len(readers)
        if wanted or again >= REPEAT_COST or (loops > 2 and _traffic(roots, v, loops, picked) > 0):
            picked.add(v)
            cost[v] = 0
    return picked


def _joined(roots: Roots, items: list[Item]) -> set[Value]:
    """Many arrays joined where a loop around others would choose one of them at every element.

    Where the loop along them does costly work, it is one loop if they are kept, not one for each.
    """
    many = {op.outs[0] for op in roots.block.ops if has_many_pieces(op)}
    found: set[Value] = set()
    for _, _, (r, vector) in enumerate_leaves(items) if many else ():
        todo = roots.start(r)
        seen: set[tuple[Value, tuple[Index, ...]]] = set()
        if any(_subtree_cost(roots, v, many) >= REPEAT_COST for v, _ in todo):
            vector = None
        while todo:
            v, index = todo.pop()
            if v not in roots.defs or roots.is_base(v) or (v, index) in seen:
                continue
            seen.add((v, index))
            op = roots.defs[v]
            if v in many and index[op.attrs["axis"]][0] not in (None, vector):
                found.add(v)
            todo.extend(reads(op, index))
    return found


def _scanned(roots: Roots) -> set[Value]:
    """Operands of running sums that a loop of their own makes faster than a serial one does."""
    scans = (r.op for r in roots.values.values() if r.op is not None and r.kind == "call")
    operands = (op.args[0] for op in scans if op.prim.emit == Call("scan"))
    return {x for x in operands if _subtree_cost(roots, x, set()) >= ROW_COST}


def _sparse(roots: Roots) -> set[Value]:
    """Costly work of pieces that are set at places apart, where no loop runs in vectors."""
    found: set[Value] = set()
    seen: set[Value] = set()
    stack = [roots.values[v].source for v, at in roots.inside.items() if at.sparse]
    while stack:
        v = stack.pop()
        if v is None or v in seen or v not in roots.defs or roots.is_base(v):
            continue
        seen.add(v)
        op = roots.defs[v]
        if op_cost(op) >= PROMOTE_COST:
            found.add(v)
        else:
            stack.extend(op.args)
    return found


def _traffic(roots: Roots, v: Value, loops: int, stop: set[Value]) -> int:
    """How many passes over memory are saved if a value is kept that so many loops would compute.

    To compute it again reads all its operands of its size; to keep it is one write (for which the
    line is read first) and one read for each loop but the first.
    """
    streams: set[Value] = set()
    stack, seen = list(roots.defs[v].args), {v}
    while stack:
        w = stack.pop()
        if w in seen:
            continue
        seen.add(w)
        if w in stop or roots.is_base(w):
            if w.aval.size >= v.aval.size > 1:
                streams.add(roots.base(w))
        elif w in roots.defs:
            stack.extend(roots.defs[w].args)
    return len(streams) * loops - (len(streams) + 2 + loops - 1)


def _subtree_cost(roots: Roots, v: Value, stop: set[Value], near: bool = False) -> int:
    """The cost of computing an inlined value again; counting ends once it is high enough.

    Divisions take their time where the value, if kept, is `near`.
    """
    total, stack, seen = 0, [v], set()
    while stack:
        w = stack.pop()
        if w in seen or w in stop or w not in roots.defs or (roots.is_base(w) and w is not v):
            continue
        if not w.ndim and v.ndim:  # it stands before the loops
            continue
        seen.add(w)
        op = roots.defs[w]
        total += PROMOTE_COST if near and op.prim.name in SLOW else op_cost(op)
        if total >= REPEAT_COST:
            break
        stack.extend(op.args)
    return total


def op_cost(op: Op) -> int:
    """The cost of evaluating one inline op at one index, in additions."""
    emit = op.prim.emit
    if isinstance(emit, Expr):
        return emit.cost
    return GATHER_COST if op.prim.name == "gather" else 0


Leaf = tuple[int, int, tuple[Root, int | None]]


def enumerate_leaves(items: list[Item]) -> Iterator[Leaf]:
    """Each root with the number of its innermost loop body, and that loop's own dim (or None).

    Between them stands the number of the item that it all is in.
    """
    counter = [0]

    def walk(items: list[Item], loop: Loop | None, top: int) -> Iterator[Leaf]:
        for item in items:
            if isinstance(item, Loop):
                yield from walk(item.body, item, top)
            elif isinstance(item, Stmts):
                counter[0] += 1
                for r in item.members:
                    yield counter[0], top, (r, loop.dims[r][0] if loop is not None else None)

    for top, item in enumerate(items):
        yield from walk([item], None, top)


def _visit(
    roots: Roots,
    r: Root,
    vector: int | None,
    leaf: int,
    leaves: dict[Value, set[int]],
    row_work: set[Value],
    cost: _Costs,
    times: dict[Value, int],
) -> None:
    if not r.dims:
        _visit_scalar(roots, r, leaf, leaves, times)
        return
    seen: set[tuple[Value, tuple[Index, ...]]] = set()
    visits: Counter[Value] = Counter()
    outer_dims = len(r.dims) > 1

    def walk(v: Value, index: tuple[Index, ...], inner: bool, again: bool = False) -> None:
        if v not in roots.defs or roots.is_base(v) or (v, index) in seen:
            return
        seen.add((v, index))
        visits[v] += 1
        op = roots.defs[v]
        leaves.setdefault(v, set()).add(leaf)
        mine = vector is None or any(i[0] == vector for i in index)
        row = not mine and outer_dims and any(i[0] is not None for i in index)
        if row and inner and cost[v] >= ROW_COST:
            row_work.add(v)
        column = mine and not outer.issubset(i[0] for i in index)
        saved = (prod(r.dims) - v.aval.size) * cost[v] if column and not again else 0
        often = saved >= COLUMN_ROUND and saved * roots.rounds >= COLUMN_WORK
        if (saved >= COLUMN_WORK or often) and cost[v] >= COLUMN_COST:
            row_work.add(v)
        for a, ia in reads(op, index, roots.defs):
            walk(a, ia, mine, column)

    outer = {d for d, n in enumerate(r.dims) if n > 1 and d != vector}
    for v, index in roots.start(r):
        walk(v, index, True)
    for v, n in visits.items():
        times[v] = max(times.get(v, 0), n)


def _visit_scalar(
    roots: Roots,
    r: Root,
    leaf: int,
    leaves: dict[Value, set[int]],
    times: dict[Value, int],
) -> None:
    """The same for a root without dims, which has neither rows nor columns."""
    seen: set[tuple[Value, tuple[Index, ...]]] = set()
    visits: dict[Value, int] = {}
    defs, todo = roots.defs, roots.start(r)
    while todo:
        place = v, index = todo.pop()
        if v not in defs or roots.is_base(v) or place in seen:
            continue
        seen.add(place)
        visits[v] = visits.get(v, 0) + 1
        todo.extend(reads(defs[v], index, defs))
    for v, n in visits.items():
        leaves.setdefault(v, set()).add(leaf)
        times[v] = max(times.get(v, 0), n)
