"""What a trace says: leaves, captures, guards, and the function that was recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from ..ir.core import Function
from ..ir.records import dataclass
from ..ir.types import Aval
from .paths import Path
from .rolling.segments import Note
from .tree import Tree


@dataclass(frozen=True)
class LeafSpec:
    """What the trace knows of one argument leaf.

    kind     "array", "scalar" (NumPy scalar) or "python" (float, int, complex: weak)
    strides  of an array, in bytes
    path     where the leaf stands in the call: "x", "params['w']"
    """

    aval: Aval
    kind: str
    strides: tuple[int, ...] | None = None
    path: str = ""


@dataclass(frozen=True)
class Capture:
    """An array from outside that the function reads: a hidden input.

    read     gives the array of now; LookupError where the path leads nowhere any more
    path     "closure W", "global G", "made while tracing at model.py:12", "outer trace"
    value    what was seen at trace time: an ndarray, or the outer trace's Tracer
    live     whether `read` follows the user's program (False: the value was made while tracing)
    place    what `read` follows, if it does no more than that
    root     what it follows first
    """

    read: Callable[[], Any]
    path: str
    value: Any
    live: bool = True
    place: Path | None = None
    root: Path | None = None


@dataclass(frozen=True)
class StateGuard:
    """A fact about captured state that the trace relies on.

    fact  (path, wanted, "same", "equal" or "entries") where it is so simple; see `guards.one_check`
    path  what is looked at, where it is one thing
    """

    check: Callable[[], bool]
    text: str
    fact: tuple[Any, Any, str] | None = None
    path: Path | None = None

    def describe(self) -> str:
        """The fact in words, such as "global lr == 0.1"."""
        return self.text


@dataclass(frozen=True)
class Trace:
    """What one run of the function did.

    function   params: the leaves of `(args, kwargs)` in order, then one per capture
    out_leaves ("value", index into function.outs, kind) or ("static", object), per output leaf
    loops      what became of the loops that Python ran
    written    numbers of the user's that the function read and changed, as Python spells them
    recorded   how many ops were recorded, before loops were found
    """

    function: Function
    in_tree: Tree
    leaves: tuple[LeafSpec, ...]
    captures: tuple[Capture, ...]
    outs_tree: Tree
    out_leaves: tuple[tuple[Any, ...], ...]
    guards: tuple[StateGuard, ...] = field(default=())
    loops: tuple[Note, ...] = field(default=())
    written: tuple[str, ...] = field(default=())
    recorded: int = 0
