"""The recorder of one open trace: its builder, its captures, and what is known to be concrete."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import CellType, CodeType, FrameType
from typing import Any

import numpy as np

from ..ir import interp
from ..ir.builder import literal
from ..ir.core import Const, Op, Value
from ..ir.ops.elementwise import cast, equal, not_equal
from ..ir.ops.guards import guard
from ..ir.ops.reduce import all_
from ..ir.ops.shape import reshape
from ..ir.types import NUMPY, Aval, name_of
from .errors import (
    AdjitError,
    EscapedTracer,
    TracedBranch,
    TracedConversion,
    UnsupportedArgument,
)
from .facts import Capture, StateGuard
from .guards import LARGE, content_guard, content_mark, same_content
from .paths import Path
from .place import USER, Places, here, owner, sentence
from .recipes import TraceBuilder
from .rolling.activations import Walk
from .rolling.steps import Put
from .watched import Seen, bare, memory_of

_local = threading.local()


def stack() -> list[Recorder]:
    """The open recorders of this thread, outermost first."""
    try:
        return _local.stack
    except AttributeError:
        _local.stack = []
        return _local.stack


def recorder() -> Recorder:
    """The innermost open recorder of this thread."""
    try:
        return _local.stack[-1]
    except (AttributeError, IndexError):
        raise EscapedTracer(
            "a traced value is used after its trace has ended, or in another thread"
            f"{sentence(here())}\n"
            "  Return it from the traced function instead of storing it outside."
        ) from None


def is_tracing() -> bool:
    """Whether a trace is open in this thread."""
    return bool(stack())


def fail(kind: type[AdjitError], what: str, advice: str = "") -> AdjitError:
    """An error that says what, where and what to do."""
    return kind(what + sentence(here()) + (f"\n  {advice}" if advice else ""))


@lru_cache(maxsize=4096)
def one(aval: Aval) -> Aval:
    """The same object for equal types: recipes are found by identity."""
    return aval


def array_aval(x: np.ndarray, what: str = "array") -> Aval:
    """The aval of a plain array; an error of the user's kind if it cannot be traced."""
    if type(x) is not np.ndarray and not isinstance(x, (np.memmap, Seen)):
        raise fail(
            UnsupportedArgument,
            f"{what} is a {type(x).__name__}, a subclass of ndarray that cannot be traced",
            "Its data alone is another array: pass x.filled(...), or x.data and x.mask as two."
            if isinstance(x, np.ma.MaskedArray)
            else "Pass np.asarray(...) of it.",
        )
    try:
        return one(Aval(name_of(x.dtype), x.shape))
    except TypeError:
        raise fail(
            UnsupportedArgument,
            f"{what} has dtype {x.dtype}, which cannot be traced",
            _other_dtype(x.dtype),
        ) from None


def _other_dtype(dtype: np.dtype) -> str:
    """What to pass instead of an array of a dtype that no program knows."""
    if dtype.names:
        return f"Pass its fields as arrays: x[{dtype.names[0]!r}]."
    if not dtype.isnative:
        return f"Pass it in this machine's byte order: x.astype({dtype.name!r})."
    return "Use a native bool, integer, float or complex dtype (float64, int64, ...)."


_NUMBERS = frozenset((int, float, complex, bool, str, type(None), type, *map(type, NUMPY.values())))
_MANY = 10_000  # numbers that are not looked at one by one
SMALL = 1024  # elements of an array that is looked at to find an equal one
MOST_DECISIONS = 10_000  # guards of one trace
FEW_DECISIONS = 8  # by an integer argument: one that decides more often is fixed


class Recorder:
    """Everything that lives while one function is traced."""

    def __init__(self, name: str, find: Callable[[np.ndarray], Any] | None = None) -> None:
        self.name = name
        self.builder = TraceBuilder()
        self.ledger = self.builder.ledger
        self.params: list[Value] = []
        self.traced: set[Value] = set()  # the inputs, and what was seen to follow from them
        self.captures: list[Capture] = []
        self.capture_values: list[Value] = []
        self.guards: list[StateGuard] = []
        self.seeded = False
        self.guarded: set[int] = set()  # ids of scalars that guards watch
        self.derived = False  # whether something made from plain arrays was met
        self.of_numbers = False  # whether arrays were that are made of Python's numbers
        self.bases: set[int] = set()  # cells that were there before, by identity
        self.indexed = False  # whether a traced value decided which item is read
        self.level = 0  # which plain arrays are traced: see lent
        self.owners: set[int] = set()  # of the memory of these plain arrays, by identity
        self.lent: dict[int, tuple[Any, Any]] = {}  # by id of a view: the view, its Tracer
        self._find = find
        self._arrays: dict[int, tuple[np.ndarray, Value, np.ndarray | None]] = {}
        self._numbers: dict[int, tuple[Any, Any]] = {}  # memory by its id: itself, a copy
        self.seen: list[tuple[np.ndarray, Any]] = []  # arrays from outside, and marks of content
        self._relied_on: set[int] = set()  # captures whose content is guarded, by identity
        self._constants: dict[tuple[Aval, bytes], Value] = {}  # small ones made while tracing
        self._outer: dict[Value, Value] = {}
        self._samples: dict[Value, Any] = {}
        self._outside: dict[Value, tuple[Recorder, Value]] = {}  # what enclosing traces know
        self._decided: dict[tuple[Value, str], bool | int] = {}
        self._decisions = 0
        self._real: set[Value] = set()  # what does not follow from integer arguments alone
        self._swept: tuple[int, Op | None] = (0, None)  # the ops that were looked at, and the last
        self.texts: list[tuple[Any, str]] = []  # what was formatted, and how: see printing
        self.loops: list[Any] = []  # the adjit.range loops whose rounds are being recorded
        self.python: set[tuple[CodeType, int]] = set()  # those that count in Python
        self.cut: Any = None  # one that ended early
        self.dead: dict[Value, Any] = {}  # what their rounds made, and the place of the loop
        self.unknown: dict[Value, Any] = {}  # of these, what has no value without rounds
        self.rolled: set[Op] = set()  # the ops that they became
        self._code: CodeType | None = None  # of the user's that asked last, and its places
        self._places: Places
        self._codes: dict[int, Places] = {}
        self.walk: Walk | None = None  # from where each op came, if loops are to be found
        self.puts: dict[int, Put] = {}  # writes into regions, by the number of their first op

    def param(self, aval: Aval, hint: str = "", number: bool = True) -> Value:
        """A new traced input; integers that are numbers, not arrays, can be fixed."""
        v = Value(aval, hint)
        self.params.append(v)
        self.traced.add(v)
        if not number or aval.shape or aval.kind not in "iu":
            self._real.add(v)
        return v

    def enter(self, frame: FrameType) -> None:
        """The user, who is somewhere up from this frame, asks for what is recorded next."""
        code = frame.f_code
        if code is not self._code:
            found = self._search(frame)
            if found is None:
                self.builder.where = None
                return
            frame = found
        lasti = frame.f_lasti
        place, builder = self._places[lasti], self.builder
        builder.where = place if place is not builder.where else place.twin
        if self.walk is not None:
            self.walk.enter(frame, len(self.ledger.recipes))

    def _search(self, frame: FrameType | None) -> FrameType | None:
        """The innermost frame of the user's; its code is the one that is looked at first."""
        while frame is not None and owner(frame.f_code.co_filename) != USER:
            frame = frame.f_back
        if frame is not None:
            code = self._code = frame.f_code
            known = self._codes.get(id(code))  # to hash a code takes long
            if known is None:
                known = self._codes[id(code)] = Places(code)
            self._places = known
        return frame

    def sampled(self, v: Value, x: Any) -> None:
        """Remember what a traced input is in this call: a plain value, or an outer Tracer."""
        if hasattr(x, "_rec"):
            self._outside[v] = (x._rec, x._read())
        else:
            self._samples[v] = np.asarray(x, NUMPY[v.aval.dtype])[()]

    # -------------------------------------------------------------- what comes from outside

    def lift(self, x: np.ndarray) -> Value:
        """The hidden input that stands for a plain array."""
        x = bare(x)
        known = self._arrays.get(id(x))
        if known is not None:
            _, v, seen = known
            if seen is None or same_content(seen, x):
                return v
        aval = array_aval(x)
        of_numbers = self._is_of_numbers(x)
        found = self._find(x) if self._find is not None and not of_numbers else None
        seen = None
        if found is not None:
            capture, guards = found
            self.guards.extend(guards)
            if x.nbytes <= LARGE:
                self.seen.append((x, content_mark(x)))
        else:
            self.derived = self.derived or not of_numbers
            self.of_numbers = self.of_numbers or of_numbers
            seen = x.copy()
            seen.flags.writeable = False
            same = self._constant(seen)
            if same is not None:
                self._arrays[id(x)] = (x, same, seen)
                return same
            capture = _made_here(seen)
        v = self.capture(capture, aval)
        if seen is not None and seen.size <= SMALL:
            self._constants[aval, seen.tobytes()] = v
        self._arrays[id(x)] = (x, v, seen)  # x is kept alive: its id stays its own
        return v

    def made(self, x: np.ndarray, given: Iterable[Any]) -> np.ndarray:
        """An array that one of NumPy's functions made, of what it was given."""
        kinds = list(itertools.islice(map(type, given), _MANY))
        if len(kinds) < _MANY and _NUMBERS.issuperset(kinds):
            memory = memory_of(x)
            self._numbers[id(memory)] = memory, memory.copy()
        return x

    def _is_of_numbers(self, x: np.ndarray) -> bool:
        """Whether an array was made of Python's numbers alone, and is as it was made."""
        memory = memory_of(x)
        known = self._numbers.get(id(memory))
        return known is not None and same_content(known[1], memory)

    def _constant(self, x: np.ndarray) -> Value | None:
        """What stands for an equal array that was made while tracing, as rounds of a loop do."""
        if x.size > SMALL:
            return None
        return self._constants.get((array_aval(x), x.tobytes()))

    def scalar(self, x: np.generic) -> Value:
        """The literal of a NumPy scalar; unless it is guarded it was made from some array."""
        if id(x) not in self.guarded:
            self.derived = True
        return literal(x) if x.dtype in NUMPY.values() else self.lift(np.asarray(x))

    def capture(self, capture: Capture, aval: Aval) -> Value:
        """A hidden input for this capture."""
        v = Value(aval, _hint(capture.path))
        self.captures.append(capture)
        self.capture_values.append(v)
        if not hasattr(capture.value, "_rec"):
            self._samples[v] = capture.value
        return v

    def adopt(self, capture: Capture) -> Value:
        """The hidden input of an inner trace as one of this trace."""
        known = self._arrays.get(id(capture.value))
        if known is not None:
            return known[1]
        if capture.live and self._find is not None and not self._is_outside(capture.root):
            return self._adopt_local(capture)
        found = capture
        if not capture.live and self._find is not None:
            hit = self._find(capture.value)
            found = hit[0] if hit else capture
            self.guards.extend(hit[1] if hit else ())
        v = self.capture(found, array_aval(capture.value))
        self._arrays[id(capture.value)] = (capture.value, v, None)
        return v

    def _adopt_local(self, capture: Capture) -> Value:
        """The same of what an inner trace read by way of objects that may have been made here."""
        v = self.lift(capture.value)
        found = next(c for c, w in zip(self.captures, self.capture_values, strict=True) if w is v)
        if not found.live:  # else it would be live by a way that leads to nothing else
            self.guards.append(content_guard([capture]))
        return v

    def _is_outside(self, path: Path | None) -> bool:
        """Whether a path begins at what was there before the trace: globals, known cells."""
        return path is None or type(path.base) is dict or id(path.base) in self.bases

    def settled_guards(self) -> list[StateGuard]:
        """The guards, but for those on what the function itself made and changed.

        Such are the variables of a function that another one, which it differentiates, reads.
        """
        return [
            g
            for g in self.guards
            if g.path is None
            or type(g.path.base) is not CellType
            or self._is_outside(g.path)
            or g.check()
        ]

    def outer(self, tracer: Any) -> Value:
        """The hidden input that stands for a Tracer of an enclosing trace."""
        if tracer._rec not in stack():
            raise fail(
                EscapedTracer,
                "a traced value is used after its trace has ended, or in another thread",
                "Return it from the traced function instead of storing it outside.",
            )
        value = tracer._read()
        known = self._outer.get(value)
        if known is None:
            snapshot = type(tracer)(tracer._rec, value, tracer._kind)
            known = self.capture(
                Capture(lambda: snapshot, "a value of the enclosing trace", snapshot), value.aval
            )
            self._outer[value] = known
            self._real.add(known)
            self._outside[known] = (tracer._rec, value)
            self.traced.add(known)
        return known

    # -------------------------------------------------------------- what is concrete

    def concrete(self, v: Value) -> Any | None:
        """The value as an array if it depends on no traced input, else None."""
        if not self._is_free(v):
            return None
        live = [c for c in self._evaluate(v) if id(c) not in self._relied_on]
        if live:
            self._relied_on.update(map(id, live))
            self.guards += [content_guard([c]) for c in live]
        return self._samples[v] if type(v) is not Const else v.data

    def _is_free(self, v: Value) -> bool:
        """Whether no traced input reaches the value."""
        self._sweep()
        return v not in self.traced

    def _sweep(self) -> None:
        """Look at the ops recorded since the last time: what follows from which inputs."""
        ops, (n, last) = self.builder.ops, self._swept
        if n and (n > len(ops) or ops[n - 1] is not last):  # some were taken away
            n = 0
        traced, real = self.traced, self._real
        for op in ops[n:]:
            if not traced.isdisjoint(op.args):
                traced.update(op.outs)
            if not real.isdisjoint(op.args):
                real.update(op.outs)
        self._swept = len(ops), ops[-1] if ops else None

    def look_again(self, start: int) -> None:
        """The ops from this one on are others than they were."""
        n = min(self._swept[0], start)
        self._swept = n, self.builder.ops[n - 1] if n else None

    def _evaluate(self, v: Value) -> list[Capture]:
        """Compute the sample of a free value; returns the live captures it read."""
        defs, samples = self.builder.defs, self._samples
        needed: dict[Op, None] = {}
        seen: set[Value] = set()
        todo, inputs = [v], set()
        while todo:
            x = todo.pop()
            if x in seen:
                continue
            seen.add(x)
            op = defs.get(x)
            if op is None:
                inputs.add(x)
            else:
                needed[op] = None
                todo.extend(op.args)
        if v not in samples and needed:
            with np.errstate(all="ignore"):
                for op in self.builder.ops:
                    if op in needed and op.outs[0] not in samples:
                        args = [samples.get(a, a) for a in op.args]
                        samples.update(zip(op.outs, interp.apply(op, args), strict=True))
        by_value = {samples_id: c for c in self.captures for samples_id in [id(c.value)]}
        found = [by_value.get(id(samples.get(x))) for x in inputs]
        return [c for c in found if c is not None and c.live]

    # -------------------------------------------------------------- what Python decides by

    def sample(self, v: Value) -> Any:
        """The value in the very call that is traced; `NoSample` where there is no such call."""
        if type(v) is Const:
            return v.data
        samples, defs, todo = self._samples, self.builder.defs, [v]
        with np.errstate(all="ignore"):
            while todo:
                x = todo[-1]
                op = defs.get(x)
                if x in samples:
                    todo.pop()
                elif x in self._outside:
                    outer, w = self._outside[x]
                    samples[x] = outer.sample(w)
                elif op is None:
                    raise NoSample
                else:
                    args = []
                    for a in op.args:
                        known = a.data if type(a) is Const else samples.get(a, samples)
                        if known is samples:
                            todo.append(a)
                        args.append(known)
                    if todo[-1] is not x:
                        continue
                    if op.blocks or len(op.outs) != 1:
                        samples.update(zip(op.outs, interp.apply(op, args), strict=True))
                    else:
                        out = op.prim.ref(*args, **op.attrs)
                        samples[x] = out[0] if type(out) is tuple else out
                    todo.pop()
        return samples[v]

    def decide(self, v: Value, wanted: str) -> bool | int:
        """What `bool(t)` or `int(t)` is in this call; from here on the program relies on it."""
        for loop in self.loops:
            loop.refuse(v, wanted)
        known = self._decided.get((v, wanted))
        if known is None:
            known = self._decided[v, wanted] = self._decide(v, wanted)
        return known

    def _decide(self, v: Value, wanted: str) -> bool | int:
        many = wanted not in ("bool", LENGTH) or self._decisions >= FEW_DECISIONS
        if many and self._of_integers(v):
            raise NoSample  # such an integer decides about sizes: see adjit/fixing.py
        x = np.asarray(self.sample(v)).reshape(())[()]
        answer = bool(x) if wanted == "bool" else int(x)
        if not -(2**63) <= answer < 2**63:
            raise fail(TracedConversion, f"the traced value {answer} has more than 64 bits")
        self._decisions += 1
        if self._decisions > MOST_DECISIONS:
            raise fail(
                TracedBranch,
                f"this call decides more than {MOST_DECISIONS} times by traced values",
                "A loop that ends by a traced condition should end sooner; within the rounds of a "
                "long one, choose by np.where(...) or adjit.cond(...).",
            )
        add, dtype = self.builder.add, v.aval.dtype
        self.enter(sys._getframe(1))
        if v.aval.shape:
            (v,) = add(reshape, (v,), {"shape": ()})
        if wanted == "bool" and dtype != "bool":
            (v,) = add(not_equal, (v, Const(0, dtype)))
        elif wanted != "bool" and dtype != "i64":
            (v,) = add(cast, (v,), {"dtype": "i64"})
        add(guard, (v,), {"expected": answer})
        if self.walk is not None:
            self.walk.decided(len(self.builder.recipes) - 1)
        return answer

    def decide_array(self, v: Value) -> np.ndarray:
        """A whole array in this call, such as a mask; from here on the program relies on it."""
        for loop in self.loops:
            loop.refuse(v, "the content")
        x = np.array(self.sample(v), NUMPY[v.aval.dtype])
        x.flags.writeable = False
        self.enter(sys._getframe(1))
        place = self.builder.where
        seen = self.capture(Capture(lambda: x, f"decided at {place}", x, live=False), v.aval)
        add = self.builder.add
        (same,) = add(equal, (v, seen))
        if v.aval.shape:
            (same,) = add(all_, (same,), {"axes": tuple(range(len(v.aval.shape)))})
        add(guard, (same,), {"expected": True})
        return x

    def _of_integers(self, v: Value) -> bool:
        """Whether a value follows from integer arguments alone (scalars of this very trace)."""
        self._sweep()
        return v not in self._real and len(stack()) == 1


LENGTH = "the length of a slice"  # what stays the same where integers move both ends


class NoSample(Exception):
    """There is no call whose values could be looked at."""


def _made_here(x: np.ndarray) -> Capture:
    place = here()
    return Capture(lambda: x, f"made while tracing at {place}", x, live=False)


def _hint(path: str) -> str:
    """A name for the program text: the last identifier of the path."""
    last = path.split()[-1].split("[")[0].rsplit(".", 1)[-1] if path else ""
    return last if last.isidentifier() and " at " not in path else ""
