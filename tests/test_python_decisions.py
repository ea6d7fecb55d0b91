"""What a condition decides for Python itself never becomes a constant of the program."""

from __future__ import annotations

import numpy as np
import pytest

from adjit import jit, options


def reset_each_round(x):
    s = 0.0
    for v in x:
        w = 1.0
        if v > 0.3:
            w *= 2.0
        if v > 0.8:
            w *= 3.0
        s = s + np.sin(w * v)
    return s


def reset_after_use(x):
    s, j = 0.0, 0
    for i in range(len(x)):
        s = s + x[j] * x[i]
        j = 0
        if x[i] > 0.3:
            j = 2
    return s


def computed_from_it(x):
    s = 0.0
    for v in x:
        w = 1.0
        if v > 0.3:
            w = 2.0
        u = w * 3
        s = s + np.sin(v * u)
    return s


def in_a_dict(x):
    s = 0.0
    for v in x:
        d = {"k": 1.0}
        if v > 0.3:
            d["k"] = 2.0
        s = s + np.sin(v * d["k"])
    return s


def turned_list(x):
    s = 0.0
    for v in x:
        pair = [1.0, 2.0]
        if v > 0.3:
            pair.reverse()
        s = s + v * pair[0]
    return s


def truth_as_number(x):
    s = 0.0
    for v in x:
        flag = bool(v > 0.3)
        s = s + flag * v - (not v > 0) * 0.2 + (1 - flag) * 0.1
    return s


def counted_truths(x):
    s = 0.0
    for v in x:
        s = s + sum([bool(v > 0.3), bool(v > 0.9)]) * v
    return s


def by_a_slice(x):
    s = 0.0
    for v in x:
        part = slice(0, 2)
        if v > 0.3:
            part = slice(2, 4)
        s = s + np.sum(x[part]) * v
    return s


def set_in_a_helper(x):
    def put(o, v):
        if v > 0.3:
            o["k"] = 2.0

    s = 0.0
    for v in x:
        o = {"k": 1.0}
        put(o, v)
        s = s + np.sin(v * o["k"])
    return s


def collected(x):
    factors = [2.0 if v > 0.2 else 0.5 for v in x]
    s = 0.0
    for k, v in zip(factors, x, strict=True):
        s = s + k * np.sin(v)
    return s


def read_after_the_loop(x):
    s = 0.0
    for v in x:
        w = 1.0
        if v > 0.3:
            w = 2.0
        s = s + v
    return s * w


def exchanged(x):
    a, b, s = x[0], x[1], 0.0
    for v in x:
        if v > 0.3:
            a, b = b, a
        s = s + v
    return a - 0.3 * b + s


def exchanged_in_a_list(x):
    known, s = [x[0], x[1], x[2]], 0.0
    for v in x:
        if v > 0.3:
            known[0], known[2] = known[2], known[0]
        s = s + v
    return known[0] + s


def pushed(x):
    known = [x[0], x[1], x[2]]
    for k in (0.3, -0.2, 0.7, 0.1, 0.5, -0.6):
        if x[3] > k:
            known = [*known[1:], x[1]]
    return np.sum(np.array(known))


PROGRAMS = [
    reset_each_round, reset_after_use, computed_from_it, in_a_dict, turned_list, truth_as_number,
    counted_truths, by_a_slice, set_in_a_helper, collected, read_after_the_loop, exchanged,
    exchanged_in_a_list, pushed,
]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS)
def test_right_whichever_way_rounds_take(f, interpreted):
    rng = np.random.default_rng(0)
    with options(unroll="never"):
        g = jit(f)
        for call in range(4):
            x = rng.normal(size=10) + (0.3 if call % 3 else 0)
            np.testing.assert_allclose(g(x), f(x), rtol=1e-12)


def clocked(x):
    s, t = x[0], 0.0
    for i in range(12):
        s = s + 0.1 * np.sin(s + t) * (0.3, 0.1, 0.7)[i % 3]
        if s > 0.5:
            s = s * x[1]
        t = t + 0.1
    return s


def reset_to_a_number(x):
    s = 0.0
    for v in x:
        w = 1.0
        if v > 0.3:
            w = 2.0
        s = s + np.sin(v * w)
    return s


@pytest.mark.parametrize("f", [clocked, reset_to_a_number])
def test_numbers_that_no_way_decides_do_not_hinder(f, interpreted):
    rng = np.random.default_rng(1)
    with options(unroll="never"):
        g = jit(f)
        for _ in range(6):
            x = rng.normal(size=12) + 0.5
            np.testing.assert_allclose(g(x), f(x), rtol=1e-12)
        assert len(g.variants()) <= 3, g.explain()
