"""Splines of scipy.interpolate at traced places: values, slopes, edges, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.interpolate as it

from adjit import elementwise_grad, errors, grad, jit

GRID = np.array([0.0, 0.7, 1.1, 2.0, 3.2, 4.0, 5.5])
DATA = np.sin(GRID) + 0.1 * GRID**2
MANY = np.stack([DATA, DATA**2], axis=1)
INSIDE = np.array([[0.3, 0.9], [2.7, 5.1]])
WIDE = np.array([-0.5, 0.3, 4.4, 6.2])

SPLINES: dict[str, Any] = {
    "CubicSpline": it.CubicSpline(GRID, DATA),
    "natural": it.CubicSpline(GRID, DATA, bc_type="natural", extrapolate=False),
    "periodic": it.CubicSpline(GRID, np.append(DATA[:-1], DATA[0]), bc_type="periodic"),
    "Pchip": it.PchipInterpolator(GRID, DATA),
    "Akima": it.Akima1DInterpolator(GRID, DATA),
    "BSpline": it.make_interp_spline(GRID, DATA, k=3),
    "BSpline, 2": it.make_interp_spline(GRID, DATA, k=2),
    "smoothing": it.make_smoothing_spline(GRID, DATA, lam=0.1),
    "Univariate": it.UnivariateSpline(GRID, DATA, s=0.01),
    "interpolating": it.InterpolatedUnivariateSpline(GRID, DATA),
    "interp1d": it.interp1d(GRID, DATA, fill_value="extrapolate"),
}


pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.mark.parametrize("name", SPLINES)
def test_values_and_slopes(name: str) -> None:
    f = SPLINES[name]
    for t in (WIDE, INSIDE, 1.3) if name != "Univariate" else (WIDE, 1.3):
        np.testing.assert_allclose(jit(lambda t: f(t))(t), f(t), rtol=1e-9, atol=1e-9)
    t = INSIDE.ravel()
    want = (f(t + 1e-6) - f(t - 1e-6)) / 2e-6
    np.testing.assert_allclose(elementwise_grad(lambda t: f(t))(t), want, rtol=1e-6, atol=1e-7)


def test_derivatives_and_several_curves() -> None:
    f = it.CubicSpline(GRID, MANY)
    for nu in range(5):
        np.testing.assert_allclose(jit(lambda t, n=nu: f(t, n))(INSIDE), f(INSIDE, nu), atol=1e-9)
    turned = it.CubicSpline(GRID, MANY.T, axis=1)
    np.testing.assert_allclose(jit(lambda t: turned(t))(INSIDE), turned(INSIDE), atol=1e-9)
    b = it.make_interp_spline(GRID, MANY)
    np.testing.assert_allclose(jit(lambda t: b(t, 1))(INSIDE), b(INSIDE, 1), atol=1e-8)
    second = grad(grad(lambda t: f(t)[0]))(1.3)
    np.testing.assert_allclose(second, f(1.3, 2)[0])


def test_a_path_along_a_curve() -> None:
    height = it.CubicSpline(GRID, DATA)

    def length(t):
        return np.sum(np.sqrt(np.diff(t) ** 2 + np.diff(height(t)) ** 2))

    t = np.linspace(0.2, 5.0, 7)
    e = np.eye(7)[3] * 1e-6
    np.testing.assert_allclose(
        grad(length)(t)[3], (length(t + e) - length(t - e)) / 2e-6, rtol=1e-6
    )


@pytest.mark.parametrize(
    "f",
    [
        it.interp1d(GRID, DATA, kind="nearest"),
        it.BPoly(np.ones((2, 1)), np.array([0.0, 1.0])),
        it.BarycentricInterpolator(GRID, DATA),
        it.UnivariateSpline(GRID, DATA, s=0.01, ext=1),
    ],
)
def test_refusals(f: Any) -> None:
    with pytest.raises(errors.UnsupportedOp, match=r"scipy\.interpolate"):
        jit(lambda t: f(t))(0.3)
