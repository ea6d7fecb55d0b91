"""LLVM without Numba: the host's target machine, object code, and loading it into this process."""

import functools
import itertools
import os
import platform
import threading
from collections.abc import Callable, Mapping

import llvmlite.binding as llvm

_lock = threading.Lock()
_numbers = itertools.count()  # a library's name is spent even if linking fails
_loaded: list[object] = []  # trackers: machine code lives as long as the process


@functools.cache
def cpu() -> tuple[str, str]:
    """Name and features of the CPU to compile for: this machine's, or what Numba was told."""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # some platforms do not tell
        features = ""
    if "+avx512f" in features.split(","):
        # LLVM shuns 512-bit registers on some CPUs; long polynomials run twice as fast in them.
        features += ",-prefer-256-bit"
    if "+avx2" in features.split(",") and llvm.llvm_version_info >= (17, 0, 0):
        # Eight loads are faster than what microcode against data sampling has made of a gather.
        features += ",+prefer-no-gather,+prefer-no-scatter"
    told = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    if told[0] not in (None, "host"):
        features = ""
    return told[0] or llvm.get_host_cpu_name(), features if told[1] is None else told[1]


def cpu_has(feature: str) -> bool:
    """Whether the CPU that kernels are compiled for has a feature, as LLVM names those of x86."""
    return f"+{feature}" in cpu()[1].split(",")


IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
# Whether it multiplies and adds in one instruction (otherwise that is a slow call).
HAS_FMA = not IS_X86 or cpu_has("fma")


@functools.cache
def target_machine() -> llvm.TargetMachine:
    """The target machine for this CPU; its objects are relocatable."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = cpu()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic", codemodel="default"
    )


@functools.cache
def _jit() -> llvm.LLJIT:
    return llvm.create_lljit_compiler(target_machine(), suppress_errors=True)


def optimise(module: llvm.ModuleRef) -> None:
    """Run LLVM's whole -O2 pipeline once: -O3 compiles 10 % longer, and unrolls loops of 10 rows
    before they could become vectors.
    """
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)


def load_object(code: bytes, symbol: str, imports: Mapping[str, int]) -> int:
    """Link object code into the process and return the address of its function `symbol`.

    A symbol that neither `imports` nor the process has is a RuntimeError, not a crash.
    """
    with _lock:
        builder = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(symbol)
        builder.add_current_process()
        for name, address in imports.items():
            builder.import_symbol(name, address)
        tracker = builder.link(_jit(), f"{symbol}.{next(_numbers)}")
        _loaded.append(tracker)
        return int(tracker[symbol])


def tidy(module: llvm.ModuleRef) -> None:
    """Put slots into registers and fold instructions: enough for what is written by hand.

    The front of a call compiles in half the time that -O2 takes, and runs as fast.
    """
    builder = llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options())
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, builder)


def compile_text(text: str, passes: Callable[[llvm.ModuleRef], None] = optimise) -> bytes:
    """Object code of a module written in LLVM's language."""
    target_machine()
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    module.data_layout = str(target_machine().target_data)
    passes(module)
    return target_machine().emit_object(module)


def _after_fork() -> None:
    """A child gets a fresh lock: the thread that held it does not exist there."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
