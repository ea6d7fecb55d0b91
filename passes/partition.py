"""A program cut along its rows, so that several threads can run the same kernel on parts of them.

A family of dims (extents.py) is chosen: the rows of a batch, or of a grid and of its inner points.
Ops that only carry it along run on any part of the rows by themselves; of a stencil a part reads
some rows beside its own (halos.py).  A reduction over the rows gives one partial result per part,
and what depends on the total comes after all parts are done.  So a program becomes stages: serial
ops, ops on rows, serial ops that use the totals, perhaps rows again.  What does not fit gives None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from math import prod

from ..ir.access import identity, is_inline, reads, view_map
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.show import shows
from ..ir.prim import Call, Expr, Fold, View
from ..ir.records import dataclass
from ..ir.types import Extent
from .roots import STACKED
from .schedule import decides

# How the results of the parts become one, by the name of the row that reduces.
COMBINED_BY = {
    "sum": "add", "dot": "add", "prod": "multiply", "max": "maximum", "min": "minimum",
    "any": "logical_or", "all": "logical_and", "scatter_add": "add",
}  # fmt: skip
SHAPED = {
    "broadcast": "shape", "reshape": "shape", "slice": "size", "pad": "shape", "iota": "shape",
}  # fmt: skip
_KNOWN = (*SHAPED, "transpose", "gather", "concatenate")
_ALONG = ("argmax", "argmin", "cumsum", "cumprod", "cummax", "cummin", "sort", "argsort")
_NEVER_FAIL = ("dot", "reshape", "concatenate", "iota")
Along = Callable[[Value], list[int]]  # the dims of a value in the class
FEWEST_ROWS = 64
HALO = 32  # by how many rows the dims of a family differ, and how far from its own a row reads
_MOST_STAGES = 8
_SMALL = 8192  # elements of a matrix that BLAS packs again for every part
_SHARE = 0.8  # of the work that must be on rows
LEAST_WORK = 100_000.0  # of one thread, in units of about 1 ns: waking another one costs 10 us
_MARGIN = 4.0  # how much more work an op may turn out to be once it is lowered


@dataclass(frozen=True, eq=False)
class Stage:
    """Ops that run together: once, or (`rows`) on each part of the rows.

    reads     values of the program
    writes    values of the program; `combine` names the ufunc that joins the partial results of
              each, "" where the parts fill an array along its first axis
    """

    rows: bool
    ops: tuple[Op, ...]
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]
    combine: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Partition:
    """A program in stages; `rows` are the classes that are rows; `work` in units of about 1 ns.

    extent    how many rows there are, by the shortest of the classes
    shifted   whether some rows read rows beside them, as those of a stencil do
    numbers   row numbers that only say which row a gather reads, with what makes them: each part
              counts its own rows from zero
    fills     arrays of one number, with what makes them: each part has its own
    """

    name: str
    params: tuple[Value, ...]
    outs: tuple[Value, ...]
    stages: tuple[Stage, ...]
    rows: frozenset[Hashable]
    extent: int
    work: float
    shifted: bool
    numbers: Mapping[Value, Op]
    fills: Mapping[Value, Op]


def worth_cutting(function: Function) -> bool:
    """Whether a function has enough work for two threads, before it is lowered and looked at."""
    return _MARGIN * sum(map(_work, function.block.ops)) >= 2 * LEAST_WORK


def threads_for(p: Partition, most: int) -> int:
    """How many threads have work enough on the parts."""
    return max(1, min(most, int(p.work // max(LEAST_WORK, 1.0))))


def gains(p: Partition) -> bool:
    """Whether parts that fit a cache are likely to be faster than the whole.

    One stage on rows, whose intermediate arrays never leave the cache then; and no product
    with a large matrix, which BLAS does best on many rows at once.
    """
    on_rows = [s for s in p.stages if s.rows]
    sizes = (
        prod(int(n) for n in v.shape[-2:] if not is_row(n, p.rows))
        for s in on_rows
        for op in s.ops
        if op.prim.name == "dot"
        for v in op.args
    )
    return len(on_rows) == 1 and not p.shifted and all(n <= _SMALL for n in sizes)


class Unfit(Exception):
    """The program cannot be cut along this class."""


def partition(name: str, block: Block) -> Partition | None:
    """The best cut of a labelled block, or None."""
    found: list[Partition] = []
    families = list(_families(block))
    labels = {op: _labels(op) for op in block.ops} if families else {}
    works = {op: _work(op) for op in block.ops}
    least = _SHARE * sum(works.values())
    for rows in families:
        on_rows = {op: works[op] for op in block.ops if not rows.isdisjoint(labels[op])}
        try:
            if (work := sum(on_rows.values())) >= least:
                found.append(_cut(name, block, rows, on_rows, work))
        except Unfit:
            continue
    return max(found, key=lambda p: p.work, default=None)


def _labels(op: Op) -> set[Hashable]:
    """The classes of the dims that an op reads and writes."""
    values = [v for v in (*op.args, *op.outs) if type(v) is not Const]
    return {n.label for v in values for n in v.shape if isinstance(n, Extent)}


def is_row(n: int, rows: Collection[Hashable]) -> bool:
    """Whether a dim with this extent is one of the rows."""
    return isinstance(n, Extent) and n.label in rows


def row_dims(v: Value, rows: Collection[Hashable]) -> list[int]:
    """The dims of a value that are rows."""
    return [] if type(v) is Const else [d for d, n in enumerate(v.shape) if is_row(n, rows)]


# ------------------------------------------------------------------ cutting


def _families(block: Block) -> Iterator[frozenset[Hashable]]:
    """The first dims of the params, each with what differs from it by a few rows at the ends."""
    near: dict[Hashable, set[Hashable]] = {}
    for op in block.ops:
        if len(op.outs) == 1 and view_map(op) is not None:
            (x,), (out,) = op.args, op.outs
            for n, (d, off, step) in zip(
                x.shape, next(reads(op, identity(out.ndim)))[1], strict=True
            ):
                if d is None or off is None or step != 1:
                    continue
                m = out.shape[d]
                long = abs(n - m) <= HALO and min(m, n) >= FEWEST_ROWS
                if long and isinstance(n, Extent) and isinstance(m, Extent):
                    near.setdefault(n.label, set()).add(m.label)
                    near.setdefault(m.label, set()).add(n.label)
    seen: set[Hashable] = set()
    for p in block.params:
        first = p.shape[0] if p.shape else 0
        if isinstance(first, Extent) and first >= 2 * FEWEST_ROWS and first.label not in seen:
            family, new = {first.label}, [first.label]
            while new:
                more = near.get(new.pop(), set()) - family
                family |= more
                new += more
            seen |= family
            yield frozenset(family)


def _cut(
    name: str, block: Block, rows: frozenset[Hashable], on_rows: Collection[Op], work: float
) -> Partition:
    """The stages of a block cut along one family, which these ops carry."""

    def along(v: Value) -> list[int]:
        return row_dims(v, rows)

    level: dict[Value, int] = {}  # the stage on rows that a value of rows belongs to
    ready: dict[Value, int] = {}  # the first stage that may read a whole value
    place: dict[Op, tuple[int, bool]] = {}
    extents: set[int] = set()
    shifted, busy, decided = False, -1, 0  # and the last stage on rows and with a guard so far
    for p in block.params:
        level[p] = ready[p] = 0
        if len(along(p)) > 1:
            raise Unfit
    numbers, counts = _numbers(block, along)
    on_rows = [op for op in on_rows if op not in counts]
    fills = {op.outs[0]: op for op in block.ops if _fills(op) and not along(op.outs[0])}
    sums, inner = _sums(block, along, fills)
    carries = {
        op: _fits(op, along) and op not in sums and _carries(op, along, numbers) for op in on_rows
    }
    for op in block.ops:
        args = [a for a in op.args if type(a) is not Const]
        if op in counts:
            place[op] = 0, False
            level[op.outs[0]] = ready[op.outs[0]] = 0
            continue
        if op not in carries:
            at = max((ready[a] for a in args), default=0)
            at = max(at, decided) if _may_fail(op) else at
            at = max(at, busy + 1) if shows(op) else at
            decided = max(at, decided) if decides(op) else decided
            ready.update((v, at) for v in op.outs)
            place[op] = (at, False)
            continue
        at = max((level[a] if along(a) or a in inner else ready[a] for a in args), default=0)
        at = max(at, decided) if _may_fail(op) else at
        busy = max(busy, at)
        place[op] = (at, True)
        extents.update(int(v.shape[d]) for v in (*args, *op.outs) for d in along(v))
        shifted = shifted or _shifts(op, along, numbers)
        if carries[op] or op.outs[0] in inner:
            level.update((v, at) for v in op.outs)
        else:
            ready.update((v, at + 1) for v in op.outs)
    stages = tuple(_stages(block, place, along, fills))
    if len(stages) > _MOST_STAGES or not any(s.rows for s in stages):
        raise Unfit
    shifted = shifted or len(extents) > 1
    if max(extents) - min(extents) > HALO or (numbers and shifted):
        raise Unfit
    return Partition(
        name,
        block.params,
        block.outs,
        stages,
        rows,
        min(extents),
        work,
        shifted,
        numbers,
        fills,
    )


def _numbers(block: Block, along: Along) -> tuple[dict[Value, Op], set[Op]]:
    """The numbers of rows that a block counts: those for gathers alone, and what makes others.

    The others are computed as a whole, and every part is given its own.
    """
    made = {
        op.outs[0]: op
        for op in block.ops
        if op.prim.name == "iota" and op.attrs["axis"] in along(op.outs[0])
    }
    others = {v for v in block.outs if v in made}
    for op in block.ops if made else ():
        for k, a in enumerate(op.args):
            if a in made and not (k == 1 and _gathers_rows(op, along)):
                others.add(a)
    if any(along(v) != [0] for v in others):
        raise Unfit
    return {v: op for v, op in made.items() if v not in others}, {made[v] for v in others}


def _fills(op: Op) -> bool:
    return op.prim.name == "broadcast" and type(op.args[0]) is Const


def _is_zero(v: Value) -> bool:
    return isinstance(v, Const) and bool(v.data == 0)


def _sums(block: Block, along: Along, fills: Mapping[Value, Op]) -> tuple[set[Op], set[Value]]:
    """What adds to elements that the data names, from zeros; and results that others add to.

    The elements are no rows, so that parts of the rows give partial results.
    """
    made: dict[Value, Op] = {}
    uses = Counter(a for op in block.ops for a in op.args)
    uses.update(block.outs)
    inner: set[Value] = set()
    for op in block.ops:
        if op.prim.name != "scatter_add" or along(op.outs[0]):
            continue
        x, updates, *index = op.args
        rows = along(updates)
        if len(rows) != 1 or rows[0] >= index[0].ndim or any(along(i) != rows for i in index):
            continue
        if x in made and uses[x] == 1:
            inner.add(x)
        elif x not in fills or not _is_zero(fills[x].args[0]):
            continue
        made[op.outs[0]] = op
    return set(made.values()), inner


def _gathers_rows(op: Op, along: Along) -> bool:
    """Whether a gather's first indices say which rows of its operand it reads."""
    return op.prim.name == "gather" and along(op.args[0]) == [op.attrs["axes"][0]]


def _fits(op: Op, along: Along) -> bool:
    """That an op on rows has one dim of them in each of its values."""
    if not op.outs or op.blocks or any(len(along(v)) > 1 for v in (*op.args, *op.outs)):
        raise Unfit
    return True


def _may_fail(op: Op) -> bool:
    """Whether an op may raise on the wrong path, so that it waits for the guards before it."""
    emit = op.prim.emit
    if isinstance(emit, Call):
        return emit.name not in _NEVER_FAIL
    return not isinstance(emit, (Expr, View, Fold))


def _carries(op: Op, along: Along, numbers: Mapping[Value, Op]) -> bool:
    """Whether the results have the rows of the operands (else they are partial results)."""
    emit, out = op.prim.emit, op.outs[0]
    to = along(out)
    if op.prim.name in SHAPED and not is_inline(op):  # a reshape behind the first axis
        (x,) = op.args
        if to != [0] or along(x) != [0] or x.shape[0] != out.shape[0]:
            raise Unfit
        return True
    if is_inline(op):
        known = isinstance(emit, Expr) or op.prim.name in _KNOWN
        if not to or not known or not _follows(op, to[0], along, numbers):
            raise Unfit
        return True
    if isinstance(emit, Fold):
        if any(d in op.attrs["axes"] for d in along(op.args[0])):
            return _partial(op)
        return True
    if isinstance(emit, Call) and emit.name == "dot":
        (cx,), (cy,) = op.attrs["contract"]
        if along(op.args[0]) == [cx] and along(op.args[1]) == [cy]:
            return _partial(op)
        if not to or cx in along(op.args[0]) or cy in along(op.args[1]):
            raise Unfit
        return True
    if isinstance(emit, Call) and emit.name in STACKED:  # one matrix of the stack, then the next
        if to != [0] or out.ndim < 3 or any(along(a) != [0] or a.ndim < 3 for a in op.args):
            raise Unfit
        return True
    if op.prim.name in _ALONG and to and op.attrs["axis"] not in along(op.args[0]):
        return True
    raise Unfit


def _partial(op: Op) -> bool:
    if op.prim.name not in COMBINED_BY or op.outs[0].aval.kind not in "fib":
        raise Unfit
    return False


def _follows(op: Op, to: int, along: Along, numbers: Mapping[Value, Op]) -> bool:
    """Whether row k of an inline op reads nothing of other rows than those near row k.

    Where a window of something that is no row is written or read, each part knows which of it are
    its own.
    """
    if op.prim.name == "concatenate" and op.attrs["axis"] == to:
        return False
    for a, index in reads(op, identity(op.outs[0].ndim), numbers):
        rows = along(a)
        for j, (d, off, step) in enumerate(index):
            if j in rows and (d != to or off is None or abs(off) > HALO):
                return False
            if d == to and (off is None or step != 1):
                return False
    return True


def _shifts(op: Op, along: Along, numbers: Mapping[Value, Op]) -> bool:
    """Whether some row of an inline op reads other rows than its own."""
    return (
        bool(op.outs)
        and is_inline(op)
        and any(
            d in along(op.outs[0]) and off != 0
            for _, index in reads(op, identity(op.outs[0].ndim), numbers)
            for d, off, _ in index
        )
    )


def _stages(
    block: Block,
    place: dict[Op, tuple[int, bool]],
    along: Along,
    fills: Mapping[Value, Op],
) -> Iterator[Stage]:
    groups: dict[tuple[int, bool], list[Op]] = {}
    for op in block.ops:
        groups.setdefault(place[op], []).append(op)
    made = {v: key for key, ops in groups.items() for op in ops for v in op.outs}
    wanted = set(block.outs)
    for op in block.ops:
        wanted.update(a for a in op.args if a in made and made[a] != place[op] and a not in fills)
    for key in sorted(groups):
        ops = groups[key]
        own = {v for op in ops for v in op.outs}
        used = dict.fromkeys(a for op in ops for a in op.args)
        taken = tuple(a for a in used if a not in own and type(a) is not Const and a not in fills)
        writes = tuple(v for op in ops for v in op.outs if v in wanted)
        if not writes and not any(not op.outs or decides(op) for op in ops):
            continue
        if not key[1]:
            yield Stage(False, tuple(ops), taken, writes, ("",) * len(writes))
            continue
        filled = tuple(bool(along(v)) for v in writes)
        if any(along(v) not in ([], [0]) for v in (*taken, *writes)):
            raise Unfit  # rows that are not the first axis lie apart in memory
        how = tuple(
            "" if f else COMBINED_BY[_maker(ops, v)] for v, f in zip(writes, filled, strict=True)
        )
        yield Stage(True, tuple(ops), taken, writes, how)


def _maker(ops: Sequence[Op], v: Value) -> str:
    return next(op.prim.name for op in ops if v in op.outs)


def _work(op: Op) -> float:
    """What an op costs, in units of about a nanosecond on one core."""
    emit = op.prim.emit
    if isinstance(emit, Call) and emit.name == "dot":
        summed, _ = op.attrs["contract"]  # of one that is not lowered yet any number of dims
        return 0.06 * op.outs[0].aval.size * prod(op.args[0].shape[d] for d in summed)
    size = max((prod(v.shape) for v in (*op.args, *op.outs)), default=0)
    if isinstance(emit, Call) and emit.name in STACKED:
        return 0.06 * size * op.outs[0].shape[-2]
    return size * (0.02 * (1 + emit.cost) if isinstance(emit, Expr) else 0.3)
