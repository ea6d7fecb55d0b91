"""Constant folding through each row's NumPy reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Const, Function, Op, Value
from ..ir.interp import apply
from .replay import rebuild


def fold(function: Function) -> Function:
    """Evaluate scalar ops whose arguments are all constants."""
    return rebuild(function, folded)


def folded(b: Builder, op: Op, args: Sequence[Value]) -> tuple[Value, ...] | None:
    """The constants an op comes down to, if its arguments are constants and its results scalars."""
    if not args or op.blocks or not op.prim.pure:
        return None
    for a in args:
        if type(a) is not Const:
            return None
    if any(v.aval.shape for v in op.outs):
        return None
    with np.errstate(all="ignore"):
        results = apply(op, list(args))
    return tuple(Const(x, v.aval.dtype) for x, v in zip(results, op.outs, strict=True))
