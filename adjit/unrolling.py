"""Which Python loops become loops of the program, and which stay a row of ops."""

from __future__ import annotations

from collections.abc import Callable

from .settings import current

_ROUNDS = 8  # fewer than that compile well as they are, unless they are long
_OPS = 100  # of all rounds together


def worth() -> Callable[[int, int], bool] | None:
    """Whether so many rounds of so many ops become one loop, by the options in force."""
    return _POLICIES[current().unroll]


def _if_long(rounds: int, ops: int) -> bool:
    return rounds >= _ROUNDS and rounds * ops >= _OPS


_POLICIES: dict[str, Callable[[int, int], bool] | None] = {
    "auto": None,
    "exact": None,
    "always": None,
    "never": lambda rounds, ops: True,
}
