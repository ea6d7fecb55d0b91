"""Loops that carry the same become one: which ones, and that values stay."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import assert_agree, kinds

from adjit.ir import Aval, Builder, Function, Value, canonical, verify
from adjit.ir import ops as o
from adjit.ir.ops import control
from adjit.passes.twins import twins

Round = tuple[Value, ...]
ROWS = np.linspace(-1.0, 1.0, 12).reshape(4, 3)


def looped(w: Value, h: Value, rows: Value, more: int, by: float = 1.0, **attrs: bool) -> Round:
    """h' = sin(h * w) + by * row, which yields `more` values of each round."""
    i, held, carry = Value(Aval("i64")), Value(w.aval), Value(h.aval)
    row = Value(Aval("f64", (3,)))
    with Builder((i, held, carry, row)) as b:
        inner = o.sin(carry * held)
        new = inner + row * by
        body = b.done((new, *(inner, new * new)[:more]))
    return control.emit_loop(4, [w], [h], [rows], body, **attrs)


def both(first: dict[str, object], second: dict[str, object]) -> Function:
    w, h, rows = Value(Aval("f64", (3,))), Value(Aval("f64", (3,))), Value(Aval("f64", (4, 3)))
    with Builder((w, h, rows)) as b:
        a = looped(w, h, rows, **first)  # type: ignore[arg-type]
        c = looped(w, h, rows + 0.0 * a[0] if second.pop("after", 0) else rows, **second)  # type: ignore[arg-type]
        return Function("f", b.done((*a, *c)))


@pytest.mark.parametrize(
    ("first", "second", "loops"),
    [
        ({"more": 0}, {"more": 2}, 1),
        ({"more": 2}, {"more": 1}, 1),
        ({"more": 1, "reverse": True}, {"more": 2, "reverse": True}, 1),
        ({"more": 1}, {"more": 1, "reverse": True}, 2),  # in another order
        ({"more": 1}, {"more": 1, "by": 2.0}, 2),  # other carries
        ({"more": 1}, {"more": 1, "after": True}, 2),  # of what the first one makes
    ],
)
def test_loops_that_carry_the_same_are_one(
    first: dict[str, object], second: dict[str, object], loops: int
) -> None:
    f = both(first, dict(second))
    g = twins(f)
    verify(g)
    assert kinds(g)["loop"] == loops
    assert_agree(f, g, np.array([0.3, 1.0, 2.0]), np.array([0.1, 0.2, 0.3]), ROWS, rtol=0)
    assert canonical(twins(g)) == canonical(g)
