"""`checkpoint`: a part of a program whose adjoint computes again instead of keeping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .ir.builder import Builder
from .ir.core import Function
from .ir.ops.control import emit_call
from .ir.records import dataclass
from .passes.replay import fresh, replay
from .staging import Staged, Transform, staged, traced
from .tracer.trace import is_tracing


@dataclass(frozen=True)
class Checkpoint(Transform):
    """Called as fn is; inside another trace, one op whose adjoint runs it again."""

    @property
    def verb(self) -> str:
        return "checkpoint"

    def stage(self, fn: Callable[..., Any], args: Any, kwargs: Any) -> Staged:
        t = traced(fn, args, kwargs)
        function = t.function
        if is_tracing():
            params = fresh(function.params)
            with Builder(params) as b:
                outs = emit_call(params, replay(function.block), recompute=True)
                function = Function(function.name, b.done(outs))
        return staged(t, function, t.outs_tree, t.out_leaves, strict=None)
