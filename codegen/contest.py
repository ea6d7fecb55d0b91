"""Two programs for one function, of which the first calls find the faster one.

What threads gain depends on more than a program shows: on other processes that keep the cores busy,
on the bandwidth of the memory, on how soon a thread wakes.  So the first call runs both, unless
that takes long.  A few later calls do so again, since the first one may have met a busy machine:
what counts is the time that a quarter of each program's runs kept below; the least one would count
for threads even if the second core is free in few of them.  Then the same program answers, with the
same digits.

The whole may be compiled late: until then, the parts one after the other stand for it.  Where that
takes more than the whole does, because arrays pass from stage to stage, it says little.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

GAIN = 1.05  # how much faster several threads must be
ROUNDS = 5
MUCH = 0.7  # of the time without threads: no other form of the whole is as fast
PATIENCE = 0.1  # seconds after which no more runs are made
LONG = 0.3  # seconds of a run from which on threads are believed to be worth it
AGAIN = frozenset((8, 64, 512))  # the calls that compare again
LATER = 3  # the call from which on a better whole is asked for: many programs are called once


class Contest:
    """A program that is `shared` among threads or `whole`; both before a call decides.

    Whatever else is asked of it, the one that was chosen answers, the shared one before that.
    Later calls, unless threads take less than `much` of the time, ask `better` for the program that
    takes the place of `whole`; it answers None as long as there is none.
    """

    def __init__(
        self,
        whole: Any,
        shared: Any,
        better: Callable[[], Any | None] | None = None,
        much: float = MUCH,
    ) -> None:
        self.chosen: Any = None
        self.seconds = {**shared.seconds, "trials": 0.0}
        self._both, self._better, self._much = (whole, shared), better, much
        self._lock = threading.Lock()
        self._calls = 0
        self._times: list[list[float]] = []  # of both; none where nothing was compared

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chosen or self._both[1], name)

    def call(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results of the faster program."""
        if self.chosen is None:
            with self._lock:
                if self.chosen is None:
                    return self._first(inputs)
        self._calls += 1
        if self._times:
            waits = self._better is not None and self._calls >= LATER
            if (waits and self._improve(inputs)) or self._calls in AGAIN:
                self._compare(inputs, perf_counter())
        result: list[np.ndarray] = self.chosen.call(inputs)
        return result

    def _first(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results, and the choice."""
        start = perf_counter()
        shared = self._both[1]
        result: list[np.ndarray] = shared.call(inputs)
        if perf_counter() - start > LONG:
            self.chosen = shared
            return result
        del result  # or there would be twice the memory for results
        # The first runs meet memory that is not mapped yet.
        self._times = [[_spent(program, inputs)] for program in self._both]
        self._compare(inputs, start)
        self.seconds["trials"] = perf_counter() - start
        chosen: list[np.ndarray] = self.chosen.call(inputs)
        return chosen

    def _improve(self, inputs: Sequence[np.ndarray]) -> bool:
        """Take the better whole, if it may win and is there by now."""
        assert self._better is not None
        whole, shared = map(_usual, self._times)
        if shared < self._much * whole or (found := self._better()) is None:
            return False
        self._both, self._better = (found, self._both[1]), None
        self._times[0] = [_spent(found, inputs)]
        return True

    def _compare(self, inputs: Sequence[np.ndarray], start: float) -> None:
        """Run both some more times, unless that took long since the start, and choose."""
        for _ in range(ROUNDS):
            if perf_counter() - start > PATIENCE:
                break
            for times, program in zip(self._times, self._both, strict=True):
                times.append(_spent(program, inputs))
        whole, shared = map(_usual, self._times)
        self.chosen = self._both[1] if shared * GAIN < whole else self._both[0]


def _usual(times: Sequence[float]) -> float:
    """The time below which a quarter of the runs was."""
    return sorted(times)[len(times) // 4]


def _spent(program: Any, inputs: Sequence[np.ndarray]) -> float:
    begin = perf_counter()
    program.call(inputs)
    return perf_counter() - begin
