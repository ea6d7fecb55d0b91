"""Normal form of `dot`: transposes absorbed; vector products become sums, which fuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ..ir.core import Op, Value
from ..ir.ops.contract import dot, free_dims
from ..ir.ops.elementwise import mul
from ..ir.ops.shape import broadcast, permuted, sum_
from .normal import Normal, missing

Attrs = Mapping[str, Any]
Args = tuple[Value, ...]
Dims = tuple[int, ...]
TINY_EXTENT = 8
TINY_PRODUCT = 256
FEW_PRODUCTS = 16  # for each element along the only long extent
LONG = 64  # elements of the innermost loop


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
