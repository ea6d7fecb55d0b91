"""np.linalg and scipy.linalg as users write them: values, kinds of results, gradients, errors."""

import warnings

import numpy as np
import pytest
import scipy.linalg
from scipy.linalg import cho_factor, cho_solve, lu_factor, lu_solve, solve_triangular
from scipy.stats import multivariate_normal
from traced import assert_right

import adjit
from adjit.ir import interp
from adjit.passes.vjp import vjp
from adjit.tracer.errors import UnsupportedOp
from adjit.tracer.trace import trace

LinAlgError = np.linalg.LinAlgError
B = np.random.default_rng(5).normal(size=4)
M = np.random.default_rng(6).normal(size=(4, 2))
FIRST, SECOND = (np.random.default_rng(s).normal(size=(4, 4)) + 3 * np.eye(4) for s in (0, 1))


def definite(a):
    return a @ a.T + np.eye(4)


def apart(a):
    """Symmetric, with eigenvalues well apart."""
    return a + a.T + np.diag([0.0, 4, 9, 15])


def stack(a):
    return np.stack([a, 2 * a + np.eye(4), a.T])


def unsigned(pair):
    """Eigenvalues, and vectors whatever their signs."""
    return pair[0], np.abs(pair[1])


NUMPY = {
    "solve vector": lambda a: np.linalg.solve(a, B),
    "solve matrix": lambda a: np.linalg.solve(a, M),
    "solve for the left": lambda a: np.linalg.solve(definite(SECOND), a),
    "solve stack": lambda a: np.linalg.solve(stack(a), M),
    "solve stack of vector": lambda a: np.linalg.solve(stack(a), B),
    "solve many sides": lambda a: np.linalg.solve(a, stack(a)),
    "inv": np.linalg.inv,
    "inv stack": lambda a: np.linalg.inv(stack(a)),
    "det": np.linalg.det,
    "det stack": lambda a: np.linalg.det(stack(a)),
    "slogdet": np.linalg.slogdet,
    "logdet": lambda a: np.linalg.slogdet(stack(a)).logabsdet,
    "cholesky": lambda a: np.linalg.cholesky(definite(a)),
    "cholesky upper": lambda a: np.linalg.cholesky(definite(a), upper=True),
    "cholesky triangle": lambda a: np.linalg.cholesky(a + 4 * np.eye(4)),
    "qr": np.linalg.qr,
    "qr tall": lambda a: np.linalg.qr(a[:, :2]),
    "qr wide": lambda a: np.linalg.qr(a[:2]).R,
    "qr complete": lambda a: np.linalg.qr(a[:, :2], mode="complete"),
    "qr r": lambda a: np.linalg.qr(a[:, :3], mode="r"),
    "qr stack": lambda a: np.linalg.qr(stack(a)),
    "eigh": lambda a: np.linalg.eigh(apart(a)),
    "eigh triangle": lambda a: np.linalg.eigh(a + np.diag([0, 5, 11, 18]), "U").eigenvalues,
    "eigvalsh": lambda a: np.linalg.eigvalsh(apart(a)),
    "svd": lambda a: np.linalg.svd(a),
    "svd tall": lambda a: np.linalg.svd(a[:, :3], full_matrices=False),
    "svd full": lambda a: np.linalg.svd(a[:, :3])[1],
    "svd values": lambda a: np.linalg.svd(stack(a), compute_uv=False),
    "svdvals": lambda a: np.linalg.svdvals(a[:3]),
    "svd hermitian": lambda a: np.linalg.svd(apart(a), hermitian=True),
    "pinv": np.linalg.pinv,
    "pinv tall": lambda a: np.linalg.pinv(a[:, :2]),
    "pinv rcond": lambda a: np.linalg.pinv(a[:2], rcond=1e-9),
    "pinv hermitian": lambda a: np.linalg.pinv(a @ a.T, hermitian=True),
    "lstsq": lambda a: np.linalg.lstsq(a[:, :2], B),
    "lstsq matrix": lambda a: np.linalg.lstsq(a[:, :3], M, rcond=1e-10),
    "lstsq wide": lambda a: np.linalg.lstsq(a[:2], M[:2, 0]),
    "polyfit": lambda a: np.polyfit(a[:, 0], B, 2),
    "polyfit weighted": lambda a: np.polyfit(np.arange(4.0), a, 1, w=a[0] ** 2 + 1),
    "matrix_power": lambda a: np.linalg.matrix_power(a, 3),
    "matrix_power inverse": lambda a: np.linalg.matrix_power(stack(a), -2),
    "matrix_power none": lambda a: np.linalg.matrix_power(a, 0) * a,
    "cond": np.linalg.cond,
    "cond least": lambda a: np.linalg.cond(a, -2),
    "cond one": lambda a: np.linalg.cond(stack(a), 1),
    "cond fro": lambda a: np.linalg.cond(a, "fro"),
    "norm 2": lambda a: np.linalg.norm(a, 2),
    "norm -2": lambda a: np.linalg.norm(stack(a), -2, axis=(1, 2)),
    "norm nuc": lambda a: np.linalg.norm(stack(a), "nuc", axis=(0, 2), keepdims=True),
    "matrix_norm": lambda a: np.linalg.matrix_norm(stack(a), ord=2),
    "multi_dot": lambda a: np.linalg.multi_dot([a, a.T, a, B]),
    "tensorsolve": lambda a: np.linalg.tensorsolve(a.reshape(2, 2, 4), B.reshape(2, 2)),
    "tensorsolve axes": lambda a: np.linalg.tensorsolve(a.reshape(2, 4, 2), B[:4], axes=(0,)),
    "tensorinv": lambda a: np.linalg.tensorinv(a.reshape(2, 2, 4), ind=2),
    "matmul": lambda a: np.linalg.matmul(a, stack(a)),
    "vecdot": lambda a: np.linalg.vecdot(a, B),
    "outer": lambda a: np.linalg.outer(a[0], a[1]),
    "cross": lambda a: np.linalg.cross(a[0, :3], a[1, :3]),
    "trace": lambda a: np.linalg.trace(stack(a)),
    "diagonal": lambda a: np.linalg.diagonal(stack(a)),
    "matrix_transpose": lambda a: np.linalg.matrix_transpose(stack(a)),
    "float32": lambda a: np.linalg.solve(a.astype("f4"), np.ones(4, "f4")).astype("f8"),
    "integers": lambda a: np.linalg.inv(np.array([[2, 1], [1, 1]])) * a[0, 0],
}
SCIPY = {
    "solve_triangular": lambda a: solve_triangular(a, B),
    "solve_triangular trans": lambda a: solve_triangular(a, M, trans="T", lower=True),
    "solve_triangular unit": lambda a: solve_triangular(a, M, 1, unit_diagonal=True),
    "cho_solve": lambda a: cho_solve(cho_factor(definite(a)), B),
    "cho_solve lower": lambda a: cho_solve(cho_factor(definite(a), lower=True), M),
    "cho_factor": lambda a: cho_factor(a + 6 * np.eye(4))[0],
    "cholesky": lambda a: scipy.linalg.cholesky(definite(a)),
    "cholesky lower": lambda a: scipy.linalg.cholesky(definite(a), lower=True),
    "solve": lambda a: scipy.linalg.solve(a, B),
    "solve transposed": lambda a: scipy.linalg.solve(a, M, transposed=True),
    "solve pos": lambda a: scipy.linalg.solve(definite(a), B, assume_a="pos"),
    "solve sym": lambda a: scipy.linalg.solve(apart(a), B, assume_a="sym", lower=True),
    "solve triangle": lambda a: scipy.linalg.solve(
        np.tril(a), B, assume_a="lower triangular", transposed=True
    ),
    "lu_solve": lambda a: lu_solve(lu_factor(a[::-1]), B),
    "lu_solve trans": lambda a: lu_solve(lu_factor(a[::-1]), M, trans=1),
    "lu_factor": lambda a: lu_factor(a[[1, 2, 3, 0]]),
    "lu": lambda a: scipy.linalg.lu(a[::-1]),
    "lu permuted": lambda a: scipy.linalg.lu(a[::-1], permute_l=True),
    "lu indices": lambda a: scipy.linalg.lu(a[[1, 2, 3, 0]], p_indices=True),
    "inv": lambda a: scipy.linalg.inv(a),
    "det": lambda a: scipy.linalg.det(a),
    "expm": lambda a: scipy.linalg.expm(a / 4),
    "expm stack": lambda a: scipy.linalg.expm(stack(a) / 8),
    "eigh": lambda a: unsigned(scipy.linalg.eigh(apart(a))),
    "eigh general": lambda a: unsigned(scipy.linalg.eigh(apart(a), definite(SECOND) / 9)),
    "eigvalsh": lambda a: scipy.linalg.eigvalsh(apart(a)),
    "svd": lambda a: scipy.linalg.svd(a, full_matrices=False),
    "svdvals": lambda a: scipy.linalg.svdvals(a),
    "qr": lambda a: scipy.linalg.qr(a),
    "qr economic": lambda a: scipy.linalg.qr(a[:, :2], mode="economic"),
    "pinv": lambda a: scipy.linalg.pinv(a[:3]),
    "lstsq": lambda a: scipy.linalg.lstsq(a[:, :2], B),
    "lstsq wide": lambda a: scipy.linalg.lstsq(a[:2], M[:2]),
    "block_diag": lambda a: scipy.linalg.block_diag(a, a[:1, :2], 2.0),
    "norm": lambda a: scipy.linalg.norm(a),
}
CASES = NUMPY | {f"scipy {k}": f for k, f in SCIPY.items()}


def arrays(out):
    """The float results of a function, flat."""
    outs = out if isinstance(out, tuple) else (out,)
    return [np.asarray(y) for y in outs if np.asarray(y).dtype.kind == "f"]


@pytest.mark.parametrize("name", CASES)
def test_values_are_numpys(name):
    assert_right(CASES[name], (FIRST,), (SECOND,), rtol=1e-5 if name == "float32" else 1e-9)


@pytest.mark.parametrize("name", [n for n in CASES if n != "float32"])
def test_gradients_are_right(name):
    """Along a random direction, against a central difference."""
    f, rng = CASES[name], np.random.default_rng(2)
    function = trace(f, (FIRST,)).function
    captures = [np.asarray(c.read()) for c in trace(f, (FIRST,)).captures]
    cts = [rng.normal(size=y.shape) for y in arrays(f(FIRST))]
    t, h = rng.normal(size=(4, 4)), 1e-5
    pulled = vjp(function, [0], primal_outs=False)
    (got,) = interp.evaluate(pulled, FIRST, *captures, *cts)
    ends = (arrays(f(FIRST + s * h * t)) for s in (1, -1))
    want = sum(np.sum(c * (p - m)) / (2 * h) for c, p, m in zip(cts, *ends, strict=True))
    np.testing.assert_allclose(np.sum(got * t), want, rtol=2e-6, atol=2e-6 * np.abs(got).max())


def test_results_are_named_as_numpys():
    def f(a):
        w, v = np.linalg.eigh(apart(a))
        assert type(np.linalg.eigh(a)) is type(np.linalg.eigh(FIRST))
        assert type(np.linalg.svd(a)).__name__ == "SVDResult"
        q = np.linalg.qr(a)
        return np.sum(w) + np.sum(v) + q.Q[0, 0] + q.R[0, 0] + np.linalg.slogdet(a).sign

    trace(f, (FIRST,))


# ------------------------------------------------------------------ as a user


def kernel(x, length, scale):
    return scale**2 * np.exp(-0.5 * ((x[:, None] - x[None, :]) / length) ** 2)


X = np.linspace(0, 1, 12)
Y = np.sin(5 * X)


def marginal(theta):
    """The negative log marginal likelihood of a Gaussian process."""
    length, scale, noise = np.exp(theta)
    k = kernel(X, length, scale) + noise**2 * np.eye(len(X))
    low = np.linalg.cholesky(k)
    z = solve_triangular(low, Y, lower=True)
    return 0.5 * z @ z + np.sum(np.log(np.diag(low))) + 0.5 * len(X) * np.log(2 * np.pi)


def by_factor(theta):
    length, scale, noise = np.exp(theta)
    k = kernel(X, length, scale) + noise**2 * np.eye(len(X))
    factor = cho_factor(k, lower=True)
    constant = 0.5 * len(X) * np.log(2 * np.pi)
    return 0.5 * Y @ cho_solve(factor, Y) + 0.5 * np.linalg.slogdet(k)[1] + constant


def differences(f, x, h=1e-5):
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)])


THETA = np.log([0.3, 1.2, 0.2])


@pytest.mark.parametrize("f", [marginal, by_factor])
def test_a_gaussian_process(f):
    value, grad = adjit.value_and_grad(f)(THETA)
    length, scale, noise = np.exp(THETA)
    want = multivariate_normal(cov=kernel(X, length, scale) + noise**2 * np.eye(len(X)))
    np.testing.assert_allclose(value, -want.logpdf(Y), rtol=1e-12)
    np.testing.assert_allclose(grad, differences(f, THETA), rtol=1e-7)


def test_the_hessian_of_a_gaussian_process():
    got = adjit.hessian(marginal)(THETA)
    grad = adjit.grad(marginal)
    np.testing.assert_allclose(got, differences(grad, THETA), rtol=1e-6, atol=1e-6)


def test_least_squares_four_ways():
    """Fit a line by lstsq, solve, qr and pinv: one value, one gradient."""

    def design(x):
        return np.stack([np.ones_like(x), x, x**2], axis=1)

    def by_qr(a):
        q, r = np.linalg.qr(a)
        return np.linalg.solve(r, q.T @ Y)

    ways = [
        lambda a: np.linalg.lstsq(a, Y, rcond=None)[0],
        lambda a: np.linalg.solve(a.T @ a, a.T @ Y),
        by_qr,
        lambda a: np.linalg.pinv(a) @ Y,
    ]
    grads = [adjit.grad(lambda x, w=w: np.sum(w(design(x)) ** 2))(X) for w in ways]
    for g in grads[1:]:
        np.testing.assert_allclose(g, grads[0], rtol=1e-8, atol=1e-8)


def test_an_eigenvalue_of_a_parametrised_matrix():
    def ground(k):
        h = np.diag(k * np.arange(5.0) ** 2) + np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
        return np.linalg.eigvalsh(h)[0]

    want = (ground(0.7 + 1e-5) - ground(0.7 - 1e-5)) / 2e-5
    np.testing.assert_allclose(adjit.grad(ground)(0.7), want, rtol=1e-7)


def test_the_log_determinant_is_a_potential():
    """Its gradient is the inverse transposed; its Hessian along a direction follows."""
    got = adjit.grad(lambda a: np.linalg.slogdet(a)[1])(FIRST)
    np.testing.assert_allclose(got, np.linalg.inv(FIRST).T, rtol=1e-12)
    got = adjit.hvp(lambda a: np.linalg.slogdet(a)[1])(FIRST, SECOND)
    x = np.linalg.inv(FIRST)
    np.testing.assert_allclose(got, -(x @ SECOND @ x).T, rtol=1e-12)


def test_the_gradient_of_an_exponential_flow():
    def f(t):
        return np.sum(scipy.linalg.expm(t * (FIRST - FIRST.T)) @ B)

    want = (f(0.3 + 1e-5) - f(0.3 - 1e-5)) / 2e-5
    np.testing.assert_allclose(adjit.grad(f)(0.3), want, rtol=1e-7)


# ------------------------------------------------------------------ bad input


def test_singular_matrices_raise_when_the_program_runs():
    for f, says in [
        (lambda a: np.sum(np.linalg.inv(a)), "Singular matrix"),
        (lambda a: np.sum(np.linalg.solve(a, np.ones(2))), "Singular matrix"),
        (lambda a: np.sum(np.linalg.cholesky(a - 3)), "Matrix is not positive definite"),
    ]:
        g = adjit.grad(f)
        with pytest.raises(LinAlgError, match=says):
            g(np.ones((2, 2)))
        g(np.array([[9.0, 1], [1, 9]]))  # the program is as good as before
        with pytest.raises(LinAlgError, match=says):
            g(np.ones((2, 2)))


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.linalg.inv(a),
        lambda a: np.linalg.det(a),
        lambda a: np.linalg.slogdet(a),
        lambda a: np.linalg.cholesky(a),
        lambda a: np.linalg.eigh(a),
        lambda a: np.linalg.eigvalsh(a),
        lambda a: np.linalg.solve(a, np.ones(2)),
        lambda a: np.linalg.matrix_power(a, 2),
        lambda a: np.linalg.svd(a[0]),
        lambda a: np.linalg.qr(a[0]),
        lambda a: np.linalg.pinv(a[0]),
        lambda a: np.linalg.lstsq(a, np.ones(3)),
        lambda a: np.linalg.lstsq(a[0], np.ones(3)),
        lambda a: np.linalg.qr(a, mode="some"),
        lambda a: np.linalg.eigh(a[:, :2], "X"),
        lambda a: np.linalg.norm(a, 7),
        lambda a: np.linalg.norm(a, "some"),
        lambda a: np.linalg.matrix_power(a[:, :2], 1.5),
        lambda a: np.linalg.cond(a[:0]),
        lambda a: np.linalg.tensorinv(a, ind=0),
        lambda a: scipy.linalg.solve(a, np.ones(2)),
        lambda a: scipy.linalg.expm(a),
    ],
)
def test_wrong_shapes_raise_what_numpy_raises(f):
    x = np.ones((2, 3))
    with pytest.raises((ValueError, TypeError)) as wanted:
        f(x)
    with pytest.raises(wanted.type) as found:
        trace(f, (x,))
    assert type(found.value) is wanted.type
    assert str(found.value).split(",")[0] == str(wanted.value).split(",")[0]


def test_what_has_no_rule_is_refused():
    for f in [
        lambda a: np.linalg.qr(a, mode="raw"),
        lambda a: scipy.linalg.qr(a, pivoting=True),
    ]:
        with pytest.raises(UnsupportedOp):
            trace(f, (FIRST,))


def test_residuals_of_deficient_least_squares_raise_where_they_are_read():
    deficient = np.ones((3, 2))
    solution = adjit.value_and_grad(lambda a: np.sum(np.linalg.lstsq(a, np.ones(3))[0]))
    np.testing.assert_allclose(solution(deficient)[0], 1.0)
    residual = adjit.grad(lambda a: np.sum(np.linalg.lstsq(a, np.arange(3.0))[1]))
    residual(np.array([[1.0, 0], [1, 1], [1, 3]]))
    with pytest.raises(LinAlgError, match="rank 1, not 2"):
        residual(deficient)


def test_a_rank_is_a_number():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        g = adjit.grad(lambda a: np.linalg.matrix_rank(a) * np.sum(a))(FIRST)
    np.testing.assert_array_equal(g, np.full((4, 4), 4.0))
    assert_right(
        lambda a: np.linalg.matrix_rank(stack(a), tol=1e-3), (FIRST,), (np.diag([1.0, 2, 0, 0]),)
    )
    assert_right(lambda a: np.linalg.matrix_rank(a[0]), (FIRST,), (np.zeros((4, 4)),))
