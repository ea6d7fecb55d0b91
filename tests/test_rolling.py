"""Python loops become loops of the program: the same bits, the same derivatives, fewer ops."""

from __future__ import annotations

import re

import numpy as np
import pytest
from loop_fuzz import run
from loop_programs import PROGRAMS

import adjit
from adjit import grad, hvp, options, value_and_grad
from adjit.ir import canonical, evaluate, verify
from adjit.ir.core import all_ops
from adjit.ir.types import NUMPY
from adjit.passes import pipeline
from adjit.passes.vjp import vjp
from adjit.tracer.ledger import Ledger
from adjit.tracer.rolling import segments
from adjit.tracer.rolling.segments import Policy
from adjit.tracer.trace import trace

X = np.random.default_rng(0).normal(size=6)
EVERY = Policy(lambda load: True)
# Programs whose text depends on the number of rounds: what is unrolled, or is another one for each.
GROWS = {"recursion", "triangular", "every_third", "continued", "accumulate", "horner", "rnn"}
GROWS |= {"int_start"}


def both(f, *args, **kwargs):
    """A function traced with loops and without."""
    return (
        trace(f, args, sampled=True, rolling=EVERY),
        trace(f, args, sampled=True),
    )


def inputs(t, *args):
    return [*args, *(c.read() for c in t.captures)]


def size(function):
    return sum(1 for _ in all_ops(function.block))


def same_bits(found, wanted):
    assert np.asarray(found).tobytes() == np.asarray(wanted).tobytes(), (found, wanted)


# ------------------------------------------------------------------ fixed numbers of rounds


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("n", [1, 3, 4, 13])
def test_same_bits_and_same_gradient(name, n):
    f = PROGRAMS[name]
    rolled, plain = both(lambda x: f(x, n), X)
    verify(rolled.function)
    a, b = inputs(rolled, X), inputs(plain, X)
    same_bits(evaluate(rolled.function, *a)[0], evaluate(plain.function, *b)[0])
    same_bits(evaluate(rolled.function, *a)[0], f(X, n))
    slopes = []
    for t, given in ((rolled, a), (plain, b)):
        adjoint = vjp(pipeline.run(t.function, pipeline.PRIMAL), [0])
        slopes.append(evaluate(adjoint, *given, 1.0)[-1])
    np.testing.assert_allclose(*slopes, rtol=1e-9, atol=1e-9 * max(1, np.abs(slopes[1]).max()))


@pytest.mark.parametrize("name", PROGRAMS)
def test_rounds_taken_together_give_the_text_of_rounds_taken_one_by_one(name, monkeypatch):
    f, texts = PROGRAMS[name], []
    for least in (1, 1000):
        monkeypatch.setattr(segments, "_MANY", least)
        t = trace(lambda x: f(x, 13), (X,), sampled=True, rolling=EVERY)
        texts.append(canonical(t.function))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", sorted(PROGRAMS.keys() - GROWS))
def test_text_does_not_depend_on_the_number_of_rounds(name):
    f = PROGRAMS[name]

    def text(n):
        t = trace(lambda x: f(x, n), (X,), rolling=EVERY)
        return re.sub(r"\d+", "n", canonical(pipeline.run(t.function, pipeline.PRIMAL)))

    few, many = (12, 14) if name in ("windows", "slices", "writes_back") else (8, 20)
    assert text(few) == text(many)


@pytest.mark.parametrize("name", ["clock", "delay", "writes", "nested", "helper"])
def test_kernels_and_second_order(name):
    f = PROGRAMS[name]
    v = np.cos(np.arange(6.0))
    found = {}
    for unroll in ("never", "always"):
        with options(unroll=unroll, interpret=name not in ("clock", "writes")):
            value, slope = value_and_grad(lambda x: f(x, 9))(X)
            found[unroll] = value, slope, hvp(lambda x: f(x, 9))(X, v)
    for a, b in zip(*found.values(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_many_steps_are_a_few_ops():
    def lotka_volterra(p):
        y, h = np.array([1.0, 0.5]), 0.01

        def f(y):
            return np.array([p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]])

        for _ in range(400):
            k1 = f(y)
            k2 = f(y + h / 2 * k1)
            k3 = f(y + h / 2 * k2)
            k4 = f(y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return np.sum(y * y)

    p = np.array([1.1, 0.4, 0.1, 0.4])
    g = value_and_grad(lotka_volterra)
    value, slope = g(p)
    np.testing.assert_allclose(value, lotka_volterra(p), rtol=1e-12)
    e = 1e-6
    for k, d in enumerate(np.eye(4) * e):
        numeric = (lotka_volterra(p + d) - lotka_volterra(p - d)) / (2 * e)
        np.testing.assert_allclose(slope[k], numeric, rtol=1e-5)
    assert size(g.ir(p, stage="simplified").program) < 400
    assert "400 rounds" in g.explain()


def test_short_loops_stay_as_they_are():
    t = adjit.jit(lambda x: PROGRAMS["carried"](x, 4)).ir(X)
    assert " loop[" not in t
    long = adjit.jit(lambda x: PROGRAMS["carried"](x, 100))
    assert " loop[" in long.ir(X)
    with options(unroll="always"):
        assert " loop[" not in long.ir(X)


def test_ops_in_loops_keep_their_lines_and_names():
    t = trace(lambda x: PROGRAMS["helper"](x, 9), (X,), rolling=EVERY)
    (loop,) = [op for op in t.function.ops if op.prim.name == "loop"]
    places = {op.where.function for op in loop.blocks["body"].ops}
    assert "_step" in places
    assert {"k1", "k2"} <= {v.hint for op in loop.blocks["body"].ops for v in op.outs}


def test_why_a_loop_is_unrolled():
    def shrinking(x):
        s = 0.0
        for k in range(5):
            s = s + np.sum(np.sin(x[k:]))
        return s

    def shuffled(x):
        h = [x[0]]
        for k in range(80):
            h.append(np.sin(h[k * 7919 % (k + 1)]) * 0.5)
        return h[-1] + h[-2]

    with options(unroll="never"):
        assert " loop[" not in adjit.jit(shrinking).ir(X)
    with options(interpret=True):
        f = adjit.jit(shuffled)
        f(X)
    assert re.search(r"unrolled .*test_rolling.py:\d+, \d+ rounds: an operand at", f.explain())


# ------------------------------------------------------------------ rounds that a condition ends


def newton(a):
    x, step = a, 1.0
    while abs(step) > 1e-10:
        step = (x * x - a) / (2 * x)
        x = x - step
    return x


def newton_for(a):
    x = a
    for _ in range(100):
        step = (x * x - a) / (2 * x)
        x = x - step
        if abs(step) < 1e-10:
            break
    return x


def halving(a):
    lo, hi = 0.0 * a, a + 1.0
    while hi - lo > 1e-8:
        mid = 0.5 * (lo + hi)
        above = np.where(mid * mid > a, 1.0, 0.0)
        lo, hi = lo * above + mid * (1 - above), hi * (1 - above) + mid * above
    return 0.5 * (lo + hi) + a * 0.0


def fixed_point(a):
    y = a
    prev = a + 1.0
    while abs(y - prev) > 1e-9:
        prev = y
        y = np.cos(y * 0.9) + 0.01 * a
    return y + prev


POINTS = (5.0, 3.0, 2000.0, 1.0, 2.0, 1e7, 0.25, 1.0001)


@pytest.mark.parametrize("f", [newton, newton_for, fixed_point])
def test_one_program_for_every_number_of_rounds(f):
    with options(interpret=f is fixed_point):
        g = value_and_grad(f)
        for a in POINTS:
            value, slope = g(a)
            np.testing.assert_allclose(value, f(a), rtol=1e-12)
            with options(unroll="always", interpret=True):
                np.testing.assert_allclose(slope, grad(f)(a), rtol=1e-9)
        before = g.cache_info()
        for a in np.geomspace(0.3, 1e6, 12):
            np.testing.assert_allclose(g(float(a))[0], f(float(a)), rtol=1e-12)
        after = g.cache_info()
        assert (after.variants, after.kernels) == (before.variants, before.kernels)
        if f is not fixed_point:  # which has more rounds than were seen, now and then
            assert after.traces == before.traces
        assert "as many rounds as it takes" in g.explain()
        assert g.cache_info().variants <= 5


def test_a_limit_grows_without_another_program():
    g = grad(newton)
    g(5.0)
    g(1e30)  # more rounds than were seen
    info = g.cache_info()
    assert (info.variants, info.kernels) == (1, 1)
    np.testing.assert_allclose(g(1e20), 0.5e-10)


def test_exact_programs_on_request():
    with options(unroll="exact", interpret=True):
        f = adjit.jit(newton)
        for a in (5.0, 2000.0):
            assert f(a) == newton(a)
        assert f.cache_info().variants == 2


def test_a_condition_on_vectors_and_matrices():
    a = np.diag([2.0, 3.0, 5.0]) + 0.1

    def power(a):
        v, change = np.ones(3), 1.0
        while change > 1e-9:
            w = a @ v
            w = w / np.sqrt(w @ w)
            change = np.sum((w - v) ** 2)
            v = w
        return v @ a @ v

    g = value_and_grad(power)
    for scale in (1.0, 2.0, 1.1):
        value, slope = g(a * scale)
        np.testing.assert_allclose(value, np.linalg.eigvalsh(a * scale)[-1], rtol=1e-7)
        v = np.linalg.eigh(a * scale)[1]
        np.testing.assert_allclose(slope, np.outer(v[:, -1], v[:, -1]), atol=2e-3)


# ------------------------------------------------------------------ what Python counts


class _Counter:
    k = 0


COUNTER = _Counter()


def _bump():
    COUNTER.k += 1


def counted(x):
    k = 0
    while x > 1:
        x, k = x / 2, k + 1
    return x * k


def counted_float(x):
    n = 0.0
    while x > 1:
        x = x / 2
        n = n + 0.5
    return x + n


def counted_by_for(x):
    k = 0
    for k in range(60):  # noqa: B007
        x = x / 2
        if x < 1:
            break
    return x * k


def counted_in_an_object(x):
    COUNTER.k = 0
    while x > 1:
        x = x * 0.7
        _bump()
    return x * COUNTER.k


def counted_in_a_list(x):
    seen = []
    while x > 1:
        x = x * 0.6
        seen.append(x)
    return seen[1] * len(seen) if len(seen) > 1 else x


def bounded(x):
    for _ in range(6):
        x = x * 0.7
        if x < 1:
            break
    return x


def bounded_by_an_iterator(x):
    it = iter([*[1] * 9, 0])
    while x > 1 and next(it):
        x = x * 0.7
    return x


def asked_elsewhere(x):
    def done(y):
        return bool(y < 1)

    while True:
        x = x * 0.7
        if done(x):
            break
    return x


def two_conditions(x):
    y = x * 0.1
    while x > 1 and y < 5:
        x, y = x * 0.7, y + 0.1
    return x + y


def conditional_without_else(x):
    y = x
    for _ in range(8):
        if y > 2:
            y = y * 0.5
        y = y + 0.1
    return y


def counted_branch(x):
    n, y = 0.0, x
    for _ in range(8):
        y = np.sin(y) * 3
        if y > 0.1:
            n = n + 1.0
    return y * n


def branch_then_break(x):
    y = x
    while y < 100:
        y = y * 1.5 + 1
        if y > 50:
            y = y + 7
            break
    return y


def indexed(x):
    w, y = np.arange(40.0) * 0.1, x * 0
    for k in range(40):
        y = y + w[k] * x
        if y > 30:
            break
    return y


def value_of_an_early_round(x):
    first, y = None, x
    while y > 1:
        y = y * 0.8
        if first is None:
            first = y
    return y + (0.0 if first is None else first)


def halved_or_raised(x):
    for _ in range(40):
        x = x * 0.5 if x > 1 else x + 0.3
    return x


def test_the_first_round_is_like_the_others():
    """Also where the instruction that compares asks for the truth as well, as in CPython 3.13."""
    with options(interpret=True):
        f = adjit.jit(halved_or_raised)
        for x in (0.7131, 1.9317):
            np.testing.assert_allclose(f(x), halved_or_raised(x))
        assert "40 rounds, with the conditions in them" in f.explain()
        assert f.cache_info().variants == 1


NASTY = (
    counted, counted_float, counted_by_for, counted_in_an_object, counted_in_a_list, bounded,
    bounded_by_an_iterator, asked_elsewhere, two_conditions, conditional_without_else,
    counted_branch, branch_then_break, indexed, value_of_an_early_round,
)  # fmt: skip


@pytest.mark.parametrize("f", NASTY, ids=lambda f: f.__name__)
def test_never_a_wrong_number(f):
    points = np.random.default_rng(1).uniform(0.5, 60, size=20)
    with options(interpret=True):
        g = adjit.jit(f)
        for x in points:
            np.testing.assert_allclose(g(float(x)), f(float(x)), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (counted, "`k` is changed by Python"),
        (counted_float, "`n` is changed by Python"),
        (counted_by_for, "`k` is counted by Python and read after the loop"),
        (counted_in_a_list, "`seen` is changed by Python"),
        (bounded_by_an_iterator, "`it` is changed by Python"),
        (asked_elsewhere, "a function that it calls asks for the condition"),
        (two_conditions, "other traced conditions decide in it"),
        (value_of_an_early_round, "`first` is changed by Python"),
    ],
)
def test_why_rounds_are_not_open(f, why):
    with options(interpret=True):
        g = adjit.jit(f)
        g(20.0)
        assert why in g.explain()


# ------------------------------------------------------------------ random programs


@pytest.mark.parametrize("guards", [False, True])
def test_random_programs(guards):
    first = 100_090 if guards else 0
    _, loops, right, _ = run(range(first, first + 20), guards)
    assert loops > 10
    assert right > 20


# ------------------------------------------------------------------ what recording costs


def orbit(y, p, n):
    """Runge and Kutta's steps, as one writes them with arrays."""

    def f(y):
        return np.array([y[1], -p * np.sin(y[0])])

    h, ys = 0.01, []
    for _ in range(n):
        k1 = f(y)
        k2 = f(y + 0.5 * h * k1)
        k3 = f(y + 0.5 * h * k2)
        k4 = f(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        ys.append(y)
    return np.sum(np.stack(ys) ** 2)


def test_a_long_loop_is_not_made_of_ops_before_it_is_one(monkeypatch):
    made, make = [], Ledger.op
    monkeypatch.setattr(Ledger, "op", lambda *args: made.append(args) or make(*args))
    t = trace(lambda y: orbit(y, 9.81, 200), (X[:2],), sampled=True, rolling=EVERY)
    assert len(made) < 1500  # of 20 000; half of these stack the results
    assert size(t.function) < 150
    same_bits(evaluate(t.function, *inputs(t, X[:2]))[0], orbit(X[:2], 9.81, 200))


def test_statements_of_one_line_are_named_one_by_one():
    def f(x):
        for _ in range(3):
            x = np.sin(x)
        return x

    ops = trace(f, (X,)).function.ops
    assert [op.outs[0].hint for op in ops] == ["x"] * 3
    assert len({str(op.where) for op in ops}) == 1


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, int])
def test_operators_that_were_seen_before_keep_kinds_and_dtypes(kind):
    x = kind(3)

    def f(x):
        return [x * 2, 2 * x, x - 0.5, 0.5 - x, x / x, -x, x * True, x + np.float32(2), abs(x)]

    for _ in range(2):
        found = trace(f, (x,)).function.outs
        wanted = [np.asarray(v).dtype for v in f(x)]
        assert [NUMPY[v.aval.dtype] for v in found] == wanted


def test_rounds_that_read_neighbours_are_no_pass_over_memory():
    def heat(u, k, rounds):
        u = u.copy()
        for _ in range(rounds):
            u[1:-1] += k * (u[2:] + u[:-2] - 2 * u[1:-1])
        return np.sum(u**2)

    def scaled(u, k, rounds):
        for _ in range(rounds):
            u = k * np.sin(u) + u * u
        return np.sum(u)

    for size, rounds, count in ((3000, 10, 1), (3000, 3, 0), (40000, 10, 0), (40000, 30, 1)):
        loops = adjit.grad(heat).ir(np.ones(size), 0.1, rounds).program.ops
        assert [op.prim.name for op in loops].count("loop") == count
    ops = adjit.grad(scaled).ir(np.ones(3000), 0.1, 40).program.ops
    assert "loop" not in [op.prim.name for op in ops]


def test_what_the_last_round_alone_tells_has_no_slope_in_the_others():
    """Where that is infinite, zero times it would be NaN."""

    def last(x):
        w = 0.0
        for k in range(len(x)):
            w = np.sqrt(x[k]) * 2 + np.sin(x[k])
        return w

    def both(x, p):
        a, w = np.zeros(3), 0.0
        for k in range(len(x)):
            a = a * 0.5 + np.sin(x[k]) * p
            w = np.log(x[k]) * np.sum(a)
        return w + np.sum(a)

    x, p = np.linspace(0.0, 1.0, 60), np.arange(3.0)
    expected = np.zeros(60)
    expected[-1] = 1.0 + np.cos(1.0)
    np.testing.assert_allclose(grad(last)(x), expected, rtol=1e-14)
    with np.errstate(divide="ignore"), options(unroll="always"):
        unrolled = grad(both, argnums=(0, 1))(x, p)
    f = grad(both, argnums=(0, 1))
    for a, b in zip(f(x, p), unrolled, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert "loop" in str(f.ir(x, p))
