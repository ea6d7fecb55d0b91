"""Jacobians of programs of scalars, entry by entry."""

import math

import numpy as np
import pytest

from adjit import grad, hessian, jacfwd, jacobian, jacrev, options


def arm(q):
    a, b, c = q[0], q[0] + q[1], q[0] + q[1] + q[2]
    r = 0.5 * np.cos(a) + 0.4 * np.cos(b) + 0.3 * np.cos(c)
    return np.array([r * np.cos(q[3]), r * np.sin(q[3]), 0.5 * np.sin(a) + 0.4 * np.sin(b), q[3]])


def kinetics(c, k, t):
    rates = [k[j] * np.exp(-t / 3) * c[j] * c[(3 * j + 1) % 15] for j in range(15)]
    return np.array([rates[j] - rates[j * j % 15] + 2.0 for j in range(15)])


def matrix(x, s):
    y, z = x[0, 1] * s, x[1, 2] ** 3 - s / x[1, 0]
    w = np.where(y > z, y * z, np.maximum(y, x[0, 0]))
    return np.array([[y, 0.0, abs(z)], [w, np.sqrt(y * y + 1), np.floor(w) + x[1, 1]]])


def several(x, y):
    if x[0] > 0:
        return {"a": x[0] * y[1], "b": np.array([y[0], 3.0, math.atan2(y[1], x[2])])}
    return {"a": x[1], "b": y * 2}


def one(x):
    return x[3] * math.exp(x[0])


def nothing(x):
    return x * 2


def none(x):
    return np.array([x[0] * 0.0, 2.0 * x[1], np.sign(x[2])])


RNG = np.random.default_rng(5)
CASES = {
    "arm": (arm, (RNG.normal(size=4),)),
    "kinetics": (kinetics, (RNG.uniform(0.2, 1, 15), RNG.uniform(0.2, 1, 15), 1.3)),
    "matrix": (matrix, (RNG.normal(size=(2, 3)), 0.7)),
    "several": (several, (np.array([0.3, 0.2, 0.9]), RNG.normal(size=3))),
    "one": (one, (RNG.normal(size=5),)),
    "none": (none, (RNG.normal(size=3),)),
    "nothing": (nothing, (RNG.normal(size=(0, 2)),)),
    "single": (arm, (RNG.normal(size=4).astype(np.float32),)),
}


def leaves(x):
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, tuple) else None
    return [x] if parts is None else [leaf for p in parts for leaf in leaves(p)]


@pytest.mark.parametrize("name", CASES)
def test_entries_are_those_of_directions_and_of_rows(name):
    f, args = CASES[name]
    every = tuple(range(len(args)))
    with options(interpret=name not in ("kinetics", "matrix")):
        got = leaves(jacobian(f, argnums=every)(*args))
    with options(interpret=True):
        columns = leaves(jacfwd(f, argnums=every)(*args))
        rows = leaves(jacrev(f, argnums=every)(*args))
    assert len(got) == len(columns)
    rtol = 1e-5 if name == "single" else 1e-12
    for a, b, c in zip(got, columns, rows, strict=True):
        assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(a, c, rtol=rtol, atol=rtol)


def test_a_scalar_program_pushes_no_zeros():
    f, args = CASES["kinetics"]
    made = jacobian(f, argnums=(0, 1))
    assert "== " not in str(made.ir(*args)) and "equal" not in str(made.ir(*args))
    dense = jacobian(lambda x: np.array([np.sum(np.sin(x)), x[0]]))
    assert dense(np.ones(4)).shape == (2, 4)
    np.testing.assert_allclose(dense(np.ones(4)), [[np.cos(1)] * 4, [1, 0, 0, 0]])


def chain(x, y):
    s = (x[0] - x[1] ** 2) ** 2 + np.sin(x[1]) * x[2] + np.maximum(x[0], y[1, 0]) ** 2
    s = s + (x[2] - x[3] ** 2) ** 2 + np.exp(x[3] * y[0, 1]) + x[4] * 3.0
    return s + (y[0, 1] - x[5] ** 2) ** 2 + x[5] * y[1, 1] / x[6]


def along(x, y):
    return x[0] * 2.0 + y[1, 1] if x[0] > y[0, 0] else x[1] ** 3


@pytest.mark.parametrize("f", [chain, along])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_second_derivatives_are_those_of_directions(f, dtype):
    x, y = RNG.uniform(1, 2, 7).astype(dtype), RNG.uniform(0.5, 1, (2, 2)).astype(dtype)
    with options(interpret=f is along or dtype is np.float32):
        got = leaves(hessian(f, argnums=(0, 1))(x, y))
    with options(interpret=True):
        want = leaves(jacfwd(grad(f, argnums=(0, 1)), argnums=(0, 1))(x, y))
    assert [a.shape for a in got] == [(7, 7), (7, 2, 2), (2, 2, 7), (2, 2, 2, 2)]
    rtol = 1e-12 if dtype is np.float64 else 1e-4
    for a, b in zip(got, want, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
