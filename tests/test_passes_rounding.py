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
