"""Loops of which all but a few elements are the same."""

import itertools

import numpy as np
import pytest

from adjit import hessian, jacobian, options
from adjit.codegen.spikes import spikes


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def bent(x):
    return np.sum((x[2:] - 2 * x[1:-1] + x[:-2]) ** 2 * x[1:-1]) + np.sum(np.sin(x))


def alone(x):
    return np.sum(np.log(1 + x * x) * x)


def mixed(x):
    return np.sum(x[1:] * x[:-1] ** 2) + np.exp(-np.sum(x * x))


def folded(x):
    return np.sum(x[::-1] ** 3 * x)


@pytest.mark.parametrize("f", [rosenbrock, bent, alone, mixed, folded])
def test_hessians_are_those_of_the_interpreter(f):
    made = hessian(f)
    for n, dtype in ((17, np.float64), (40, np.float64), (20, np.float32)):
        x = np.random.default_rng(n).uniform(-1, 1, n).astype(dtype)
        with options(interpret=True):
            want = hessian(f)(x)
        rtol = 1e-12 if dtype is np.float64 else 1e-5
        np.testing.assert_allclose(made(x), want, rtol=0, atol=rtol * np.abs(want).max())


def test_what_is_not_finite_stays_where_the_loop_would_put_it():
    x = np.linspace(-1, 1, 20)
    x[7] = np.inf
    with options(interpret=True), np.errstate(all="ignore"):
        want = hessian(rosenbrock)(x)
    assert np.array_equal(np.isnan(hessian(rosenbrock)(x)), np.isnan(want))


def test_jacobians_of_shifts_read_no_column_of_their_arguments():
    shifted = jacobian(lambda x: 3.0 * x[2:] - x[:-2] * x[1:-1])
    x = np.random.default_rng(0).normal(size=24)
    want = (
        3.0 * np.eye(22, 24, 2) - np.eye(22, 24) * x[1:-1, None] - np.eye(22, 24, 1) * x[:-2, None]
    )
    np.testing.assert_allclose(shifted(x), want, rtol=1e-15)


LINES = ("a = i", "b = a == r", "c = ll.f64(b)", "d = c * x", "out[q + i] = d")


def rewritten(*lines):
    numbers = itertools.count()
    return spikes("i", ("0", "n"), lines, lambda stem: f"{stem}{next(numbers)}")


def test_the_text_of_a_row_computes_its_value_once_and_the_columns_that_differ():
    assert rewritten(*LINES) == [
        "no0 = False",
        "t1 = ll.f64(no0)",
        "t2 = t1 * x",
        "for i in range(n):",
        "    out[q + i] = t2",
        "for s3 in range(1):",
        "    k4 = r",
        "    if (k4 >= 0) & (k4 < n):",
        "        at5 = k4 == r",
        "        t6 = ll.f64(at5)",
        "        t7 = t6 * x",
        "        out[q + k4] = t7",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "e = y[i]",
        "e = y[q + a]",
        "e = a * 2",
        "x = ll.radd(x, d)",
        "x = d",
        "e = out[q]",
        "status |= 1",
        "out[q + a] = d",
        "out[q] = d",
        "out[i] = a",
        "e = a == c",
        "e = a < r",
        "for j in range(3):",
    ],
)
def test_other_loops_stay(line):
    assert rewritten(*LINES[:-1], line, LINES[-1]) is None
    assert rewritten("c = x * x", "out[q + i] = c") is None
