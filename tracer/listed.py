"""Ufuncs of lists that hold traced values: `np.maximum.reduce([a, b])`, `np.exp([a, b])`.

NumPy asks a list for its array before it looks for Tracers, and a ufunc is no function of a module
that could be swapped for all.  So a trace that failed there is taken again with modules and ufuncs
in the globals of the user's functions that join such lists first.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .lent import called
from .place import USER, owner
from .record import recorder, stack
from .surface import holds_tracer, value, wrap

_OPERANDS = {"reduce": (0,), "accumulate": (0,), "reduceat": (0,), "outer": (0, 1), "at": (2,)}
_MODULES = ("numpy", "scipy.special")
_stands: dict[int, Any] = {}  # by the id of what they stand for, which they keep alive


def stand(x: Any) -> Any:
    """What joins lists in the place of a ufunc, or a module of ufuncs; anything else as it is."""
    if type(x) is np.ufunc:
        make: Any = Listed
    elif type(x) is ModuleType and x.__name__ in _MODULES:
        make = _Module
    else:
        return x
    known = _stands.get(id(x))
    if known is None:
        known = _stands[id(x)] = make(x)
    return known


class Listed:
    """A ufunc, and its methods, of arrays and of lists with traced values."""

    def __init__(self, ufunc: np.ufunc) -> None:
        self._ufunc = ufunc
        for name, operands in _OPERANDS.items():
            setattr(self, name, functools.partial(_method, getattr(ufunc, name), operands))

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return np.ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _called(self._ufunc, range(len(args)), sys._getframe(1), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ufunc, name)

    def __eq__(self, other: object) -> bool:
        return self._ufunc is (other._ufunc if type(other) is Listed else other)

    def __hash__(self) -> int:
        return hash(self._ufunc)

    def __repr__(self) -> str:
        return repr(self._ufunc)

    def __reduce__(self) -> Any:
        return self._ufunc.__reduce__()


class _Module(ModuleType):
    """A module whose ufuncs are such."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module.__name__)
        self.__dict__.clear()
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:
        return stand(getattr(self.__dict__["_module"], name))

    def __setattr__(self, name: str, x: Any) -> None:
        setattr(self.__dict__["_module"], name, x)

    def __dir__(self) -> list[str]:
        return dir(self.__dict__["_module"])


def _method(f: Callable[..., Any], operands: tuple[int, ...], *args: Any, **kwargs: Any) -> Any:
    return _called(f, operands, sys._getframe(1), args, kwargs)


def _called(f: Callable[..., Any], operands: Any, frame: Any, args: Any, kwargs: Any) -> Any:
    """What a ufunc or a method of one answers to the user, with these operands joined."""
    if not stack() or owner(frame.f_code.co_filename) != USER:
        return f(*args, **kwargs)
    rec = recorder()
    rec.enter(frame)

    def answer(args: Any, kwargs: Any) -> Any:
        joined = (_joined(x) if i in operands else x for i, x in enumerate(args))
        return f(*joined, **kwargs)

    return called(rec, answer, True, args, kwargs) if rec.level else answer(args, kwargs)


def _joined(x: Any) -> Any:
    return wrap(value(x)) if isinstance(x, (list, tuple)) and holds_tracer(x) else x
