"""NumPy's surface against NumPy: tables of calls, each traced, replayed, and differentiated.

Most of it runs through the interpreter.  The first call of every fourth function runs compiled as
well, many functions in one program.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from differential import TALLY, Case, Entry, cases, check, close, outcome
from numpy_cases import TABLE

from adjit import jit
from adjit.tracer.tree import flatten

ENOUGH_FUNCTIONS, ENOUGH_CASES = 230, 3000
PER_PROGRAM = 24


@pytest.mark.parametrize("e", TABLE, ids=lambda e: e.name)
def test_entry(e: Entry) -> None:
    wrong = []
    for case in cases([e]):
        try:
            check(case)
        except AssertionError as error:
            wrong.append(str(error))
        except Exception as error:
            wrong.append(f"{case}: {type(error).__name__}: {error}")
    assert not wrong, f"{len(wrong)} cases\n" + "\n".join(wrong[:12])


def test_counts(record_property: pytest.RecordProperty) -> None:
    """Enough functions, enough cases: of those that have a value, if all of them were run."""
    names = {e.name for e in TABLE if not e.name.startswith("script.")}
    count = len(list(cases(TABLE)))
    record_property("functions", len(names))
    record_property("cases", count)
    assert len(names) >= ENOUGH_FUNCTIONS
    assert count >= ENOUGH_CASES
    ran = TALLY["values"] + TALLY["errors"]
    if ran >= count:
        record_property("checks", dict(TALLY))
        assert TALLY["values"] >= ENOUGH_CASES
        assert TALLY["derivatives"] >= ENOUGH_CASES // 3
        assert TALLY["second derivatives"] >= ENOUGH_CASES // 12


# ------------------------------------------------------------------ bad input

WRONG = {
    "axis": (lambda x: np.sum(x, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
    "running axis": (lambda x: np.cumsum(x, axis=3), np.exceptions.AxisError, "out of bounds"),
    "twice": (lambda x: x.sum(axis=(0, 0)), ValueError, "duplicate value in 'axis'"),
    "empty": (lambda x: np.max(x[:0]), ValueError, "zero-size array to reduction operation"),
    "shapes": (lambda x: x + x[:, :2], ValueError, "could not be broadcast"),
    "matmul": (lambda x: x @ x, ValueError, "matmul"),
    "reshape": (lambda x: x.reshape(5, 5), ValueError, "cannot reshape array of size 12"),
    "concatenate": (lambda x: np.concatenate([x, x[0]]), ValueError, "must match"),
    "split": (lambda x: np.split(x, 5), ValueError, "does not result in an equal division"),
    "index": (lambda x: x[7], IndexError, "index 7 is out of bounds for axis 0 with size 3"),
    "float index": (lambda x: x[1.5], IndexError, "only integers"),
    "take": (lambda x: np.take(x, 9, axis=1), IndexError, "out of bounds"),
    "dtype": (lambda x: x & 3, TypeError, "ufunc 'bitwise_and' not supported"),
    "cast": (lambda x: np.add(x, 1, out=np.zeros(x.shape, int)), TypeError, "Cannot cast"),
    "quantile": (lambda x: np.quantile(x, 2.0), ValueError, "range"),
    "inverse": (lambda x: np.linalg.inv(x), np.linalg.LinAlgError, "square"),
    "reduceat": (lambda x: np.add.reduceat(x, [5]), IndexError, "out-of-bounds"),
    "accumulate": (lambda x: np.add.accumulate(x.sum()), TypeError, "accumulate on a scalar"),
    "pad": (lambda x: np.pad(x, -1), ValueError, "negative"),
    "weights": (lambda x: np.average(x, weights=[1.0]), TypeError, "Axis must be specified"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_raises_what_numpy_raises_and_names_the_line(name: str) -> None:
    call, kind, gist = WRONG[name]
    x = np.arange(12.0).reshape(3, 4)
    assert isinstance(outcome(call, x), kind)
    with pytest.raises(kind, match=re.escape(gist)) as error:
        jit(call)(x)
    said = str(error.value) + "\n".join(getattr(error.value, "__notes__", ()))
    assert "test_numpy_differential.py" in said


# ------------------------------------------------------------------ kernels


def _first_calls() -> list[Case]:
    """The first call of every function that has a compiled part, on plain float64 arrays."""
    seen, out = set(), []
    for e in TABLE:
        case = Case(e, 0, "C")
        if not e.kernel or e.name in seen or "C" not in e.kinds:
            continue
        if not isinstance(outcome(case.call, *e.arguments("C", 0)), Exception):
            seen.add(e.name)
            out.append(case)
    return out


CALLS = _first_calls()[::4]
GROUPS = [CALLS[i : i + PER_PROGRAM] for i in range(0, len(CALLS), PER_PROGRAM)]


def _all(group: list[Case]):
    """The calls of a group as one function of all their arguments."""

    def together(*args):
        return [case.call(*given) for case, given in zip(group, args, strict=True)]

    return together


@pytest.mark.parametrize("group", GROUPS, ids=lambda g: g[0].entry.name)
def test_compiled(group: list[Case]) -> None:
    """A program of many functions gives what NumPy gives, at another point than it was traced."""
    program = jit(_all(group))
    program(*(c.entry.arguments("C", 0) for c in group))
    points = [c.entry.arguments("C", 1) for c in group]
    for case, got, args in zip(group, program(*points), points, strict=True):
        want = outcome(case.call, *args)
        for g, w in zip(flatten(got)[0], flatten(want)[0], strict=True):
            if isinstance(w, (np.ndarray, np.generic)):
                assert np.asarray(g).dtype == np.asarray(w).dtype, case
                close(case, np.asarray(g), np.asarray(w))
