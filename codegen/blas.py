"""Matrix products for kernels, as `blas.dgemm(...)`: intrinsics that call an external symbol.

Matrices are row-major: `A` with leading dimension `lda` has rows `lda` elements apart, and BLAS,
which reads columns, is asked for the transposed product.  Integers are int64 here, whatever width
the library has; `ta` and `tb` are truth values.  Nothing is copied.  Matrix times vector is a
product with n = 1: gemv is no faster, and below 16x16 a plain loop beats both.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import routines, symbols

INTEGER = ir.IntType(symbols.blas().bits)
CHAR = ir.IntType(8)
I64 = ir.IntType(64)
REALS = {"d": types.float64, "s": types.float32}

for _name, _address in symbols.blas().addresses.items():
    llvm.add_symbol(symbols.PREFIX + _name, _address)  # for Numba's own linker (rung "plain")


def _by_reference(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A stack slot, one per call site, that holds the value."""
    slot = cgutils.alloca_once(builder, value.type)
    builder.store(value, slot)
    return slot


def _flag(builder: ir.IRBuilder, truth: ir.Value, letters: str) -> ir.Value:
    yes, no = (ir.Constant(CHAR, ord(letter)) for letter in letters)
    return builder.select(builder.icmp_signed("!=", truth, truth.type(0)), yes, no)


def _integer(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return value if INTEGER == I64 else builder.trunc(value, INTEGER)


def _leading(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """A leading dimension: BLAS refuses 0, which rows of an empty matrix have."""
    one = ir.Constant(I64, 1)
    least = builder.select(builder.icmp_signed("<", value, one), one, value)
    return _integer(builder, least)


def _call(
    builder: ir.IRBuilder, name: str, returns: ir.Type, values: Sequence[ir.Value]
) -> ir.Value:
    """Call a Fortran routine: scalars by reference, pointers as they are."""
    passed = [
        value if isinstance(value.type, ir.PointerType) else _by_reference(builder, value)
        for value in values
    ]
    kind = ir.FunctionType(returns, [value.type for value in passed])
    routine = cgutils.get_or_insert_function(builder.module, kind, symbols.PREFIX + name)
    return builder.call(routine, passed)


def _gemm(kind: str) -> Callable[..., Any]:
    real = REALS[kind]
    pointer, size, flag = types.CPointer(real), types.int64, types.boolean
    wanted = (flag, flag, size, size, size, real, pointer, size, pointer, size, real, pointer, size)

    def typer(typingctx, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, work=0):
        def generate(context, builder, signature, args):
            ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = args[:13]
            _call(builder, kind + "gemm", ir.VoidType(), [
                _flag(builder, tb, "TN"), _flag(builder, ta, "TN"),
                _integer(builder, n), _integer(builder, m), _integer(builder, k), alpha,
                b, _leading(builder, ldb), a, _leading(builder, lda),
                beta, c, _leading(builder, ldc),
            ])  # fmt: skip
            return context.get_dummy_value()

        last = work if isinstance(work, types.Type) else size
        return types.void(*wanted, last), generate

    return typer


def _offset() -> Callable[..., Any]:
    def typer(typingctx, pointer, offset):
        if not isinstance(pointer, types.CPointer) or not isinstance(offset, types.Integer):
            return None

        def generate(context, builder, signature, args):
            return builder.gep(args[0], [args[1]])

        return pointer(pointer, types.int64), generate

    return typer


def _named(typer: Callable[..., Any], name: str) -> Callable[..., Any]:
    typer.__name__ = typer.__qualname__ = name
    return intrinsic(typer)


# C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C; A is stored [k,m] if ta, B [n,k] if tb.  The work
# memory at the end is for the tiles of rung "direct".
dgemm, sgemm = _named(_gemm("d"), "dgemm"), _named(_gemm("s"), "sgemm")
# the pointer moved by `offset` elements
at = _named(_offset(), "at")


# ------------------------------------------------------------------ LAPACK


def _routine(kind: str, name: str) -> Any:
    """The intrinsic of a routine of `routines`; each has as many operands as its table says."""
    operands = routines.ROUTINES[name][1]
    real = REALS[kind]
    kinds = {"b": types.boolean, "i": types.int64, "p": types.CPointer(real)}
    wanted = tuple(kinds[letter] for letter in operands)

    def typed() -> Any:
        def generate(context, builder, signature, args):
            slots = functools.partial(cgutils.alloca_once, builder)
            return routines.emit(builder, slots, kind + name, args)

        return types.int64(*wanted), generate

    typers: dict[int, Callable[..., Any]] = {
        2: lambda typingctx, a, b: typed(),
        3: lambda typingctx, a, b, c: typed(),
        6: lambda typingctx, a, b, c, d, e, f: typed(),
        7: lambda typingctx, a, b, c, d, e, f, g: typed(),
    }
    return _named(typers[len(operands)], kind + name)


dpotrf, spotrf = _routine("d", "potrf"), _routine("s", "potrf")
dpotri, spotri = _routine("d", "potri"), _routine("s", "potri")
dgetrf, sgetrf = _routine("d", "getrf"), _routine("s", "getrf")
dpivot, spivot = _routine("d", "pivot"), _routine("s", "pivot")
dtrsm, strsm = _routine("d", "trsm"), _routine("s", "trsm")
dtrsr, strsr = _routine("d", "trsr"), _routine("s", "trsr")
dtrsv, strsv = _routine("d", "trsv"), _routine("s", "trsv")
