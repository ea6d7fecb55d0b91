"""What `for i in adjit.range(n)` refuses, and the words for it."""

import builtins

import numpy as np
import pytest
from ranges import assert_right, assert_same

import adjit
from adjit import jit
from adjit.errors import ControlFlow

pytestmark = pytest.mark.usefixtures("interpreted")


def refused(f, *args):
    with pytest.raises(ControlFlow) as caught:
        jit(f)(*args)
    text = str(caught.value)
    assert "test_range_refusals.py" in text
    return text


def test_e1_decisions_of_too_many_rounds():
    def f(x, n):
        for i in adjit.range(n):
            if x > i:
                x = x * 2
        return x

    def g(x):
        for _ in adjit.range(20_000):
            if x > 1:
                x = x * 0.5
        return x

    for h, args in ((f, (3.0, 30_000)), (g, (3.0,))):
        text = refused(h, *args)
        assert text.startswith("Python would decide by a value that differs from round to round")
        assert "adjit.cond" in text and "0000 rounds are too many" in text


def test_e1_decisions_without_values():
    def f(x):
        for _ in adjit.range(20):
            x = x * 0.5 if x > 1 else x + 0.1
        return x

    with pytest.raises(adjit.errors.TracedBranch, match="where"):
        adjit.vmap(f)(np.ones(3))


def test_e2_lists_and_shapes():
    weights = [0.1] * 20

    def f(x):
        for i in adjit.range(20):
            x = x * weights[i]
        return x

    def g(x):
        for i in adjit.range(20):
            x = x + np.zeros(i).sum()
        return x

    for h in (f, g):
        assert "np.array(a_list)[i], not a_list[i]" in refused(h, 3.0)


def test_e3_python_counters():
    def f(x):
        k = 0
        for _ in adjit.range(20):
            k += 1
            x = x * 2
        return x * k

    assert "`k`, which is counted by Python, changes from round to round (1, 2, 3, 4)" in refused(
        f, 1.0
    )

    class Model:
        def __init__(self):
            self.calls = 0
            self.seen = {}

        def __call__(self, x):
            return x * 2

    def g(x):
        m = Model()
        for _ in adjit.range(20):
            m.calls += 1
            x = m(x)
        return x

    assert "`m.calls`" in refused(g, 1.0)

    def h(x):
        m = Model()
        for _ in adjit.range(20):
            m.seen[len(m.seen)] = x
            x = m(x)
        return x

    assert "`len(m.seen)`" in refused(h, 1.0)

    def uneven(x, n):
        ys = []
        for _ in adjit.range(n):
            ys.append(x * 2)
            x = x + 1
        return x

    assert "z[i] = ..." in refused(uneven, 1.0, 20)


HIDDEN = []


def test_e4_older_rounds_after_the_loop():
    def record(x):
        HIDDEN.clear()
        for i in adjit.range(20):
            kept = x * i
            HIDDEN.append(kept)

    def f(x):
        record(x)
        return HIDDEN[1] + x

    def g(x):
        record(x)
        return HIDDEN[1]

    for h in (f, g):
        text = refused(h, 1.0)
        assert text.startswith("adjit.range: a value of a round that is not the last one")


def test_objects_with_slots_are_looked_into():
    class State:
        __slots__ = ("new", "old", "trail")

    def f(range, x):
        s = State()
        s.new, s.old, s.trail = x, x * 0, []
        for i in range(20):
            s.old, s.new = s.new, np.sin(s.new) + s.old * 0.1 * i
            s.trail.append(s.old)
        return s.new, s.old, np.array(s.trail)

    assert_right(f, 0.4, grads=False)

    def long_history(x):
        held = [x * k for k in range(15)]
        for _ in adjit.range(40):
            held = [*held[1:], held[0] * 0.5]
        return held[3]

    assert "moves on from round to round" in refused(long_history, 1.0)


def test_e5_leaving_early():
    def f(range, x, n):
        for i in range(n):
            x = x * 2 + i
            break
        return x

    def g(range, x, n):
        for i in range(n):
            return x * i

    for h in (f, g):
        assert_same(jit(lambda x, h=h: h(adjit.range, x, 20))(1.5), h(builtins.range, 1.5, 20))
        text = refused(lambda x, h=h: h(adjit.range, x, 20_000), 1.0)
        assert text.startswith("adjit.range: the loop ended before its last round")
        assert "20000 rounds are too many" in text


def test_e6_rounds_that_differ():
    flips = [True, False]

    def f(x):
        for i in adjit.range(20):
            x = x * i if flips[0] else x + i
            flips.reverse()
        return x

    assert "the rounds are not alike: one does something else than the next" in refused(f, 1.0)


def test_e7_types_that_settle_late():
    def f(x, n):
        y = z = 0.0
        for _ in adjit.range(n):
            z, y = y, np.sin(y) + x
        return z * y

    text = refused(lambda x, n: f(x, n), np.ones(3), 20)
    assert text.startswith("adjit.range: `z` is used after a loop that may have no rounds")
    assert "np.zeros(3)" in text

    def late(x):
        y = 0.0
        for i in adjit.range(20):
            y = np.append(y, i)
        return y

    assert "the rounds are not alike" in refused(late, 1.0)


def test_e8_no_rule():
    def f(x):
        held = [x, x + 1, x + 2]
        for i in adjit.range(40):
            x = x + held[len(held) // 2] * i
            held.append(x)
        return x

    text = refused(f, 1.0)
    assert "follows no rule" in text or "counted by Python" in text or "not alike" in text


def test_only_for_statements_ask():
    for f in (
        lambda x: [x * i for i in adjit.range(20)],
        lambda x: sum(x * i for i in adjit.range(20)),
        lambda x: x * len(list(adjit.range(20))),
        lambda x: x * next(iter(adjit.range(20))),
    ):
        assert "something else than a `for` statement" in refused(f, 1.0)
    with pytest.raises(ValueError, match="the step is zero"):
        jit(lambda x: [x for _ in adjit.range(0, 9, 0)])(1.0)
