"""Whole programs as users write them: values as NumPy's, derivatives as differences show them.

Each is compiled, called again with other data of the same shapes, and interpreted.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special

import adjit
from adjit.tracer.tree import flatten

PROGRAMS: dict[str, tuple[Callable[..., Any], Callable[[np.random.Generator], tuple]]] = {}
Rng = np.random.Generator


def program(make: Callable[[Rng], tuple]) -> Callable[[Callable], Callable]:
    """Enter a program, with what makes its arguments."""

    def enter(f: Callable[..., Any]) -> Callable[..., Any]:
        PROGRAMS[f.__name__] = f, make
        return f

    return enter


def normal(*shapes: tuple[int, ...]) -> Callable[[Rng], tuple]:
    return lambda r: tuple(r.normal(size=s) for s in shapes)


def positive(*shapes: tuple[int, ...]) -> Callable[[Rng], tuple]:
    return lambda r: tuple(r.uniform(0.3, 2.0, size=s) for s in shapes)


# ------------------------------------------------------------------ names


@program(normal((30, 20)))
def names_that_kernels_use(c):
    n = c.mean(0)
    n0 = c - n
    c0 = n0 * 0.123
    c1 = np.sqrt((c0**2).mean(0))
    n1 = c0 / c1
    i0 = n1 * 0.77
    q0 = i0.sum(1)
    acc = np.exp(q0 * 0.01) * 1.37
    status = acc.sum() * 2.3
    k0 = np.sin(status) + c1
    return k0.sum(), c0, n1, acc


@program(lambda r: (r.normal(size=(30, 20)), r.integers(0, 30, 7)))
def names_of_builtins(range, max):
    min = range * 0.31
    abs = min[max]
    float = abs.max(axis=0, keepdims=True)
    int = (abs - float) * 1.7
    ll = np.exp(int)
    vm = np.log(ll / ll.sum(1, keepdims=True))
    blas = (vm * 0.9 @ range.T).mean(0)
    out0 = np.maximum(np.tanh(blas * 0.11), 0.1) * 2.2
    inside = np.pad(out0, 3)
    return inside[2:-2], min


@program(lambda r: ({"lambda": r.normal(size=3), "μ": r.normal(size=3), "a b": 1.0, 0: 2.0},))
def names_of_keys(def_):
    μ = def_["μ"] * 0.3
    __x = def_["lambda"] * def_["a b"] + μ
    return __x * def_[0], μ


def vm(x, y):
    return np.where(x > 0, np.exp(y), x * 0.3)


program(normal((5,), (5,)))(vm)

# ------------------------------------------------------------------ statistics


@program(lambda r: (r.normal(size=5), r.normal(size=(20, 5)), (r.random(20) < 0.5) * 1.0))
def logistic(w, X, y):
    z = X @ w
    return np.mean(np.logaddexp(0, z) - y * z) + 0.1 * np.sum(w**2)


@program(lambda r: (r.normal(size=4), r.normal(size=(11, 4)), r.integers(0, 6, 11)))
def poisson(w, X, k):
    eta = X @ w
    return -np.sum(k * eta - np.exp(eta) - special.gammaln(k + 1))


@program(normal((3,), (3, 2), (3, 2), (25, 2)))
def mixture(logits, mu, logs, X):
    lw = logits - special.logsumexp(logits)
    d = (X[:, None, :] - mu[None]) / np.exp(logs)
    lp = -0.5 * np.sum(d * d, axis=-1) - np.sum(logs, -1) - 0.5 * X.shape[1] * np.log(2 * np.pi)
    return -np.sum(special.logsumexp(lp + lw, axis=1))


@program(lambda r: (3.5, 0.2, np.float64(1.3), r.normal(size=30)))
def student(nu, mu, s, x):
    z = (x - mu) / s
    front = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2)
    return np.sum(front - 0.5 * np.log(nu * np.pi) - np.log(s) - (nu + 1) / 2 * np.log1p(z**2 / nu))


@program(normal((10, 3)))
def moments(x):
    c = x - x.mean(0)
    s = np.sqrt((c**2).mean(0))
    z = c / s
    return z.T @ z / len(x), np.corrcoef(x.T), np.cov(x.T, ddof=0), (z**3).mean(0), np.median(x, 0)


@program(normal((40, 2), (3, 2)))
def soft_kmeans(X, C):
    for _ in range(2):
        d = ((X[:, None] - C[None]) ** 2).sum(-1)
        r = special.softmax(-d, axis=1)
        C = (r.T @ X) / r.sum(0)[:, None]
    return C, -special.logsumexp(-d, axis=1).sum()


# ------------------------------------------------------------------ physics


@program(normal((6, 7)))
def diffusion_in_place(u):
    v = u.copy()
    for _ in range(3):
        lap = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
        v[1:-1, 1:-1] += 0.1 * lap
    v[0] = v[1]
    v[:, -1] = v[:, -2]
    return v


@program(lambda r: (r.normal(size=(7, 3)), r.uniform(0.5, 2, 7)))
def n_bodies(x, m):
    d = x[:, np.newaxis, :] - x[np.newaxis]
    r2 = (d**2).sum(-1) + 0.01
    energy = m[:, np.newaxis] * m / np.sqrt(r2)
    force = np.einsum("ijk,ij,j->ik", d, r2**-1.5, m)
    return -np.sum(energy[np.triu_indices(len(x), 1)]), force


@program(lambda r: (r.normal(size=5), r.normal(size=5), 1.2))
def springs(x, v, k):
    for _ in range(6):
        pull = -k * (2 * x - np.roll(x, 1) - np.roll(x, -1)) - 0.1 * np.sin(x)
        v = v + 0.05 * pull
        x = x + 0.05 * v
    return 0.5 * np.sum(v**2), x


@program(lambda r: (r.normal(size=3), r.uniform(0.5, 2, 3)))
def lorenz(s, p):
    def rate(s):
        x, y, z = s
        return np.array([p[0] * (y - x), x * (p[1] - z) - y, x * y - p[2] * z])

    h = 0.02
    for _ in range(3):
        k1 = rate(s)
        k2 = rate(s + h / 2 * k1)
        k3 = rate(s + h / 2 * k2)
        s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(s + h * k3))
    return s


# ------------------------------------------------------------------ finance


@program(lambda r: (*positive((20,), (20,))(r), 0.3, 0.02))
def black_scholes(S, K, sigma, rate):
    d1 = (np.log(S / K) + (rate + sigma**2 / 2) * 0.8) / (sigma * np.sqrt(0.8))
    d2 = d1 - sigma * np.sqrt(0.8)
    return S * special.ndtr(d1) - K * np.exp(-rate * 0.8) * special.ndtr(d2)


@program(lambda r: (r.normal(size=(10, 4)), r.uniform(0.5, 2, 4)))
def portfolio(returns, w):
    w = w / w.sum()
    C = np.cov(returns, rowvar=False)
    return w @ returns.mean(0) - 0.5 * w @ C @ w, np.sqrt(w @ C @ w)


@program(lambda r: (r.normal(size=6), r.uniform(0.5, 2, 6)))
def paths(draws, start):
    s = [start]
    for z in draws:
        s.append(s[-1] * np.exp(0.1 * z - 0.005))
    path = np.array(s)
    top = np.maximum.accumulate(path, axis=0)
    return np.maximum(path[-1] - 1.0, 0).mean(), path.max(axis=0), ((top - path) / top).max()


# ------------------------------------------------------------------ learning


def layers(r: Rng) -> tuple:
    W = [r.normal(size=(4, 8)), r.normal(size=(8, 3))]
    return (
        {"W": W, "b": (r.normal(size=8), np.zeros(3))},
        r.normal(size=(10, 4)),
        r.integers(0, 3, 10),
    )


@program(layers)
def perceptron(p, x, y):
    h = np.tanh(x @ p["W"][0] + p["b"][0])
    o = h @ p["W"][1] + p["b"][1]
    o = o - o.max(axis=1, keepdims=True)
    lp = o - np.log(np.exp(o).sum(axis=1, keepdims=True))
    return -lp[np.arange(len(y)), y].mean()


@program(lambda r: tuple(np.float32(a) for a in normal((4, 3), (5, 3))(r)))
def perceptron_in_single_precision(w, x):
    z = x @ w.T
    z = z - z.max(1, keepdims=True)
    lp = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return -np.mean(lp[np.arange(5), [0, 3, 1, 2, 2]]) + np.float32(0.01) * np.sum(w * w), lp.std()


@program(normal((2, 5, 8), (8, 24), (8, 8)))
def attention(x, Wqkv, Wo):
    B, T, C = x.shape
    q, k, v = np.split(x @ Wqkv, 3, axis=-1)
    q, k, v = (t.reshape(B, T, 2, C // 2).transpose(0, 2, 1, 3) for t in (q, k, v))
    scores = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(C // 2)
    scores = np.where(np.tril(np.ones((T, T), bool)), scores, -1e9)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return (p @ v).transpose(0, 2, 1, 3).reshape(B, T, C) @ Wo


@program(lambda r: (r.normal(size=(8, 5)), r.uniform(0.5, 2, 5), r.normal(size=5)))
def norms(x, g, b):
    batch = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5) * g + b
    deviation = np.std(x, axis=-1, keepdims=True, ddof=1)
    layer = (x - np.mean(x, axis=-1, keepdims=True)) / (deviation + 1e-5) * g + b
    return batch, layer


@program(normal((2, 1, 8, 8), (3, 1, 3, 3)))
def convolution_by_slices(x, k):
    H, W = x.shape[2] - 2, x.shape[3] - 2
    out = 0
    for i in range(3):
        for j in range(3):
            out = out + np.einsum("nchw,oc->nohw", x[:, :, i : i + H, j : j + W], k[:, :, i, j])
    pooled = np.maximum(out, 0).reshape(2, 3, 3, 2, 3, 2).max(axis=(3, 5))
    return pooled.mean(axis=(2, 3))


@program(normal((10, 128), (600, 10)))
def a_long_batch_as_columns(W, X):
    return np.sum(np.tanh((W.T @ X.T).T)), np.maximum(X @ W, 0).sum(0)


@program(lambda r: (r.normal(size=(10, 4)), r.integers(0, 10, (3, 5)), r.normal(size=4)))
def embedding(E, ids, w):
    return np.tanh(E[ids].mean(1) @ w)


@program(normal((4, 2, 3), (3, 12), (4, 12), (12,)))
def gated_cells(xs, Wi, Wh, b):
    h = np.zeros((xs.shape[1], 4))
    states = []
    for x in xs:
        gi, gh = x @ Wi + b, h @ Wh
        z = special.expit(gi[:, :4] + gh[:, :4])
        r = special.expit(gi[:, 4:8] + gh[:, 4:8])
        h = (1 - z) * np.tanh(gi[:, 8:] + r * gh[:, 8:]) + z * h
        states.append(h)
    return np.stack(states)


@program(normal((30,), (30,)))
def losses(p, y):
    e = p - y
    huber = np.where(np.abs(e) < 1, 0.5 * e**2, np.abs(e) - 0.5)
    hinge = np.maximum(0, 1 - np.sign(y) * p)
    entropy = np.maximum(p, 0) - p * (y > 0) + np.log1p(np.exp(-np.abs(p)))
    s = 1 / (1 + np.exp(-p))
    nll = -np.mean((y > 0) * np.log(s) + (1 - (y > 0)) * np.log(1 - s))
    return huber.mean(), hinge.mean(), entropy.mean(), nll, np.log(np.cosh(e)), np.maximum(e, -e)


# ------------------------------------------------------------------ signals, arrays


@program(normal((20,), (5,)))
def signals(x, k):
    y = np.zeros(len(x))
    for i in range(2, len(x)):
        y[i] = 0.5 * x[i] + 0.3 * y[i - 1] - 0.1 * y[i - 2]
    energy = np.cumsum(x**2)[::-1]
    smooth = np.convolve(np.pad(x, 2, "edge"), k, "valid")
    return y, 10 * np.log10(energy + 1e-3), smooth, np.trapezoid(y, dx=0.1), np.diff(x, n=2)


@program(normal((4, 6)))
def rolled_and_padded(x):
    y = np.roll(x, 2) * x + np.roll(x, (1, -1), axis=(0, 1))
    pads = [np.pad(x, 1, mode=m) for m in ("constant", "edge", "reflect", "symmetric", "wrap")]
    return y, np.flip(x), x[::-1, ::-2], sum(pads), np.cumsum(x, axis=1) * np.cumsum(x, axis=0)


@program(normal((2, 5, 3, 4), (2, 4, 6), (3, 5), (6,)))
def products(a, b, c, d):
    return (
        np.einsum("abcd,ade,cb,e->ac", a, b, c, d),
        np.einsum("abcd,ade->bce", a, b),
        np.einsum("abcd,abcd->bd", a, a),
        np.einsum("...ij,j->...", b, d),
        np.tensordot(a, b, axes=([0, 3], [0, 1])),
        a @ b[:, None],
        c @ a[0, :, :, 1],
        np.inner(c, c),
        np.outer(d, d),
        np.kron(c, c[:2]),
    )


@program(normal((3, 4, 5)))
def reductions(x):
    return (
        x.sum((0, -1)),
        x.mean((-1, 1), keepdims=True),
        x.var(axis=(0, 2), ddof=1),
        np.prod(x, axis=-2),
        x.max(axis=(0, 1)),
        np.ptp(x, axis=1),
        np.average(x, axis=2, weights=np.arange(1.0, 6.0)),
        np.linalg.norm(x, axis=-1),
    )


@program(lambda r: (r.normal(size=8), r.integers(0, 8, 5), r.normal(size=5), r.normal(size=(6, 3))))
def gathered_and_scattered(x, i, v, M):
    z = np.zeros(8)
    np.add.at(z, i, v)
    y = x.copy()
    y[2:5] *= v[:3]
    y[[0, 1]] = v[:2]
    keep = np.array([True, False, True, True, False, False])
    w = M.copy()
    w[~keep] = 0.0
    w[keep, 1] += 2
    return z, y, w, M[keep], x[i] * v, M[[0, 2], [1, 2]], np.take_along_axis(M, M.argsort(0), 0)


@program(lambda r: (r.normal(size=(4, 4)),))
def written(x):
    y = x.copy()
    y += 1
    y /= 3
    y[:, 1] += x[:, 0]
    y[1:3, ::2] = x[:2, :2]
    y.flat[5] = 2.0
    z = np.empty((4, 4))
    z[...] = y
    z.T[0] = x[1]
    np.multiply(z, 2, out=z)
    w = np.zeros(4)
    for i in range(4):
        w[i] = z[i] @ x[:, i]
    return y, z, w


@program(lambda r: (np.asfortranarray(r.normal(size=(4, 5))), r.normal(size=(8, 10))[::2, ::-2]))
def layouts(a, b):
    return a @ b.T, a * b, a.ravel(), b.reshape(2, 10), a.T.copy()


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Affine:
    w: Any
    b: Any

    def __call__(self, x):
        return np.tanh(x * self.w + self.b)


@program(
    lambda r: (
        Point(r.normal(size=3), 2.0),
        Affine(r.normal(size=3), np.float64(0.5)),
        {"a": [r.normal(size=3), (1.0, np.array(2.0))]},
    )
)
def containers(p, f, d):
    u, (s, t) = d["a"]
    return Point(f(p.x) * p.y, t), {"u": u * s, "f": Affine(f.w * 2, f.b)}


@program(normal((7,), (7,)))
def closures(x, y):
    b = x * 2

    def step(c):
        nonlocal b
        b = b + c
        return b * c

    step(y)
    return functools.reduce(lambda p, q: p * 0.5 + q, [step(y), x, y]), [t**2 for t in x]


# ------------------------------------------------------------------ the checks


def compare(got: Any, want: Any, rtol: float) -> None:
    left, right = flatten(got), flatten(want)
    assert left[1] == right[1]
    for x, y in zip(left[0], right[0], strict=True):
        assert type(x) is type(y)
        assert (np.asarray(x).dtype, np.shape(x)) == (np.asarray(y).dtype, np.shape(y))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name: str) -> None:
    f, make = PROGRAMS[name]
    compiled = adjit.jit(f)
    rtol = 1e-5 if "single" in name else 1e-9
    for seed in range(2):
        args = make(np.random.default_rng(seed))
        before = [np.array(x) for x in flatten(args)[0]]
        want = f(*args)
        compare(compiled(*args), want, rtol)
        with adjit.options(interpret=True):
            compare(compiled(*args), want, rtol)
        for x, y in zip(flatten(args)[0], before, strict=True):
            np.testing.assert_array_equal(x, y)
    assert compiled.cache_info().traces == 2


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives(name: str) -> None:
    f, make = PROGRAMS[name]
    args = make(np.random.default_rng(0))
    adjit.check_grads(f, args, order=1, modes="rev")
    with adjit.options(interpret=True):
        adjit.check_grads(f, args, order=1, modes="fwd")


def test_a_python_int_must_fit_the_integers_it_meets():
    scaled = adjit.jit(lambda a, s: a * s)
    small = np.arange(3, dtype=np.int8)
    for s in (3, 4):
        got = scaled(small, s)
        assert got.dtype == np.int8
        np.testing.assert_array_equal(got, small * s)
    with pytest.raises(OverflowError, match="300 out of bounds for int8"):
        scaled(small, 300)
    np.testing.assert_array_equal(scaled(np.arange(3), 300), [0, 300, 600])


def test_columns_kept_in_a_list_are_those_of_their_round():
    def states(p, ys):
        x, kept = np.zeros((3, 1)), []
        for y in ys:
            x = np.sin(x + p * y)
            kept.append(x.ravel())
        return np.array(kept)

    ys = np.linspace(0.1, 1.0, 7)
    with adjit.options(unroll="never"):
        np.testing.assert_allclose(adjit.jit(states)(0.5, ys), states(0.5, ys), rtol=1e-14)


def test_tables_of_complex_numbers_in_rolled_loops():
    def transform(z):
        n, out = len(z), np.zeros(len(z), complex)
        for k in range(n):
            for j in range(n):
                out[k] += z[j] * np.exp(-2j * np.pi * k * j / n)
        return out

    z = np.arange(7.0) + 1j * np.cos(np.arange(7.0))
    with adjit.options(interpret=True):
        np.testing.assert_allclose(adjit.jit(transform)(z), np.fft.fft(z), atol=1e-13)


def test_options_that_numpy_refuses():
    x = np.array([3.0, 1.0, 2.0])
    for f in (
        lambda x: np.where(x > 1, x),
        lambda x: np.sort(x, kind="no such"),
        lambda x: x.argsort(kind="no such"),
        lambda x: x.copy().sort(kind="no such"),
    ):
        with pytest.raises(ValueError, match=r"either both|kind must be"):
            f(x)
        with pytest.raises(ValueError, match=r"either both|kind must be"):
            adjit.jit(f)(x)


def test_rows_of_many_pieces_beside_others_of_other_extents():
    def spread(a, x):
        out = [x[0]]
        for v in x[1:]:
            out.append(a * v + (1 - a) * out[-1])
        e = np.asarray(out)
        windows = np.lib.stride_tricks.sliding_window_view(e, 3).std(-1)
        return windows @ np.cos(np.arange(8)) + np.sum(np.convolve(e, np.ones(3) / 3, "valid"))

    x = np.random.default_rng(1).random(10)
    value, slope = adjit.value_and_grad(spread)(0.3, x)
    numeric = (spread(0.3 + 1e-6, x) - spread(0.3 - 1e-6, x)) / 2e-6
    np.testing.assert_allclose([value, slope], [spread(0.3, x), numeric], rtol=1e-7)
