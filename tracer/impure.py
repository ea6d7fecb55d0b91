"""What makes a function answer differently each time: random draws and clocks.

A trace would record the numbers of one call for all of them.  Draws are refused, and so is what a
clock showed where it meets a traced value or is returned.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import time
from types import CodeType, FrameType
from typing import Any

import numpy as np

from . import intercept
from .bytecode import instructions
from .errors import RandomInTrace
from .hidden import Hidden
from .intercept import DECLINE
from .place import USER, owner
from .record import fail, recorder
from .watch import CLOCKS, clock_error, importing

_STATES = ("seed", "get_state", "set_state", "getstate", "setstate")
_CLOCKS = ("time", "perf_counter", "monotonic", "process_time", "thread_time", "clock_gettime")
_SECRETS = ("randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe", "choice")
_LATER = {"uuid": ("uuid1", "uuid4"), "secrets": _SECRETS}


def _random(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if not user or recorder().seeded or importing(sys._getframe(1)):
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
    module = {"urandom": "os", "rvs": "scipy.stats"}.get(name, module)
    return f"{module or owner}.{name}"


def _seed(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if args and args[0] is not None:
        recorder().seeded = True  # what follows is the same at every call, traced or not
    return DECLINE


def _fresh_rng(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if user and not any(x is not None for x in (*args, *kwargs.values())):
        return _random(original, user, args, kwargs)
    return DECLINE


def _unseeded(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """The seed of a generator of NumPy that was given none."""
    if not user or _operands(sys._getframe(2)):
        return DECLINE
    raise fail(
        RandomInTrace,
        "a generator of random numbers is made without a seed while tracing; every call would see "
        "the same numbers",
        "Pass the noise as an argument, def f(x, noise): ..., or give it a seed.",
    )


def _operands(frame: FrameType) -> int:
    """How many arguments the call has that a frame is in (which compiled code answers)."""
    return _calls(frame.f_code).get(frame.f_lasti, 0)


@functools.lru_cache(maxsize=256)
def _calls(code: CodeType) -> dict[int, int]:
    return {
        i.offset: 1 if i.opname == "CALL_FUNCTION_EX" else i.arg or 0
        for i in instructions(code)
        if i.opname.startswith("CALL")
    }


def _clock(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if not user or importing(sys._getframe(1)):
        return DECLINE
    return reading(original(*args, **kwargs), f"time.{original.__name__}")


def reading(x: Any, clock: str) -> Hidden:
    """What a clock showed: it may be counted with and printed, but decides and enters nothing."""
    return Hidden(x, lambda: clock_error(clock))


def _calendar(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """A clock in parts: of the present moment, if no other is given."""
    if user and not args and not importing(sys._getframe(1)):
        raise clock_error(f"time.{original.__name__}")
    return DECLINE


def _entropy(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """The system's randomness, asked for by Python's own module of random numbers."""
    return _random(original, _user_above(sys._getframe(2)), args, kwargs)


def _seeding(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """random.Random() without a seed."""
    if (args[1] if len(args) > 1 else kwargs.get("a")) is not None:
        return DECLINE
    return _random(random.Random, _user_above(sys._getframe(2)), args, kwargs)


def _user_above(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename == random.__file__:
        frame = frame.f_back
    return frame is not None and owner(frame.f_code.co_filename) == USER


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
    intercept.enter(np.random.bit_generator, "randbits", _unseeded, direct=False)
    intercept.enter(os, "urandom", _random)
    intercept.enter(random, "_urandom", _entropy)
    intercept.enter(random.Random, "seed", _seeding, direct=False)
    for name in _CLOCKS:
        for each in (name, f"{name}_ns"):
            CLOCKS[id(getattr(time, each))] = getattr(time, each), f"time.{each}"
            intercept.enter(time, each, _clock)
    for name in ("localtime", "gmtime"):
        intercept.enter(time, name, _calendar)
    intercept.when_imported(_enter_later)
    intercept.when_imported(_enter_scipy)


def _enter_later() -> bool:
    """Modules that adjit does not import itself; whether all of them are entered."""
    for name in [n for n in _LATER if n in sys.modules]:
        for each in _LATER.pop(name):
            intercept.enter(sys.modules[name], each, _random)
    return not _LATER


def _enter_scipy() -> bool:
    """Draws from SciPy's distributions; whether they are entered."""
    module = sys.modules.get("scipy.stats._distn_infrastructure")
    if module is None or not hasattr(module, "rv_frozen"):
        return False
    for cls in (module.rv_generic, module.rv_frozen):
        intercept.enter(cls, "rvs", _variates, direct=False)
    return True


def _variates(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if isinstance(kwargs.get("random_state"), int):
        return DECLINE
    return _random(original, user, args, kwargs)
