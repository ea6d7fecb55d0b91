"""Rung "lean": Numba's front end with the short pass list, then one run of LLVM.

This file, target.py and helpers.py are the only ones that use Numba's internals.  Whatever goes
wrong here, the compiler falls back to the public API (plain.py).
"""

from collections.abc import Callable, Sequence
from time import perf_counter

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import codegen, compiler, cpu_options, errors, types
from numba.core import ir as nir
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import AnalysisPass, PassManager, register_pass
from numba.core.target_extension import target_override
from numba.core.typed_passes import (
    AnnotateTypes,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, IRProcessing, ReconstructSSA, TranslateByteCode

from . import engine, helpers, target
from .plain import argument_types
from .source import Source

FAILED = -1  # the status of a kernel that left by an exception


class MixedTypes(errors.NumbaError):
    """A variable has values of several types in the course of a function."""


@register_pass(mutates_CFG=False, analysis_only=True)
class OneTypePerVariable(AnalysisPass):
    """Raises MixedTypes where leaving SSA form out would convert a value.

    Numba's SSA pass takes time that grows with assignments times statements; all it does for
    kernels is to keep apart the types of a name that is used twice.
    """

    _name = "adjit_one_type_per_variable"

    def __init__(self) -> None:  # abstract in the base
        super().__init__()

    def run_pass(self, state) -> bool:
        defined: dict[str, list[nir.Stmt]] = {}
        for block in state.func_ir.blocks.values():
            for one in block.find_insts(nir.Assign):
                defined.setdefault(one.target.name, []).append(one.value)
        for name, values in defined.items():
            if len(values) > 1 and any(_type(state, v) != state.typemap[name] for v in values):
                raise MixedTypes(f"{name} has values of several types")
        return False


def _type(state, value: nir.Stmt) -> types.Type | None:
    """The type of an assigned value as far as it is easily told."""
    if isinstance(value, nir.Var):
        return types.misc.unliteral(state.typemap[value.name])
    if isinstance(value, nir.Const):
        return state.typingctx.resolve_value_type(value.value)
    found = state.calltypes.get(value) if isinstance(value, nir.Expr) else None
    return found.return_type if found is not None else None


FIRST = (TranslateByteCode, FixupArgs, IRProcessing)
LAST = (NativeLowering, NoPythonBackend)


class Pipeline(compiler.CompilerBase):
    """Seven of Numba's passes: what loops over pointers and scalars need."""

    passes: tuple[type, ...] = (
        *FIRST, NopythonTypeInference, OneTypePerVariable, AnnotateTypes, *LAST
    )  # fmt: skip

    def define_pipelines(self) -> list[PassManager]:
        manager = PassManager("adjit")
        for one in self.passes:
            manager.add_pass(one, one.__name__)
        manager.finalize()
        return [manager]


class PipelineWithSSA(Pipeline):
    """The same for functions that use one name for several types."""

    passes = (
        *FIRST, ReconstructSSA, NopythonTypeInference, AnnotateTypes, PreLowerStripPhis, *LAST
    )  # fmt: skip


class Library(codegen.CPUCodeLibrary):
    """Collects the modules of one kernel; neither optimises them singly nor makes wrappers."""

    def __init__(self, owner: codegen.Codegen, name: str) -> None:
        super().__init__(owner, name)
        self._helpers: dict[str, helpers.Helper] = {}

    def add_helper(self, helper: helpers.Helper) -> None:
        self._helpers[helper.symbol] = helper

    def add_llvm_module(self, ll_module: llvm.ModuleRef) -> None:
        ll_module.data_layout = self._codegen._data_layout
        self._final_module.link_in(ll_module)

    def link(self, keep: str) -> llvm.ModuleRef:
        """The module with all it calls; everything but `keep` becomes internal."""
        module = self._final_module
        for helper in self._helpers.values():
            module.link_in(helpers.parse(helper))
        for library in dict.fromkeys(self._linking_libraries):
            module.link_in(library._get_module_for_linking(), preserve=True)
        for defined in (*module.functions, *module.global_variables):
            if not defined.is_declaration and defined.name != keep:
                defined.linkage = "internal"
        return module

    def _finalize_specific(self) -> None: ...

    def get_pointer_to_function(self, name: str) -> int:
        return 0


def flags(error_model: str = "numpy", fastmath: object = False) -> compiler.Flags:
    """No runtime, no wrappers, and no two pointer parameters overlap."""
    result = compiler.Flags()
    result.nrt = False
    result.noalias = True
    result.no_compile = True
    result.no_cpython_wrapper = True
    result.no_cfunc_wrapper = True
    result.error_model = error_model
    if fastmath:
        result.fastmath = cpu_options.FastMathOptions(fastmath)
    return result


def front_end(
    function: Callable,
    args: tuple[types.Type, ...],
    returns: types.Type | None,
    options: compiler.Flags,
    name: str,
    pipelines: Sequence[type[compiler.CompilerBase]] = (Pipeline, PipelineWithSSA),
) -> tuple[Library, compiler.CompileResult]:
    """Numba's typing and lowering of one Python function, by the first pipeline that can."""
    descriptor = target.Dispatcher.targetdescr
    typing, context = descriptor.typing_context, descriptor.target_context
    *others, last = pipelines
    for pipeline in (*others, last):
        library = Library(context.codegen(), name)
        try:
            with target_override(target.NAME):
                result = compiler.compile_extra(
                    typing, context, function, args, returns, options, {},
                    library=library, pipeline_class=pipeline,
                )  # fmt: skip
            return library, result
        except errors.NumbaError:
            if pipeline is last and not target.add_ufuncs():
                raise
    return front_end(function, args, returns, options, name, pipelines)


def entry_module(callee: ir.Function, symbol: str, source: Source) -> ir.Module:
    """`int64 symbol(void** pointers, int64* sizes, double* consts)` that calls the kernel."""
    i64, f64, i32 = ir.IntType(64), ir.DoubleType(), ir.IntType(32)
    pointer = ir.IntType(8).as_pointer()
    module = ir.Module(symbol)
    kernel = ir.Function(module, callee.function_type, callee.name)
    tables = [pointer.as_pointer(), i64.as_pointer(), f64.as_pointer()]
    entry = ir.Function(module, ir.FunctionType(i64, tables), symbol)
    b = ir.IRBuilder(entry.append_basic_block())
    result_type, error_type, *wanted = callee.function_type.args
    result, error = b.alloca(result_type.pointee), b.alloca(error_type.pointee)
    counts = (len(source.pointers), source.n_sizes, source.n_consts)
    words = [
        b.load(b.gep(table, [ir.Constant(i32, i)]))
        for table, count in zip(entry.args, counts, strict=True)
        for i in range(count)
    ]
    cast = [b.bitcast(v, t) if v.type != t else v for v, t in zip(words, wanted, strict=True)]
    status = b.call(kernel, [result, error, *cast])
    failed = b.icmp_signed("!=", status, ir.Constant(i32, 0))
    b.ret(b.select(failed, ir.Constant(i64, FAILED), b.load(result)))
    return module


@global_compiler_lock
def lower(function: Callable, source: Source, symbol: str) -> llvm.ModuleRef:
    """The kernel and its entry as one LLVM module, not optimised yet."""
    library, result = front_end(function, argument_types(source), types.int64, flags(), symbol)
    context = target.Dispatcher.targetdescr.target_context
    declaration = context.declare_function(ir.Module(), result.fndesc)
    library.add_ir_module(entry_module(declaration, symbol, source))
    module = library.link(keep=symbol)
    # Inlined into the entry it would lose the no-overlap promise of its parameters.
    module.get_function(result.fndesc.llvm_func_name).add_function_attribute("noinline")
    return module


def compile_object(
    function: Callable, source: Source, symbol: str
) -> tuple[bytes, list[str], dict[str, float]]:
    """Object code of a kernel, the symbols it needs from outside, and where the time went."""
    start = perf_counter()
    module = lower(function, source, symbol)
    lowered = perf_counter()
    engine.optimise(module)
    needs = [f.name for f in module.functions if f.is_declaration]
    code = engine.target_machine().emit_object(module)
    return code, needs, {"frontend": lowered - start, "llvm": perf_counter() - lowered}
