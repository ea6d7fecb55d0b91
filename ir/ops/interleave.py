"""One array woven of several: the row that says where strided pieces of a result lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ..core import Value
from ..prim import Call, Prim
from ..types import Aval
from .shape import all_stacked, slice_

Shape = tuple[int, ...]


def residues(steps: Shape) -> Iterator[Shape]:
    """Where the pieces begin, in their order: the last dim runs fastest."""
    return itertools.product(*map(range, steps))


def count(extent: int, residue: int, step: int) -> int:
    """How many of the places below `extent` are so far from a multiple of `step`."""
    return -(-(extent - residue) // step)


def piece_shape(shape: Shape, residue: Shape, steps: Shape) -> Shape:
    """The shape of the piece that begins at a residue."""
    return tuple(map(count, shape, residue, steps))


def piece(x: Value, residue: Shape, steps: Shape) -> Value:
    """The elements of `x` at a residue and every multiple of the steps from there."""
    if all(s == 1 for s in steps):
        return x
    return slice_(x, start=residue, size=piece_shape(x.shape, residue, steps), step=steps)


def _infer(*xs: Aval, steps: Shape) -> Aval:
    at = dict(zip(residues(steps), xs, strict=True))
    shape = tuple(
        sum(at[tuple(k if e == d else 0 for e in range(len(steps)))].shape[d] for k in range(s))
        for d, s in enumerate(steps)
    )
    for residue, x in at.items():
        if x.shape != piece_shape(shape, residue, steps):
            raise ValueError(f"interleave: a piece {x} at {residue} by {steps} in {shape}")
        if x.dtype != xs[0].dtype:
            raise TypeError(f"interleave: {x} beside {xs[0]}; cast them to one dtype first")
    return Aval(xs[0].dtype, shape)


def _ref(*xs: np.ndarray, steps: Shape) -> np.ndarray:
    aval = _infer(*(Aval("f64", x.shape) for x in xs), steps=steps)
    out = np.empty(aval.shape, xs[0].dtype)
    for residue, x in zip(residues(steps), xs, strict=True):
        out[tuple(slice(r, None, s) for r, s in zip(residue, steps, strict=True))] = x
    return out


def _transpose(ct: Value, *xs: Value, steps: Shape) -> tuple[Value, ...]:
    return tuple(piece(ct, residue, steps) for residue in residues(steps))


def _batch(args: Sequence[Value], moved: tuple[bool, ...], *, steps: Shape) -> Value:
    found: Value = interleave(*all_stacked(args, moved), steps=(1, *steps))
    return found


interleave: Prim = Prim(
    name="interleave",
    infer=_infer,
    ref=_ref,
    emit=Call("interleave"),
    transpose=_transpose,
    batch=_batch,
)
