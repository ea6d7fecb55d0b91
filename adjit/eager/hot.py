"""Structures of pending operations that recur: what interpreting them cost, and their programs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import settings
from ..ir.builder import Builder
from ..ir.core import Function, Value
from ..ir.printer import canonical
from ..passes import pipeline
from ..passes.replay import inline
from ..passes.schedule import schedule

if TYPE_CHECKING:
    from .tape import Node, Ref

# Seconds of interpreting after which a program is compiled: about what compiling costs, so that
# neither a wrong guess nor a long wait doubles the time.
PATIENCE = 0.25
LARGEST = 1000  # operations; compiling takes time that grows faster than their number
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

    def due(self) -> bool:
        """Whether it is time to compile."""
        if self.program is not None or self.runs < 2 or self.seconds < PATIENCE:
            return False
        return not settings.current().interpret

    def adopt(self, function: Function) -> None:
        """Make the program, or take that of an equal function."""
        key = canonical(function), settings.current()
        if key not in _programs:
            # Numba is imported in there, at the first compilation of the process.
            from ..codegen.program import build

            simplified = pipeline.run(function, [*pipeline.PRIMAL, *pipeline.joint(None)])
            options = settings.current()
            _programs[key] = build(schedule(simplified), options.rung, options.threads)
        self.program = _programs[key]

    def call(self, inputs: Sequence[Ref], targets: Sequence[Node]) -> None:
        """Give the targets their values by the program."""
        arrays = [ready(n.values[i]) for n, i in inputs]  # type: ignore[index]
        outs = iter(self.program.call(arrays))
        for node in dict.fromkeys(n for n in targets if n.values is None):
            node.values = tuple([next(outs) for _ in node.avals])
        self.runs += 1


def ready(x: np.ndarray) -> np.ndarray:
    """The array as programs take it."""
    flags = x.flags
    return x if flags.c_contiguous and flags.aligned else np.require(x, None, ["C", "A"])


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
