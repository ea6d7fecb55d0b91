"""What is computed of gathered rows is computed of the rows, where indices repeat them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import assert_agree

from adjit import grad, jit, options
from adjit.passes.outward import outward
from adjit.passes.pipeline import JOINT, PRIMAL, run
from adjit.passes.vjp import vjp
from adjit.tracer.trace import trace

RNG = np.random.default_rng(11)
N, ROWS, D = 40, 7, 5
X, Y, W = RNG.uniform(0.5, 2, (ROWS, D)), RNG.normal(size=(N, D)), RNG.normal(size=(D, 3))
INDEX = RNG.integers(-ROWS, ROWS, N)
SOME = RNG.integers(1, 5, (N // 2, 2))  # leaves rows out
PICK = RNG.integers(0, D, N)


def bigrams(x: Any, i: Any, y: Any) -> Any:
    z = x[i]
    z = z - z.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -np.mean(log_p[np.arange(len(y)), y])


def logistic(x: Any, i: Any, y: Any) -> Any:
    p = 1.0 / (1.0 + np.exp(-x[i]))
    return np.mean((p - y) ** 2)


def weighed(x: Any, i: Any, y: Any) -> Any:
    return np.sum(np.sin(x[i]).sum(axis=1) * y[:, 0])


def hidden(x: Any, i: Any, w: Any) -> Any:
    return np.sum(np.tanh(x[i] @ w) ** 2 * np.arange(3.0))


def normed(x: Any, i: Any, y: Any) -> Any:
    z = x[i]
    z = (z - z.mean(axis=1)[:, None]) / np.sqrt(z.var(axis=1)[:, None] + 0.1)
    return np.sum(z.reshape(N, 1, D)[:, 0] * y)


def pairs(x: Any, i: Any, w: Any) -> Any:
    z = np.log(x[i])
    return np.sum(np.exp(z.sum(axis=(1, 2)) / 10) @ np.ones(len(i))) + np.sum(z @ w)


@pytest.mark.parametrize(
    ("f", "args", "sizes"),
    [
        (bigrams, (X, INDEX, PICK), {N}),
        (logistic, (X, INDEX, Y), {N * D}),
        (weighed, (X, INDEX, Y), {N, N * D}),
        (hidden, (X, INDEX, W), {N * 3}),
        (normed, (X, INDEX, Y), {N * D}),
        (pairs, (X, SOME, W), {N // 2}),
    ],
)
def test_work_on_rows_runs_once_for_each(
    f: Callable[..., Any], args: tuple[Any, ...], sizes: set[int]
) -> None:
    t = trace(f, args)
    before = t.function
    after = run(before, PRIMAL, check=True)
    inputs = [np.asarray(a) for a in args] + [np.asarray(c.read()) for c in t.captures]
    assert_agree(before, outward(before), *inputs)
    wrt = tuple(k for k, p in enumerate(before.params) if p.dtype == "f64")
    slopes = [vjp(g, wrt, seed_ones=True) for g in (before, after)]
    assert_agree(*slopes, *inputs, rtol=1e-9)
    assert_agree(slopes[0], run(slopes[1], JOINT, check=True), *inputs, rtol=1e-9)
    costly = {
        op.outs[0].aval.size
        for op in after.ops
        if op.prim.name in ("exp", "log", "sin", "tanh", "sqrt")
    }
    assert costly and max(costly) <= X.size
    assert {op.outs[0].aval.size for op in after.ops if op.prim.name in ("add", "div", "sum")} <= (
        {1, ROWS, X.size} | sizes
    )


def test_a_number_repeated_for_every_row_is_no_row() -> None:
    def f(x: Any, i: Any, s: Any) -> Any:
        return np.sum(np.exp(x[i][:, :1]) * (np.zeros((N, D)) + s) ** 2)

    t = trace(f, (X, INDEX, np.float64(0.3)))
    assert_agree(t.function, outward(t.function), X, INDEX, np.float64(0.3))


def test_as_many_columns_as_indices() -> None:
    def f(x: Any, i: Any, v: Any) -> Any:
        return np.exp(x[i] * v) + v + np.cos(v)[:, None] * x[i] + np.log(x[i][:, 0]) * x[i]

    x, i = RNG.uniform(1, 2, (3, 6)), RNG.integers(0, 3, 6)
    v = RNG.normal(size=6)
    t = trace(f, (x, i, v))
    assert_agree(t.function, outward(t.function), x, i, v)


def test_rows_that_no_index_reaches_may_hold_anything() -> None:
    x = X.copy()
    x[0] = np.nan
    x[5:] = 0.0

    def f(x: Any, i: Any, w: Any) -> Any:
        return np.sum(np.log(x[i]).sum(axis=2) / (1 + np.exp(x[i] @ w)[..., 0]))

    with options(interpret=True):
        gx, gw = grad(f, argnums=(0, 2))(x, SOME, W)
    full = grad(f, argnums=(0, 2))(X, SOME, W)
    np.testing.assert_allclose(gx, full[0], rtol=1e-12)
    np.testing.assert_allclose(gw, full[1], rtol=1e-12)


def test_rows_that_are_read_behind_masks_alone() -> None:
    """As `f(x[i])` would: where no result reads a row, its slope is zero, be it no number."""
    x, i = np.array([0.0, -1.0, 2.0]), np.arange(30) % 3

    def f(x: Any, w: Any, read: Any) -> Any:
        return np.sum(np.where(read, np.log(x[i] * w) * np.sqrt(x[i]), 0.0))

    def alone(x: Any, w: Any, read: Any) -> Any:
        return 10 * np.log(x[2] * w) * np.sqrt(x[2])

    for mode in ({}, {"interpret": True}):
        with options(**mode), np.errstate(all="ignore"):
            found = grad(f, argnums=(0, 1))(x, 1.5, i == 2)
            np.testing.assert_allclose(np.hstack(found), np.hstack(grad(alone, (0, 1))(x, 1.5, 0)))


def test_dims_of_indices_that_broadcast_beside_each_other() -> None:
    i = RNG.integers(0, 4, (4, 4))
    x, y = RNG.normal(size=4), RNG.normal(size=(4, 4))
    t = trace(lambda x, y, i: np.exp(np.sin(y[i]) * x[i]), (x, y, i))
    assert_agree(t.function, outward(t.function), x, y, i)


def test_masks_of_the_user_that_say_which_rows_are_reached() -> None:
    def f(x: Any, y: Any, i: Any) -> Any:
        reached = np.zeros(5, bool)
        reached[i] = True
        z = np.where(reached, x, y)
        return z[i], np.take(z, i, mode="clip")

    i = np.array([1, 2, 2, -1])
    for x in (3.0, Y[0]):
        for out, expected in zip(jit(f)(x, Y[1], i), f(x, Y[1], i), strict=True):
            np.testing.assert_array_equal(out, expected)
