"""Convolutions by kernels against the interpreter, on many shapes."""

import random

import numpy as np
import pytest

from adjit.codegen import convolve, shares
from adjit.ir.builder import Builder
from adjit.ir.core import Op, Value
from adjit.ir.ops import convolutions as rows
from adjit.ir.types import Aval, name_of


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


def test_what_is_left_to_the_reference():
    x, w = np.zeros((1, 4, 4, 200), np.float32), np.zeros((200, 2, 1, 1), np.float32)
    attrs = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 100}
    assert convolve.prepared(recorded(rows.conv, x, w, **attrs)) is None
    assert convolve.prepared(recorded(rows.conv, x[:0], w, **attrs)) is None
