"""A Source becomes machine code: compile it, or load what an earlier process compiled.

Nothing here imports a compiler at once: a process that finds its kernels in the store needs none.
"""

import atexit
import contextlib
import functools
import importlib.util
import linecache
import logging
import os
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from ..ir.records import dataclass
from . import cache, link, symbols
from .source import Source, module_text, used_globals

RUNGS = ("direct", "lean", "plain")
_COMMENT = re.compile(r"  # .*")

log = logging.getLogger("adjit.compile")
_memory: dict[str, "Executable"] = {}
_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


@dataclass(frozen=True)
class Executable:
    """A compiled kernel: `int64 entry(void** pointers, int64* sizes, double* consts)`.

    cached   it came from the store
    known    the process had it already, for another program: it took no time
    """

    address: int
    path: Path
    rung: str
    seconds: dict[str, float]
    cached: bool
    keep: object = field(default=None, repr=False)
    known: bool = False


def compile_source(source: Source, rung: str | None = None) -> Executable:
    """The machine code of a kernel: from memory, else from the store, else compiled.

    Rung "direct" (the default, or what ADJIT_RUNG says) reads the text itself and leaves what it
    does not know to "lean", which uses Numba's internals; both are stored;
    rung "plain" uses Numba's public API and lives as long as the process.
    """
    rung = rung or os.environ.get("ADJIT_RUNG") or "direct"
    if rung not in RUNGS:
        raise ValueError(f"rung {rung!r} is none of {RUNGS}")
    key = cache.key(identity(source, rung))
    with _guard:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if (found := _memory.get(key)) is not None:
            return replace(found, seconds={}, known=True)
        found = _load(key)
        if found is None:
            if getattr(_here, "stored", False):
                raise NotStored(source.name)
            found = _compile(source, key, rung)
        _memory[key] = found
        return found


class NotStored(LookupError):
    """A kernel is not there yet, where none may be compiled."""


_here = threading.local()


@contextlib.contextmanager
def stored() -> Iterator[None]:
    """In this thread a kernel that is not in the store raises `NotStored`."""
    _here.stored = True
    try:
        yield
    finally:
        _here.stored = False


def identity(source: Source, rung: str) -> str:
    """The text that says what a kernel is, besides the toolchain."""
    blas = str(symbols.blas().bits) if "blas" in used_globals(source.text) else "none"
    text = _COMMENT.sub("", source.text)  # the user's lines move, the kernel stays
    return f"{rung}, blas {blas}\n{source.name} ({source.signature})\n{text}"


def forget() -> None:
    """Drop the kernels remembered in memory; those in use stay alive with their users."""
    _memory.clear()


def _load(key: str) -> Executable | None:
    """The kernel of that key from the store, by LLVM alone."""
    start = perf_counter()
    entry = cache.load(key, (".o", ".py"))
    if entry is None:
        return None
    try:
        address = _link(entry.files[".o"], key, entry.meta["needs"])
    except (RuntimeError, KeyError, ImportError, TypeError) as error:
        log.debug("kernel %s is compiled again: %s", key, error)
        return None
    seconds = {"frontend": 0.0, "llvm": 0.0, "load": perf_counter() - start}
    rung = entry.meta.get("rung", "lean")
    return Executable(address, entry.stem.with_suffix(".py"), rung, seconds, True)


def _link(code: bytes, key: str, needs: list[str]) -> int:
    return link.load_object(code, _symbol(key), symbols.resolve(needs))


def _symbol(key: str) -> str:
    return f"adjit_kernel_{key}"


def _compile(source: Source, key: str, rung: str) -> Executable:
    text = module_text(source)
    path = cache.write_source(key, text) or _scratch_file(key, text)
    if rung == "direct":
        executable = _direct(source, key, path, text)
        if executable is not None:
            return executable
    function = getattr(load_module(path, text, _symbol(key)), source.name)
    if rung != "plain":
        try:
            return _lean(function, source, key, path, text)
        except Exception as error:
            executable = _plain(function, source, path)  # raises if the text is to blame
            log.debug("lean rung failed", exc_info=error)
            _warn_about(type(error).__name__)
            return executable
    return _plain(function, source, path)


def _lean(
    function: Callable[..., Any], source: Source, key: str, path: Path, text: str
) -> Executable:
    from . import lean

    made = lean.compile_object(function, source, _symbol(key))
    return _linked(made, "lean", source, key, path, text)


def _direct(source: Source, key: str, path: Path, text: str) -> Executable | None:
    from . import direct, modules

    try:
        made = modules.compile_object(source, _symbol(key))
    except direct.Unsupported as reason:
        log.debug("kernel %s goes to Numba: %s", key, reason)
        return None
    return _linked(made, "direct", source, key, path, text)


def _linked(
    made: tuple[bytes, list[str], dict[str, float]],
    rung: str,
    source: Source,
    key: str,
    path: Path,
    text: str,
) -> Executable:
    """Object code, loaded and put into the store."""
    code, needs, seconds = made
    start = perf_counter()
    address = _link(code, key, needs)
    meta = {"name": source.name, "signature": source.signature, "needs": needs, "rung": rung}
    cache.store(key, {".py": text.encode(), ".o": code}, meta)
    return Executable(address, path, rung, seconds | {"load": perf_counter() - start}, False)


def _plain(function: Callable[..., Any], source: Source, path: Path) -> Executable:
    start = perf_counter()
    from . import plain

    entry = plain.compile_cfunc(function, source)
    seconds = {"frontend": perf_counter() - start, "llvm": 0.0, "load": 0.0}
    return Executable(entry.address, path, "plain", seconds, False, keep=entry)


@functools.cache
def _warn_about(kind: str) -> None:
    warnings.warn(
        f"compiled by Numba's public API, which takes longer: its internals raised {kind}"
        " (set ADJIT_RUNG=plain to silence this)",
        RuntimeWarning,
        stacklevel=5,
    )


def load_module(path: Path, text: str, name: str) -> types.ModuleType:
    """Run a kernel's file as a module; without a file its text still shows in tracebacks."""
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__spec__ = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = module  # before it runs: Numba and pickle look a function's module up
    linecache.cache[str(path)] = (len(text), None, text.splitlines(True), str(path))
    exec(compile(text, str(path), "exec"), vars(module))
    return module


def _scratch_file(key: str, text: str) -> Path:
    """A kernel's file outside the store; where nothing can be written, a path to no file."""
    path = _scratch() / f"{key}.py"
    with contextlib.suppress(OSError):
        path.write_text(text)
    return path


@functools.cache
def _scratch() -> Path:
    import tempfile

    try:
        made = tempfile.TemporaryDirectory(prefix="adjit-", ignore_cleanup_errors=True)
    except OSError:
        return Path("<adjit>")
    atexit.register(made.cleanup)
    return Path(made.name)


def _after_fork() -> None:
    """A child gets fresh locks: the thread that held one does not exist there."""
    global _guard
    _guard = threading.Lock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
