"""What a program takes besides its arguments: reported truly, and kept within a budget."""

import gc
import linecache
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from adjit import jit, options, value_and_grad
from adjit.codegen import memory
from adjit.errors import MemoryBudgetExceeded
from adjit.ir.sizes import parse_bytes, show_bytes
from adjit.tracer.recipes import _known

RNG = np.random.default_rng(0)
MEASURE = """
import resource, numpy as np
from adjit import value_and_grad, jit
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
def mixture(a, m, w, x):
    y = (x[None] - m[:, None]) @ w
    z = a[:, None] - 0.5 * np.sum(y * y, axis=2)
    top = np.max(z, axis=0)
    return np.sum(top + np.log(np.sum(np.exp(z - top), axis=0)))
def columns(x, w):
    z = x @ w
    return np.sum(np.log(np.sum(np.exp(z - np.max(z, axis=0)), axis=0)))
ones = np.ones
f, args = {
    "results": (jit(lambda x: (np.exp(x), np.sin(x) * x)), (ones(4_000_000),)),
    "stages": (value_and_grad(columns), (ones((20_000, 64)), ones((64, 300)))),
    "parts": (
        value_and_grad(mixture),
        (ones(25), ones((25, 4)), ones((25, 4, 8)), ones((60_000, 4))),
    ),
}["NAME"]
f.compile(*args)
before = rss()
out = f(*args)
print(rss() - before, f.variants()[0].memory.peak)
"""


def mixture(a, m, w, x):
    y = (x[None] - m[:, None]) @ w
    z = a[:, None] - 0.5 * np.sum(y * y, axis=2)
    top = np.max(z, axis=0)
    return np.sum(top + np.log(np.sum(np.exp(z - top), axis=0)))


@pytest.fixture(scope="module")
def args():
    return tuple(RNG.normal(size=s) for s in ((25,), (25, 4), (25, 4, 8), (9000, 4)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["results", "stages", "parts"])
def test_the_peak_is_what_the_process_takes(name):
    code = MEASURE.replace("NAME", name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken, said = map(int, done.stdout.split())
    assert abs(taken - said) <= 0.2 * said + (4 << 20)


def test_explain_shows_it(args):
    f = jit(lambda x: np.exp(x) * 2.0)
    f(np.ones(1 << 17))
    line = next(text for text in str(f.explain()).splitlines() if text.startswith("  memory"))
    assert re.search(r"results 1.0 MB, scratch 0 B, peak 1.0 MB", line)


def test_a_budget_is_kept_by_running_the_rows_in_parts(args):
    want = value_and_grad(mixture, argnums=(0, 1, 2, 3))(*args)
    with options(memory_budget="2M"):
        f = value_and_grad(mixture, argnums=(0, 1, 2, 3))
        got = f(*args)
        memory = f.variants()[0].memory
    assert memory.peak <= 2 << 20 and memory.results >= 9000 * 4 * 8
    for a, b in zip([got[0], *got[1]], [want[0], *want[1]], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_large_scratch_memory_is_cut_to_fit_the_cache(args):
    a, m, w, _ = args
    x = RNG.normal(size=(20_000, 4))
    f = value_and_grad(mixture, argnums=(1, 3))
    value, (gm, gx) = f(a, m, w, x)
    assert f.variants()[0].memory.scratch < 2 << 20
    with options(interpret=True):
        want = value_and_grad(mixture, argnums=(1, 3))(a, m, w, x)
    np.testing.assert_allclose(value, want[0], rtol=1e-12)
    np.testing.assert_allclose(gm, want[1][0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gx, want[1][1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [{"threads": 2}, {"threads": 4}, {"compile": "background"}])
def test_a_budget_that_one_thread_keeps_is_kept(kind):
    def shares(x, y):
        p = np.exp(x - x.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        return np.sum(p * y) ** 2 + np.log(np.sum(x.mean(0) ** 2))

    x, y = RNG.normal(size=(2, 5000, 40))
    want = value_and_grad(shares, (0, 1))(x, y)
    with options(memory_budget="4M", **kind):
        f = value_and_grad(shares, (0, 1))
        got = f(x, y)
        assert f.variants()[0].memory.peak <= 4 << 20
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
    for a, b in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_budget_that_cannot_be_kept_says_what_it_takes():
    with options(memory_budget=1 << 20), pytest.raises(MemoryBudgetExceeded) as error:
        jit(lambda x: np.exp(x))(np.ones(1 << 18))
    assert "2.0 MB of results" in str(error.value) and isinstance(error.value, MemoryError)
    f, enough = jit(lambda x: np.exp(x)), re.search(r"memory_budget=(\d+)", str(error.value))
    for _ in range(2):
        with options(memory_budget=int(enough[1]) - 1), pytest.raises(MemoryBudgetExceeded):
            f(np.ones(1 << 18))
    with options(memory_budget=int(enough[1])):
        f(np.ones(1 << 18))


def network(x, ws):
    h = x
    for w in ws:
        h = np.tanh(w @ h - np.mean(h, axis=0))  # every row reads all: there are no parts
    return np.sum(h * h)


def steps(y, p):
    ends = 0.0
    for k in range(400):
        k1 = -p * np.sin(y)
        y = y + 0.01 * (k1 - p * np.cos(y + 0.01 * k1)) * y
        if k % 100 == 99:
            ends = ends + np.sum(y)
    return ends + np.sum(y**2)


def test_a_budget_is_kept_by_computing_again():
    layers = [RNG.normal(size=(300, 300)) / 20 for _ in range(12)]
    cases = {
        "a row of ops": (network, (RNG.normal(size=(300, 300)), layers), 0.85),
        "a loop": (steps, (RNG.normal(size=300), np.abs(RNG.normal(size=300))), 0.2),
    }
    for name, (fn, given, share) in cases.items():
        f = value_and_grad(fn)
        want = f(*given)
        whole = f.variants()[0].memory.peak
        with options(memory_budget=int(share * whole)):
            g = value_and_grad(fn)
            got = g(*given)
            memory = g.variants()[0].memory
        assert memory.peak <= share * whole, name
        np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
        np.testing.assert_allclose(got[1], want[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("text", ["much", "", "-3M", 2.5])
def test_budgets_that_are_no_sizes(text):
    with pytest.raises(ValueError, match="memory_budget"):
        options(memory_budget=text).__enter__()


def test_sizes_as_people_write_them():
    assert [parse_bytes(t) for t in ("4096", "1.5k", "2M", "1GB")] == [4096, 1536, 2 << 20, 1 << 30]
    assert [show_bytes(n) for n in (12, 2048, 3 << 20, 5 << 29)] == [
        "12 B",
        "2.0 kB",
        "3.0 MB",
        "2.5 GB",
    ]


def test_functions_that_are_dropped_leave_nothing_behind():
    x = np.ones(3)

    def run(count):
        for k in range(count):
            value_and_grad(lambda x, k=float(k): np.sum(np.tanh(x) * k))(x)
        gc.collect()
        lines = sum(name.startswith("<adjit") for name in linecache.cache)
        return lines, len(_known)

    with options(interpret=True):
        before = run(3)
        assert run(6) == before


FAULTS = """
import resource, time, numpy as np
from adjit import background, jit, options, value_and_grad
def faults(f, *args):
    for _ in range(3):
        f(*args)
    while background._jobs:  # the whole, to be compared with threads
        time.sleep(0.01)
    return min(few(f, *args) for _ in range(4))  # calls may compare programs in between
def few(f, *args):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        f(*args)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5
rows, wide = np.ones((3000, 200)), np.ones((200, 700))
def loss(w, x):
    return np.sum(np.tanh(x @ w) ** 2)
print(faults(value_and_grad(loss), wide, rows))
print(faults(jit(lambda w, x: np.tanh(x @ w)), wide, np.asfortranarray(rows)))
print(faults(jit(lambda x: (x, np.sort(x[0]) + np.sum(np.sin(x @ x.T), axis=1)[0])), rows))
with options(threads=2):
    print(faults(value_and_grad(loss), wide, rows))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count otherwise")
def test_calls_map_no_large_memory_afresh():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # A megabyte is 256 pages; each of these programs has 1.1 to 72 MB of temporaries or results.
    assert all(int(n) < 128 for n in done.stdout.split()), done.stdout


def test_blocks_of_sizes_that_nobody_asks_for_are_given_back(monkeypatch):
    memory.release()
    monkeypatch.setattr(memory, "_age", 8)
    f8 = np.dtype("f8")
    for k in range(100):  # ever new sizes
        memory.empty((1 << 10, 200 + k), f8)
    assert memory.kept()["blocks"] <= 9

    def missed(shapes):
        before = memory.kept()["blocks"]
        held = [memory.empty(shape, f8) for shape in shapes]
        return len(held) - (before - memory.kept()["blocks"])

    one, other = ([(1 << 10, k + n) for n in range(1, 31)] for k in (400, 500))
    for _ in range(6):  # two programs that take turns
        missed(one), missed(other)
    assert missed(one) == missed(other) == 0
    memory.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_while_another_thread_asks_for_memory_can_ask_too():
    with memory._lock:  # held by a thread that the child does not have
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # ends the child if it waits for ever
            memory.empty((1 << 20,), np.dtype("f8"))
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
