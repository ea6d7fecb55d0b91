"""A function becomes a schedule: maximal runs of ops that kernels can do, host steps between."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.guards import guard
from ..ir.ops.show import show, shows
from ..ir.plan import HostStep, KernelStep, Schedule
from ..ir.prim import Call
from .absorb import absorbed
from .calls import expand
from .extents import label
from .fuse import fuse
from .lower import lower
from .recompute import crossing
from .residence import KERNEL_DTYPES, on_kernel, ragged
from .rounding import Rounding, rounding


def labelled(function: Function, varying: Collection[tuple[int, int]] = ()) -> Block:
    """The lowered block of a function, whose shapes know which extents are one."""
    return label(lower(expand(function)).block, varying)


def schedule(
    function: Function,
    varying: Collection[tuple[int, int]] = (),
    strict: int | None = None,
    block: Block | None = None,
) -> Schedule:
    """The steps of a program, each kernel with its fusion plan.

    `varying` are (param, axis) whose extents are known to change from call to call.  The
    first `strict` results (all, if None) are the user's, the others derivatives: see `rounding`.
    The `block` of the function, if somebody has made it already, is `labelled` of both.
    """
    block = block or labelled(function, varying)
    stages, rounds = _stages(block), rounding(block, strict)
    if len(set(stages.values())) > 1:
        by_stage, wanted = crossing(block, stages)
    else:
        by_stage, wanted = {s: list(block.ops) for s in set(stages.values())}, set(block.outs)
    steps: list[KernelStep | HostStep] = []
    for stage in sorted(by_stage):
        ops = by_stage[stage]
        if stage % 2:
            steps.extend(HostStep(op) for op in ops)
        elif len(by_stage) == 1 and all(_storable(v) for v in block.outs):
            steps.append(_kernel(function.name, ops, block.outs, rounds))
        else:
            writes = [v for op in ops if stages[op] == stage for v in op.outs if v in wanted]
            if writes or any(map(decides, ops)):
                steps.append(_kernel(function.name, ops, writes, rounds))
    return Schedule(function.name, block.params, tuple(absorbed(steps)), block.outs)


def _stages(block: Block) -> dict[Op, int]:
    """Kernel ops at even stages, host ops at odd ones, each after what it reads."""
    host = {op for op in block.ops if not on_kernel(op)}
    while True:
        stages = _staged(block, host)
        if not any(ragged(v) for op in block.ops if op not in host for v in op.outs):
            return stages
        # Values of as many rows as there are rounds are known to one kernel only.
        apart = _apart(block, stages) - host
        if not apart:
            return stages
        host |= apart


def _apart(block: Block, stages: dict[Op, int]) -> set[Op]:
    """The ops that make or read a value of unknown extent together with another step."""
    made = {v: op for op in block.ops for v in op.outs if ragged(v)}
    apart = {made[v] for v in block.outs if v in made}
    for op in block.ops:
        for a in op.args:
            if ragged(a) and (a not in made or stages[made[a]] != stages[op]):
                apart |= {op, made.get(a, op)}
    return apart


def _staged(block: Block, host: Collection[Op]) -> dict[Op, int]:
    """The stages when these ops run on the host.

    What may fail on the wrong path comes after the guards before it.
    """
    stages: dict[Op, int] = {}
    stage: dict[Value, int] = {}
    decided, shown = 0, 0
    showing = [op for op in block.ops if shows(op)]
    told = set(showing)
    for op in block.ops:
        parity = 1 if op in host else 0
        s = max([stage[a] for a in op.args if a in stage], default=0)
        if told and op in told:
            s = max(s, shown)
        if parity or isinstance(op.prim.emit, Call):
            s = max(s, decided)
        stages[op] = s = s + ((s ^ parity) & 1)
        if (op.blocks or op.prim is guard) and decides(op):
            decided = s
        if told and op in told:
            shown = s
        for v in op.outs:
            stage[v] = s
    last = max(stages.values(), default=1) | 1
    for op in reversed(showing):  # at the end, when nothing can fail any more
        if op.prim is not show:
            break
        stages[op] = last
    return stages


def decides(op: Op) -> bool:
    """Whether the program may end at an op: a guard, or rounds with one in them."""
    if not op.blocks:
        return op.prim is guard
    return any(decides(o) for b in op.blocks.values() for o in b.ops)


def _storable(v: Value) -> bool:
    """Whether a kernel can write the value as one of its outputs."""
    return v.aval.dtype in KERNEL_DTYPES and 0 not in v.aval.shape


def _made(ops: Sequence[Op]) -> list[Value]:
    return [v for op in ops for v in op.outs]


def _kernel(name: str, ops: list[Op], writes: Sequence[Value], rounds: Rounding) -> KernelStep:
    """One kernel; what it writes may be a parameter, a constant, or there twice."""
    made = set(_made(ops))
    used = (*(a for op in ops for a in op.args), *writes)
    reads = tuple(dict.fromkeys(a for a in used if a not in made and type(a) is not Const))
    plan = fuse(Function(name, Block(reads, tuple(ops), tuple(writes))), rounds)
    return KernelStep(plan, reads, tuple(writes))
