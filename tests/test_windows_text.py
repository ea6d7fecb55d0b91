"""Filters with many taps: their loops are not cut at every tap, and give what NumPy gives."""

from typing import Any

import numpy as np

import adjit
from adjit import options
from adjit.codegen.loops import SHORTS, _fewer

rng = np.random.default_rng(3)


def bilateral(image: Any, width: Any) -> Any:
    """A filter by nine neighbours, each weighted by how near its value is."""
    wide, n = np.pad(image, 4, mode="edge"), image.shape[0]
    above, below = 0.0, 0.0
    for k in range(9):
        s = wide[k : k + n]
        w = np.exp(-((s - image) ** 2) / width)
        above, below = above + w * s, below + w
    return np.sum((above / below) ** 2)


def test_a_filter_of_many_taps_is_few_pieces() -> None:
    image, h = rng.normal(size=100), rng.normal(size=100)
    step = adjit.value_and_grad(bilateral)
    text = str(step.source(image, 0.7))
    assert text.count("\n") < 1200  # with a piece for every tap it is 1955
    with options(threads=1):
        value, slope = step(image, 0.7)
    np.testing.assert_allclose(value, bilateral(image, 0.7), rtol=1e-13)
    up, down = bilateral(image + 1e-6 * h, 0.7), bilateral(image - 1e-6 * h, 0.7)
    np.testing.assert_allclose(np.sum(slope * h), (up - down) / 2e-6, rtol=1e-7)


def test_which_bounds_are_left_out() -> None:
    many = [0, 1, 2, 3, 4, 96, 97, 98, 99, 100]
    assert _fewer(many, {0, 100}) == [0, 4, 96, 100]
    assert _fewer(many, {0, 2, 100}) == [0, 1, 2, 3, 4, 96, 100]
    assert _fewer([0, 1, 2, 98, 99, 100], {0, 100}) == [0, 1, 2, 98, 99, 100]
    assert SHORTS == 3
