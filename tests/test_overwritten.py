"""Arrays outside that a function overwrites, or of which others are views."""

import operator

import numpy as np
import pytest

from adjit import jit
from adjit.errors import AdjitError, StateInTrace

pytestmark = pytest.mark.usefixtures("interpreted")


_table = np.zeros((3, 2))


def _overwrites(write):
    def whole(x):
        write(_table)
        return x * _table

    def picked(x):
        write(_table)
        return x * _table[np.argsort(x)]

    return whole, picked


@pytest.mark.parametrize(
    "write",
    [
        lambda a: a.fill(3.0),
        lambda a: a.sort(axis=0),
        lambda a: a.put([0], [3.0]),
        lambda a: operator.setitem(a, slice(1, None), 3.0),
        lambda a: operator.setitem(a[1:], 0, 3.0),
        lambda a: np.maximum(a, 0, out=a) is None,
    ],
    ids=["fill", "sort", "put", "part", "view", "out"],
)
def test_what_is_overwritten_at_every_call_is_overwritten_again(write):
    for f in _overwrites(write):
        for first in (np.arange(6.0), np.full(6, 3.0)):
            g, x = jit(f), np.array([0.5, -2.0])
            for start in (first, 2.0 - np.arange(6)):
                _table[...] = start.reshape(3, 2)
                want, after = f(x), _table.copy()
                _table[...] = start.reshape(3, 2)
                try:
                    np.testing.assert_array_equal(g(x), want)
                except AdjitError:  # a write that the trace cannot leave to NumPy
                    assert f.__name__ == "picked"
                    break
                np.testing.assert_array_equal(_table, after)


_line = np.zeros(12)
_even, _rows = _line[::2], _line.reshape(4, 3)


def _write_through_a_view(x):
    _rows.fill(2.0)
    return x * _even[:3]


def _read_before(x):
    y = x * _line[:3]
    _rows[0] = 0.0
    return y


def test_arrays_that_share_memory_change_together():
    g, x = jit(_write_through_a_view), np.arange(1.0, 4)
    for k in (1.0, 2.0, 5.0):
        _line[:] = k
        np.testing.assert_array_equal(g(x), 2 * x)
        assert np.all(_line == 2)
    h = jit(_read_before)
    for k in (3.0, 4.0):
        _line[:] = k
        with pytest.raises(StateInTrace, match="_line is read by the function, and changed"):
            h(x)
    _line[:] = 0
    np.testing.assert_array_equal(h(x), 0 * x)
    _line[:] = 1
    with pytest.raises(StateInTrace):
        h(x)
