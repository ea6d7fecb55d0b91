"""Nests that visit whole arrays in the order of memory are one loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from adjit import jit, options, value_and_grad

RNG = np.random.default_rng(4)
X, Y, ROW, WIDE = (RNG.normal(size=s) for s in ((30, 10), (30, 10), 10, (32, 12)))


def loops(f: Callable[..., Any], *args: Any) -> int:
    return str(f.source(*args)).partition("# what a call")[0].count("for ")  # type: ignore[attr-defined]


def agrees(f: Callable[..., Any], *args: Any, rtol: float = 1e-12) -> None:
    with options(interpret=True):
        expected = f(*args)
    for a, b in zip(f(*args), expected, strict=True):
        for one, other in zip(np.atleast_1d(a), np.atleast_1d(b), strict=True):
            np.testing.assert_allclose(one, other, rtol=rtol)


def test_sums_and_slopes_of_whole_arrays_take_one_loop() -> None:
    made = jit(lambda x, s: (np.exp(x) * s, np.sum(x.reshape(5, 6, 10)), np.any(x > s), x * x))
    agrees(made, X, 0.3)
    slope = value_and_grad(lambda x, y: np.mean((x - y) ** 2))
    agrees(slope, X, Y)
    assert loops(slope, X, Y) == 1
    assert loops(jit(lambda x: np.sum(x[3:] ** 2)), X) == 1


def test_what_is_read_otherwise_keeps_its_rows() -> None:
    def mixed(x: Any, y: Any) -> Any:
        return (
            np.sum(x * ROW),
            np.sum(x[:, :1] + y),
            np.sum(WIDE[:30, :10] * x),
            np.sum(x[:, ::-1] * y),
            np.sum(x * np.arange(10)),
            np.concatenate([x, y], axis=1) * 2.0,
            np.sum(np.where(x > 0, x, y.T.reshape(30, 10) * 2), axis=0),
            np.sum(x[::2] * y[:15]),
        )

    agrees(jit(mixed), X, Y)
    assert loops(jit(lambda x: np.sum(x * ROW)), X) > 1


def test_single_precision_is_added_in_parts() -> None:
    x = np.full((20_000, 10), 0.1, np.float32)
    np.testing.assert_allclose(jit(np.sum)(x), x.sum(dtype=float), rtol=1e-6)


def test_a_number_that_rounds_carry_is_read_in_one_loop() -> None:
    def steps(w: Any, ys: Any) -> Any:
        y, total = np.ones((30, 10)), 1.0
        for i in range(12):
            y = np.tanh(y * w * total)
            total = total + np.mean((y - ys[i]) ** 2)
        return total

    ys = RNG.normal(size=(12, 30, 10))
    slope = value_and_grad(steps)
    agrees(slope, ROW, ys)
    np.testing.assert_allclose(slope(ROW, ys)[0], steps(ROW, ys), rtol=1e-12)
