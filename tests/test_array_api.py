"""The array API: code that asks a Tracer for its namespace, in SciPy and of a user's own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy
import scipy.cluster.vq as vq
import scipy.integrate as integrate
import scipy.signal as signal
import scipy.spatial.distance as distance
import scipy.stats as st
from scipy.optimize import rosen, rosen_der

import adjit
from adjit import errors, grad, jit

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=12) ** 2 + 0.1, RNG.normal(size=12)
ROWS = Y.reshape(4, 3)

# Functions of SciPy that are differentiated as they stand, by NumPy's or the array API's functions.
WORKING: dict[str, Any] = {
    "stats.skew": lambda x: st.skew(x),
    "stats.kurtosis": lambda x: st.kurtosis(x),
    "stats.moment": lambda x: st.moment(x, order=3),
    "stats.gmean": lambda x: st.gmean(x),
    "stats.hmean": lambda x: st.hmean(x),
    "stats.pmean": lambda x: st.pmean(x, 2),
    "stats.zscore": lambda x: st.zscore(x),
    "stats.zmap": lambda x: st.zmap(x, Y),
    "stats.variation": lambda x: st.variation(x),
    "stats.sem": lambda x: st.sem(x),
    "stats.tmean": lambda x: st.tmean(x),
    "stats.tvar": lambda x: st.tvar(x),
    "stats.entropy": lambda x: st.entropy(x),
    "stats.iqr": lambda x: st.iqr(x),
    "stats.quantile": lambda x: st.quantile(x, 0.3),
    "stats.circmean": lambda x: st.circmean(x),
    "stats.circvar": lambda x: st.circvar(x),
    "stats.kstat": lambda x: st.kstat(x, 2),
    "stats.trim_mean": lambda x: st.trim_mean(x, 0.1),
    "stats.pearsonr": lambda x: st.pearsonr(x, Y).statistic,
    "stats.linregress": lambda x: st.linregress(x, Y).slope,
    "stats.ttest_1samp": lambda x: st.ttest_1samp(x, 0.0).statistic,
    "stats.ttest_ind": lambda x: st.ttest_ind(x, Y).statistic,
    "stats.bartlett": lambda x: st.bartlett(x, Y).statistic,
    "stats.jarque_bera": lambda x: st.jarque_bera(x).statistic,
    "stats.boxcox_llf": lambda x: st.boxcox_llf(0.5, x),
    "stats.Normal": lambda x: st.Normal(mu=x[0], sigma=x[1]).logpdf(0.3),
    "integrate.trapezoid": lambda x: integrate.trapezoid(x),
    "integrate.simpson": lambda x: integrate.simpson(x),
    "integrate.cumulative_trapezoid": lambda x: integrate.cumulative_trapezoid(x),
    "signal.detrend": lambda x: signal.detrend(x),
    "signal.convolve": lambda x: signal.convolve(x, Y[:3]),
    "signal.fftconvolve": lambda x: signal.fftconvolve(x, Y[:3]),
    "signal.correlate": lambda x: signal.correlate(x, Y),
    "signal.resample": lambda x: signal.resample(x, 20),
    "cluster.vq.whiten": lambda x: vq.whiten(x.reshape(4, 3)),
    "optimize.rosen": lambda x: rosen(x),
    "optimize.rosen_der": lambda x: rosen_der(x),
    "spatial.distance.euclidean": lambda x: distance.euclidean(x, Y),
    "spatial.distance.cosine": lambda x: distance.cosine(x, Y),
    "spatial.distance.correlation": lambda x: distance.correlation(x, Y),
    "spatial.distance.jensenshannon": lambda x: distance.jensenshannon(x, abs(Y)),
    "spatial.distance.mahalanobis": lambda x: distance.mahalanobis(x[:3], Y[:3], np.eye(3)),
    "spatial.distance.squareform": lambda x: distance.squareform(x[:6]),
}


pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.mark.parametrize("name", WORKING)
def test_scipys_functions(name: str) -> None:
    f = WORKING[name]
    np.testing.assert_allclose(jit(f)(X), f(X), rtol=1e-9, atol=1e-12)
    found = grad(lambda x: np.sum(f(x) ** 2))(X)
    e = np.zeros(12)
    e[1] = 1e-6
    want = (np.sum(f(X + e) ** 2) - np.sum(f(X - e) ** 2)) / 2e-6
    np.testing.assert_allclose(found[1], want, rtol=1e-4, atol=1e-6)


def test_in_array_api_mode() -> None:
    """The same in a process where SciPy's array API mode is on."""
    code = (
        "import numpy as np, scipy.special as sp, adjit\n"
        "from scipy.spatial.transform import Rotation\n"
        "x, y = np.arange(1.0, 4.0) / 3, np.arange(3.0)\n"
        "f = lambda x: Rotation.from_rotvec(x).apply(y)[0] + sp.logsumexp(x)\n"
        "with adjit.options(interpret=True):\n"
        "    g = adjit.grad(f)(x)\n"
        "e = np.eye(3)[2] * 1e-6\n"
        "print(abs(g[2] - (f(x + e) - f(x - e)) / 2e-6) < 1e-7)\n"
    )
    env = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "True", done.stderr[-2000:]


# ------------------------------------------------------------------ a user's own


def standard(x: Any) -> Any:
    """Written against the standard alone."""
    xp = x.__array_namespace__(api_version="2023.12")
    assert xp.isdtype(x.dtype, "real floating")
    assert x.device == "cpu"
    y = xp.astype(xp.asarray(x, copy=True), xp.float64)
    m = xp.reshape(y, (3, 4))
    z = xp.matrix_transpose(m) @ xp.ones((3, 2), dtype=x.dtype)
    z = xp.concat([xp.sum(z, axis=0), xp.linalg.vecdot(m[0, :], m[1, :])[None]])
    z = (
        xp.where(z > 1, z, xp.zeros_like(z)) + xp.vector_norm(m)
        if hasattr(xp, "vector_norm")
        else z
    )
    return xp.mean(z * xp.linalg.vector_norm(m)) + xp.max(xp.permute_dims(m, (1, 0))) * xp.pi


def test_the_standards_functions() -> None:
    np.testing.assert_allclose(jit(standard)(X), standard(X))
    found = grad(standard)(X)
    e = np.eye(12)[3] * 1e-6
    np.testing.assert_allclose(found[3], (standard(X + e) - standard(X - e)) / 2e-6, rtol=1e-6)


IN_SCIPY = "scipy._external" if hasattr(scipy, "_external") else "scipy._lib"  # from 1.18 on


@pytest.mark.parametrize("home", [IN_SCIPY, "sklearn.externals"])
def test_each_copy_of_the_library_gets_its_own(home: str) -> None:
    package = f"{home}.array_api_compat"
    compat = pytest.importorskip(package)
    wanted = importlib.import_module(f"{package}.numpy")
    seen = []

    def f(x):
        seen.append(compat.array_namespace(x, Y, x[0]))
        seen.append(x.__array_namespace__())
        xp = seen[0]
        return xp.sum(xp.clip(x, 0.2, 0.9) * xp.astype(Y > 0, x.dtype)) + xp.std(x)

    np.testing.assert_allclose(jit(f)(X), np.sum(np.clip(X, 0.2, 0.9) * (Y > 0)) + np.std(X))
    assert seen == [wanted, np]
    with pytest.raises(ValueError, match="not supported"):
        jit(lambda x: x.__array_namespace__(api_version="1999.1"))(X)


def test_array_api_extra_makes_values() -> None:
    extra = pytest.importorskip(f"{IN_SCIPY}.array_api_extra")

    def f(x):
        y = extra.apply_where(x > 0.5, (x, Y), lambda a, b: np.log(a) * b, fill_value=0.0)
        y = extra.at(y, x > 1).set(2.0)
        y = extra.at(y, x < 0.2).add(x[0])
        return extra.at(y, slice(0, 2)).multiply(x[2])

    def plain(x):
        y = np.where(x > 0.5, np.log(x) * Y, 0.0)
        y = np.where(x > 1, 2.0, y)
        y = np.where(x < 0.2, y + x[0], y)
        return np.append(y[:2] * x[2], y[2:])

    j = jit(f)
    for x in (X, X[::-1].copy()):
        np.testing.assert_allclose(j(x), plain(x))
    assert j.cache_info().variants == 1
    np.testing.assert_allclose(adjit.jacobian(f)(X), adjit.jacobian(plain)(X))


# ------------------------------------------------------------------ distances


METRICS = (
    *("euclidean", "sqeuclidean", "cityblock", "chebyshev", "minkowski", "cosine", "correlation"),
    *("canberra", "braycurtis"),
)


@pytest.mark.parametrize("metric", METRICS)
def test_distances(metric: str) -> None:
    a, b = X.reshape(4, 3), ROWS[:2]
    for f in (
        lambda a: distance.cdist(a, b, metric),
        lambda a: distance.pdist(a, metric),
        lambda a: distance.squareform(distance.pdist(a, metric)),
    ):
        np.testing.assert_allclose(jit(f)(a), f(a), rtol=1e-12, atol=1e-12)
        found = grad(lambda a, f=f: np.sum(f(a)))(a)
        e = np.zeros((4, 3))
        e[1, 2] = 1e-6
        want = (np.sum(f(a + e)) - np.sum(f(a - e))) / 2e-6
        np.testing.assert_allclose(found[1, 2], want, rtol=1e-6, atol=1e-8)


def test_a_kernel_matrix_has_a_gradient_at_its_diagonal() -> None:
    def loss(a):
        return np.sum(np.exp(-distance.cdist(a, a)))

    assert np.isfinite(grad(loss)(ROWS)).all()


def test_refused_distances() -> None:
    with pytest.raises(errors.UnsupportedOp, match=r"hamming.*\n.*euclidean"):
        jit(lambda a: distance.cdist(a, a, "hamming"))(ROWS)
    with pytest.raises(ValueError, match="2-dimensional"):
        jit(lambda a: distance.pdist(a))(X)
