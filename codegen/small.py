"""Nests of linear algebra on matrices so small that a call of LAPACK takes longer than the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import Root
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer

LARGEST = 8  # rows of a matrix that is small


@contextmanager
def _between(w: Writer, start: str, stop: str, n: int) -> Iterator[At]:
    """A loop between indices that are known at run time only, within `n`."""
    var = w.names.fresh("i")
    with w.body(f"for {var} in range({start}, {stop}):") as scope:
        w.of_var[var] = scope.depth
        w.ranges[var] = (0, n - 1)
        yield var, 0, 1


def _named(w: Writer, text: str) -> str:
    name = w.names.fresh("t")
    w.line(f"{name} = {text}")
    return name


def decompose(w: Writer, v: Value, batch: Sequence[At]) -> None:
    """A = L U Pᵀ in place, U with ones on its diagonal; row n says which columns were swapped."""
    n = v.shape[-1]

    def cell(i: At, j: At) -> str:
        return w.cell(v, (*batch, i, j))

    with w.nest([n]) as (k,):
        best, place = _named(w, f"ll.fabs({cell(k, k)})"), _named(w, f"{k[0]}")
        with _between(w, f"{k[0]} + 1", str(n), n) as j:
            size = _named(w, f"ll.fabs({cell(k, j)})")
            w.line(f"if {size} > {best}:")
            w.line(f"    {best} = {size}")
            w.line(f"    {place} = {j[0]}")
        w.of_var[place], w.ranges[place] = w.scope.depth, (0, n - 1)
        w.line(f"{cell((None, n, 0), k)} = ll.{v.dtype}({place})")
        with w.nest([n]) as (i,):
            one, two = cell(i, k), cell(i, (place, 0, 1))
            first, second = _named(w, one), _named(w, two)
            w.line(f"{one} = {second}")
            w.line(f"{two} = {first}")
        pivot = _named(w, cell(k, k))
        w.line(f"{pivot} = ll.select({pivot} == 0.0, ll.{v.dtype}(1.0), {pivot})")
        with _between(w, f"{k[0]} + 1", str(n), n) as j:
            w.line(f"{cell(k, j)} = {cell(k, j)} / {pivot}")
        with _between(w, f"{k[0]} + 1", str(n), n) as i:
            factor = _named(w, cell(i, k))
            with _between(w, f"{k[0]} + 1", str(n), n) as j:
                w.line(f"{cell(i, j)} = {cell(i, j)} - {factor} * {cell(k, j)}")


def solve(w: Writer, r: Root, batch: Sequence[At], lower: bool, trans: bool, unit: bool) -> None:
    """What lies in the root's place, solved by one triangle of its first operand."""
    assert r.op is not None
    a, x = r.op.args[0], r.value
    n, m = x.shape[-2:]
    down = lower != trans
    with w.nest([n]) as (row,):
        i = row if down else (row[0], n - 1, -1)
        with _between(w, "0", str(row[0]), n) as before:
            j = before if down else (before[0], n - 1, -1)
            factor = w.pull(a, (*batch, *((j, i) if trans else (i, j))))
            with w.nest([m]) as (c,):
                one, two = w.cell(x, (*batch, i, c)), w.cell(x, (*batch, j, c))
                w.line(f"{one} = {one} - {factor} * {two}")
        if not unit:
            pivot = w.pull(a, (*batch, i, i))
            with w.nest([m]) as (c,):
                one = w.cell(x, (*batch, i, c))
                w.line(f"{one} = {one} / {pivot}")


def cholesky(w: Writer, v: Value, batch: Sequence[At], failed: str) -> None:
    """The lower factor in place; `failed` is what to do where there is none."""
    n = v.shape[-1]

    def cell(i: At, j: At) -> str:
        return w.cell(v, (*batch, i, j))

    with w.nest([n]) as (j,):
        square = _named(w, cell(j, j))
        with _between(w, "0", str(j[0]), n) as k:
            side = _named(w, cell(j, k))
            w.line(f"{square} = {square} - {side} * {side}")
        w.line(f"if {square} <= 0.0:")  # NaN goes on, as in NumPy's
        w.line(f"    {failed}")
        suffix = "32" if v.dtype == "f32" else "64"
        root = _named(w, f"vm.sqrt{suffix}({square})")
        w.line(f"{cell(j, j)} = {root}")
        with _between(w, f"{j[0]} + 1", str(n), n) as i:
            rest = _named(w, cell(i, j))
            with _between(w, "0", str(j[0]), n) as k:
                w.line(f"{rest} = {rest} - {cell(i, k)} * {cell(j, k)}")
            w.line(f"{cell(i, j)} = {rest} / {root}")


def adjugate(w: Writer, r: Root) -> None:
    """The transposed cofactors, by minors of the last rows: no division, so none by zero."""
    assert r.op is not None
    (a,) = r.op.args
    n = a.shape[-1]
    with w.nest(a.shape[:-2]) as batch:
        cells = [
            [w.pull(a, (*batch, (None, i, 0), (None, j, 0))) for j in range(n)] for i in range(n)
        ]
        for i in range(n):
            rows = [k for k in range(n) if k != i]
            minors = _minors(w, cells, rows, n)
            for j in range(n):
                value = minors[tuple(k for k in range(n) if k != j)]
                sign = "-" if (i + j) % 2 else ""
                target = w.target(r, (*batch, (None, j, 0), (None, i, 0)))
                w.line(f"{target} = {sign}{value}")


def _minors(
    w: Writer, cells: Sequence[Sequence[str]], rows: Sequence[int], n: int
) -> dict[tuple[int, ...], str]:
    """Determinants of these rows with any as many columns, by expansion along the first row."""
    if not rows:
        return {(): "1.0"}
    if len(rows) == 1:
        return {(j,): cells[rows[0]][j] for j in range(n)}
    below = _minors(w, cells, rows[1:], n)
    found = {}
    for columns in combinations(range(n), len(rows)):
        text = ""
        for k, j in enumerate(columns):
            rest = below[tuple(c for c in columns if c != j)]
            sign = " - " if k % 2 else " + " if k else ""
            text += f"{sign}{cells[rows[0]][j]} * {rest}"
        found[columns] = w.compute(("minor", text), text, w.scope.depth)
    return found
