"""A rare scalar call inside a loop that stays a vector loop.

`rarely(name, x, y, limit)` is y, but the C library's `name(x)` where |x| is above the limit. LLVM
does not vectorise a loop with a branch around a call; it does vectorise the call of a function
that names its vector forms (an attribute of LLVM's vector function ABI). Each form tests a whole
vector at once and, rarely, goes through it one by one.
"""

from __future__ import annotations

from llvmlite import ir

from .host import IS_X86, cpu_has
from .irmath import Num, Width


def _lanes() -> tuple[int, ...]:
    """Doubles in a vector of this CPU; with AVX-512 LLVM chooses between two."""
    if not IS_X86 or not cpu_has("avx"):
        return (2,)
    return (4, 8) if cpu_has("avx512f") else (4,)


INDEX, DOUBLE = ir.IntType(64), ir.DoubleType()
# A loop of 32 bits alone has twice as many lanes, one that has doubles too as many as they.
LANES = {64: _lanes(), 32: (*_lanes(), 2 * _lanes()[-1])}


def rarely(name: str, x: Num, y: Num, limit: float) -> Num:
    """y, or the C library's `name(x)` where x is beyond +-limit."""
    symbol = f"adjit.far_{name}.{x.width.name}"
    fn = x.builder.module.globals.get(symbol)
    if fn is None:
        fn = _scalar_form(x.builder.module, symbol, name, x.width, limit)
    return Num(x.builder, x.builder.call(fn, [x.value, y.value]))


def _function(
    module: ir.Module, symbol: str, kind: ir.FunctionType, *attributes: str
) -> ir.Function:
    fn = ir.Function(module, kind, symbol)
    fn.linkage = "internal"
    for attribute in ("noinline", "nounwind", *attributes):
        fn.attributes.add(attribute)
    return fn


def _scalar_form(
    module: ir.Module, symbol: str, name: str, width: Width, limit: float
) -> ir.Function:
    """The function that a loop calls: far out it goes through the vector forms.

    Any of them would do; all are called, since what nobody calls LLVM drops before it vectorises.
    """
    each = _one_by_one(module, f"{symbol}.each", name, width, limit)
    forms = [
        _vector_form(module, f"{symbol}.x{n}", each, width, limit, n) for n in LANES[width.bits]
    ]
    fn = _function(module, symbol, ir.FunctionType(width.real, [width.real] * 2), "readnone")
    names = zip(LANES[width.bits], forms, strict=True)
    mangled = ",".join(f"_ZGV_LLVM_N{n}vv_{symbol}({form.name})" for n, form in names)
    # llvmlite's own `add` knows only attributes without a value.
    set.add(fn.attributes, f'"vector-function-abi-variant"="{mangled}"')
    builder = ir.IRBuilder(fn.append_basic_block())
    x, y = fn.args
    with builder.if_then(builder.not_(_far(builder, x, limit))):
        builder.ret(y)
    for form in forms:
        zero = ir.Constant(form.args[0].type, None)
        operands = [builder.insert_element(zero, v, INDEX(0)) for v in (x, y)]
        y = builder.extract_element(builder.call(form, operands), INDEX(0))
    builder.ret(y)
    return fn


def _vector_form(
    module: ir.Module, symbol: str, each: ir.Function, width: Width, limit: float, lanes: int
) -> ir.Function:
    """The same of a vector."""
    vector, mask = ir.VectorType(width.real, lanes), ir.IntType(lanes)
    fn = _function(module, symbol, ir.FunctionType(vector, [vector] * 2), "readnone")
    builder = ir.IRBuilder(fn.append_basic_block())
    x, y = fn.args
    far = builder.bitcast(_far(builder, x, limit, lanes), mask)
    with builder.if_then(builder.icmp_unsigned("==", far, mask(0))):
        builder.ret(y)
    slots = [builder.alloca(vector) for _ in (x, y)]
    for value, slot in zip((x, y), slots, strict=True):
        builder.store(value, slot)
    pointers = [builder.bitcast(slot, width.real.as_pointer()) for slot in slots]
    builder.call(each, [*pointers, INDEX(lanes)])
    builder.ret(builder.load(slots[1]))
    return fn


def _one_by_one(
    module: ir.Module, symbol: str, name: str, width: Width, limit: float
) -> ir.Function:
    """`void f(real* x, real* y, n)`: replace y[i] where x[i] is far."""
    pointer, kind = width.real.as_pointer(), ir.FunctionType(DOUBLE, [DOUBLE])
    exact = module.globals.get(name) or ir.Function(module, kind, name)
    fn = _function(
        module, symbol, ir.FunctionType(ir.VoidType(), [pointer, pointer, INDEX]), "optnone"
    )
    start = fn.append_basic_block()
    loop, done = fn.append_basic_block(), fn.append_basic_block()
    ir.IRBuilder(start).branch(loop)
    builder = ir.IRBuilder(loop)
    i = builder.phi(INDEX)
    xs, ys, count = fn.args
    x = builder.load(builder.gep(xs, [i]))
    with builder.if_then(_far(builder, x, limit)):
        wide = x if x.type == DOUBLE else builder.fpext(x, DOUBLE)
        y = builder.call(exact, [wide])
        y = y if x.type == DOUBLE else builder.fptrunc(y, x.type)
        builder.store(y, builder.gep(ys, [i]))
    following = builder.add(i, INDEX(1))
    i.add_incoming(INDEX(0), start)
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, count), loop, done)
    ir.IRBuilder(done).ret_void()
    return fn


def _far(builder: ir.IRBuilder, x: ir.Value, limit: float, lanes: int = 1) -> ir.Value:
    bounds = [
        ir.Constant(x.type, s * limit if lanes == 1 else [s * limit] * lanes) for s in (1, -1)
    ]
    over = builder.fcmp_ordered(">", x, bounds[0])
    return builder.or_(over, builder.fcmp_ordered("<", x, bounds[1]))
