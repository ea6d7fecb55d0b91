"""What tests of passes share: functions from a few lines, and what two of them must agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from adjit.ir import Aval, Builder, Function, Value, evaluate


def function(f: Callable[..., Any], *shapes: tuple[int, ...], dtype: str = "f64") -> Function:
    params = [Value(Aval(dtype, s)) for s in shapes]
    with Builder(params) as b:
        outs = f(*params)
        return Function("f", b.done(outs if isinstance(outs, tuple) else (outs,)))


def kinds(f: Function, rank: int | None = None) -> Counter[str]:
    """How many ops of each row (with results of this rank)."""
    return Counter(op.prim.name for op in f.ops if rank in (None, op.outs[0].ndim))


def assert_agree(f: Function, g: Function, *args: Any, rtol: float = 1e-10) -> None:
    for x, y in zip(evaluate(f, *args), evaluate(g, *args), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        loose = rtol if x.dtype != np.float32 else 1e-4
        np.testing.assert_allclose(y, x, rtol=loose, atol=loose)
