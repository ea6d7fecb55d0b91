"""Normal form of solves: what multiplies a right-hand side whole multiplies the solution.

So the adjoint of a quadratic form reads the solution that is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..ir.core import Value
from ..ir.ops.factored import lu_apply
from ..ir.ops.lower_products import split, weighed
from ..ir.ops.triangular import solved
from .normal import Normal

Args = tuple[Value, ...]
Attrs = Mapping[str, Any]


def _unscaled(solve: Callable[..., Value]) -> Callable[[Normal, Args, Attrs], Value | None]:
    def rule(b: Normal, args: Args, attrs: Attrs) -> Value | None:
        a, right = args
        if not b.lenient:
            return None
        found = split(right, right.ndim - 2)
        if type(found.factor) is float and found.factor == 1.0:
            return None
        return weighed(found.factor, solve(a, found.matrices, **attrs))

    return rule


SOLVES = {"triangular_solve": (_unscaled(solved),), "lu_apply": (_unscaled(lu_apply),)}
