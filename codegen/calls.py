"""Roots that are a library call or a nest of their own shape: products, scatters, scans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..ir.core import Op, Value
from ..ir.plan import Root
from ..ir.types import KIND, NUMPY
from . import products
from .emit import At, fold_start
from .indices import validate
from .lapack import cholesky, lu_adjugate, lu_apply, lu_factors, lu_inverse, triangular_solve
from .search import searchsorted
from .slopes import cholesky_inverse, cholesky_slope
from .small import adjugate
from .windows import window_argmax

if TYPE_CHECKING:
    from .loops import Writer


def gemm(w: Writer, r: Root, rows: str | None) -> None:
    """C = op(A) op(B), or C += … when rows of a block are summed over, or C is added to."""
    assert r.op is not None
    nb = len(r.dims) - 3
    m, n, k = nb, nb + 1, nb + 2
    a, b = r.matrices
    carried = {d for d in (m, n, k) if (r, d) in w.at}
    size = {d: rows if d in carried and rows else w.names.size(r.dims[d]) for d in (m, n, k)}
    ta, tb = a.index[nb][0] == k, b.index[nb][0] == n
    accumulate = k in carried or r.value in w.plan.adds
    pa, lda = operand(w, r, a.base, [i[0] for i in a.index])
    pb, ldb = operand(w, r, b.base, [i[0] for i in b.index])
    pc, ldc = operand(w, r, r.value, list(r.par))
    name = "sgemm" if r.value.dtype == "f32" else "dgemm"
    beta = "1.0" if accumulate else "0.0"
    most = [w.strips[-1].strip if d in carried and rows else r.dims[d] for d in (m, n, k)]
    work = _work_memory(w, NUMPY[r.value.dtype], most, tb, size[n])
    w.line(
        f"blas.{name}({ta}, {tb}, {size[m]}, {size[n]}, {size[k]}, "
        f"1.0, {pa}, {lda}, {pb}, {ldb}, {beta}, {pc}, {ldc}{work})"
    )


def _work_memory(
    w: Writer, dtype: np.dtype, most: Sequence[int], turned: bool, columns: str
) -> str:
    """The argument for tiles, unless they never pay: a text serves all sizes that it does not name.

    `most` are the greatest m, n and k, `turned` is whether b is, `columns` is n as it is written.
    """
    few = columns.isdigit() and int(columns) < products.least(dtype.itemsize)[1]
    if few or not products.available():
        return ""
    m, n, k = most
    if products.may_pay(dtype.itemsize, m, n, k, turned):
        w.packed = max(w.packed, products.room(dtype, m, n, k))
    w.pack = w.pack or w.names.fresh("pack")
    return f", {w.pack}"


def operand(w: Writer, r: Root, v: Value, dims: list[int]) -> tuple[str, str]:
    """Where a matrix starts, and its row length, when the domain dims in `dims` index it."""
    kept = w.plan.storage[v].kept if v in w.plan.roots else ("full",) * v.ndim
    index: list[At] = []
    rows: list[int] = []
    for q, (d, how) in enumerate(zip(dims, kept, strict=True)):
        if how == "drop":
            continue
        rows.append(v.shape[q])
        carried = how == "full" and (r, d) in w.at
        index.append(w.at[r, d] if carried else (None, 0, 0))
    base, prefix, extents = w.held(v)
    pointer = w.pointer(base)
    start = w.offset((*prefix, *index), [*extents, *rows])
    if start != "0":
        pointer = f"blas.at({pointer}, {start})"
    return pointer, w.names.size(rows[-1])


def scatter(w: Writer, r: Root) -> None:
    """A copy of x (x itself, where it lies in the same place) with updates set or added."""
    assert r.op is not None
    x, upd = r.op.args[:2]
    for axis, i in zip(r.op.attrs["axes"], r.op.args[2:], strict=True):
        validate(w, i, x.shape[axis])
    if not w.same_place(x, r.value):
        with w.nest(x.shape) as index:
            w.line(f"{w.target(r, index)} = {w.pull(x, tuple(index))}")
    with w.nest(upd.shape) as index:
        add_at(w, r, r.op, tuple(index))


def add_at(w: Writer, r: Root, op: Op, index: tuple[At, ...]) -> None:
    """One update of a scatter, that at an index of the updates."""
    x, upd, *idx = op.args
    n = idx[0].ndim
    found = {}
    for axis, i in zip(op.attrs["axes"], idx, strict=True):
        found[axis] = w.taken(i, x.shape[axis], op, index[:n], ())
    rest = iter(index[n:])
    at = tuple(found[d] if d in found else next(rest) for d in range(x.ndim))
    value = w.pull(upd, index)
    cell = w.target(r, at)
    if op.prim.name == "scatter_add":
        w.line(f"{cell} = {cell} + {value}")
    else:
        w.line(f"{cell} = {value}")


GROUP = 4  # elements of a running sum that wait together for those before
SCAN_FLOAT = {
    "cumsum": ("0.0", "{acc} + {0}"),
    "cumprod": ("1.0", "{acc} * {0}"),
    "cummax": ("-math.inf", "ll.fmaximum({acc}, {0})"),
    "cummin": ("math.inf", "ll.fminimum({acc}, {0})"),
}
SCAN_INT = {
    "cumsum": ("0", "{acc} + {0}"),
    "cumprod": ("1", "{acc} * {0}"),
    "cummax": ("min_int", "max({acc}, {0})"),
    "cummin": ("max_int", "min({acc}, {0})"),
}

SCAN_BOOL = {
    "cumsum": ("False", "{acc} | {0}"),
    "cumprod": ("True", "{acc} & {0}"),
    "cummax": ("False", "{acc} | {0}"),
    "cummin": ("True", "{acc} & {0}"),
}


def scan(w: Writer, r: Root) -> None:
    """A running reduction along one axis, the carry in a register."""
    assert r.op is not None
    x, axis = r.op.args[0], r.op.attrs["axis"]
    if r.op.prim.name == "linrec":
        linear_recurrence(w, r)
        return
    table = {"f": SCAN_FLOAT, "b": SCAN_BOOL}.get(KIND[r.value.dtype], SCAN_INT)
    start, text = table[r.op.prim.name]
    first = fold_start(start, r.value.dtype)
    if axis < x.ndim - 1:
        _rows(w, r, lambda at, acc: text.format(w.pull(x, at), acc=acc or first))
        return
    n, back = x.shape[axis], r.op.attrs.get("reverse", False)
    together = GROUP if r.op.prim.name == "cumsum" and KIND[r.value.dtype] == "f" else 1
    with w.stack(r, x.shape[:axis]) as around:
        acc = w.names.fresh("acc")
        w.line(f"{acc} = {first}")
        done = "0"
        if n >= 2 * together > 2:
            done = w.names.fresh("m")
            w.line(f"{done} = {w.names.size(n)} & {-together}")
            _sums_of_four(w, r, around, acc, done)
        along = w.names.fresh("i")
        with w.body(f"for {along} in range({done}, {w.names.size(n)}):") as scope:
            w.of_var[along], w.ranges[along] = scope.depth, (0, n - 1)
            index = (*around, (along, n - 1, -1) if back else (along, 0, 1))
            value = w.pull(x, index)
            w.line(f"{acc} = {text.format(value, acc=acc)}")
            w.line(f"{w.target(r, index)} = {acc}")


def _sums_of_four(w: Writer, r: Root, around: Sequence[At], acc: str, end: str) -> None:
    """A running sum four elements at a time: one addition waits for the last four, not four."""
    assert r.op is not None
    x, axis = r.op.args[0], r.op.attrs["axis"]
    last, back = x.shape[axis] - 1, r.op.attrs.get("reverse", False)
    along = w.names.fresh("i")
    with w.body(f"for {along} in range(0, {end}, {GROUP}):") as scope:
        w.of_var[along], w.ranges[along] = scope.depth, (0, last - GROUP + 1)
        places = [(along, last - k, -1) if back else (along, k, 1) for k in range(GROUP)]
        a, b, c, d = (w.pull(x, (*around, at)) for at in places)
        two, other, three, four = (w.names.fresh("t") for _ in range(GROUP))
        for name, sum_ in (
            (two, f"{a} + {b}"), (other, f"{c} + {d}"),
            (three, f"{two} + {c}"), (four, f"{two} + {other}"),
        ):  # fmt: skip
            w.line(f"{name} = {sum_}")
        for at, part in zip(places, (a, two, three), strict=False):
            w.line(f"{w.target(r, (*around, at))} = {acc} + {part}")
        w.line(f"{acc} = {acc} + {four}")
        w.line(f"{w.target(r, (*around, places[-1]))} = {acc}")


def _rows(w: Writer, r: Root, step: Callable[[tuple[At, ...], str], str]) -> None:
    """A running reduction of rows that lie apart: each is made of the one before, side by side.

    `step` says what stands at an index, given what stands before it; "" before the first.
    """
    assert r.op is not None
    axis, shape = r.op.attrs["axis"], r.value.shape
    n = shape[axis]
    back = r.op.attrs.get("reverse", False)
    with w.stack(r, shape[:axis]) as before:
        with w.nest(shape[axis + 1 :]) as inner:
            at = (*before, (None, n - 1 if back else 0, 0), *inner)
            w.line(f"{w.target(r, at)} = {step(at, '')}")
        with w.nest([n - 1]) as (along,), w.nest(shape[axis + 1 :]) as inner:
            who = along[0]
            here, last = ((who, n - 2, -1), (who, n - 1, -1)) if back else ((who, 1, 1), along)
            at = (*before, here, *inner)
            known = w.target(r, (*before, last, *inner))
            known = f"({known} != 0)" if r.value.dtype == "bool" else known
            w.line(f"{w.target(r, at)} = {step(at, known)}")


def linear_recurrence(w: Writer, r: Root) -> None:
    """h[i] = a[i] h[i-1] + b[i] along one axis, from h = 0 before the first."""
    assert r.op is not None
    a, b = r.op.args
    axis = r.op.attrs["axis"]
    if axis < b.ndim - 1:

        def step(at: tuple[At, ...], before: str) -> str:
            first = w.pull(b, at)
            return f"{w.pull(a, at)} * {before} + {first}" if before else first

        _rows(w, r, step)
        return
    with w.stack(r, b.shape[:axis]) as around:
        acc = w.names.fresh("acc")
        w.line(f"{acc} = {fold_start('0.0', r.value.dtype)}")
        with w.nest([b.shape[axis]]) as (along,):
            if r.op.attrs.get("reverse", False):
                along = (along[0], b.shape[axis] - 1, -1)
            index = (*around, along)
            added, factor = w.pull(b, index), w.pull(a, index)
            w.line(f"{acc} = {added} if {along[0]} == 0 else {factor} * {acc} + {added}")
            w.line(f"{w.target(r, index)} = {acc}")


def concatenate(w: Writer, r: Root) -> None:
    """One array after the other, each by a nest of its own."""
    assert r.op is not None
    axis, start = r.op.attrs["axis"], 0
    for x in r.op.args:
        n = x.shape[axis]
        wide = [d for d, extent in enumerate(x.shape) if extent != 1]
        with w.nest([x.shape[d] for d in wide]) as found:
            index = [(None, 0, 0)] * x.ndim
            for d, at in zip(wide, found, strict=True):
                index[d] = at
            value = w.pull(x, tuple(index))
            who, _, step = index[axis]
            index[axis] = (who, start, step)
            w.line(f"{w.target(r, index)} = {value}")
        start += n


def strided_pad(w: Writer, r: Root) -> None:
    """Zeros with the operand's elements set a stride apart."""
    assert r.op is not None
    x = r.op.args[0]
    start, step = r.op.attrs["start"], r.op.attrs["step"]
    with w.nest(r.value.shape) as index:
        w.line(f"{w.target(r, index)} = {w.zero(r.value.dtype)}")
    with w.nest(x.shape) as index:
        at = tuple((who, s, k) for (who, _, _), s, k in zip(index, start, step, strict=True))
        w.line(f"{w.target(r, at)} = {w.pull(x, tuple(index))}")


def arg_extremum(w: Writer, r: Root) -> None:
    """The first position of the largest or smallest element; the first NaN wins."""
    assert r.op is not None
    x, axis = r.op.args[0], r.op.attrs["axis"]
    largest = r.op.prim.name == "argmax"
    kind, n = KIND[x.dtype], x.shape[axis]
    table = {"f": SCAN_FLOAT, "b": SCAN_BOOL}.get(kind, SCAN_INT)
    start, text = table["cummax" if largest else "cummin"]
    with w.nest([n for k, n in enumerate(x.shape) if k != axis]) as around:
        # Two loops that run in vectors: the value, then the first place that has it.
        best, where = w.names.fresh("best"), w.names.fresh("where")
        w.line(f"{best} = {fold_start(start, x.dtype)}")
        w.line(f"{where} = {w.names.size(n)}")
        with w.nest([n]) as (along,):
            value = w.pull(x, (*around[:axis], along, *around[axis:]))
            w.line(f"{best} = {text.format(value, acc=best)}")
        with w.nest([n]) as (along,):
            value = w.pull(x, (*around[:axis], along, *around[axis:]))
            found = f"({value} == {best})"
            if kind == "f":
                found += f" | ({value} != {value})"
            here = f"ll.select({found}, {along[0]}, {w.names.size(n)})"
            w.line(f"{where} = min({where}, {here})")
        w.line(f"{w.target(r, tuple(around))} = {where}")


def interleave(w: Writer, r: Root) -> None:
    """An array whose pieces are there by now: each was written where it lies."""


CALLS: dict[str, Callable[[Writer, Root], None]] = {
    "adjugate": adjugate,
    "argmax": arg_extremum,
    "argmin": arg_extremum,
    "cholesky": cholesky,
    "cholesky_inverse": cholesky_inverse,
    "cholesky_slope": cholesky_slope,
    "concatenate": concatenate,
    "triangular_solve": triangular_solve,
    "interleave": interleave,
    "lu_factors": lu_factors,
    "lu_adjugate": lu_adjugate,
    "lu_apply": lu_apply,
    "lu_inverse": lu_inverse,
    "scan": scan,
    "scatter": scatter,
    "scatter_add": scatter,
    "searchsorted": searchsorted,
    "window_argmax": window_argmax,
}
