"""Complex numbers: one convention, dL = Re(g dz), through every transformation and function."""

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
    linearize,
    options,
    tensors,
    value_and_grad,
    vjp,
    vmap,
)
from adjit.testing import check_grads

RNG = np.random.default_rng(7)
Z, W = (RNG.normal(size=4) + 1j * RNG.normal(size=4) for _ in range(2))
X = RNG.normal(size=4)
M = Z.reshape(2, 2)


def written(z):
    y = z.copy()
    y.real = z.imag * 2
    y.imag[1:] *= 3
    return y * z


def piled(z):
    return np.concatenate([z, z[::-1] * z.conj()])[np.array([0, 5, 5])]


UNARY = {
    f.__name__: f
    for f in (
        np.sqrt, np.log, np.log2, np.log10, np.log1p, np.exp, np.exp2, np.expm1, np.sin, np.cos,
        np.tan, np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh,
        np.arctanh, np.reciprocal, np.square, np.sign, np.conj, np.real, np.imag, np.abs, np.angle,
        np.sum, np.mean, np.var, np.std, np.prod, np.cumsum, np.cumprod, np.diff, np.gradient,
        np.trapezoid, np.sinc, np.nansum, np.positive, np.negative, np.linalg.norm, written, piled,
    )
}  # fmt: skip
UNARY |= {
    "cube": lambda z: z**3,
    "root": lambda z: z**0.5,
    "complex power": lambda z: z ** (1 + 2j),
    "reciprocal of a number": lambda z: (1 + 2j) / z,
    "norm 1": lambda z: np.linalg.norm(z, 1),
    "norm 3": lambda z: np.linalg.norm(z, 3),
    "norm inf": lambda z: np.linalg.norm(z, np.inf),
    "squared size": lambda z: (z * z.conj()).real,
    "where": lambda z: np.where(np.real(z) > 0, z, W * z),
    "polyval": lambda z: np.polyval(z, 0.3 + 1j),
    "matrix_power": lambda z: np.linalg.matrix_power(z.reshape(2, 2), 3),
    "det": lambda z: np.linalg.det(z.reshape(2, 2)),
    "inv": lambda z: np.linalg.inv(z.reshape(2, 2)),
    "cov": lambda z: np.cov(z.reshape(2, 2)),
    "float_power": lambda z: np.float_power(z, 2.5),
    "pad": lambda z: np.pad(z, 2, mode="reflect"),
}
BINARY = {
    f.__name__: f
    for f in (
        np.add, np.multiply, np.divide, np.power, np.matmul, np.vdot, np.vecdot, np.outer,
        np.convolve, np.kron, np.inner,
    )
}  # fmt: skip
BINARY |= {
    "einsum": lambda z, w: np.einsum("i,j->ij", z, w),
    "solve": lambda z, w: np.linalg.solve(z.reshape(2, 2), w.reshape(2, 2)),
    "exp of a product": lambda z, w: np.abs(np.exp(z * w) - w),
}


SECOND = ("absolute", "angle", "sign", "norm", "power", "complex power", "exp of a product", "vdot")


def assert_as_in_numpy(f, *args, order=1):
    want, got = f(*args), jit(f)(*args)
    assert np.asarray(got).dtype == np.asarray(want).dtype
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    check_grads(f, args, order=order)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_argument(name):
    with options(interpret=True):
        assert_as_in_numpy(UNARY[name], Z, order=2 if name in SECOND else 1)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name):
    with options(interpret=True):
        assert_as_in_numpy(BINARY[name], Z, W, order=2 if name in SECOND else 1)


@pytest.mark.parametrize("f", [np.multiply, np.divide, np.power, np.matmul])
def test_real_beside_complex(f):
    def real_first(x, z):
        return f(np.abs(x), z)

    def complex_first(x, z):
        return f(z, x)

    with options(interpret=True):
        for g in (real_first, complex_first):
            assert_as_in_numpy(g, X, Z)
            assert grad(lambda x, z, g=g: np.abs(np.sum(g(x, z))), (0, 1))(X, Z)[0].dtype == float


def test_the_gradient_is_the_conjugate_of_the_direction_of_ascent():
    np.testing.assert_allclose(grad(lambda z: np.sum(np.abs(z) ** 2))(Z), 2 * Z.conj())
    z, target = Z, W
    step = value_and_grad(lambda z: np.sum(np.abs(np.exp(z) - target) ** 2))
    first = step(z)[0]
    for _ in range(20):
        z = z - 0.005 * np.conj(step(z)[1])
    assert step(z)[0] < 0.7 * first


def test_at_zero_the_slope_of_the_absolute_value_is_zero():
    assert grad(np.abs)(0j) == 0
    assert not np.any(grad(lambda z: np.sum(np.abs(z)))(np.zeros(2, complex)))


@pytest.mark.parametrize(("dtype", "part"), [("c8", "f4"), ("c16", "f8")])
def test_precision_is_kept(dtype, part):
    z = Z.astype(dtype)
    value, slope = value_and_grad(lambda z: np.sum(np.abs(z * np.exp(z))))(z)
    assert (value.dtype, slope.dtype) == (part, dtype)
    assert grad(lambda x: np.abs(np.sum(np.exp(1j * x))))(X.astype(part)).dtype == part


def test_python_numbers():
    value, slope = value_and_grad(lambda z: abs(z) ** 2)(1 + 2j)
    assert value == pytest.approx(5.0)
    assert slope == pytest.approx(2 - 4j)
    assert grad(lambda x: abs((x + 1j) ** 2))(2.0) == pytest.approx(4.0)


# ------------------------------------------------------------------ holomorphic functions


def test_holomorphic_gradients_are_complex_derivatives():
    np.testing.assert_allclose(
        grad(lambda z: np.sum(np.sin(z) * z), holomorphic=True)(Z), np.cos(Z) * Z + np.sin(Z)
    )
    np.testing.assert_allclose(elementwise_grad(np.exp, holomorphic=True)(Z), np.exp(Z))
    np.testing.assert_allclose(hessian(lambda z: np.sum(z**3), holomorphic=True)(Z), np.diag(6 * Z))
    for mode in ("fwd", "rev"):
        np.testing.assert_allclose(
            jacobian(lambda z: M @ z[:2] ** 2, mode=mode, holomorphic=True)(Z)[:, :2],
            2 * M * Z[:2],
        )


def test_jacobians_between_real_and_complex():
    def lift(x):
        return np.exp(1j * x) * x[::-1]

    def fall(z):
        return np.abs(z * np.roll(z, 1))

    assert jacfwd(lift)(X).dtype == complex
    np.testing.assert_allclose(jacfwd(lift)(X), jacrev(lift)(X))
    moved = jvp(lift, (X,), (X + 1,))[1]
    np.testing.assert_allclose(jacfwd(lift)(X) @ (X + 1), moved)
    np.testing.assert_allclose(jacfwd(fall)(Z), jacrev(fall)(Z))
    np.testing.assert_allclose((jacrev(fall)(Z) @ W).real, jvp(fall, (Z,), (W,))[1])


def test_the_convention_holds_for_vjp_jvp_linearize_and_hvp():
    def f(z, x):
        return np.conj(z) * np.abs(z) ** x

    _, pullback = vjp(f, Z, X)
    dz, dx = W, X[::-1].copy()
    moved = jvp(f, (Z, X), (dz, dx))[1]
    np.testing.assert_allclose(linearize(f, Z, X)[1](dz, dx), moved)
    cz, cx = pullback(W)
    assert cx.dtype == float
    paired = np.sum(cz * dz).real + np.sum(cx * dx)
    np.testing.assert_allclose(paired, np.sum(W * moved).real)

    def loss(z):
        return np.sum(np.abs(z) ** 3)

    slope = grad(loss)
    numeric = (slope(Z + 1e-6 * W) - slope(Z - 1e-6 * W)) / 2e-6
    np.testing.assert_allclose(hvp(loss)(Z, W), numeric, rtol=1e-6)
    np.testing.assert_allclose(jvp(slope, (Z,), (W,))[1], numeric, rtol=1e-6)
    np.testing.assert_allclose(vmap(slope)(np.stack([Z, W])), [slope(Z), slope(W)])


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda: grad(np.sum)(Z), "holomorphic=True for the complex derivative"),
        (lambda: grad(lambda x: np.sum(x * 1j))(X), "holomorphic"),
        (lambda: grad(np.sum, holomorphic=True)(X), "Leave holomorphic out"),
        (lambda: grad(lambda x: np.sum(x) * 1j, holomorphic=True)(X), "is real"),
        (lambda: jacobian(np.conj)(Z), "only where the function is holomorphic"),
        (lambda: hessian(lambda z: np.sum(np.abs(z)))(Z), "Use hvp"),
        (lambda: jvp(np.sin, (X,), (Z,)), "dtype complex128"),
        (lambda: vjp(np.real, Z)[1](Z), "dtype complex128"),
    ],
)
def test_what_has_no_meaning_is_refused(run, says):
    with pytest.raises(errors.AdjitError, match=says):
        run()


def test_tensors_follow_pytorch():
    z = tensors.tensor(Z, requires_grad=True)
    for _ in range(4):  # by a sweep, then by a plan
        z.grad = None
        ((z * z - 1).abs() ** 2).sum().backward()
        want = grad(lambda z: np.sum(np.abs(z * z - 1) ** 2))(Z).conj()
        np.testing.assert_allclose(z.grad.numpy(), want)
    out = z * z
    out.backward(tensors.tensor(W))
    np.testing.assert_allclose(z.grad.numpy(), want + (W.conj() * 2 * Z).conj())
    with pytest.raises(RuntimeError, match="only for real scalar outputs"):
        (z * z).sum().backward()
