"""LLVM without Numba: the host's target machine, object code, and loading it into this process."""

import functools
import itertools
import os
import platform
import threading
from collections.abc import Callable, Mapping

import llvmlite.binding as llvm

from .host import cpu

_INDEXED = platform.machine() in ("x86_64", "AMD64")
_TOLD = range(20, 23)  # LLVM ends the process over an option that a later version may not have
_LOOPS = {"disable-lsr": True}
_STRAIGHT = {"enable-misched": False, "post-RA-scheduler": False}
_lock = threading.Lock()
_numbers = itertools.count()  # a library's name is spent even if linking fails
_loaded: list[object] = []  # trackers: machine code lives as long as the process


def native() -> tuple[str, str, int]:
    """Name and features of this CPU, and the version of LLVM that says so."""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # some platforms do not tell
        features = ""
    return llvm.get_host_cpu_name(), features, llvm.llvm_version_info[0]


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


def _switch(options: Mapping[str, bool]) -> None:
    for name, on in options.items():
        llvm.set_option("adjit", f"-{name}={str(on).lower()}")


def kernel_code(module: llvm.ModuleRef, loops: bool = True) -> bytes:
    """Object code of an optimised kernel, whose loops keep their one counter on x86-64.

    LLVM's strength reduction looks for the best pointers to step along: up to two thirds of the
    time that emission takes where a loop reads many arrays, for no gain where an address may have
    an index.  Where there are no loops, the CPU finds the order of instructions itself: 8700 of
    them are emitted in 0.8 of the time without LLVM's, and run as fast.  Only options of the
    process turn these off; a compiler of somebody else's that runs at this moment loses them too,
    which changes no result.
    """
    machine = target_machine()
    if not (_INDEXED and llvm.llvm_version_info[0] in _TOLD):
        return machine.emit_object(module)
    switches = _LOOPS if loops else _STRAIGHT
    _switch(switches)
    try:
        return machine.emit_object(module)
    finally:
        _switch({name: not on for name, on in switches.items()})


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


def straighten(module: llvm.ModuleRef) -> None:
    """What code without loops needs of a pipeline: a tenth of its time, and code as fast."""
    builder = llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options())
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.run(module, builder)
    tidy(module)


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
