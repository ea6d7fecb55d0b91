"""Structures of pending operations that recur: what interpreting them cost, and their programs."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import settings
from ..background import SLICE
from ..building import Build
from ..ir.builder import Builder
from ..ir.core import Function, Value, all_ops
from ..ir.printer import canonical
from ..passes import pipeline
from ..passes.replay import inline

if TYPE_CHECKING:
    from .tape import Node, Ref

# Seconds of interpreting after which a program is compiled: about what compiling costs, so that
# neither a wrong guess nor a long wait doubles the time.
PATIENCE = 0.25
LEAST, PER_NODE = 0.05, 0.01  # of few operations: so many seconds, and more for each operation
LARGEST = 1000  # operations; compiling takes time that grows faster than their number
PER_OP = 0.003  # seconds that compiling one op of the IR takes, about
# Compiling that takes as long as this many runs goes on beside them: small arrays in many steps,
# as in an unrolled recurrent network, of which a pause would be felt.
PAUSE = 80
_programs: dict[tuple[str, Any], Any] = {}
structures: deque[Structure] = deque(maxlen=10_000)  # in the order they were met


class Structure:
    """What is known of one structure; `program` runs it once it is compiled."""

    def __init__(self, size: int) -> None:
        structures.append(self)
        self.size = size
        self.runs = 0
        self.seconds = 0.0
        self.program: Any = None
        self.patience = min(PATIENCE, LEAST + PER_NODE * size)
        self.job: Job | None = None

    def due(self) -> bool:
        """Whether it is time to compile; takes the program if it was made in the meantime."""
        if self.program is not None or self.runs < 2 or self.seconds < self.patience:
            return False
        if settings.current().interpret:
            return False
        job = self.job
        if job is None:
            return True
        job.join(SLICE)
        if not job.is_alive():
            self.job = None
            self.program = job.found()
        return False

    def adopt(self, function: Function) -> None:
        """Make the program, or take that of an equal function; perhaps beside the next runs."""
        options = settings.current()
        key = canonical(function), options
        self.program = _programs.get(key)
        if self.program is not None:
            return
        expected = PER_OP * sum(1 for _ in all_ops(function.block))
        beside = options.compile == "background" or expected > PAUSE * self.seconds / self.runs
        if not beside or self.seconds == 0.0:
            self.program = _programs[key] = _compiled(function, lambda: None)
        elif self.seconds < expected / 4:  # it may well be over before
            self.patience = expected / 4
        elif not _busy():
            self.job = Job(function, key)
            self.job.start()

    def call(self, inputs: Sequence[Ref], targets: Sequence[Node]) -> None:
        """Give the targets their values by the program."""
        arrays = [ready(n.values[i]) for n, i in inputs]  # type: ignore[index]
        outs = iter(self.program.call(arrays))
        for node in dict.fromkeys(n for n in targets if n.values is None):
            node.values = tuple([next(outs) for _ in node.avals])
        self.runs += 1


def _compiled(function: Function, pause: Callable[[], None]) -> Any:
    """The program of a function; `pause` is called between the stages, and may raise."""
    simplified = pipeline.run(function, [*pipeline.PRIMAL, *pipeline.joint(None)])
    pause()
    build = Build(simplified, settings.current())
    _ = build.plan
    pause()
    return build.program()


class _Over(Exception):
    """The process ends before a program is made."""


class Job(threading.Thread):
    """Makes one program while the interpreter goes on."""

    def __init__(self, function: Function, key: Any) -> None:
        super().__init__(name="adjit-compile")
        self._function, self._key = function, key
        self._context = contextvars.copy_context()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Compile, unless the process ends; its end waits for one stage at most."""
        try:
            _programs[self._key] = self._context.run(_compiled, self._function, _while_alive)
        except _Over:
            pass
        except BaseException as failure:
            self._failure = failure

    def found(self) -> Any:
        """The program; raises what kept it from being made."""
        if self._failure is not None:
            raise self._failure
        return _programs.get(self._key)


def _while_alive() -> None:
    if not threading.main_thread().is_alive():
        raise _Over


def _busy() -> bool:
    return any(isinstance(t, Job) for t in threading.enumerate())


def ready(x: np.ndarray) -> np.ndarray:
    """The array as programs take it."""
    flags = x.flags
    if flags.c_contiguous and flags.aligned:
        return x
    from ..codegen import memory  # which the program that asks has loaded

    return memory.copied(x)


def function_of(order: Sequence[Node], inputs: Sequence[Ref], targets: Sequence[Node]) -> Function:
    """The pending operations as one function; its results are those of the targets."""
    params = tuple(Value(n.avals[i]) for n, i in inputs)
    env: dict[Ref, Value] = dict(zip(inputs, params, strict=True))
    made = set(order)
    with Builder(params) as b:
        for node in order:
            assert node.piece is not None
            block = node.piece.function.block
            found = inline(block, [env[ref] for ref in node.inputs])
            env.update(((node, i), v) for i, v in enumerate(found))
        wanted = dict.fromkeys(n for n in targets if n in made)
        return Function("tensors", b.done([env[n, i] for n in wanted for i in range(len(n.avals))]))
