"""Batching: every row over stacks of operands is a Python loop over the interpreter."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import structural
import test_ir_control as regions
from programs import random_function, wrt
from rows import draw, function_of
from test_rows_elementwise import ROWS, attrs_of, inputs, takes

from adjit.ir import Function, evaluate, parse, verify
from adjit.ir import ops as o
from adjit.ir.core import all_ops
from adjit.ir.types import aval_of
from adjit.passes.batch import batch
from adjit.passes.jvp import jvp
from adjit.passes.vjp import vjp

N = 3
Arrays = Sequence[np.ndarray]


def choices(count: int) -> Iterator[tuple[bool, ...]]:
    """The ways to batch some of these operands, at least one."""
    return (c for c in itertools.product((True, False), repeat=count) if any(c))


def loop(f: Function, size: int, args: Arrays, moved: Sequence[bool]) -> list[np.ndarray]:
    """What batching means."""
    rows = [
        evaluate(f, *(a[i] if m else a for a, m in zip(args, moved, strict=True)))
        for i in range(size)
    ]
    return [np.stack(column) for column in zip(*rows, strict=True)]


def assert_right(f: Function, args: Arrays, moved: Sequence[bool], rtol: float = 0.0) -> Function:
    """The batched function against the loop; args are stacked where they are moved."""
    size = next(len(a) for a, m in zip(args, moved, strict=True) if m)
    g = batch(f, size, moved)
    verify(g)
    wanted = loop(f, size, args, moved)
    for got, want in zip(evaluate(g, *args), wanted, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if rtol and got.dtype.kind in "fc":
            scale = np.max(np.abs(want[np.isfinite(want)]), initial=1.0)
            np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale)
        else:
            np.testing.assert_array_equal(got, want)
    return g


def variants(a: np.ndarray, seed: int, size: int = N) -> np.ndarray:
    """A stack of arrays like this one: its elements in other orders, so in its domain."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permuted(a.ravel()).reshape(a.shape) for _ in range(size)])


def assert_right_all_ways(f: Function, args: Arrays, rtol: float = 0.0) -> None:
    for moved in choices(len(args)):
        given = [
            variants(a, k) if m else a for k, (a, m) in enumerate(zip(args, moved, strict=True))
        ]
        g = assert_right(f, given, moved, rtol)
        if all(moved):
            # Nested: over a second axis, of two rows, of an operand in turn.
            for k in range(len(args)):
                again = [j == k for j in range(len(args))]
                twice = [variants(a, 7, 2) if m else a for a, m in zip(given, again, strict=True)]
                assert_right(g, twice, again, rtol)
            assert_right(g, [variants(a, 9, 2) for a in given], moved, rtol)


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize("name", ROWS)
def test_elementwise_rows(name: str) -> None:
    row = ROWS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    dtype = next(d for d in ("f64", "i64", "c128", "bool", "i32", "u8") if takes(row, d))
    for shapes in ("same", "broadcast", "scalar", "0-d", "empty"):
        args = inputs(row, dtype, shapes, rng)
        if name == "pow" and dtype[0] == "i":
            args[1] = abs(args[1])
        # NumPy's own loops differ in the last bit between strided and contiguous operands.
        assert_right_all_ways(function_of(row, args, **attrs_of(name)), args, 1e-14)


@pytest.mark.parametrize("case", structural.CASES, ids=lambda c: c.name)
def test_structural_rows(case: structural.Case) -> None:
    if not case.shapes and not case.last:
        return
    for dtype in case.dtypes[:1] + case.dtypes[-1:]:
        args = case.arrays(dtype)
        rtol = 1e-6 if case.name.startswith("conv") and dtype == "f32" else 1e-14
        assert_right_all_ways(function_of(case.row, args), args, rtol)


def test_only_rows_without_a_rule_are_looped() -> None:
    """A row that gets no rule is right, but slow: say so here."""
    rows = [*structural.ROWS.values(), *ROWS.values(), o.cond, o.loop, o.while_, o.call]
    plain = [p for p in rows if not (p.elementwise or p.partials)]
    assert [p.name for p in plain if not (p.batch or p.batch_op)] == ["iota"]


def test_a_row_without_a_rule_is_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in (o.dot, o.sort):
        monkeypatch.setitem(row.__dict__, "batch", None)
    x, y = np.arange(12.0).reshape(2, 6) % 5, np.arange(6.0)
    f = function_of(
        lambda x, y: o.dot(o.sin(o.sort(x, axis=0)), y, contract=((0,), (0,)), batch=((), ())),
        (y, y),
    )
    for moved in choices(2):
        args = [x if m else y for m in moved]
        g = assert_right(f, args, moved, 1e-15)
        assert "loop" in [op.prim.name for op in g.ops]
        assert_right(batch(f, 2, moved), [variants(a, 3) for a in args], (True, True), 1e-15)
        assert_right(vjp(g, [0, 1]), [variants(a, 3) for a in (*args, x[:, 0])], (True,) * 3, 1e-15)


def test_no_rows_at_all() -> None:
    y = np.arange(6.0)
    f = function_of(lambda x: o.exp(o.cumsum(x, axis=0)), [y])
    (out,) = evaluate(batch(f, 0, [True]), np.zeros((0, 6)))
    assert out.shape == (0, 6)


def test_what_no_row_moves_is_done_once() -> None:
    x = np.arange(3.0)
    f = function_of(lambda x, y: (o.exp(x), o.sin(y)), [x, x])
    g = assert_right(f, [x, np.stack([x, -x])], (False, True))
    shapes = {op.prim.name: op.outs[0].shape for op in g.ops}
    assert shapes == {"exp": (3,), "sin": (2, 3), "broadcast": (2, 3)}
    assert (g.params[0].shape, g.params[1].shape) == ((3,), (2, 3))


# ------------------------------------------------------------------ products


def test_one_product_for_all_rows() -> None:
    """A matrix by a stack of vectors is one product of matrices, with no batch."""
    w, xs = np.ones((4, 3)), np.ones((5, 3))
    f = function_of(lambda w, x: o.dot(w, x, contract=((1,), (0,)), batch=((), ())), [w, xs[0]])
    g = assert_right(f, [w, xs], (False, True))
    (product,) = [op for op in g.ops if op.prim is o.dot]
    assert product.attrs["batch"] == ((), ())


# ------------------------------------------------------------------ regions


def drawn_rows(args: Arrays, moved: Sequence[bool]) -> list[Any]:
    """Rows near the arguments of a case; booleans of both kinds, integers from 0 up."""
    rng, out = np.random.default_rng(5), []
    for a, m in zip(map(np.asarray, args), moved, strict=True):
        if not m:
            out.append(a)
        elif a.dtype.kind == "b":
            out.append(np.array([True, False, True]))
        elif a.dtype.kind == "i":
            out.append(np.array([2, 0, 3]) + 0 * a)
        else:
            out.append(np.stack([a * s for s in rng.uniform(0.95, 1.1, N)]))
    return out


@pytest.mark.parametrize("name", regions.CASES)
def test_regions(name: str) -> None:
    text, args, _ = regions.CASES[name]
    f = parse(text)
    for moved in choices(len(args)):
        unknown = any(-1 in v.shape for v in (*f.params, *f.outs))
        if unknown and moved[3]:
            continue  # rows of several lengths are no array
        g = assert_right(f, drawn_rows(args, moved), moved, 1e-13)
        if not unknown and all(moved):
            given = drawn_rows(args, moved)
            assert_right(g, [variants(a, 4, 2) for a in given], moved, 1e-13)


@pytest.mark.parametrize(
    "name", ["then", "call", "loop", "while", "while in loop, cond", "triangle"]
)
def test_derivatives_and_batches_of_regions_commute(name: str) -> None:
    text, args, over = regions.CASES[name]
    f = parse(text)
    moved = (True,) * len(args)
    given = drawn_rows(args, moved)
    assert_commutes(f, given, over)


def assert_commutes(f: Function, given: Arrays, over: Sequence[int]) -> None:
    """Batching a derivative and differentiating a batch are the same, and are right."""
    moved, rng = (True,) * len(given), np.random.default_rng(2)
    dots = [draw("real", "f64", given[i].shape, rng).astype(given[i].dtype) for i in over]
    floats = [v for v in loop(f, len(given[0]), given, moved) if v.dtype.kind == "f"]
    cts = [draw("real", "f64", v.shape, rng).astype(v.dtype) for v in floats]
    everywhere = moved + (True,) * len(dots)
    assert_right(jvp(f, over), [*given, *dots], everywhere, 1e-10)
    seeded = moved + (True,) * len(cts)
    assert_right(vjp(f, over), [*given, *cts], seeded, 1e-10)
    b = batch(f, len(given[0]), moved)
    for derive, more, flags in ((jvp, dots, everywhere), (vjp, cts, seeded)):
        wanted = loop(derive(f, over), len(given[0]), [*given, *more], flags)
        found = evaluate(derive(b, over), *given, *more)
        for got, want in zip(found, wanted, strict=True):
            tol = 1e-4 if want.dtype == np.float32 else 1e-9
            np.testing.assert_allclose(got, want, rtol=tol, atol=tol)


def test_a_condition_per_row_keeps_nan_out() -> None:
    """The branch that a row does not take gives it no NaN, nor to its derivatives."""
    text = """
func f(%p: bool[], %x: f64[]) -> (f64[]) {
  %r: f64[] = cond %p, %x then(%a: f64[]) {
    %1: f64[] = log %a
    yield %1
  } else(%a: f64[]) {
    %2: f64[] = mul %a, %a
    yield %2
  }
  return %r
}"""
    p, x = np.array([True, False, False]), np.array([2.0, -1.0, 0.0])
    g = assert_right(parse(text), [p, x], (True, True))
    assert "cond" not in [op.prim.name for op in g.ops]
    _, slopes = evaluate(vjp(g, [1]), p, x, np.ones(3))
    np.testing.assert_array_equal(slopes, [0.5, -2.0, 0.0])


def test_a_branch_that_may_fail_runs_row_by_row() -> None:
    text = """
func f(%p: bool[], %x: f64[3], %i: i64[]) -> (f64[]) {
  %r: f64[] = cond %p, %x, %i then(%x: f64[3], %i: i64[]) {
    %1: f64[] = gather[axes=(0,)] %x, %i
    yield %1
  } else(%x: f64[3], %i: i64[]) {
    yield 0.0:f64
  }
  return %r
}"""
    p, i = np.array([True, False, True]), np.array([2, 100, -1])
    assert_right(parse(text), [p, np.arange(3.0), i], (True, False, True))


def test_each_row_has_its_own_number_of_rounds() -> None:
    text = """
func f(%n: i64[], %x: f64[]) -> (f64[]) {
  %r: f64[] = loop[carries=1] %n, %x body(%i: i64[], %x: f64[]) {
    %1: f64[] = sin %x
    yield %1
  }
  return %r
}"""
    n = np.array([0, 3, 5])
    assert_right(parse(text), [n, np.array([1.0, 2.0, 3.0])], (True, True))
    assert_right(parse(text), [n, np.array(0.5)], (True, False))


# ------------------------------------------------------------------ programs


@pytest.mark.parametrize("seed", range(30))
def test_random_programs(seed: int) -> None:
    f, args = random_function(seed, 8)
    rng = np.random.default_rng(seed)
    ways = list(choices(len(args)))
    for k in rng.choice(len(ways), size=min(3, len(ways)), replace=False):
        moved = ways[k]
        given = [variants(np.asarray(a), 3) if m else a for a, m in zip(args, moved, strict=True)]
        assert_right(f, given, moved, 1e-5 if any(_single(f)) else 1e-9)


def _single(f: Function) -> Iterator[bool]:
    return (v.dtype == "f32" for op in all_ops(f.block) for v in op.outs)


@pytest.mark.parametrize("seed", range(200, 215))
def test_derivatives_of_batched_programs(seed: int) -> None:
    f, args = random_function(seed, 5, smooth=True)
    given = [variants(np.asarray(a), 3) for a in args]
    assert all(aval_of(a).shape[0] == N for a in given)
    assert_commutes(f, given, wrt(f))
