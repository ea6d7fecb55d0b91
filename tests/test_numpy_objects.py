"""Objects around NumPy in traced functions: polynomials, sparse matrices, joiners, `math`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import Polynomial, chebyshev, hermite, laguerre, legendre, polynomial
from scipy import sparse

from adjit import check_grads, errors, grad, hessian, jit, vmap

pytestmark = pytest.mark.usefixtures("interpreted")
RNG = np.random.default_rng(0)
X, C = RNG.normal(size=5), RNG.normal(size=4) + np.arange(4)


def same(f: Any, *args: Any) -> None:
    """Values, dtypes and kinds of a tuple of results are NumPy's."""
    for got, want in zip(jit(f)(*args), f(*args), strict=True):
        assert (type(got), np.asarray(got).dtype) == (type(want), np.asarray(want).dtype)
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "name"),
    [(polynomial, "poly"), (chebyshev, "cheb"), (legendre, "leg"), (hermite, "herm"),
     (laguerre, "lag")],
)  # fmt: skip
def test_modules_of_polynomials(module: Any, name: str) -> None:
    def g(suffix: str) -> Any:
        return getattr(module, name + suffix)

    def f(c, x):
        fitted = g("fit")(x, x**2 + c[0], 2)
        return (
            *(g("val")(x, c), g("vander")(x, 3), g("der")(c, 2), g("int")(c, m=2, k=[1, 2])),
            *(g("mul")(c, c[:2]), g("div")(c, c[:2])[0], g("fromroots")(c), g("line")(2.0, c[0])),
            *(g("companion")(c), fitted, np.abs(np.sum(g("roots")(c) ** 2))),
        )

    same(f, C, X)


def test_derivatives_by_coefficients_and_places() -> None:
    def f(c, x):
        fitted = laguerre.lagfit(x, x**2 + c[0], 2)
        return legendre.legval(x, c), chebyshev.chebmul(c, c[:2]), hermite.hermder(c), fitted

    check_grads(f, (C, X), order=1, modes="rev")


def test_polynomial_objects() -> None:
    def f(c, x):
        p, q = Polynomial(c), Polynomial.fit(x, np.sin(x), 2)
        one = np.poly1d(c)
        return (
            *(p(x), p.deriv()(x), (p * Polynomial([1.0, 2.0]) - 1).coef, (2 * p).integ(1)(x)),
            *(q(c), q.convert().coef, np.polyval(one, x), (one * one).coeffs, one.deriv()(x)),
        )

    same(f, C, X)


def test_tables_of_polynomials_stay_plain() -> None:
    def f(c):
        x, w = legendre.leggauss(5)
        assert type(w) is np.ndarray
        return w @ polynomial.polyval(x, c) ** 2

    check_grads(f, (C,), order=1, modes="rev")


A = sparse.random(6, 5, 0.4, format="csr", random_state=0)


@pytest.mark.parametrize("a", [A, sparse.csc_array(A), sparse.coo_matrix(A), sparse.coo_array(A)])
def test_products_with_sparse_matrices(a: Any) -> None:
    def f(x, m, y):
        built = sparse.kron(sparse.eye(2), sparse.csr_matrix(np.ones((1, 3)))).tocsr()
        again = a * x if isinstance(a, sparse.spmatrix) else a @ x
        dense = a + m @ m.T[:, :5] if isinstance(a, sparse.sparray) else m
        return (
            a @ x,
            a.T @ m,
            y @ a,
            m.T @ a,
            a.dot(x),
            built @ y,
            again,
            dense,
            x @ (A.T @ (A @ x)),
        )

    args = RNG.normal(size=5), RNG.normal(size=(6, 3)), RNG.normal(size=6)
    same(f, *args)
    if a is A:
        check_grads(f, args, order=1, modes="rev")


def test_sparse_matrices_are_live_and_dimensions_checked() -> None:
    a, x = A.copy(), np.ones(5)
    f = jit(lambda x: a @ x)
    for _ in range(2):
        np.testing.assert_array_equal(f(x), a @ x)
        a.data *= 2
    np.testing.assert_allclose(vmap(lambda x: a @ x)(np.eye(5)), a.T.toarray())
    dense = a.toarray()
    np.testing.assert_allclose(hessian(lambda x: np.sum((a @ x) ** 2))(x), 2 * dense.T @ dense)
    with pytest.raises(ValueError, match=r"dimension mismatch.*\(k=4"):
        jit(lambda x: a @ x[:4])(x)
    for bad in (
        lambda x: x[0] * a,
        lambda x: a.multiply(x),
        lambda x: sparse.csr_matrix((x, ([0] * 5,) * 2)),
    ):
        with pytest.raises(errors.UnsupportedOp, match="a sparse matrix"):
            grad(lambda x, bad=bad: np.sum(bad(x)))(x)


def test_numbers_in_joiners_and_math() -> None:
    def f(x):
        return (
            np.r_[x, 1.0, 2],
            np.c_[x, x * 2],
            np.r_[x[0], 1.5],
            math.sin(x[0]),
            math.exp(x[1]) * x,
        )

    same(f, np.float32([0.1, 0.2, 0.7]))


def test_real_if_close() -> None:
    def f(x):
        z = x * np.exp(1j * x)
        return np.real_if_close(z * z.conj()), np.real_if_close(z), np.real_if_close(x)

    same(f, X)
    check_grads(f, (X,), order=1)
