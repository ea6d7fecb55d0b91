"""Passes that copy: replay, dead code, constants, numbering; and small arrays to scalars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from programs import random_function

from adjit.ir import PRIMS, Aval, Builder, Const, Function, Prim, Value, canonical, evaluate, verify
from adjit.ir import ops as o
from adjit.ir.core import all_ops
from adjit.ir.ops import control, shape
from adjit.passes.dce import dce
from adjit.passes.replay import rebuild
from adjit.passes.scalars import scalars
from adjit.passes.simplify import cleanup


def function(f: Callable[..., Any], *avals: Aval, number: bool = True) -> Function:
    params = [Value(a) for a in avals]
    with Builder(params, number=number) as b:
        outs = f(*params)
        return Function("f", b.done(outs if isinstance(outs, tuple) else (outs,)))


F, V3 = Aval("f64"), Aval("f64", (3,))


def names(f: Function) -> list[str]:
    return [op.prim.name for op in all_ops(f.block)]


@pytest.mark.parametrize("run", [rebuild, dce, cleanup, scalars])
@pytest.mark.parametrize("seed", range(12))
def test_values_stay_to_the_bit(run: Callable[[Function], Function], seed: int) -> None:
    f, args = random_function(seed, 12)
    g = run(f)
    verify(g)
    for x, y in zip(evaluate(f, *args), evaluate(g, *args), strict=True):
        np.testing.assert_array_equal(x, y)
    assert canonical(run(g)) == canonical(g)


def test_a_copy_shares_no_value_and_keeps_names_and_places() -> None:
    f, _ = random_function(3, 12)
    g = rebuild(f)
    assert {op.where for op in all_ops(f.block)} == {op.where for op in all_ops(g.block)}
    old = {v for op in all_ops(f.block) for v in op.outs}
    assert old.isdisjoint(v for op in all_ops(g.block) for v in op.outs)


def test_a_visitor_answers_for_ops_of_regions_too() -> None:
    def f(p: Value, x: Value) -> Any:
        y, z = Value(F), Value(F)
        with Builder((y,)) as b:
            then = b.done((o.sin(y),))
        with Builder((z,)) as b:
            other = b.done((o.cos(z),))
        return control.emit_cond(p, [x], then, other)

    made = function(f, Aval("bool"), F)
    swapped = rebuild(made, lambda b, op, args: (o.tan(*args),) if op.prim is o.sin else None)
    assert "tan" in names(swapped) and "sin" not in names(swapped)
    np.testing.assert_allclose(evaluate(swapped, np.bool_(True), 0.5)[0], np.tan(0.5))


def test_dead_code_goes_but_effects_stay() -> None:
    guard = Prim(
        name="test_effect", infer=lambda x: (), ref=lambda x: (), nondiff="an effect", pure=False
    )
    PRIMS.pop("test_effect")  # no row for other tests to draw

    def f(x: Value) -> Value:
        o.cos(x)
        o.exp(o.cos(x))
        guard(o.sin(x))
        return x * 2.0

    assert names(dce(function(f, F))) == ["sin", "test_effect", "mul"]


def test_constants_are_folded_by_the_reference() -> None:
    def f(x: Value) -> Value:
        c = o.sqrt(Const(2.0, "f64")) * o.exp(Const(0.5, "f64"))
        return x * c

    g = dce(cleanup(function(f, F)))
    (op,) = g.ops
    assert isinstance(op.args[1], Const)
    assert op.args[1].data == np.sqrt(2.0) * np.exp(0.5)


def test_commuted_and_repeated_ops_are_one() -> None:
    def f(x: Value, y: Value) -> Value:
        return o.sin(x * y) + o.sin(y * x) - (x - y) * (y - x)

    g = cleanup(function(f, F, F, number=False))
    assert sorted(names(g)) == ["add", "mul", "mul", "sin", "sub", "sub", "sub"]


# ------------------------------------------------------------------ scalars


def test_a_stack_that_is_only_indexed_disappears() -> None:
    def f(x: Value, y: Value) -> Value:
        u = shape.stack([x, y])
        du = o.sin(u) * 2.0
        v = shape.stack([pick(du, 1), pick(du, 0)]) + u
        return pick(v, 0) * pick(v, 1)

    def pick(v: Value, i: int) -> Value:
        return o.reshape(o.slice_(v, start=(i,), size=(1,), step=(1,)), shape=())

    made = function(f, F, F)
    done = scalars(made)
    verify(done)
    assert all(not v.shape for op in done.ops for v in op.outs)
    assert set(names(done)) == {"sin", "mul", "add"}
    np.testing.assert_array_equal(evaluate(made, 0.3, 0.4), evaluate(done, 0.3, 0.4))


def test_a_stack_that_is_returned_stays() -> None:
    made = function(lambda x, y: shape.stack([x, y]) * 2.0, F, F)
    assert canonical(scalars(made)) == canonical(made)


def test_sums_and_views_of_stacks() -> None:
    def f(x: Value, y: Value, p: Value) -> Value:
        u = shape.stack([x, y, x * y])
        m = o.broadcast(u, shape=(1, 3), axes=(0,))
        t = o.transpose(m, perm=(1, 0))
        return o.sum_(t * o.reshape(p, shape=(3, 1)), axes=(0, 1))

    made = function(f, F, F, V3)
    done = scalars(made)
    assert "concatenate" not in names(done)
    args = 0.3, 0.4, np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(evaluate(made, *args), evaluate(done, *args), rtol=1e-15)
