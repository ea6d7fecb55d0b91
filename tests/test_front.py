"""The compiled front of a function answers as the Python before it does, or leaves it to that."""

import contextvars
import copy
import dataclasses
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from adjit import CompiledFunction, grad, jit, options, value_and_grad
from adjit.codegen import front
from adjit.tracer.tree import register_container

pytestmark = pytest.mark.skipif(not front.works(), reason="no compiled fronts here")
Point = namedtuple("Point", "x y")
scale = np.array([1.0, 2.0, 3.0])
factor = 2.0


@dataclasses.dataclass
class Model:
    w: np.ndarray
    b: float


@jit
def module_level(x):
    return np.sum(x) * 2.0


def table_calls(f: Any) -> int:
    """How many calls compiled fronts answered for a function."""
    return sum(front.calls(t) for v in f.variants() if (t := v.front) is not None)


def both(f: Any, *args: Any, **kwargs: Any) -> Any:
    """The answer of the compiled front, which must be that of the interpreter."""
    first, before = f(*args, **kwargs), table_calls(f)
    again = f(*args, **kwargs)
    assert table_calls(f) == before + 1, "the front left the call to Python"
    for a, b in zip(leaves(first), leaves(again), strict=True):
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b)
        assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
        assert a is not b or not isinstance(a, np.ndarray)
    return again


def leaves(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return [v for y in x.values() for v in leaves(y)]
    return [v for y in x for v in leaves(y)] if isinstance(x, (tuple, list)) else [x]


X = np.array([0.5, 1.5, -2.0])


def test_arrays_scalars_and_numbers() -> None:
    assert both(jit(lambda x: np.sum(x * x)), X) == np.float64(6.5)
    assert type(both(jit(lambda a, b: a * b + 1.0), 2.0, 3.0)) is float
    assert type(both(jit(lambda a: np.sin(a)), np.float32(0.5))) is np.float32
    assert both(jit(lambda a, x: a * x), 3, X).tolist() == [1.5, 4.5, -6.0]
    assert both(jit(lambda x: x[0] * x), X.astype(np.float32)).dtype == np.float32
    assert both(jit(lambda x: x + 1), np.array(1.0)).shape == ()


def test_containers_of_arguments_and_results() -> None:
    f = value_and_grad(lambda p, x: np.sum((p["w"] * x + p["b"][0]) ** 2 * p["c"][0] + p["c"][1]))
    _, g = both(f, {"w": X, "b": [2.0], "c": (1.0, X)}, X)
    assert list(g) == ["w", "b", "c"] and type(g["b"]) is list and type(g["c"]) is tuple
    np.testing.assert_allclose(g["w"], 2 * (X * X + 2) * X)
    assert both(jit(lambda p: [p.x * p.y, {"s": p.y}]), Point(X, 2.0))[1] == {"s": 2.0}
    assert both(jit(lambda m, x: m.w @ x + m.b), Model(X, 1.0), X) == pytest.approx(7.5)
    assert both(jit(lambda x, *, k, mode: x * k), X, k=2.0, mode="a").tolist() == [1.0, 3.0, -4.0]
    assert (
        both(jit(lambda x, flag, none: (x * 2.0 if flag else -x, none)), X, True, None)[1] is None
    )


def test_calls_that_are_another_variant_s() -> None:
    f = jit(lambda x: x * 2.0)
    wide = np.zeros((4, 6))[:, ::2]
    for x in (X, X.astype(np.float32), X[::-1], np.ones((2, 3)), wide, 2.0, np.float32(1), X):
        for _ in range(2):
            got = f(x)
            np.testing.assert_array_equal(got, x * 2.0)
            assert getattr(got, "dtype", None) == getattr(x * 2.0, "dtype", None)
    with pytest.raises(TypeError):
        f()
    with pytest.raises(TypeError):
        f(X, X)
    with pytest.raises(TypeError):
        f(y=X)
    big = np.frombuffer(b"\0" + np.ones(3).tobytes(), np.uint8)[1:].view(np.float64)
    assert not big.flags.aligned or big.tolist() == [1, 1, 1]
    assert f(big).tolist() == [2, 2, 2]
    assert f(x=X).tolist() == (X * 2).tolist() == f(x=X).tolist()


def test_dicts_and_lists_of_other_shapes_are_misses() -> None:
    f = jit(lambda p: p["a"] + sum(p["b"]))
    assert both(f, {"a": 1.0, "b": [1.0, 2.0]}) == 4.0
    assert f({"a": 1.0, "b": [1.0]}) == 2.0
    assert f({"a": 1.0, "b": (1.0, 5.0)}) == 7.0
    assert f({"b": [1.0, 2.0], "a": 2.0}) == 5.0
    assert f({"a": 1.0, "b": [1.0, 2.0], "c": 3.0}) == 4.0
    with pytest.raises(KeyError):
        f({"b": [1.0, 2.0]})


def test_captured_state_is_read_at_every_call() -> None:
    global factor
    space = {"k": np.array([1.0, 1.0, 1.0])}

    @jit
    def f(x):
        return np.sum(x * scale * space["k"]) * factor

    try:
        assert both(f, X) == pytest.approx(2 * np.sum(X * scale))
        space["k"][0] = 3.0
        assert f(X) == pytest.approx(2 * np.sum(X * scale * space["k"]))
        factor = 3.0
        assert f(X) == pytest.approx(3 * np.sum(X * scale * space["k"]))
        space["k"] = np.ones((1, 3), np.float32)
        assert f(X) == pytest.approx(3 * np.sum(X * scale))
    finally:
        factor = 2.0


def test_paths_are_told_apart_and_counted() -> None:
    f = jit(lambda x: x * 2.0 if x > 0.0 else -x)
    got = [f(v) for v in (1.0, -2.0, 3.0, -4.0, 5.0)]
    assert got == [2.0, 2.0, 6.0, 4.0, 10.0]
    assert sum(v.decisions.calls for v in f.variants()) == 5 and len(f.variants()) == 2
    assert "3 calls" in str(f.explain()) and "2 calls" in str(f.explain())


def test_options_and_open_traces_go_through_python() -> None:
    f = jit(lambda x: np.exp(x))
    f(X)
    before = table_calls(f)
    with options(interpret=True):
        np.testing.assert_allclose(f(X), np.exp(X))
    assert table_calls(f) == before
    np.testing.assert_allclose(grad(lambda x: np.sum(f(x) * 2.0))(X), 2 * np.exp(X))
    assert table_calls(f) == before
    f.clear()
    np.testing.assert_allclose(f(X), np.exp(X))


def test_blocks_of_options_have_chains_of_their_own() -> None:
    f = jit(lambda x: np.exp(x))
    both(f, X)
    for _ in range(2):
        for threads in (2, 3, 4, 5, 6, 7):  # more than there is room for
            with options(threads=threads):
                f(X)
                np.testing.assert_allclose(both(f, X), np.exp(X))
                with options(interpret=True):
                    before = table_calls(f)
                    np.testing.assert_allclose(f(X), np.exp(X))
                    assert table_calls(f) == before
                both(f, X)
        both(f, X)
    assert {v.options.threads for v in f.variants()} >= {2, 3, 4, 5, 6, 7}


def test_a_block_counts_in_its_own_context_alone() -> None:
    f = jit(lambda x: np.exp(x))
    both(f, X)
    default = options.get().threads

    def called() -> list[int]:
        f(X)
        return [front.calls(v.front) for v in f.variants() if v.options.threads == default]

    with options(threads=default + 1):
        both(f, X)
        inside = called()
        outside: list[int] = []
        thread = threading.Thread(target=lambda: outside.extend(called()))
        thread.start()
        thread.join()
        assert [n + 1 for n in inside] == outside
        inner = contextvars.copy_context()
    both(f, X)
    before = called()
    inner.run(called)
    assert called() == [n + 1 for n in before]  # the options of a block go where its context goes


def test_defaults_that_change_in_a_block_count_there_too() -> None:
    f = jit(lambda x: np.exp(x))
    before = options.get().threads
    try:
        with options(unroll="exact"):
            both(f, X)
            options.set(threads=before + 1)
            both(f, X)
            assert {v.options.threads for v in f.variants()} == {before, before + 1}
    finally:
        options.set(threads=before)


def test_it_is_still_the_same_object_to_python() -> None:
    f = module_level
    f(X)
    assert isinstance(f, CompiledFunction) and f(X) == 0.0
    assert pickle.loads(pickle.dumps(f)) is f
    assert copy.copy(f)(X) == 0.0 and type(f).__name__ == "CompiledFunction"
    assert f.__wrapped__(X) == 0.0 and callable(f) and "module_level" in repr(f)

    class Thing:
        k = 3.0

        @jit
        def scaled(self, x):
            return self.k * x

    thing = Thing()
    assert [thing.scaled(2.0) for _ in range(3)] == [6.0] * 3


def test_nothing_leaks() -> None:
    f = value_and_grad(lambda p, x: np.sum(p["w"] * x) + p["b"])
    args = ({"w": X.copy(), "b": 1.0}, X.copy())
    f(*args)
    objects = [args[0], args[0]["w"], args[1], np.float64, np.dtype(float), None]
    counts = [sys.getrefcount(o) for o in objects]
    for _ in range(1000):
        f(*args)
    for o, before in zip(objects, counts, strict=True):
        assert abs(sys.getrefcount(o) - before) < 50
    kept = weakref.ref(f)
    del f
    gc.collect()
    assert kept() is None


def test_index_errors_come_out_of_the_front() -> None:
    f = jit(lambda x, i: x[i])
    assert both(f, X, np.array([0, 2])).tolist() == [0.5, -2.0]
    with pytest.raises(IndexError):
        f(X, np.array([0, 9]))
    assert f(X, np.array([0, 2])).tolist() == [0.5, -2.0]


def test_threads_share_a_program_with_workspaces() -> None:
    f = value_and_grad(lambda w, x: np.sum(np.tanh(x @ w) ** 2))
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=20), rng.normal(size=(3000, 20))
    want, wrong = f(w, x), []

    def work() -> None:
        for _ in range(50):
            value, g = f(w, x)
            if value != want[0] or not np.array_equal(g, want[1]):
                wrong.append(value)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_without_compiled_fronts_everything_answers_alike() -> None:
    code = (
        "import numpy as np; from adjit import value_and_grad\n"
        "f = value_and_grad(lambda p: np.sum(p['w'] ** 2))\n"
        "print([f({'w': np.arange(3.0)}) for _ in range(3)][2], f._front)"
    )
    env = {**os.environ, "ADJIT_ENTRY": "python"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "(np.float64(5.0), {'w': array([0., 2., 4.])}) None", done.stderr


def test_integers_that_the_trace_knows_are_results() -> None:
    program = jit(lambda x: [x * 2.0, x.shape[0], 10**12])
    for _ in range(3):
        assert program(np.ones(3))[1:] == [3, 10**12]


class Emptying:
    """A container whose unpacking empties a list, as another thread may at any time."""

    def __init__(self, x: np.ndarray, victims: list[Any] | dict[str, Any]) -> None:
        self.x, self.victims = x, victims


def _unpacked(box: Emptying) -> tuple[list[Any], None]:
    box.victims.clear()
    return [box.x], None


@pytest.mark.parametrize("kind", [list, lambda xs: dict(enumerate(xs))])
def test_what_a_list_held_lives_until_the_call_ends(kind):
    register_container(Emptying, _unpacked, lambda _, parts: Emptying(parts[0], []))
    f = jit(lambda parts, box: parts[0] + box.x)
    for _ in range(3):
        f(kind([np.ones(3)]), Emptying(np.ones(3), []))
    given = kind([np.full(3, 5.0)])
    alive: list[bool] = []
    before = table_calls(f)
    weakref.finalize(given[0], lambda: alive.append(table_calls(f) > before))
    np.testing.assert_array_equal(f(given, Emptying(np.ones(3), given)), np.full(3, 6.0))
    assert alive == [True]
