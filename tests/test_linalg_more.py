"""Linear algebra of complex matrices, general eigenvalues, and the rest of scipy.linalg."""

import numpy as np
import pytest
import scipy.linalg

from adjit import grad, jit, options, value_and_grad
from adjit.testing import check_grads

RNG = np.random.default_rng(1)


def drawn(*shape):
    return RNG.normal(size=shape)


def complex_(*shape):
    return drawn(*shape) + 1j * drawn(*shape)


Z, TALL = complex_(3, 3), complex_(5, 3)
WIDE = TALL.T.copy()
H = Z @ Z.conj().T + np.eye(3)
A, B = drawn(3, 3), drawn(5, 3)
SPD = A @ A.T + np.eye(3)
LINE, SHORT = drawn(4) + 6 * np.eye(4)[0], drawn(3)


def assert_agree(f, *args, order=1):
    """Values and dtypes of NumPy or SciPy, derivatives of differences."""
    want, got = f(*args), jit(f)(*args)
    several = isinstance(want, tuple | list)
    for w, g in zip(want if several else [want], got if several else [got], strict=True):
        assert np.asarray(g).dtype == np.asarray(w).dtype
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-11)
    check_grads(f, args, order=order, rtol=1e-4)


def projectors(a):
    """What of a decomposition does not depend on phases."""
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    return u @ vt, (u[:, :2] * s[:2]) @ vt[:2]


COMPLEX = {
    "cholesky": (np.linalg.cholesky, np.stack([H, H + 1])),
    "cholesky upper": (lambda a: np.linalg.cholesky(a, upper=True), H),
    "qr": (np.linalg.qr, TALL),
    "qr wide": (np.linalg.qr, WIDE),
    "qr complete": (lambda a: np.linalg.qr(a, "complete"), TALL),
    "eigh": (lambda a: (lambda w, v: (w, np.abs(v) ** 2))(*np.linalg.eigh(a)), H),
    "eigh upper": (lambda a: np.linalg.eigvalsh(a, "U"), H),
    "svd": (projectors, TALL),
    "svd wide": (projectors, WIDE),
    "svd full": (lambda a: (lambda u: u[:, 3:] @ u[:, 3:].conj().T)(np.linalg.svd(a)[0]), TALL),
    "slogdet": (np.linalg.slogdet, Z),
    "pinv": (np.linalg.pinv, TALL),
    "lstsq": (lambda a, b: np.linalg.lstsq(a, b)[:2], TALL, complex_(5, 2)),
    "nuclear norm": (lambda a: np.linalg.norm(a, "nuc"), TALL),
    "cond": (lambda a: np.linalg.cond(a, 1), Z),
    "eig": (np.linalg.eig, np.stack([Z, H])),
    "cho_solve": (lambda a, b: scipy.linalg.cho_solve(scipy.linalg.cho_factor(a), b), H, TALL.T),
    "solve pos": (lambda a, b: scipy.linalg.solve(a, b, assume_a="pos"), H, WIDE),
    "solve her": (lambda a, b: scipy.linalg.solve(a, b, assume_a="her"), H, WIDE),
    "solve sym": (lambda a, b: scipy.linalg.solve(a, b, assume_a="sym"), Z + Z.T, WIDE),
    "eigh of a pair": (lambda a, b: scipy.linalg.eigh(a, b)[0], H, np.eye(3) + 0.1 * H),
    "solve_triangular": (lambda a, b: scipy.linalg.solve_triangular(a, b, trans="C"), Z, WIDE),
    "lu tall": (lambda a: scipy.linalg.lu(a, permute_l=True), TALL),
}
REAL = {
    "eig": (np.linalg.eig, drawn(4, 4)),
    "eig of real eigenvalues": (np.linalg.eig, SPD + 0.1 * A),
    "eigvals": (np.linalg.eigvals, A),
    "toeplitz": (lambda c, r: scipy.linalg.toeplitz(c, r), LINE, SHORT),
    "hankel": (lambda c, r: scipy.linalg.hankel(c, r), LINE, SHORT),
    "circulant": (scipy.linalg.circulant, LINE),
    "companion": (scipy.linalg.companion, LINE),
    "khatri_rao": (lambda a, b: scipy.linalg.khatri_rao(a, b), A, B),
    "solve_toeplitz": (lambda c, b: scipy.linalg.solve_toeplitz(c, b), LINE, drawn(4)),
    "solve_circulant": (lambda c, b: scipy.linalg.solve_circulant(c, b), LINE, drawn(4)),
    "solve_banded": (
        lambda ab, b: scipy.linalg.solve_banded((1, 2), ab, b),
        drawn(4, 6) + np.array([[0], [0], [5], [0]]),
        drawn(6, 2),
    ),
    "solveh_banded": (
        lambda ab, b: scipy.linalg.solveh_banded(ab, b),
        drawn(3, 6) + np.array([[0], [0], [9]]),
        drawn(6),
    ),
    "eigh_tridiagonal": (
        lambda d, e: (lambda w, v: (w, v**2))(*scipy.linalg.eigh_tridiagonal(d, e)),
        LINE,
        SHORT,
    ),
    "sqrtm": (scipy.linalg.sqrtm, SPD + 0.1 * A),
    "logm": (scipy.linalg.logm, SPD + 0.1 * A),
    "expm_frechet": (lambda a, e: scipy.linalg.expm_frechet(a, e), A, SPD),
    "sinm": (scipy.linalg.sinm, A),
    "tanhm": (scipy.linalg.tanhm, A),
    "sylvester": (lambda a, b, q: scipy.linalg.solve_sylvester(a, b, q), SPD, SPD + A, A),
    "lyapunov": (lambda a, q: scipy.linalg.solve_discrete_lyapunov(a, q), A * 0.3, SPD),
    "polar": (lambda a: scipy.linalg.polar(a, "left"), B),
    "null_space": (lambda a: (lambda n: n @ n.T)(scipy.linalg.null_space(a)), B.T.copy()),
    "orth": (lambda a: (lambda n: n @ n.T)(scipy.linalg.orth(a)), B),
    "subspace_angles": (lambda a, b: scipy.linalg.subspace_angles(a, b), B[:, :2], drawn(5, 2)),
    "lu tall": (scipy.linalg.lu, B),
    "lu wide": (lambda a: scipy.linalg.lu(a)[1:], B.T.copy()),
    "eigh type 3": (lambda a, b: scipy.linalg.eigh(a, b, type=3)[0], SPD, SPD + np.eye(3)),
    "eigh subset": (lambda a: scipy.linalg.eigh(a, subset_by_index=[0, 1])[0], SPD),
    "block_diag": (lambda a, b: scipy.linalg.block_diag(a, b, a), A, B),
    "multi_dot": (lambda a, v: np.linalg.multi_dot([v, a, a, a, v]), A, SHORT),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_matrices(name):
    with options(interpret=True):
        assert_agree(*COMPLEX[name], order=2 if name in ("cholesky", "svd", "eig") else 1)


@pytest.mark.parametrize("name", REAL)
def test_more_of_scipy(name):
    with options(interpret=True):
        assert_agree(*REAL[name], order=2 if name in ("eig", "solve_banded", "sqrtm") else 1)


def test_eigenvectors_keep_their_gauge():
    w, v = np.linalg.eig(drawn(4, 4))
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 1.0)
    largest = np.argmax(np.abs(v), axis=0)
    np.testing.assert_allclose(v[largest, np.arange(4)].imag, 0.0)
    f = jit(lambda a: np.linalg.eigvals(a))
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    real = np.diag([1.0, 2.0])
    assert f(real).dtype == np.linalg.eigvals(real).dtype  # complex from NumPy 2.5 on
    assert f(turn).dtype == complex  # another path of the same function
    assert w.shape == (4,)


@pytest.mark.parametrize("order", [None, 1, 2, 3, np.inf])
def test_norms_have_slope_zero_at_zero(order):
    with options(interpret=True):
        slope = grad(lambda x: np.linalg.norm(x, order))(np.zeros(3))
    np.testing.assert_array_equal(slope, np.zeros(3))


def test_precision_is_kept():
    def f(a):
        w, v = np.linalg.eig(a)
        return np.sum(np.abs(v @ np.linalg.inv(a) * w) ** 2)

    with options(interpret=True):
        value, slope = value_and_grad(f)(Z.astype("c8"))
        assert (value.dtype, slope.dtype) == (np.float32, np.complex64)
        np.testing.assert_allclose(slope, grad(f)(Z), rtol=1e-3, atol=1e-3)


def test_roots_that_are_complex_are_asked_for_as_complex():
    with pytest.raises(np.linalg.LinAlgError, match="pass the matrix as complex"):
        jit(scipy.linalg.sqrtm)(np.diag([1.0, -1.0]))
    root = jit(scipy.linalg.sqrtm)(np.diag([1.0 + 0j, -1.0]))
    np.testing.assert_allclose(root @ root, np.diag([1, -1]), atol=1e-12)
    with pytest.raises(np.linalg.LinAlgError):
        jit(lambda a, b: scipy.linalg.solve_banded((1, 1), a, b))(np.zeros((3, 4)), np.ones(4))


def test_scipy_may_be_imported_where_it_is_used():
    def f(a):
        from scipy.linalg import expm

        return np.sum(expm(a))

    def enclosing():
        from scipy.linalg import expm

        return lambda a: np.sum(expm(a))

    with options(interpret=True):
        np.testing.assert_allclose(grad(f)(A), grad(enclosing())(A))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_equal_eigenvalues_do_not_spoil_the_vector_of_another_one(dtype):
    def lowest(a):
        return np.abs(np.linalg.eigh(a)[1][0, 0]) ** 2

    def largest(a):
        return np.abs(np.linalg.svd(a)[0][0, 0]) ** 2

    a = np.diag([-3.0, 2.0, 2.0]).astype(dtype)
    a[0, 1] = a[1, 0] = 0.25
    for f, along in ((lowest, np.s_[1, 0]), (largest, np.s_[0, 1])):
        slope, h = grad(f)(a), 1e-2 if dtype == "f4" else 1e-5
        step = np.zeros_like(a)
        step[along] = step[along[::-1]] = h
        both = (f(a + step) - f(a - step)) / (2 * h)
        np.testing.assert_allclose((slope + slope.T)[along].real, both, rtol=2e-3)
    equal = np.diag([-3.0, 2.0, 2.0]).astype(dtype)
    assert np.isnan(grad(lambda a: np.abs(np.linalg.eigh(a)[1][1, 1]) ** 2)(equal)).any()
