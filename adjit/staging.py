"""From a call to a function of the IR: what every transformation starts from and gives.

Each transformation is a fact (a frozen dataclass) with one method,
`stage(fn, args, kwargs) -> Staged`.  The parameters of a staged function are the leaves of the
call `(args, kwargs)` in order, then one per capture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field, fields, replace
from typing import Any, ClassVar

from .ir.core import Function
from .ir.records import dataclass
from .passes import pipeline
from .passes.calls import settle
from .tracer.facts import Capture, StateGuard, Trace
from .tracer.record import is_tracing
from .tracer.trace import trace
from .tracer.tree import Tree, flatten
from .unrolling import policy

# Where one output leaf comes from: ("value", index into the function's results, kind), or
# ("static", object).
Out = tuple[Any, ...]
NOTHING = flatten(None)[1]


@dataclass(frozen=True)
class Zero:
    """A differentiated leaf that no result depends on, and the place that cut the path, if any."""

    path: str
    where: str = ""


@dataclass(frozen=True)
class Traced(Trace):
    """A trace whose function went through the first passes; `raw` is what was recorded."""

    raw: Function | None = None


@dataclass(frozen=True)
class Staged:
    """A traced call after its transformation.

    The first `strict` results keep NaN and infinities exactly (None: all); a derivative may trade
    some for speed.
    """

    trace: Traced
    function: Function
    names: tuple[str, ...]
    out_tree: Tree
    outs: tuple[Out, ...]
    zeros: tuple[Zero, ...] = field(default=())
    strict: int | None = None

    @property
    def traced(self) -> Function:
        """What was recorded, before any pass."""
        return self.trace.raw or self.trace.function

    @property
    def captures(self) -> tuple[Capture, ...]:
        """The hidden inputs."""
        return self.trace.captures

    @property
    def guards(self) -> tuple[StateGuard, ...]:
        """What the trace relies on."""
        return self.trace.guards


# Not empty while any thread traces: compiled functions then ask whether it is theirs.
open_traces: list[Callable[..., Any]] = []
# A trace that was made already, and what is to become of its function this time.
again: ContextVar[tuple[Traced, Callable[[Function], Function]] | None] = ContextVar(
    "adjit_again", default=None
)
# Whether the arguments at hand have only shapes: then nothing can be decided by their values.
shapes_only: ContextVar[bool] = ContextVar("adjit_shapes_only", default=False)


# Whether the program is to run once, by the interpreter: what serves kernels is left out.
brief: ContextVar[bool] = ContextVar("adjit_brief", default=False)


@contextmanager
def once() -> Iterator[None]:
    """A block in which what is staged is to run once."""
    token = brief.set(True)
    try:
        yield
    finally:
        brief.reset(token)


def traced(fn: Callable[..., Any], args: Any, kwargs: Any, made_up: Sequence[Any] = ()) -> Traced:
    """Trace a call, and let the process know that a trace is open.

    Nothing can be decided by the leaves that are `made_up`, of which only dtype and shape are so.
    """
    known = again.get()
    if known is not None and not is_tracing():
        return replace(known[0], function=known[1](known[0].function))
    open_traces.append(fn)
    try:
        sampled = not shapes_only.get()
        rolling = None if brief.get() else policy()
        t = trace(fn, args, kwargs, sampled=sampled, made_up=made_up, rolling=rolling)
    finally:
        open_traces.pop()
    facts = {f.name: getattr(t, f.name) for f in fields(t)}
    passes = pipeline.BRIEF if brief.get() else pipeline.PRIMAL
    facts["function"] = pipeline.run(t.function, passes)
    return Traced(**facts, raw=t.function)


class Transform:
    """What a compiled function does with the Python function it wraps.

    keywords  whether the keyword arguments of a call are those of the Python function
    """

    keywords: ClassVar[bool] = True

    @property
    def verb(self) -> str:
        """How the result is called in reports: "grad", "jit"."""
        raise NotImplementedError

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        """Trace a call and transform it."""
        raise NotImplementedError

    def primals(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of the Python function among those of the call."""
        return args

    def with_primals(self, args: tuple[Any, ...], primals: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of the call with others for the Python function."""
        return primals


class AtPoint(Transform):
    """A transformation that is called as (primals, something)."""

    keywords: ClassVar[bool] = False

    def primals(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The first argument."""
        return args[0]

    def with_primals(self, args: tuple[Any, ...], primals: tuple[Any, ...]) -> tuple[Any, ...]:
        """The call at another point."""
        return (primals, *args[1:])


# ------------------------------------------------------------------ jit


@dataclass(frozen=True)
class Jit(Transform):
    """The function as it is."""

    @property
    def verb(self) -> str:
        return "jit"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        return staged(t, t.function, t.outs_tree, t.out_leaves, strict=None)


def staged(
    t: Traced,
    function: Function,
    tree: Tree,
    outs: Sequence[Out],
    names: Sequence[str] = (),
    zero: Sequence[Zero] = (),
    strict: int | None = 0,
) -> Staged:
    """The result of a transformation of a traced call."""
    paths = tuple(names) or tuple(leaf.path for leaf in t.leaves)
    if not is_tracing():  # nothing around could differentiate it
        function = settle(function)
    return Staged(t, function, paths, tree, tuple(outs), tuple(zero), strict)
