"""Operations of kernels on LLVM's values: division, casts, products of matrices."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from llvmlite import ir

from . import products, symbols
from .vectors import registers

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
LINE = 64  # bytes that a cache reads at once


def divided(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Quotient and rest as Python has them; both 0 for a division by 0, as NumPy has it."""
    by_zero = builder.icmp_signed("==", b, I64(0))
    by_minus = builder.icmp_signed("==", b, I64(-1))  # the least integer by it would trap
    safe = builder.select(builder.or_(by_zero, by_minus), I64(1), b)
    q, r = builder.sdiv(a, safe), builder.srem(a, safe)
    odd = builder.and_(
        builder.icmp_signed("!=", r, I64(0)),
        builder.icmp_signed("<", builder.xor(r, safe), I64(0)),
    )
    q = builder.select(odd, builder.sub(q, I64(1)), q)
    r = builder.select(odd, builder.add(r, safe), r)
    q = builder.select(by_minus, builder.neg(a), q)
    return builder.select(by_zero, I64(0), q), r


def cast(builder: ir.IRBuilder, x: ir.Value, kind: ir.Type) -> ir.Value:
    real = x.type in (F32, F64)
    if x.type == kind:
        return x
    if kind == I1:
        differs = builder.fcmp_unordered if real else builder.icmp_signed
        return differs("!=", x, ir.Constant(x.type, 0))
    if kind == I64:
        return builder.fptosi(x, I64) if real else builder.zext(x, I64)
    if real:
        return builder.fpext(x, F64) if kind == F64 else builder.fptrunc(x, F32)
    return builder.uitofp(x, kind) if x.type in (I1, I8) else builder.sitofp(x, kind)


def gemm(module: ir.Module, name: str, real: ir.Type) -> ir.Function:
    """`(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`, by rows; BLAS has columns."""
    known = module.globals.get(f"{name}.rows")
    if known is not None:
        return known
    flags, matrix = [I1, I1], [real.as_pointer(), I64]
    kinds = [*flags, I64, I64, I64, real, *matrix, *matrix, real, *matrix]
    fn = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), f"{name}.rows")
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    block = ir.IRBuilder(fn.append_basic_block())
    ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = fn.args
    integer = ir.IntType(symbols.blas().bits)

    def flag(truth: ir.Value) -> ir.Value:
        return block.select(truth, I8(ord("T")), I8(ord("N")))

    def size(n: ir.Value) -> ir.Value:
        return n if integer == I64 else block.trunc(n, integer)

    def leading(n: ir.Value) -> ir.Value:  # BLAS refuses 0
        return size(block.select(block.icmp_signed("<", n, I64(1)), I64(1), n))

    values = [
        flag(tb), flag(ta), size(n), size(m), size(k), alpha,
        b, leading(ldb), a, leading(lda), beta, c, leading(ldc),
    ]  # fmt: skip
    passed = []
    for v in values:
        if not isinstance(v.type, ir.PointerType):
            slot = block.alloca(v.type)
            block.store(v, slot)
            v = slot
        passed.append(v)
    form = ir.FunctionType(ir.VoidType(), [v.type for v in passed])
    block.call(declared(module, f"{symbols.PREFIX}{name}", form), passed)
    block.ret_void()
    return fn


def product(module: ir.Module, name: str, real: ir.Type, tiled: bool) -> ir.Function:
    """The same by whatever is fastest for its sizes; `tiled` with work memory at the end."""
    known = module.globals.get(f"{name}.{tiled}")
    if known is not None:
        return known
    blas = gemm(module, name, real)
    memory = F64.as_pointer()
    kinds = [*blas.function_type.args, memory] if tiled else blas.function_type.args
    fn = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), f"{name}.{tiled}")
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    b = ir.IRBuilder(fn.append_basic_block())
    alpha, beta = fn.args[5], fn.args[10]
    zero, one = ir.Constant(real, 0.0), ir.Constant(real, 1.0)
    simple = b.or_(b.fcmp_ordered("==", beta, zero), b.fcmp_ordered("==", beta, one))
    simple = b.and_(simple, b.fcmp_ordered("==", alpha, one))
    families = [("narrow", _narrow)] + [("tiles", _tiled)] * tiled
    for family, pays in families if products.available() else []:
        with b.if_then(b.and_(simple, pays(b, fn.args[:13], 4 if real == F32 else 8))):
            _ours(b, family, fn.args)
            b.ret_void()
    b.call(blas, fn.args[:13])
    b.ret_void()
    return fn


def _narrow(b: ir.IRBuilder, args: Sequence[ir.Value], itemsize: int) -> ir.Value:
    """Whether a product is best read where it lies."""
    tx, ty, m, n, k = args[:5]
    lanes = registers()[0] // itemsize

    def most(x: ir.Value, bound: int) -> ir.Value:
        return b.icmp_signed("<=", x, I64(bound))

    effort = b.mul(b.mul(m, n), k)
    few = b.or_(most(n, products.NARROW * lanes), most(effort, products.FEWEST - 1))
    dear = b.or_(b.and_(tx, most(n, lanes)), b.and_(ty, most(m, products.TURNED_ROWS - 1)))
    deepest = b.select(dear, I64(products.SHORT_DEPTH), I64(products.NARROW_DEPTH))
    flat = b.and_(b.not_(ty), b.and_(most(m, products.FLAT), b.not_(most(n, lanes // 2))))
    return b.and_(few, b.or_(flat, b.icmp_signed("<=", k, deepest)))


def _tiled(b: ir.IRBuilder, args: Sequence[ir.Value], itemsize: int) -> ir.Value:
    """Whether it is large enough to be packed, and no larger than that."""
    _, ty, m, n, k = args[:5]
    down, across = products.least(itemsize)
    effort = b.mul(b.mul(m, n), k)
    fewest = b.select(ty, I64(products.FEWEST_TURNED), I64(products.FEWEST))
    pays = [
        b.icmp_signed(">=", m, I64(down)),
        b.icmp_signed(">=", n, I64(across)),
        b.icmp_signed(">=", effort, fewest),
        b.icmp_signed("<=", effort, I64(products.MOST)),
    ]
    return functools.reduce(b.and_, pays)


def _ours(b: ir.IRBuilder, family: str, args: Sequence[ir.Value]) -> None:
    """Call our code for a product, with its work memory if it has some."""
    tx, ty, m, n, k, _, x, ldx, y, ldy, beta, z, ldz, *work = args
    real = x.type.pointee
    added = b.fcmp_ordered("!=", beta, ir.Constant(real, 0.0))
    flags = [b.zext(f, I64) for f in (tx, ty, added)]
    pointer = I8.as_pointer()
    given = _table(b, pointer, [b.bitcast(p, pointer) for p in (x, y, z, *work)])
    sizes = _table(b, I64, [m, n, k, ldx, ldy, ldz, *flags])
    tables = [pointer.as_pointer(), I64.as_pointer(), F64.as_pointer()]
    symbol = products.symbol(family, "f32" if real == F32 else "f64")
    ours = declared(b.module, symbol, ir.FunctionType(I64, tables))
    b.call(ours, [given, sizes, ir.Constant(F64.as_pointer(), None)])


def fetch(b: ir.IRBuilder, pointer: ir.Value, writes: bool = False) -> None:
    """Begin to bring the line of memory that a pointer points to into the first cache.

    Nothing happens where no memory is.
    """
    place = b.bitcast(pointer, I8.as_pointer())
    form = ir.FunctionType(ir.VoidType(), [place.type, I32, I32, I32])
    fn = declared(b.module, "llvm.prefetch.p0", form)
    b.call(fn, [place, I32(int(writes)), I32(3), I32(1)])


def ahead(b: ir.IRBuilder, pointer: ir.Value, start: ir.Value, lines: int) -> None:
    """`ll.ahead(array, start, n)`: begin to read n elements of an array, which will be needed."""
    # The array may end before: the address is a number, not a place in it.
    place = b.bitcast(b.gep(pointer, [start]), I8.as_pointer())
    for k in range(lines):
        fetch(b, b.gep(place, [I64(LINE * k)]))


def _table(b: ir.IRBuilder, kind: ir.Type, values: Sequence[ir.Value]) -> ir.Value:
    """Values side by side on the stack."""
    table = b.alloca(kind, len(values))
    for k, v in enumerate(values):
        b.store(v, b.gep(table, [I64(k)]))
    return table


def declared(module: ir.Module, name: str, form: ir.FunctionType) -> ir.Function:
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, form, name)
