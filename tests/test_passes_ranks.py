"""A few elements of what is sorted: looked for, not sorted, with the same slopes, ties included."""

import numpy as np
import pytest
from graphs import assert_agree, function, kinds

from adjit import grad, jit, options, value_and_grad
from adjit.ir import verify
from adjit.ir.ops.ranks import LONG, argpartition, ranked
from adjit.ir.ops.reduce import argsort, sort
from adjit.ir.ops.shape import slice_
from adjit.passes.dce import dce
from adjit.passes.ranks import ranks

RNG = np.random.default_rng(0)
N = LONG + 44


def lines(dtype="f8"):
    """Arrays without equals, of little else, and with NaN."""
    rows = [RNG.normal(size=N), RNG.integers(0, 4, N) * 1.0, np.zeros(N), RNG.normal(size=N)]
    rows[3][[3, 7, N - 1]] = np.nan
    return np.array(rows, dtype)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "c16"])
def test_ranked_is_a_stable_argsort_at_some_ranks(dtype):
    x = np.nan_to_num(lines()).astype(dtype) if dtype == "i8" else lines(dtype)
    if dtype == "c16":
        x.imag = np.roll(lines(), 1, axis=1)
    for at in ((0,), (N - 1,), (5, 6, 7), (0, N // 2, N // 2 + 1, N - 2, N - 1), tuple(range(20))):
        want = np.argsort(x, 1, kind="stable")[:, list(at)]
        np.testing.assert_array_equal(ranked.ref(x, axis=1, ranks=at), want)
        np.testing.assert_array_equal(ranked.ref(x.T, axis=0, ranks=at), want.T)
        many = np.tile(x, (6, 1))  # sorted at once
        np.testing.assert_array_equal(ranked.ref(many, axis=1, ranks=at)[:4], want)
    with pytest.raises(ValueError, match="ranks"):
        function(lambda v: ranked(v, axis=0, ranks=(3, 1)), (5,))


def test_middles_of_complex_numbers_are_nan_where_one_is():
    z = np.round(RNG.normal(size=(3, 5)) + 1j * RNG.normal(size=(3, 5)))
    z[0, 1], z[1, 2], z[1, 3] = complex(np.nan, 1), complex(2, np.nan), complex(np.nan, 0)

    def f(z):
        both = np.median(z, axis=1), np.nanmedian(z, axis=1)
        return (*both, np.nanargmax(z, axis=1), np.nanargmin(z, axis=0), np.median(z[2]))

    with options(interpret=True):
        for got, want in zip(jit(f)(z), f(z), strict=True):
            np.testing.assert_array_equal(got, want)


def part(v, start, size, step=1):
    axis = v.ndim - 1
    first = (0,) * axis
    return slice_(v, start=(*first, start), size=(*v.shape[:-1], size), step=(1,) * axis + (step,))


def test_slices_of_what_is_sorted_are_looked_for():
    def f(x):
        s, o = sort(x, axis=1), argsort(x, axis=1)
        return part(s, 3, 4), part(s, N - 1, 5, -2), part(o, 0, 1), part(s, 4, 1)

    before = function(f, (4, N))
    after = dce(ranks(before))
    verify(after)
    assert "sort" not in kinds(after) and kinds(after)["ranked"] == 1
    assert_agree(before, after, lines())
    kept = [
        function(lambda x: (part(sort(x, axis=0), 0, 3), sort(x, axis=0)), (N,)),
        function(lambda x: part(sort(x, axis=0), 0, N // 2), (N,)),
        function(lambda x: part(sort(x, axis=0), 0, 3), (40,)),
    ]
    assert all(ranks(g) is g for g in kept)


@pytest.mark.parametrize("row", [0, 1, 3])
def test_slopes_of_order_statistics(row):
    def f(x):
        worst = np.mean(np.partition(x, 30)[:30])
        return np.median(x) + np.percentile(x, 90.0) * 2 + np.sum(np.sort(x)[-3:] ** 2) - worst

    x = lines()[row]
    with options(interpret=True):
        value, slope = value_and_grad(f)(x)
    got = value_and_grad(f)(x)
    np.testing.assert_allclose(got[0], f(x))
    np.testing.assert_allclose(got[0], value)
    np.testing.assert_allclose(got[1], slope)
    assert "argsort" not in value_and_grad(f).ir(x, stage="simplified")


def test_partitions_are_numpys_up_to_their_order():
    x = lines()[0]
    picked = grad(lambda v: np.sum(np.partition(v, (7, 20))[:21] * 2.0))(x)
    np.testing.assert_array_equal(picked, 2.0 * (x <= np.sort(x)[20]))
    where = argpartition.ref(x, axis=0, kth=(7,))
    assert set(where[:8]) == set(np.argsort(x)[:8])
    grid = np.stack([x, -x])
    least = grad(lambda v: np.sum(np.partition(v, 4, axis=None)[:5] * np.partition(v, 3)[1, 3]))
    assert np.count_nonzero(least(grid)) == 6 - (np.sort(-x)[3] <= np.sort(grid, None)[4])


def test_sums_into_places_share_memory():
    def f(x, i):
        y = np.sin(x)
        return y[i[0]] ** 2 + x[i[1]] * x[i[2]]

    x, i = RNG.normal(size=300), np.array([3, 3, -1])
    g = grad(f)
    want = np.zeros(300)
    want[3] = 2 * np.sin(x[3]) * np.cos(x[3]) + x[-1]
    want[-1] = x[3]
    np.testing.assert_allclose(g(x, i), want)
    assert "t_buf" not in g.source(x, i)
