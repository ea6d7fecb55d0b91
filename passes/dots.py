"""Normal form of `dot`: transposes absorbed; vector products become sums, which fuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ..ir.builder import Builder
from ..ir.core import Function, Op, Value, all_ops, use_counts
from ..ir.ops.contract import dot, free_dims
from ..ir.ops.elementwise import add, mul
from ..ir.ops.shape import broadcast, permuted, sum_, transpose
from .normal import Normal, missing
from .replay import rebuild

Attrs = Mapping[str, Any]
Args = tuple[Value, ...]
Dims = tuple[int, ...]
TINY_EXTENT = 8
TINY_PRODUCT = 256
FEW_PRODUCTS = 16  # for each element along the only long extent
LONG = 64  # elements of the innermost loop
FEW_TERMS = 16  # of sums that are added up term by term


def _absorb(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A transposed operand: other dims are contracted instead."""
    for side in (0, 1):
        op = b.made_by(args[side], "transpose")
        if op is None:
            continue
        perm = op.attrs["perm"]
        contract, batch = list(attrs["contract"]), list(attrs["batch"])
        free = free_dims(len(perm), batch[side], contract[side])
        contract[side] = tuple(perm[d] for d in contract[side])
        batch[side] = tuple(perm[d] for d in batch[side])
        operands = list(args)
        operands[side] = op.args[0]
        out = dot(*operands, contract=tuple(contract), batch=tuple(batch))
        # The free dims now come in the order of the operand itself.
        new = [perm[d] for d in free]
        places = [sorted(new).index(d) for d in new]
        before = len(batch[0]) + (out.ndim - len(batch[0]) - len(free) if side else 0)
        order = list(range(out.ndim))
        order[before : before + len(free)] = [before + k for k in places]
        return permuted(out, order)
    return None


def _sorted(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """Contracted dims in the order of the first operand."""
    pairs = list(zip(*attrs["contract"], strict=True))
    if pairs == sorted(pairs):
        return None
    left, right = zip(*sorted(pairs), strict=True)
    return dot(*args, contract=(left, right), batch=attrs["batch"])


def _negated(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    for side in (0, 1):
        op = b.made_by(args[side], "neg")
        if op is not None:
            operands = list(args)
            operands[side] = op.args[0]
            return -dot(*operands, **attrs)
    return None


def _as_sum(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A product by a vector, or with nothing to contract, as `mul` and `sum`."""
    (x, y), (cx, cy), (bx, by) = args, attrs["contract"], attrs["batch"]
    fx, fy = free_dims(x.ndim, bx, cx), free_dims(y.ndim, by, cy)
    if all(y.shape[d] == 1 for d in fy) or all(x.shape[d] == 1 for d in fx):
        return _reduced(x, y, (bx, fx, cx), (by, fy, cy))
    if all(x.shape[d] == 1 for d in cx):
        return _reduced(x, y, (bx, fx, cx), (by, fy, cy))
    return None


def tiny(op: Op) -> bool:
    """Whether matrices are so small that a product by BLAS takes longer than loops that fuse."""
    if op.prim is not dot:
        return False
    (x, y), (bx, by), (cx, cy) = op.args, op.attrs["batch"], op.attrs["contract"]
    rows = [n for d, n in enumerate(x.shape) if d not in bx]
    extents = rows + [y.shape[d] for d in free_dims(y.ndim, by, cy)]
    if max(extents, default=0) <= TINY_EXTENT and prod(extents) <= TINY_PRODUCT:
        return True
    return _long(x, y, (bx, by), (cx, cy))


def _long(x: Value, y: Value, batch: Sequence[Dims], contract: Sequence[Dims]) -> bool:
    """Whether one extent alone is long, and BLAS would need copies of what is no matrix."""
    free = [free_dims(v.ndim, b, c) for v, b, c in zip((x, y), batch, contract, strict=True)]
    sizes = [prod(v.shape[d] for d in f) for v, f in zip((x, y), free, strict=True)]
    inner = prod(x.shape[d] for d in contract[0])
    few, some, _ = sorted((inner, *sizes))
    if few * some <= FEW_PRODUCTS:
        return True
    if some > TINY_EXTENT:
        return False
    if inner > some:
        sides = [(x, contract[0]), (y, contract[1])]
    else:
        sides = [(x, free[0]) if sizes[0] > sizes[1] else (y, free[1])]
    return all(_scattered(v, dims) for v, dims in sides)


def _scattered(v: Value, dims: Dims) -> bool:
    """Whether dims lie apart in memory, the last of them long and innermost."""
    apart = len(dims) > 1 and max(dims) - min(dims) >= len(dims)
    return apart and v.ndim - 1 in dims and v.shape[-1] >= LONG


def opened(function: Function) -> Function:
    """The function with tiny products as sums of products; those that are added up are one sum."""
    regions = [r for op in all_ops(function.block) for r in op.blocks.values()]
    counts: dict[Value, int] = {}
    for block in (function.block, *regions):  # a value is read in the block that defines it alone
        counts.update(use_counts(block))
    sums: set[Value] = set()  # those of products that one op reads

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        if tiny(op):
            made: Value | None = as_sum(op, args)
        elif op.prim is add and sums.issuperset(args):
            made = _joined(b, *args)
        else:
            moved = op.prim is transpose and args[0] in sums
            made = permuted(args[0], op.attrs["perm"]) if moved else None
        if made is None:
            return None
        if counts.get(op.outs[0]) == 1:
            sums.add(made)
        return (made,)

    return rebuild(function, visit)


def _joined(b: Builder, x: Value, y: Value) -> Value | None:
    """Two sums of products along the same few elements as one, kept once, and in registers.

    Of products alone: BLAS says as little about the order of its additions.  Sums that a user
    wrote may cancel or overflow together where neither does by itself.
    """
    one, two = b.defs.get(x), b.defs.get(y)
    if one is None or two is None or one.prim is not two.prim or one.attrs != two.attrs:
        return None
    if one.prim not in (sum_, transpose) or not x.shape:
        return None
    (u,), (v,) = one.args, two.args
    if u.aval != v.aval:
        return None
    if one.prim is transpose:
        total = _joined(b, u, v)
        return None if total is None else transpose(total, **one.attrs)
    axes = one.attrs["axes"]
    return sum_(add(u, v), axes=axes) if prod(u.shape[a] for a in axes) <= FEW_TERMS else None


def as_sum(op: Op, args: Sequence[Value]) -> Value:
    """A product of matrices as a sum of products, which fuses."""
    (x, y), (cx, cy), (bx, by) = args, op.attrs["contract"], op.attrs["batch"]
    fx, fy = free_dims(x.ndim, bx, cx), free_dims(y.ndim, by, cy)
    return _reduced(x, y, (bx, fx, cx), (by, fy, cy))


def _reduced(x: Value, y: Value, xs: Sequence[Dims], ys: Sequence[Dims]) -> Value:
    """Lay both operands out over one domain, multiply, and sum the contracted dims.

    The domain follows the dims of the operand with the larger share, so it is read in order.
    """
    (bx, fx, cx), (by, fy, cy) = xs, ys
    # Names of the domain's axes: ("b", i), ("x", i), ("y", i), ("c", i).
    named_x = _named(x.ndim, [("b", bx), ("x", fx), ("c", cx)])
    named_y = _named(y.ndim, [("b", by), ("y", fy), ("c", cy)])
    if x.aval.size >= y.aval.size:
        domain = named_x + [n for n in named_y if n not in named_x]
    else:
        domain = [n for n in named_x if n not in named_y] + named_y
    extents = dict(zip(named_x + named_y, x.shape + y.shape, strict=True))
    shape = tuple(extents[n] for n in domain)
    product = mul(_laid(x, named_x, domain, shape), _laid(y, named_y, domain, shape))
    total = sum_(product, axes=tuple(k for k, n in enumerate(domain) if n[0] == "c"))
    left = [n for n in domain if n[0] != "c"]
    kinds = (("b", len(bx)), ("x", len(fx)), ("y", len(fy)))
    wanted = [(k, i) for k, count in kinds for i in range(count)]
    return permuted(total, [left.index(n) for n in wanted])


def _named(ndim: int, groups: Sequence[tuple[str, Dims]]) -> list[tuple[str, int]]:
    names = {d: (kind, i) for kind, dims in groups for i, d in enumerate(dims)}
    return [names[d] for d in range(ndim)]


def _laid(v: Value, names: list[Any], domain: list[Any], shape: Dims) -> Value:
    places = [domain.index(n) for n in names]
    order = sorted(range(len(places)), key=places.__getitem__)
    axes = missing(places, len(shape))
    moved = permuted(v, order)
    return broadcast(moved, shape=shape, axes=axes) if axes else moved


def _sum_of_dot(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A sum over free dims sums the operand first; a sum over batch dims contracts them."""
    (v,), axes = args, attrs["axes"]
    op = b.made_by(v, "dot")
    if op is None or not b.single(v):
        return None
    (x, y), (cx, cy), (bx, by) = op.args, op.attrs["contract"], op.attrs["batch"]
    fx, fy = free_dims(x.ndim, bx, cx), free_dims(y.ndim, by, cy)
    split = len(bx), len(bx) + len(fx)
    gone = [a for a in axes if a < split[0]]
    cx, cy = cx + tuple(bx[a] for a in gone), cy + tuple(by[a] for a in gone)
    bx = tuple(d for k, d in enumerate(bx) if k not in gone)
    by = tuple(d for k, d in enumerate(by) if k not in gone)
    sx = tuple(fx[a - split[0]] for a in axes if split[0] <= a < split[1])
    sy = tuple(fy[a - split[1]] for a in axes if a >= split[1])

    def after(dims: Dims, summed: Dims) -> Dims:
        return tuple(d - sum(s < d for s in summed) for d in dims)

    x = sum_(x, axes=sx) if sx else x
    y = sum_(y, axes=sy) if sy else y
    return dot(
        x,
        y,
        contract=(after(cx, sx), after(cy, sy)),
        batch=(after(bx, sx), after(by, sy)),
    )


DOTS = {"dot": (_absorb, _sorted, _negated, _as_sum), "sum": (_sum_of_dot,)}
