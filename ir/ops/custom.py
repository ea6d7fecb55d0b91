"""The row of a function whose derivative the user gives: `custom`.

custom(*operands)   region body: operands -> results, which is what it computes.  By `rule`:
  "vjp"    fwd: operands -> results, residuals
           bwd: operands, residuals, a cotangent per float result -> one per answered operand
  "jvp"    jvp: operands, a tangent per answered operand -> results, a tangent per float result
  "again"  the same function within its own rule: it has the rule of the op with the same `key`

`roles` has a letter per operand: "a" for one that the rule answers for, "-" for an argument that
carries no derivative, "h" for one that is held constant, "c" for a value that the functions close
over.  A rule of our own is `trusted` to be linear.  The body alone remains once nothing is
differentiated any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..builder import Builder, current
from ..core import Block, Op, Value, all_ops
from ..linear import nonlinear
from ..prim import PRIMS, ZERO, Prim
from ..regions import Mask, copied, divide, fresh, inlined
from ..types import Aval, is_float
from .control_batch import BatchContext, Found, reached, repeated
from .control_rules import DerivativeContext, Pull, emit_call
from .shape import sum_, zeros

__all__ = ["NoRule", "custom", "emit_custom"]


class NoRule(TypeError):
    """A derivative that the rule at hand does not give."""


def emit_custom(
    args: Sequence[Value], blocks: dict[str, Block], attrs: dict[str, Any]
) -> tuple[Value, ...]:
    """The results of `body`, with the derivative that the other regions say."""
    return current().add(PRIMS["custom"], tuple(args), attrs, blocks)


# ------------------------------------------------------------------ types and meaning


def _infer(
    *args: Aval,
    body: Block,
    name: str,
    rule: str,
    roles: str,
    key: int,
    place: str,
    trusted: bool = False,
    **blocks: Block,
) -> tuple[Aval, ...]:
    if len(roles) != len(args):
        raise TypeError(f"custom: roles {roles!r} of {len(args)} operands")
    answered = [a for a, r in zip(args, roles, strict=True) if r == "a"]
    outs, floats = body.out_avals, [v for v in body.out_avals if is_float(v.dtype)]
    _agree("body", body, args, outs)
    if rule == "vjp":
        residuals = blocks["fwd"].out_avals[len(outs) :]
        _agree("fwd", blocks["fwd"], args, (*outs, *residuals))
        _agree("bwd", blocks["bwd"], (*args, *residuals, *floats), answered)
    elif rule == "jvp":
        _agree("jvp", blocks["jvp"], (*args, *answered), (*outs, *floats))
    return outs


def _agree(label: str, block: Block, given: Sequence[Aval], outs: Sequence[Aval]) -> None:
    for noun, has, wants in (
        ("takes", block.in_avals, tuple(given)),
        ("yields", block.out_avals, tuple(outs)),
    ):
        if has != wants:
            lists = (", ".join(map(str, avals)) for avals in (has, wants))
            raise TypeError(
                "custom: region {} {} ({}); it should be ({})".format(label, noun, *lists)
            )


def _ref(
    *args: Any,
    body: Any,
    name: str,
    rule: str,
    roles: str,
    key: int,
    place: str,
    trusted: bool = False,
    **regions: Any,
) -> tuple[Any, ...]:
    return tuple(body(*args))


# ------------------------------------------------------------------ the function in its own rule


def _is_again(op: Op, key: int) -> bool:
    return op.prim is custom and op.attrs["rule"] == "again" and op.attrs["key"] == key


def tied(op: Op, label: str) -> Block:
    """A rule of the op, in which the function itself has its rule again."""
    return _tied(op.blocks[label], op)


def _tied(block: Block, whole: Op) -> Block:
    key = whole.attrs["key"]
    if not any(_is_again(o, key) for o in all_ops(block)):
        return copied(block)
    params = fresh(block.params)
    env = dict(zip(block.params, params, strict=True))
    with Builder(params) as b:
        for op in block.ops:
            b.where = op.where
            args = tuple(env.get(a, a) for a in op.args)
            outs = _tied_op(b, op, args, whole, key)
            env.update(zip(op.outs, outs, strict=True))
        return b.done(env.get(v, v) for v in block.outs)


def _tied_op(b: Builder, op: Op, args: tuple[Value, ...], whole: Op, key: int) -> Sequence[Value]:
    if _is_again(op, key):
        if [a.aval for a in args] != [a.aval for a in whole.args]:
            # In a batch, a call on what is the same for all rows: on constants.
            return inlined(op.blocks["body"], args)
        blocks = {label: copied(r) for label, r in whole.blocks.items()}
        return b.add(custom, args, whole.attrs, blocks)
    own = op.prim is custom and op.attrs["key"] == key  # of another function: its key, its scope
    blocks = {
        label: copied(r) if own and label != "body" else _tied(r, whole)
        for label, r in op.blocks.items()
    }
    return b.add(op.prim, args, op.attrs, blocks, [v.hint for v in op.outs])


# ------------------------------------------------------------------ derivatives


def _forward(ctx: DerivativeContext, op: Op, args: Sequence[Value]) -> tuple[Any, Pull]:
    _check_closed(op, [ctx.active(a) for a in args])
    rules = {"vjp": _forward_by_vjp, "jvp": _forward_by_jvp}
    return rules[op.attrs["rule"]](ctx, op, args)


def _forward_by_vjp(ctx: DerivativeContext, op: Op, args: Sequence[Value]) -> tuple[Any, Pull]:
    n = len(op.outs)
    found = inlined(tied(op, "fwd"), args)
    outs, residuals = _apart(found[:n]), found[n:]
    bwd = tied(op, "bwd")

    def pull(cts: Sequence[Any]) -> list[Any]:
        seeds = [_or_zeros(c, v) for c, v in zip(cts, op.outs, strict=True) if _floats(v)]
        return _to_answered(op, inlined(bwd, (*args, *residuals, *seeds)))

    return outs, pull


def _forward_by_jvp(ctx: DerivativeContext, op: Op, args: Sequence[Value]) -> tuple[Any, Pull]:
    """The rule is linear in the tangents: its adjoint at any tangents is its transpose."""
    rule, n = tied(op, "jvp"), len(op.outs)
    moved = [a for a, r in zip(args, op.attrs["roles"], strict=True) if r == "a"]
    active = tuple(ctx.active(a) for a in moved)
    still, params = (False,) * len(args), (*args, *(zeros(a.aval) for a in moved))
    _check_linear(op, rule, (*still, *active), "reverse mode", "tangent")
    dots = len(rule.outs) - n
    joint = ctx.joint(rule, (*still, *active), ((False,) * n + (True,) * dots))
    parts = divide(joint, len(params), len(rule.outs), (True,) * len(params), stacked=False)
    found = inlined(parts.primal, params)
    outs, residuals = _apart(found[:n]), found[n + dots :]
    reads = [params[i] for i in parts.reads]

    def pull(cts: Sequence[Any]) -> list[Any]:
        seeds = [_or_zeros(c, v) for c, v in zip(cts, op.outs, strict=True) if _floats(v)]
        grads = iter(inlined(parts.adjoint, (*reads, *residuals, *seeds)))
        return _to_answered(op, [next(grads) if a else ZERO for a in active])

    return outs, pull


def _push(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], tangents: Sequence[Any]
) -> tuple[Any, list[Any]]:
    _check_closed(op, [t is not ZERO for t in tangents])
    roles, n = op.attrs["roles"], len(op.outs)
    given = [_or_zeros(t, a) for t, a, r in zip(tangents, args, roles, strict=True) if r == "a"]
    push = _push_by_jvp if op.attrs["rule"] == "jvp" else _push_by_vjp
    found = push(ctx, op, args, given)
    dots = iter(found[n:])
    outs = _apart(found[:n])
    return outs, [next(dots) if _floats(v) else ZERO for v in op.outs]


def _push_by_jvp(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], dots: Sequence[Value]
) -> list[Value]:
    return inlined(tied(op, "jvp"), (*args, *dots))


def _push_by_vjp(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], dots: Sequence[Value]
) -> list[Value]:
    """The pullback is linear in the cotangents: its own transpose is the pushforward."""
    found = inlined(tied(op, "fwd"), args)
    bwd, n = tied(op, "bwd"), len(op.outs)
    seeds = [zeros(v.aval) for v in op.outs if _floats(v)]
    params = (*args, *found[n:], *seeds)
    moving = (False,) * (len(params) - len(seeds)) + (True,) * len(seeds)
    _check_linear(op, bwd, moving, "forward mode", "cotangent")
    joint = ctx.joint(bwd, moving, (True,) * len(bwd.outs))
    return [*found[:n], *inlined(joint, (*params, *dots))[len(bwd.outs) :]]


def _check_linear(op: Op, block: Block, moving: Sequence[bool], mode: str, noun: str) -> None:
    bad = None if op.attrs["trusted"] else nonlinear(block, moving)
    if bad is not None:
        at = f" ({bad.prim.name} at {bad.where})" if bad.where else f" ({bad.prim.name})"
        remedy = "custom_vjp" if noun == "tangent" else "custom_jvp"
        raise NoRule(
            f"{mode} through {op.attrs['name']} needs a rule that is linear in the {noun}s; the "
            f"one at {op.attrs['place']} is not known to be{at}\n"
            f"  Give the rule of that mode, by {remedy}."
        )


def _check_closed(op: Op, moving: Sequence[bool]) -> None:
    """Refuse a derivative by a value that the function closes over: the rule has no answer."""
    for a, role, m in zip(op.args, op.attrs["roles"], moving, strict=True):
        if m and role == "c":
            named = f" {a.hint!r}" if a.hint else ""
            raise NoRule(
                f"{op.attrs['name']} closes over a traced value{named} that is differentiated, and "
                f"its rule at {op.attrs['place']} says nothing of it\n"
                "  Pass it as an argument, or hold it constant by stop_gradient."
            )


def _to_answered(op: Op, grads: Sequence[Any]) -> list[Any]:
    found = iter(grads)
    return [next(found) if r == "a" else ZERO for r in op.attrs["roles"]]


def _apart(values: Sequence[Value]) -> tuple[Value, ...]:
    """The same values as results of an op of their own, which no equal op is numbered to.

    Else an op of the user's that equals one in the rule would get the rule's derivative.
    """
    params = tuple(Value(v.aval, v.hint) for v in values)
    return emit_call(values, Block(params, (), params), [v.hint for v in values])


def _floats(v: Value) -> bool:
    return is_float(v.aval.dtype)


def _or_zeros(t: Any, v: Value) -> Value:
    return t if isinstance(t, Value) else zeros(v.aval)


# ------------------------------------------------------------------ many rows


def _batch(ctx: BatchContext, op: Op, args: Sequence[Value], moved: Mask) -> Found:
    """All regions over all rows; a cotangent of what the rows share is summed over them."""
    rule, key = op.attrs["rule"], op.attrs["key"]
    rules = [b for label, b in op.blocks.items() if label != "body"]
    if rule == "again" or any(_is_again(o, key) for b in rules for o in all_ops(b)):
        pairs = zip(args, moved, strict=True)
        args, moved = [a if m else repeated(a, ctx.size) for a, m in pairs], (True,) * len(args)
    n = len(op.outs)
    everywhere = (True,) * n
    answered = tuple(m for m, r in zip(moved, op.attrs["roles"], strict=True) if r == "a")
    floats = (True,) * sum(map(_floats, op.outs))
    blocks = {"body": ctx.batch(op.blocks["body"], moved, everywhere)}
    if rule == "vjp":
        kept = reached(op.blocks["fwd"], moved)[n:]
        blocks["fwd"] = ctx.batch(op.blocks["fwd"], moved, (*everywhere, *kept))
        bwd = ctx.batch(op.blocks["bwd"], (*moved, *kept, *floats), (True,) * len(answered))
        blocks["bwd"] = _summed(bwd, answered)
    elif rule == "jvp":
        blocks["jvp"] = ctx.batch(op.blocks["jvp"], (*moved, *answered), (*everywhere, *floats))
    return current().add(custom, args, op.attrs, blocks, [v.hint for v in op.outs]), everywhere


def _summed(bwd: Block, moved: Sequence[bool]) -> Block:
    params = fresh(bwd.params)
    with Builder(params) as b:
        found = zip(inlined(bwd, params), moved, strict=True)
        return b.done([ct if m else sum_(ct, axes=(0,)) for ct, m in found])


custom = Prim(
    name="custom",
    infer=_infer,
    ref=_ref,
    forward=_forward,
    push=_push,
    batch_op=_batch,
    defaults={"trusted": False},
)
