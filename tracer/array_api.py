"""The namespace that a Tracer names under the array API standard: that of a plain array.

Libraries compare the namespaces of all arrays they are given, and a Tracer often stands beside
plain arrays.  `numpy` is one; code written for `array_api_compat` (SciPy, scikit-learn and others
bring copies of their own) takes the copy's `numpy` for plain arrays, so that is the answer there.
"""

from __future__ import annotations

import importlib
import sys
from types import FrameType
from typing import Any

import numpy as np

_COMPAT = "array_api_compat"


def namespace(frame: FrameType | None, api_version: str | None = None) -> Any:
    """The module of array functions for the code in this frame, which asks for it."""
    if api_version is not None:
        plain: Any = np.empty(0)
        plain.__array_namespace__(api_version=api_version)  # raises NumPy's own error
    name = frame.f_globals.get("__name__", "") if frame is not None else ""
    package, found, _ = name.partition(f"{_COMPAT}.")
    if not found or _asked_by(frame, "scipy.spatial.transform"):  # which has C code for NumPy
        return np
    wanted = f"{package}{_COMPAT}.numpy"
    return sys.modules.get(wanted) or importlib.import_module(wanted)


def _asked_by(frame: FrameType | None, package: str) -> bool:
    """Whether the question came from this package, a few calls up."""
    for _ in range(5):
        if frame is None:
            return False
        if frame.f_globals.get("__name__", "").startswith(package):
            return True
        frame = frame.f_back
    return False
