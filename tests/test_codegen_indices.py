"""Indices that data give: checked once for all loops over them, and what orders give."""

import numpy as np
import pytest

from adjit import fori_loop, options, value_and_grad
from adjit.ir.ops.reduce import MANY, argsort

RNG = np.random.default_rng(11)


def spline(c, x, y):
    i = np.floor(x).astype(int)
    t = x - i
    v = np.exp(-t) * c[i] + np.exp(t - 1) * c[i + 1] + t**2 * c[i + 2]
    return np.mean((v - y) ** 2)


def hazards(b, x, t):
    order = np.argsort(-t)
    eta = x[order] @ b
    return np.sum(np.log(np.cumsum(np.exp(eta)))) - eta @ t[order]


def agree(f, *args):
    value, slope = f(*args)
    with options(interpret=True):
        expected, wanted = f(*args)
    np.testing.assert_allclose(value, expected, rtol=1e-11)
    np.testing.assert_allclose(slope, wanted, rtol=1e-9, atol=1e-12)
    return f.source(*args)


def test_loops_over_the_same_rows_check_their_indices_once():
    step = value_and_grad(spline)
    c, x, y = RNG.normal(size=30), RNG.uniform(-20, 27.9, 500), RNG.normal(size=500)
    text = agree(step, c, x, y)
    assert text.count("status |=") == 3 and text.count("return status") == 2
    for bad in (28.5, -33.0):
        x[499] = bad
        with pytest.raises(IndexError, match="out of bounds"):
            step(c, x, y)


def test_an_array_and_what_belongs_to_its_rows_have_one_extent():
    args = RNG.normal(size=40) * 0.1, RNG.normal(size=(300, 40)), RNG.uniform(size=300)
    text = agree(value_and_grad(hazards), *args)
    # The four rows at a time of the first loop, and those left over; no later loop.
    assert text.count("status |=") == 5


def test_indices_of_a_round_are_those_of_no_other_round():
    def walk(x, places, n):
        def step(k, state):
            v, i = state
            v = v + np.sin(x[i])
            return v * 0.9 + x[i] * 0.1, (i * 3 + k) % (len(x) + k // 5)

        v, _ = fori_loop(0, n, step, (np.zeros(len(places)), places))
        return np.sum(v**2)

    step, x, places = value_and_grad(walk), RNG.normal(size=20), RNG.integers(0, 20, 100)
    agree(step, x, places, 5)
    with pytest.raises(IndexError, match="out of bounds"):
        step(x, places, 9)


def test_rows_are_fetched_ahead_in_loops_as_well():
    def transport(x, y):
        cost = np.sum((x[:, None] - y) ** 2, axis=-1)
        k, n = np.exp(-cost), len(x)
        u, v = np.ones(n) / n, np.ones(n) / n
        for _ in range(50):
            u = (1 / n) / (k @ v)
            v = (1 / n) / (k.T @ u)
        return np.sum(u[:, None] * k * v * cost)

    step = value_and_grad(transport)
    assert "ll.ahead(" in agree(step, *RNG.normal(size=(2, 60, 2)))


@pytest.mark.parametrize(("shape", "axis"), [((MANY + 3,), 0), ((2, MANY), 1), ((MANY, 2), 0)])
def test_orders_are_stable(shape, axis):
    x = RNG.integers(-9, 9, shape).astype("f8")
    x[RNG.random(shape) < 0.1] = np.nan
    x[RNG.random(shape) < 0.1] = -0.0
    x[RNG.random(shape) < 0.1] = -np.inf
    wanted = np.argsort(x, axis, kind="stable")
    np.testing.assert_array_equal(argsort.ref(x, axis=axis), wanted)
