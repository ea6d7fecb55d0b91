"""Numbers in traced functions: Python's, NumPy's, of every dtype, alone and in containers."""

import numpy as np
import pytest
from surface_cases import BUMPS, POSITIVE, TABLE, rng
from traced import assert_right, assert_same, evaluated

from adjit.tracer.trace import trace

NUMBERS = {
    "arithmetic": lambda x: (x + 1) * 2 / (x - 5) - x**2 + 3 // x + x % 2 + abs(-x) + +x,
    "int division": lambda n: (n / 2, n // 2, n % 3, n**2, n**-1, -n, n * 1.5, n + True),
    "numpy": lambda x: (np.sin(x), np.add(x, 1), np.float32(1) * x, np.sum(x), np.exp(x) * 2),
    "with arrays": lambda x: (x * BUMPS, x * BUMPS.astype(np.float32), x + np.arange(3)),
    "comparison": lambda x: (x > 1, x == 2),
    "same": lambda x: (x, [x, {"a": x, "b": None, "c": "text", "d": 3}]),
    "where": lambda x: (np.where(x > 1, x, 0), np.maximum(x, 0.5)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_python_numbers(name):
    assert_right(NUMBERS[name], (3.5,), (-1.25,)) if name != "int division" else None
    assert_right(NUMBERS[name], (7,), (-4,))


def test_numpy_scalars():
    f = lambda x: (x + 1, x * np.ones(3, np.float32), np.sin(x), x**2, x.sum(), x.astype(int))  # noqa: E731
    for kind in (np.float32, np.float64, np.int32, np.int64):
        assert_right(f, (kind(3),), (kind(2),), rtol=1e-6)


def test_integer_arrays():
    f = lambda x: (  # noqa: E731
        x + 1,
        x * 2.5,
        x / 2,
        x // 2,
        x % 3,
        x**2,
        -x,
        abs(x),
        x.sum(),
        x.mean(),
        np.sqrt(x),
        x & 3,
        x | 1,
        x ^ 2,
        x << 1,
        x >> 1,
        ~x,
        np.maximum(x, 2),
        x.max(),
        np.sin(x),
        x.cumsum(),
        x.prod(),
        x > 1,
        np.where(x > 1, x, 0.5),
        x @ x,
        x.astype(float),
        np.square(x),
        np.floor(x),
        np.isnan(x),
    )
    for dtype in (np.int64, np.int32, np.int8, np.uint8, np.uint16):
        x, y = np.array([1, 5, 2], dtype), np.array([7, 0, 3], dtype)
        if dtype in (np.uint8, np.uint16):
            assert_right(
                lambda v: (v + 1, v.sum(), v * 2.5, v @ v, v / 2, v.mean(), v - np.int8(1)),
                (x,),
                (y,),
            )
        else:
            assert_right(f, (x,), (y,), rtol=1e-6)


def test_float32():
    x, y = (m[0].astype(np.float32) for m in POSITIVE)
    f = lambda x: (  # noqa: E731
        x * 2.0,
        x + np.float64(1),
        np.sin(x),
        x.mean(),
        x.sum(),
        x.var(),
        x @ x.T,
        np.sqrt(x) ** 0.5,
        x * TABLE,
        x * TABLE.astype(np.float32),
        np.linalg.norm(x),
        x.std(axis=0),
        np.arctan2(x, 1),
        np.where(x > 0.5, x, 0.0),
        np.concatenate([x, TABLE]),
        np.median(x),
        np.logaddexp(x, 1),
    )
    assert_right(f, (x,), (y,), rtol=2e-5)


def test_containers():
    def loss(params, batch, scale=1.0):
        x, y = batch
        h = x
        for layer in params["layers"]:
            h = np.tanh(h @ layer["W"] + layer["b"])
        return {"loss": scale * np.mean((h - y) ** 2), "h": (h, None)}

    def make():
        layers = [{"W": rng.normal(size=(4, 4)), "b": rng.normal(size=4)} for _ in range(2)]
        return ({"layers": layers}, (rng.normal(size=(5, 4)), rng.normal(size=(5, 4))))

    assert_right(loss, make(), make())
    t = trace(loss, make(), {"scale": 2.0})
    assert t.leaves[-1].path == "scale"
    assert t.leaves[0].path == "params['layers'][0]['W']"


DTYPES = "?bBlQefdD"
MIXED = [
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.power,
    np.floor_divide,
    np.maximum,
    np.less,
    np.equal,
    np.arctan2,
    np.logical_and,
    np.left_shift,
]


def outcome(f, *args):
    try:
        with np.errstate(all="ignore"):
            return f(*args)
    except (TypeError, ValueError, OverflowError) as error:
        return error


@pytest.mark.parametrize("f", MIXED, ids=lambda f: f.__name__)
def test_promotion(f):
    """Dtypes of results are NumPy's for every pair of dtypes, Python numbers being weak."""
    partners = [np.array([1, 2, 3]).astype(c) for c in DTYPES] + [True, 2, 1.5, 1 + 2j]
    for c in DTYPES:
        x = np.array([1, 0, 3]).astype(c)
        for p in partners:
            for g in (lambda v, p=p: f(v, p), lambda v, p=p: f(p, v)):
                want = outcome(g, x)
                t = outcome(trace, g, (x,))
                if isinstance(want, Exception) or isinstance(t, Exception):
                    refused = "c" in (x.dtype.kind, np.asarray(p).dtype.kind)  # no order for them
                    assert isinstance(t, Exception), (f, c, p)
                    assert isinstance(want, Exception) or refused, (f, c, p, t)
                else:
                    assert_same(evaluated(t, (x,)), want, rtol=1e-2 if c == "e" else 1e-5)
