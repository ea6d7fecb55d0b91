"""Loops, branches and whiles in kernels: against the interpreter, and the text that they become."""

from __future__ import annotations

import random
import signal
import threading
import time

import numpy as np
import programs
import pytest
from fuzz import assert_same, joint, tolerance

import adjit
from adjit import cond, fori_loop, grad, jit, scan, value_and_grad, while_loop
from adjit.codegen.program import build
from adjit.ir import evaluate, parse
from adjit.ir.core import all_ops
from adjit.ir.plan import HostStep
from adjit.passes import pipeline
from adjit.passes.schedule import schedule


def compiled(function):
    return build(schedule(pipeline.run(function, pipeline.JOINT)))


def text_of(function) -> str:
    (source,) = (text for _, text in compiled(function).sources)
    return source


def assert_in_kernel(f, *args) -> str:
    """The kernel of a program that runs nothing on the host, and agrees with the interpreter."""
    compiled_ = f(*args)
    with adjit.options(interpret=True):
        interpreted = f(*args)
    for x, y in zip(leaves(compiled_), leaves(interpreted), strict=True):
        assert x.dtype == y.dtype
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
    text = f.source(*args).partition("# what a call runs first")[0]
    assert text.count("def ") == 1, "more than one kernel"
    return text


def leaves(x):
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    return [np.asarray(x)]


# ------------------------------------------------------------------ random programs


def with_regions(seed: int, size: int):
    """A random program, mostly of regions."""
    plain = programs.STATEMENTS
    programs.STATEMENTS = (*plain, *programs.REGIONS * 2)
    try:
        return programs.random_function(seed, size)
    finally:
        programs.STATEMENTS = plain


@pytest.mark.parametrize("seed", range(6))
def test_random_regions_and_their_adjoints(seed):
    function, args = with_regions(seed, 3 + seed)
    whole, samples = joint(function, args)
    assert_same(
        "kernel", compiled(function).call(args), evaluate(function, *args), tolerance(function)
    )
    found = compiled(whole).call(samples)
    assert_same("joint", found, evaluate(whole, *samples), tolerance(function))


@pytest.mark.parametrize("seed", [3, 8])
def test_random_regions_to_second_order(seed):
    function, args = with_regions(seed, 4)
    twice, samples = joint(*joint(function, args))
    assert sum(1 for _ in all_ops(twice.block)) < 800
    found = compiled(twice).call(samples)
    assert_same("second", found, evaluate(twice, *samples), tolerance(function))


# ------------------------------------------------------------------ loops


def decay(x, n):
    return fori_loop(0, n, lambda i, y: np.sin(y) * x, 1.0)


def test_number_of_rounds_is_an_argument_and_tapes_grow():
    f = grad(decay)
    text = assert_in_kernel(f, 0.7, 5)
    assert "ll.tape_f64(" in text
    for n in (0, 1, 3, 40, 5000, 2):
        with adjit.options(interpret=True):
            want = grad(decay)(0.7, n)
        assert f(0.7, n) == pytest.approx(want, rel=1e-9)
    assert f.cache_info().kernels == 1


def test_too_many_rounds_for_memory():
    f = grad(decay)
    f(0.7, 3)
    with pytest.raises(MemoryError, match="rounds"):
        f(0.7, 2**61)


def recurrence(x, c):
    z = np.zeros(50)
    z[0] = x

    def body(i, z):
        z[i + 1] = np.sin(c * z[i]) + 0.1 * z[i]
        return z

    return np.sum(fori_loop(0, 49, body, z) ** 2)


def test_an_array_is_updated_where_it_lies():
    text = assert_in_kernel(value_and_grad(recurrence, argnums=(0, 1)), 0.3, 1.1)
    loops = [line for line in text.splitlines() if line.lstrip().startswith("for ")]
    assert all(line.startswith("    for ") for line in loops), "a round copies its array"
    assert "status" not in text  # indices that follow the loop are known to be inside


def wave(u, v, dt):
    def body(i, s):
        u, v = s
        return u + dt * v, v - dt * u

    return np.sum(fori_loop(0, 30, body, (u, v))[0] ** 2)


def test_two_arrays_that_read_each_other_share_a_pass():
    u, v = np.linspace(0, 1, 40), np.linspace(1, 0, 40)
    text = assert_in_kernel(value_and_grad(wave, argnums=(0, 1)), u, v, 0.01)
    rounds = [k for k in text.splitlines() if k.startswith("        for ")]
    assert len(rounds) == 2  # one pass forward, one back
    assert text.count("_buf") <= 20


def swapped(a, b, n):
    a, b = fori_loop(0, n, lambda i, s: (s[1] * 1.5, s[0] + 1.0), (a, b))
    return np.sum(a * b)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_carries_that_change_places(n):
    a, b = np.linspace(0, 1, 20), np.linspace(1, 2, 20)
    assert_in_kernel(value_and_grad(swapped, argnums=(0, 1)), a, b, n)
    assert_in_kernel(value_and_grad(swapped, argnums=(0, 1)), 0.5, 2.0, n)


def blurred(x, n):
    def body(i, y):
        return 0.5 * y + 0.25 * (np.roll(y, 1) + np.roll(y, -1))

    return np.sum(fori_loop(0, n, body, x) ** 3)


def test_neighbours_are_read_before_they_change():
    assert_in_kernel(value_and_grad(blurred), np.linspace(-1, 1, 30), 7)


def rotated(u, a, n):
    turn = np.array([[0.9, -0.2], [0.2, 0.9]])

    def body(i, u):
        return np.array([np.cos(a) * u[0] - u[1], u[0] + a * u[1]]) * 0.5 + 0.1 * turn[0] * u

    return np.sum(fori_loop(0, n, body, u))


def test_small_arrays_are_registers():
    text = assert_in_kernel(value_and_grad(rotated, argnums=(0, 1)), np.array([1.0, 2.0]), 0.3, 6)
    rounds = [k for k in text.splitlines() if k.startswith("        ")]
    assert not any("_buf" in k for k in rounds)
    assert all("_tape" in k for k in rounds if "] = " in k)


def test_rows_in_and_out_and_backwards():
    def f(x, w):
        def body(c, row):
            c = np.tanh(c * w + row)
            return c, c * row

        c, ys = scan(body, w, x)
        d, zs = scan(body, c, ys[::-1])
        return np.sum(d) + np.sum(ys * zs)

    x = np.linspace(-1, 1, 24).reshape(6, 4)
    assert_in_kernel(value_and_grad(f, argnums=(0, 1)), x, np.array([0.1, 0.2, 0.3, 0.4]))


def test_products_in_loops():
    def f(w, x):
        def body(i, h):
            return np.tanh(w @ h + x[i])

        return np.sum(fori_loop(0, 5, body, np.zeros(20)))

    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((20, 20)) * 0.2, rng.standard_normal((5, 20))
    assert_in_kernel(value_and_grad(f, argnums=(0, 1)), w, x)


def test_batched_products_in_loops_use_blas():
    def f(w, h):
        return np.sum(fori_loop(0, 4, lambda i, h: np.tanh(h @ w), h))

    rng = np.random.default_rng(0)
    w, h = rng.standard_normal((20, 20)) * 0.2, rng.standard_normal((30, 20))
    assert "blas." in assert_in_kernel(value_and_grad(f, argnums=(0, 1)), w, h)


def test_single_precision_and_integers_are_carried():
    def f(x):
        y, k = fori_loop(0, 6, lambda i, s: (s[0] * x, s[1] * 3 + i), (x, 1))
        return y, k

    assert_in_kernel(jit(f), np.float32(1.25))
    assert_in_kernel(jit(f), 1.25)


def test_truth_values_are_carried():
    def f(x):
        def body(i, s):
            seen, y = s
            return seen | (y > 2.0), y * x

        return fori_loop(0, 8, body, (np.bool_(False), x))

    assert_in_kernel(jit(f), 1.3)
    assert_in_kernel(jit(f), 0.3)


def test_an_index_out_of_bounds_in_a_round_raises():
    def f(x, k):
        return fori_loop(0, 3, lambda i, s: s + x[i * k], 0.0)

    g = jit(f)
    x = np.arange(5.0)
    assert g(x, 2) == 6.0
    with pytest.raises(IndexError):
        g(x, 3)


# ------------------------------------------------------------------ branches and whiles


def test_only_the_taken_branch_runs():
    def f(x, k):
        return cond(k < 5, lambda x, k: x[k] * 2.0, lambda x, k: x[0], x, k)

    g = jit(f)
    x = np.arange(1.0, 6.0)
    assert "else:" in assert_in_kernel(g, x, 3)
    assert g(x, 7) == 1.0  # x[7] would be out of bounds
    with pytest.raises(IndexError):
        g(x, -9)


def test_branches_that_return_arrays():
    def f(x, y):
        a, b = cond(np.sum(x) > 0, lambda x, y: (x * y, y), lambda x, y: (np.cos(x), x + 1.0), x, y)
        return np.sum(a * b)

    y = np.linspace(1, 2, 20)
    for x in (y, -y):
        assert_in_kernel(value_and_grad(f, argnums=(0, 1)), x, y)


def test_a_branch_in_a_loop_updates_its_array():
    def f(x, c):
        def body(i, z):
            def put(z):
                z = z.copy()
                z[i] = z[i - 1] * c
                return z

            return cond(z[i] > 0.5, put, lambda z: z, z)

        return np.sum(fori_loop(1, 40, body, x))

    for g in (jit(f), value_and_grad(f, argnums=(0, 1))):  # the adjoint keeps a number per round
        text = assert_in_kernel(g, np.linspace(0, 1, 40), 0.9)
        assert not any(k.startswith("        ") and "for " in k for k in text.splitlines())


def newton(a):
    return while_loop(lambda x: abs(x**3 - a) > 1e-12, lambda x: x - (x**3 - a) / (3 * x * x), a)


def test_while_and_its_derivatives():
    f = value_and_grad(newton)
    text = assert_in_kernel(f, 5.0)
    assert "while True:" in text
    value, slope = f(20.0)
    assert value == pytest.approx(20 ** (1 / 3), rel=1e-12)
    assert slope == pytest.approx(20 ** (-2 / 3) / 3, rel=1e-9)
    curve = assert_in_kernel(grad(grad(newton)), 5.0)
    assert curve
    assert grad(grad(newton))(5.0) == pytest.approx(-2 / 9 * 5 ** (-5 / 3), rel=1e-6)


def test_a_comparison_with_nan_ends_a_while():
    def f(x):
        return while_loop(lambda y: y < 10.0, lambda y: y * 2.0, x)

    g = jit(f)
    assert np.isnan(g(np.nan))
    assert g(3.0) == 12.0
    assert g(11.0) == 11.0


def test_while_in_branch_in_loop():
    def f(x, n):
        def body(i, y):
            def shrink(y):
                return while_loop(lambda c: c > 0.5, lambda c: c * x, y)

            return cond(y > 1, shrink, lambda y: y + i * x, y)

        return fori_loop(0, n, body, x)

    g = value_and_grad(f)
    for n in (0, 1, 4, 9):
        assert_in_kernel(g, 0.8, n)
    assert g.cache_info().kernels == 1


@pytest.mark.parametrize("rung", ["direct", "lean", "plain"])
def test_every_rung_compiles_them(rung):
    with adjit.options(rung=rung):
        f = value_and_grad(lambda x, n: newton(fori_loop(0, n, lambda i, y: y * x + 1.0, x)))
        got = f(1.1, 4)
    with adjit.options(interpret=True):
        want = value_and_grad(lambda x, n: newton(fori_loop(0, n, lambda i, y: y * x + 1.0, x)))
        np.testing.assert_allclose(got, want(1.1, 4), rtol=1e-9)


@pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals need it"
)
@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_a_while():
    f = jit(lambda x: while_loop(lambda y: y > -1.0, lambda y: y * 0.5 + x, x))
    f.compile(1.0)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    start = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f(1.0)
    assert time.perf_counter() - start < 5.0
    assert jit(lambda x: while_loop(lambda y: y < 9.0, lambda y: y + x, x))(1.0) == 9.0


# ------------------------------------------------------------------ what is updated in place


def updates(seed: int, size: int):
    """A loop of random updates of two arrays and a number: whole, shifted, by element, branched."""

    def f(u, v, c):
        def body(i, state):
            rng = random.Random(seed)  # every trace draws the same statements
            arrays, c = list(state[:2]), state[2]
            for _ in range(size):
                a, b, k = rng.randrange(2), rng.randrange(2), rng.randrange(3)
                kind = rng.choice(KINDS)
                if kind == "swap":
                    arrays.reverse()
                elif kind == "number":
                    c = np.tanh(arrays[a][i + k] * c)
                else:
                    arrays[a] = KINDS_OF_UPDATES[kind](arrays[a], arrays[b], c, i, k)
            return (*arrays, np.tanh(c))

        u, v, c = fori_loop(0, 16, body, (u, v, c))
        return np.sum(u * u) + np.sum(np.sin(v)) + c

    return f


def put(x, i, value):
    x = x.copy()
    x[i] = value
    return x


KINDS_OF_UPDATES = {
    "whole": lambda x, y, c, i, k: np.sin(x) * 0.9 + 0.1 * y,
    "shift": lambda x, y, c, i, k: x + 0.1 * np.roll(y, 1),
    "element": lambda x, y, c, i, k: put(x, i + k, np.sin(y[i] + c) * 0.5 + 0.2 * x[i + 1]),
    "again": lambda x, y, c, i, k: put(x, i + k, x[i + k] + 0.3 * y[i + 2] * c),
    "part": lambda x, y, c, i, k: put(x, slice(2, 6), y[1:5] * 0.9),
    "mask": lambda x, y, c, i, k: np.where(y > 0, x, 0.5 * y),
    "branch": lambda x, y, c, i, k: cond(
        np.sum(y) * 0.1 > c,
        lambda x, y, c, i: put(x, i + k, y[i] * c),
        lambda x, y, c, i: x * 0.9 + y * 0.1 if k == 1 else x,
        *(x, y, c, i),
    ),
    "loop": lambda x, y, c, i, k: fori_loop(0, 3, lambda j, x: put(x, j + k, 0.5 * x[j] + 0.1), x),
}
KINDS = (*KINDS_OF_UPDATES, "element", "again", "swap", "number")


@pytest.mark.parametrize("seed", range(6))
def test_updates_read_what_was_there(seed):
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((2, 20)) * 0.5
    assert_in_kernel(value_and_grad(updates(seed, 3 + seed % 4), argnums=(0, 1, 2)), u, v, 0.3)


# ------------------------------------------------------------------ what stays on the host


def test_rows_of_unknown_number_never_leave_a_kernel():
    function = parse("""
func f(%x: f64[], %n: i64[]) -> (f64[]) {
  %y: f64[], %s: f64[-1] = loop[carries=1] %n, %x body(%i: i64[], %p: f64[]) {
    %q: f64[] = sin %p
    yield %q, %p
  }
  %z: f64[] = loop[carries=1] %n, %y, %s body(%j: i64[], %c: f64[], %r: f64[]) {
    %d: f64[] = add %c, %r
    yield %d
  }
  return %z
}
""")
    assert not any(isinstance(s, HostStep) for s in schedule(function).steps)
    for n in (0, 1, 9):
        args = [np.array(1.1), np.array(n)]
        assert_same(
            "kernel", build(schedule(function)).call(args), evaluate(function, *args), 1e-12
        )


def test_a_body_that_kernels_cannot_run_stays_on_the_host():
    def f(x):
        return np.sum(fori_loop(0, 3, lambda i, y: np.sort(y * 1.5), x))

    x = np.array([3.0, -1.0, 2.0])
    assert jit(f)(x) == pytest.approx(np.sum(x) * 1.5**3)
