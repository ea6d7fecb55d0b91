"""Tapes: arrays of as many rows as a loop has rounds, which nobody knows before the kernel runs.

A workspace keeps two words for each tape, its address and its bytes.  A kernel asks for the room
it needs, and gets the same memory in every call until it needs more.
"""

from __future__ import annotations

from llvmlite import ir

I64, BYTE = ir.IntType(64), ir.IntType(8)
_LEAST = 256  # bytes
_MOST = 1 << 42  # rows for which no machine has room


def room(
    b: ir.IRBuilder, words: ir.Value, place: ir.Value, rows: ir.Value, row: ir.Value, item: int
) -> ir.Value:
    """The address of a tape of so many rows of `row` items, null if there is no such room."""
    few = b.select(b.icmp_signed("<", rows, I64(_MOST)), rows, I64(_MOST))  # no overflow below
    size = b.mul(b.mul(few, row), I64(item))
    return b.call(_function(b.module), [b.gep(words, [place]), size])


def _function(module: ir.Module) -> ir.Function:
    """`i8* adjit_tape(i64* words, i64 size)`, where old rows need not be kept."""
    known = module.globals.get("adjit_tape")
    if known is not None:
        return known
    pointer = BYTE.as_pointer()
    fn = ir.Function(module, ir.FunctionType(pointer, [I64.as_pointer(), I64]), "adjit_tape")
    fn.linkage = "internal"
    fn.attributes.add("noinline")
    # Nothing else in a kernel reads or writes what it returns.
    fn.return_value.add_attribute("noalias")
    words, size = fn.args
    b = ir.IRBuilder(fn.append_basic_block())
    place, held = words, b.gep(words, [I64(1)])
    least = b.select(b.icmp_signed("<", size, I64(_LEAST)), I64(_LEAST), size)
    with b.if_then(b.icmp_signed("<", b.load(held), least), likely=False):
        b.call(_declared(module, "PyMem_RawFree", ir.VoidType(), pointer), [_address(b, place)])
        wanted = b.add(least, b.ashr(least, I64(2)))
        fresh = b.call(_declared(module, "PyMem_RawMalloc", pointer, I64), [wanted])
        b.store(b.ptrtoint(fresh, I64), place)
        none = b.icmp_unsigned("==", b.ptrtoint(fresh, I64), I64(0))
        b.store(b.select(none, I64(0), wanted), held)
    b.ret(_address(b, place))
    return fn


def _address(b: ir.IRBuilder, place: ir.Value) -> ir.Value:
    return b.inttoptr(b.load(place), BYTE.as_pointer())


def _declared(module: ir.Module, name: str, returns: ir.Type, *args: ir.Type) -> ir.Function:
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, ir.FunctionType(returns, args), name)
