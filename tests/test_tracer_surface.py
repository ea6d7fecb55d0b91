"""NumPy as users write it: traced at one input, evaluated at another, compared with NumPy there."""

import contextlib
import inspect

import numpy as np
import pytest
import scipy.special
from numpy.testing.overrides import get_overridable_numpy_array_functions
from surface_cases import CUBE, FUNCTIONS, MATRIX, POSITIVE, TABLE
from traced import assert_right

from adjit.tracer import errors
from adjit.tracer.surface import FUNCTIONS as FUNCTIONS_OF_NUMPY
from adjit.tracer.surface import is_tracer
from adjit.tracer.trace import trace

ELEMENTWISE = [
    np.sin, np.cos, np.tan, np.exp, np.exp2, np.expm1, np.sinh, np.cosh, np.tanh, np.arctan,
    np.arcsinh, np.square, np.abs, np.fabs, np.sign, np.floor, np.ceil, np.trunc, np.rint,
    np.negative, np.positive, np.degrees, np.radians, np.deg2rad, np.rad2deg, np.cbrt, np.isnan,
    np.isfinite, np.isinf, np.logical_not, np.reciprocal, np.sqrt, np.log, np.log2, np.log10,
    np.log1p, np.arcsin, np.arccos, np.arctanh, np.conjugate, np.signbit, np.fix, np.nan_to_num,
]  # fmt: skip
BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.true_divide, np.floor_divide, np.remainder,
    np.mod, np.fmod, np.power, np.float_power, np.maximum, np.minimum, np.fmax, np.fmin,
    np.arctan2, np.hypot, np.logaddexp, np.logaddexp2, np.copysign, np.heaviside, np.greater,
    np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.logical_and,
    np.logical_or, np.logical_xor, np.nextafter,
]  # fmt: skip


@pytest.mark.parametrize("f", ELEMENTWISE, ids=lambda f: f.__name__)
def test_unary(f):
    assert_right(f, *POSITIVE)
    assert_right(f, (0.3,), (0.6,))
    assert_right(f, (np.float32(0.3),), (np.float32(0.6),), rtol=1e-6)


@pytest.mark.parametrize("f", BINARY, ids=lambda f: f.__name__)
def test_binary(f):
    (a,), (b,) = POSITIVE
    assert_right(f, (a, b), (b, a))
    assert_right(lambda x: f(x, TABLE[:, :1]), *POSITIVE)
    assert_right(lambda x: f(2.0, x), *POSITIVE)
    assert_right(lambda x, y: f(x, y), (0.5, a), (0.25, b))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    assert_right(FUNCTIONS[name], *MATRIX)


def test_layouts():
    (a,), (b,) = CUBE
    f = FUNCTIONS["reshape"]
    for turn in (lambda v: v.T[:, :, 0], lambda v: np.asfortranarray(v[0]), lambda v: v[1, ::-1]):
        x, y = turn(a), turn(b)
        assert_right(
            lambda v: (v.ravel(), v.reshape(-1), np.ravel(v, "A"), v.copy() * 2), (x,), (y,)
        )
    assert f(a[0])


SPECIAL = [
    "erf", "erfc", "erfinv", "expit", "logit", "log_expit", "ndtr", "ndtri", "log_ndtr", "gammaln",
    "gamma", "digamma", "psi", "entr", "i0", "i0e", "i1", "i1e", "j0", "j1", "y0", "y1",
]  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special(name):
    assert_right(getattr(scipy.special, name), *POSITIVE)


def test_special_functions():
    from scipy import special

    assert_right(
        lambda x: special.xlogy(x, 2.0) + special.xlog1py(x, 1.0) + special.rel_entr(x, 0.5),
        *POSITIVE,
    )
    assert_right(
        lambda x: (special.logsumexp(x), special.logsumexp(x, axis=1, keepdims=True)), *MATRIX
    )
    assert_right(lambda x: special.logsumexp(x, b=TABLE, axis=0), *MATRIX)
    assert_right(lambda x: (special.softmax(x), special.softmax(x, axis=0)), *MATRIX)
    assert_right(lambda x: special.log_softmax(x, axis=1), *MATRIX)


def test_keyword_names_are_numpys():
    """What NumPy takes by keyword, so do the entries."""
    overridable = get_overridable_numpy_array_functions()
    for function, entry in FUNCTIONS_OF_NUMPY.items():
        if function not in overridable:
            continue
        have = inspect.signature(entry).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in have):
            continue
        names = {p.name for p in have}
        for p in inspect.signature(function).parameters.values():
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                assert p.name in names, (function.__name__, p.name)


def test_every_array_function_answers():
    """A function that has no entry runs NumPy's own Python, or refuses by its name."""
    x = MATRIX[0][0]
    plain = []

    def called(function, v):
        result = function(v)
        if not is_tracer(result) and isinstance(result, np.ndarray) and result.dtype.kind in "fc":
            plain.append(function.__name__)

    for function in get_overridable_numpy_array_functions() - FUNCTIONS_OF_NUMPY.keys():
        if function.__module__ in ("numpy.lib.recfunctions",):
            continue
        # Most want other arguments; none may crash or hand out a plain array of a traced value.
        with contextlib.suppress(errors.AdjitError, TypeError, ValueError, AttributeError):
            trace(lambda v, function=function: called(function, v), (x,))
    assert plain == []
