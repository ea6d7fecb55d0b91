"""NumPy as users write it: traced at one input, evaluated at another, compared with NumPy there."""

import contextlib
import inspect
import math

import numpy as np
import pytest
import scipy.special
from numpy.testing.overrides import get_overridable_numpy_array_functions
from traced import assert_right, assert_same, evaluated

from adjit.tracer import errors
from adjit.tracer.surface import FUNCTIONS as FUNCTIONS_OF_NUMPY
from adjit.tracer.trace import trace

rng = np.random.default_rng(0)


def data(shape, low=-2.0, high=2.0):
    return tuple((rng.uniform(low, high, shape),) for _ in range(2))


VECTOR, MATRIX, POSITIVE = data(6), data((3, 4)), data((3, 4), 0.1, 0.9)
SQUARE, CUBE, SCALAR = data((3, 3)), data((2, 3, 4)), ((1.5,), (-0.7,))
BUMPS = np.array([0.5, 1.5, 2.5])
TABLE = np.arange(12.0).reshape(3, 4)
MASK = TABLE % 3 == 0

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


FUNCTIONS = {
    # operators
    "operators": lambda x: (x + 1) * (2 - x) / (x - 5) - -x,
    "powers": lambda x: x**2 + x**3 + 2.0**x + x**0 + abs(x) ** 0.5 + (x + 3) ** -1,
    "integer ops": lambda x: (x // 0.3, x % 0.3, divmod(x, 0.7)),
    "comparisons": lambda x: ((x > 0) & (x < 1), (x == x) | ~(x != 0), (x >= 1) ^ (x <= -1)),
    "array on the left": lambda x: TABLE * x + TABLE @ x.T @ TABLE,
    "scalar on the left": lambda x: np.float64(2) * x - np.float32(1.5),
    "none": lambda x: (x == None, x != None),  # noqa: E711
    # reductions
    "sum": lambda x: (x.sum(), np.sum(x, axis=0), x.sum(axis=(0, 1), keepdims=True), sum(x)),
    "sum options": lambda x: np.sum(x, where=MASK, initial=2.0, axis=-1),
    "bool sum": lambda x: ((x > 0).sum(), np.count_nonzero(x > 0, axis=0), (x > 0).mean()),
    "mean": lambda x: (x.mean(), np.mean(x, 0), np.mean(x, axis=-1, keepdims=True, where=MASK)),
    "var std": lambda x: (x.var(), x.std(axis=0), np.var(x, ddof=1, axis=1, keepdims=True)),
    "extrema": lambda x: (x.max(), np.min(x, axis=0), np.max(x, 1, keepdims=True), np.ptp(x, 0)),
    "extrema options": lambda x: np.max(x, axis=0, initial=0.5, where=MASK),
    "prod": lambda x: (x.prod(axis=0), np.prod(x)),
    "positions": lambda x: (x.argmax(), np.argmin(x, axis=0), np.argmax(x, 1, keepdims=True)),
    "logical": lambda x: ((x > 1).any(), np.all(x > -3, axis=0), np.any(x), x.all(axis=1)),
    "running": lambda x: (np.cumsum(x), x.cumsum(axis=0), np.cumprod(x, axis=-1)),
    "ufunc methods": lambda x: (
        np.add.reduce(x),
        np.multiply.reduce(x, axis=1),
        np.maximum.reduce(x, axis=None),
        np.add.accumulate(x, axis=1),
        np.multiply.outer(x[0], x[1]),
        np.logaddexp.reduce(x),
        np.add.outer(x, [1.0, 2.0]),
        np.minimum.accumulate(x),
    ),
    "nan": lambda x: (
        np.nansum(np.where(x > 0, x, np.nan)),
        np.nanmean(np.where(x > 0, x, np.nan)),
        np.nanmax(np.where(x > 0, x, np.nan), axis=None),
        np.nanmin(x, axis=0),
        np.nanstd(x),
        np.nanvar(x, axis=1),
        np.nanprod(x, 0),
        np.nancumsum(x),
        np.nanargmax(x, 0),
    ),
    "average": lambda x: (
        np.average(x),
        np.average(x, axis=0, weights=[1, 2, 3]),
        np.average(x, weights=abs(x), returned=True),
    ),
    "order": lambda x: (
        np.sort(x),
        np.sort(x, axis=None),
        np.argsort(x, axis=0),
        np.median(x),
        np.median(x, axis=1),
        np.percentile(x, 30),
        np.quantile(x, [0.1, 0.5], axis=1),
        np.percentile(x, [25, 75], axis=0, keepdims=True, method="nearest"),
    ),
    # shapes
    "reshape": lambda x: (
        x.reshape(2, 6),
        x.reshape((4, -1)),
        np.reshape(x, -1),
        x.ravel(),
        x.flatten(),
        np.ravel(x, "F"),
        x.reshape(6, 2, order="F"),
        x.T.reshape(-1),
    ),
    "transpose": lambda x: (
        x.T,
        x.transpose(),
        x.transpose(1, 0),
        np.transpose(x, (0, 1)),
        np.swapaxes(x, 0, 1),
        np.moveaxis(x, 0, -1),
        np.moveaxis(x, source=0, destination=1),
        x.mT,
        np.rollaxis(x, 1),
    ),
    "dims": lambda x: (
        x[None].squeeze(),
        np.expand_dims(x, (0, 2)),
        np.squeeze(x[:, :1], axis=1),
        np.atleast_1d(x.sum()),
        np.atleast_2d(x[0]),
        np.atleast_3d(x),
    ),
    "flips": lambda x: (np.flip(x), np.fliplr(x), np.flipud(x), np.flip(x, 0), np.rot90(x)),
    "rot90": lambda x: (np.rot90(x, 2), np.rot90(x, -1), np.rot90(x, k=3, axes=(1, 0))),
    "roll": lambda x: (np.roll(x, 1), np.roll(x, -2, axis=1), np.roll(x, (1, 2), axis=(0, 1))),
    "broadcast": lambda x: (
        np.broadcast_to(x[0], (2, 4)),
        np.broadcast_arrays(x[:, :1], x[:1]),
        np.meshgrid(x[0], x[:, 0]),
        np.meshgrid(x[0], [1.0, 2.0], indexing="ij", sparse=True),
    ),
    "facts": lambda x: (
        x.sum() * x.shape[0] + x.ndim + x.size + len(x) + np.shape(x)[1] + np.ndim(x) + np.size(x),
        x * (x.dtype == np.float64) * x.itemsize * x.nbytes,
    ),
    "casts": lambda x: (
        x.astype(np.float32),
        x.astype(int),
        (x > 0).astype(float),
        x.astype("f4").sum(),
        x.astype(complex),
        np.float32(2) * x,
        x.astype(np.float32) * 2.5,
        x.astype("i4") * 2,
        x.astype("i4") / 2,
        x.astype("i2") + np.int32(3),
        x.astype("f4") + x,
    ),
    "copies": lambda x: (x.copy(), np.copy(x), np.array(x), np.asarray(x), +x),
    "complex": lambda x: (
        (x + 2j * x).real,
        (x * 1j).imag,
        abs(x + 1j),
        np.conj(x + 1j * x),
        np.angle(x + 1j),
        np.real(x),
        np.imag(x),
        np.exp(1j * x),
        (x + 1j) * (x - 2j),
        (x + 1j) / (2 - 1j * x),
    ),
    # indexing
    "basic index": lambda x: (
        x[0],
        x[-1, 2],
        x[1:],
        x[:, ::2],
        x[::-1, 1:3],
        x[..., 0],
        x[None, :, 1],
        x[0, ...],
        x[1, 2, ...],
        x[()],
        x[2:0:-1],
        x[5:],
        x[:, -1:0:-2],
        x[np.int64(1)],
    ),
    "array index": lambda x: (
        x[[0, 2]],
        x[:, [1, 1, 3]],
        x[[0, 1], [2, 3]],
        x[np.array([[0, 1], [2, 0]])],
        x[1, [0, 2]],
        x[[0, 2], 1:3],
        x[np.array([0, -1])],
        x[[0, 1], :, None],
        x[[[0], [2]], [1, 3]],
    ),
    "mask index": lambda x: (
        x[MASK],
        x[MASK[:, 0]],
        x[:, MASK[0]],
        x[TABLE > 4],
        x[[True, False, True]],
    ),
    "traced index": lambda x: (
        x[np.argmax(x[:, 0])],
        x[np.argsort(x[:, 1])],
        x[1, x[0].argmin()],
        np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    ),
    "take": lambda x: (
        np.take(x, [0, 5]),
        np.take(x, [1, 2], axis=1),
        x.take(2),
        np.take(x, 9, axis=0, mode="clip"),
        np.compress([True, False, True], x, axis=0),
        np.delete(x, 1, axis=0),
        np.take(x, [[0, 1], [2, 3]], axis=1),
        np.insert(x[0], 2, 5.0),
        np.choose([0, 1, 0], [x[:, 0], x[:, 1]]),
    ),
    "iteration": lambda x: [r.sum() for r in x] + [v * 2 for row in x for v in row],
    "unpacking": lambda x: (lambda a, b, c: a * b + c)(*x),
    "flat": lambda x: (x.flat[3], x.flat[2:5], sum(x.flat)),
    "tolist": lambda x: (x.tolist()[1][2] * 2, x.item(3), x[0, 0].item()),
    # joining and choosing
    "concatenate": lambda x: (
        np.concatenate([x, TABLE]),
        np.concatenate((x, x), axis=1),
        np.concatenate([x, x], None),
        np.stack([x, x], -1),
        np.vstack([x, x[0]]),
        np.hstack([x, x]),
        np.dstack([x, x]),
        np.column_stack([x[0], x[1]]),
        np.append(x, 3.0),
        np.append(x, [[1.0, 2, 3, 4]], axis=0),
        np.hstack([x[0], 1.0]),
        np.stack(x),
        np.block([[x, x], [x, x]]),
        np.concatenate(x),
    ),
    "split": lambda x: (
        np.split(x, 2, axis=1),
        np.array_split(x, 2),
        np.hsplit(x, 2),
        np.vsplit(x, 3),
        np.split(x, [1], axis=0),
        np.split(x[0], [1, 3]),
        np.unstack(x, axis=1),
    ),
    "where": lambda x: (
        np.where(x > 0, x, 0),
        np.where(x > 0, x, 2 * x),
        np.where(MASK, x, 0.0),
        np.where(x > 0, 1, 0),
        np.where(x[0] > 0, x, x[:, :1]),
        np.where(True, x, 0),
    ),
    "select": lambda x: np.select([x > 1, x > 0], [x, x**2], default=-1.0),
    "piecewise": lambda x: np.piecewise(x, [MASK, ~MASK], [lambda v: v**2, lambda v: -v]),
    "clip": lambda x: (
        np.clip(x, -1, 1),
        x.clip(0),
        x.clip(max=0.5),
        np.clip(x, None, 1),
        np.clip(x, TABLE * 0, 1),
    ),
    "round": lambda x: (np.round(x, 2), x.round(), np.around(x * 100, -1)),
    "repeat tile": lambda x: (
        np.repeat(x, 2),
        np.repeat(x, 3, axis=1),
        np.repeat(x, [1, 0, 2], axis=0),
        np.tile(x, 2),
        np.tile(x, (2, 1, 3)),
        np.tile(x[0], 3),
        x.repeat(2, axis=0),
    ),
    "pad": lambda x: (
        np.pad(x, 1),
        np.pad(x, ((0, 1), (2, 0)), constant_values=3.0),
        np.pad(x, 1, mode="edge"),
        np.pad(x, (1, 2), "wrap"),
        np.pad(x, 1, "reflect"),
        np.pad(x, [(1, 1), (0, 0)], "symmetric"),
    ),
    "like": lambda x: (
        np.zeros_like(x) + x,
        np.ones_like(x),
        np.full_like(x, 2.0),
        np.empty_like(x) * 0,
        np.zeros_like(x, dtype=int),
        np.ones_like(x, shape=(2,)),
        np.full_like(x, x[0, 0]),
    ),
    "diff": lambda x: (
        np.diff(x),
        np.diff(x, axis=0),
        np.diff(x, n=2),
        np.diff(x, prepend=0.0),
        np.ediff1d(x),
        np.gradient(x[0]),
        np.gradient(x, axis=1),
        np.gradient(x, 0.5)[0],
        np.trapezoid(x),
        np.trapezoid(x, dx=0.5, axis=0),
        np.trapezoid(x[0], [0.0, 1.0, 3.0, 4.0]),
    ),
    "triangles": lambda x: (np.tril(x), np.triu(x, 1), np.tril(x, -1)),
    "diagonals": lambda x: (
        np.diag(x),
        np.diagonal(x, 1),
        np.diag(x[0]),
        np.diag(x[0], -1),
        np.trace(x),
        x.trace(1),
        x.diagonal(-1),
        np.diagflat(x[:2, :2]),
    ),
    "interp": lambda x: (
        np.interp(x, [-1.0, 0.0, 1.5], [0.0, 2.0, 1.0]),
        np.interp(0.3, [0.0, 1.0], x[0, :2]),
        np.searchsorted([-1.0, 0.0, 1.0], x),
        np.interp(x[0], [0.0, 1.0], [0, 1.0], left=-5.0),
    ),
    "close": lambda x: (np.isclose(x, x + 1e-9), np.isclose(x, 0.0)),
    # products
    "matmul": lambda x: (
        x @ x.T,
        x @ x[0],
        x[0] @ x.T,
        np.matmul(x, TABLE.T),
        x[0] @ x[0],
        TABLE @ x[0],
        np.stack([x, x]) @ x.T,
        x @ np.stack([x.T, x.T]),
        x[0] @ np.stack([x.T, x.T]),
    ),
    "dot": lambda x: (
        np.dot(x, x.T),
        x.dot(x[0]),
        np.dot(x[0], x[0]),
        np.dot(x, 2.0),
        np.vdot(x, x),
        np.inner(x, x),
        np.outer(x[0], x[:, 0]),
        np.tensordot(x, x, axes=([0], [0])),
        np.tensordot(x, x.T, 1),
        np.tensordot(x, x, axes=2),
        np.vecdot(x, x),
        np.kron(x, x[:2, :2]),
        np.dot(np.stack([x, x]), x.T),
        np.linalg.multi_dot([x, x.T, x]),
    ),
    "einsum": lambda x: (
        np.einsum("ij,kj->ik", x, x),
        np.einsum("ij->", x),
        np.einsum("ij->ji", x),
        np.einsum("ij,ij->i", x, x),
        np.einsum("i,j", x[0], x[1]),
        np.einsum("ij,j", x, x[0]),
        np.einsum("...j,...j->...", x, x),
        np.einsum("ij,jk,kl->il", x, x.T, x),
        np.einsum("ii", x[:, :3]),
        np.einsum("ii->i", x[:, :3]),
        np.einsum(x, [0, 1], x, [2, 1], [0, 2]),
        np.einsum("ij,ij,ij->j", x, x, x),
        np.einsum("ij,kj->ik", x, x, optimize=True),
        np.einsum("ij,k->ij", x, x[0]),
    ),
    "norm": lambda x: (
        np.linalg.norm(x),
        np.linalg.norm(x[0]),
        np.linalg.norm(x, axis=1),
        np.linalg.norm(x, "fro"),
        np.linalg.norm(x[0], 1),
        np.linalg.norm(x[0], np.inf),
        np.linalg.norm(x, axis=0, keepdims=True),
        np.linalg.norm(x[0], 3),
        np.linalg.norm(x, 1),
        np.linalg.norm(x, np.inf),
        np.linalg.vector_norm(x),
    ),
    "cross": lambda x: (np.cross(x[:, :3], x[:, 1:]), np.cross(x[0, :3], [1.0, 2.0, 3.0])),
    "convolve": lambda x: (
        np.convolve(x[0], x[1, :3]),
        np.convolve(x[0], [1.0, 2.0], "same"),
        np.convolve(x[0], x[1], "valid"),
        np.correlate(x[0], x[1, :2]),
        np.correlate(x[0], x[1], "full"),
    ),
    "cov": lambda x: (np.cov(x), np.cov(x, rowvar=False, bias=True), np.cov(x[0], x[1])),
    "matrix power": lambda x: np.linalg.matrix_power(x[:, :3], 3),
    "polynomials": lambda x: (np.polyval([1.0, 2.0, 3.0], x), np.vander(x[0], 3)),
    "polynomial algebra": lambda x: (
        np.polymul(x[0], x[1]),
        np.polyadd(x[0], x[1, :2]),
        np.polyder(x[0], 2),
        np.polyint(x[0], k=2.0),
    ),
    "nan quantiles": lambda x: (
        np.nanmedian(np.where(x > 0, x, np.nan), axis=0),
        np.nanpercentile(np.where(x > 0, x, np.nan), [10, 60], axis=1),
        np.nanquantile(x, 0.3, keepdims=True),
    ),
    "shifts": lambda x: (np.fft.fftshift(x), np.fft.ifftshift(x, axes=1)),
    "questions": lambda x: (np.isreal(x), np.iscomplex(x + 1j), np.isposinf(x), np.isneginf(x)),
    "array api": lambda x: (
        np.cumulative_sum(x, axis=1, include_initial=True),
        np.linalg.matmul(x, x.T),
        np.linalg.vecdot(x, x),
        np.linalg.cross(x[:, :3], x[:, 1:]),
        np.matvec(x, x[0]),
        np.vecmat(x[:, 0], x),
    ),
    "grids": lambda x: (
        np.geomspace(1, abs(x[0, 0]) + 1, 4),
        np.linspace(x[0, 0], 1.0, 3, retstep=True),
        np.logspace(0, x[0, 0], 3),
        np.gradient(x, np.array([0.0, 1, 3]), axis=0),
        np.gradient(x, edge_order=2),
    ),
    "by position": lambda x: (
        x[np.tril_indices_from(x)],
        x[np.where(MASK)],
        np.extract(MASK, x),
        np.resize(x, (2, 3)),
        np.digitize(x, [-1.0, 0, 1]),
        np.sort(x[0][np.argpartition(x[0], 2)[:2]]),
    ),
    "apply along": lambda x: np.apply_along_axis(lambda r: r * r.sum(), 1, x),
    # what the protocols do not reach
    "constructors": lambda x: (
        np.array([x[0, 0], 1.0, x[1, 1]]),
        np.array([[x[0, 0], 2], [3, x[1, 1]]]),
        np.array([x[0], x[1]]),
        np.full(3, x[0, 0]),
        np.full((2, 2), x[0, 1], dtype=np.float32),
        np.asarray([x[0, 0], 2]),
        np.linspace(0, x[0, 0], 5),
        np.linspace(x[0], x[1], 3, endpoint=False),
        np.array(x[0, 0]),
        np.array([x[0, 0], 1.0], dtype=np.float32),
        np.array(x, ndmin=3),
        np.arange(4) * x[0],
    ),
    "c_ and r_": lambda x: (np.c_[x[0], x[1]], np.r_[x[0], 1.0, 0:3], np.c_[x, x]),
    "lists": lambda x: (
        np.mean([x[0, 0], x[1, 1]]),
        np.linalg.norm([x[0, 0], 2.0]),
        np.sum([x[0], x[1]], axis=0),
        np.maximum(x, [0.0, 1, 2, 3]),
        np.dot([x[0, 0], 1.0], [2.0, 3.0]),
        x[0] * [1, 2, 3, x[0, 0]],
    ),
    "math": lambda x: (
        math.sin(x[0, 0])
        + math.exp(x[0, 1])
        + math.sqrt(abs(x[0, 2]))
        + math.log(abs(x[1, 1]), 2)
        + math.hypot(x[1, 0], 3.0)
        + math.pow(2.0, x[1, 2])
        + math.fsum([x[0, 0], 1.0])
        + math.erf(x[0, 0])
        + math.atan2(x[0, 0], x[0, 1])
        + math.dist([x[0, 0], 1.0], [0.0, x[0, 1]])
    ),
}


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


NUMBERS = {
    "arithmetic": lambda x: (x + 1) * 2 / (x - 5) - x**2 + 3 // x + x % 2 + abs(-x) + +x,
    "int division": lambda n: (n / 2, n // 2, n % 3, n**2, n**-1, -n, n * 1.5, n + True),
    "numpy": lambda x: (np.sin(x), np.add(x, 1), np.float32(1) * x, np.sum(x), np.exp(x) * 2),
    "with arrays": lambda x: (x * BUMPS, x * BUMPS.astype(np.float32), x + np.arange(3)),
    "comparison": lambda x: (x > 1, x == 2),
    "same": lambda x: (x, [x, {"a": x, "b": None, "c": "text", "d": 3}]),
    "where": lambda x: (np.where(x > 1, x, 0), np.maximum(x, 0.5)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_python_numbers(name):
    assert_right(NUMBERS[name], (3.5,), (-1.25,)) if name != "int division" else None
    assert_right(NUMBERS[name], (7,), (-4,))


def test_numpy_scalars():
    f = lambda x: (x + 1, x * np.ones(3, np.float32), np.sin(x), x**2, x.sum(), x.astype(int))  # noqa: E731
    for kind in (np.float32, np.float64, np.int32, np.int64):
        assert_right(f, (kind(3),), (kind(2),), rtol=1e-6)


def test_integer_arrays():
    f = lambda x: (  # noqa: E731
        x + 1,
        x * 2.5,
        x / 2,
        x // 2,
        x % 3,
        x**2,
        -x,
        abs(x),
        x.sum(),
        x.mean(),
        np.sqrt(x),
        x & 3,
        x | 1,
        x ^ 2,
        x << 1,
        x >> 1,
        ~x,
        np.maximum(x, 2),
        x.max(),
        np.sin(x),
        x.cumsum(),
        x.prod(),
        x > 1,
        np.where(x > 1, x, 0.5),
        x @ x,
        x.astype(float),
        np.square(x),
        np.floor(x),
        np.isnan(x),
    )
    for dtype in (np.int64, np.int32, np.int8, np.uint8, np.uint16):
        x, y = np.array([1, 5, 2], dtype), np.array([7, 0, 3], dtype)
        if dtype in (np.uint8, np.uint16):
            assert_right(
                lambda v: (v + 1, v.sum(), v * 2.5, v @ v, v / 2, v.mean(), v - np.int8(1)),
                (x,),
                (y,),
            )
        else:
            assert_right(f, (x,), (y,), rtol=1e-6)


def test_float32():
    x, y = (m[0].astype(np.float32) for m in POSITIVE)
    f = lambda x: (  # noqa: E731
        x * 2.0,
        x + np.float64(1),
        np.sin(x),
        x.mean(),
        x.sum(),
        x.var(),
        x @ x.T,
        np.sqrt(x) ** 0.5,
        x * TABLE,
        x * TABLE.astype(np.float32),
        np.linalg.norm(x),
        x.std(axis=0),
        np.arctan2(x, 1),
        np.where(x > 0.5, x, 0.0),
        np.concatenate([x, TABLE]),
        np.median(x),
        np.logaddexp(x, 1),
    )
    assert_right(f, (x,), (y,), rtol=2e-5)


def test_containers():
    def loss(params, batch, scale=1.0):
        x, y = batch
        h = x
        for layer in params["layers"]:
            h = np.tanh(h @ layer["W"] + layer["b"])
        return {"loss": scale * np.mean((h - y) ** 2), "h": (h, None)}

    def make():
        layers = [{"W": rng.normal(size=(4, 4)), "b": rng.normal(size=4)} for _ in range(2)]
        return ({"layers": layers}, (rng.normal(size=(5, 4)), rng.normal(size=(5, 4))))

    assert_right(loss, make(), make())
    t = trace(loss, make(), {"scale": 2.0})
    assert t.leaves[-1].path == "scale"
    assert t.leaves[0].path == "params['layers'][0]['W']"


DTYPES = "?bBlQefdD"
MIXED = [
    np.add,
    np.subtract,
    np.multiply,
    np.divide,
    np.power,
    np.floor_divide,
    np.maximum,
    np.less,
    np.equal,
    np.arctan2,
    np.logical_and,
    np.left_shift,
]


def outcome(f, *args):
    try:
        with np.errstate(all="ignore"):
            return f(*args)
    except (TypeError, ValueError, OverflowError) as error:
        return error


@pytest.mark.parametrize("f", MIXED, ids=lambda f: f.__name__)
def test_promotion(f):
    """Dtypes of results are NumPy's for every pair of dtypes, Python numbers being weak."""
    partners = [np.array([1, 2, 3]).astype(c) for c in DTYPES] + [True, 2, 1.5, 1 + 2j]
    for c in DTYPES:
        x = np.array([1, 0, 3]).astype(c)
        for p in partners:
            for g in (lambda v, p=p: f(v, p), lambda v, p=p: f(p, v)):
                want = outcome(g, x)
                t = outcome(trace, g, (x,))
                if isinstance(want, Exception) or isinstance(t, Exception):
                    refused = "c" in (x.dtype.kind, np.asarray(p).dtype.kind)  # no order for them
                    assert isinstance(t, Exception), (f, c, p)
                    assert isinstance(want, Exception) or refused, (f, c, p, t)
                else:
                    assert_same(evaluated(t, (x,)), want, rtol=1e-2 if c == "e" else 1e-5)


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
    for function in get_overridable_numpy_array_functions() - FUNCTIONS_OF_NUMPY.keys():
        if function.__module__ in ("numpy.lib.recfunctions",):
            continue
        # Most want other arguments; none may crash or hand out a plain array of a traced value.
        with contextlib.suppress(errors.AdjitError, TypeError, ValueError, AttributeError):
            trace(lambda v, function=function: function(v) and None, (x,))
