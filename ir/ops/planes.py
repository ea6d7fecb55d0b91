"""Rows between complex arrays and the real ones that kernels compute with; no work, only views."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import Prim
from ..types import Aval
from .arithmetic import _PARTS, _WHOLE

_MADE = "it is made after differentiation"


def _parts_infer(z: Aval) -> Aval:
    if z.dtype not in _PARTS:
        raise TypeError(f"parts: takes complex values, not {z}")
    return Aval(_PARTS[z.dtype], (*z.shape, 2))


def _parts_ref(z: Any) -> np.ndarray:
    shape = np.shape(z)
    z = np.ascontiguousarray(z)
    return z.view(z.real.dtype).reshape(*shape, 2)


def _joined_infer(x: Aval) -> Aval:
    if x.dtype not in _WHOLE or not x.shape or x.shape[-1] != 2:
        raise TypeError(f"joined: takes pairs of real numbers, not {x}")
    return Aval(_WHOLE[x.dtype], x.shape[:-1])


def _joined_ref(x: Any) -> np.ndarray:
    x = np.ascontiguousarray(x)
    return x.view(np.result_type(x, np.complex64)).reshape(x.shape[:-1])


# The real and the imaginary parts along a new last axis, as they lie in memory; and back.
parts = Prim(name="parts", infer=_parts_infer, ref=_parts_ref, nondiff=_MADE)
joined = Prim(name="joined", infer=_joined_infer, ref=_joined_ref, nondiff=_MADE)
