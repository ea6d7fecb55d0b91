"""Loops over `adjit.range` in which Python decides by what differs from round to round.

A few rounds cannot show what it would decide in the others.  So the trace is taken again, and such
a loop counts in Python there: all its rounds are recorded, as those of `range` are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

import numpy as np

from ..ir.core import Value
from .holdings import Holdings, changes, restore
from .lent import Lending
from .record import MOST_DECISIONS, NoSample, Recorder, stack
from .rolling.natural_loops import loops_of

Site = tuple[CodeType, int]  # the code and the instruction of a `for` statement
NO_VALUES = "Rows of vmap and bodies given as functions have no values that Python could see."


class Again(Exception):
    """Ends a trace that is to be taken again."""


def site_of(frame: FrameType) -> Site:
    """The `for` statement that a frame is at."""
    return frame.f_code, loops_of(frame.f_code).place(frame.f_lasti)


def in_python(site: Site) -> bool:
    """Whether a loop counts in Python in the trace that is open."""
    return site in stack()[0].python


def ask_for(loops: Sequence[tuple[Site, Value]], rec: Recorder) -> str:
    """Let these loops, of so many rounds each, count in Python when the trace is taken again.

    Why that cannot be done: there are no values to decide by, or too many rounds.  "": it can.
    """
    if any(v not in r._samples and v not in r._outside for r in stack() for v in r.params):
        return NO_VALUES
    for _, n in loops:
        try:
            rounds = int(np.asarray(rec.sample(n)))
        except NoSample:  # it differs from round to round of a loop around
            continue
        if rounds > MOST_DECISIONS:
            return f"{rounds} rounds are too many to run them all in Python."
    stack()[0].python.update(site for site, _ in loops)
    return ""


def until_settled(
    take: Callable[[], Any], sites: set[Site], before: Holdings, lending: Lending
) -> Any:
    """What is taken when no more loops ask to count in Python, and no more arrays to be traced."""
    while True:
        known = len(sites)
        try:
            return take()
        except Exception as error:
            if len(sites) == known and not lending.more(error):
                told = lending.told(error)
                if told is error:
                    raise
                raise told from None
        if changes(before):
            restore(before)
