"""Helpers of array API libraries that write into arrays of their own: said in values instead.

`array_api_compat` and `array_api_extra` come as copies inside of other packages as well.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import intercept
from .intercept import DECLINE
from .surface import holds_tracer, is_tracer, value, wrap

_found: set[str] = set()
_seen = 0  # how many modules there were when the last copies were looked for


def _clip(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    x, low, high = (*args, None, None)[:3]
    low, high = kwargs.get("min", low), kwargs.get("max", high)
    if kwargs.get("out") is not None or not any(map(holds_tracer, (x, low, high))):
        return DECLINE
    return x if low is None and high is None else np.clip(x, low, high)


def _apply_where(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """Both sides everywhere: what is not chosen has no derivative."""
    condition, f1, f2, fill_value, *arrays = args
    if not any(map(holds_tracer, (condition, fill_value, *arrays))):
        return DECLINE
    with np.errstate(all="ignore"):
        other = fill_value if f2 is None else f2(*arrays)
        return np.where(condition, f1(*arrays), other)


def _at(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """`at(x, idx).set(y)` and its like: a new array, never a write into `x`."""
    self, _, in_place, out_of_place, y = args[:5]
    x, index = self._x, self._idx
    if not any(map(holds_tracer, (x, index, y))):
        return DECLINE
    new = wrap(value(x), "array")
    mask = is_tracer(index) and index.dtype == bool and index.shape == new.shape
    if mask and np.ndim(y) == 0:  # a choice, whatever the mask is in this call
        return np.where(index, y if out_of_place is None else out_of_place(new, y), new)
    new = new.copy()
    new[index] = y if in_place is None else in_place(new[index], y)
    return new


_ENTRIES = {
    "array_api_compat.numpy": ("clip", _clip),
    "array_api_extra._lib._funcs": ("_apply_where", _apply_where),
    "array_api_extra._lib._at": ("at", _at),
}


def _fill() -> bool:
    """Never done: another copy may be imported at any time."""
    global _seen
    now = len(sys.modules)
    if now == _seen:
        return False
    whole = True  # whether none of them is still being imported
    for path in [name for name in sys.modules if name.endswith(tuple(_ENTRIES))]:
        if path not in _found:
            whole = _enter(path) and whole
    _seen = now if whole else 0
    return False


def _enter(path: str) -> bool:
    """Enter what one module, if it is a copy, has; whether it is there yet."""
    for end, (name, act) in _ENTRIES.items():
        if f".{path}".endswith(f".{end}"):
            module = sys.modules[path]
            if not hasattr(module, name):
                return False
            if act is _at:
                intercept.enter(module.at, "_op", act, direct=False)
            else:
                intercept.enter(module, name, act)
    _found.add(path)
    return True


intercept.when_imported(_fill)
