"""`options(compile="background")`: the interpreter answers until a worker has compiled."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from adjit import jit, options, value_and_grad
from adjit.errors import CompilationFailed
from adjit.variant import Variant

X = np.linspace(0.1, 2.0, 7)


def loss(x):
    return np.sum(np.log(x) * np.sin(x))


@pytest.fixture
def gate(monkeypatch):
    """Compilation waits until the gate is opened."""
    opened, build = threading.Event(), Variant._build

    def slow(self):
        assert opened.wait(60)
        return build(self)

    monkeypatch.setattr(Variant, "_build", slow)
    yield opened
    opened.set()


@pytest.fixture
def background():
    options.set(compile="background")
    yield
    options.set(compile="now")


def test_calls_are_answered_before_and_after_the_swap(gate, background):
    f = value_and_grad(loss)
    early = [f(X) for _ in range(3)]
    assert "being compiled" in str(f.explain()) and not f.cache_info().kernels
    gate.set()
    f.wait(60)
    late = [f(X) for _ in range(3)]
    assert f.cache_info().kernels == 1 and f.cache_info().traces == 1
    for value, g in (*early, *late):
        np.testing.assert_allclose(value, loss(X), rtol=1e-13)
        np.testing.assert_allclose(g, np.sin(X) / X + np.log(X) * np.cos(X), rtol=1e-13)
    assert type(early[0][0]) is type(late[0][0]) and early[0][1].flags.owndata


def test_paths_are_right_while_compiling(gate, background):
    f = jit(lambda x: x * 2.0 if x > 0.0 else -x)
    assert [f(v) for v in (1.0, -2.0, 3.0, -4.0)] == [2.0, 2.0, 6.0, 4.0]
    gate.set()
    f.wait(60)
    assert [f(v) for v in (1.0, -2.0, 3.0, -4.0)] == [2.0, 2.0, 6.0, 4.0]


def test_threads_that_call_meanwhile(gate, background):
    f, wrong = value_and_grad(loss), []

    def work():
        for k in range(40):
            if k == 20:
                gate.set()
            if not np.isclose(f(X)[0], loss(X), rtol=1e-12):
                wrong.append(k)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_failure_is_told_once_and_answers_go_on(monkeypatch, background):
    monkeypatch.setattr(Variant, "_build", lambda self: 1 / 0)
    f = jit(lambda x: np.exp(x))
    f(X)
    with pytest.raises(ZeroDivisionError):
        f.wait(60)
    with pytest.warns(CompilationFailed, match="ZeroDivisionError"):
        f(X)
    np.testing.assert_allclose(f(X), np.exp(X))


def test_errors_of_the_call_are_those_of_numpy(gate, background):
    f = jit(lambda x, i: x[i])
    with pytest.raises(IndexError):
        f(X, np.array([99]))


def test_now_is_now_inside_a_block(background):
    f = jit(lambda x: np.cosh(x))
    with options(compile="now"):
        f(X)
        assert f.cache_info().kernels == 1
    with pytest.raises(ValueError, match="compile='later'"):
        options(compile="later").__enter__()


def test_a_process_may_end_while_a_worker_compiles():
    code = (
        "import numpy as np, adjit\nadjit.options.set(compile='background')\n"
        "f = adjit.grad(lambda x: np.sum(np.sin(x)))\nprint(f(np.zeros(3)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1. 1. 1.]\n", "")
