"""The one product of arrays: every matmul, inner, outer, tensordot and einsum lowers to `dot`."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..core import Value
from ..prim import ZERO, Call, Prim
from ..types import Aval
from .shape import Mask, behind, inverse, moveaxis, permuted

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def free_dims(ndim: int, *used: Sequence[int]) -> tuple[int, ...]:
    """The dims of an operand, in order, that are neither contracted nor batch dims."""
    taken = {d for dims in used for d in dims}
    return tuple(d for d in range(ndim) if d not in taken)


def _dot_infer(a: Aval, b: Aval, *, contract: Pair, batch: Pair) -> Aval:
    if a.dtype != b.dtype:
        raise TypeError(f"dot: {a} by {b}; cast them to one dtype first")
    for x, used in ((a, batch[0] + contract[0]), (b, batch[1] + contract[1])):
        for d in used:
            if not 0 <= d < x.ndim:
                raise AxisError(d, x.ndim, "dot")
        if len(set(used)) != len(used):
            raise ValueError(f"dot: {contract=} and {batch=} name a dim of {x} twice")
    for pair in (contract, batch):
        left, right = (tuple(x.shape[d] for d in p) for x, p in zip((a, b), pair, strict=True))
        if left != right:
            raise ValueError(
                f"shapes {a.shape} and {b.shape} not aligned: {left} (dims {pair[0]})"
                f" != {right} (dims {pair[1]})"
            )
    shape = tuple(a.shape[d] for d in batch[0] + free_dims(a.ndim, batch[0], contract[0]))
    return Aval(
        a.dtype, shape + tuple(b.shape[d] for d in free_dims(b.ndim, batch[1], contract[1]))
    )


def _dot_ref(a: np.ndarray, b: np.ndarray, *, contract: Pair, batch: Pair) -> np.ndarray:
    rows = free_dims(np.ndim(a), batch[0], contract[0])
    columns = free_dims(np.ndim(b), batch[1], contract[1])

    def matrix(x: np.ndarray, *groups: tuple[int, ...]) -> np.ndarray:
        sizes = [prod([x.shape[d] for d in dims]) for dims in groups]
        return np.transpose(x, sum(groups, ())).reshape(sizes)

    out = matrix(a, batch[0], rows, contract[0]) @ matrix(b, batch[1], contract[1], columns)
    shape = tuple(a.shape[d] for d in batch[0] + rows) + tuple(b.shape[d] for d in columns)
    return out.reshape(shape)


def _dot_jvp(ts: Any, outs: Any, a: Value, b: Value, *, contract: Pair, batch: Pair) -> Any:
    ta, tb = ts
    attrs = {"contract": contract, "batch": batch}
    left = ZERO if ta is ZERO else dot(ta, b, **attrs)
    right = ZERO if tb is ZERO else dot(a, tb, **attrs)
    if left is ZERO or right is ZERO:
        return (right if left is ZERO else left,)
    return (left + right,)


def _dot_vjp(cts: Any, outs: Any, a: Value, b: Value, *, contract: Pair, batch: Pair) -> Any:
    (ct,) = cts
    if ct is ZERO:
        return ZERO, ZERO
    return (
        _pull_left(ct, a, b, contract=contract, batch=batch),
        _pull_right(ct, a, b, contract=contract, batch=batch),
    )


def _pull_left(ct: Value, a: Value, b: Value, *, contract: Pair, batch: Pair) -> Value:
    """The cotangent of `a`: contract the free dims of `b`, then put a's dims in their places."""
    columns = free_dims(b.ndim, batch[1], contract[1])
    rows = free_dims(a.ndim, batch[0], contract[0])
    count = len(batch[0])
    tail = tuple(range(ct.ndim - len(columns), ct.ndim))
    got = dot(ct, b, contract=(tail, columns), batch=(tuple(range(count)), batch[1]))
    partner = dict(zip(contract[1], contract[0], strict=True))
    return permuted(got, inverse(batch[0] + rows + tuple(partner[d] for d in sorted(partner))))


def _pull_right(ct: Value, a: Value, b: Value, *, contract: Pair, batch: Pair) -> Value:
    """The cotangent of `b`: contract the free dims of `a`, then put b's dims in their places."""
    rows = free_dims(a.ndim, batch[0], contract[0])
    columns = free_dims(b.ndim, batch[1], contract[1])
    count = len(batch[0])
    middle = tuple(range(count, count + len(rows)))
    got = dot(a, ct, contract=(rows, middle), batch=(batch[0], tuple(range(count))))
    partner = dict(zip(contract[0], contract[1], strict=True))
    return permuted(got, inverse(batch[1] + tuple(partner[d] for d in sorted(partner)) + columns))


def _dot_batch(args: Sequence[Value], moved: Mask, *, contract: Pair, batch: Pair) -> Value:
    """Rows on both sides are one more batch dim; on one side, a free dim that goes in front."""
    a, b = args
    left, right = moved
    contract = _behind(contract, moved)
    inner = _behind(batch, moved)
    if left and right:
        return dot(a, b, contract=contract, batch=((0, *inner[0]), (0, *inner[1])))
    if right and not batch[1] and b.ndim == 1 + len(contract[1]):  # vectors: rows come first
        return dot(b, a, contract=contract[::-1], batch=inner[::-1])
    out = dot(a, b, contract=contract, batch=inner)
    at = len(batch[0])
    if right:
        at += len(free_dims(a.ndim, inner[0], contract[0]))
    return moveaxis(out, at, 0)


def _behind(pair: Pair, moved: Mask) -> Pair:
    left, right = (behind(dims) if m else dims for dims, m in zip(pair, moved, strict=True))
    return left, right


dot: Prim = Prim(
    name="dot",
    infer=_dot_infer,
    ref=_dot_ref,
    emit=Call("dot"),
    jvp=_dot_jvp,
    vjp=_dot_vjp,
    batch=_dot_batch,
)
