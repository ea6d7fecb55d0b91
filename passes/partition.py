"""A program cut along its rows, so that several threads can run the same kernel on parts of them.

One class of dims (extents.py) is chosen: the rows of a batch.  Ops that only carry it along run on
any part of the rows by themselves; a reduction over it gives one partial result per part, and what
depends on the total comes after all parts are done.  So a program becomes stages: serial ops, ops
on rows, serial ops that use the totals, perhaps rows again.  What does not fit gives None.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

from ..ir.access import identity, is_inline, reads
from ..ir.builder import Builder
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.prim import Call, Expr, Fold
from ..ir.types import Aval, Extent

# How the results of the parts become one, by the name of the row that reduces.
COMBINED_BY = {
    "sum": "add", "dot": "add", "prod": "multiply", "max": "maximum", "min": "minimum",
    "any": "logical_or", "all": "logical_and",
}  # fmt: skip
_SHAPED = {"broadcast": "shape", "reshape": "shape", "slice": "size", "pad": "shape"}
_ALONG = ("argmax", "argmin", "cumsum", "cumprod", "cummax", "cummin", "sort", "argsort")
Along = Callable[[Value], list[int]]  # the dims of a value in the class
FEWEST_ROWS = 64
_MOST_STAGES = 8
_SMALL = 8192  # elements of a matrix that BLAS packs again for every part
_SHARE = 0.8  # of the work that must be on rows


@dataclass(frozen=True, eq=False)
class Stage:
    """Ops that run together: once, or (`rows`) on each part of the rows.

    reads     values of the program, `cut` says which of them along their first axis
    writes    values of the program; `combine` names the ufunc that joins the partial results of
              each, "" where the parts fill an array along its first axis
    """

    rows: bool
    ops: tuple[Op, ...]
    reads: tuple[Value, ...]
    cut: tuple[bool, ...]
    writes: tuple[Value, ...]
    combine: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Partition:
    """A program in stages; `extent` rows in the class `label`; `work` in units of about 1 ns."""

    name: str
    params: tuple[Value, ...]
    outs: tuple[Value, ...]
    stages: tuple[Stage, ...]
    label: Hashable
    extent: int
    work: float


def gains(p: Partition) -> bool:
    """Whether parts that fit a cache are likely to be faster than the whole.

    One stage on rows, whose intermediate arrays never leave the cache then; and no product
    with a large matrix, which BLAS does best on many rows at once.
    """
    on_rows = [s for s in p.stages if s.rows]
    sizes = (
        prod(int(n) for n in v.shape[-2:] if not _is(n, p.label))
        for s in on_rows
        for op in s.ops
        if op.prim.name == "dot"
        for v in op.args
    )
    return len(on_rows) == 1 and all(n <= _SMALL for n in sizes)


class _Unfit(Exception):
    """The program cannot be cut along this class."""


def partition(name: str, block: Block) -> Partition | None:
    """The best cut of a labelled block, or None."""
    candidates: dict[Hashable, int] = {}
    for p in block.params:
        if p.shape and isinstance(p.shape[0], Extent) and p.shape[0] >= 2 * FEWEST_ROWS:
            candidates[p.shape[0].label] = int(p.shape[0])
    found: list[Partition] = []
    for label, extent in candidates.items():
        try:
            found.append(_cut(name, block, label, extent))
        except _Unfit:
            continue
    best = max(found, key=lambda p: p.work, default=None)
    total = sum(map(_work, block.ops))
    return best if best is not None and best.work >= _SHARE * total else None


def part_of(p: Partition, stage: Stage, rows: int) -> Function:
    """A stage as a function of its own; the class of a stage on rows has this extent."""
    params = tuple(
        Value(_resized(v.aval, p.label, rows) if stage.rows else v.aval, v.hint)
        for v in stage.reads
    )
    env: dict[Value, Value] = dict(zip(stage.reads, params, strict=True))
    with Builder(params, number=False) as b:
        for op in stage.ops:
            b.where = op.where
            attrs = dict(op.attrs)
            if stage.rows and op.prim.name in _SHAPED and op.outs:
                key = _SHAPED[op.prim.name]
                attrs[key] = tuple(map(int, _resized(op.outs[0].aval, p.label, rows).shape))
            outs = b.add(
                op.prim,
                [env.get(a, a) for a in op.args],
                attrs,
                op.blocks,
                [v.hint for v in op.outs],
            )
            env.update(zip(op.outs, outs, strict=True))
        return Function(p.name, b.done([env.get(v, v) for v in stage.writes]))


def _resized(a: Aval, label: Hashable, rows: int) -> Aval:
    shape = tuple(rows if _is(n, label) else int(n) for n in a.shape)
    return Aval(a.dtype, shape)


def _is(n: int, label: Hashable) -> bool:
    return isinstance(n, Extent) and n.label == label


# ------------------------------------------------------------------ cutting


def _cut(name: str, block: Block, label: Hashable, extent: int) -> Partition:
    """The stages of a block cut along one class."""

    def along(v: Value) -> list[int]:
        return [] if type(v) is Const else [d for d, n in enumerate(v.shape) if _is(n, label)]

    level: dict[Value, int] = {}  # the stage on rows that a value of rows belongs to
    ready: dict[Value, int] = {}  # the first stage that may read a whole value
    place: dict[Op, tuple[int, bool]] = {}
    for p in block.params:
        level[p] = ready[p] = 0
        if len(along(p)) > 1:
            raise _Unfit
    for op in block.ops:
        on_rows = any(along(v) for v in (*op.args, *op.outs))
        args = [a for a in op.args if type(a) is not Const]
        if not on_rows:
            at = max((ready[a] for a in args), default=0)
            ready.update((v, at) for v in op.outs)
            place[op] = (at, False)
            continue
        if not op.outs or op.blocks or any(len(along(v)) > 1 for v in (*args, *op.outs)):
            raise _Unfit
        at = max((level[a] if along(a) else ready[a] for a in args), default=0)
        place[op] = (at, True)
        if _carries(op, along):
            level.update((v, at) for v in op.outs)
        else:
            ready.update((v, at + 1) for v in op.outs)
    work = sum(_work(op) for op, (_, rows) in place.items() if rows)
    stages = tuple(_stages(block, place, along))
    if len(stages) > _MOST_STAGES or not any(s.rows for s in stages):
        raise _Unfit
    return Partition(name, block.params, block.outs, stages, label, extent, work)


def _carries(op: Op, along: Along) -> bool:
    """Whether the results have the rows of the operands (else they are partial results)."""
    emit, out = op.prim.emit, op.outs[0]
    to = along(out)
    if op.prim.name in _SHAPED and not is_inline(op):  # a reshape behind the first axis
        if to != [0] or along(op.args[0]) != [0]:
            raise _Unfit
        return True
    if is_inline(op):
        if not to or (not op.args and op.prim.name == "iota"):
            raise _Unfit
        known = isinstance(emit, Expr) or op.prim.name in (*_SHAPED, "transpose", "gather")
        if not (known or op.prim.name == "concatenate") or not _follows(op, to[0], along):
            raise _Unfit
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
            raise _Unfit
        return True
    if op.prim.name in _ALONG and to and op.attrs["axis"] not in along(op.args[0]):
        return True
    raise _Unfit


def _partial(op: Op) -> bool:
    if op.prim.name not in COMBINED_BY or op.outs[0].aval.kind not in "fib":
        raise _Unfit
    return False


def _follows(op: Op, to: int, along: Along) -> bool:
    """Whether row k of an inline op reads row k of its operands, and nothing of other rows."""
    for a, index in reads(op, identity(op.outs[0].ndim)):
        for j in along(a):
            if index[j] != (to, 0, 1):
                return False
    return True


def _stages(block: Block, place: dict[Op, tuple[int, bool]], along: Along) -> Iterator[Stage]:
    groups: dict[tuple[int, bool], list[Op]] = {}
    for op in block.ops:
        groups.setdefault(place[op], []).append(op)
    made = {v: key for key, ops in groups.items() for op in ops for v in op.outs}
    wanted = set(block.outs)
    for op in block.ops:
        wanted.update(a for a in op.args if a in made and made[a] != place[op])
    for key in sorted(groups):
        ops = groups[key]
        own = {v for op in ops for v in op.outs}
        used = dict.fromkeys(a for op in ops for a in op.args)
        taken = tuple(a for a in used if a not in own and type(a) is not Const)
        writes = tuple(v for op in ops for v in op.outs if v in wanted)
        if not writes and not any(not op.outs for op in ops):
            continue
        if not key[1]:
            yield Stage(
                False, tuple(ops), taken, (False,) * len(taken), writes, ("",) * len(writes)
            )
            continue
        cut = tuple(bool(along(v)) for v in taken)
        filled = tuple(bool(along(v)) for v in writes)
        if any(along(v) not in ([], [0]) for v in (*taken, *writes)):
            raise _Unfit  # rows that are not the first axis lie apart in memory
        how = tuple(
            "" if f else COMBINED_BY[_maker(ops, v)] for v, f in zip(writes, filled, strict=True)
        )
        yield Stage(True, tuple(ops), taken, cut, writes, how)


def _maker(ops: Sequence[Op], v: Value) -> str:
    return next(op.prim.name for op in ops if v in op.outs)


def _work(op: Op) -> float:
    """What an op costs, in units of about a nanosecond on one core."""
    emit = op.prim.emit
    if isinstance(emit, Call) and emit.name == "dot":
        (cx,), _ = op.attrs["contract"]
        return 0.06 * op.outs[0].aval.size * op.args[0].shape[cx]
    size = max((prod(v.shape) for v in (*op.args, *op.outs)), default=0)
    return size * (0.02 * (1 + emit.cost) if isinstance(emit, Expr) else 0.3)
