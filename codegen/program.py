"""A schedule becomes a Program: compiled kernels and host steps, run in order."""

from __future__ import annotations

import functools
import keyword
import re
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from time import perf_counter
from typing import Any

import numpy as np

from ..ir.core import Const, Op, Value
from ..ir.interp import GuardMiss, apply
from ..ir.ops.control import hold
from ..ir.ops.planes import joined, parts
from ..ir.plan import HostStep, KernelStep, Schedule
from ..ir.records import dataclass
from ..ir.types import NUMPY, Aval
from . import entry, memory, threads
from .compile import Executable, compile_source
from .kernel import Kernel, item_bytes, write_kernel
from .lapack import MESSAGES
from .regions import NO_MEMORY

VIEWS = (joined, parts)  # complex numbers as pairs of real ones, and back: no work
ALIGN = 64
BYTE = np.dtype(np.uint8)
STAGGER = 192  # large buffers at equal offsets of a page evict each other
LARGE = 1 << 16
NOGIL_WORK = 1 << 13  # elements: below it releasing the GIL costs more than it gives


class KernelError(IndexError):
    """A kernel reported an index out of bounds."""


@dataclass(eq=False)
class Block:
    """Memory of a room, and the arrays of each workspace (by identity) that lie in it."""

    memory: np.ndarray
    arrays: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)


@dataclass(eq=False)
class Room:
    """Blocks in which the kernels of a program work, one after the other."""

    bytes: int
    free: list[Block] = field(default_factory=list)
    lent: dict[int, Block] = field(default_factory=dict)  # by the identity of the arrays

    def take(self) -> Block:
        try:
            return self.free.pop()
        except IndexError:
            return Block(np.empty(self.bytes, BYTE))

    def give(self, block: Block) -> None:
        if len(self.free) < 2:
            self.free.append(block)


@dataclass(eq=False)
class Workspace:
    """Aligned scratch arrays of a kernel; sets of them are reused between calls.

    With a `room`, which several kernels share, they lie in a block of it instead, where the arrays
    of the next kernel lie after them.
    """

    avals: tuple[Aval, ...]
    tapes: bool = False  # whether the last array holds addresses and sizes of tapes
    room: Room | None = None
    keep: int = 2  # sets that wait for the next call; as many as run at a time
    free: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def take(self) -> tuple[np.ndarray, ...]:
        if self.room is not None:
            block = self.room.take()
            arrays = block.arrays.get(id(self))
            if arrays is None:
                arrays = block.arrays[id(self)] = self._within(block.memory)
            self.room.lent[id(arrays)] = block
            return arrays
        try:
            return self.free.pop()
        except IndexError:
            return self._within(np.empty(self.bytes, BYTE))

    def give(self, arrays: tuple[np.ndarray, ...]) -> None:
        if self.room is not None:
            self.room.give(self.room.lent.pop(id(arrays)))
        elif len(self.free) < self.keep:
            self.free.append(arrays)

    def release(self) -> None:
        """Let go of what waits for the next call."""
        self.free.clear()
        if self.room is not None:
            self.room.free.clear()

    def _places(self) -> tuple[list[int], int]:
        """Where each array begins, and the bytes of all."""
        offsets, total = [], 0
        for k, a in enumerate(self.avals):
            size = item_bytes(a)
            total += STAGGER * (k % 16) if size > LARGE else 0
            total = -(-total // ALIGN) * ALIGN
            offsets.append(total)
            total += size
        return offsets, total + ALIGN

    @property
    def offsets(self) -> list[int]:
        """Where each array begins in memory that starts with a cache line."""
        return self._places()[0]

    @property
    def bytes(self) -> int:
        """How much memory the arrays take."""
        return self._places()[1]

    def _within(self, block: np.ndarray) -> tuple[np.ndarray, ...]:
        offsets, _ = self._places()
        start = -block.ctypes.data % ALIGN
        arrays = tuple(
            block[start + o : start + o + item_bytes(a)].view(NUMPY[a.dtype]).reshape(a.shape)
            for o, a in zip(offsets, self.avals, strict=True)
        )
        return (*arrays[:-1], memory.cells(self.avals[-1].size)) if self.tapes else arrays


@dataclass(eq=False)
class KernelRun:
    """One compiled kernel with its arguments' layout."""

    kernel: Kernel
    step: KernelStep
    executable: Executable
    workspace: Workspace
    call: Callable[..., object]

    @functools.cached_property
    def _layout(self) -> tuple[list[Value], list[tuple[tuple[int, ...], np.dtype]]]:
        """What it reads, in the kernel's order, and shapes and dtypes of what it writes."""
        writes = [(tuple(map(int, v.shape)), NUMPY[v.dtype]) for v in self.step.writes]
        return [self.step.reads[k] for k in self.kernel.inputs], writes

    def run(self, env: dict[Value, np.ndarray]) -> None:
        inputs, writes = self._layout
        reads = [env[v] for v in inputs]
        outs = [memory.aligned(shape, dtype) for shape, dtype in writes]
        work = self.workspace.take()
        status = self.call(*reads, *outs, *work)
        self.workspace.give(work)
        if status is not True:
            if (op := self.kernel.missed(status)) is not None:
                raise GuardMiss.of(op)
            raise self.failure(status)
        env.update(zip(self.step.writes, outs, strict=True))

    @property
    def launch(self) -> dict[str, Any] | None:
        """What a compiled front needs to call the kernel; None if it takes Python to call it."""
        k = self.kernel
        limited = k.shares and threads.limits()
        if limited and k.stops:  # one that was stopped leaves an error, which `end` would lose
            return None
        return {
            "around": (threads.begin, threads.end) if limited else (),
            "kernel": self.executable.address,
            "sizes": k.sizes,
            "consts": k.consts,
            "nogil": _work(k) >= NOGIL_WORK,
            "guards": len(k.guards),
        }

    def failure(self, status: object) -> Exception:
        """The error that a status stands for, with the lines that may be to blame."""
        if status == NO_MEMORY:
            return MemoryError("a loop keeps a row for each of its rounds, which are too many")
        if status in MESSAGES:
            return np.linalg.LinAlgError(MESSAGES[status])
        ops = {op: None for op in self.step.plan.defs.values() if op.prim.domain == "index"}
        places = dict.fromkeys(str(op.where) for op in ops if op.where is not None)
        at = f": the indexing at {', '.join(places)}" if places else ""
        return KernelError(f"an index is out of bounds for the array it indexes{at}")


@functools.cache
def _on_host() -> Callable[..., Any]:
    """What runs a host step: NumPy's LAPACK spins on busy cores as its BLAS does."""
    return threads.limited(apply)


@dataclass(eq=False)
class HostRun:
    """One op run in Python: through its row's reference, or a convolution by kernels."""

    op: Op
    threads: int = 1

    @functools.cached_property
    def native(self) -> Callable[..., np.ndarray] | None:
        from .convolve import prepared

        return prepared(self.op, self.threads)

    @property
    def reads(self) -> tuple[Value, ...]:
        return self.op.args

    @property
    def passes_on(self) -> bool:
        """Whether the results are the very arrays of its arguments."""
        return self.op.prim is hold

    def run(self, env: dict[Value, np.ndarray]) -> None:
        if self.passes_on:
            env.update((v, env[a]) for v, a in zip(self.op.outs, self.op.args, strict=True))
            return
        if self.op.prim in VIEWS:
            env[self.op.outs[0]] = self.op.prim.ref(env[self.op.args[0]])
            return
        if self.native is not None:
            env[self.op.outs[0]] = self.native(*(env[a] for a in self.op.args))
            return
        args = [a.data if type(a) is Const else env[a] for a in self.op.args]
        outs = _on_host()(self.op, args)
        for v, x in zip(self.op.outs, outs, strict=True):
            dtype = NUMPY[v.dtype]
            if type(x) is not np.ndarray or x.dtype != dtype or not x.flags.carray:
                x = np.require(x, dtype, ["C", "A"])
            env[v] = x


@dataclass(eq=False)
class Program:
    """A compiled function on arrays: `call(inputs)` gives fresh outputs."""

    schedule: Schedule
    runs: list[KernelRun | HostRun]
    seconds: dict[str, float]

    @functools.cached_property
    def _last(self) -> list[tuple[Value, ...]]:
        """For each run the values of the program that nothing needs after it."""
        kept = {*self.schedule.params, *self.schedule.outs}
        last: list[tuple[Value, ...]] = []
        for run in reversed(self.runs):
            reads = run.step.reads if isinstance(run, KernelRun) else run.reads
            last.append(tuple({v for v in reads if type(v) is not Const and v not in kept}))
            kept.update(reads)
        return last[::-1]

    def call(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results, as arrays owned by the caller; inputs are C-contiguous arrays."""
        env: dict[Value, np.ndarray] = dict(zip(self.schedule.params, inputs, strict=True))
        if len(self.runs) == 1 and isinstance(self.runs[0], KernelRun):
            self.runs[0].run(env)
        else:
            with np.errstate(all="ignore"):
                for run, dead in zip(self.runs, self._last, strict=True):
                    run.run(env)
                    for v in dead:
                        del env[v]
        return self._results(env)

    def _results(self, env: dict[Value, np.ndarray]) -> list[np.ndarray]:
        outs: list[np.ndarray] = []
        given = {*self.schedule.params, *self._passed_on}
        for k, v in enumerate(self.schedule.outs):
            if type(v) is Const:
                outs.append(np.array(v.data))
            elif v in given or v in self.schedule.outs[:k]:
                outs.append(memory.copied(env[v]))
            else:
                outs.append(env[v])
        return outs

    @property
    def shared(self) -> bool:
        """Whether threads share some of its steps."""
        hosts = (r for r in self.runs if isinstance(r, HostRun))
        return any(r.threads > 1 and r.native is not None for r in hosts)

    def alone(self) -> Program:
        """The same in one thread."""
        runs = [HostRun(r.op) if isinstance(r, HostRun) else r for r in self.runs]
        return replace(self, runs=runs)

    def release(self) -> None:
        """Let go of the memory that kernels work in, until the next call."""
        for run in self.kernels:
            run.workspace.release()

    @functools.cached_property
    def _passed_on(self) -> set[Value]:
        """Values that share their array with another one."""
        hosts = (r for r in self.runs if isinstance(r, HostRun) and r.passes_on)
        return {v for r in hosts for v in (*r.op.args, *r.op.outs)}

    @property
    def kernels(self) -> list[KernelRun]:
        return [r for r in self.runs if isinstance(r, KernelRun)]

    @property
    def sources(self) -> list[tuple[str, str]]:
        """Path and text of each kernel."""
        return [(str(r.executable.path), r.kernel.source.text) for r in self.kernels]

    @property
    def plan(self) -> Schedule:
        return self.schedule

    @property
    def single(self) -> KernelRun | None:
        """The kernel that is the whole program, if there is one and its outputs are all its own."""
        if len(self.runs) != 1 or not isinstance(self.runs[0], KernelRun):
            return None
        run = self.runs[0]
        return run if run.step.writes == self.schedule.outs else None


def build(schedule: Schedule, rung: str | None = None, threads: int = 1) -> Program:
    """Write and compile the kernels of a schedule; `threads` share a convolution."""
    seconds = {"codegen": 0.0, "frontend": 0.0, "llvm": 0.0, "load": 0.0}
    runs: list[KernelRun | HostRun] = []
    for step in schedule.steps:
        if isinstance(step, HostStep):
            runs.append(HostRun(step.op, threads))
            continue
        start = perf_counter()
        kernel = write_kernel(step.plan, _name(schedule.name))
        seconds["codegen"] += perf_counter() - start
        executable = compile_source(kernel.source, rung)
        for part, s in executable.seconds.items():
            seconds[part] = seconds.get(part, 0.0) + s
        runs.append(_run(kernel, step, executable))
    _share([r.workspace for r in runs if isinstance(r, KernelRun)])
    return Program(schedule, runs, seconds)


def _share(workspaces: Sequence[Workspace]) -> None:
    """Let the kernels of a program work in the same memory, one after the other, if it is large."""
    room = max((w.bytes for w in workspaces), default=0)
    if len(workspaces) > 1 and room >= memory.LARGE:
        shared = Room(room)
        for w in workspaces:
            if w.avals and not w.tapes:
                w.room = shared


def _run(kernel: Kernel, step: KernelStep, executable: Executable) -> KernelRun:
    count = len(kernel.inputs) + len(kernel.outputs) + len(kernel.workspaces)
    call = make_call(kernel, executable, [entry.unchecked()] * count)
    return KernelRun(kernel, step, executable, Workspace(kernel.workspaces, kernel.tapes > 0), call)


def make_call(
    kernel: Kernel, executable: Executable, spec: Sequence[entry.ArgSpec], nogil: bool = False
) -> Callable[..., object]:
    """A builtin that checks its arguments against `spec` and jumps into the kernel."""
    nogil = nogil or _work(kernel) >= NOGIL_WORK
    call = entry.make_call(executable.address, spec, kernel.sizes, kernel.consts, nogil=nogil)
    return threads.limited(call) if kernel.shares else call


def _work(kernel: Kernel) -> int:
    """How many elements a kernel goes through, roughly."""
    if kernel.endless or kernel.tapes:
        return NOGIL_WORK
    avals = (*kernel.outputs, *kernel.workspaces)
    return max([a.size for a in avals] + list(kernel.sizes), default=0)


def _name(name: str) -> str:
    """A Python identifier made of a function's name."""
    text = re.sub(r"\W", "_", name) or "kernel"
    return text if text.isidentifier() and not keyword.iskeyword(text) else f"k_{text}"
