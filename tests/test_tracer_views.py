"""Writes and views: programs with NumPy as the judge at another input."""

import numpy as np
import pytest
from traced import assert_right, evaluated

from adjit.tracer.trace import trace

MAKERS = {
    "zeros": lambda x: np.zeros(x.shape),
    "copy": lambda x: x.copy(),
    "times": lambda x: x * 2,
    "fortran": lambda x: x.copy(order="F"),
    "np.copy of T": lambda x: np.copy(x.T),
    "array of T": lambda x: np.array(x.T),
    "copy of T": lambda x: x.T.copy(),
    "add of T": lambda x: x.T + 1,
    "like": lambda x: np.zeros_like(x.T),
    "flat": lambda x: x.flatten(),
}
VIEWS = {
    "slice": lambda a, k: a[k % 2 :] if a.ndim else a,
    "step": lambda a, k: a[:: (1, 2, -1, -2)[k % 4]] if a.ndim else a,
    "last": lambda a, k: a[..., (k % 2) :: (1, 2, -1)[k % 3]] if a.ndim else a,
    "int": lambda a, k: a[k % max(len(a), 1)] if a.ndim > 1 and len(a) else a[...],
    "newaxis": lambda a, k: a[None] if a.ndim < 3 else a[0],
    "ellipsis": lambda a, k: a[...],
    "0-d": lambda a, k: a[(0,) * a.ndim + (...,)] if a.size else a,
    "T": lambda a, k: a.T,
    "swap": lambda a, k: a.swapaxes(0, -1) if a.ndim else a,
    "flip": lambda a, k: np.flip(a, k % a.ndim) if a.ndim else a,
    "ravel": lambda a, k: a.ravel(),
    "reshape": lambda a, k: a.reshape(-1, 2) if a.size % 2 == 0 and a.size else a.reshape(-1),
    "reshape 3": lambda a, k: a.reshape(3, -1) if a.size % 3 == 0 and a.size else a,
    "squeeze": lambda a, k: a.squeeze(),
    "expand": lambda a, k: np.expand_dims(a, k % (a.ndim + 1)) if a.ndim < 3 else a,
    "real": lambda a, k: a.real,
    "split": lambda a, k: np.array_split(a, 2)[k % 2] if a.ndim else a,
    "diagonal of": lambda a, k: a[np.arange(min(a.shape[:2])), 0] if a.ndim > 1 and a.size else a,
}
WRITES = {
    "set": lambda a, x, k: a.__setitem__(..., x.flat[k % x.size]),
    "add": lambda a, x, k: a.__iadd__(x.flat[k % x.size]),
    "first": lambda a, x, k: a.__setitem__(0, k * 0.5) if a.ndim and len(a) else None,
    "slice": lambda a, x, k: a.__setitem__(slice(1, None), a[:-1]) if a.ndim else None,
    "reverse": lambda a, x, k: a.__setitem__(slice(None), a[::-1]) if a.ndim else None,
    "mask": lambda a, x, k: a.__setitem__(a > 0, -1.0) if a.ndim else None,
    "mask times": lambda a, x, k: (
        a.__setitem__(np.arange(len(a)) % 2 == 0, x[0, 0]) if a.ndim else None
    ),
    "fancy": lambda a, x, k: a.__setitem__([0, -1], a[[-1, 0]] * 2) if a.ndim and len(a) else None,
    "out": lambda a, x, k: np.multiply(a, 0.5, out=a),
    "out where": lambda a, x, k: np.negative(a, out=a, where=a > 1) if a.ndim else None,
    "at": lambda a, x, k: np.add.at(a, [0, 0], x[0, 1]) if a.ndim and len(a) else None,
    "fill": lambda a, x, k: a.fill(float(k)) if a.ndim else None,
    "sort": lambda a, x, k: a.sort() if a.ndim else None,
    "copyto": lambda a, x, k: np.copyto(a, x[1, 1]),
    "flat": lambda a, x, k: a.flat.__setitem__(k % a.size, x[0, 2]) if a.size else None,
    "swap": lambda a, x, k: _swap(a) if a.ndim and len(a) > 1 else None,
    "last column": lambda a, x, k: (
        a.__setitem__((..., -1), x[0, 0]) if a.ndim and a.shape[-1] else None
    ),
    "step": lambda a, x, k: a.__setitem__(slice(None, None, 2), x[2, 2]) if a.ndim else None,
    "back": lambda a, x, k: a.__setitem__(slice(None, None, -1), a * 1.0) if a.ndim else None,
    "add to item": lambda a, x, k: _add_to_item(a, x) if a.ndim and len(a) else None,
}


def _swap(a):
    a[0], a[1] = a[1].copy(), a[0].copy()


def _add_to_item(a, x):
    a[-1] += x[1, 0]


def program(seed):
    """A function of one array that makes arrays, takes views of them and writes through them."""
    rng = np.random.default_rng(seed)
    steps = []
    for _ in range(rng.integers(4, 12)):
        kind = ("make", "view", "view", "write", "write")[rng.integers(5)]
        table = {"make": MAKERS, "view": VIEWS, "write": WRITES}[kind]
        steps.append(
            (kind, list(table)[rng.integers(len(table))], *rng.integers(0, 50, 2).tolist())
        )

    def run(x):
        live = [x * 1.0]
        for kind, name, which, k in steps:
            a = live[which % len(live)]
            if kind == "make":
                live.append(MAKERS[name](x))
            elif kind == "view":
                live.append(VIEWS[name](a, k))
            elif a.flags.writeable and isinstance(a, np.ndarray):
                WRITES[name](a, x, k)
        return tuple(live)

    run.steps = steps
    return run


@pytest.mark.parametrize("block", range(6))
def test_random_programs(block):
    rng = np.random.default_rng(block)
    for seed in range(block * 40, block * 40 + 40):
        f = program(seed)
        x, y = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
        t = trace(f, (x,))
        for got, want in zip(evaluated(t, (y,)), f(y), strict=True):
            assert np.shape(got) == want.shape, (seed, f.steps)
            np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=f"{seed}: {f.steps}")


DATA = tuple((np.random.default_rng(s).normal(size=(3, 4)),) for s in range(2))


def _returned(body):
    def f(x):
        z = np.zeros((3, 4))
        body(z, x)
        return z

    return f


GOLDEN = {
    "reshape of a transposed write": lambda z, x: (
        z.T.__setitem__(0, x[:, 0]) or z.ravel().__setitem__(1, 9.0)
    ),
    "scalar has no view": lambda z, x: z[0, 0][None].__setitem__(0, x[0, 0]),
    "0-d array is a view": lambda z, x: z[0, 0, ...].__setitem__((), x[0, 0]),
    "self overlap": lambda z, x: (
        z.__setitem__(slice(None), x),
        z[1:].__setitem__(slice(None), z[:-1]),
    ),
    "two names": lambda z, x: (lambda w: w.__setitem__(0, x[0]))(z),
    "put": lambda z, x: (z.put([1, 2], [x[0, 0], 5.0]), np.put(z, 7, x[1, 1])),
    "fill_diagonal": lambda z, x: np.fill_diagonal(z, x[0, 0]),
    "put_along_axis": lambda z, x: np.put_along_axis(z, np.argsort(x, axis=1)[:, :2], 7.0, axis=1),
    "putmask": lambda z, x: (np.putmask(z, x > 0, x), np.place(z, z > 1, 0.5)),
    "masked values": lambda z, x: z.__setitem__(x > 0, 3.0),
    "rows by mask": lambda z, x: z.__setitem__(x[:, 0] > 0, [1.0, 2, 3, 4]),
    "traced position": lambda z, x: z.__setitem__(np.argmax(x[:, 0]), x[0]),
    "traced pair": lambda z, x: z.__setitem__((x[:, 0].argmax(), 1), 5.0),
    "index mix": lambda z, x: z.__setitem__(([0, 2], slice(1, 3)), x[:2, :2]),
    "index around": lambda z, x: z[None].__setitem__((0, [[0], [1]], [1, 3]), x[:2, :2]),
    "scatter add": lambda z, x: np.add.at(z, ([0, 0, 1], [1, 1, 2]), x[0, :3]),
    "subtract at": lambda z, x: np.subtract.at(z, [0, 0], x[:2]),
    "int cast": lambda z, x: z.__setitem__(0, 3) or z.__setitem__(1, np.arange(4)),
    "leading ones": lambda z, x: z.__setitem__(0, x[:1]),
    "cumulative out": lambda z, x: np.cumsum(x, axis=1, out=z),
    "sum out": lambda z, x: np.sum(x, axis=1, out=z[:, 0]),
    "product out": lambda z, x: (np.dot(x[:, :3], x, out=z), np.matmul(x[:, :3], x, out=z)),
    "ufunc out tuple": lambda z, x: np.modf(x, out=(z, np.zeros((3, 4)))),
    "inplace operators": lambda z, x: (
        z.__iadd__(x),
        z.__imul__(2),
        z.__isub__(1),
        z.__itruediv__(3),
        z.__ipow__(2),
    ),
    "flat": lambda z, x: z.flat.__setitem__(slice(0, 5), x.flat[:5]),
    "real of complex": lambda z, x: z.__setitem__(..., _complex(x)),
    "loop": lambda z, x: [
        z.__setitem__((i, j), x[i, j] * i + j) for i in range(3) for j in range(4)
    ],
    "real setter": lambda z, x: setattr(z, "real", x) or setattr(z[0], "flat", 2.0),
}


def _complex(x):
    c = x * 1j
    c.real.ravel()[0] = 9.0  # a copy: the parts of a complex array are not contiguous
    c.imag.reshape(3, 4)[0] = 4.0
    x = x + c.real + c.imag
    c = x + 0j
    c.imag[0] = 2.0
    c.real[1] = x[0]
    return abs(c)


@pytest.mark.parametrize("name", GOLDEN)
def test_writes(name):
    assert_right(_returned(GOLDEN[name]), *DATA)


def test_integer_storage():
    def f(x):
        z = np.zeros(4, int)
        z[:] = x[0] * 3
        z[1] += 2
        return z

    assert_right(f, *DATA)


def test_same_kind_casts_are_refused_as_numpy_does():
    def f(x):
        z = np.zeros(4, int)
        z += x[0]
        return z

    with pytest.raises(TypeError) as numpys:
        f(DATA[0][0])
    with pytest.raises(TypeError) as ours:
        trace(f, DATA[0])
    assert type(ours.value) is numpys.type


def test_recurrence():
    def f(x):
        h = np.zeros((4, 3))
        for i in range(1, 4):
            h[i] = np.tanh(h[i - 1] + x[:, i])
        return h.sum(), h[-1]

    assert_right(f, *DATA)


def random_index(rng, shape):
    """An index of any kind; sometimes one that NumPy refuses."""
    items, d, dotted = [], 0, False
    common = tuple(rng.integers(1, 3, rng.integers(0, 3)))
    while d < rng.integers(0, len(shape) + 1):
        kind = rng.integers(9)
        bounds = [None, *range(-shape[d] - 1, shape[d] + 2)]
        if kind == 0:
            items.append(None)
            continue
        if kind == 1 and not dotted:
            items.append(Ellipsis)
            dotted = True
            continue
        if kind in (2, 3):
            lo, hi = rng.integers(len(bounds), size=2)
            items.append(slice(bounds[lo], bounds[hi], (None, 1, 2, -1, -2)[rng.integers(5)]))
        elif kind == 4:
            items.append(int(rng.integers(-shape[d], shape[d])))
        elif kind in (5, 6):
            items.append(rng.integers(-shape[d], shape[d], common))
        elif kind == 7:
            items.append(rng.integers(-shape[d], shape[d], common[-1:]).tolist())
        else:
            items.append(rng.random(shape[d]) < 0.5)
        d += 1
    return items[0] if len(items) == 1 and rng.random() < 0.5 else tuple(items)


def outcome(f):
    try:
        return f()
    except (IndexError, ValueError, TypeError) as error:
        return type(error)


@pytest.mark.parametrize("seed", range(4))
def test_random_indices(seed):
    rng = np.random.default_rng(seed)
    for _ in range(100):
        shape = tuple(rng.integers(1, 4, rng.integers(1, 5)).tolist())
        x, y, index = rng.normal(size=shape), rng.normal(size=shape), random_index(rng, shape)

        def read(a, index=index):
            return a[index]

        def written(a, index=index):
            z = a.copy()
            z[index] = 2.5
            z[index] += a[index] * 2
            return z

        for f in (read, written):
            want = outcome(lambda f=f, y=y: f(y))
            got = outcome(lambda f=f, x=x, y=y: evaluated(trace(f, (x,)), (y,)))
            if isinstance(want, type):
                assert isinstance(got, type) and issubclass(got, want), (shape, index, got, want)
            else:
                assert np.shape(got) == np.shape(want), (shape, index)
                np.testing.assert_allclose(got, want, err_msg=f"{shape} {index}")
