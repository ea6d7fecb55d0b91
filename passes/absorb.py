"""Complex arrays are handed to kernels as they are: a view of their numbers is no step.

A kernel reads and writes pairs of real numbers; where these are the parts of a complex value, or
become one, its pointer is that of the complex array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from ..ir.core import Value
from ..ir.ops.planes import joined, parts
from ..ir.plan import HostStep, KernelStep

Step = KernelStep | HostStep


def absorbed(steps: Sequence[Step]) -> list[Step]:
    """The steps without the views that stand between a kernel and a complex value."""
    written = {v for s in steps if isinstance(s, KernelStep) for v in s.writes}
    by_host = {a for s in steps if isinstance(s, HostStep) and _runs(s, written) for a in s.op.args}
    stands: dict[Value, Value] = {}  # a real array -> the complex one whose memory it is
    for step in steps:
        view = _view(step)
        if view is None:
            continue
        real, whole = view
        readable = step.op.prim is parts or real in written  # type: ignore[union-attr]
        if readable and real not in by_host and real not in stands:
            stands[real] = whole
    out: list[Step] = []
    for step in steps:
        view = _view(step)
        if view is not None and stands.get(view[0]) is view[1]:
            continue
        out.append(_renamed(step, stands) if isinstance(step, KernelStep) else step)
    return out


def _view(step: Step) -> tuple[Value, Value] | None:
    """The real and the complex array of a step that is only a view."""
    if not isinstance(step, HostStep) or step.op.prim not in (parts, joined):
        return None
    (x,), (y,) = step.op.args, step.op.outs
    return (y, x) if step.op.prim is parts else (x, y)


def _runs(step: HostStep, written: AbstractSet[Value]) -> bool:
    """Whether a step stays in any case: a whole of what no kernel wrote is made of its parts."""
    view = _view(step)
    return view is None or (step.op.prim is joined and view[0] not in written)


def _renamed(step: KernelStep, stands: Mapping[Value, Value]) -> KernelStep:
    if stands.keys().isdisjoint((*step.reads, *step.writes)):
        return step
    reads, writes = (tuple(stands.get(v, v) for v in vs) for vs in (step.reads, step.writes))
    return KernelStep(step.plan, reads, writes)
