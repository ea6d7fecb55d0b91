"""scipy.stats inside traced functions: SciPy's values, derivatives against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats as st

from adjit import errors, grad, jit
from adjit.tracer import surface_stats as table

X = np.array([-0.2, 0.3, 0.7, 1.5, 2.5])
K = np.array([-1.0, 0, 1, 2, 5, 1.5])
SHAPES: dict[str, tuple[float, ...]] = {
    "gamma": (2.0,), "beta": (2.0, 3.0), "t": (3.0,), "chi2": (3.0,), "f": (3.0, 5.0),
    "lognorm": (0.5,), "weibull_min": (1.5,), "pareto": (2.0,), "invgamma": (2.0,),
    "invgauss": (1.5,), "powerlaw": (1.5,), "skewnorm": (2.0,), "truncnorm": (-1.0, 2.0),
    "vonmises": (1.5,), "erlang": (2.0,), "poisson": (2.0,), "binom": (5.0, 0.3),
    "bernoulli": (0.3,), "geom": (0.3,), "nbinom": (3.0, 0.4),
}  # fmt: skip
METHODS = ("cdf", "sf", "logcdf", "logsf")
# Distributions whose integral or quantile has no formula here.
WITHOUT = {"vonmises": METHODS, "skewnorm": (), "truncnorm": (), "invgauss": (), "wald": ()}

# Distributions whose integrals are elementary, or errors functions: by the shapes too.
CLOSED = {
    *("invgauss", "lognorm", "pareto", "powerlaw", "skewnorm", "truncnorm", "weibull_min"),
}


pytestmark = pytest.mark.usefixtures("interpreted")


def methods(name: str) -> list[str]:
    d = table.DISTRIBUTIONS[name]
    density = ("logpmf", "pmf") if d.discrete else ("logpdf", "pdf")
    quantiles = () if d.discrete or name in WITHOUT else ("ppf", "isf")
    return [m for m in (*density, *METHODS, *quantiles) if m not in WITHOUT.get(name, ())]


def assert_close(found: Any, want: Any, what: str) -> None:
    assert np.asarray(found).dtype == np.float64
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-13, err_msg=what)


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize("name", sorted(table.DISTRIBUTIONS))
def test_values(name: str) -> None:
    d, shapes = getattr(st, name), SHAPES.get(name, ())
    discrete = table.DISTRIBUTIONS[name].discrete
    place = (1.0,) if discrete else (0.1, 1.3)

    def whole(x: Any, *a: Any) -> Any:
        return {m: getattr(d, m)(x[m], *a, *place) for m in methods(name)}

    def frozen(x: Any, *a: Any) -> Any:
        made = d(*a, loc=place[0]) if discrete else d(*a, loc=place[0], scale=place[1])
        return {m: getattr(made, m)(x[m]) for m in methods(name)}

    at = {m: np.array([0.1, 0.6, 1.5]) if m in ("ppf", "isf") else X for m in methods(name)}
    if discrete:
        at = dict.fromkeys(at, K)
    want = whole(at, *shapes)
    for f in (whole, frozen) if name in ("norm", "gamma", "truncnorm", "poisson") else (whole,):
        found = jit(f)(at, *shapes)
        for m in want:
            assert_close(found[m], want[m], f"{name}.{m}")


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero", "ignore:The shape")
@pytest.mark.parametrize("name", sorted(table.CONTINUOUS))
def test_derivatives_by_variable_shapes_and_place(name: str) -> None:
    d, shapes = getattr(st, name), SHAPES.get(name, ())
    args = [0.65, *shapes, 0.1, 1.3]
    if name == "pareto":
        args[0] = 2.5
    for m in ("logpdf", "cdf"):
        if m not in methods(name):
            continue

        def f(*a: Any, m: str = m) -> Any:
            return getattr(d, m)(*a)

        wrt = tuple(range(len(args)))
        if m == "cdf" and shapes and name not in CLOSED:
            with pytest.raises(errors.NotDifferentiable, match="has no derivative by"):
                grad(f, argnums=1)(*args)
            wrt = tuple(i for i in wrt if not 0 < i <= len(shapes))
        for i, found in zip(wrt, grad(f, argnums=wrt)(*args), strict=True):
            h = 1e-5
            up, down = ([*args[:i], args[i] + s, *args[i + 1 :]] for s in (h, -h))
            want = (f(*up) - f(*down)) / (2 * h)
            np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-8, err_msg=f"{m} {i}")


def test_many_variables() -> None:
    cov, mean = np.array([[2.0, 0.3], [0.3, 1.0]]), np.array([0.1, 0.2])
    x = np.random.default_rng(0).normal(size=(3, 2))
    for f in (
        lambda x, m, c: st.multivariate_normal.logpdf(x, m, c),
        lambda x, m, c: st.multivariate_normal(m, c).pdf(x),
        lambda x, m, c: st.multivariate_normal(mean=m, cov=c).logpdf(x[0]),
        lambda x, m, c: st.multivariate_normal.logpdf(x, m, np.diag(c)),
        lambda x, m, c: st.multivariate_normal.logpdf(x[:, 0]),
    ):
        assert_close(jit(f)(x, mean, cov), f(x, mean, cov), "normal")
    by_cov = grad(lambda c: np.sum(st.multivariate_normal.logpdf(x, mean, c)))(cov)
    off, inverse = x - mean, np.linalg.inv(cov)
    want = 0.5 * inverse @ off.T @ off @ inverse - 1.5 * inverse
    np.testing.assert_allclose((by_cov + by_cov.T) / 2, want)
    p, alpha = np.array([0.2, 0.3, 0.5]), np.array([1.0, 2.0, 3.0])
    assert_close(jit(st.dirichlet.logpdf)(p, alpha), st.dirichlet.logpdf(p, alpha), "dirichlet")
    n = np.array([1, 2, 3])
    f = lambda n, p: st.multinomial.logpmf(n, 6, p)  # noqa: E731
    assert_close(jit(f)(n, p), f(n, p), "multinomial")


def test_a_fit_by_likelihood() -> None:
    data = st.gamma.rvs(2.5, scale=1.7, size=300, random_state=3)

    def loss(theta):
        return -np.mean(st.gamma.logpdf(data, np.exp(theta[0]), scale=np.exp(theta[1])))

    g = grad(loss)
    theta = np.zeros(2)
    np.testing.assert_allclose(
        g(theta), [(loss(theta + e) - loss(theta - e)) / 2e-6 for e in np.eye(2) * 1e-6], rtol=1e-6
    )


SCALE = np.array([1.0, 2.0])


def test_arrays_from_outside_stay_live() -> None:
    global SCALE
    SCALE = np.array([1.0, 2.0])
    f = jit(lambda x: st.norm.logpdf(x, 0.0, SCALE))
    x = np.array([0.3, 0.4])
    assert_close(f(x), st.norm.logpdf(x, 0.0, SCALE), "before")
    SCALE[0] = 3.0
    assert_close(f(x), st.norm.logpdf(x, 0.0, SCALE), "after")


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: st.vonmises.cdf(x, 1.0), "scipy.stats.vonmises.cdf.*\n.*knows logpdf"),
        (lambda x: st.norm.mean(x, 1.0), "scipy.stats.norm.mean"),
        (lambda x: st.levy.logpdf(x), "scipy.stats.levy.logpdf.*\n.*Write its formula"),
        (lambda x: st.multivariate_normal(x * np.ones(2)).entropy(), "entropy"),
    ],
)
def test_refusals(f: Any, says: str) -> None:
    with pytest.raises(errors.UnsupportedOp, match=says):
        jit(f)(0.5)


def test_wrong_calls_are_scipys_errors() -> None:
    with pytest.raises(TypeError, match="a"):
        jit(lambda x: st.gamma.logpdf(x))(0.5)
    assert np.isnan(jit(lambda x, s: st.norm.logpdf(x, 0, s))(0.5, -1.0))
