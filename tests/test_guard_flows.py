"""Every way in which Python decides by traced values, and random programs of such decisions."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from decisions import FLOWS, POINTS, difference, if_, scalar_form

import adjit
from adjit import errors, grad, hvp, jit, jvp, value_and_grad


def assert_right(f, points, mode):
    """Twice through all points: right, and no trace in the second round."""
    v = np.cos(np.arange(np.size(points[0]))).reshape(np.shape(points[0]))
    v = v if v.shape else 1.0
    slope = grad(f)  # for differences of the second order
    made = {
        "value": jit(f),
        "grad": value_and_grad(f),
        "second": hvp(f),
        "jvp": lambda x: jvp(f, (x,), (v,)),
    }[mode]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.ZeroGradient)
        for turn in range(2):
            if turn == 1 and mode != "jvp":
                traces = made.cache_info().traces
            for x in points:
                tol = {"rtol": 2e-5, "atol": 2e-6}
                if mode == "value":
                    np.testing.assert_allclose(made(x), f(x), rtol=1e-12)
                elif mode == "grad":
                    value, g = made(x)
                    np.testing.assert_allclose(value, f(x), rtol=1e-12)
                    np.testing.assert_allclose(g, difference(f, x), **tol)
                elif mode == "jvp":
                    value, dot = made(x)
                    np.testing.assert_allclose(value, f(x), rtol=1e-12)
                    np.testing.assert_allclose(dot, np.sum(difference(f, x) * v), **tol)
                else:
                    h = 1e-5
                    with adjit.options(interpret=True):  # mode "grad" has its kernel
                        there = (slope(x + h * v) - slope(x - h * v)) / (2 * h)
                    np.testing.assert_allclose(made(x, v), there, rtol=1e-4, atol=1e-5)
        if mode != "jvp":
            assert made.cache_info().traces == traces <= len(points)


@pytest.mark.parametrize("mode", ["value", "grad", "second", "jvp"])
@pytest.mark.parametrize("f", FLOWS, ids=lambda f: f.__name__)
def test_flow_of_scalars(f, mode):
    assert_right(scalar_form(f), [0.3, -0.8, 1.7, -2.2], mode)


@pytest.mark.parametrize("mode", ["value", "grad", "second", "jvp"])
@pytest.mark.parametrize("shape", POINTS)
@pytest.mark.parametrize("f", FLOWS, ids=lambda f: f.__name__)
def test_flow_of_arrays(f, shape, mode):
    # The interpreter is quicker than as many compilations: `test_flow_of_scalars` has those.
    with adjit.options(interpret=f is not if_):
        assert_right(f, [np.array(x) for x in POINTS[shape]], mode)


# ------------------------------------------------------------------ random programs


def _number(rng):
    return f"{rng.uniform(-1, 1):.2f}"


def _scalar(rng):
    return str(rng.choice(["a", "b", "x[0]", "x[1]", "x[2]", "np.sum(x)"]))


def _term(rng):
    forms = ["{} * {}", "np.sin({}) + {}", "np.exp(-{} ** 2) * {}", "{} - 0.3 * {}"]
    return str(rng.choice(forms)).format(_scalar(rng), _scalar(rng))


def _test(rng):
    forms = ["{} > {}", "{} * {} < 0.1", "abs({}) > abs({})", "not {} < {}"]
    one = str(rng.choice(forms)).format(_scalar(rng), _scalar(rng))
    if rng.random() < 0.3:
        joined = rng.choice(["and", "or"])
        return f"{one} {joined} {_scalar(rng)} > {_number(rng)}"
    return one


def program(rng):
    """The text of a function with branches and loops that depend on its values."""
    lines, names = ["def f(x):", "    a = x[0] * 1.0", "    b = x[1] + 0.5", "    n = 0"], "abx"

    number, scalar, term, test = (partial(f, rng) for f in (_number, _scalar, _term, _test))

    def block(pad, depth):
        for _ in range(rng.integers(1, 4)):
            statement(pad, depth)

    def statement(pad, depth):
        kind = rng.choice(
            ["assign", "if", "while", "for", "ternary", "max", "return", "int"],
            p=[0.3, 0.22, 0.12, 0.1, 0.08, 0.06, 0.06, 0.06],
        )
        target = rng.choice(["a", "b"])
        if kind == "if" and depth:
            lines.append(f"{pad}if {test()}:")
            block(pad + "    ", depth - 1)
            if rng.random() < 0.6:
                lines.append(f"{pad}else:")
                block(pad + "    ", depth - 1)
        elif kind == "while" and depth:
            lines.append(f"{pad}while abs({target}) > {0.3 + rng.random():.2f} and n < 12:")
            lines.append(f"{pad}    n += 1")
            lines.append(f"{pad}    {target} = {target} * 0.5 + 0.02 * np.sin({scalar()})")
            if rng.random() < 0.3:
                lines.append(f"{pad}    if {test()}:")
                lines.append(f"{pad}        {rng.choice(['break', 'continue'])}")
        elif kind == "for" and depth:
            lines.append(f"{pad}for v in x:")
            lines.append(f"{pad}    if v > {number()}:")
            lines.append(f"{pad}        {rng.choice(['continue', 'break', 'a = a + v * v'])}")
            lines.append(f"{pad}    b = b * 0.7 + v")
        elif kind == "ternary":
            lines.append(f"{pad}{target} = {term()} if {test()} else {term()}")
        elif kind == "max":
            lines.append(f"{pad}{target} = {rng.choice(['max', 'min'])}({scalar()}, {scalar()})")
        elif kind == "int":
            lines.append(f"{pad}a = a + x[int(abs({scalar()})) % 3]")
        elif kind == "return" and depth < 2:
            lines.append(f"{pad}return {term()} + np.sum(x * a)")
        else:
            lines.append(f"{pad}{target} = {term()}")

    for _ in range(rng.integers(2, 5)):
        statement("    ", 2)
    lines.append(f"    return a * b + np.sum(x ** 2) * 0.1 + {names[0]}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(200))
def test_random_programs(seed):
    rng = np.random.default_rng(seed)
    text = program(rng)
    scope = {"np": np}
    exec(text, scope)
    f = scope["f"]
    points = [rng.normal(size=3) * s for s in (0.3, 1.0, 1.0, 2.0)]
    with adjit.options(interpret=seed % 8 != 0), warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.ZeroGradient)
        made = value_and_grad(f)
        known = [[difference(f, x, h) for h in (1e-5, 1e-6, 1e-7)] for x in points]
        for x, slopes in [*zip(points, known, strict=True)] * 2:
            value, g = made(x)
            np.testing.assert_allclose(value, f(x), rtol=1e-11, atol=1e-13, err_msg=text)
            if np.ptp(slopes, axis=0).max() < 1e-3:  # no jump nearby
                np.testing.assert_allclose(g, slopes[1], rtol=1e-4, atol=1e-5, err_msg=text)
        assert made.cache_info().traces <= len(points)
