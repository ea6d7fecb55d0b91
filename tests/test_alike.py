"""State that is equal but not the same: 1 and 1.0, 0.0 and -0.0, dicts in another order."""

from __future__ import annotations

import array  # noqa: F401 - the texts below are Python
from collections import deque
from typing import Any

import numpy as np
import pytest

from adjit import jit, options
from adjit.tracer.alike import alike

x = np.arange(3)
PAIRS = [
    ("0.0", "-0.0"), ("np.float32(0)", "np.float32(-0.0)"), ("0j", "-0j"),
    ("1 + 0j", "complex(1, -0.0)"), ("[1, 2]", "[1.0, 2]"), ("(1, 2)", "(True, 2)"),
    ("{1, 2}", "{1.0, 2}"),
    ("frozenset({1})", "frozenset({True})"), ("dict(a=1)", "dict(a=1.0)"), ("{1: 1}", "{1.0: 1}"),
    ("dict(a=1, b=2)", "dict(b=2, a=1)"), ("[0.0]", "[-0.0]"), ("deque([1])", "deque([1.0])"),
    ("bytearray(b'a')", "bytearray(b'b')"), ("array.array('d', [0])", "array.array('d', [-0.0])"),
    ("array.array('i', [1])", "array.array('l', [1])"), ("[1]", "[1, 1]"),
]  # fmt: skip


def made(text: str) -> Any:
    return eval(text)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_values_are_alike_if_no_program_can_tell_them_apart(one, other):
    assert alike(made(one), made(one))
    assert alike(made(other), made(other))
    assert not alike(made(one), made(other))
    assert not alike(made(other), made(one))


state: Any = None


@pytest.mark.parametrize("interpret", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "read"),
    [
        ("0.0", "-0.0", lambda x, s: np.copysign(x, s)),
        ("[1, 2]", "[1.0, 2]", lambda x, s: x * sum(s)),
        ("deque([1, 2])", "deque([3, 2])", lambda x, s: x * s[0]),
        ("bytearray(b'ab')", "bytearray(b'bb')", lambda x, s: x * s[0]),
        ("array.array('d', [1])", "array.array('d', [2])", lambda x, s: x * sum(s)),
        ("deque([np.ones(3)])", "deque([np.ones(3), x])", lambda x, s: x + sum(s)),
    ],
)
def test_a_change_of_state_is_noticed(before, after, read, interpret):
    global state

    @jit
    def reads(x):
        return read(x, state)

    with options(interpret=interpret):
        for text in (before, before, after, after, before):
            state = made(text)
            want, got = read(x, state), reads(x)
            assert got.dtype == want.dtype
            np.testing.assert_array_equal(np.copysign(1.0, got), np.copysign(1.0, want))
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("change", [lambda d: d.append(7), lambda d: d.__setitem__(0, 7)])
def test_a_deque_that_is_given_may_change(change):
    scaled = jit(lambda x, d: x * d[0] * len(d))
    given = deque([1, 2])
    with options(interpret=True):
        scaled(x, given)
        change(given)
        np.testing.assert_array_equal(scaled(x, given), x * given[0] * len(given))


@pytest.mark.parametrize("interpret", [True, False])
def test_the_order_of_a_dict_is_part_of_a_call(interpret):
    first = jit(lambda x, d: {k: x * v for k, v in d.items()} | {"first": next(iter(d.values()))})
    calls = {"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}, {"a": 3.0, "b": 1.0}
    with options(interpret=interpret):
        for d in (*calls, *calls):
            got = first(x, d)
            assert list(got) == [*d, "first"]
            assert got["first"] == next(iter(d.values()))


def test_keys_of_several_types_are_told_apart():
    keyed = jit(lambda x, d: x * next(iter(d)))
    for key in (1, 1.0, True, 1, 1.0, True):
        want = x * key
        got = keyed(x, {key: 0.0})
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


class Pair:
    """Two attributes."""

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


first = second = np.ones(3)


@pytest.mark.parametrize("interpret", [True, False])
@pytest.mark.parametrize("dear", [lambda a: a, lambda a: a * 2], ids=["read", "derived"])
def test_what_was_one_array_may_become_two(dear, interpret):
    global first, second
    pair, table = Pair(x + 1.0, None), {"a": x + 2.0}
    pair.b, table["b"] = pair.a, table["a"]
    rows = [np.ones(3)] * 2

    @jit
    def reads(t):
        named = t * dear(first) + 2 * t * dear(second)
        attributes = t * dear(pair.a) + 3 * t * dear(pair.b)
        return named + attributes + t * dear(table["a"]) - t * dear(table["b"]) * dear(rows[1])

    want = lambda t: reads.__wrapped__(t)  # noqa: E731
    with options(interpret=interpret):
        for change in (
            lambda: None,
            lambda: globals().update(second=np.full(3, 5.0)),
            lambda: setattr(pair, "b", np.full(3, 6.0)),
            lambda: table.update(b=np.full(3, 7.0)),
            lambda: rows.__setitem__(1, np.full(3, 8.0)),
        ):
            change()
            np.testing.assert_array_equal(reads(x), want(x))
            np.testing.assert_array_equal(reads(x), want(x))
    first = second = np.ones(3)


@pytest.mark.parametrize("interpret", [True, False])
def test_what_held_the_same_arrays_may_hold_others(interpret):
    one = other = {"w": x + 1.0}
    reads = jit(lambda t: t * one["w"] + 2 * t * other["w"])
    with options(interpret=interpret):
        np.testing.assert_array_equal(reads(x), 3 * x * (x + 1.0))
        other = {"w": x + 5.0}
        np.testing.assert_array_equal(reads(x), x * (x + 1.0) + 2 * x * (x + 5.0))
