"""A program cut along its rows, so that several threads can run the same kernel on parts of them.

A family of dims (extents.py) is chosen: the rows of a batch, or of a grid and of its inner points.
Ops that only carry it along run on any part of the rows by themselves; of a stencil a part reads
some rows beside its own (halos.py).  A reduction over the rows gives one partial result per part,
and what depends on the total comes after all parts are done.  So a program becomes stages: serial
ops, ops on rows, serial ops that use the totals, perhaps rows again.  What does not fit gives None.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from math import prod

from ..ir.access import identity, is_inline, reads, view_map
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.shape import reshape
from ..ir.prim import Call, Expr
from ..ir.records import dataclass
from ..ir.types import Extent
from .roots import STACKED
from .rowwise import HALO, Rows, counted, elements, fills, is_row, row_dims, rowwise
from .stages import Along, Stage, stages

SHAPED = {
    "broadcast": "shape", "reshape": "shape", "slice": "size", "pad": "shape", "iota": "shape",
}  # fmt: skip
_FEWEST = 4
MANY = 128  # rows that can be cut into more parts than there are threads
_NEAR = 64  # rows from which on a dim that is a few rows shorter may be of the same family
_MOST_STAGES = 16
_SMALL = 8192  # elements of a matrix that BLAS packs again for every part
_SHARE = 0.5  # of the work that must be on rows
_JOIN = 15_000.0  # what a stage on rows takes besides its work
_TRIES = 4
LEAST_WORK = 100_000.0  # of one thread, in units of about 1 ns: waking another one costs 10 us
_MARGIN = 4.0  # how much more work an op may turn out to be once it is lowered


@dataclass(frozen=True, eq=False)
class Partition:
    """A program in stages; `rows` are the classes that are rows; `work` in units of about 1 ns.

    extent    how many rows there are, by the shortest of the classes
    shifted   whether some rows read rows beside them, as those of a stencil do
    numbers   row numbers that only say which row a gather reads, with what makes them: each part
              counts its own rows from zero
    fills     arrays of one number, with what makes them: each part has its own
    same      values that are the array of another one, by other rows or as a whole
    """

    name: str
    params: tuple[Value, ...]
    outs: tuple[Value, ...]
    stages: tuple[Stage, ...]
    rows: Rows
    extent: int
    work: float
    shifted: bool
    numbers: Mapping[Value, Op]
    fills: Mapping[Value, Op]
    same: Mapping[Value, Value]


def worth_cutting(function: Function) -> bool:
    """Whether a function has enough work for two threads, before it is lowered and looked at."""
    return _MARGIN * sum(map(_work, function.block.ops)) >= 2 * LEAST_WORK


def threads_for(p: Partition, most: int) -> int:
    """How many threads have work enough on the parts."""
    joins = sum(s.rows for s in p.stages) - 1
    least = max(LEAST_WORK * (1 + joins / 4), 1.0)
    return max(1, min(most, int(p.work // least)))


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


def waits(p: Partition) -> bool:
    """Whether something that runs once reads what the parts made of the rows."""
    once = (v for s in p.stages if not s.rows for v in s.reads if v not in p.params)
    return any(row_dims(v, p.rows) for v in once)


def passes_on(p: Partition) -> bool:
    """Whether rows pass from stage to stage, so that the parts take longer than the whole."""
    made = {v for s in p.stages for v in s.writes if row_dims(v, p.rows)}
    return any(p.same.get(v, v) in made for s in p.stages for v in s.reads)


class Unfit(Exception):
    """The program cannot be cut along this class."""


def partition(name: str, block: Block) -> Partition | None:
    """The best cut of a labelled block, or None."""
    found: list[Partition] = []
    families = list(_families(block))
    labels = {op: _labels(op) for op in block.ops} if families else {}
    works = {op: _work(op) for op in block.ops}
    total = sum(works.values())
    for rows in families:
        touched = sum(works[op] for op in block.ops if not rows.keys().isdisjoint(labels[op]))
        try:
            if touched >= _SHARE * total:
                found.append(_cut(name, block, rows, total))
        except Unfit:
            continue
    return max(found, key=lambda p: (p.extent >= MANY, _saved(p)), default=None)


def _saved(p: Partition) -> float:
    """How much less time two threads take, about: less what it takes to join partial results."""
    writes = (w for s in p.stages for w in zip(s.writes, s.combine, strict=True))
    joined = sum(v.aval.size for v, how in writes if how)
    return p.work / 2 - _JOIN * sum(s.rows for s in p.stages) - joined


def _labels(op: Op) -> set[Hashable]:
    """The classes of the dims that an op reads and writes."""
    values = [v for v in (*op.args, *op.outs) if type(v) is not Const]
    return {n.label for v in values for n in v.shape if isinstance(n, Extent)}


# ------------------------------------------------------------------ cutting


def _families(block: Block) -> Iterator[Rows]:
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
                long = abs(n - m) <= HALO and min(m, n) >= _NEAR
                if long and isinstance(n, Extent) and isinstance(m, Extent):
                    near.setdefault(n.label, set()).add(m.label)
                    near.setdefault(m.label, set()).add(n.label)
    seen: set[Hashable] = set()
    for p in block.params:
        first = p.shape[0] if p.shape else 0
        if isinstance(first, Extent) and first >= _FEWEST and first.label not in seen:
            family, new = {first.label}, [first.label]
            while new:
                more = near.get(new.pop(), set()) - family
                family |= more
                new += more
            seen |= family
            yield _merged(block, dict.fromkeys(family, 1))


def _merged(block: Block, rows: dict[Hashable, int]) -> Rows:
    """The family with dims that its own are merged into with those behind them, and taken apart."""
    for op in block.ops:
        if op.prim is not reshape or is_inline(op):
            continue
        (x,), (out,) = op.args, op.outs
        for d, n in enumerate(x.shape):
            if not is_row(n, rows):
                continue
            before, of = prod(x.shape[:d]), n // elements(x, d, rows)
            for e, m in enumerate(out.shape):
                if isinstance(m, Extent) and prod(out.shape[:e]) == before and m % of == 0:
                    rows.setdefault(m.label, m // of)
    return rows


def _cut(name: str, block: Block, rows: Rows, total: float) -> Partition:
    """The stages of a block cut along one family."""

    def along(v: Value) -> list[int]:
        return row_dims(v, rows)

    block, serial = counted(block, rows), set[Op]()
    for _ in range(_TRIES):
        made = rowwise(block, rows, serial)
        if sum(map(_work, made.carries)) < _SHARE * total:
            raise Unfit
        filled = {op.outs[0]: op for op in made.block.ops if fills(op) and not along(op.outs[0])}
        found = stages(made, along, filled)
        whole = {made.origin[op] for op in (*_apart(found, along), *_slight(found))} - serial
        if not whole:
            break
        serial |= whole
    else:
        raise Unfit
    carried = [op for op in made.carries if not op.blocks]
    extents = {
        v.shape[d] // elements(v, d, rows)
        for op in carried
        for v in (*op.args, *op.outs)
        for d in along(v)
    }
    shifted = len(extents) > 1 or any(_shifts(op, along, made.numbers) for op in carried)
    if len(found) > _MOST_STAGES or not any(s.rows for s in found):
        raise Unfit
    if max(extents) - min(extents) > HALO or (made.numbers and shifted):
        raise Unfit
    b, work = made.block, sum(map(_work, carried))
    return Partition(
        name, b.params, b.outs, found, rows, min(extents), work, shifted, made.numbers, filled,
        made.same,
    )  # fmt: skip


def _apart(stages: Sequence[Stage], along: Along) -> Iterator[Op]:
    """The ops that make or read rows which are not the first axis and so lie apart in memory."""
    for stage in stages:
        if stage.rows:
            far = {v for v in (*stage.reads, *stage.writes) if along(v) not in ([], [0])}
            yield from (op for op in stage.ops if not far.isdisjoint((*op.args, *op.outs)))


def _slight(stages: Sequence[Stage]) -> Iterator[Op]:
    """The ops of stages whose work, beside that of others, is not worth waking threads."""
    works = {s: sum(map(_work, s.ops)) for s in stages if s.rows}
    most = min(LEAST_WORK / 2, sum(works.values()) / 4)
    yield from (op for s, work in works.items() if work < most for op in s.ops)


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


_SORTS = ("sort", "argsort", "ranked", "argpartition")


def _work(op: Op) -> float:
    """What an op costs, in units of about a nanosecond on one core."""
    emit = op.prim.emit
    if isinstance(emit, Call) and emit.name == "dot":
        summed, _ = op.attrs["contract"]  # of one that is not lowered yet any number of dims
        return 0.06 * op.outs[0].aval.size * prod(op.args[0].shape[d] for d in summed)
    size = max((prod(v.shape) for v in (*op.args, *op.outs)), default=0)
    shape = op.outs[0].shape if op.outs else ()
    if isinstance(emit, Call) and emit.name in STACKED:
        return 0.06 * size * shape[-2]
    if op.prim.name in _SORTS:
        return 12.0 * size
    if emit is None and shape:  # a transform or a decomposition
        square = len(shape) > 1 and any(a.shape[-2:-1] == a.shape[-1:] for a in op.args)
        return size * (0.1 * shape[-2] if square else 10.0)
    return size * (0.02 * (1 + emit.cost) if isinstance(emit, Expr) else 0.3)
