"""Parts of arrays that are read and written by place: no copy, no mask, nothing array-wide."""

from collections.abc import Callable

import numpy as np
import pytest
from graphs import assert_agree, kinds

from adjit import grad, options
from adjit.ir import Aval, Builder, Function, Value, parse
from adjit.ir import ops as o
from adjit.ir.core import all_ops
from adjit.passes.parts import parts
from adjit.passes.simplify import cleanup
from adjit.passes.vjp import vjp

X = np.random.default_rng(3).normal(size=(5, 6, 7))
PARTS = [
    ((0, 2, 0), (5, 1, 7), (0,)),
    ((0, 2, 1), (5, 1, 4), (0,)),
    ((3, 0, 6), (1, 6, 1), (1,)),
    ((0, 0, 2), (5, 6, 3), (0, 1)),
    ((2, 1, 0), (1, 1, 7), (2,)),
]


def program(f: Callable[..., Value], *avals: Aval) -> Function:
    params = [Value(a) for a in avals]
    with Builder(params) as b:
        return Function("f", b.done([f(*params)]))


@pytest.mark.parametrize(("start", "size", "axes"), PARTS)
def test_elements_of_parts_are_read_where_they_lie(start, size, axes):
    def f(x: Value, *at: Value) -> Value:
        return o.gather(o.slice_(x, start=start, size=size, step=(1, 1, 1)), *at, axes=axes)

    at = [np.int64(k) for k in (-1, 1)][: len(axes)]
    before = program(f, Aval("f64", X.shape), *(Aval("i64") for _ in at))
    after = cleanup(before)
    assert after.ops[0].prim.name == "gather"
    assert_agree(before, after, X, *at)


@pytest.mark.parametrize("step", [(1, 1, 1), (2, 1, 1)])
def test_parts_that_are_cut_along_the_index_stay_parts(step):
    text = f"""
func f(%x: f64[5,6,7], %i: i64[]) -> (f64[6,1]) {{
  %0: f64[2,6,1] = slice[size=(2, 6, 1), start=(1, 0, 3), step={step}] %x
  %1: f64[6,1] = gather[axes=(0,)] %0, %i
  return %1
}}
"""
    assert kinds(cleanup(parse(text)))["slice"] == 1


def test_what_is_written_twice_is_written_once():
    text = """
func f(%x: f64[5], %y: f64[], %z: f64[], %i: i64[]) -> (f64[5], f64[5]) {
  %0: f64[5] = scatter[axes=(0,)] %x, %y, %i
  %1: f64[5] = scatter[axes=(0,)] %0, %y, %i
  %2: f64[5] = scatter[axes=(0,)] %0, %z, %i
  return %1, %2
}
"""
    before = parse(text)
    after = cleanup(before)
    assert kinds(after)["scatter"] == 2
    assert_agree(before, after, X[0, 0, :5], 2.0, 3.0, np.int64(-2))


LOOP = """
func f(%x: f64[6,5], %u: f64[4], %v: f64[4,3]) -> (f64[6,5]) {{
%y: f64[6,5] = loop[carries=1] 4, %x, %u, %v body(%i: i64[], %a: f64[6,5], %s: f64[], %r: f64[3]) {{
    %0: f64[6,5] = scatter[axes=(0, 1)] %a, %s, %i, 2:i64
    %1: f64[1,3] = reshape[shape=(1, 3)] %r
    %2: f64[6,5] = pad[shape=(6, 5), start=(3, 1), step=(1, {step})] %1
    %3: f64[6,5] = add {sum}
    {more}
    yield {out}
  }}
  return %y
}}
"""


@pytest.mark.parametrize("sum_", ["%0, %2", "%2, %0"])
@pytest.mark.parametrize("step", [1, -1])
def test_rows_are_added_to_what_rounds_write_into(sum_, step):
    text = LOOP.format(sum=sum_, step=step, more="", out="%3")
    before = parse(text if step == 1 else text.replace("(3, 1)", "(3, 3)"))
    after = parts(before)
    names = [op.prim.name for op in all_ops(after.block)]
    assert names.count("scatter_add") == 1
    assert "add" not in names
    assert_agree(before, after, X[0, :, :5], X[0, 0, :4], X[1, :4, :3])


def test_whole_rows_that_come_turned_round_are_turned_round():
    text = LOOP.format(sum="%0, %2", step=-1, more="", out="%3").replace("(3, 1)", "(3, 4)")
    wider = (
        ("f64[4,3]", "f64[4,5]"),
        ("f64[3]", "f64[5]"),
        ("[1,3]", "[1,5]"),
        ("(1, 3)", "(1, 5)"),
    )
    for old, new in wider:
        text = text.replace(old, new)
    before = parse(text)
    after = parts(before)
    assert "add" not in [op.prim.name for op in all_ops(after.block)]
    assert_agree(before, after, X[0, :, :5], X[0, 0, :4], X[1, :4, :5])


@pytest.mark.parametrize(
    ("more", "out"),
    [("%4: f64[6,5] = mul %3, %3", "%4"), ("%4: f64[6,5] = add %3, %2", "%4")],
    ids=["all of it changes", "two read the row"],
)
def test_sums_of_arrays_that_do_not_stay_in_place_are_left(more, out):
    before = parse(LOOP.format(sum="%0, %2", step=1, more=more, out=out))
    assert parts(before) is before


def _eliminated(a, b):
    a, b = a.copy(), b.copy()
    for k in range(6):
        for i in range(k + 1, 6):
            m = a[i, k] / a[k, k]
            a[i, k:] -= m * a[k, k:]
            b[i] -= m * b[k]
    return np.sum(b**2) + np.sum(a[:, 3] * a[2])


def test_elimination_by_rows_looks_for_no_winner_and_copies_no_matrix():
    a, b = X[0, :6, :6] + 8 * np.eye(6), X[1, :6, 0]
    slope = grad(_eliminated, argnums=(0, 1))
    lines = slope.ir(a, b, stage="simplified").splitlines()
    assert not any("= equal" in line for line in lines)
    kept = [line.partition("= loop")[0] for line in lines if "= loop" in line]
    assert kept
    assert not any("i64" in k for k in kept)  # no index is handed to the adjoint
    found = slope(a, b)
    with options(interpret=True):
        for x, y in zip(found, grad(_eliminated, argnums=(0, 1))(a, b), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
    e = 1e-6 * X[2, :6, :6]
    change = (_eliminated(a + e, b) - _eliminated(a - e, b)) / 2
    assert abs(np.sum(found[0] * e) - change) < 1e-6 * abs(change)


def test_updates_of_columns_by_place_have_no_winners_where_they_are_apart():
    def f(x: Value, u: Value, i: Value) -> Value:
        at = o.add(o.iota(shape=(3,), axis=0, dtype="i64"), 2)
        return o.scatter(x, u, o.broadcast(i, shape=(3,), axes=(0,)), at, axes=(0, 1))

    def g(x: Value, u: Value, i: Value) -> Value:
        here = o.broadcast(i, shape=(3,), axes=(0,))
        return o.scatter(x, u, here, here, axes=(0, 1))

    avals = Aval("f64", (4, 6)), Aval("f64", (3,)), Aval("i64")
    assert not kinds(vjp(program(f, *avals), wrt=(0, 1)))["equal"]
    assert kinds(vjp(program(g, *avals), wrt=(0, 1)))["equal"]
