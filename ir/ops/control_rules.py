"""Derivatives of rows that own regions: regions again, made by the pass that asks.

Also the functions that emit such rows, which those rules are written in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ..builder import Builder, current, literal
from ..core import Block, Const, Op, Value
from ..prim import PRIMS, ZERO
from ..records import dataclass
from ..regions import (
    Division,
    Mask,
    copied,
    depends,
    divide,
    fresh,
    in_rounds,
    inlined,
    pruned,
    quiet,
)
from ..types import Aval, is_float
from .cond_rules import keeping
from .elementwise import cast, less, real, sub
from .index import add_into, scatter_add
from .revolve import emit_revolve, row
from .shape import zeros

INDEX = Aval("i64")
Pull = Callable[[Sequence[Any]], list[Any]]


class DerivativeContext(Protocol):
    """What the rows below ask of the pass that differentiates them.

    Masks are tuples of bools, one per param or result; an integer or bool is never active.
    Blocks that come back are closed and fresh: they share no value with the block given.

    `forward(ctx, op, args) -> (outs, pull)` runs while the primal is copied: it emits the primal,
    perhaps with more results than the op had, into the current builder.  `args` are the renamed
    arguments.  `pull(cts)` runs in the sweep: it takes one cotangent per result of `op` (ZERO for
    none), emits into the then current builder, and returns one cotangent (or ZERO) per argument.
    `push(ctx, op, args, tangents) -> (outs, tangents of outs)` is the forward mode (ZERO for none).
    """

    def active(self, value: Value) -> bool:
        """Whether a copied value may depend on what is differentiated (True is always safe)."""
        ...

    def jvp(self, block: Block, active: tuple[bool, ...], wanted: tuple[bool, ...]) -> Block:
        """Forward mode of a block, tangents of `active` params to tangents of `wanted` outs.

        Params: the block's, then a tangent for each active param.  Outs: the block's, then a
        tangent for each wanted out, zeros where it depends on no active param.
        """
        ...

    def joint(self, block: Block, active: tuple[bool, ...], seeded: tuple[bool, ...]) -> Block:
        """Primal and adjoint of a block in one, unsimplified.

        Params: the block's, then a cotangent for each seeded out.  Outs: the block's, then a
        cotangent for each active param, of its aval, zeros where there is none.
        """
        ...


# ------------------------------------------------------------------ emitting them


def emit_cond(
    p: Any, args: Sequence[Any], then: Block, otherwise: Block, hints: Sequence[str] = ()
) -> tuple[Value, ...]:
    """The results of `then` on the arguments where `p` holds, else those of `otherwise`."""
    blocks = {"then": then, "else": otherwise}
    return current().add(PRIMS["cond"], _values((p, *args)), {}, blocks, hints)


def emit_loop(
    n: Any,
    consts: Sequence[Any],
    carries: Sequence[Any],
    inputs: Sequence[Any],
    body: Block,
    *,
    reverse: bool = False,
    hints: Sequence[str] = (),
    states: int = 0,
) -> tuple[Value, ...]:
    """The last carries and the stacked outs of `n` rounds; a literal `n` gives static shapes."""
    args = _values((n, *consts, *carries, *inputs))
    length = int(args[0].data) if isinstance(args[0], Const) else -1
    attrs = {
        "consts": len(consts),
        "carries": len(carries),
        "reverse": reverse,
        "length": max(length, 0) if isinstance(args[0], Const) else -1,
    }
    if states:
        attrs["states"] = states
    return current().add(PRIMS["loop"], args, attrs, {"body": body}, hints)


def emit_while(
    consts: Sequence[Any],
    carries: Sequence[Any],
    test: Block,
    body: Block,
    hints: Sequence[str] = (),
) -> tuple[Value, ...]:
    """The last carries, and how many rounds there were."""
    args = _values((*consts, *carries))
    attrs = {"consts": len(consts)}
    return current().add(PRIMS["while"], args, attrs, {"test": test, "body": body}, hints)


def emit_call(
    args: Sequence[Any],
    body: Block,
    hints: Sequence[str] = (),
    *,
    recompute: bool = False,
    late: bool = False,
) -> tuple[Value, ...]:
    """The results of a block that stays a unit of its own (`recompute`: a checkpoint).

    `late`: it computes again what was computed before, and must not be merged with that.
    """
    attrs = {"recompute": recompute, "late": late}
    return current().add(PRIMS["call"], _values(args), attrs, {"body": body}, hints)


def _values(xs: Iterable[Any]) -> tuple[Value, ...]:
    # The operands of these rows are no partners: a literal keeps its own dtype.
    return tuple(x if isinstance(x, Value) else literal(x) for x in xs)


# ------------------------------------------------------------------ parts and masks


@dataclass(frozen=True)
class _Rounds:
    """The operands of a loop, by what they are."""

    n: Value
    consts: tuple[Value, ...]
    carries: tuple[Value, ...]
    inputs: tuple[Value, ...]
    body: Block
    reverse: bool

    def mask(self, values: Sequence[Value], active: Callable[[Value], bool]) -> Mask:
        return tuple(is_float(v.aval.dtype) and active(v) for v in values)

    def activity(self, active: Callable[[Value], bool]) -> tuple[Mask, Mask, Mask, Mask]:
        """Which consts, carries, inputs and results of the body carry derivatives."""
        consts, inputs = self.mask(self.consts, active), self.mask(self.inputs, active)
        carries = self.mask(self.carries, active)
        while True:
            outs = depends(self.body, (False, *consts, *carries, *inputs))
            grown = _either(carries, outs[: len(carries)])
            if grown == carries:
                return consts, carries, inputs, (*carries, *outs[len(carries) :])
            carries = grown


def _rounds(op: Op, args: Sequence[Value]) -> _Rounds:
    a, k = op.attrs.get("consts", 0), op.attrs.get("carries", 0)
    n, rest = args[0], tuple(args[1:])
    reverse = op.attrs.get("reverse", False)
    return _Rounds(n, rest[:a], rest[a : a + k], rest[a + k :], op.blocks["body"], reverse)


def _either(a: Mask, b: Mask) -> Mask:
    return tuple(x or y for x, y in zip(a, b, strict=True))


def _where(mask: Mask, xs: Iterable[Any]) -> list[Any]:
    return [x for m, x in zip(mask, xs, strict=True) if m]


def _spread(mask: Mask, xs: Iterable[Any]) -> list[Any]:
    """The items at the places that the mask names, ZERO at the others."""
    given = iter(xs)
    return [next(given) if m else ZERO for m in mask]


def zeros_like(v: Value) -> Value:
    """Zeros of the aval of a value, also where its shape is known at run time only."""
    if -1 not in v.aval.shape:
        return zeros(v.aval)
    part = real(v) if v.aval.kind == "c" else v
    return cast(less(part, part), dtype=v.dtype)  # False everywhere, NaN included


def _filled(t: Any, v: Value) -> Value:
    return t if isinstance(t, Value) else zeros_like(v)


def _given(ts: Sequence[Any]) -> Mask:
    return tuple(t is not ZERO for t in ts)


def _copies(op: Op) -> dict[str, Block]:
    return {label: copied(b) for label, b in op.blocks.items()}


def _hints(op: Op) -> list[str]:
    return [v.hint for v in op.outs]


# ------------------------------------------------------------------ cond and call


def cond_push(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], tangents: Sequence[Any]
) -> tuple[tuple[Value, ...], list[Any]]:
    active = _given(tangents)[1:]
    then, otherwise = op.blocks["then"], op.blocks["else"]
    wanted = _either(depends(then, active), depends(otherwise, active))
    outs = emit_cond(
        args[0],
        (*args[1:], *_where(active, tangents[1:])),
        ctx.jvp(then, active, wanted),
        ctx.jvp(otherwise, active, wanted),
        _hints(op),
    )
    n = len(op.outs)
    return outs[:n], _spread(wanted, outs[n:])


def cond_forward(
    ctx: DerivativeContext, op: Op, args: Sequence[Value]
) -> tuple[tuple[Value, ...], Pull]:
    """Each branch runs again in its adjoint; it keeps what it read of large arrays alone."""
    active = tuple(is_float(a.aval.dtype) and ctx.active(a) for a in args[1:])
    kept = keeping(ctx, op, args, active, emit_cond)
    if kept is not None:
        return kept
    outs = current().add(op.prim, args, op.attrs, _copies(op), _hints(op))

    def pull(cts: Sequence[Any]) -> list[Any]:
        seeded = _given(cts)

        def adjoint(block: Block) -> Block:
            joint = ctx.joint(block, active, seeded)
            return quiet(pruned(Block(joint.params, joint.ops, joint.outs[len(block.outs) :])))

        then, otherwise = adjoint(op.blocks["then"]), adjoint(op.blocks["else"])
        found = emit_cond(args[0], (*args[1:], *_where(seeded, cts)), then, otherwise)
        return [ZERO, *_spread(active, found)]

    return outs, pull


def call_push(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], tangents: Sequence[Any]
) -> tuple[tuple[Value, ...], list[Any]]:
    active, body = _given(tangents), op.blocks["body"]
    wanted = depends(body, active)
    moved = (*args, *_where(active, tangents))
    pushed = ctx.jvp(body, active, wanted)
    late = bool(op.attrs.get("late", False))
    outs = emit_call(moved, pushed, _hints(op), recompute=_recomputes(op), late=late)
    n = len(op.outs)
    return outs[:n], _spread(wanted, outs[n:])


def call_forward(
    ctx: DerivativeContext, op: Op, args: Sequence[Value]
) -> tuple[tuple[Value, ...], Pull]:
    """The primal hands over its residuals; with `recompute` it runs again in the adjoint."""
    body, n = op.blocks["body"], len(op.outs)
    active = tuple(is_float(a.aval.dtype) and ctx.active(a) for a in args)
    seeded = depends(body, active)
    joint = ctx.joint(body, active, seeded)
    if _recomputes(op):
        adjoint = quiet(pruned(Block(joint.params, joint.ops, joint.outs[n:])))
        reads = tuple(range(len(args)))
        outs = current().add(op.prim, args, op.attrs, _copies(op), _hints(op))
    else:
        parts = divide(joint, len(args), n, (True,) * len(args), stacked=False)
        adjoint, reads = parts.adjoint, parts.reads
        outs = emit_call(args, parts.primal, _hints(op))

    def pull(cts: Sequence[Any]) -> list[Any]:
        seeds = [_filled(c, v) for c, v in _where(seeded, zip(cts, outs[:n], strict=True))]
        given = (*(args[i] for i in reads), *outs[n:], *seeds)
        again = _recomputes(op)
        return _spread(active, emit_call(given, adjoint, recompute=again, late=again))

    return outs[:n], pull


def _recomputes(op: Op) -> bool:
    return bool(op.attrs.get("recompute", False))


# ------------------------------------------------------------------ loop


def loop_push(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], tangents: Sequence[Any]
) -> tuple[tuple[Value, ...], list[Any]]:
    r = _rounds(op, args)
    moving = {a: t for a, t in zip(args, tangents, strict=True) if t is not ZERO}
    consts, carries, inputs, outs = r.activity(moving.__contains__)

    def with_dots(mask: Mask, values: Sequence[Value]) -> list[Value]:
        dots = [_filled(moving.get(v, ZERO), v) for v in _where(mask, values)]
        return [*values, *dots]

    body = ctx.jvp(r.body, (False, *consts, *carries, *inputs), outs)
    found = emit_loop(
        r.n,
        with_dots(consts, r.consts),
        with_dots(carries, r.carries),
        with_dots(inputs, r.inputs),
        _dots_beside(body, r, (consts, carries, inputs), outs),
        reverse=r.reverse,
        states=op.attrs.get("states", 0),
    )
    k, dots = len(r.carries), sum(carries)
    stacked = found[k + dots :]
    m = len(op.outs) - k
    results = (*found[:k], *stacked[:m])
    return results, _spread(outs, (*found[k : k + dots], *stacked[m:]))


def _dots_beside(body: Block, r: _Rounds, masks: tuple[Mask, Mask, Mask], outs: Mask) -> Block:
    """The body with tangents after the consts, the carries and the inputs, each in their group."""
    groups, dots = [], []
    rest, tangents = list(body.params[1:]), []
    for values in (r.consts, r.carries, r.inputs):
        groups.append(rest[: len(values)])
        rest = rest[len(values) :]
    for mask in masks:
        tangents = rest[: sum(mask)]
        rest = rest[sum(mask) :]
        dots.append(tangents)
    params = [p for group in zip(groups, dots, strict=True) for part in group for p in part]
    k, n = len(r.carries), len(outs)
    moved = sum(outs[:k])
    results = body.outs
    ordered = (*results[:k], *results[n : n + moved], *results[k:n], *results[n + moved :])
    return Block((body.params[0], *params), body.ops, ordered)


def loop_forward(
    ctx: DerivativeContext, op: Op, args: Sequence[Value]
) -> tuple[tuple[Value, ...], Pull]:
    """The primal stacks its residuals; the adjoint is a loop over them the other way round."""
    if op.attrs.get("states", 0):
        return _revolved(ctx, op, args)
    r = _rounds(op, args)
    consts, carries, inputs, seeded = r.activity(ctx.active)
    active = (False, *consts, *carries, *inputs)
    free = (True, *(True,) * len(consts), *(False,) * len(carries), *(True,) * len(inputs))
    with in_rounds(op.attrs.get("length", -1)):
        joint = ctx.joint(r.body, active, seeded)
        parts = divide(joint, len(active), len(seeded), free, stacked=True)
    results = emit_loop(
        r.n, r.consts, r.carries, r.inputs, parts.primal, reverse=r.reverse, hints=_hints(op)
    )
    n, k = len(op.outs), len(r.carries)

    def pull(cts: Sequence[Any]) -> list[Any]:
        # Cotangents of stacked outs that are absent become zeros inside, row by row: their
        # number may be unknown.
        live = tuple(c is not ZERO for c in _where(seeded[k:], cts[k:]))
        held = [r.consts[i - 1] for i in parts.reads if 0 < i <= len(consts)]
        slices = [r.inputs[i - 1 - len(consts) - k] for i in parts.reads if i > len(consts) + k]
        given = _where(carries, zip(cts, r.carries, strict=False))
        starts = [_filled(c, v) for c, v in given]
        totals = [_filled(ZERO, v) for v in _where(consts, r.consts)]
        found = emit_loop(
            r.n,
            held,
            [*starts, *totals],
            [*(c for c in _where(seeded[k:], cts[k:]) if c is not ZERO), *results[n:], *slices],
            _round_back(parts, r, consts, carries, live),
            reverse=not r.reverse,
        )
        moved, summed = len(starts), len(starts) + len(totals)
        return [
            ZERO,
            *_spread(consts, found[moved:summed]),
            *_spread(carries, found[:moved]),
            *_spread(inputs, found[summed:]),
        ]

    return results[:n], pull


def _round_back(parts: Division, r: _Rounds, consts: Mask, carries: Mask, live: Mask) -> Block:
    """One round of the adjoint: cotangents of carries move on, those of consts add up."""
    a, k, moving = len(r.consts), len(r.carries), sum(carries)
    given = parts.adjoint.params
    first = len(given) - moving - len(live)
    read, kept = fresh(given[: len(parts.reads)]), fresh(given[len(parts.reads) : first])
    moved, rows = fresh(given[first : first + moving]), fresh(given[first + moving :])
    index = read[0] if parts.reads[:1] == (0,) else Value(INDEX)
    held = [v for v, i in zip(read, parts.reads, strict=True) if 0 < i <= a]
    slices = [v for v, i in zip(read, parts.reads, strict=True) if i > a + k]
    totals = [Value(v.aval, f"ct_{v.hint}" if v.hint else "ct") for v in _where(consts, r.consts)]
    params = (index, *held, *moved, *totals, *_where(live, rows), *kept, *slices)
    where = current().where
    with Builder(params) as b:
        b.where = where
        seeds = [v if alive else zeros(v.aval) for v, alive in zip(rows, live, strict=True)]
        grads = inlined(parts.adjoint, (*read, *kept, *moved, *seeds))
        n = len(totals)
        sums = [add_into(t, g) for t, g in zip(totals, grads[:n], strict=True)]
        return b.done((*grads[n : n + moving], *sums, *grads[n + moving :]))


def _revolved(
    ctx: DerivativeContext, op: Op, args: Sequence[Value]
) -> tuple[tuple[Value, ...], Pull]:
    """The primal keeps nothing; the adjoint runs its rounds again, by the binomial schedule."""
    r = _rounds(op, args)
    consts, carries, inputs, seeded = r.activity(ctx.active)
    joint = ctx.joint(quiet(r.body), (False, *consts, *carries, *inputs), seeded)
    outs = current().add(op.prim, args, op.attrs, _copies(op), _hints(op))
    a, k, m = len(r.consts), len(r.carries), len(r.inputs)

    def pull(cts: Sequence[Any]) -> list[Any]:
        given = [c if c is not ZERO else None for c in _where(seeded[k:], cts[k:])]
        rows = [c for c in given if c is not None]
        held = (r.n, *r.consts, *r.inputs, *rows)
        moving = [_filled(c, v) for c, v in _where(carries, zip(cts, r.carries, strict=False))]
        sums = [_filled(ZERO, v) for v in (*_where(consts, r.consts), *_where(inputs, r.inputs))]
        start = (*moving, *sums)
        outs_ = [v.aval for v in r.body.outs]

        def parts(params: Sequence[Value]) -> tuple[Value, list[Value]]:
            """The index of the round, and what its body takes."""
            n, i = params[1], params[0]
            i = sub(sub(n, i), 1) if r.reverse else i
            slices = [row(x, i) for x in params[2 + a : 2 + a + m]]
            first = 1 + len(held)
            return i, [i, *params[2 : 2 + a], *params[first : first + k], *slices]

        params = (Value(INDEX), *fresh(held), *fresh(r.carries))
        with Builder(params) as b:
            forward = b.done(inlined(r.body, parts(params)[1])[:k])
        params = (Value(INDEX), *fresh(held), *fresh(r.carries), *fresh(start))
        with Builder(params) as b:
            i, xs = parts(params)
            totals = params[1 + len(held) + k :]
            stacked = iter(params[2 + a + m : 1 + len(held)])
            avals = _where(seeded[k:], outs_[k:])
            seeds = [
                zeros(v) if c is None else row(next(stacked), i)
                for c, v in zip(given, avals, strict=True)
            ]
            found = inlined(joint, (*xs, *totals[: len(moving)], *seeds))[len(outs_) :]
            ca, cc = sum(consts), sum(carries)
            added = _added(totals[cc:], found[:ca], found[ca + cc :], i)
            reverse = b.done([*found[ca : ca + cc], *added])
        last = emit_revolve(
            r.n, held, r.carries, start, forward, reverse, op.attrs["states"],
            emit_loop, emit_while, emit_cond,
        )  # fmt: skip
        cc, ca = len(moving), sum(consts)
        return [
            ZERO,
            *_spread(consts, last[cc : cc + ca]),
            *_spread(carries, last[:cc]),
            *_spread(inputs, last[cc + ca :]),
        ]

    return outs, pull


def _added(
    sums: Sequence[Value], consts: Sequence[Value], inputs: Sequence[Value], i: Value
) -> list[Value]:
    """The sums after a round: those of constants as wholes, those of inputs in the round's row."""
    ca = len(consts)
    whole = [add_into(t, g) for t, g in zip(sums[:ca], consts, strict=True)]
    one = [scatter_add(t, g, i, axes=(0,)) for t, g in zip(sums[ca:], inputs, strict=True)]
    return whole + one


# ------------------------------------------------------------------ while


def while_push(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], tangents: Sequence[Any]
) -> tuple[tuple[Value, ...], list[Any]]:
    r = _as_rounds(op, args, args[0])
    moving = {a: t for a, t in zip(args, tangents, strict=True) if t is not ZERO}
    consts, carries, _, outs = r.activity(moving.__contains__)
    held = [_filled(moving[v], v) for v in _where(consts, r.consts)]
    start = [_filled(moving.get(v, ZERO), v) for v in _where(carries, r.carries)]
    body = _dots_beside(
        ctx.jvp(r.body, (False, *consts, *carries), outs), r, (consts, carries, ()), outs
    )
    body = Block(body.params[1:], body.ops, body.outs)
    params = fresh(body.params)
    a, k = len(r.consts), len(r.carries)
    first = a + len(held)
    with Builder(params) as b:
        test = b.done(inlined(op.blocks["test"], (*params[:a], *params[first : first + k])))
    found = emit_while([*r.consts, *held], [*r.carries, *start], test, body, _hints(op))
    return (*found[:k], found[-1]), [*_spread(carries, found[k:-1]), ZERO]


def while_forward(
    ctx: DerivativeContext, op: Op, args: Sequence[Value]
) -> tuple[tuple[Value, ...], Pull]:
    """The adjoint runs the rounds again, now that their number is known, as a loop with a tape."""
    outs = current().add(op.prim, args, op.attrs, _copies(op), _hints(op))

    def pull(cts: Sequence[Any]) -> list[Any]:
        r = _as_rounds(op, args, outs[-1])
        attrs = {"consts": len(r.consts), "carries": len(r.carries)}
        body = {"body": quiet(r.body)}
        again = Op(PRIMS["loop"], (r.n, *args), attrs, op.outs[:-1], body, op.where)
        _, pull_rounds = loop_forward(ctx, again, again.args)
        return pull_rounds(cts[:-1])[1:]

    return outs, pull


def _as_rounds(op: Op, args: Sequence[Value], n: Value) -> _Rounds:
    """A while seen as a loop of `n` rounds, whose body does not read its index."""
    a = op.attrs.get("consts", 0)
    body = op.blocks["body"]
    params = fresh(body.params)
    with Builder((Value(INDEX), *params)) as b:
        body = b.done(inlined(body, params))
    return _Rounds(n, tuple(args[:a]), tuple(args[a:]), (), body, False)
