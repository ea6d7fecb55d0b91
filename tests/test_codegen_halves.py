"""Loops that are cut where a mask ends."""

import itertools

import numpy as np
import pytest

from adjit import options, value_and_grad
from adjit.codegen.halves import halves, places

LINES = (
    "a = x[i]",
    "b = i",
    "c = b < n",
    "d = ll.select(c, a, 0.0)",
    "e = d * y",
    "f = ll.select(c, e, 0.0)",
    "acc = ll.radd(acc, f)",
    "out[q + i] = f",
)


def cut(*lines, reach=("0", "m")):
    numbers = itertools.count()
    return halves("i", reach, lines, lambda stem: f"{stem}{next(numbers)}")


def test_each_part_takes_one_side_and_nothing_else():
    assert cut(*LINES) == [
        "m0 = min(max(n, 0), m)",
        "for i in range(m0):",
        "    a = x[i]",
        "    e = a * y",
        "    acc = ll.radd(acc, e)",
        "    out[q + i] = e",
        "for i1 in range(m0, m):",
        "    out[q + i1] = 0.0",
    ]


def test_masks_that_are_moved_cut_twice():
    found = cut(
        *LINES, "g = i - 1", "h = g < n", "k = x[i + 1]", "l = ll.select(h, k, 0.0)", "p[i] = l",
        reach=("1", "ll.few(m)"),
    )  # fmt: skip
    assert found[:2] == ["m0 = min(max(n, 1), m)", "m1 = min(max(n, 0), m - 1) + 1"]
    heads = [line for line in found if line.startswith("for")]
    assert [h.partition(" in ")[2] for h in heads] == [
        "range(1, ll.few(m0)):", "range(m0, ll.few(m1)):", "range(m1, ll.few(m)):",
    ]  # fmt: skip


def test_masks_the_other_way_round():
    below, with_it = "min(max(n, 0), m)", "min(max(n, -1), m - 1) + 1"
    for line, text in (("c = n <= b", below), ("c = b > n", with_it), ("c = n >= b", with_it)):
        found = cut(*(line if x.startswith("c =") else x for x in LINES))
        assert found[0] == f"m0 = {text}"


@pytest.mark.parametrize(
    "line",
    [
        "if c:",
        "    z = a",
        "g = i < k",
        "i = a",
        "n = a",
        "g = x[i]  # file.py:3",
        f"g = i + {1 << 40}",
    ],
)
def test_other_loops_stay(line):
    assert cut(*LINES, line) is None


def test_a_test_that_is_read_otherwise_is_a_literal():
    found = cut(*LINES, "g = c & z", "p[i] = g")
    assert "    c = True" in found
    assert any(line.endswith(" = False") for line in found)


def test_kernels_of_masked_rows():
    def f(x, k):
        s = 0.0
        for n in (3, 20, 40):
            inside = np.arange(40) < n + k
            s = s + np.sum(np.where(inside, np.sqrt(np.where(inside, x, 1.0)), 0.0)) * n
        return s

    x = np.random.default_rng(0).random(40)
    made = value_and_grad(f)
    for k in (0, 5, 1000, -3, -1000):
        with options(interpret=True):
            want, slope = value_and_grad(f)(x, k)
        got, found = made(x, k)
        np.testing.assert_allclose(got, want, rtol=1e-14)
        np.testing.assert_allclose(found, slope, rtol=1e-13)
    x = np.random.default_rng(1).random(40)
    x[7] = np.nan
    assert np.isnan(made(x, 5)[0]) and np.isfinite(made(x, -1000)[0])


def test_sums_that_go_to_another_name_stay():
    found = cut(*LINES, "p[i] = h", "h = ll.radd(acc, 0.0)")
    assert sum(line.strip() == "h = ll.radd(acc, 0.0)" for line in found) == 2


def test_masks_that_end_at_the_greatest_number():
    big = np.iinfo(np.int64)

    def f(x, k):
        inside = np.arange(40) <= k
        return np.sum(np.where(inside, np.sqrt(np.where(inside, x, 1.0)), 0.0))

    made, x = value_and_grad(f), np.random.default_rng(2).random(40) + 0.5
    for k in (big.max, big.max - 1, big.min, 7):
        got, slope = made(x, k)
        np.testing.assert_allclose(got, f(x, k), rtol=1e-14)
        np.testing.assert_allclose(slope, np.where(np.arange(40) <= k, 0.5 / np.sqrt(x), 0.0))


def test_numbers_that_are_one_index_and_some():
    """Masks by several names of one index cut at each of them."""
    around = ["n = k + 1", "p = n + 2", "s = n", "c = k + 1", "    t = k + 4", "w = v + 1"]
    known = places(around, {"k"}, {"c"})
    assert known == {"n": ("k", 1), "p": ("k", 3), "s": ("k", 1)}
    lines = (*LINES, "u = b < p", "r = ll.select(u, a, 1.0)", "z[i] = r")
    assert cut(*lines) is None
    numbers = itertools.count()
    found = halves("i", ("0", "m"), lines, lambda stem: f"{stem}{next(numbers)}", lambda: known)
    assert found[:2] == ["m0 = min(max(k, -1), m - 1) + 1", "m1 = min(max(k, -3), m - 3) + 3"]
    heads = [line.partition(" in ")[2] for line in found if line.startswith("for")]
    assert heads == ["range(m0):", "range(m0, m1):", "range(m1, m):"]
    assert [line.strip() for line in found[-2:]] == ["out[q + i4] = 0.0", "z[i4] = 1.0"]


def test_rows_that_grow_at_both_ends():
    """Pascal's triangle: one loop for a round, and one for its slope but for the last element."""

    def f(x):
        row = np.ones(1) * x
        for _ in range(60):
            row = np.concatenate([row[:1], (row[1:] + row[:-1]) * 0.5 * x, row[-1:]])
        return np.sum(row * np.arange(row.size))

    with options(unroll="never", threads=1):
        g = value_and_grad(f)
        value, slope = g(1.01)
        text = g.source(1.01)
    np.testing.assert_allclose(value, f(1.01), rtol=1e-12)
    np.testing.assert_allclose(slope, (f(1.01 + 1e-6) - f(1.01 - 1e-6)) / 2e-6, rtol=1e-6)
    assert "min(max(" in text
