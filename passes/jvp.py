"""Forward mode: a function with its tangents, in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..ir.builder import Builder, current
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.control import zeros_like
from ..ir.ops.elementwise import add, mul, neg
from ..ir.ops.shape import broadcast_to
from ..ir.prim import ZERO, NoDerivative, NoPartial
from ..ir.types import is_float
from .replay import copy, fresh


class Tangents:
    """What is known of tangents while a block is pushed; also what a row with regions may ask."""

    # Reverse mode of a region: `passes.vjp`, which builds on this module, puts it here.
    joint: ClassVar[Callable[..., Block]]

    def __init__(self, known: dict[Value, Any]) -> None:
        self.known = known

    def active(self, value: Value) -> bool:
        """Whether a copied value has a tangent."""
        return value in self.known

    def jvp(self, block: Block, active: Sequence[bool], wanted: Sequence[bool]) -> Block:
        """Forward mode of a region: see `ir.ops.control.DerivativeContext`."""
        params = fresh(block.params)
        dots = tuple(dot_of(p) for p, a in zip(params, active, strict=True) if a)
        moving = (p for p, a in zip(params, active, strict=True) if a)
        with Builder((*params, *dots)) as b:
            outs, tangents = push_block(block, params, dict(zip(moving, dots, strict=True)))
            asked = [filled(t, v) for v, t, w in zip(outs, tangents, wanted, strict=True) if w]
            return b.done([*outs, *asked])


def jvp(function: Function, wrt: Sequence[int]) -> Function:
    """The function and its tangent: params, then tangents of `wrt`; results, then theirs.

    Results of integer or bool dtype have no tangent.
    """
    check_wrt(function, wrt)
    params = fresh(function.params)
    dots = tuple(dot_of(params[i]) for i in wrt)
    with Builder((*params, *dots)) as b:
        moving = dict(zip((params[i] for i in wrt), dots, strict=True))
        outs, tangents = push_block(function.block, params, moving)
        asked = [
            filled(t, v) for v, t in zip(outs, tangents, strict=True) if is_float(v.aval.dtype)
        ]
        return Function(f"{function.name}_jvp", b.done([*outs, *asked]))


def check_wrt(function: Function, wrt: Sequence[int]) -> None:
    """Refuse integer parameters, and the same parameter twice."""
    for i in wrt:
        p = function.params[i]
        if not is_float(p.aval.dtype):
            raise TypeError(
                f"{function.name}: parameter {i} ({p.hint or 'unnamed'}) has dtype"
                f" {p.aval.dtype}; only floating and complex dtypes carry derivatives"
            )
    if len(set(wrt)) != len(wrt):
        raise ValueError(f"{function.name}: wrt {tuple(wrt)} names a parameter twice")


def push_block(
    block: Block, args: Sequence[Value], tangents: dict[Value, Any]
) -> tuple[list[Value], list[Any]]:
    """Emit a block and the tangents of its results (ZERO for none)."""
    b, ctx = current(), Tangents(tangents)
    env: dict[Value, Value] = dict(zip(block.params, args, strict=True))
    where = b.where
    for op in block.ops:
        b.where = op.where
        new = tuple([env.get(a, a) for a in op.args])
        outs = _push_op(b, ctx, op, new)
        env.update(zip(op.outs, outs, strict=True))
    b.where = where
    results = [env.get(v, v) for v in block.outs]
    return results, [tangents.get(v, ZERO) for v in results]


def _push_op(b: Builder, ctx: Tangents, op: Op, args: tuple[Value, ...]) -> Sequence[Value]:
    ts = [ctx.known.get(a, ZERO) for a in args]
    prim = op.prim
    if prim.nondiff or all(t is ZERO for t in ts):
        return copy(b, op, args)
    if prim.push:
        outs, dots = prim.push(ctx, op, args, ts)
    else:
        outs = copy(b, op, args)
        dots = tangents_of(op, ts, outs, args)
    for v, t in zip(outs, dots, strict=True):
        if t is not ZERO and is_float(v.aval.dtype):
            ctx.known[v] = t
    return outs


def tangents_of(
    op: Op, ts: list[Any], outs: tuple[Value, ...], args: tuple[Value, ...]
) -> Sequence[Any]:
    prim = op.prim
    if prim.partials:
        terms = [
            scaled(t, d)
            for t, d in zip(ts, prim.partials(outs[0], *args, **op.attrs), strict=True)
            if t is not ZERO
        ]
        return (_total([t for t in terms if t is not ZERO], outs[0]),)
    if prim.transpose:
        # The op is linear in these arguments together, so its tangent is itself.
        linear = range(len(args)) if prim.linear is None else prim.linear
        moved = [filled(ts[i], a) if i in linear else a for i, a in enumerate(args)]
        return current().add(prim, moved, op.attrs)
    assert prim.jvp is not None
    out = prim.jvp(ts, outs, *args, **op.attrs)
    return out if isinstance(out, tuple) else (out,)


def scaled(t: Any, d: Any, times: Callable[[Any, Any], Any] = mul) -> Any:
    """`t * d`, for a partial derivative that may be a Python number."""
    if d is ZERO or d is None:
        return ZERO
    c = d.data if isinstance(d, Const) else d
    if isinstance(c, Value):
        return times(t, d)
    if isinstance(c, NoPartial):
        where = current().where
        raise NoDerivative(f"{c.reason}{f' (at {where})' if where else ''}")
    if c == 0:
        return ZERO
    return t if c == 1 else neg(t) if c == -1 else times(t, d)


def _total(terms: list[Any], out: Value) -> Any:
    if not terms:
        return ZERO
    # With partial 1 a tangent keeps its argument's smaller shape: broadcast once, at the end.
    sum_of = terms[0]
    for t in terms[1:]:
        sum_of = add(sum_of, t)
    return broadcast_to(sum_of, out.aval.shape)


def filled(t: Any, v: Value) -> Value:
    """A tangent or cotangent of `v`, with zeros in place of ZERO."""
    return zeros_like(v) if t is ZERO else t


def dot_of(p: Value) -> Value:
    """A parameter for the tangent of `p`."""
    return Value(p.aval, f"{p.hint}_dot" if p.hint else "")
