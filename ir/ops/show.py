"""The row of print: it shows values of a call, and has no result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..builder import current
from ..core import Op, all_ops
from ..prim import Prim

__all__ = ["muted", "show", "shows"]

_print = print
_muted: ContextVar[bool] = ContextVar("adjit_muted", default=False)


@contextmanager
def muted() -> Iterator[None]:
    """Evaluate without showing anything."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


def _ref(*args: Any, text: str, end: str = "\n") -> tuple[Any, ...]:
    if not _muted.get():
        _print(text.format(*(np.asarray(x)[()] for x in args)), end=end)
    return ()


def _batch(args: Any, moved: Any, **attrs: Any) -> tuple[Any, ...]:
    current().add(show, args, attrs)
    return ()


# `text` has a field of str.format for each argument.
show = Prim(
    name="show",
    infer=lambda *args, text, end="\n": (),
    ref=_ref,
    nondiff="it shows values, and has no result",
    batch=_batch,
    pure=False,
    defaults={"end": "\n"},
)


def shows(op: Op) -> bool:
    """Whether an op, or one in its regions, shows something."""
    if not op.blocks:
        return op.prim is show
    return any(o.prim is show for b in op.blocks.values() for o in all_ops(b))
