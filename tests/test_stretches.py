"""Slices between two traced places: one program for all of a length, NumPy's at the ends."""

import numpy as np
import pytest
from traced import assert_same

from adjit import grad, jit, options, vmap
from adjit.errors import FrozenWrite, TracedBranch, UntracedWrite

X = np.arange(60.0).reshape(10, 6) ** 1.5
Q = np.arange(24).reshape(2, 3, 4)
P, B = np.array([2, 0, 1]), np.array([True, False, True, True, False, True])
W = np.linspace(-1, 1, 6)

SLICES = {
    "rows": lambda x, i: x[i : i + 2],
    "product": lambda x, i: X[i - 1 : i + 1] @ W + x[0],
    "columns": lambda x, i: x[:, i : i + 3],
    "both": lambda x, i: x[i : i + 3, i + 1 : i + 3],
    "backwards": lambda x, i: x[i + 3 : i : -1, ::-1],
    "with an int": lambda x, i: x[i, i : i + 2],
    "with dots": lambda x, i: x[None, ..., i : i + 2],
    "after dots": lambda x, i: x[..., i : i + 2, None],
    "with an array": lambda x, i: x[i : i + 4, P],
    "an array first": lambda x, i: x[P, i : i + 4],
    "a mask": lambda x, i: x[i : i + 4, B],
    "apart": lambda x, i: Q[0, :, i : i + 2] * x[0, 0] + Q[i : i + 1, 0],
    "of integers": lambda x, i: Q[i : i + 1, P[i : i + 2]],
    "negative ends": lambda x, i: x[i - 4 : i - 2],
    "a view of one": lambda x, i: x[i : i + 4].T[1 : i + 2, i : i + 2].ravel(),
    "of what is computed": lambda x, i: np.sin(x)[i : i + 2] + x[i : i + 2].sum(axis=0),
}


@pytest.mark.parametrize("name", SLICES)
def test_slices_are_numpys_everywhere(name):
    f, places = SLICES[name], (0, 1, 2, 3, 5, 8, 9, 10, 12, -1, -2, -3, -9, -10, -11, -15)
    with options(interpret=True):
        g, lengths = jit(f), set()
        for i in (*places, *map(np.int64, places[:3])):
            try:
                want = f(X, i)
            except (IndexError, ValueError) as error:
                with pytest.raises(type(error)):
                    g(X, i)
                continue
            assert_same(g(X, i), want)
            lengths.add((type(i), want.shape))
        if "view of one" not in name:
            assert g.cache_info().traces <= len(lengths) + 3


def test_slices_inside_are_one_program_and_kernels_know_them():
    f = jit(lambda i: X[i : i + 3] @ W)
    d = grad(lambda w, i: np.sum(np.tanh(X[i : i + 3] @ w)))
    for i in range(5):
        assert_same(f(i), X[i : i + 3] @ W)
        part = X[i : i + 3]
        assert_same(d(W / 100, i), (1 - np.tanh(part @ W / 100) ** 2) @ part, rtol=1e-9)
    assert f.cache_info().variants == d.cache_info().variants == 1
    X[2] += 1.0
    try:
        assert_same(f(1), X[1:4] @ W)  # live
    finally:
        X[2] -= 1.0


def test_what_is_written_through_them():
    def writes(x, i):
        z = x.copy()
        part = z[i : i + 3]
        part[0] = 7.0
        part *= 2
        z[i + 1 : i + 3, 1] = x[0, 0]
        z[i : i + 2] += z[i + 1 : i + 3]
        np.add.at(z, (slice(i, i + 2), 0), 5.0)
        return z, part, z.sum()

    with options(interpret=True):
        g = jit(writes)
        for i in range(6):
            assert_same(g(X, i), writes(X, i))
        assert g.cache_info().variants == 1
        weights = np.arange(60.0).reshape(10, 6)
        slope = grad(lambda x, i: np.sum(writes(x, i)[0] * weights))(X, 4)
        e = np.zeros_like(X)
        for at in ((0, 0), (4, 2), (5, 0), (6, 3), (9, 5)):
            e[at] = 1.0
            want = np.sum((writes(X + e, 4)[0] - writes(X - e, 4)[0]) * weights) / 2
            assert np.isclose(slope[at], want)
            e[at] = 0.0

    def argument(x, i):
        x[i : i + 2][0] = 1.0

    def outside(x, i):
        part = X[i : i + 2]
        part[0] = x[0]

    for f in (argument, outside):
        with pytest.raises((FrozenWrite, UntracedWrite)):
            jit(f)(X, 1)


def test_where_nothing_is_known_of_the_length():
    with options(interpret=True):
        one_end = jit(lambda x, n: x[:n] * 2)
        for n in (2, 3, 2):
            assert_same(one_end(X, n), X[:n] * 2)
        loops = jit(lambda x, i: sum(x[i + k : i + k + 2] @ W for k in range(4)))
        for i in (0, 1, 2):
            assert_same(loops(X, i), sum(X[i + k : i + k + 2] @ W for k in range(4)))
        with pytest.raises(TracedBranch):
            vmap(lambda i: X[i : i + 2])(np.arange(3))


def test_places_beyond_all_indices():
    with options(interpret=True):
        f = jit(lambda x, i: x[i - 12 : i - 9])
        for i in np.array([13, 3, 10, 2**64 - 1], np.uint64):
            with np.errstate(over="ignore"):
                assert_same(f(X, i), X[i - 12 : i - 9])
