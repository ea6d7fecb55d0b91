"""Searches among sorted keys in kernels, against NumPy's."""

import numpy as np
import pytest

from adjit import grad, jit, vmap

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8"])
def test_positions_are_numpys(dtype):
    @jit
    def found(keys, few, x, one):
        left, right = np.searchsorted(keys, x), np.searchsorted(keys, x, side="right")
        return left, right, np.searchsorted(few, x), np.searchsorted(keys, one), np.digitize(x, few)

    keys = np.sort(RNG.integers(-20, 20, 37)).astype(dtype)
    few = np.array([3], dtype)
    x = RNG.integers(-25, 25, (2, 300)).astype(dtype)
    if dtype != "i8":
        keys[-2:], x[0, :3], x[1, 5:7] = np.nan, np.nan, [np.inf, -np.inf]
    for k in (keys, keys[:-2], keys[:2]):
        got = found(k, few, x, x[0, 9])
        want = found.__wrapped__(k, few, x, x[0, 9])
        for g, w in zip(got, want, strict=True):
            np.testing.assert_array_equal(g, w)
            assert np.asarray(g).dtype == np.int64
    assert "host" not in str(found.ir(keys, few, x, x[0, 9], stage="fused"))


def test_searches_in_rounds_and_of_what_is_computed():
    def f(fp, xp, x):
        total = 0.0
        for _ in range(30):
            x = x + 0.01 * np.interp(np.sin(x), xp, fp)
            total = total + np.sum(x**2)
        return total

    xp, x = np.sort(RNG.normal(size=20)), RNG.normal(size=70)
    fp, e = RNG.normal(size=20), RNG.normal(size=20)
    slope = grad(f)(fp, xp, x)
    numeric = (f(fp + 1e-6 * e, xp, x) - f(fp - 1e-6 * e, xp, x)) / 2e-6
    np.testing.assert_allclose(slope @ e, numeric, rtol=1e-6)


def test_rows_of_keys_with_none_at_the_end():
    keys, x = np.sort(RNG.normal(size=(3, 40)), axis=1), RNG.normal(size=(3, 5))
    keys[:, -2:], x[:, 0], x[:, 1] = np.nan, np.nan, np.inf
    for side in ("left", "right"):
        got = vmap(lambda k, v, side=side: np.searchsorted(k, v, side=side))(keys, x)
        np.testing.assert_array_equal(
            got, [np.searchsorted(k, v, side=side) for k, v in zip(keys, x, strict=True)]
        )


def test_interpolation_beside_infinities_is_numpys():
    """Also where the line from the left is no number, and its slope is that line's elsewhere."""
    xp = np.array([-np.inf, -1.0, 0.0, 1.0, 2.0, 2.0, 3.0, 4.0, np.inf])
    fp = np.array([1.0, 1.0, -np.inf, np.inf, 5.0, 6.0, np.inf, np.inf, 7.0])
    x = np.array([-np.inf, np.inf, np.nan, -5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5])
    for k in (9, 8, 6):
        with np.errstate(all="ignore"):
            want = np.interp(x, xp[:k], fp[:k])
        np.testing.assert_array_equal(jit(np.interp)(x, xp[:k], fp[:k]), want)
    slope = grad(lambda x: np.sum(np.interp(x, [0.0, 1.0, 3.0], [0.0, 2.0, 8.0])))
    np.testing.assert_array_equal(slope(np.array([-1.0, 0.5, 1.0, 2.0, 5.0])), [0, 2, 3, 3, 0])
