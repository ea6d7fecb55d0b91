"""`for i in adjit.range(n)`: against plain Python and differences."""

import builtins

import numpy as np
import pytest
from ranges import assert_right, assert_same

import adjit
from adjit import grad, jit
from adjit.errors import ControlFlow

TIMES = [1, 2, 3, 4, 9, 25]


pytestmark = pytest.mark.usefixtures("interpreted")


# ------------------------------------------------------------------ what is wired


def test_carries_and_index():
    def f(range, x, n):
        y = 1.0
        for i in range(n):
            y = y * np.cos(x) + i
        return y, i

    g = assert_right(f, 0.5, times=TIMES, grads=False)
    assert g.cache_info().traces == 1
    text = str(g.ir(0.5, 7))
    assert "loop[carries=2, consts=1]" in text and "%y: f64[], %i: i64[] = loop" in text


def test_zero_rounds_are_a_variant_of_their_own():
    def f(range, x, n):
        y, k = x, -1
        for i in range(n):
            y, k = y * x + i, i
        return y, k

    g = assert_right(f, 0.5, times=[0, 3, 0, -2, 5], grads=False)
    assert len(g.variants()) == 2


def test_older_rounds_in_variables():
    def f(range, x, n):
        y, before, long_before = x, x * 0, x - 1
        for _ in range(n):
            long_before, before, y = before, y, np.sin(y) + before * 0.1
        return y, before, long_before

    assert_right(f, 0.5, times=TIMES, grads=False)


def test_older_indices():
    def f(range, x):
        last, prev, y = 0, 0, x
        for i in range(12):
            prev, last = last, i
            y = y + prev * x
        return y, last, prev

    assert_right(f, 0.5, grads=False)


def test_containers_swaps_and_histories():
    def f(range, x):
        a, b, s = x, np.ones(3), {"w": x * 0, "h": [0.0, x]}
        for i in range(20):
            a, b = b * x, a * np.ones(3) + i * 0.1
            s["w"] = s["w"] + b.sum()
            s["h"] = [s["h"][1], np.tanh(s["w"] + s["h"][0])]
        return a, b, s

    assert_right(f, 0.3, grads=False)
    adjit.check_grads(lambda x: f(adjit.range, x)[2]["h"][0], (0.3,), order=2)


def test_lists_that_grow():
    def f(range, x):
        z = np.zeros(20)
        z[0] = x
        ys, pairs = [x], []
        for i in range(1, 20):
            z[i] = np.sin(z[i - 1]) + ys[-1] * 0.1
            ys.append(z[i] * x)
            pairs.append((i, {"y": ys[-2], "one": 1.0}))
        return z, np.array(ys), [p["y"] * i for i, p in pairs], len(ys), pairs[3][1]["y"]

    g = jit(lambda x: f(adjit.range, x))
    assert_same(g(0.7), f(builtins.range, 0.7))
    adjit.check_grads(lambda x: f(adjit.range, x)[1].sum(), (0.7,), order=2)


def test_rows_become_inputs_of_the_rounds():
    def f(range, x):
        s = 0.0
        for i in range(len(x)):
            s = np.tanh(s + x[i] * x[-1])
        return s

    x = np.linspace(0.1, 1, 12)
    g = assert_right(f, x)
    assert "gather[axes=(0,)]" not in str(g.ir(x)).split("body")[1]


def test_steps_and_bounds():
    for bounds in ((2, 40, 3), (40, 1, -2), (5, 30)):

        def f(range, x, bounds=bounds):
            y = x
            for i in range(*bounds):
                y = y * 0.5 + i * x
            return y, i

        assert_right(f, 0.5, grads=False)

    def g(range, x, a, b):
        y = x
        for i in range(a, b, 2):
            y = y * 0.5 + i
        return y

    h = jit(lambda *a: g(adjit.range, *a))
    for a, b in ((0, 9), (3, 30), (-4, 5), (5, 5), (6, 1)):
        assert h(0.5, a, b) == g(builtins.range, 0.5, a, b)


def test_nests():
    def f(range, x, n):
        a = x
        for i in range(n):
            t = a * 0.1
            for j in range(i):
                t = t * x + j
            for j in range(10):
                t = t + j * x * i
            for _ in builtins.range(2):
                a = a + t * 0.01
        return a

    g = assert_right(f, 0.3, times=[1, 2, 5, 12], grads=False)
    assert g.cache_info().traces == 1
    adjit.check_grads(lambda x: f(adjit.range, x, 6), (0.3,), order=2)


def test_first_rounds_of_their_own():
    def f(range, x, n):
        first, y, s = True, 0, None
        for i in range(n):
            y = np.sin(y) + x
            if first:
                s, first = x * 2, False
            else:
                s = s * x + i
        return y, s

    assert_right(f, 0.3, times=[1, 2, 3, 30], grads=False)
    adjit.check_grads(lambda x: f(adjit.range, x, 9)[1], (0.3,), order=2)


def test_python_may_decide_by_what_stays():
    def f(range, x, n):
        y = x
        for _ in range(n):
            y = y * 0.5 + x if x > 0 else y - 1
            if x + 1 > 3:
                y = y * 2
        return y

    g = jit(lambda x, n: f(adjit.range, x, n))
    for x in (1.0, -1.0, 2.5, 0.5):
        for n in (3, 20):
            assert g(x, n) == f(builtins.range, x, n)
    assert len(g.variants()) == 3


def test_inside_of_other_transformations():
    def f(range, x):
        y = x
        for i in range(20):
            y = np.tanh(y * 1.1 + i * 0.01)
        return y

    xs = np.linspace(-1, 1, 5)
    assert np.allclose(adjit.vmap(lambda x: f(adjit.range, x))(xs), f(builtins.range, xs))

    def counted(x, n):
        y = x
        for i in adjit.range(n):
            y = y * x + i
        return y

    rows = adjit.vmap(counted)(xs, np.arange(5))
    assert np.allclose(rows, [counted(x, int(n)) for x, n in zip(xs, range(5), strict=True)])

    def inner(x):
        return adjit.fori_loop(0, 3, lambda k, c: counted(c, k + 1) + grad(counted)(c, 10), x)

    assert jit(inner)(0.2) == pytest.approx(inner(0.2), 1e-12)


def test_outside_of_a_trace():
    assert list(adjit.range(2, 9, 3)) == [2, 5, 8]
    assert "range" not in adjit.__all__ and "range" in dir(adjit)


def test_few_plain_rounds_are_run():
    labels = ["a", "b", "c"]
    assert jit(lambda x: [labels[i] for i in adjit.range(3)] and x)(1.0) == 1.0


# ------------------------------------------------------------------ what Python decides


def test_decisions_let_rounds_count_in_python():
    def alternating(range, x):
        s = 0.0 * x
        for i in range(50):
            x = np.sin(x * 3) + 0.1
            if x > 0.2:
                s = s + x * i
            else:
                x = x - 0.5 * s
        return s

    def nested(range, x):
        s = x * 0.0
        for i in range(12):
            for j in range(i):
                x = np.sin(x * 3) + 0.1 * j
                if x > 0.2:
                    s = s + x
        return s

    def by_index(range, x):
        for i in range(40):
            if i % 3 == 0:
                x = x * 0.9
            elif i == 7:
                x = x + 1
            else:
                x = np.sin(x)
        return x

    for f in (alternating, nested, by_index):
        g = jit(lambda x, f=f: f(adjit.range, x))
        for x in (0.3, 0.7, 1.1):
            assert_same(g(x), f(builtins.range, x))
        assert len(g.variants()) == 1
        h = [adjit.grad(lambda x, f=f, r=r: f(r, x))(0.3) for r in (adjit.range, builtins.range)]
        assert_same(*h)
    assert "with the conditions in them" in jit(lambda x: alternating(adjit.range, x)).explain(0.3)


def test_rounds_that_end_early():
    def root(range, a, n):
        x = a
        for _ in range(n):
            step = (x * x - a) / (2 * x)
            x = x - step
            if abs(step) < 1e-12:
                break
        return x

    g = jit(lambda a, n: root(adjit.range, a, n))
    for a in (2.0, 100.0, 3e4):
        assert_same(g(a, 60), root(builtins.range, a, 60))
    assert len(g.variants()) == 1
    assert_same(g(3e4, 40), root(builtins.range, 3e4, 40))


def test_what_a_trace_changed_is_put_back_before_it_is_taken_again():
    calls, state = [], {"scale": 1.0}

    def f(range, x):
        calls.append(1)
        state["scale"] = state["scale"] * 2
        for _ in range(30):
            try:
                x = x * 0.9 if x > 0.5 else x + 0.4
            except Exception:  # such a trace is taken again all the same
                x = x * 1e6
        return x

    assert_same(jit(lambda x: f(adjit.range, x))(0.7), f(builtins.range, 0.7))
    assert len(calls) == 2 and state["scale"] == 4.0


STATEMENTS = (
    "a, b = b, a + 0.01",
    "prev = {v}",
    "z[i] = {e}",
    "z[i] += {e}",
    "ys.append({e})",
    "h = h[1:] + [{e}]",
    "s['k'] = {e}",
    "c = a * 2 if flag else c; flag = False",
    "cnt = cnt + 1",
    *["{v} = np.tanh({e})"] * 5,
)
DECISIONS = (
    "if {v} > 0.2: {v} = {e}",
    "{v} = {e} if {v} < 0.1 else {v} * 0.5",
    "if i % 3 == 1: {v} = {e}",
    "if {v} > 0.9: break",
    "if {v} < -0.4: continue",
    "z[i] = max({v}, {e})",
)
TERMS = [
    "a",
    "b",
    "c",
    "prev",
    "x[i]",
    "i*0.1",
    "z[i]",
    "z[i-1]",
    "h[0]",
    "h[-1]",
    "s['k']",
    "x.sum()*0.01",
    "np.sin({v})",
]


def random_program(seed, statements=STATEMENTS):
    """A function of (range, x, n) whose loop hands values on in many ways."""
    rng = np.random.default_rng(seed)

    def fill(text):
        while "{" in text:
            terms = " + ".join(rng.choice(TERMS, rng.integers(1, 4)))
            text = text.replace("{e}", terms, 1).replace("{v}", rng.choice(list("abc")), 1)
        return text

    lines = [
        "def f(range, x, n):",
        "    a, b, c, prev, flag, cnt, i = x[0], 0.5, x[1] * 2, 0.0, True, 0, 0",
        "    z, ys, h, s = np.zeros(40), [], [0.0, x[2], 0.1], {'k': x[0]}",
        f"    for i in range({rng.choice(['n', '20', '1, n', '2, 25, 2'])}):",
        *(f"        {fill(str(rng.choice(statements)))}" for _ in range(rng.integers(2, 6))),
    ]
    if rng.random() < 0.4:
        inner = rng.choice(["12", "i", "n"])
        lines += [f"        for j in range({inner}):", f"            {fill('a = np.cos({e}) + j')}"]
    outs = [
        "a",
        "b",
        "c",
        "prev",
        "z.sum()",
        "h[0]",
        "h[-1]",
        "s['k']",
        "i",
        "cnt",
        "len(ys)",
        "ys[0]*c",
    ]
    lines.append(f"    return ({', '.join(rng.choice(outs, 4))},)")
    space = {"np": np}
    exec("\n".join(lines), space)
    return space["f"], "\n".join(lines)


@pytest.mark.parametrize("decisions", [(), DECISIONS * 3])
def test_random_programs_are_right_or_refused(decisions):
    right = 0
    for seed in range(8 if decisions else 40):
        f, text = random_program(seed, (*STATEMENTS, *decisions))
        x = np.random.default_rng(seed).normal(size=40)
        g = jit(lambda x, n, f=f: f(adjit.range, x, n))
        for n in (13, 1, 4, 0):
            try:
                wanted = f(builtins.range, x, n)
            except (IndexError, UnboundLocalError):
                continue
            try:
                got = g(x, n)
            except ControlFlow:
                continue
            assert np.allclose(got, wanted, 1e-9, 1e-12, equal_nan=True), text
            right += 1
    assert right > (10 if decisions else 40)
