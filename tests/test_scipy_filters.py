"""Filters of scipy.ndimage and convolutions of scipy.signal: values, gradients, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage as nd
import scipy.signal as signal

from adjit import errors, grad, jit

RNG = np.random.default_rng(0)
X, V, W = RNG.normal(size=(6, 7)), RNG.normal(size=9), RNG.normal(size=(3, 2))
K3, K4, SQUARE = RNG.normal(size=3), RNG.normal(size=4), RNG.normal(size=(3, 3))
MODES = ("reflect", "mirror", "nearest", "constant", "wrap")
SIZES = ("full", "same", "valid")


pytestmark = pytest.mark.usefixtures("interpreted")


def along(m: str) -> dict[str, Any]:
    return {
        f"correlate1d {m}": (lambda x: nd.correlate1d(x, K4, 0, mode=m, cval=0.3), X),
        f"convolve1d {m}": (lambda x: nd.convolve1d(x, K4, 1, mode=m, origin=1), X),
        f"correlate {m}": (lambda x: nd.correlate(x, W, mode=m, origin=(1, 0)), X),
    }


def by_size(m: str) -> dict[str, Any]:
    return {
        f"convolve2d {m}": (lambda x: signal.convolve2d(x, W, m), X),
        f"convolve2d {m}, wrap": (lambda x: signal.convolve2d(x, W, m, "wrap"), X),
        f"convolve2d {m}, symm": (lambda x: signal.convolve2d(x, W, m, "symm"), X),
        f"correlate2d {m}": (lambda x: signal.correlate2d(x, W, m), X),
        f"signal.convolve {m}": (lambda x: signal.convolve(x, SQUARE, m), X),
        f"signal.correlate {m}": (lambda x: signal.correlate(x, W, m), X),
        f"signal.convolve {m}, 1-d": (lambda x: signal.convolve(x, K3, m), V),
        f"signal.correlate {m}, 1-d": (lambda x: signal.correlate(x, K3, m), V),
    }


CASES: dict[str, tuple[Any, np.ndarray]] = {
    **{k: v for m in MODES for k, v in along(m).items()},
    **{k: v for m in SIZES for k, v in by_size(m).items()},
    "gaussian_filter": (lambda x: nd.gaussian_filter(x, 0.7, mode=("wrap", "mirror")), X),
    "convolve": (lambda x: nd.convolve(x, W), X),
    "gaussian_filter1d, slope": (lambda x: nd.gaussian_filter1d(x, 1.2, order=1), V),
    "gaussian_filter1d, 3rd": (lambda x: nd.gaussian_filter1d(x, 1.2, order=3, radius=4), V),
    "gaussian_filter by axes": (lambda x: nd.gaussian_filter(x, (1.0, 0.5), order=(0, 1)), X),
    "uniform_filter": (lambda x: nd.uniform_filter(x, (3, 2)), X),
    "uniform_filter1d": (lambda x: nd.uniform_filter1d(x, 4), V),
    "sobel": (lambda x: nd.sobel(x, 0), X),
    "prewitt": (lambda x: nd.prewitt(x), X),
    "laplace": (lambda x: nd.laplace(x), X),
    "by the kernel": (lambda w: signal.convolve2d(X, w, "same"), W),
    "by the weights": (lambda w: nd.convolve(X, w), W),
    "correlate2d, even": (lambda x: signal.correlate2d(x, np.arange(8.0).reshape(2, 4), "same"), X),
    "convolve, same, by a longer kernel": (lambda x: signal.convolve(V[:5], np.sin(x), "same"), V),
    "by Fourier": (lambda x: signal.convolve(x, W, method="fft"), X),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    f, x = CASES[name]
    np.testing.assert_allclose(jit(f)(x), f(x), rtol=1e-10, atol=1e-12)
    loss = lambda x: np.sum(np.sin(f(x)))  # noqa: E731
    e = np.zeros(x.shape)
    e.flat[1] = 1e-6
    want = (loss(x + e) - loss(x - e)) / 2e-6
    np.testing.assert_allclose(grad(loss)(x).flat[1], want, rtol=1e-6, atol=1e-8)


def test_dtypes_are_scipys() -> None:
    for one, other in (("i8", "i8"), ("u1", "i2"), ("u1", "u1"), ("f4", "i8"), ("f4", "f8")):
        x, w = (90 * X).astype(one), (90 * W).astype(other)
        out = jit(signal.convolve2d)(x, w)
        expected = signal.convolve2d(x, w)
        assert out.dtype == expected.dtype
        np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_by_the_width_of_a_gaussian() -> None:
    def loss(s):
        return np.sum(nd.gaussian_filter(X, s, radius=3) ** 2)

    np.testing.assert_allclose(grad(loss)(0.8), (loss(0.8 + 1e-6) - loss(0.8 - 1e-6)) / 2e-6)


@pytest.mark.parametrize(
    ("f", "kind", "says"),
    [
        (lambda x: nd.gaussian_filter(x, x[0, 0]), errors.UnsupportedOp, "radius="),
        (lambda x: nd.laplace(x, output=float), errors.UnsupportedOp, "output="),
        (lambda x: nd.uniform_filter((x > 0).astype(int)), errors.UnsupportedOp, "astype"),
        (lambda x: nd.correlate1d(x, K3, mode="far"), RuntimeError, "boundary mode"),
        (lambda x: nd.correlate1d(x, K3, origin=2), ValueError, "Invalid origin"),
        (lambda x: nd.convolve(x, K3), RuntimeError, "incorrect shape"),
        (lambda x: signal.convolve2d(x, W, "whole"), ValueError, "acceptable mode"),
    ],
)
def test_refusals(f: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        jit(f)(X)
