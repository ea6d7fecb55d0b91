"""Reverse mode: the joint function, primal and adjoint in one, by a single sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.builder import Builder, current
from ..ir.core import Block, Const, Function, Op, Value, Where
from ..ir.ops.elementwise import add, and_, mul, not_, not_equal, or_, select
from ..ir.ops.index import add_into
from ..ir.ops.shape import broadcast, full, pad, slice_, unbroadcast
from ..ir.prim import ZERO
from ..ir.records import dataclass
from ..ir.types import is_float
from .jvp import Tangents, check_wrt, filled, scaled
from .outward import repeats
from .replay import copy, fresh

# Linear rows that only move elements (or repeat them): a mask moves along with its cotangent.
_MOVES = ("reshape", "transpose", "slice", "pad", "sum", "concatenate")
_SCALES = ("cast", "neg")


@dataclass(frozen=True)
class Adjoint:
    """The joint function, and which of `wrt` no result depends on (with the op that cut it)."""

    function: Function
    unreached: tuple[int, ...]
    cuts: tuple[Where | None, ...]


def vjp(
    function: Function,
    wrt: Sequence[int],
    *,
    seed_ones: bool = False,
    primal_outs: bool = True,
) -> Function:
    """The joint function: params, then a cotangent per float result; results, then cotangents.

    `seed_ones` takes ones for the cotangents of the results, as grad does; `primal_outs=False`
    returns the cotangents of `wrt` alone.
    """
    return adjoint(function, wrt, seed_ones=seed_ones, primal_outs=primal_outs).function


def adjoint(
    function: Function,
    wrt: Sequence[int],
    *,
    seed_ones: bool = False,
    primal_outs: bool = True,
) -> Adjoint:
    """`vjp`, with what it found out."""
    check_wrt(function, wrt)
    block = function.block
    params = fresh(block.params)
    seeded = [is_float(v.aval.dtype) for v in block.outs]
    seeds = () if seed_ones else _seeds(block, seeded)
    with Builder((*params, *seeds)) as b:
        tape = record(block, params, {params[i] for i in wrt})
        given = iter([full(1, v.aval) for v in tape.outs] if seed_ones else seeds)
        cts = [next(given) if s else ZERO for s in seeded]
        found = pull(tape, cts, [params[i] for i in wrt])
        grads = [filled(c, params[i]) for i, c in zip(wrt, found, strict=True)]
        joint = b.done([*(tape.outs if primal_outs else ()), *grads])
    unreached = tuple(i for i, c in zip(wrt, found, strict=True) if c is ZERO)
    cuts = tuple(_cut(block, i) for i in unreached)
    return Adjoint(Function(f"{function.name}_vjp", joint), unreached, cuts)


def _seeds(block: Block, seeded: Sequence[bool]) -> tuple[Value, ...]:
    named = [(v, f"ct_{v.hint}" if v.hint else "ct") for v in block.outs]
    return tuple(Value(v.aval, h) for (v, h), s in zip(named, seeded, strict=True) if s)


# ------------------------------------------------------------------ recording the primal


@dataclass(frozen=True, slots=True)
class Step:
    """A copied primal op that the sweep may visit: its new names, and its pull if it has one."""

    op: Op
    args: tuple[Value, ...]
    outs: tuple[Value, ...]
    pull: Callable[[Sequence[Any]], Sequence[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Tape:
    """The copied primal: its active steps in order, its results, and the active values."""

    steps: list[Step]
    outs: list[Value]
    active: dict[Value, Any]


def _joint(ctx: Tangents, block: Block, active: Sequence[bool], seeded: Sequence[bool]) -> Block:
    """Primal and adjoint of a region in one: see `ir.ops.control.DerivativeContext`."""
    params = fresh(block.params)
    seeds = _seeds(block, seeded)
    wrt = [p for p, a in zip(params, active, strict=True) if a]
    with Builder((*params, *seeds)) as b:
        tape = record(block, params, set(wrt))
        given = iter(seeds)
        found = pull(tape, [next(given) if s else ZERO for s in seeded], wrt)
        grads = [filled(c, p) for p, c in zip(wrt, found, strict=True)]
        return b.done([*tape.outs, *grads])


Tangents.joint = _joint


def record(block: Block, args: Sequence[Value], wrt: set[Value]) -> Tape:
    """Copy a block into the current builder, noting the steps that carry derivatives."""
    b = current()
    useful = _useful(block)
    ctx = Tangents(dict.fromkeys(wrt))
    active = ctx.known
    env: dict[Value, Value] = dict(zip(block.params, args, strict=True))
    steps: list[Step] = []
    where = b.where
    for op in block.ops:
        b.where = op.where
        new = tuple([env.get(a, a) for a in op.args])
        carries = not op.prim.nondiff and op in useful and any(a in active for a in new)
        if carries and op.prim.forward:
            outs, pull_op = op.prim.forward(ctx, op, new)
        else:
            outs, pull_op = copy(b, op, new), None
        # An op may be numbered to an earlier value: the sweep visits the first op alone.
        if carries and not any(v in active for v in outs):
            steps.append(Step(op, new, tuple(outs), pull_op))
            active.update((v, None) for v in outs if is_float(v.aval.dtype))
        env.update(zip(op.outs, outs, strict=True))
    b.where = where
    return Tape(steps, [env.get(v, v) for v in block.outs], active)


def _useful(block: Block) -> set[Op]:
    """The ops from which a float path leads to a result."""
    live = {v for v in block.outs if is_float(v.aval.dtype)}
    ops = set()
    for op in reversed(block.ops):
        if not op.prim.nondiff and not live.isdisjoint(op.outs):
            ops.add(op)
            live.update(a for a in op.args if is_float(a.aval.dtype))
    return ops


# ------------------------------------------------------------------ the sweep


def pull(tape: Tape, cts: Sequence[Any], wrt: Sequence[Value]) -> list[Any]:
    """Cotangents of `wrt`, given those of the tape's results (ZERO for none)."""
    b, active = current(), tape.active
    ct: dict[Value, Any] = {}

    def accumulate(values: Sequence[Value], terms: Sequence[Any]) -> None:
        for v, c in zip(values, terms, strict=True):
            if c is not ZERO and v in active:
                ct[v] = _plus(ct[v], c) if v in ct else c

    accumulate(tape.outs, cts)
    where = b.where
    # The sweep follows the copied ops, not what the builder appended: an op may have been
    # numbered to a value known before.
    for step in reversed(tape.steps):
        cs = [ct.pop(v, ZERO) if v in active else ZERO for v in step.outs]
        if all(c is ZERO for c in cs):
            continue
        b.where = step.op.where
        accumulate(step.args, _pull_op(b, step, cs, active))
    b.where = where
    return [ct.get(v, ZERO) for v in wrt]


def _pull_op(b: Builder, step: Step, cs: list[Any], active: dict[Value, Any]) -> Sequence[Any]:
    op, args, prim = step.op, step.args, step.op.prim
    if step.pull:
        return step.pull(cs)
    if prim.partials:
        return [
            _to_argument(cs[0], d, a) if a in active else ZERO
            for a, d in zip(args, prim.partials(step.outs[0], *args, **op.attrs), strict=True)
        ]
    if prim.transpose:
        return _transposed(op, args, cs[0])
    assert prim.vjp is not None
    return _tuple(prim.vjp(tuple(cs), step.outs, *args, **op.attrs))


def _to_argument(ct: Any, d: Any, arg: Value) -> Any:
    if d is None or d is ZERO:
        return ZERO
    shape = arg.aval.shape
    if not isinstance(d, Value):  # sum before scaling by a number
        return scaled(unbroadcast(ct, shape), d, times)
    term = times(ct, d)
    return term if term is ZERO or term.aval.shape == shape else unbroadcast(term, shape)


def _transposed(op: Op, args: tuple[Value, ...], ct: Value) -> Sequence[Any]:
    rule, name = op.prim.transpose, op.prim.name
    assert rule is not None
    if repeats(op) and current().defs.get(args[0]) is not None and _masked(ct) is not None:
        # Rows that are read behind masks alone: no slope of what they are made of may leak.
        rows, *others = _tuple(rule(ct, *args, **op.attrs))
        return [_Masked(not_equal(rows, 0), rows, True).around(rows), *others]
    masked = _masked(ct) if name in _MOVES or name in _SCALES else None
    if masked is None or masked.mask.aval.shape != ct.aval.shape:
        return _tuple(rule(ct, *args, **op.attrs))
    inners = _tuple(rule(masked.inner, *args, **op.attrs))
    if name in _SCALES:
        return [c if c is ZERO else masked.around(c) for c in inners]
    masks = _tuple(rule(masked.mask, *args, **op.attrs))
    return [_behind(m, c, masked.on) for m, c in zip(masks, inners, strict=True)]


def _behind(mask: Value, ct: Any, on: bool) -> Any:
    """A cotangent behind a mask, unless the mask is known to be one truth value all over."""
    known = None if ct is ZERO else _truth(mask)
    if ct is ZERO or known is on:
        return ct
    return _Masked(mask, ct, on).around(ct) if known is None else ZERO


def _truth(v: Value) -> bool | None:
    """What all elements of a mask are, where it is a part of a written region or beside it."""
    while type(v) is not Const:
        op = current().defs.get(v)
        if op is None or op.prim.name not in ("broadcast", "reshape", "slice"):
            return None
        v = op.args[0]
        region = current().defs.get(v)
        if op.prim is slice_ and region is not None and region.prim is pad:
            inside = _within(op, region)
            if not inside:
                return inside
            v = region.args[0]
    return bool(v.data)


def _within(part: Op, region: Op) -> bool | None:
    """Whether a slice lies within the region that a pad fills; None if partly."""
    inside = True
    dims = zip(
        part.attrs["start"], part.attrs["step"], part.outs[0].shape,
        region.attrs["start"], region.attrs["step"], region.args[0].shape, strict=True,
    )  # fmt: skip
    for first, by, n, start, step, size in dims:
        low, high = sorted((first, first + (n - 1) * by))
        begin, end = sorted((start, start + (size - 1) * step))
        if high < begin or low > end:
            return False
        even = by % step == 0 and (first - start) % step == 0
        inside = inside and even and low >= begin and high <= end
    return inside or None


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


# ------------------------------------------------------------------ masked cotangents


@dataclass(frozen=True, slots=True)
class _Masked:
    """A cotangent that is zero wherever `mask` is not `on`."""

    mask: Value
    inner: Value
    on: bool

    def around(self, inner: Any) -> Value:
        """Another cotangent behind this mask."""
        return select(self.mask, inner, 0) if self.on else select(self.mask, 0, inner)

    def allowed(self) -> Value:
        """Where the cotangent may differ from zero."""
        here = self.mask if self.on else not_(self.mask)
        inner = _masked(self.inner)
        return here if inner is None else and_(here, inner.allowed())


def times(ct: Any, d: Any) -> Any:
    """`ct * d`, where what is masked stays masked: no NaN or inf of `d` leaks through a 0 of `ct`.

    A partial that is itself a choice of constants becomes a choice of products, for the same
    reason: where it is zero, an infinite cotangent must not make NaN.
    """
    if isinstance(ct, Const) and ct.data == 1 and isinstance(d, Value):
        return d
    masked = _masked(ct)
    if masked is not None and masked.inner.aval.shape == ct.aval.shape:
        return masked.around(times(masked.inner, d))
    if isinstance(d, Value):
        op = current().defs.get(d)
        if op is not None and op.prim is select:
            c, x, y = op.args
            if isinstance(x, Const) or isinstance(y, Const):
                return _choice(c, scaled(ct, x, times), scaled(ct, y, times))
    return mul(ct, d)


def _choice(c: Value, x: Any, y: Any) -> Any:
    if x is ZERO and y is ZERO:
        return ZERO
    return select(c, 0 if x is ZERO else x, 0 if y is ZERO else y)


def _masked(ct: Any) -> _Masked | None:
    """The parts of a value made by `select(mask, inner, 0)` or `select(mask, 0, inner)`."""
    op = current().defs.get(ct)
    if op is None or op.prim is not select:
        return None
    c, x, y = op.args
    if _zero(y):
        return _Masked(c, x, True)
    return _Masked(c, y, False) if _zero(x) else None


def _zero(v: Value) -> bool:
    if isinstance(v, Const):
        return bool(v.data == 0)
    op = current().defs.get(v)
    return op is not None and op.prim is broadcast and _zero(op.args[0])


def _plus(x: Value, y: Value) -> Value:
    """`x + y`; a sum of masked cotangents is masked by either mask."""
    mx, my = _masked(x), _masked(y)
    if mx is None or my is None or mx.mask.aval.shape != my.mask.aval.shape:
        return add_into(x, y)
    if mx.mask is my.mask:
        if mx.on == my.on:
            return mx.around(_plus(mx.inner, my.inner))
        return select(mx.mask, *((mx.inner, my.inner) if mx.on else (my.inner, mx.inner)))
    return select(or_(mx.allowed(), my.allowed()), add(x, y), 0)


# ------------------------------------------------------------------ what cut a path


def _cut(block: Block, index: int) -> Where | None:
    """Where the dependence of the results on a parameter was first lost, if it was."""
    reached = {block.params[index]}
    for op in block.ops:
        if reached.isdisjoint(op.args):
            continue
        if op.prim.nondiff or not any(is_float(v.aval.dtype) for v in op.outs):
            return op.where
        reached.update(op.outs)
    return None
