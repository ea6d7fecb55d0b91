"""The reference interpreter: what a function means, through each row's NumPy reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .core import Block, Const, Function, Op, Value


class GuardMiss(Exception):
    """A value is not what it was while tracing: the call takes another path; `op` is the guard."""

    op: Op | None = None

    @classmethod
    def of(cls, op: Op) -> GuardMiss:
        """The miss of this guard."""
        miss = cls(f"guard at {op.where}")
        miss.op = op
        return miss


def run(
    block: Block, args: Sequence[Any], rule: Callable[[Op, list[Any]], Sequence[Any]]
) -> list[Any]:
    """The one loop: bind params, apply `rule` to each op, return the results."""
    env: dict[Value, Any] = dict(zip(block.params, args, strict=True))
    for op in block.ops:
        outs = rule(op, [env.get(a, a) for a in op.args])
        env.update(zip(op.outs, outs, strict=True))
    return [env.get(v, v) for v in block.outs]


def evaluate(function: Function | Block, *args: Any) -> list[np.ndarray]:
    """The results of a function on NumPy arrays, as arrays of the inferred dtypes."""
    block = function.block if isinstance(function, Function) else function
    with np.errstate(all="ignore"):
        outs = run(block, args, apply)
    return [np.asarray(v.data if isinstance(v, Const) else v) for v in outs]


def apply(op: Op, args: list[Any]) -> tuple[Any, ...]:
    """One op through its row's reference; regions are handed over as callables."""
    args = [a.data if type(a) is Const else a for a in args]
    try:
        if op.blocks:
            regions = {label: _callable(b) for label, b in op.blocks.items()}
            out = op.prim.ref(*args, **op.attrs, **regions)
        else:
            out = op.prim.ref(*args, **op.attrs)
    except GuardMiss as miss:
        miss.op = miss.op or op
        raise
    return out if isinstance(out, tuple) else (out,)


def _callable(block: Block) -> Callable[..., tuple[Any, ...]]:
    def call(*args: Any) -> tuple[Any, ...]:
        outs = run(block, args, apply)
        return tuple(v.data if isinstance(v, Const) else v for v in outs)

    call.block = block  # type: ignore[attr-defined]  # its types, where there is no data to ask
    return call
