"""BLAS has one thread while a kernel with large products runs, and its own number again after."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.linalg

from adjit import jit, options
from adjit.codegen import symbols, threads

pytestmark = pytest.mark.skipif(symbols.get_threads() is None, reason="this BLAS cannot be asked")


@pytest.fixture
def two_threads():
    before = symbols.get_threads()
    symbols.set_threads(2)
    if symbols.get_threads() != 2:
        pytest.skip("this BLAS has one thread")
    yield
    symbols.set_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_kernel_sees_one_thread_and_the_caller_two():
    assert threads.limited(symbols.get_threads)() == 1
    assert symbols.get_threads() == 2


@pytest.mark.parametrize("rows", [24, 6])
def test_triangles_that_lapack_solves_are_solved_by_one_thread(rows, monkeypatch):
    begun = []
    monkeypatch.setattr(threads, "begin", lambda: begun.append(rows))
    monkeypatch.setattr(threads, "end", lambda: None)
    a, b = np.eye(rows) + np.tri(rows), np.ones((rows, 2))
    with options(threads=1):
        x = jit(lambda a, b: scipy.linalg.solve_triangular(a, b, lower=True))(a, b)
    np.testing.assert_allclose(a @ x, b, atol=1e-12)
    assert bool(begun) == (rows == 24)


@pytest.mark.usefixtures("two_threads")
def test_an_error_puts_the_number_back():
    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        threads.limited(fails)()
    assert symbols.get_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_overlapping_kernels_leave_the_number_as_it_was():
    inside, leave = threading.Event(), threading.Event()

    def waits():
        inside.set()
        leave.wait(10)

    other = threading.Thread(target=threads.limited(waits))
    other.start()
    assert inside.wait(10)
    assert threads.limited(symbols.get_threads)() == 1
    assert symbols.get_threads() == 1  # the other kernel still runs
    leave.set()
    other.join()
    assert symbols.get_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_zero_leaves_the_number_alone(monkeypatch):
    monkeypatch.setenv("ADJIT_BLAS_THREADS", "0")
    threads.wanted.cache_clear()
    try:
        assert threads.limited(symbols.get_threads)() == 2
    finally:
        threads.wanted.cache_clear()
