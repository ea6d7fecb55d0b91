"""Rows of shape, reduce, index and contract: values, derivatives to order 2, emission, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rows import assert_derivatives, assert_jvp, assert_vjp, draw, function_of, pulled, pushed
from structural import CASES, ROWS, Case

from adjit.ir.builder import Builder
from adjit.ir.core import Op, Value
from adjit.ir.interp import evaluate
from adjit.ir.ops import reduce, shape
from adjit.ir.ops.contract import dot
from adjit.ir.ops.index import gather, scatter, scatter_add
from adjit.ir.ops.shape import (
    broadcast,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    pad,
    reshape,
    slice_,
    squeeze,
    stack,
    transpose,
    unbroadcast,
)
from adjit.ir.prim import Fold, Prim, View, ViewMap
from adjit.ir.types import KIND, NUMPY, Aval, aval_of, is_float

name_of = attrgetter("name")

# ------------------------------------------------------------------ values and derivatives


def test_every_row_is_tested() -> None:
    seen = {op.prim.name for case in CASES for op in ops_of(case)}
    assert set(ROWS) <= seen, f"rows without a case: {sorted(set(ROWS) - seen)}"


def ops_of(case: Case) -> tuple[Op, ...]:
    """The ops that a case emits for its first dtype."""
    return function_of(case.row, case.arrays(case.dtypes[0])).ops


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_value(case: Case) -> None:
    for dtype in case.dtypes if case.shapes else ("f64",):
        args = case.arrays(dtype)
        function = function_of(case.row, args)
        (out,) = evaluate(function, *args)
        assert aval_of(out) == function.outs[0].aval
        wanted = np.asarray(case.spelled(*args))
        assert out.shape == wanted.shape
        if dtype in ("i64", "bool"):
            np.testing.assert_array_equal(out, wanted)
        else:
            rtol = 1e-5 if dtype == "f32" else 1e-13
            np.testing.assert_allclose(out, wanted, rtol=rtol, atol=rtol)


STEPS = ("arg", "searchs")  # rows whose results are indices
SMOOTH = [c for c in CASES if c.shapes and "f64" in c.dtypes and not c.name.startswith(STEPS)]


@pytest.mark.parametrize("case", SMOOTH, ids=name_of)
def test_derivatives(case: Case) -> None:
    args = case.arrays("f64")
    assert_derivatives(function_of(case.row, args), args, np.random.default_rng(1))


@pytest.mark.parametrize("case", SMOOTH, ids=name_of)
def test_derivatives_keep_float32(case: Case) -> None:
    args = case.arrays("f32")
    function = function_of(case.row, args)
    for derived in pushed(function), pulled(function):
        assert {v.dtype for v in derived.outs} == {"f32"}
        assert all(v.dtype == "f32" for op in derived.ops for v in op.outs if is_float(v.dtype)), (
            "a derivative left float32 on its way"
        )
    assert_vjp(function, args, np.random.default_rng(1), rtol=2e-3)


# ------------------------------------------------------------------ zeros, ties, NaN


@pytest.mark.parametrize("x", [(0.0, 2, 3), (0.0, 0, 3), (1.0, 0, 2, 0, 5), (0.0, 0, 0), (0.0,)])
def test_products_at_zeros(x: tuple[float, ...]) -> None:
    args = [np.array(x)]
    rng = np.random.default_rng(2)
    for f in (
        lambda x: reduce.prod(x, axes=(0,)),
        lambda x: reduce.cumprod(x, axis=0),
        lambda x: reduce.cumprod(x, axis=0, reverse=True),
    ):
        assert_derivatives(function_of(f, args), args, rng, order=3)


def test_third_derivative_of_a_product_at_zeros() -> None:
    x, e = np.zeros(3), np.eye(3)
    third = pushed(pushed(pushed(function_of(lambda x: reduce.prod(x, axes=(0,)), [x]))))
    args = dict.fromkeys(third.params, np.zeros(3))
    for p, t in zip(third.params[1:], (e[0], e[1], np.zeros(3), e[2]), strict=False):
        args[p] = t
    assert evaluate(third, *args.values())[0] == 1.0


def gradient(f: Callable[[Value], Value], x: Any) -> np.ndarray:
    """The cotangent of x for a result's cotangent of ones."""
    function = function_of(f, [np.asarray(x)])
    ones = np.ones(function.outs[0].shape)
    return evaluate(pulled(function), np.asarray(x), ones)[0]


@pytest.mark.parametrize(
    ("x", "wanted"),
    [
        ([1.0, 3, 3, 2], [0, 0.5, 0.5, 0]),
        ([5.0, 5, 5, 5], [0.25, 0.25, 0.25, 0.25]),
        ([1.0, np.nan, 3, np.nan], [0, 0.5, 0, 0.5]),
        ([1.0, np.inf, 3, np.inf], [0, 0.5, 0, 0.5]),
        ([0.0, -0.0, -1, -2], [0.5, 0.5, 0, 0]),
    ],
)
def test_ties_share_evenly(x: list[float], wanted: list[float]) -> None:
    for sign, row in ((1, reduce.max_), (-1, reduce.min_)):
        y = sign * np.array(x)
        np.testing.assert_array_equal(gradient(lambda v, r=row: r(v, axes=(0,)), y), wanted)
        for running in (reduce.cummax, reduce.cummin):
            if (running is reduce.cummax) == (sign == 1):
                got = gradient(lambda v, r=running: shape.narrow(r(v, axis=0), 0, 3, 1), y)
                np.testing.assert_array_equal(got, wanted)


def test_running_ties_share_with_those_before() -> None:
    got = gradient(lambda x: reduce.cummax(x, axis=0), [1.0, 1, 0, 2, 2])
    np.testing.assert_allclose(got, [1 + 0.5 + 0.5, 0.5 + 0.5, 0, 1 + 0.5, 0.5])
    got = gradient(lambda x: reduce.cummax(x, axis=0, reverse=True), [2.0, 2, 0, 1])
    np.testing.assert_allclose(got, [0.5, 0.5 + 1, 0, 2])


def test_sorting_is_stable_and_puts_nan_last() -> None:
    x = np.array([2.0, np.nan, 1, 2, 1, -0.0, 0.0])
    function = function_of(lambda x: (reduce.sort(x, axis=0), reduce.argsort(x, axis=0)), [x])
    value, order = evaluate(function, x)
    np.testing.assert_array_equal(order, [5, 6, 2, 4, 0, 3, 1])
    np.testing.assert_array_equal(value, x[order])
    weights = evaluate(
        pulled(function_of(lambda x: reduce.sort(x, axis=0), [x])), x, np.arange(7.0)
    )
    np.testing.assert_array_equal(weights[0], [4, 6, 2, 5, 3, 0, 1])


def test_an_overwritten_update_has_no_derivative() -> None:
    x, upd, at = np.zeros(3), np.array([10.0, 20, 30, 40]), np.array([1, 1, -2, 0])
    function = function_of(lambda x, u, i: scatter(x, u, i, axes=(0,)), [x, upd, at])
    np.testing.assert_array_equal(evaluate(function, x, upd, at)[0], [40, 30, 0])
    for order in (np.asarray, lambda a: a[::-1].copy()[::-1]):  # last in order, not in memory
        to_x, to_upd = evaluate(pulled(function), x, order(upd), order(at), np.ones(3))
        np.testing.assert_array_equal(to_x, [0, 0, 1])
        np.testing.assert_array_equal(to_upd, [0, 0, 1, 1])
        np.testing.assert_array_equal(evaluate(function, x, order(upd), order(at))[0], [40, 30, 0])
    assert_jvp(function, [x, upd, at], np.random.default_rng(3))


def test_masked_sums_keep_infinities_apart() -> None:
    x = np.array([-np.inf, 1.0, -np.inf])
    np.testing.assert_array_equal(gradient(lambda v: reduce.max_(v, axes=(0,)), x), [0, 1, 0])
    np.testing.assert_array_equal(gradient(lambda v: reduce.cummax(v, axis=0), x), [1, 2, 0])


@pytest.mark.parametrize("name", ["sum", "prod", "dot", "cumsum", "gather", "scatter_add"])
def test_complex_rows_are_differentiated_without_conjugation(name: str) -> None:
    rng = np.random.default_rng(4)
    x, y = (draw("complex", "c128", (3, 2), rng) for _ in range(2))
    i = np.array([0, 2, 2])
    f = {
        "sum": lambda x, y, i: reduce.sum_(x * y, axes=(0,)),
        "prod": lambda x, y, i: reduce.prod(x * y, axes=(0,)),
        "dot": lambda x, y, i: dot(x, y, contract=((0,), (0,)), batch=((), ())),
        "cumsum": lambda x, y, i: reduce.cumsum(x * y, axis=1),
        "gather": lambda x, y, i: gather(x * y, i, axes=(0,)),
        "scatter_add": lambda x, y, i: scatter_add(x, y, i, axes=(0,)),
    }[name]
    assert_derivatives(function_of(f, [x, y, i]), [x, y, i], rng)


# ------------------------------------------------------------------ emission


def followed(view: ViewMap, x: np.ndarray, out: tuple[int, ...]) -> np.ndarray:
    """The result that a view map describes, element by element."""
    result = np.zeros(out, x.dtype)
    for at in np.ndindex(out):
        if all(lo <= at[k] < hi and (at[k] - lo) % by == 0 for k, lo, hi, by in view.windows):
            where = [start + (0 if k is None else step * at[k]) for k, start, step in view.dims]
            assert all(0 <= i < n for i, n in zip(where, x.shape, strict=True))
            result[at] = x[tuple(where)]
    return result


def first_op(case: Case, kind: type) -> Op | None:
    """The op of a case if its first one is emitted so."""
    ops = ops_of(case) if case.shapes else ()
    return ops[0] if ops and isinstance(ops[0].prim.emit, kind) and not case.last else None


VIEWS = [c for c in CASES if first_op(c, View)]
FOLDS = [c for c in CASES if first_op(c, Fold)]


@pytest.mark.parametrize("case", VIEWS, ids=name_of)
def test_views_read_where_the_reference_reads(case: Case) -> None:
    op = first_op(case, View)
    assert op is not None and isinstance(op.prim.emit, View)
    x = case.arrays(op.args[0].dtype)[0]
    view = op.prim.emit.index(x.shape, **op.attrs)
    if view is None:
        assert op.prim is pad and any(abs(s) > 1 for s in op.attrs["step"])
        return
    wanted = op.prim.ref(x, **op.attrs)
    np.testing.assert_array_equal(followed(view, x, wanted.shape), wanted)


KERNEL = {
    "math": math,
    "max": max,
    "min": min,
    "ll": SimpleNamespace(radd=np.add, rmax=np.maximum, rmin=np.minimum),
}


@pytest.mark.parametrize("case", FOLDS, ids=name_of)
def test_folds_say_what_the_reference_does(case: Case) -> None:
    for dtype in case.dtypes:
        x = case.arrays(dtype)[0]
        op = function_of(case.row, [x]).ops[0]
        fold, kind = op.prim.emit, KIND[dtype]
        assert isinstance(fold, Fold)
        start = fold.init[kind]
        if start in ("min_int", "max_int"):
            acc = getattr(np.iinfo(NUMPY[dtype]), start[:3])
        else:
            acc = eval(start, KERNEL)
        out = np.full(op.outs[0].shape, acc, NUMPY[dtype])
        for at in np.ndindex(x.shape):
            to = tuple(i for d, i in enumerate(at) if d not in op.attrs["axes"])
            text = fold.text[kind].format("value", acc="acc")
            out[to] = eval(text, {**KERNEL, "acc": out[to], "value": x[at]})
        np.testing.assert_allclose(out, op.prim.ref(x, **op.attrs), rtol=1e-5)


# ------------------------------------------------------------------ errors

F = Aval("f64", (2, 3))
N = Aval("i64", (4,))
NONE: dict[str, Any] = {"contract": ((), ()), "batch": ((), ())}


@pytest.mark.parametrize(
    ("row", "avals", "attrs", "error", "gist"),
    [
        (shape.sum_, (F,), {"axes": (2,)}, np.exceptions.AxisError, "axis 2 is out of bounds"),
        (shape.sum_, (F,), {"axes": (-1,)}, np.exceptions.AxisError, "axis -1 is out of"),
        (shape.sum_, (F,), {"axes": (1, 0)}, ValueError, "not sorted"),
        (shape.sum_, (F,), {"axes": (0, 0)}, ValueError, "not sorted and distinct"),
        (reshape, (F,), {"shape": (4, 2)}, ValueError, r"array of size 6 into shape \(4, 2\)"),
        (reshape, (F,), {"shape": (-1, 3)}, ValueError, "cannot reshape"),
        (transpose, (F,), {"perm": (0, 0)}, ValueError, "axes .* do not match"),
        (broadcast, (F,), {"shape": (2, 4), "axes": ()}, ValueError, "does not fill"),
        (slice_, (F,), {"start": (0, 2), "size": (2, 2), "step": (1, 1)}, ValueError, "leave"),
        (slice_, (F,), {"start": (0,), "size": (2,), "step": (1,)}, ValueError, "do not match"),
        (slice_, (F,), {"start": (0, 0), "size": (2, 1), "step": (1, 0)}, ValueError, "leave"),
        (pad, (F,), {"shape": (3, 3), "start": (2, 0), "step": (1, 1)}, ValueError, "leave"),
        (concatenate, (F, Aval("f64", (2, 4))), {"axis": 0}, ValueError, "must match exactly"),
        (concatenate, (F, Aval("f32", (2, 3))), {"axis": 0}, TypeError, "one dtype"),
        (concatenate, (), {"axis": 0}, ValueError, "at least one array"),
        (concatenate, (Aval("f64"),), {"axis": 0}, np.exceptions.AxisError, "out of bounds"),
        (reduce.max_, (Aval("f64", (0, 3)),), {"axes": (0,)}, ValueError, "no identity"),
        (reduce.min_, (Aval("f64", (0,)),), {"axes": (0,)}, ValueError, "no identity"),
        (reduce.any_, (F,), {"axes": (0,)}, TypeError, "not boolean"),
        (reduce.argmax, (Aval("f64", (0, 3)),), {"axis": 0}, ValueError, "empty sequence"),
        (reduce.cumsum, (Aval("f64"),), {"axis": 0}, np.exceptions.AxisError, "out of bounds"),
        (reduce.linrec, (F, N), {"axis": 0}, ValueError, "operands differ"),
        (reduce.sort, (F,), {"axis": 2}, np.exceptions.AxisError, "axis 2 is out of bounds"),
        (gather, (F, N), {"axes": (2,)}, np.exceptions.AxisError, "axis 2 is out of bounds"),
        (gather, (F, Aval("f64", (4,))), {"axes": (0,)}, IndexError, "must be of dtype i64"),
        (gather, (F, N, N), {"axes": (0,)}, IndexError, "2 index arrays"),
        (gather, (F, N, Aval("i64")), {"axes": (0, 1)}, IndexError, "different shapes"),
        (gather, (F, N), {"axes": (0,), "mode": "fill"}, ValueError, "mode 'fill'"),
        (scatter, (F, F, N), {"axes": (0,)}, ValueError, "cannot be written"),
        (dot, (F, F), {"contract": ((1,), (0,)), "batch": ((), ())}, ValueError, "not aligned"),
        (dot, (F, F), {"contract": ((2,), (0,)), "batch": ((), ())}, ValueError, "axis 2 is out"),
        (dot, (F, F), {"contract": ((1,), (1,)), "batch": ((1,), (0,))}, ValueError, "twice"),
        (dot, (F, Aval("f32", (3,))), NONE, TypeError, "one dtype"),
    ],
)
def test_type_rules_refuse(row: Prim, avals: Any, attrs: Any, error: Any, gist: str) -> None:
    values = [Value(a) for a in avals]
    with Builder(values), pytest.raises(error, match=gist):
        row(*values, **attrs)


@pytest.mark.parametrize(
    ("call", "gist"),
    [
        (lambda x: broadcast_to(x, (3, 3)), "could not broadcast"),
        (lambda x: broadcast_to(x, (3,)), "could not broadcast"),
        (lambda x: unbroadcast(x, (3, 3)), "does not broadcast"),
        (lambda x: squeeze(x, (0,)), "not equal to one"),
        (lambda x: stack([x, expand_dims(x, (0,))]), "same shape"),
        (lambda x: flip(x, (2,)), "out of bounds"),
    ],
)
def test_functions_of_rows_refuse(call: Callable[[Value], Value], gist: str) -> None:
    x = Value(F)
    with Builder([x]), pytest.raises(ValueError, match=gist):
        call(x)


@pytest.mark.parametrize("s", [(0, 3), (3, 0), (0, 0), (1, 3)])
@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 1)])
def test_extrema_of_empty_axes_are_refused_where_numpy_refuses(s: Any, axes: Any) -> None:
    x = np.zeros(s)
    try:
        wanted = np.max(x, axis=axes)
    except ValueError:
        with pytest.raises(ValueError, match="no identity"):
            function_of(lambda x: reduce.max_(x, axes=axes), [x])
    else:
        function = function_of(lambda x: reduce.max_(x, axes=axes), [x])
        assert evaluate(function, x)[0].shape == wanted.shape


@pytest.mark.parametrize("row", ["gather", "scatter", "scatter_add"])
@pytest.mark.parametrize("bad", [3, -4])
def test_an_index_out_of_bounds_raises(row: str, bad: int) -> None:
    x, i = np.zeros((2, 3)), np.array([0, bad])
    more = [] if row == "gather" else [np.zeros((2, 2))]
    function = function_of(lambda *xs: ROWS[row](*xs, axes=(1,)), [x, *more, i])
    with pytest.raises(IndexError, match=f"index {bad} is out of bounds for axis 1 with size 3"):
        evaluate(function, x, *more, i)


@pytest.mark.parametrize("mode", ["clip", "wrap"])
def test_an_empty_axis_has_nothing_to_take(mode: str) -> None:
    x, i = np.zeros((0, 3)), np.array([0])
    function = function_of(lambda x, i: gather(x, i, axes=(0,), mode=mode), [x, i])
    with pytest.raises(IndexError, match="empty axes"):
        evaluate(function, x, i)


def test_references_leave_their_operands_alone() -> None:
    for case in CASES:
        args = case.arrays(case.dtypes[0])
        before = [a.copy() for a in args]
        evaluate(function_of(case.row, args), *args)
        for a, b in zip(args, before, strict=True):
            np.testing.assert_array_equal(a, b)
