"""The row of a guard: the program holds only where a value is what it was while tracing."""

from __future__ import annotations

from typing import Any, NoReturn

from ..interp import GuardMiss
from ..prim import Call, Prim
from ..types import Aval

__all__ = ["guard"]


def _infer(x: Aval, *, expected: bool | int) -> tuple[Aval, ...]:
    if x.shape or x.dtype != ("bool" if isinstance(expected, bool) else "i64"):
        raise TypeError(f"guard: the value is {x}; {expected!r} is expected of it")
    return ()


def _ref(x: Any, *, expected: bool | int) -> tuple[Any, ...]:
    if x != expected:
        raise GuardMiss(f"{x} is not {expected}")
    return ()


def _batch(args: Any, moved: Any, **attrs: Any) -> NoReturn:
    raise TypeError(
        "a branch depends on a value that differs between the rows of vmap; choose between values "
        "by np.where(condition, a, b)"
    )


guard = Prim(
    name="guard",
    infer=_infer,
    ref=_ref,
    emit=Call("guard"),
    nondiff="it decides which program runs, and has no result",
    batch=_batch,
    pure=False,
)
