"""Object code becomes functions of this process, without LLVM where `elf` knows the file."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping

from . import cache, elf


def load_object(code: bytes, symbol: str, imports: Mapping[str, int]) -> int:
    """Link object code into the process and return the address of its function `symbol`.

    A name that neither `imports` nor the process has is a RuntimeError, not a crash.
    """
    if elf.KNOWN:
        try:
            return elf.load(code, symbol, lambda name: imports.get(name) or _of_process(name))
        except (elf.Unknown, struct.error, IndexError, ValueError):
            pass  # LLVM says what is wrong, if something is
    from . import engine

    return engine.load_object(code, symbol, imports)


def _of_process(name: str) -> int:
    """The address of a function that the process has, most often one of the C library."""
    try:
        return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
    except AttributeError:
        raise elf.Unknown(f"no function {name}") from None


def compiled(name: str, text: str, passes: str = "tidy") -> bytes:
    """Object code of a text in LLVM's language, from the store or made and stored."""

    def make() -> bytes:
        from . import engine  # LLVM is loaded where there is something to compile

        return engine.compile_text(text, getattr(engine, passes))

    return cache.object_code(name, text, make)
