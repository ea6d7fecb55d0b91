"""A function becomes a schedule: maximal runs of ops that kernels can do, host steps between."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..ir.access import has_emission
from ..ir.core import Block, Const, Function, Op, Value
from ..ir.ops.guards import guard
from ..ir.plan import HostStep, KernelStep, Schedule
from ..ir.prim import Call
from ..ir.types import Aval
from .calls import expand
from .extents import label
from .fuse import fuse
from .lower import lower

KERNEL_DTYPES = frozenset(
    ("f64", "f32", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool")
)


def schedule(function: Function, varying: Collection[tuple[int, int]] = ()) -> Schedule:
    """The steps of a program, each kernel with its fusion plan.

    `varying` are (param, axis) whose extents are known to change from call to call.
    """
    block = label(lower(expand(function)).block, varying)
    stages = _stages(block)
    made = {v: stages[op] for op in block.ops for v in op.outs}
    wanted = set(block.outs)
    for op in block.ops:
        for a in op.args:
            d = made.get(a)
            if d is not None and d != stages[op]:
                wanted.add(a)
    by_stage: dict[int, list[Op]] = {}
    for op in block.ops:
        by_stage.setdefault(stages[op], []).append(op)
    steps: list[KernelStep | HostStep] = []
    for stage in sorted(by_stage):
        ops = by_stage[stage]
        if stage % 2:
            steps.extend(HostStep(op) for op in ops)
        elif len(by_stage) == 1 and all(_storable(v) for v in block.outs):
            steps.append(_kernel(function.name, ops, block.outs))
        else:
            steps.append(_kernel(function.name, ops, [v for v in _made(ops) if v in wanted]))
    return Schedule(function.name, block.params, tuple(steps), block.outs)


def on_kernel(op: Op) -> bool:
    """Whether kernels can do the op: it has an emission, sized operands and a plain dtype."""
    avals = [v.aval for v in (*op.args, *op.outs)]
    if not has_emission(op) or not all(map(_sized, avals)):
        return False
    return all(_in_kernel(b) for b in op.blocks.values())


def _in_kernel(block: Block) -> bool:
    """Whether a region can run inside a kernel: all of it can, and no guard leaves from there."""
    return all(map(_sized, block.out_avals)) and all(
        op.prim is not guard and on_kernel(op) for op in block.ops
    )


def _sized(a: Aval) -> bool:
    return a.dtype in KERNEL_DTYPES and all(n > 0 for n in a.shape)


def _stages(block: Block) -> dict[Op, int]:
    """Kernel ops at even stages, host ops at odd ones, each after what it reads.

    What may fail on the wrong path comes after the guards before it.
    """
    stages: dict[Op, int] = {}
    stage: dict[Value, int] = {}
    decided = 0
    for op in block.ops:
        parity = 0 if on_kernel(op) else 1
        before = [stage[a] for a in op.args if a in stage]
        if parity or isinstance(op.prim.emit, Call):
            before.append(decided)
        stages[op] = s = max((b + ((b ^ parity) & 1) for b in before), default=parity)
        if op.prim is guard:
            decided = s
        stage.update((v, s) for v in op.outs)
    return stages


def _storable(v: Value) -> bool:
    """Whether a kernel can write the value as one of its outputs."""
    return v.aval.dtype in KERNEL_DTYPES and 0 not in v.aval.shape


def _made(ops: Sequence[Op]) -> list[Value]:
    return [v for op in ops for v in op.outs]


def _kernel(name: str, ops: list[Op], writes: Sequence[Value]) -> KernelStep:
    """One kernel; what it writes may be a parameter, a constant, or there twice."""
    made = set(_made(ops))
    used = (*(a for op in ops for a in op.args), *writes)
    reads = tuple(dict.fromkeys(a for a in used if a not in made and type(a) is not Const))
    plan = fuse(Function(name, Block(reads, tuple(ops), tuple(writes))))
    return KernelStep(plan, reads, tuple(writes))
