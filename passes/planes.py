"""Complex values become pairs of real ones, which kernels know; wholes remain at host steps.

Complex parameters and results lie in memory as pairs of numbers, and are read and written as such.
Formulas of functions are NumPy's, or those of Kahan 1987, "Branch cuts for complex elementary
functions"; a value that is known to be real has no imaginary plane, so that a real factor costs
two products and not four.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..ir.builder import Builder, current
from ..ir.core import Block, Const, Function, Op, Value, all_ops
from ..ir.ops import elementwise as el
from ..ir.ops.contract import dot
from ..ir.ops.logic import copysign, isfinite, isinf, isnan
from ..ir.ops.planes import joined, parts
from ..ir.ops.shape import broadcast_to, concatenate, expand_dims, full, narrow, squeeze
from ..ir.records import dataclass
from ..ir.types import KIND, Aval
from .replay import copy, fresh

_REAL = {"c64": "f32", "c128": "f64"}
LN2, LN10 = math.log(2.0), math.log(10.0)
Plane = Any  # a Value; type checkers do not see its operators


@dataclass(frozen=True, slots=True)
class Pair:
    """The planes of a complex value (no imaginary one where it is zero), and the value if known."""

    re: Plane
    im: Plane | None
    whole: Value | None = None

    @property
    def both(self) -> tuple[Plane, Plane]:
        """Both planes, zeros for the one that is not there."""
        return self.re, full(0, self.re.aval) if self.im is None else self.im


def planes(function: Function) -> Function:
    """The function with complex values as pairs of planes, wherever an op has a rule for them."""
    if not any(_complex(op) for op in all_ops(function.block)):
        return function
    params = fresh(function.params)
    with Builder(params) as b:
        outs = _steps(b, function.block, params)
        return Function(function.name, b.done([_whole(x) for x in outs]))


def _steps(b: Builder, block: Block, params: Sequence[Any]) -> list[Any]:
    """What stands for the results of a block, its ops in the builder."""
    env: dict[Value, Any] = dict(zip(block.params, params, strict=True))
    for op in block.ops:
        b.where = op.where
        env.update(zip(op.outs, _step(b, op, [env.get(a, a) for a in op.args]), strict=True))
    return [env.get(v, v) for v in block.outs]


def _complex(op: Op) -> bool:
    return any(v.aval.kind == "c" for v in (*op.args, *op.outs))


def _step(b: Builder, op: Op, args: Sequence[Any]) -> Sequence[Any]:
    """What stands for the results of an op, Pairs for complex ones where it has a rule."""
    if op.prim.name in REGIONS and _splits(op):
        return _region(b, op, args)
    rule = None if op.blocks else RULES.get(op.prim.name)
    if not _complex(op) or rule is None:
        return copy(b, op, [_whole(a) for a in args])
    (out,) = op.outs
    found = rule(
        op, *(_pair(x) if a.aval.kind == "c" else x for a, x in zip(op.args, args, strict=True))
    )
    if not isinstance(found, Pair):
        return [broadcast_to(found, out.shape)]
    im = found.im if found.im is None else broadcast_to(found.im, out.shape)
    return [Pair(broadcast_to(found.re, out.shape), im)]


def _pair(x: Any) -> Pair:
    """The planes of a value that may be whole as yet."""
    if isinstance(x, Pair):
        return x
    if type(x) is Const:
        dtype = _REAL[x.dtype]
        return Pair(Const(x.data.real, dtype), Const(x.data.imag, dtype) if x.data.imag else None)
    both = parts(x)
    last = both.ndim - 1
    re, im = (squeeze(narrow(both, last, k, 1), (last,)) for k in (0, 1))
    return Pair(re, im, x)


def _whole(x: Any) -> Value:
    """The complex value of a pair, written as it lies in memory."""
    if not isinstance(x, Pair):
        return x
    if x.whole is not None:
        return x.whole
    re, im = x.both
    last = (re.ndim,)
    return joined(concatenate(expand_dims(re, last), expand_dims(im, last), axis=re.ndim))


# ------------------------------------------------------------------ regions

REGIONS = ("cond", "loop", "while", "hold")


def _splits(op: Op) -> bool:
    """Whether complex values are about, and all that is done with them has rules."""
    inner = [o for block in op.blocks.values() for o in all_ops(block)]
    if not any(map(_complex, (op, *inner))):
        return False
    return all(o.prim.name in RULES or o.prim.name in REGIONS for o in inner if _complex(o))


def _region(b: Builder, op: Op, args: Sequence[Any]) -> list[Any]:
    """A control op whose regions take both planes where they took a complex value."""
    attrs = dict(op.attrs)
    first = 0
    if op.prim.name == "loop":
        consts, first = attrs.get("consts", 0), 1
        carries = op.args[1 + consts :][: attrs.get("carries", 0)]
        attrs["carries"] = _count(carries)
    if op.prim.name in ("loop", "while"):
        attrs["consts"] = _count(op.args[first:][: attrs.get("consts", 0)])
    blocks = {label: _split(r) for label, r in op.blocks.items()}
    b.where = op.where
    found = iter(b.add(op.prim, _flat(op.args, args), attrs, blocks))
    return _paired(op.outs, found)


def _count(values: Sequence[Value]) -> int:
    return sum(2 if v.aval.kind == "c" else 1 for v in values)


def _flat(values: Sequence[Value], given: Sequence[Any]) -> list[Value]:
    """Both planes of each complex value, in its place."""
    out: list[Value] = []
    for v, x in zip(values, given, strict=True):
        out.extend(_pair(x).both if v.aval.kind == "c" else (x,))
    return out


def _paired(values: Sequence[Value], found: Iterator[Value]) -> list[Any]:
    return [Pair(next(found), next(found)) if v.aval.kind == "c" else next(found) for v in values]


def _split(block: Block) -> Block:
    """A region over planes."""
    params: list[Value] = []
    for p in block.params:
        if p.aval.kind == "c":
            plane = Aval(_REAL[p.dtype], p.shape)
            params += [Value(plane, f"{p.hint}_{k}" if p.hint else "") for k in ("re", "im")]
        else:
            params.append(Value(p.aval, p.hint))
    with Builder(params) as b:
        outs = _steps(b, block, _paired(block.params, iter(params)))
        return b.done(_flat(block.outs, outs))


# ------------------------------------------------------------------ what only moves elements


def _moved(op: Op, *args: Any) -> Pair:
    """The op on each plane; other operands, such as indices, are the same for both."""
    b = current()
    pairs = [a for a in args if isinstance(a, Pair)]
    there = any(p.im is not None for p in pairs)

    def of(imaginary: bool) -> Value:
        chosen = [(a.both[1] if imaginary else a.re) if isinstance(a, Pair) else a for a in args]
        return b.add(op.prim, chosen, op.attrs)[0]

    return Pair(of(False), of(True) if there else None)


def _select(op: Op, c: Value, x: Pair, y: Pair) -> Pair:
    re = el.select(c, x.re, y.re)
    if x.im is None and y.im is None:
        return Pair(re, None)
    return Pair(re, el.select(c, 0 if x.im is None else x.im, 0 if y.im is None else y.im))


def _cast(op: Op, x: Any, **_: Any) -> Any:
    dtype = op.attrs["dtype"]
    if not isinstance(x, Pair):  # into the complex numbers
        real = _REAL[dtype]
        return Pair(x if x.dtype == real else el.cast(x, dtype=real), None)
    if KIND[dtype] == "b":
        re, im = (el.not_equal(p, 0) for p in x.both)
        return el.or_(re, im)
    real = _REAL[dtype]
    re, im = x.re, x.im
    if re.dtype == real:
        return Pair(re, im)
    return Pair(el.cast(re, dtype=real), None if im is None else el.cast(im, dtype=real))


# ------------------------------------------------------------------ arithmetic


def _add(op: Op, x: Pair, y: Pair) -> Pair:
    if x.im is None or y.im is None:
        return Pair(x.re + y.re, y.im if x.im is None else x.im)
    return Pair(x.re + y.re, x.im + y.im)


def _sub(op: Op, x: Pair, y: Pair) -> Pair:
    if y.im is None:
        return Pair(x.re - y.re, x.im)
    return Pair(x.re - y.re, -y.im if x.im is None else x.im - y.im)


def _product(x: Pair, y: Pair, times: Callable[[Plane, Plane], Plane]) -> Pair:
    """A bilinear product of the planes."""
    re = times(x.re, y.re)
    if x.im is None:
        return Pair(re, None if y.im is None else times(x.re, y.im))
    if y.im is None:
        return Pair(re, times(x.im, y.re))
    return Pair(re - times(x.im, y.im), times(x.re, y.im) + times(x.im, y.re))


def _mul(op: Op, x: Pair, y: Pair) -> Pair:
    return _product(x, y, el.mul)


def _dot(op: Op, x: Pair, y: Pair) -> Pair:
    return _product(x, y, lambda a, b: dot(a, b, **op.attrs))


def _div(op: Op, x: Pair, y: Pair) -> Pair:
    """Smith's quotient, as NumPy has it: no overflow of the divisor's square."""
    if y.im is None:
        return Pair(x.re / y.re, None if x.im is None else x.im / y.re)
    c, d = y.both
    wide = el.greater_equal(el.abs_(c), el.abs_(d))
    big, small = el.select(wide, c, d), el.select(wide, d, c)
    zero = el.equal(big, 0)
    ratio = el.select(zero, 0, small / el.select(zero, 1, big))
    scale = el.select(zero, math.inf, 1 / el.select(zero, 1, big + small * ratio))
    if x.im is None:
        return Pair(
            el.select(wide, x.re, x.re * ratio) * scale,
            el.select(wide, -(x.re * ratio), -x.re) * scale,
        )
    re = el.select(wide, x.re + x.im * ratio, x.re * ratio + x.im)
    im = el.select(wide, x.im - x.re * ratio, x.im * ratio - x.re)
    return Pair(re * scale, im * scale)


def _neg(op: Op, x: Pair) -> Pair:
    return Pair(-x.re, None if x.im is None else -x.im)


def _conj(op: Op, x: Pair) -> Pair:
    return Pair(x.re, None if x.im is None else -x.im)


def _either(row: Any, joint: Any = el.or_) -> Callable[..., Value]:
    def rule(op: Op, *xs: Pair) -> Value:
        re, im = (row(*planes_) for planes_ in zip(*(x.both for x in xs), strict=True))
        return joint(re, im)

    return rule


# ------------------------------------------------------------------ functions


def _polar(size: Plane, turn: Plane) -> Pair:
    """`size` in the direction of an angle; at angle zero it is real, even where infinite."""
    return Pair(size * el.cos(turn), _odd(turn, size * el.sin(turn)))


def _exp(op: Op, x: Pair) -> Pair:
    return Pair(el.exp(x.re), None) if x.im is None else _polar(el.exp(x.re), x.im)


def _exp2(op: Op, x: Pair) -> Pair:
    return _exp(op, Pair(x.re * LN2, None if x.im is None else x.im * LN2))


def _expm1(op: Op, x: Pair) -> Pair:
    re, im = x.both
    half = el.sin(im * 0.5)
    return Pair(el.expm1(re) * el.cos(im) - 2 * half * half, el.exp(re) * el.sin(im))


def _log_size(re: Plane, im: Plane) -> Plane:
    """log |z|, without cancellation near 1."""
    a, b = el.abs_(re), el.abs_(im)
    high, low = el.maximum(a, b), el.minimum(a, b)
    size = el.hypot(re, im)
    near = el.and_(el.greater(size, 0.5), el.less(size, 2.0))
    inner = (high - 1) * (high + 1) + low * low
    close = el.log1p(el.select(near, inner, 0)) * 0.5
    return el.select(near, close, el.log(size))


def _logarithm(base: float) -> Callable[..., Pair]:
    def rule(op: Op, x: Pair) -> Pair:
        re, im = x.both
        size, turn = _log_size(re, im), el.atan2(im, re)
        return Pair(size, turn) if base == 1.0 else Pair(size * base, turn * base)

    return rule


def _log1p(op: Op, x: Pair) -> Pair:
    re, im = x.both
    return Pair(_log_size(re + 1, im), el.atan2(im, re + 1))


def _sqrt(op: Op, x: Pair) -> Pair:
    re, im = x.both
    root = el.sqrt((el.abs_(re) + el.hypot(re, im)) * 0.5)
    zero = el.equal(root, 0)
    other = im / (2 * el.select(zero, 1, root))
    right = el.or_(el.greater_equal(re, 0), isinf(im))
    other = el.select(isinf(im), im, other)
    return Pair(
        el.select(right, root, el.abs_(other)),
        el.select(zero, im, el.select(right, other, copysign(root, im))),
    )


def _power(op: Op, x: Pair, p: Pair) -> Pair:
    """exp (p log x), small whole powers as products."""
    if type(p.re) is Const and p.im is None and float(p.re.data).is_integer():
        n = int(p.re.data)
        if 0 < abs(n) <= 16:
            out = _raised(x, abs(n))
            return out if n > 0 else _div(op, Pair(full(1, x.re.aval), None), out)
    re, im = x.both
    zero = el.and_(el.equal(re, 0), el.equal(im, 0))
    safe = Pair(el.select(zero, 1, re), im)
    size, turn = _log_size(safe.re, safe.both[1]), el.atan2(im, safe.re)
    inner = _product(Pair(size, turn), p, el.mul)
    out = _polar(el.exp(inner.re), inner.both[1])
    pr, pi = p.both
    none = el.and_(el.equal(pr, 0), el.equal(pi, 0))
    nought, nan = (Const(c, re.dtype) for c in (0.0, math.nan))
    nothing = el.select(none, 1, el.select(el.greater(pr, 0), nought, nan))
    unreal = el.select(el.or_(none, el.greater(pr, 0)), nought, nan)
    return Pair(el.select(zero, nothing, out.re), el.select(zero, unreal, out.im))


def _raised(x: Pair, n: int) -> Pair:
    out: Pair | None = None
    while n:
        if n & 1:
            out = x if out is None else _product(out, x, el.mul)
        n >>= 1
        if n:
            x = _product(x, x, el.mul)
    assert out is not None
    return out


def _sinh(op: Op, x: Pair) -> Pair:
    re, im = x.both
    return Pair(_odd(re, el.sinh(re) * el.cos(im)), _odd(im, el.cosh(re) * el.sin(im)))


def _odd(x: Plane, value: Plane) -> Plane:
    """What vanishes with `x`, also where its other factor is infinite."""
    return el.select(el.and_(el.equal(x, 0), el.not_equal(value, value)), x, value)


def _cosh(op: Op, x: Pair) -> Pair:
    re, im = x.both
    return Pair(el.cosh(re) * el.cos(im), _odd(re, _odd(im, el.sinh(re) * el.sin(im))))


def _tanh(op: Op, x: Pair) -> Pair:
    """Kahan's: with t = tan y, s = sinh x, b = 1 + t², it is (b s cosh x + i t) / (1 + b s²)."""
    re, im = x.both
    far = el.greater(el.abs_(re), 20.0)
    near = el.select(far, 0, re)
    t, s = el.tan(im), el.sinh(near)
    beta = 1 + t * t
    below = 1 + beta * s * s
    small = 4 * el.sin(im) * el.cos(im) * el.exp(-2 * el.abs_(re))
    return Pair(
        el.select(far, copysign(full(1, re.aval), re), beta * el.sqrt(1 + s * s) * s / below),
        el.select(far, small, t / below),
    )


def _turned(rule: Callable[..., Pair], sign: int) -> Callable[..., Pair]:
    """f(z) = -i g(iz) for odd functions (sign -1), g(iz) for even ones."""

    def turned(op: Op, x: Pair) -> Pair:
        re, im = x.both
        found = rule(op, Pair(-im, re))
        return found if sign > 0 else Pair(found.im, -found.re)

    return turned


# What an op with complex operands or results becomes; ops without a rule stay on the host.
RULES: dict[str, Callable[..., Any]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "dot": _dot,
    "select": _select,
    "cast": _cast,
    "conj": _conj,
    "real": lambda op, x: x.re,
    "imag": lambda op, x: x.both[1],
    "complex": lambda op, re, im: Pair(re, None if _is_zero(im) else im),
    "equal": _either(el.equal, el.and_),
    "not_equal": _either(el.not_equal),
    "isnan": _either(isnan),
    "isinf": _either(isinf),
    "isfinite": _either(isfinite, el.and_),
    "exp": _exp,
    "exp2": _exp2,
    "expm1": _expm1,
    "log": _logarithm(1.0),
    "log2": _logarithm(1 / LN2),
    "log10": _logarithm(1 / LN10),
    "log1p": _log1p,
    "sqrt": _sqrt,
    "pow": _power,
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "sin": _turned(_sinh, -1),
    "cos": _turned(_cosh, 1),
    "tan": _turned(_tanh, -1),
    **dict.fromkeys(
        (
            "broadcast", "sum", "reshape", "transpose", "slice", "pad", "concatenate", "gather",
            "scatter", "scatter_add", "cumsum",
        ),
        _moved,
    ),
}  # fmt: skip


def _is_zero(v: Value) -> bool:
    return type(v) is Const and not v.data and not math.copysign(1, v.data) < 0
