"""Rules as lines: what matches, what is emitted, and that the tables hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adjit.ir import Aval, Builder, Value, evaluate
from adjit.ir import ops as o
from adjit.passes.normal import Normal
from adjit.passes.rewrite import merged, rule, rules
from adjit.passes.rules import ACCURACY, EXACT, ROUNDING


def applied(table: Any, f: Any, *avals: Aval) -> tuple[list[str], Any]:
    params = [Value(a) for a in avals]
    with Normal(params, table) as b:
        block = b.done((f(*params),))
    return [op.prim.name for op in block.ops], block


X, M = Aval("f64", (3,)), Aval("bool", (3,))


def test_wildcards_match_anything_twice_the_same() -> None:
    table = rules(lambda x, y: (o.maximum(x, y) - y, o.maximum(x - y, 0)))
    assert applied(table, lambda x, y: o.maximum(x, y) - y, X, X)[0] == [
        "maximum",
        "sub",
        "maximum",
    ]
    assert applied(table, lambda x, y: o.maximum(x, x) - y, X, X)[0] == ["maximum", "sub"]


def test_names_in_c_match_constants_only() -> None:
    table = rules(lambda x, c1, c2: ((x + c1) + c2, x + (c1 + c2)))
    names, block = applied(table, lambda x: (x + 1.0) + 2.0, X)
    assert names == ["add", "add"]
    np.testing.assert_array_equal(evaluate(block, np.zeros(3))[0], 3.0)
    assert applied(table, lambda x, y: (x + y) + 2.0, X, X)[0] == ["add", "add"]


def test_the_matcher_commutes() -> None:
    table = rules(lambda x, y: (x * (y + 1), x * y + x))
    for f in (lambda x, y: x * (y + 1.0), lambda x, y: (1.0 + y) * x):
        names, block = applied(table, f, X, X)
        assert names[-2:] == ["mul", "add"]
        np.testing.assert_array_equal(evaluate(block, np.full(3, 2.0), np.full(3, 5.0))[0], 12.0)


def test_numbers_take_the_dtype_of_what_they_meet() -> None:
    single = Aval("f32", (3,))
    _, block = applied(ROUNDING, lambda x: o.pow_(x, -2.0), single)
    assert {v.dtype for op in block.ops for v in (*op.args, *op.outs)} == {"f32"}


def test_a_replacement_of_a_smaller_shape_is_broadcast() -> None:
    table = rules(lambda x, y: (x + y - y, x))
    _, block = applied(table, lambda x, y: x + y - y, Aval("f64"), X)
    assert block.outs[0].shape == (3,)


def test_tables_add_up_in_order() -> None:
    first, second = rules(lambda x: (o.sin(x), o.cos(x))), rules(lambda x: (o.sin(x), o.tan(x)))
    assert applied(merged(first, second), o.sin, X)[0] == ["cos"]
    assert rule(lambda x: (o.sin(x), o.cos(x))).root.prim is o.sin


def sampled(table: Any) -> list[Any]:
    return [r for steps in table.values() for r in steps]


def both_sides(r: Any) -> tuple[np.ndarray, np.ndarray]:
    """Pattern and replacement of a compiled rule on positive numbers."""
    wild = list(r.index)
    rng = np.random.default_rng(0)
    args = [rng.random(50) < 0.5 if w.dtype == "bool" else rng.uniform(0.1, 3.0, 50) for w in wild]
    params = [Value(Aval(w.dtype, (50,))) for w in wild]

    def emitted(v: Any, env: dict[Any, Any]) -> Any:
        if not isinstance(v, Value) or v in env:
            return env.get(v, v)
        op = r.defs.get(v)
        return v if op is None else op.prim(*(emitted(a, env) for a in op.args), **op.attrs)

    with Builder(params) as b:
        env = dict(zip(wild, params, strict=True))
        pattern = r.root.prim(*(emitted(a, env) for a in r.root.args), **r.root.attrs)
        outs = [pattern, emitted(r.result, env)]
        block = b.done(outs)
    left, right = evaluate(block, *args)
    return left, np.broadcast_to(right, left.shape)


@pytest.mark.parametrize("r", sampled(EXACT))
def test_exact_rules_keep_every_bit(r: Any) -> None:
    left, right = both_sides(r)
    np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("r", [*sampled(ROUNDING), *sampled(ACCURACY)])
def test_other_rules_move_the_last_digits(r: Any) -> None:
    left, right = both_sides(r)
    np.testing.assert_allclose(left, right, rtol=1e-13, atol=1e-15)
