"""From where each op was recorded: the calls of the user's functions, and the instruction."""

from __future__ import annotations

from types import CodeType, FrameType

from ..place import USER, owner
from .evidence import Snapshot, snapshot


class Activation:
    """One call of one user function.

    items   in order: (instruction, number of the entry into adjit) or (instruction, the call of
            another function)
    """

    __slots__ = ("code", "items")

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.items: list[tuple[int, int | Activation]] = []


class Walk:
    """Follows the user's frames while a function is traced.

    starts     how many ops there were at each entry from user code
    decisions  for each guard, by the number of its op, what Python knew then
    """

    def __init__(self, frame: FrameType) -> None:
        self.starts: list[int] = []
        self.decisions: dict[int, Snapshot] = {}
        self._frame: FrameType | None = frame
        self._frames = [frame]
        self._calls = [Activation(frame.f_code)]
        self._items = self._calls[0].items
        self._depth = {frame: 0}

    def enter(self, frame: FrameType, ops: int) -> None:
        """The user's frame asks for something, `ops` ops having been recorded."""
        if frame is not self._frame:
            self._move(frame)
        self._items.append((frame.f_lasti, len(self.starts)))
        self.starts.append(ops)

    def decided(self, op: int) -> None:
        """The op of this number is a guard, asked for by the last entry."""
        if self._frame is not None:
            self.decisions[op] = snapshot(self._frame)

    def _move(self, frame: FrameType) -> None:
        new: list[FrameType] = []
        f: FrameType | None = frame
        depth = self._depth
        while f is not None and f not in depth:
            if owner(f.f_code.co_filename) == USER:
                new.append(f)
            f = f.f_back
        keep = depth[f] + 1 if f is not None else 1
        for gone in self._frames[keep:]:
            del depth[gone]
        del self._frames[keep:], self._calls[keep:]
        for g in reversed(new):
            call = Activation(g.f_code)
            self._calls[-1].items.append((self._frames[-1].f_lasti, call))
            depth[g] = len(self._frames)
            self._frames.append(g)
            self._calls.append(call)
        self._frame = self._frames[-1]
        self._items = self._calls[-1].items

    def done(self) -> Activation:
        """The outermost call, once the trace is over; frames are let go."""
        root = self._calls[0]
        self._frame = None
        self._frames, self._calls, self._depth = [], [], {}
        return root
