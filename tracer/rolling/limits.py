"""How many rounds the loops that end by a traced condition have been seen to have."""

from __future__ import annotations

import threading
from types import CodeType
from weakref import WeakKeyDictionary

import numpy as np

_lock = threading.Lock()
_limits: WeakKeyDictionary[CodeType, dict[int, Limit]] = WeakKeyDictionary()


class Limit:
    """The most rounds that any trace has shown of one loop."""

    def __init__(self) -> None:
        self.rounds = np.zeros((), np.int64)

    def read(self) -> np.ndarray:
        """The number of now."""
        return self.rounds


def limit(code: CodeType, place: int, rounds: int) -> Limit:
    """The limit of the loop at this place, which has just been seen to have so many rounds."""
    with _lock:
        known = _limits.setdefault(code, {}).setdefault(place, Limit())
        if rounds > known.rounds:
            known.rounds = np.array(rounds, np.int64)
        return known
