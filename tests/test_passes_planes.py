"""Complex values as pairs of planes: kernels compute what NumPy does, at its edges too."""

import warnings

import numpy as np
import pytest

from adjit import cond, fori_loop, jit, value_and_grad, while_loop
from adjit.ir.core import all_ops
from adjit.ir.interp import evaluate
from adjit.ir.parser import parse
from adjit.ir.printer import show
from adjit.passes.planes import planes
from adjit.testing import check_grads
from adjit.tracer.trace import trace

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(5, 4)) + 1j * RNG.normal(size=(5, 4))
W = RNG.normal(size=(4, 3)) + 1j * RNG.normal(size=(4, 3))
X = RNG.normal(size=(5, 4))

FUNCTIONS = (
    np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt, np.sin, np.cos, np.tan,
    np.sinh, np.cosh, np.tanh, np.abs, np.angle, np.conj, np.square, np.arcsin, np.sinc,
)  # fmt: skip
PROGRAMS = {
    "functions": lambda z, x: [f(z) for f in FUNCTIONS],
    "arithmetic": lambda z, x: [
        z * z * x,
        (z + 1) / z / x,
        x / z,
        x - z,
        -z,
        2j * x,
        z + x.T[0, 0],
    ],
    "powers": lambda z, x: [z ** (1.5 + 0.2j), z**z, z**3, z**-2, np.abs(x) ** z, (1 + 1j) ** x],
    "sums": lambda z, x: [z.sum(0), np.mean(z), np.var(z), np.cumsum(z, 1), np.prod(z, 0)],
    "products": lambda z, x: [z @ W, x @ W, z.T @ x, np.vdot(z, x), np.einsum("ij,ij->i", z, z)],
    "parts": lambda z, x: [z.real * x, z.imag, x + 1j * x, np.where(x > 0, z, x), z == x, z != x],
    "places": lambda z, x: [z[[0, 2, 2], 1:], z.T.conj(), np.concatenate([z, x]), np.pad(z, 1)],
    "tests": lambda z, x: [np.isnan(z), np.isinf(z), np.isfinite(z / 0), z.astype(bool)],
    "precision": lambda z, x: [z.astype("c8") * x.astype("f4"), z.astype("c8").astype("c16")],
    "host steps": lambda z, x: [
        np.fft.fft(z * x) * x,
        np.linalg.inv(z[:4] * 2) + 1,
        0.0 + np.sort(z[0]),
    ],
    "numbers": lambda z, x: [z * 0 + (2 + 3j), np.sum(z), z[0, 0] * x[0, 0], z],
}


def on_planes(f, *args):
    """The results of a function, its complex values as planes, by the interpreter."""
    return evaluate(planes(trace(f, args).function), *args)


KERNELS = (
    "arithmetic",
    "places",
    "products",
    "host steps",
)  # the rest is interpreted, which costs less


@pytest.mark.parametrize("name", PROGRAMS)
def test_planes_agree_with_numpy(name):
    f = PROGRAMS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = f(Z, X)
        found = jit(f)(Z, X) if name in KERNELS else on_planes(f, Z, X)
    for g, w in zip(found, want, strict=True):
        assert (np.shape(g), np.asarray(g).dtype) == (np.shape(w), np.asarray(w).dtype)
        rtol = 1e-6 if np.asarray(w).dtype == np.complex64 else 5e-14
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol)


def test_a_complex_gradient_is_one_kernel():
    def loss(z, x):
        return np.sum(np.abs(np.exp(z * x) + np.log(z) / z) ** 2)

    check_grads(loss, (Z, X), order=1)
    plan = value_and_grad(loss).ir(Z, X, stage="fused")
    assert plan.count("kernel") == 1
    assert "host" not in plan


def test_edges_are_numpys():
    parts_ = (0.0, -0.0, 1.0, -1.0, 1e-200, 1e200, np.inf, -np.inf)
    z = np.array([complex(a, b) for a in parts_ for b in parts_])
    finite = np.isfinite(z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for f in (np.log, np.log10, np.abs, np.conj):
            np.testing.assert_allclose(on_planes(f, z)[0], f(z), rtol=1e-14)
        for f in (np.exp, np.sqrt, np.sinh, np.cosh, np.tanh, np.sin, np.cos, np.expm1):
            got, want = on_planes(f, z)[0][finite], f(z)[finite]
            np.testing.assert_allclose(got, want, rtol=1e-13)
            small = np.abs(z[finite]) < 2
            signs = [np.signbit(w.imag[small]) for w in (got, want)]
            assert np.array_equal(*signs) or f is np.expm1
    (inverse,) = on_planes(lambda z: 1 / z, np.array([1e200 + 1e200j]))
    assert inverse[0] == 1 / (1e200 + 1e200j)


def test_a_real_factor_costs_two_products():
    text = """
func f(%z: c128[3], %x: f64[3]) -> (c128[3]) {
  %c: c128[3] = cast[dtype="c128"] %x
  %y: c128[3] = mul %z, %c
  return %y
}
"""
    assert show(planes(parse(text))).count("= mul") == 2


def rotated(z, n):
    for _ in range(n):
        z = z * np.exp(0.1j) + 0.01 * np.roll(z, 1)
    return z


def test_control_flow_takes_planes():
    """In kernels, or on planes that the interpreter knows."""

    def with_cond(z, x):
        return cond(x[0, 0] > 0, lambda z: z * 1j, lambda z: z.conj(), z)

    def with_while(z, x):
        return while_loop(lambda c: np.abs(c) < 5.0, lambda c: c * (1.2 + 0.3j) + x[0, 0], z[0, 0])

    def with_loop(z, x):
        return fori_loop(0, 30, lambda i, c: c * np.exp(0.1j) + x * np.conj(c) * 0.01, z)

    for f in (with_cond, with_while, with_loop):
        function = trace(f, (Z, X)).function
        split = planes(function)
        regions = [op for op in all_ops(split.block) if op.blocks]
        assert regions
        for op in regions:
            assert all(v.aval.kind != "c" for b in op.blocks.values() for v in (*b.params, *b.outs))
        np.testing.assert_allclose(
            evaluate(split, Z, X)[0], evaluate(function, Z, X)[0], rtol=1e-12
        )
    assert "host" not in jit(with_loop).ir(Z, X, stage="fused")


def test_gradients_go_through_complex_loops():
    def loss(z):
        return np.sum(np.abs(rotated(z, 40)) ** 2 * np.arange(4))

    check_grads(loss, (Z[:2],), order=1)


def test_numbers_and_many_calls():
    def f(z, w):
        return z * np.exp(w), abs(z - w)

    run = jit(f)
    for z, w in [(1 + 2j, 0.5j), (np.complex128(2j), 1 - 1j), (Z[0, 0], Z[0, 1])]:
        for _ in range(3):
            for got, want in zip(run(z, w), f(z, w), strict=True):
                np.testing.assert_allclose(got, want)
    g = jit(lambda z: (z, z * 2, np.fft.fft(z) + z))
    for z in (Z, Z[:, ::2], Z.T, Z.astype("c8"), Z[:0]):
        for got, want in zip(g(z), (z, z * 2, np.fft.fft(z) + z if z.size else z), strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=1e-5 if z.dtype == "c8" else 1e-12)
