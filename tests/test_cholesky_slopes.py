"""Derivatives of Cholesky factors: any cotangent, likelihoods, every size that is written apart."""

import numpy as np
import pytest
import scipy.linalg

from adjit import grad, hessian, options, value_and_grad, vmap
from adjit.testing import check_grads

RNG = np.random.default_rng(3)


def definite(n, *batch):
    a = RNG.normal(size=(*batch, n, n))
    return a @ np.swapaxes(a, -1, -2) / n + np.eye(n)


def by_rows(a, y):
    low = np.linalg.cholesky(a)
    z = np.linalg.solve(low, y[..., None])[..., 0]
    return -0.5 * np.sum(z * z) - 2 * np.sum(np.log(np.diagonal(low, axis1=-2, axis2=-1)))


def by_halves(a, y):
    low = np.linalg.cholesky(a)
    z = scipy.linalg.solve_triangular(low, y, lower=True)
    return np.exp(-0.1 * z @ z) / np.linalg.det(low) - np.linalg.slogdet(low.T)[1]


def by_turns(a, y):
    low = np.linalg.cholesky(a)
    first = scipy.linalg.solve_triangular(low, y, lower=True)
    return y @ scipy.linalg.solve_triangular(low.T, first) + np.linalg.slogdet(low)[1]


def by_factor(a, y):
    c = scipy.linalg.cho_factor(a)
    return y @ scipy.linalg.cho_solve(c, y) + np.sum(np.log(np.diag(c[0])))


def between(a, y):
    c = scipy.linalg.cho_factor(a, lower=True)
    return np.sin(y) @ scipy.linalg.cho_solve(c, y) - np.sum(np.log(np.diag(c[0])))


def symmetric(f):
    """`f` of the symmetric matrix whose lower triangle it is given, so that all readers agree."""
    return lambda a, y: f(np.tril(a) + np.tril(a, -1).T, y)


@pytest.mark.parametrize("f", [by_rows, by_turns, by_factor, between])
def test_likelihoods_have_symmetric_slopes(f):
    a, y = definite(5), RNG.normal(size=5)
    g = grad(f, (0, 1))
    text = g.ir(a, y, stage="simplified")
    assert "cholesky_inverse %" in text and "cholesky_slope %" not in text
    assert text.count("triangular_solve[") <= (4 if f is between else 2)
    with options(interpret=True):
        check_grads(symmetric(f), (a[:3, :3], y[:3]), order=2 if f is between else 1)


def test_any_cotangent_is_taken_through_the_factor():
    a, y = definite(5), RNG.normal(size=5)
    g = grad(by_halves)
    assert "cholesky_slope %" in g.ir(a, y, stage="simplified")
    with options(interpret=True):
        check_grads(symmetric(by_halves), (a[:3, :3], y[:3]), order=2)
        third = hessian(lambda a: np.sum(grad(lambda a: np.sum(np.linalg.cholesky(a) ** 3))(a)))
        assert np.all(np.isfinite(third(definite(2))))


@pytest.mark.parametrize(("n", "dtype"), [(1, "f8"), (3, "f4"), (12, "f8"), (60, "f4"), (60, "f8")])
def test_every_size_has_its_nest(n, dtype):
    batch = 3 if n < 60 else 1
    a, w = definite(n, batch).astype(dtype), RNG.normal(size=(batch, n, n)).astype(dtype)

    def f(a, w):
        low = np.linalg.cholesky(a)
        z = np.linalg.solve(low, w[..., :1])
        quadratic = np.sum(z * z) + np.sum(np.log(np.diagonal(np.linalg.cholesky(a + w[0, 0, 0] ** 2
            * np.eye(n, dtype=a.dtype)), axis1=-2, axis2=-1)))  # fmt: skip
        return np.sum(low * w) + quadratic

    g = value_and_grad(f)
    got = g(a, w)
    with options(interpret=True):
        wanted = g(a, w)
    rtol = 1e-10 if dtype == "f8" else 2e-3
    np.testing.assert_allclose(got[0], wanted[0], rtol=rtol)
    assert got[1].dtype == dtype and not np.any(np.triu(got[1], 1))
    np.testing.assert_allclose(got[1], wanted[1], atol=rtol * np.abs(wanted[1]).max())


def test_rows_of_a_batch_keep_the_symmetric_slope():
    a, y = definite(3, 4), RNG.normal(size=(4, 3))
    g = vmap(grad(by_turns))
    assert "cholesky_inverse %" in g.ir(a, y, stage="simplified")
    np.testing.assert_allclose(g(a, y)[2], grad(by_turns)(a[2], y[2]), rtol=1e-12)


def test_quadratic_forms_of_an_inverse_multiply_no_matrices():
    a, y = definite(12), RNG.normal(size=12)

    def form(a, y):
        return y @ np.linalg.inv(a) @ y

    assert "dot[" not in grad(form).ir(a, y, stage="simplified")
    with options(interpret=True):
        check_grads(form, (a[:3, :3], y[:3]), order=2)
        check_grads(lambda a, y: np.sum(np.linalg.inv(a) @ y), (a[:3, :3], y[:3]), order=2)
