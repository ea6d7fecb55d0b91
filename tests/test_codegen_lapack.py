"""LAPACK inside kernels: factors and triangular systems, alone, in stacks, in every rung."""

import numpy as np
import pytest
import scipy.linalg

from adjit import grad, jit, options, value_and_grad, vmap
from adjit.testing import check_grads

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 6, 6))
STACK = A @ A.swapaxes(-1, -2) + np.eye(6)
ONE, RIGHT = STACK[0], RNG.normal(size=(6, 2))
VECTOR = RIGHT[:, 0].copy()


def solves(a, b):
    """Every way a triangular system is asked for."""
    f = scipy.linalg.solve_triangular
    return [
        f(a, b, trans=trans, lower=lower, unit_diagonal=unit)
        for trans in (0, 1)
        for lower in (False, True)
        for unit in (False, True)
    ]


def process(theta, x, y):
    """The negative log likelihood of a Gaussian process."""
    d = np.sum((x[:, None] - x[None]) ** 2, -1)
    k = np.exp(theta[0] - 0.5 * d * np.exp(-2 * theta[1])) + np.exp(theta[2]) * np.eye(len(y))
    factor = np.linalg.cholesky(k)
    w = scipy.linalg.solve_triangular(factor, y, lower=True)
    return 0.5 * w @ w + np.sum(np.log(np.diag(factor)))


def hosts(f, *args):
    plan = f.ir(*args, stage="fused")
    return [line for line in plan.split("\n") if line.startswith("host")]


@pytest.mark.parametrize(
    ("rung", "dtype"), [("direct", "f8"), ("direct", "f4"), ("lean", "f8"), ("plain", "f4")]
)
def test_each_rung_calls_lapack(rung, dtype):
    with options(rung=rung):
        f = jit(lambda a, b: (np.linalg.cholesky(a), scipy.linalg.solve_triangular(a, b)))
        args = ONE.astype(dtype), RIGHT.astype(dtype)
        factor, x = f(*args)
    assert (factor.dtype, x.dtype) == (dtype, dtype)
    assert not hosts(f, *args)
    rtol = 1e-12 if dtype == "f8" else 1e-4
    np.testing.assert_allclose(factor, np.linalg.cholesky(ONE), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(np.triu(ONE) @ x, RIGHT, rtol=rtol, atol=10 * rtol)


SYSTEMS = {
    "solve": (np.linalg.solve, STACK, np.stack([RIGHT] * 3)),
    "solve one": (np.linalg.solve, A[0], VECTOR),
    "solve the transpose": (lambda a, b: np.linalg.solve(a.T, b), A[0], RIGHT),
    "inv": (np.linalg.inv, A),
    "det": (np.linalg.det, A),
    "slogdet": (np.linalg.slogdet, A),
    "a number": (lambda a, b: np.linalg.solve(a, b), A[0, :1, :1], VECTOR[:1]),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "f8") for name in SYSTEMS), ("solve", "f4"), ("slogdet", "f4")]
)
def test_general_systems(name, dtype):
    f, *args = SYSTEMS[name]
    args = [a.astype(dtype) for a in args]
    run = jit(lambda *args: f(*args))
    assert not hosts(run, *args)
    rtol = 1e-10 if dtype == "f8" else 5e-3
    got, want = run(*args), f(*args)
    several = isinstance(want, tuple)
    for g, w in zip(got if several else [got], want if several else [want], strict=True):
        assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("rung", "dtype"), [("lean", "f8"), ("plain", "f4")])
def test_other_rungs_decompose_too(rung, dtype):
    with options(rung=rung):
        a, b = A[0].astype(dtype), RIGHT.astype(dtype)
        x = jit(lambda a, b: np.linalg.solve(a, b))(a, b)
    np.testing.assert_allclose(a @ x, b, atol=1e-12 if dtype == "f8" else 1e-3)


def test_a_matrix_is_decomposed_once():
    def loss(a, b):
        return np.sum(np.linalg.solve(a, b) ** 2) + np.linalg.slogdet(a)[1]

    both = value_and_grad(loss, argnums=(0, 1))
    assert both.ir(A[0], VECTOR, stage="simplified").count("lu_factors") == 1
    value, slopes = both(A[0], VECTOR)
    with options(interpret=True):
        check_grads(loss, (A[0], VECTOR), order=1)
        want, wanted = value_and_grad(loss, argnums=(0, 1))(A[0], VECTOR)
    np.testing.assert_allclose(value, want)
    for g, w in zip(slopes, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("b", [RIGHT, VECTOR, VECTOR[:1]])
def test_triangular_systems(b):
    a = ONE[: len(b), : len(b)] / 3 + np.eye(len(b))
    f = jit(solves)
    assert not hosts(f, a, b)
    for got, want in zip(f(a, b), solves(a, b), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10)


def test_stacks_and_rows():
    f = jit(np.linalg.cholesky)
    np.testing.assert_allclose(f(STACK), np.linalg.cholesky(STACK), atol=1e-14)
    np.testing.assert_allclose(f(STACK[:, :1, :1]), STACK[:, :1, :1] ** 0.5)

    def loss(a, b):
        return np.sum(np.sin(scipy.linalg.cho_solve(scipy.linalg.cho_factor(a), b)))

    rows = vmap(grad(loss), in_axes=(0, None))
    assert not hosts(rows, STACK, VECTOR)
    np.testing.assert_allclose(
        rows(STACK, VECTOR), [grad(loss)(a, VECTOR) for a in STACK], atol=1e-13
    )


def test_a_gaussian_process_is_one_kernel():
    x, y = RNG.normal(size=(12, 2)), RNG.normal(size=12)
    theta = np.array([0.0, 0.2, -1.0])
    both = value_and_grad(process)
    assert not hosts(both, theta, x, y)
    np.testing.assert_allclose(both(theta, x, y)[0], process(theta, x, y))
    with options(interpret=True):
        check_grads(process, (theta, x, y), order=1)
        slope = grad(process)(theta, x, y)
    np.testing.assert_allclose(both(theta, x, y)[1], slope, rtol=1e-9)


def test_failures_raise_what_numpy_raises():
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        jit(np.linalg.cholesky)(-ONE)
    for g in (np.linalg.solve, lambda a, b: np.linalg.inv(a) @ b):
        with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
            jit(lambda a, b, g=g: g(a, b))(np.ones((3, 3)), np.ones(3))
    sign, size = jit(np.linalg.slogdet)(np.zeros((3, 3)))
    assert (sign, size) == (0.0, -np.inf)
    f = jit(lambda a, b: scipy.linalg.solve_triangular(a, b))
    singular = np.diag([1.0, 0.0, 2.0])
    for _ in range(2):
        with pytest.raises(np.linalg.LinAlgError, match="ingular"):
            f(singular, np.ones(3))
    np.testing.assert_allclose(f(np.diag([1.0, 4.0, 2.0]), np.ones(3)), [1.0, 0.25, 0.5])


@pytest.mark.parametrize("n", [3, 9, 21])
def test_a_matrix_with_nan_has_a_factor_of_nan(n: int) -> None:
    matrix = np.eye(n)
    matrix[1, 0] = np.nan
    factor = jit(np.linalg.cholesky)(matrix)
    np.testing.assert_array_equal(np.isnan(factor), np.isnan(np.linalg.cholesky(matrix)))


@pytest.mark.parametrize("n", [1, 2, 8, 11])
def test_small_matrices_need_no_library(n: int) -> None:
    rng = np.random.default_rng(n)
    a = rng.normal(size=(6, n, n))
    a[0] = np.eye(n)[::-1]  # every pivot is elsewhere
    spd = a @ np.swapaxes(a, 1, 2) + np.eye(n)
    b = rng.normal(size=(6, n, 2))

    def f(a, spd, b):
        low = np.linalg.cholesky(spd)
        x = np.linalg.solve(a, b)
        rest = np.sum(np.log(np.linalg.det(spd))) + np.sum(np.linalg.inv(spd) ** 2)
        return np.sum(low * low) + np.sum(np.tanh(x)) + rest

    g = value_and_grad(f, (0, 1, 2))
    got = g(a, spd, b)
    with options(interpret=True):
        wanted = g(a, spd, b)
    for x, y in zip((got[0], *got[1]), (wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-8 * np.abs(y).max())
    assert "potrf" not in g.source(a, spd, b)
    with pytest.raises(np.linalg.LinAlgError):
        g(a * 0, spd, b)
    with pytest.raises(np.linalg.LinAlgError):
        g(a, -spd, b)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_stacks_of_the_smallest_matrices(n, dtype):
    """Up to four rows stay in registers, where rows and columns are swapped by selection."""
    rng = np.random.default_rng(n)
    a = rng.normal(size=(7, n, n)).astype(dtype)
    a[:, 0, 0] = 0 if n > 1 else 1  # the first pivot is elsewhere
    b = rng.normal(size=(7, n, min(n, 3))).astype(dtype)

    def f(a, b):
        square = a @ np.swapaxes(a, 1, 2) + np.eye(n, dtype=a.dtype)
        low = np.linalg.cholesky(square)
        return np.sum(np.linalg.solve(a, b) ** 2) + np.sum(low) + np.sum(np.linalg.inv(square))

    g = value_and_grad(f, (0, 1))
    got = g(a, b)
    with options(interpret=True):
        wanted = g(a, b)
    rtol = 1e-9 if dtype == "f8" else 2e-2
    np.testing.assert_allclose(got[0], wanted[0], rtol=rtol)
    for x, y in zip(got[1], wanted[1], strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * np.max(np.abs(y)))


def test_the_smallest_matrices_that_have_no_factors():
    a = np.stack([np.eye(3), np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]]), np.eye(3)])
    with pytest.raises(np.linalg.LinAlgError):
        jit(np.linalg.cholesky)(a)
    a[1] = [[1, 2, 3], [2, 4, 6], [0, 0, 1]]
    with pytest.raises(np.linalg.LinAlgError):
        jit(np.linalg.solve)(a, np.ones((3, 3, 1)))
    a[1, 0] = np.nan
    assert np.isnan(jit(lambda a: np.linalg.cholesky(a))(a)[1]).any()


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_gradients_of_determinants_stay_in_the_kernel_and_are_right_at_singular_matrices(dtype):
    for n in (5, 21):
        a = RNG.normal(size=(5, n, n))
        a[1, :, 0] = 0
        a[2, :, -1] = a[2, :, 1]
        a[3, 1], a[3, 3] = a[3, 0], a[3, 2]  # of rank n - 2: all cofactors are zero
        u, s, vt = np.linalg.svd(a)
        others = np.stack([np.prod(np.delete(s, i, -1), -1) for i in range(n)], -1)
        turn = np.linalg.det(u) * np.linalg.det(vt)
        wanted = (u * (others * turn[:, None])[:, None]) @ vt
        for f in (np.linalg.det, lambda a: np.linalg.det(np.swapaxes(a, 1, 2))):
            g = grad(lambda a, f=f: np.sum(f(a)))
            got = g(a.astype(dtype))
            assert got.dtype == dtype and not hosts(g, a.astype(dtype))
            near = (1e-12 if dtype == "f8" else 1e-4) * np.abs(wanted).max()
            np.testing.assert_allclose(got, wanted, atol=near)
            with options(interpret=True):
                np.testing.assert_allclose(got, g(a.astype(dtype)), atol=near)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_general_systems_of_symmetric_matrices(dtype):
    """Positive definite ones by Cholesky, others as ever, told apart as the kernel runs."""
    n = 24
    a = RNG.normal(size=(4, n, n)) / n**0.5
    a = a @ np.swapaxes(a, 1, 2) + 0.3 * np.eye(n)
    a[1] -= np.eye(n)  # symmetric, but indefinite
    a[2, 3, 5] += 0.5
    a[3] = RNG.normal(size=(n, n))
    a, b = a.astype(dtype), RNG.normal(size=(4, n, 2)).astype(dtype)

    def f(a, b):
        sign, size = np.linalg.slogdet(a)
        return np.sum(sign * size) + np.sum(np.linalg.solve(a, b) ** 2) + np.sum(np.linalg.det(a))

    g = value_and_grad(f, (0, 1))
    got = g(a, b)
    assert not hosts(g, a, b)
    with options(interpret=True):
        wanted = g(a, b)
    rtol = 1e-9 if dtype == "f8" else 2e-2
    np.testing.assert_allclose(got[0], wanted[0], rtol=rtol)
    for x, y in zip(got[1], wanted[1], strict=True):
        np.testing.assert_allclose(x, y, atol=rtol * np.abs(y).max())
    with options(rung="lean"):
        turned = jit(lambda a: np.linalg.inv(np.swapaxes(a, 1, 2)))
        np.testing.assert_allclose(np.swapaxes(turned(a), 1, 2) @ a, [np.eye(n)] * 4, atol=rtol)
        a[0] = 1
        with pytest.raises(np.linalg.LinAlgError):
            turned(a)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_matrices_that_are_symmetric_up_to_rounding_are_symmetric(dtype):
    r = np.random.default_rng(8)
    points, b = r.normal(size=(45, 5)), r.normal(size=45).astype(dtype)
    k = np.exp(-0.5 * np.sum((points[:, None] - points) ** 2, axis=-1)) + np.eye(45)
    eps = np.finfo(dtype).eps
    fit = jit(lambda k, b: (np.linalg.solve(k, b), np.linalg.slogdet(k)[1], np.linalg.inv(k)))
    for off in (0.0, eps, 1e4 * eps):  # the last one is not, and its upper triangle is not ignored
        a = k.astype(dtype)
        a[3, 7] += off
        exact = a.astype("f8")
        x, log, inverse = fit(a, b)
        np.testing.assert_allclose(exact @ x, b, atol=300 * eps)
        np.testing.assert_allclose(log, np.linalg.slogdet(exact)[1], rtol=300 * eps)
        np.testing.assert_allclose(inverse, np.linalg.inv(exact), atol=300 * eps)
