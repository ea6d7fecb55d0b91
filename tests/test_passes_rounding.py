"""Where products and sums round once, and where they must round like NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import adjit
from adjit import jit
from adjit.codegen.irmath import HAS_FMA


def horner(c: Any, x: Any) -> Any:
    y = 0.0 * x
    for i in adjit.range(40):
        y = y * x + c[i]
    return y


def crossed(c: Any, x: Any) -> Any:
    y = x
    for i in adjit.range(40):
        y = y + (c[i] * x - x * c[i])
    return y


def counted(c: Any, x: Any) -> Any:
    y = 0.0 * x
    for i in adjit.range(40):
        y = y * x + c[i]
    return y, np.where(y > 3.0, 1.0, 0.0)


def stepped(c: Any, x: Any) -> Any:
    y = 0.0 * x
    for i in adjit.range(40):
        y = np.floor(y * 8.0 * x + c[i]) * 0.3 + y * c[i]
    return y


RNG = np.random.default_rng(3)
C, X = RNG.normal(size=40), 0.7310585


@pytest.mark.skipif(not HAS_FMA, reason="this processor has no fused multiply-add")
def test_a_smooth_loop_rounds_once() -> None:
    f = jit(horner)
    np.testing.assert_allclose(f(C, X), horner(C, X), rtol=1e-14)
    assert "ll.fma" in f.source(C, X)


@pytest.mark.parametrize("f", [counted, stepped])
def test_a_loop_that_decides_something_rounds_as_numpy(f: Any) -> None:
    compiled = jit(f)
    assert "ll.fma" not in compiled.source(C, X)
    for x in RNG.normal(size=20):
        assert np.array_equal(compiled(C, x), f(C, x))


def test_equal_products_cancel() -> None:
    f = jit(crossed)
    for x in RNG.normal(size=20):
        assert f(C, x) == x


def level(c: Any, x: Any) -> Any:
    p = c[11]
    for k in range(10, -1, -1):
        p = p * x + c[k]
    return p


@pytest.mark.skipif(not HAS_FMA, reason="this processor has no fused multiply-add")
def test_many_sums_round_once_where_the_user_sees_no_digits() -> None:
    x = RNG.normal(size=300)
    fit = adjit.value_and_grad(lambda c, x: np.mean(level(c, x) ** 2))
    assert "ll.fma" in fit.source(C, x)
    value, slope = fit(C, x)
    powers = x ** np.arange(40)[:, None] * (np.arange(40) < 12)[:, None]
    assert value == pytest.approx(np.mean(level(C, x) ** 2), rel=1e-13)
    np.testing.assert_allclose(slope, powers @ level(C, x) * 2 / 300, rtol=1e-10, atol=1e-12)
    shown = jit(level)
    assert "ll.fma" not in shown.source(C, x)
    assert np.array_equal(shown(C, x), level(C, x))
    sides = jit(lambda c, x: np.sum(np.where(level(c, x) > 0.0, 1.0, -1.0)))
    assert "ll.fma" not in sides.source(C, x)
