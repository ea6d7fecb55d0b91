"""Addresses of what kernels call from outside: BLAS and LAPACK, found without importing Numba.

NumPy's wheels bring an OpenBLAS that is already loaded when a kernel runs: it costs nothing and
shares its threads.  Otherwise SciPy's Cython modules export the same routines.
"""

import contextlib
import ctypes
import functools
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..ir.records import dataclass
from . import products, special_symbols

PREFIX = "adjit_"  # of external symbols in object code: `adjit_dgemm` is whatever dgemm we found
SPECIAL = "adjit_sp_"  # of SciPy's special functions
BLAS = ("gemm", "gemv", "dot", "syrk", "trsm", "trsv")
LAPACK = ("potrf", "potri", "potrs", "getrf", "getrs", "geqrf", "orgqr", "syevd", "gesdd")
ROUTINES = tuple(kind + name for name in BLAS + LAPACK for kind in "ds")


@dataclass(frozen=True)
class Library:
    """A BLAS: its Fortran routines and the width of their integers in bits."""

    name: str
    bits: int
    addresses: dict[str, int]
    keep: Any = None


def _bundled() -> Library | None:
    """The OpenBLAS inside NumPy's wheel: 64-bit integers, names like `scipy_dgemm_64_`."""
    package = Path(np.__file__).parent
    places = (package.parent / "numpy.libs", package / ".dylibs")
    for path in (p for place in places for p in place.glob("libscipy_openblas64_*")):
        try:
            library = ctypes.CDLL(str(path))
            addresses = {name: _address(library, f"scipy_{name}_64_") for name in ROUTINES}
        except (OSError, AttributeError):
            continue
        return Library("numpy", 64, addresses, library)
    return None


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0


def _cython() -> Library | None:
    """SciPy's cython_blas and cython_lapack: capsules that hold C pointers."""
    try:
        from scipy.linalg import cython_blas, cython_lapack
    except ImportError:
        return None
    capsules = {**cython_lapack.__pyx_capi__, **cython_blas.__pyx_capi__}
    found = {name: capsules[name] for name in ROUTINES if name in capsules}
    return Library("scipy", _scipy_bits(), {k: _capsule(v) for k, v in found.items()}, cython_blas)


def _scipy_bits() -> int:
    try:
        from scipy.__config__ import CONFIG

        return 64 if CONFIG["Build Dependencies"]["blas"]["cython blas ilp64"] else 32
    except (ImportError, KeyError, TypeError):  # older than the entry: always 32
        return 32


def _capsule(capsule: object) -> int:
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(pointer(capsule, name(capsule)))


@functools.cache
def blas() -> Library:
    """The BLAS of this process."""
    found = _bundled() or _cython()
    if found is None:
        raise ImportError("adjit needs a BLAS: NumPy from PyPI brings one, or install SciPy")
    return found


def resolve(needs: Iterable[str]) -> dict[str, int]:
    """Addresses of the symbols that are ours or Numba's; the C library's are found by LLVM."""
    result = {}
    for symbol in needs:
        if symbol.startswith(special_symbols.PREFIX):
            result[symbol] = special_symbols.address(symbol.removeprefix(special_symbols.PREFIX))
        elif symbol.startswith(products.SYMBOL):
            result[symbol] = products.address(symbol)
        elif symbol.startswith(PREFIX):
            result[symbol] = blas().addresses[symbol.removeprefix(PREFIX)]
        elif symbol.startswith("numba_"):
            c_helpers = importlib.import_module("numba._helperlib").c_helpers  # rarely needed
            result[symbol] = c_helpers[symbol.removeprefix("numba_")]
    return result


@functools.cache
def _thread_functions() -> tuple[Any, Any] | None:
    library = blas()
    if library.name != "numpy":
        return None
    get = library.keep.scipy_openblas_get_num_threads64_
    put = library.keep.scipy_openblas_set_num_threads64_
    get.restype, put.restype, put.argtypes = ctypes.c_int, None, [ctypes.c_int]
    return get, put


def get_threads() -> int | None:
    """Threads that BLAS uses, in the whole process; None when it cannot be asked."""
    functions = _thread_functions()
    return functions[0]() if functions else None


def set_threads(count: int) -> None:
    """Set the threads that BLAS uses, in the whole process."""
    functions = _thread_functions()
    if functions:
        functions[1](count)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let BLAS use `count` threads inside the block; other Python threads see it too."""
    before = get_threads()
    set_threads(count)
    try:
        yield
    finally:
        if before is not None:
            set_threads(before)
