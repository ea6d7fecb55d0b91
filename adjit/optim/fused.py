"""Steps as kernels: one loop over a parameter of any size, written where it was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import settings
from ..ir.core import Block, Function
from ..ir.plan import Loop
from ..ir.types import Aval
from ..passes import pipeline
from ..passes.fuse import fuse
from ..tracer import trace as _surface  # noqa: F401  # fills the tables of Tracers
from ..tracer.record import Recorder, stack
from ..tracer.surface import value
from ..tracer.tracer import Tracer
from .rules import Rule

LEAST = 1 << 12  # elements from which a kernel is worth compiling
_TRACED = 1 << 20  # of no program: only that it is no small size matters
KINDS = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}
_kernels: dict[Any, Any] = {}
_calls: dict[Any, Callable[..., object] | None] = {}
_given: dict[Any, tuple[tuple[float, ...], list[np.ndarray]]] = {}


def apply(rule: Rule, arrays: Sequence[np.ndarray], numbers: Mapping[str, float]) -> None:
    """Take a step: (parameter, gradient, *states), all but the gradient written in place."""
    p = arrays[0]
    if p.size >= LEAST and p.dtype in KINDS and not settings.current().interpret:
        call = _call(rule, p.dtype, p.size)
        if call is not None and all(x.dtype == p.dtype and x.flags.c_contiguous for x in arrays):
            call(*arrays, *_scalars(rule, p.dtype, numbers), p, *arrays[2:])
            return
    given = {k: p.dtype.type(numbers[k]) for k in rule.numbers}
    with np.errstate(all="ignore"):
        found = rule.step(*arrays, **given)
    for old, new in zip((p, *arrays[2:]), found, strict=True):
        np.copyto(old, new)


def _scalars(rule: Rule, dtype: np.dtype, numbers: Mapping[str, float]) -> list[np.ndarray]:
    """The numbers as arrays; those of the last step are often those of this one."""
    key = tuple([numbers[k] for k in rule.numbers])
    kept = _given.get((rule.name, dtype))
    if kept is None or kept[0] != key:
        kept = _given[rule.name, dtype] = key, [np.array(x, dtype) for x in key]
    return kept[1]


def _call(rule: Rule, dtype: np.dtype, size: int) -> Callable[..., object] | None:
    """The rule's kernel for so many elements; None if it takes more than one loop."""
    key = rule.name, dtype, size
    if key not in _calls:
        kind = key[:2]
        if kind not in _kernels:
            _kernels[kind] = _compiled(rule, KINDS[dtype])
        made = _kernels[kind]
        _calls[key] = None if made is None else _sized(made, size)
    return _calls[key]


def _compiled(rule: Rule, dtype: str) -> Any:
    """Kernel and machine code of a rule, or None."""
    from ..codegen.compile import compile_source
    from ..codegen.kernel import write_kernel

    function = pipeline.run(traced(rule, dtype), [*pipeline.PRIMAL, *pipeline.joint(None)])
    plan = fuse(function)
    params = len(function.block.params)
    kernel = write_kernel(plan, rule.name)
    # Outputs are written over inputs, element by element: that is right in one loop only.
    alone = len(plan.items) == 1 and isinstance(plan.items[0], Loop) and not kernel.workspaces
    if not alone or kernel.inputs != tuple(range(params)) or kernel.sizes != (_TRACED,):
        return None
    return kernel, compile_source(kernel.source, settings.current().rung)


def traced(rule: Rule, dtype: str) -> Function:
    """The rule as a function of vectors and numbers."""
    rec = Recorder(rule.name)
    stack().append(rec)
    try:
        with rec.builder:
            vectors = [
                Tracer(rec, rec.param(Aval(dtype, (_TRACED,))), "array")
                for _ in range(2 + len(rule.states))
            ]
            numbers = {k: Tracer(rec, rec.param(Aval(dtype, ()), k), "array") for k in rule.numbers}
            outs = [value(x) for x in rule.step(*vectors, **numbers)]
    finally:
        stack().remove(rec)
    return Function(rule.name, Block(tuple(rec.params), tuple(rec.builder.ops), tuple(outs)))


def _sized(made: Any, size: int) -> Callable[..., object]:
    from ..codegen import entry

    kernel, executable = made
    count = len(kernel.inputs) + len(kernel.outputs)
    spec = [entry.unchecked()] * count
    return entry.make_call(executable.address, spec, (size,), kernel.consts, nogil=size >= 1 << 16)
