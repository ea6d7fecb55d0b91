"""Two programs for one function, of which the first calls find the faster one.

What threads gain depends on more than a program shows: on other processes that keep the cores busy,
on the bandwidth of the memory, on how soon a thread wakes.  So the first call runs both, unless
that takes long.  A few later calls do so again, since the first one may have met a busy machine:
what counts is the time that a quarter of each program's runs kept below; the least one would count
for threads even if the second core is free in few of them.  Then the same program answers, with the
same digits, until threads have been slower than one thread for some calls: another process may keep
a core busy from then on.  They are compared again then, and now and then later.

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
AGAIN = 8  # the calls until both are compared again; so many times more until the next time
RARELY = 4096  # the most
SLOW = 24  # by how many calls with threads those that were slow exceed others to be in doubt
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
        self._calls, self._again, self._pause = 0, AGAIN, AGAIN
        self._slow, self._limit, self._asks = 0, 0.0, False
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
        if not self._times:
            return self._answer(inputs)
        if self._asks and self._calls >= LATER and self._improve(inputs):
            self._compare(inputs, perf_counter(), self._times)
        elif self._calls >= self._again:
            self._once_more(inputs)
        if self.chosen is not self._both[1]:
            return self._answer(inputs)
        start = perf_counter()
        result = self._answer(inputs)
        slow = perf_counter() - start > self._limit
        self._slow = max(self._slow + (1 if slow else -1), 0)
        if self._slow > SLOW:
            self._doubt(inputs)
        return result

    def _answer(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        result: list[np.ndarray] = self.chosen.call(inputs)
        return result

    def _once_more(self, inputs: Sequence[np.ndarray]) -> None:
        """Compare again; once one thread was faster twice, by new runs alone, as it may be free."""
        late = self._calls > AGAIN and self.chosen is not self._both[1]
        self._compare(inputs, perf_counter(), [[], []] if late else self._times)
        alone = self.chosen is not self._both[1]
        self._pause = min(self._pause * (2 if late and alone else AGAIN), RARELY)
        self._again = self._calls + self._pause

    def _doubt(self, inputs: Sequence[np.ndarray]) -> None:
        """Compare by new runs alone; if one thread is faster now, soon again."""
        self._slow = 0
        self._compare(inputs, perf_counter(), [[], []])
        if self.chosen is not self._both[1]:
            self._pause = AGAIN * AGAIN
            self._again = self._calls + self._pause

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
        shared.release()
        self._compare(inputs, start, [[], []])
        self.seconds["trials"] = perf_counter() - start
        chosen: list[np.ndarray] = self.chosen.call(inputs)
        return chosen

    def _improve(self, inputs: Sequence[np.ndarray]) -> bool:
        """Take the better whole, if it is there by now."""
        found = self._better() if self._better is not None else None
        if found is None:
            return False
        self._both, self._better, self._asks = (found, self._both[1]), None, False
        self._times = [[_spent(found, inputs)], self._times[1]]
        return True

    def _compare(self, inputs: Sequence[np.ndarray], start: float, both: list[list[float]]) -> None:
        """Run both some more times, unless that took long since the start, and choose.

        One several times, then the other: threads that have had nothing to do wake up slowly.  And
        never does each hold memory to work in.
        """
        for k, (times, program) in enumerate(zip(both, self._both, strict=True), 1):
            for _ in range(ROUNDS):
                if times and perf_counter() - start > PATIENCE * k / 2:
                    break
                times.append(_spent(program, inputs))
            if k == 1:
                program.release()
        whole, shared = map(_usual, both)
        self.chosen = self._both[1] if shared * GAIN < whole else self._both[0]
        if self.chosen is not self._both[1]:
            self._both[1].release()
        self._times, self._limit = both, whole * GAIN
        self._asks = self._better is not None and shared >= self._much * whole


def _usual(times: Sequence[float]) -> float:
    """The time below which a quarter of the runs was."""
    return sorted(times)[len(times) // 4]


def _spent(program: Any, inputs: Sequence[np.ndarray]) -> float:
    begin = perf_counter()
    program.call(inputs)
    return perf_counter() - begin
