"""Nests of linear algebra: stacks of matrices, each one call of LAPACK on a copy in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import STRAIGHT, Root
from . import definite, small, symbols
from .emit import At
from .slopes import lower_copied
from .small import pointer

if TYPE_CHECKING:
    from .loops import Writer

NOT_DEFINITE = 4  # the status of a kernel whose matrix has no Cholesky factor
SINGULAR = 5  # the status of a kernel whose triangular matrix has a zero on its diagonal
MESSAGES = {NOT_DEFINITE: "Matrix is not positive definite", SINGULAR: "Singular matrix"}
_FACTORS = ("cholesky", "cholesky_inverse", "cholesky_slope")
_LU = ("lu_adjugate", "lu_apply", "lu_factors", "lu_inverse")
ROUTINES = frozenset((*_FACTORS, *_LU, "triangular_solve"))


def shares(name: str, shape: Sequence[int]) -> bool:
    """Whether OpenBLAS would share a row among threads: triangles are solved so at any size."""
    return name in ROUTINES and max(shape[-2:]) > small.LARGEST


def _kind(v: Value) -> str:
    return "s" if v.dtype == "f32" else "d"


def cholesky(w: Writer, r: Root) -> None:
    """The lower triangle copied, zeros above it, and its factor in its place."""
    assert r.op is not None
    (a,) = r.op.args
    n = r.value.shape[-1]
    size = w.names.size(n)
    with w.stack(r, r.value.shape[:-2]) as batch:
        if n <= small.LARGEST:
            write = small.cholesky_straight if n <= small.FEW else small.cholesky
            write(w, r, batch, NOT_DEFINITE)
            return
        lower_copied(w, r, a, batch)
        info = w.names.fresh("info")
        w.line(f"{info} = blas.{_kind(r.value)}potrf({size}, {pointer(w, r.value, batch)})")
        w.line(f"if {info} != 0:")
        w.line(f"    return {NOT_DEFINITE}")


def triangular_solve(w: Writer, r: Root) -> None:
    """The right-hand sides copied, and solved in their place."""
    assert r.op is not None
    a, b = r.op.args
    unit = r.op.attrs.get("unit", False)
    n, m = r.value.shape[-2:]
    with w.stack(r, r.value.shape[:-2]) as batch:
        if n > 1 and max(n, m) <= STRAIGHT:
            lower, trans = r.op.attrs["lower"], r.op.attrs.get("trans", False)
            at: list[At] = [(None, k, 0) for k in range(max(n, m))]
            right = [[w.pull(b, (*batch, at[i], at[c])) for c in range(m)] for i in range(n)]
            small.solve_straight(w, r, batch, right, lower != trans, trans, unit, SINGULAR)
            return
        if not unit:
            with w.nest([n]) as (row,):
                w.fail(f"{w.pull(a, (*batch, row, row))} == 0.0", SINGULAR)
        with w.nest([n, m]) as inner:
            index = (*batch, *inner)
            value = w.pull(b, index)
            if n == 1 and not unit:  # a number, which need not lie in memory
                value = f"{value} / {w.pull(a, (*batch, (None, 0, 1), (None, 0, 1)))}"
            w.line(f"{w.target(r, index)} = {value}")
        if n > 1:
            _solve(w, r, batch, unit)


def _solve(w: Writer, r: Root, batch: Sequence[At], unit: bool) -> None:
    assert r.op is not None
    attrs = r.op.attrs
    _triangular(w, r, batch, attrs["lower"], attrs.get("trans", False), unit)


def _triangular(
    w: Writer, r: Root, batch: Sequence[At], lower: bool, trans: bool, unit: bool
) -> None:
    """What lies in the root's place, solved by one triangle of its first operand."""
    assert r.op is not None
    n, m = r.value.shape[-2:]
    if n <= small.LARGEST and m <= small.LARGEST:
        small.solve(w, r, batch, lower, trans, unit)
        return
    matrix, right = pointer(w, r.op.args[0], batch), pointer(w, r.value, batch)
    flags = f"{lower}, {trans}, {unit}, {w.names.size(n)}"
    name, width = ("trsv", "") if m == 1 else ("trsm", f", {w.names.size(m)}")
    w.line(f"blas.{_kind(r.value)}{name}({flags}{width}, {matrix}, {right})")


# ------------------------------------------------------------------ general systems


def lu_factors(w: Writer, r: Root) -> None:
    """The matrix copied and decomposed in its place, the rows it swapped behind it."""
    assert r.op is not None
    (a,) = r.op.args
    n, kind = a.shape[-1], _kind(r.value)
    with w.stack(r, a.shape[:-2]) as batch:
        with w.nest([n, n]) as inner:
            index = (*batch, *inner)
            w.line(f"{w.target(r, index)} = {w.pull(a, index)}")
        if n <= small.LARGEST:
            small.decompose(w, r.value, batch)
            return
        done = definite.decompose(w, r, batch, a, kind)
        start, behind = pointer(w, r.value, batch), pointer(w, r.value, batch, n)
        with w.body(f"if {done} == 0:"):
            w.line(f"blas.{kind}getrf({w.names.size(n)}, {start}, {behind})")
            with w.nest([n]) as (row,):
                # LAPACK's integers give way to numbers in the same place: in the order that reads
                # each before it is overwritten, from the end if they are the shorter ones.
                if symbols.blas().bits == 32 and kind == "d":
                    row = (row[0], n - 1, -1)
                cell = w.target(r, (*batch, (None, n, 0), row))
                found = f"blas.{kind}pivot({behind}, {w.index_text(row)})"
                w.line(f"{cell} = ll.{r.value.dtype}({found})")


def _regular(w: Writer, packed: Value, batch: Sequence[At], n: int) -> None:
    """Leave the kernel where a pivot is zero."""
    with w.nest([n]) as (row,):
        w.fail(f"{w.pull(packed, (*batch, row, row))} == 0.0", SINGULAR)


def lu_apply(w: Writer, r: Root) -> None:
    """The right-hand sides copied and solved in their place: A = Lo Up Pᵀ by rows."""
    assert r.op is not None
    packed, b = r.op.args
    n, m = r.value.shape[-2:]
    with w.stack(r, r.value.shape[:-2]) as batch:
        _regular(w, packed, batch, n)
        with w.nest([n, m]) as inner:
            index = (*batch, *inner)
            w.line(f"{w.target(r, index)} = {w.pull(b, index)}")
        _solved(w, r, batch, r.op.attrs.get("trans", False))


def lu_inverse(w: Writer, r: Root) -> None:
    """The unit matrix solved in the root's place, or the inverse by Cholesky."""
    assert r.op is not None
    (packed,) = r.op.args
    n = r.value.shape[-1]
    with w.stack(r, r.value.shape[:-2]) as batch:
        _regular(w, packed, batch, n)
        if n <= small.LARGEST:
            _unit(w, r, batch)
            return
        missing = definite.inverse(w, r, batch, _kind(r.value))
        with w.body(f"if {missing}:"):
            _unit(w, r, batch)


def _unit(w: Writer, r: Root, batch: Sequence[At]) -> None:
    n, dtype = r.value.shape[-1], r.value.dtype
    with w.nest([n, n]) as (i, j):
        w.line(f"{w.target(r, (*batch, i, j))} = ll.{dtype}({i[0]} == {j[0]})")
    _solved(w, r, batch, False)


def _solved(w: Writer, r: Root, batch: Sequence[At], trans: bool) -> None:
    n, m = r.value.shape[-2:]
    if trans:
        _swaps(w, r, batch, n, m, forward=True)
        _triangular(w, r, batch, False, True, True)
        _triangular(w, r, batch, True, True, False)
    else:
        _triangular(w, r, batch, True, False, False)
        _triangular(w, r, batch, False, False, True)
        _swaps(w, r, batch, n, m, forward=False)


def lu_adjugate(w: Writer, r: Root) -> None:
    """det(P) P Up⁻¹ adj(Lo): row i of adj(Lo) from those before it, which grow by its pivot."""
    assert r.op is not None
    (packed,) = r.op.args
    n = r.value.shape[-1]
    with w.stack(r, r.value.shape[:-2]) as batch:
        before = small.named(w, f"ll.{r.value.dtype}(1.0)")
        with w.nest([n]) as (row,):
            place = w.pull(packed, (*batch, (None, n, 0), row))
            here = f"ll.{r.value.dtype}({row[0]})"
            w.line(f"{before} = ll.select({place} == {here}, {before}, -{before})")
        with w.nest([n]) as (i,):
            pivot = w.pull(packed, (*batch, i, i))
            with w.nest([n]) as (j,):
                w.line(f"{w.target(r, (*batch, i, j))} = {w.zero(r.value.dtype)}")
            for grow in (False, True):
                with small.between(w, "0", i[0], n) as k:
                    factor = pivot if grow else w.pull(packed, (*batch, i, k))
                    with small.between(w, "0", f"{k[0]} + 1", n) as j:
                        one, two = (w.target(r, (*batch, q, j)) for q in (i, k))
                        w.line(
                            f"{two} = {two} * {factor}"
                            if grow
                            else f"{one} = {small.less(one, factor, two)}"
                        )
            w.line(f"{w.target(r, (*batch, i, i))} = {before}")
            w.line(f"{before} = {before} * {pivot}")
        _triangular(w, r, batch, False, False, True)
        _swaps(w, r, batch, n, n, forward=False)


def _swaps(w: Writer, r: Root, batch: Sequence[At], n: int, m: int, forward: bool) -> None:
    """The rows swapped as the decomposition says, in its order or back."""
    assert r.op is not None
    if n == 1:
        return
    if max(n, m) <= STRAIGHT:
        at = [(*batch, (None, n, 0), (None, k, 0)) for k in range(n)]
        places = [small.named(w, f"ll.i64({w.pull(r.op.args[0], place)})") for place in at]
        small.swap(w, r.value, batch, places, forward)
        return
    with w.nest([n]) as (row,):
        here = row if forward else (row[0], n - 1, -1)
        other = w.names.fresh("other")
        w.line(f"{other} = ll.i64({w.pull(r.op.args[0], (*batch, (None, n, 0), here))})")
        w.of_var[other] = w.scope.depth
        w.ranges[other] = (0, n - 1)
        with small.between(w, "0", w.names.size(m), m, apart=True) as column:
            one = w.cell(r.value, (*batch, here, column))
            two = w.cell(r.value, (*batch, (other, 0, 1), column))
            first, second = w.names.fresh("t"), w.names.fresh("t")
            w.line(f"{first} = {one}")
            w.line(f"{second} = {two}")
            w.line(f"{one} = {second}")
            w.line(f"{two} = {first}")
