"""Parts of a kernel that run one after the other, in machine code.

A part reads and writes rows of the same arrays as the one before, so a table says where in which
array each of its pointers begins.  From Python, a part of 32 rows took longer to call than to run.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from ..ir.records import dataclass
from . import entry, link

_CODE = """
declare i32 @PyGILState_Ensure()
declare i32 @PyErr_CheckSignals()
declare void @PyGILState_Release(i32)

; `sizes` is how many parts there are, the most pointers that one takes, whether this thread answers
; Ctrl-C; then of each part its kernel, sizes, consts, how many pointers, and where they are: the
; array's place in `arrays` and bytes.  A status has the number of its part from the 16th bit on.
define i64 @adjit_turns(ptr %arrays, ptr %sizes, ptr %unused) {
entry:
  %count = load i64, ptr %sizes
  %p.most = getelementptr i64, ptr %sizes, i64 1
  %most = load i64, ptr %p.most
  %p.listens = getelementptr i64, ptr %sizes, i64 2
  %listens = load i64, ptr %p.listens
  %first = getelementptr i64, ptr %sizes, i64 3
  %pointers = alloca ptr, i64 %most
  br label %each

each:
  %k = phi i64 [ 0, %entry ], [ %k.next, %next ]
  %part = phi ptr [ %first, %entry ], [ %part.next, %next ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %begin, label %done

begin:
  %kernel = load ptr, ptr %part
  %p.of = getelementptr ptr, ptr %part, i64 1
  %of = load ptr, ptr %p.of
  %p.with = getelementptr ptr, ptr %part, i64 2
  %with = load ptr, ptr %p.with
  %p.number = getelementptr i64, ptr %part, i64 3
  %number = load i64, ptr %p.number
  %p.places = getelementptr ptr, ptr %part, i64 4
  %places = load ptr, ptr %p.places
  br label %point

point:
  %i = phi i64 [ 0, %begin ], [ %i.next, %pointed ]
  %left = icmp slt i64 %i, %number
  br i1 %left, label %pointed, label %run

pointed:
  %twice = shl i64 %i, 1
  %p.array = getelementptr i64, ptr %places, i64 %twice
  %array = load i64, ptr %p.array
  %p.bytes = getelementptr i64, ptr %p.array, i64 1
  %bytes = load i64, ptr %p.bytes
  %p.base = getelementptr ptr, ptr %arrays, i64 %array
  %base = load ptr, ptr %p.base
  %there = getelementptr i8, ptr %base, i64 %bytes
  %p.there = getelementptr ptr, ptr %pointers, i64 %i
  store ptr %there, ptr %p.there
  %i.next = add i64 %i, 1
  br label %point

run:
  %status = call i64 %kernel(ptr %pointers, ptr %of, ptr %with)
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %listen, label %failed

listen:
  %turn = and i64 %k, EVERY
  %now = icmp eq i64 %turn, EVERY
  %able = icmp ne i64 %listens, 0
  %ask = and i1 %now, %able
  br i1 %ask, label %signals, label %next

signals:
  %state = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %state)
  %stop = icmp ne i32 %raised, 0
  br i1 %stop, label %stopped, label %next

next:
  %k.next = add i64 %k, 1
  %part.next = getelementptr i64, ptr %part, i64 5
  br label %each

stopped:
  ret i64 STOPPED

failed:
  %interrupted = icmp eq i64 %status, STOPPED
  %upper = shl i64 %k, 16
  %both = or i64 %upper, %status
  %named = select i1 %interrupted, i64 %status, i64 %both
  ret i64 %named

done:
  ret i64 0
}
""".replace("EVERY", "7").replace("STOPPED", "3")
_C_FUNCTIONS = ("PyGILState_Ensure", "PyErr_CheckSignals", "PyGILState_Release")


@dataclass(frozen=True)
class Turn:
    """One part: its kernel with sizes and constants; of each pointer the array, and bytes in it."""

    address: int
    sizes: tuple[int, ...]
    consts: tuple[float, ...]
    places: tuple[tuple[int, int], ...]


class Turns:
    """The kernel that runs parts in turn; `words` are its sizes, and it must outlive its calls.

    With `listens`, Ctrl-C ends it between two parts: for the thread of the caller.
    """

    def __init__(self, turns: Sequence[Turn], listens: bool) -> None:
        self._kept = [
            (np.array(t.sizes, np.int64), np.array(t.consts), np.array(t.places, np.int64))
            for t in turns
        ]
        words = [len(turns), max(len(t.places) for t in turns), int(listens)]
        for t, (sizes, consts, places) in zip(turns, self._kept, strict=True):
            at = (a.ctypes.data for a in (sizes, consts))
            words += [t.address, *at, len(t.places), places.ctypes.data]
        self.words = tuple(words)
        self.address = _address()


def turn_of(status: int) -> tuple[int, int]:
    """The part that a status is from, and the status of that part."""
    return status >> 16, status & 0xFFFF


@functools.cache
def _address() -> int:
    code = link.compiled("adjit_turns", _CODE, "optimise")
    return link.load_object(code, "adjit_turns", {f: entry.c_address(f) for f in _C_FUNCTIONS})
