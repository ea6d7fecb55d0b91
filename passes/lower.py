"""Products to the forms that kernels know: one matrix product (in batches), or a sum.

After this pass a `dot` has operands of two dims after those of the batch, and contracts one of
these two; everything else about it is transposes and reshapes around it.
"""

from __future__ import annotations

from math import prod

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops
from ..ir.ops.contract import dot, free_dims
from ..ir.ops.elementwise import mul
from ..ir.ops.shape import reshape, sum_, transpose
from .replay import rebuild

BLAS = ("f64", "f32")


def lower(function: Function) -> Function:
    """Rewrite every `dot` that is not one plain product of matrices."""
    if not any(op.prim is dot for op in all_ops(function.block)):
        return function
    return rebuild(function, _visit)


def _visit(b: Builder, op: Op, args: tuple[Value, ...]) -> tuple[Value, ...] | None:
    if op.prim is not dot or 0 in (*args[0].shape, *args[1].shape):
        return None
    x, y = args
    contract, batch = op.attrs["contract"], op.attrs["batch"]
    rows = free_dims(x.ndim, batch[0], contract[0])
    columns = free_dims(y.ndim, batch[1], contract[1])
    sizes = [
        prod(v.shape[d] for d in dims) for v, dims in ((x, rows), (y, columns), (x, contract[0]))
    ]
    if x.dtype not in BLAS or 1 in sizes:
        return (_as_sum(x, y, rows, columns, contract, batch, op.outs[0].shape),)
    x2, cx = _matrix(x, batch[0], rows, contract[0])
    y2, cy = _matrix(y, batch[1], columns, contract[1])
    both = tuple(range(len(batch[0])))
    out = dot(x2, y2, contract=((cx,), (cy,)), batch=(both, both))
    if out.shape != op.outs[0].shape:
        out = reshape(out, shape=op.outs[0].shape)
    return (out,)


def _matrix(
    v: Value, batch: tuple[int, ...], free: tuple[int, ...], contract: tuple[int, ...]
) -> tuple[Value, int]:
    """The operand as a (batch, …) matrix, and the dim that is summed over."""
    nb, lead = len(batch), tuple(v.shape[d] for d in batch)
    n, k = prod(v.shape[d] for d in free), prod(v.shape[d] for d in contract)
    order, shape, dim = batch + free + contract, (*lead, n, k), nb + 1
    if batch + contract + free == tuple(range(v.ndim)):  # a matrix as it lies, transposed
        order, shape, dim = batch + contract + free, (*lead, k, n), nb
    moved = v if order == tuple(range(v.ndim)) else transpose(v, perm=order)
    return (moved if moved.shape == shape else reshape(moved, shape=shape)), dim


def _as_sum(
    x: Value,
    y: Value,
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    contract: tuple[tuple[int, ...], tuple[int, ...]],
    batch: tuple[tuple[int, ...], tuple[int, ...]],
    shape: tuple[int, ...],
) -> Value:
    """The product as mul and sum, over dims (batch, rows, columns, contracted)."""
    nb, nr, nc, nk = len(batch[0]), len(rows), len(columns), len(contract[0])
    left = transpose(x, perm=batch[0] + rows + contract[0])
    left = reshape(
        left, shape=left.shape[: nb + nr] + (1,) * nc + tuple(x.shape[d] for d in contract[0])
    )
    right = transpose(y, perm=batch[1] + columns + contract[1])
    right = reshape(right, shape=right.shape[:nb] + (1,) * nr + right.shape[nb:])
    product = mul(left, right)
    axes = tuple(range(nb + nr + nc, nb + nr + nc + nk))
    return sum_(product, axes=axes) if axes else product
