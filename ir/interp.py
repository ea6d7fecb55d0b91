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
    """Bind params, apply `rule` to each op, return the results."""
    env: dict[Value, Any] = dict(zip(block.params, args, strict=True))
    for op in block.ops:
        outs = rule(op, [env.get(a, a) for a in op.args])
        env.update(zip(op.outs, outs, strict=True))
    return [env.get(v, v) for v in block.outs]


def evaluate(function: Function | Block, *args: Any) -> list[np.ndarray]:
    """The results of a function on NumPy arrays, as arrays of the inferred dtypes."""
    block = function.block if isinstance(function, Function) else function
    with np.errstate(all="ignore"):
        return [np.asarray(x) for x in _values(block, args)]


def _values(block: Block, args: Sequence[Any]) -> list[Any]:
    """The results of a block: `run`, with a rule that is as short as can be."""
    env: dict[Value, Any] = dict(zip(block.params, args, strict=True))
    for op in block.ops:
        given = [a.data if type(a) is Const else env[a] for a in op.args]
        outs = op.outs
        if op.blocks or len(outs) != 1:
            env.update(zip(outs, apply(op, given), strict=True))
        else:
            out = op.prim.ref(*given, **op.attrs)
            env[outs[0]] = out[0] if type(out) is tuple else out
    return [v.data if type(v) is Const else env[v] for v in block.outs]


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
        return tuple(_values(block, args))

    call.block = block  # type: ignore[attr-defined]  # its types, where there is no data to ask
    return call
