"""What a function changes outside of itself: whether its program can do without.

Only tracing runs Python, so a compiled call leaves globals and attributes alone, and sees them as
the trace left them.  A function that changed something is traced again with what it changed
hidden.  If nobody asks for it (a counter, a log, a scratch attribute that is written before it is
read), no result depends on it.  Else, if a further trace changes nothing more (a table made at the
first call) and gives the same, the state has settled.  All else is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.interp import evaluate
from ..ir.ops.show import muted
from ..ir.printer import canonical
from ..ir.records import dataclass
from .errors import AdjitError, RandomInTrace, StateInTrace
from .facts import Capture, StateGuard, Trace
from .guards import array_guard, content_mark, same_content
from .hidden import Hidden, bare
from .holdings import (
    ABSENT,
    GENERATORS,
    Change,
    Holdings,
    Slot,
    changes,
    holdings,
    put,
    restore,
)
from .paths import Path
from .place import USER, Place, here, owner, sentence
from .record import fail, recorder
from .tracer import Tracer


@dataclass(frozen=True)
class Apart:
    """State that guards leave alone, because no result depends on it: slots and objects by id."""

    slots: frozenset[Any] = frozenset()
    objects: frozenset[int] = frozenset()

    def covers(self, path: Path) -> bool:
        """Whether what stands at the path is such state, or lies in it."""
        x = path.base
        for kind, key in path.steps:
            if (id(x), kind, key) in self.slots:
                return True
            try:
                x = x[key] if kind == "item" else getattr(x, key)
            except Exception:  # nothing is there, or the user's code runs and raises
                return False
            if id(x) in self.objects:
                return True
        return False


NOTHING = Apart()


@dataclass(frozen=True)
class Taken:
    """A trace, and the guards on what it read, which are made once the state is what it will be.

    start    where the function begins
    derived  whether something that Python made of arrays from outside was met
    indexed  whether a traced value decided which item of something is read
    seen     arrays that the program reads, and what marked their content when it first did
    """

    trace: Trace
    guards: Callable[[Apart], tuple[StateGuard, ...]]
    start: Place | None = None
    derived: bool = False
    indexed: bool = False
    seen: Sequence[tuple[np.ndarray, Any]] = ()

    def guarded(self, apart: Apart = NOTHING, written: tuple[str, ...] = ()) -> Trace:
        """The trace with its guards."""
        return replace(self.trace, guards=self.guards(apart), written=written)


def settled(
    first: Taken,
    found: Sequence[Change],
    roots: Callable[[], Iterable[Path]],
    take: Callable[[], Taken],
    leaves: Sequence[Any] | None,
) -> Trace:
    """The trace that is right for all calls, after a `first` one that changed what was `found`.

    `leaves` are the arguments of the call, None where they have no values.
    """
    if any(content_mark(x) != mark for x, mark in first.seen):  # it was read, then written into
        raise _refusal(_array_among(found).path.describe(), first.start)
    now = _Now(found, holdings(roots()))
    error: Exception | None = None
    if now.hide():
        try:
            with muted():
                second = take()
        except Exception as caught:
            error = caught
        finally:
            now.back()
        if error is None and agree(first.trace, second.trace, leaves):
            return second.guarded(now.apart, now.counted())
    if isinstance(error, RandomInTrace):
        raise error from None
    third = None
    try:
        with muted():
            third = take()
        last = changes(now.held)
    except Exception as caught:
        error = error or caught
    finally:
        now.back()
    if third is not None and not now.moved(last) and agree(first.trace, third.trace, leaves):
        done = third.guarded()
        return replace(done, guards=(*done.guards, *now.written()))
    if isinstance(error, StateInTrace):
        raise error from None
    place = _place_of(error) or first.start
    for c in found:
        if c.slot is None and isinstance(c.obj, GENERATORS):
            raise _drawn(c.path.describe().removesuffix(".__self__"), place) from None
    raise _refusal(found[0].path.describe(), place) from None


def _array_among(found: Sequence[Change]) -> Change:
    """The first array that changed, else whatever did first."""
    return next((c for c in found if isinstance(c.obj, np.ndarray)), found[0])


def _place_of(error: BaseException | None) -> Place | None:
    """Where the user's code was when an error arose."""
    place, tb = None, error.__traceback__ if error is not None else None
    while tb is not None:
        if owner(tb.tb_frame.f_code.co_filename) == USER:
            place = Place(tb.tb_frame.f_code, tb.tb_lasti)
        tb = tb.tb_next
    return place


def solidify(now: Holdings) -> None:
    """Leave arrays and numbers, not traced values, where those depend on no argument."""
    rec = recorder()
    made: dict[int, Any] = {}
    for slot, x in now.all():
        if type(x) is Tracer and x._rec is rec:
            if id(x) not in made:
                known = x._concrete()
                known = None if known is None else np.array(known)
                if known is not None and x._kind != "array":
                    known = known[()] if x._kind == "scalar" else known.item()
                made[id(x)] = known
            if made[id(x)] is not None:
                put(slot, made[id(x)])


class _Now:
    """The state after the first trace, to which others return."""

    def __init__(self, found: Sequence[Change], held: Holdings) -> None:
        self.found = found
        self.held = held
        self.apart = NOTHING
        self._hidden: list[tuple[Hidden, Path]] = []
        self._undo = [_content(c.obj) for c in found if c.slot is None]

    def hide(self) -> bool:
        """Put what hides it in the place of all that changed; whether that can be done."""
        slots: set[Any] = set()
        objects: set[int] = set()
        for c in self.found:
            if c.slot is not None and c.slot.id in slots:
                continue
            places = (
                [c.slot] if c.slot is not None else [s for s, x in self.held.all() if x is c.obj]
            )
            if c.slot is None:
                objects.add(id(c.obj))
            real = c.obj if c.slot is None else _now(c.path)
            if real is ABSENT:
                continue
            stand_in = _hidden(c, real)
            self._hidden.append((stand_in, c.path))
            for slot in places:
                slots.add(slot.id)
                if not self._put(slot, stand_in):
                    self.back()
                    return False
        self.apart = Apart(frozenset(slots), frozenset(objects))
        return True

    def _put(self, slot: Slot, x: Any) -> bool:
        """Let a slot hold something, in a new tuple if it is one of a tuple."""
        holder = slot.holder
        if not isinstance(holder, tuple) or slot.kind != "item":
            return put(slot, x)
        parts = [x if k == slot.key else y for k, y in enumerate(holder)]
        new = tuple.__new__(type(holder), parts)
        outer = [s for s, y in self.held.all() if y is holder]
        return bool(outer) and all(self._put(s, new) for s in outer)

    def back(self) -> None:
        """Restore it."""
        restore(self.held)
        for undo in self._undo:
            undo()

    def counted(self) -> tuple[str, ...]:
        """What was counted up, or written into, as Python spells it."""
        return tuple(dict.fromkeys(path.describe() for h, path in self._hidden if h.touched))

    def written(self) -> list[StateGuard]:
        """Guards on arrays that were written into: where they hold else, they would be again."""
        arrays = [c for c in self.found if c.slot is None and isinstance(c.obj, np.ndarray)]
        return [array_guard(c.path, c.obj) for c in arrays]

    def moved(self, last: Sequence[Change]) -> bool:
        """Whether something changed again (of some iterators one cannot know)."""
        before = {id(c.obj) for c in self.found if c.slot is None}
        return any(c.slot is not None or id(c.obj) in before or not _unknown(c.obj) for c in last)


def _now(path: Path) -> Any:
    try:
        return path.read()
    except LookupError:
        return ABSENT


def _unknown(x: Any) -> bool:
    return hasattr(type(x), "__next__")


def _content(x: Any) -> Callable[[], None]:
    """What gives an object the content of now again, as far as that can be done."""
    if isinstance(x, np.ndarray) and not hasattr(type(x), "_rec") and x.flags.writeable:
        copy = x.copy()

        def fill() -> None:
            x[...] = copy

        return fill
    if isinstance(x, np.random.Generator):
        state = x.bit_generator.state
        return lambda: setattr(x.bit_generator, "state", state)
    return lambda: None


def _hidden(change: Change, real: Any) -> Hidden:
    text = change.path.describe()
    if isinstance(real, GENERATORS):
        return Hidden(real, lambda: _drawn(text, here()))
    if _unknown(real):
        return Hidden(real, lambda: _advanced(text))
    known: Callable[[Any], bool] | None = None
    if change.grown:  # what is there stays there
        n = len(real)
        known = lambda key: type(key) is int and 0 <= key < n  # noqa: E731
    elif change.keys and isinstance(real, dict):
        known = lambda key: key not in change.keys  # noqa: E731
    return Hidden(real, lambda: _refusal(text, here()), known)


def _refusal(text: str, place: Place | None) -> AdjitError:
    return StateInTrace(
        f"{text.split(' ', 1)[-1]} is read by the function, and changed while it was traced (by "
        "it or by another thread); compiled calls do not run Python, so it would stay as the first "
        f"call left it{sentence(place)}\n"
        "  Pass it as an argument, and return what it becomes: y, state = f(x, state)."
    )


def _drawn(text: str, place: Place | None) -> AdjitError:
    return RandomInTrace(
        f"{text} drew random numbers while tracing; every call would see the same ones"
        f"{sentence(place)}\n  Pass the noise as an argument: def f(x, noise): ..."
    )


def _advanced(text: str) -> AdjitError:
    return fail(
        StateInTrace,
        f"{text.split(' ', 1)[-1]} lives on after the call, and compiled calls do not run Python: "
        "all of them would see what the first one took from it",
        "Take the next item outside, and pass it as an argument: f(x, next(items)).",
    )


# ------------------------------------------------------------------ comparing programs


def agree(a: Trace, b: Trace, leaves: Sequence[Any] | None) -> bool:
    """Whether two traces of one call say the same: in their text, or in what they give."""
    statics = [[o for o in t.out_leaves if o[0] == "static"] for t in (a, b)]
    if a.outs_tree != b.outs_tree or not _same_statics(*statics):
        return False
    same = canonical(a.function) == canonical(b.function)
    if same and len(a.captures) == len(b.captures) and all(map(_alike, a.captures, b.captures)):
        return True
    if leaves is None:
        return same
    try:
        with muted(), np.errstate(all="ignore"):
            outs = [
                evaluate(t.function, *map(np.asarray, leaves), *(c.value for c in t.captures))
                for t in (a, b)
            ]
    except Exception:  # another path, or a value that is gone
        return False
    kinds = [[o[2] for o in t.out_leaves if o[0] == "value"] for t in (a, b)]
    return kinds[0] == kinds[1] and all(itertools.starmap(_close, zip(*outs, strict=True)))


def _same_statics(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(
        bare(x[1]) is bare(y[1]) or (type(x[1]) is type(y[1]) and bool(x[1] == y[1]))
        for x, y in zip(a, b, strict=True)
    )


def _alike(a: Capture, b: Capture) -> bool:
    if a.value is b.value:
        return True
    if type(a.value) is not np.ndarray or type(b.value) is not np.ndarray:
        return False
    return same_content(a.value, b.value)


def _close(x: Any, y: Any) -> bool:
    if np.shape(x) != np.shape(y) or np.result_type(x) != np.result_type(y):
        return False
    return bool(np.allclose(x, y, rtol=1e-12, atol=0, equal_nan=True))
