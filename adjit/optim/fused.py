"""Steps as kernels: one loop over a parameter of any size, written where it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

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
SHARED = 1 << 18  # elements from which threads share the parameters
_TRACED = 1 << 20  # of no program: only that it is no small size matters
KINDS = {np.dtype(np.float32): "f32", np.dtype(np.float64): "f64"}
_kernels: dict[Any, Any] = {}
_calls: dict[Any, Callable[..., object] | None] = {}
_LIMIT = 1000
_given: dict[Any, tuple[tuple[float, ...], list[np.ndarray]]] = {}


class Step(NamedTuple):
    """A parameter's step: (parameter, gradient, *states), of which all but the gradient move."""

    rule: Rule
    arrays: Sequence[np.ndarray]
    numbers: Mapping[str, float]


def apply(rule: Rule, arrays: Sequence[np.ndarray], numbers: Mapping[str, float]) -> None:
    """Take a step: (parameter, gradient, *states), all but the gradient written in place."""
    apply_all([Step(rule, arrays, numbers)])


def apply_all(steps: Iterable[Step]) -> None:
    """Take the steps of many parameters; those of one rule and equal numbers are one call."""
    alike: dict[Any, list[Step]] = {}
    for step in steps:
        numbers = tuple([step.numbers[k] for k in step.rule.numbers])
        alike.setdefault((step.rule.name, step.arrays[0].dtype, numbers), []).append(step)
    compiled = not settings.current().interpret
    for (_, dtype, _), group in alike.items():
        large = compiled and dtype in KINDS and max(s.arrays[0].size for s in group) >= LEAST
        if not large or not _run(group, dtype):
            for step in group:
                _interpret(step)


def _interpret(step: Step) -> None:
    p, _, *states = step.arrays
    given = {k: p.dtype.type(step.numbers[k]) for k in step.rule.numbers}
    with np.errstate(all="ignore"):
        found = step.rule.step(*step.arrays, **given)
    for old, new in zip((p, *states), found, strict=True):
        np.copyto(old, new)


def _run(group: Sequence[Step], dtype: np.dtype) -> bool:
    """Take steps by the rule's kernel, if it has one and the arrays are as it takes them."""
    rule = group[0].rule
    for step in group:
        shape = step.arrays[0].shape  # of states it is another one if the user set `p.data`
        if not all(
            x.dtype == dtype and x.shape == shape and x.flags.c_contiguous for x in step.arrays
        ):
            return False
    scalars = _scalars(rule, dtype, group[0].numbers)
    parts = _shared(group, settings.current().threads)
    call = _call(rule, dtype, tuple([tuple([s.arrays[0].size for s in part]) for part in parts]))
    if call is None:
        return False
    given: list[np.ndarray] = []
    for part in parts:
        for _, arrays, _ in part:
            given += arrays
            given += scalars
            given.append(arrays[0])
            given += arrays[2:]
    call(*given)
    return True


def _shared(group: Sequence[Step], threads: int) -> list[Sequence[Step]]:
    """The steps in parts of about equal size, one per thread, if that is worth waking them."""
    total = sum([s.arrays[0].size for s in group])
    if threads == 1 or total < SHARED or len({id(s.arrays[0]) for s in group}) < len(group):
        return [group]
    parts: list[list[Step]] = [[] for _ in range(threads)]
    sizes = [0] * threads
    for step in sorted(group, key=lambda s: -s.arrays[0].size):
        k = sizes.index(min(sizes))
        parts[k].append(step)
        sizes[k] += step.arrays[0].size
    return [part for part in parts if part]


def _scalars(rule: Rule, dtype: np.dtype, numbers: Mapping[str, float]) -> list[np.ndarray]:
    """The numbers as arrays; those of the last step are often those of this one."""
    key = tuple([numbers[k] for k in rule.numbers])
    kept = _given.get((rule.name, dtype))
    if kept is None or kept[0] != key:
        kept = _given[rule.name, dtype] = key, [np.array(x, dtype) for x in key]
    return kept[1]


def _call(
    rule: Rule, dtype: np.dtype, sizes: tuple[tuple[int, ...], ...]
) -> Callable[..., object] | None:
    """The rule's kernel for arrays of these sizes, part by part; None if it takes more loops."""
    key = rule.name, dtype, sizes
    if key not in _calls:
        kind = key[:2]
        if kind not in _kernels:
            _kernels[kind] = _compiled(rule, KINDS[dtype])
        if len(_calls) > _LIMIT:
            _calls.clear()
        made = _kernels[kind]
        _calls[key] = None if made is None else _sized(made, sizes)
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


def _sized(made: Any, sizes: Sequence[Sequence[int]]) -> Callable[..., object]:
    from ..codegen import many, team

    kernel, executable = made
    pointers = len(kernel.inputs) + len(kernel.outputs)
    members = [
        many.member(executable.address, pointers, [(n,) for n in part], kernel.consts)
        for part in sizes
    ]
    return team.together(members, nogil=max(map(max, sizes)) >= many.NOGIL)
