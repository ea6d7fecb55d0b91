"""vmap: against a loop over the rows, with containers, nested, beside the other transformations."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

import adjit
from adjit import (
    elementwise_grad,
    errors,
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

RNG = np.random.default_rng(11)
W, X = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))
V = RNG.normal(size=(5, 3))


pytestmark = pytest.mark.usefixtures("interpreted")


def layer(w, x):
    return np.tanh(w @ x)


def loss(w, x):
    return np.sum(np.sin(layer(w, x)) * x[0])


def assert_same(got: Any, want: Any, **tol: Any) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14, **tol)


# ------------------------------------------------------------------ axes


@pytest.mark.parametrize(
    ("in_axes", "out_axes"), [((None, 0), 0), ((None, 1), -1), ((None, -1), 1), ([None, 0], 0)]
)
def test_rows_lie_along_any_axis(in_axes, out_axes):
    x = X if in_axes[1] == 0 else X.T
    want = np.stack([layer(W, x) for x in X], axis=out_axes)
    got = vmap(layer, in_axes=in_axes, out_axes=out_axes)(W, x)
    assert_same(got, want)
    assert got.flags.c_contiguous


def test_middle_axes():
    a, b = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(4, 3))
    got = vmap(lambda a, b: a @ b, in_axes=(1, 1), out_axes=1)(a, b)
    assert_same(got, np.stack([a[:, i] @ b[:, i] for i in range(3)], axis=1))


def test_rows_of_a_vector_are_numbers():
    got = vmap(lambda t: t**2 if t.ndim == 0 else None)(X[0])
    assert_same(got, X[0] ** 2)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_containers():
    def f(p, q):
        return {"y": p["w"] @ q.a * q.b, "k": (p["b"] + q.b, p["b"])}

    p = {"w": W, "b": 2.0}
    got = vmap(f, in_axes=(None, 0), out_axes={"y": 1, "k": (0, None)})(p, Pair(X, X[:, 0]))
    rows = [f(p, Pair(x, x[0])) for x in X]
    assert_same(got["y"], np.stack([r["y"] for r in rows], axis=1))
    assert_same(got["k"][0], [r["k"][0] for r in rows])
    assert got["k"][1] == 2.0
    assert type(got["k"][1]) is float
    partly = vmap(f, in_axes=({"w": None, "b": 0}, Pair(0, None)))(
        {"w": W, "b": X[:, 0]}, Pair(X, 3.0)
    )
    rows = [f({"w": W, "b": x[0]}, Pair(x, 3.0)) for x in X]
    assert_same(partly["y"], [r["y"] for r in rows])
    assert_same(partly["k"][1], X[:, 0])


def test_constants_are_repeated():
    got = vmap(lambda x: (1.5, np.ones(2), "name", None, 3))(X)
    assert_same(got[0], np.full(5, 1.5))
    assert_same(got[1], np.ones((5, 2)))
    assert got[2:4] == ("name", None)
    assert got[4].dtype == np.int64
    assert vmap(lambda x: 1.5, out_axes=None)(X) == 1.5


def test_keywords_and_shared_numbers():
    def f(x, *, y, n=2.0):
        return np.sum(x * y) * n

    assert_same(vmap(f)(X, y=V, n=3.0), np.sum(X * V, axis=1) * 3)


def test_dtypes():
    assert vmap(lambda x: x + 1)(np.arange(3)).dtype == np.int64
    assert vmap(lambda x: x * 2.0)(X.astype(np.float32)).dtype == np.float32
    assert vmap(lambda x: x > 0)(X).dtype == bool


def test_captures_and_integers_that_decide():
    scale = np.array([1.0, 2.0, 3.0])

    def f(x, n):
        return sum(x * scale for _ in range(n))

    g = vmap(f, in_axes=(0, None))
    assert_same(g(X, 3), 3 * X * scale)
    scale[:] = 1.0
    assert_same(g(X, 2), 2 * X)


def test_as_a_decorator_with_static_arguments():
    @vmap
    def f(x):
        return np.sort(x)[::-1]

    assert_same(f(X), np.sort(X, axis=1)[:, ::-1])
    assert_same(
        vmap(lambda x, how: getattr(np, how)(x), in_axes=(0, None))(X, "sum"), X.sum(axis=1)
    )


def test_no_rows():
    assert vmap(layer, in_axes=(None, 0))(W, X[:0]).shape == (0, 4)


# ------------------------------------------------------------------ idioms


IDIOMS = {
    "where": lambda x: np.where(x > 0, x, -2 * x),
    "softmax": lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
    "norm": lambda x: x / np.linalg.norm(x),
    "index": lambda x: x[np.argmax(x)] + x[np.array([2, 0])],
    "mutation": lambda x: (lambda z: (z.__setitem__(slice(1, None), x[:-1]), z)[1])(np.zeros(3)),
    "outer": lambda x: np.outer(x, x) @ x,
    "einsum": lambda x: np.einsum("i,ij->j", x, W.T),
    "cumsum": lambda x: np.cumsum(x)[::-1] * np.cumprod(x),
    "concatenate": lambda x: np.concatenate([x, W[0], x[:1]]),
    "stack": lambda x: np.stack([x, W[0]], axis=1),
    "sort": lambda x: np.sort(x) + np.argsort(x),
    "std": lambda x: (x - x.mean()) / x.std(),
    "roll": lambda x: np.roll(x, 1) - x,
    "diag": lambda x: np.diag(x) + np.trace(np.outer(x, W[0])),
    "take": lambda x: np.take(x, np.argsort(x)[:2]),
    "clip": lambda x: np.clip(x, -0.5, 0.5).reshape(3, 1) * np.eye(3),
    "maximum": lambda x: np.maximum.accumulate(x),
    "loop": lambda x: sum(np.sin(x[i]) * i for i in range(3)),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_idioms(name):
    f = IDIOMS[name]
    want = np.stack([f(x) for x in X])
    assert_same(vmap(f)(X), want)
    assert_same(vmap(vmap(f))(np.stack([X, V])), np.stack([want, [f(x) for x in V]]))


@pytest.mark.parametrize("name", IDIOMS)
def test_derivatives_of_idioms(name):
    f = IDIOMS[name]

    def total(x):
        return np.sum(np.cos(f(x)))

    rows = np.stack([grad(total)(x) for x in X])
    assert_same(vmap(grad(total))(X), rows)
    assert_same(grad(lambda x: np.sum(vmap(total)(x)))(X), rows)


def test_compiled():
    with adjit.options(interpret=False):
        for name in ("softmax", "index", "cumsum", "where", "outer", "mutation"):
            f = IDIOMS[name]
            assert_same(vmap(f)(X), np.stack([f(x) for x in X]))
        assert_same(
            vmap(grad(loss), in_axes=(None, 0))(W, X), np.stack([grad(loss)(W, x) for x in X])
        )


# ------------------------------------------------------------------ nested and composed


def test_nested():
    got = vmap(vmap(lambda x, y: np.sum(x * y), (0, None)), (None, 0))(X, V)
    assert_same(got, V @ X.T)
    got = vmap(lambda x: vmap(lambda y: np.outer(x, y) * np.sum(X))(V))(X)
    assert_same(got, X[:, None, :, None] * V[None, :, None, :] * np.sum(X))
    got = vmap(lambda x: vmap(lambda a: a * x[0], in_axes=0, out_axes=0)(x))(X)
    assert_same(got, X * X[:, :1])


def test_per_example_gradients():
    got = vmap(grad(loss), in_axes=(None, 0))(W, X)
    assert_same(got, np.stack([grad(loss)(W, x) for x in X]))
    values, grads = vmap(value_and_grad(loss, argnums=(0, 1)), in_axes=(None, 0))(W, X)
    assert_same(values, [loss(W, x) for x in X])
    assert_same(grads[1], np.stack([grad(loss, argnums=1)(W, x) for x in X]))


def test_grad_of_vmap():
    def total(w, x):
        return np.sum(vmap(loss, in_axes=(None, 0))(w, x) ** 2)

    def looped(w, x):
        return sum(loss(w, row) ** 2 for row in x)

    for argnum in (0, 1):
        assert_same(grad(total, argnum)(W, X), grad(looped, argnum)(W, X))
    assert_same(hvp(total)(W, W[::-1], X), hvp(looped)(W, W[::-1], X))


def test_with_jvp_vjp_and_jit():
    def tangent(x, v):
        return jvp(lambda t: layer(W, t), (x,), (v,))[1]

    want = np.stack([tangent(x, v) for x, v in zip(X, V, strict=True)])
    assert_same(vmap(tangent)(X, V), want)
    assert_same(jvp(vmap(lambda t: layer(W, t)), (X,), (V,))[1], want)
    assert_same(jit(vmap(jit(tangent)))(X, V), want)
    out, pullback = vjp(vmap(lambda t: layer(W, t)), X)
    ct = np.cos(out)
    rows = [vjp(lambda t: layer(W, t), x)[1](c)[0] for x, c in zip(X, ct, strict=True)]
    assert_same(pullback(ct)[0], rows)
    assert_same(vmap(lambda x, c: vjp(lambda t: layer(W, t), x)[1](c)[0])(X, ct), rows)


def test_with_matrices_of_derivatives():
    assert_same(
        vmap(jacobian(lambda x: layer(W, x)))(X), [jacobian(lambda x: layer(W, x))(x) for x in X]
    )
    assert_same(
        vmap(hessian(lambda x: loss(W, x)))(X), [hessian(lambda x: loss(W, x))(x) for x in X]
    )
    j = jacobian(vmap(lambda x: layer(W, x)))(X)
    want = np.zeros((5, 4, 5, 3))
    for i, x in enumerate(X):
        want[i, :, i] = jacobian(lambda x: layer(W, x))(x)
    assert_same(j, want)
    h = hessian(lambda x: np.sum(vmap(lambda r: loss(W, r))(x)))(X[:2])
    assert_same(h[1, :, 1], hessian(lambda x: loss(W, x))(X[1]))
    assert_same(h[0, :, 1], 0)


def test_third_order():
    def cube(x):
        return np.sin(x) * x

    third = grad(grad(grad(cube)))
    assert_same(vmap(third)(X[0]), [third(x) for x in X[0]])
    assert_same(elementwise_grad(vmap(grad(grad(cube))))(X[0]), [third(x) for x in X[0]])
    assert_same(vmap(lambda x: x * stop_gradient(x))(X), X * X)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("in_axes", "args", "error", "says"),
    [
        (0, (X, W), ValueError, "different sizes: a has 5, b has 4"),
        (0, (X, 2.0), ValueError, "maps axis 0 of b, which is a number"),
        ((0, 2), (X, V), ValueError, "maps axis 2 of b, which has shape (5, 3)"),
        ((0,), (X, V), ValueError, "1 entries for 2 positional arguments"),
        (None, (X, V), ValueError, "nothing is mapped"),
        ((0, (0, 0)), (X, V), ValueError, "no prefix of the arguments"),
        ((0, "x"), (X, V), TypeError, "holds 'x'"),
        ((0, 1.0), (X, V), TypeError, "holds 1.0"),
        ("x", (X, V), TypeError, "in_axes is an int, None, or a tuple"),
    ],
)
def test_axes_that_do_not_fit(in_axes, args, error, says):
    with pytest.raises(error, match=re.escape(says)):
        vmap(lambda a, b: a * b, in_axes=in_axes)(*args)


def test_out_axes_that_do_not_fit():
    with pytest.raises(ValueError, match="differs by row"):
        vmap(lambda x: x, out_axes=None)(X)
    with pytest.raises(ValueError, match=re.escape("rows have shape (3,)")):
        vmap(lambda x: x, out_axes=2)(X)
    with pytest.raises(ValueError, match="no prefix of the result"):
        vmap(lambda x: x, out_axes=(0, 0))(X)


def test_what_is_no_function():
    with pytest.raises(TypeError, match=re.escape("write vmap(f)(x)")):
        vmap(X)


def test_a_choice_by_a_row_is_refused():
    with pytest.raises((errors.TracedBranch, TypeError), match=r"traced input|between the rows"):
        vmap(lambda x: x if x[0] > 0 else -x)(X)
