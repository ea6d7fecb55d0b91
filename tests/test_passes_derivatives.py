"""Forward and reverse mode against each other, against differences, and where NaN lurks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from programs import random_function, wrt

from adjit.ir import Aval, Builder, Function, Value, Where, evaluate, verify
from adjit.ir import ops as o
from adjit.passes.jvp import jvp
from adjit.passes.pipeline import PRIMAL, run
from adjit.passes.pipeline import joint as after
from adjit.passes.vjp import adjoint, vjp


def function(f: Callable[..., Any], *shapes: tuple[int, ...], dtype: str = "f64") -> Function:
    """The function of a line of rows, of float parameters."""
    params = [Value(Aval(dtype, s), h) for s, h in zip(shapes, "xyzuvw", strict=False)]
    with Builder(params) as b:
        b.where = Where("model.py", 7)
        outs = f(*params)
        return Function("f", b.done(outs if isinstance(outs, tuple) else (outs,)))


def total(x: Value) -> Value:
    return o.sum_(x, axes=tuple(range(x.ndim)))


def grad(f: Callable[..., Any], *args: np.ndarray) -> list[np.ndarray]:
    made = function(f, *(a.shape for a in args))
    joint = vjp(run(made, PRIMAL), range(len(args)), seed_ones=True, primal_outs=False)
    verify(joint)
    found, done = evaluate(joint, *args), run(joint, after(0), check=True)
    for x, y in zip(found, evaluate(done, *args), strict=True):  # also in normal form
        np.testing.assert_allclose(y, x, rtol=1e-13, atol=1e-14)
    return found


def drawn(seed: int, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(a.shape).astype(a.dtype) for a in arrays]


def moved(args: list[Any], which: list[int], by: list[np.ndarray], eps: float) -> list[Any]:
    out = list(args)
    for i, t in zip(which, by, strict=True):
        out[i] = args[i] + eps * t
    return out


@pytest.mark.parametrize("seed", range(25))
def test_modes_agree_on_random_programs(seed: int) -> None:
    f, args = random_function(seed, 8, smooth=True)
    which = wrt(f)
    primal = evaluate(f, *args)
    cts = drawn(seed, [v for v in primal if v.dtype.kind == "f"])
    ts = drawn(seed + 1, [args[i] for i in which])
    forward, reverse = jvp(f, which), vjp(f, which)
    verify(forward)
    verify(reverse)
    pushed, pulled = evaluate(forward, *args, *ts), evaluate(reverse, *args, *cts)
    n = len(primal)
    for a, b, c in zip(primal, pushed, pulled, strict=False):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    left = sum(np.vdot(c, t) for c, t in zip(cts, pushed[n:], strict=True))
    right = sum(np.vdot(g, t) for g, t in zip(pulled[n:], ts, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("seed", range(15))
def test_jvp_is_the_difference_quotient(seed: int) -> None:
    f, args = random_function(seed, 6, smooth=True)
    which = wrt(f)
    ts, eps = drawn(seed, [args[i] for i in which]), 1e-6
    n = len(f.outs)
    tangents = evaluate(jvp(f, which), *args, *ts)[n:]
    up = evaluate(f, *moved(args, which, ts, eps))
    down = evaluate(f, *moved(args, which, ts, -eps))
    floats = [i for i, v in enumerate(up) if v.dtype.kind == "f"]
    for i, t in zip(floats, tangents, strict=True):
        np.testing.assert_allclose(t, (up[i] - down[i]) / (2 * eps), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("seed", range(15))
def test_orders_of_differentiation_commute(seed: int) -> None:
    """Forward over reverse is reverse over reverse: the Hessian is symmetric."""
    f, args = random_function(seed, 5, smooth=True)
    which = wrt(f)
    cts = drawn(seed, [v for v in evaluate(f, *args) if v.dtype.kind == "f"])
    ts = drawn(seed + 1, [args[i] for i in which])
    gradient = vjp(f, which, primal_outs=False)
    over = evaluate(jvp(gradient, which), *args, *cts, *ts)[len(which) :]
    under = evaluate(vjp(gradient, which, primal_outs=False), *args, *cts, *ts)
    for a, b in zip(over, under, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8)


# ------------------------------------------------------------------ NaN


X = np.array([-1.0, 0.0, 1.0, 4.0])


def masked(inside: Callable[[Value], Value]) -> Callable[[Value], Value]:
    return lambda x: total(o.select(o.greater(x, 0), inside(x), 0.0))


@pytest.mark.parametrize(
    ("inside", "slope"),
    [
        (o.log, lambda x: 1 / x),
        (o.sqrt, lambda x: 0.5 / np.sqrt(x)),
        (lambda x: o.log(o.sqrt(x)) * x, lambda x: 0.5 * np.log(x) + 0.5),
        (lambda x: 1 / x, lambda x: -1 / x**2),
        (lambda x: o.log(x) * o.log(x), lambda x: 2 * np.log(x) / x),
        (lambda x: o.reshape(o.sqrt(o.reshape(-x * -1.0, shape=(2, 2))), shape=(4,)), None),
        (lambda x: o.pow_(x, 0.5), lambda x: 0.5 / np.sqrt(x)),
    ],
)
def test_the_branch_not_taken_makes_no_nan(inside: Any, slope: Any) -> None:
    slope = slope or (lambda x: 0.5 / np.sqrt(x))
    (got,) = grad(masked(inside), X)
    expected = [slope(x) if x > 0 else 0.0 for x in X]
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    (flipped,) = grad(lambda x: total(o.select(o.less_equal(x, 0), 0.0, inside(x))), X)
    np.testing.assert_array_equal(flipped, got)


def test_two_masks_guard_a_shared_value() -> None:
    def f(x: Value) -> Value:
        y = o.sqrt(x)
        low = o.select(o.less(x, 2), y, 0.0)
        return total(o.select(o.greater(x, 0), low + o.sin(y), 0.0))

    (got,) = grad(f, X)
    assert np.isfinite(got).all()
    assert got[0] == got[1] == 0.0


def test_a_clipped_argument_has_no_infinite_slope() -> None:
    (got,) = grad(lambda x: total(o.sqrt(o.maximum(x, 0.0))), np.array([-1.0, 4.0]))
    np.testing.assert_array_equal(got, [0.0, 0.25])


def test_losses_have_finite_slopes_far_out() -> None:
    x = np.array([-1e4, -800.0, -1.0, 0.0, 1.0, 800.0, 1e4])
    (softplus,) = grad(lambda x: total(o.logaddexp(0.0, x)), x)
    np.testing.assert_allclose(softplus, 1 / (1 + np.exp(-np.clip(x, -700, None))), atol=1e-300)
    (both,) = grad(lambda x: total(o.logaddexp(x, 0.0) + o.logaddexp(0.0, -x)), x)
    np.testing.assert_allclose(both, np.tanh(x / 2), rtol=1e-14)


# ------------------------------------------------------------------ the joint function


def test_seeds_results_and_names() -> None:
    f = function(lambda x, y: (x * y, total(o.sin(x))), (3,), (3,))
    joint = vjp(f, (1,))
    assert [v.hint for v in joint.params] == ["x", "y", "ct", "ct"]
    assert [v.shape for v in joint.outs] == [(3,), (), (3,)]
    assert [v.shape for v in vjp(f, (1,), primal_outs=False).outs] == [(3,)]
    assert [v.hint for v in jvp(f, (1,)).params] == ["x", "y", "y_dot"]


def test_adjoint_ops_keep_the_users_line() -> None:
    f = function(lambda x: total(o.sin(x) * x), (3,))
    assert {op.where for op in vjp(f, (0,)).ops} == {Where("model.py", 7)}


def test_unreached_arguments_are_reported_with_what_cut_them() -> None:
    found = adjoint(function(lambda x, y, z: total(o.floor(x) * y), (3,), (3,), (3,)), (0, 1, 2))
    assert found.unreached == (0, 2)
    assert found.cuts == (Where("model.py", 7), None)
    x = np.ones(3)
    np.testing.assert_array_equal(evaluate(found.function, x, x, x, 1.0)[1], 0.0)


def test_integers_carry_no_derivative() -> None:
    n = Value(Aval("i64"), "n")
    x = Value(Aval("f64"), "x")
    with Builder((n, x)) as b:
        f = Function("f", b.done((o.cast(n, dtype="f64") * x, o.add(n, 1))))
    joint = vjp(f, (1,))
    assert len(joint.params) == 3  # no seed for the integer result
    with pytest.raises(TypeError, match=r"f: parameter 0 \(n\) has dtype i64; only floating"):
        vjp(f, (0,))


def test_an_equal_op_is_pulled_once() -> None:
    """Two ops numbered to one value: its cotangents are summed before the one pull."""
    x = Value(Aval("f64"), "x")
    with Builder((x,), number=False) as b:
        a, c = o.sin(x), o.sin(x)
        f = Function("f", b.done((a * 2.0 + o.cos(a) * c,)))
    v = 0.7
    s = np.sin(v)
    (g,) = evaluate(vjp(f, (0,), seed_ones=True, primal_outs=False), v)
    np.testing.assert_allclose(g, (2 - np.sin(s) * s + np.cos(s)) * np.cos(v), rtol=1e-14)


def test_broadcast_arguments_get_their_shape_back() -> None:
    x, y = np.arange(3.0).reshape(3, 1), np.arange(4.0)
    gx, gy = grad(lambda x, y: total(o.exp(x * y)), x, y)
    e = np.exp(x * y)
    np.testing.assert_allclose(gx, (e * y).sum(1, keepdims=True))
    np.testing.assert_allclose(gy, (e * x).sum(0))
