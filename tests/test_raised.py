"""Errors of Python's numbers and of `math`, where a function handles them."""

from __future__ import annotations

import math
import statistics
from statistics import stdev
from typing import Any

import numpy as np
import pytest

from adjit import check_grads, errors, jit, value_and_grad

pytestmark = pytest.mark.usefixtures("interpreted")


def divided(x: float) -> float:
    try:
        return 1 / x + 1.0 // x + 3.0 % x
    except ZeroDivisionError:
        return 5 * x - 3.0


def logarithm(x: float) -> float:
    def inner(x: float) -> float:
        return math.log(x) + math.sqrt(x)

    try:
        return inner(x)
    except ValueError:
        return 2 * x


def exponential(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.cosh(x / 1000)


@pytest.mark.parametrize(
    ("f", "places"),
    [
        (divided, (2.3, 0.0, -1.4)),
        (logarithm, (2.0, 0.0, -1.0)),
        (exponential, (1.0, 1000.0)),
        (lambda x: 1 / x, (2.0,)),
    ],
)
def test_errors_that_are_handled_are_raised(f: Any, places: Any) -> None:
    step, e = value_and_grad(f), 1e-6
    for x in places:
        value, slope = step(x)
        assert value == pytest.approx(f(x), rel=1e-12)
        if x:
            assert slope == pytest.approx((f(x + e) - f(x - e)) / (2 * e), rel=1e-6)


def test_errors_that_are_not_handled_are_numpys_values() -> None:
    f = jit(lambda x: (1 / x, math.log(x), math.exp(1000 + x)))
    assert f(0.0) == (math.inf, -math.inf, math.inf)


@pytest.mark.parametrize("set_", [np.errstate, np.seterr])
def test_floating_point_errors_that_are_waited_for_are_refused(set_: Any) -> None:
    def f(x):
        set_(all="raise")
        try:
            return 1 / x
        except FloatingPointError:
            return 0 * x

    with pytest.raises(errors.UnsupportedOp, match="FloatingPointError") as caught:
        jit(f)(np.ones(2))
    assert "np.isfinite" in str(caught.value) and "test_raised.py" in str(caught.value)

    def guarded(x):
        with np.errstate(all="raise"):
            return 1 / x

    np.testing.assert_array_equal(jit(guarded)(np.ones(2)), np.ones(2))


def test_pythons_ints() -> None:
    def f(a, b):
        power = a**-b, a**b, 2**-b, 2**b
        return (*power, pow(a, b, 5), pow(a, 3, b), pow(b, 2), a == None, a != None)  # noqa: E711

    g = jit(f)
    for a, b in ((-7, 3), (4, 2), (3, -2)):
        if b > 0 or math.gcd(a, b) == 1:
            want = f(a, b)
            for got, w in zip(g(a, b), want, strict=True):
                assert type(got) is type(w) and got == w, (a, b)
    with pytest.raises(TypeError, match="all arguments are integers"):
        jit(lambda x: pow(x, 2, 5))(2.0)


def test_numbers_as_texts_find_keys() -> None:
    f = jit(lambda p, n: p[f"w{n}"] + p["w" + str(n - 1)])
    p = {"w1": 1.5, "w2": 2.0, "w3": 5.0}
    assert [f(p, n) for n in (2, 3, 2)] == [3.5, 7.0, 3.5]
    with pytest.raises(errors.TracedBranch, match="a key is a text made of `x`"):
        jit(lambda p, x: p[f"w{x}"])(p, 2.5)


def test_sums_and_lengths_of_math_keep_what_numpy_loses() -> None:
    f = jit(lambda x: (math.fsum(x), math.hypot(*x), math.dist(x, -x), math.isclose(x[0], 1.0)))
    for x in (np.array([1e16, 1.0, -1e16, 3.0]), np.array([1e200, 1e200, 1.0])):
        got = f(x)
        assert got[0] == math.fsum(x)
        np.testing.assert_allclose(got[1:3], (math.hypot(*x), math.dist(x, -x)), rtol=1e-14)
        assert got[3] is False
    h = jit(lambda x: (math.fsum(v * v for v in x), math.fsum(map(abs, x)), math.fsum([1.0, 2.0])))
    assert h(np.array([1.5, -2.0])) == (6.25, 3.5, 3.0)
    value, slope = value_and_grad(lambda x: math.fsum(x) * 2 + math.hypot(*x))(np.array([3.0, 4.0]))
    assert value == 19.0
    np.testing.assert_allclose(slope, [2.6, 2.8], rtol=1e-14)


def test_moments_of_pythons_statistics() -> None:
    def f(x):
        numbers = x.tolist()
        spread = stdev(numbers) * statistics.pstdev(x), statistics.variance(v for v in x)
        try:
            empty = statistics.mean(x[:0].tolist())
        except statistics.StatisticsError:
            empty = 2.0
        plain = statistics.mean([1, 2, 4])
        return (*spread, statistics.mean(numbers), statistics.fmean(x), empty, plain)

    x = np.array([1.5, -2.0, 0.3, 4.0])
    np.testing.assert_allclose(jit(f)(x), f(x), rtol=1e-13)
    check_grads(lambda x: statistics.pvariance(x.tolist(), x[0]) * statistics.mean(x), (x,))
