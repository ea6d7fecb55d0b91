"""What names hold when Python decides by a traced value: traced values, numbers, ends of lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ...ir.core import Value

_PLAIN = (bool, int, float, complex, str, type(None), np.generic)
_MANY = 24  # entries of a container that are looked at
_ENDS = 3  # entries at the end of a longer list
_DEPTH = 2
_FRAMES = 4
_CLOSED = (type, np.ndarray, FrameType)
Held = dict[str, Any]


class Seen(NamedTuple):
    """What names held: at decisions, and between the rounds of loops with decisions in them."""

    at: Mapping[int, Held]
    between: Mapping[int, Held]


def held(frames: Sequence[FrameType]) -> Held:
    """What the names of the innermost of these frames hold.

    A path, such as "140 state['w']" (140 being the id of the frame's code), leads to a Value, a
    number or a string; "len(path)" to the length of a container.
    """
    out: Held = {}
    known: set[int] = set()
    for frame in reversed(frames[-_FRAMES:]):
        code = id(frame.f_code)
        if code in known:  # a function that calls itself
            continue
        known.add(code)
        seen: set[int] = set()
        for name, x in dict(frame.f_locals).items():
            _add(out, f"{code} {name}", x, _DEPTH, seen)
    return out


def content(t: Any) -> Value:
    """What a Tracer is now: of an array that was written, what was written last."""
    store = t._store
    found: Value = t._value if store is None or t._views else store.value
    return found


def _add(out: Held, path: str, x: Any, depth: int, seen: set[int]) -> None:
    kind = type(x)
    if hasattr(kind, "_rec"):
        out[path] = content(x)
    elif hasattr(kind, "_refuse"):  # what must not be looked at: see hidden
        return
    elif isinstance(x, _PLAIN):
        out[path] = x
    elif depth and id(x) not in seen and not isinstance(x, _CLOSED) and not callable(x):
        seen.add(id(x))
        if isinstance(x, (list, tuple, dict, set, frozenset)):
            out[f"len({path})"] = len(x)
        for step, y in _children(x):
            _add(out, path + step, y, depth - 1, seen)


def _children(x: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(x, (list, tuple)):
        first = 0 if len(x) <= _MANY else len(x)
        yield from ((f"[{k}]", x[k]) for k in range(first, len(x)))
        if isinstance(x, list):
            yield from ((f"[-{k}]", x[-k]) for k in range(1, min(len(x), _ENDS) + 1))
    elif isinstance(x, dict):
        yield from ((f"[{k!r}]", y) for k, y in list(x.items())[:_MANY])
    elif isinstance(getattr(x, "__dict__", None), dict):
        yield from ((f".{k}", y) for k, y in list(vars(x).items())[:_MANY])
