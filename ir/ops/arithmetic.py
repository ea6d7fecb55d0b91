"""Rows that act on each element alone: arithmetic, powers, exponentials, angles, choices.

`partials` are lines of mathematics written with the rows themselves, so any order follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import Const, Value
from ..prim import ZERO, Expr, Prim
from ..types import KIND, NUMPY, Aval, broadcast_shapes, is_float
from .shape import Mask, aligned, unbroadcast

LN2 = math.log(2.0)
LN10 = math.log(10.0)
Term = Any  # a Value; type checkers do not see the operators that are installed below
_KINDS = {"b": "bool", "i": "signed", "u": "unsigned", "f": "float", "c": "complex"}

# ------------------------------------------------------------------ the type rule


def one_dtype(name: str, *avals: Aval) -> str:
    """The dtype that all operands share; a TypeError if they do not."""
    first = avals[0].dtype
    for a in avals[1:]:
        if a.dtype != first:
            raise TypeError(f"{name}: operands of dtypes {first} and {a.dtype}; cast to one dtype")
    return first


def type_rule(name: str, arity: int, kinds: str, result: str | None = None) -> Callable[..., Aval]:
    """Type rule: one dtype whose kind is in `kinds`, shapes broadcast; `result` is the dtype."""

    def infer(*avals: Aval, **_: Any) -> Aval:
        if len(avals) != arity:
            raise TypeError(f"{name}: takes {arity} operands, got {len(avals)}")
        dtype = one_dtype(name, *avals)
        if KIND[dtype] not in kinds:
            raise TypeError(f"{name}: takes {'/'.join(_KINDS[k] for k in kinds)}, not {dtype}")
        return Aval(result or dtype, broadcast_shapes(*(a.shape for a in avals)))

    return infer


def elementwise(
    name: str,
    ref: Callable[..., Any],
    text: str | Expr | None,
    partials: Callable[..., tuple[Any, ...]] | None = None,
    *,
    kinds: str = "f",
    result: str | None = None,
    arity: int | None = None,
    ints: str | None = None,
    bools: str | None = None,
    cost: int = 1,
    **facts: Any,
) -> Prim:
    """A row over operands of one dtype that broadcast; `text` is its kernel expression."""
    if arity is None:
        arity = ref.nin if isinstance(ref, np.ufunc) else 1
    emit = Expr(text, ints, bools, cost) if isinstance(text, str) else text
    infer = type_rule(name, arity, kinds, result)

    def batch(args: Sequence[Value], moved: Mask, **attrs: Any) -> Value:
        return row(*aligned(args, moved), **attrs)

    if emit is None and partials is None:  # nothing else shows that it is elementwise
        facts = {"batch": batch, **facts}
    row = Prim(name=name, infer=infer, ref=ref, emit=emit, partials=partials, **facts)
    return row


def number(x: float, like: Value) -> Const:
    """A literal of the dtype of `like`, for where no operand lends its own."""
    return Const(x, like.dtype)


# ------------------------------------------------------------------ arithmetic

add = elementwise(
    "add",
    np.add,
    "{0} + {1}",
    lambda y, a, b: (1, 1),
    kinds="biufc",
    bools="{0} | {1}",
    commutes=True,
)
sub = elementwise("sub", np.subtract, "{0} - {1}", lambda y, a, b: (1, -1), kinds="iufc")
mul = elementwise(
    "mul",
    np.multiply,
    "{0} * {1}",
    lambda y, a, b: (b, a),
    kinds="biufc",
    bools="{0} & {1}",
    commutes=True,
)
div = elementwise(
    "div",
    np.divide,
    "{0} / {1}",
    lambda y, a, b: (1 / b, -y / b),
    kinds="fc",
    cost=4,
    domain="nonzero",
)
neg = elementwise("neg", np.negative, "-{0}", lambda y, x: (-1,), kinds="iufc")
abs_ = elementwise(  # at 0 the slope is 0
    "abs",
    np.absolute,
    "ll.fabs({0})",
    lambda y, x: (sign(x),),
    kinds="biuf",
    ints="abs({0})",
    bools="{0}",
    domain="nonzero",
)
sign: Prim = elementwise(
    "sign",
    np.sign,
    "ll.sign({0})",
    kinds="iuf",
    ints="ll.i64({0} > 0) - ll.i64({0} < 0)",
    nondiff="piecewise constant",
)

# ------------------------------------------------------------------ powers and roots


def _pow_partials(y: Term, x: Term, p: Term) -> tuple[Any, ...]:
    """d/dx = p x^(p-1) and d/dp = y log x; at x = 0 the latter is 0, at x = p = 0 both are."""
    if isinstance(p, Const):
        return _constant_pow(y, x, p.data.item()), None
    zero = equal(x, 0)
    dx = p * pow_(select(and_(zero, equal(p, 0)), 1, x), p - 1)
    return dx, select(zero, 0, y) * log(select(zero, 1, x))


def _constant_pow(y: Term, x: Term, p: Any) -> Any:
    if p in (0, 1):
        return p
    return 0.5 / y if p == 0.5 else p * x ** (p - 1)


pow_ = elementwise(
    "pow",
    np.power,
    "vm.pow{t}({0}, {1})",
    _pow_partials,
    kinds="iufc",
    ints="{0} ** {1}",
    cost=40,
    domain="positive, real",
)
sqrt = elementwise(
    "sqrt",
    np.sqrt,
    "vm.sqrt{t}({0})",
    lambda y, x: (0.5 / y,),
    kinds="fc",
    cost=4,
    domain="positive",
)
cbrt = elementwise(
    "cbrt",
    np.cbrt,
    "vm.cbrt{t}({0})",
    lambda y, x: (1 / (3 * y * y),),
    cost=15,
    domain="nonzero",
)
hypot = elementwise(  # at the origin both slopes are 0, the smallest subgradient, as for abs
    "hypot",
    np.hypot,
    "vm.hypot{t}({0}, {1})",
    lambda y, a, b: (a / (r := select(equal(y, 0), 1, y)), b / r),
    cost=8,
    commutes=True,
    domain="nonzero",
)

# ------------------------------------------------------------------ exponentials and logarithms


def _vm(
    name: str,
    ref: np.ufunc,
    partials: Callable[..., tuple[Any, ...]],
    cost: int,
    domain: str = "real",
    kinds: str = "fc",
) -> Prim:
    """A function of one number that kernels take from vecmath by its name."""
    text = f"vm.{name}{{t}}({{0}})"
    return elementwise(name, ref, text, partials, kinds=kinds, cost=cost, domain=domain)


exp = _vm("exp", np.exp, lambda y, x: (y,), 12)
exp2 = _vm("exp2", np.exp2, lambda y, x: (LN2 * y,), 12)
expm1 = _vm("expm1", np.expm1, lambda y, x: (y + 1,), 12)
log = _vm("log", np.log, lambda y, x: (1 / x,), 12, "positive")
log2 = _vm("log2", np.log2, lambda y, x: (1 / (LN2 * x),), 12, "positive")
log10 = _vm("log10", np.log10, lambda y, x: (1 / (LN10 * x),), 12, "positive")
log1p = _vm("log1p", np.log1p, lambda y, x: (1 / (1 + x),), 12, "above -1")

# ------------------------------------------------------------------ angles and hyperbolas

sin = _vm("sin", np.sin, lambda y, x: (cos(x),), 12)
cos: Prim = _vm("cos", np.cos, lambda y, x: (-sin(x),), 12)
tan = _vm("tan", np.tan, lambda y, x: (1 + y * y,), 15)
asin = _vm("asin", np.arcsin, lambda y, x: (1 / sqrt((1 - x) * (1 + x)),), 15, "unit")
acos = _vm("acos", np.arccos, lambda y, x: (-1 / sqrt((1 - x) * (1 + x)),), 15, "unit")
atan = _vm("atan", np.arctan, lambda y, x: (1 / (1 + x * x),), 15)
sinh = _vm("sinh", np.sinh, lambda y, x: (cosh(x),), 15)
cosh: Prim = _vm("cosh", np.cosh, lambda y, x: (sinh(x),), 15)
tanh = _vm("tanh", np.tanh, lambda y, x: (1 - y * y,), 15)
asinh = _vm("asinh", np.arcsinh, lambda y, x: (1 / sqrt(1 + x * x),), 15)
# Two roots, not sqrt(x*x - 1): no cancellation near 1, and the right branch for complex numbers.
acosh = _vm("acosh", np.arccosh, lambda y, x: (1 / (sqrt(x - 1) * sqrt(x + 1)),), 15, "above 1")
atanh = _vm("atanh", np.arctanh, lambda y, x: (1 / ((1 - x) * (1 + x)),), 15, "unit")
atan2 = elementwise(  # at the origin, where no slope exists, NaN
    "atan2",
    np.arctan2,
    "vm.atan2{t}({0}, {1})",
    lambda y, a, b: (b / (r := a * a + b * b), -a / r),
    cost=20,
    domain="nonzero",
)

# ------------------------------------------------------------------ comparisons


def _comparison(name: str, ref: np.ufunc, sign_: str, kinds: str = "biuf", **facts: Any) -> Prim:
    why = "piecewise constant"
    text = f"{{0}} {sign_} {{1}}"
    return elementwise(name, ref, text, kinds=kinds, result="bool", nondiff=why, **facts)


less = _comparison("less", np.less, "<")
less_equal = _comparison("less_equal", np.less_equal, "<=")
greater = _comparison("greater", np.greater, ">")
greater_equal = _comparison("greater_equal", np.greater_equal, ">=")
equal: Prim = _comparison("equal", np.equal, "==", "biufc", commutes=True)
not_equal = _comparison("not_equal", np.not_equal, "!=", "biufc", commutes=True)

# ------------------------------------------------------------------ logic, choice


def _bitwise(name: str, ref: np.ufunc, text: str, **facts: Any) -> Prim:
    """Logical on bools, bitwise on integers."""
    return elementwise(name, ref, text, kinds="biu", nondiff="logic", **facts)


and_: Prim = _bitwise("and", np.bitwise_and, "{0} & {1}", commutes=True)
or_ = _bitwise("or", np.bitwise_or, "{0} | {1}", commutes=True)
xor = _bitwise("xor", np.bitwise_xor, "{0} ^ {1}", commutes=True)
not_ = _bitwise("not", np.invert, "~{0}", bools="not {0}")


def _select_infer(c: Aval, x: Aval, y: Aval) -> Aval:
    if c.dtype != "bool":
        raise TypeError(f"select: the condition is {c.dtype}, not bool")
    return Aval(one_dtype("select", x, y), broadcast_shapes(c.shape, x.shape, y.shape))


select: Prim = Prim(
    name="select",
    infer=_select_infer,
    ref=np.where,
    emit=Expr("ll.select({0}, {1}, {2})"),
    transpose=lambda ct, c, x, y: (
        ZERO,
        unbroadcast(select(c, ct, 0), x.shape),
        unbroadcast(select(c, 0, ct), y.shape),
    ),
    linear=(1, 2),
    like=1,
    domain="bool, real, real",
)

# ------------------------------------------------------------------ casts, complex parts, identity


def _cast_infer(x: Aval, *, dtype: str) -> Aval:
    if x.kind == "c" and KIND[dtype] in "iuf":
        raise TypeError(f"cast: {x.dtype} to {dtype} drops the imaginary part; take real first")
    return Aval(dtype, x.shape)


def _cast_transpose(ct: Value, x: Value, *, dtype: str) -> tuple[Any, ...]:
    if not (is_float(x.dtype) and is_float(dtype)):
        return (ZERO,)
    embeds = KIND[dtype] == "c" and x.aval.kind == "f"
    return (cast(real(ct) if embeds else ct, dtype=x.dtype),)


cast = Prim(
    name="cast",
    infer=_cast_infer,
    ref=lambda x, *, dtype: np.asarray(x).astype(NUMPY[dtype]),
    emit=Expr("ll.{dtype}({0})"),
    transpose=_cast_transpose,
)
stop_gradient = elementwise(
    "stop_gradient",
    lambda x: x,
    "{0}",
    kinds="biufc",
    nondiff="it stands for a constant",
)

# Cotangents pair with tangents by Re(ct * t), without a conjugate.
_PARTS = {"c64": "f32", "c128": "f64"}
_WHOLE = {part: whole for whole, part in _PARTS.items()}


def _part_rule(name: str, arity: int, table: dict[str, str]) -> Callable[..., Aval]:
    def infer(*avals: Aval) -> Aval:
        a = type_rule(name, arity, "fc")(*avals)
        if a.dtype not in table:
            raise TypeError(f"{name}: takes {' or '.join(table)}, not {a.dtype}")
        return Aval(table[a.dtype], a.shape)

    return infer


real = Prim(
    name="real",
    infer=_part_rule("real", 1, _PARTS),
    ref=np.real,
    emit=Expr("{0}.real"),
    transpose=lambda ct, z: (complex_(ct, 0),),
    domain="complex",
)
imag = Prim(
    name="imag",
    infer=_part_rule("imag", 1, _PARTS),
    ref=np.imag,
    emit=Expr("{0}.imag"),
    transpose=lambda ct, z: (complex_(0, -ct),),
    domain="complex",
)
conj: Prim = Prim(
    name="conj",
    infer=type_rule("conj", 1, "c"),
    ref=np.conjugate,
    emit=Expr("{0}.conjugate()"),
    transpose=lambda ct, z: (conj(ct),),
    domain="complex",
)


def _complex_ref(re: Any, im: Any) -> Any:
    out = np.empty(np.broadcast_shapes(re.shape, im.shape), np.result_type(re, np.complex64))
    out.real, out.imag = re, im
    return out


complex_: Prim = Prim(
    name="complex",
    infer=_part_rule("complex", 2, _WHOLE),
    ref=_complex_ref,
    emit=Expr("complex({0}, {1})"),
    transpose=lambda ct, re, im: (
        unbroadcast(real(ct), re.shape),
        unbroadcast(-imag(ct), im.shape),
    ),
)


def modulus(z: Term) -> Term:
    """|z| of a complex value."""
    return hypot(real(z), imag(z))


def angle(z: Term) -> Term:
    """The argument of a complex value, in (-pi, pi]."""
    return atan2(imag(z), real(z))


# ------------------------------------------------------------------ operators


def _raise(x: Term, p: Any) -> Term:
    """x ** p; a square is a product, as in NumPy."""
    if not isinstance(p, Value):
        if p == 2:
            return mul(x, x)
        if p == 1:
            return x
    return pow_(x, p)


def install_operators() -> None:
    """Let lines of mathematics be written with Python's operators on values."""
    for name, row in {"add": add, "sub": sub, "mul": mul, "truediv": div}.items():
        setattr(Value, f"__{name}__", lambda a, b, row=row: row(a, b))
        setattr(Value, f"__r{name}__", lambda a, b, row=row: row(b, a))
    Value.__neg__ = lambda a: neg(a)  # type: ignore[method-assign]
    Value.__pow__ = _raise  # type: ignore[method-assign]
    Value.__rpow__ = lambda a, b: pow_(b, a)  # type: ignore[method-assign]


install_operators()
