"""Symmetric matrices among general ones: tried as positive definite, which takes half of the work.

Whether a matrix is symmetric shows when the kernel runs, in much less time than it takes to
decompose it; up to rounding, which may differ between two elements that were computed alike, in a
vector and in a row's rest.  Its Cholesky factor is kept in the form of an LU decomposition,
A = (L D) (D⁻¹ Lᵀ) with D the diagonal of L, no row swapped and a mark behind, so that who reads it
need not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from ..ir.core import Const, Value
from ..ir.ops.factored import SPARE
from ..ir.plan import Root
from ..ir.types import NUMPY
from . import small
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer

NEAR = 4  # of the rounding of the least diagonal element: Cholesky's own error is no less
TILE = 16  # rows and columns that are at hand together


def _mark(w: Writer, packed: Value, batch: Sequence[At]) -> str:
    """The element that says whether a decomposition is by Cholesky."""
    row = packed.shape[-1] + SPARE[packed.dtype] - 1
    return w.cell(packed, (*batch, (None, row, 0), (None, 0, 0)))


@contextmanager
def _below(w: Writer, n: str) -> Iterator[tuple[str, str]]:
    """Loops over what is below a diagonal, in tiles: who reads both triangles reads whole lines."""
    top, left, i, j = (w.names.fresh(stem) for stem in ("s", "s", "i", "i"))
    with (
        w.body(f"for {top} in range(0, {n}, {TILE}):"),
        w.body(f"for {left} in range(0, {top} + 1, {TILE}):"),
        w.body(f"for {i} in range({top}, min({top} + {TILE}, {n})):"),
        w.body(f"for {j} in range({left}, min({left} + {TILE}, {i})):"),
    ):
        yield i, j


def decompose(w: Writer, r: Root, batch: Sequence[At], a: Value, kind: str) -> str:
    """Decompose by Cholesky what lies in the root's place, if that can be done.

    Returns the name of an integer that is 1 where it is done; else the matrix is as it was.
    """
    n, dtype = a.shape[-1], r.value.dtype
    size = w.names.size(n)
    start, done, info = w.names.fresh("start"), w.names.fresh("done"), w.names.fresh("info")
    w.line(f"{start} = {small.pointer(w, r.value, batch)}")
    cell = small.elements(start, size)
    w.line(f"{done} = 1")
    least = w.names.fresh("least")
    w.line(f"{least} = {w.names.literal(Const(np.inf, dtype))}")
    with w.nest([n]) as (i,):
        w.line(f"{least} = ll.fminimum({least}, {cell(i[0], i[0])})")
    near = w.names.literal(Const(NEAR * float(np.finfo(NUMPY[dtype]).eps), dtype))
    w.line(f"{least} = {least} * {near}")
    with _below(w, size) as (row, column):
        here = f"ll.fabs({cell(row, column)} - {cell(column, row)}) <= {least}"
        w.line(f"{done} = {done} & ll.select({here}, 1, 0)")
    with w.body(f"if {done} == 1:"):
        w.line(f"{info} = blas.{kind}potrf({size}, {start})")
        with w.body(f"if {info} != 0:"):
            w.line(f"{done} = 0")
            with w.nest([n]) as (i,), small.between(w, "0", f"{i[0]} + 1", n) as j:
                w.line(f"{cell(i[0], j[0])} = {w.pull(a, (*batch, i, j))}")
    with w.body(f"if {done} == 1:"):
        with _below(w, size) as (row, column):
            root, one = cell(column, column), cell(row, column)
            w.line(f"{cell(column, row)} = {one} / {root}")
            w.line(f"{one} = {one} * {root}")
        with w.nest([n]) as (i,):
            w.line(f"{cell(i[0], i[0])} = {cell(i[0], i[0])} * {cell(i[0], i[0])}")
            w.line(f"{w.target(r, (*batch, (None, n, 0), i))} = ll.{dtype}({i[0]})")
    w.line(f"{_mark(w, r.value, batch)} = ll.{dtype}({done})")
    return done


def inverse(w: Writer, r: Root, batch: Sequence[At], kind: str) -> str:
    """The inverse from a decomposition by Cholesky; the condition under which there is none."""
    assert r.op is not None
    (packed,) = r.op.args
    n, suffix = r.value.shape[-1], "32" if kind == "s" else "64"
    size = w.names.size(n)
    start, factors = w.names.fresh("start"), w.names.fresh("factors")
    w.line(f"{start} = {small.pointer(w, r.value, batch)}")
    w.line(f"{factors} = {small.pointer(w, packed, batch)}")
    cell, given = small.elements(start, size), small.elements(factors, size)
    mark = _mark(w, packed, batch)
    with w.body(f"if {mark} == 1.0:"):
        with w.nest([n]) as (i,):
            square = small.named(w, f"vm.sqrt{suffix}({given(i[0], i[0])})")
            w.line(f"{cell(i[0], i[0])} = {square}")
        with w.nest([n]) as (i,), small.between(w, "0", i[0], n) as j:
            w.line(f"{cell(i[0], j[0])} = {given(i[0], j[0])} / {cell(j[0], j[0])}")
        w.line(f"blas.{kind}potri({size}, {start})")
        with _below(w, size) as (row, column):
            w.line(f"{cell(column, row)} = {cell(row, column)}")
    return f"{mark} != 1.0"
