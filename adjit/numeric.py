"""A function of the IR as a function of arrays: interpreted at first, compiled where that pays."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from . import settings
from .eager.hot import PATIENCE, ready
from .ir.core import Function
from .ir.interp import evaluate
from .ir.types import NUMPY
from .passes import pipeline
from .passes.schedule import schedule


class Numeric:
    """Called with arrays, one per parameter: the results, as arrays of their own."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._simplified: Function | None = None
        self._program: Any = None
        self._seconds = 0.0

    def __call__(self, *inputs: Any) -> list[np.ndarray]:
        pairs = zip(inputs, self._function.params, strict=True)
        arrays = [ready(np.asarray(x, NUMPY[p.aval.dtype])) for x, p in pairs]
        if self._seconds > PATIENCE and not settings.current().interpret:
            found: Sequence[np.ndarray] = self._compiled().call(arrays)
            return list(found)
        start = perf_counter()
        with self._lock:
            if self._simplified is None:
                self._simplified = pipeline.run(self._function, pipeline.joint(None))
        found = evaluate(self._simplified, *arrays)
        self._seconds += perf_counter() - start
        return [np.array(x) for x in found]

    def _compiled(self) -> Any:
        with self._lock:
            if self._program is None:
                from .codegen.program import build

                assert self._simplified is not None
                self._program = build(schedule(self._simplified), settings.current().rung)
            return self._program
