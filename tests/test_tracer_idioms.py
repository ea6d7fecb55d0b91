"""Python as users write it around NumPy: classes, closures, decorators, recursion, imports."""

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Container, Hashable, Iterable, Sequence, Sized
from math import cos, exp
from typing import SupportsFloat, SupportsIndex

import numpy as np
import numpy.linalg as la
import pytest
from numpy import array, zeros
from scipy import integrate, special
from scipy.special import expit, logsumexp
from scipy.stats import norm
from traced import assert_right

from adjit import jit
from adjit.tracer import errors
from adjit.tracer.trace import trace

ALIAS = np.zeros
DATA = tuple((np.random.default_rng(s).normal(size=5),) for s in range(2))


class Model:
    factor = 2.0
    table = np.arange(5.0)

    def __init__(self):
        self.w = np.ones(5)

    @property
    def double(self):
        return self.w * 2

    @staticmethod
    def stat(x):
        return np.zeros(5) + x

    @classmethod
    def kind(cls, x):
        return x * cls.factor + cls.table

    def __call__(self, x):
        z = np.zeros(5)
        z[:] = x * self.w
        return z + self.double + self.stat(x) + self.kind(x)


def logged(f):
    @functools.wraps(f)
    def inner(*args, **kwargs):
        return f(*args, **kwargs)

    return inner


@logged
def decorated(x):
    z = np.zeros(5)
    z[0] = x[1]
    return z


def factorial(x, n):
    return x if n == 0 else factorial(x, n - 1) * n


def generator(x):
    for i in range(len(x)):
        yield x[i] * i


def local_imports(x):
    import math as m

    import numpy as nn
    from numpy import full

    return nn.array([x[0], m.sin(x[1])]) + full(2, x[2])


def nonlocal_counter(x):
    total = 0.0

    def add(v):
        nonlocal total
        total += v

    for v in x:
        add(v * 2)
    return total


@dataclasses.dataclass
class State:
    pos: object
    vel: object

    def step(self, dt):
        return State(self.pos + dt * self.vel, self.vel - dt * self.pos)


def euler(x):
    s = State(x, x * 0.5)
    for _ in range(5):
        s = s.step(0.1)
    return s.pos


def rk4(x):
    def rhs(t, y):
        return np.array([y[1], -math.sin(y[0]), -y[2], y[3] * y[4], t * y[0]])

    y, t, h = x, 0.0, 0.1
    for _ in range(3):
        k1 = rhs(t, y)
        k2 = rhs(t + h / 2, y + h / 2 * k1)
        k3 = rhs(t + h / 2, y + h / 2 * k2)
        k4 = rhs(t + h, y + h * k3)
        y, t = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), t + h
    return y


def append_in_loop(x):
    out = []
    for i in range(4):
        out.append(np.exp(x[i]) - x[i + 1])  # noqa: PERF401
    return np.array(out), np.stack(out), sum(out), np.asarray(out).mean()


def gram(x):
    k = np.empty((5, 5))
    for i in range(5):
        for j in range(5):
            k[i, j] = np.exp(-((x[i] - x[j]) ** 2))
    return k


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0)


def heat(x):
    u = x.copy()
    for _ in range(3):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


def with_errstate(x):
    with np.errstate(all="ignore"):
        return np.log(abs(x))


def tried(x):
    try:
        return x.reshape(7)
    except ValueError:
        return x * 3


def starred(x):
    first, *rest = x
    return first + sum(rest)


def lists(x):
    cells = [[x[i] * j for j in range(3)] for i in range(2)]
    return np.array(cells), np.sum(cells), np.max(np.array(cells)), np.concatenate(cells)


def two_locals_at_once(x):
    from numpy import array, concatenate

    root = math.sqrt
    joined = concatenate([x, array([x[0], root(x[1] ** 2)])])
    return [joined, x[2] * root(x[3] ** 2), [x, array([x[4], 2.0])][1]]


IDIOMS = {
    "model": Model(),
    "two locals at once": two_locals_at_once,
    "functions in a comprehension": lambda x: [f(x[0]) for f in (math.sin, math.cos)],
    "functions in a generator": lambda x: sum(f(x[0]) * x[1] for f in (math.sin, math.cos)),
    "function of a table": lambda x: (
        {"sin": math.sin}["sin"](x[0]) + (f := math.cos)(x[1]) + f(1.0)
    ),
    "mapped math": lambda x: sum(map(math.sin, x)) * next(map(math.exp, x)),
    "decorated": decorated,
    "generator": lambda x: sum(generator(x)),
    "recursion": lambda x: factorial(x, 4),
    "local imports": local_imports,
    "nonlocal": nonlocal_counter,
    "dataclass": euler,
    "rk4": rk4,
    "append": append_in_loop,
    "gram": gram,
    "rosenbrock": rosenbrock,
    "heat": heat,
    "errstate": with_errstate,
    "try": tried,
    "starred": starred,
    "lists": lists,
    "from imports": lambda x: zeros(2) + array([x[0], cos(x[1])]) * exp(x[2]),
    "alias": lambda x: operator.setitem(z := ALIAS(3), 0, x[0]) or z,
    "module alias": lambda x: la.norm(x) + np.linalg.norm(x),
    "map": lambda x: sum(map(lambda v: v * v, x)),  # noqa: C417
    "map of math": lambda x: list(map(np.sin, x)),
    "reduce": lambda x: functools.reduce(operator.mul, x),
    "accumulate": lambda x: list(itertools.accumulate(x)),
    "zip": lambda x: [a * b for a, b in zip(x, x[1:], strict=False)],  # noqa: RUF007
    "enumerate": lambda x: sum(i * v for i, v in enumerate(x)),
    "reversed": lambda x: np.array(list(reversed(x))),
    "dict": lambda x: {k: v for k, v in zip("abcde", x, strict=True)},  # noqa: C416
    "lambda default": lambda x, p=2: x**p,
    "partial": functools.partial(lambda p, x: x**p, 3),
    "conditional on shape": lambda x: x.sum() if x.ndim == 1 else x,
    "vectorised if": lambda x: np.where(x > 0, np.log1p(abs(x)), -x),
    "eye": lambda x: (np.eye(5) @ x, np.identity(5) * x),
    "eye write": lambda x: operator.setitem(m := np.eye(5), (0, 1), x[0]) or m,
    "outer sum": lambda x: (x[:, None] - x[None, :]) ** 2,
    "isinstance": lambda x: x * 2 if isinstance(x, np.ndarray) else x,
    "asarray": lambda x: np.asarray(x, dtype=float) + np.atleast_1d(x) + np.ascontiguousarray(x),
    "copy module": lambda x: np.array(x, copy=True) + np.require(x, float),
    "polynomial": lambda x: (
        np.polyval([1, 2, 3], x) + np.polynomial.polynomial.polyval(x, [1.0, 2.0])
    ),
    "trapezoid": lambda x: np.trapezoid(x**2, dx=0.1) + integrate.trapezoid(x),
    "special": lambda x: special.expit(x) + expit(x) + special.erf(x) + logsumexp(x),
    "norm": lambda x: (
        norm.logpdf(x),
        norm.pdf(x, 1.0, 2.0),
        norm.cdf(x),
        norm.logpdf(0.5, x, 2.0),
    ),
    "linspace": lambda x: np.linspace(0, 1, 5) * x,
    "grid": lambda x: np.add.outer(np.arange(3), x),
    "one hot": lambda x: np.eye(3)[[0, 2, 1, 1, 0]] * x[:, None],
    "cross entropy": lambda x: (
        -np.mean((x - logsumexp(x))[np.array([0, 2])] * np.array([1.0, 2.0]))
    ),
    "softmax": lambda x: np.exp(x - x.max()) / np.exp(x - np.max(x)).sum(),
    "pairs": lambda x: sum(
        1 / (abs(x[i] - x[j]) + 1) for i, j in itertools.combinations(range(5), 2)
    ),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v**2]),
    "heaviside": lambda x: np.heaviside(x, 0.5) * x,
    "sliding": lambda x: np.array([x[i : i + 3].sum() for i in range(3)]),
    "fft free": lambda x: np.cos(np.outer(np.arange(3), x)) @ np.ones(5),
    "vectorize": lambda x: np.vectorize(lambda v, w: v * w + 1)(x, 2.0),
    "abs pow": lambda x: abs(x) ** 1.5 + pow(x, 2) + x**3 / math.pi + math.e,
    "string": lambda x: print(end="") or (f"{x}" and x * 2),
    "round": lambda x: round(x[0], 2) * x,
    "complex": lambda x: abs(np.sum(np.exp(1j * x))) ** 2,
    "sign": lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    "kron": lambda x: np.kron(np.eye(2), x[:2]),
    "block": lambda x: np.block([[np.eye(2), np.zeros((2, 1))], [x[None, :2], np.ones((1, 1))]]),
    "ix_": lambda x: np.outer(x, x)[np.ix_([0, 2], [1, 3])],
    "triu indices": lambda x: np.outer(x, x)[np.triu_indices(5, 1)],
    "fill triangle": lambda x: (
        operator.setitem(m := np.zeros((3, 3)), np.tril_indices(3), np.tile(x, 2)[:6]) or m
    ),
    "diag set": lambda x: operator.setitem(m := np.zeros((5, 5)), np.diag_indices(5), x) or m,
    "zeros from shape": lambda x: np.zeros((x.shape[0], 2)) + x[:, None],
    "zeros like plain": lambda x: operator.setitem(z := np.zeros_like(Model.table), 1, x[0]) or z,
    "bincount free": lambda x: np.add.at(z := np.zeros(3), [0, 1, 2, 1, 0], x) or z,
    "histogram like": lambda x: np.sum(
        np.exp(-((x[:, None] - np.linspace(-1, 1, 4)) ** 2)), axis=0
    ),
    "iscomplexobj": lambda x: x if not np.iscomplexobj(x) else x.real,
    "apply over": lambda x: np.apply_over_axes(np.sum, x[:, None] * x, [0, 1]),
    "unwrap list": lambda x: [*x[:2], np.float64(3.0)],
    "ternary on none": lambda x, w=None: x if w is None else x * w,
    "sum of products": lambda x: sum([x[i] * x[i - 1] for i in range(5)]) / len(x),
    "matrix exponential series": lambda x: sum(
        np.linalg.matrix_power(np.outer(x, x) / 9, k) / math.factorial(k) for k in range(4)
    ),
    "scan": lambda x: list(itertools.accumulate(x, lambda h, v: np.tanh(h + v))),
    "masked mean": lambda x: np.sum(x * (x > 0)) / (np.sum(x > 0) + 1),
    "nan safe": lambda x: np.nansum(np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0)),
    "fstring and hash free": lambda x: {"name": f"{x.shape}", "x": x},
    "trigonometry": lambda x: np.sin(np.deg2rad(x)) + np.sinc(x) + np.unwrap(x) * 0 + np.i0(x),
    "cumulative": lambda x: np.cumsum(x[::-1])[::-1] + np.maximum.accumulate(x),
    "sorted indices": lambda x: x[np.argsort(-x)][:3] + np.sort(x)[::-1][:3],
    "stack of rows": lambda x: np.vstack([np.array([v, v**2]) for v in x]).T,
    "roll difference": lambda x: np.roll(x, -1) - np.roll(x, 1),
    "interp": lambda x: np.interp(x, np.linspace(-3, 3, 7), np.linspace(-3, 3, 7) ** 2),
    "corrcoef": lambda x: np.corrcoef(x, x**2),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_idiom(name):
    assert_right(IDIOMS[name], *DATA, rtol=1e-10)


def test_default_argument_constructor_is_refused():
    def f(x, make=np.zeros):
        z = make(3)
        z[0] = x[0]
        return z

    with pytest.raises(errors.AdjitError):
        trace(f, DATA[0])


@pytest.mark.parametrize(
    "x",
    [1.5, 3, True, 1j, np.float64(1.5), np.int64(3), np.array(1.5), np.ones(3)],
    ids=lambda x: type(x).__name__,
)
def test_what_a_value_is_and_can_do_is_what_python_says(x):
    kinds = (Callable, Container, Hashable, Iterable, Sequence, Sized, SupportsFloat, float)
    kinds = (*kinds, SupportsIndex, (str, int), int | float | None, np.ndarray, np.generic)
    names = ("shape", "bit_length", "is_integer", "__len__", "imag", "T", "_value", "astype")

    def facts(x):
        said = [isinstance(x, k) for k in kinds] + [hasattr(x, n) for n in names]
        said += [getattr(x, n, None) is None for n in names if n != "bit_length"]
        said += [type(type) is type, isinstance(type(x), type), isinstance(x, type)]
        return x * 1, *(1 if s else 2 for s in said)

    t = trace(facts, (x,))
    assert [o[1] for o in t.out_leaves[1:]] == list(facts(x)[1:])


def test_what_a_traced_integer_cannot_is_asked_of_the_integer():
    f = jit(lambda n: getattr(n, "bit_length", lambda: 0)() * n)
    assert [f(5), f(9)] == [15, 36]


def test_isinstance_of_what_is_no_class_raises():
    with pytest.raises(TypeError, match="arg 2 must be a type"):
        trace(lambda x: x if isinstance(x, 3) else -x, (1.5,))
