"""Normal form of what a diagonal matrix meets: a Jacobian multiplies by no unit matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Const, Value
from ..ir.ops.elementwise import div, equal, mul, neg, select
from ..ir.ops.shape import broadcast, iota, permuted
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
    elif name == "select" and _unit(b, args[0]):
        return _along(b, args[1], v.shape[0]) if is_number(args[2], 0) else None
    elif name == "select":
        mask = _along(b, args[0], v.shape[0])
        parts = [x if is_number(x, 0) else diagonal(b, x, depth - 1) for x in args[1:]]
        if mask is not None and all(p is not None for p in parts):
            return select(mask, *parts)
    return None


def _stack(b: Normal, v: Value, nb: int) -> Value | None:
    """The diagonals of a stack of matrices that are zero elsewhere, if they were made of them."""
    op = b.made_by(v, "select")
    if op is None or v.ndim != nb + 2 or not _unit(b, op.args[0]) or not is_number(op.args[2], 0):
        return None
    rows = b.made_by(op.args[1], "broadcast")
    return rows.args[0] if rows is not None and rows.attrs["axes"] == (nb + 1,) else None


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
    batch = tuple(range(len(attrs["batch"][0])))
    if not b.lenient or attrs["batch"] != (batch, batch) or KIND[args[0].dtype] != "f":
        return None
    for side in (1, 0):
        if len(attrs["contract"][side]) != 1:
            continue
        d = _stack(b, args[side], len(batch)) if batch else diagonal(b, args[side])
        if d is None:
            continue
        other, (k,) = args[1 - side], attrs["contract"][1 - side]
        if not is_number(d, 1):
            other = mul(other, spread(b, d, (*batch, k), other.shape) if d.ndim else d)
        rest = [i for i in range(len(batch), other.ndim) if i != k]
        return permuted(other, [*batch, *rest, k] if side else [*batch, k, *rest])
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


def _put(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """Numbers put on the diagonals of matrices of zeros, which are read where they are wanted."""
    op, shape = b.made_by(args[0], "pad"), attrs["shape"]
    if op is None or len(shape) != args[0].ndim + 1 or shape[-2] != shape[-1]:
        return None
    (x,), n, nb = op.args, shape[-1], len(shape) - 2
    apart = (*(1,) * nb, n + 1)
    if op.attrs["step"] != apart or any(op.attrs["start"]) or x.shape != (*shape[:-2], n):
        return None
    row, column = (iota(shape=(n, n), axis=k, dtype="i64") for k in (0, 1))
    return select(equal(row, column), broadcast(x, shape=shape, axes=(nb + 1,)), Const(0, x.dtype))


DIAGONALS = {"dot": (_dot,), "sum": (_sum,), "reshape": (_put,)}
