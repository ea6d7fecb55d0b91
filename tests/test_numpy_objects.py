"""Objects around NumPy in traced functions: polynomials, sparse matrices, joiners, `math`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import Polynomial, chebyshev, hermite, laguerre, legendre, polynomial
from scipy import integrate, linalg, ndimage, optimize, signal, sparse, stats

from adjit import check_grads, errors, grad, hessian, jit, vmap

pytestmark = pytest.mark.usefixtures("interpreted")
RNG = np.random.default_rng(0)
X, C = RNG.normal(size=5), RNG.normal(size=4) + np.arange(4)


def assert_same(f: Any, *args: Any) -> None:
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

    assert_same(f, C, X)


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

    assert_same(f, C, X)


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
    assert_same(f, *args)
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

    assert_same(f, np.float32([0.1, 0.2, 0.7]))


def test_real_if_close() -> None:
    def f(x):
        z = x * np.exp(1j * x)
        return np.real_if_close(z * z.conj()), np.real_if_close(z), np.real_if_close(x)

    assert_same(f, X)
    check_grads(f, (X,), order=1)


def test_as_strided() -> None:
    strided = np.lib.stride_tricks.as_strided

    def f(x, m):
        s, y = x.strides[0], x.copy()
        seen = strided(y, (7, 2), y.strides * 2)
        y[0] = 9.0
        return (
            *(strided(x, shape=(6, 3), strides=(s, s)).mean(1), seen, strided(x[:1], (5,), (0,))),
            strided(m, (2, 3, 2, 2), (2 * m.strides[0], 2 * m.strides[1], *m.strides)).max((2, 3)),
            *(strided(m.T, shape=(6,), strides=m.T.strides[:1]), np.diag([x[0], 1.0], 1)),
            *(linalg.convolution_matrix(x, 5, mode=k) for k in ("full", "same", "valid")),
        )

    args = RNG.normal(size=8), RNG.normal(size=(4, 6))
    assert_same(f, *args)
    check_grads(f, args, order=1, modes="rev")
    with pytest.raises(errors.UnsupportedOp, match=r"reads beyond the array\n.*test_numpy_objects"):
        jit(lambda x: strided(x, (4, 3), (8, 8)))(np.arange(5.0))


B, D = signal.butter(3, 0.3)
SOS = signal.butter(4, 0.2, output="sos")


def test_recursive_filters() -> None:
    def f(x, b, d):
        zi = signal.lfilter_zi(B, D)
        y, left = signal.lfilter(B, D, x, zi=zi * x[0])
        return (
            *(y, left, signal.lfilter(b, d, x), signal.lfilter([1.0], np.r_[1.0, d[1:]], x)),
            *(signal.lfilter(B, D, np.stack([x, 2 * x]), axis=1), signal.sosfilt(SOS, x)),
        )

    args = RNG.normal(size=12), np.array([0.5, 0.2]), np.array([1.0, -0.3, 0.1])
    assert_same(f, *args)
    check_grads(f, args, order=1, modes="rev")
    with pytest.raises(ValueError, match="cannot be 0"):
        jit(lambda x: signal.lfilter([1.0], [0.0, 1.0], x))(args[0])


def test_filters_and_spectra_in_scipys_own_code() -> None:
    def f(x):
        return (
            *(signal.filtfilt(B, D, x), signal.savgol_filter(x, 7, 2), signal.decimate(x, 2)),
            *(signal.resample_poly(x, 2, 3), signal.welch(x, nperseg=16)[1]),
            *(signal.stft(x, nperseg=16)[2], signal.periodogram(x)[1]),
        )

    assert_same(f, RNG.normal(size=40))


@pytest.mark.parametrize(
    ("f", "name", "advice"),
    [
        (lambda x: stats.rankdata(x), "scipy.stats.rankdata", "adjit.custom_vjp"),
        (lambda x: ndimage.label(x)[0], "scipy.ndimage.label", "adjit.custom_vjp"),
        (lambda x: signal.find_peaks(x)[0], "scipy.signal.find_peaks", "adjit.custom_vjp"),
        (lambda x: optimize.brentq(lambda t: t - x[0], -9, 9), "scipy.optimize.brentq", "root"),
        (
            lambda x: integrate.solve_ivp(lambda t, y: -y * x[0], (0, 1), [1.0]).y[0],
            *("scipy.integrate.solve_ivp", "as a loop"),
        ),
    ],
)
def test_compiled_code_is_named(f: Any, name: str, advice: str) -> None:
    with pytest.raises((errors.UnsupportedOp, errors.TracedConversion)) as caught:
        jit(f)(X)
    said = str(caught.value)
    assert name in said
    assert "test_numpy_objects.py:" in said
    assert advice in said.split("\n")[-1]


def test_errors_that_depend_on_data() -> None:
    place = jit(lambda x: np.nanargmax(x))
    for _ in range(2):
        assert place(X) == np.argmax(X)
        with pytest.raises(ValueError, match="All-NaN slice"):
            place(X * np.nan)
    assert vmap(lambda x: np.nanargmax(x))(np.stack([X, X * np.nan])).shape == (2,)
    with pytest.raises(ZeroDivisionError, match="Weights sum to zero"):
        jit(lambda x: np.average(x, weights=np.zeros(5)))(X)
    totals = jit(lambda x: np.average(x, axis=0, weights=[1, 2, 3], returned=True))(np.eye(3))
    assert totals[1].dtype == np.float64
    assert np.isnan(jit(lambda x, w: np.average(x, weights=w))(X, np.zeros(5)))


@pytest.mark.parametrize(
    ("f", "x", "hint"),
    [
        (np.sum, np.arange(3), "as floats"),
        (lambda x: None, X, "a `return` missing"),
        (lambda x: {"loss": x.sum()}, X, "has_aux=True"),
        (lambda x: np.float64(x[0]), X, "x.astype"),
    ],
)
def test_what_to_do_is_said(f: Any, x: Any, hint: str) -> None:
    with pytest.raises(errors.AdjitError, match=hint):
        grad(f)(x)


def test_walks_that_write_and_know_their_place() -> None:
    def f(x):
        y, total = x.copy(), 0.0
        with np.nditer(y, op_flags=["readwrite"]) as walk:
            for v in walk:
                v[...] = 2 * v
        it = np.nditer(x[:, ::-1], flags=["multi_index", "c_index"])
        while not it.finished:
            total = total + it[0] * it.multi_index[1] * it.index
            it.iternext()
        made = np.nditer([x, x[0] * 2, None])
        for a, b, c in made:
            c[...] = a * b
        return y, total, made.operands[2]

    args = (RNG.normal(size=(2, 3)),)
    assert_same(f, *args)
    check_grads(f, args, order=1, modes="rev")
    with pytest.raises(errors.FrozenWrite):
        jit(lambda x: [v.fill(0.0) for v in np.nditer(x.copy())])(X)


def test_arrays_change_their_shape_in_place() -> None:
    def f(x):
        y, z = x.copy(), x * 2
        y.resize(3)
        z.resize((2, 4), refcheck=False)
        z[0, 0] = 7.0
        return y, z, x.sum()

    assert_same(f, X)
    check_grads(f, (X,), order=1, modes="rev")
    with pytest.raises(errors.FrozenWrite, match="copy"):
        jit(lambda x: x.resize(2))(X)


def test_masks_of_numbers() -> None:
    def f(x):
        y, z = x.copy(), np.asarray(x[1])
        y[x[0] > 9] = 0.0
        z[z > -9] = 5.0
        return x[0][x[0] > 9], x[0][x[0] < 9], x[x[1] < 9], x[True], y, z

    assert_same(f, X)
    check_grads(lambda x: x[0][x[0] < 9] * x[1], (X,), order=1, modes="rev")


def test_polyfit_with_its_covariance_and_all_it_finds() -> None:
    def f(c, x):
        w = np.arange(1.0, 6.0)
        c, cov = np.polyfit(x, x**3 + c[0], 1, cov=True)
        both, covs = np.polyfit(x, np.stack([x**2, c[1] * x**3], 1), 1, w=w, cov="unscaled")
        return (c, cov, both, covs, *np.polyfit(x, x**3, 1, full=True)[:4])

    assert_same(f, C, X)
    check_grads(lambda x: np.polyfit(x, x**3, 1, cov=True)[1], (X,))
    with pytest.raises(ValueError, match="must exceed order"):
        jit(lambda x: np.polyfit(x, x, 1, cov=True))(X[:2])


def test_nan_reductions_take_their_arguments_in_order() -> None:
    def f(x):
        y = np.where(x > 0.5, np.nan, x)[None]
        out = np.empty((5,))
        total = np.nansum(y, 0, None, out)
        return total, out, np.nansum(y, 1, np.float32, None, True), np.nanstd(y, 1, None, None, 1)

    assert_same(f, X)
