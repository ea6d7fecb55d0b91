"""What control rows do with blocks: copy, prune, and divide an adjoint from its primal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from .builder import Builder, current
from .core import Block, Const, Op, Value, all_ops
from .prim import Expr, View
from .records import dataclass
from .residuals import KEEP, cost, least, worth_seeking
from .types import NUMPY, is_float

Mask = tuple[bool, ...]
_WORTH_KEEPING = KEEP  # units of one addition, a little more than an exp
_WORTH_NEAR = 8  # the same where all rounds together keep no more than a near cache holds
_NEAR = 1 << 22  # bytes
_rounds: ContextVar[int] = ContextVar("rounds of the loops around a block", default=1)


@contextmanager
def in_rounds(n: int) -> Iterator[None]:
    """What is divided here runs n times in each round of the loops around; -1 if that is open."""
    around = _rounds.get()
    token = _rounds.set(-1 if n < 0 or around < 0 else n * around)
    try:
        yield
    finally:
        _rounds.reset(token)


def fresh(values: Iterable[Value]) -> tuple[Value, ...]:
    """New values like these."""
    return tuple(Value(v.aval, v.hint) for v in values)


def inlined(block: Block, args: Sequence[Value]) -> list[Value]:
    """Emit a copy of a block's ops into the innermost builder; returns the block's results."""
    env = dict(zip(block.params, args, strict=True))
    _emit(block.ops, env)
    return [env.get(v, v) for v in block.outs]


def _emit(ops: Iterable[Op], env: dict[Value, Value]) -> None:
    b = current()
    before = b.where
    for op in ops:
        b.where = op.where
        blocks = {label: copied(r) for label, r in op.blocks.items()}
        args = [env.get(a, a) for a in op.args]
        outs = b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])
        env.update(zip(op.outs, outs, strict=True))
    b.where = before


def copied(block: Block) -> Block:
    """The same block, sharing no value with it."""
    params = fresh(block.params)
    with Builder(params) as b:
        return b.done(inlined(block, params))


def quiet(block: Block) -> Block:
    """The block without what it shows: it runs again, where that was shown already."""
    if all(op.prim.name != "show" for op in all_ops(block)):
        return block
    kept = tuple(
        replace(op, blocks={k: quiet(b) for k, b in op.blocks.items()})
        for op in block.ops
        if op.prim.name != "show"
    )
    return Block(block.params, kept, block.outs)


def pruned(block: Block) -> Block:
    """The block without ops that nothing reads."""
    live, kept = set(block.outs), []
    for op in reversed(block.ops):
        # A region may hold an op with an effect, so an op with regions counts as impure as those.
        if not live.isdisjoint(op.outs) or not _pure(op):
            kept.append(op)
            live.update(op.args)
    return Block(block.params, tuple(reversed(kept)), block.outs)


def _pure(op: Op) -> bool:
    return op.prim.pure and all(_pure(o) for b in op.blocks.values() for o in b.ops)


def depends(block: Block, active: Mask) -> Mask:
    """Which results carry a derivative with respect to the active params."""
    live = {p for p, a in zip(block.params, active, strict=True) if a and is_float(p.aval.dtype)}
    for op in block.ops:
        if not op.prim.nondiff and not live.isdisjoint(op.args):
            live.update(v for v in op.outs if is_float(v.aval.dtype))
    return tuple(v in live for v in block.outs)


# ------------------------------------------------------------------ primal and adjoint apart


@dataclass(frozen=True)
class Division:
    """A joint block in two.

    primal   the params; the results, then the residuals
    adjoint  the params listed in `reads`, the residuals, the seeds; the cotangents
    """

    primal: Block
    adjoint: Block
    reads: tuple[int, ...]


def divide(joint: Block, n_params: int, n_outs: int, free: Mask, *, stacked: bool) -> Division:
    """Cut a joint block into primal and adjoint, which may read the `free` params again.

    What follows by light work from free params and from other residuals is computed again.  With
    `stacked`, residuals are kept round by round: what has no fixed shape is computed again too.
    """
    params, seeds = joint.params[:n_params], joint.params[n_params:]
    outs, grads = joint.outs[:n_outs], joint.outs[n_outs:]
    ops, border = _adjoint_ops(joint, seeds, grads)
    again, residuals = _residuals(
        joint, ops, border, {p for p, f in zip(params, free, strict=True) if f}, stacked
    )
    read = border | {a for op in again for a in op.args}
    reads = tuple(i for i, p in enumerate(params) if free[i] and p in read)
    given = (*(params[i] for i in reads), *residuals, *seeds)
    new = fresh(given)
    with Builder(new) as b:
        env = dict(zip(given, new, strict=True))
        _emit((op for op in joint.ops if op in ops or op in again), env)
        adjoint = b.done(env.get(v, v) for v in grads)
    rest = tuple(op for op in joint.ops if op not in ops)
    primal = copied(pruned(Block(params, rest, (*outs, *residuals))))
    return Division(primal, adjoint, reads)


def _adjoint_ops(
    joint: Block, seeds: Sequence[Value], grads: Sequence[Value]
) -> tuple[set[Op], set[Value]]:
    """The live ops that depend on a seed, and the values they read that do not."""
    seeded = set(seeds)
    for op in joint.ops:
        if not seeded.isdisjoint(op.args):
            seeded.update(op.outs)
    ops, live = set(), set(grads)
    for op in reversed(joint.ops):
        if not seeded.isdisjoint(op.outs) and not live.isdisjoint(op.outs):
            ops.add(op)
            live.update(op.args)
    return ops, {v for v in live if v not in seeded and type(v) is not Const}


def _residuals(
    joint: Block, ops: set[Op], border: set[Value], free: set[Value], stacked: bool
) -> tuple[set[Op], list[Value]]:
    """The primal ops that the adjoint runs again, and the values that it is handed."""
    primal = [op for op in joint.ops if op not in ops]
    ragged = {op for op in primal if stacked and any(-1 in v.aval.shape for v in op.outs)}
    needed = set(border)
    for op in reversed(primal):
        if op in ragged and not needed.isdisjoint(op.outs):
            needed.update(op.args)

    def cut(worth: int) -> tuple[set[Op], list[Value]]:
        # Keep what the adjoint reads, or what that follows from: whichever is less.
        late = _cut(joint, primal, ragged, needed, free, needed, worth)
        early = _cut(joint, primal, ragged, needed, free, None, worth)
        return min(late, early, key=lambda found: sum(map(_bytes, found[1])))

    rounds = _rounds.get() if stacked else -1
    if rounds > 0:
        found = cut(_WORTH_NEAR)
        if rounds * sum(map(_bytes, found[1])) <= _NEAR:
            return found
    found = cut(_WORTH_KEEPING)
    # Rows of a loop add up to more than a cache holds, so there a better choice is sought.
    if stacked and worth_seeking(primal, needed, free, cost(*found)):
        again, kept = least(primal, needed, free, ragged)
        if 5 * cost(again, kept) < 4 * cost(*found):
            order = (*joint.params, *(v for op in primal for v in op.outs))
            return again, [v for v in order if v in kept]
    return found


def _cut(
    joint: Block,
    primal: list[Op],
    ragged: set[Op],
    needed: set[Value],
    free: set[Value],
    keepable: set[Value] | None,
    worth: int,
) -> tuple[set[Op], list[Value]]:
    """The ops to run again and the values to keep, if only `keepable` values (None: all) are.

    Work of up to `worth` is done again.
    """
    # How much work it is to have a value in the adjoint; absent: it can not be had.
    cost = dict.fromkeys(free, 0)
    kept = {p for p in joint.params if p not in free and (keepable is None or p in keepable)}
    cost.update(dict.fromkeys(kept, 0))
    for op in primal:
        work = 0 if op in ragged else _work(op, cost)
        # Sums and products cost no more than to read what was kept, where others wait for them.
        limit = worth if _own(op) >= worth else _WORTH_KEEPING
        for v in op.outs:
            if work <= limit:
                cost[v] = work
            elif keepable is None or v in keepable:
                kept.add(v)
                cost[v] = 0
    again, needed = set(), set(needed)
    for op in reversed(primal):
        if any(v in needed and v not in kept for v in op.outs):
            again.add(op)
            needed.update(op.args)
    order = (*joint.params, *(v for op in primal for v in op.outs))
    return again, [v for v in order if v in needed and v in kept]


def _bytes(v: Value) -> int:
    return abs(v.aval.size) * NUMPY[v.aval.dtype].itemsize


def _own(op: Op) -> int:
    """The work of an op by itself."""
    emit = op.prim.emit
    return emit.cost if isinstance(emit, Expr) else 0


def _work(op: Op, cost: dict[Value, int]) -> int:
    """The work of an op and of what it reads; beyond bounds for what is no light work."""
    emit = op.prim.emit
    light = isinstance(emit, View) or op.prim.name in ("reshape", "gather", "iota")
    total = emit.cost if isinstance(emit, Expr) else 1 if light else _WORTH_KEEPING + 1
    for a in op.args:
        if type(a) is not Const:
            total += cost.get(a, _WORTH_KEEPING + 1)
    return total
