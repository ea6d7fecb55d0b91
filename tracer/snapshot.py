"""What the variables of a frame hold at one moment: traced values, numbers, and growing lists."""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np

from ..ir.records import dataclass
from .hidden import Hidden
from .place import USER, owner
from .tracer import Tracer

_DEPTH = 3
_LIMIT = 5_000  # objects looked at
_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_CLOSED = (types.ModuleType, types.FunctionType, type, np.ndarray, types.GeneratorType)


@dataclass(frozen=True)
class Snapshot:
    """The variables of a frame.

    traced   path, such as "state['w']" -> the Tracer there
    plain    path -> a number, string or None; of a container that is no list, its length
    lists    id -> path, the list, what it held
    """

    traced: dict[str, Tracer]
    plain: dict[str, Any]
    lists: dict[int, tuple[str, list[Any], tuple[Any, ...]]]


def snapshot(frame: FrameType) -> Snapshot:
    """What the variables of a frame hold now."""
    out = Snapshot({}, {}, {})
    todo: deque[tuple[str, Any, int]] = deque(
        (name, x, 0) for name, x in dict(frame.f_locals).items()
    )
    seen: set[int] = set()
    while todo and len(seen) < _LIMIT:
        path, x, depth = todo.popleft()
        kind = type(x)
        if kind is Tracer:
            out.traced[path] = x
        elif kind is Hidden:
            continue
        elif isinstance(x, _PLAIN):
            out.plain[path] = x
        elif id(x) not in seen and not isinstance(x, _CLOSED):
            seen.add(id(x))
            if isinstance(x, list):
                out.lists[id(x)] = (path, x, tuple(x))
            elif isinstance(x, (dict, set, deque, bytearray)):
                out.plain[f"len({path})"] = len(x)
            if depth < _DEPTH:
                todo.extend((path + step, y, depth + 1) for step, y in _children(x))
    return out


def _children(x: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(x, (list, tuple, deque)):
        yield from ((f"[{k}]", y) for k, y in enumerate(x))
    elif isinstance(x, dict):
        yield from ((f"[{k!r}]", y) for k, y in x.items())
    elif _of_user(type(x)):
        names = getattr(x, "__dict__", None)
        if isinstance(names, dict):
            yield from ((f".{k}", y) for k, y in names.items())
        for cls in type(x).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for k in (slots,) if isinstance(slots, str) else slots:
                if (y := getattr(x, k, None)) is not None:
                    yield f".{k}", y


def _of_user(cls: type) -> bool:
    """Whether a class stands in the user's code."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return cls.__module__ == "__main__" or (file is not None and owner(file) == USER)


def unlike(a: Any, b: Any) -> bool:
    """Whether two numbers or strings differ (NaN equals itself)."""
    return type(a) is not type(b) or not (a == b or (a != a and b != b))
