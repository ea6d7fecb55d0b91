"""The row of a linear system whose matrix is known by its products alone: `linear_solve`.

linear_solve(b, *operands)  regions matvec: u, operands -> A u; rmatvec: w, operands -> Aᵀ w
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..builder import current
from ..core import Block, Op, Value
from ..prim import ZERO, Prim
from ..regions import copied, inlined
from ..types import Aval, is_float
from .control_rules import DerivativeContext, Pull
from .elementwise import neg, sub
from .host import HostFunction

__all__ = ["emit_linear_solve", "linear_solve"]


def emit_linear_solve(
    b: Value, operands: Sequence[Value], matvec: Block, rmatvec: Block, call: HostFunction
) -> Value:
    """u with A u = b, where `call(product, b)` solves by products with A."""
    blocks = {"matvec": matvec, "rmatvec": rmatvec}
    return current().add(linear_solve, (b, *operands), {"call": call}, blocks)[0]


def _infer(b: Aval, *operands: Aval, call: HostFunction, matvec: Block, rmatvec: Block) -> Aval:
    for label, block in (("matvec", matvec), ("rmatvec", rmatvec)):
        if block.in_avals != (b, *operands) or block.out_avals != (b,):
            raise TypeError(f"linear_solve: region {label} does not map {b} and operands to {b}")
    return b


def _ref(b: Any, *operands: Any, call: HostFunction, matvec: Any, rmatvec: Any) -> Any:
    return call.call(matvec.block, b, operands)


def _regions(op: Op, swapped: bool = False) -> tuple[Block, Block]:
    names = ("rmatvec", "matvec") if swapped else ("matvec", "rmatvec")
    first, second = (copied(op.blocks[name]) for name in names)
    return first, second


def _push(
    ctx: DerivativeContext, op: Op, args: Sequence[Value], tangents: Sequence[Any]
) -> tuple[tuple[Value, ...], list[Any]]:
    """du = A⁻¹ (db - dA u)."""
    call, operands, dots = op.attrs["call"], args[1:], tangents[1:]
    u = emit_linear_solve(args[0], operands, *_regions(op), call)
    active = tuple(t is not ZERO and is_float(a.dtype) for a, t in zip(operands, dots, strict=True))
    moved = tangents[0]
    if any(active):
        pushed = ctx.jvp(op.blocks["matvec"], (False, *active), (True,))
        given = [t for t, a in zip(dots, active, strict=True) if a]
        turned = inlined(pushed, (u, *operands, *given))[1]
        moved = neg(turned) if moved is ZERO else sub(moved, turned)
    if moved is ZERO:
        return (u,), [ZERO]
    return (u,), [emit_linear_solve(moved, operands, *_regions(op), call)]


def _forward(ctx: DerivativeContext, op: Op, args: Sequence[Value]) -> tuple[tuple[Value], Pull]:
    """b̄ = A⁻ᵀ ū, and θ̄ = -∂(b̄ᵀ A(θ) u)/∂θ."""
    call, operands = op.attrs["call"], args[1:]
    u = emit_linear_solve(args[0], operands, *_regions(op), call)
    active = tuple(is_float(a.dtype) and ctx.active(a) for a in operands)

    def pull(cts: Sequence[Any]) -> list[Any]:
        (ct,) = cts
        to_b = emit_linear_solve(ct, operands, *_regions(op, swapped=True), call)
        if not any(active):
            return [to_b, *(ZERO for _ in operands)]
        joint = ctx.joint(op.blocks["matvec"], (False, *active), (True,))
        found = iter(inlined(joint, (u, *operands, to_b))[1:])
        return [to_b, *(neg(next(found)) if a else ZERO for a in active)]

    return (u,), pull


linear_solve = Prim(
    name="linear_solve",
    infer=_infer,
    ref=_ref,
    forward=_forward,
    push=_push,
)
