"""Normal form of what a diagonal matrix meets: a Jacobian multiplies by no unit matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Const, Value
from ..ir.ops.elementwise import div, mul, neg, select
from ..ir.ops.shape import broadcast, permuted
from ..ir.types import KIND
from .normal import Normal, filling, is_number, spread

Attrs = Mapping[str, Any]
Args = tuple[Value, ...]
_DEPTH = 12


def diagonal(b: Normal, v: Value, depth: int = _DEPTH) -> Value | None:
    """The diagonal of a square matrix that is zero elsewhere (a scalar: all alike), if it is one.

    What multiplies the zeros may be infinite or NaN, so this holds where the program is lenient.
    """
    op = b.defs.get(v)
    if op is None or v.ndim != 2 or v.shape[0] != v.shape[1] or not depth:
        return None
    name, args = op.prim.name, op.args
    if name == "cast":
        return Const(1, v.dtype) if _unit(b, args[0]) else None
    if name in ("neg", "transpose"):
        d = diagonal(b, args[0], depth - 1)
        return neg(d) if d is not None and name == "neg" else d
    if name == "mul":
        for x, y in (args, args[::-1]):
            d, e = diagonal(b, x, depth - 1), _along(b, y, v.shape[0])
            if d is not None and e is not None:
                return e if is_number(d, 1) else mul(d, e)
    elif name == "div":
        d, e = diagonal(b, args[0], depth - 1), _along(b, args[1], v.shape[0])
        if d is not None and e is not None:
            return div(d, e)
    elif name == "select":
        mask = _along(b, args[0], v.shape[0])
        parts = [x if is_number(x, 0) else diagonal(b, x, depth - 1) for x in args[1:]]
        if mask is not None and all(p is not None for p in parts):
            return select(mask, *parts)
    return None


def _unit(b: Normal, v: Value) -> bool:
    """Whether a mask is that of the unit matrix."""
    op = b.made_by(v, "equal")
    if op is None:
        return False
    made = [b.made_by(a, "iota") for a in op.args]
    return {m.attrs["axis"] for m in made if m is not None} == {0, 1}


def _along(b: Normal, v: Value, n: int, depth: int = _DEPTH) -> Value | None:
    """The diagonal of a value that broadcasts to (n, n), where it can be computed alone."""
    if v.shape in ((), (n,)):
        return v
    op = b.defs.get(v)
    if op is None or not depth:
        return None
    if op.prim is broadcast:
        return op.args[0] if op.args[0].shape in ((), (n,)) else None
    if not op.prim.elementwise:
        return None
    parts = []
    for a in op.args:
        part = _along(b, a, n, depth - 1)
        if part is None:
            return None
        parts.append(part)
    return b.add(op.prim, parts, op.attrs)[0]


def _dot(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A product by a diagonal matrix scales the other operand."""
    if not b.lenient or attrs["batch"] != ((), ()) or KIND[args[0].dtype] != "f":
        return None
    for side in (1, 0):
        if len(attrs["contract"][side]) != 1:
            continue
        d = diagonal(b, args[side])
        if d is None:
            continue
        other, (k,) = args[1 - side], attrs["contract"][1 - side]
        if not is_number(d, 1):
            other = mul(other, spread(b, d, (k,), other.shape) if d.ndim else d)
        rest = [i for i in range(other.ndim) if i != k]
        return permuted(other, [*rest, k] if side else [k, *rest])
    return None


def _sum(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A sum along one side of a diagonal matrix is its diagonal."""
    (v,), axes = args, attrs["axes"]
    if not b.lenient or v.ndim != 2 or len(axes) != 1 or KIND[v.dtype] != "f":
        return None
    d = diagonal(b, v)
    if d is None:
        return None
    return d if d.ndim else filling(b, d, (), v.shape[:1])


DIAGONALS = {"dot": (_dot,), "sum": (_sum,)}
