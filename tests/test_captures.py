"""Arrays that a function reads from outside: whatever they become, its compiled calls follow."""

import functools
import math
import pickle
import types
import warnings

import numpy as np
import pytest

from adjit import grad, jit, options


def unaligned(x):
    bytes_ = np.zeros(x.nbytes + 1, np.uint8)[1:]
    out = bytes_.view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


def mapped(x, path):
    out = np.memmap(path, x.dtype, "w+", shape=x.shape)
    out[...] = x
    return out


@pytest.mark.parametrize("interpret", [True, False])
def test_an_array_of_any_kind_may_take_the_place_of_another(interpret, tmp_path):
    w = np.arange(1.0, 4.0)
    kinds = {
        "plain": w,
        "unpickled": pickle.loads(pickle.dumps(w + 1)),
        "unaligned": unaligned(w + 2),
        "strided": np.repeat(w, 2)[::2],
        "repeated": np.broadcast_to(5.0, (3,)),
        "mapped": mapped(w + 3, tmp_path / "w"),
    }
    x = np.array([1.0, 10.0, 100.0])
    with options(interpret=interpret):
        for first in ("plain", "strided", "mapped", "unpickled"):
            box = types.SimpleNamespace(w=kinds[first])
            f = jit(lambda x, box=box: x * box.w)
            f(x)
            for name, new in kinds.items():
                box.w = new
                for _ in range(2):
                    np.testing.assert_array_equal(f(x), x * new, err_msg=f"{name} after {first}")
            assert f.cache_info().traces <= 3


def test_an_array_may_be_given_another_shape_in_place():
    box = types.SimpleNamespace(w=np.arange(6.0))
    with options(interpret=True):
        f = jit(lambda x: np.sum(x * box.w, axis=0))
        assert f(2.0) == 30.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 advises against it
            box.w.shape = (2, 3)
        np.testing.assert_array_equal(f(2.0), [6.0, 10.0, 14.0])


DECIDING = [  # what Python makes of the content, and what changes it
    ("x * w if w[0] > 5 else x", "w[0] = 9"),
    ("x * w if w.reshape(1, 3).T[1:][0] > 5 else x", "w[1] = 9"),
    ("x * w * float(w.max())", "w[0] = 9"),
    ("x * w * math.sqrt(w[0])", "w[0] = 9"),
    ("x * w + len([e for e in w.tolist() if e > 1.5])", "w[0] = 9"),
    ("functools.reduce(lambda a, b: a * b + 1, sorted([w, v], key=lambda a: a[0]), x)", "w[0] = 9"),
    ("x * pair[1][0] if np.any(pair[1][0] > 5) else x", "pair[1][0][0] = 9"),
    ("x * box.w if np.linalg.norm(np.asarray(box.w)) > 5 else x", "box.w[0] = 9"),
    ("[x, 2 * x, 3 * x][np.argmax(w)] * w", "w[0] = 9"),
    ("x * w if 9.0 in w else x", "w[0] = 9"),
    ("np.roll(x, n) + 0 * n", "n[...] = 2"),
    ("x[n] * x * n", "n[...] = 2"),
    ("np.take(x, n) * n", "n[...] = 2"),
    ("x * box.flag if box.flag else x", "box.flag[...] = False"),
]
FREE = [  # what reads no content, or in the program alone
    ("x * w + w @ x + np.dot(w, x) + np.interp(x, w, v)", "w[0] = 0.5"),
    ("x * w if (x @ w) > 1 else x", "w[0] = 1.5"),
    ("x * len(w) * w.shape[0] + np.ones_like(w) * w + np.array(w) + np.copy(w)", "w[0] = 9"),
    ("functools.reduce(lambda a, b: a * b, pair[1], x) + box.w[1:] @ x[1:]", "pair[1][0][0] = 9"),
    ("x[index] * x[index[::-1]] + np.take(x, index)", "index[0] = 2"),
    ("np.concatenate([x, w]) + np.where(x > w, x, w).sum()", "w[0] = 9"),
]


def described(text):
    names = {"np": np, "math": math, "functools": functools, "w": np.arange(1.0, 4.0)}
    names |= {"v": np.full(3, 2.0), "n": np.array(1), "index": np.array([0, 1, 0])}
    names["box"] = types.SimpleNamespace(w=np.arange(1.0, 4.0), flag=np.array(True))
    names["pair"] = (np.ones(3), [np.ones(3)])
    exec(f"def f(x): return {text}", names)
    return names["f"], names


@pytest.mark.parametrize("guarded", [True, False])
def test_content_that_python_reads_is_guarded_and_no_other(guarded):
    x = np.array([1.0, 10.0, 100.0])
    with options(interpret=True):
        for text, change in DECIDING if guarded else FREE:
            f, names = described(text)
            g = jit(f)
            for _ in range(2):
                np.testing.assert_allclose(g(x), f(x), rtol=1e-12, err_msg=text)
                exec(change, names)
            assert (g.cache_info().traces > 1) == guarded, text
            arrays = (names["w"], names["n"], names["pair"][1][0], names["box"].w)
            assert {type(a) for a in arrays} == {np.ndarray}, text


def test_what_lies_far_down_is_live():
    last = node = types.SimpleNamespace(w=np.ones(3), k=1.0, after=None)
    for _ in range(20):
        node = types.SimpleNamespace(w=np.ones(3), k=2.0, after=node)

    def f(x):
        here = node
        while here is not None:
            x = x * here.w + here.k
            here = here.after
        return x

    x = np.array([1.0, 10.0, 100.0])
    with options(interpret=True):
        g = jit(f)
        for change in (lambda: None, lambda: last.w.fill(3.0), lambda: setattr(last, "k", 5.0)):
            change()
            np.testing.assert_array_equal(g(x), f(x))
        assert g.cache_info().traces == 2


def scaled_by(k):
    def scaled(x):
        return x * k

    def change(to):
        nonlocal k
        k = to

    return scaled, change


def test_two_variables_of_one_name_are_two():
    x = np.array([1.0, 10.0, 100.0])
    modules = [types.ModuleType(name) for name in "ab"]
    for m in modules:
        exec(
            "import numpy as np\nk = 2.0\nw = np.ones(3)\ndef step(x): return x * k * w", m.__dict__
        )
    (f, _), (g, change) = scaled_by(2.0), scaled_by(3.0)
    (h, _), (i, fill) = scaled_by(np.ones(3)), scaled_by(np.ones(3))
    step, other = (m.step for m in modules)
    both = jit(lambda x: f(x) + g(x) + h(x) + i(x) + step(x) + other(x))
    with options(interpret=True):
        for k in range(4):
            np.testing.assert_array_equal(both(x), both.__wrapped__(x))
            (lambda k: change(7.0), lambda k: fill(x), lambda k: setattr(modules[1], "k", 9.0),
             lambda k: modules[1].w.fill(4.0))[k](k)  # fmt: skip
        np.testing.assert_array_equal(both(x), both.__wrapped__(x))


class Squares:
    def __init__(self, weights):
        self.weights = weights

    def loss(self, w):
        return np.sum(w**2 * self.weights)


def weighted(w, weights):
    return np.sum(w**2 * weights)


def made(weights):
    return lambda w: weighted(w, weights)


ROWS = np.arange(12.0).reshape(3, 4) + 1


def of_variable(k):
    row = ROWS[k] * 1.0
    return lambda w: weighted(w, row)


ROUNDS = {
    "factory": of_variable,
    "default": lambda k: lambda w, row=ROWS[k] * 1.0: weighted(w, row),
    "partial": lambda k: functools.partial(weighted, weights=ROWS[k] * 1.0),
    "method": lambda k: Squares(ROWS[k] * 1.0).loss,
    "returned": lambda k: made(ROWS[k]),
}


def loops():
    """Descents whose rounds differentiate functions that close over what the rounds change."""

    def variable(w):
        for k in range(3):
            row = ROWS[k] * 1.0
            w = w - 0.1 * grad(lambda w: np.sum(w**2 * row))(w)  # noqa: B023
        return w

    def view(w):
        for row in [ROWS[0], ROWS[1], ROWS[2]]:
            w = w - 0.1 * grad(lambda w: np.sum(w**2 * row[:]))(w)  # noqa: B023
        return w

    def number(w):
        for k in range(3):
            w = w - 0.1 * grad(lambda w: np.sum(w**2 * ROWS[k]))(w)  # noqa: B023
        return w

    def held(w):
        seen = []
        for k in range(3):
            seen.append(k)
            w = w - 0.1 * grad(lambda w: np.sum(w**2 * ROWS[len(seen) - 1]))(w)
        return w

    def decides(w):
        for k in range(3):
            row = ROWS[k] * 1.0
            w = w - 0.1 * grad(lambda w: np.sum(w**2 * row) if row[0] < 50 else w[0])(w)  # noqa: B023
        return w

    yield from (variable, view, number, held, decides)
    for make in ROUNDS.values():

        def called(w, make=make):
            for k in range(3):
                w = w - 0.1 * grad(make(k))(w)
            return w

        yield called


def test_what_a_function_made_itself_is_read_in_the_round_that_made_it():
    """Not from a variable that holds something else by then."""

    def wanted(w):
        for row in ROWS:
            w = w - 0.2 * w * row
        return w

    w = np.linspace(1.0, 2.0, 4)
    with options(interpret=True):
        for f in loops():
            descent = jit(f)
            for _ in range(2):
                for k in (1, 2):
                    np.testing.assert_allclose(descent(w * k), wanted(w * k), atol=1e-12)
                assert len(descent.variants()) <= 2  # no new trace at each call
                ROWS[:] += 1
            ROWS[:] -= 2
