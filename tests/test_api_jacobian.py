"""jacobian, jacfwd, jacrev, hessian: against finite differences and loops of single sweeps."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import adjit
from adjit import errors, grad, hessian, hvp, jacfwd, jacobian, jacrev, jit, jvp, vjp

RNG = np.random.default_rng(3)
W, X = RNG.normal(size=(4, 3)), RNG.normal(size=3)
WAYS = {"fwd": jacfwd, "rev": jacrev, "by shape": jacobian}


pytestmark = pytest.mark.usefixtures("interpreted")


def difference(f: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """The Jacobian by central differences."""
    x = np.asarray(x, float)
    columns = []
    for e in np.eye(x.size):
        d = h * e.reshape(x.shape)
        columns.append((np.asarray(f(x + d)) - np.asarray(f(x - d))) / (2 * h))
    return np.stack(columns, axis=-1).reshape(np.shape(columns[0]) + x.shape)


def smooth_matrix(x):
    return np.outer(np.sin(x), x**2)[:, 1:] @ np.diag(np.exp(x[:2]))


FUNCTIONS = {
    "chain": lambda x: np.tanh(W @ np.tanh(x * 2)),
    "scalar": lambda x: np.sum(x**3) * x[0],
    "matrix": smooth_matrix,
    "square": lambda x: np.cumsum(x) * x[::-1],
    "index": lambda x: x[np.array([0, 0, 2, 1, 2])] * 2,
    "where": lambda x: np.where(x > 0, x**2, -x),
    "linear": lambda x: W @ x,
    "one of many": lambda x: x[1] * np.ones((2, 2)),
    "nothing": lambda x: np.ones(2) * 3,
    "max": lambda x: np.max(x) * x,
    "sorted": lambda x: np.sort(x) ** 2,
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobians(name, way):
    f = FUNCTIONS[name]
    j = WAYS[way](f)(X)
    want = difference(f, X)
    assert j.shape == want.shape
    np.testing.assert_allclose(j, want, rtol=1e-6, atol=1e-7)
    assert j.flags.c_contiguous


@pytest.mark.parametrize("way", WAYS)
def test_of_matrices_and_several_arguments(way):
    def f(w, x, n):
        return {"y": np.tanh(w @ x) * n, "s": np.sum(w) * x}

    j = WAYS[way](f, argnums=(0, 1))(W, X, 2.0)
    for key in ("y", "s"):
        np.testing.assert_allclose(
            j[key][0], difference(lambda w, k=key: f(w, X, 2.0)[k], W), rtol=1e-6, atol=1e-8
        )
        np.testing.assert_allclose(
            j[key][1], difference(lambda x, k=key: f(W, x, 2.0)[k], X), rtol=1e-6, atol=1e-8
        )
    by_n = WAYS[way](f, argnums=-1)(W, X, 2.0)
    np.testing.assert_allclose(by_n["y"], np.tanh(W @ X))
    np.testing.assert_allclose(by_n["s"], np.zeros(3))


@pytest.mark.parametrize("way", WAYS)
def test_kinds_and_dtypes(way):
    jac = WAYS[way]
    slope = jac(lambda x: x**3)(2.0)
    assert type(slope) is float
    assert slope == 12.0
    assert jac(np.sin)(X.astype(np.float32)).dtype == np.float32
    mixed = jac(lambda x: x.astype(np.float64) * 2)(X.astype(np.float32))
    assert mixed.dtype == np.float32
    assert jac(lambda x: x * 2.0)(np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert jac(lambda x: np.sum(x))(np.zeros((0, 2))).shape == (0, 2)
    np.testing.assert_allclose(jac(lambda x: (1.5, x[0]))(X)[0], np.zeros(3))
    np.testing.assert_allclose(jac(lambda p: p["a"] * p["b"])({"a": X, "b": 2.0})["b"], X)


def test_rows_are_pullbacks_and_columns_pushforwards():
    j = jacobian(smooth_matrix)(X)
    _, pullback = vjp(smooth_matrix, X)
    for at in np.ndindex(3, 2):
        ct = np.zeros((3, 2))
        ct[at] = 1
        np.testing.assert_allclose(pullback(ct)[0], j[at], atol=1e-14)
    for k in range(3):
        tangent = jvp(smooth_matrix, (X,), (np.eye(3)[k],))[1]
        np.testing.assert_allclose(tangent, j[..., k], atol=1e-14)


def test_the_mode_is_chosen_by_shape():
    def verbs(f, x):
        return [line for line in str(jacobian(f).ir(x, stage="adjoint")).split() if "iota" in line]

    wide, tall = (lambda x: W @ np.tanh(x)), (lambda x: np.tanh(W).T @ x)
    np.testing.assert_allclose(jacobian(wide)(X), jacfwd(wide)(X), atol=1e-15)
    np.testing.assert_allclose(jacobian(tall)(np.ones(4)), jacrev(tall)(np.ones(4)), atol=1e-15)
    assert "shape=(3, 3)" in str(jacobian(wide).ir(X, stage="adjoint"))
    assert "shape=(3, 3)" in str(jacobian(tall).ir(np.ones(4), stage="adjoint"))
    assert verbs(wide, X)


def test_kinks_stay_finite():
    """A branch that is not taken puts no NaN into a row."""
    f = lambda x: np.where(x > 0, np.log(x), x)  # noqa: E731
    for way in WAYS.values():
        np.testing.assert_allclose(way(f)(np.array([2.0, -1.0, 0.0])), np.diag([0.5, 1.0, 1.0]))


# ------------------------------------------------------------------ Hessians


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize(
    "f", [rosenbrock, lambda x: np.sum(np.tanh(W @ x) ** 2), lambda x: np.prod(x) + x[0] ** 4]
)
def test_hessians(f):
    h = hessian(f)(X)
    np.testing.assert_allclose(h, h.T, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(h, difference(grad(f), X), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(h @ X[::-1], hvp(f)(X, X[::-1]), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(jacfwd(jacrev(f))(X), h, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(jacrev(jacfwd(f))(X), h, rtol=1e-10, atol=1e-10)


def test_hessians_of_several_arguments():
    def f(w, x):
        return np.sum(np.tanh(w @ x) * x[0])

    (ww, wx), (xw, xx) = hessian(f, argnums=(0, 1))(W, X)
    assert ww.shape == (4, 3, 4, 3)
    np.testing.assert_allclose(wx, np.moveaxis(xw, 0, -1), atol=1e-13)
    np.testing.assert_allclose(xx, hessian(f, argnums=1)(W, X))
    np.testing.assert_allclose(wx, difference(lambda x: grad(f)(W, x), X), rtol=1e-6, atol=1e-8)


def test_third_derivatives():
    t = jacobian(hessian(rosenbrock))(X)
    np.testing.assert_allclose(t, difference(hessian(rosenbrock), X), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(hessian(grad(lambda x: x**5))(2.0), 60 * 2.0**2)
    directional = jvp(hessian(rosenbrock), (X,), (X,))[1]
    np.testing.assert_allclose(directional, t @ X, rtol=1e-10)
    by_grad = grad(lambda x: np.sum(hessian(rosenbrock)(x) ** 2))(X)
    np.testing.assert_allclose(by_grad, 2 * np.einsum("ij,ijk->k", hessian(rosenbrock)(X), t))


def test_inside_jit():
    @jit
    def newton(x):
        return x - np.sum(hessian(rosenbrock)(x) @ grad(rosenbrock)(x)[:, None], axis=1)

    h, g = hessian(rosenbrock)(X), grad(rosenbrock)(X)
    np.testing.assert_allclose(newton(X), X - h @ g)


def test_compiled_as_one_program():
    with adjit.options(interpret=False):
        for f in (FUNCTIONS["chain"], FUNCTIONS["matrix"]):
            for way in WAYS.values():
                np.testing.assert_allclose(way(f)(X), difference(f, X), rtol=1e-6, atol=1e-8)
        h = hessian(rosenbrock)
        np.testing.assert_allclose(h(X), difference(grad(rosenbrock), X), rtol=1e-6, atol=1e-6)
        assert (h.cache_info().variants, h.cache_info().traces) == (1, 1)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("f", "x", "says"),
    [
        (lambda x: np.argmax(x), X, "only floating-point results carry derivatives"),
        (lambda x: "name", X, "name"),
        (lambda x: x, np.arange(3), "int64"),
        (lambda x: x, 3, "Pass it as a float"),
    ],
)
def test_what_carries_no_derivative(f, x, says):
    for way in WAYS.values():
        with pytest.raises(errors.NotDifferentiable, match=re.escape(says)):
            way(f)(x)


def test_wrong_use():
    with pytest.raises(ValueError, match="mode 'up'"):
        jacobian(rosenbrock, mode="up")
    with pytest.raises(TypeError, match="argnums"):
        jacobian(rosenbrock, argnums="x")
    with pytest.raises(errors.NonScalarOutput):
        hessian(FUNCTIONS["chain"])(X)
    with pytest.raises(TypeError, match="argument 3"):
        hessian(rosenbrock, argnums=3)(X)
