"""A plan becomes a Source: the kernel's text, and the arrays, sizes and constants it takes."""

from __future__ import annotations

from math import prod

from ..ir.core import Op, Value
from ..ir.plan import Plan, Root
from ..ir.records import dataclass
from ..ir.types import NUMPY, Aval
from . import lapack
from .loops import FIRST_MISS, Writer
from .source import Source

LARGE_PRODUCT = 1 << 18  # multiplications up to which OpenBLAS uses one thread by itself


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel's source, and what to pass: inputs, outputs, then workspaces; sizes; constants."""

    source: Source
    inputs: tuple[int, ...]  # positions among the plan's params
    outputs: tuple[Aval, ...]
    workspaces: tuple[Aval, ...]
    sizes: tuple[int, ...]
    consts: tuple[float, ...]
    shares: bool  # whether BLAS or LAPACK would share something in it among threads
    guards: tuple[Op, ...] = ()
    endless: bool = False  # whether it may run for ever, or for long
    stops: bool = False  # whether it can be told to stop
    tapes: int = 0  # arrays of as many rows as there are rounds; the last workspace keeps them

    def missed(self, status: object) -> Op | None:
        """The guard that a status other than success stands for, if it stands for one."""
        if not isinstance(status, int) or status > FIRST_MISS:
            return None
        return self.guards[FIRST_MISS - status]


def write_kernel(plan: Plan, name: str) -> Kernel:
    """The text of a plan's kernel and its arguments."""
    w = Writer(plan)
    name = f"{name}_" if name in w.names.used else name  # of a user's `max`, or of NumPy's
    lines = w.write()
    inputs = [k for k, p in enumerate(plan.params) if p in w.pointer_names]
    works = [v for v in w.pointer_names if v in plan.roots and plan.slots.get(v) is v]
    order: list[Value] = [*(plan.params[k] for k in inputs), *plan.outs, *works]
    pointers = [w.pointer(v) for v in order]
    extra = [(w.pack, "f64")] if w.pack else []
    extra += [(w.cells, "i64")] if w.cells else []
    args = [
        *pointers,
        *(name for name, _ in extra),
        *w.names.sizes.values(),
        *w.names.consts.values(),
    ]
    head = [*w.names.head, *(["status = 0"] if w.uses_status else [])]
    tail = "return status" if w.uses_status else "return 0"
    body = "\n".join("    " + text for text in (*head, *lines, tail))
    text = f"def {name}({', '.join(args)}):\n{body}\n"
    source = Source(
        name,
        text,
        (*(v.dtype for v in order), *(dtype for _, dtype in extra)),
        len(w.names.sizes),
        len(w.names.consts),
    )
    works_avals = [Aval(v.dtype, plan.kept_shape(v)) for v in works]
    if w.pack:
        works_avals.append(Aval("f64", (max(1, -(-w.packed // 8)),)))
    if w.cells:
        works_avals.append(Aval("i64", (2 * len(w.tapes),)))
    return Kernel(
        source,
        tuple(inputs),
        tuple(v.aval for v in plan.outs),
        tuple(works_avals),
        tuple(n for n, _ in w.names.sizes),
        tuple(w.names.consts),
        any(map(_shares, plan.roots.values())),
        tuple(w.guards),
        w.endless,
        w.stops,
        len(w.tapes),
    )


def _shares(r: Root) -> bool:
    """Whether a call of BLAS or LAPACK would use several threads where it may."""
    if r.kind == "gemm":
        return prod(r.dims) >= LARGE_PRODUCT
    return r.kind == "call" and r.op is not None and lapack.shares(r.op.prim.name, r.value.shape)


def item_bytes(aval: Aval) -> int:
    """Bytes of an array of this abstract value."""
    return NUMPY[aval.dtype].itemsize * aval.size
