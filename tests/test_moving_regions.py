"""Regions and turns that move from round to round of a Python loop: one loop, read in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adjit import grad, jit, options, value_and_grad
from adjit.testing import check_grads

RNG = np.random.default_rng(3)
IMAGE, OTHER = RNG.normal(size=(9, 8)), RNG.normal(size=(9, 8))


def weighted(parts: Any, centre: Any, width: Any) -> Any:
    """A mean of parts, weighted by how near they are to the centre."""
    num = den = 0.0
    for dy, dx, part in parts:
        w = np.exp(-(dy * dy + dx * dx) / 8 - (part - centre) ** 2 / width**2)
        num = num + w * part
        den = den + w
    return np.sum((num / den) ** 2)


def turned_each(x: Any, width: Any) -> Any:
    steps = [(dy, dx) for dy in range(-1, 2) for dx in range(-1, 3)]
    parts = ((y, x_, np.roll(np.roll(x, y, axis=0), x_, axis=1)) for y, x_ in steps)
    return weighted(parts, x, width)


def turned_at_once(x: Any, width: Any) -> Any:
    steps = [(dy, dx) for dy in range(-1, 2) for dx in range(-1, 3)]
    return weighted(((y, x_, np.roll(x, (y, x_), (0, 1))) for y, x_ in steps), x, width)


def turned_flat(x: Any, width: Any) -> Any:
    return weighted(((k, 1, np.roll(x, k)) for k in (3, 0, -7, 15, 40, 2, -1)), x, width)


def windows(x: Any, width: Any) -> Any:
    p = np.pad(x, 2, mode="edge")
    n, m = x.shape
    steps = [(dy, dx) for dy in range(4) for dx in range(5)]
    return weighted(((y, x_, p[y : y + n, x_ : x_ + m]) for y, x_ in steps), x, width)


def strided(x: Any, width: Any) -> Any:
    places = (4, 0, 1, 3, 2, 4, 0, 1)
    return weighted(((k, k, x[k : k + 5 : 2, ::-2]) for k in places), x[:3, ::2], width)


def loops(f: Any) -> list[str]:
    return [line for line in str(f.explain()).splitlines() if line.split()[:1] == ["loop"]]


def checks(f: Any, *args: Any) -> bool:
    return "status" in f.source(*args).partition("# what a call")[0]


@pytest.mark.parametrize("f", [turned_each, turned_at_once, turned_flat, windows, strided])
def test_rounds_that_differ_by_where_they_read_are_a_loop(f: Callable[..., Any]) -> None:
    with options(unroll="always", interpret=True):
        expected = value_and_grad(f, (0, 1))(IMAGE, 0.7)
    with options(unroll="never", check=True):
        rolled = value_and_grad(f, (0, 1))
        value, slopes = rolled(IMAGE, 0.7)
    assert loops(rolled)
    np.testing.assert_allclose(value, f(IMAGE, 0.7), rtol=1e-13)
    for a, b in zip(slopes, expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_slopes_of_slopes_of_turns() -> None:
    def energy(x: Any) -> Any:
        return sum(np.sum(np.sin(np.roll(x, k, 1)) * x * k) for k in range(-3, 5))

    with options(unroll="never"):
        check_grads(energy, (IMAGE,), order=2)
        turned = grad(energy)
        turned(IMAGE)
        assert "scatter_add" not in str(turned.ir(IMAGE, stage="simplified"))


def test_overlapping_windows_become_a_loop_by_themselves() -> None:
    f = value_and_grad(windows)
    assert not checks(f, RNG.normal(size=(50, 50)), 0.7)  # where windows lie is known
    assert loops(f)


def test_many_equal_rounds_of_turns_are_a_loop() -> None:
    def spread(x: Any, width: Any) -> Any:
        for _ in range(40):
            beside = np.roll(x, 1, 0) + np.roll(x, (-1, 1), (0, 1)) - np.roll(x, 0, 1)
            x = x + 0.1 * beside - width * x**3
        return np.sum(x * x)

    f = value_and_grad(spread)
    value, slope = f(IMAGE, 0.01)
    with options(unroll="always", interpret=True):
        expected = value_and_grad(spread)(IMAGE, 0.01)
    assert loops(f)
    np.testing.assert_allclose(value, expected[0], rtol=1e-13)
    np.testing.assert_allclose(slope, expected[1], rtol=1e-11)


def test_arrays_that_are_not_turned_stay_as_they_are() -> None:
    def joined(x: Any, width: Any) -> Any:
        kept = []
        for k in range(1, 7):
            a = np.concatenate([x[k:], x[: k + 1]])[:-1]
            kept.append((k, k, np.vstack([a[::-1][:3], a[3:]])))
        return weighted(kept, x, width)

    with options(unroll="never"):
        value, _ = value_and_grad(joined)(IMAGE, 0.7)
    np.testing.assert_allclose(value, joined(IMAGE, 0.7), rtol=1e-13)


INDEX = RNG.integers(-4, 12, 40)


def test_an_index_within_its_axis_is_not_checked() -> None:
    x = RNG.normal(size=(9, 3))
    clipped = jit(lambda x, i: np.sin(x[np.clip(i, 0, 8)]))
    np.testing.assert_allclose(clipped(x, INDEX), np.sin(x[np.clip(INDEX, 0, 8)]))
    assert not checks(clipped, x, INDEX)
    behind = jit(lambda x, i: np.sin(x[np.minimum(np.maximum(i, -9), 3)]))
    np.testing.assert_allclose(behind(x, INDEX), np.sin(x[np.minimum(INDEX, 3)]))
    assert not checks(behind, x, INDEX)
    far = jit(lambda x, i: np.sin(x[np.clip(i, 0, 8) + 1]))
    assert checks(far, x, INDEX - 8)
    with pytest.raises(IndexError):
        far(x, INDEX)


def test_parts_of_transposes_and_of_parts_are_read_where_they_lie() -> None:
    x = RNG.normal(size=(4, 5, 6))
    i, k, m = np.array([3, -1, 0]), 1, 2

    def parts(x: Any, k: Any, m: Any) -> Any:
        turned = np.transpose(x, (2, 0, 1))
        window = np.arange(3) + k
        return (
            turned[:, i],
            turned[i, :, i[::-1]] * 2.0,
            np.sin(x[window][:, :, np.arange(2) + m]),
            np.transpose(x[:, window], (2, 1, 0))[np.arange(4) - m],
        )

    with options(check=True):
        found = jit(parts)(x, k, m)
    for a, b in zip(found, parts(x, k, m), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
