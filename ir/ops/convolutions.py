"""Convolutions: three rows, each the derivative of the others.

All three come from one trilinear form, sum y * conv(x, w).  Images lie as (batch, *space,
channels), weights as (results, channels per group, *kernel): with channels last the matrix of
patches is a copy of whole rows of memory, and a pass moves the turns to other layouts away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import Value
from ..prim import ZERO, Prim
from ..types import Aval
from . import patches
from .shape import Mask, Shape, all_stacked, moveaxis, reshaped

Padding = tuple[tuple[int, int], ...]


def extents(space: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape) -> Shape:
    """How many places a kernel has along each dim of the space."""
    return tuple(
        (n + lo + hi - d * (k - 1) - 1) // s + 1
        for n, k, s, (lo, hi), d in zip(space, kernel, stride, padding, dilation, strict=True)
    )


def _check(row: str, x: Shape, w: Shape, groups: int, *per_dim: Sequence[Any]) -> None:
    rank = len(x) - 2
    if rank < 1 or len(w) != rank + 2 or any(len(p) != rank for p in per_dim):
        raise ValueError(f"{row}: images {x}, weights {w} and settings {per_dim} differ in rank")
    if groups < 1 or w[0] % groups or x[-1] != groups * w[1]:
        raise ValueError(
            f"{row}: {x[-1]} channels in {groups} groups do not fit weights of shape {w}"
        )


def _conv_infer(
    x: Aval, w: Aval, *, stride: Shape, padding: Padding, dilation: Shape, groups: int
) -> Aval:
    _check("conv", x.shape, w.shape, groups, stride, padding, dilation)
    if x.dtype != w.dtype:
        raise TypeError(f"conv: {x} by {w}; cast them to one dtype first")
    space = extents(x.shape[1:-1], w.shape[2:], stride, padding, dilation)
    if any(n < 1 for n in space):
        raise ValueError(f"conv: a kernel of {w.shape[2:]} is larger than padded {x.shape[1:-1]}")
    return Aval(x.dtype, (x.shape[0], *space, w.shape[0]))


def _input_infer(
    ct: Aval,
    w: Aval,
    *,
    space: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Aval:
    out = Aval(ct.dtype, (ct.shape[0], *space, groups * w.shape[1]))
    wanted = _conv_infer(out, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if wanted != ct:
        raise ValueError(f"conv_input: {ct} is no result of {out} by {w}, which has {wanted}")
    return out


def _weight_infer(
    x: Aval, ct: Aval, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape,
    groups: int,
) -> Aval:  # fmt: skip
    out = Aval(x.dtype, (ct.shape[-1], x.shape[-1] // groups, *kernel))
    wanted = _conv_infer(x, out, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if wanted != ct:
        raise ValueError(f"conv_weight: {ct} is no result of {x} by {out}, which has {wanted}")
    return out


# ------------------------------------------------------------------ derivatives

Attrs = dict[str, Any]


def _both(row: Any, ts: Any, a: Value, b: Value, attrs: Attrs) -> tuple[Any, ...]:
    """The tangent of a product of two."""
    ta, tb = ts
    left = ZERO if ta is ZERO else row(ta, b, **attrs)
    right = ZERO if tb is ZERO else row(a, tb, **attrs)
    if left is ZERO or right is ZERO:
        return (right if left is ZERO else left,)
    return (left + right,)


def _without(attrs: Attrs, *names: str) -> Attrs:
    return {k: v for k, v in attrs.items() if k not in names}


def _conv_vjp(cts: Any, outs: Any, x: Value, w: Value, **attrs: Any) -> tuple[Any, ...]:
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    return (
        conv_input(ct, w, space=x.shape[1:-1], **attrs),
        conv_weight(x, ct, kernel=w.shape[2:], **attrs),
    )


def _input_vjp(cts: Any, outs: Any, y: Value, w: Value, **attrs: Any) -> tuple[Any, ...]:
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    attrs = _without(attrs, "space")
    return conv(ct, w, **attrs), conv_weight(ct, y, kernel=w.shape[2:], **attrs)


def _weight_vjp(cts: Any, outs: Any, x: Value, y: Value, **attrs: Any) -> tuple[Any, ...]:
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    attrs = _without(attrs, "kernel")
    return conv_input(y, ct, space=x.shape[1:-1], **attrs), conv(x, ct, **attrs)


# ------------------------------------------------------------------ batching


def _rows_in_batch(x: Value) -> Value:
    return reshaped(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _rows_in_channels(x: Value) -> Value:
    """(rows, batch, *space, channels) as (batch, *space, rows * channels)."""
    moved = moveaxis(x, 0, x.ndim - 2)
    return reshaped(moved, (*moved.shape[:-2], moved.shape[-2] * moved.shape[-1]))


def _out_of_channels(y: Value, rows: int) -> Value:
    split = reshaped(y, (*y.shape[:-1], rows, y.shape[-1] // rows))
    return moveaxis(split, split.ndim - 2, 0)


def _out_of_batch(y: Value, rows: int) -> Value:
    return reshaped(y, (rows, y.shape[0] // rows, *y.shape[1:]))


def _image_rule(row: Any) -> Any:
    """Rows of images are more images; rows of weights are groups of channels."""

    def rule(args: Sequence[Value], moved: Mask, *, groups: int, **attrs: Any) -> Value:
        rows = args[moved.index(True)].shape[0]
        if not moved[1]:
            found = row()(_rows_in_batch(args[0]), args[1], groups=groups, **attrs)
            return _out_of_batch(found, rows)
        x, w = all_stacked(args, moved)
        every = reshaped(w, (w.shape[0] * w.shape[1], *w.shape[2:]))
        found = row()(_rows_in_channels(x), every, groups=rows * groups, **attrs)
        return _out_of_channels(found, rows)

    return rule


def _weight_rule(args: Sequence[Value], moved: Mask, *, groups: int, **attrs: Any) -> Value:
    rows = args[moved.index(True)].shape[0]
    x, ct = map(_rows_in_channels, all_stacked(args, moved))
    found = conv_weight(x, ct, groups=rows * groups, **attrs)
    return reshaped(found, (rows, found.shape[0] // rows, *found.shape[1:]))


# ------------------------------------------------------------------ the rows


conv: Prim = Prim(
    name="conv",
    infer=_conv_infer,
    ref=patches.conv,
    jvp=lambda ts, outs, x, w, **attrs: _both(conv, ts, x, w, attrs),
    vjp=_conv_vjp,
    batch=_image_rule(lambda: conv),
)
conv_input: Prim = Prim(
    name="conv_input",
    infer=_input_infer,
    ref=patches.conv_input,
    jvp=lambda ts, outs, ct, w, **attrs: _both(conv_input, ts, ct, w, attrs),
    vjp=_input_vjp,
    batch=_image_rule(lambda: conv_input),
)
conv_weight: Prim = Prim(
    name="conv_weight",
    infer=_weight_infer,
    ref=patches.conv_weight,
    jvp=lambda ts, outs, x, ct, **attrs: _both(conv_weight, ts, x, ct, attrs),
    vjp=_weight_vjp,
    batch=_weight_rule,
)
