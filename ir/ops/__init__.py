"""The rows.  Every row is a name of this package; the tables say which ufunc is which row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..prim import PRIMS, Prim
from . import (
    arithmetic,
    banded,
    contract,
    control,
    convolutions,
    decompositions,
    eigen,
    elliptic,
    factored,
    factors,
    faddeeva,
    fourier,
    guards,
    incomplete,
    index,
    interleave,
    linalg,
    logic,
    mathieu,
    orders,
    planes,
    polynomials,
    ranks,
    reduce,
    shape,
    show,
    slopes,
    special,
    spheroidal,
    triangular,
    windows,
)
from .arithmetic import angle, modulus
from .special import SPECIAL_ORDERS, SPECIAL_UFUNCS, polygamma

__all__ = ["SPECIAL_ORDERS", "SPECIAL_UFUNCS", "UFUNCS", "angle", "modulus", "polygamma"]

_ROOMS = (
    arithmetic,
    banded,
    logic,
    planes,
    special,
    incomplete,
    orders,
    mathieu,
    spheroidal,
    elliptic,
    polynomials,
    faddeeva,
    shape,
    reduce,
    ranks,
    index,
    interleave,
    contract,
    convolutions,
    linalg,
    slopes,
    triangular,
    decompositions,
    eigen,
    factored,
    factors,
    fourier,
    control,
    guards,
    windows,
    show,
)


def _rows() -> dict[str, Prim]:
    """Rows by their Python names (`sum_`, where the text form says `sum`)."""
    return {k: v for room in _ROOMS for k, v in vars(room).items() if isinstance(v, Prim)}


def __getattr__(name: str) -> Any:
    raise AttributeError(f"there is no row {name}")


# Gathered, not listed, so that a new row is written in one place.
globals().update(_rows())

# NumPy's ufuncs that are one row as they stand, where the row takes their operands' dtype.
UFUNCS: dict[np.ufunc, Prim] = {
    row.ref: row for row in PRIMS.values() if isinstance(row.ref, np.ufunc)
}
