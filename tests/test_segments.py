"""`ufunc.reduceat` with many segments: values, slopes, and one program for all positions."""

import numpy as np
import pytest

import adjit
from adjit import options

rng = np.random.default_rng(7)
STARTS = np.arange(2, 120, 6) + rng.integers(0, 5, 20)
WEIGHTS = rng.normal(size=(20, 2))


def folded(ufunc, axis=0):
    def f(x, starts):
        parts = ufunc.reduceat(x, starts, axis)
        return np.sum(parts * (WEIGHTS if axis == 0 else WEIGHTS.T))

    return f


@pytest.mark.parametrize("name", ["add", "maximum", "multiply", "logaddexp", "subtract"])
@pytest.mark.parametrize("axis", [0, 1])
def test_segments(name, axis):
    x = 1 + 0.1 * rng.normal(size=(120, 2) if axis == 0 else (2, 120))
    f, h = folded(getattr(np, name), axis), rng.normal(size=x.shape)
    step = adjit.value_and_grad(f)
    with options(interpret=True):
        value, slope = step(x, STARTS)
        assert value == pytest.approx(f(x, STARTS), rel=1e-12)
        numeric = (f(x + 1e-6 * h, STARTS) - f(x - 1e-6 * h, STARTS)) / 2e-6
        assert np.sum(slope * h) == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_sums_have_one_program_for_all_positions():
    step, x = adjit.value_and_grad(folded(np.add)), rng.normal(size=(120, 2))
    shifted = [STARTS - 2, STARTS - 1, STARTS]
    for starts in shifted:
        value, slope = step(x, starts)
        assert value == pytest.approx(np.sum(np.add.reduceat(x, starts) * WEIGHTS), rel=1e-12)
        sizes = np.diff(starts, append=120)
        wanted = np.zeros_like(x)
        wanted[starts[0] :] = np.repeat(WEIGHTS, sizes, axis=0)
        np.testing.assert_array_equal(slope, wanted)
    assert len(step.variants()) == 1
    descending = STARTS[::-1].copy()  # each segment but the last is one element
    value, _ = step(x, descending)
    assert value == pytest.approx(np.sum(np.add.reduceat(x, descending) * WEIGHTS), rel=1e-12)


def test_positions_outside_are_refused_as_numpy_does():
    with pytest.raises(IndexError, match="out-of-bounds"):
        adjit.jit(folded(np.add))(np.ones((120, 2)), STARTS + 10)


def test_odd_positions_and_dtypes_are_taken_or_refused_as_numpy_does():
    x = rng.normal(size=(5, 3)) * 4

    def taken(x):
        none = np.add.reduceat(x, np.array([], int), axis=1)
        return none, np.add.reduceat(x, [0.0, 2.0], dtype=int), np.add.reduce(x, dtype=np.int8)

    refused = [np.array([0.0, 1.0]), np.array([[0, 1]]), np.int64(1)]
    with options(interpret=True):
        for got, want in zip(adjit.jit(taken)(x), taken(x), strict=True):
            assert (got.dtype, got.shape) == (want.dtype, want.shape)
            np.testing.assert_array_equal(got, want)
        for starts in refused:
            with pytest.raises((TypeError, ValueError)) as wanted:
                np.add.reduceat(x, starts)
            with pytest.raises(wanted.type, match=r"object|Cannot cast"):
                adjit.jit(lambda x, starts=starts: np.add.reduceat(x, starts))(x)
