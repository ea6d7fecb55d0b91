"""What goes wrong in the user's code while it is traced, and that tracing leaves no trace of it."""

import builtins
import gc
import math
import signal
import threading
import time

import numpy as np
import pytest

import adjit
from adjit import grad, hvp, jit, vmap
from adjit.errors import EndlessRecursion, EscapedTracer
from adjit.tracer.record import is_tracing

KEPT = (np.zeros, np.array, math.sin, builtins.print, time.time)


@pytest.fixture(autouse=True)
def interpreted():
    with adjit.options(interpret=True):
        yield
    assert (np.zeros, np.array, math.sin, builtins.print, time.time) == KEPT
    assert not is_tracing() and gc.isenabled()


def test_recursion_without_end():
    def down(x):
        return np.sin(x) * up(x - 1)

    def up(x):
        return down(x) + 1

    for f in (jit(down), grad(up)):
        with pytest.raises(EndlessRecursion) as error:
            f(1.0)
        text = str(error.value)
        assert "calls itself without end" in text and text.count("test_bad_input.py") == 2
        assert "return np.sin(x) * up(x - 1)" in text and len(text.split("\n")) < 12
        assert isinstance(error.value, RecursionError)

    def factorial(x):
        return x * factorial(x - 1) if x > 1 else x

    assert jit(factorial)(5.0) == 120.0


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals need the main thread"
)
def test_tracing_can_be_interrupted():
    def endless(x):
        while True:
            x = np.sin(x) + np.zeros(3)

    def decides(x):
        while x > 0:
            x = x * 1.0
        return x

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for f in (jit(endless), grad(lambda x: np.sum(endless(x)))):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                f(np.ones(3))
            assert not is_tracing()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert jit(lambda x: x * np.zeros(2).sum())(1.0) == 0.0


def test_values_that_leak():
    kept = []

    def leaks(x):
        kept.append(x * 2)
        return x

    assert jit(leaks)(1.0) == 1.0
    for use in (
        lambda: kept[0] + 1,
        lambda: np.sin(kept[0]),
        lambda: bool(kept[0]),
        lambda: jit(lambda x: x + kept[0])(1.0),
        lambda: adjit.fori_loop(0, 3, lambda i, y: y + kept[0], 0.0),
    ):
        with pytest.raises(EscapedTracer, match="after its trace has ended") as error:
            use()
        assert "test_bad_input.py" in str(error.value)
    assert "Tracer<" in f"{kept[0]}"


# ------------------------------------------------------------------ debugging


def test_a_debugger_sees_arrays(capsys):
    seen = []

    def f(x):
        y = np.sin(x)
        seen.append(type(y))
        print(y.sum() > 0)
        return np.sum(y * y)

    x = np.array([0.1, 0.2])
    with adjit.options(debug=True):
        for g in (jit(f), grad(f)):
            seen.clear()
            first = g(x)
            assert seen[0] is np.ndarray
            seen.clear()
            assert np.array_equal(g(x), first)
            assert seen[0] is np.ndarray  # and not at the first call alone
            assert capsys.readouterr().out == "True\n" * 2
        assert np.allclose(hvp(f)(x, x), hvp(f)(x, x))
        assert np.allclose(vmap(lambda x: x * 2)(x), x * 2)
    assert np.allclose(first, np.sin(2 * x))


def test_a_dtype_may_be_a_class_and_is_refused_where_it_holds_objects():
    f = jit(lambda x: np.add(x, x, dtype=np.dtypes.Float32DType))
    assert f(np.ones(2, np.float32)).dtype == np.float32
    with pytest.raises(TypeError, match="dtype"):
        jit(lambda x: np.add(x, x, dtype=object))(np.ones(2))
