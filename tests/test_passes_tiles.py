"""Sums of arrays that are zeros where the other is not: their parts side by side."""

import numpy as np
import pytest
from graphs import assert_agree, function, kinds

from adjit import grad, options
from adjit.ir import Value
from adjit.ir import ops as o
from adjit.passes.simplify import cleanup, simplify

R = np.random.default_rng(5)


def moved(x: Value, *start: int, shape: tuple[int, ...] = (4, 6), step: int = 1) -> Value:
    return o.pad(x, shape=shape, start=start, step=(step,) * x.ndim)


SUMS = {
    "fills": (lambda x, y: moved(x, 0, 0) + moved(y, 0, 2), [(4, 2), (4, 4)], {"concatenate": 1}),
    "later first": (
        lambda x, y: moved(x, 0, 2) + moved(y, 0, 0),
        [(4, 4), (4, 2)],
        {"concatenate": 1},
    ),
    "a box": (
        lambda x, y: moved(x, 1, 1) + moved(y, 2, 1),
        [(1, 3), (2, 3)],
        {"concatenate": 1, "pad": 1},
    ),
    "gap": (lambda x, y: moved(x, 0, 0) + moved(y, 0, 3), [(4, 2), (4, 3)], {"pad": 2, "add": 1}),
    "overlap": (
        lambda x, y: moved(x, 0, 0) + moved(y, 0, 1),
        [(4, 2), (4, 5)],
        {"pad": 2, "add": 1},
    ),
    "corner": (
        lambda x, y: moved(x, 0, 0) + moved(y, 2, 3),
        [(2, 3), (2, 3)],
        {"pad": 2, "add": 1},
    ),
    "strided": (
        lambda x, y: moved(x, 0, 0, step=2) + moved(y, 0, 3),
        [(2, 3), (4, 3)],
        {"pad": 2, "add": 1},
    ),
    "through a sum": (
        lambda x, y, z: moved(x, 0, 0) + z + moved(y, 0, 2),
        [(4, 2), (4, 4), (4, 6)],
        {"concatenate": 1, "add": 1},
    ),
    "all corners": (
        lambda w, x, y, z: moved(w, 0, 0) + moved(x, 3, 5) + moved(y, 0, 5) + moved(z, 3, 0),
        [(3, 5), (1, 1), (3, 1), (1, 5)],
        {"concatenate": 3},
    ),
    "one after another": (
        lambda x, y, z: moved(x, 0, 0) + moved(z, 0, 4) + moved(y, 0, 1),
        [(4, 1), (4, 3), (4, 2)],
        {"concatenate": 1},
    ),
}


@pytest.mark.parametrize("name", SUMS)
def test_parts_that_touch_are_joined(name):
    f, shapes, rows = SUMS[name]
    before = function(f, *shapes)
    after = simplify(before)
    found = kinds(after)
    assert {k: found[k] for k in ("pad", "add", "concatenate") if found[k]} == rows
    assert_agree(before, after, *(R.normal(size=s) for s in shapes), rtol=0)
    assert kinds(cleanup(before)) == kinds(before)


def test_a_sum_that_is_read_elsewhere_stays():
    def f(x: Value, y: Value, z: Value) -> tuple[Value, Value]:
        part = moved(x, 0, 0) + z
        return part + moved(y, 0, 2), part * part

    before = function(f, (4, 2), (4, 4), (4, 6))
    after = simplify(before)
    assert not kinds(after)["concatenate"]


def test_the_adjoint_of_rotations_is_rotations():
    def f(x):
        y = np.stack([np.roll(x[i], (i, -1), axis=(0, 1)) for i in range(3)])
        return np.sum(np.sin(y * np.roll(y, 1, 2)))

    x = R.normal(size=(3, 4, 5))
    slope = grad(f)
    assert "pad[" not in slope.ir(x, stage="simplified")
    found = slope(x)
    with options(interpret=True):
        np.testing.assert_allclose(found, grad(f)(x), rtol=1e-12)
    e = 1e-6 * R.normal(size=x.shape)
    change = (f(x + e) - f(x - e)) / 2
    assert abs(np.sum(found * e) - change) < 1e-5 * abs(change)
