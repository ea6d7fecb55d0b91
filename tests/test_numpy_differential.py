"""NumPy's surface against NumPy: tables of calls, each traced, replayed, and differentiated."""

from __future__ import annotations

import numpy as np
import numpy_cases
import pytest
from differential import TALLY, cases, check, outcome, same
from numpy_cases import TABLE

import adjit


@pytest.mark.parametrize("e", TABLE, ids=lambda e: e.name)
def test_entry(e):
    wrong = []
    for case in cases([e]):
        try:
            check(case)
        except Exception as error:
            wrong.append(f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error))
    if wrong:
        pytest.fail(f"{len(wrong)} cases\n" + "\n".join(wrong[:12]), pytrace=False)
