"""checkpoint: equal derivatives of all orders, and what a call of them holds at its peak."""

import functools
import tracemalloc

import numpy as np
import pytest

import adjit
from adjit import checkpoint, cond, fori_loop, grad, hvp, jit, linearize, scan, while_loop
from adjit.codegen import memory
from adjit.ir import Aval, Builder, Const, Value, verify
from adjit.ir.interp import run
from adjit.ir.ops import control_rules as rules
from adjit.ir.ops.revolve import emit_revolve
from adjit.tracer.tree import flatten

W = np.array([[0.3, -0.2, 0.1], [0.1, 0.4, 0.2], [-0.3, 0.1, 0.2]])
X = np.array([0.3, 0.5, 0.9])


def peak(f, *args):
    """The most bytes that a call has allocated at one time."""
    python = type(f).__call__  # machine code in front of it would keep its work memory
    python(f, *args)
    for variant in f.variants():
        for kernel in getattr(variant.program, "kernels", ()):
            kernel.workspace.free.clear()
    memory.release()
    tracemalloc.start()
    try:
        python(f, *args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        memory.release()


def part(y, w):
    for _ in range(3):
        y = np.tanh(np.sin(y) * w) - y[::-1]
    return y


kept_apart = checkpoint(part)


def plain(x, w):
    for k in range(3):
        x = part(x, w[k])
    return np.sum(x)


def apart(x, w):
    for k in range(3):
        x = kept_apart(x, w[k])
    return np.sum(x)


def test_parts_are_computed_again_and_not_kept():
    x, w = np.linspace(-1, 1, 100_000), np.array([0.3, 0.5, 0.7])
    with adjit.options(unroll="always"):
        whole, parts = grad(plain), grad(apart)
        assert np.allclose(whole(x, w), parts(x, w), 1e-10)
        assert peak(parts, x, w) < 0.7 * peak(whole, x, w)
        names = [op.prim.name for op in parts.ir(x, w, stage="simplified").program.ops]
        assert names.count("hold") == 3
    verify(parts.ir(x, w, stage="simplified").program)


def test_a_gradient_that_is_the_argument_is_no_alias_of_it():
    f = grad(checkpoint(lambda x: 0.5 * np.sum(x * x)))
    for way in (True, False):
        with adjit.options(interpret=way):
            x = np.ones(3)
            g = f(x)
            g[0] = 5
            assert x[0] == 1 and np.array_equal(f(x), x)


def test_orders_and_nests():
    inner = checkpoint(lambda y: np.sin(y) * y)
    outer = checkpoint(lambda y: np.tanh(inner(W @ y)) + inner(y))

    def f(x):
        return np.sum(outer(outer(x)) ** 2)

    def g(x):
        def once(y):
            z = W @ y
            return np.tanh(np.sin(z) * z) + np.sin(y) * y

        return np.sum(once(once(x)) ** 2)

    with adjit.options(interpret=True):
        assert np.allclose(grad(f)(X), grad(g)(X), 1e-12)
        assert np.allclose(adjit.hessian(f)(X), adjit.hessian(g)(X), 1e-11)
        xs = np.stack([X, -X])
        assert np.allclose(adjit.vmap(grad(f))(xs), adjit.vmap(grad(g))(xs))


# ------------------------------------------------------------------ loops in segments


@pytest.mark.parametrize("every", [True, 3, 100])
def test_segments_change_nothing(every):
    def f(x, n, every=every):
        return fori_loop(0, n, lambda i, y: np.tanh(W @ y + i * 0.1) * x, x, checkpoint=every).sum()

    def s(x, every=every, reverse=False):
        last, ys = scan(
            lambda c, r: (np.tanh(c * r + 0.1), {"y": (c * r) ** 2}),
            x[0],
            x,
            reverse=reverse,
            checkpoint=every,
        )
        return np.sum(last) + np.sum(ys["y"] * np.arange(len(x))[:, None])

    with adjit.options(interpret=True):
        value, d, second = jit(f), grad(f), hvp(f)
        wanted, wanted2 = grad(lambda x, n: f(x, n, False)), hvp(lambda x, n: f(x, n, False))
        for n in (0, 1, 7):
            assert np.allclose(value(X, n), f(X, n), 1e-13)
            assert np.allclose(d(X, n), wanted(X, n), 1e-12)
            assert np.allclose(second(X, X, n), wanted2(X, X, n), 1e-11)
            known = grad(lambda x, n=n: f(x, n))
            assert np.allclose(known(X), wanted(X, n), 1e-12)
        for n in (1, 5, 9):
            x = np.linspace(0.1, 1, 3 * n).reshape(n, 3)
            for reverse in (False, True):
                got = jit(lambda x, r=reverse: s(x, reverse=r))(x)
                assert np.allclose(got, s(x, reverse=reverse), 1e-13)
                d1, d2 = (grad(lambda x, e=e, r=reverse: s(x, e, r)) for e in (every, False))
                assert np.allclose(d1(x), d2(x), 1e-12)


def test_segments_hold_few_states():
    def f(x, every):
        return np.sum(fori_loop(0, 100, lambda i, y: np.sin(y) * x, x, checkpoint=every))

    x = np.linspace(0, 1, 10_000)
    with adjit.options(interpret=True):
        whole, parts = grad(lambda x: f(x, False)), grad(lambda x: f(x, True))
        assert np.allclose(whole(x), parts(x), 1e-10)
        assert peak(parts, x) < 0.45 * peak(whole, x)


def test_segments_compile():
    def f(x, n):
        return fori_loop(0, n, lambda i, y: np.tanh(W @ y) * x, x, checkpoint=True).sum()

    with adjit.options(interpret=True):
        wanted = grad(f)(X, 11)
    assert np.allclose(grad(f)(X, 11), wanted, 1e-12)
    with pytest.raises(ValueError, match="one round or more"):
        fori_loop(0, 3, lambda i, y: y, X, checkpoint=0)


# ------------------------------------------------------------------ a budget of states


@functools.cache
def fewest(rounds, states):
    """The fewest rounds that must be run forward, the first state being one of those kept."""
    if rounds == 1:
        return 0
    if states == 1:
        return rounds * (rounds - 1) // 2
    return min(m + fewest(rounds - m, states - 1) + fewest(m, states) for m in range(1, rounds))


def counted(block, args, runs):
    """The results of a block; the rounds of every loop in it go into `runs`."""

    def rule(op, args):
        args = [a.data if isinstance(a, Const) else a for a in args]
        if op.prim.name == "loop":
            runs.append(int(args[0]))
        out = op.prim.ref(*args, **op.attrs, **{k: region(b) for k, b in op.blocks.items()})
        return out if isinstance(out, tuple) else (out,)

    def region(block):
        def call(*xs):
            return tuple(run(block, xs, rule))

        call.block = block
        return call

    return run(block, args, rule)


def test_the_binomial_schedule_runs_the_fewest_rounds():
    index, number = Aval("i64"), Aval("f64")
    k, c = Value(index), Value(number)
    with Builder((k, c)) as b:
        forward = b.done([c + 1.0])
    k, c, total = (Value(a) for a in (index, number, number))
    with Builder((k, c, total)) as b:
        reverse = b.done([total * 2.0 + c])
    for states in (1, 2, 3, 5):
        n, runs = Value(index), []
        ways = (rules.emit_loop, rules.emit_while, rules.emit_cond)
        with Builder((n,)) as b:
            zero = Const(0.0, "f64")
            program = b.done(emit_revolve(n, (), (zero,), (zero,), forward, reverse, states, *ways))

        for rounds in (0, 1, 2, 5, 14):
            runs.clear()
            (total,) = counted(program, [np.int64(rounds)], runs)
            assert total == sum(j * 2**j for j in range(rounds))
            assert sum(runs) == (fewest(rounds, states) if rounds else 0)


@pytest.mark.parametrize("states", [1, 2, 4])
def test_budgets_change_nothing(states):
    def f(x, n, states=states):
        return fori_loop(0, n, lambda i, y: np.tanh(W @ y + i * 0.1) * x, x, states=states).sum()

    def s(x, states, reverse):
        last, (a, _) = scan(
            lambda c, r: (np.tanh(c * r + 0.1), ((c * r) ** 2, c)), x[0], x, reverse=reverse,
            states=states,
        )  # fmt: skip
        return np.sum(last) + np.sum(a * np.arange(len(x))[:, None])

    with adjit.options(interpret=True):
        d, wanted = grad(f), grad(lambda x, n: f(x, n, None))
        for n in (0, 1, 2, 7):
            assert np.allclose(d(X, n), wanted(X, n), 1e-12)
        assert np.allclose(hvp(f)(X, X, 5), hvp(lambda x, n: f(x, n, None))(X, X, 5), 1e-11)
        for reverse in (False, True):
            x = np.linspace(0.1, 1, 21).reshape(7, 3)
            d1, d2 = (grad(lambda x, k=k, r=reverse: s(x, k, r)) for k in (states, None))
            assert np.allclose(d1(x), d2(x), 1e-12)
    if states == 2:
        assert np.allclose(d(X, 6), wanted(X, 6), 1e-12)


def test_budgets_hold_few_states():
    def f(x, states):
        return np.sum(fori_loop(0, 60, lambda i, y: np.sin(y) * x, x, states=states))

    x = np.linspace(0, 1, 20_000)
    with adjit.options(interpret=True):
        whole, parts = grad(lambda x: f(x, None)), grad(lambda x: f(x, 4))
        assert np.allclose(whole(x), parts(x), 1e-10)
        assert peak(parts, x) < 0.4 * peak(whole, x)
    with pytest.raises(ValueError, match="not both"):
        fori_loop(0, 3, lambda i, y: y, X, checkpoint=2, states=2)


# ------------------------------------------------------------------ linearize


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (checkpoint(lambda y: np.tanh(W @ y) * y)(x).sum(), x[0] * 2),
        lambda x: fori_loop(0, 5, lambda i, y: np.tanh(W @ y) * x, x),
        lambda x: while_loop(lambda y: y.sum() < 10, lambda y: y * y + 1 + np.sin(x), x),
        lambda x: cond(x.sum() > 0, lambda x: np.sin(x) * x, lambda x: x**3, x),
        lambda x: scan(lambda c, r: (c * r, c + r), x.sum(), x),
    ],
)
def test_linearize_through_regions(f):
    with adjit.options(interpret=True):
        for x in (X, -X):
            out, push = linearize(f, x)
            wanted, tangent = adjit.jvp(f, (x,), (W[0],))
            for a, b in zip(*(flatten(t)[0] for t in ((out, push(W[0])), (wanted, tangent))),
                            strict=True):  # fmt: skip
                assert np.allclose(a, b, 1e-10)
