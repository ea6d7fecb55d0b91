"""Parts of a kernel that run at the same time, each in a thread that waits in machine code.

A thread of Python's takes turns with the others to hold the interpreter's lock, which costs more
than waking it: two parts that do nothing took 120 us.  So the threads here are Python's in name
only: each sleeps in `adjit_worker` without that lock, until a team gives it a kernel's address and
arguments.  A team is a kernel itself, whose pointers are those of all of its parts.

Locks are CPython's raw ones (PyThread_acquire_lock), which the whole of CPython rests upon.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from ..ir.records import dataclass
from . import entry, link

_CODE = """
declare i32 @PyThread_acquire_lock(ptr, i32)
declare void @PyThread_release_lock(ptr)

; Look at a word until it is one, or for some time.  Parts end, and calls follow each other, so soon
; that sleeping takes longer: waking a core of a virtual machine can cost 100 us.
define internal void @look(ptr %word, i64 %turns) {
entry:
  br label %each

each:
  %turn = phi i64 [ 0, %entry ], [ %turn.next, %again ]
  %seen = load atomic i64, ptr %word acquire, align 8
  %unset = icmp eq i64 %seen, 0
  %turn.next = add i64 %turn, 1
  %patient = icmp slt i64 %turn, %turns
  %go.on = and i1 %unset, %patient
  br i1 %go.on, label %again, label %stop

again:
  call void asm sideeffect "", "~{memory}"()
  br label %each

stop:
  ret void
}

; A worker's slot: lock that starts it, lock that it opens when it is done, kernel, pointers, sizes,
; consts, status, whether it is done, whether it is to start.
define void @adjit_worker(ptr %slot) {
entry:
  %p.go = getelementptr i64, ptr %slot, i64 8
  %p.done = getelementptr ptr, ptr %slot, i64 1
  %p.kernel = getelementptr ptr, ptr %slot, i64 2
  %p.pointers = getelementptr ptr, ptr %slot, i64 3
  %p.sizes = getelementptr ptr, ptr %slot, i64 4
  %p.consts = getelementptr ptr, ptr %slot, i64 5
  %p.status = getelementptr i64, ptr %slot, i64 6
  %p.over = getelementptr i64, ptr %slot, i64 7
  br label %wait

wait:
  call void @look(ptr %p.go, i64 IDLE)
  %start = load ptr, ptr %slot
  %got = call i32 @PyThread_acquire_lock(ptr %start, i32 1)
  store atomic i64 0, ptr %p.go monotonic, align 8
  %kernel = load ptr, ptr %p.kernel
  %pointers = load ptr, ptr %p.pointers
  %sizes = load ptr, ptr %p.sizes
  %consts = load ptr, ptr %p.consts
  %status = call i64 %kernel(ptr %pointers, ptr %sizes, ptr %consts)
  store i64 %status, ptr %p.status
  store atomic i64 1, ptr %p.over release, align 8
  %done = load ptr, ptr %p.done
  call void @PyThread_release_lock(ptr %done)
  br label %wait
}

; `sizes` is the team: the word that says whether the workers are taken, the number of parts, then
; of each part its kernel, how many pointers are its own, its sizes, its consts, its worker's slot.
; The status is that of the first part that failed, with its number in the upper half.
define i64 @adjit_team(ptr %table, ptr %sizes, ptr %consts) {
entry:
  %busy = load ptr, ptr %sizes
  %p.count = getelementptr i64, ptr %sizes, i64 1
  %count = load i64, ptr %p.count
  %parts = getelementptr i64, ptr %sizes, i64 2
  %seen = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic
  %free = extractvalue { i64, i1 } %seen, 1
  br label %each

each:
  %k = phi i64 [ 0, %entry ], [ %k.next, %begun ]
  %part = phi ptr [ %parts, %entry ], [ %part.next, %begun ]
  %own = phi ptr [ %table, %entry ], [ %own.next, %begun ]
  %status = phi i64 [ 0, %entry ], [ %status.next, %begun ]
  %more = icmp slt i64 %k, %count
  br i1 %more, label %begin, label %first

begin:
  %kernel = load ptr, ptr %part
  %p.number = getelementptr i64, ptr %part, i64 1
  %number = load i64, ptr %p.number
  %p.of = getelementptr ptr, ptr %part, i64 2
  %of = load ptr, ptr %p.of
  %p.with = getelementptr ptr, ptr %part, i64 3
  %with = load ptr, ptr %p.with
  %p.slot = getelementptr ptr, ptr %part, i64 4
  %slot = load ptr, ptr %p.slot
  %k.next = add i64 %k, 1
  %part.next = getelementptr i64, ptr %part, i64 5
  %own.next = getelementptr ptr, ptr %own, i64 %number
  %other = icmp ne i64 %k, 0
  %wake = and i1 %free, %other
  br i1 %wake, label %give, label %here

give:
  %s.kernel = getelementptr ptr, ptr %slot, i64 2
  store ptr %kernel, ptr %s.kernel
  %s.pointers = getelementptr ptr, ptr %slot, i64 3
  store ptr %own, ptr %s.pointers
  %s.sizes = getelementptr ptr, ptr %slot, i64 4
  store ptr %of, ptr %s.sizes
  %s.consts = getelementptr ptr, ptr %slot, i64 5
  store ptr %with, ptr %s.consts
  %s.over = getelementptr i64, ptr %slot, i64 7
  store atomic i64 0, ptr %s.over monotonic, align 8
  %s.go = getelementptr i64, ptr %slot, i64 8
  store atomic i64 1, ptr %s.go release, align 8
  %start = load ptr, ptr %slot
  call void @PyThread_release_lock(ptr %start)
  br label %begun

here:
  ; With the workers at hand, the first part waits until they all are at work.
  %run = xor i1 %free, true
  br i1 %run, label %alone, label %begun

alone:
  %found = call i64 %kernel(ptr %own, ptr %of, ptr %with)
  %named = call i64 @named(i64 %found, i64 %k)
  %fine = icmp eq i64 %status, 0
  %kept = select i1 %fine, i64 %named, i64 %status
  br label %begun

begun:
  %status.next = phi i64 [ %status, %give ], [ %status, %here ], [ %kept, %alone ]
  br label %each

first:
  br i1 %free, label %own.part, label %finish

own.part:
  %kernel.0 = load ptr, ptr %parts
  %p.of.0 = getelementptr ptr, ptr %parts, i64 2
  %of.0 = load ptr, ptr %p.of.0
  %p.with.0 = getelementptr ptr, ptr %parts, i64 3
  %with.0 = load ptr, ptr %p.with.0
  %status.0 = call i64 %kernel.0(ptr %table, ptr %of.0, ptr %with.0)
  br label %join

join:
  %j = phi i64 [ 1, %own.part ], [ %j.next, %joined ]
  %total = phi i64 [ %status.0, %own.part ], [ %total.next, %joined ]
  %left = icmp slt i64 %j, %count
  br i1 %left, label %joined, label %release

joined:
  %at = mul i64 %j, 5
  %p.slot.at = getelementptr ptr, ptr %parts, i64 %at
  %p.slot.j = getelementptr ptr, ptr %p.slot.at, i64 4
  %slot.j = load ptr, ptr %p.slot.j
  %p.done = getelementptr ptr, ptr %slot.j, i64 1
  %done = load ptr, ptr %p.done
  %p.over = getelementptr i64, ptr %slot.j, i64 7
  call void @look(ptr %p.over, i64 JOIN)
  %got = call i32 @PyThread_acquire_lock(ptr %done, i32 1)
  %p.status = getelementptr i64, ptr %slot.j, i64 6
  %status.j = load i64, ptr %p.status
  %named.j = call i64 @named(i64 %status.j, i64 %j)
  %none = icmp eq i64 %total, 0
  %total.next = select i1 %none, i64 %named.j, i64 %total
  %j.next = add i64 %j, 1
  br label %join

release:
  store atomic i64 0, ptr %busy release, align 8
  ret i64 %total

finish:
  ret i64 %status
}

; A status with the number of its part; that of an interrupt is for the caller as it is.
define internal i64 @named(i64 %status, i64 %part) {
  %fine = icmp eq i64 %status, 0
  %stopped = icmp eq i64 %status, 3
  %plain = or i1 %fine, %stopped
  %upper = shl i64 %part, 32
  %both = or i64 %upper, %status
  %named = select i1 %plain, i64 %status, i64 %both
  ret i64 %named
}
""".replace("JOIN", "20000").replace("IDLE", "200000")  # turns of less than 1 ns
_SLOT = 9  # words
MOST = 256  # parts that run at a time
_LOCKS = ("PyThread_acquire_lock", "PyThread_release_lock")


@dataclass(frozen=True)
class Member:
    """One part of a team: its kernel with sizes and constants, and how many pointers it takes."""

    address: int
    pointers: int
    sizes: tuple[int, ...]
    consts: tuple[float, ...] = ()


def _nowhere() -> int:
    return -1


def _place() -> Callable[[], int]:
    """What tells the number of the processor that the calling thread runs on; -1 if none does."""
    if not hasattr(os, "sched_setaffinity"):
        return _nowhere
    found = getattr(ctypes.CDLL(None), "sched_getcpu", _nowhere)
    return found


_processor = _place()


class _Workers:
    """The threads of this process; `busy` is one while a team has them."""

    def __init__(self) -> None:
        self.busy = np.zeros(1, np.int64)
        self.slots = np.zeros((MOST, _SLOT), np.int64)
        self.lock = threading.Lock()
        self.count = 0
        self.threads: list[tuple[int, set[int]]] = []  # the number of each, and its processors
        self.avoided = -1  # the processor where none of them is to be

    def at_least(self, count: int) -> None:
        """Start threads until there are so many, none of them where the caller is."""
        if self.count < count:
            self._start(count)
        here = _processor()
        if here != self.avoided:
            self._avoid(here)

    def _avoid(self, here: int) -> None:
        """Let the threads run on all their processors but this one.

        Linux wakes a thread beside the one that wakes it where processors share no cache that it
        knows of, as in virtual machines, and parts them after some 80 ms: what takes 510 us in one
        thread took 690 in two after every pause, and 340 later on.
        """
        with self.lock:
            for number, processors in self.threads:
                with suppress(OSError):  # they may be others by now
                    os.sched_setaffinity(number, processors - {here} or processors)
            self.avoided = here

    def _start(self, count: int) -> None:
        with self.lock:
            while self.count < count:
                slot = self.slots[self.count]
                slot[:2] = _new_lock(), _new_lock()
                loop = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_address("adjit_worker"))
                thread = threading.Thread(
                    target=loop, args=(slot.ctypes.data,), name="adjit-worker", daemon=True
                )
                thread.start()
                if thread.native_id is not None and hasattr(os, "sched_getaffinity"):
                    number = thread.native_id
                    self.threads.append((number, os.sched_getaffinity(number)))
                self.count += 1
            self.avoided = -1


_workers = _Workers()


class Team:
    """The kernel that runs some parts at once; its pointers are those of the parts in turn."""

    def __init__(self, members: Sequence[Member]) -> None:
        if len(members) > MOST:
            raise ValueError(f"a team has at most {MOST} parts")
        self._words = [
            (np.array(m.sizes, np.int64), np.array(m.consts, np.float64)) for m in members
        ]
        words = [_workers.busy.ctypes.data, len(members)]
        for k, (m, (sizes, consts)) in enumerate(zip(members, self._words, strict=True)):
            slot = _workers.slots[k - 1].ctypes.data if k else 0
            words += [m.address, m.pointers, sizes.ctypes.data, consts.ctypes.data, slot]
        self.sizes = tuple(words)
        self.address = _address("adjit_team")
        self._others = len(members) - 1

    def ready(self) -> None:
        """See to it that the threads are there."""
        _workers.at_least(self._others)


def together(members: Sequence[Member], nogil: bool = True) -> Callable[..., object]:
    """A callable of the arrays of all parts in turn, which runs them at the same time.

    One alone may keep Python's lock, which is cheaper where it takes less than a microsecond.
    """
    spec = [entry.unchecked()] * sum(m.pointers for m in members)
    if len(members) == 1:
        (m,) = members
        return entry.make_call(m.address, spec, m.sizes, m.consts, nogil)
    team = Team(members)
    call = entry.make_call(team.address, spec, team.sizes, (), nogil=True, keep=team)

    def run(*arrays: np.ndarray) -> object:
        team.ready()
        return call(*arrays)

    return run


def part_of(status: int) -> tuple[int, int]:
    """The part that a team's status is from, and the status of that part."""
    return status >> 32, status & 0xFFFFFFFF


@functools.cache
def _address(name: str) -> int:
    code = link.compiled("adjit_team", _CODE, "optimise")
    return link.load_object(code, name, {lock: entry.c_address(lock) for lock in _LOCKS})


def _new_lock() -> int:
    """A raw lock that is closed; it is never given back, as its thread ends with the process."""
    allocate = ctypes.pythonapi.PyThread_allocate_lock
    allocate.restype, allocate.argtypes = ctypes.c_void_p, []
    acquire = ctypes.pythonapi.PyThread_acquire_lock
    acquire.restype, acquire.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]
    lock = allocate()
    if lock is None or not acquire(lock, 1):
        raise MemoryError("no lock for another thread")
    return int(lock)


def _after_fork() -> None:
    """A child has none of the threads."""
    _workers.busy[0] = _workers.count = 0
    _workers.threads, _workers.avoided = [], -1
    _workers.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
