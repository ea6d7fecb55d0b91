"""`options(compile="background")`: the interpreter answers until a worker has compiled."""

import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from adjit import jit, options, value_and_grad
from adjit.building import Build, _Later
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
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        f(X)
        with pytest.raises(ZeroDivisionError):
            f.wait(60)
        f(X)
    assert [w.category for w in told] == [CompilationFailed]
    assert "ZeroDivisionError" in str(told[0].message)
    np.testing.assert_allclose(f(X), np.exp(X))
    assert "none: ZeroDivisionError: division by zero; the interpreter" in str(f.explain())


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


def output_of(code):
    calm = "ignore:This process:DeprecationWarning"  # that it has threads and forks, from 3.12 on
    command = [sys.executable, "-W", calm, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


START = """
import os, sys, threading, time
import numpy as np
import adjit
from adjit.variant import Variant
adjit.options.set(compile="background")
"""


def test_a_process_ends_after_the_kernel_that_is_being_compiled():
    """Those that wait for the worker are left; nothing but the kernel's own work loads SciPy."""
    code = """
def slow(self):
    print("compiling", flush=True)
    threading.main_thread().join(60)
Variant._build = slow
for k in range(3):
    f = adjit.grad(lambda x: np.sum(np.logaddexp(0.0, x)) * k)
    f(np.zeros(3))
print(f(np.zeros(3)), "scipy" in sys.modules, flush=True)
"""
    lines = output_of(START + code)
    assert lines.count("compiling") == 1 and "[1. 1. 1.] False" in lines


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_compiles_for_itself():
    """What the parent's worker is at never ends in the child."""
    code = """
f = adjit.grad(lambda x: np.sum(np.sin(x)))
build, gate = Variant._build, os.pipe()
def slow(self):
    os.read(gate[0], 1)
    return build(self)
Variant._build = slow
f(np.zeros(3))
time.sleep(0.05)  # the worker holds the variant's lock now
child = os.fork()
if not child:
    Variant._build = build
    print(f(np.zeros(3)), f.wait(60).cache_info().kernels, flush=True)
    os._exit(0)
os.waitpid(child, 0)
os.write(gate[1], b"x")
print(f.wait(60).cache_info().kernels)
"""
    assert output_of(START + code) == ["[1. 1. 1.] 1", "1"]


def test_what_is_compiled_late_asks_the_store_first(monkeypatch, tmp_path):
    monkeypatch.setenv("ADJIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("adjit.background.has_compiler", lambda: False)
    f, tried = jit(lambda x: np.sum(x * 1.03125)), []
    with options(interpret=True):
        f(X)
    build = Build(f.variants()[-1].simplified, options.get())

    def make():
        tried.append(1)
        return build.whole()

    def made():
        later = _Later(make)
        while (found := later()) is None:
            time.sleep(0.001)
        return found

    np.testing.assert_allclose(made().call([X])[0], np.sum(X * 1.03125))
    assert len(tried) == 2  # without a compiler it was not to be had
    made()
    assert len(tried) == 3
