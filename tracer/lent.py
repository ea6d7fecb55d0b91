"""Plain arrays that traced values index, are written into, or meet in a method.

`A[i]`, `A.dot(x)` and `A[0] = x` ask NumPy's code for a plain array A, which knows no Tracers.  So
a trace that failed there is taken again, with views in the place of the arrays within reach: where
the user's code reads what lies in one, that is a hidden input of the program.  Arrays that NumPy's
functions make in such a trace are traced, too.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import numpy as np

from ..ir.core import all_ops
from ..ir.ops.guards import guard
from ..ir.ops.show import muted
from ..ir.records import dataclass
from ..ir.types import NUMPY
from . import mutation
from .content import Views
from .errors import AdjitError, FrozenWrite, TracedBranch, TracedConversion, UntracedWrite
from .holdings import Holdings, changes, put, restore
from .place import USER, owner
from .record import Recorder, fail, stack
from .settling import Taken
from .tracer import Tracer
from .watched import OF_SHAPES, Seen, bare, leaves, mapped, memory_of

NONE, FLOATS, ALL = range(3)  # which plain arrays are traced: none; and of those made, which


@dataclass
class Lending:
    """Which plain arrays are traced in the trace that is taken next, and why."""

    level: int = NONE
    first: BaseException | None = None

    def more(self, error: BaseException) -> bool:
        """Whether the trace is to be taken again, with more arrays traced, after this error."""
        if not asks_for_more(self.level, error):
            return False
        self.first = self.first or error
        self.level += 1
        return True

    def told(self, error: BaseException) -> BaseException:
        """The error to show after the last one."""
        first = self.first
        if first is None:
            return error
        written = isinstance(first, UntracedWrite) and isinstance(error, FrozenWrite)
        foreign = isinstance(error, TypeError | AttributeError | NotImplementedError)
        if written or (foreign and not isinstance(error, AdjitError)):
            return first
        return error


def asks_for_more(level: int, error: BaseException | None) -> bool:
    """Whether an error may come from a plain array that is not traced at this level."""
    if level == ALL:
        return False
    if isinstance(error, TracedBranch):
        return error.indexed
    return isinstance(error, TracedConversion | UntracedWrite)


def undecided(first: Taken, take: Callable[[], Taken], lending: Lending, before: Holdings) -> Taken:
    """The trace with arrays traced, where that is one that relies on fewer indices, else `first`.

    An index decides by its value what an item of a plain array is, and every other one would be
    another program.
    """
    if not first.indexed or lending.level or len(first.trace.function.block.ops) > _MANY:
        return first
    lending.level = FLOATS
    with muted(), contextlib.suppress(Exception):
        second = take()
        if not changes(before) and _guards(second) < _guards(first):
            return second
    lending.level = NONE
    if changes(before):
        restore(before)
    return first


_MANY = 5000  # ops of a program that is not traced twice for that


def _guards(taken: Taken) -> int:
    return sum(op.prim is guard for op in all_ops(taken.trace.function.block))


# ------------------------------------------------------------------ in the place of arrays


class Stands:
    """Views that stand for the arrays that are held, if any are asked for.

    owners  what owns the memory of these arrays, by identity
    """

    def __init__(self, held: Callable[[], Holdings] | None) -> None:
        self.owners: set[int] = set()
        self._held = held
        self._views = Views(self._lend)
        try:
            if held is not None:
                self._views.put_into(held())
        except BaseException:  # an interrupt
            self.end()
            raise

    def _lend(self, x: np.ndarray) -> Any:
        if x.dtype not in _DTYPES:
            return x
        self.owners.add(id(memory_of(x)))
        view = x.view(Lent)
        view._plain = x
        return view

    def end(self) -> None:
        """Put the arrays back, also where the user's code has put a view."""
        held, self._held = self._held, None
        if held is not None:
            self._views.take_out()
            for slot, x in held().all():
                if type(x) is Lent:
                    put(slot, bare(x))


_DTYPES = frozenset(NUMPY.values())


class Lent(Seen):
    """A view of an array from outside that is a traced value wherever the user's code reads it."""

    def __array_finalize__(self, obj: Any) -> None:
        self._plain = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        how = "read" if "out" in kwargs or method == "at" else ""
        return _answer(sys._getframe(1), getattr(ufunc, method), inputs, kwargs, how)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _answer(sys._getframe(1), func, args, kwargs)

    def __iter__(self) -> Any:
        return _answer(sys._getframe(1), iter, (self,), {})


def _answer(
    frame: FrameType | None, f: Callable[..., Any], args: Any, kwargs: Any, how: str = ""
) -> Any:
    """What a function answers that was called in a frame with views among its arguments.

    Where it meets no traced value, the array itself may be "read", or written into.  What is
    "copied" is traced, whoever asks.
    """
    rec = _asked()
    if rec is None:
        return f(*mapped(bare, args), **mapped(bare, kwargs))
    given = list(leaves((args, kwargs)))
    if how != "copied" and not any(type(x) is Tracer for x in given):
        user = frame is not None and owner(frame.f_code.co_filename) == USER
        if f in OF_SHAPES or how or not user:
            if f not in OF_SHAPES:
                relied_on(rec, given)
            return f(*mapped(bare, args), **mapped(bare, kwargs))
    return f(*mapped(traced, args), **mapped(traced, kwargs))


def _asked() -> Recorder | None:
    """The open recorder of a trace in which plain arrays are traced."""
    open_ = stack()
    return open_[-1] if open_ and open_[-1].level else None


def traced(x: Any) -> Any:
    """The traced value that a view stands for; anything else as it is."""
    rec = _asked()
    if type(x) is not Lent or rec is None:
        return x
    known = rec.lent.get(id(x))
    if known is None:
        plain = bare(x)
        v = rec.lift(plain)
        strides = mutation.normal(plain.shape, plain.strides, v.aval.dtype)
        store = mutation.Storage(v, f"`{v.hint}` was" if v.hint else "it was")
        store.frozen += " made outside of the function"
        known = rec.lent[id(x)] = x, Tracer(rec, v, "array", strides, store)
    return known[1]


def relied_on(rec: Recorder, given: Iterable[Any]) -> None:
    """Guard what lies in arrays that are read by others than the user's code."""
    for x in given:
        if type(x) is Lent:
            rec.concrete(rec.lift(bare(x)))


# ------------------------------------------------------------------ ndarray's methods

_WRITES = frozenset(
    ("__setitem__", "fill", "put", "sort", "partition", "setfield", "itemset", "byteswap")
)
_PLAIN = frozenset(  # what has a plain answer, which the trace relies on
    (
        "tolist", "item", "tobytes", "tofile", "dump", "dumps", "getfield", "setflags", "view",
        "resize", "to_device", "__reduce__", "__reduce_ex__",
    )
)  # fmt: skip
_DUNDERS = (
    "__getitem__", "__setitem__", "__contains__", "__float__", "__int__", "__index__", "__bool__",
    "__complex__", "__copy__", "__deepcopy__", "__reduce__", "__reduce_ex__",
)  # fmt: skip
_ATTRIBUTES = ("T", "mT", "real", "imag", "flat")


def _lend(name: str) -> None:
    plain = getattr(np.ndarray, name)
    how = "read" if name in _WRITES or name in _PLAIN else ""
    how = "copied" if name in ("__copy__", "__deepcopy__") else how

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if type(self) is not Tracer:
            return plain(self, *args, **kwargs)
        if name in _WRITES:
            raise _refusal(self)
        return getattr(self, name)(*args, **kwargs)

    def method(self: Lent, *args: Any, **kwargs: Any) -> Any:
        again = name == "view" and not kwargs and args in ((), (np.ndarray,))
        return _answer(sys._getframe(1), call, (self, *args), kwargs, "" if again else how)

    method.__name__ = name
    setattr(Lent, name, method)


def _refusal(t: Tracer) -> AdjitError:
    name = t._value.hint
    return fail(
        UntracedWrite,
        f"a traced value is written into {f'`{name}`, ' if name else ''}an array from outside of "
        "the function",
        "A traced function leaves those alone: write into a copy, z = np.copy(a), and return it.",
    )


def _attribute(name: str) -> None:
    def read(self: Lent) -> Any:
        return _answer(sys._getframe(1), getattr, (self, name), {})

    if hasattr(np.ndarray, name):
        setattr(Lent, name, property(read))


for _name in (*_DUNDERS, *(n for n in vars(np.ndarray) if n[0] != "_")):
    if callable(getattr(np.ndarray, _name)):
        _lend(_name)
for _name in _ATTRIBUTES:
    _attribute(_name)


# ------------------------------------------------------------------ NumPy's functions


def called(rec: Recorder, answer: Callable[..., Any], user: bool, args: Any, kwargs: Any) -> Any:
    """What an intercepted function answers, whose arrays are traced where the user calls it."""
    given = list(leaves((args, kwargs)))
    if Lent in map(type, given):
        if user or Tracer in map(type, given):
            args, kwargs = mapped(traced, args), mapped(traced, kwargs)
        else:
            relied_on(rec, given)
            args, kwargs = mapped(bare, args), mapped(bare, kwargs)
    out = answer(args, kwargs)
    return made(rec, out, given) if user else out


def made(rec: Recorder, out: Any, given: list[Any]) -> Any:
    """What a function of NumPy made of what it was given; in such a trace, as traced arrays."""
    if type(out) in (list, tuple):
        return type(out)([made(rec, x, given) for x in out])
    if type(out) is not np.ndarray or out.dtype not in _DTYPES:
        return out
    rec.made(out, given)
    if not rec.level or (rec.level < ALL and out.dtype.kind not in "fc"):
        return out
    if any(type(x) is np.ndarray and np.may_share_memory(x, out) for x in given):
        return out  # a view of what may be written as a plain array
    return Tracer(rec, rec.lift(out), "array")
