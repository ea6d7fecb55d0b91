"""Products that rounds add up leave the loop where that pays, and values stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from graphs import assert_agree, kinds

from adjit.ir import Aval, Builder, Function, Value, canonical, ops, verify
from adjit.ir.ops import control
from adjit.passes.accumulations import accumulations

N = 5  # rounds, of rows x: f64[2,6] and y: f64[2,8]; the sum is f64[6,8]


def summed(change: Callable[[Value, Value, Value], Value], turned: bool, **attrs: bool) -> Function:
    """A loop that carries a sum, and the rows x again, and yields sin(y)."""
    shape = (8, 6) if turned else (6, 8)
    total, h = Value(Aval("f64", shape)), Value(Aval("f64", (2, 6)))
    xs, ys = Value(Aval("f64", (N, 2, 6))), Value(Aval("f64", (N, 2, 8)))
    i, s, carry = Value(Aval("i64")), Value(total.aval), Value(h.aval)
    x, y = Value(Aval("f64", (2, 6))), Value(Aval("f64", (2, 8)))
    with Builder((i, s, carry, x, y)) as b:
        wide = ops.sin(y)
        one = ops.dot(carry * x, wide, batch=((), ()), contract=((0,), (0,)))
        added = ops.transpose(one, perm=(1, 0)) if turned else one
        body = b.done((change(s, added, wide), carry + x, wide))
    with Builder((total, h, xs, ys)) as b:
        outs = control.emit_loop(N, [], [total, h], [xs, ys], body, **attrs)
        return Function("f", b.done(outs))


CASES = {
    "plain": (lambda s, e, y: s + e, False, 1),
    "turned": (lambda s, e, y: e + s, True, 1),
    "not the sum alone": (lambda s, e, y: s * 1.5 + e, False, 0),
    "read by the round": (lambda s, e, y: s + e * ops.sin(s), False, 0),
    "another sign": (lambda s, e, y: e - s, False, 0),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_of_products_leave_the_loop(name: str, reverse: bool) -> None:
    change, turned, apart = CASES[name]
    f = summed(change, turned, reverse=reverse)
    g = accumulations(f)
    verify(g)
    assert kinds(g)["dot"] == apart
    rng = np.random.default_rng(0)
    args = [rng.normal(size=p.aval.shape) for p in f.params]
    assert_agree(f, g, *args, rtol=1e-12)
    assert canonical(accumulations(g)) == canonical(g)
    assert accumulations(f, strict=1) is f  # the user's own sum is added in the user's order
