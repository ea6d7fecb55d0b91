"""Products of few columns with what is no matrix in memory are sums, and sums of few terms join."""

from typing import Any

import numpy as np
import pytest
from graphs import assert_agree, function, kinds

from adjit.ir import evaluate
from adjit.ir import ops as o
from adjit.ir.core import Value
from adjit.ir.ops import shape
from adjit.passes.dots import tiny
from adjit.passes.pipeline import joint, run

rng = np.random.default_rng(0)
NONE = ((), ())


def taps(w: Value, x: Value) -> Value:
    """Two taps of a convolution along the last axis."""
    n = x.shape[2] - 1
    total = None
    for k in range(2):
        part = o.dot(shape.narrow(x, 2, k, n), w, contract=((1,), (1,)), batch=NONE)
        total = part if total is None else o.add(total, part)
    assert total is not None
    return o.transpose(total, perm=(0, 2, 1))


@pytest.mark.parametrize(("length", "dots", "sums"), [(101, 0, 1), (21, 2, 0)])
def test_taps_are_one_sum_where_the_axis_is_long(length: int, dots: int, sums: int) -> None:
    made = function(taps, (5, 4), (3, 4, length))
    got = run(made, joint(1))
    assert kinds(got)["dot"] == dots and kinds(got)["sum"] == sums
    assert_agree(made, got, rng.normal(size=(5, 4)), rng.normal(size=(3, 4, length)))


CASES: list[tuple[Any, Any, Any, bool]] = [
    ((30000, 3), (3, 4), ((1,), (0,)), True),  # twelve products for each row
    ((30000, 8), (8, 8), ((1,), (0,)), False),  # a matrix as it lies
    ((5, 30000), (4, 30000), ((1,), (1,)), False),
    ((9, 5, 100), (9, 4, 100), ((0, 2), (0, 2)), True),
    ((9, 5, 30), (9, 4, 30), ((0, 2), (0, 2)), False),  # rows too short for a loop
    ((9, 5, 100), (9, 100, 4), ((0, 2), (0, 1)), False),
    ((9, 20, 100), (9, 4, 100), ((0, 2), (0, 2)), False),
    ((9, 5, 100), (4, 5), ((1,), (1,)), True),
]


@pytest.mark.parametrize(("x", "y", "contract", "loops"), CASES)
def test_which_products_are_loops(x: Any, y: Any, contract: Any, loops: bool) -> None:
    made = function(lambda a, b: o.dot(a, b, contract=contract, batch=NONE), x, y)
    assert tiny(made.ops[-1]) is loops


def test_sums_of_other_axes_or_of_many_terms_stay() -> None:
    def f(x: Value, y: Value, u: Value, v: Value) -> tuple[Value, Value]:
        apart = o.add(shape.sum_(o.exp(x), axes=(1,)), shape.sum_(o.exp(y), axes=(0,)))
        return apart, o.add(shape.sum_(o.exp(u), axes=(1,)), shape.sum_(o.exp(v), axes=(1,)))

    made = function(f, (4, 4), (4, 4), (4, 40), (4, 40))
    got = run(made, joint(2))
    assert kinds(got)["sum"] == 4
    assert_agree(made, got, *(rng.normal(size=p.shape) for p in made.params))


def test_sums_that_cancel_by_themselves_stay_apart() -> None:
    """Beside a product that is opened, too."""

    def f(u: Value, v: Value, x: Value, w: Value) -> tuple[Value, Value]:
        return o.add(shape.sum_(u, axes=(1,)), shape.sum_(v, axes=(1,))), taps(w, x)

    made = function(f, (2, 2), (2, 2), (3, 4, 101), (5, 4))
    got = run(made, joint(2))
    assert kinds(got)["sum"] == 3
    large, small = np.array([[1e308, -1e308], [1e16, -1e16]]), np.array([[1e308, -1e308], [1, 0]])
    given = large, small, rng.normal(size=(3, 4, 101)), rng.normal(size=(5, 4))
    assert_agree(made, got, *given)
    np.testing.assert_array_equal(evaluate(got, *given)[0], [0, 1])
