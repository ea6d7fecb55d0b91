"""Nests of linear algebra on matrices so small that a call of LAPACK takes longer than the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import STRAIGHT, Root
from .emit import At
from .host import has_fma

if TYPE_CHECKING:
    from .loops import Writer

LARGEST = 20  # rows of a matrix that is small
FEW = 8  # rows of a triangle whose elements are named one by one


Cell = Callable[[str, str], str]


@contextmanager
def between(w: Writer, start: str, stop: str, n: int, apart: bool = False) -> Iterator[At]:
    """A loop between indices that are known at run time only, within `n`.

    Its rounds are `apart` if none writes what another touches.
    """
    var = w.names.fresh("i")
    stop = f"ll.apart({stop})" if apart else stop
    with w.body(f"for {var} in range({start}, {stop}):") as scope:
        w.of_var[var] = scope.depth
        w.ranges[var] = (0, n - 1)
        yield var, 0, 1


def named(w: Writer, text: str) -> str:
    name = w.names.fresh("t")
    w.line(f"{name} = {text}")
    return name


def less(c: str, a: str, b: str) -> str:
    """The text of c - a b, rounded once where the CPU can."""
    return f"ll.fma(-{a}, {b}, {c})" if has_fma() else f"{c} - {a} * {b}"


def pointer(w: Writer, v: Value, batch: Sequence[At], row: int = 0) -> str:
    """Where one matrix of a stored stack begins, or a row of it."""
    base, index, extents = w.place(v, (*batch, (None, row, 0), (None, 0, 0)))
    start = w.offset(index, extents)
    first = w.pointer(base)
    return first if start == "0" else f"blas.at({first}, {start})"


def put_lower(w: Writer, r: Root, batch: Sequence[At], made: Mapping[tuple[int, int], str]) -> None:
    """A lower triangle of named elements stored, zeros above it."""
    n = r.value.shape[-1]
    zero = w.zero(r.value.dtype)
    for i in range(n):
        for j in range(n):
            cell = w.cell(r.value, (*batch, (None, i, 0), (None, j, 0)))
            w.line(f"{cell} = {made.get((i, j), zero)}")


def decompose(w: Writer, v: Value, batch: Sequence[At]) -> None:
    """A = L U Pᵀ in place, U with ones on its diagonal; row n says which columns were swapped."""
    n = v.shape[-1]

    def cell(i: At, j: At) -> str:
        return w.cell(v, (*batch, i, j))

    if n <= STRAIGHT:
        at: list[At] = [(None, k, 0) for k in range(n + 1)]
        _decompose_straight(w, [[cell(i, j) for j in at[:n]] for i in at], v.dtype)
        return
    with w.nest([n]) as (k,):
        best, place = named(w, f"ll.fabs({cell(k, k)})"), named(w, f"{k[0]}")
        with between(w, f"{k[0]} + 1", str(n), n) as j:
            size = named(w, f"ll.fabs({cell(k, j)})")
            w.line(f"if {size} > {best}:")
            w.line(f"    {best} = {size}")
            w.line(f"    {place} = {j[0]}")
        w.of_var[place], w.ranges[place] = w.scope.depth, (0, n - 1)
        w.line(f"{cell((None, n, 0), k)} = ll.{v.dtype}({place})")
        with w.nest([n]) as (i,):
            one, two = cell(i, k), cell(i, (place, 0, 1))
            first, second = named(w, one), named(w, two)
            w.line(f"{one} = {second}")
            w.line(f"{two} = {first}")
        pivot = named(w, cell(k, k))
        w.line(f"{pivot} = ll.select({pivot} == 0.0, ll.{v.dtype}(1.0), {pivot})")
        with between(w, f"{k[0]} + 1", str(n), n) as j:
            w.line(f"{cell(k, j)} = {cell(k, j)} / {pivot}")
        with between(w, f"{k[0]} + 1", str(n), n) as i:
            factor = named(w, cell(i, k))
            with between(w, f"{k[0]} + 1", str(n), n, apart=True) as j:
                w.line(f"{cell(i, j)} = {less(cell(i, j), factor, cell(k, j))}")


def _decompose_straight(w: Writer, cells: Sequence[Sequence[str]], dtype: str) -> None:
    """The same in registers: columns are swapped by selection, without a branch."""
    n = len(cells) - 1
    a = [[named(w, cell) for cell in row] for row in cells[:n]]
    for k in range(n):
        best, place = named(w, f"ll.fabs({a[k][k]})"), str(k)
        for j in range(k + 1, n):
            size = named(w, f"ll.fabs({a[k][j]})")
            larger = named(w, f"{size} > {best}")
            best = named(w, f"ll.select({larger}, {size}, {best})")
            place = named(w, f"ll.select({larger}, {j}, {place})")
        w.line(f"{cells[n][k]} = ll.{dtype}({place})")
        for j in range(k + 1, n):
            _swap_if(w, place, k, j, a)
        zero = named(w, f"{a[k][k]} == 0.0")
        pivot = named(w, f"ll.select({zero}, ll.{dtype}(1.0), {a[k][k]})")
        for j in range(k + 1, n):
            a[k][j] = named(w, f"{a[k][j]} / {pivot}")
            for i in range(k + 1, n):
                a[i][j] = named(w, less(a[i][j], a[i][k], a[k][j]))
    for row, values in zip(cells, a, strict=False):
        for cell, value in zip(row, values, strict=True):
            w.line(f"{cell} = {value}")


def _swap_if(w: Writer, place: str, k: int, j: int, rows: Sequence[list[str]]) -> None:
    """Swap two elements of each of these if `place` is the second."""
    found = named(w, f"{place} == {j}")
    for row in rows:
        one, two = row[k], row[j]
        row[k] = named(w, f"ll.select({found}, {two}, {one})")
        row[j] = named(w, f"ll.select({found}, {one}, {two})")


def swap(w: Writer, v: Value, batch: Sequence[At], places: Sequence[str], forward: bool) -> None:
    """Rows swapped in registers: k with place k, which is not before it, in this order or back."""
    n, m = v.shape[-2:]
    at: list[At] = [(None, k, 0) for k in range(max(n, m))]
    cells = [[w.cell(v, (*batch, at[i], at[c])) for i in range(n)] for c in range(m)]
    columns = [[named(w, cell) for cell in column] for column in cells]
    for k in range(n) if forward else range(n - 1, -1, -1):
        for j in range(k + 1, n):
            _swap_if(w, places[k], k, j, columns)
    for column, values in zip(cells, columns, strict=True):
        for cell, value in zip(column, values, strict=True):
            w.line(f"{cell} = {value}")


def solve(w: Writer, r: Root, batch: Sequence[At], lower: bool, trans: bool, unit: bool) -> None:
    """What lies in the root's place, solved by one triangle of its first operand."""
    assert r.op is not None
    a, x = r.op.args[0], r.value
    n, m = x.shape[-2:]
    down = lower != trans
    if max(n, m) <= STRAIGHT:
        at: list[At] = [(None, k, 0) for k in range(max(n, m))]
        right = [[named(w, w.cell(x, (*batch, at[i], at[c]))) for c in range(m)] for i in range(n)]
        solve_straight(w, r, batch, right, down, trans, unit)
        return
    if m == 1:
        _solve_one(w, r, batch, down, trans, unit)
        return
    with w.nest([n]) as (row,):
        i = row if down else (row[0], n - 1, -1)
        if not unit:
            inverse = named(w, f"1.0 / {w.pull(a, (*batch, i, i))}")
            with w.nest([m]) as (c,):
                one = w.cell(x, (*batch, i, c))
                w.line(f"{one} = {one} * {inverse}")
        with between(w, f"{row[0]} + 1", str(n), n) as after:
            j = after if down else (after[0], n - 1, -1)
            factor = w.pull(a, (*batch, *((i, j) if trans else (j, i))))
            _row_less(w, x, (*batch, j), factor, (*batch, i))


def _row_less(w: Writer, x: Value, to: Sequence[At], factor: str, other: Sequence[At]) -> None:
    """One row of a matrix less another: whole registers, or as many elements side by side."""
    m = x.shape[-1]
    lanes = next(k for k in (8, 4, 2, 1) if m % k == 0)
    if lanes in (1, 8):
        with between(w, "0", str(m), m, apart=True) as c:
            one, two = w.cell(x, (*to, c)), w.cell(x, (*other, c))
            w.line(f"{one} = {less(one, factor, two)}")
        return
    with w.nest([m // lanes]) as ((who, _, _),):
        columns = [(who, k, lanes) for k in range(lanes)]
        cells = [(w.cell(x, (*to, c)), w.cell(x, (*other, c))) for c in columns]
        made = [named(w, less(one, factor, two)) for one, two in cells]
        for (one, _), value in zip(cells, made, strict=True):
            w.line(f"{one} = {value}")


def _solve_one(
    w: Writer, r: Root, batch: Sequence[At], down: bool, trans: bool, unit: bool
) -> None:
    """One right-hand side: rows of the matrix are read whole, as they lie."""
    assert r.op is not None
    a, x = r.op.args[0], r.value
    n, column = x.shape[-2], (None, 0, 0)
    with w.nest([n]) as (row,):
        i = row if down else (row[0], n - 1, -1)
        mine = w.cell(x, (*batch, i, column))
        if not trans:
            total = named(w, f"ll.{x.dtype}(0.0)")
            with between(w, "0", str(row[0]), n) as before:
                j = before if down else (before[0], n - 1, -1)
                factor, one = w.pull(a, (*batch, i, j)), w.cell(x, (*batch, j, column))
                w.line(f"{total} = ll.radd({total}, {factor} * {one})")
            w.line(f"{mine} = {mine} - {total}")
        if not unit:
            w.line(f"{mine} = {mine} / {w.pull(a, (*batch, i, i))}")
        if trans:
            done = named(w, mine)
            with between(w, f"{row[0]} + 1", str(n), n) as after:
                j = after if down else (after[0], n - 1, -1)
                one = w.cell(x, (*batch, j, column))
                w.line(f"{one} = {less(one, w.pull(a, (*batch, i, j)), done)}")


def solve_straight(
    w: Writer,
    r: Root,
    batch: Sequence[At],
    right: Sequence[Sequence[str]],
    down: bool,
    trans: bool,
    unit: bool,
    singular: int = 0,
) -> None:
    """The same in registers, with one division for each row, for right-hand sides in rows.

    `singular` is the status of the kernel where a divisor is zero.
    """
    assert r.op is not None
    a, x = r.op.args[0], r.value
    n, m = x.shape[-2:]
    at: list[At] = [(None, k, 0) for k in range(max(n, m))]
    made = {(i, c): right[i][c] for i in range(n) for c in range(m)}
    order = list(range(n)) if down else list(range(n))[::-1]
    for k, i in enumerate(order):
        before = [
            (j, w.pull(a, (*batch, *((at[j], at[i]) if trans else (at[i], at[j])))))
            for j in order[:k]
        ]
        inverse = ""
        if not unit:
            pivot = w.pull(a, (*batch, at[i], at[i]))
            if singular:
                w.fail(f"{pivot} == 0.0", singular)
            inverse = named(w, f"1.0 / {pivot}")
        for c in range(m):
            for j, factor in before:
                made[i, c] = named(w, less(made[i, c], factor, made[j, c]))
            if not unit:
                made[i, c] = named(w, f"{made[i, c]} * {inverse}")
    for i in range(n):
        for c in range(m):
            w.line(f"{w.cell(x, (*batch, at[i], at[c]))} = {made[i, c]}")


def elements(start: str, width: str) -> Cell:
    """How elements of a matrix are written that begins there, whose rows are so long."""
    return lambda i, j: f"{start}[{i}*{width} + {j}]"


def cholesky(w: Writer, r: Root, batch: Sequence[At], failed: int) -> None:
    """The lower factor; `failed` is the status of the kernel where there is none.

    Its columns are made in the rows of the upper triangle, which are read and written whole.
    """
    assert r.op is not None
    (a,), n, suffix = r.op.args, r.value.shape[-1], "32" if r.value.dtype == "f32" else "64"
    start, zero = w.names.fresh("up"), w.zero(r.value.dtype)
    w.line(f"{start} = {pointer(w, r.value, batch)}")
    cell = elements(start, str(n))
    with w.nest([n]) as (i,), between(w, "0", f"{i[0]} + 1", n) as j:
        w.line(f"{cell(j[0], i[0])} = {w.pull(a, (*batch, i, j))}")
    with w.nest([n]) as (at,):
        k = at[0]
        square = named(w, cell(k, k))
        w.fail(f"{square} <= 0.0", failed)  # NaN goes on, as in NumPy's
        root = named(w, f"vm.sqrt{suffix}({square})")
        inverse = named(w, f"1.0 / {root}")
        w.line(f"{cell(k, k)} = {root}")
        with between(w, f"{k} + 1", str(n), n, apart=True) as j:
            w.line(f"{cell(k, j[0])} = {cell(k, j[0])} * {inverse}")
        with between(w, f"{k} + 1", str(n), n) as i:
            factor = named(w, cell(k, i[0]))
            with between(w, i[0], str(n), n, apart=True) as j:
                one = cell(i[0], j[0])
                w.line(f"{one} = {less(one, factor, cell(k, j[0]))}")
    with w.nest([n]) as (i,), between(w, "0", i[0], n) as j:
        w.line(f"{cell(i[0], j[0])} = {cell(j[0], i[0])}")
        w.line(f"{cell(j[0], i[0])} = {zero}")


def cholesky_straight(w: Writer, r: Root, batch: Sequence[At], failed: int) -> None:
    """The same in registers, with one division for each column, and zeros above."""
    assert r.op is not None
    (a,), v = r.op.args, r.value
    n, suffix = v.shape[-1], "32" if v.dtype == "f32" else "64"
    at: list[At] = [(None, k, 0) for k in range(n)]
    made: dict[tuple[int, int], str] = {}
    for j in range(n):
        inverse = ""
        for i in range(j, n):
            value = named(w, w.pull(a, (*batch, at[i], at[j])))
            for k in range(j):
                value = named(w, less(value, made[i, k], made[j, k]))
            if i == j:
                w.fail(f"{value} <= 0.0", failed)  # NaN goes on, as in NumPy's
                made[i, j] = named(w, f"vm.sqrt{suffix}({value})")
                inverse = named(w, f"1.0 / {made[i, j]}") if j + 1 < n else ""
            else:
                made[i, j] = named(w, f"{value} * {inverse}")
    put_lower(w, r, batch, made)


def adjugate(w: Writer, r: Root) -> None:
    """The transposed cofactors, by minors of the last rows: no division, so none by zero."""
    assert r.op is not None
    (a,) = r.op.args
    n = a.shape[-1]
    with w.stack(r, a.shape[:-2]) as batch:
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
