"""A plan becomes a Source: the kernel's text, and the arrays, sizes and constants it takes."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Value
from ..ir.plan import Plan
from ..ir.types import NUMPY, Aval
from .loops import Writer
from .source import Source


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel's source, and what to pass: inputs, outputs, then workspaces; sizes; constants."""

    source: Source
    inputs: tuple[int, ...]  # positions among the plan's params
    outputs: tuple[Aval, ...]
    workspaces: tuple[Aval, ...]
    sizes: tuple[int, ...]
    consts: tuple[float, ...]


def write_kernel(plan: Plan, name: str) -> Kernel:
    """The text of a plan's kernel and its arguments."""
    w = Writer(plan)
    lines = w.write()
    inputs = [k for k, p in enumerate(plan.params) if p in w.pointer_names]
    works = [v for v in w.pointer_names if v in plan.roots and v not in plan.outs]
    order: list[Value] = [*(plan.params[k] for k in inputs), *plan.outs, *works]
    pointers = [w.pointer(v) for v in order]
    args = [*pointers, *w.names.sizes.values(), *w.names.consts.values()]
    head = [*w.names.head, *(["status = 0"] if w.uses_status else [])]
    tail = "return status" if w.uses_status else "return 0"
    body = "\n".join("    " + text for text in (*head, *lines, tail))
    text = f"def {name}({', '.join(args)}):\n{body}\n"
    source = Source(
        name,
        text,
        tuple(v.dtype for v in order),
        len(w.names.sizes),
        len(w.names.consts),
    )
    works_avals = tuple(Aval(v.dtype, _kept_shape(plan, v)) for v in works)
    return Kernel(
        source,
        tuple(inputs),
        tuple(v.aval for v in plan.outs),
        works_avals,
        tuple(w.names.sizes),
        tuple(w.names.consts),
    )


def _kept_shape(plan: Plan, v: Value) -> tuple[int, ...]:
    """The extents that a workspace keeps; strips are bounded by the block's rows."""
    strips = {"strip": plan.strip_rows(v)}
    return tuple(
        n if how == "full" else strips[how]
        for n, how in zip(v.shape, plan.storage[v].kept, strict=True)
        if how != "drop"
    )


def item_bytes(aval: Aval) -> int:
    """Bytes of an array of this abstract value."""
    return NUMPY[aval.dtype].itemsize * aval.size
