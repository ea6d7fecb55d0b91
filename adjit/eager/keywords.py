"""NumPy's names of arguments, `axis` and `keepdims`, which PyTorch's functions take as well."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .tensor_object import Tensor

_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def renamed(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which also goes by NumPy's names."""

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            for name, ours in _NAMES.items():
                if name in kwargs and ours not in kwargs:
                    kwargs[ours] = kwargs.pop(name)
        return fn(*args, **kwargs)

    return call


def accept(names: dict[str, Any]) -> None:
    """Let the functions among these, and the methods of Tensor, that have a `dim` take `axis`."""
    made: dict[FunctionType, Callable[..., Any]] = {}

    def found(fn: Any) -> Callable[..., Any] | None:
        if not isinstance(fn, FunctionType):
            return None
        code = fn.__code__
        if "dim" not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            return None
        return made.setdefault(fn, renamed(fn))

    for name, fn in list(names.items()):
        if (call := found(fn)) is not None:
            names[name] = call
    for name, fn in list(vars(Tensor).items()):
        if not name.startswith("_") and (call := found(fn)) is not None:
            setattr(Tensor, name, call)
