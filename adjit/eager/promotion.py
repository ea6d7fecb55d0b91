"""The dtype of an operation on Tensors: arrays before 0-d ones before plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
_OF_NUMBER = {
    bool: np.dtype(np.bool_), int: np.dtype(np.int64), float: np.dtype(np.float32),
    complex: np.dtype(np.complex64),
}  # fmt: skip
CHANGED: list[Callable[[], object]] = []  # what to forget when the default changes

ARRAY, ZERO_D, NUMBER = 2, 1, 0


def default() -> np.dtype:
    """The dtype of Python's floats."""
    return _OF_NUMBER[float]


def set_default(dtype: np.dtype) -> None:
    """Give Python's floats another dtype."""
    if dtype == _OF_NUMBER[float]:
        return
    _OF_NUMBER[float] = dtype
    _OF_NUMBER[complex] = np.result_type(dtype, np.complex64)
    for forget in CHANGED:
        forget()


def number_dtype(kind: type) -> np.dtype:
    """The dtype of a Python number that meets no Tensor."""
    if kind in _OF_NUMBER:
        return _OF_NUMBER[kind]
    for base in (bool, int, float, complex):
        if issubclass(kind, base):
            return _OF_NUMBER[base]
    raise TypeError(f"a {kind.__name__} is no number")


@lru_cache(maxsize=4096)
def promoted(operands: tuple[tuple[np.dtype, int], ...]) -> np.dtype:
    """The common dtype of operands (dtype, standing)."""
    found: np.dtype | None = None
    for standing in (NUMBER, ZERO_D, ARRAY):
        here = _common([d for d, s in operands if s == standing])
        if here is not None:
            found = here if found is None else _over(here, found)
    assert found is not None
    return found


def _over(high: np.dtype, low: np.dtype) -> np.dtype:
    """Operands of higher standing decide, unless the lower are of a wider kind."""
    if _RANK[high.kind] >= _RANK[low.kind]:
        return high
    if high.kind == "f" and low.kind == "c":
        return np.promote_types(high, np.complex64)
    return low


def _common(dtypes: Sequence[np.dtype]) -> np.dtype | None:
    found: np.dtype | None = None
    for d in dtypes:
        if found is None:
            found = d
        elif _RANK[d.kind] == _RANK[found.kind] or {d.kind, found.kind} == {"f", "c"}:
            found = np.promote_types(d, found)
        else:  # an integer dtype does not widen a floating or complex one
            found = d if _RANK[d.kind] > _RANK[found.kind] else found
    return found


def floating(dtype: np.dtype) -> np.dtype:
    """The dtype of a function that leaves the integers."""
    return dtype if dtype.kind in "fc" else default()


CHANGED.append(promoted.cache_clear)
