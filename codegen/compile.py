"""A Source becomes machine code: compile it, or load what an earlier process compiled.

Nothing here imports Numba: a process that finds its kernels in the store never needs it.
"""

import hashlib
import importlib.util
import os
import sys
import tempfile
import threading
import types
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter

from .source import Source, module_text

RUNGS = ("lean", "plain")
_memory: dict[str, "Executable"] = {}
_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


@dataclass(frozen=True)
class Executable:
    """A compiled kernel: `int64 entry(void** pointers, int64* sizes, double* consts)`."""

    address: int
    path: Path
    rung: str
    seconds: dict[str, float]
    cached: bool
    keep: object = field(default=None, repr=False)


def compile_source(source: Source, rung: str | None = None) -> Executable:
    """Compile a kernel once; the second request for the same text is answered from memory."""
    rung = rung or os.environ.get("ADJIT_RUNG") or "lean"
    if rung not in RUNGS:
        raise ValueError(f"rung {rung!r} is none of {RUNGS}")
    key = key_of(source) + rung[0]
    with _locks_guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if key not in _memory:
            _memory[key] = _compile(source, key, rung)
        return _memory[key]


def key_of(source: Source) -> str:
    """Identity of a kernel."""
    text = f"{source.name}\n{source.signature}\n{source.text}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _compile(source: Source, key: str, rung: str) -> Executable:
    path = _scratch() / f"{key}.py"
    path.write_text(module_text(source))
    function = getattr(load_module(path, key), source.name)
    if rung == "lean":
        try:
            return _lean(function, source, key, path)
        except Exception as error:
            if _plain_also_fails(error):
                raise
            warnings.warn(f"compiling by Numba's public API, because: {error!r}", stacklevel=3)
    return _plain(function, source, path)


def _plain_also_fails(error: Exception) -> bool:
    """Whether the kernel's text is to blame, not Numba's internals."""
    from numba.core.errors import NumbaError

    return isinstance(error, NumbaError)


def _lean(function, source: Source, key: str, path: Path) -> Executable:
    from . import engine, lean

    symbol = f"adjit_{key}"
    code, _needs, seconds = lean.compile_object(function, source, symbol)
    start = perf_counter()
    address = engine.load_object(code, symbol, {}, symbol)
    return Executable(address, path, "lean", seconds | {"load": perf_counter() - start}, False)


def _plain(function, source: Source, path: Path) -> Executable:
    start = perf_counter()
    from . import plain

    entry = plain.compile_cfunc(function, source)
    seconds = {"frontend": perf_counter() - start, "llvm": 0.0, "load": 0.0}
    return Executable(entry.address, path, "plain", seconds, False, keep=entry)


def load_module(path: Path, key: str) -> types.ModuleType:
    """Import a kernel's file."""
    name = f"adjit_kernel_{key}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: Numba's cache and pickle look the module up
    spec.loader.exec_module(module)
    return module


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="adjit-"))
