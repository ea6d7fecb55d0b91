"""Normal form of products and quotients: factors grouped by what they vary along, one constant.

`x * c1 * bcast(s) / bcast(t) * c2` becomes `x * bcast(s / t * (c1 * c2))`: the work that does not
need every element is done on the smaller arrays.  A sign stands outermost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from ..ir.core import Const, Value
from ..ir.ops.elementwise import div, mul, neg, sub
from ..ir.ops.shape import broadcast, reshaped
from ..ir.records import dataclass
from .normal import Normal, filling, is_number, peel, spread

Dims = tuple[int, ...]
_OPENED = frozenset(("mul", "div", "neg", "broadcast"))
_LIMIT = 16  # factors of one product; a longer one is left as it is


@dataclass(frozen=True, slots=True)
class Factor:
    """A value, along which dims of the product it varies, and whether it divides."""

    value: Value
    dims: Dims
    under: bool


@dataclass(slots=True)
class Product:
    """`number / divisor * factors`, of a shape."""

    shape: Dims
    number: float = 1.0
    divisor: float = 1.0
    factors: list[Factor] = field(default_factory=list)


def collect(b: Normal, v: Value, *, opened: bool = True) -> Product:
    """The factors of a value; `opened` takes it apart however many ops read it."""
    p = Product(v.aval.shape)
    _factor(b, p, v, tuple(range(v.aval.ndim)), False, opened)
    return p


def product_of(b: Normal, x: Value, y: Value, shape: Dims, under: bool) -> Product:
    """The factors of `x * y`, or of `x / y`.

    A user's `(x / s) * (x / t)` stays a product of two: `x * x` may overflow.
    """
    p, sides = Product(shape), ((x, False), (y, under))
    for v, inverse in sides:
        _factor(b, p, v, _last(v, shape), inverse, False)
    whole = [f for f in p.factors if len(f.dims) == len(shape)]
    if not b.lenient and 1 < len(whole) < len(p.factors) and squared(b, whole):
        p = Product(shape)
        for v, inverse in sides:
            while op := b.made_by(v, "neg"):
                p.number, v = -p.number, op.args[0]
            p.factors.append(Factor(v, _last(v, shape), inverse))
    return p


def squared(b: Normal, factors: Iterable[Factor]) -> bool:
    """Whether something is a factor of two of these, however often it was scaled in between."""
    known: set[Value] = set()
    for f in factors:
        own = _scaled(b, f.value)
        if not known.isdisjoint(own):
            return True
        known |= own
    return False


def _scaled(b: Normal, v: Value) -> set[Value]:
    """A value, and what it is a product or quotient of, but for what is repeated."""
    found, todo = {v}, [v]
    while todo:
        v = todo.pop()
        op = b.made_by(v, "mul", "div", "neg")
        parts = {a for a in op.args if a.aval.shape == v.aval.shape} - found if op else set()
        todo += [a for a in parts if type(a) is not Const and not b.made_by(a, "broadcast")]
        found.update(todo)
    return found


def _last(v: Value, shape: Dims) -> Dims:
    """The dims of a product that those of an operand are."""
    return tuple(range(len(shape) - v.aval.ndim, len(shape)))


def peeled(b: Normal, v: Value, axes: Dims) -> Product:
    """A value as what was multiplied or divided last, as far as that does not vary along axes."""
    p = Product(v.aval.shape)
    while op := b.made_by(v, "mul", "div", "neg"):
        if op.prim is neg:
            p.number, v = -p.number, op.args[0]
            continue
        x, y = op.args
        if op.prim is mul and not _varies(b, x, p.shape, axes):
            x, y = y, x
        if x.aval.shape != p.shape or _varies(b, y, p.shape, axes):
            break
        _factor(b, p, y, _last(y, p.shape), op.prim is div, False)
        v = x
    p.factors.append(Factor(v, tuple(range(len(p.shape))), False))
    return p


def _varies(b: Normal, v: Value, shape: Dims, axes: Dims) -> bool:
    """Whether an operand of something of this shape varies along any of these axes."""
    return type(v) is not Const and not set(peel(b, v, shape)[1]).isdisjoint(axes)


def _factor(b: Normal, p: Product, v: Value, dims: Dims, under: bool, opened: bool) -> None:
    """Add the factors of `v`, whose own dims are `dims` of the product."""
    if type(v) is Const:
        _number(p, v, under)
        return
    op = b.defs.get(v)
    name = op.prim.name if op is not None else ""
    shape = p.shape if len(dims) == len(p.shape) else tuple([p.shape[d] for d in dims])
    if name == "broadcast" or v.aval.shape != shape:
        _repeated(b, p, v, dims, shape, under)
    elif op is None or name not in _OPENED or v.aval.kind != "f" or len(p.factors) >= _LIMIT:
        p.factors.append(Factor(v, dims, under))
    elif name == "neg":
        p.number = -p.number
        _factor(b, p, op.args[0], dims, under, False)
    elif opened or b.single(v) or (name == "div" and under):
        x, y = op.args
        n = len(dims)
        _factor(b, p, x, dims[n - len(x.aval.shape) :], under, False)
        _factor(b, p, y, dims[n - len(y.aval.shape) :], under != (name == "div"), False)
    else:
        p.factors.append(Factor(v, dims, under))


def _repeated(b: Normal, p: Product, v: Value, dims: Dims, shape: Dims, under: bool) -> None:
    """Add the factors of a value that is repeated along some of its dims."""
    inner, own, squeezed = peel(b, v, shape)
    dims = tuple([dims[d] for d in own])
    if squeezed is not None:
        _factor(b, p, reshaped(inner, squeezed), dims, under, False)
    else:
        _factor(b, p, inner, dims, under, b.single(v))


def _number(p: Product, c: Const, under: bool) -> None:
    x = float(c.data)
    number, divisor = (p.number, p.divisor * x) if under else (p.number * x, p.divisor)
    low, high = (1e-300, 1e300) if c.aval.dtype == "f64" else (1e-37, 1e37)
    if all(low < abs(n) < high for n in (number, divisor)):
        p.number, p.divisor = number, divisor
    else:  # a zero, NaN or overflow stays where it is
        p.factors.append(Factor(c, (), under))


# ------------------------------------------------------------------ cancelling


def cancel(b: Normal, p: Product) -> None:
    """Drop factors that also divide; products are taken apart where that lets them cancel."""
    if not _cancels(b, p):
        return
    for f in list(p.factors):
        op = b.made_by(f.value, "div", "mul")
        if op is None:
            continue
        inner = collect(b, f.value)
        parts = [Factor(g.value, _within(f, g), g.under != f.under) for g in inner.factors]
        others = [g for g in p.factors if g is not f]
        if any(Factor(g.value, g.dims, not g.under) in others for g in parts):
            p.factors = others + parts
            top, bottom = (p.divisor, p.number) if f.under else (p.number, p.divisor)
            top, bottom = top * inner.number, bottom * inner.divisor
            p.number, p.divisor = (bottom, top) if f.under else (top, bottom)
    for f in list(p.factors):
        twin = Factor(f.value, f.dims, not f.under)
        if f in p.factors and twin in p.factors:
            # A factor that stands twice leaves once: `remove` takes the first alone.
            p.factors.remove(f)
            p.factors.remove(twin)


def _cancels(b: Normal, p: Product) -> bool:
    """Whether a value may be found on both sides: a quick look that misses none."""
    sides = {(f.value, f.under) for f in p.factors}
    for f in p.factors:
        if (f.value, not f.under) in sides:
            return True
        if b.made_by(f.value, "div", "mul") and _meets(b, f.value, f.under, sides, True):
            return True
    return False


def _meets(b: Normal, v: Value, under: bool, sides: set[tuple[Value, bool]], opened: bool) -> bool:
    """Whether a factor of a value stands on the other side; where it may be repeated, it may."""
    if type(v) is Const:
        return False
    op = b.defs.get(v)
    name = op.prim.name if op is not None else ""
    if op is None or name not in _OPENED or v.aval.kind != "f":
        return (v, not under) in sides
    if name == "neg":
        return _meets(b, op.args[0], under, sides, False)
    if name == "broadcast":
        return True
    if not (opened or b.single(v) or (name == "div" and under)):
        return (v, not under) in sides
    x, y = op.args
    if x.aval.shape != v.aval.shape or y.aval.shape != v.aval.shape:
        return True
    return _meets(b, x, under, sides, False) or _meets(b, y, under != (name == "div"), sides, False)


def _within(f: Factor, g: Factor) -> Dims:
    """The dims of a factor of a factor."""
    return tuple(f.dims[d] for d in g.dims)


# ------------------------------------------------------------------ emission


def emit(b: Normal, p: Product, dtype: str) -> Value:
    """The product in normal form, of its full shape."""
    if not p.shape and p.factors:
        return _signed(p, _quotient(b, p.factors, p, dtype))
    classes: dict[Dims, list[Factor]] = {}
    for f in p.factors:
        classes.setdefault(f.dims, []).append(f)
    acc: Value | None = None
    where: Dims = ()
    numbers: Product | None = p
    for dims in sorted(classes, key=lambda d: (len(d), d)):
        members = classes[dims]
        if acc is not None:
            members, joined = _absorbed(b, members, acc, where, dims, p.shape)
            if joined:
                acc = None
        term = _quotient(b, members, numbers, dtype)
        numbers = None
        acc, where = (term, dims) if acc is None else _join(b, acc, where, term, dims, p.shape)
    if acc is None:
        acc = Const(abs(p.number / p.divisor), dtype)
    return filling(b, _signed(p, acc), where, p.shape)


def _signed(p: Product, v: Value) -> Value:
    """A value with the sign of the numbers of a product."""
    return neg(v) if math.copysign(1.0, p.number) * math.copysign(1.0, p.divisor) < 0 else v


def _absorbed(
    b: Normal, members: list[Factor], acc: Value, where: Dims, dims: Dims, shape: Dims
) -> tuple[list[Factor], bool]:
    """The factors of a class, one of them with what is smaller on it, if that product is known."""
    if len(members) < 2 or not set(where) < set(dims):
        return members, False
    inner = tuple(shape[d] for d in dims)
    small = spread(b, acc, tuple(dims.index(d) for d in where), inner)
    for i, f in enumerate(members):
        got = None if f.under else b.known(mul, f.value, small)
        if got is not None:
            return [*members[:i], Factor(got, dims, False), *members[i + 1 :]], True
    return members, False


def _quotient(b: Normal, factors: Iterable[Factor], p: Product | None, dtype: str) -> Value:
    """Factors of one class, with the numbers of `p`, divided one by one."""
    rank = b.rank
    ordered = sorted(factors, key=lambda f: (_reciprocal(b, f.value), rank.get(f.value, -1)))
    top = [f.value for f in ordered if not f.under]
    bottom = [f.value for f in ordered if f.under]
    number, divisor = (abs(p.number), abs(p.divisor)) if p else (1.0, 1.0)
    # A quotient by a number stays one where the user wrote it: 49 / 49 is 1, 49 * (1/49) is not.
    # Nor does a scalar's divisor: it is often a number of rows, and 64 rows are a case like 65.
    exact = math.frexp(divisor)[0] == 0.5 and (divisor <= 4 or any(v.ndim for v in top))
    if number != 1 or not top or b.lenient or exact:
        number, divisor = number / divisor, 1.0
    _reuse(b, top, bottom)
    acc = top[0] if top else Const(number, dtype)
    for v in top[1:]:
        acc = b.raw(mul, acc, v)
    for v in bottom:
        acc = b.raw(div, acc, v)
    if top and number != 1:
        acc = b.raw(mul, acc, Const(number, dtype))
    return b.raw(div, acc, Const(divisor, dtype)) if divisor != 1 else acc


def _reciprocal(b: Normal, v: Value) -> bool:
    """Whether a factor stands for a division that was shared: these come last, as they would."""
    op = b.made_by(v, "div")
    return op is not None and is_number(op.args[0], 1)


def _reuse(b: Normal, top: list[Value], bottom: list[Value]) -> None:
    """Take quotients and products of two factors that exist already."""
    for y in list(bottom):
        for i, x in enumerate(top):
            got = b.known(div, x, y) if len(top) + len(bottom) > 2 else None
            if got is not None:
                top[i] = got
                bottom.remove(y)
                break
    i = 0
    while i < len(top) and len(top) > 2:
        for j in range(i + 1, len(top)):
            got = b.known(mul, top[i], top[j])
            if got is not None:
                del top[j]
                top[i] = got
                break
        else:
            i += 1


def _join(b: Normal, x: Value, xd: Dims, y: Value, yd: Dims, shape: Dims) -> tuple[Value, Dims]:
    """The product of values that vary along different dims, where either varies."""
    dims = tuple(sorted({*xd, *yd}))
    inner = tuple(shape[d] for d in dims)
    x = spread(b, x, tuple(dims.index(d) for d in xd), inner)
    y = spread(b, y, tuple(dims.index(d) for d in yd), inner)
    if len(x.aval.shape) < len(inner) and len(y.aval.shape) < len(inner):
        y = filling(b, y, tuple(dims.index(d) for d in yd), inner)
    return b.raw(mul, y, x), dims


# ------------------------------------------------------------------ rules


def _mul(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    return _normal(b, args, under=False)


def _div(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    return _normal(b, args, under=True)


def _normal(b: Normal, args: tuple[Value, ...], *, under: bool) -> Value | None:
    x, y = args
    if x.aval.kind != "f":
        return None
    if type(x) is Const and type(y) is Const:
        return None
    if x is not y and _leaf(b, x) and _leaf(b, y) and x.aval.shape == y.aval.shape:
        if under:
            return b.raw(div, x, y)
        return b.raw(mul, *((x, y) if b.rank.get(x, -1) < b.rank.get(y, -1) else (y, x)))
    if not under and not x.aval.shape and not y.aval.shape:
        scaled = _by_number(b, x, y) or _by_number(b, y, x)
        if scaled is not None:
            return scaled
    shape = _shape(x, y)
    p = product_of(b, x, y, shape, under)
    if b.lenient:
        cancel(b, p)
    return emit(b, p, x.aval.dtype)


def _by_number(b: Normal, x: Value, c: Value) -> Value | None:
    """A scalar that is a factor as it is, times a number: what the whole way comes to."""
    if type(c) is not Const or not _leaf(b, x):
        return None
    p = Product(())
    _number(p, c, False)
    if p.factors:
        return None
    n = abs(p.number)
    return _signed(p, x if n == 1 else b.raw(mul, x, Const(n, c.aval.dtype)))


def _leaf(b: Normal, v: Value) -> bool:
    """Whether a value is a factor as it is."""
    op = b.defs.get(v)
    return type(v) is not Const and (op is None or op.prim.name not in _OPENED)


def _shape(x: Value, y: Value) -> Dims:
    a, c = x.aval.shape, y.aval.shape
    if a == c or not c:
        return a
    if not a:
        return c
    n = max(len(a), len(c))
    left = (1,) * (n - len(a)) + a
    right = (1,) * (n - len(c)) + c
    return tuple(r if m == 1 else m for m, r in zip(left, right, strict=True))


def _neg(b: Normal, args: tuple[Value, ...], attrs: Mapping[str, Any]) -> Value | None:
    (x,) = args
    op = b.made_by(x, "neg", "sub", "broadcast")
    if op is None:
        return None
    if op.prim is neg:
        return op.args[0]
    if op.prim is broadcast:
        return broadcast(neg(op.args[0]), **op.attrs)
    return sub(op.args[1], op.args[0]) if b.single(x) else None


PRODUCTS = {"mul": (_mul,), "div": (_div,), "neg": (_neg,)}
