"""Corners of NumPy that users came upon: complex order, narrow integers, odd indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.polynomial import Chebyshev, Legendre, Polynomial, polynomial

from adjit import check_grads, jit

pytestmark = pytest.mark.usefixtures("interpreted")
RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 5))
Z = np.array([1 + 2j, 1 - 2j, complex(np.nan, 1), complex(1, np.nan), 3.0, -0.5j])
GRID = np.linspace(-1, 1, 5)
PLAIN = Polynomial([1.0, 2.0])


def assert_same(f: Any, *args: Any, rtol: float = 1e-12) -> None:
    """Values, dtypes and kinds of what a function returns are NumPy's."""
    with np.errstate(invalid="ignore"):
        got, want = jit(f)(*args), f(*args)
    got, want = (x if isinstance(x, (tuple, list)) else (x,) for x in (got, want))
    for g, w in zip(got, want, strict=True):
        assert (type(g), np.asarray(g).dtype) == (type(w), np.asarray(w).dtype)
        np.testing.assert_allclose(g, w, rtol=rtol, atol=1e-12)


def test_tuples_within_an_index_are_lists_of_positions() -> None:
    def f(a):
        z = a.copy()
        z[(0, 3), 1:] *= 2
        z[(1, 2), (0, 1)] = 5.0
        return z, a[(1, 2), (0, 1)], a[(1, 2), 1:3], a[((1, 2),)], a[(1, 2)]

    assert_same(f, A)
    check_grads(lambda a: a[(1, 2), (0, 1)] * a[(3, 3), 1:3][0], (A,))


def test_an_integer_array_without_dims_decides_as_numbers_do() -> None:
    @jit
    def f(x, n):
        return x[:n].sum(), x[int(n)], [x[k] for k in range(n)]

    for n in (1, 3, 2):
        total, item, items = f(A[0], np.array(n))
        np.testing.assert_allclose(total, A[0, :n].sum(), rtol=1e-12)
        assert (item, items) == (A[0, n], list(A[0, :n]))


def test_arrays_are_split_at_traced_places() -> None:
    assert_same(lambda x, i: np.split(x, i) + np.array_split(x, i[1]), A[0], np.array([1, 3]))


@pytest.mark.parametrize(
    "f", [np.less, np.less_equal, np.greater, np.greater_equal, np.maximum, np.minimum, np.fmax,
          np.fmin],
)  # fmt: skip
def test_complex_numbers_are_ordered_by_real_part_first(f: Any) -> None:
    assert_same(lambda a, b: (f(a[:, None], b), f(a, 1.0), f(a[0], b[1])), Z, Z[::-1].copy())
    assert_same(lambda a: f(a[:, None], a.real), Z.astype(np.complex64))


def test_what_a_complex_order_decides_has_derivatives() -> None:
    def f(x):
        z = x * (1 + 1j)
        return np.sum(np.abs(np.maximum(z, 0.5 - 0.5j * x[::-1])) ** 2) + np.sum(x[z > 0.2])

    check_grads(f, (A[0],), order=2)


def test_rounding_of_complex_numbers() -> None:
    assert_same(lambda z: (np.round(z, 1), z.round(-1), np.rint(z), np.around(z)), 7.77 * Z)


def test_masks_are_squared_as_narrow_integers() -> None:
    mask = np.array([True, False])
    assert_same(lambda m: (m**2, m[0] ** 2, m**3, m**2.0, np.power(m, 2), np.angle(m)), mask)


def test_narrow_integers_wrap_where_numpy_wraps() -> None:
    p = np.array([100, 100, -50, 7, -128], np.int8)
    assert_same(lambda p: (np.trapezoid(p), np.trapezoid(p > 0), np.unwrap(p)), p)
    assert_same(lambda p: (np.trapezoid(p), np.trapezoid(p[:, :0])), np.ones((2, 3), np.int64))


@pytest.mark.parametrize("period", [10, 7, 6.5])
def test_unwrapped_integers_stay_integers(period: Any) -> None:
    p = np.array([0, 4, 12, 3, 25, -7])
    assert_same(lambda p: (np.unwrap(p, period=period), np.unwrap(p, 4, period=period)), p)


def test_nothing_and_all_bits() -> None:
    def f(x):
        return np.bitwise_and.reduce(x[:0]), np.bitwise_and.reduce(x, axis=0, where=[[True], [0]])

    for dtype in (np.uint8, np.uint16, np.int32):
        assert_same(f, np.arange(6, dtype=dtype).reshape(2, 3))


def test_small_integers_beyond_the_real_domain_are_single_complex() -> None:
    assert_same(
        lambda n: (np.emath.sqrt(n), np.emath.log(n)), np.array([-1, 2], np.int16), rtol=1e-6
    )


def test_interp_refuses_complex_places() -> None:
    with pytest.raises(TypeError, match="must be real"):
        jit(lambda z: np.interp(z, GRID, GRID))(Z)


def test_polynomials_of_plain_and_traced_coefficients_meet() -> None:
    def f(c):
        of_c = np.poly1d(c).deriv()(np.poly1d(c[:2]))
        return (
            *((c[0] + PLAIN).coef, (PLAIN * c[0] - PLAIN).coef, polynomial.polyadd(c[0], GRID)),
            *(Polynomial(c).convert(kind=Chebyshev).coef, Chebyshev.cast(Legendre(c))(GRID)),
            *(Polynomial.fit(GRID, c, 2).convert().coef, Polynomial(c).convert(domain=[0, 2]).coef),
            of_c.coeffs,
        )

    assert_same(f, A[0], rtol=1e-9)
    check_grads(lambda c: Polynomial.fit(GRID, c, 2).convert().coef, (A[0],))
