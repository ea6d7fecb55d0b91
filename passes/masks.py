"""Masks that do nothing: what is behind them is zero already wherever they are false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.core import Const, Op, Value
from ..ir.types import broadcast_shapes
from .normal import Normal, Step, is_number

_DEPTH = 32  # of sums within sums: a long one is left as it is


def _needless(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    """`select(m, x, 0)` is x, and `select(m, 0, x)` is x, where x is zero on that side."""
    m, x, y = args
    shape = broadcast_shapes(*(a.aval.shape for a in args))
    if m.aval.shape != shape:
        return None
    if _zero(b, y):
        return x if x.aval.shape == shape and _behind(b, m, x, _DEPTH) else None
    if _zero(b, x) and y.aval.shape == shape:
        return y if _beside(b, m, y, _DEPTH) else None
    return None


def _zero(b: Normal, v: Value) -> bool:
    repeated = b.made_by(v, "broadcast")
    return is_number(repeated.args[0] if repeated else v, 0)


def _behind(b: Normal, m: Value, x: Value, depth: int) -> bool:
    """Whether x is +0 wherever m is false."""
    if depth == 0:
        return False
    op = b.made_by(m, "or", "and", "not")
    inner = b.made_by(x, "add", "select", "pad")
    if inner is None:
        return _zero(b, x)
    if op is not None and op.prim.name == "not":
        return _beside(b, op.args[0], x, depth - 1)
    if inner.prim.name == "add" and _sum(b, op, m, inner, depth):
        return True
    if op is not None and op.prim.name == "and":
        return all(_behind(b, part, x, depth - 1) for part in op.args)
    if op is not None and any(_behind(b, part, x, depth - 1) for part in op.args):
        return True
    return _hidden(b, m, inner, depth)


def _sum(b: Normal, op: Op | None, m: Value, inner: Op, depth: int) -> bool:
    """Whether both terms are zero where m is false; the parts of a union mask a term each."""
    p, q = inner.args
    if p.aval.shape != m.aval.shape or q.aval.shape != m.aval.shape:
        return False
    if op is not None and op.prim.name == "or":
        for r, s in (op.args, op.args[::-1]):
            if _behind(b, r, p, depth - 1) and _behind(b, s, q, depth - 1):
                return True
    return op is None and _behind(b, m, p, depth - 1) and _behind(b, m, q, depth - 1)


def _hidden(b: Normal, m: Value, inner: Op, depth: int) -> bool:
    """Whether a choice or a pad is zero where m is false."""
    if inner.prim.name == "pad":
        mask = b.made_by(m, "pad")
        return mask is not None and mask.attrs == inner.attrs and _true(b, mask, inner)
    if inner.prim.name != "select":
        return False
    c, p, q = inner.args
    if c.aval.shape != m.aval.shape:
        return False
    if _zero(b, q):
        return c is m or (p.aval.shape == m.aval.shape and _behind(b, m, p, depth - 1))
    no = b.made_by(m, "not")
    if _zero(b, p):
        opposite = no is not None and no.args[0] is c
        return opposite or (q.aval.shape == m.aval.shape and _behind(b, m, q, depth - 1))
    return False


def _true(b: Normal, mask: Op, data: Op) -> bool:
    """Whether a padded mask is true all over the window of padded data."""
    inside = mask.args[0]
    repeated = b.made_by(inside, "broadcast")
    flag = repeated.args[0] if repeated else inside
    return type(flag) is Const and bool(flag.data) and inside.aval.shape == data.args[0].aval.shape


def _beside(b: Normal, m: Value, x: Value, depth: int) -> bool:
    """Whether x is +0 wherever m is true."""
    inner = b.made_by(x, "select")
    if inner is None or depth == 0:
        return _zero(b, x)
    c, p, q = inner.args
    if c.aval.shape != m.aval.shape:
        return False
    if _zero(b, p):
        return c is m or (q.aval.shape == m.aval.shape and _beside(b, m, q, depth - 1))
    return _zero(b, q) and p.aval.shape == m.aval.shape and _beside(b, m, p, depth - 1)


MASKS: dict[str, tuple[Step, ...]] = {"select": (_needless,)}
