"""Another number of rows finds its kernel: sizes are named by what they are, not by their value."""

import re

import numpy as np
import pytest

from adjit import value_and_grad
from adjit.codegen.kernel import write_kernel
from adjit.ir import parse
from adjit.ir.types import Extent
from adjit.passes.extents import label
from adjit.passes.schedule import schedule

RNG = np.random.default_rng(0)
COMMENT = re.compile("  # .*")


def mlp(p, x, y):
    h = np.tanh(x @ p["a"] + p["b"])
    z = np.maximum(h @ p["c"], 0.0) @ p["d"]
    return np.mean((z - y) ** 2)


def logistic(w, x, y):
    return np.mean(np.logaddexp(0.0, -y * (x @ w)))


def layer_norm(x, g):
    m, v = np.mean(x, axis=-1, keepdims=True), np.var(x, axis=-1, keepdims=True)
    return np.sum(g * (x - m) / np.sqrt(v + 1e-5))


PARAMS = {
    "a": RNG.normal(size=(20, 64)),
    "b": np.zeros(64),
    "c": RNG.normal(size=(64, 32)),
    "d": RNG.normal(size=(32, 18)),
}
CASES = {
    "mlp": (mlp, lambda n: (PARAMS, RNG.normal(size=(n, 20)), RNG.normal(size=(n, 18)))),
    "logistic": (logistic, lambda n: (np.ones(30), RNG.normal(size=(n, 30)), np.ones(n))),
    "layer_norm": (layer_norm, lambda n: (RNG.normal(size=(n, 48)), np.ones(48))),
}


def texts(f, make, sizes):
    """The distinct kernels that calls of these sizes need."""
    found = {}
    for n in sizes:
        args = make(n)
        assert np.isfinite(f(*args)[0])
        kernels = f.variants()[-1].kernels
        found.setdefault(tuple(k.kernel.source.text for k in kernels), []).append(n)
    return found


@pytest.mark.parametrize("name", CASES)
def test_twenty_batch_sizes_compile_once(name):
    fn, make = CASES[name]
    sizes = [17, 18, 20, 24, 30, 31, 32, 33, 40, 48, 50, 60, 64, 65, 90, 100, 127, 128, 129, 200]
    assert list(texts(value_and_grad(fn), make, sizes).values()) == [sizes]


def test_small_sizes_that_keep_changing_share_a_kernel():
    found = texts(value_and_grad(logistic), CASES["logistic"][1], range(2, 22))
    assert len(found) <= 4


def test_a_shared_kernel_gives_the_right_numbers():
    f = value_and_grad(logistic)
    for n in (64, 30, 100, 3, 5, 7, 9, 11, 2):
        w, x, y = CASES["logistic"][1](n)
        w = RNG.normal(size=30)
        value, g = f(w, x, y)
        s = -y / (1 + np.exp(y * (x @ w)))
        np.testing.assert_allclose(value, logistic(w, x, y), rtol=1e-12)
        np.testing.assert_allclose(g, s @ x / n, rtol=1e-10, atol=1e-14)
    args = (w, np.ones((50, 30)), np.ones(50))
    f(*args)  # of a class that is there: nothing is compiled, and the report says so
    report = str(f.explain(*args))
    assert "there already" in report and "llvm" not in report
    assert f.cache_info().kernels < f.cache_info().variants


def test_dims_are_joined_by_what_ops_do():
    block = parse("""
func f(%x: f64[5,5], %w: f64[5], %i: i64[5]) -> (f64[5], f64[5], f64[4]) {
  %a: f64[5,5] = mul %x, %w
  %b: f64[5] = sum[axes=(1,)] %a
  %c: f64[5] = gather[axes=(0,)] %w, %i
  %d: f64[4] = slice[size=(4,), start=(1,), step=(1,)] %b
  return %b, %c, %d
}
""").block
    new = label(block, varying=[(0, 0)])
    (x, w, i), (b, c, d) = new.params, new.outs
    rows, columns = x.shape
    assert isinstance(rows, Extent) and rows.label != columns.label
    assert w.shape[0].label == columns.label and b.shape[0].label == rows.label
    assert i.shape[0].label == c.shape[0].label != w.shape[0].label
    assert rows.varies and d.shape[0].varies and not columns.varies and not c.shape[0].varies
    assert (rows - 1).label == (rows + -1).label != rows.label and (rows - 0) is rows


def attention(w, x):
    q, k, v = (x @ w[i] for i in "qkv")
    s = q @ k.T / 3.0
    e = np.exp(s - s.max(-1, keepdims=True))
    return np.mean((e / e.sum(-1, keepdims=True) @ v) ** 2)


def test_lengths_and_numbers_that_depend_on_them_need_few_texts():
    """Strips come in powers of two where rows vary, one for each octave; 1 / n is no literal."""

    def texts(fn, args, sizes):
        fn = value_and_grad(fn)
        calls = [(*args, *(RNG.normal(size=s) for s in shapes)) for shapes in sizes]
        variants = [fn._variant(call, {}) for call in calls]
        plans = [schedule(v.simplified, v.varying, 0).steps for v in variants]
        kernels = [write_kernel(step.plan, "f") for steps in plans for step in steps]
        return [COMMENT.sub("", k.source.text) for k in kernels]

    weights = {i: RNG.normal(size=(12, 9)) for i in "qkv"}
    lengths = (90, 50, 20, 23, 29, 31, 34, 36, 38, 40, 48, 51, 63)
    assert len(set(texts(attention, (weights,), [((n, 12),) for n in lengths])[3:])) == 3

    def squares(w, x, y):
        return np.mean((x @ w - y) ** 2)

    batches = (90, 50, 20, 3, 5, 8, 6, 40, 64)
    assert len(set(texts(squares, (np.ones(7),), [((n, 7), (n,)) for n in batches])[3:])) == 1

    def scaled(w, x):
        return np.sum(x @ w / 3.0 + 12.0)

    rows = [((n, 7),) for n in (90, 50, 40, 30)]  # the third one varies, which changes nothing
    assert len(set(texts(scaled, (np.ones(7),), rows))) == 1
