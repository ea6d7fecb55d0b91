"""`ufunc.at` with places that are named many times, evenly and not."""

import numpy as np
import pytest

from adjit import jit, options, value_and_grad

RNG = np.random.default_rng(0)
EVENLY = RNG.integers(0, 12, 90)
MOSTLY = np.where(np.arange(90) < 60, 3, EVENLY)
FUNCTIONS = np.maximum, np.minimum, np.fmax, np.fmin, np.multiply


@pytest.mark.parametrize("places", [EVENLY, MOSTLY], ids=["even", "skew"])
@pytest.mark.parametrize("interpret", [True, False])
def test_values_and_slopes(places, interpret):
    def f(x, old):
        total = 0.0
        for u in FUNCTIONS:
            out = np.sin(old)
            u.at(out, places, x)
            total = total + np.sum(out**2)
        return total

    x, old = RNG.normal(size=90), RNG.normal(size=20)
    with options(interpret=interpret):
        value, slopes = value_and_grad(f, argnums=(0, 1))(x, old)
    np.testing.assert_allclose(value, f(x, old))
    e, d = RNG.normal(size=90), RNG.normal(size=20)
    numeric = (f(x + 1e-7 * e, old + 1e-7 * d) - f(x - 1e-7 * e, old - 1e-7 * d)) / 2e-7
    np.testing.assert_allclose(slopes[0] @ e + slopes[1] @ d, numeric, rtol=1e-5)


@pytest.mark.parametrize("places", [EVENLY, MOSTLY], ids=["even", "skew"])
def test_integers_and_nan(places):
    def least(x, old):
        out = old.copy()
        np.maximum.at(out, places, x)
        return out

    whole, real = RNG.integers(-5, 6, 90), RNG.normal(size=90)
    real[7] = np.nan
    with np.errstate(invalid="ignore"), options(interpret=True):
        for x in (whole, real, real.astype("f4")):
            old = np.zeros(20, x.dtype)
            np.testing.assert_array_equal(jit(least)(x, old), least(x, old))
