"""Kernels against the interpreter: random programs, and one program for each way of emission."""

from __future__ import annotations

import numpy as np
import pytest
from programs import random_function, wrt

import adjit
from adjit.codegen.program import KernelError, build
from adjit.ir.builder import Builder
from adjit.ir.core import Const, Function, Value
from adjit.ir.interp import evaluate
from adjit.ir.ops.contract import dot
from adjit.ir.ops.elementwise import cast, exp, log, maximum, mul, tanh
from adjit.ir.ops.index import gather, scatter_add
from adjit.ir.ops.reduce import argmax, cumsum, max_
from adjit.ir.ops.shape import (
    broadcast,
    concatenate,
    full,
    iota,
    pad,
    reshape,
    slice_,
    sum_,
    transpose,
)
from adjit.ir.types import NUMPY, Aval
from adjit.passes.dce import dce
from adjit.passes.schedule import schedule
from adjit.passes.simplify import simplify
from adjit.passes.vjp import vjp

TOLERANCE = {"f64": 1e-9, "f32": 2e-3}


def traced(f, *avals):
    """A Function from a Python function over values."""
    params = [Value(a, chr(ord("a") + k)) for k, a in enumerate(avals)]
    with Builder(params) as b:
        out = f(*params)
        return Function("f", b.done(out if isinstance(out, tuple) else (out,)))


def draw(function, seed=0):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(p.shape), NUMPY[p.dtype]) for p in function.params]


def assert_agree(function, args):
    """Run as a kernel and by the interpreter; shapes, dtypes and values must be the same."""
    program = build(schedule(function))
    tol = TOLERANCE["f32" if any(p.dtype == "f32" for p in function.params) else "f64"]
    for got, want in zip(program.call(args), evaluate(function, *args), strict=True):
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        scale = max(1.0, np.max(np.abs(want), initial=0.0, where=np.isfinite(want)))
        np.testing.assert_allclose(got, want, rtol=tol, atol=tol * scale)
    return program


def with_gradient(function):
    """The simplified joint function of every float param."""
    return simplify(dce(vjp(function, wrt(function))))


@pytest.mark.parametrize("seed", range(24))
def test_random_programs_and_their_adjoints(seed):
    function, args = random_function(seed, 12)
    joint = with_gradient(function)
    rng = np.random.default_rng(seed)
    seeds = [
        np.asarray(rng.standard_normal(p.shape), NUMPY[p.dtype]) for p in joint.params[len(args) :]
    ]
    inputs = [np.ascontiguousarray(a).reshape(np.shape(a)) for a in [*args, *seeds]]
    assert_agree(joint, inputs)


def f64(*shape):
    return Aval("f64", shape)


def f32(*shape):
    return Aval("f32", shape)


def matmul(a, b):
    return dot(a, b, contract=((1,), (0,)), batch=((), ()))


def softmax_loss(z, y):
    z = z - reshape(max_(z, axes=(1,)), shape=(z.shape[0], 1))
    return sum_(log(sum_(exp(z), axes=(1,))) - sum_(z * y, axes=(1,)), axes=(0,))


def two_layers(x, y, w1, b1, w2, b2):
    return softmax_loss(matmul(maximum(matmul(x, w1) + b1, 0.0), w2) + b2, y)


def logistic(w, x, y):
    m = -(y * sum_(x * w, axes=(1,)))
    return sum_(maximum(m, 0.0) + log(1.0 + exp(-m * m)), axes=(0,))


def stencil(u):
    n, m = u.shape

    def part(i, j):
        return slice_(u, start=(i, j), size=(n - 2, m - 2), step=(1, 1))

    lap = part(0, 1) + part(2, 1) + part(1, 0) + part(1, 2) - 4.0 * part(1, 1)
    return sum_(lap * lap, axes=(0, 1))


def gathered(x, y):
    n = x.shape[0]
    i = broadcast(iota(shape=(n,), axis=0, dtype="i64"), shape=(2, n), axes=(0,))
    picked = gather(tanh(x), i, axes=(0,), mode="raise")
    return sum_(picked * picked, axes=(0, 1)) + sum_(y * y, axes=(0,))


def standardised(x):
    n = x.shape[0]
    mean = broadcast(sum_(x, axes=(0,)) / float(n), shape=x.shape, axes=(0,))
    d = x - mean
    return exp(-d * d) * 0.5


def pieces(a, b):
    joined = concatenate(a, b * 2.0, a, axis=0)
    flipped = slice_(joined, start=(joined.shape[0] - 1,), size=(joined.shape[0],), step=(-1,))
    spread = pad(a, shape=(3 * a.shape[0] + 1,), start=(1,), step=(3,))
    return joined * flipped, spread


def running(x):
    return cumsum(x, axis=1), cumsum(x, axis=0, reverse=True), cast(argmax(x, axis=1), dtype="f64")


def batched(a, b):
    return dot(a, b, contract=((2,), (1,)), batch=((0,), (0,)))


def flattened(x, w):
    n = x.shape[0]
    return matmul(tanh(reshape(x, shape=(n, x.shape[1] * x.shape[2]))), w)


CASES = {
    "two layers in blocks": (
        two_layers,
        [f32(700, 64), f32(700, 10), f32(64, 128), f32(128), f32(128, 10), f32(10)],
    ),
    "two layers, few rows": (
        two_layers,
        [f64(40, 30), f64(40, 5), f64(30, 20), f64(20), f64(20, 5), f64(5)],
    ),
    "strips of rows": (logistic, [f64(30), f64(97, 30), f64(97)]),
    "stencil": (stencil, [f64(40, 33)]),
    "tiny stencil": (stencil, [f64(3, 3)]),
    "gather and scatter": (gathered, [f64(50), f64(50)]),
    "column means": (standardised, [f64(70, 20)]),
    "pieces": (pieces, [f64(20), f64(31)]),
    "running": (running, [f64(20, 33)]),
    "batched products": (batched, [f64(4, 20, 30), f64(4, 30, 25)]),
    "reshaped operand": (flattened, [f64(20, 5, 7), f64(35, 18)]),
    "row softmax": (
        lambda x, y: exp(x - reshape(max_(x, axes=(1,)), shape=(x.shape[0], 1))) * y,
        [f64(33, 40), f64(33, 40)],
    ),
    "transposed": (lambda x: transpose(x, perm=(1, 0)) * 2.0 + x, [f64(40, 40)]),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel_equals_interpreter_forward_and_reverse(name):
    f, avals = CASES[name]
    function = traced(f, *avals)
    assert_agree(function, draw(function))
    joint = with_gradient(function)
    assert_agree(joint, draw(joint))


@pytest.mark.parametrize(
    ("avals", "f"),
    [
        ([Aval("i64", (20,)), Aval("i64", (20,))], lambda a, b: a * b + 3),
        ([Aval("i32", (20,))], lambda a: a * a),
        ([Aval("u8", (300,))], lambda a: a + a),
        ([Aval("bool", (20,)), Aval("bool", (20,))], lambda a, b: a * b),
        ([Aval("i64", (7, 20))], lambda a: (sum_(a, axes=(0,)), max_(a, axes=(0, 1)))),
        ([Aval("f32", (20,))], lambda a: a * 0.1 + 1e-3),
        ([Aval("f64", ())], lambda a: mul(a, a)),
    ],
)
def test_dtypes(avals, f):
    function = traced(f, *avals)
    rng = np.random.default_rng(1)
    args = [
        np.asarray(rng.integers(0, 2 if p.dtype == "bool" else 9, p.shape)).astype(NUMPY[p.dtype])
        for p in function.params
    ]
    assert_agree(function, args)


def test_nan_and_infinity_pass_as_in_numpy():
    function = traced(
        lambda x: (max_(x, axes=(1,)), maximum(x, 0.0), exp(x), sum_(x, axes=(0,))), f64(6, 20)
    )
    x = np.random.default_rng(0).standard_normal((6, 20))
    x[0, 3], x[1, 4], x[2, 5] = np.nan, np.inf, -np.inf
    program = build(schedule(function))
    for got, want in zip(program.call([x]), evaluate(function, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_empty_arrays(shape):
    axes = tuple(range(len(shape)))
    function = traced(lambda x: (sum_(x * 2.0, axes=axes), exp(x)), f64(*shape))
    assert_agree(function, draw(function))


def test_index_out_of_bounds_is_reported():
    function = traced(
        lambda x, i: gather(x, i, axes=(0,), mode="raise"), f64(30), Aval("i64", (4,))
    )
    program = build(schedule(function))
    x = np.arange(30.0)
    np.testing.assert_array_equal(program.call([x, np.array([0, -1, 29, -30])])[0], [0, 29, 29, 0])
    with pytest.raises(IndexError, match="out of bounds"):
        program.call([x, np.array([0, 1, 2, 30])])
    assert issubclass(KernelError, IndexError)


def test_repeated_indices_accumulate():
    function = traced(
        lambda x, u, i: scatter_add(x, u, i, axes=(0,)),
        f64(9, 20),
        f64(40, 20),
        Aval("i64", (40,)),
    )
    rng = np.random.default_rng(0)
    args = [
        rng.standard_normal((9, 20)),
        rng.standard_normal((40, 20)),
        rng.integers(-9, 9, 40),
    ]
    assert_agree(function, args)


def test_outputs_that_are_inputs_constants_or_equal_are_arrays_of_their_own():
    def f(x):
        y = x * 2.0
        return x, y, y, full(3.0, Aval("f64", (20,))), Const(1.0, "f64")

    function = traced(f, f64(20))
    (x,) = draw(function)
    outs = build(schedule(function)).call([x])
    for k, a in enumerate(outs):
        assert a.flags.writeable
        assert not any(np.may_share_memory(a, b) for b in [x, *outs[:k]])
    np.testing.assert_array_equal(outs[3], np.full(20, 3.0))


def test_one_text_serves_every_size():
    def text(n):
        function = with_gradient(traced(logistic, f64(30), f64(n, 30), f64(n)))
        return [source for _, source in build(schedule(function)).sources]

    assert text(100) == text(1000)


def test_inputs_are_never_written():
    function = with_gradient(traced(two_layers, *CASES["two layers, few rows"][1]))
    args = draw(function)
    for a in args:
        a.flags.writeable = False
    before = [a.copy() for a in args]
    build(schedule(function)).call(args)
    for a, b in zip(args, before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_loops_around_a_long_one_are_not_unrolled():
    function = traced(
        lambda x, y: (exp(x), exp(y)), Aval("f64", (3, 5, 40)), Aval("f64", (3, 5, 4))
    )
    program = assert_agree(function, draw(function))
    text = program.runs[0].kernel.source.text
    assert "in range(3)" in text and "in range(5)" in text  # around the short one
    assert text.count("in range(n") == 2 and text.count("in range(ll.few(n") == 1  # not the others


def test_an_index_out_of_bounds_names_the_users_line():
    picked = adjit.jit(lambda x, i: np.sum(x[i]))
    with pytest.raises(IndexError, match=r"the indexing at test_codegen_kernels\.py:\d+"):
        picked(np.ones(30), np.array([2, 31]))


@pytest.mark.parametrize("dtype", ["i1", "u8", "i8", "f4"])
@pytest.mark.parametrize("extremum", [np.max, np.min])
def test_a_kernel_may_be_named_like_what_it_calls(extremum, dtype):
    x = np.array([3, 1, 2], dtype)
    assert adjit.jit(extremum)(x) == extremum(x)


@pytest.mark.parametrize("name", ["range", "vm", "ll", "blas", "max", "status", "t_out", "exp"])
def test_functions_and_arguments_may_have_any_name(name):
    space = {"np": np}
    exec(f"def {name}({name}): return np.max(np.exp({name}) @ {name})", space)
    x = np.eye(12)
    np.testing.assert_allclose(adjit.jit(space[name])(x), np.e)


def test_keywords_of_python_may_be_names_of_arguments():
    f = adjit.jit(lambda **given: given["lambda"] + given["if"])
    np.testing.assert_array_equal(f(**{"lambda": np.ones(3), "if": 2.0}), np.full(3, 3.0))


@pytest.mark.parametrize("n", [17, 20, 63, 64, 65])
def test_rows_of_few_elements(n):
    def rows(x, y):
        z = exp(-x * x) * broadcast(y, shape=x.shape, axes=(0,))
        return (
            sum_(z, axes=(1,)),
            max_(z, axes=(0,)),
            z * broadcast(sum_(z, axes=(1,)), shape=x.shape, axes=(1,)),
        )

    for aval in (f64, f32):
        function = traced(rows, aval(5, n), aval(n))
        assert_agree(function, draw(function))
        joint = with_gradient(function)
        assert_agree(joint, draw(joint))


def test_long_sums_of_single_precision_keep_their_digits():
    def sums(x, y):
        rows = broadcast(y, shape=x.shape, axes=(1,))
        return (
            sum_(x, axes=(0, 1)),
            sum_(exp(x * 0.5), axes=(0, 1)) / sum_(x * x, axes=(0, 1)),
            sum_(exp(sum_(x, axes=(1,)) * (-1.0 / x.shape[1])), axes=(0,)),
            sum_(x * rows, axes=(0, 1)),
            sum_(exp(y), axes=(0,)),
        )

    rng = np.random.default_rng(0)
    for shape in ((7000, 3), (5000, 40), (3, 70_000)):
        function = traced(sums, f32(*shape), f32(shape[0]))
        x, y = rng.random(shape, np.float32) + 1, rng.random(shape[0], np.float32)
        got = build(schedule(function)).call([x, y])
        wide = traced(sums, f64(*shape), f64(shape[0]))
        for a, b in zip(got, evaluate(wide, x.astype(float), y.astype(float)), strict=True):
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, rtol=1e-6)
    for columns in (4, 15):
        alone = build(schedule(traced(lambda x: sum_(x, axes=(0, 1)), f32(20_000, columns))))
        x = np.full((20_000, columns), 0.1, np.float32)
        np.testing.assert_allclose(alone.call([x])[0], x.sum(dtype=float), rtol=1e-6)
