"""Where ops run: in kernels, or on the host between them."""

from __future__ import annotations

from ..ir.access import has_emission
from ..ir.core import Block, Op, Value
from ..ir.prim import Expr
from ..ir.types import Aval

KERNEL_DTYPES = frozenset(
    ("f64", "f32", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool")
)
_REGIONS = ("cond", "loop", "while")


def on_kernel(op: Op) -> bool:
    """Whether kernels can do the op: it has an emission, sized operands and a plain dtype.

    A leading extent that is known at run time only is the number of rounds of a loop: such values
    go from loop to loop, through elementwise ops at most, and never lie in memory of the caller's.
    """
    if not has_emission(op):
        return False
    values = (*op.args, *op.outs)
    if op.blocks:
        if op.prim.name not in _REGIONS or not all(map(_inside, op.blocks.values())):
            return False
        return all(map(_sized, _held(op))) and all(_sized(v) or _tape(v) for v in values)
    if isinstance(op.prim.emit, Expr) and any(map(ragged, op.outs)):
        return all(_sized(v) or _tape(v) for v in values)
    return all(map(_sized, values))


def ragged(v: Value) -> bool:
    """Whether the number of rows of a value is known at run time only."""
    return -1 in v.aval.shape


def _inside(block: Block) -> bool:
    """Whether a region can run inside a kernel: all of it can."""
    return all(map(_sized, block.outs)) and all(map(on_kernel, block.ops))


def _held(op: Op) -> tuple[Value, ...]:
    """What of a control op is no row of anything, one in each round."""
    if op.prim.name != "loop":
        return (*op.args, *op.outs)
    k = op.attrs.get("carries", 0)
    first = 1 + op.attrs.get("consts", 0) + k
    return (*op.args[:first], *op.outs[:k])


def _sized(v: Value) -> bool:
    aval = v.aval
    return aval.dtype in KERNEL_DTYPES and (not aval.shape or min(aval.shape) > 0)


def _tape(v: Value) -> bool:
    shape = v.aval.shape
    return shape[:1] == (-1,) and _sized(Value(Aval(v.aval.dtype, shape[1:])))
