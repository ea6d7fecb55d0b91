"""Loops whose arrays grow or shrink from round to round: one loop over arrays of one size."""

from __future__ import annotations

import numpy as np
import pytest

import adjit
from adjit import options, value_and_grad
from adjit.ir import evaluate, verify
from adjit.ir.core import all_ops
from adjit.passes import pipeline
from adjit.passes.vjp import vjp
from adjit.tracer.rolling.segments import Policy
from adjit.tracer.trace import trace

EVERY = Policy(lambda load: True)
X = np.random.default_rng(3).random(14) + 0.5
M = np.random.default_rng(4).normal(size=(14, 14)) + 14 * np.eye(14)


def tree(x):
    v = x
    for i in range(13, 0, -1):
        v = 0.3 * v[1 : i + 1] + 0.7 * v[:i]
    return v[0]


def exercised(x):
    v, s = np.maximum(x - 0.8, 0.0), x
    for _ in range(12):
        s = s[:-1] * 1.1
        v = np.maximum(0.95 * (0.4 * v[1:] + 0.6 * v[:-1]), s - 0.8)
    return np.sum(v) + s[1]


def poles(x):
    v = x
    for _ in range(11):
        v = np.log(v[1:] + 0.3) + np.sqrt(v[:-1] / v[1:]) + 1 / (v[1:] + v[:-1]) + v[1:] ** 1.5
        v = np.tanh(v) + 0.2
    return np.sum(v)


def dropped(x):
    """The element that is not finite counts in no round."""
    v = np.concatenate([x[:13], [np.inf]])
    for _ in range(11):
        v = np.tanh(v[:-1] * 0.5 + v[:-1] ** 2 * 0.1)
    return np.sum(v)


def prefixes(x):
    s = 0.0
    for i in range(1, 13):
        z = x[:i] * x[i]
        e = np.exp(z - np.max(z))
        s = s + np.sum(e * x[:i]) / np.sum(e) + np.min(x[:i]) * np.prod(x[:i]) + np.mean(x[:i])
    return s


def forward(x):
    out = np.zeros(14)
    for i in range(14):
        out[i] = (x[i] - M[i, :i] @ out[:i]) / M[i, i]
    return np.sum(out**2)


def attention(x):
    q = x[:, None] * np.arange(1.0, 4.0)
    out = []
    for i in range(13):
        s = q[: i + 1] @ q[i] * 0.1
        e = np.exp(s - s.max())
        out.append((e / e.sum()) @ q[: i + 1])
    return np.sum(np.stack(out) ** 2)


def growing(x):
    p = x[:1]
    for i in range(12):
        p = np.concatenate([p, [0.5]]) * 0.4 + np.concatenate([[0.0], p]) * x[i]
    return np.sum(p**2)


def padded(x):
    p = x[:1]
    for i in range(12):
        p = np.pad(p, (0, 1)) * 0.4 + np.pad(p, (1, 0)) * x[i]
    return np.sum(p**2)


def squares(x):
    v, s = x[:, None] * x, 0.0
    for _ in range(11):
        v = 0.5 * v[1:, :-1] - 0.3 * v[:-1, 1:].T * v[1:, 1:]
        s = s + v.sum(0)[0]
    return s


def two(x):
    a, b = x, x[:-1] * 0.5
    for _ in range(10):
        a, b = b, a[1:-1] * 0.3 + b[1:] * 0.4 + b[:-1]
    return np.sum(a) + np.sum(b**2)


def chosen(x):
    v = x
    for _ in range(11):
        v = np.where(v[1:] > v[:-1], v[1:] * 0.9, np.sqrt(v[:-1]))
    return np.sum(v)


def counted(x):
    s = 0.0
    for i in range(1, 13):
        w = np.arange(i) + 1
        s = s + np.sum(x[:i] / w) * np.sum(w)
    return s


def backwards(x):
    s = 0.0
    for i in range(2, 13):
        s = s + np.dot(x[:i], x[i - 1 :: -1])
    return s


def gathered(x):
    """Results of every round are read afterwards, as arrays of their own extents."""
    v, out = x, []
    for _ in range(11):
        v = v[1:] * v[:-1]
        out.append(v)
    return sum(np.sum(np.sin(o)) * k for k, o in enumerate(out))


PROGRAMS = {
    f.__name__: f
    for f in (
        tree, exercised, poles, dropped, prefixes, forward, attention, growing, padded, squares,
        two, chosen, counted, backwards, gathered,
    )
}  # fmt: skip


def loops(function):
    return [op for op in all_ops(function.block) if op.prim.name == "loop"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_loop_gives_what_the_rounds_give(name):
    f = PROGRAMS[name]
    found = []
    for rolling in (EVERY, None):
        t = trace(f, (X,), sampled=True, rolling=rolling)
        verify(t.function)
        given = [X, *(c.read() for c in t.captures)]
        assert bool(loops(t.function)) == bool(rolling)
        with np.errstate(all="ignore"):
            value = evaluate(t.function, *given)[0]
            adjoint = vjp(pipeline.run(t.function, pipeline.PRIMAL), [0])
            found.append((value, evaluate(adjoint, *given, 1.0)[-1]))
    (value, slope), (plain, wanted) = found
    np.testing.assert_allclose(value, plain, rtol=1e-14)
    assert np.isfinite(value)
    np.testing.assert_allclose(slope, wanted, rtol=1e-11, atol=1e-12 * np.abs(wanted).max())


def as_unrolled(f, interpret):
    """Hold a program with a loop against the one whose rounds stand one after the other."""
    with options(unroll="never", interpret=interpret):
        made = value_and_grad(f)
        value, slope = made(X)
        assert "loop  " in made.explain()
    with options(unroll="always", interpret=True):
        wanted, slopes = value_and_grad(f)(X)
    assert np.isfinite(value) and np.all(np.isfinite(slope))
    np.testing.assert_allclose(value, wanted, rtol=1e-13)
    np.testing.assert_allclose(slope, slopes, rtol=1e-10, atol=1e-12)
    return value


@pytest.mark.parametrize("name", ["exercised", "prefixes"])
def test_kernels_agree(name):
    value = as_unrolled(PROGRAMS[name], interpret=False)
    np.testing.assert_allclose(value, PROGRAMS[name](X), rtol=1e-12)


def test_second_derivatives():
    found = []
    for unroll in ("never", "always"):
        with options(unroll=unroll, interpret=True):
            found.append(adjit.hvp(two)(X, X))
    np.testing.assert_allclose(*found, rtol=1e-8, atol=1e-10)


def test_what_lies_beyond_is_no_reason_for_a_nan():
    """Slopes through logarithms, roots and quotients, of which zeros are poles, stay finite."""

    def f(x):
        v = x
        for _ in range(10):
            v = np.log(v[1:]) / v[:-1] + np.sqrt(v[1:]) + v[1:] ** -v[:-1] + np.exp(-1 / v[1:])
            v = np.abs(v) + 0.5
        return np.sum(v)

    np.testing.assert_allclose(as_unrolled(f, interpret=True), f(X), rtol=1e-12)


def moving(x):
    s = 0.0
    for k in range(1, 9):
        s = s + np.sum(x[k:] ** 2)
    return s


def running(x):
    s = 0.0
    for k in range(2, 9):
        s = s + np.sum(np.cumsum(x[:k]))
    return s


def folded(x):
    s = 0.0
    for k in range(2, 13, 2):
        s = s + np.sum(x[:k].reshape(-1, 2) ** 2)
    return s


@pytest.mark.parametrize(
    ("f", "reason"), [(moving, "begin at several places"), (running, ""), (folded, "another shape")]
)
def test_what_has_no_rule_stays_a_row_of_ops(f, reason):
    with options(unroll="never", interpret=True):
        made = value_and_grad(f)
        assert made(X)[0] == pytest.approx(float(f(X)))
        assert "loop  " not in made.explain()
        assert reason in made.explain()


def test_few_ops_stay_a_row_and_many_do_not():
    def f(x):
        v = x
        for i in range(len(x) - 1, 0, -1):
            v = 0.3 * v[1 : i + 1] + 0.7 * v[:i]
        return v[0]

    with options(interpret=True):
        for n, rolled in ((20, False), (70, True)):
            made = value_and_grad(f)
            made(np.ones(n))
            assert ("loop  " in made.explain()) == rolled


def test_the_element_that_was_greatest_is_found_again():
    """What is computed again for the adjoint is rounded as it was."""

    def f(x, a):
        s, v = 0.0, x[:2]
        for _ in range(6):
            v = np.pad(v, (1, 0)) + np.pad(v, (0, 1)) * a
            s = s + v[0] * v[-1] + np.sum(v[::-1] * v) + np.sum(np.exp(v - np.max(v)))
        return s + np.sum(v**2)

    made, wanted = value_and_grad(f, argnums=(0, 1)), value_and_grad(f, argnums=(0, 1))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, a = rng.random(9) + 0.3, rng.random() + 0.2
        with options(unroll="never"):
            found = made(x, a)[1]
        with options(unroll="always", interpret=True):
            slopes = wanted(x, a)[1]
        np.testing.assert_allclose(found[0], slopes[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found[1], slopes[1], rtol=1e-9)
