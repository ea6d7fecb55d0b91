"""LAPACK for kernels, as `blas.dpotrf(...)`: what both readers of kernel text emit for a call.

Matrices are row-major, and a triangle that is lower in rows is upper in the columns that LAPACK
reads; nothing is copied.  Sizes are int64 here, whatever width the library has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from . import symbols

I64, CHAR, VOID = ir.IntType(64), ir.IntType(8), ir.VoidType()
Alloca = Callable[[ir.Type], ir.Value]


class Routine:
    """Emits one call: where its scalars may stand, and of which precision it is."""

    def __init__(self, builder: ir.IRBuilder, alloca: Alloca, kind: str) -> None:
        self.b = builder
        self.alloca = alloca
        self.kind = kind
        self.integer = ir.IntType(symbols.blas().bits)
        self.real = ir.DoubleType() if kind == "d" else ir.FloatType()

    def size(self, n: ir.Value) -> ir.Value:
        return n if self.integer == I64 else self.b.trunc(n, self.integer)

    def flag(self, truth: ir.Value, letters: str) -> ir.Value:
        yes, no = (ir.Constant(CHAR, ord(letter)) for letter in letters)
        return self.b.select(self.b.icmp_unsigned("!=", truth, truth.type(0)), yes, no)

    def call(self, name: str, values: Sequence[ir.Value]) -> None:
        """Scalars go by reference, pointers as they are."""
        passed = []
        for value in values:
            if not isinstance(value.type, ir.PointerType):
                slot = self.alloca(value.type)
                self.b.store(value, slot)
                value = slot
            passed.append(value)
        form = ir.FunctionType(VOID, [v.type for v in passed])
        symbol = f"{symbols.PREFIX}{self.kind}{name}"
        known = self.b.module.globals.get(symbol)
        routine = known if known is not None else ir.Function(self.b.module, form, symbol)
        self.b.call(routine, passed)


def potrf(r: Routine, n: ir.Value, a: ir.Value) -> ir.Value:
    """`potrf(n, a)`: the lower Cholesky factor in place; 0, or what LAPACK says is wrong."""
    info = r.alloca(r.integer)
    r.call("potrf", [ir.Constant(CHAR, ord("U")), r.size(n), a, r.size(n), info])
    found = r.b.load(info)
    return found if r.integer == I64 else r.b.sext(found, I64)


def getrf(r: Routine, n: ir.Value, a: ir.Value, pivots: ir.Value) -> ir.Value:
    """`getrf(n, a, pivots)`: Aᵀ = P L U by columns in place; LAPACK's integers go to `pivots`."""
    info = r.alloca(r.integer)
    places = r.b.bitcast(pivots, r.integer.as_pointer())
    r.call("getrf", [r.size(n), r.size(n), a, r.size(n), places, info])
    return I64(0)


def pivot(r: Routine, pivots: ir.Value, i: ir.Value) -> ir.Value:
    """`pivot(pivots, i)`: the row that row i was swapped with, of LAPACK's integers."""
    found = r.b.load(r.b.gep(r.b.bitcast(pivots, r.integer.as_pointer()), [i]))
    return r.b.sub(found if r.integer == I64 else r.b.sext(found, I64), I64(1))


def trsm(
    r: Routine, lower: ir.Value, trans: ir.Value, unit: ir.Value, n: ir.Value, m: ir.Value,
    a: ir.Value, b: ir.Value,
) -> ir.Value:  # fmt: skip
    """`trsm(lower, trans, unit, n, m, a, b)`: op(A) X = B in place of B, n by m."""
    r.call("trsm", [
        ir.Constant(CHAR, ord("R")), r.flag(lower, "UL"), r.flag(trans, "TN"), r.flag(unit, "UN"),
        r.size(m), r.size(n), ir.Constant(r.real, 1.0), a, r.size(n), b, r.size(m),
    ])  # fmt: skip
    return I64(0)


def trsv(
    r: Routine, lower: ir.Value, trans: ir.Value, unit: ir.Value, n: ir.Value, a: ir.Value,
    b: ir.Value,
) -> ir.Value:  # fmt: skip
    """`trsv(lower, trans, unit, n, a, b)`: op(A) x = b in place of b."""
    r.call("trsv", [
        r.flag(lower, "UL"), r.flag(trans, "NT"), r.flag(unit, "UN"),
        r.size(n), a, r.size(n), b, r.size(I64(1)),
    ])  # fmt: skip
    return I64(0)


def trsr(
    r: Routine, n: ir.Value, m: ir.Value, a: ir.Value, lda: ir.Value, b: ir.Value, ldb: ir.Value
) -> ir.Value:
    """`trsr(n, m, a, lda, b, ldb)`: B A⁻¹ in place of B, m by n, A lower triangular."""
    r.call("trsm", [
        *(ir.Constant(CHAR, ord(letter)) for letter in "LUNN"), r.size(n), r.size(m),
        ir.Constant(r.real, 1.0), a, r.size(lda), b, r.size(ldb),
    ])  # fmt: skip
    return I64(0)


def potri(r: Routine, n: ir.Value, a: ir.Value) -> ir.Value:
    """`potri(n, a)`: the lower triangle of (A Aᵀ)⁻¹ in place of that of A."""
    info = r.alloca(r.integer)
    r.call("potri", [ir.Constant(CHAR, ord("U")), r.size(n), a, r.size(n), info])
    return I64(0)


# By name without precision: how a call is emitted, and its operands: b(ool), i(nt64), p(ointer).
ROUTINES: dict[str, tuple[Callable[..., ir.Value], str]] = {
    "potrf": (potrf, "ip"),
    "potri": (potri, "ip"),
    "getrf": (getrf, "ipp"),
    "pivot": (pivot, "pi"),
    "trsm": (trsm, "bbbiipp"),
    "trsr": (trsr, "iipipi"),
    "trsv": (trsv, "bbbipp"),
}


def emit(
    builder: ir.IRBuilder, alloca: Alloca, name: str, args: Sequence[ir.Value]
) -> ir.Value | None:
    """The int64 that `blas.<name>(args)` gives; None if there is no such routine."""
    found = ROUTINES.get(name[1:])
    if found is None or name[0] not in "ds":
        return None
    return found[0](Routine(builder, alloca, name[0]), *args)
