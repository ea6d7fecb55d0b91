"""Programs run in many small parts, one after the other: results add up as those of the whole."""

import os
import signal
import threading

import numpy as np
import pytest

from adjit import building, jit, options, value_and_grad
from adjit.codegen.parallel import ParallelProgram
from adjit.codegen.turns import turn_of

RNG = np.random.default_rng(3)
N = 300  # ten parts, of which the last is shorter


@pytest.fixture
def tiny(monkeypatch):
    """Whatever takes scratch memory is cut into sixteen parts, where there are rows enough."""
    monkeypatch.setattr(building, "_parts", lambda plan, threads: 16)
    monkeypatch.setattr(building, "gains", lambda cut: True)
    monkeypatch.setattr(building.Build, "_contested", lambda self: False)


def folds(x, w):
    """All reductions over the rows, to a number and to a row each, in one program."""
    z = np.tanh(x * w)
    e = np.exp(z - np.max(z)) * np.min(z)
    return (
        np.sum(e), np.sum(e, axis=0), np.max(z, axis=0), np.min(e), np.min(e, axis=0),
        np.prod(1.0 + 1e-3 * e), np.prod(1.0 + 1e-3 * z, axis=0), np.any(z > 0.9, axis=0),
        np.all(z < 0.99), np.any(e < 0.0), np.all(e > 0.0, axis=0), np.sum(z > 0.0),
        np.sum((10.0 * z).astype(np.int64), axis=0), np.max((10.0 * e).astype(np.int32)),
        e.T @ z, np.sum(e, axis=0).reshape(2, -1), e[:, 0] @ z[:, 1],
    )  # fmt: skip


def attend(x, w, v):
    """Products summed over the rows, their adjoints, and a result that keeps the rows."""
    s = np.tanh(x @ w)
    return np.sum(np.exp(s) @ v) + np.sum(np.sin(s.T @ s))


def same(got, wanted, rtol):
    for a, b in zip(got, wanted, strict=True):
        assert np.shape(a) == np.shape(b) and np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(
            a,
            b,
            rtol=rtol,
            atol=0.1 * rtol * np.nanmax(np.abs(np.where(np.isfinite(b), b, 0)), initial=1),
        )


def shares(f):
    """The shares of the parts of a compiled function's program."""
    program = f.variants()[-1].program
    program = getattr(program, "chosen", program)
    assert isinstance(program, ParallelProgram)
    return [s.shares for s in program.steps if s.shares is not None]


@pytest.mark.parametrize("threads", [1, 2])
def test_all_reductions_add_up(tiny, threads):
    for dtype, rtol in ((np.float64, 1e-12), (np.float32, 1e-5)):
        x, w = RNG.normal(size=(N, 6)).astype(dtype), RNG.normal(size=6).astype(dtype)
        with options(threads=threads):
            f = jit(folds)
            got = f(x, w)
            again = f(x, w)
        same(got, folds(x, w), rtol)
        for a, b in zip(got, again, strict=True):
            np.testing.assert_array_equal(a, b)
        (*_, last) = shares(f)
        assert len(last.parts) == 10 and last.count == threads and last.adds
        assert "t_out" in last.parts[0].run.kernel.source.text


def test_nan_and_infinities_reach_the_totals(tiny):
    x, w = RNG.normal(size=(N, 6)), np.ones(6)
    for row, value in ((0, np.nan), (N - 1, np.nan), (150, np.inf), (40, -np.inf)):
        x[row, row % 6] = value
        with options(threads=1), np.errstate(all="ignore"):
            got, wanted = jit(folds)(x, w), folds(x, w)
        same(got, wanted, 1e-12)
        assert np.isnan(got[0]) and np.isnan(got[2]).sum() == len({0, (N - 1) % 6} if row else {0})


def test_products_add_up_and_rows_stay_rows(tiny):
    x, w, v = RNG.normal(size=(N, 20)), RNG.normal(size=(20, 24)) / 5, RNG.normal(size=24)
    with options(threads=1):
        f = value_and_grad(attend, argnums=(0, 1, 2))
        value, slopes = f(x, w, v)
        (*_, last) = shares(f)
        assert len(last.parts) == 10
    with options(interpret=True):
        wanted, exact = value_and_grad(attend, argnums=(0, 1, 2))(x, w, v)
    same([value, *slopes], [wanted, *exact], 1e-11)
    text = last.parts[0].run.kernel.source.text
    assert "blas.dgemm(True, False" in text and "1.0, t_out" in text.replace("1.0, pack", "")


def test_an_index_out_of_bounds_in_a_late_part_is_told_with_its_line(tiny):
    def table(x, i, w):
        return np.sum(np.sin(w[i] * x[:, None]) ** 2)

    x, i, w = RNG.normal(size=N), RNG.integers(0, 9, N), RNG.normal(size=(9, 3))
    for threads in (1, 2):
        with options(threads=threads):
            f = value_and_grad(table, argnums=(0, 2))
            before = f(x, i, w)[0]
            wrong = i.copy()
            wrong[290] = 9
            with pytest.raises(IndexError, match="test_parts_in_turn"):
                f(x, wrong, w)
            assert f(x, i, w)[0] == before


def test_a_status_names_its_part():
    assert turn_of(7 << 16 | 1) == (7, 1) and turn_of(3) == (0, 3)


def test_ctrl_c_ends_a_call_between_two_parts(tiny):
    x, w = RNG.normal(size=(400_000, 6)), RNG.normal(size=6)
    with options(threads=1):
        f = jit(lambda x, w: np.sum(np.tanh(np.sin(x * w) ** 2) @ np.ones((6, 40))))
        f(x, w)
        assert len(shares(f)[-1].parts) == 16

        def calls():
            for _ in range(2000):
                f(x, w)

        timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
        old = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                calls()
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, old)
        np.testing.assert_allclose(f(x, w), np.sum(np.tanh(np.sin(x * w) ** 2)) * 40, rtol=1e-10)
