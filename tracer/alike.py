"""Whether two plain values are the same to a program: 1 and 1.0 are not, nor 0.0 and -0.0."""

from __future__ import annotations

import array
import operator
from collections import deque
from types import MappingProxyType
from typing import Any

import numpy as np

BUFFERS = (bytearray, array.array, memoryview)
CONTAINERS = (tuple, list, set, frozenset, dict, deque, *BUFFERS)
_BLUNT = tuple(k for k in CONTAINERS if k is not bytearray)


def alike(wanted: Any, x: Any) -> bool:
    """Whether two values, or two containers of values, are equal in all that a program can see."""
    kind = type(wanted)
    if type(x) is not kind:
        return False
    if issubclass(kind, (tuple, list, deque)):
        return len(x) == len(wanted) and in_order(x, wanted)
    if issubclass(kind, (dict, MappingProxyType)):
        same = len(x) == len(wanted) and in_order(x, wanted)
        return same and in_order(x.values(), wanted.values())
    if issubclass(kind, (set, frozenset)):
        if x != wanted:
            return False
        own = {e: e for e in wanted}
        return in_order(x, [own[e] for e in x])
    if kind is memoryview:
        return bool(x.tobytes() == wanted.tobytes())
    if kind is array.array:
        return bool(x.typecode == wanted.typecode and x.tobytes() == wanted.tobytes())
    return _one_alike(x, wanted)


def sharp(wanted: Any) -> bool:
    """Whether all that is of the same type and equal to a value is the same to a program."""
    kind = type(wanted)
    if issubclass(kind, (float, np.floating)):
        return bool(wanted != 0)
    return not issubclass(kind, (*_BLUNT, complex, np.inexact, MappingProxyType))


def in_order(xs: Any, wanted: Any) -> bool:
    """Whether all that two containers of the same length give is the same, one after the other."""
    return all(map(operator.is_, xs, wanted)) or all(map(_one_alike, xs, wanted))


def _one_alike(x: Any, wanted: Any) -> bool:
    if x is wanted:
        return True
    if type(x) is not type(wanted) or not bool(x == wanted):
        return False
    return sharp(wanted) or repr(x) == repr(wanted)
