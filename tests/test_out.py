"""`out=`: results in the caller's arrays, whatever answers the call."""

import dataclasses
import functools
from collections import namedtuple
from contextlib import nullcontext

import numpy as np
import pytest

import adjit
from adjit import grad, hessian, hvp, jacobian, jit, linearize, options, value_and_grad, vjp, vmap
from adjit.codegen import front
from adjit.tracer.errors import AdjitError

Pair = namedtuple("Pair", "w b")


@dataclasses.dataclass
class Model:
    w: np.ndarray
    b: np.ndarray


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def affine(p, x):
    return np.sum((x @ p["w"] + p["b"]) ** 2)


X = np.array([-1.2, 1.0, 0.5])
P = {"w": np.arange(6.0).reshape(3, 2), "b": np.ones(2)}
TIERS = ({}, {"interpret": True}, {"compile": "background"}, {"threads": 2}, {"debug": True})


def table_calls(f):
    return sum(front.calls(t) for v in f.variants() for t in v.fronts)


@pytest.mark.skipif(not front.works(), reason="no compiled fronts here")
def test_machine_code_writes_into_what_fits():
    g = grad(rosenbrock)
    out, want = np.empty(3), g(X)
    assert g(X, out=out) is out
    for _ in range(3):
        out[:] = np.nan
        before = table_calls(g)
        assert g(X, out=out) is out and table_calls(g) == before + 1
        np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(g(X), want)
    with options(threads=3):
        assert g(X, out=out) is out
        before = table_calls(g)
        assert g(X, out=out) is out and table_calls(g) == before + 1
        np.testing.assert_array_equal(out, want)
    f = value_and_grad(affine, argnums=(0, 1))
    value, (gp, gx) = f(P, X)
    full = np.empty(()), ({"b": np.empty(2), "w": np.empty((3, 2))}, np.empty(3))
    some = None, ({"w": np.empty((3, 2)), "b": None}, None)
    for _ in range(3):
        before = table_calls(f)
        assert f(P, X, out=full) is full
        found = f(P, X, out=some)
        assert type(found[0]) is np.float64 and found[1][0]["w"] is some[1][0]["w"]
    assert table_calls(f) == before + 2
    for got in (full, found):
        assert got[0] == value
        np.testing.assert_array_equal(got[1][1], gx)
        for key, g0 in gp.items():
            np.testing.assert_array_equal(got[1][0][key], g0)


def test_containers_and_numbers_of_every_kind():
    def f(x):
        kinds = (np.sum(x), x > 0.0, {"i": np.argmax(x)}, [x, None])
        return kinds, Pair(x * 2, x[0]), Model(x + 1, np.sin(x))

    g = jit(f)
    want = g(X)
    out = (
        (np.empty(()), np.empty(3, bool), {"i": np.empty((), np.int64)}, [np.empty(3), None]),
        Pair(np.empty(3), np.empty(())),
        Model(np.empty(3), np.empty(3)),
    )
    for _ in range(3):
        assert g(X, out=out) is out
        assert out[0][0] == want[0][0] and out[0][2]["i"] == 1 and out[1].b == X[0]
        np.testing.assert_array_equal(out[0][1], X > 0)
        np.testing.assert_array_equal(out[0][3][0], X)
        np.testing.assert_array_equal(out[2].w, X + 1)
    assert jit(lambda a: a * 2.0)(3.0, out=(number := np.empty(()))) is number and number == 6.0
    fresh = g(X, out=None)
    assert fresh[2].b is not out[2].b


@pytest.mark.skipif(not front.works(), reason="no compiled fronts here")
def test_machine_code_fills_columns():
    g, wide = grad(rosenbrock), np.zeros((3, 3))
    g(X, out=wide[:, 1])
    for out in (wide[:, 0], wide[::-1, 1], wide.T[2], wide[:, 0]):
        before = table_calls(g)
        assert g(X, out=out) is out and table_calls(g) == before + 1
        np.testing.assert_array_equal(out, g(X))
    np.testing.assert_array_equal(wide, np.stack([g(X), g(X)[::-1], g(X)], axis=1))
    g(wide[:, 1], out=wide[:, 1])
    np.testing.assert_array_equal(wide[:, 1], g(g(X)[::-1]))


@pytest.mark.parametrize("tier", TIERS, ids=str)
def test_every_layout_on_every_tier(tier):
    with options(**tier):
        f = grad(rosenbrock)
        want = f(X)
        wide = np.zeros((3, 2))
        for out in (
            np.empty(3),
            np.empty(6)[::2],
            np.empty(3)[::-1],
            wide[:, 1],
            np.empty(3, ">f8"),
            np.frombuffer(bytearray(25), np.uint8)[1:].view(float),
        ):
            assert f(X, out=out) is out
            np.testing.assert_allclose(out, want, rtol=1e-14)
        assert not wide[:, 0].any()
        f.wait()
        matrix = np.asfortranarray(np.empty((3, 3)))
        h = hessian(rosenbrock)
        assert h(X, out=matrix) is matrix
        np.testing.assert_allclose(matrix, h(X), rtol=1e-14)


@pytest.mark.parametrize("interpret", [False, True])
def test_an_out_that_is_an_argument(interpret):
    with options(interpret=True) if interpret else nullcontext():
        f = grad(rosenbrock)
        turn = jit(lambda a, b: (a[::-1] * b, a + b))
        want, swapped = f(X), turn(X, X + 1)
        for _ in range(3):
            x = X.copy()
            assert f(x, out=x) is x
            np.testing.assert_array_equal(x, want)
            long = np.concatenate([X, [0.0]])
            f(long[:3], out=long[1:])
            np.testing.assert_array_equal(long[1:], want)
            a, b = X.copy(), X + 1
            turn(a, b, out=(b, a))
            np.testing.assert_array_equal((b, a), swapped)
        before, x = table_calls(f), X.copy()
        f(x, out=x)
        assert interpret or not front.works() or table_calls(f) == before + 1


def test_an_out_that_the_function_reads_by_itself():
    state = np.ones(3)
    f = jit(lambda x: np.cumsum(x * state))
    for k in range(4):
        state[:] = k + 1.0
        np.testing.assert_array_equal(f(X, out=state), np.cumsum(X * (k + 1.0)))


def test_errors_say_what_is_wrong():
    f, both = grad(rosenbrock), value_and_grad(affine)
    frozen = np.empty(3)
    frozen.flags.writeable = False
    cases = [
        (f, (X,), np.empty(2), ValueError, r"rosenbrock: out has shape \(2,\), the result has \(3"),
        (f, (X,), np.empty((1, 3)), ValueError, "shape"),
        (f, (X,), np.empty(3, np.float32), TypeError, "out has dtype float32.*float64"),
        (f, (X,), np.empty(3, int), TypeError, "dtype int64"),
        (f, (X,), np.ma.zeros(3), TypeError, "MaskedArray"),
        (f, (X,), frozen, ValueError, "read-only"),
        (f, (X,), 1.0, TypeError, "type float"),
        (f, (X,), [np.empty(3)], ValueError, "list of 1"),
        (f, (X,), "no", ValueError, "'no'"),
        (both, (P, X), (None, {"w": np.empty((3, 2))}), ValueError, r"out\[1\] has no key 'b'"),
        (both, (P, X), (None, {**P, "c": X}), ValueError, r"out\[1\] has the key 'c'"),
        (both, (P, X), (None, {**P, "b": X}), ValueError, r"out\[1\]\['b'\] has shape"),
        (both, (P, X), {}, ValueError, "dict of 0"),
    ]
    for g, args, out, error, text in cases:
        for _ in range(2):
            with pytest.raises(error, match=text):
                g(*args, out=out)
    line = np.empty(4)
    twice = jit(lambda x: (x, x * 2))
    with pytest.raises(ValueError, match=r"out\[0\] and out\[1\] share memory"):
        twice(X, out=(line[:3], line[1:]))
    even, odd = np.empty(6)[::2], np.empty(6)[1::2]
    assert twice(X, out=(even, odd))[1] is odd


def test_a_parameter_named_out_is_the_function_s():
    assert jit(lambda x, out: x * out)(X, out=2.0).tolist() == (2 * X).tolist()
    assert jit(lambda x, **more: x * more["out"])(X, out=2.0).tolist() == (2 * X).tolist()
    o = np.empty(3)
    assert functools.partial(jit(lambda x: x * 2), out=o)(X) is o
    for f in (np.sin, np.cumsum):
        assert jit(f)(X, out=o) is o
        np.testing.assert_array_equal(o, f(X))


def test_every_transformation_takes_out():
    def f(x):
        return np.sum(x**3)

    v, matrix, vector = np.ones(3), np.empty((3, 3)), np.empty(3)
    cases = [
        (jacobian(lambda x: x**2), (X,), matrix),
        (hessian(f), (X,), matrix),
        (hvp(f), (X, v), vector),
        (adjit.elementwise_grad(np.tanh), (X,), vector),
        (vmap(lambda x: x * 2), (X,), vector),
        (adjit.checkpoint(lambda x: x * 2), (X,), vector),
    ]
    for g, args, out in cases:
        want = g(*args)
        for _ in range(3):
            out[...] = np.nan
            assert g(*args, out=out) is out
            np.testing.assert_array_equal(out, want)
    _, pullback = vjp(lambda x, out=2: x**out, X)
    assert pullback(v, out=(vector,))[0] is vector
    np.testing.assert_allclose(vector, 2 * X)
    tangent = np.empty(3)
    out = adjit.jvp(lambda x: x**2, (X,), (v,), out=(None, tangent))
    assert out[1] is tangent and np.allclose(tangent, 2 * X)
    _, push = linearize(lambda x, out=2: x**out, X)
    assert push(v, out=vector) is vector and np.allclose(vector, 2 * X)


def test_inside_of_another_trace():
    g = grad(rosenbrock)
    space = np.empty(3)

    def f(x):
        mine = np.empty(3)
        return np.sum(g(x, out=mine) * mine)

    np.testing.assert_allclose(jit(f)(X), np.sum(g(X) ** 2))
    np.testing.assert_allclose(grad(f)(X), 2 * hvp(rosenbrock)(X, g(X)))
    with pytest.raises(AdjitError):
        jit(lambda x: g(x, out=space))(X)


def test_several_variants_and_signatures_write_too():
    f = jit(lambda x: x * 2.0 if x[0] > 0.0 else -x)
    for k in range(12):
        x = np.full(2 + k % 3, 1.0 if k % 2 else -1.0)
        out = np.empty_like(x)
        assert f(x, out=out) is out
        np.testing.assert_array_equal(out, x * 2.0 if k % 2 else -x)


def test_programs_of_several_steps_and_large_results():
    big = np.random.default_rng(0).normal(size=(300, 500))
    f = jit(lambda x: (np.sort(x, axis=0), np.exp(x)))
    out = np.empty_like(big), np.empty_like(big)
    for threads in (1, 2):
        with options(threads=threads):
            assert f(big, out=out) is out
            np.testing.assert_array_equal(out[0], np.sort(big, axis=0))
            np.testing.assert_allclose(out[1], np.exp(big), rtol=1e-14)
