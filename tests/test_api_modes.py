"""vjp, jvp, hvp, jacobian, hessian, stop_gradient and check_grads."""

import re

import numpy as np
import pytest

from adjit import (
    check_grads,
    errors,
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    linearize,
    options,
    stop_gradient,
    value_and_grad,
    vjp,
)
from adjit.ir.ops.elementwise import tanh as tanh_row

pytestmark = pytest.mark.usefixtures("interpreted")


A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
X = np.array([0.4, -0.9, 1.3])


def layer(w, x):
    return np.tanh(w @ x)


# ------------------------------------------------------------------ vjp and jvp


def test_vjp_of_a_vector_function():
    out, pullback = vjp(layer, A, X)
    np.testing.assert_allclose(out, layer(A, X))
    ct = np.array([1.0, -2.0])
    by_w, by_x = pullback(ct)
    slope = ct * (1 - out**2)
    np.testing.assert_allclose(by_w, np.outer(slope, X))
    np.testing.assert_allclose(by_x, A.T @ slope)


def test_pullback_uses_the_arguments_of_then():
    x = X.copy()
    _, pullback = vjp(lambda t: t**2, x)
    x[:] = 100
    np.testing.assert_allclose(pullback(np.ones(3))[0], 2 * X)


def test_vjp_of_containers_numbers_and_data():
    def f(p, n, idx):
        return {"a": p["w"][idx] * n, "b": p["b"] * 2.0}

    p = {"w": X, "b": 3.0}
    idx = np.array([0, 2])
    out, pullback = vjp(f, p, 2.0, idx)
    assert type(out["b"]) is float
    by_p, by_n, by_idx = pullback({"a": np.ones(2), "b": 1.0})
    np.testing.assert_allclose(by_p["w"], [2.0, 0.0, 2.0])
    assert by_p["b"] == 2.0
    assert by_n == pytest.approx(X[0] + X[2])
    assert by_idx is None


def test_vjp_with_aux():
    out, pullback, aux = vjp(lambda x: (x**2, {"n": 3.0}), X, has_aux=True)
    np.testing.assert_allclose(out, X**2)
    assert aux == {"n": 3.0}
    np.testing.assert_allclose(pullback(np.ones(3))[0], 2 * X)


def test_vjp_of_a_result_returned_twice():
    (a, b), pullback = vjp(lambda x: (lambda y: (y, y))(x**2), X)
    np.testing.assert_allclose(a, b)
    np.testing.assert_allclose(pullback((np.ones(3), 2 * np.ones(3)))[0], 6 * X)


@pytest.mark.parametrize(
    ("ct", "says"),
    [
        (np.ones(3), "shape (3,) and dtype float64, but the result is an array of shape (2,)"),
        (np.ones(2, np.float32), "dtype float32, but the result is"),
        (1.0, "a Python number (float64), but the result is an array of shape (2,)"),
        ((np.ones(2),), "has the structure tuple"),
    ],
)
def test_cotangents_that_do_not_fit(ct, says):
    _, pullback = vjp(layer, A, X)
    with pytest.raises(errors.CotangentMismatch, match=re.escape(says)):
        pullback(ct)


def test_jvp_against_a_difference():
    v, u = np.cos(A), np.sin(X)
    out, dot = jvp(layer, (A, X), (v, u))
    np.testing.assert_allclose(out, layer(A, X))
    e = 1e-6
    wanted = (layer(A + e * v, X + e * u) - layer(A - e * v, X - e * u)) / (2 * e)
    np.testing.assert_allclose(dot, wanted, rtol=1e-8)


def test_jvp_keeps_kinds_and_integer_results():
    out, dot = jvp(lambda x: (x * x, np.argmax(X * x)), (3.0,), (1.0,))
    assert (type(out[0]), type(dot[0])) == (float, float)
    assert dot[0] == 6.0
    assert dot[1] is None


@pytest.mark.parametrize(
    ("primals", "tangents", "error", "says"),
    [
        (X, (X,), TypeError, "primals as a tuple"),
        ((X,), X, TypeError, "tangents as a tuple"),
        ((X,), (X[:2],), errors.CotangentMismatch, "(2,)"),
        ((X,), (X, X), errors.CotangentMismatch, "structure"),
        ((np.arange(3),), (np.arange(3),), errors.NotDifferentiable, "int64"),
    ],
)
def test_tangents_that_do_not_fit(primals, tangents, error, says):
    with pytest.raises(error, match=re.escape(says)):
        jvp(np.sin, primals, tangents)


def test_jvp_with_arguments_that_do_not_move():
    idx = np.array([2, 0])
    out, dot = jvp(lambda x, i, s: x[i] * s, (X, idx, 3.0), (np.ones(3), None, None))
    np.testing.assert_allclose(out, X[[2, 0]] * 3)
    np.testing.assert_allclose(dot, [3.0, 3.0])
    out, dot = jvp(lambda x, n: sum(x[k] for k in range(n)), (X, 2), (X, None))
    assert dot == pytest.approx(X[0] + X[1])


def test_modes_compose_with_each_other():
    def f(x):
        return np.sum(np.sin(x) * x**2)

    wanted = jacobian(grad(f), mode="fwd")(X)
    by_reverse = jacobian(grad(f), mode="rev")(X)
    np.testing.assert_allclose(by_reverse, wanted)
    forward_over_reverse = jvp(grad(f), (X,), (X,))[1]
    reverse_over_forward = grad(lambda x: jvp(f, (x,), (stop_gradient(x),))[1])(X)
    np.testing.assert_allclose(forward_over_reverse, wanted @ X)
    np.testing.assert_allclose(reverse_over_forward, wanted @ X)
    pulled = grad(lambda x: np.sum(vjp(f, x)[1](1.0)[0] ** 2))(X)
    np.testing.assert_allclose(pulled, 2 * wanted @ grad(f)(X))


def test_jit_of_functions_that_differentiate():
    @jit
    def step(w, x, lr):
        value, g = value_and_grad(lambda w: np.sum(layer(w, x) ** 2))(w)
        return w - lr * g, value

    w, value = step(A, X, 0.1)
    assert value == pytest.approx(np.sum(layer(A, X) ** 2))
    slope = 2 * layer(A, X) * (1 - layer(A, X) ** 2)
    np.testing.assert_allclose(w, A - 0.1 * np.outer(slope, X))


# ------------------------------------------------------------------ second order and matrices


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_hessian_and_hvp():
    h = hessian(rosenbrock)(X)
    np.testing.assert_allclose(h, h.T)
    np.testing.assert_allclose(h[0, 0], 1200 * X[0] ** 2 - 400 * X[1] + 2)
    np.testing.assert_allclose(hvp(rosenbrock)(X, np.ones(3)), h @ np.ones(3))


def test_hvp_has_the_vector_beside_its_argument():
    def f(a, x, b):
        return a * np.sum(x**3) * b

    product = hvp(f, argnums=1)(2.0, X, np.ones(3), 5.0)
    np.testing.assert_allclose(product, 60 * X)
    with pytest.raises(errors.CotangentMismatch, match="vector"):
        hvp(f, argnums=1)(2.0, X, np.ones(2), 5.0)
    with pytest.raises(TypeError, match="right behind"):
        hvp(rosenbrock)(X)


def test_hvp_of_several_arguments_and_aux():
    def f(a, x, b, p):
        return a * np.sum(x**3) * b * np.sum(np.sin(p["w"])), {"mean": x.mean(), "name": p["n"]}

    args = 2.0, X, 5.0, {"w": np.array([1.0, 2.0]), "n": "s"}
    va, vx, vp = 0.3, np.array([0.2, 0.1, -0.4]), {"w": np.array([1.0, -2.0]), "n": "s"}
    with options(interpret=True):
        rows, aux = hessian(f, argnums=(0, 1, 3), has_aux=True)(*args)
        found, also = hvp(f, argnums=(0, 1, 3), has_aux=True)(*args, (va, vx, vp))
        some = hvp(lambda *xs: f(*xs)[0], argnums=(0, 1))(2.0, X, (None, vx), *args[2:])
    for got, row in zip(
        (found[0], found[1], found[2]["w"]), (*rows[:2], rows[2]["w"]), strict=True
    ):
        np.testing.assert_allclose(got, row[0] * va + row[1] @ vx + row[2]["w"] @ vp["w"])
    assert aux == also == {"mean": X.mean(), "name": "s"}
    assert found[2]["n"] == "s"
    np.testing.assert_allclose(some[1], rows[1][1] @ vx)
    with pytest.raises(TypeError, match="a tuple of vectors as argument 2"):
        hvp(f, argnums=(0, 1))(2.0, X)
    with pytest.raises(TypeError, match="each once"):
        hvp(f, argnums=(1, 1))


def test_linearize_with_aux():
    out, push, aux = linearize(lambda x: (np.sum(x**3), {"mean": x.mean()}), X, has_aux=True)
    np.testing.assert_allclose((out, push(X)), (np.sum(X**3), 3 * np.sum(X**3)))
    assert aux == {"mean": X.mean()}


def test_hessian_of_numbers_and_containers():
    assert hessian(lambda x: x**3)(2.0) == pytest.approx(12.0)
    h = hessian(lambda p: np.sum(p["a"] ** 2) * p["b"])({"a": X, "b": 2.0})
    np.testing.assert_allclose(h["a"]["a"], 4 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(h["a"]["b"], 2 * X)
    np.testing.assert_allclose(h["b"]["a"], 2 * X)
    assert h["b"]["b"] == 0.0


@pytest.mark.parametrize("mode", ["rev", "fwd", None])
def test_jacobian(mode):
    j = jacobian(layer, argnums=1, mode=mode)(A, X)
    slope = 1 - layer(A, X) ** 2
    np.testing.assert_allclose(j, slope[:, None] * A)
    by_w, by_x = jacobian(layer, argnums=(0, 1), mode=mode)(A, X)
    assert by_w.shape == (2, 2, 3)
    np.testing.assert_allclose(by_x, j)


@pytest.mark.parametrize("mode", ["rev", "fwd"])
def test_jacobian_of_containers(mode):
    f = jacobian(lambda p: {"s": p[0] * p[1], "t": p[1] ** 2}, mode=mode)
    j = f((X, 3.0))
    np.testing.assert_allclose(j["s"][0], 3.0 * np.eye(3))
    np.testing.assert_allclose(j["s"][1], X)
    np.testing.assert_allclose(j["t"][0], np.zeros(3))
    assert j["t"][1] == 6.0


def test_stop_gradient():
    f = grad(lambda x: np.sum(x * stop_gradient(x)))
    np.testing.assert_allclose(f(X), X)
    assert stop_gradient(3.0) == 3.0
    assert stop_gradient({"a": 1}) == {"a": 1}


# ------------------------------------------------------------------ check_grads


def test_check_grads_passes_what_is_right():
    check_grads(layer, (A, X))
    check_grads(rosenbrock, (X,), order=3)
    check_grads(lambda p, n: [p["a"] * n, np.exp(p["b"])], ({"a": X, "b": 0.3}, np.arange(3)))
    check_grads(layer, (A.astype(np.float32), X.astype(np.float32)), modes="rev")


def test_check_grads_names_the_argument_and_the_op(monkeypatch):
    def f(a, b):
        y = np.sin(a)
        z = np.tanh(b) * y
        return z

    wrong = lambda y, x: (1 - y,)  # noqa: E731
    monkeypatch.setitem(tanh_row.__dict__, "partials", wrong)
    for mode in ("rev", "fwd"):
        with pytest.raises(AssertionError) as caught:
            check_grads(f, (X, X), order=1, modes=(mode,))
        text = str(caught.value)
        assert "by b in" in text
        assert "central difference" in text
        assert "tanh %b" in text
        assert "test_api_modes.py" in text


def test_check_grads_of_wrong_use():
    with pytest.raises(ValueError, match="modes"):
        check_grads(rosenbrock, (X,), modes=("back",))
    with pytest.raises(TypeError, match="as a tuple"):
        check_grads(rosenbrock, X)
    with pytest.raises(TypeError, match="no argument"):
        check_grads(lambda n: n, (3,))
