"""From where each op was recorded: the calls of the user's functions, and the instruction."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from types import CodeType, FrameType

from ..place import USER, owner
from .evidence import Snapshot, snapshot
from .names import Held, held
from .natural_loops import Loop, loops_of


class Activation:
    """One call of one user function: the entries into adjit from `first` up to `end`.

    lasti   the instruction of the caller
    calls   the calls of other functions in it, in order
    """

    __slots__ = ("calls", "code", "end", "first", "lasti")

    def __init__(self, code: CodeType, lasti: int, first: int) -> None:
        self.code = code
        self.lasti = lasti
        self.first = self.end = first
        self.calls: list[Activation] = []


class Walk:
    """Follows the user's frames while a function is traced.

    starts     how many ops there were at each entry from user code
    lastis     the instruction of each
    moved      the entries that came from another frame than the one before
    moves      and for each of these, which way that is
    decisions  for each guard, by the number of its op, what Python knew then
    held       and what the names of the innermost frames held
    between    the same where the next round began, or what came after the loop, by the number of
               the first op there
    """

    def __init__(self, frame: FrameType) -> None:
        # Not lists: a number in one of these would be ten times the memory.
        self.starts = array("i")
        self.lastis = array("i")
        self.moved = array("i")
        self.moves = array("i")
        self.decisions: dict[int, Snapshot] = {}
        self.held: dict[int, Held] = {}
        self.between: dict[int, Held] = {}
        self._watched: list[tuple[FrameType, int, Loop]] = []
        self._ways: dict[tuple[int, ...], int] = {}
        self._frame: FrameType | None = frame
        self._frames = [frame]
        self._calls = [Activation(frame.f_code, -1, 0)]
        self._depth = {frame: 0}

    def enter(self, frame: FrameType, ops: int) -> None:
        """The user's frame asks for something, `ops` ops having been recorded."""
        if frame is not self._frame:
            self._move(frame)
        if self._watched:
            self._watch(ops)
        self.lastis.append(frame.f_lasti)
        self.starts.append(ops)

    def decided(self, op: int) -> None:
        """The op of this number is a guard, asked for by the last entry."""
        if self._frame is not None:
            self.decisions[op] = snapshot(self._frame)
            self.held[op] = held(self._frames[1:])
            self._watched = []
            for f in self._frames[1:]:
                place, around = loops_of(f.f_code).locate(f.f_lasti)
                if around:
                    self._watched.append((f, place, around[-1]))

    def _watch(self, ops: int) -> None:
        """See whether a round with a decision in it has ended."""
        for f, then, loop in self._watched:
            if f in self._depth:
                place, around = loops_of(f.f_code).locate(f.f_lasti)
                if place > then and loop in around:
                    continue
            self.between.setdefault(ops, held(self._frames[1:]))
            self._watched = [w for w in self._watched if w[0] is not f]
            return

    def _move(self, frame: FrameType) -> None:
        new: list[FrameType] = []
        f: FrameType | None = frame
        depth, frames, calls = self._depth, self._frames, self._calls
        while f is not None and f not in depth:
            if owner(f.f_code.co_filename) == USER:
                new.append(f)
            f = f.f_back
        keep = depth[f] + 1 if f is not None else 1
        now = len(self.starts)
        while len(frames) > keep:
            del depth[frames.pop()]
            calls.pop().end = now
        way = [keep]
        for g in reversed(new):
            call = Activation(g.f_code, frames[-1].f_lasti, now)
            way += (id(g.f_code), call.lasti)
            calls[-1].calls.append(call)
            depth[g] = len(frames)
            frames.append(g)
            calls.append(call)
        self.moved.append(now)
        self.moves.append(self._ways.setdefault(tuple(way), len(self._ways) + 1))
        self._frame = frames[-1]

    def done(self) -> Activation:
        """The outermost call, once the trace is over; frames are let go."""
        root = self._calls[0]
        for call in self._calls:
            call.end = len(self.starts)
        self._frame = None
        self._frames, self._calls, self._depth = [], [], {}
        self._watched = []
        return root


def places(call: Activation, walk: Walk) -> Iterator[int]:
    """The instructions of a call that recorded something or called what did."""
    at = call.first
    for inner in call.calls:
        yield from walk.lastis[at : inner.first]
        yield inner.lasti
        at = inner.end
    yield from walk.lastis[at : call.end]
