"""Strided pads in pieces: the same numbers, one loop that writes all of them."""

import numpy as np
import pytest
from graphs import assert_agree, function, kinds

from adjit import grad, options, value_and_grad
from adjit.ir import evaluate, verify
from adjit.ir.ops import elementwise as el
from adjit.ir.ops.interleave import interleave, piece, residues
from adjit.ir.ops.shape import broadcast, pad, reshape, slice_, sum_, transpose
from adjit.passes.pipeline import JOINT, run
from adjit.passes.weave import weave

RNG = np.random.default_rng(0)


def apart(x, n, start, step):
    """`x` set `step` apart in zeros, from `start` on."""
    return pad(x, shape=(n,), start=(start,), step=(step,))


def teeth(x, y, z):
    """Sums and products of pads, with what is dense between them."""
    a = apart(x, 13, 1, 2) + apart(y, 13, 0, 4) * z
    b = el.select(el.greater(z, 0.0), a, apart(x, 13, 12, -2))
    c = slice_(b, start=(11,), size=(5,), step=(-2,))
    d = pad(slice_(a, start=(1,), size=(12,), step=(1,)), shape=(14,), start=(2,), step=(1,))
    return (
        b,
        sum_(el.exp(a) * z, axes=(0,)),
        c,
        d,
        apart(slice_(a, start=(0,), size=(6,), step=(1,)), 19, 3, 3),
    )


def planes(x, y):
    """Pads along two dims, moved, reduced and repeated."""
    a = pad(x, shape=(5, 6), start=(1, 0), step=(2, 3)) + pad(
        y, shape=(5, 6), start=(0, 1), step=(1, 4)
    )
    rows = sum_(a * a, axes=(1,))
    wide = broadcast(a, shape=(5, 2, 6), axes=(1,))
    column = reshape(rows, shape=(5, 1))
    return (
        transpose(a, perm=(1, 0)),
        rows,
        sum_(wide, axes=(0, 1)),
        column * a,
        reshape(a, shape=(30,)),
    )


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_programs_of_pads_mean_the_same_in_pieces(dtype):
    line = function(teeth, (6,), (4,), (13,), dtype=dtype)
    plane = function(planes, (2, 2), (5, 2), dtype=dtype)
    for f, shapes in ((line, [(6,), (4,), (13,)]), (plane, [(2, 2), (5, 2)])):
        g = weave(f)
        verify(g)
        assert kinds(g)["interleave"] >= 2
        args = [RNG.normal(size=s).astype("f4" if dtype == "f32" else "f8") for s in shapes]
        assert_agree(f, g, *args)
        assert_agree(f, run(f, JOINT, check=True), *args)


def test_what_has_no_strides_or_too_long_ones_stays():
    far = function(lambda x: apart(x, 100, 3, 40), (3,))
    short = function(lambda x: pad(x, shape=(2, 1), start=(0, 0), step=(1, 1)), (1, 1))
    empty = function(lambda x: apart(x, 5, 0, 2), (0,))
    assert weave(far) is far and weave(short) is short and weave(empty) is empty


def test_interleave_is_what_it_says():
    x = RNG.normal(size=(5, 7))
    steps = (2, 3)
    parts = function(lambda v: tuple(piece(v, r, steps) for r in residues(steps)), (5, 7))
    f = function(
        lambda v: interleave(*(piece(v, r, steps) for r in residues(steps)), steps=steps), (5, 7)
    )
    assert len(parts.outs) == 6
    np.testing.assert_array_equal(evaluate(f, x)[0], x)
    with pytest.raises(ValueError, match="interleave"):
        function(lambda a, b: interleave(a, b, steps=(2,)), (3,), (5,))


def red_black(u):
    for _ in range(2):
        u = u.copy()
        u[1:-1:2] = 0.5 * (u[:-2:2] + u[2::2])
        u[2:-1:2] = 0.5 * (u[1:-2:2] + u[3::2])
    return np.sum(u**2)


def sweeps(u):
    for _ in range(30):
        u = u.copy()
        u[1:-1:2] = 0.5 * (u[:-2:2] + u[2::2])
    return np.sum(u**2)


def haar(x):
    a, d = x[::2] + x[1::2], x[::2] - x[1::2]
    return np.sum(np.tanh(d)) + np.sum((a[::2] * a[1::2]) ** 2)


def pool(x):
    return np.sum(np.tanh(x[::2, ::2] + x[1::2, ::2]) * np.exp(x[::2, 1::2] * x[1::2, 1::2]))


def thirds(x):
    a, b, c = x[::3], x[1::3], x[2::3]
    return np.sum(np.exp(-(a**2 + b**2 + c**2)) * x[0]) + np.sum(x**3)


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (red_black, (11,)),
        (red_black, (12,)),
        (sweeps, (9,)),
        (haar, (40,)),
        (pool, (6, 8)),
        (thirds, (12,)),
    ],
)
def test_kernels_write_pieces_where_they_lie(f, shape):
    x = RNG.normal(size=shape)
    with options(interpret=True):
        value, slope = value_and_grad(f)(x)
    kernel = value_and_grad(f)
    got = kernel(x)
    np.testing.assert_allclose(got[0], value, rtol=1e-12)
    np.testing.assert_allclose(got[1], slope, rtol=1e-10, atol=1e-12)
    eps = RNG.normal(size=shape)
    numeric = (f(x + 1e-6 * eps) - f(x - 1e-6 * eps)) / 2e-6
    np.testing.assert_allclose(np.sum(got[1] * eps), numeric, rtol=1e-6)
    assert "interleave" in kernel.ir(x, stage="simplified")


def test_pieces_share_one_loop_with_the_value():
    g = value_and_grad(lambda x: np.sum(x[::3] * x[1::3]))
    x = RNG.normal(size=300)
    _, slope = g(x)
    want = np.zeros(300)
    want[::3], want[1::3] = x[1::3], x[::3]
    np.testing.assert_array_equal(slope, want)
    assert g.source(x).count("for ") == 1
    assert kinds(weave(function(lambda v: apart(v, 9, 0, 3), (3,))))["interleave"] == 1


def test_a_gradient_in_pieces_is_read_again_as_a_whole():
    def f(x):
        g = grad(lambda v: np.sum(np.sin(v[::2]) * v[1::2]))(x)
        return np.sum(g[:-1] * g[1:] * x[1:])

    x = RNG.normal(size=10)
    g = x.copy()
    g[::2], g[1::2] = np.cos(x[::2]) * x[1::2], np.sin(x[::2])
    want = np.zeros(10)
    eps = 1e-6
    for k in range(10):
        want[k] = (f(x + eps * (np.arange(10) == k)) - f(x - eps * (np.arange(10) == k))) / 2 / eps
    np.testing.assert_allclose(grad(f)(x), want, rtol=1e-6, atol=1e-8)


def test_what_no_piece_chooses_keeps_its_shape():
    def f(x):
        z = np.concatenate([x[2:], x, x[:2]])
        z[2::3] = x[1::2]
        w = np.concatenate([x[2:], x, x[:2]])
        w[2::2] *= x[0]
        return np.tanh(z.sum()) + np.tanh(w).sum()

    x, h = np.array([0.3, -0.2, 0.5, 0.7]), 1e-6
    numeric = [(f(x + e) - f(x - e)) / (2 * h) for e in h * np.eye(4)]
    with options(interpret=True, check=True):
        np.testing.assert_allclose(grad(f)(x), numeric, rtol=1e-8)
