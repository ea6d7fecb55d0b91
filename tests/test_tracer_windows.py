"""Sliding windows, bins, and walks over the elements of an array."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from traced import assert_right

import adjit
from adjit.tracer import errors

rng = np.random.default_rng(0)
LINE = tuple((rng.normal(size=50),) for _ in range(2))
GRID = tuple((rng.normal(size=(5, 6)),) for _ in range(2))
BINS = np.array([0, 2, 2, 1, 5] * 10)


def after_a_write(x):
    z = x.copy()
    w = sliding_window_view(z, 3)
    z[2] = 7.0
    return w * 2


PROGRAMS = {
    "line": (lambda x: sliding_window_view(x, 4).mean(axis=-1), LINE),
    "wide": (lambda x: sliding_window_view(x, 40) * 2, LINE),
    "grid": (lambda x: sliding_window_view(x, (3, 2)), GRID),
    "one axis": (lambda x: sliding_window_view(x, 3, axis=0), GRID),
    "axes in another order": (lambda x: sliding_window_view(x, (2, 3), axis=(-1, 0)), GRID),
    "an axis twice": (lambda x: sliding_window_view(x, (2, 2), axis=(1, 1)), GRID),
    "a wide axis first": (lambda x: sliding_window_view(np.tile(x, (8, 1)), 35, axis=0), GRID),
    "a view lives": (after_a_write, LINE),
    "bincount": (lambda x: np.bincount(BINS, weights=x, minlength=8), LINE),
    "digitize": (lambda x: np.digitize(x, [-1.0, 0.0, 0.5]), GRID),
    "digitize down": (lambda x: np.digitize(x, [0.5, 0.0, -1.0], right=True), GRID),
    "ndenumerate": (lambda x: sum(v * (i - j) for (i, j), v in np.ndenumerate(x)), GRID),
    "flat walks": (lambda x: [next(f := x.flat), next(f), list(f)[-1], x.flat[3]], GRID),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program(name):
    f, data = PROGRAMS[name]
    assert_right(f, *data)


def test_convolution_by_windows():
    def conv(x, k):
        return np.einsum("ijkl,kl->ij", sliding_window_view(x, k.shape), k)

    adjit.check_grads(conv, (GRID[0][0], rng.normal(size=(3, 2))), order=1)
    adjit.check_grads(lambda x: sliding_window_view(x, 40) ** 2, LINE[0], order=1)


@pytest.mark.parametrize(
    ("f", "error", "gist"),
    [
        (lambda x: sliding_window_view(x, 51), ValueError, "larger than input"),
        (lambda x: sliding_window_view(x, (2, 2)), ValueError, "matching length"),
        (lambda x: sliding_window_view(x, -1), ValueError, "negative"),
        (
            lambda x: sliding_window_view(x.copy(), 2, writeable=True).sort(),
            *(errors.FrozenWrite, "sliding window"),
        ),
        (lambda x: sliding_window_view(x, 2).sort(), errors.FrozenWrite, "sliding window"),
        (lambda x: np.bincount([0, 1], weights=x), ValueError, "same length"),
        (lambda x: np.digitize(x, [0.0, 2.0, 1.0]), ValueError, "monotonically"),
        (lambda x: np.digitize(1.0, x), ValueError, "monotonically"),
    ],
)
def test_a_refusal(f, error, gist):
    with pytest.raises(error, match=gist):
        adjit.jit(f)(LINE[0][0])
