"""Functions whose calls go ever new ways: traced, interpreted, compiled when a way comes again."""

import threading
import warnings

import numpy as np
import pytest

import adjit
from adjit import errors, grad, jit, value_and_grad, ways

pytestmark = pytest.mark.filterwarnings("ignore::adjit.errors.ManyVariants")
BITS = [np.array([1.0 if k >> b & 1 else -1.0 for b in range(6)]) * (1 + k / 64) for k in range(64)]


def signs(x):
    total, rest = 0.0 * x[0], np.exp(0.1 * x)
    for v, w in zip(x, rest, strict=True):
        total = total + v * w if v > 0 else total - w
    return total * rest


def losses(x):
    return np.sum(signs(x) ** 2)


def slope(x):
    with adjit.options(interpret=True, unroll="always"):
        return grad(losses)(x)


def test_new_ways_are_interpreted_until_they_come_again():
    made = value_and_grad(losses)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for x in BITS[:24]:
            value, g = made(x)
            np.testing.assert_allclose(value, losses(x), rtol=1e-13)
            assert type(value) is np.float64 and type(g) is np.ndarray and g.flags.writeable
    (warning,) = seen
    assert warning.category is errors.ManyVariants and warning.filename == __file__
    text = str(warning.message)
    assert "17 ways through it, 5 of them with a program" in text and "if v > 0" in text
    assert "np.where" in text and "adjit.cond" in text and "adjit.while_loop" in text
    info = made.cache_info()
    assert (info.variants, info.traces, info.interpreted) == (5, 5, 19)
    report = str(made.explain())
    assert "interpreted 19 calls, which went 19 ways" in report
    assert "mostly at test_ways.py" in report
    for _ in range(2):  # now it has a program, and uses it
        np.testing.assert_allclose(made(BITS[20])[1], slope(BITS[20]), rtol=1e-12)
        info = made.cache_info()
        assert (info.variants, info.traces, info.interpreted) == (6, 6, 19)
    assert "18 ways" in made.explain()
    made.clear()
    assert made.cache_info() == (0, 6, 0, 0, 0, 0) and "interpreted" not in made.explain()


def test_programs_cost_more_the_more_there_are(monkeypatch):
    monkeypatch.setattr(ways, "_MORE", 2)
    with adjit.options(interpret=True):
        made = jit(signs)
        for _ in range(2):
            for x in BITS[:8]:
                np.testing.assert_array_equal(made(x), signs(x))
        assert made.cache_info().variants < 8
        for _ in range(4):
            for x in BITS[:8]:
                np.testing.assert_array_equal(made(x), signs(x))
        assert made.cache_info().variants == 8


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(ways, "_REMEMBERED", 6)
    with adjit.options(interpret=True):
        made = jit(signs)
        for _ in range(2):
            for x in BITS[:12]:
                made(x)
        (known,) = made._ways.values()
        assert len(known._met) == 6 and made.cache_info().variants < 8
        made(BITS[11]), made(BITS[11])
        assert made.cache_info().traces == made.cache_info().variants


def test_calls_that_programs_answer_earn_new_ones():
    with adjit.options(interpret=True):
        made = jit(signs)
        for x in BITS[:4]:
            for _ in range(20):
                made(x)
        for x in BITS[4:12]:
            made(x)
        assert made.cache_info().variants == 9


def test_open_loops_go_on_learning():
    """Rounds whose conditions fold are one program once a trace has shown them all."""

    def kinds(x):
        s = 0.0 * x[0]
        for v in x:
            if v > 2.0:
                s = s + v * v
            elif v > 1.0:
                s = s - np.sin(v)
            else:
                s = s + np.exp(v)
        return s

    rng = np.random.default_rng(0)
    with adjit.options(interpret=True):
        made = jit(kinds)
        for k in range(16):
            x = rng.normal(size=30) * (0.4 if k < 8 else 1.5)
            np.testing.assert_allclose(made(x), kinds(x), rtol=1e-13)
        assert made.cache_info().interpreted < 12
        before = made.cache_info()
        for _ in range(8):
            made(rng.normal(size=30) * 1.5)
        assert made.cache_info().traces <= before.traces + 2


def test_masks_tell_ways_apart():
    def f(x):
        return np.sum(x[x > 0] ** 2)

    with adjit.options(interpret=True):
        made = grad(f)
        for x in BITS[1:16]:
            np.testing.assert_allclose(made(x), np.where(x > 0, 2 * x, 0.0))
        assert made.cache_info().variants == 5


def test_state_prints_and_containers(capsys):
    scale = [2.0]

    def f(p, q):
        for v in p["x"]:
            if v > 0:
                q = q + scale[0] * v
        print(f"q is {q:.1f}")
        return {"q": q, "n": 3, "x": p["x"] * q}

    with adjit.options(interpret=True):
        made = jit(f)
        for k, x in enumerate(BITS[:12]):
            scale[0] = 2.0 + k
            out = made({"x": x}, 1.5)
            found = capsys.readouterr().out
            want = f({"x": x}, 1.5)
            assert found == capsys.readouterr().out and out["n"] == 3
            assert type(out["q"]) is type(want["q"]) and out["q"] == want["q"]
            np.testing.assert_array_equal(out["x"], want["x"])
        assert made.cache_info().interpreted > 4


def test_what_must_not_be_interpreted():
    for options in ({"check": True, "interpret": True}, {"memory_budget": "1M"}):
        with adjit.options(**options):
            made = jit(lambda x: np.sum(x[:3]) if x[0] > 0 else x[1] if x[1] > 0 else np.sum(x))
            for x in BITS[:4]:
                made(x)
            assert made.cache_info().interpreted == 0
    made = jit(signs)
    for x in BITS[:8]:
        made.ir(x)
    assert made.cache_info()[:3] == (8, 8, 0)
    np.testing.assert_array_equal(made(BITS[3]), signs(BITS[3]))
    assert made.cache_info().kernels == 1  # of the others no call needed to know more


def test_errors_of_a_new_way():
    def f(x, n):
        total = 0.0
        for v in x:
            total = total + v if v > 0 else total
        return float(x[0]) if x[5] > 1.5 else total * n if n != 3 else x[0]

    with adjit.options(interpret=True):
        made = jit(f)
        for x in BITS[:10]:
            made(x, 2)
        with pytest.raises(errors.TracedConversion):
            made(BITS[63], 2)
        assert made(BITS[21], 3) == BITS[21][0]


def test_threads_go_ways_of_their_own():
    made, wrong = value_and_grad(losses), []
    slopes = [slope(x) for x in BITS[:10]]

    def work(seed):
        with adjit.options(interpret=True):
            for k in np.random.default_rng(seed).permutation(10):
                value, g = made(BITS[k])
                near = abs(value - losses(BITS[k])) < 1e-12 * value
                if not near or np.abs(g - slopes[k]).max() > 1e-11:
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    info = made.cache_info()
    assert info.variants == info.traces == 10 and info.interpreted < 20


def test_long_and_large_ways_are_compiled(monkeypatch):
    for name in ("_LONGEST", "_LARGEST"):
        with monkeypatch.context() as patch, adjit.options(interpret=True):
            patch.setattr(ways, name, 10)
            made = jit(signs)
            for x in BITS[:7]:
                np.testing.assert_array_equal(made(x), signs(x))
            assert made.cache_info()[:2] == (7, 7) and not made.cache_info().interpreted
