"""Stacks of small matrices are worked on as vectors over the matrices; symmetric systems share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from adjit import jit, options, value_and_grad

RNG = np.random.default_rng(3)


def general(count: int, n: int) -> np.ndarray:
    return RNG.normal(size=(count, n, n)) + n * np.eye(n)


def definite(count: int, n: int) -> np.ndarray:
    a = RNG.normal(size=(count, n, n))
    return a @ a.swapaxes(1, 2) + np.eye(n)


def agrees(f: Callable[..., Any], *args: Any, rtol: float = 1e-10) -> None:
    with options(interpret=True):
        expected = f(*args)
    for a, b in zip(f(*args), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def text(f: Callable[..., Any], *args: Any) -> str:
    return str(f.source(*args)).partition("# what a call")[0]  # type: ignore[attr-defined]


def systems(a: Any, b: Any) -> Any:
    x = np.linalg.solve(a, b[..., None])[..., 0]
    sign, log = np.linalg.slogdet(a)
    return np.sum(x * b) + np.sum(np.linalg.inv(a) * a) + np.sum(np.sin(sign * log))


def factors(a: Any, b: Any) -> Any:
    low = np.linalg.cholesky(a)
    x = np.linalg.solve(low, b[..., None])[..., 0]
    return np.sum(x * x) + 2 * np.sum(np.log(np.diagonal(low, axis1=1, axis2=2)))


@pytest.mark.parametrize(("n", "count"), [(1, 40), (2, 37), (4, 50)])
def test_stacks_of_small_matrices(n: int, count: int) -> None:
    b = RNG.normal(size=(count, n))
    one, two = value_and_grad(systems, argnums=(0, 1)), value_and_grad(factors, argnums=(0, 1))
    agrees(lambda a, b: (one(a, b)[0], *one(a, b)[1]), general(count, n), b)
    agrees(lambda a, b: (two(a, b)[0], *two(a, b)[1]), definite(count, n), b)
    assert n == 1 or re.search(r"for s\d+ in range\(0, n\d+, 16\)", text(one, general(count, n), b))


def test_pivots_zeros_and_single_precision() -> None:
    a = general(40, 3)
    a[::3, 0, 0] = 0.0
    a[1, :1, :2] = 0.0
    found = jit(lambda a: (np.linalg.inv(a), np.linalg.det(a)))
    np.testing.assert_allclose(found(a)[0], np.linalg.inv(a), rtol=1e-9, atol=1e-12)
    single = a.astype(np.float32)
    np.testing.assert_allclose(found(single)[0], np.linalg.inv(single), rtol=2e-3, atol=2e-4)
    agrees(found, np.where(np.arange(40)[:, None, None] == 7, np.nan, a))


def test_one_singular_or_indefinite_matrix_of_many_raises() -> None:
    a, b = general(45, 3), definite(45, 3)
    solve = jit(lambda a, b: np.linalg.solve(a, b))
    factor = jit(lambda b: np.linalg.cholesky(b))
    for k in (0, 17, 44):
        bad = a.copy()
        bad[k] = 1.0
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            solve(bad, b)
        bad = b.copy()
        bad[k, 1, 1] = -1.0
        with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
            factor(bad)
    np.testing.assert_allclose(solve(a, b), np.linalg.solve(a, b))
    np.testing.assert_allclose(factor(b), np.linalg.cholesky(b))


def test_stacks_of_stacks_and_rows_beside_them() -> None:
    a, v = general(12 * 40, 3).reshape(12, 40, 3, 3), RNG.normal(size=(12, 40, 3))

    @jit
    def f(a: Any, v: Any) -> Any:
        x = np.linalg.solve(a, v[..., None])[..., 0]
        return np.sum(x, axis=1), np.sum(x**2), np.linalg.inv(a)[:, ::2] @ v[:, ::2, :, None], x

    agrees(f, a, v)
    x = np.linalg.solve(a, v[..., None])[..., 0]
    np.testing.assert_allclose(f(a, v)[3], x, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(f(a, v)[0], np.sum(x, axis=1), rtol=1e-9, atol=1e-9)


X, Y = RNG.normal(size=(30, 2)), RNG.normal(size=30)


def kernel(x: Any, s: Any) -> Any:
    d = np.sum((x[:, None] - x[None, :]) ** 2, axis=-1)
    return np.exp(-0.5 * d / s) + 0.3 * np.eye(30)


def by_factor_and_solve(x: Any, s: Any) -> Any:
    k = kernel(x, s)
    low = np.linalg.cholesky(k)
    extra = np.linalg.slogdet(k)[1] + np.trace(np.linalg.inv(k))
    return Y @ np.linalg.solve(k, Y) + np.sum(np.log(np.diag(low))) + extra


def by_solve(x: Any, s: Any) -> Any:
    k = kernel(x, s)
    return Y @ np.linalg.solve(k, Y) + np.linalg.slogdet(k)[1]


def not_symmetric(x: Any, s: Any) -> Any:
    k = kernel(x, s) * (1 + 1e-3 * x[:, 0] ** 2)
    low = np.linalg.cholesky(k)
    return Y @ np.linalg.solve(k, Y) + np.sum(np.log(np.diag(low)))


def test_symmetric_systems_share_their_factor() -> None:
    f, g, h = (
        value_and_grad(q, argnums=(0, 1)) for q in (by_factor_and_solve, by_solve, not_symmetric)
    )
    for q in (f, g, h):
        agrees(lambda x, s, q=q: (q(x, s)[0], *q(x, s)[1]), X, 1.5, rtol=1e-8)
    plan = f.ir(X, 1.5, stage="fused")
    assert "lu_" not in plan and plan.count("call cholesky ") == 1
    plan = g.ir(X, 1.5, stage="fused")
    assert (plan.count("call lu_factors"), plan.count("call lu_apply")) == (1, 1)
    assert "lu_factors" in h.ir(X, 1.5, stage="fused")
