"""Memory order and views: which array a write reaches, and the elements in the order of memory."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest

from adjit import check_grads, errors, jit, options

A = np.random.default_rng(0).normal(size=(3, 4))


def filled(z: Any, a: Any) -> Any:
    z[...] = a
    return z


MADE = {
    "C": lambda a: a.copy(),
    "op": lambda a: (a.T * 2).T,
    "zeros": lambda a: filled(np.zeros(a.shape, order="F"), a),
    "empty": lambda a: filled(np.empty(a.shape, float, "F"), a),
    "full": lambda a: filled(np.full(a.shape, 1.0, order="F"), a),
    "like": lambda a: filled(np.ones_like(a, order="F"), a),
    "full_like": lambda a: filled(np.full_like(a.T, 3.0).T, a),
    "list": lambda a: np.array([list(row) for row in a], order="F"),
    "plain": lambda a: filled(np.array([[1.0] * 4] * 3, order="F"), a),
    "astype": lambda a: a.astype(float, order="F"),
    "asarray": lambda a: np.asarray(a * 1, order="F"),
    "require": lambda a: np.require(a * 1, requirements="F"),
}
# What is looked at, where the first row and the last column are written.
SEEN = [
    lambda z: np.einsum("ij->ji", z),
    lambda z: np.einsum("ii->i", z[:, 1:]),
    lambda z: np.einsum("...", z),
    lambda z: np.asfortranarray(z),
    lambda z: np.asfortranarray(z.T),
    lambda z: np.ascontiguousarray(z),
    lambda z: np.ascontiguousarray(z.T),
    lambda z: np.asarray(z, order="F"),
    lambda z: np.array(z, order="C", copy=None),
    lambda z: np.require(z, requirements="C"),
    lambda z: np.require(z[1:], requirements=["O"]),
    lambda z: z.reshape(-1),
    lambda z: z.reshape(-1, order="F"),
    lambda z: z.reshape(2, -1, order="A"),
    lambda z: z.ravel("K"),
    lambda z: z.ravel("F"),
    lambda z: z.T.flatten("K"),
    lambda z: z.T.flatten("A"),
    lambda z: z[:, ::2].reshape(-1),
    lambda z: np.where(z.T > 0, z.T, 0).ravel("K"),
    lambda z: np.cumsum(z.T, axis=0).ravel("K"),
    lambda z: np.sort(z.T, axis=0).ravel("K"),
    lambda z: np.array(z.T, dtype="f4").ravel("K"),
    lambda z: np.zeros_like(z.T, order="C").ravel("K"),
    lambda z: np.nan_to_num(z, copy=False),
    lambda z: np.nan_to_num(z),
]


@pytest.mark.parametrize("made", MADE)
@pytest.mark.usefixtures("interpreted")
def test_writes_reach_what_they_reach_in_numpy(made: str) -> None:
    def run(a: Any) -> Any:
        out = []
        for see in SEEN:
            z = MADE[made](a)
            seen = see(z)
            seen[0] = 50.0
            seen[..., -1] += 3
            out += [z, seen]
        return out

    for k, (got, want) in enumerate(zip(jit(run)(A), run(A), strict=True)):
        np.testing.assert_allclose(got, want, rtol=1e-12, err_msg=str(k))
        assert got.dtype == want.dtype


def test_diagonals_are_views() -> None:
    def f(a):
        z, stack = a[:, :3].copy(), np.stack([a, 2 * a])
        seen = z.diagonal(), np.diag(z, 1), np.trace(z)
        np.einsum("ii->i", z)[:] = a[0, :3] ** 2
        np.einsum("bij->bji", stack)[0, 1] = a[:, 0]
        np.einsum("bii->ib", stack[:, :, 1:])[2] *= 3
        z[0, 1] = 7 * a[0, 0]
        return (z, stack, *seen)

    for interpret in (True, False):
        with options(interpret=interpret):
            for got, want in zip(jit(f)(A), f(A), strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-12)
    check_grads(f, (A,))
    with pytest.raises(ValueError, match="cannot be written"):
        jit(lambda a: filled(np.diagonal(a.copy()), 0.0))(A)


@pytest.mark.usefixtures("interpreted")
def test_put_along_axis_stretches_positions() -> None:
    def f(a):
        z, w = a.copy(), a.copy()
        np.put_along_axis(z, np.array([[1]]), a[:1] ** 2, 0)
        np.put_along_axis(w, np.array([[1], [0], [2]]), 5.0, 1)
        return z, w

    for got, want in zip(jit(f)(A), f(A), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    check_grads(f, (A,))


@pytest.mark.usefixtures("interpreted")
def test_flat_takes_values_as_often_as_it_needs() -> None:
    def f(a):
        z = a.copy()
        z.flat[::5] = [1.0, 2.0]
        z.flat[[1, 2, 3]] = a[0, :2] * 10
        z.flat[-1:] = a[1]
        return z

    np.testing.assert_allclose(jit(f)(A), f(A), rtol=1e-12)


@pytest.mark.usefixtures("interpreted")
def test_nan_to_num_of_complex_numbers() -> None:
    z = np.array([complex(np.nan, 1), complex(2, np.inf), 3 - 1j])
    f = lambda z: (np.nan_to_num(z), np.nan_to_num(z, nan=5.0, posinf=7.0))  # noqa: E731
    for got, want in zip(jit(f)(z), f(z), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.usefixtures("interpreted")
def test_operators_take_sequences_that_numpy_takes() -> None:
    numbers = array("d", [1, 2, 3, 4])
    memory = memoryview(np.arange(4.0))
    f = lambda x: (range(4) * x, numbers * x, x - memory)  # noqa: E731
    for got, want in zip(jit(f)(A[0]), f(A[0]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.usefixtures("interpreted")
def test_complex_numbers_are_viewed_as_their_parts() -> None:
    def f(a):
        z = a.copy()
        pairs = z.view(complex)
        pairs[0] = 2j
        pairs.imag[1] *= 3
        part = z[1:, :2].view("c16")
        part += 1 - 1j
        numbers = pairs.view(float)
        numbers[2, ::2] = 5.0
        return z, pairs, numbers, part, a.view(float), np.abs(a.view(dtype=complex) ** 2)

    for got, want in zip(jit(f)(A), f(A), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
        assert got.dtype == want.dtype
    check_grads(lambda a: np.abs(a.view(complex)) ** 2, (A,), order=2)
    for wrong in (lambda a: a.T.view(complex), lambda a: a[:, :3].view(complex)):
        with pytest.raises(ValueError, match="last axis"):
            jit(wrong)(A)


def test_scalars_of_other_dtypes() -> None:
    with pytest.raises(errors.UnsupportedArgument, match="argument a has dtype"):
        jit(lambda a: a * 2)(np.longdouble(2))
    second = np.timedelta64(1, "s")
    f = jit(lambda x, t: x * (t / second))
    assert [f(2.0, np.timedelta64(t, "s")) for t in (5, 3)] == [10.0, 6.0]
