"""Sums over pairs whose two axes may change places are sums along rows, to the same numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from graphs import function

from adjit.ir import Function, evaluate
from adjit.ir.ops import elementwise as el
from adjit.ir.ops.contract import dot
from adjit.ir.ops.shape import broadcast, iota, sum_
from adjit.passes.mirrors import MANY, MIRRORS
from adjit.passes.normal import Normal
from adjit.passes.replay import fresh, inline
from adjit.passes.simplify import simplify

N = MANY
RNG = np.random.default_rng(5)
# Sums of these are exact in any order, and differences are often zero.
NUMBERS = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -0.5])


def rows(v: Any, n: int = N) -> Any:
    """The element i of a vector at each pair (i, j)."""
    return broadcast(v, shape=(v.shape[0], n, *v.shape[1:]), axes=(1,))


def columns(v: Any, n: int = N) -> Any:
    return broadcast(v, shape=(n, *v.shape), axes=(0,))


def along(f: Function) -> list[tuple[int, ...]]:
    return [op.attrs["axes"] for op in f.ops if op.prim is sum_]


def mirrored(f: Function) -> Function:
    """The function after these rules alone."""
    params = fresh(f.params)
    b = Normal(params, MIRRORS)
    with b:
        return Function(f.name, b.done(inline(f.block, params)))


def assert_same(f: Function, *args: Any) -> Function:
    g = mirrored(f)
    with np.errstate(all="ignore"):
        pairs = list(zip(evaluate(f, *args), evaluate(g, *args), strict=True))
    for x, y in pairs:
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        tol = 1e-12 if x.dtype == np.float64 else 1e-5
        finite = np.abs(x[np.isfinite(x)])
        np.testing.assert_allclose(y, x, rtol=tol, atol=tol * finite.max(initial=1.0))
    return g


def forces(x: Any, m: Any) -> Any:
    d = rows(x) - columns(x)
    r = 1.0 / el.sqrt(sum_(d * d, axes=(2,)) + 0.01)
    w = r * r * r
    to_rows = d * broadcast(w * columns(m), shape=d.shape, axes=(2,))
    to_columns = d * broadcast(w * rows(m), shape=d.shape, axes=(2,))
    return sum_(to_rows, axes=(1,)) - sum_(to_columns, axes=(0,)), sum_(r * rows(m), axes=(0,))


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_what_pairs_give_to_one_is_what_they_give_to_the_other(dtype: str) -> None:
    f = function(forces, (N, 3), (N,), dtype=dtype)
    kind = np.float64 if dtype == "f64" else np.float32
    x = RNG.normal(size=(N, 3)).astype(kind)
    x[3], x[5, 0], x[6] = x[4], np.nan, np.inf
    g = assert_same(f, x, RNG.uniform(size=N).astype(kind))
    assert (0,) not in along(g)
    assert sorted(along(simplify(f))) == [(1,), (1,), (2,)]


def test_zeros_keep_their_sign_where_it_counts() -> None:
    """1 / (x_i - x_j) is not the negative of 1 / (x_j - x_i) where the two are equal."""
    f = function(lambda x: sum_(1.0 / (rows(x) - columns(x)), axes=(0,)), (N,))
    assert along(assert_same(f, np.repeat([1.0, 2.0], N // 2))) == [(0,)]


def test_products_of_a_matrix_with_itself_are_symmetric_and_others_are_not() -> None:
    def f(x: Any, y: Any) -> Any:
        contract, batch = ((1,), (1,)), ((), ())
        same = el.exp(dot(x, x, contract=contract, batch=batch))
        other = el.exp(dot(x, y, contract=contract, batch=batch))
        weights = rows(sum_(x, axes=(1,)))
        return sum_(same * weights, axes=(0,)), sum_(other * other, axes=(0,))

    g = assert_same(function(f, (N, 2), (N, 2)), *RNG.normal(size=(2, N, 2)))
    assert sorted(along(g)) == [(0,), (1,), (1,)]


def random_pairs(rng: np.random.Generator) -> Any:
    """A program of values of pairs, with sums over both axes of some of them."""

    def grow(x: Any, m: Any, q: Any) -> Any:
        i, j = (iota(shape=(N, N), axis=d, dtype="i64") for d in (0, 1))
        pool = [rows(x), columns(x), rows(m), columns(m), q, rows(x) - columns(x)]
        pool += [rows(m) * columns(m), el.abs_(rows(x) - columns(x))]

        def any_() -> Any:
            return pool[rng.integers(len(pool))]

        makers = [
            lambda: any_() + any_(),
            lambda: any_() - any_(),
            lambda: any_() * any_(),
            lambda: any_() / any_(),
            lambda: -any_(),
            lambda: el.abs_(any_()),
            lambda: el.exp(-el.abs_(any_())),
            lambda: el.maximum(any_(), any_()),
            lambda: el.copysign(any_(), any_()),
            lambda: any_() + 0.5,
            lambda: (lambda v: v * v)(any_()),
            lambda: el.select(el.less(any_(), any_()), any_(), any_()),
            lambda: el.select(el.equal(j - i, 0), 0, any_()),
            lambda: el.select(el.greater(j - i, int(rng.integers(-2, 3))), any_(), 0),
        ]
        for _ in range(int(rng.integers(2, 9))):
            pool.append(makers[rng.integers(len(makers))]())
        found = [pool[k] for k in rng.integers(len(pool) - 4, len(pool), size=2)]
        return tuple(sum_(v, axes=(axis,)) for v in found for axis in (0, 1))

    return function(grow, (N,), (N,), (N, N))


def test_random_programs_of_pairs_keep_their_numbers() -> None:
    rng, turned = np.random.default_rng(11), 0
    for k in range(150):
        f = random_pairs(rng)
        x, m = rng.choice(NUMBERS, size=(2, N))
        q = rng.choice(NUMBERS, size=(N, N))
        if k % 3 == 0:
            x[rng.integers(N)] = rng.choice([np.nan, np.inf, -np.inf])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            g = assert_same(f, x, m, q)
        turned += along(g).count((0,)) < along(f).count((0,))
    assert turned > 30


def test_arrays_without_elements_and_few_pairs_stay() -> None:
    for n in (0, 3):
        f = function(lambda x, n=n: sum_(rows(x, n) - columns(x, n), axes=(0,)), (n,))
        assert_same(f, np.arange(float(n)))


def test_sizes_of_unsigned_differences_are_not_symmetric() -> None:
    """3 - 5 is 254 in bytes, and so is its absolute value."""

    def f(u: Any, x: Any) -> Any:
        far = el.cast(el.abs_(rows(u) - columns(u)), dtype="f64")
        near = el.sqrt(el.cast(rows(x) * columns(x), dtype="f64"))
        return sum_(far * near, axes=(0,))

    assert_same(function(f, (N,), (N,), dtype="u8"), *RNG.integers(0, 200, (2, N), np.uint8))
