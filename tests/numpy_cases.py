"""The tables of the differential suite, as one."""

from __future__ import annotations

import numpy_cases_choose
import numpy_cases_linear
import numpy_cases_reduce
import numpy_cases_scripts
import numpy_cases_shape
import numpy_cases_ufuncs
from differential import Entry

_PARTS = (
    numpy_cases_ufuncs,
    numpy_cases_reduce,
    numpy_cases_shape,
    numpy_cases_choose,
    numpy_cases_linear,
    numpy_cases_scripts,
)
TABLE: list[Entry] = [e for part in _PARTS for e in part.table()]
