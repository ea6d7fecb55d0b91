"""Rounds that differ by traced conditions: one program, whatever the way through them."""

from __future__ import annotations

import numpy as np
import pytest
from loop_fuzz import run

from adjit import grad, hessian, options, value_and_grad


def kinked(x):
    s = 0.0
    for i in range(x.shape[0]):
        if x[i] > 0:
            s = s + np.sin(x[i])
        elif x[i] > -1:
            s = s * 0.9
        else:
            s = s - x[i]
    return s


def filtered(y):
    m, p, seen = y[0] * 0, y[0] ** 2 + 1, []
    for v in y:
        p = p + 0.1
        m = m * 0.9
        if v > -0.3:
            gain = p / (p + 0.5)
            m = m + gain * (v - m)
            p = (1 - gain) * p
        seen.append(m)
    return np.sum(np.array(seen) ** 2)


def skipped(x):
    s, best = 0.0, x[0]
    for v in x[1:]:
        if v < 0:
            continue
        y = np.sqrt(v) * (1.0 if v > 0.5 else -0.5)
        if y > best:
            best = y
        s = s + y
    return s * best


def written(x):
    z = np.zeros(len(x))
    for i in range(len(x)):
        if x[i] > 0:
            z[i] = x[i] ** 2
        else:
            z[i] = -x[i]
    return np.sum(z * np.arange(len(x)))


@pytest.mark.parametrize("f", [kinked, filtered, skipped, written])
def test_one_program_for_every_way(f):
    rng = np.random.default_rng(0)
    with options(interpret=f is not kinked, unroll="never"):
        g = value_and_grad(f)
        for _ in range(6):
            x = rng.normal(size=40)
            value, slope = g(x)
            np.testing.assert_allclose(value, f(x), rtol=1e-10)
            d = rng.normal(size=40) * 1e-7
            np.testing.assert_allclose(slope @ d, (f(x + d) - f(x - d)) / 2, rtol=1e-3, atol=1e-12)
        assert len(g.variants()) <= 2


def test_what_python_counts_by_the_way_taken_is_named():
    def counted(x):
        n, s = 0, 0.0
        for v in x:
            if v > 0:
                n += 1
                s = s + v
        return s / max(n, 1)

    rng = np.random.default_rng(1)
    with options(interpret=True, unroll="never"):
        g = grad(counted)
        for _ in range(3):
            x = rng.normal(size=12)
            np.testing.assert_allclose(g(x), (x > 0) / max(np.sum(x > 0), 1))
    assert "`n`, which Python keeps, depends on the way taken" in g.explain()


def test_a_guard_beside_a_condition_does_not_hinder_the_hessian():
    def decayed(p):
        y = p[0]
        for i in range(40):
            y = y * p[1] + 0.01 * i
            if y > 0.7:
                y = p[2] * y * y
            if y > 3:
                y = np.log(y)
        return y * y

    p, h = np.array([1.0, 0.9, 0.6]), 1e-6 * np.eye(3)
    with options(interpret=True, unroll="never"):
        slope = grad(decayed)
        numeric = [(slope(p + e) - slope(p - e)) / 2e-6 for e in h]
        text = str(slope.ir(p, stage="traced"))
        assert "cond" in text and "guard" in text
        np.testing.assert_allclose(hessian(decayed)(p), numeric, rtol=1e-6, atol=1e-7)


def test_newton_for_each_element_is_one_loop():
    def roots(a):
        s = 0.0
        for v in a:
            x, step = v, 1.0
            while abs(step) > 1e-12:
                step = (x * x - v) / (2 * x)
                x = x - step
            s = s + x
        return s

    a = np.linspace(2.0, 9.0, 12)
    g = grad(roots)
    np.testing.assert_allclose(g(a), 0.5 / np.sqrt(a))
    np.testing.assert_allclose(g(a + 0.5), 0.5 / np.sqrt(a + 0.5))
    assert len(g.variants()) == 1
    assert "12 rounds" in g.explain()


def test_random_branches():
    programs, loops, right, _ = run(range(500, 506), guards=True, branchy=True)
    assert programs == 6
    assert loops and right
