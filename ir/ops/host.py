"""The row of a Python function that runs on plain arrays: a solver, or code that is not NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NoReturn

import numpy as np

from ..core import Value
from ..prim import Prim
from ..types import NUMPY, Aval
from .custom import NoRule

__all__ = ["HostFunction", "host"]

_serial = count()


class HostFunction:
    """A function of arrays to a sequence of arrays, compared by identity."""

    __slots__ = ("call", "name", "serial")

    def __init__(self, name: str, call: Callable[..., Sequence[Any]]) -> None:
        self.name = name
        self.call = call
        self.serial = next(_serial)  # no two have the same text

    def __repr__(self) -> str:
        return f"<{self.name} #{self.serial}>"


def _infer(*args: Aval, call: HostFunction, outs: tuple[Aval, ...]) -> tuple[Aval, ...]:
    return outs


def _ref(*args: Any, call: HostFunction, outs: tuple[Aval, ...]) -> tuple[np.ndarray, ...]:
    found = call.call(*map(np.asarray, args))
    results = tuple(np.asarray(x) for x in found)
    if len(results) != len(outs):
        raise ValueError(f"{call.name} gave {len(results)} results; it should give {len(outs)}")
    for k, (x, aval) in enumerate(zip(results, outs, strict=True)):
        if x.shape != aval.shape or not np.can_cast(x.dtype, NUMPY[aval.dtype], "same_kind"):
            raise ValueError(
                f"{call.name} gave a result {k} of shape {x.shape} and dtype {x.dtype}; it should "
                f"have shape {aval.shape} and dtype {NUMPY[aval.dtype]}"
            )
    return tuple(x.astype(NUMPY[a.dtype]) for x, a in zip(results, outs, strict=True))


def _no_rule(ctx: Any, op: Any, args: Sequence[Value], *tangents: Any) -> NoReturn:
    raise NoRule(
        f"{op.attrs['call'].name} runs outside of NumPy's sight and has no derivative\n"
        "  Give it one: make the function that calls it a custom_vjp or custom_jvp."
    )


host = Prim(
    name="host",
    infer=_infer,
    ref=_ref,
    forward=_no_rule,
    push=_no_rule,
)
