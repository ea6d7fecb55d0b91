"""What makes a function answer differently each time: random draws and clocks.

A trace would record the numbers of one call for all of them.  Draws are refused, and so is what a
clock showed where it meets a traced value or is returned.
"""

from __future__ import annotations

import os
import random
import sys
import time
from typing import Any

import numpy as np

from . import intercept
from .errors import ClockInTrace, RandomInTrace
from .intercept import DECLINE
from .record import fail, recorder

_STATES = ("seed", "get_state", "set_state", "getstate", "setstate")
_CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "thread_time")
_LATER = {"uuid": ("uuid1", "uuid4"), "secrets": ("randbelow", "randbits", "token_bytes", "choice")}


def _random(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if not user or recorder().seeded:
        return DECLINE
    raise fail(
        RandomInTrace,
        f"{_told(original)} draws while tracing; every call would see the same numbers",
        "Pass the noise as an argument: def f(x, noise): ...",
    )


def _told(original: Any) -> str:
    """The name of a function as users write it."""
    name = original.__name__
    if getattr(np.random, name, None) is not None and not hasattr(random, name):
        return f"np.random.{name}"
    module = getattr(original, "__module__", None)
    owner = type(getattr(original, "__self__", None)).__module__
    if "numpy" in (str(module) + owner):
        return f"np.random.{name}"
    module = "os" if name == "urandom" else module
    return f"{module or owner}.{name}"


def _seed(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if args and args[0] is not None:
        recorder().seeded = True  # what follows is the same at every call, traced or not
    return DECLINE


def _fresh_rng(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if user and not args and not kwargs:
        return _random(original, user, args, kwargs)
    return DECLINE


def _clock(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    return reading(original(*args, **kwargs), original.__name__) if user else DECLINE


class Reading(float):
    """What a clock showed while tracing: it may be printed and compared, but enters no program."""

    clock: str


class ReadingNs(int):
    """The same in nanoseconds."""

    clock: str


def reading(x: Any, clock: str) -> Any:
    """A number that remembers its clock."""
    out = (ReadingNs if isinstance(x, int) else Reading)(x)
    out.clock = clock
    return out


def _kept(name: str) -> Any:
    """An operator that goes on remembering: differences of readings are readings."""

    def apply(self: Any, *others: Any) -> Any:
        plain = float if isinstance(self, Reading) else int
        out = getattr(plain, name)(plain(self), *others)
        return reading(out, self.clock) if type(out) in (int, float) else out

    return apply


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv"):
    for _kind in (Reading, ReadingNs):
        setattr(_kind, f"__{_name}__", _kept(f"__{_name}__"))


def check_no_reading(x: Any) -> None:
    """Refuse what a clock showed where it would become a part of the program."""
    if isinstance(x, (Reading, ReadingNs)):
        raise fail(
            ClockInTrace,
            f"what time.{x.clock} showed while tracing would be the same in every call",
            "Pass the time as an argument, or measure around the call.",
        )


def random_state(generator: Any) -> str:
    """What tells whether a generator drew."""
    if isinstance(generator, random.Random):
        return repr(generator.getstate())
    state = getattr(generator, "bit_generator", None)
    return repr(state.state if state is not None else generator.get_state())


def enter() -> None:
    """Fill the table of interception."""
    shared = (np.random, np.random.mtrand._rand), (random, random._inst)
    for module, state in shared:
        for name in dir(module):
            f = getattr(module, name)
            if getattr(f, "__self__", None) is state and name not in _STATES:
                intercept.enter(module, name, _random)
        intercept.enter(module, "seed", _seed)
    intercept.enter(np.random, "default_rng", _fresh_rng)
    intercept.enter(os, "urandom", _random)
    for name in _CLOCKS:
        for each in (name, f"{name}_ns"):
            intercept.enter(time, each, _clock)
    intercept.when_imported(_enter_later)


def _enter_later() -> bool:
    """Modules that adjit does not import itself; whether all of them are entered."""
    for name in [n for n in _LATER if n in sys.modules]:
        for each in _LATER.pop(name):
            intercept.enter(sys.modules[name], each, _random)
    return not _LATER
