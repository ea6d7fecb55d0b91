"""Sums over one side of a diagonal run over it alone; thin rows are added up side by side."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adjit import grad, jit, options, value_and_grad

RNG = np.random.default_rng(8)
N = 40
X, D = RNG.normal(size=(N, 3)), RNG.normal(size=(N, N))


def text(f: Callable[..., Any], *args: Any) -> str:
    return str(f.source(*args)).partition("# what a call")[0]  # type: ignore[attr-defined]


def halves(f: Callable[..., Any], *args: Any) -> int:
    """How many loops of a kernel begin or end where an index outside of them says."""
    return len(re.findall(r"= (?:max|min)\(\w+, .*\bi\d", text(f, *args)))


def agrees(f: Callable[..., Any], *args: Any) -> None:
    with options(interpret=True):
        expected = f(*args)
    for a, b in zip(f(*args), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def distances(x: Any) -> Any:
    return np.sqrt(np.sum((x[:, None] - x[None, :]) ** 2, axis=2) + 1e-9)


def test_sums_by_a_mask_of_two_indices_take_its_rounds_alone() -> None:
    made = [
        lambda x, d: np.sum(np.triu(d * distances(x), 1)),
        lambda x, d: np.sum(np.triu(d * distances(x), -3)),
        lambda x, d: np.sum(np.tril(d * distances(x))),
        lambda x, d: np.sum(np.tril(d * distances(x), 29)),
        lambda x, d: np.sum(np.where(np.eye(N, k=2, dtype=bool), d * distances(x), 0.0)),
        lambda x, d: np.sum(np.triu(d * distances(x), N)),
        lambda x, d: np.sum(np.tril(d * distances(x), -1), axis=1)[::3].sum(),
        lambda x, d: np.sum(np.triu(d * distances(x), 2), axis=0)[1:].sum(),
        lambda x, d: np.sum(np.where(np.arange(N) < np.arange(N)[:, None], d * distances(x), 0)),
    ]
    for f in made:
        agrees(jit(lambda x, d, f=f: (f(x, d),)), X, D)
    assert halves(jit(made[0]), X, D) == 1
    assert halves(jit(made[4]), X, D) == 2


def test_slopes_of_pairs_take_half_of_the_rounds() -> None:
    def stress(x: Any, d: Any) -> Any:
        return np.sum(np.triu((distances(x) - d) ** 2, 1))

    slope = value_and_grad(stress)
    agrees(slope, X, D)
    assert halves(slope, X, D) == 1
    single = value_and_grad(stress)
    np.testing.assert_allclose(
        single(X.astype(np.float32), D.astype(np.float32))[1], slope(X, D)[1], rtol=2e-3, atol=2e-3
    )


def test_what_every_round_is_needed_for_runs_in_all() -> None:
    def both(x: Any, d: Any) -> Any:
        r = d * distances(x)
        return np.sum(np.triu(r, 1)), np.sum(r * r), np.triu(r)

    def several(x: Any, d: Any) -> Any:
        r = d * distances(x)
        return np.sum(np.triu(r, 1)), np.sum(np.triu(r * r, 2))

    def rows(x: Any, d: Any) -> Any:  # a sum that begins in each round
        inner = np.sum((x[:, None] - x[None, :]) ** 2, axis=2)
        return inner, np.sum(np.triu(d * inner, 1))

    for f in (both, several, rows):
        agrees(jit(f), X, D)
        np.testing.assert_allclose(jit(f)(X, D)[1], f(X, D)[1], rtol=1e-11)
        assert halves(jit(f), X, D) == 0


def test_masked_numbers_that_are_none_count_as_zeros() -> None:
    d = np.where(np.tri(N) > 0, np.nan, D)
    d[0, 1] = np.inf
    f = jit(lambda x, d: (np.sum(np.triu(d * distances(x), 1), axis=1),))
    agrees(f, X, d)
    (sums,) = f(X, d)
    assert sums[0] == np.inf and np.all(np.isfinite(sums[1:])) and sums[-1] == 0.0


def test_indices_behind_a_mask_are_checked() -> None:
    @jit
    def looked_up(x: Any, at: Any) -> Any:
        return np.sum(np.triu(x[at] * 2.0, 1))

    at = np.zeros((N, N), int)
    assert looked_up(np.arange(5.0), at) == 0.0
    at[3, 1] = 9
    with pytest.raises(IndexError):
        looked_up(np.arange(5.0), at)


@pytest.mark.parametrize("d", [2, 5, 8])
def test_thin_rows_are_added_up_side_by_side(d: int) -> None:
    def energy(x: Any, y: Any, w: Any) -> Any:
        return np.sum(w * np.exp(-np.sum((x[:, None] - y[None, :]) ** 2, axis=2)))

    x, y, w = RNG.normal(size=(37, d)), RNG.normal(size=(33, d)), RNG.normal(size=(37, 33))
    slope = grad(energy, argnums=(0, 1))
    agrees(slope, x, y, w)
    agrees(slope, np.vstack([x, x]), y[:32], np.vstack([w, w])[:, :32])
    weighed = grad(lambda x, y, w: np.sum(x * x) * energy(x * 2, y - 1, w), argnums=(0, 1))
    agrees(weighed, x, y, w)
    assert re.search(r"_buf\w*\[i\d+ \+ i\d+\*n\d", text(weighed, x, y, w))
