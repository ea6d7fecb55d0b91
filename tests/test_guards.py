"""Python decides by traced values: the right path on every call, compiled, and its derivatives."""

from __future__ import annotations

import _thread
import threading
import warnings

import numpy as np
import pytest
from decisions import POINTS, difference, min_max_sorted, while_

import adjit
from adjit import errors, grad, jit, value_and_grad
from adjit.ir import evaluate, parse, show, verify
from adjit.ir.interp import GuardMiss
from adjit.passes import pipeline
from adjit.passes.dce import dce
from adjit.passes.jvp import jvp as jvp_pass
from adjit.passes.vjp import vjp as vjp_pass

# ------------------------------------------------------------------ the row

TEXT = """func f(%x: f64[], %n: i64[]) -> (f64[]) {
  %0: bool[] = greater %x, 0.0
  guard[expected=True] %0
  %1: f64[] = log %x
  guard[expected=3] %n
  guard[expected=3] %n
  return %1
}"""


def test_row_text_and_meaning():
    f = parse(TEXT)
    verify(f)
    assert show(f) == TEXT
    np.testing.assert_allclose(evaluate(f, 2.0, 3), [np.log(2.0)])
    for bad in ((-2.0, 3), (2.0, 4)):
        with pytest.raises(GuardMiss) as miss:
            evaluate(f, *bad)
        assert miss.value.op.prim.name == "guard"


@pytest.mark.parametrize("through", [dce, lambda f: vjp_pass(f, [0]), lambda f: jvp_pass(f, [0])])
def test_passes_keep_guards_and_merge_equal_ones(through):
    f = pipeline.run(through(parse(TEXT)), pipeline.joint(1), check=True)
    assert [op.attrs["expected"] for op in f.ops if op.prim.name == "guard"] == [True, 3]


def test_types_are_checked():
    with pytest.raises(Exception, match="guard: the value is f64"):
        verify(parse("func f(%x: f64[]) -> () {\n  guard[expected=True] %x\n  return\n}"))


# ------------------------------------------------------------------ the rest of Python


def test_nested_derivatives_take_their_own_paths():
    def f(x):
        return x**3 if x > 1 else x**2

    for order, wanted in ((2, (18.0, 2.0)), (3, (6.0, 0.0))):
        g = f
        for _ in range(order):
            g = grad(g)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.ZeroGradient)
            assert (g(3.0), g(0.5), g(3.0)) == (wanted[0], wanted[1], wanted[0])
        assert g.cache_info().traces == 2

    outer = grad(lambda x, y: x * grad(lambda t: t * t * y if t > x else t * y)(x * y))
    np.testing.assert_allclose([outer(2.0, 3.0), outer(2.0, 0.5)], [2 * 2 * 2.0 * 9, 0.5])


def test_methods_keep_their_state():
    class Model:
        def __init__(self):
            self.edge, self.w = 0.0, np.ones(3)

        @jit
        def loss(self, x):
            y = np.sum(self.w * x)
            return y * y if y > self.edge else -y

    m = Model()
    for x in (np.ones(3), -np.ones(3), np.ones(3)):
        assert m.loss(x) == (9.0 if x[0] > 0 else 3.0)
    m.w[:] = -1
    assert m.loss(np.ones(3)) == 3.0
    m.edge = 5.0
    assert m.loss(-np.ones(3)) == -3.0
    m.edge = 4.0
    assert m.loss(np.ones(3)) == 3.0


@pytest.mark.parametrize("interpret", [False, True])
def test_the_other_path_may_raise(interpret):
    def f(x, table):
        if x[0] < 0:
            return np.linalg.cholesky(np.eye(2) * x[0] ** 2)[0, 0] * x[1]
        k = int(x[0])
        if k < 3:
            return table[k] * np.log(x[0]) * x[1]
        return np.sqrt(x[0] - 3) * x[1]

    def host(x):
        if x[0] > 0:
            return np.sum(np.linalg.cholesky(np.eye(3) * x[0]) @ x)
        return np.sum(x * x)

    with adjit.options(interpret=interpret):
        made, on_host = jit(f), jit(host)
        table = np.array([3.0, 4.0, 5.0])
        for _ in range(2):
            for a in (1.5, 7.0, 2.5, 0.5, 3.0):
                x = np.array([a, 2.0])
                np.testing.assert_allclose(made(x, table), f(x, table))
            for a in (2.0, -1.0, 3.0):
                x = np.array([a, 1.0, 2.0])
                np.testing.assert_allclose(on_host(x), host(x))
        assert on_host.cache_info().traces == 2


def test_threads_share_variants():
    def f(x):
        s = np.sum(x)
        k = 0
        while s > 1:
            s, k = s / 2, k + 1
        return s * (k + 1)

    made = value_and_grad(f)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(60):
            x = rng.uniform(0, 4, size=3)
            value, g = made(x)
            slope = value / np.sum(x)
            if abs(value - f(x)) > 1e-12 or np.abs(g - slope).max() > 1e-12:
                wrong.append(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert made.cache_info().traces == made.cache_info().variants <= 5


def test_on_the_edge_the_interpreter_answers():
    """Where compiled and NumPy's sums differ in the last digit, so may their decisions."""
    x = np.random.default_rng(1).normal(size=1001)
    edge = float(np.sum(x))
    f = jit(lambda x, e: np.sum(x) if np.sum(x) >= e else -np.sum(x))
    for e in (edge, np.nextafter(edge, 9), np.nextafter(edge, -9)) * 2:
        np.testing.assert_allclose(f(x, e), np.sum(x) if np.sum(x) >= e else -np.sum(x))
    assert f.cache_info().traces == 2


def test_many_variants_are_reported_once():
    def f(x):
        total = 0.0
        for v in x:
            if v > 0:  # the line
                total = total + v
        return total + 0.0 * np.sum(x)

    with adjit.options(interpret=True):
        made = grad(f)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for k in range(32):
                bits = [1.0 if k >> b & 1 else -1.0 for b in range(5)]
                np.testing.assert_array_equal(made(np.array(bits)), np.array(bits) > 0)
        (warning,) = seen
        assert warning.category is errors.ManyVariants
        assert warning.filename == __file__
        assert "if v > 0" in str(warning.message)
        report = str(made.explain())
    assert "if v > 0" in report and "left here" in report and "answered    1 call" in report


def test_integers_that_decide():
    def f(x, step):
        return x * 2 if step % 3 == 0 else x

    made = jit(f)
    for step in range(9):
        assert made(1.5, step) == f(1.5, step)
    assert made.cache_info().traces == 2

    def power(x, n):
        return 1.0 if n == 0 else x * power(x, n - 1)

    slope = grad(power)
    for n in (3, 12, 20, 12):
        np.testing.assert_allclose(slope(1.1, n), n * 1.1 ** (n - 1))


def test_source_shows_the_line():
    made = jit(lambda x: x if x > 2 else -x)
    assert "return -2" in made.source(3.0) and "# test_guards.py:" in made.source(3.0)
    assert made(1.0) == -1.0 and "if not" in made.source(3.0) and "if not" not in made.source(1.0)


def test_what_cannot_decide():
    made = jit(lambda x: x if x > 0 else -x)
    shape = type("Shape", (), {"shape": (), "dtype": np.dtype(float)})
    with pytest.raises(errors.TracedBranch):
        made.compile(shape())
    with pytest.raises(errors.TracedConversion, match="derivative"):
        jit(lambda x: float(x))(1.0)
    with pytest.raises(ValueError, match="NaN"):
        jit(lambda x: int(x))(np.nan)
    with pytest.raises(AssertionError, match="negative"):
        jit(asserts)(-1.0)
    assert jit(asserts)(1.0) == 1.0


def asserts(x):
    assert x > 0, "negative"
    return x


def test_loops_without_end(monkeypatch):
    from adjit.tracer import record

    monkeypatch.setattr(record, "MOST_DECISIONS", 50)

    def f(x):
        while x > 0:
            x = x + 1
        return x

    with pytest.raises(errors.TracedBranch, match="more than 50 times"):
        jit(f)(1.0)
    monkeypatch.undo()
    with pytest.raises(RecursionError):
        jit(lambda x: endless(x))(1.0)


def endless(x):
    return endless(x * 1.0) if x > -1 else x


def test_masks_and_index_arrays_are_decided_as_a_whole():
    def f(x):
        rows = np.nonzero(x < -1)[0]
        return np.sum(x[x > 0] ** 3) + np.sum(x[rows] ** 2)

    made = value_and_grad(f)
    points = [np.array(p) for p in ([1.5, -0.7, 0.3], [-1.2, 2.4, 0.6], [-2.0, -1.5, -0.5])]
    for x in points * 2:
        value, g = made(x)
        np.testing.assert_allclose(value, f(x))
        np.testing.assert_allclose(g, difference(f, x), rtol=1e-6, atol=1e-8)
    assert made.cache_info().traces == 3


def test_rows_of_vmap_cannot_decide_but_what_they_share_can():
    def f(x, y):
        return np.sum(x) * y if y > 0 else np.sum(x * x)

    rows = np.arange(6.0).reshape(3, 2)
    made = adjit.vmap(f, in_axes=(0, None))
    for y in (2.0, -1.0, 2.0):
        np.testing.assert_allclose(made(rows, y), [f(x, y) for x in rows])
    assert made.cache_info().traces == 2
    with pytest.raises(errors.TracedBranch, match=r"test_guards"):
        adjit.vmap(lambda x: x[0] if x[0] > 0 else x[1])(rows)


def test_every_pass_keeps_the_decisions():
    with adjit.options(check=True):
        made = grad(min_max_sorted)
        for x in POINTS["small"]:
            x = np.array(x)
            np.testing.assert_allclose(made(x), difference(min_max_sorted, x), rtol=1e-5)


def test_what_is_recomputed_decides_again():
    def f(x):
        inner = adjit.checkpoint(lambda t: np.sin(t) if np.sum(t) > 2 else np.cos(t))
        return np.sum(inner(x) * x)

    made = grad(f)
    for x in (np.array([1.0, 2.0]), np.array([-1.0, 2.0])) * 2:
        np.testing.assert_allclose(made(x), difference(f, x), rtol=1e-6)
        _, push = adjit.linearize(while_, x)
        np.testing.assert_allclose(push(np.ones(2)), difference(while_, x).sum(), rtol=1e-6)
    assert made.cache_info().traces == 2


@pytest.mark.usefixtures("heard")
def test_a_loop_without_end_can_be_interrupted():
    def f(x):
        rounds = 0
        while x > 0:
            x = x + 1
            rounds += 1
            if rounds == 100:
                _thread.interrupt_main()  # what Ctrl-C does
        return x

    with pytest.raises(KeyboardInterrupt):
        jit(f)(1.0)
    assert jit(lambda x: x + 1)(1.0) == 2.0
