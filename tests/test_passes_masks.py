"""Masks that do nothing go; those that hide something stay; fusion keeps what many reads share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs import assert_agree, function, kinds

import adjit
from adjit.ir import ops as o
from adjit.ir.core import Value
from adjit.passes.fuse import fuse
from adjit.passes.simplify import simplify

WINDOW = {"shape": (6,), "start": (1,), "step": (1,)}
OTHER = {"shape": (6,), "start": (2,), "step": (1,)}
X, Y, P, Q = np.linspace(-1, 1, 6), np.linspace(2, 3, 6), np.arange(1.0, 5), np.arange(5.0, 9)


def window(where: dict[str, tuple[int, ...]] = WINDOW) -> Value:
    return o.pad(o.broadcast(True, shape=(4,), axes=(0,)), **where)


def negative(x: Value) -> Value:
    return o.less(x, 0.0)


Maker = Callable[[Value, Value, Value, Value], Value]
NEEDLESS: list[Maker] = [
    lambda x, y, p, q: o.select(window(), o.pad(p, **WINDOW), 0.0),
    lambda x, y, p, q: o.select(
        o.or_(window(), window(OTHER)), o.pad(p, **WINDOW) + o.pad(q, **OTHER), 0.0
    ),
    lambda x, y, p, q: o.select(
        o.or_(window(), negative(x)), o.pad(p, **WINDOW) + o.select(negative(x), y, 0.0), 0.0
    ),
    lambda x, y, p, q: o.select(
        o.and_(window(), o.not_(negative(x))),
        o.select(negative(x), 0.0, o.pad(p, **WINDOW)),
        0.0,
    ),
    lambda x, y, p, q: o.select(negative(x), 0.0, o.select(negative(x), 0.0, y)),
]
NEEDED: list[Maker] = [
    lambda x, y, p, q: o.select(window(), o.pad(p, **OTHER), 0.0),
    lambda x, y, p, q: o.select(window(), o.pad(p, **WINDOW) + y, 0.0),
    lambda x, y, p, q: o.select(window(), o.pad(p, **WINDOW) + o.pad(q, **OTHER), 0.0),
    lambda x, y, p, q: o.select(
        o.and_(window(), negative(x)), o.pad(p, **WINDOW) + o.select(negative(x), y, 0.0), 0.0
    ),
    lambda x, y, p, q: o.select(o.not_(negative(x)), o.select(negative(x), y, 0.0), 0.0),
    lambda x, y, p, q: o.select(negative(x), 0.0, o.select(window(), 0.0, y)),
]


@pytest.mark.parametrize("make", NEEDLESS)
def test_a_mask_over_zeros_goes(make: Maker) -> None:
    f = function(make, (6,), (6,), (4,), (4,))
    g = simplify(f)
    assert_agree(f, g, X, Y, P, Q)
    assert kinds(g)["select"] < kinds(f)["select"]


@pytest.mark.parametrize("make", NEEDED)
def test_a_mask_over_anything_else_stays(make: Maker) -> None:
    f = function(make, (6,), (6,), (4,), (4,))
    assert_agree(f, simplify(f), X, Y, P, Q)


def stencil(u: np.ndarray) -> np.float64:
    v = u.copy()
    for _ in range(3):
        inner = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
        v[1:-1, 1:-1] += 0.1 * inner
    v[0] = v[1]
    v[:, -1] = v[:, -2]
    return np.sum(v**2)


def test_writes_into_windows_leave_few_masks_and_little_text() -> None:
    f = adjit.grad(stencil)
    u = np.random.default_rng(0).normal(size=(6, 7))
    adjit.check_grads(stencil, (u,), order=1)
    text = str(f.ir(u, stage="simplified"))
    assert text.count("select") < 12
    source = f.source(u)
    assert "select(True" not in source and "select(False" not in source
    assert len(source.splitlines()) < 2500


def test_work_that_many_reads_share_is_kept() -> None:
    def heavy(x: Value) -> Value:
        y = o.exp(x)
        parts = [o.slice_(y, start=(k,), size=(60,), step=(1,)) for k in range(4)]
        return o.add(o.add(parts[0], parts[1]), o.add(parts[2], parts[3]))

    def light(x: Value) -> Value:
        return o.sub(
            o.slice_(x * x, start=(1,), size=(60,), step=(1,)),
            o.slice_(x * x, start=(0,), size=(60,), step=(1,)),
        )

    assert len(fuse(function(heavy, (64,))).roots) == 2
    assert len(fuse(function(light, (64,))).roots) == 1


def test_what_a_write_lets_through_needs_no_mask() -> None:
    """Cotangents of written regions have none; those of what is overwritten keep theirs."""

    def heat(u: np.ndarray) -> np.ndarray:
        u = u * 1.0
        for _ in range(2):
            u[1:-1] += 0.2 * (u[2:] + u[:-2] - 2 * u[1:-1])
        return np.sum(u**3)

    def hidden(x: np.ndarray) -> np.ndarray:
        z = np.sqrt(x)
        z[:2] = x[:2]
        z[4:0:-2] *= x[2]
        return np.sum(z[1:] * z[:-1])

    u = np.linspace(-1, 1, 9)
    with adjit.options(interpret=True, check=True):
        adjit.check_grads(heat, (u,), order=2)
        assert " or " not in str(adjit.grad(heat).ir(u, stage="adjoint"))
        slope = adjit.grad(hidden)(np.array([0.0, 0.0, 1.0, 2.0, 3.0]))
        assert np.isfinite(slope).all()
        adjit.check_grads(hidden, (np.array([0.5, 0.2, 1.0, 2.0, 3.0]),), order=2)


def test_rows_at_an_edge_are_not_cut() -> None:
    def diffused(u: np.ndarray, k: float) -> np.ndarray:
        v, c = u.copy(), u[1:-1, 1:-1]
        v[1:-1, 1:-1] += k * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * c)
        return np.sum(v * u)

    f = adjit.grad(diffused)
    u = np.random.default_rng(0).normal(size=(36, 9))
    with adjit.options(interpret=True):
        wanted = adjit.grad(diffused)(u, 0.1)
    np.testing.assert_allclose(f(u, 0.1), wanted, rtol=1e-12, atol=1e-12)
    source = f.source(u, 0.1)
    assert "inside" in source
    assert len(source.splitlines()) < 350
