"""Ops on arrays that are longer than what counts of them: how each is said at the greatest extents.

The elements beyond are never read by those that count, and they are finite: regions are zero there,
and rows that have poles are given ones.  So their derivatives, times a cotangent of zero, are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...ir import ops as rows
from ...ir.builder import Builder
from ...ir.core import Const, Op, Value
from ...ir.ops import shape as shapes
from ...ir.prim import PRIMS
from ...ir.records import dataclass
from ...ir.types import KIND, NUMPY
from .fold import Refused
from .steps import Emit, Shape, region


@dataclass(frozen=True)
class At:
    """An extent that is an operand."""

    operand: int


Length = int | At
Lengths = tuple[Length, ...]


@dataclass(frozen=True)
class Piece:
    """What is known of an op in all rounds.

    extents  the operands' shapes, a row for each round
    results  the result's
    starts   where regions begin
    slots    the operands' shapes: what is one number in all rounds, else which operand it is
    out      the result's
    size     its greatest extents
    clean    which operands are zero beyond what counts
    """

    extents: Sequence[np.ndarray]
    results: np.ndarray
    starts: np.ndarray
    slots: tuple[Lengths, ...]
    out: Lengths
    size: Shape
    clean: tuple[bool, ...]


# What an op is at the greatest extents: (piece, attrs, its operands, all operands) -> result.
Rule = Callable[[Piece, Mapping[str, Any], Sequence[Value], Sequence[Value]], Value]


def emission(op: Op, piece: Piece) -> tuple[Emit, bool]:
    """How an op is said at the greatest extents, and whether its result is zero beyond."""
    check, rule, clean = RULES[op.prim.name]
    attrs: Mapping[str, Any] = {**op.attrs, "row": op.prim.name}
    check(piece, attrs)
    count = len(piece.slots)

    def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        b.where = op.where
        given = list(args[:count])
        if op.prim.name != "slice":  # a region of what is cut is one of the whole
            extents = (tuple(map(int, e.max(0))) for e in piece.extents)
            given = [fitted(x, size) for x, size in zip(given, extents, strict=True)]
        return (rule(piece, attrs, given, args),)

    return emit, clean(piece, attrs)


def settled(lengths: Lengths, size: Shape, clean: bool) -> Emit:
    """An array of these extents as one of greater ones, zero beyond."""

    def emit(b: Builder, args: Sequence[Value]) -> Sequence[Value]:
        x = args[0] if clean else _masked(args[0], lengths, args)
        return (fitted(x, size),)

    return emit


def cut(size: Shape) -> Emit:
    """The part of an array that counts."""
    return lambda b, args: (fitted(args[0], size),)


def fitted(x: Value, size: Shape) -> Value:
    """An array with these extents: cut, or zero beyond its own."""
    zero, one = (0,) * x.ndim, (1,) * x.ndim
    least = tuple(map(min, x.shape, size))
    if least != x.shape:
        x = rows.slice_(x, start=zero, size=least, step=one)
    return rows.pad(x, shape=size, start=zero, step=one) if x.shape != size else x


# ------------------------------------------------------------------ what counts


def _moves(n: Length) -> bool:
    return type(n) is At


def _mask(shape: Shape, lengths: Lengths, args: Sequence[Value]) -> Value | None:
    """Where an array of this shape counts; None if all of it does."""
    out = None
    for d, n in enumerate(lengths):
        if type(n) is At:
            inside = rows.less(shapes.iota(shape=(shape[d],), axis=0, dtype="i64"), args[n.operand])
            alone = tuple(shape[d] if e == d else 1 for e in range(len(shape)))
            inside = shapes.broadcast_to(shapes.reshaped(inside, alone), shape)
            out = inside if out is None else rows.and_(out, inside)
    return out


def _masked(x: Value, lengths: Lengths, args: Sequence[Value], beyond: Any = 0) -> Value:
    """The array with another number beyond what counts."""
    mask = _mask(x.shape, lengths, args)
    return x if mask is None else rows.select(mask, x, Const(beyond, x.dtype))


def _along(lengths: Lengths, axes: Sequence[int]) -> Lengths:
    """The extents along some axes alone."""
    return tuple([n if d in axes else 0 for d, n in enumerate(lengths)])


# ------------------------------------------------------------------ elementwise rows


def _same_extents(p: Piece, attrs: Mapping[str, Any]) -> None:
    """Operands have the extents of the result, or one in every round."""
    n = p.results.shape[1]
    for e in p.extents:
        own = p.results[:, n - e.shape[1] :]
        if not ((e == own).all(0) | (e == 1).all(0)).all():
            raise Refused("arrays of extent 1 in some rounds are stretched")


def _elementwise(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    name = attrs["row"]
    poles = _POLES.get(name, ())
    given = [
        _masked(x, lengths, args, 1) if a in poles and x.dtype != "bool" else x
        for a, (x, lengths) in enumerate(zip(xs, p.slots, strict=True))
    ]
    out: Value = PRIMS[name](*given, **{k: v for k, v in attrs.items() if k != "row"})
    return out


# ------------------------------------------------------------------ regions


def _fixed(p: Piece, attrs: Mapping[str, Any]) -> None:
    """A region of several extents begins at one place: else each element would be looked up."""
    moving = (p.starts != p.starts[0]).any(0)
    if any(
        m and _moves(n) and by > 0 for m, n, by in zip(moving, p.out, attrs["step"], strict=True)
    ):
        raise Refused("regions of several extents begin at several places")


def _reach(p: Piece, step: Shape, size: Shape, have: Shape) -> Shape:
    """The extents that regions of the greatest size need, and no less than there are."""
    last = p.starts.max(0) + (np.array(size) - 1) * np.array(step) + 1
    return tuple(map(max, have, map(int, last)))


def _ends(p: Piece, attrs: Mapping[str, Any]) -> bool:
    """Whether the region goes to the end of an operand that is zero beyond, in every round."""
    ends = (p.starts + p.results == p.extents[0]).all(0)
    return p.clean[0] and all(
        not _moves(n) or (by == 1 and end)
        for n, by, end in zip(p.out, attrs["step"], ends, strict=True)
    )


def _slice(p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]) -> Value:
    (x, *starts), step = xs, attrs["step"]
    x = fitted(x, _reach(p, step, p.size, x.shape))
    # What is read backwards may begin before the first element.
    least = p.starts.min(0) + (np.array(p.size) - 1) * np.array(step)
    ahead = tuple([max(0, -int(n)) for n in least])
    if any(ahead):
        shape = tuple(n + a for n, a in zip(x.shape, ahead, strict=True))
        x = rows.pad(x, shape=shape, start=ahead, step=(1,) * x.ndim)
        starts = [_sum(s, Const(a, "i64")) for s, a in zip(starts, ahead, strict=True)]
    out = region(x, starts, p.size, step)
    return out if _ends(p, attrs) else _masked(out, p.out, args)


def _padded(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    (x,) = xs
    x = x if p.clean[0] else _masked(x, p.slots[0], args)
    return rows.pad(x, shape=p.size, start=attrs["start"], step=attrs["step"])


def _unstrided(p: Piece, attrs: Mapping[str, Any]) -> None:
    if any(_moves(n) and by != 1 for n, by in zip(p.slots[0], attrs["step"], strict=True)):
        raise Refused("an array of several extents is spread out")


def _lined(p: Piece, attrs: Mapping[str, Any]) -> None:
    """Arrays that begin at several places have one element along the axis."""
    axis, moving = attrs["axis"], False
    for lengths, e in zip(p.slots, p.extents, strict=True):
        if moving and (e[:, axis] != 1).any():
            raise Refused("arrays that begin at several places are joined")
        moving = moving or _moves(lengths[axis])


def _joined(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    """Arrays one after the other: from where one begins at several places, it is chosen."""
    axis, size = attrs["axis"], p.size
    along = shapes.iota(shape=(size[axis],), axis=0, dtype="i64")
    alone = tuple(size[axis] if d == axis else 1 for d in range(len(size)))
    fixed = next((k for k, s in enumerate(p.slots) if _moves(s[axis])), len(xs) - 1) + 1
    first, rest = xs[:fixed], xs[fixed:]
    out = fitted(shapes.concatenate(*first, axis=axis) if fixed > 1 else first[0], size)
    begin: Value = Const(sum(x.shape[axis] for x in first[:-1]), "i64")
    for x, before in zip(rest, p.slots[fixed - 1 :], strict=False):
        n = before[axis]
        begin = _sum(begin, args[n.operand] if type(n) is At else Const(n, "i64"))
        here = shapes.reshaped(rows.greater_equal(along, begin), alone)
        x = shapes.broadcast_to(x, size)
        out = rows.select(shapes.broadcast_to(here, size), x, out)
    return out


def _sum(x: Value, y: Value) -> Value:
    """The sum of two integers."""
    if type(x) is Const and type(y) is Const:
        return Const(int(x.data) + int(y.data), "i64")
    out: Value = rows.add(x, y)
    return out


# ------------------------------------------------------------------ sums and products


def _beyond(name: str, dtype: str) -> Any:
    """What a reduction does not notice."""
    if name in ("sum", "prod"):
        return int(name == "prod")
    if KIND[dtype] == "f":
        return -np.inf if name == "max" else np.inf
    if KIND[dtype] == "b":
        return name == "min"
    info = np.iinfo(NUMPY[dtype])
    return info.min if name == "max" else info.max


def _reduced(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    (x,), name = xs, attrs["row"]
    if not (name == "sum" and p.clean[0]):
        x = _masked(x, _along(p.slots[0], attrs["axes"]), args, _beyond(name, x.dtype))
    out: Value = PRIMS[name](x, axes=attrs["axes"])
    return out


def _dot(p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]) -> Value:
    given = [
        x if clean else _masked(x, _along(lengths, axes), args)
        for x, clean, lengths, axes in zip(xs, p.clean, p.slots, attrs["contract"], strict=True)
    ]
    return rows.dot(*given, contract=attrs["contract"], batch=attrs["batch"])


# ------------------------------------------------------------------ other shapes


def _same_axes(p: Piece, attrs: Mapping[str, Any]) -> None:
    """A reshape only adds or drops axes of extent 1."""
    before, after = (e[:, (e != 1).any(0)] for e in (p.extents[0], p.results))
    if before.shape != after.shape or (before != after).any():
        raise Refused("arrays of several extents are given another shape")


def _reshaped(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    return shapes.reshaped(xs[0], p.size)


def _broadcast(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    return shapes.broadcast(xs[0], shape=p.size, axes=attrs["axes"])


def _transposed(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    return shapes.transpose(xs[0], perm=attrs["perm"])


def _counted(
    p: Piece, attrs: Mapping[str, Any], xs: Sequence[Value], args: Sequence[Value]
) -> Value:
    out: Value = shapes.iota(shape=p.size, axis=attrs["axis"], dtype=attrs["dtype"])
    return out


# ------------------------------------------------------------------ the table


def _any(p: Piece, attrs: Mapping[str, Any]) -> None:
    """Every op is as good as another."""


def _never(p: Piece, attrs: Mapping[str, Any]) -> bool:
    return False


def _always(p: Piece, attrs: Mapping[str, Any]) -> bool:
    return True


def _inherited(p: Piece, attrs: Mapping[str, Any]) -> bool:
    return p.clean[0]


# Elementwise rows whose derivatives are finite where their operands are.
_TAME = """
    abs add and atan cast ceil copysign cos equal expit floor fmax fmin greater greater_equal
    isfinite isinf isnan less less_equal maximum minimum mul neg not not_equal or rint select sign
    sin stop_gradient sub tanh trunc xor
"""
# Those that have poles, or grow beyond all numbers; at ones they do not.
_WILD = """
    atan2 cbrt cosh erf erfc exp exp10 exp2 expm1 floordiv fmod hypot log log10 log1p log2 logaddexp
    logaddexp2 pow remainder sinh sqrt tan
"""
_POLES: dict[str, tuple[int, ...]] = {"div": (1,), **dict.fromkeys(_WILD.split(), (0, 1))}

Check = Callable[[Piece, Mapping[str, Any]], None]
RULES: dict[str, tuple[Check, Rule, Callable[[Piece, Mapping[str, Any]], bool]]] = {
    **dict.fromkeys((*_TAME.split(), *_POLES), (_same_extents, _elementwise, _never)),
    **dict.fromkeys(("sum", "prod", "max", "min"), (_any, _reduced, _never)),
    "slice": (_fixed, _slice, _always),
    "concatenate": (_lined, _joined, _never),
    "pad": (_unstrided, _padded, _always),
    "dot": (_any, _dot, _never),
    "reshape": (_same_axes, _reshaped, _inherited),
    "broadcast": (_any, _broadcast, _never),
    "transpose": (_any, _transposed, _inherited),
    "iota": (_any, _counted, _never),
}
# Attributes that have to be equal in all rounds (all of them, where a row is not listed).
FIXED: dict[str, tuple[str, ...]] = {
    "slice": ("step",),
    "pad": ("start", "step"),
    "broadcast": ("axes",),
    "reshape": (),
    "iota": ("axis", "dtype"),
}
