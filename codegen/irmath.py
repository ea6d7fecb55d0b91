"""Arithmetic on LLVM values with Python operators, so that a formula is written as a formula.

`Num` wraps an llvmlite builder and one scalar value: a real of 64 or 32 bits, an integer of the
same width, or a truth value. Nothing branches: choices are `select`, so that LLVM can vectorise
the loop around them. No fast-math flag is ever set, so each step rounds as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import llvmlite.binding as llvm
from llvmlite import ir

from ..ir.records import dataclass
from .host import IS_X86, cpu_has, has_fma

INT32 = ir.IntType(32)
Scalar: TypeAlias = "Num | float | int"


@dataclass(frozen=True)
class Width:
    """One floating-point format and the integer of its size."""

    bits: int
    real: ir.Type
    integer: ir.Type
    mantissa: int
    bias: int

    @property
    def name(self) -> str:
        """LLVM's suffix of the format."""
        return f"f{self.bits}"

    @property
    def magic(self) -> float:
        """The number whose addition rounds a real to an integer in its low bits."""
        return 1.5 * 2.0**self.mantissa

    @property
    def one(self) -> int:
        """The bit pattern of 1.0."""
        return self.bias << self.mantissa

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)


F64 = Width(64, ir.DoubleType(), ir.IntType(64), 52, 1023)
F32 = Width(32, ir.FloatType(), ir.IntType(32), 23, 127)
WIDTHS = {64: F64, 32: F32}
# Whether it multiplies by a power of two in one instruction, and LLVM knows.
HAS_LDEXP = IS_X86 and cpu_has("avx512f") and llvm.llvm_version_info[0] >= 21
HAS_FMA = has_fma()


class Num:
    """An LLVM value that computes; constants on either side take its type."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value

    @property
    def width(self) -> Width:
        """The format of a real, or that of an integer's size."""
        return F64 if self.value.type in (F64.real, F64.integer) else F32

    @property
    def is_int(self) -> bool:
        """Whether this is an integer or a truth value."""
        return isinstance(self.value.type, ir.IntType)

    def lift(self, other: Scalar) -> ir.Value:
        """The LLVM value of a Num or of a constant of this type."""
        return other.value if isinstance(other, Num) else ir.Constant(self.value.type, other)

    def const(self, x: float) -> Num:
        """A constant of this type."""
        return Num(self.builder, self.lift(x))

    def _two(self, name: str, a: ir.Value, b: ir.Value) -> Num:
        return Num(self.builder, getattr(self.builder, name if self.is_int else "f" + name)(a, b))

    def __add__(self, other: Scalar) -> Num:
        return self._two("add", self.value, self.lift(other))

    def __radd__(self, other: Scalar) -> Num:
        return self._two("add", self.lift(other), self.value)

    def __sub__(self, other: Scalar) -> Num:
        return self._two("sub", self.value, self.lift(other))

    def __rsub__(self, other: Scalar) -> Num:
        return self._two("sub", self.lift(other), self.value)

    def __mul__(self, other: Scalar) -> Num:
        return self._two("mul", self.value, self.lift(other))

    def __rmul__(self, other: Scalar) -> Num:
        return self._two("mul", self.lift(other), self.value)

    def __truediv__(self, other: Scalar) -> Num:
        return Num(self.builder, self.builder.fdiv(self.value, self.lift(other)))

    def __rtruediv__(self, other: Scalar) -> Num:
        return Num(self.builder, self.builder.fdiv(self.lift(other), self.value))

    def __neg__(self) -> Num:
        return Num(self.builder, self.builder.fneg(self.value))

    def __lshift__(self, n: int) -> Num:
        return Num(self.builder, self.builder.shl(self.value, self.lift(n)))

    def __rshift__(self, n: int) -> Num:
        """Shift in zeros: an arithmetic shift of 64 bits is not a vector instruction on AVX2."""
        return Num(self.builder, self.builder.lshr(self.value, self.lift(n)))

    def __and__(self, other: Scalar) -> Num:
        return Num(self.builder, self.builder.and_(self.value, self.lift(other)))

    def __or__(self, other: Scalar) -> Num:
        return Num(self.builder, self.builder.or_(self.value, self.lift(other)))

    def __xor__(self, other: Scalar) -> Num:
        return Num(self.builder, self.builder.xor(self.value, self.lift(other)))

    def __invert__(self) -> Num:
        return Num(self.builder, self.builder.not_(self.value))

    def _compare(self, op: str, other: Scalar) -> Num:
        compare = self.builder.icmp_signed if self.is_int else self.builder.fcmp_ordered
        return Num(self.builder, compare(op, self.value, self.lift(other)))

    def __lt__(self, other: Scalar) -> Num:
        return self._compare("<", other)

    def __le__(self, other: Scalar) -> Num:
        return self._compare("<=", other)

    def __gt__(self, other: Scalar) -> Num:
        return self._compare(">", other)

    def __ge__(self, other: Scalar) -> Num:
        return self._compare(">=", other)

    def equals(self, other: Scalar) -> Num:
        """Ordered equality: false for NaN."""
        return self._compare("==", other)

    def is_nan(self) -> Num:
        """Whether a real is NaN."""
        return Num(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value))

    def bits(self) -> Num:
        """The bit pattern of a real as an integer."""
        return Num(self.builder, self.builder.bitcast(self.value, self.width.integer))

    def as_real(self) -> Num:
        """The real whose bit pattern this integer is."""
        return Num(self.builder, self.builder.bitcast(self.value, self.width.real))

    def to(self, width: Width) -> Num:
        """This real in another format."""
        if width is self.width:
            return self
        convert = self.builder.fpext if width is F64 else self.builder.fptrunc
        return Num(self.builder, convert(self.value, width.real))

    def low_word(self) -> Num:
        """The low 32 bits of an integer."""
        if self.value.type == INT32:
            return self
        return Num(self.builder, self.builder.trunc(self.value, INT32))

    def intrinsic(self, name: str, *others: Scalar, flags: tuple[str, ...] = ()) -> Num:
        """LLVM's own function of this value and others of its type."""
        args = [self.value, *(self.lift(o) for o in others)]
        kind = ir.FunctionType(self.value.type, [a.type for a in args])
        fn = self.builder.module.declare_intrinsic(f"llvm.{name}", [self.value.type], kind)
        return Num(self.builder, self.builder.call(fn, args, fastmath=flags))


def select(cond: Num, a: Scalar, b: Scalar) -> Num:
    """a where cond, else b; both are computed."""
    like = a if isinstance(a, Num) else b
    assert isinstance(like, Num)
    return Num(cond.builder, cond.builder.select(cond.value, like.lift(a), like.lift(b)))


def fabs(x: Num) -> Num:
    """The magnitude."""
    return x.intrinsic("fabs")


def copysign(x: Num, s: Scalar) -> Num:
    """The magnitude of x with the sign of s."""
    return x.intrinsic("copysign", s)


def sqrt(x: Num) -> Num:
    """The square root, by the hardware."""
    return x.intrinsic("sqrt")


def two_product(a: Num, b: Scalar) -> tuple[Num, Num]:
    """a * b as a rounded product and its exact error."""
    p = a * b
    return p, fma(a, b, -p)


def two_sum(a: Num, b: Num) -> tuple[Num, Num]:
    """a + b as a rounded sum and its exact error, whichever is larger."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


def fast_two_sum(a: Scalar, b: Num) -> tuple[Num, Num]:
    """a + b and its exact error, where a is at least as large as b or is zero."""
    s = a + b
    return s, (a - s) + b


def mad(a: Num, b: Scalar, c: Scalar) -> Num:
    """a * b + c, rounded once where the hardware can and twice elsewhere."""
    return a.intrinsic("fma", b, c) if HAS_FMA else a * b + c


def fma(a: Num, b: Scalar, c: Scalar) -> Num:
    """a * b + c with an exact product (only its sum with c is rounded)."""
    if HAS_FMA:
        return a.intrinsic("fma", b, c)
    if a.width is F32:
        wide = [Num(a.builder, a.lift(x)).to(F64) for x in (a, b, c)]
        return (wide[0] * wide[1] + wide[2]).to(F32)
    b, c = Num(a.builder, a.lift(b)), Num(a.builder, a.lift(c))
    p = a * b
    (ah, al), (bh, bl) = _split(a), _split(b)
    error = ((ah * bh - p) + ah * bl + al * bh) + al * bl
    s, e = two_sum(p, c)
    return s + (e + error)


def _split(a: Num) -> tuple[Num, Num]:
    high = (a.bits() & -(1 << 27)).as_real()
    return high, a - high


def ldexp(x: Num, n: Num) -> Num:
    """x * 2**n for an int32 n."""
    kind, builder = ir.FunctionType(x.value.type, [x.value.type, INT32]), x.builder
    name = f"llvm.ldexp.{x.width.name}.i32"
    fn = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return Num(builder, builder.call(fn, [x.value, n.value]))


def poly(x: Num, coefficients: Sequence[float], serial: int = 0) -> Num:
    """A polynomial, lowest power first, as two interleaved chains of half the length.

    Where even and odd part nearly cancel, the first `serial` steps run one by one instead.
    """
    if serial:
        return mad(poly(x, coefficients[1:], serial - 1), x, coefficients[0])
    if len(coefficients) < 5:
        return _horner(x, coefficients)
    square = x * x
    even, odd = _horner(square, coefficients[::2]), _horner(square, coefficients[1::2])
    return mad(odd, x, even)


def fours(x: Num, coefficients: Sequence[float]) -> Num:
    """The same, four terms at a time: one product more, but fewer that wait for each other."""

    def pair(k: int) -> Num:
        c = coefficients[k : k + 2]
        return mad(x.const(c[1]), x, c[0]) if len(c) == 2 else x.const(c[0])

    square = x * x
    fourth = square * square
    total = None
    for k in reversed(range(0, len(coefficients), 4)):
        term = pair(k) if k + 2 >= len(coefficients) else mad(pair(k + 2), square, pair(k))
        total = term if total is None else mad(total, fourth, term)
    assert total is not None
    return total


def _horner(x: Num, coefficients: Sequence[float]) -> Num:
    total = x.const(coefficients[-1])
    for c in coefficients[-2::-1]:
        total = mad(total, x, c)
    return total


def emit(
    builder: ir.IRBuilder,
    name: str,
    body: Callable[..., Num],
    args: Sequence[ir.Value],
    inline: bool = True,
) -> ir.Value:
    """Call body as a function of its own in the builder's module, made there on first use.

    Loops need it inline, so that they become vectors; long straight code is smaller without.
    """
    width = Num(builder, args[0]).width
    full = f"adjit.{name}.{width.name}" + ("" if inline else ".apart")
    fn = builder.module.globals.get(full)
    if fn is None:
        kind = ir.FunctionType(width.real, [width.real] * len(args))
        fn = ir.Function(builder.module, kind, full)
        fn.linkage = "internal"
        fn.attributes.add("alwaysinline" if inline else "noinline")
        inner = ir.IRBuilder(fn.append_basic_block())
        inner.ret(body(*(Num(inner, a) for a in fn.args)).value)
    return builder.call(fn, args)
