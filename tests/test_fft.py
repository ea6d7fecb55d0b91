"""The Fourier family of NumPy and SciPy: values, dtypes, derivatives, errors."""

import numpy as np
import pytest
import scipy.fft

from adjit import grad, jacobian, jit, options, vmap
from adjit.testing import check_grads

RNG = np.random.default_rng(3)
X = RNG.normal(size=(3, 4, 5))
Z = X + 1j * RNG.normal(size=X.shape)
COMPLEX = ("fft", "ifft", "irfft", "hfft")
REAL = ("rfft", "ihfft")


def assert_same(f, *args, order=2):
    want, got = f(*args), jit(f)(*args)
    assert (np.shape(got), got.dtype) == (np.shape(want), want.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    check_grads(f, args, order=order)


@pytest.mark.parametrize("room", [np.fft, scipy.fft], ids=["numpy", "scipy"])
@pytest.mark.parametrize("name", COMPLEX + REAL)
def test_transforms_along_one_axis(room, name):
    f = getattr(room, name)
    operand = X if name in REAL else Z
    with options(interpret=True):
        for n, norm in ((None, None), (3, "ortho"), (4, "forward"), (7, None)):
            order = 2 if n == 7 else 1
            assert_same(
                lambda x, n=n, norm=norm: f(x, n, axis=1, norm=norm), operand[:2], order=order
            )
        assert_same(f, X, order=1)
        assert jit(f)(X.astype("f4")).dtype == f(X.astype("f4")).dtype
        np.testing.assert_allclose(jit(f)(np.arange(6)), f(np.arange(6)), atol=1e-14)


SIZES = [{}, {"s": (3, 6), "axes": (0, 2)}, {"axes": (1, 0)}, {"norm": "ortho"}]


@pytest.mark.parametrize("room", [np.fft, scipy.fft], ids=["numpy", "scipy"])
@pytest.mark.parametrize("name", COMPLEX[:3] + REAL[:1])
def test_transforms_along_several_axes(room, name):
    operand = X if name in REAL else Z
    several = getattr(room, f"{name}n")
    with options(interpret=True):
        for how in SIZES:
            assert_same(lambda x, how=how: several(x, **how), operand, order=1)
        assert_same(getattr(room, f"{name}2"), operand, order=1)


def test_an_axis_named_twice_is_transformed_twice():
    assert_same(lambda z: np.fft.fftn(z, axes=(0, 0)), Z)


@pytest.mark.parametrize("name", ["dct", "dst", "idct", "idst"])
def test_cosine_and_sine_transforms(name):
    f, several = getattr(scipy.fft, name), getattr(scipy.fft, f"{name}n")
    with options(interpret=True):
        for kind in (1, 2, 3, 4):
            for norm in ("backward", "ortho"):
                assert_same(lambda x, k=kind, n=norm: f(x, k, axis=1, norm=n), X[:2], order=1)
            assert_same(
                lambda x, k=kind: f(x, k, 6, norm="ortho", orthogonalize=False), X[0], order=1
            )
        assert_same(lambda x: several(x, norm="ortho", axes=(0, 1)), X)
        assert_same(f, Z[0])
    if name in ("dct", "idct"):
        turned = jacobian(lambda x: f(x, norm="ortho"))(X[0, 0])
        np.testing.assert_allclose(turned @ turned.T, np.eye(5), atol=1e-12)


def test_shifts_and_frequencies():
    with options(interpret=True):
        for room in (np.fft, scipy.fft):
            assert_same(lambda x, room=room: room.fftshift(x, axes=(1, 2)) * room.ifftshift(x), X)
        assert_same(lambda d: np.fft.fftfreq(5, d) ** 2, np.float64(0.3))
        assert_same(lambda d: np.fft.rfftfreq(6, d) ** 2, np.float64(0.3))


def test_compiled_programs():
    def spectrum(x, w):
        return np.sum(np.abs(np.fft.rfft(x) * w) ** 2)

    x, w = RNG.normal(size=16), RNG.normal(size=9)
    check_grads(spectrum, (x, w))

    def filtered(x, h):
        return np.fft.ifft(np.fft.fft(x) * np.fft.fft(h, len(x))).real

    h = RNG.normal(size=5)
    ring = [np.sum(h * np.roll(x[::-1], k + 1)[:5]) for k in range(16)]
    np.testing.assert_allclose(jit(filtered)(x, h), ring)
    np.testing.assert_allclose(
        jacobian(filtered, 1)(x, h), [np.roll(x[::-1], k + 1)[:5] for k in range(16)], atol=1e-13
    )
    rows = RNG.normal(size=(4, 16))
    np.testing.assert_allclose(
        vmap(grad(spectrum), in_axes=(0, None))(rows, w), [grad(spectrum)(r, w) for r in rows]
    )


def test_results_go_where_they_are_asked_for():
    def f(z):
        out = np.zeros_like(z)
        kept = np.fft.fft(z, out=out)
        return np.abs(out) + np.abs(kept)

    assert_same(f, Z)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.fft.fft(x, 0), X),
        (lambda x: np.fft.fft(x, norm="odd"), X),
        (lambda x: np.fft.fft(x, axis=3), X),
        (np.fft.rfft, Z),
        (np.fft.irfft, X[..., :1]),
        (np.fft.fft, np.float64(1.0)),
        (lambda x: np.fft.fftn(x, s=(2,), axes=(0, 1)), X),
        (np.fft.fft, np.zeros((2, 0))),
        (lambda x: scipy.fft.dct(x, 1), X[..., :1]),
    ],
)
def test_what_numpy_refuses_is_refused(f, x):
    with pytest.raises(Exception) as want:  # noqa: PT011
        f(x)
    with pytest.raises(want.type):
        jit(f)(x)
