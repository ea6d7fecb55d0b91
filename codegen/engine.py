"""LLVM without Numba: the host's target machine, object code, and loading it into this process."""

import functools
import threading
from collections.abc import Mapping

import llvmlite.binding as llvm

_lock = threading.Lock()
_loaded: list[object] = []  # trackers: machine code lives as long as the process


@functools.cache
def cpu() -> tuple[str, str]:
    """Name and features of this machine's CPU."""
    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # some platforms do not tell
        features = ""
    return llvm.get_host_cpu_name(), features


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
    """Run LLVM's whole -O3 pipeline once."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)


def load_object(code: bytes, exports: str, symbols: Mapping[str, int], name: str) -> int:
    """Link object code into the process and return the address of `exports`."""
    with _lock:
        builder = llvm.JITLibraryBuilder().add_object_img(code).export_symbol(exports)
        builder.add_current_process()
        for symbol, address in symbols.items():
            builder.import_symbol(symbol, address)
        tracker = builder.link(_jit(), name)
        _loaded.append(tracker)
        return int(tracker[exports])
