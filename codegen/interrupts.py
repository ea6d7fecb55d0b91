"""Ctrl-C in kernels: a loop that may never end asks now and then whether it is to stop."""

from __future__ import annotations

from llvmlite import ir

I1, I32 = ir.IntType(1), ir.IntType(32)


def stopped(b: ir.IRBuilder) -> ir.Value:
    """Whether a signal handler of Python's, which runs now if its time has come, raised."""
    return b.call(_function(b.module), [])


def _function(module: ir.Module) -> ir.Function:
    known = module.globals.get("adjit_stopped")
    if known is not None:
        return known
    fn = ir.Function(module, ir.FunctionType(I1, []), "adjit_stopped")
    fn.linkage = "internal"
    for attribute in ("noinline", "cold"):
        fn.attributes.add(attribute)
    b = ir.IRBuilder(fn.append_basic_block())
    # Handlers run in the main thread alone; taking the lock is right with and without holding it.
    state = b.call(_declared(module, "PyGILState_Ensure", I32), [])
    raised = b.call(_declared(module, "PyErr_CheckSignals", I32), [])
    b.call(_declared(module, "PyGILState_Release", ir.VoidType(), I32), [state])
    b.ret(b.icmp_signed("!=", raised, I32(0)))
    return fn


def _declared(module: ir.Module, name: str, returns: ir.Type, *args: ir.Type) -> ir.Function:
    known = module.globals.get(name)
    return known if known is not None else ir.Function(module, ir.FunctionType(returns, args), name)
