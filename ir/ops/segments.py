"""A loop in segments: its adjoint keeps the states between them and computes each segment again.

With segments of k rounds there are n/k states, and k residuals while one segment is pulled back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..builder import Builder
from ..core import Block, Const, Value
from ..records import dataclass
from ..regions import fresh, inlined
from ..types import Aval
from .arithmetic import add, cast, mul, sqrt, sub
from .control_rules import INDEX, emit_call, emit_loop
from .logic import floordiv, maximum, minimum
from .shape import concatenate, narrow, reshaped


@dataclass(frozen=True)
class _Parts:
    """A loop to be divided: see the row `loop`."""

    consts: tuple[Value, ...]
    carries: tuple[Value, ...]
    inputs: tuple[Value, ...]
    body: Block
    reverse: bool


def emit_segments(
    n: Value,
    consts: Sequence[Value],
    carries: Sequence[Value],
    inputs: Sequence[Value],
    body: Block,
    *,
    reverse: bool = False,
    every: int = 0,
) -> tuple[Value, ...]:
    """What `emit_loop` gives; the adjoint keeps every `every`-th state (0: about sqrt(n) of them).

    A number of rounds that is no literal takes a loop without inputs and stacked outs.
    """
    parts = _Parts(tuple(consts), tuple(carries), tuple(inputs), body, reverse)
    if isinstance(n, Const):
        return _known(max(int(n.data), 0), parts, every)
    if inputs or len(body.outs) > len(carries):
        raise ValueError("segments of stacked outs need a known number of rounds")
    return _unknown(n, parts, every)


def _known(n: int, p: _Parts, every: int) -> tuple[Value, ...]:
    size = min(every or max(round(math.sqrt(n)), 1), max(n, 1))
    m = n // size
    whole, c = m * size, len(p.carries)
    pieces: list[tuple[Value, ...]] = []
    carries = p.carries
    # The rounds that fill no segment come last: first where the loop runs backwards.
    for part in ("rest", "whole") if p.reverse else ("whole", "rest"):
        if part == "whole" and whole:
            inputs = [reshaped(narrow(x, 0, 0, whole), (m, size, *x.shape[1:])) for x in p.inputs]
            block = _segment(p, inputs, Const(size, "i64"), size)
            outs = emit_loop(Const(m, "i64"), p.consts, carries, inputs, block, reverse=p.reverse)
            rows = [reshaped(x, (whole, *x.shape[2:])) for x in outs[c:]]
        elif part == "rest" and n > whole:
            inputs = [narrow(x, 0, whole, n - whole) for x in p.inputs]
            given = (*p.consts, *carries, *inputs)
            outs = emit_call(given, _rest(p, given, whole, n - whole), recompute=True)
            rows = list(outs[c:])
        else:
            continue
        carries = outs[:c]
        pieces.insert(0 if part == "whole" else len(pieces), tuple(rows))
    if not pieces:
        return emit_loop(Const(0, "i64"), p.consts, p.carries, p.inputs, p.body, reverse=p.reverse)
    joined = [
        xs[0] if len(xs) == 1 else concatenate(*xs, axis=0) for xs in zip(*pieces, strict=True)
    ]
    return (*carries, *joined)


def _shifted(p: _Parts) -> Block:
    """A round that takes, before its consts, how many rounds were before its segment."""
    params, first = fresh(p.body.params), Value(INDEX, "first")
    i, *rest = params
    with Builder((i, first, *rest)) as b:
        return b.done(inlined(p.body, (add(i, first), *rest)))


def _segment(p: _Parts, inputs: Sequence[Value], size: Value, rows: int) -> Block:
    """A round of the outer loop: a segment, computed again in the adjoint."""
    s = Value(INDEX, "segment")
    consts, carries = fresh(p.consts), fresh(p.carries)
    slices = tuple(Value(Aval(x.dtype, x.shape[1:])) for x in inputs)
    with Builder((s, *consts, *carries, *slices)) as b:
        given = (mul(s, size), *consts, *carries, *slices)
        params = fresh(given)
        with Builder(params) as inner:
            a = 1 + len(consts)
            outs = emit_loop(
                Const(rows, "i64"),
                params[:a],
                params[a : a + len(carries)],
                params[a + len(carries) :],
                _shifted(p),
                reverse=p.reverse,
            )
            block = inner.done(outs)
        return b.done(emit_call(given, block, recompute=True))


def _rest(p: _Parts, given: Sequence[Value], first: int, n: int) -> Block:
    params = fresh(given)
    a, c = len(p.consts), len(p.carries)
    with Builder(params) as b:
        outs = emit_loop(
            Const(n, "i64"),
            (Const(first, "i64"), *params[:a]),
            params[a : a + c],
            params[a + c :],
            _shifted(p),
            reverse=p.reverse,
        )
        return b.done(outs)


def _unknown(n: Value, p: _Parts, every: int) -> tuple[Value, ...]:
    if every:
        size: Value = Const(every, "i64")
    else:
        root = sqrt(cast(maximum(n, 1), dtype="f64"))
        size = maximum(cast(add(root, 0.5), dtype="i64"), 1)
    m = floordiv(add(n, sub(size, 1)), size)
    s, total, each = Value(INDEX, "segment"), Value(INDEX, "n"), Value(INDEX, "size")
    consts, carries = fresh(p.consts), fresh(p.carries)
    with Builder((s, total, each, *consts, *carries)) as b:
        first = mul(s, each)
        given = (minimum(each, sub(total, first)), first, *consts, *carries)
        params = fresh(given)
        with Builder(params) as inner:
            a = 2 + len(consts)
            outs = emit_loop(params[0], params[1:a], params[a:], (), _shifted(p), reverse=p.reverse)
            block = inner.done(outs)
        outer = b.done(emit_call(given, block, recompute=True))
    return emit_loop(m, (n, size, *p.consts), p.carries, (), outer, reverse=p.reverse)
