"""The face as Python sees it: arguments by name, objects of all kinds, copies and threads."""

import copy
import functools
import inspect
import pickle
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from adjit import (
    elementwise_grad,
    errors,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jit,
    jvp,
    value_and_grad,
    vjp,
    vmap,
)
from adjit.staging import open_traces
from adjit.tracer.record import is_tracing

pytestmark = pytest.mark.usefixtures("interpreted")


X = np.array([1.0, 2.0, 3.0])


def weighted(x, y=2.0, *, z=1.0):
    return np.sum(x**2 * y) * z


# ------------------------------------------------------------------ which argument


@pytest.mark.parametrize("make", [grad, jacobian, jacfwd, jacrev, elementwise_grad])
def test_names_and_numbers(make):
    np.testing.assert_allclose(make(weighted, argnames="x")(X, 3.0), 6 * X)
    np.testing.assert_allclose(make(weighted, argnames="y")(X, y=3.0), 14.0)
    np.testing.assert_allclose(make(weighted, argnames="z")(X, y=3.0, z=1.0), 42.0)
    np.testing.assert_allclose(make(weighted, argnums=-1)(X, 3.0), 14.0)
    np.testing.assert_allclose(make(weighted, argnums=np.int64(1))(X, 3.0), 14.0)
    by_y, by_x = make(weighted, argnums=(-1, 0))(X, 3.0)
    np.testing.assert_allclose(by_x, 6 * X)
    (by_z,) = make(weighted, argnames=["z"])(X, z=1.0)
    np.testing.assert_allclose((by_y, by_z), (14.0, 28.0))


def test_names_of_second_derivatives():
    np.testing.assert_allclose(hessian(weighted, argnames="x")(X, 3.0), 6 * np.eye(3))
    blocks = hessian(weighted, argnames=("x", "y"))(X, y=3.0)
    np.testing.assert_allclose(blocks[0][1], 2 * X)
    np.testing.assert_allclose(hvp(weighted, argnames="x")(X, X, 3.0), 6 * X)
    np.testing.assert_allclose(hvp(weighted, argnames="y")(X, 3.0, 1.0), 0.0)
    np.testing.assert_allclose(functools.partial(hvp, argnames="x")(weighted)(X, X), 4 * X)
    with pytest.raises(TypeError, match="'q' is no positional parameter; there are x, y"):
        hvp(weighted, argnames="q")


def test_aux_beside_matrices():
    def f(x):
        return np.sin(x), {"sum": np.sum(x), "n": 3}

    for make in (jacobian, jacfwd, jacrev):
        made, aux = make(f, has_aux=True)(X)
        np.testing.assert_allclose(made, np.diag(np.cos(X)))
        assert aux == {"sum": 6.0, "n": 3}
    made, aux = hessian(lambda x: (np.sum(x**3), x * 2), has_aux=True)(X)
    np.testing.assert_allclose(made, np.diag(6 * X))
    np.testing.assert_allclose(aux, 2 * X)
    with pytest.raises(errors.NonScalarOutput, match="Return a pair"):
        jacobian(np.sin, has_aux=True)(X)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        ({"argnames": "y"}, "names 'y', which is no argument of this call, whose default"),
        ({"argnames": "q"}, "names 'q', which is no argument of this call; there are x"),
        ({"argnums": 1}, "argument 1, but the call has 1 positional"),
        ({"argnums": -2}, "argument -2, but the call has 1 positional"),
    ],
)
@pytest.mark.parametrize("make", [grad, jacobian, hessian])
def test_arguments_that_are_not_there(make, ask, says):
    with pytest.raises(TypeError, match=says):
        make(weighted, **ask)(X)


@pytest.mark.parametrize(
    "ask",
    [{"argnums": "x"}, {"argnums": True}, {"argnums": 1.0}, {"argnames": 3}, {"argnames": [3]}],
)
def test_what_names_no_argument(ask):
    for make in (grad, jacobian, hessian):
        with pytest.raises(TypeError, match=r"argnums is|argnames is"):
            make(weighted, **ask)


class Pair(NamedTuple):
    u: Any
    v: Any


@dataclass
class Layer:
    w: Any
    b: Any = None
    name: str = "layer"


def test_gradients_of_containers():
    def f(p, rest):
        return np.sum(p["l"].w * rest[0].u) + rest[0].v ** 2 * rest[1]["k"][0]

    p = {"l": Layer(X), "none": None}
    rest = [Pair(X, 2.0), {"k": (3.0, None)}]
    by_p, by_rest = grad(f, argnums=(0, 1))(p, rest)
    assert isinstance(by_p["l"], Layer)
    assert (by_p["l"].b, by_p["l"].name, by_p["none"]) == (None, "layer", None)
    np.testing.assert_allclose(by_p["l"].w, X)
    assert type(by_rest[0]) is Pair
    assert (by_rest[0].v, by_rest[1]["k"]) == (12.0, (4.0, None))
    second = hessian(lambda r: f(p, r))(rest)
    assert second[0].v[0].v == 6.0
    assert second[1]["k"][0][0].v == 4.0


def test_static_arguments_are_told_apart():
    @value_and_grad
    def f(x, how, act, flag, options=None):
        assert type(flag) is bool
        y = act(x) if flag else x
        return np.sum(y) if how == "sum" else np.prod(y)

    assert f(2.0, "sum", np.sin, False)[0] == 2.0
    assert f(2.0, "sum", np.sin, True)[1] == np.cos(2.0)
    assert f(2.0, "sum", np.cos, True)[1] == -np.sin(2.0)
    assert f(2.0, "prod", np.cos, False, options={"a": "b"})[0] == 2.0
    assert f.cache_info().variants == 4


# ------------------------------------------------------------------ nothing to differentiate


@pytest.mark.parametrize("make", [grad, value_and_grad, jacobian, hessian, elementwise_grad])
@pytest.mark.parametrize(
    ("x", "says"),
    [
        (None, "is None"),
        ("a", "it is a str"),
        (True, "it is a bool"),
        (3, "is a Python int"),
        (np.arange(3), "of dtype int64"),
        (np.True_, "of dtype bool"),
    ],
)
def test_no_number_to_differentiate_by(make, x, says):
    with pytest.raises(errors.NotDifferentiable, match=says) as caught:
        make(lambda x: 1.0)(x)
    assert "test_api_face.py" in str(caught.value)


def test_none_beside_an_array_is_nothing():
    assert grad(lambda x, y: np.sum(x), argnums=(0, 1))(1.0, None) == (1.0, None)


def test_an_article():
    with pytest.raises(errors.NotDifferentiable, match="returned an int64 scalar"):
        grad(np.argmax)(X)
    with pytest.raises(TypeError, match="takes a function, not an int"):
        grad(3)


class Subclass(np.ndarray):
    """An array with units, say."""


@pytest.mark.parametrize(
    ("x", "remedy"),
    [(np.ma.array(X, mask=[1, 0, 0]), r"x\.filled"), (X.view(Subclass), r"np\.asarray")],
)
def test_subclasses_are_refused(x, remedy):
    with pytest.raises(errors.UnsupportedArgument, match=rf"(?s)subclass of ndarray.*{remedy}"):
        grad(np.sum)(x)


class Table:
    """Something like a table of pandas."""

    def __init__(self, x):
        self.x = x

    def __array__(self, dtype=None, copy=None):
        return self.x


def test_an_object_that_is_nearly_an_array():
    with pytest.raises(errors.NotDifferentiable, match=r"it is a Table; pass np.asarray\(...\)"):
        grad(lambda t: 1.0)(Table(X))
    np.testing.assert_allclose(grad(lambda w, t: np.sum(np.asarray(t) * w))(X, Table(X)), X)


def test_errors_of_numpy_name_the_line():
    for f in (lambda x: np.array([[x[0]], [x[0], x[1]]]), lambda x: np.ma.array(x, mask=[1, 0, 0])):
        with pytest.raises((TypeError, ValueError)) as caught:
            grad(lambda x, f=f: np.sum(f(x)))(X)
        said = str(caught.value), *getattr(caught.value, "__notes__", ())
        assert any("test_api_face.py" in words for words in said)


def test_lists_are_containers_of_numbers():
    assert grad(lambda x: np.sum(np.array(x) ** 2))([1.0, 2.0]) == [2.0, 4.0]


# ------------------------------------------------------------------ functions of all kinds


class Model:
    rate = 2.0

    def __init__(self):
        self.w = np.ones(3)

    @functools.partial(grad, argnums=1)
    def method(self, x):
        return self.rate * np.sum(self.w * x)

    @classmethod
    @grad
    def of_class(cls, x):
        raise AssertionError("never called")

    @functools.partial(grad, argnums=1)
    @classmethod
    def by_class(cls, x):
        return cls.rate * x**2

    @staticmethod
    @grad
    def inside(x):
        return x**2

    @grad
    @staticmethod
    def outside(x):
        return x**2

    @jit
    def inner(self, x):
        return self.rate * x

    def __call__(self, x):
        return np.sum(self.w * x)


def test_methods():
    m = Model()
    np.testing.assert_allclose(m.method(X), 2 * m.w)
    m.rate, m.w[0] = 3.0, 5.0
    np.testing.assert_allclose(m.method(X), 3 * m.w)
    assert (Model.by_class(3.0), m.by_class(3.0)) == (12.0, 12.0)
    Model.rate = 1.0
    assert (Model.by_class(3.0), m.inner(2.0)) == (6.0, 6.0)
    Model.rate = 2.0
    assert (Model.inside(3.0), m.inside(3.0), Model.outside(3.0), m.outside(3.0)) == (6.0,) * 4
    g = grad(m.inner)
    assert g(1.0) == 3.0
    m.rate = 7.0
    assert g(1.0) == 7.0
    np.testing.assert_allclose(grad(m)(X), m.w)
    with pytest.raises(errors.NotDifferentiable, match="argnums counts self"):
        grad(Model.__call__)(m, X)


FACTOR = 2.0


@jit
def scaled(x):
    return x * FACTOR


def test_state_of_functions_behind_functions():
    global FACTOR
    g = grad(lambda x: np.sum(scaled(x)))
    np.testing.assert_allclose(g(X), np.full(3, 2.0))
    FACTOR = 5.0
    np.testing.assert_allclose(g(X), np.full(3, 5.0))
    FACTOR = 2.0


def test_partials_and_builtins():
    def f(a, x, b=1.0):
        return a * x**2 * b

    assert grad(functools.partial(f, 3.0))(2.0) == 12.0
    assert grad(functools.partial(f, 3.0, b=2.0))(2.0) == 24.0
    assert grad(functools.partial(f, b=2.0), argnums=1)(3.0, 2.0) == 24.0
    np.testing.assert_allclose(grad(np.sin)(0.5), np.cos(0.5))
    np.testing.assert_allclose(grad(np.linalg.det)(2 * np.eye(2)), 2 * np.eye(2))


@grad
def documented(x: float, y: float = 2.0, *, z: float = 3.0) -> float:
    """What it is about."""
    return x * y * z


def test_it_looks_like_the_function():
    assert documented.__doc__ == "What it is about."
    assert documented.__name__ == "documented"
    assert str(inspect.signature(documented)).startswith("(x: float, y: float = 2.0, *, z:")
    assert inspect.unwrap(documented) is documented.__wrapped__
    assert "What it is about" in inspect.getdoc(documented)
    assert inspect.getsource(documented).startswith("@grad")
    assert "<pre>" in documented._repr_html_()
    assert "&lt;grad of documented" in documented.explain()._repr_html_()


def test_copies_and_pickles():
    documented(1.0)
    assert pickle.loads(pickle.dumps(documented)) is documented
    g = grad(scaled)
    assert pickle.loads(pickle.dumps(g))(1.0) == 2.0
    h = grad(lambda x: x**2)
    assert copy.copy(h) is h
    assert copy.deepcopy({"h": h})["h"] is h
    with pytest.raises(pickle.PicklingError, match="wraps a lambda"):
        pickle.dumps(h)


# ------------------------------------------------------------------ what is left behind


def test_an_error_leaves_nothing_behind():
    def f(x, how):
        if how == "raise":
            raise KeyError("mine")
        return grad(lambda t: f(t, "raise"))(x) if how == "nest" else x**2

    g = vmap(grad(f), in_axes=(0, None))
    for how in ("raise", "nest", "raise"):
        with pytest.raises(KeyError, match="mine"):
            g(X, how)
        assert not is_tracing()
        assert not open_traces
    np.testing.assert_allclose(g(X, ""), 2 * X)
    assert np.array([X[0]]).dtype == np.float64


def test_threads_trace_and_call_together():
    @grad
    def shared(x, k):
        return np.sum(x**k) if k else np.sum(np.sin(x))

    wrong: list[Any] = []
    start = threading.Barrier(6)

    def work(k):
        start.wait()
        mine = value_and_grad(lambda x: np.sum(hvp(lambda t: np.sum(t**3) * k)(x, x)))
        for n in range(1, 12):
            x = np.arange(1.0, n + 1)
            for power in (k % 3 + 1, 0):
                want = power * x ** (power - 1) if power else np.cos(x)
                if not np.allclose(shared(x, power), want):
                    wrong.append((k, n, power))
            if not np.allclose(mine(x)[1], 12 * k * x):
                wrong.append((k, n))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# ------------------------------------------------------------------ None for a part of a container


def test_none_is_a_zero_tangent_or_cotangent():
    p = {"a": X, "n": 2, "b": [1.0, X]}

    def f(p):
        return {"x": p["a"] ** p["n"], "y": (p["b"][0] * p["b"][1], p["n"])}

    out, dot = jvp(f, (p,), ({"a": X, "n": None, "b": None},))
    np.testing.assert_allclose(dot["x"], 2 * X * X)
    np.testing.assert_allclose(dot["y"][0], np.zeros(3))
    assert (out["y"][1], dot["y"][1]) == (2, None)
    out, dot = jvp(f, (p,), ({"a": None, "n": None, "b": [2.0, None]},))
    np.testing.assert_allclose(dot["y"][0], 2 * X)
    _, pullback = vjp(f, p)
    (ct,) = pullback({"x": None, "y": (X, None)})
    assert ct["n"] is None
    np.testing.assert_allclose(ct["a"], np.zeros(3))
    np.testing.assert_allclose(ct["b"][0], X @ X)
    for wrong in ({"a": X}, {"a": X, "n": None, "b": [None]}, {"a": None, "n": None, "b": X}):
        with pytest.raises(errors.CotangentMismatch, match="the tangent has the structure"):
            jvp(f, (p,), (wrong,))
    with pytest.raises(errors.CotangentMismatch, match=r"the tangent at \[0\]\['b'\]\[1\]"):
        jvp(f, (p,), ({"a": None, "n": None, "b": [None, np.ones(2)]},))
