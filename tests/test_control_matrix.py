"""Control flow of every kind, over sizes, modes of differentiation, and ways to give a count.

Values against plain Python, derivatives against differences, on inputs that take different paths;
compiled programs against the interpreter.
"""

import builtins

import numpy as np
import pytest

import adjit
from adjit import cond, fori_loop, grad, jit, while_loop

POINTS = {
    "scalar": [np.float64(0.7), np.float64(-0.4), np.float64(1.3)],
    "small": [np.array([0.7, 0.2, -0.3]), np.array([-0.9, 0.1, 0.2]), np.array([1.1, 0.9, 0.4])],
    "array": [np.linspace(0.2, 1.4, 40), np.linspace(-1.2, 0.3, 40), np.linspace(-0.5, 1.3, 40)],
}


# Each takes the range to use, the point, and a count.


def if_(range, x, n):
    y = x * n
    if np.sum(x) > 0.5:
        y = y + np.sin(x)
    elif np.sum(x) > 0:
        y = y * 2
    return y * x


def for_(range, x, n):
    y = x
    for i in range(n):
        y = np.tanh(y * x + 0.1 * i) + y[..., None][..., 0] * 0.5
    return y


def while_(range, x, n):
    y, k = x, 0
    while np.sum(y * y) < 20 and k < n:
        y, k = y * 1.5 + np.cos(x), k + 1
    return y


def nested(range, x, n):
    total = x
    for i in range(n):
        part = x * 0.3
        for j in range(i):
            part = part + np.sin(part) * 0.1 * j
        total = total + part * x
    return total


def break_(range, x, n):
    y = x
    for i in builtins.range(n):
        y = y * 1.3 + 0.2 * i * x
        if np.max(y) > 2:
            break
    return y


def early_return(range, x, n):
    y = x
    for i in builtins.range(n):
        if np.sum(y) > 2:
            return y * x
        y = y + np.exp(-y * y) + i * 0.1
    return y


def functions(range, x, n):
    def shrink(y):
        return while_loop(lambda y: np.sum(y * y) > 1, lambda y: y * 0.7 + 0.01 * x, y)

    def body(i, y):
        return cond(np.sum(y) > 1, shrink, lambda y: y * 1.2 + 0.1 * i + np.sin(x), y)

    return fori_loop(0, n, body, x)


SHAPES = [if_, for_, while_, nested, break_, early_return, functions]
PYTHON = (break_, early_return)  # each count, and each round that ends them, is a variant


def slope(f, x, v, h=1e-6):
    """The derivative of f at x along v, by differences."""
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


def weighed(f, x):
    y = np.asarray(f(x))
    return np.sum(np.cos(np.arange(y.size).reshape(y.shape)) * y)


class Static:
    """A count that the function knows: each is a program of its own."""

    counts = (0, 3)

    def __init__(self, f):
        self.f = f

    def __call__(self, n):
        """The function of x, its gradient and Hessian product, and what else they take."""
        g = lambda x: weighed(lambda x: self.f(adjit.range, x, n), x)  # noqa: E731
        return g, grad(g), adjit.hvp(g), ()


class Dynamic:
    """A count that is an argument."""

    counts = (0, 1, 5)

    def __init__(self, f):
        g = lambda x, n: weighed(lambda x: f(adjit.range, x, n), x)  # noqa: E731
        self.made = g, grad(g), adjit.hvp(g)

    def __call__(self, n):
        """As that of `Static`."""
        return (*self.made, (n,))


@pytest.mark.parametrize("count", [Static, Dynamic], ids=["static", "dynamic"])
@pytest.mark.parametrize("size", POINTS)
@pytest.mark.parametrize("f", SHAPES, ids=lambda f: f.__name__)
def test_matrix(f, size, count):
    rng = np.random.default_rng(1)
    given = count(f)
    with adjit.options(interpret=True):
        for n in given.counts:
            g, gradient, product, rest = given(n)
            for x in POINTS[size][: 2 if count is Static else 3]:
                v = rng.normal(size=x.shape)

                def python(x, n=n):
                    return weighed(lambda x: f(builtins.range, x, n), x)

                value, tangent = adjit.jvp(g, (x, *rest), (v, *(None for _ in rest)))
                assert np.allclose(value, python(x), 1e-12)
                expected = slope(python, x, v)
                assert np.allclose(tangent, expected, 1e-5, 1e-7)
                assert np.allclose(np.sum(gradient(x, *rest) * v), expected, 1e-5, 1e-7)
                if n > 1:
                    along = slope(lambda x, d=gradient, rest=rest: d(x, *rest), x, v)
                    assert np.allclose(product(x, v, *rest), along, 1e-5, 1e-6)


@pytest.mark.parametrize("f", SHAPES, ids=lambda f: f.__name__)
def test_compiled_programs_agree_with_the_interpreter(f):
    def g(x, n):
        return f(adjit.range, x, n) * 1.0

    compiled = grad(g)
    for n in (5,):
        for x in POINTS["scalar"]:
            got = compiled(x, n)
            with adjit.options(interpret=True):
                assert np.allclose(got, compiled(x, n), 1e-12, 1e-14)


@pytest.mark.parametrize("f", [s for s in SHAPES if s not in PYTHON], ids=lambda f: f.__name__)
def test_counts_need_no_programs_of_their_own(f):
    def g(x, n):
        return weighed(lambda x: f(adjit.range, x, n), x)

    with adjit.options(interpret=True):
        h = jit(g)
        for n in range(1, 9):
            h(POINTS["small"][0], n)
        assert len(h.variants()) <= 3
