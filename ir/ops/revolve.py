"""The adjoint of a loop under a budget of states: the binomial schedule.

A. Griewank and A. Walther, Algorithm 799: Revolve, ACM TOMS 26 (2000).  With s states and r sweeps
at most C(s + r, s) rounds can be pulled back.  The schedule is followed at run time, so that the
number of rounds may be traced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..builder import Builder
from ..core import Block, Const, Value
from ..regions import fresh, inlined
from ..types import Aval
from .elementwise import (
    add,
    equal,
    floordiv,
    greater,
    less,
    maximum,
    minimum,
    mul,
    select,
    sub,
)
from .index import gather, scatter
from .shape import broadcast, reshaped

INDEX = Aval("i64")
Emit = Callable[..., tuple[Value, ...]]


def whole(n: int) -> Const:
    """An integer literal."""
    return Const(n, "i64")


def emit_revolve(
    n: Value,
    consts: Sequence[Value],
    carries: Sequence[Value],
    totals: Sequence[Value],
    forward: Block,
    reverse: Block,
    states: int,
    emit_loop: Emit,
    emit_while: Emit,
    emit_cond: Emit,
) -> tuple[Value, ...]:
    """The totals after all rounds have been pulled back, the last one first.

    `forward` (k, consts, carries) -> carries is round k; `reverse` (k, consts, carries, totals) ->
    totals pulls it back, given what it began with.  `states` carries are kept at a time.
    """
    a, c = len(consts), len(carries)
    # Slot 0 keeps the first state; the last slot takes what nobody wants.
    places = broadcast(whole(0), shape=(states + 1,), axes=(0,))
    kept = [broadcast(v, shape=(states + 1, *v.shape), axes=(0,)) for v in carries]
    start = (n, whole(0), places, *kept, *totals)
    params = (*fresh(consts), *fresh(start))
    with Builder(params) as b:
        test = b.done([greater(params[a], 0)])
    params = (*fresh(consts), *fresh(start))
    held, (end, top, places, *rest) = params[:a], params[a:]
    kept, totals = rest[:c], rest[c:]
    with Builder(params) as b:
        at = gather(places, top, axes=(0,))
        here = [gather(k, top, axes=(0,)) for k in kept]
        left, free = sub(end, at), sub(states - 1, top)
        one = equal(left, 1)
        steps = select(
            one, 0, select(greater(free, 0), _split(left, free, emit_while), sub(left, 1))
        )
        moved = emit_loop(steps, (at, *held), here, (), _from(forward))
        at = add(at, steps)
        pulled = equal(add(at, 1), end)
        given = (at, *held, *moved, *totals)
        totals = list(emit_cond(pulled, given, _taken(reverse, given), _kept(given, len(totals))))
        end = select(pulled, at, end)
        slot = select(pulled, states, add(top, 1))
        used = equal(gather(places, top, axes=(0,)), at)  # nothing is left behind that state
        back = select(used, maximum(sub(top, 1), 0), top)
        places = scatter(places, at, slot, axes=(0,))
        kept = [scatter(k, v, slot, axes=(0,)) for k, v in zip(kept, moved, strict=True)]
        body = b.done([end, select(pulled, back, slot), places, *kept, *totals])
    found = emit_while(consts, start, test, body)
    return tuple(found[3 + c : -1])


def _split(left: Value, free: Value, emit_while: Emit) -> Value:
    """How many of the rounds that are left go before the next state that is kept.

    With s = free + 1 and the least r such that C(s + r, s) >= left, both parts take r sweeps and
    r - 1 at most, and there is no way with fewer rounds in all.
    """
    s = add(free, 1)
    start = (whole(1), add(s, 1))  # r, C(s + r, s)
    params = (Value(INDEX), Value(INDEX), *(Value(INDEX) for _ in start))
    with Builder(params) as b:
        test = b.done([less(params[3], params[0])])
    params = fresh(params)
    with Builder(params) as b:
        r = add(params[2], 1)
        body = b.done([r, floordiv(mul(params[3], add(params[1], r)), r)])
    r, ways, _ = emit_while((left, s), start, test, body)
    all_ = add(s, r)
    behind = floordiv(mul(ways, s), all_)  # C(s + r - 1, s - 1)
    before = floordiv(mul(ways, r), all_)  # C(s + r - 1, s)
    least = floordiv(mul(before, sub(r, 1)), maximum(sub(all_, 1), 1))  # C(s + r - 2, s)
    return maximum(minimum(maximum(least, sub(left, behind)), sub(left, 1)), 1)


def _from(forward: Block) -> Block:
    """A round that counts from where its loop begins."""
    params, first = fresh(forward.params), Value(INDEX, "first")
    with Builder((params[0], first, *params[1:])) as b:
        return b.done(inlined(forward, (add(params[0], first), *params[1:])))


def _taken(reverse: Block, given: Sequence[Value]) -> Block:
    params = fresh(given)
    with Builder(params) as b:
        return b.done(inlined(reverse, params))


def _kept(given: Sequence[Value], totals: int) -> Block:
    params = fresh(given)
    return Block(params, (), params[len(params) - totals :])


def row(x: Value, k: Value) -> Value:
    """Row `k` of an array."""
    return reshaped(gather(x, k, axes=(0,)), x.shape[1:])
