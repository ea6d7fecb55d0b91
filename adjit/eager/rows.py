"""Rows of the IR that NumPy has no name for, on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.prim import Prim
from ..tracer.place import here
from ..tracer.record import recorder
from ..tracer.surface import array, is_tracer, values


def row(prim: Prim, *xs: Any, **attrs: Any) -> Any:
    """One row of the IR on arrays: recorded in a trace, else evaluated."""
    if any(map(is_tracer, xs)):
        if any(x.dtype == np.float16 for x in xs):  # no row computes in half precision
            return row(prim, *(x.astype(np.float32) for x in xs), **attrs).astype(np.float16)
        recorder().builder.where = here()
        return array(prim(*values(*xs), **attrs))
    dtype = np.result_type(*xs)
    return prim.ref(*(np.asarray(x, dtype) for x in xs), **attrs)
