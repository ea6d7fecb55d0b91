"""Loop-invariant motion: what moves, what stays, and that values do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from programs import programs, random_function, wrt

from adjit.ir import Aval, Builder, Function, Value, canonical, evaluate, ops, parse, verify
from adjit.ir import ops as o
from adjit.ir.ops import control
from adjit.passes.dce import dce
from adjit.passes.licm import licm
from adjit.passes.vjp import vjp


@pytest.mark.parametrize("seed", range(30))
def test_values_stay(seed: int) -> None:
    f, args = random_function(seed + 300, 12)
    g = licm(f)
    verify(g)
    for x, y in zip(evaluate(f, *args), evaluate(g, *args), strict=True):
        np.testing.assert_array_equal(x, y)
    assert canonical(licm(g)) == canonical(g)


def scanned(body: object, rounds: int = 4) -> Function:
    """A loop of one vector constant and one vector carry, whose body is given."""
    w, x = Value(Aval("f64", (3,)), "w"), Value(Aval("f64", (3,)), "x")
    i, held, carry = Value(Aval("i64"), "i"), Value(w.aval, "w"), Value(x.aval, "h")
    with Builder((i, held, carry)) as b:
        block = b.done((body(i, held, carry),))  # type: ignore[operator]
    with Builder((w, x)) as b:
        return Function("f", b.done(control.emit_loop(rounds, [w], [x], [], block)))


def inside(f: Function) -> list[str]:
    (loop,) = [op for op in f.ops if op.prim.name == "loop"]
    return [op.prim.name for op in loop.blocks["body"].ops]


def test_work_on_constants_leaves_the_loop() -> None:
    f = scanned(lambda i, w, h: o.sin(h) * o.exp(w * 2.0))
    g = licm(f)
    verify(g)
    assert [op.prim.name for op in g.ops] == ["mul", "exp", "loop"]
    assert inside(g) == ["sin", "mul"]
    x = np.array([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(evaluate(f, x, x)[0], evaluate(g, x, x)[0])


def test_what_stays_is_computed_before_the_loop_too() -> None:
    def body(i: Value, w: Value, h: Value) -> Value:
        wide = o.broadcast(w, shape=(4, 3), axes=(0,))
        return o.sum_(wide, axes=(0,)) + o.sum_(wide * h, axes=(0,))

    f = scanned(body)
    g = licm(f)
    verify(g)
    assert [op.prim.name for op in g.ops] == ["broadcast", "sum", "loop"]
    assert inside(g) == ["broadcast", "mul", "sum", "add"]
    x = np.array([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(evaluate(f, x, x)[0], evaluate(g, x, x)[0])
    assert canonical(licm(g)) == canonical(g)


def test_a_loop_of_no_rounds_gives_its_start() -> None:
    g = licm(scanned(lambda i, w, h: h / o.log(w), rounds=0))
    x = np.array([0.1, 0.2, 0.3])
    np.testing.assert_array_equal(evaluate(g, -x, x)[0], x)


def test_views_and_cheap_larger_arrays_stay() -> None:
    def body(i: Value, w: Value, h: Value) -> Value:
        table = o.reshape(w, shape=(3, 1)) * w
        return o.sum_(table * h, axes=(1,)) + o.slice_(w, start=(2,), size=(3,), step=(-1,))

    f = scanned(body)
    assert canonical(licm(f)) == canonical(f)


def test_nothing_moves_that_depends_on_the_round() -> None:
    f = scanned(lambda i, w, h: h + o.cast(i, dtype="f64") * w)
    assert canonical(licm(f)) == canonical(f)


# ------------------------------------------------------------------ drawn programs, adjoints, while

WHILE = """
func f(%x: f64[], %c: f64[]) -> (f64[]) {
  %r: f64[], %k: i64[] = while[consts=1] %c, %x test(%c: f64[], %x: f64[]) {
    %1: bool[] = less %x, 9.0
    yield %1
  } body(%c: f64[], %x: f64[]) {
    %1: f64[] = exp %c
    %2: f64[] = add %x, %1
    yield %2
  }
  return %r
}"""


def assert_same(function: Function, args: list[np.ndarray]) -> None:
    moved = licm(function)
    verify(moved)
    for a, b in zip(evaluate(function, *args), evaluate(moved, *args), strict=True):
        np.testing.assert_array_equal(a, b)
    settled = dce(moved)
    assert canonical(dce(licm(settled))) == canonical(settled)


@settings(max_examples=30, deadline=None)
@given(programs(8))
def test_values_stay_on_drawn_programs(program: tuple[Function, list[np.ndarray]]) -> None:
    assert_same(*program)


def test_adjoints_stay() -> None:
    for seed in range(8):
        function, args = random_function(seed, 6)
        assert_same(vjp(function, wrt(function), seed_ones=True), args)


def test_out_of_while() -> None:
    exp, loop = licm(parse(WHILE)).ops
    assert (exp.prim, loop.prim) == (ops.exp, ops.while_)
    # exp's result took the place of the constant that only exp read
    assert len(loop.blocks["test"].params) == len(loop.blocks["body"].params) == 2
    assert_same(parse(WHILE), [np.float64(0.0), np.float64(1.0)])
