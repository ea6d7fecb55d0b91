"""Plain arrays that traced values index or are written into, and that meet them in methods."""

import copy
import dataclasses
import threading
import types
import warnings

import numpy as np
import pytest
from traced import assert_same, evaluated

from adjit import cond, fori_loop, grad, jit, options, value_and_grad, vmap
from adjit.errors import FrozenWrite, TracedConversion, UntracedWrite
from adjit.tracer.trace import trace

x, y = np.array([0.3, 0.5, 1.2]), np.array([1.3, 0.45, 0.2])
T, A = np.arange(11.0) ** 2, np.arange(9.0).reshape(3, 3)
P, B = np.array([2, 0, 1]), np.array([True, False, True])
F, R, C = np.arange(5, dtype=np.float32), np.arange(5.0), np.arange(20.0).reshape(5, 4)[:, 1]
R.flags.writeable = False
space = types.SimpleNamespace(t=np.arange(5.0), d={"a": [T * 2, (T * 3,)]})


class Model:
    shared = np.arange(4.0)

    def __init__(self):
        self.t, self.parts = np.arange(5.0) * 7, [np.arange(3.0)]

    def run(self, x):
        return self.t[order(x)] + self.shared[order(x)] + self.parts[0][order(x)]


model = Model()


def order(x):
    return np.argsort(x)


def closed():
    c = np.arange(6.0) ** 3
    return lambda x: c[order(x)]


def default(x, t=T + 1, *, k=T + 2):
    return t[order(x)] * k[order(x)]


def interpolated(x):
    grid = np.linspace(0, 2, 7)
    val = np.sin(grid)
    i = np.clip(np.searchsorted(grid, x) - 1, 0, 5)
    w = (x - grid[i]) / (grid[i + 1] - grid[i])
    return val[i] * (1 - w) + val[i + 1] * w


READ = {
    "index": lambda x: x * T[(x * 3).astype(int)],
    "kinds": lambda x: x * P[order(x)] + B[order(x)] + F[order(x)] + R[order(x)] + C[order(x)],
    "float32": lambda x: F[order(x)],
    "rows": lambda x: A[order(x)] @ x + A[:, order(x)] @ x + A[order(x), P],
    "views": lambda x: A.T[order(x)] @ x + A[0][order(x)] + A[1:][order(x) % 2] @ x,
    "mask": lambda x: A[x > 0.4] @ x,
    "made of it": lambda x: (T * 2)[order(x)] + np.sin(T)[order(x)] + T.cumsum()[order(x)],
    "held": lambda x: space.t[order(x)] + space.d["a"][0][order(x)] + space.d["a"][1][0][order(x)],
    "object": lambda x: model.run(x),
    "closure": closed(),
    "default": default,
    "takes": lambda x: np.take(T, order(x)) + T.take(order(x)) + np.take(A, order(x), axis=1) @ x,
    "asarray": lambda x: np.asarray(T)[order(x)] + np.asarray(T, np.float32)[order(x)],
    "methods": lambda x: A.dot(x) + T.searchsorted(x) + A.clip(x, x + 1)[0] + P.choose([x, x, -x]),
    "one": lambda x: T[np.argmax(x)] * x[0] + A[np.argmin(x)] @ x,
    "interpolation": interpolated,
    "made inside": lambda x: (
        np.arange(3)[order(x)] + np.arange(0, 3.0, 0.5)[order(x)] + np.hanning(9)[order(x)]
        + np.eye(3)[order(x)] @ x + np.r_[0.0, 1.0, 2.0][order(x)] + np.array([3, 1, 2])[order(x)]
        + np.indices((3, 3))[0][order(x)] @ x + np.fft.fftfreq(5)[order(x)]
    ),
    "grids": lambda x: (
        np.mgrid[0:3, 0:4][0][order(x), 1] + np.mgrid[0:1:3j][order(x)] + np.ogrid[5:8][order(x)]
        + np.ogrid[0:3, 0:2][0][order(x), 0] + T.view()[order(x)] * T.view(np.ndarray)[order(x)]
        + np.fromiter((k**2.0 for k in range(3)), float)[order(x)] + A.view(np.int64).shape[0]
    ),
    "joined": lambda x: np.stack([T, T])[:, order(x)] @ x[:, None] + np.tile(T, 2)[order(x)][:2],
    "python": lambda x: (
        T[order(x)] * (2.0 if T[3] > 2 else 1.0) * len(T) * T.tolist()[2] * max(T) * float(T[4])
        + sum(t * x[0] for t in T) + sum(x[i] for i in P) + np.zeros(int(P.max()) + 1)
        + (1.0 if 4.0 in T else 2.0) + A.item(2) + A.flat[1] + len(np.unique(P))
    ),
    "of no kind": lambda x: T[order(x)] * isinstance(T, np.ndarray) * (T is space.d.get("b", T)),
    "rounds": lambda x: np.stack([A[i] * x for i in order(x)]),
}  # fmt: skip


def written(make, write):
    def f(x):
        z = make()
        write(z, x)
        return z

    return f


def adds(z, x):
    z += x


WRITTEN = {
    "copy": written(lambda: A.copy(), lambda z, x: z.__setitem__(0, x)),
    "product": written(lambda: A * 2, lambda z, x: z.__setitem__((slice(None), 1), x)),
    "function": written(lambda: np.sin(A), adds),
    "cast": written(lambda: P.astype(float), adds),
    "arange": written(lambda: np.arange(5.0), lambda z, x: z.__setitem__(slice(1, 4), x)),
    "linspace": written(lambda: np.linspace(0, 1, 3), adds),
    "diag": written(lambda: np.diag(A[0]).copy(), np.fill_diagonal),
    "vstack": written(lambda: np.vstack([A, A]), lambda z, x: np.multiply(z, x, out=z)),
    "at": written(lambda: T.copy(), lambda z, x: np.add.at(z, order(x), x)),
    "put": written(lambda: T.copy(), lambda z, x: np.put(z, order(x), x)),
    "fill": written(lambda: A.T.copy(), lambda z, x: z.fill(x[0])),
    "masked": written(lambda: T[:3].copy(), lambda z, x: z.__setitem__(x > 0.4, 0.0)),
    "copyto": written(lambda: T[:3].copy(), np.copyto),
    "sort": written(lambda: T[:3] * 1, lambda z, x: (adds(z, x), z.sort())),
}


@pytest.fixture
def arrays():
    """Let a test change what the functions above read; gives a function that does."""
    global T, A, P
    before = T, A, P, model.t, T.copy(), A.copy(), P.copy()

    def change():
        global T, A, P
        T += 1
        A[:] = A[::-1].copy()
        P[:] = P[::-1].copy()
        yield
        T, A, P, model.t = T - 3, A * 2, np.roll(P, 1), model.t + 1
        yield

    yield change
    T, A, P, model.t = before[:4]
    T[:], A[:], P[:] = before[4:]


@pytest.mark.parametrize("name", [*READ, *WRITTEN])
def test_a_plain_array_meets_traced_values_as_in_numpy(name, arrays):
    f = {**READ, **WRITTEN}[name]
    t = trace(f, (x,), sampled=True)
    assert_same(evaluated(t, (x,)), f(x))
    assert all(type(a) is np.ndarray for a in (T, A, P, model.t, space.d["a"][1][0]))
    if name not in ("mask", "masked", "one", "put", "python", "rounds", "default", "joined"):
        for _ in arrays():
            assert_same(evaluated(t, (y,)), f(y))  # live: no new trace
    if name in READ:
        assert_same(evaluated(trace(f, (y,), sampled=True), (y,)), f(y))


def test_batches_of_a_data_set_are_live_and_one_program():
    data, target = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50.0)
    held = {"x": data}

    def loss(w, idx):
        return np.mean((held["x"][idx] @ w - target[idx]) ** 2)

    def wanted(w, idx):
        r = held["x"][idx] @ w - target[idx]
        return np.mean(r * r), 2 * held["x"][idx].T @ r / len(idx)

    f = value_and_grad(loss)
    w, first, second = np.ones(4), np.arange(8), np.array([3, -1, 3, 49, 7, 20, 11, 2])
    with options(interpret=True):
        assert_same(f(w, first), wanted(w, first))
        assert_same(f(w, second), wanted(w, second))
        data[:] *= 2  # another content
        target -= 1
        assert_same(f(w, second), wanted(w, second))
        held["x"] = data + 1  # another array
        assert_same(f(w, first), wanted(w, first))
        assert len(f.variants()) == 1
        with pytest.raises(IndexError, match="out of bounds"):
            f(w, first + 45)
    assert not any("content" in g.describe() for g in trace(loss, (w, first)).guards)


def test_an_index_that_is_computed_or_given_needs_one_program():
    with options(interpret=True):
        rows = jit(lambda x, i: A[i] * x + T[np.argmax(x)])
        for k in range(3):
            v = np.roll(x, k)
            assert_same(rows(v, k), A[k] * v + T[np.argmax(v)])
        assert len(rows.variants()) == 1
        table = [1.0, 2.0, 3.0]
        listed = jit(lambda x: table[np.argmax(x)] * x)  # no array: it decides, as before
        for k in range(3):
            assert_same(listed(np.roll(x, k)), (np.argmax(np.roll(x, k)) + 1.0) * np.roll(x, k))


def test_what_python_reads_of_such_arrays_is_guarded(arrays):
    def f(x):
        limit = 3.0 if T.max() > 100 else 2.0
        return T[order(x)] * limit * np.linspace(0, T[1], 3)

    with options(interpret=True):
        g = jit(f)
        assert_same(g(x), f(x))
        for _ in arrays():
            assert_same(g(y), f(y))
        T[-1] = 1000.0
        assert_same(g(y), f(y))


def test_derivatives_and_compositions():
    slopes = np.array([7.0, 7.0, 7.0])

    def f(x):
        return np.sum(interpolated(x) * slopes[order(x)])

    with options(interpret=True):
        d = np.where(order(x) >= 0, 7.0, 0.0)
        step = 1e-6
        want = [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(3)]
        np.testing.assert_allclose(grad(f)(x), want, rtol=1e-7)
        assert d.shape == (3,)
        batch = np.stack([x, y])
        assert_same(vmap(f)(batch), np.array([f(x), f(y)]))
        inner = grad(lambda x: grad(f)(x) @ T[order(x)])
        assert np.all(inner(x) == 0)
        hessian = grad(lambda x: np.sum(grad(lambda v: np.sum(T[order(v)] * v**3))(x)))
        assert_same(hessian(x), 6 * T[order(x)] * x)


def test_state_that_such_a_function_changes():
    @dataclasses.dataclass
    class Kept:
        table: np.ndarray
        calls: int = 0
        last: object = None

        def run(self, x):
            self.calls += 1
            self.last = self.table
            return self.table[order(x)] * x

    kept = Kept(T.copy())
    with options(interpret=True), pytest.warns():
        assert_same(jit(kept.run)(x), T[order(x)] * x)
    assert type(kept.table) is np.ndarray
    assert kept.last is kept.table


def test_what_stays_refused_says_why():
    kept = A.copy()

    def view(x):
        z = kept[0]
        z[0] = x[0]

    def direct(x):
        kept[0] = x

    def added(x):
        np.add.at(kept, order(x), x)

    def drawn(x):
        return np.random.default_rng(0).normal(size=3)[order(x)]

    for f in (view, direct, added):
        with pytest.raises((UntracedWrite, FrozenWrite), match=r"outside of|plain") as e:
            trace(f, (x,))
        assert "copy" in str(e.value)
    with pytest.raises(TracedConversion, match=r"np.array\(a\)\[i\]"):
        trace(drawn, (x,))
    with pytest.raises(ValueError, match="broadcast"):  # NumPy's own, of what comes after
        trace(lambda x: T[order(x)] + np.ones(7), (x,))
    with pytest.raises(IndexError):
        trace(lambda x: T[order(x), 0], (x,))
    assert np.array_equal(kept, A)


def test_other_threads_see_arrays_as_they_are():
    seen, go, done = [], threading.Event(), threading.Event()

    def look():
        go.wait()
        seen.append((type(T * 2), T[0] + 1, T.sum(), np.sin(T)[0], T[P].tolist(), T[T > 3].size))
        done.set()

    def f(x):
        out = T[order(x)]
        go.set()
        done.wait()
        return out * x

    thread = threading.Thread(target=look)
    thread.start()
    assert_same(evaluated(trace(f, (x,)), (x,)), f(x))
    thread.join()
    assert seen == [(np.ndarray, T[0] + 1, T.sum(), 0.0, T[P].tolist(), T[T > 3].size)]


def test_arrays_of_numbers_alone_need_no_guard_on_what_others_hold():
    alone, held = np.arange(1.0, 4.0), {"g": np.arange(1.0, 4.0), "h": np.arange(1.0, 4.0)}

    def guarded(f):
        return any("content" in g.describe() for g in trace(f, (x,), sampled=True).guards)

    free = (
        lambda x: alone * x * np.linspace(0, 1, 3) + np.array([1.0, 2.0, 3.0]),
        lambda x: alone * x[np.arange(3)] + np.eye(3) @ x,
        lambda x: alone[order(x)] * np.arange(3)[order(x)],
    )
    assert not any(map(guarded, free))

    def state(x):
        space.calls = getattr(space, "calls", 0) + 1
        return held["g"] * x * np.linspace(0, float(held["h"].max()), 3)

    def filled(x):
        z = np.arange(3.0)
        z[0] = float(held["h"][1])
        return z * x

    relying = (
        lambda x: held["g"] * x * np.linspace(0, float(held["g"].max()), 3),
        lambda x: held["g"] * x * np.array(held["g"].tolist()),
        lambda x: x * np.array([float(v) for v in held["h"]]),
        lambda x: held["g"][order(x)] * np.linspace(0, float(held["h"].max()), 3),
        lambda x: sum(np.array(v.tolist()) * x for v in held.values()),
        filled,
        state,
    )
    with options(interpret=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for f in relying:
            g = jit(f)
            assert_same(g(x), f(x))
            for name in held:
                held[name] += 3
            assert_same(g(y), f(y))


def test_the_users_objects_are_left_as_they_are():
    other = Model()
    before = dict(vars(other)), dict(vars(Model))
    for f in (lambda x: other.shared[:3] * x, lambda x: other.shared[order(x)] * other.t[:3]):
        trace(f, (x,), sampled=True)
        assert vars(other).keys() == before[0].keys()
        assert all(v is before[0][k] for k, v in vars(other).items())
        assert vars(Model).keys() == before[1].keys()


def test_bodies_of_loops_and_copies():
    def f(x):
        first = fori_loop(0, 3, lambda i, c: c + T[i] * x[i], 0.0)
        second = cond(x[0] > 0, lambda t: t[order(x)] * x, lambda t: x * t[0], T)
        third = copy.deepcopy(T)[order(x)] + copy.copy(space.d["a"][0])[order(x)]
        return first * x + second + third + vmap(lambda a: a @ x + T[np.argmax(x)])(A)

    assert_same(evaluated(trace(f, (x,), sampled=True), (y,)), f(y))


def test_printed_arrays_from_outside_have_no_name(capsys):
    table = np.arange(4.0)

    def f(x):
        print("of", table, f"{table[0]:.2f}")
        return table[order(x)] * x

    with options(interpret=True):
        shown = jit(f)
        shown(x)
        table += 1
        shown(x)
    assert capsys.readouterr().out == "of [0. 1. 2. 3.] 0.00\nof [1. 2. 3. 4.] 1.00\n"
