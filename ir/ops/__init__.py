"""The rows.  Every row is a name of this package; the tables say which ufunc is which row."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ..prim import PRIMS, Prim

ROOMS = "elementwise", "logic", "special", "shape", "reduce", "index", "contract", "control"


def _gather() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for room in ROOMS:
        try:
            module = import_module(f".{room}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{room}":
                raise
            continue
        found |= {k: v for k, v in vars(module).items() if isinstance(v, Prim)}
    return found


globals().update(_gather())

UFUNCS: dict[np.ufunc, Prim] = {
    row.ref: row for row in PRIMS.values() if isinstance(row.ref, np.ufunc)
}
