"""`type`, `isinstance`, `hasattr` and `getattr` of traced values, as of what these stand for.

They are too much part of Python itself to be swapped for all: they are bound in the globals of
those of the user's functions that name them.
"""

from __future__ import annotations

import builtins
import sys
from types import FrameType
from typing import Any

from .intercept import enter_builtin
from .tracer import Tracer
from .watched import Seen, bare


class _Type:
    """The class `type`, whose call tells a traced value's class as `x.__class__` does."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) != 1 or kwargs:
            return type(*args, **kwargs)
        found = type(args[0])
        if found is Tracer:
            return found if _asked(sys._getframe(1)) else args[0].__class__
        if found is _Type:
            return args[0]
        return type(bare(args[0])) if issubclass(found, Seen) else found

    def __getattr__(self, name: str) -> Any:
        return getattr(type, name)

    def __getitem__(self, item: Any) -> Any:
        return type[item]

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, type)

    def __subclasscheck__(self, x: Any) -> bool:
        return issubclass(x, type)

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (type,)

    def __or__(self, other: Any) -> Any:
        return type | other

    def __ror__(self, other: Any) -> Any:
        return other | type

    def __eq__(self, other: object) -> bool:
        return other is self or other is type

    def __hash__(self) -> int:
        return hash(type)

    def __repr__(self) -> str:
        return repr(type)

    def __reduce__(self) -> Any:
        return getattr, (builtins, "type")


def _asked(frame: FrameType) -> bool:
    """Whether code asks for Tracers themselves: it names them."""
    return "Tracer" in frame.f_code.co_names


def _isinstance(x: Any, kinds: Any, /) -> bool:
    if type(x) is not Tracer or _asked(sys._getframe(1)):
        return isinstance(x, kinds)
    try:  # abstract classes would look at what a Tracer can do
        return issubclass(x.__class__, kinds)
    except TypeError:
        return isinstance(x, kinds)


def _hasattr(x: Any, name: str, /) -> bool:
    return hasattr(x.__class__ if type(x) is Tracer else x, name)


def _getattr(x: Any, name: str, /, *default: Any) -> Any:
    if type(x) is Tracer and default:  # for what it has not, though its class has: an error
        return getattr(x, name) if hasattr(x.__class__, name) else default[0]
    return getattr(x, name, *default)


enter_builtin("type", _Type())
enter_builtin("isinstance", _isinstance)
enter_builtin("hasattr", _hasattr)
enter_builtin("getattr", _getattr)
