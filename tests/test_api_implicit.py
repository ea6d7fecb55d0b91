"""root, fixed_point, minimize, least_squares, custom_root and pure_callback."""

import functools
from collections import namedtuple

import numpy as np
import pytest
from scipy import optimize

import adjit
from adjit import (
    check_grads,
    checkpoint,
    custom_root,
    custom_vjp,
    errors,
    fixed_point,
    grad,
    hessian,
    jacfwd,
    jacobian,
    jit,
    jvp,
    least_squares,
    linearize,
    minimize,
    pure_callback,
    root,
    vjp,
    vmap,
)
from adjit.ir import verify

pytestmark = pytest.mark.usefixtures("interpreted")


A = np.array([[3.0, 1.0], [1.0, 2.0]])
B = np.array([1.0, 2.0])


def cubic(x, a):
    return x**3 - a


def cube_root(a):
    return root(cubic, 1.0, a)


def quadratic(x, a, b):
    return 0.5 * x @ a @ x - b @ x


# ------------------------------------------------------------------ values and derivatives


def test_four_orders_of_a_cube_root():
    f, wanted = cube_root, (2.0, 1 / 12, -1 / 144, 10 / 27 * 8 ** (-8 / 3))
    for value in wanted:
        np.testing.assert_allclose(f(8.0), value, rtol=1e-12)
        f = grad(f)


def test_every_transformation():
    slope, curve = 1 / 12, -1 / 144
    np.testing.assert_allclose(jvp(cube_root, (8.0,), (1.0,)), (2.0, slope))
    np.testing.assert_allclose(vjp(cube_root, 8.0)[1](1.0), (slope,))
    np.testing.assert_allclose(linearize(cube_root, 8.0)[1](2.0), 2 * slope)
    np.testing.assert_allclose(jacobian(cube_root, mode="fwd")(8.0), slope)
    np.testing.assert_allclose(hessian(cube_root)(8.0), curve)
    np.testing.assert_allclose(grad(checkpoint(cube_root))(8.0), slope)
    rows = np.array([1.0, 8.0, 27.0])
    np.testing.assert_allclose(vmap(cube_root)(rows), [1, 2, 3])
    np.testing.assert_allclose(vmap(grad(grad(cube_root)))(rows), -2 / 9 * rows ** (-5 / 3))
    np.testing.assert_allclose(
        hessian(lambda a: np.sum(vmap(cube_root)(a)))(rows), np.diag(-2 / 9 * rows ** (-5 / 3))
    )


@pytest.mark.parametrize("linear", ["dense", "gmres"])
def test_the_op_is_well_formed(linear):
    verify(jit(lambda a: root(cubic, 1.0, a, linear=linear)).ir(8.0).program)
    with adjit.options(check=True):
        slope = grad(lambda a: root(cubic, 1.0, a, linear=linear) ** 2)(8.0)
    np.testing.assert_allclose(slope, 1 / 3)


def test_kernels_around_the_solver():
    with adjit.options(interpret=False):
        value = jit(lambda a: np.sum(np.sin(np.ones(3) * cube_root(a))))
        np.testing.assert_allclose(value(8.0), 3 * np.sin(2.0))
        np.testing.assert_allclose(grad(value)(8.0), 3 * np.cos(2.0) / 12)


def test_minimum():
    np.testing.assert_allclose(
        minimize(lambda x: quadratic(x, A, B), [0.0, 0.0]), [0, 1], atol=1e-12
    )

    def loss(a, b):
        return np.sum(minimize(quadratic, np.zeros(2), a, b) ** 2)

    by_a, by_b = grad(loss, argnums=(0, 1))(A, B)
    symmetric = grad(lambda a, b: np.sum(np.linalg.solve((a + a.T) / 2, b) ** 2), (0, 1))
    np.testing.assert_allclose(by_a, symmetric(A, B)[0], atol=1e-9)
    np.testing.assert_allclose(by_b, symmetric(A, B)[1], atol=1e-9)
    check_grads(loss, (A, B), order=2, modes=["fwd"], atol=1e-5)


@pytest.mark.parametrize("method", ["BFGS", "Newton-CG", "trust-exact", "CG", "Nelder-Mead"])
def test_methods_of_minimize(method):
    def rosenbrock(x, a):
        return (a - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2

    found = jacobian(lambda a: minimize(rosenbrock, np.zeros(2), a, method=method))(1.2)
    np.testing.assert_allclose(found, [1.0, 2.4], rtol=1e-7)


def test_ridge_regression():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=20)

    def weights(penalty):
        return least_squares(
            lambda w, p: np.concatenate([x @ w - y, np.sqrt(p) * w]), np.zeros(3), penalty
        )

    def by_hand(penalty):
        return np.linalg.solve(x.T @ x + penalty * np.eye(3), x.T @ y)

    np.testing.assert_allclose(weights(0.5), by_hand(0.5))
    np.testing.assert_allclose(jacobian(weights)(0.5), jacobian(by_hand)(0.5))
    second = [grad(grad(lambda p, f=f: np.sum(f(p) ** 2)))(0.5) for f in (weights, by_hand)]
    np.testing.assert_allclose(*second)


def test_fixed_points():
    def kepler(e, m, **how):
        return fixed_point(lambda x, e, m: m + e * np.sin(x), m, e, m, **how)

    x = kepler(0.3, 1.0)
    np.testing.assert_allclose(x - 0.3 * np.sin(x), 1.0)
    np.testing.assert_allclose(grad(kepler)(0.3, 1.0), np.sin(x) / (1 - 0.3 * np.cos(x)))
    check_grads(kepler, (0.3, 1.0), order=2, modes=["rev"])
    np.testing.assert_allclose(kepler(0.999, 0.1, method="newton"), kepler(0.999, 0.1))


State = namedtuple("State", "u v")


def test_containers_and_the_users_own_solver():
    def f(state, a):
        return {"first": state.u**2 - a["x"], "rest": 4 * state.v - a["y"]}

    def newton(g, state):
        assert type(state.u) is float
        for _ in range(30):
            r = g(state)
            state = State(state.u - r["first"] / (2 * state.u), state.v - r["rest"] / 4)
        return state

    solve = custom_root(f, newton)
    found = solve(State(1.0, np.zeros(2)), {"x": 9.0, "y": B})
    assert found.u == 3.0
    np.testing.assert_allclose(found.v, B / 4)
    made = jacobian(lambda a: solve(State(1.0, np.zeros(2)), a))({"x": 9.0, "y": B})
    np.testing.assert_allclose(made.u["x"], 1 / 6)
    np.testing.assert_allclose(made.u["y"], np.zeros(2))
    np.testing.assert_allclose(made.v["y"], np.eye(2) / 4)
    with pytest.raises(errors.NotConverged, match="the solver's result does not solve"):
        custom_root(f, lambda g, x: x)(State(1.0, np.zeros(2)), {"x": 9.0, "y": B})
    with pytest.raises(ValueError, match=r"the solver at .*test_api_implicit.py:\d+ returned"):
        custom_root(f, lambda g, x: 1.0)(State(1.0, np.zeros(2)), {"x": 9.0, "y": B})


def test_closed_over_values_are_differentiated():
    def outer(a, b):
        return root(lambda x: b * x**3 - a, 1.0)

    np.testing.assert_allclose(grad(outer, argnums=(0, 1))(8.0, 1.0), (1 / 12, -2 / 3))
    check_grads(outer, (8.0, 1.0), order=2, modes=["fwd"])


G = np.array([8.0])


def test_captured_arrays_are_live():
    f = jit(lambda: root(lambda x: x**3 - G, np.ones(1)))
    np.testing.assert_allclose(f(), [2.0])
    G[0] = 27.0
    np.testing.assert_allclose(f(), [3.0])
    G[0] = 8.0


def test_bilevel():
    def inner(y, t):
        return minimize(lambda x, y, t: (x - y * t) ** 2 + x**2, 0.0, y, t)

    def outer(t):
        return minimize(lambda y, t: (inner(y, t) - 1.0) ** 2 + 0.1 * y**2, 0.5, t)

    def by_hand(t):  # inner: x = y t / 2
        return (t / 2) / (t**2 / 4 + 0.1)

    np.testing.assert_allclose(outer(1.5), by_hand(1.5))
    np.testing.assert_allclose(grad(outer)(1.5), grad(by_hand)(1.5))


def test_no_derivative_flows_to_the_guess():
    with pytest.warns(errors.ZeroGradient):
        assert grad(lambda x0: root(cubic, x0, 8.0))(1.0) == 0.0


def test_single_precision():
    x = root(cubic, np.ones(2, np.float32), np.array([8.0, 27.0], np.float32))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [2, 3], rtol=1e-6)


def test_agrees_with_scipy():
    def f(x, a):
        return np.array([x[0] ** 2 + x[1] - a, x[0] - np.exp(x[1])])

    np.testing.assert_allclose(
        root(f, [1.0, 1.0], 3.0), optimize.root(lambda x: f(x, 3.0), [1.0, 1.0]).x
    )
    for method in ("lm", "krylov"):
        np.testing.assert_allclose(root(f, [1.0, 1.0], 3.0, method=method), root(f, [1, 1], 3.0))


# ------------------------------------------------------------------ systems by their products


@pytest.mark.parametrize("linear", ["cg", "gmres"])
def test_products_instead_of_a_matrix(linear):
    def loss(a, b, how):
        def energy(x, a, b):
            return 0.25 * np.sum(x**4) + quadratic(x, a, b)

        return np.sum(minimize(energy, np.zeros(2), a, b, linear=how) ** 2)

    def run(how):
        f = functools.partial(loss, how=how)
        return hessian(f, argnums=1)(A, B), jacfwd(f)(A, B)

    for made, wanted in zip(run(linear), run("dense"), strict=True):
        np.testing.assert_allclose(made, wanted, rtol=1e-9)
    rows = vmap(lambda a: root(lambda x, a: x**3 - a, np.ones(2), a, linear=linear))
    slopes = grad(lambda a: np.sum(rows(a)))(np.array([[1.0, 8.0], [8.0, 27.0]]))
    np.testing.assert_allclose(slopes, [[1 / 3, 1 / 12], [1 / 12, 1 / 27]])


def test_many_unknowns_need_no_matrix():
    n = 3000

    def energy(x, a):
        return 0.5 * np.sum((x[1:] - x[:-1]) ** 2) + 0.25 * np.sum(x**2) - np.sum(a * x)

    def solution(a):
        return minimize(energy, np.zeros(n), a, method="L-BFGS-B", tol=1e-14)

    c = np.cos(np.arange(n))
    slope = grad(lambda a: np.sum(c * solution(a)))(np.ones(n))
    # The matrix of the energy, times the slope, is c.
    product = 0.5 * slope
    product[1:] += np.diff(slope)
    product[:-1] -= np.diff(slope)
    np.testing.assert_allclose(product, c, atol=1e-8)


def test_a_system_that_is_not_solved():
    def f(x, a):
        return np.array([x[1] - a, -x[0]])

    assert jacobian(lambda a: root(f, np.ones(2), a, linear="gmres"))(1.0)[1] == pytest.approx(1)
    with pytest.raises(errors.NotConverged, match="was not solved by cg"):
        jacobian(lambda a: root(f, np.ones(2), a, linear="cg"))(1.0)
    with pytest.raises(ValueError, match="none of 'dense', 'cg', 'gmres'"):
        root(f, np.ones(2), 1.0, linear="lu")


# ------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    "call",
    [
        lambda: root(lambda x: x**2 + 1, 0.5),
        lambda: minimize(lambda x: x**3, -1.0),
        lambda: fixed_point(lambda x: 2 * x + 1, 1.0),
        lambda: fixed_point(lambda x: x + 1e-3, 1.0, options={"maxiter": 5}),
        lambda: grad(lambda a: root(lambda x: x**2 + a, 0.5))(1.0),
    ],
)
def test_no_solution(call):
    with pytest.raises(errors.NotConverged, match=r"(?s)\(test_api_implicit.py:\d+\).*better x0"):
        call()


def test_a_singular_jacobian_at_the_solution():
    with pytest.raises(np.linalg.LinAlgError):
        grad(lambda a: root(lambda x: (x - a) ** 3, 0.5, tol=1e-12))(0.5)


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: root(lambda x: x[:1], np.ones(2)), ValueError, "1 equations for 2 unknowns"),
        (lambda: root(lambda x: "a", 1.0), errors.NotDifferentiable, "should return real numbers"),
        (lambda: minimize(lambda x: x, np.ones(2)), errors.NonScalarOutput, "scalar outputs"),
        (lambda: fixed_point(lambda x: x[:1], np.ones(2)), ValueError, "like x0"),
        (lambda: fixed_point(np.cos, 1.0, method="secant"), ValueError, "neither 'iterate' nor"),
        (lambda: root(3, 1.0), TypeError, "takes a function first, not an int"),
        (lambda: root(np.cos, 1j), errors.NotDifferentiable, "unknowns are real"),
        (lambda: root(np.cos, None), TypeError, "holds no number"),
        (lambda: root(np.cos, 1.0, options=3), TypeError, "options is a dict"),
        (lambda: custom_root(np.cos, 3), TypeError, "takes two functions"),
    ],
)
def test_mistakes(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


# ------------------------------------------------------------------ pure_callback


def test_callback_with_a_rule():
    seen = []

    def by_c(x, how):  # code that NumPy's protocols do not reach
        seen.append(type(x))
        return {"sum": float(np.add.reduce(memoryview(x).tolist())), "x": x * how["scale"]}

    @custom_vjp
    def f(x):
        like = {"sum": 0.0, "x": x}
        return pure_callback(by_c, like, x, {"scale": 2.0})

    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct["sum"] + 2 * ct["x"],))
    x = np.arange(3.0)
    assert f(x)["sum"] == 3.0
    value = jit(lambda x: f(x)["sum"] + np.sum(f(x)["x"] ** 2))
    assert value(x) == 3.0 + 4 * 5
    np.testing.assert_allclose(grad(value)(x), 1 + 8 * x)
    np.testing.assert_allclose(hessian(value)(x), 8 * np.eye(3))
    np.testing.assert_allclose(vmap(value)(np.stack([x, x + 1])), [23.0, 6 + 4 * 14])
    assert set(seen) == {np.ndarray}
    with adjit.options(interpret=False):
        np.testing.assert_allclose(grad(value)(x), 1 + 8 * x)


def test_callback_without_a_rule():
    f = jit(lambda x: pure_callback(np.sin, x, x))
    assert f(0.5) == np.sin(0.5)
    with pytest.raises(errors.NotDifferentiable, match="has no derivative"):
        grad(f)(0.5)
    with pytest.raises(ValueError, match=r"pure_callback of <lambda> gave a result 0 of shape \(2"):
        jit(lambda x: pure_callback(lambda x: np.ones(2), x, x))(np.ones(3))
    with pytest.raises(ValueError, match="`like` says"):
        jit(lambda x: pure_callback(lambda x: (x, x), x, x))(np.ones(3))
    with pytest.raises(TypeError, match="takes a function"):
        pure_callback(3, 1.0)
