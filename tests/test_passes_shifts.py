"""What is subtracted in exp(x - m) has no slope where no result depends on it, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import assert_agree, kinds

from adjit.passes.constant_shifts import constant_shifts
from adjit.passes.vjp import vjp
from adjit.tracer.trace import trace

RNG = np.random.default_rng(7)
X, SEGMENT = RNG.normal(size=(4, 4)), np.array([0, 2, 1, 0, 2, 2, 1, -3])
V, T = RNG.normal(size=8), np.float64(0.7)


def attention(x: Any) -> Any:
    s = x @ x.T
    e = np.exp(s - s.max(1, keepdims=True))
    return (e @ x) / e.sum(1, keepdims=True)


def added_late(x: Any) -> Any:
    m = x.max(0)
    return x[0] + m + np.log(np.exp(x - m).sum(0)) + x[1]


def tempered(x: Any, t: Any) -> Any:
    m = x.max(1, keepdims=True)
    return t * np.log(np.exp((x - m) / t).sum(1)) + m[:, 0]


def by_pairs(x: Any) -> Any:
    a, b, c = x[0], x[1], x[2]
    least = np.minimum(np.minimum(a, b), c)
    return least - np.log(np.exp(least - a) + np.exp(least - b) + np.exp(least - c))


def masked(x: Any, t: Any) -> Any:
    z = x - x.max(1, keepdims=True)
    e = np.where(np.abs(x) < 2 * t, np.exp(z), 0.0) * x**2
    return e / np.sqrt(e * e).sum(1, keepdims=True)


def segments(v: Any, at: Any) -> Any:
    m = np.zeros(3) + v[:3]
    e = np.exp(v - m[at])
    z = np.zeros(3)
    np.add.at(z, at, e)
    return e / z[at]


def picked(x: Any) -> Any:
    z = x - x.max(1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    return log_p[np.arange(4), np.array([0, 3, 3, 1])]


def weighted_mean(x: Any) -> Any:
    m = x.max(1)
    e = np.exp(x[1:] - m[1:, None])
    return np.log(e.max(1)) + m[1:] - np.mean(m[1:, None] * np.ones(3) + np.log(e[:, :3]), axis=1)


def other_rows(x: Any) -> Any:
    m = x.max(1)
    return np.log(np.exp(x - m[:, None]).sum(1)) + m[::-1]


def other_segments(v: Any, at: Any) -> Any:
    m = np.zeros(3) + v[:3]
    e = np.exp(v - m[at])
    z = np.zeros(3)
    np.add.at(z, np.flip(at), e)
    return e / z[at]


def other_extent(v: Any, at: Any) -> Any:
    m = np.zeros(3) + v[:3]
    e = np.exp(v - m[at])
    z = np.zeros(4)  # the last of 3 and of 4 are two places
    np.add.at(z, at, e)
    return e[1] / z[-3]


def softened(x: Any) -> Any:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / (e.sum(1, keepdims=True) + 0.1)


def one_row(x: Any) -> Any:
    m = x.max(1)
    return np.log(np.exp(x - m[:, None]).sum(1)) + m[0:1]


def twice(x: Any) -> Any:
    m = x.max(1)
    return np.log(np.exp(x - m[:, None]).sum(1)) + 2.0 * m


def rounded(x: Any) -> Any:
    m = x.max(1, keepdims=True)
    return np.log(np.exp(x - m).sum(1)) + m[:, 0].astype(np.int64)


def cut(x: Any) -> Any:
    m = x.max(1, keepdims=True)
    e = np.exp(x - m)
    return np.where(m > 0.5, e, 0.0).sum(1) / e.sum(1)


def shown(x: Any) -> Any:
    m = x.max(1, keepdims=True)
    return np.exp(x - m) * np.exp(m), m


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (attention, (X,)),
        (added_late, (X,)),
        (tempered, (X, T)),
        (by_pairs, (X,)),
        (masked, (X, T)),
        (segments, (V, SEGMENT)),
        (picked, (X,)),
        (weighted_mean, (X,)),
    ],
)
def test_no_result_depends_on_the_shift(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    before, after = check(f, args)
    assert kinds(before)["stop_gradient"] == 0 < kinds(after)["stop_gradient"]


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (other_rows, (X,)),
        (other_segments, (V, SEGMENT)),
        (other_extent, (V, SEGMENT)),
        (softened, (X,)),
        (one_row, (X,)),
        (twice, (X,)),
        (rounded, (X,)),
        (cut, (X,)),
        (shown, (X,)),
    ],
)
def test_what_matters_keeps_its_slope(f: Callable[..., Any], args: tuple[Any, ...]) -> None:
    _, after = check(f, args)
    assert kinds(after)["stop_gradient"] == 0


def check(f: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The program before and after, whose slopes are the same up to rounding."""
    before = trace(f, args).function
    after = constant_shifts(before)
    inputs = [np.asarray(a) for a in args]
    inputs += [np.asarray(c.read()) for c in trace(f, args).captures]
    wrt = tuple(k for k, p in enumerate(before.params) if p.dtype == "f64")
    cts = [RNG.normal(size=v.shape) for v in before.outs]
    slopes = [vjp(g, wrt) for g in (before, after)]
    assert_agree(*slopes, *inputs, *cts, rtol=1e-9)
    assert kinds(constant_shifts(after)) == kinds(after)
    return before, after
