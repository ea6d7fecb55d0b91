"""Normal form of sums: reductions let constant factors out, equal terms are counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..ir.core import Const, Value
from ..ir.ops.contract import free_dims
from ..ir.ops.elementwise import add, mul, neg, sub
from ..ir.ops.shape import (
    broadcast,
    broadcast_to,
    drop,
    pad,
    permuted,
    reshaped,
    sum_,
    zeros,
)
from ..ir.types import Aval
from .normal import Normal, missing
from .products import Dims, Factor, Product, collect, emit, peeled, squared

Attrs = Mapping[str, Any]
Args = tuple[Value, ...]
_DEEP = 4  # how far equal terms are looked for
_LARGE = 1e30  # counts beyond might overflow where the terms do not

# ------------------------------------------------------------------ reductions


def _of_nothing(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A sum without terms is zero: kernels have no arrays without elements."""
    x, *others = args
    if all(0 not in a.shape for a in args):
        return None
    shape = [n for d, n in enumerate(x.shape) if d not in attrs.get("axes", ())]
    if others:
        (cx, cy), (bx, by) = attrs["contract"], attrs["batch"]
        shape = [x.shape[d] for d in (*bx, *free_dims(x.ndim, bx, cx))]
        shape += [others[0].shape[d] for d in free_dims(others[0].ndim, by, cy)]
    return zeros(Aval(x.dtype, tuple(shape))) if 0 not in shape else None


def _sum_views(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A sum of what was only moved or repeated is a sum of what it was before."""
    (x,), axes = args, attrs["axes"]
    if not axes:
        return x
    ones = tuple(a for a in axes if x.shape[a] == 1)
    if ones:
        rest = tuple(a - sum(o < a for o in ones) for a in axes if a not in ones)
        return sum_(reshaped(x, drop(x.shape, ones)), axes=rest)
    op = b.made_by(x, "sum", "broadcast", "transpose", "reshape", "pad")
    if op is None:
        return None
    inner, name = op.args[0], op.prim.name
    if name == "sum":
        left = missing(op.attrs["axes"], inner.ndim)
        return sum_(inner, axes=tuple(sorted((*op.attrs["axes"], *(left[a] for a in axes)))))
    if name == "broadcast":
        return _sum_repeated(x, inner, op.attrs["axes"], axes)
    if name == "transpose":
        perm = op.attrs["perm"]
        gone = [perm[a] for a in axes]
        stay = [p for p in perm if p not in gone]
        return permuted(
            sum_(inner, axes=tuple(sorted(gone))), [sorted(stay).index(p) for p in stay]
        )
    if name == "reshape":
        return _sum_reshaped(x, inner, axes)
    return _sum_padded(x, inner, op.attrs, axes)


def _sum_repeated(x: Value, inner: Value, new: Dims, axes: Dims) -> Value:
    count = math.prod(x.shape[a] for a in axes if a in new)
    kept = missing(new, x.ndim)
    total = sum_(inner, axes=tuple(k for k, d in enumerate(kept) if d in axes))
    left = missing(axes, x.ndim)
    spread = broadcast(
        total,
        shape=tuple(x.shape[d] for d in left),
        axes=tuple(i for i, d in enumerate(left) if d in new),
    )
    return spread if count == 1 else mul(spread, count)


def _sum_reshaped(x: Value, inner: Value, axes: Dims) -> Value | None:
    unit = [n for n in x.shape if n != 1] == [n for n in inner.shape if n != 1]
    if len(axes) == x.ndim:  # extents of one are dropped before a sum, so that stays
        return None if unit else sum_(inner, axes=tuple(range(inner.ndim)))
    if not unit:
        return None
    # Only extents of one came or went, and those summed are gone already.
    places = [k for k, n in enumerate(inner.shape) if n != 1]
    wide = [k for k, n in enumerate(x.shape) if n != 1]
    total = sum_(inner, axes=tuple(places[wide.index(a)] for a in axes))
    return reshaped(total, drop(x.shape, axes))


def _sum_padded(x: Value, inner: Value, attrs: Attrs, axes: Dims) -> Value | None:
    total = sum_(inner, axes=axes)
    left = missing(axes, x.ndim)
    if not left:
        return total
    return pad(
        total,
        shape=tuple(x.shape[d] for d in left),
        start=tuple(attrs["start"][d] for d in left),
        step=tuple(attrs["step"][d] for d in left),
    )


def _sum_product(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """Factors that are constant along the summed axes leave the sum."""
    (x,), axes = args, attrs["axes"]
    if x.aval.kind != "f" or not b.made_by(x, "mul", "div", "neg"):
        return None
    p = collect(b, x)
    stay, _ = _apart(p, axes)
    # Where (x / s)**2 is summed, x * x may overflow.  Of what reverse mode made, sums of weighted
    # squares are taken apart all the same: their loops are faster so, some by far.
    if squared(b, stay) and (not b.lenient or len(stay) == 2):
        p = peeled(b, x, axes)
    else:
        _open(b, p, axes)
    stay, leave = _apart(p, axes)
    if not leave and p.number == p.divisor == 1:
        return None
    count = 1.0
    covered = {d for f in stay for d in f.dims}
    for a in axes:
        if a not in covered:
            count *= x.shape[a]
    inside = Product(p.shape, factors=stay)
    kept = missing(axes, x.ndim)
    shape = tuple(x.shape[d] for d in kept)
    total = (
        sum_(emit(b, inside, x.dtype), axes=axes)
        if stay
        else broadcast_to(Const(count, x.dtype), shape)
    )
    outside = Product(shape, p.number, p.divisor)
    outside.factors = [
        Factor(f.value, tuple(kept.index(d) for d in f.dims), f.under) for f in leave
    ]
    return mul(total, emit(b, outside, x.dtype))


def _apart(p: Product, axes: Dims) -> tuple[list[Factor], list[Factor]]:
    """The factors that vary along these axes, and the others."""
    stay = [f for f in p.factors if not set(axes).isdisjoint(f.dims)]
    return stay, [f for f in p.factors if f not in stay]


def _open(b: Normal, p: Product, axes: Dims) -> None:
    """Take apart factors of several readers if a part of them leaves a sum over `axes`."""
    for f in list(p.factors):
        if f.under or not b.made_by(f.value, "mul", "div"):
            continue
        inner = collect(b, f.value)
        parts = [Factor(g.value, tuple(f.dims[d] for d in g.dims), g.under) for g in inner.factors]
        if inner.number != 1 or any(set(axes).isdisjoint(g.dims) for g in parts):
            at = p.factors.index(f)
            p.factors[at : at + 1] = parts
            p.number *= inner.number
            p.divisor *= inner.divisor


def _sum_split(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    """A sum of terms becomes a sum of sums, where one becomes cheaper by it and neither cancels.

    That is where a constant leaves one of two terms that are not negative, and where a product of
    matrices can sum an operand first.
    """
    (x,), axes = args, attrs["axes"]
    op = b.made_by(x, "add", "sub")
    if op is None or x.aval.kind != "f" or not b.single(x):
        return None
    left, right = op.args
    if left.shape != right.shape:
        return None
    if not any(b.made_by(v, "dot") and b.single(v) for v in op.args):
        if op.prim is sub or not (_positive(b, left) and _positive(b, right)):
            return None
        scaled = [collect(b, v) for v in op.args]
        if all(p.number == p.divisor == 1 for p in scaled):
            return None
    halves = [sum_(v, axes=axes) for v in op.args]
    return b.add(op.prim, halves)[0]


def _positive(b: Normal, v: Value, depth: int = _DEEP) -> bool:
    """Whether a value is seen to be nonnegative."""
    if depth == 0:
        return False
    if type(v) is Const:
        return bool(v.data >= 0)
    op = b.made_by(v, "mul", "exp", "abs", "broadcast", "sum")
    if op is None:
        return False
    if op.prim.name in ("exp", "abs"):
        return True
    if op.prim is mul and op.args[0] is op.args[1]:
        return True
    return all(_positive(b, a, depth - 1) for a in op.args)


# ------------------------------------------------------------------ terms


def _add(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    x, y = args
    if x.aval.kind != "f":
        return None
    nx, ny = _negated(b, x), _negated(b, y)
    if nx is not None:
        return neg(add(nx, ny)) if ny is not None else sub(y, nx)
    if ny is not None:
        return sub(x, ny)
    return _counted(b, x, y, 1) or _factored(b, x, y, add)


def _sub(b: Normal, args: Args, attrs: Attrs) -> Value | None:
    x, y = args
    if x.aval.kind != "f":
        return None
    nx, ny = _negated(b, x), _negated(b, y)
    if nx is not None:
        return sub(ny, nx) if ny is not None else neg(add(nx, y))
    if ny is not None:
        return add(x, ny)
    return _counted(b, x, y, -1) or _factored(b, x, y, sub)


def _negated(b: Normal, v: Value) -> Value | None:
    """What a value is the negation of, if it is one, repeated or not."""
    op = b.made_by(v, "neg", "broadcast")
    if op is None or op.prim is neg:
        return op.args[0] if op else None
    inner = b.made_by(op.args[0], "neg")
    return broadcast(inner.args[0], **op.attrs) if inner else None


def _counted(b: Normal, x: Value, y: Value, sign: int) -> Value | None:
    """The sum with equal terms of one sign counted: `x + x` is `2 x`, `(a - b) - b` is `a - 2 b`.

    Terms of opposite sign stay: compensated summation lives by them.
    """
    if x.shape != y.shape or type(x) is Const or type(y) is Const:
        return None
    terms: list[tuple[Value, float]] = []
    _terms(b, x, 1.0, terms, 0)
    _terms(b, y, sign, terms, 0)
    counts: dict[tuple[Value, bool], float] = {}
    for v, c in terms:
        key = (v, c > 0)
        counts[key] = counts.get(key, 0.0) + c
    if len(counts) == len(terms) or any(abs(c) > _LARGE for c in counts.values()):
        return None
    out: Value | None = None
    for (v, positive), c in sorted(counts.items(), key=lambda item: item[1] < 0):
        term = v if abs(c) == 1 else mul(v, abs(c))
        if out is None:
            out = term if positive else neg(term)
        else:
            out = add(out, term) if positive else sub(out, term)
    return out


def _terms(b: Normal, v: Value, c: float, out: list[tuple[Value, float]], depth: int) -> None:
    op = b.made_by(v, "add", "sub", "neg", "mul") if depth < _DEEP else None
    if op is None:
        out.append((v, c))
        return
    name, args = op.prim.name, op.args
    if name == "neg":
        _terms(b, args[0], -c, out, depth + 1)
    elif name == "mul" and type(args[1]) is Const and math.isfinite(args[1].data):
        out.append((args[0], c * float(args[1].data)))
    elif name != "mul" and b.single(v) and all(a.aval.shape == v.aval.shape for a in args):
        _terms(b, args[0], c, out, depth + 1)
        _terms(b, args[1], -c if name == "sub" else c, out, depth + 1)
    else:
        out.append((v, c))


def _factored(b: Normal, x: Value, y: Value, join: Any) -> Value | None:
    """`x*s + y*s` becomes `(x + y)*s`, for all that the two products share."""
    if x.shape != y.shape or not (b.single(x) and b.single(y)):
        return None
    if not (b.made_by(x, "mul", "div", "broadcast") and b.made_by(y, "mul", "div", "broadcast")):
        return None
    p, q = collect(b, x), collect(b, y)
    shared: list[Factor] = []
    rest = list(q.factors)
    for f in p.factors:
        if f in rest:
            rest.remove(f)
            shared.append(f)
    left = list(p.factors)
    for f in shared:
        left.remove(f)
    number = p.number / p.divisor
    same = number == q.number / q.divisor and number != 1
    if not left or not rest or not (shared or same):
        return None
    number = number if same else 1.0
    common = Product(p.shape, number, 1.0, shared)
    p.factors, q.factors = left, rest
    if same:
        p.number = p.divisor = q.number = q.divisor = 1.0
    inner = join(emit(b, p, x.dtype), emit(b, q, x.dtype))
    return mul(inner, emit(b, common, x.dtype))


SUMS = {
    "dot": (_of_nothing,),
    "sum": (_of_nothing, _sum_views, _sum_product, _sum_split),
    "add": (_add,),
    "sub": (_sub,),
}
