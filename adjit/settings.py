"""How programs are built and run: `with adjit.options(interpret=True): ...`."""

from __future__ import annotations

import os
import weakref
from contextvars import ContextVar, Token
from dataclasses import fields, replace
from typing import Any, Protocol

from .ir.records import dataclass
from .ir.sizes import parse_bytes

RUNGS = ("direct", "lean", "plain")
COMPILE = ("now", "background")
UNROLL = ("auto", "exact", "always", "never")


@dataclass(frozen=True, slots=True)
class Options:
    """The settings a program is built under.

    interpret  run the reference interpreter instead of compiled kernels
    rung       how kernels are compiled: "direct" or "lean" (short ways), "plain" (Numba's public
               API alone); None: what the environment variable ADJIT_RUNG says, else the first
    compile    "now": a call waits for its program; "background": the interpreter answers until a
               worker thread has compiled it, so the last digits of the first results may differ;
               with a memory budget, which the interpreter cannot keep, calls wait
    threads    how many threads may share the rows of a large program, each with one for BLAS, if
               that is measured to be faster; the default is ADJIT_THREADS or OMP_NUM_THREADS, else
               as many as there are processors for this process
    memory_budget  bytes (or "512M") that a program may take besides its arguments: large ones are
               run part by part of their rows, or compute again what they need not keep; None: no
               limit
    check      interpret the program before and after every pass, and compare
    debug      call the Python function itself on the arrays of each call, so that a debugger steps
               through it; derivatives come from the interpreter afterwards
    unroll     what becomes of the rounds of Python's loops: "auto" (they are one loop of the
               program where that pays), "never" or "always" a row of ops; "exact" is as "auto",
               but the number of rounds is never left to a condition on traced values
    """

    interpret: bool = False
    rung: str | None = None
    check: bool = False
    debug: bool = False
    compile: str = "now"
    threads: int = 1
    memory_budget: int | str | None = None
    unroll: str = "auto"

    def __post_init__(self) -> None:
        if self.rung not in (None, *RUNGS):
            raise ValueError(f"option rung={self.rung!r} is none of {RUNGS}")
        if self.compile not in COMPILE:
            raise ValueError(f"option compile={self.compile!r} is none of {COMPILE}")
        if type(self.threads) is not int or self.threads < 1:
            raise ValueError(f"option threads={self.threads!r} is no number of threads (1, 2, ...)")
        budget = self.memory_budget
        if budget is not None and not isinstance(budget, int):
            object.__setattr__(self, "memory_budget", _budget(budget))
        if self.unroll not in UNROLL:
            raise ValueError(f"option unroll={self.unroll!r} is none of {UNROLL}")


def _budget(text: str) -> int:
    try:
        return parse_bytes(text)
    except (ValueError, AttributeError):
        raise ValueError(
            f"option memory_budget={text!r} is no number of bytes (like 512M)"
        ) from None


def _from_environment() -> Options:
    return Options(
        interpret=os.environ.get("ADJIT_INTERPRET", "0") not in ("", "0"),
        check=os.environ.get("ADJIT_CHECK", "0") not in ("", "0"),
        compile=os.environ.get("ADJIT_COMPILE") or "now",
        threads=_threads(),
        memory_budget=os.environ.get("ADJIT_MEMORY_BUDGET") or None,
        unroll=os.environ.get("ADJIT_UNROLL") or "auto",
    )


def _threads() -> int:
    """What ADJIT_THREADS says, or OMP_NUM_THREADS, as other libraries read it; else processors."""
    for name in ("ADJIT_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "")
        if text.isdigit() and int(text) > 0:
            return int(text)
    return _processors()


def _processors(quota: str = "/sys/fs/cgroup/cpu.max") -> int:
    """How many this process may use: a container's share of the time counts as so many."""
    here = getattr(os, "sched_getaffinity", None)
    count = len(here(0)) if here is not None else os.cpu_count() or 1
    try:
        with open(quota) as file:
            share, period = file.read().split()
        return max(1, min(count, int(share) // int(period)))
    except (OSError, ValueError):  # there is no such file, or "max" in it
        return count


_default = _from_environment()
# Equal options of blocks are one object, as far as machine code is to tell them by their address.
scoped: ContextVar[Options | None] = ContextVar("adjit_options", default=None)
_blocks: dict[Options, Options] = {}
_MOST_BLOCKS = 64
# Not empty once there was an `options` block: compiled functions then look the options up, also
# those of a context that was copied in a block and outlives it; else a call does not pay for that.
changed: list[object] = []


class Follower(Protocol):
    """What wants to know when the default of the process changes."""

    def settings_changed(self) -> None:
        """The default is another one from now on."""
        ...


followers: weakref.WeakSet[Follower] = weakref.WeakSet()


def current() -> Options:
    """The options in force here."""
    return scoped.get() or _default


def _shared(options: Options) -> Options:
    """The object for such options of blocks."""
    if len(_blocks) >= _MOST_BLOCKS:
        _blocks.clear()
    return _blocks.setdefault(options, options)


class options:  # used as `with adjit.options(...)`, like np.errstate
    """A block under other options; `options.set(...)` changes the default of the process."""

    def __init__(self, **changes: Any) -> None:
        self._changes = _known(changes)
        self._tokens: list[Token[Options | None]] = []

    def __enter__(self) -> Options:
        here = _shared(replace(current(), **self._changes))
        if not changed:
            changed.append(self)
        self._tokens.append(scoped.set(here))
        return here

    def __exit__(self, *_: object) -> None:
        scoped.reset(self._tokens.pop())

    @staticmethod
    def get() -> Options:
        """The options in force here."""
        return current()

    @staticmethod
    def set(**changes: Any) -> Options:
        """Change the default of the process, and what is in force here; returns the default."""
        global _default
        _default = replace(_default, **_known(changes))
        if (here := scoped.get()) is not None:
            scoped.set(_shared(replace(here, **changes)))
        for follower in list(followers):
            follower.settings_changed()
        return _default


options.__doc__ = f"{options.__doc__}\n\n    {Options.__doc__}"  # what `help(options)` shows


def _known(changes: dict[str, Any]) -> dict[str, Any]:
    names = [f.name for f in fields(Options)]
    for name in changes:
        if name not in names:
            raise TypeError(f"no option {name!r}; there are {', '.join(names)}")
    return changes
