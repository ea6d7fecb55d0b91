"""Rung "lean": Numba's front end with the short pass list, then one run of LLVM.

The only file that uses Numba's internals.  Whatever goes wrong here, the compiler falls back to
the public API (plain.py).
"""

from collections.abc import Callable
from time import perf_counter

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import codegen, compiler, types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.typed_passes import (
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode

from . import engine
from .source import Source

NUMBA_TYPES = {
    "f64": types.float64, "f32": types.float32,
    "i64": types.int64, "i32": types.int32, "i16": types.int16, "i8": types.int8,
    "u64": types.uint64, "u32": types.uint32, "u16": types.uint16, "u8": types.uint8,
    "bool": types.uint8, "c128": types.complex128, "c64": types.complex64,
}  # fmt: skip
FAILED = -1  # the status of a kernel that left by an exception
PASSES = (
    TranslateByteCode,
    FixupArgs,
    IRProcessing,
    ReconstructSSA,
    NopythonTypeInference,
    AnnotateTypes,
    PreLowerStripPhis,
    NativeLowering,
    NoPythonBackend,
)


class Pipeline(compiler.CompilerBase):
    """Nine of Numba's passes: what loops over pointers and scalars need."""

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("adjit")
        for one in PASSES:
            manager.add_pass(one, one.__name__)
        manager.finalize()
        return [manager]


class Library(codegen.CPUCodeLibrary):
    """Collects the modules of one kernel; it neither optimises them singly nor makes wrappers."""

    def add_llvm_module(self, ll_module: llvm.ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout
        self._final_module.link_in(ll_module)

    def add_linking_library(self, library: codegen.CodeLibrary) -> None:
        if library is not rtsys.library:  # nothing is allocated in a kernel
            super().add_linking_library(library)

    def link(self) -> llvm.ModuleRef:
        """The kernel's module with the helpers it calls."""
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        return self._final_module

    def _finalize_specific(self) -> None: ...

    def get_pointer_to_function(self, name: str) -> int:
        return 0


def flags() -> compiler.Flags:
    """No runtime, no wrappers, NumPy's division, and no two pointers overlap."""
    result = compiler.Flags()
    result.nrt = False
    result.noalias = True
    result.no_compile = True
    result.no_cpython_wrapper = True
    result.no_cfunc_wrapper = True
    result.error_model = "numpy"
    return result


def argument_types(source: Source) -> tuple[types.Type, ...]:
    """The Numba types of a kernel's parameters."""
    pointers = tuple(types.CPointer(NUMBA_TYPES[dtype]) for dtype in source.pointers)
    return pointers + (types.int64,) * source.n_sizes + (types.float64,) * source.n_consts


def entry_module(callee: ir.Function, symbol: str, source: Source) -> ir.Module:
    """`int64 symbol(void** pointers, int64* sizes, double* consts)` that calls the kernel."""
    i64, f64, i32 = ir.IntType(64), ir.DoubleType(), ir.IntType(32)
    pointer = ir.IntType(8).as_pointer()
    module = ir.Module(symbol)
    module.triple = callee.module.triple
    module.data_layout = callee.module.data_layout
    kernel = ir.Function(module, callee.function_type, callee.name)
    tables = [pointer.as_pointer(), i64.as_pointer(), f64.as_pointer()]
    entry = ir.Function(module, ir.FunctionType(i64, tables), symbol)
    b = ir.IRBuilder(entry.append_basic_block())
    wanted = callee.function_type.args
    result, error = b.alloca(wanted[0].pointee), b.alloca(wanted[1].pointee)
    counts = (len(source.pointers), source.n_sizes, source.n_consts)
    loaded = [
        b.load(b.gep(table, [ir.Constant(i32, i)]))
        for table, count in zip(entry.args, counts, strict=True)
        for i in range(count)
    ]
    loaded = [b.bitcast(v, t) if v.type != t else v for v, t in zip(loaded, wanted[2:])]
    status = b.call(kernel, [result, error, *loaded])
    failed = b.icmp_signed("!=", status, ir.Constant(i32, 0))
    b.ret(b.select(failed, ir.Constant(i64, FAILED), b.load(result)))
    return module


@global_compiler_lock
def lower(function: Callable, source: Source, symbol: str) -> llvm.ModuleRef:
    """The kernel and its entry as one LLVM module, not optimised yet."""
    typing, target = cpu_target.typing_context, cpu_target.target_context
    library = Library(target.codegen(), symbol)
    result = compiler.compile_extra(
        typing, target, function, argument_types(source), types.int64,
        flags(), {}, library=library, pipeline_class=Pipeline,
    )  # fmt: skip
    kernel = result.fndesc.llvm_func_name
    declaration = target.declare_function(ir.Module(), result.fndesc)
    library.add_ir_module(entry_module(declaration, symbol, source))
    module = library.link()
    for defined in [*module.functions, *module.global_variables]:
        if not defined.is_declaration and defined.name != symbol:
            defined.linkage = "internal"
    # Inlined into the entry it would lose the no-overlap promise of its parameters.
    module.get_function(kernel).add_function_attribute("noinline")
    return module


def compile_object(
    function: Callable, source: Source, symbol: str
) -> tuple[bytes, tuple[str, ...], dict[str, float]]:
    """Object code of a kernel, the symbols it needs from outside, and where the time went."""
    start = perf_counter()
    module = lower(function, source, symbol)
    lowered = perf_counter()
    engine.optimise(module)
    undefined = [f.name for f in module.functions if f.is_declaration]
    needs = tuple(name for name in undefined if not name.startswith("llvm."))
    code = engine.target_machine().emit_object(module)
    return code, needs, {"frontend": lowered - start, "llvm": perf_counter() - lowered}
