"""Loops in time over grids: no round copies the arrays it carries."""

import re

import numpy as np
import pytest

from adjit import fori_loop, grad, jit, options, value_and_grad, while_loop

RNG = np.random.default_rng(11)
U, V = RNG.normal(size=40), RNG.normal(size=40)


@pytest.fixture(autouse=True)
def _loops():
    with options(unroll="never", threads=1):
        yield


def lap(u):
    return np.roll(u, 1) - 2 * u + np.roll(u, -1)


def heat(n):
    def f(u, k):
        for _ in range(n):
            u = u + k * lap(u)
        return np.sum(u**3)

    return f


def wave(n):
    """Two arrays, of which one becomes the other."""

    def f(u, k):
        p = 0.5 * u
        for _ in range(n):
            u, p = 2 * u - p + k * lap(u), u
        return np.sum(u * p)

    return f


def upwind(n):
    """The slope wants the array of each round."""

    def f(u, k):
        for _ in range(n):
            u = u - k * u * np.where(u > 0, u - np.roll(u, 1), np.roll(u, -1) - u)
        return np.sum(u * u)

    return f


def collected(n):
    """What the rounds make is stacked and wanted."""

    def f(u, k):
        found, before = [], []
        for _ in range(n):
            before.append(u)
            u = np.sin(u) + k * np.roll(u, 2)
            found.append(u)
        return np.sum(np.array(found) ** 2) + np.sum(np.array(before) * u)

    return f


def species(n):
    def f(u, k):
        v = np.cos(u)
        for _ in range(n):
            r = u * v * v
            u, v = u + 0.1 * lap(u) - r + k * (1 - u), v + 0.05 * lap(v) + r
        return np.sum(u * v)

    return f


def text_of(f, *args) -> str:
    return f.source(*args).partition("# what a call runs first")[0]


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("make", [heat, wave, upwind, collected, species])
def test_slopes_are_those_of_the_rounds(make, n):
    f, k, h = make(n), 0.07, 1e-6
    g = value_and_grad(f, argnums=(0, 1))
    value, (du, dk) = g(U, k)
    np.testing.assert_allclose(value, f(U, k), rtol=1e-12)
    np.testing.assert_allclose(dk, (f(U, k + h) - f(U, k - h)) / (2 * h), rtol=1e-6)
    for j in (0, 17, 39):
        e = h * np.eye(40)[j]
        np.testing.assert_allclose(du[j], (f(U + e, k) - f(U - e, k)) / (2 * h), rtol=1e-5)
    with options(interpret=True):
        want, (wu, wk) = value_and_grad(f, argnums=(0, 1))(U, k)
    np.testing.assert_allclose(value, want, rtol=1e-12)
    np.testing.assert_allclose(du, wu, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dk, wk, rtol=1e-9)
    assert "ll.alone(" in text_of(g, U, k)


def test_a_round_reads_one_array_and_writes_another():
    text = text_of(jit(heat(6)), U, 0.1)
    rounds = text[text.index("ll.alone(") : text.index("acc")]
    inside = rounds[: rounds.index("if (n")]
    assert inside.count("for ") == 1, "the new array is copied"
    # A history is the rows of one array: a round reads one, writes the next, and makes no other.
    g = value_and_grad(upwind(6), argnums=(0, 1))
    text = text_of(g, U, 0.1)
    here, there = re.findall(r"u_\w+ = ll\.alone\(blas\.at\((\w+), (\S+ ?\S* ?\S*)\*n\d\)", text)
    assert (here[1], there[1]) == ("i1", "(i1 + 1)")
    assert here[0] == there[0]
    assert text.count("for ") == 8, "starts, rounds, sum, rounds back and their odd number"


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_any_number_of_rounds(n):
    """One kernel, in which the number of rounds is an argument."""

    def f(u, k, n):
        def step(i, s):
            a, b = s
            return a + k * lap(a), 0.5 * a * b

        a, b = fori_loop(0, n, step, (u, u + 1.0))
        return np.sum(a * b)

    def plain(u, k, n):
        a, b = u, u + 1.0
        for _ in range(n):
            a, b = a + k * lap(a), 0.5 * a * b
        return np.sum(a * b)

    g = value_and_grad(f)
    value, du = g(U, 0.1, n)
    np.testing.assert_allclose(value, plain(U, 0.1, n), rtol=1e-12)
    e = 1e-6 * np.eye(40)[3]
    want = (plain(U + e, 0.1, n) - plain(U - e, 0.1, n)) / 2e-6
    np.testing.assert_allclose(du[3], want, rtol=1e-6, atol=1e-9)


def test_rounds_until_a_condition():
    def f(u, tol):
        return while_loop(lambda u: np.max(u) > tol, lambda u: 0.9 * u + 0.05 * lap(u), u)

    def plain(u, tol):
        while np.max(u) > tol:
            u = 0.9 * u + 0.05 * lap(u)
        return u

    g = jit(f)
    for tol in (9.0, 1.5, 1.0, 0.9, 0.7, 0.5):  # none, and both even and odd numbers
        np.testing.assert_allclose(g(U, tol), plain(U, tol), rtol=1e-13)
    assert "ll.alone(" in text_of(g, U, 0.5)


def test_rounds_within_rounds():
    def f(u, v, k):
        for _ in range(4):
            for _ in range(3):
                v = v + k * lap(v)
            v = 0.4 * v + 0.3 * u * v  # the slope wants what the inner rounds made: a row of it
            u = u + k * lap(u) + 0.1 * np.roll(v, 3)
        return np.sum(u * v)

    got = value_and_grad(f, argnums=(0, 1, 2))(U, V, 0.1)
    with options(interpret=True):
        want = value_and_grad(f, argnums=(0, 1, 2))(U, V, 0.1)
    np.testing.assert_allclose(got[0], f(U, V, 0.1), rtol=1e-12)
    for x, y in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


def test_a_number_that_only_the_next_round_reads():
    """Its cotangent goes from round to round and nowhere else."""

    def f(u, v):
        s = 0.0
        for _ in range(6):
            v = 0.2 * v + 0.4 * np.roll(u, -2)
            s = 0.9 * s + 0.1 * np.sum(np.roll(u, -1) * v)
        return s + np.sum(v * v)

    got = grad(f, argnums=(0, 1))(U, V)
    with options(interpret=True):
        want = grad(f, argnums=(0, 1))(U, V)
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_numbers_that_are_carried_beside_joined_rows():
    """Rows so short that loops over all elements join them read a number of the round."""
    u, v = RNG.normal(size=(17, 4)), RNG.normal(size=(17, 4))

    def f(u, v):
        s = 0.0
        for _ in range(4):
            s = 0.9 * s + 0.1 * np.sum(np.sin(u))
            v = np.cumsum(v, axis=0) * 0.05
            for _ in range(3):
                u, v = 0.5 * np.roll(v, -2, 0), u
        return s + np.sum(u) + np.sum(v * v)

    got = value_and_grad(f, argnums=(0, 1))(u, v)
    with options(interpret=True):
        want = value_and_grad(f, argnums=(0, 1))(u, v)
    np.testing.assert_allclose(got[0], f(u, v), rtol=1e-12)
    for x, y in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_memory_that_something_larger_takes_in_a_round():
    """The new array lies where a table was: the other one has no room for that."""
    w = RNG.normal(size=(40, 9))

    def f(u):
        for _ in range(5):
            t = np.cumsum(np.cumsum(w * u[:, None], axis=0), axis=1)
            u = 0.01 * np.cumsum(t[:, -1]) + 0.1 * np.roll(u, 1)
        return u

    g = jit(f)
    np.testing.assert_allclose(g(U), f(U), rtol=1e-12)
    assert "ll.alone(" not in text_of(g, U)


@pytest.mark.parametrize("kind", [np.bool_, np.int64, np.float32])
def test_other_dtypes(kind):
    start = (RNG.random((9, 11)) > 0.5).astype(kind)

    def life(u):
        for _ in range(5):
            around = np.zeros(u.shape, np.int64)
            for d in ((0, 1), (1, 0), (1, 1), (-1, 1)):
                around = (
                    around + (np.roll(u, d, (0, 1)) > 0) + (np.roll(u, (-d[0], -d[1]), (0, 1)) > 0)
                )
            u = ((around == 3) | ((u > 0) & (around == 2))).astype(kind)
        return u

    got = jit(life)(start)
    assert got.dtype == kind
    np.testing.assert_array_equal(got, life(start))


@pytest.mark.parametrize("rung", ["lean", "plain"])
def test_numba_compiles_them(rung):
    with options(rung=rung):
        got = value_and_grad(upwind(5), argnums=(0, 1))(U, 0.1)
    want = value_and_grad(upwind(5), argnums=(0, 1))(U, 0.1)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
    np.testing.assert_allclose(got[1][0], want[1][0], rtol=1e-9, atol=1e-12)
