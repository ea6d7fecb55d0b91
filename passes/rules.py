"""The rules, a line of mathematics each, grouped by legality.

EXACT keeps every bit; ROUNDING may move the last digits or the sign of a zero; ACCURACY is nearer
to the true value than what was written; DOMAIN may move a NaN or an infinity.  By the last two
only what reverse mode made, and not the user, is rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..ir.core import Const, Value
from ..ir.ops.elementwise import (
    abs_,
    add,
    and_,
    div,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    mul,
    neg,
    not_,
    or_,
    pow_,
    select,
    sqrt,
    sub,
)
from ..ir.ops.shape import broadcast_to, zeros
from ..ir.types import Aval, broadcast_shapes
from .normal import Normal, is_number
from .rewrite import rules

EXACT = rules(
    lambda x: (mul(x, 1), x),
    lambda x: (div(x, 1), x),
    lambda x: (sub(x, 0), x),
    lambda x: (neg(neg(x)), x),
    lambda x: (abs_(neg(x)), abs_(x)),
    lambda x: (abs_(abs_(x)), abs_(x)),
    lambda m: (not_(not_(m)), m),
    lambda m: (and_(m, m), m),
    lambda m: (or_(m, m), m),
    lambda m: (and_(m, True), m),
    lambda m: (and_(m, False), False),
    lambda m: (or_(m, False), m),
    lambda m: (or_(m, True), True),
    lambda m, x: (select(m, x, x), x),
    lambda m, x, y: (select(not_(m), x, y), select(m, y, x)),
    lambda m, x, y, z: (select(m, select(m, x, y), z), select(m, x, z)),
    lambda m, x, y, z: (select(m, x, select(m, y, z)), select(m, x, z)),
    lambda x: (maximum(x, x), x),
    lambda x: (minimum(x, x), x),
)
ROUNDING = rules(
    lambda x: (add(x, 0), x),
    lambda x: (sub(0, x), neg(x)),
    lambda x: (pow_(x, 1), x),
    lambda x: (pow_(x, 2), x * x),
    lambda x: (pow_(x, 3), x * x * x),
    lambda x: (pow_(x, 4), (x * x) * (x * x)),
    lambda x: (pow_(x, -1), 1 / x),
    lambda x: (pow_(x, -2), 1 / (x * x)),
    lambda x: (pow_(x, 0.5), sqrt(x)),
    lambda x: (pow_(x, -0.5), 1 / sqrt(x)),
    lambda x: (pow_(x, 1.5), x * sqrt(x)),
    kinds="f",
)
ACCURACY = rules(
    lambda x: (log(1 + x), log1p(x)),
    lambda x: (exp(x) - 1, expm1(x)),
    kinds="f",
    lenient=True,  # what the user wrote is computed as written
)


# ------------------------------------------------------------------ what a line cannot say


def _select(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    """A choice that is known."""
    m, x, y = args
    repeated = b.made_by(m, "broadcast")
    if repeated:
        m = repeated.args[0]
    if type(m) is not Const:
        return None
    return broadcast_to(x if m.data else y, broadcast_shapes(*(v.aval.shape for v in args)))


def _never(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    """Nothing that equals a finite number is infinite."""
    for x, y in (args, args[::-1]):
        same, endless = b.made_by(x, "equal"), b.made_by(y, "isinf")
        if same and endless:
            v, c = same.args
            if v is endless.args[0] and type(c) is Const and np.isfinite(c.data):
                return zeros(x.aval) if x.aval.shape == y.aval.shape else None
    return None


def _cast(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    """A cast to what it is already."""
    return args[0] if args[0].aval.dtype == attrs["dtype"] else None


def _times_zero(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    if not b.lenient:
        return None
    for x, y in (args, args[::-1]):
        op = b.made_by(x, "broadcast")
        if is_number(op.args[0] if op else x, 0):
            return zeros(Aval(x.dtype, broadcast_shapes(x.aval.shape, y.aval.shape)))
    return None


SPECIAL = {"select": (_select,), "cast": (_cast,), "and": (_never,)}
DOMAIN = {"mul": (_times_zero,)}
