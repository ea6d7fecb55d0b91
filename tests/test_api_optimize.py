"""scipy.optimize with our derivatives: what its solvers take, and where they get with it."""

import numpy as np
import pytest
from scipy import optimize

from adjit import elementwise_grad, grad, hessian, hvp, jacobian, value_and_grad

pytestmark = pytest.mark.usefixtures("interpreted")


def rosenbrock(x, a=1.0, b=100.0):
    return np.sum(b * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)


START = np.array([-1.2, 1.0, 0.5, -0.3])
SLOPE, SECOND, PRODUCT = value_and_grad(rosenbrock), hessian(rosenbrock), hvp(rosenbrock)


@pytest.mark.parametrize(
    "how",
    [
        {"method": "BFGS"},
        {"method": "L-BFGS-B"},
        {"method": "L-BFGS-B", "bounds": [(-2, 2)] * 4},
        {"method": "CG"},
        {"method": "TNC"},
        {"method": "SLSQP"},
        {"method": "Newton-CG", "hess": SECOND},
        {"method": "Newton-CG", "hessp": PRODUCT},
        {"method": "trust-ncg", "hess": SECOND},
        {"method": "trust-ncg", "hessp": PRODUCT},
        {"method": "trust-krylov", "hessp": PRODUCT},
        {"method": "trust-exact", "hess": SECOND},
        {"method": "dogleg", "hess": SECOND},
        {"method": "trust-constr", "hess": SECOND},
        {"method": "trust-constr", "hessp": PRODUCT},
    ],
    ids=lambda how: f"{how['method']} {'hessp' if 'hessp' in how else ''}",
)
def test_minimize(how):
    # dogleg wants a convex place; elsewhere a local minimum waits.
    start = np.full(4, 1.2 if how["method"] == "dogleg" else 0.5)
    found = optimize.minimize(SLOPE, start, jac=True, args=(1.0, 10.0), tol=1e-8, **how)
    np.testing.assert_allclose(found.x, np.ones(4), atol=2e-3)


def test_results_are_as_solvers_want_them():
    for x in (START, START.astype(np.float32), START[::-1], np.asfortranarray(START)):
        for made in (SLOPE(x)[1], SECOND(x), PRODUCT(x, x), jacobian(np.sin)(x)):
            assert made.flags.c_contiguous
            assert made.flags.writeable
            assert made.flags.owndata or made.base is not None
            assert made.dtype == x.dtype
            assert type(made) is np.ndarray
            made[...] = 0.0  # solvers write into them
    np.testing.assert_allclose(SLOPE(START)[1], optimize.rosen_der(START))
    np.testing.assert_allclose(SECOND(START), optimize.rosen_hess(START))
    value = SLOPE(START)[0]
    assert isinstance(value, float)
    first, second = SLOPE(START)[1], SLOPE(START)[1]
    assert not np.shares_memory(first, second)


def test_a_read_only_strided_or_integer_start():
    x = np.repeat(START, 2)[::2]
    x.flags.writeable = False
    np.testing.assert_allclose(SLOPE(x)[1], SLOPE(START)[1])
    found = optimize.minimize(SLOPE, [2, 2, 2, 2], jac=True)
    np.testing.assert_allclose(found.x, np.ones(4), atol=1e-4)


T = np.linspace(0.0, 4.0, 40)
DATA = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.01 * np.sin(50 * T)


def decay(t, scale, rate, offset):
    return scale * np.exp(-rate * t) + offset


def misfit(p, t, y):
    return p[0] * np.exp(-p[1] * t) + p[2] - y


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    found = optimize.least_squares(
        misfit, np.ones(3), jac=jacobian(misfit), args=(T, DATA), method=method
    )
    np.testing.assert_allclose(found.x, [2.5, 1.3, 0.5], atol=0.02)
    plain = optimize.least_squares(misfit, np.ones(3), args=(T, DATA), method=method)
    np.testing.assert_allclose(found.x, plain.x, rtol=1e-5)


def test_curve_fit():
    by_each = jacobian(decay, argnums=(1, 2, 3))

    def jac(t, *p):
        return np.stack(by_each(t, *p), axis=1)

    found, covariance = optimize.curve_fit(decay, T, DATA, p0=(1.0, 1.0, 1.0), jac=jac)
    plain, other = optimize.curve_fit(decay, T, DATA, p0=(1.0, 1.0, 1.0))
    np.testing.assert_allclose(found, plain, rtol=1e-6)
    np.testing.assert_allclose(covariance, other, rtol=1e-4, atol=1e-12)


def pair(x, c):
    return np.array([x[0] + 0.5 * (x[0] - x[1]) ** 3 - c, 0.5 * (x[1] - x[0]) ** 3 + x[1]])


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root(method):
    found = optimize.root(pair, [0.0, 0.0], args=(1.0,), jac=jacobian(pair), method=method)
    assert found.success
    np.testing.assert_allclose(pair(found.x, 1.0), 0.0, atol=1e-9)


def test_constraints():
    def inside(x):
        return np.array([1.5 - np.sum(x**2), x[0] - x[1]])

    limits = {"type": "ineq", "fun": inside, "jac": jacobian(inside)}
    found = optimize.minimize(
        SLOPE, np.full(4, 0.5), jac=True, constraints=limits, method="SLSQP", tol=1e-9
    )
    assert np.all(inside(found.x) > -1e-8)
    limit = optimize.NonlinearConstraint(inside, 0.0, np.inf, jac=jacobian(inside))
    other = optimize.minimize(
        SLOPE, np.full(4, 0.5), jac=True, hess=SECOND, constraints=[limit], method="trust-constr"
    )
    np.testing.assert_allclose(found.x, other.x, atol=1e-3)


def test_scalars():
    def f(x, a):
        return x**3 - a

    slope, curve = grad(f), grad(grad(f))
    found = optimize.newton(f, 1.0, fprime=slope, fprime2=curve, args=(8.0,))
    np.testing.assert_allclose(found, 2.0)
    found = optimize.root_scalar(f, x0=1.0, args=(8.0,), fprime=slope, method="newton").root
    np.testing.assert_allclose(found, 2.0)
    each = optimize.newton(
        f, np.ones(3), fprime=elementwise_grad(f), args=(np.array([1, 8, 27.0]),)
    )
    np.testing.assert_allclose(each, [1, 2, 3])
    assert optimize.check_grad(rosenbrock, grad(rosenbrock), START) < 1e-4


def test_a_container_of_parameters_by_hand():
    def loss(p, x):
        return np.sum((p["w"] * x + p["b"] - 3.0 * x - 1.0) ** 2)

    def flat(v):
        value, slope = value_and_grad(loss)({"w": v[:-1], "b": v[-1]}, np.arange(3.0))
        return value, np.append(slope["w"], slope["b"])

    found = optimize.minimize(flat, np.zeros(4), jac=True, tol=1e-10)
    np.testing.assert_allclose(found.fun, 0.0, atol=1e-12)
