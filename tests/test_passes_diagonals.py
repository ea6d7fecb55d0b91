"""Diagonal matrices and transposes in products: what a Jacobian brings along goes again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from adjit.ir import Aval, Builder, Function, Value, evaluate
from adjit.ir import ops as o
from adjit.ir.ops.shape import iota
from adjit.passes.simplify import simplify

N = 4
RNG = np.random.default_rng(1)
A, B, D = RNG.normal(size=(3, N)), RNG.normal(size=(2, N, 3)), RNG.normal(size=N)


def eye() -> Value:
    one = o.equal(*(iota(shape=(N, N), axis=k, dtype="i64") for k in (0, 1)))
    return o.cast(one, dtype="f64")


def rows(d: Value) -> Value:
    return o.broadcast(d, shape=(N, N), axes=(1,))


def dot(x: Value, y: Value, cx: int, cy: int) -> Value:
    return o.dot(x, y, contract=((cx,), (cy,)), batch=((), ()))


CASES = {
    "unit": lambda d: eye(),
    "columns": lambda d: o.mul(eye(), d),
    "rows": lambda d: o.mul(rows(d), eye()),
    "scaled twice": lambda d: o.neg(o.mul(o.mul(eye(), d), rows(d))),
    "divided": lambda d: o.div(eye(), d),
    "masked": lambda d: o.select(o.less(d, 0.0), o.mul(eye(), d), 0.0),
    "transposed": lambda d: o.transpose(o.mul(eye(), d), perm=(1, 0)),
    "by a number": lambda d: o.mul(eye(), 3.0),
}
PRODUCTS = {
    "left": lambda m, a, b: dot(m, a, 1, 1),
    "left, transposed": lambda m, a, b: dot(m, a, 0, 1),
    "right": lambda m, a, b: dot(a, m, 1, 0),
    "right, transposed": lambda m, a, b: dot(a, m, 1, 1),
    "of three dims": lambda m, a, b: dot(b, m, 1, 0),
    "of three dims, left": lambda m, a, b: dot(m, b, 0, 1),
    "sum of rows": lambda m, a, b: o.sum_(m, axes=(0,)),
    "sum of columns": lambda m, a, b: o.sum_(m, axes=(1,)),
}


def function(f: Callable[..., Value], *arrays: np.ndarray) -> Function:
    params = [Value(Aval("f64", a.shape)) for a in arrays]
    with Builder(params) as b:
        return Function("f", b.done([f(*params)]))


def names(f: Function) -> Sequence[str]:
    return [op.prim.name for op in f.ops]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("case", CASES)
def test_products_by_a_diagonal_matrix(case: str, product: str) -> None:
    f = function(lambda a, b, d: PRODUCTS[product](CASES[case](d), a, b), A, B, D)
    g = simplify(f, strict=0)
    assert "dot" not in names(g)
    assert "iota" not in names(g)
    for x, y in zip(evaluate(f, A, B, D), evaluate(g, A, B, D), strict=True):
        np.testing.assert_allclose(y, x, rtol=1e-14, atol=1e-15)


def test_strict_results_keep_their_products() -> None:
    f = function(lambda a: dot(a, eye(), 1, 0), A)
    assert "dot" in names(simplify(f))


def test_other_masks_are_no_unit_matrix() -> None:
    def lower(a: Value) -> Value:
        one = o.less(*(iota(shape=(N, N), axis=k, dtype="i64") for k in (0, 1)))
        return dot(a, o.cast(one, dtype="f64"), 1, 0)

    f = function(lower, A)
    assert "dot" in names(simplify(f, strict=0))
    np.testing.assert_allclose(evaluate(simplify(f, strict=0), A)[0], evaluate(f, A)[0], rtol=1e-14)


# ------------------------------------------------------------------ transposes


def test_a_scaled_transpose_is_absorbed_by_the_product_behind_it() -> None:
    def f(a: Value, s: Value) -> Value:
        scaled = o.mul(o.transpose(a, perm=(1, 0)), s)
        return dot(a, scaled, 0, 1)

    a, s = RNG.normal(size=(5, 3)), RNG.normal(size=5)
    g = simplify(function(f, a, s), strict=0)
    assert "transpose" not in names(g)
    np.testing.assert_allclose(evaluate(g, a, s)[0], a.T @ (a * s[:, None]), rtol=1e-13)


@pytest.mark.parametrize("axis", range(3))
def test_transposes_of_three_dims_move_behind_a_scaling(axis: int) -> None:
    perm = (2, 0, 1)

    def f(a: Value, s: Value) -> Value:
        turned = o.transpose(a, perm=perm)
        axes = tuple(k for k in range(3) if k != axis)
        return o.mul(o.broadcast(s, shape=turned.shape, axes=axes), turned)

    a = RNG.normal(size=(2, 3, 4))
    s = RNG.normal(size=a.transpose(perm).shape[axis])
    made = function(f, a, s)
    g = simplify(made, strict=0)
    assert names(g)[-1] == "transpose"
    np.testing.assert_array_equal(evaluate(g, a, s)[0], evaluate(made, a, s)[0])
