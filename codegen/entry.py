"""A Python callable around a kernel: one compiled function checks the arguments and jumps.

There is one such function per process (trampoline.py).  Each callable is that
function with another table as its `self`: the kernel's address, its sizes and constants, and one
record per pointer that says what the argument must be.  A call returns True, None when an argument
is not what its record says (the caller then takes the slow way), or the kernel's status.
"""

import ctypes
import functools
import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.records import dataclass
from . import link
from .trampoline import C_FUNCTIONS, CODE, HEAD

ARRAY, SCALAR, UNCHECKED, SAME, FIXED, INTEGER = range(6)

log = logging.getLogger("adjit.entry")


@dataclass(frozen=True)
class ArgSpec:
    """What one argument must be, and thereby where its data lie; made by the functions below."""

    kind: int
    about: Any = None  # dtype, type, object or address
    shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    align: int = 1


def array(
    dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...], align: int | None = None
) -> ArgSpec:
    """Exactly an ndarray of this dtype (the very object), shape and strides.

    Strides are compared where they matter: not along axes of extent 1, not in empty arrays.
    """
    return ArgSpec(ARRAY, dtype, shape, strides, align or dtype.alignment)


def like(example: np.ndarray, align: int | None = None) -> ArgSpec:
    """An ndarray of the dtype, shape and strides of an example."""
    return array(example.dtype, example.shape, example.strides, align)


def scalar(kind: type) -> ArgSpec:
    """A float, a complex or a NumPy scalar of exactly this type; the pointer goes to its value."""
    return ArgSpec(SCALAR, kind)


def integer(kind: type = int) -> ArgSpec:
    """An int (or bool) of exactly this type that fits into 64 bits; read it as i64 (or u8)."""
    return ArgSpec(INTEGER, kind)


def unchecked() -> ArgSpec:
    """An ndarray that the caller made itself: an output, the arena."""
    return ArgSpec(UNCHECKED)


def same(thing: object) -> ArgSpec:
    """The very same object; it has no pointer."""
    return ArgSpec(SAME, thing)


def fixed(address: int) -> ArgSpec:
    """A pointer that never changes; it takes no argument."""
    return ArgSpec(FIXED, address)


METH_FASTCALL = 0x80


class MethodDef(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("method", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class Table(np.ndarray[Any, np.dtype[np.int64]]):
    """The words of a callable, as int64; keeps alive what they point to."""

    keep: object = None


def make_call(
    address: int,
    spec: Sequence[ArgSpec],
    sizes: Sequence[int],
    consts: Sequence[float],
    nogil: bool,
    keep: object = None,
) -> Callable[..., bool | int | None]:
    """A callable that checks its arguments, runs the kernel at `address` and says how it went.

    Pointers reach the kernel in the order of `spec`.  `keep` is kept alive with the callable.
    """
    if not native():
        return make_call_python(address, spec, sizes, consts, nogil, keep)
    table = _table(address, spec, sizes, consts, nogil)
    table.keep = (tuple(spec), keep)
    create = ctypes.pythonapi.PyCFunction_NewEx
    create.restype = ctypes.py_object
    create.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return create(ctypes.addressof(_method()), table, None)


def _table(
    address: int,
    spec: Sequence[ArgSpec],
    sizes: Sequence[int],
    consts: Sequence[float],
    nogil: bool,
) -> Table:
    records = [word for one in spec for word in _record(one)]
    n_args = sum(one.kind != FIXED for one in spec)
    n_pointers = sum(one.kind != SAME for one in spec)
    length = HEAD + len(records)
    table = np.zeros(length + len(sizes) + len(consts), np.int64).view(Table)
    start = table.__array_interface__["data"][0]
    at_sizes, at_consts = start + 8 * length, start + 8 * (length + len(sizes))
    table[:HEAD] = address, n_args, nogil, at_sizes, at_consts, n_pointers, len(spec)
    table[HEAD:length] = records
    table[length : length + len(sizes)] = sizes
    table[length + len(sizes) :].view(np.float64)[:] = consts
    return table


def _record(one: ArgSpec) -> list[int]:
    if one.kind == ARRAY:
        return [ARRAY, id(one.about), *array_words(one)]
    if one.kind == FIXED:
        return [FIXED, _signed(one.about)]
    return [one.kind, id(one.about)]


def array_words(one: ArgSpec, strided: bool = False) -> list[int]:
    """What follows the dtype in an array's record (front_array.py); `strided`: in any order."""
    every = ((n, step, 0 if strided else mask) for n, step, mask in axes(one))
    return [len(one.shape), one.align - 1, *(word for axis in every for word in axis)]


def strides(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a C-contiguous array."""
    steps, step = [], dtype.itemsize
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def axes(one: ArgSpec) -> list[tuple[int, int, int]]:
    """Extent, stride and the stride bits that matter, of each axis."""
    empty = 0 in one.shape
    return [
        (extent, stride, 0 if empty or extent == 1 else -1)
        for extent, stride in zip(one.shape, one.strides, strict=True)
    ]


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


@functools.cache
def native() -> bool:
    """Whether compiled entries work here; the layouts they read are tried out first."""
    if os.environ.get("ADJIT_ENTRY") == "python" or platform.python_implementation() != "CPython":
        return False
    if sys.maxsize < 2**63 - 1 or sys.byteorder != "little" or "free-threading" in sys.version:
        return False
    try:
        return _is_main() and _layout_is_known() and bool(_method())
    except (OSError, RuntimeError, AttributeError) as error:
        log.debug("arguments are checked in Python: %s", error)
        return False


def _is_main() -> bool:
    """Whether this is the interpreter that the process started with: NumPy knows no other."""
    here, first = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_Main
    here.restype = first.restype = ctypes.c_void_p
    return bool(here() == first())


def _layout_is_known() -> bool:
    """Whether NumPy's and Python's objects keep their fields where the code looks for them."""
    sample = np.arange(24.0).reshape(2, 3, 4)[:, ::2]
    word, start = ctypes.c_int64.from_address, id(sample)
    dims, strides = word(start + 32).value, word(start + 40).value
    return (
        word(start + 8).value == id(np.ndarray)
        and word(start + 16).value == sample.__array_interface__["data"][0]
        and ctypes.c_int32.from_address(start + 24).value == 3
        and tuple(word(dims + 8 * i).value for i in range(3)) == sample.shape
        and tuple(word(strides + 8 * i).value for i in range(3)) == sample.strides
        and word(start + 56).value == id(sample.dtype)
        and all(
            ctypes.c_int32.from_address(id(one) + 64).value & 0x403 == bits
            for one, bits in ((sample, 0x400), (np.eye(3), 0x401), (np.eye(3).T, 0x402))
        )
        and all(
            ctypes.c_double.from_address(id(one) + 16).value == 1.5
            for one in (float("1.5"), np.float64("1.5"), complex("1.5"))
        )
        and ctypes.c_int64.from_address(id(np.int64(7)) + 16).value == 7
        and all(word(id(x) + 16).value == 3 for x in ((1, 2, 3), [1, 2, 3], dict.fromkeys("abc")))
    )


@functools.cache
def _method() -> MethodDef:
    """The compiled entry; the structure must live as long as the process."""
    code = link.compiled("adjit_call", CODE)
    imports = {name: c_address(name) for name in C_FUNCTIONS}
    imports |= {
        "_Py_NoneStruct": id(None),
        "_Py_TrueStruct": id(True),
        "PyArray_Type": id(np.ndarray),
    }
    address = link.load_object(code, "adjit_call", imports)
    made = MethodDef(b"kernel", address, METH_FASTCALL, b"Check the arguments, run the kernel.")
    _methods.append(made)
    return made


_methods: list[MethodDef] = []  # more than one where threads asked for the first at the same time


def c_address(name: str) -> int:
    function = getattr(ctypes.pythonapi, name)
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def make_call_python(
    address: int,
    spec: Sequence[ArgSpec],
    sizes: Sequence[int],
    consts: Sequence[float],
    nogil: bool,
    keep: object = None,
) -> Callable[..., bool | int | None]:
    """What `make_call` returns, in plain Python: slower, right everywhere."""
    table = _table(address, spec, sizes, consts, nogil)
    at_sizes, at_consts = int(table[3]), int(table[4])
    kind = ctypes.CFUNCTYPE if nogil else ctypes.PYFUNCTYPE
    kernel = kind(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)
    n_args, words = int(table[1]), ctypes.c_int64 * max(1, int(table[5]))
    spec, alive = tuple(spec), (table, keep)

    def call(*args: Any) -> bool | int | None:
        if len(args) != n_args:
            return None
        given = iter(args)
        pointers: list[int] = []
        temporaries: list[object] = [alive]
        for one in spec:
            if one.kind == FIXED:
                pointers.append(_signed(one.about))
                continue
            arg = next(given)
            if not _fits(one, arg):
                return None
            if one.kind != SAME:
                data = arg if one.kind in (ARRAY, UNCHECKED) else np.array(arg)
                temporaries.append(data)
                pointers.append(_signed(data.__array_interface__["data"][0]))
        status = kernel(words(*pointers), at_sizes, at_consts)
        return True if status == 0 else status

    return call


def _fits(one: ArgSpec, arg: Any) -> bool:
    """Whether an argument is what its record says."""
    if one.kind == SAME:
        return arg is one.about
    if one.kind == UNCHECKED:
        return True
    if one.kind == SCALAR:
        return type(arg) is one.about
    if one.kind == INTEGER:
        return type(arg) is one.about and -(2**63) <= arg < 2**63
    return (
        type(arg) is np.ndarray
        and arg.dtype is one.about
        and arg.shape == one.shape
        and all(
            mask == 0 or stride == wanted
            for stride, (_, wanted, mask) in zip(arg.strides, axes(one), strict=True)
        )
        and arg.__array_interface__["data"][0] % one.align == 0
    )
