"""Nests of linear algebra: stacks of matrices, each one call of LAPACK on a copy in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import Root
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer

NOT_DEFINITE = 4  # the status of a kernel whose matrix has no Cholesky factor
SINGULAR = 5  # the status of a kernel whose triangular matrix has a zero on its diagonal
MESSAGES = {NOT_DEFINITE: "Matrix is not positive definite", SINGULAR: "Singular matrix"}
ROWS = ("cholesky", "triangular_solve")


def flops(name: str, shape: Sequence[int]) -> int:
    """Multiplications for one matrix of a stack, about; none for other rows."""
    if name not in ROWS:
        return 0
    n, m = shape[-2:]
    return n * n * m // 3 if name == "cholesky" else n * n * m // 2


def _kind(v: Value) -> str:
    return "s" if v.dtype == "f32" else "d"


def _pointer(w: Writer, v: Value, batch: Sequence[At]) -> str:
    """Where one matrix of a stored stack begins."""
    base, prefix, extents = w.held(v)
    rest: list[At] = [(None, 0, 0)] * (v.ndim - len(batch))
    start = w.offset((*prefix, *batch, *rest), [*extents, *v.shape])
    pointer = w.pointer(base)
    return pointer if start == "0" else f"blas.at({pointer}, {start})"


def cholesky(w: Writer, r: Root) -> None:
    """The lower triangle copied, zeros above it, and its factor in its place."""
    assert r.op is not None
    (a,) = r.op.args
    n = r.value.shape[-1]
    size = w.names.size(n)
    with w.nest(r.value.shape[:-2]) as batch:
        with w.nest([n]) as (row,):
            diagonal = f"{row[0]} + 1"
            for start, stop, inside in (("0", diagonal, True), (diagonal, size, False)):
                var = w.names.fresh("i")
                with w.body(f"for {var} in range({start}, {stop}):") as scope:
                    w.of_var[var] = scope.depth
                    w.ranges[var] = (0, n - 1)
                    index = (*batch, row, (var, 0, 1))
                    value = w.pull(a, index) if inside else w.zero(r.value.dtype)
                    w.line(f"{w.target(r, index)} = {value}")
        info = w.names.fresh("info")
        w.line(f"{info} = blas.{_kind(r.value)}potrf({size}, {_pointer(w, r.value, batch)})")
        w.line(f"if {info} != 0:")
        w.line(f"    return {NOT_DEFINITE}")


def triangular_solve(w: Writer, r: Root) -> None:
    """The right-hand sides copied, and solved in their place."""
    assert r.op is not None
    a, b = r.op.args
    unit = r.op.attrs.get("unit", False)
    n, m = r.value.shape[-2:]
    with w.nest(r.value.shape[:-2]) as batch:
        if not unit:
            with w.nest([n]) as (row,):
                w.line(f"if {w.pull(a, (*batch, row, row))} == 0.0:")
                w.line(f"    return {SINGULAR}")
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
    n, m = r.value.shape[-2:]
    matrix, right = _pointer(w, r.op.args[0], batch), _pointer(w, r.value, batch)
    flags = f"{attrs['lower']}, {attrs.get('trans', False)}, {unit}, {w.names.size(n)}"
    name, width = ("trsv", "") if m == 1 else ("trsm", f", {w.names.size(m)}")
    w.line(f"blas.{_kind(r.value)}{name}({flags}{width}, {matrix}, {right})")
