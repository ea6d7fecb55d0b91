"""grad, value_and_grad and elementwise_grad: numbers, structures, kinds, and refusals."""

import collections
import dataclasses
import functools
import warnings

import numpy as np
import pytest

from adjit import elementwise_grad, errors, grad, jit, value_and_grad

pytestmark = pytest.mark.usefixtures("interpreted")


def numeric(f, x, eps=1e-6):
    """The gradient of a scalar function of one array, by central differences."""
    x = np.asarray(x, float)
    out = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = eps
        out[i] = (f(x + d) - f(x - d)) / (2 * eps)
    return out


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


X = np.array([0.3, -1.2, 0.7, 1.5])
Point = collections.namedtuple("Point", "x y")


class Tagged(np.ndarray):
    """A subclass of ndarray."""


@dataclasses.dataclass
class Params:
    w: np.ndarray
    b: float


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    "f",
    [
        rosenbrock,
        lambda x: np.mean(np.tanh(x) * x),
        lambda x: np.max(x) + np.prod(x[:2]),
        lambda x: np.where(x > 0, x, x**2).sum(),
        lambda x: (np.outer(x, x) @ x)[1],
        lambda x: np.log(np.sum(np.exp(x - x.max()))),
        lambda x: np.sqrt(x @ x),
    ],
)
def test_gradient_is_the_numeric_one(f):
    np.testing.assert_allclose(grad(f)(X), numeric(f, X), rtol=1e-6, atol=1e-6)


def test_value_and_grad_gives_both():
    value, g = value_and_grad(rosenbrock)(X)
    assert value == pytest.approx(rosenbrock(X), rel=1e-14)
    np.testing.assert_allclose(g, numeric(rosenbrock, X), rtol=1e-6)


def test_second_and_third_order_by_composition():
    f = grad(grad(grad(lambda x: x**5)))
    assert f(2.0) == pytest.approx(60 * 4.0)


def test_elementwise_grad():
    np.testing.assert_allclose(elementwise_grad(np.tanh)(X), 1 - np.tanh(X) ** 2)
    twice = elementwise_grad(elementwise_grad(lambda x: x**3))
    np.testing.assert_allclose(twice(X), 6 * X)


def test_gradient_of_a_jitted_function_and_the_other_way_round():
    np.testing.assert_allclose(grad(jit(rosenbrock))(X), grad(rosenbrock)(X))
    np.testing.assert_allclose(jit(grad(rosenbrock))(X), grad(rosenbrock)(X))


def test_grad_inside_a_function_that_is_differentiated():
    def penalty(x, y):
        slope = grad(lambda t: np.sum(t**3) * y)(x)
        return np.sum(slope**2)

    wanted = numeric(lambda x: np.sum((3 * x**2 * 2.0) ** 2), X)
    np.testing.assert_allclose(grad(penalty)(X, 2.0), wanted, rtol=1e-6)
    by_y = grad(penalty, argnums=1)(X, 2.0)
    assert by_y == pytest.approx(np.sum(2 * 2.0 * (3 * X**2) ** 2))


def test_a_closure_over_an_outer_traced_value():
    def outer(w):
        return grad(lambda x: w * x**2)(3.0)

    assert grad(outer)(5.0) == pytest.approx(6.0)


def test_seed_of_size_one_arrays():
    np.testing.assert_allclose(grad(lambda x: x[:1] ** 2)(X), [0.6, 0, 0, 0])
    value, _ = value_and_grad(lambda x: x[:1, None] ** 2)(X)
    assert value.shape == (1, 1)


# ------------------------------------------------------------------ structure and kind


def test_containers_give_the_same_containers():
    def loss(p, scale):
        return np.sum(p["layers"][0][0] @ p["x"]) * scale + p["pt"].x * p["pt"].y + p["q"].b

    w = np.arange(6.0).reshape(2, 3)
    params = {
        "layers": [(w, None)],
        "x": np.ones(3),
        "pt": Point(2.0, np.float64(3.0)),
        "q": Params(np.zeros(2), 4.0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.ZeroGradient)
        g = grad(loss)(params, 2.0)
    assert list(g) == list(params)
    assert type(g["layers"]) is list
    assert type(g["layers"][0]) is tuple
    assert g["layers"][0][1] is None
    np.testing.assert_array_equal(g["layers"][0][0], np.full((2, 3), 2.0))
    assert type(g["pt"]) is Point
    assert g["pt"] == (3.0, 2.0)
    assert type(g["q"]) is Params
    assert g["q"].b == 1.0
    np.testing.assert_array_equal(g["q"].w, np.zeros(2))


@pytest.mark.parametrize(
    ("x", "kind"),
    [
        (2.0, float),
        (np.float64(2.0), np.float64),
        (np.float32(2.0), np.float32),
        (np.array(2.0), np.ndarray),
    ],
)
def test_a_gradient_is_of_the_kind_of_its_argument(x, kind):
    g = grad(lambda t: t * t)(x)
    assert type(g) is kind
    assert g == 4.0
    if kind is not float:
        assert g.dtype == x.dtype


@pytest.mark.parametrize(
    ("f", "kind"),
    [
        (lambda x: x * 2.0, float),
        (lambda x: np.sin(x), np.float64),
        (lambda x: np.sum(np.stack([x, x])), np.float64),
    ],
)
def test_a_value_is_of_the_kind_numpy_gives(f, kind):
    value, g = value_and_grad(f)(1.5)
    assert type(value) is type(f(1.5)) is kind
    assert type(g) is float


def test_dtypes_are_kept():
    w = X.astype(np.float32)
    value, (g, h) = value_and_grad(lambda a, b: np.sum(a * b), argnums=(0, 1))(w, X)
    assert value.dtype == np.float64
    assert g.dtype == np.float32
    assert h.dtype == np.float64


def test_gradients_are_fresh_and_inputs_untouched():
    x, before = X.copy(), X.copy()
    x.flags.writeable = False
    f = grad(lambda t: np.sum(t))
    a, b = f(x), f(x)
    a[0] = 7
    assert b[0] == 1.0
    np.testing.assert_array_equal(x, before)
    y = jit(lambda t: t)(x)
    assert y is not x
    assert y.flags.writeable


# ------------------------------------------------------------------ which arguments


def two(x, y):
    return np.sum(x * y**2)


@pytest.mark.parametrize("argnums", [(0, 1), [0, 1], (-2, -1)])
def test_several_argnums_give_a_tuple(argnums):
    g = grad(two, argnums=argnums)(X, 2 * X)
    assert type(g) is tuple
    np.testing.assert_allclose(g[0], 4 * X**2)
    np.testing.assert_allclose(g[1], 4 * X * X)


def test_argnums_and_argnames_by_position_or_keyword():
    wanted = 2 * X * X
    np.testing.assert_allclose(grad(two, 1)(X, X), wanted)
    np.testing.assert_allclose(grad(two, argnums=-1)(X, X), wanted)
    np.testing.assert_allclose(grad(two, argnums=1)(X, y=X), wanted)
    np.testing.assert_allclose(grad(two, argnames="y")(X, y=X), wanted)
    np.testing.assert_allclose(grad(two, argnames="y")(X, X), wanted)
    (by_name,) = grad(two, argnames=("y",))(x=X, y=X)
    np.testing.assert_allclose(by_name, wanted)


def test_decorators_bare_and_with_arguments():
    @grad
    def first(x, y):
        """Doc."""
        return np.sum(x * y)

    @grad(argnums=1, has_aux=True)
    def second(x, y):
        return np.sum(x * y), {"n": x.shape[0], "x": x}

    assert first.__name__ == "first"
    assert first.__doc__ == "Doc."
    np.testing.assert_array_equal(first(X, 2 * X), 2 * X)
    g, aux = second(X, X)
    np.testing.assert_array_equal(g, X)
    assert aux["n"] == 4
    np.testing.assert_array_equal(aux["x"], X)


def test_aux_of_value_and_grad_carries_no_derivative():
    def f(x):
        return np.sum(x**2), (np.sum(x) * 5, x, "note")

    (value, aux), g = value_and_grad(f, has_aux=True)(X)
    assert value == np.sum(X**2)
    assert aux[0] == pytest.approx(5 * X.sum())
    assert aux[2] == "note"
    np.testing.assert_allclose(g, 2 * X)


def test_methods_partials_and_callables():
    class Model:
        def __init__(self, scale):
            self.scale = scale

        @value_and_grad(argnums=1)
        def loss(self, w):
            return np.sum(w**2) * self.scale

        def __call__(self, w):
            return np.sum(w) * self.scale

    m = Model(3.0)
    value, g = m.loss(X)
    assert value == pytest.approx(3 * np.sum(X**2))
    np.testing.assert_allclose(g, 6 * X)
    np.testing.assert_allclose(grad(m)(X), np.full(4, 3.0))
    np.testing.assert_allclose(grad(functools.partial(two, y=2.0))(X), np.full(4, 4.0))
    np.testing.assert_allclose(grad(functools.partial(two, X))(2.0), np.sum(4 * X))


def test_static_arguments_select_variants():
    f = grad(lambda x, mode, flag: np.sum(x**2 if mode == "two" else x**3) * (2 if flag else 1))
    np.testing.assert_allclose(f(X, "two", False), 2 * X)
    np.testing.assert_allclose(f(X, "three", True), 6 * X**2)
    np.testing.assert_allclose(f(X, "two", False), 2 * X)
    assert f.cache_info().variants == 2
    assert f.cache_info().traces == 2


# ------------------------------------------------------------------ refusals


def test_non_scalar_output():
    with pytest.raises(errors.NonScalarOutput) as caught:
        grad(lambda x: x**2)(X)
    text = str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert "grad can be implicitly created only for scalar outputs" in text
    assert "(4,)" in text
    assert "jacobian" in text


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: (np.sum(x), x), "has_aux=True"),
        (lambda x: None, "it returned None"),
        (lambda x: {"loss": np.sum(x)}, "a dict of 1"),
    ],
)
def test_outputs_that_are_no_scalar(f, says):
    with pytest.raises(errors.NonScalarOutput, match=says):
        grad(f)(X)


def test_aux_that_is_missing():
    with pytest.raises(errors.NonScalarOutput, match="asked for \\(loss, aux\\)"):
        grad(lambda x: np.sum(x), has_aux=True)(X)


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: np.argmax(x), "int64"),
        (lambda x: np.any(x > 0), "bool"),
        (lambda x: 3, "constant 3"),
    ],
)
def test_results_without_derivative(f, says):
    with pytest.raises(errors.NotDifferentiable, match=says):
        grad(f)(X)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.arange(3), "argument 0 \\(x\\) is of dtype int64"),
        (np.array([True]), "argument 0 \\(x\\) is of dtype bool"),
        (3, "argument 0 \\(x\\) is a Python int"),
        (True, "it is a bool"),
        ("text", "it is a str"),
        ({"a": 1.0, "n": np.arange(2)}, r"leaf x\['n'\], is of dtype int64"),
    ],
)
def test_arguments_without_derivative(x, says):
    def f(x):
        return 1.0

    with pytest.raises(errors.NotDifferentiable, match=says):
        grad(f)(x)


def test_self_is_counted_and_said():
    class Model:
        @grad
        def loss(self, w):
            return np.sum(w)

    with pytest.raises(errors.NotDifferentiable, match="say argnums=1"):
        Model().loss(X)


def test_zero_gradient_warns_with_name_and_place():
    f = grad(lambda x, y: np.sum(x), argnums=(0, 1))
    with pytest.warns(errors.ZeroGradient, match="does not depend on y") as caught:
        _, g = f(X, X)
    np.testing.assert_array_equal(g, np.zeros(4))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f(X, X)  # once per variant is enough

    with pytest.warns(errors.ZeroGradient, match=r"p\['b'\]"):
        grad(lambda p: np.sum(p["a"]))({"a": X, "b": X})

    with pytest.warns(errors.ZeroGradient, match=r"the path ends at test_api_grad.py:\d+"):
        g = grad(lambda x: np.sum(np.floor(x)))(X)
    np.testing.assert_array_equal(g, np.zeros(4))


def test_a_constant_result_has_zero_gradient():
    with pytest.warns(errors.ZeroGradient):
        value, g = value_and_grad(lambda x: 2.5)(X)
    assert value == 2.5
    np.testing.assert_array_equal(g, np.zeros(4))


def test_calls_that_python_refuses():
    f = grad(two)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        f(X)
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        f(X, X, z=1)
    with pytest.raises(TypeError, match="argnums names argument 2"):
        grad(two, argnums=2)(X, X)
    with pytest.raises(TypeError, match="argnames names 'z'"):
        grad(two, argnames="z")(X, X)


@pytest.mark.parametrize("bad", ["0", 1.0, True, (0, "x")])
def test_argnums_of_a_wrong_type(bad):
    with pytest.raises(TypeError, match="argnums is an int"):
        grad(two, argnums=bad)


def test_what_is_no_function():
    with pytest.raises(TypeError, match="grad takes a function, not a ndarray"):
        grad(X)
    with pytest.raises(ValueError, match="at least one"):
        grad(two, argnums=())


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.array([1.0, None], object), "object"),
        (np.ma.masked_array(X, X > 0), r"MaskedArray[^$]*x\.filled"),
        (X.view(Tagged), r"Tagged[^$]*np\.asarray"),
        (X.astype(">f8"), r"dtype >f8[^$]*x\.astype\('float64'\)"),
        (np.zeros(2, [("a", float)]), r"dtype[^$]*x\['a'\]"),
    ],
)
def test_arrays_that_cannot_be_traced(x, says):
    with pytest.raises(errors.UnsupportedArgument, match=says):
        grad(lambda t: np.sum(t))(x)
