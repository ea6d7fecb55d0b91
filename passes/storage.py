"""Where the value of each root lives: a local, a row, a strip, a whole array, or an output."""

from __future__ import annotations

from math import prod

from ..ir.core import Value
from ..ir.plan import (
    CallItem,
    Item,
    Loop,
    Plan,
    Root,
    Stmts,
    Storage,
    is_scan,
    is_straight,
    members,
)
from ..ir.prim import Expr
from ..ir.types import Extent
from .roots import Roots

STRIP_BYTES = 14 << 10  # half of a first cache: the rest is for what streams through it
STRIP_MAX = 32
STRIP_FLAT = 256  # rows of a single element
STRIP_GEMM = 64
STRIP_LEAST = 32  # rows of a strip of long expressions
REALS = ("f32", "f64")
FETCH_BYTES = 256 << 10  # of a block of long rows that is still fetched; the second cache has it
FETCH_LEAST = 32  # elements of a row that is fetched before its block is at hand
SHORT = 8  # rows of a strip within a loop that is no better than rows one by one; rounds of a row
LONG = 40  # members of a loop that runs some of them at a time
MATRICES = 16  # small ones at a time, a number that the text says
THIN = 8  # elements of a row, of which each has an array of its own while they are added up
Path = tuple[tuple[int, ...], tuple[Loop, ...]]


def assign(plan: Plan, roots: Roots, *, inner: bool = False) -> None:
    """Choose strips, one loop of a nest at most, then the storage of every root.

    The results of an `inner` plan, that of a region, are whole arrays or local variables.
    """
    paths = paths_of(plan.items)
    for r in plan.roots.values():
        if r.kind == "part":
            paths[r] = paths[plan.roots[r.accesses[0].base]]
    for item in plan.items:
        if isinstance(item, Loop):
            _choose_strip(item, roots, ())
    users: dict[Root, list[tuple[Root, object]]] = {r: [] for r in plan.roots.values()}
    whole = {plan.roots[roots.base(a)] for a in roots.aliases if roots.base(a) in plan.roots}
    for r in plan.roots.values():
        for a in r.accesses:
            p = plan.roots.get(a.base)
            if p is not None:
                users[p].append((r, a))
    position = {v: k for k, v in enumerate(plan.outs)}
    for v, r in plan.roots.items():
        if v in plan.inside:
            plan.storage[v] = Storage("inside", ("full",) * v.ndim)
        elif v in position and inner:
            plan.storage[v] = Storage("full" if v.ndim else "local", ("full",) * v.ndim)
        elif v in position:
            plan.storage[v] = Storage("output", ("full",) * v.ndim, position[v])
        elif r in whole:
            plan.storage[v] = Storage("full", ("full",) * v.ndim)
        else:
            plan.storage[v] = _contract(r, users[r], paths)


def _choose_strip(loop: Loop, roots: Roots, outer: tuple[Loop, ...]) -> None:
    """Run a loop in strips if that pays, or else those of its inner loops where it does."""
    loop.strip = _strip_rows(loop, roots, outer)
    if not loop.strip:
        for item in loop.body:
            if isinstance(item, Loop):
                _choose_strip(item, roots, (*outer, loop))


def paths_of(items: list[Item]) -> dict[Root, Path]:
    """For each root the positions of its items and the loops around it, outermost first."""
    out: dict[Root, Path] = {}

    def walk(items: list[Item], at: tuple[int, ...], loops: tuple[Loop, ...]) -> None:
        for k, item in enumerate(items):
            if isinstance(item, Loop):
                walk(item.body, (*at, k), (*loops, item))
            elif isinstance(item, CallItem):
                out[item.root] = ((*at, k), loops)
            else:
                for r in item.members:
                    out[r] = ((*at, k), loops)

    walk(items, (), ())
    return out


def _contract(r: Root, users: list[tuple[Root, object]], paths: dict[Root, Path]) -> Storage:
    """Drop the dims carried by loops common to the definition and all uses."""
    at, loops = paths[r]
    common = len(loops)
    level = next((k for k, loop in enumerate(loops) if loop.strip), 0)
    same_item = True
    for u, _ in users:
        at_u, loops_u = paths[u]
        shared = 0
        while shared < min(common, len(loops_u)) and loops[shared] is loops_u[shared]:
            shared += 1
        common = min(common, shared)
        if shared > level and at[level + 1 : level + 2] != at_u[level + 1 : level + 2]:
            same_item = False
    own = r.kind in ("gemm", "call", "scatter") or (r.kind == "part" and r.value.ndim > 0)
    kept = ["drop" if n == 1 and not own else "full" for n in r.value.shape]
    for loop in loops[:common]:
        d = loop.dims[r][0]
        if d not in r.par:
            continue
        strip = loop.strip and (not same_item or r.kind == "gemm" or _feeds_gemm(users))
        k = r.par.index(d)
        if loop.strip and any(map(_is_matrices, loop.members)):
            strip = strip or "full" in kept[k + 1 :]
            kept[k + 1 :] = ["plane" if how == "full" else how for how in kept[k + 1 :]]
        kept[k] = "strip" if strip else "drop"
    if all(k == "drop" for k in kept) and not own:
        return Storage("local", tuple(kept))
    if _is_added_by_columns(r, loops, kept) and all(u.kind in ("store", "fold") for u, _ in users):
        kept[-1] = "plane"
    return Storage("scratch" if common else "full", tuple(kept))


def _is_added_by_columns(r: Root, loops: tuple[Loop, ...], kept: list[str]) -> bool:
    """Whether thin rows are added up in rounds that each visit many of them.

    The loop over rows becomes one of vectors, which read and write as many elements side by side.
    """
    if r.kind != "fold" or r.value.ndim < 2 or kept[-2:] != ["full", "full"]:
        return False
    thin, many = r.value.shape[-1], r.value.shape[-2]
    if not 1 < thin <= THIN or many < STRIP_LEAST or getattr(thin, "varies", False):
        return False
    order = [loop.dims[r][0] for loop in loops]
    ahead = order[: order.index(r.par[-2])] if r.par[-2] in order else []
    return order[-1] == r.par[-1] and any(d not in r.par for d in ahead)


def _feeds_gemm(users: list[tuple[Root, object]]) -> bool:
    return any(u.kind == "gemm" for u, _ in users)


def _strip_rows(loop: Loop, roots: Roots, outer: tuple[Loop, ...]) -> int:
    """Rows of a block when the loop should run in strips, else 0."""
    short = all(b.high - b.low < SHORT for b in loop.body if isinstance(b, Loop))
    if outer and (short or loop.high - loop.low < STRIP_LEAST):
        return 0  # what is unrolled becomes vectors with the loop around it
    if any(r.kind == "gemm" and loop.dims[r][0] >= len(r.dims) - 3 for r in loop.members):
        return STRIP_GEMM
    if any(r.kind == "gemm" or _is_matrices(r) for r in loop.members):
        return _matrices(loop)  # the rows are a batch: each has products or nests of its own
    # What a running sum writes one by one, vectors cannot read at once.
    waits = any(map(is_scan, loop.members))
    if len(loop.body) < 2 or not (waits or _needs_strip(loop, roots)):
        return 0
    if len(loop.members) > LONG and not any(isinstance(b, Loop) for b in loop.body):
        kept = 8 * _crossing(loop)
        return max(STRIP_LEAST, min(STRIP_FLAT, STRIP_BYTES // max(1, kept)) & -STRIP_LEAST)
    row_bytes, seen = 0, set()
    lengths: list[int] = []  # of the dims of a row
    for r in loop.members:
        fixed = {around.dims[r][0] for around in (*outer, loop)}
        d = loop.dims[r][0]
        size = 4 if r.value.dtype == "f32" else 8
        if d in r.par and r.value not in seen:
            seen.add(r.value)
            lengths += (dims := [r.dims[p] for p in r.par if p not in fixed])
            row_bytes += size * prod(dims)
        for a in r.accesses:
            if any(i[0] == d for i in a.index) and a.base not in seen:
                seen.add(a.base)
                free = (k for k, i in enumerate(a.index) if i[0] not in fixed)
                lengths += (dims := [a.base.shape[k] for k in free])
                row_bytes += size * prod(dims)
    most = STRIP_MAX if any(isinstance(item, Loop) for item in loop.body) else STRIP_FLAT
    rows = max(1, min(most, STRIP_BYTES // max(1, row_bytes)))
    if not outer and SHORT * row_bytes <= FETCH_BYTES:
        loop.ahead = _fetched(loop, roots)
    if loop.ahead is not None:  # the cache holds two blocks
        rows = max(SHORT, rows // 2)
    if outer and rows < SHORT:
        return 0
    if any(isinstance(n, Extent) and n.varies for n in lengths):  # few texts for many lengths
        return 1 << rows.bit_length() - 1
    return rows - rows % 4 if rows > 4 else rows


def _is_matrices(r: Root) -> bool:
    """Whether a nest works on one matrix of a stack after the other."""
    return r.kind == "call" and not is_scan(r)


def _matrices(loop: Loop) -> int:
    """How many matrices at a time are worked on, element by element, as one of vectors; 0: one."""
    direct = [i.root for i in loop.body if isinstance(i, CallItem)]
    others = [i for i in loop.body if isinstance(i, Loop)]
    calls = [r for r in loop.members if r.kind in ("call", "gemm", "region")]
    few = len(calls) == len(direct) and all(map(is_straight, direct)) and all(map(_is_few, others))
    if not few or loop.high - loop.low < STRIP_LEAST:
        return 0
    size = sum(prod(n for d, n in enumerate(r.dims) if d in r.par and d != loop.dims[r][0])
               for r in loop.members)  # fmt: skip
    return max(SHORT, min(MATRICES, STRIP_BYTES // (8 * size)) & -SHORT)


def _is_few(loop: Loop) -> bool:
    """Whether a loop, and those in it, have so few rounds that they are unrolled."""
    inner = [i for i in loop.body if isinstance(i, Loop)]
    return loop.high - loop.low <= THIN and all(map(_is_few, inner))


def _fetched(loop: Loop, roots: Roots) -> Value | None:
    """The argument whose rows a block reads, and reads again at its end to add them up.

    Its first readers wait for memory, and the last one does not: it has time to ask for the rows
    of the next block.
    """
    *others, last = loop.body
    if not isinstance(last, Loop) or last.low or last.high < FETCH_LEAST:
        return None
    for r in last.members:
        if r.kind != "fold" or loop.dims[r][0] in r.par or last.dims[r][0] not in r.par:
            return None
    read = {a.base for item in others for r in members(item) for a in r.accesses}
    for r in last.members:
        (row, first), (column, _) = loop.dims[r], last.dims[r]
        for a in r.accesses:
            whole = first == 0 and a.index == ((row, 0, 1), (column, 0, 1))
            if whole and a.base in read and a.base in roots.params and a.base.dtype in REALS:
                return a.base
    return None


def _crossing(loop: Loop) -> int:
    """How many values of a loop over single elements go from one of its items to a later one."""
    place = {r.value: k for k, item in enumerate(loop.body) for r in members(item)}
    read = {(a.base, place[r.value]) for r in loop.members for a in r.accesses if a.base in place}
    return len({v for v, k in read if place[v] != k})


def _needs_strip(loop: Loop, roots: Roots) -> bool:
    """Whether a row holds scalar work worth a vector loop of its own."""
    # What is added to places that the data say stands beside what could run in vectors.
    if len(loop.members) > LONG and not any(isinstance(b, Loop) for b in loop.body):
        return True
    inner = any(
        isinstance(b, Loop) or (isinstance(b, Stmts) and roots.scattered(b.members[0]))
        for b in loop.body
    )
    for item in loop.body:
        if not inner:
            return False
        if isinstance(item, Stmts) and any(_has_costly_work(r, roots) for r in item.members):
            return True
    return False


def _has_costly_work(r: Root, roots: Roots) -> bool:
    seen = set()
    stack = [v for v, _ in roots.start(r)]
    if r.op is not None and isinstance(r.op.prim.emit, Expr) and r.op.prim.emit.cost >= 4:
        return True
    while stack:
        v = stack.pop()
        if v in seen or roots.is_base(v) or v not in roots.defs:
            continue
        seen.add(v)
        op = roots.defs[v]
        if isinstance(op.prim.emit, Expr) and op.prim.emit.cost >= 4:
            return True
        stack.extend(op.args)
    return False
