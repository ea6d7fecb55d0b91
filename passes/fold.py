"""Constant folding through each row's NumPy reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.builder import infer
from ..ir.core import Const, Value
from ..ir.prim import Prim


def folded(prim: Prim, args: Sequence[Value], attrs: Mapping[str, Any]) -> tuple[Value, ...] | None:
    """The constants an op comes down to, if its arguments are constants and its results scalars."""
    if not args or not prim.pure or not all(type(a) is Const for a in args):
        return None
    facts = tuple(sorted(attrs.items()))
    avals = infer(prim, tuple(a.aval for a in args), facts, attrs)
    if any(a.shape for a in avals):
        return None
    with np.errstate(all="ignore"):
        out = prim.ref(*(a.data for a in args), **attrs)  # type: ignore[attr-defined]
    results = out if isinstance(out, tuple) else (out,)
    return tuple(Const(x, a.dtype) for x, a in zip(results, avals, strict=True))
