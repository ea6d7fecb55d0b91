"""The vector registers of the CPU that kernels are compiled for."""

from __future__ import annotations

import functools

import numpy as np

from . import host


@functools.cache
def registers() -> tuple[int, int]:
    """Bytes of a vector register, and how many there are."""
    features = set(host.cpu()[1].split(","))
    if "+avx512f" in features:
        return 64, 32
    if features & {"+avx", "+avx2"}:
        return 32, 16
    return 16, 32 if "+neon" in features else 16


def width(dtype: np.dtype) -> int:
    """Elements of a vector register."""
    return registers()[0] // dtype.itemsize
