"""Nests of the rows that the derivative of a Cholesky factor is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import Root
from . import small
from .emit import At
from .small import Cell, elements

if TYPE_CHECKING:
    from .loops import Writer

BLOCK = 48  # columns at a time of what goes backward through a factor


def lower_copied(w: Writer, r: Root, a: Value, batch: Sequence[At]) -> None:
    """The lower triangle of `a` in the root's place, zeros above it."""
    n = r.value.shape[-1]
    with w.nest([n]) as (row,):
        diagonal = f"{row[0]} + 1"
        for start, stop, inside in (("0", diagonal, True), (diagonal, w.names.size(n), False)):
            with small.between(w, start, stop, n) as column:
                index = (*batch, row, column)
                value = w.pull(a, index) if inside else w.zero(r.value.dtype)
                w.line(f"{w.target(r, index)} = {value}")


def _kind(v: Value) -> str:
    return "s" if v.dtype == "f32" else "d"


def cholesky_slope(w: Writer, r: Root) -> None:
    """The cotangent of the factor copied, and taken backward through it in its place."""
    assert r.op is not None
    factor, g = r.op.args
    n = r.value.shape[-1]
    size = w.names.size(n)
    with w.stack(r, r.value.shape[:-2]) as batch:
        if n <= small.FEW:
            _slope_straight(w, r, batch)
            return
        lower_copied(w, r, g, batch)
        low, slope = w.names.fresh("low"), w.names.fresh("slope")
        w.line(f"{low} = {small.pointer(w, factor, batch)}")
        w.line(f"{slope} = {small.pointer(w, r.value, batch)}")
        if n <= small.LARGEST:
            _backward(w, elements(low, size), elements(slope, size), size)
        else:
            _blocks(w, _kind(r.value), low, slope, size)


def _backward(w: Writer, low: Cell, slope: Cell, n: str) -> None:
    """Column by column, the last one first; rows are added to whole."""
    i, j, k, t, g = (w.names.fresh(stem) for stem in ("i", "j", "k", "t", "g"))
    back = w.names.fresh("i")
    with w.body(f"for {back} in range({n}):"):
        w.line(f"{j} = {n} - 1 - {back}")
        w.line(f"{t} = 1.0 / {low(j, j)}")
        w.line(f"{g} = {slope(j, j)}")
        with w.body(f"for {i} in range({j} + 1, {n}):"):
            mine, one = w.names.fresh("t"), slope(i, j)
            w.line(f"{mine} = {one} * {t}")
            w.line(f"{one} = {mine}")
            w.line(f"{g} = {small.less(g, mine, low(i, j))}")
            for to, row in ((i, j), (j, i)):
                with w.body(f"for {k} in range({j}):"):
                    w.line(f"{slope(to, k)} = {small.less(slope(to, k), mine, low(row, k))}")
        w.line(f"{g} = {g} * {t}")
        with w.body(f"for {k} in range({j}):"):
            w.line(f"{slope(j, k)} = {small.less(slope(j, k), g, low(j, k))}")
        w.line(f"{slope(j, j)} = {g} * 0.5")


def _blocks(w: Writer, kind: str, low: str, slope: str, n: str) -> None:
    """Blocks of columns, the last ones first, by products of matrices (Murray 2016, level 3)."""
    names = ("block", "start", "stop", "wide", "below", "i", "k")
    block, start, stop, wide, below, i, k = (w.names.fresh(stem) for stem in names)
    places = ("d", "e", "c", "f")  # of L and of the slope: at the diagonal, and below it
    d, e, c, f = (w.names.fresh(stem) for stem in places)

    def product(turned: bool, m: str, inner: str, a: str, b: str, to: str, columns: str) -> None:
        w.line(
            f"blas.{kind}gemm({turned}, False, {m}, {columns}, {inner}, "
            f"-1.0, {a}, {n}, {b}, {n}, 1.0, {to}, {n})"
        )

    def at(base: str, row: str, column: str = "") -> str:
        return f"blas.at({base}, {row}*{n}{column and f' + {column}'})"

    with w.body(f"for {block} in range(({n} + {BLOCK - 1}) // {BLOCK}):"):
        w.line(f"{start} = (({n} + {BLOCK - 1}) // {BLOCK} - 1 - {block})*{BLOCK}")
        w.line(f"{stop} = min({start} + {BLOCK}, {n})")
        w.line(f"{wide} = {stop} - {start}")
        w.line(f"{below} = {n} - {stop}")
        w.line(f"{d} = {at(low, start, start)}")
        w.line(f"{e} = {at(slope, start, start)}")
        w.line(f"{c} = {at(low, stop, start)}")
        w.line(f"{f} = {at(slope, stop, start)}")
        with w.body(f"if {below} > 0:"):
            w.line(f"blas.{kind}trsr({wide}, {below}, {d}, {n}, {f}, {n})")
            product(True, wide, below, f, c, e, wide)
            with w.body(f"if {start} > 0:"):
                product(False, below, wide, f, at(low, start), at(slope, stop), start)
                product(True, wide, below, f, at(low, stop), at(slope, start), start)
        _backward(w, elements(d, n), elements(e, n), wide)
        one, other = elements(e, n)(i, k), elements(e, n)(k, i)
        with w.body(f"for {i} in range({wide}):"):
            with w.body(f"for {k} in range({i}):"):
                w.line(f"{other} = {one}")
            w.line(f"{elements(e, n)(i, i)} = {elements(e, n)(i, i)} * 2.0")
        with w.body(f"if {start} > 0:"):
            product(False, wide, wide, e, at(low, start), at(slope, start), start)
        with w.body(f"for {i} in range({wide}):"):
            with w.body(f"for {k} in range({i}):"):
                w.line(f"{other} = 0.0")
            w.line(f"{elements(e, n)(i, i)} = {elements(e, n)(i, i)} * 0.5")


def _slope_straight(w: Writer, r: Root, batch: Sequence[At]) -> None:
    """The same in registers."""
    assert r.op is not None
    factor, given = r.op.args
    n = r.value.shape[-1]
    at: list[At] = [(None, k, 0) for k in range(n)]
    below = [(i, j) for i in range(n) for j in range(i + 1)]
    low = {(i, j): w.pull(factor, (*batch, at[i], at[j])) for i, j in below}
    g = {(i, j): w.pull(given, (*batch, at[i], at[j])) for i, j in below}
    for j in reversed(range(n)):
        inverse = small.named(w, f"1.0 / {low[j, j]}")
        for i in range(j + 1, n):
            g[i, j] = small.named(w, f"{g[i, j]} * {inverse}")
            for to, row in ((i, j), (j, i)):
                for k in range(j):
                    g[to, k] = small.named(w, small.less(g[to, k], g[i, j], low[row, k]))
            g[j, j] = small.named(w, small.less(g[j, j], g[i, j], low[i, j]))
        whole = small.named(w, f"{g[j, j]} * {inverse}")
        for k in range(j):
            g[j, k] = small.named(w, small.less(g[j, k], whole, low[j, k]))
        g[j, j] = small.named(w, f"{whole} * 0.5")
    small.put_lower(w, r, batch, g)


def cholesky_inverse(w: Writer, r: Root) -> None:
    """The lower triangle of (L Lᵀ)⁻¹ and zeros above it."""
    assert r.op is not None
    (factor,) = r.op.args
    n = r.value.shape[-1]
    size = w.names.size(n)
    with w.stack(r, r.value.shape[:-2]) as batch:
        if n <= small.FEW:
            _inverse_straight(w, r, batch)
            return
        if n > small.LARGEST:
            lower_copied(w, r, factor, batch)
            w.line(f"blas.{_kind(r.value)}potri({size}, {small.pointer(w, r.value, batch)})")
            return
        low, out = w.names.fresh("low"), w.names.fresh("out")
        w.line(f"{low} = {small.pointer(w, factor, batch)}")
        w.line(f"{out} = {small.pointer(w, r.value, batch)}")
        _inverse_rows(w, elements(low, size), elements(out, size), size)


def _inverse_rows(w: Writer, low: Cell, out: Cell, n: str) -> None:
    """X L = 1, from the last column of X on, then the lower triangle of Xᵀ X, row by row."""
    i, j, k, t, back = (w.names.fresh(stem) for stem in ("i", "j", "k", "t", "i"))
    with w.body(f"for {i} in range({n}):"):
        with w.body(f"for {k} in range({n}):"):
            w.line(f"{out(i, k)} = 0.0")
        w.line(f"{out(i, i)} = 1.0")
    with w.body(f"for {back} in range({n}):"):
        w.line(f"{k} = {n} - 1 - {back}")
        w.line(f"{t} = 1.0 / {low(k, k)}")
        with w.body(f"for {i} in range({k}, {n}):"):
            mine = small.named(w, f"{out(i, k)} * {t}")
            w.line(f"{out(i, k)} = {mine}")
            with w.body(f"for {j} in range({k}):"):
                w.line(f"{out(i, j)} = {small.less(out(i, j), mine, low(k, j))}")
    with w.body(f"for {i} in range({n}):"):
        mine = small.named(w, out(i, i))
        with w.body(f"for {j} in range({i} + 1):"):
            w.line(f"{out(i, j)} = {out(i, j)} * {mine}")
        with w.body(f"for {k} in range({i} + 1, {n}):"):
            other = small.named(w, out(k, i))
            with w.body(f"for {j} in range(ll.apart({i} + 1)):"):
                w.line(f"{out(i, j)} = {out(i, j)} + {other} * {out(k, j)}")


def _inverse_straight(w: Writer, r: Root, batch: Sequence[At]) -> None:
    """The same in registers: X = L⁻¹, then the lower triangle of Xᵀ X."""
    assert r.op is not None
    (factor,) = r.op.args
    n = r.value.shape[-1]
    at: list[At] = [(None, k, 0) for k in range(n)]
    x: dict[tuple[int, int], str] = {}
    for i in range(n):
        pivot = w.pull(factor, (*batch, at[i], at[i]))
        x[i, i] = small.named(w, f"1.0 / {pivot}")
        row = [w.pull(factor, (*batch, at[i], at[k])) for k in range(i)]
        for j in range(i):
            text = " + ".join(f"{row[k]} * {x[k, j]}" for k in range(j, i))
            x[i, j] = small.named(w, f"-({text}) * {x[i, i]}")
    made = {}
    for i in range(n):
        for j in range(i + 1):
            text = " + ".join(f"{x[k, i]} * {x[k, j]}" for k in range(i, n))
            made[i, j] = small.named(w, text)
    small.put_lower(w, r, batch, made)
