"""Transformations of transformations: pairs and triples, in any order, on several functions.

Each is a map from functions to functions of one vector; its plain meaning is computed beside it,
from finite differences of the plain NumPy function one level below.
"""

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest

from adjit import (
    checkpoint,
    custom_jvp,
    custom_vjp,
    elementwise_grad,
    fixed_point,
    fori_loop,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jit,
    jvp,
    linearize,
    root,
    value_and_grad,
    vjp,
    vmap,
)

Vector = Callable[[np.ndarray], np.ndarray]


pytestmark = pytest.mark.usefixtures("interpreted")


X = np.array([0.6, -0.4, 1.1])
V = np.array([0.5, -1.0, 0.8])
W = np.array([[0.3, -0.8, 0.5], [0.9, 0.2, -0.4], [-0.6, 0.7, 0.1]])


# ------------------------------------------------------------------ functions of a vector


def layer(x):
    return np.tanh(W @ x) * x


def reductions(x):
    return np.cumsum(np.exp(-(x**2))) / np.sqrt(1 + np.sum(x**2))


def indices(x):
    y = np.concatenate([x[::-1], x[:1] * x[1:2]])
    return np.where(y[:3] > 0, y[1:] ** 3, np.sin(y[1:]))


def systems(x):
    a = np.outer(x, x) + 2 * np.eye(3)
    return np.linalg.solve(a, np.sin(x))


def in_place(x):
    y = np.zeros(3)
    for i in range(3):
        y[i] = x[i] * np.sum(y) + np.cos(x[i])
    return y


@custom_jvp
def softplus(x):
    return np.logaddexp(x, 0.0)


softplus.defjvp(lambda p, t: (softplus(p[0]), t[0] / (1 + np.exp(-p[0]))))


@custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (cube(x), x), lambda x, ct: (3 * x**2 * ct,))


def with_rules(x):
    return softplus(W @ x) + cube(x)


def implicit(x):
    return fixed_point(lambda y, x: 0.3 * np.sin(W @ y) + x, np.zeros(3), x)


def loops(x):
    return fori_loop(0, 3, lambda i, c: np.sin(c) + x * c, x)


def checked(x):
    return checkpoint(layer)(x) + checkpoint(lambda t: np.sin(t) * t)(x)


FUNCTIONS = [layer, reductions, indices, systems, in_place, with_rules, implicit, loops, checked]


# ------------------------------------------------------------------ transformations
# Each pair: what adjit does, and the same from a Jacobian of f (by differences, or exact).


def _container(f: Vector) -> Vector:
    """The gradient by a container, put together again."""
    g = grad(lambda p: np.sum(f(p["a"] + p["b"][0]) ** 2))
    return lambda x: g({"a": x * 0.5, "b": (x * 0.5, None)})["b"][0]


def _by_name(f: Vector) -> Vector:
    g = value_and_grad(lambda scale, *, x: (np.sum(scale * f(x)), x), argnames="x", has_aux=True)
    return lambda x: g(2.0, x=x)[1]


def _rows(f: Vector) -> Vector:
    many = vmap(f, in_axes=1, out_axes=1)
    return lambda x: many(np.stack([x, x * 0.5], axis=1))[:, 1]


def _shared(f: Vector) -> Vector:
    many = vmap(lambda p, s: f(p["x"]) * s, in_axes=({"x": None}, 0))
    return lambda x: many({"x": x}, x)[0]


ONES = np.ones(3)
Meaning = Callable[[Vector, Callable[[np.ndarray], np.ndarray]], Vector]
TRANSFORMS: dict[str, tuple[Callable[[Vector], Vector], Meaning]] = {
    "grad": (lambda f: grad(lambda x: np.sum(f(x))), lambda f, j: lambda x: ONES @ j(x)),
    "elementwise_grad": (elementwise_grad, lambda f, j: lambda x: ONES @ j(x)),
    "jvp": (lambda f: lambda x: jvp(f, (x,), (V,))[1], lambda f, j: lambda x: j(x) @ V),
    "vjp": (lambda f: lambda x: vjp(f, x)[1](V)[0], lambda f, j: lambda x: V @ j(x)),
    "linearize": (lambda f: lambda x: linearize(f, x)[1](V), lambda f, j: lambda x: j(x) @ V),
    "jacobian": (lambda f: lambda x: jacobian(f)(x) @ V, lambda f, j: lambda x: j(x) @ V),
    "jacfwd": (lambda f: lambda x: jacfwd(f)(x)[1], lambda f, j: lambda x: j(x)[1]),
    "jacrev": (lambda f: lambda x: jacrev(f)(x)[:, 2], lambda f, j: lambda x: j(x)[:, 2]),
    "container": (_container, lambda f, j: lambda x: 2 * f(x) @ j(x)),
    "by_name": (_by_name, lambda f, j: lambda x: 2 * ONES @ j(x)),
    "rows": (_rows, lambda f, j: lambda x: f(x * 0.5)),
    "shared": (_shared, lambda f, j: lambda x: f(x) * x[0]),
    "jit": (jit, lambda f, j: f),
    "checkpoint": (checkpoint, lambda f, j: f),
    "root": (
        lambda f: lambda x: root(lambda y, x: y + 0.1 * y**3 - f(x), np.zeros(3), x),
        lambda f, j: lambda x: _cubic_root(f(x)),
    ),
}
DERIVATIVES = ("grad", "elementwise_grad", "jvp", "vjp", "linearize", "jacobian", "jacfwd",
               "jacrev", "container", "by_name")  # fmt: skip


def _cubic_root(c: np.ndarray) -> np.ndarray:
    y = np.array(c)
    for _ in range(50):
        y = y - (y + 0.1 * y**3 - c) / (1 + 0.3 * y**2)
    return y


def differences(f: Vector) -> Callable[[np.ndarray], np.ndarray]:
    """The Jacobian by central differences of fourth order."""

    def of(x: np.ndarray) -> np.ndarray:
        h, columns = 1e-3, []
        for e in np.eye(3):
            near = f(x + h * e) - f(x - h * e)
            far = f(x + 2 * h * e) - f(x - 2 * h * e)
            columns.append((8 * near - far) / (12 * h))
        return np.stack(columns, axis=1)

    return of


def meaning(name: str, f: Vector) -> Vector:
    """A transformation of f by its definition, from differences of f."""
    return TRANSFORMS[name][1](f, differences(f))


def transformed(names: tuple[str, ...], f: Vector) -> Vector:
    for name in names:
        f = TRANSFORMS[name][0](f)
    return f


def assert_right(f: Vector, names: tuple[str, ...]) -> None:
    """The whole chain, against the definition of its last link."""
    *below, last = names
    ours = transformed(names, f)(X)
    inner = jit(transformed(tuple(below), f)) if below else f
    wanted = meaning(last, inner)(X)
    scale = max(1.0, float(np.max(np.abs(wanted))))
    np.testing.assert_allclose(ours, wanted, rtol=0, atol=2e-8 * scale, err_msg=" of ".join(names))


_rng = random.Random(0)
# A sample: every pair on every function holds, but takes minutes.
PAIRS = _rng.sample(list(itertools.product(TRANSFORMS, repeat=2)), 16)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_transformation(name):
    for f in random.Random(name).sample(FUNCTIONS, 2):  # the same two in whatever order tests run
        assert_right(f, (name,))


@pytest.mark.parametrize("k", range(len(PAIRS)))
def test_pairs_by_chance(k):
    assert_right(FUNCTIONS[k % len(FUNCTIONS)], PAIRS[k])


TRIPLES = [tuple(_rng.choice(DERIVATIVES) for _ in range(3)) for _ in range(4)]
TRIPLES += [tuple(_rng.choice(list(TRANSFORMS)) for _ in range(3)) for _ in range(4)]


@pytest.mark.parametrize("k", range(len(TRIPLES)))
def test_triples_by_chance(k):
    assert_right(FUNCTIONS[k % len(FUNCTIONS)], TRIPLES[k])


@pytest.mark.parametrize("f", [layer, with_rules], ids=lambda f: f.__name__)
def test_second_derivatives_of_a_scalar_agree(f):
    def loss(x):
        return np.sum(f(x) ** 2)

    whole = hessian(loss)(X)
    np.testing.assert_allclose(whole, differences(grad(loss))(X), atol=1e-7)
    for other in (jacfwd(jacrev(loss)), jacrev(jacrev(loss)), jacfwd(jacfwd(loss))):
        np.testing.assert_allclose(other(X), whole, atol=1e-10)
    np.testing.assert_allclose(hvp(loss)(X, V), whole @ V, atol=1e-10)
    rows = vmap(lambda v: hvp(loss)(X, v))(np.eye(3))
    np.testing.assert_allclose(rows, whole, atol=1e-10)
