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
