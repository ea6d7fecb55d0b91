"""Convolutions by kernels against the interpreter, on many shapes."""

import random

import numpy as np
import pytest

from adjit import jit
from adjit.codegen import convolve, shares
from adjit.ir.builder import Builder
from adjit.ir.core import Op, Value
from adjit.ir.ops import convolutions as rows
from adjit.ir.types import Aval, name_of
from adjit.testing import check_grads


def recorded(row, a, b, **attrs) -> Op:
    values = [Value(Aval(name_of(x.dtype), x.shape)) for x in (a, b)]
    with Builder(values) as builder:
        row(*values, **attrs)
        return builder.ops[-1]


def case(seed: int) -> tuple:
    """Images, weights and settings that fit."""
    pick = random.Random(seed).choice
    rank = pick([1, 2, 2, 3])
    while True:
        kernel, stride, dilation, space, padding = (
            tuple(pick(what) for _ in range(rank))
            for what in (
                [1, 1, 2, 3, 5], [1, 1, 2, 3], [1, 1, 2], range(1, 10),
                [(0, 0), (1, 1), (2, 0), (0, 1), (-1, 1), (1, -1)],
            )
        )  # fmt: skip
        if min(rows.extents(space, kernel, stride, padding, dilation)) > 0:
            break
    images, channels, results = pick([1, 2, 3]), pick([1, 3, 16, 17, 64]), pick([1, 7, 24, 100])
    dtype = pick([np.float32, np.float32, np.float64])
    groups = pick([1, 1, 1, 2, 5])
    if pick([False, False, True]):
        channels = results = 1
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((images, *space, groups * channels)).astype(dtype)
    w = rng.standard_normal((groups * results, channels, *kernel)).astype(dtype)
    return x, w, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@pytest.mark.parametrize(
    ("at_a_time", "threads", "seeds"),
    [(4096, 1, range(40)), (4096, 3, range(40)), (7, 1, range(20))],
)
def test_random_convolutions(at_a_time, threads, seeds, monkeypatch):
    monkeypatch.setattr(convolve, "ROWS", at_a_time)
    monkeypatch.setattr(shares, "LEAST", 10)
    monkeypatch.setattr(shares, "COPIED", 10)
    for seed in seeds:
        x, w, attrs = case(seed)
        y = rows.conv.ref(x, w, **attrs)
        ct = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        for row, a, b, more in (
            (rows.conv, x, w, {}),
            (rows.conv_input, ct, w, {"space": x.shape[1:-1]}),
            (rows.conv_weight, x, ct, {"kernel": w.shape[2:]}),
        ):
            run = convolve.prepared(recorded(row, a, b, **attrs, **more), threads)
            wanted = row.ref(a, b, **attrs, **more)
            tolerance = 1e-5 if y.dtype == np.float32 else 1e-12
            limit = tolerance * max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(run(a, b), wanted, rtol=0, atol=limit, err_msg=str(seed))


def single(seed: int) -> tuple:
    """Images of one channel, a kernel and settings that fit."""
    pick = random.Random(seed).choice
    rank, dtype = pick([1, 2, 3]), pick([np.float32, np.float64])
    kernel = (*(pick([1, 3, 4, 9]) for _ in range(rank - 1)), pick([1, 2, 8, 19]))
    dilation = tuple(pick([1, 1, 2]) for _ in range(rank))
    padding = tuple(pick([(0, 0), (1, 1), (3, 0), (0, 2), (-1, 1), (20, 2)]) for _ in range(rank))
    spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    ends = [pick([1, 2, 5]) for _ in range(rank - 1)] + [pick([7, 8, 30, 1100][: 5 - rank])]
    space = tuple(n + s + 2 for n, s in zip(ends, spans, strict=True))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((pick([1, 1, 3]), *space, 1)).astype(dtype)
    w = rng.standard_normal((1, 1, *kernel)).astype(dtype)
    attrs = {"stride": (1,) * rank, "padding": padding, "dilation": dilation, "groups": 1}
    return x, w, attrs


def test_random_convolutions_of_one_channel():
    for seed in range(30):
        x, w, attrs = single(seed)
        ct = rows.conv.ref(x, w, **attrs) + x.dtype.type(0.5)
        for row, a, b, more in (
            (rows.conv, x, w, {}),
            (rows.conv_input, ct, w, {"space": x.shape[1:-1]}),
            (rows.conv_weight, x, ct, {"kernel": w.shape[2:]}),
        ):
            run = convolve.prepared(recorded(row, a, b, **attrs, **more))
            wanted = row.ref(a, b, **attrs, **more)
            limit = (1e-5 if x.dtype == np.float32 else 1e-12) * max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(run(a, b), wanted, rtol=0, atol=limit, err_msg=str(seed))


def test_what_is_left_to_the_reference():
    x, w = np.zeros((1, 4, 4, 200), np.float32), np.zeros((200, 2, 1, 1), np.float32)
    attrs = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 100}
    assert convolve.prepared(recorded(rows.conv, x, w, **attrs)) is None
    assert convolve.prepared(recorded(rows.conv, x[:0], w, **attrs)) is None


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("size", [(400, 30), (31, 401)])
def test_long_vectors_are_convolved_in_a_step_of_their_own(mode, size):
    rng = np.random.default_rng(2)
    x, w = (rng.normal(size=n) for n in size)
    for f in (np.convolve, np.correlate):
        made = jit(lambda x, w, f=f: f(x, w, mode))
        np.testing.assert_allclose(made(x, w), f(x, w, mode), rtol=1e-12, atol=1e-13)
        single_precision = made(x.astype("f4"), w.astype("f4"))
        assert single_precision.dtype == np.float32
        np.testing.assert_allclose(single_precision, f(x, w, mode), rtol=1e-3, atol=1e-4)
    check_grads(lambda x, w: np.convolve(x, w, mode), (x, w), order=2, rtol=1e-4)
