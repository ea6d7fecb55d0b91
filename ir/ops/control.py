"""Rows that own regions: cond, loop, while, call.  Regions are closed: they read their params.

cond(p, *args)       regions then, else: *args -> results
loop(n, *operands)   operands are consts, carries, inputs; region body: i, consts, carries, a row
                     of each input -> carries, outs; results: last carries, stacked outs
while(*operands)     operands are consts, carries; regions test -> bool[] and body -> carries;
                     results: last carries, number of rounds
call(*args)          region body: *args -> results; with `recompute` its adjoint keeps nothing;
                     `late`: it is such an adjoint, which must not begin before it is due
hold(*args)          the same, once all of them are there
custom(*operands)    see `custom.py`; `host.py` and `linear_solve.py` have rows of those names

`length` of a loop is its number of rounds where that is a literal, -1 where it is not: then the
leading axis of stacked outs has no known extent either.  With `states` its adjoint keeps so many
carries at a time (see `revolve`), else what it needs of each round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..core import Block
from ..prim import Call, Prim
from ..types import NUMPY, Aval
from .control_batch import call_batch, cond_batch, loop_batch, while_batch
from .control_rules import (
    INDEX,
    DerivativeContext,
    call_forward,
    call_push,
    cond_forward,
    cond_push,
    emit_call,
    emit_cond,
    emit_loop,
    emit_while,
    loop_forward,
    loop_push,
    while_forward,
    while_push,
    zeros_like,
)
from .custom import custom
from .host import host
from .linear_solve import linear_solve

__all__ = [
    "DerivativeContext",
    "call",
    "cond",
    "custom",
    "emit_call",
    "emit_cond",
    "emit_loop",
    "emit_while",
    "host",
    "linear_solve",
    "loop",
    "while_",
    "zeros_like",
]

# ------------------------------------------------------------------ types


def _agree(row: str, label: str, block: Block, avals: Sequence[Aval]) -> None:
    if block.in_avals != tuple(avals):
        raise TypeError(
            f"{row}: region {label} takes ({_list(block.in_avals)}), it is given ({_list(avals)})"
        )


def _list(avals: Iterable[Aval]) -> str:
    return ", ".join(map(str, avals))


def _cond_infer(p: Aval, *args: Aval, then: Block, **blocks: Block) -> tuple[Aval, ...]:
    otherwise = blocks["else"]
    if p != Aval("bool"):
        raise TypeError(f"cond: the condition is {p}; it must be bool[]")
    _agree("cond", "then", then, args)
    _agree("cond", "else", otherwise, args)
    if then.out_avals != otherwise.out_avals:
        raise TypeError(
            f"cond: then yields ({_list(then.out_avals)}), else yields"
            f" ({_list(otherwise.out_avals)}); both must yield the same types"
        )
    return then.out_avals


def _loop_infer(
    n: Aval,
    *operands: Aval,
    body: Block,
    consts: int = 0,
    carries: int = 0,
    reverse: bool = False,
    length: int = -1,
    states: int = 0,
) -> tuple[Aval, ...]:
    if n != INDEX:
        raise TypeError(f"loop: the number of rounds is {n}; it must be i64[]")
    k = consts + carries
    held, inputs = operands[:k], operands[k:]
    for x in inputs:
        if not x.shape or (length >= 0 and x.shape[0] not in (length, -1)):
            raise TypeError(f"loop: an input is {x}; its first axis must be the {length} rounds")
    _agree("loop", "body", body, (INDEX, *held, *(Aval(x.dtype, x.shape[1:]) for x in inputs)))
    _steady("loop", held[consts:], body.out_avals)
    for v in body.out_avals[carries:]:
        if -1 in v.shape:
            raise TypeError(f"loop: an out is {v}; rounds of different shapes cannot be stacked")
    stacked = (Aval(v.dtype, (length, *v.shape)) for v in body.out_avals[carries:])
    return (*held[consts:], *stacked)


def _while_infer(*operands: Aval, test: Block, body: Block, consts: int = 0) -> tuple[Aval, ...]:
    _agree("while", "test", test, operands)
    _agree("while", "body", body, operands)
    if test.out_avals != (Aval("bool"),):
        raise TypeError(f"while: test yields ({_list(test.out_avals)}); it must yield bool[]")
    _steady("while", operands[consts:], body.out_avals)
    if len(body.outs) != len(operands) - consts:
        raise TypeError(f"while: body yields {len(body.outs)} values for the carries")
    return (*operands[consts:], INDEX)


def _steady(row: str, carries: Sequence[Aval], outs: Sequence[Aval]) -> None:
    if len(outs) < len(carries):
        raise TypeError(f"{row}: body yields {len(outs)} values for {len(carries)} carries")
    for i, (before, after) in enumerate(zip(carries, outs, strict=False)):
        if before != after:
            raise TypeError(
                f"{row}: carry {i} is {before} before the first round and {after} after it;"
                " give it its final type before the loop"
            )


def _call_infer(
    *args: Aval, body: Block, recompute: bool = False, late: bool = False
) -> tuple[Aval, ...]:
    _agree("call", "body", body, args)
    return body.out_avals


# ------------------------------------------------------------------ meaning


def _cond_ref(p: Any, *args: Any, then: Callable[..., Any], **regions: Any) -> tuple[Any, ...]:
    taken = then if p else regions["else"]
    return tuple(taken(*args))


def _loop_ref(
    n: Any,
    *operands: Any,
    body: Any,
    consts: int = 0,
    carries: int = 0,
    reverse: bool = False,
    length: int = -1,
    states: int = 0,
) -> tuple[Any, ...]:
    k = consts + carries
    held, inputs = operands[:consts], operands[k:]
    carry: tuple[Any, ...] = operands[consts:k]
    if any(len(x) != max(n, 0) for x in inputs):
        raise ValueError(f"loop: {n} rounds, but inputs of {[len(x) for x in inputs]} rows")
    rows = []
    for i in range(n - 1, -1, -1) if reverse else range(n):
        outs = body(np.int64(i), *held, *carry, *(x[i] for x in inputs))
        carry = outs[:carries]
        rows.append(outs[carries:])
    if reverse:
        rows.reverse()
    avals = body.block.out_avals[carries:]
    stacked = [
        np.array([row[j] for row in rows], NUMPY[v.dtype]).reshape(len(rows), *v.shape)
        for j, v in enumerate(avals)
    ]
    return (*carry, *stacked)


def _while_ref(*operands: Any, test: Any, body: Any, consts: int = 0) -> tuple[Any, ...]:
    held, carry, rounds = operands[:consts], operands[consts:], 0
    while test(*held, *carry)[0]:
        carry = body(*held, *carry)
        rounds += 1
    return (*carry, np.int64(rounds))


# ------------------------------------------------------------------ the rows

cond = Prim(
    name="cond",
    infer=_cond_infer,
    ref=_cond_ref,
    emit=Call("cond"),
    forward=cond_forward,
    push=cond_push,
    batch_op=cond_batch,
    like=1,
)
loop = Prim(
    name="loop",
    infer=_loop_infer,
    ref=_loop_ref,
    emit=Call("loop"),
    forward=loop_forward,
    push=loop_push,
    batch_op=loop_batch,
    like=1,
    defaults={"consts": 0, "carries": 0, "reverse": False, "length": -1, "states": 0},
)
while_ = Prim(
    name="while",
    infer=_while_infer,
    ref=_while_ref,
    emit=Call("while"),
    forward=while_forward,
    push=while_push,
    batch_op=while_batch,
    defaults={"consts": 0},
)
call = Prim(
    name="call",
    infer=_call_infer,
    ref=lambda *args, body, recompute=False, late=False: body(*args),
    emit=Call("call"),
    forward=call_forward,
    push=call_push,
    batch_op=call_batch,
    defaults={"recompute": False, "late": False},
)
# What is computed from the results of a hold is not the same as what was computed before it.
hold = Prim(
    name="hold",
    infer=lambda *args: args,
    ref=lambda *args: tuple(map(np.array, args)),
    jvp=lambda ts, outs, *args: tuple(ts),
    vjp=lambda cts, outs, *args: tuple(cts),
)
