"""Whether Python itself reads what lies in the arrays that are inputs of a program.

An array from outside may change its content between calls: the program reads it anew.  What Python
made of it while tracing (`if w[0] > 0`, `float(w.max())`, `sorted(ws, key=...)`) it cannot see.  So
the function is traced once more with views in the place of such arrays that notice who reads them,
and those that somebody reads are guarded by their content.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.ops.show import muted
from .facts import Capture
from .holdings import ABSENT, Holdings, Slot, put
from .watched import memory_of, seen_by

KINDS = (np.ndarray, np.memmap)


def content_read(
    captures: Sequence[Capture], held: Holdings, again: Callable[[], object]
) -> list[Capture]:
    """The captured arrays whose content Python reads when the function is traced `again`."""
    live = [c for c in captures if c.live and type(c.value) in KINDS]
    if not live:
        return []
    owners = {id(memory_of(c.value)) for c in live}
    read: set[int] = set()
    views = Views(lambda x: seen_by(x, read) if id(memory_of(x)) in owners else x)
    try:
        views.put_into(held)
        with muted(), contextlib.suppress(Exception):
            again()
    finally:
        views.take_out()
    return [c for c in live if id(memory_of(c.value)) in read]


class Views:
    """Views in the place of arrays, as one function makes them."""

    def __init__(self, make: Callable[[np.ndarray], Any]) -> None:
        self._of = make
        self._made: dict[int, Any] = {}
        self._undo: list[tuple[Slot, Any, Any]] = []

    def put_into(self, held: Holdings) -> None:
        """Let all slots hold views that hold arrays, or tuples of them."""
        for slot, x in list(held.all()):
            if issubclass(type(x), (*KINDS, tuple)) and not isinstance(slot.holder, tuple):
                new = self._view(x)
                if new is not x:
                    self._undo.append((slot, x if _is_own(slot) else ABSENT, new))
                    put(slot, new)

    def take_out(self) -> None:
        """Put the arrays back, where nobody has put something else meanwhile."""
        for slot, x, new in reversed(self._undo):
            if _held(slot) is new:
                put(slot, x)

    def _view(self, x: Any) -> Any:
        made = self._made.get(id(x))
        if made is None:
            made = self._made[id(x)] = self._make(x)
        return made

    def _make(self, x: Any) -> Any:
        if type(x) in KINDS:
            return self._of(x)
        if not issubclass(type(x), tuple):
            return x
        parts = list(map(self._view, x))
        same = all(new is old for new, old in zip(parts, x, strict=True))
        return x if same else tuple.__new__(type(x), parts)


def _is_own(slot: Slot) -> bool:
    """Whether the holder itself holds it, and not its class."""
    holder, kind, key = slot
    own = getattr(holder, "__dict__", None)
    if kind != "attr" or own is None or key in own:
        return True
    return hasattr(inspect.getattr_static(type(holder), key, None), "__set__")


def _held(slot: Slot) -> Any:
    holder, kind, key = slot
    try:
        return holder[key] if kind == "item" else getattr(holder, key)
    except Exception:  # it is gone, or the user's code ran and raised
        return ABSENT
