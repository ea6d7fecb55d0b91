"""What Python could count besides the trace: locals at each decision, and what a loop stores.

That rounds not seen would be as those seen can only be believed where nothing that the trace does
not know changes from round to round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import FrameType
from typing import Any

import numpy as np

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_MANY = 32  # entries of a container that are looked at
Snapshot = dict[str, Any]


def snapshot(frame: FrameType) -> Snapshot:
    """What can be seen of the plain objects that the names of a frame are bound to."""
    return {name: _seen(x, 2) for name, x in dict(frame.f_locals).items()}


def _seen(x: Any, depth: int) -> Any:
    """Unequal for objects of which the difference can be seen; iterators equal nothing."""
    kind = type(x)
    if kind in _SCALARS:
        return kind, repr(x) if x != x else x
    if hasattr(kind, "_rec"):  # a Tracer
        return "traced"
    if hasattr(kind, "_refuse"):  # what must not be looked at: see hidden
        return "hidden"
    if isinstance(x, np.generic):
        return kind, x.tobytes()
    if isinstance(x, np.ndarray):
        return id(x), x.tobytes() if x.size <= _MANY and x.dtype != object else None
    if hasattr(kind, "__next__"):
        return object()
    if kind in (tuple, list, set, frozenset):
        return kind, len(x), tuple(_seen(e, depth - 1) for e in list(x)[:_MANY] if depth)
    if kind is dict:
        return kind, len(x), _entries(x, depth)
    held = getattr(x, "__dict__", None)
    if type(held) is dict and not isinstance(x, type) and not callable(x):
        return id(x), len(held), _entries(held, depth)
    return id(x)


def _entries(x: Mapping[Any, Any], depth: int) -> Any:
    return tuple((repr(k), _seen(e, depth - 1)) for k, e in list(x.items())[:_MANY] if depth)


def changed(seen: Iterable[Snapshot], apart: frozenset[str]) -> str:
    """The first name, `apart` from some, that is not the same in all of the snapshots."""
    seen = list(seen)
    for before, after in pairwise(seen):
        for name in {**before, **after}:
            if name not in apart and before.get(name) != after.get(name):
                return name
    return ""
