"""Arrays that are not in C order: the values are NumPy's, and where it pays nothing is copied."""

import ctypes
import mmap

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from adjit import grad, jit, options, value_and_grad, vmap
from adjit.ir.core import Block, Function
from adjit.ir.interp import evaluate
from adjit.ir.parser import parse
from adjit.lying import Lie, filled, lie_of, strangers, strides, turned, within

rng = np.random.default_rng(0)


def turned_by(x, order):
    """The same values, whose axes lie in memory in this order."""
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def spread(x, room):
    """The same values within a larger array."""
    whole = np.full(room, np.nan)
    inside = whole[tuple(slice(0, n) for n in x.shape)]
    inside[...] = x
    return inside


def every_second(x):
    return np.repeat(x, 2, axis=0)[::2]


X, W, Y = rng.normal(size=(90, 60)), rng.normal(size=60), rng.normal(size=90)
CUBE = rng.normal(size=(20, 3, 110))


def logistic(w, x, y):
    return np.mean(np.logaddexp(0.0, -y * (x @ w)))


def absorbed(w, x, y):
    """Where no transpose is left: products, sums along either axis."""
    net, spread = np.sum(np.tanh(x @ w[:, None]) ** 2), (x - x.mean(0)) / x.std(0)
    return logistic(w, x, y) + net + np.sum(np.exp(0.1 * spread * w).sum(axis=1) ** 2)


def across(w, x):
    """Where one is: what is sorted or summed up along rows."""
    return np.sum(np.sort(x, axis=0) * np.cumsum(x, axis=1) * w) + w @ (x.T @ x) @ w


def stack(w, x):
    return np.sum(np.sin(x @ w) * x[:, :, 0])


@pytest.mark.parametrize(
    ("f", "args"),
    [(absorbed, (W, X, Y)), (across, (W, X)), (stack, (rng.normal(size=110), CUBE))],
)
def test_values_and_gradients_are_those_of_a_copy(f, args):
    x = args[1]
    g = value_and_grad(f, argnums=(0, 1))
    value, slopes = g(*args)
    assert np.allclose(value, f(*args))
    forms = [turned_by(x, (0, 2, 1))] if x.ndim == 3 else []
    forms += [x.copy(order="F"), spread(x, tuple(n + 3 for n in x.shape)), every_second(x)]
    for form in forms:
        assert np.array_equal(form, x) and not form.flags.c_contiguous
        for _ in range(2):  # the second call is the compiled front's
            again, found = g(args[0], form, *args[2:])
            assert np.allclose(again, value, rtol=1e-12)
            for a, b in zip(found, slopes, strict=True):
                assert a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-12)
    info = g.cache_info()
    assert info.variants == 1 + len(forms)
    assert x.ndim == 3 or info.kernels < info.variants  # how wide a gap is is a size


def test_a_program_of_larger_arrays_means_the_same():
    f = parse("""
    func f(%w: f64[3], %x: f64[4,3]) -> (f64[4], f64[3,4]) {
      %0: f64[4,3] = mul %x, %w
      %1: f64[4] = sum[axes=(1,)] %0
      %2: f64[4,3] = sin %0
      %3: f64[3,4] = transpose[perm=(1, 0)] %2
      return %1, %3
    }
    """)
    w, x = rng.normal(size=3), rng.normal(size=(4, 3))
    forms = [
        x.copy(order="F"),
        spread(x, (5, 7)),
        spread(x.T, (3, 9)).T,
        np.repeat(x, 2, 1)[:, ::2],
    ]
    for form in forms:
        lies = [None, lie_of(form)]
        g = turned(f, lies)
        assert g.params[1].shape == lies[1].room
        for whole in (filled([w, form], lies), [w, within(form, lies[1])]):
            for a, b in zip(evaluate(f, w, x), evaluate(g, *whole), strict=True):
                assert np.allclose(a, b)
        many = [op for op in g.ops if op.prim.name == "transpose" and op.args[0].aval.size > 3]
        assert len(many) == (lies[1].order == (0, 1))
        assert not strangers(g, lies, [w.shape, x.shape])
    assert turned(f, [None, None]) is f


def test_what_reads_in_gaps_takes_a_copy():
    f = parse("""
    func f(%x: f64[4,5]) -> (f64[4,3]) {
      %0: f64[4,5] = sin %x
      %1: f64[4,3] = slice[start=(0, 0), size=(4, 3), step=(1, 1)] %0
      %2: f64[4,3] = slice[start=(0, 1), size=(4, 3), step=(1, 1)] %x
      return %2
    }
    """)
    (first, last), lie = (f.ops[0], f.ops[2]), Lie((0, 1), (4, 5))
    alone = [Function("g", Block(f.params, ops, f.params)) for ops in ((first,), (last,), ())]
    assert all(strangers(g, [lie], [(4, 3)]) == {0} for g in alone)
    inside = Function("g", Block(f.params, (last,), last.outs))
    assert not strangers(inside, [lie], [(4, 4)]) and strangers(inside, [lie], [(3, 4)]) == {0}


def test_how_arrays_lie():
    cube = np.zeros((2, 3, 4))
    assert lie_of(cube) is None and lie_of(cube.T) == Lie((2, 1, 0), (2, 3, 4))
    assert lie_of(cube.transpose(1, 0, 2)) == Lie((1, 0, 2), (2, 3, 4))
    assert lie_of(cube[:, :2]) == Lie((0, 1, 2), (2, 3, 4))
    assert lie_of(cube[0, 0, ::2]) == Lie((0,), (2, 2))
    assert lie_of(cube[:, 1:2, 1:3].T) == Lie((1, 2, 0), (1, 2, 12))
    assert lie_of(np.zeros((5, 1, 4)).T) == Lie((1, 2, 0), (1, 5, 4))
    assert lie_of(np.zeros((0, 3)).T) is None and lie_of(np.zeros((1, 3)).T) is None
    windows = np.lib.stride_tricks.sliding_window_view(np.zeros(9), 3)
    for apart in (cube[::-1], np.broadcast_to(cube[0], (2, 3, 4)), cube[0, 0, ::-1], windows,
                  np.zeros((3, 5))[:, 0], np.zeros((3, 3))[:, ::2]):  # fmt: skip
        assert lie_of(apart) is None
    for x in (cube.T, cube[:, 1:], cube[:, 1:].T, cube[:1, :, ::2]):
        assert strides(x.dtype, x.shape, lie_of(x)) == x.strides


def test_two_layouts_are_two_variants_and_reports_show_them():
    big = rng.normal(size=(500, 40))
    f = jit(lambda x, r: (x.T @ r, x.mean(axis=1)))
    for x in (big, big.copy(order="F"), big, big.copy(order="F")):
        got = f(x, big[:, 0].copy())
        assert np.allclose(got[0], x.T @ x[:, 0]) and np.allclose(got[1], x.mean(axis=1))
    assert f.cache_info().variants == 2
    report = f.explain()
    assert "x: float64[500, 40] in F order" in report and "x is read where it lies" in report
    kernels = f.cache_info().kernels
    for n in (300, 400, 700):  # another batch is no other kernel
        x = rng.normal(size=(n, 40)).copy(order="F")
        assert np.allclose(f(x, x[:, 0].copy())[1], x.mean(axis=1))
    assert f.cache_info().kernels <= kernels + 1
    wide = f(spread(big, (500, 43)), big[:, 0].copy())
    assert np.allclose(wide[0], big.T @ big[:, 0])
    assert "x: float64[500, 40] within [500, 43]" in f.explain()
    double = jit(lambda x: x * 2.0)
    assert np.array_equal(double(big.copy(order="F")), big * 2)
    assert "x is copied into C order at every call" in double.explain()


def test_read_only_arrays_targets_that_overlap_and_vmap():
    x = rng.normal(size=(40, 40)).copy(order="F")
    x.setflags(write=False)
    f = jit(lambda x: x.sum(axis=1))
    assert np.allclose(f(x), x.sum(axis=1))
    x = x.copy(order="F")
    want = x.sum(axis=1)
    for out in (np.empty(40), np.empty(40), x[:, 0]):  # a column is written when all is read
        assert f(x, out=out) is out and np.allclose(out, want)
    g = vmap(lambda r: np.tanh(r) @ r)
    x = rng.normal(size=(30, 20)).copy(order="F")
    assert np.allclose(g(x), np.sum(np.tanh(x) * x, axis=1)) and np.allclose(g(x), g(x.copy()))


def test_arrays_outside_may_change_their_order():
    table = rng.normal(size=(70, 60)).copy(order="F")
    f = grad(lambda w: np.sum((table @ w) ** 2))
    w = rng.normal(size=60)
    for now in (table, table.copy(order="C"), table * 2, (table * 3)[:, ::-1]):
        table = now
        for _ in range(2):
            assert np.allclose(f(w), 2 * table.T @ (table @ w))


@pytest.mark.parametrize("settings", [{"threads": 2}, {"interpret": True}, {"check": True}])
def test_with_other_options(settings):
    x = rng.normal(size=(3000, 60))
    y = np.sign(rng.normal(size=3000))
    want = value_and_grad(logistic)(W, x, y)
    with options(**settings):
        f = value_and_grad(logistic)
        for form in (x.copy(order="F"), spread(x, (3000, 64)), spread(x.T, (60, 3001)).T):
            for _ in range(2):
                value, slope = f(W, form, y)
                assert np.allclose(value, want[0]) and np.allclose(slope, want[1])


def test_rows_that_are_to_be_cut_are_copied():
    x = rng.normal(size=(20000, 30)).copy(order="F")

    def work(w, x):
        return np.sum(np.tanh(np.exp(np.sin(x) * w)), axis=1)

    want = work(W[:30], x)
    for settings in ({"threads": 8}, {"memory_budget": "300K"}):
        with options(**settings):
            f = jit(work)
            assert np.allclose(f(W[:30], x), want)
            assert "x is copied" in f.explain()


def test_no_memory_behind_the_last_row_is_read():
    """Rows of a map whose last one ends where no memory is mapped."""
    page = mmap.PAGESIZE
    held = mmap.mmap(-1, 17 * page)
    rows = 16 * page // 64
    whole = np.frombuffer(held, np.float64, 16 * page // 8).reshape(rows, 8)
    whole[...] = rng.normal(size=whole.shape)
    behind = ctypes.addressof(ctypes.c_char.from_buffer(held)) + 16 * page
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(behind), page, 0):
        pytest.skip("memory cannot be protected here")
    x = as_strided(whole[:, 3:], (rows, 5))  # the larger rows of the last one end behind
    w = rng.normal(size=5)
    f = value_and_grad(
        lambda w, x: np.sum(np.tanh(x @ w) * x[:, 1]) + np.sum((x.T[2:] @ np.exp(x)[:, 2:]) ** 2)
    )
    for _ in range(2):
        got = f(w, x)
        want = f(w, x.copy())
        assert np.allclose(got[0], want[0]) and np.allclose(got[1], want[1])
    assert "x is read where it lies" in f.explain()
    libc.mprotect(ctypes.c_void_p(behind), page, 3)
