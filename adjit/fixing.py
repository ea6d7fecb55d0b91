"""Integers that decide what the program is: sizes, counts, degrees.

All numbers of a call are traced, so that a new number costs nothing.  Where Python needs the value
of an integer while tracing (`range(n)`, `if n > 2`), the integer is fixed from then on: each value
of it is a variant of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .ir.core import Value
from .signature import Fixed
from .tracer.tree import flatten

_WHOLE = (int, np.integer)
Call = tuple[tuple[Any, ...], dict[str, Any]]


def fix(args: tuple[Any, ...], kwargs: dict[str, Any], which: Collection[int] | None) -> Call:
    """The call with these of its leaves fixed (all integers, if None)."""
    leaves, tree = flatten((args, kwargs))
    return tree.unflatten(
        [
            Fixed(x) if isinstance(x, _WHOLE) and (which is None or k in which) else x
            for k, x in enumerate(leaves)
        ]
    )


def to_fix(error: Exception, args: Any, kwargs: Any, known: Collection[int]) -> frozenset[int]:
    """The integer leaves to fix so that the error does not come again; none where that is no use.

    `args` and `kwargs` are the call before anything was fixed, `known` what was fixed already.
    """
    leaves = flatten((args, kwargs))[0]
    whole = {k for k, x in enumerate(leaves) if isinstance(x, _WHOLE) and k not in known}
    traced = [k for k in range(len(leaves)) if k not in known]
    read = read_by(error, len(traced))
    if read is None:
        return frozenset(whole)
    wanted = {traced[k] for k in read}
    return frozenset(wanted) if wanted <= whole else frozenset()


def read_by(error: Exception, count: int) -> set[int] | None:
    """Which of `count` traced parameters the value depends on that Python asked for, if known."""
    asked = None
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_name == "_known":
            asked = tb.tb_frame.f_locals.get("self")
        tb = tb.tb_next
    recorder = getattr(asked, "_rec", None)
    if asked is None or recorder is None or len(recorder.params) != count:
        return None
    places = {v: k for k, v in enumerate(recorder.params)}
    found: set[int] = set()
    seen: set[Value] = set()
    todo = [asked._read()]
    while todo:
        v = todo.pop()
        if v in seen:
            continue
        seen.add(v)
        if v in places:
            found.add(places[v])
        elif v in recorder.builder.defs:
            todo.extend(recorder.builder.defs[v].args)
        elif v in recorder.traced:
            return None  # a value of an enclosing trace
    return found
