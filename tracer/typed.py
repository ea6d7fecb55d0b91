"""`type(x)` and `hasattr(x, name)` of traced values, as they are of what these stand for.

They are too much part of Python itself to be swapped for all: they are bound in the globals of
those of the user's functions that name them.
"""

from __future__ import annotations

import builtins
import sys
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
        if found is Tracer:  # which code that names it asks for
            asked = "Tracer" in sys._getframe(1).f_code.co_names
            return found if asked else args[0].__class__
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


def _without(x: Any, name: str) -> bool:
    """Whether a traced number stands for one that has no such attribute."""
    return type(x) is Tracer and x._kind != "array" and not hasattr(x.__class__, name)


def _hasattr(x: Any, name: str, /) -> bool:
    return not _without(x, name) and hasattr(x, name)


def _getattr(x: Any, name: str, /, *default: Any) -> Any:
    return default[0] if default and _without(x, name) else getattr(x, name, *default)


enter_builtin("type", _Type())
enter_builtin("hasattr", _hasattr)
enter_builtin("getattr", _getattr)
