"""Values take the memory of what dies where they are written, and of results not written yet."""

import numpy as np
import pytest

from adjit import grad, jit, value_and_grad
from adjit.codegen.kernel import item_bytes

RNG = np.random.default_rng(0)
X, W, B = (RNG.normal(size=s) for s in ((70, 30), (30, 40), (40,)))
SQUARE = RNG.normal(size=(40, 40))


def dense(x, w, b):
    return np.tanh(x @ w + b)


def reads_its_rows_again(x, w, b):
    h = x @ w
    top = np.max(h, axis=1, keepdims=True)
    return np.exp(h - top) * (1.0 + b)


def reads_other_rows(x, w, b):
    h = x @ w
    return h * h[::-1] + b


def reads_its_neighbours(x, w, b):
    h = x @ w
    return np.concatenate([h[:1], h[1:] * h[:-1] + b])


def transposes(x, w, b):
    h = SQUARE @ SQUARE
    return h * h.T + b


def two_that_die_together(x, w, b):
    g, h = x @ w, x @ (w + 1.0)
    return g * h + b, g - h, g + np.sin(h)


def one_result_reads_another(x, w, b):
    g, h = x @ w, x @ (w + 1.0)
    p = g * h + b
    return p, (p - g) @ SQUARE, (p + h) @ SQUARE


def sums_of_what_dies(x, w, b):
    h = x @ w
    return np.sin(h) @ SQUARE, np.sum(h, axis=0), np.sum(h * h)


PROGRAMS = {
    f.__name__: f
    for f in (
        dense,
        reads_its_rows_again,
        reads_other_rows,
        reads_its_neighbours,
        transposes,
        two_that_die_together,
        one_result_reads_another,
        sums_of_what_dies,
    )
}


def assert_close(got, want) -> None:
    for a, b in zip(
        got if isinstance(got, tuple) else (got,),
        want if isinstance(want, tuple) else (want,),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_are_those_of_numpy(name: str) -> None:
    fn = PROGRAMS[name]
    assert_close(jit(fn)(X, W, B), fn(X, W, B))


def scratch(f, *args) -> int:
    """The bytes of intermediate values: not those into which products pack their operands."""
    f(*args)
    (variant,) = f.variants()
    (kernel,) = (k.kernel for k in variant.kernels)
    packs = "pack" in kernel.source.text.partition("\n")[0]
    return variant.memory.scratch - (item_bytes(kernel.workspaces[-1]) if packs else 0)


def test_a_product_and_what_it_becomes_are_one_array() -> None:
    assert scratch(jit(dense), X, W, B) == 0
    two = jit(lambda x, w, b: dense(dense(x, w, b), SQUARE, b))
    assert scratch(two, X, W, B) == 70 * 40 * 8


def test_slopes_lie_where_the_product_was() -> None:
    def loss(w, v, x, b):
        return np.sum(np.tanh(np.tanh(x @ w + b) @ v) ** 2)

    f = value_and_grad(loss, argnums=(0, 1))
    args = (W, SQUARE, X, B)
    # The hidden layer and its slopes; the output layer, which its slopes replace.
    assert scratch(f, *args) <= 3 * 70 * 40 * 8
    value, (gw, gv) = f(*args)
    h = np.tanh(X @ W + B)
    z = np.tanh(h @ SQUARE)
    dz = 2.0 * z * (1.0 - z * z)
    np.testing.assert_allclose(value, np.sum(z * z))
    np.testing.assert_allclose(gv, h.T @ dz)
    np.testing.assert_allclose(gw, X.T @ ((dz @ SQUARE.T) * (1.0 - h * h)))


def test_a_result_in_another_shape_is_written_where_it_lies() -> None:
    @grad
    def columns(x):
        r = x.reshape(-1, 3)
        return np.sum(r[:, 0] * r[:, 1] + r[:, 2] ** 2)

    x = np.random.default_rng(0).normal(size=300)
    want = np.stack([x[1::3], x[::3], 2 * x[2::3]], axis=1).ravel()
    np.testing.assert_allclose(columns(x), want)
    assert "_buf" not in columns.source(x)

    @jit
    def several(x, w):
        product = x @ w
        return product.reshape(-1), product.reshape(2, -1), np.cumsum(x, axis=0).reshape(-1)

    a, w = x.reshape(20, 15), np.random.default_rng(1).normal(size=(15, 12))
    for got, right in zip(several(a, w), (a @ w, a @ w, np.cumsum(a, axis=0)), strict=True):
        np.testing.assert_allclose(got.ravel(), right.ravel())


def test_what_is_added_to_places_is_added_where_it_lies():
    def skip(e, o, at, near, far):
        h = e[at]
        near, far = np.sum(h * o[near], axis=1), np.sum(h[:, None] * o[far], axis=2)
        return np.sum(np.logaddexp(0, -near)) + np.sum(np.logaddexp(0, far))

    e, o = RNG.normal(size=(2, 600, 20))
    places = RNG.integers(0, 600, 90), RNG.integers(-600, 600, 90), RNG.integers(0, 600, (90, 3))
    step = value_and_grad(skip, (0, 1))
    value, slopes = step(e, o, *places)
    assert value == pytest.approx(skip(e, o, *places), rel=1e-12)
    h = RNG.normal(size=(2, 600, 20))
    ends = (skip(e + k * h[0], o + k * h[1], *places) for k in (1e-6, -1e-6))
    numeric = np.subtract(*ends) / 2e-6
    assert sum(np.sum(s * d) for s, d in zip(slopes, h, strict=True)) == pytest.approx(numeric)
    assert step.variants()[0].memory.scratch < e.nbytes / 4
