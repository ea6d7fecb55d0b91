"""linearize and checkpoint: the same derivatives, computed from what was kept, or again."""

from __future__ import annotations

import re

import numpy as np
import pytest

import adjit
from adjit import (
    checkpoint,
    errors,
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    linearize,
    vmap,
)
from adjit.ir import ops
from adjit.ir.core import all_ops

RNG = np.random.default_rng(8)
W, X = RNG.normal(size=(4, 3)), RNG.normal(size=3)
V, U = RNG.normal(size=(4, 3)), RNG.normal(size=3)


pytestmark = pytest.mark.usefixtures("interpreted")


def layer(w, x):
    return np.tanh(w @ np.exp(x)) * x[0]


def assert_close(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


# ------------------------------------------------------------------ linearize


def test_linearize_is_jvp():
    out, push = linearize(layer, W, X)
    assert_close(out, layer(W, X))
    for tangents in ((V, U), (2 * V, -U)):
        assert_close(push(*tangents), jvp(layer, (W, X), tangents)[1])
    assert_close(push(None, U), jvp(layer, (W, X), (None, U))[1])
    assert_close(push(None, None), np.zeros(4))
    assert_close(push(V + 3 * W, U), push(V, U) + 3 * push(W, None))


def test_the_point_is_that_of_then():
    x = X.copy()
    out, push = linearize(lambda x: x**3, x)
    x[:] = 100
    assert_close(push(U), 3 * X**2 * U)
    assert_close(out, X**3)


def test_the_result_is_not_computed_again():
    _, push = linearize(layer, W, X)
    assert callable(push)
    text = str(jit(lambda v: push(v, None)).ir(V, stage="traced"))
    assert "exp" not in text
    assert "tanh" not in text


def test_containers_kinds_and_integers():
    def f(p, i, n):
        return {"y": p["w"][i] * n, "k": i, "c": 1.5, "s": p["b"] * n}

    p, i = {"w": X, "b": 2.0}, np.array([0, 2])
    out, push = linearize(f, p, i, 3.0)
    assert type(out["s"]) is float
    dot = push({"w": U, "b": 1.0}, None, None)
    assert_close(dot["y"], U[i] * 3)
    assert (dot["k"], dot["c"], dot["s"]) == (None, 0.0, 3.0)
    assert push(None, None, 1)["s"] == 2.0


def test_compiled_and_composed():
    with adjit.options(interpret=False):
        _, push = linearize(layer, W, X)
        assert_close(push(V, U), jvp(layer, (W, X), (V, U))[1])
    _, push = linearize(lambda x: layer(W, x), X)
    assert_close(vmap(push)(np.eye(3)).T, jacobian(layer, argnums=1)(W, X))
    assert_close(
        jit(lambda x: linearize(layer, W, x)[1](None, U))(X), jvp(layer, (W, X), (None, U))[1]
    )

    def pushed(x):
        return np.sum(linearize(layer, W, x)[1](None, U) ** 2)

    def wanted(x):
        return np.sum(jvp(layer, (W, x), (None, U))[1] ** 2)

    assert_close(grad(pushed)(X), grad(wanted)(X))
    assert_close(hessian(pushed)(X), hessian(wanted)(X))
    _, push = linearize(grad(lambda x: np.sum(layer(W, x) ** 2)), X)
    assert_close(push(U), hvp(lambda x: np.sum(layer(W, x) ** 2))(X, U))


@pytest.mark.parametrize(
    ("tangents", "error", "says"),
    [
        ((V,), TypeError, "one tangent per argument: 2, not 1"),
        ((V, U[:2]), errors.CotangentMismatch, "shape (2,)"),
        ((V.astype(np.float32), U), errors.CotangentMismatch, "float32"),
        (((V,), U), errors.CotangentMismatch, "structure"),
    ],
)
def test_tangents_that_do_not_fit(tangents, error, says):
    _, push = linearize(layer, W, X)
    with pytest.raises(error, match=re.escape(says)):
        push(*tangents)


# ------------------------------------------------------------------ checkpoint


def chain(w, x):
    for _ in range(3):
        x = np.tanh(w[:3] @ x) + x
    return x


def total(f):
    return lambda w, x: np.sum(f(w, f(w, x)) ** 2)


def test_checkpoints_change_no_derivative():
    f = checkpoint(chain)
    assert_close(f(W, X), chain(W, X))
    for argnums in (0, 1, (0, 1)):
        got, want = grad(total(f), argnums)(W, X), grad(total(chain), argnums)(W, X)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b)
    assert_close(hessian(total(f), 1)(W, X), hessian(total(chain), 1)(W, X))
    assert_close(jvp(f, (W, X), (V, U))[1], jvp(chain, (W, X), (V, U))[1])
    assert_close(jacobian(f, 1)(W, X), jacobian(chain, 1)(W, X))
    third = [jacobian(hessian(total(g), 1), 1)(W, X) for g in (f, chain)]
    np.testing.assert_allclose(*third, rtol=1e-9, atol=1e-9)
    xs = np.stack([X, U])
    assert_close(
        vmap(grad(total(f), 1), (None, 0))(W, xs), [grad(total(chain), 1)(W, x) for x in xs]
    )
    assert_close(grad(lambda x: np.sum(vmap(f, (None, 0))(W, x)))(xs), [vsum(x) for x in xs])
    with adjit.options(interpret=False):
        assert_close(grad(total(f))(W, X), grad(total(chain))(W, X))


def vsum(x):
    return grad(lambda x: np.sum(chain(W, x)))(x)


def test_the_adjoint_keeps_nothing_of_a_checkpoint():
    g = grad(total(checkpoint(chain)))
    f = next(iter(g.compile(W, X).variants())).staged.function
    calls = [op for op in all_ops(f.block) if op.prim is ops.call]
    assert [op.attrs["recompute"] for op in calls] == [True] * 4
    assert [len(op.outs) for op in calls[:2]] == [1, 1]  # results, no residuals


def test_as_a_decorator_with_captures():
    scale = np.array([2.0])

    @checkpoint
    def f(x):
        return np.sin(x * scale)

    g = grad(lambda x: np.sum(f(x)))
    assert_close(g(X), 2 * np.cos(2 * X))
    scale[0] = 3.0
    assert_close(g(X), 3 * np.cos(3 * X))
