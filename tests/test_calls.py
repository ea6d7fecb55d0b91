"""Calls under stress: odd arguments, many variants, threads, errors, and nothing that leaks."""

import copy
import dataclasses
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import OrderedDict, defaultdict, namedtuple
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from adjit import fori_loop, grad, jit, options, value_and_grad, while_loop
from adjit.codegen import front, symbols

pytestmark = pytest.mark.skipif(not front.works(), reason="no compiled fronts here")
X = np.array([1.0, 2.0, 3.0])
Pair = namedtuple("Pair", "u v")


class Named(NamedTuple):
    u: np.ndarray
    v: float


class Special(Pair):
    """A named tuple that makes its objects by itself."""

    def __new__(cls, u, v):
        return super().__new__(cls, u, v)


@dataclasses.dataclass(frozen=True)
class Model:
    w: np.ndarray
    b: float = 1.0


@dataclasses.dataclass(slots=True)
class Slim:
    w: np.ndarray


class Sub(np.ndarray):
    pass


@value_and_grad
def cubes(x):
    return np.sum(x**3)


def table_calls(f):
    return sum(front.calls(t) for v in f.variants() for t in v.fronts)


def answered(f, *args, times=1, **kwargs):
    """The answer of a compiled front."""
    f(*args, **kwargs)
    before = table_calls(f)
    for _ in range(times):
        result = f(*args, **kwargs)
    assert table_calls(f) == before + times, "the front left the call to Python"
    return result


def assert_same(a, b):
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    return type(a) is type(b) and (a == b or a != a)


# ------------------------------------------------------------------ arguments


@pytest.mark.filterwarnings("ignore::adjit.errors.ZeroGradient")  # of the empty array
def test_every_kind_of_array_is_answered_as_the_interpreter_does(tmp_path):
    frozen, file = X.copy(), np.memmap(tmp_path / "x", float, "w+", shape=3)
    frozen.flags.writeable = False
    file[:] = X
    odd = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(float)
    other = np.frombuffer(X.tobytes(), pickle.loads(pickle.dumps(np.dtype(float))))
    tagged = X.astype(np.dtype(float, metadata={"unit": "m"}))
    given = [
        X, frozen, X[::-1], np.ones((4, 2))[:, 0], np.ones((2, 3)).T, odd, other, tagged, file,
        np.broadcast_to(2.0, (3,)), np.empty(0), np.array(2.0), 2.0, np.float64(2.0),
        X.astype(np.float32), np.array([np.nan, np.inf, 1.0]),
    ]  # fmt: skip
    with options(interpret=True):
        want = [cubes(x) for x in given]
    for _ in range(3):
        for x, (value, slope) in zip(given, want, strict=True):
            got = cubes(x)
            assert assert_same(got[0], value) and assert_same(got[1], slope)


def test_what_is_no_argument_is_refused_every_time():
    cubes(X)
    cases = [
        X.view(Sub), np.ma.masked_array(X, [0, 1, 0]), X.astype(object), X.astype(">f8"),
        np.zeros(2, "M8[D]"), "a", None, np.array([1, 2]), 10**400,
    ]  # fmt: skip
    for x in cases:
        for _ in range(2):
            with pytest.raises((TypeError, OverflowError)):
                cubes(x)
    for args, kwargs in (((), {}), ((X, X), {}), ((), {"y": X}), ((X,), {"x": X})):
        with pytest.raises(TypeError):
            cubes(*args, **kwargs)
    assert answered(cubes, X)[0] == 36.0


def test_layouts_have_fronts_of_their_own():
    f = jit(lambda x: x * np.arange(6.0).reshape(2, 3))
    c = np.arange(6.0).reshape(2, 3)
    for x in (c, np.asfortranarray(c), np.arange(24.0).reshape(4, 6)[::2, ::2], c[::-1]):
        assert np.array_equal(answered(f, x), x * c)
    assert f.cache_info().variants == 3


def test_numbers_come_and_go():
    f = jit(lambda a, x, n: (a * n, n * 2, x[0] > a, np.argmax(x), n > 2, x.shape, 10**12))
    got = answered(f, 0.5, X, 3)
    assert got == (1.5, 6, True, 2, True, (3,), 10**12)
    assert [type(g) for g in got[:5]] == [float, int, np.bool_, np.int64, bool]
    assert f(0.5, X, -3)[:2] == (-1.5, -6) and f(0.5, X, True)[1] == 2
    with pytest.raises(OverflowError):
        f(0.5, X, 2**64)


def test_containers_of_every_class_come_and_go():
    kinds = (
        {"a": X, 3: X, (1, 2): X}, OrderedDict(b=X, a=X), defaultdict(list, a=X), Pair(X, 2.0),
        Named(X, 2.0), Special(X, 2.0), Model(X), Slim(X), [X, [X, ()], None, "s"],
    )  # fmt: skip
    doubled = grad(lambda k: sum(np.sum(x * x) for x in leaves(k)))
    for k in kinds:
        got = answered(doubled, k)
        assert type(got) is type(k)
        for a, b in zip(leaves(got), leaves(k), strict=True):
            assert np.array_equal(a, b * 2.0)
    assert list(doubled({(1, 2): X, "a": X, 3: X})) == [(1, 2), "a", 3]
    with pytest.raises(dataclasses.FrozenInstanceError):
        doubled(Model(X)).b = 2.0


def leaves(x):
    if isinstance(x, dict):
        x = tuple(x.values())
    elif dataclasses.is_dataclass(x):
        x = tuple(getattr(x, f.name) for f in dataclasses.fields(x))
    if isinstance(x, (tuple, list)):
        return [leaf for part in x for leaf in leaves(part)]
    return [x] if isinstance(x, (np.ndarray, float)) else []


# ------------------------------------------------------------------ programs


def test_variants_alternate_and_the_usual_one_moves_ahead():
    f = jit(lambda x: x * 2.0 if x[0] > 0.0 else -x)
    for x in (X, -X, X, -X):
        f(x)
    before = table_calls(f)
    for _ in range(10):
        assert f(X)[0] == 2.0 and f(-X)[0] == 1.0
    assert table_calls(f) == before + 20
    left = [front.left(t) for v in f.variants() for t in v.fronts]
    for _ in range(10):
        f(X)
    new = [front.left(t) for v in f.variants() for t in v.fronts]
    assert sum(map(sum, new)) <= sum(map(sum, left)) + 2


@pytest.mark.parametrize("counted", [False, True])
def test_open_loops_have_fronts_and_can_be_stopped(counted):
    @jit
    def halvings(x, n):
        if counted:
            return fori_loop(0, n, lambda i, y: y / 2, x)
        return while_loop(lambda c: c[1] > 0, lambda c: (c[0] / 2, c[1] - 1), (x, n))[0]

    assert answered(halvings, 8.0, 3, times=3) == 1.0

    def ring(*_):
        raise KeyboardInterrupt

    kept = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            halvings(8.0, 1 << 60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)
    assert answered(halvings, 8.0, 4) == 0.5


def test_large_products_have_fronts_and_give_threads_back():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 80, 80))
    f = jit(lambda a, b: a @ b)
    before = symbols.get_threads()
    np.testing.assert_allclose(answered(f, a, b), a @ b, rtol=1e-10)
    assert symbols.get_threads() == before


def test_errors_in_the_middle_leave_nothing_behind():
    f = jit(lambda x, i: x[i] * 2.0)
    f(X, np.array([0, 1]))
    for _ in range(3):
        with pytest.raises(IndexError):
            f(X, np.array([0, 7]))
        assert answered(f, X, np.array([0, 2])).tolist() == [2.0, 6.0]

    state = SimpleNamespace(w=X)
    g = jit(lambda x: x * state.w)
    g(X)
    for _ in range(2):
        del state.w
        for _ in range(2):
            with pytest.raises(AttributeError):
                g(X)
        state.w = X + 1
        assert np.array_equal(answered(g, X), X * (X + 1))


# ------------------------------------------------------------------ as Python objects


def test_nothing_leaks_in_any_kind_of_call():
    pick = jit(lambda x, i: x[i])
    branch = jit(lambda x: x * 2 if x[0] > 0 else -x)
    boxes = grad(lambda p, q: np.sum(p["a"] * q.w) * p["b"][0] * q.b)
    out, space = (np.empty(()), np.empty(3)), X.copy()

    def refused(f, *args):
        with pytest.raises((TypeError, IndexError)):
            f(*args)

    calls = {
        "plain": lambda: cubes(X),
        "out": lambda: cubes(X, out=out),
        "partly": lambda: cubes(X, out=(None, out[1])),
        "copied": lambda: cubes(X, out=(None, space[::-1])),
        "strided": lambda: cubes(X[::-1]),
        "boxes": lambda: boxes({"a": X, "b": [2.0]}, Model(X)),
        "branches": lambda: (branch(X), branch(-X)),
        "index": lambda: refused(pick, X, np.array([9])),
        "refused": lambda: refused(cubes, None),
    }
    pick(X, np.array([1]))
    for name, call in calls.items():
        times = 50 if name in ("refused", "index") else 400
        for _ in range(20):
            call()
        gc.collect()
        counts = [sys.getrefcount(o) for o in (X, out, out[1], np.float64)]
        blocks = sys.getallocatedblocks()
        for _ in range(times):
            call()
        gc.collect()
        assert sys.getallocatedblocks() - blocks < times / 4, name
        again = [sys.getrefcount(o) for o in (X, out, out[1], np.float64)]
        assert all(abs(a - b) < 20 for a, b in zip(counts, again, strict=True)), name


def test_threads_call_at_once_with_results_of_their_own():
    f = value_and_grad(lambda x: np.sum(np.sin(x) ** 2))
    x = np.linspace(0, 1, 20000)
    want, wrong = f(x), []

    def work(out):
        for _ in range(30):
            value, slope = f(x, out=out) if out else f(x)
            if value != want[0] or not np.array_equal(slope, want[1]):
                wrong.append(value)

    outs = [None, (np.empty(()), np.empty_like(x)), (None, np.empty_like(x)), None]
    threads = [threading.Thread(target=work, args=(o,)) for o in outs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_objects_survive_their_function():
    def make():
        f = jit(lambda x: x + 1.0)
        f.itself = f  # a cycle
        f(X)
        return f

    f = make()
    method = f.__call__
    assert copy.deepcopy(f) is f and copy.copy(f) is f and f(X)[0] == 2.0
    del f
    gc.collect()
    assert method(X)[0] == 2.0 and method(X, out=(o := np.empty(3))) is o
    assert pickle.loads(pickle.dumps(cubes)) is cubes

    class Late:
        def __del__(self):
            said.append(self.f(X)[0])

    said = []
    late = Late()
    late.f = make()
    late.f.late = late
    del late
    gc.collect()
    assert said == [2.0]


def test_the_state_of_objects_is_read_without_python():
    class Layer:
        def __init__(self):
            self.w, self.b, self.slope = np.eye(3), np.ones(3), 0.5

    class Net:
        def __init__(self):
            self.layers, self.named, self.kind = [Layer(), Layer()], {"gain": X.copy()}, "leaky"

        @grad(argnums=1)
        def slope(self, x):
            for layer in self.layers:
                x = x @ layer.w + layer.b * (layer.slope if self.kind == "leaky" else 0.0)
            return np.sum(x * x * self.named["gain"])

    net = Net()

    def want():
        ws, (first, second) = [layer.w for layer in net.layers], net.layers
        y = X @ ws[0] + first.b * first.slope
        y = y @ ws[1] + second.b * second.slope
        return 2 * y * net.named["gain"] @ ws[1].T @ ws[0].T

    np.testing.assert_allclose(answered(net.slope.__func__, net, X), want())
    net.layers[1].w[0, 1] = 3.0
    np.testing.assert_allclose(answered(net.slope.__func__, net, X), want())
    net.layers[0].w = np.arange(9.0).reshape(3, 3).T  # no longer in C order
    net.layers[0].slope = 0.25
    np.testing.assert_allclose(answered(net.slope.__func__, net, X), want())
    net.named["gain"] = np.arange(6.0)[::2]
    np.testing.assert_allclose(answered(net.slope.__func__, net, X), want())
    net.layers.append(Layer())
    net.layers.pop(0)
    np.testing.assert_allclose(net.slope(X), want())
    del net.named["gain"]
    with pytest.raises(KeyError):
        net.slope(X)


def test_calls_nest():
    @jit
    def inner(x):
        return x * 2.0

    class Row:
        """A number of rows that asks a compiled function."""

        def __len__(self):
            return int(inner(X)[0])

    f = jit(lambda x: inner(x) + len(Row()))
    assert answered(f, X).tolist() == [4.0, 6.0, 8.0]

    def deep(n):
        return inner(X)[0] if n == 0 else deep(n - 1)

    assert deep(500) == 2.0


ALONE = """
import numpy as np
from adjit import value_and_grad, jit
from adjit.codegen import entry
f = value_and_grad(lambda p, k: np.sum(p['w'] ** 2) * k)
out = np.empty(()), {'w': np.empty(3)}
p = {'w': np.arange(3.0)}
for _ in range(3):
    print(f(p, 2), f(p, k=2, out=out) is out, out, f({'w': p['w'][::-1]}, 0.5))
print(jit(lambda x: (x[0] > 1.0, np.argmax(x), x.sum()))(p['w']), entry.native())
"""


def test_python_answers_alike_where_no_machine_code_may(capsys):
    env = {**os.environ, "ADJIT_ENTRY": "python"}
    done = subprocess.run([sys.executable, "-c", ALONE], env=env, capture_output=True, text=True)
    exec(compile(ALONE, "alone.py", "exec"), {})
    assert done.stdout == capsys.readouterr().out.replace("True\n", "False\n") != "", done.stderr


def test_other_interpreters_of_the_process_take_python():
    pytest.importorskip("_xxsubinterpreters")
    code = (
        "import _xxsubinterpreters as s\n"
        f"s.run_string(s.create(), '''import warnings; warnings.simplefilter('ignore')\n{ALONE}''')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "Importing the numpy C-extensions failed" in done.stderr:
        pytest.skip("this NumPy does not load into other interpreters")
    assert done.stdout.rstrip().endswith("False"), done.stderr
