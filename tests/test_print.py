"""print in traced functions: at every call, in order, with the values of the call."""

import numpy as np
import pytest

import adjit
from adjit import checkpoint, cond, fori_loop, grad, jit, vmap, while_loop


@pytest.fixture(autouse=True, params=[True, False], ids=["interpreted", "compiled"])
def way(request):
    with adjit.options(interpret=request.param):
        yield


def test_prints_at_every_call_and_on_every_path(capsys):
    def f(x):
        print("start", end="; ")
        y = np.sin(x) * 2
        print(y)
        print(f"sum {y.sum():.3f} of {x.shape} {{}}", "and", y.sum() > 0, sep="|")
        if y.sum() > 0:
            print("positive")
        return np.sum(y**2)

    for transform in (jit, grad):
        g = transform(f)
        for x in ([0.1, 0.2], [0.3, 0.2], [-0.1, 0.1], [0.1, 0.2]):
            g(np.array(x))
            y = np.sin(np.array(x)) * 2
            expected = f"start; %y = {y}\nsum {y.sum():.3f} of (2,) {{}}|and|{y.sum() > 0}\n"
            expected += "positive\n" if y.sum() > 0 else ""
            assert capsys.readouterr().out == expected
        assert len(g.variants()) == 2


def test_prints_in_regions_once_a_round(capsys):
    def f(x, n):
        def body(i, y):
            print(f"{i}:{y:.2f}", end=" ")
            return cond(y > 0.6, lambda y: (print("+", end=" "), np.cos(y))[1], lambda y: y * 2, y)

        return fori_loop(0, n, body, x)

    for transform in (jit, grad):
        transform(f)(0.1, 5)
        assert capsys.readouterr().out == "0:0.10 1:0.20 2:0.40 3:0.80 + 4:0.70 + "

    def g(x):
        shown = checkpoint(lambda y: (print("in", end=" "), np.sin(y))[1])
        y = while_loop(lambda y: y < 1, lambda y: (print("w", end=" "), y * 2)[1], shown(x))
        for i in adjit.range(20):
            print(i, end=",")
            y = y * 0.5
        return y

    jit(g)(0.3)
    text = capsys.readouterr().out
    grad(g)(0.3)
    assert text == capsys.readouterr().out
    assert text.count("in") == 1 and text.count("w") == 2 and text.endswith("%i = 19,")


def test_rows_of_vmap_are_shown_together(capsys):
    vmap(lambda x: (print(f"x={x}"), x * 2)[1])(np.arange(3.0))
    assert capsys.readouterr().out == "x=[0. 1. 2.]\n"


def test_what_was_printed_before_an_error_is_shown(capsys):
    def f(x):
        y = x * 3
        print("before", y)
        return float(y)

    with pytest.raises(adjit.errors.TracedConversion):
        jit(f)(2.0)
    assert capsys.readouterr().out == "before %y = 6.0\n"


def test_texts_outside_of_print(capsys):
    seen = []

    def f(x):
        seen.append(f"{x} {x!r}")
        return x * 2

    assert jit(f)(1.0) == 2.0
    assert seen[0].startswith("Tracer<x: f64[]>#0 Tracer<x: f64[]>")
    jit(f).ir(1.0)
    print("plain")
    assert capsys.readouterr().out == "plain\n"
