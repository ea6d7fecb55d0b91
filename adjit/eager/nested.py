"""Nested lists that are to become arrays: what they hold, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

_NUMBERS = frozenset((bool, int, float, complex))


def numbers_alone(data: Iterable[Any]) -> bool:
    """Whether a list holds nothing but Python's numbers."""
    return _NUMBERS.issuperset(map(type, data))


def ragged(data: Any) -> ValueError | None:
    """What PyTorch says of nested lists of different lengths."""
    level, dim = [data], 0
    while level and all(isinstance(x, list | tuple) for x in level):
        sizes = [len(x) for x in level]
        for n in sizes:
            if n != sizes[0]:
                return ValueError(f"expected sequence of length {sizes[0]} at dim {dim} (got {n})")
        level, dim = [e for x in level for e in x], dim + 1
    return None


def holds_arrays(x: Any) -> bool:
    """Whether the first of what it holds is NumPy's, which has a dtype."""
    if isinstance(x, list | tuple):
        return bool(x) and holds_arrays(x[0])
    return isinstance(x, np.ndarray | np.generic)
