"""Arrays made while tracing that two indices say are no inputs of the program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from traced import evaluated

from adjit.ir import Aval, Value
from adjit.tracer.facts import Capture
from adjit.tracer.patterns import said_by_indices
from adjit.tracer.trace import trace

N = 18
X = np.random.default_rng(0).normal(size=(N, N + 2))
SAID: dict[str, Any] = {
    "eye": lambda: np.eye(N, N + 2),
    "eye aside": lambda: 0.25 * np.eye(N, N + 2, k=3),
    "all but eye": lambda: 1 - np.eye(N, N + 2, k=-2),
    "tri": lambda: np.tri(N, N + 2, k=1),
    "upper": lambda: np.triu(np.ones((N, N + 2)), 2) * -3.0,
    "first column": lambda: np.where(np.tri(N, N + 2, k=-N + 1), -np.inf, 1.0),
    "last column": lambda: np.tri(N, N + 2, k=N),
    "mask": lambda: np.tri(N, N + 2, dtype=bool),
    "other mask": lambda: ~np.tri(N, N + 2, dtype=bool),
    "diagonal mask": lambda: np.eye(N, N + 2, dtype=bool),
    "no diagonal": lambda: ~np.eye(N, N + 2, dtype=bool),
    "single": lambda: np.eye(N, N + 2, dtype=np.float32),
    "minus zero": lambda: -np.tri(N, N + 2),
    "nan": lambda: np.where(np.eye(N, N + 2) > 0, np.nan, 0.0),
}


def changed(at: tuple[int, int]) -> np.ndarray:
    return np.eye(N, N + 2) + np.outer(np.arange(N) == at[0], np.arange(N + 2) == at[1])


READ: dict[str, Any] = {
    "one more": lambda: changed((3, 9)),
    "corner": lambda: changed((N - 1, N - 1)),
    "two diagonals": lambda: np.eye(N, N + 2) + np.eye(N, N + 2, k=1),
    "band": lambda: np.tri(N, N + 2, k=2) - np.tri(N, N + 2, k=-2),
    "few": lambda: np.eye(4, 5)[:, :1],
    "columns": lambda: np.asfortranarray(np.eye(N, N + 2)),
    "sign of zero": lambda: np.copysign(np.eye(N, N + 2), X),
}


@pytest.mark.parametrize("name", SAID)
def test_what_indices_say_is_no_input(name: str) -> None:
    make = SAID[name]

    def f(x: Any) -> Any:
        m = make()
        y = x[: m.shape[0], : m.shape[1]]
        return np.where(m, y, 2.0) if m.dtype == bool else (y * m, np.copysign(1.0, y * 0 + m))

    t = trace(f, (X,))
    assert not t.captures
    with np.errstate(all="ignore"):
        got, want = evaluated(t, (X + 1,)), f(X + 1)
    for g, w in zip(np.stack(got), np.stack(want), strict=True):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("name", READ)
def test_other_arrays_are_read(name: str) -> None:
    m = READ[name]()
    capture = Capture(lambda: m, "made while tracing", m, live=False)
    assert said_by_indices(Value(Aval("f64", m.shape)), capture) == []


def test_arrays_from_outside_stay_inputs() -> None:
    mask = np.tri(N, N + 2)
    assert len(trace(lambda x: x * mask, (X,)).captures) == 1
