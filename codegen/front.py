"""What a compiled function is to CPython: one builtin that unpacks, checks, allocates and jumps.

A `Program` of instructions stands for one variant; `Front` is the builtin over a chain of them.  It
goes through the tables in order and hands the call to a Python callable if none of them takes it,
so the Python in front of a variant (adjit/wrapper.py) stays the definition of what a call means.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from . import cache, engine, entry
from . import front_code as code
from .entry import MethodDef, Table

_FLAGS = 0x80 | 0x02  # METH_FASTCALL | METH_KEYWORDS
_NEW = 93  # PyArray_New in NumPy's table of C functions, the same since NumPy 1.0

log = logging.getLogger("adjit.entry")


class Program:
    """The instructions of one variant, being written; registers and pointers are numbered."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.registers = 0
        self.pointers = 0
        self.alive: list[object] = []  # what the words point to

    def register(self) -> int:
        """A new register."""
        self.registers += 1
        return self.registers - 1

    def pointer(self) -> int:
        """The next argument of the kernel."""
        self.pointers += 1
        return self.pointers - 1

    def add(self, operation: int, a: int = 0, b: Any = 0, c: Any = 0) -> None:
        """Append an instruction; an object among its words stands for its address."""
        self.words += [operation, a, self._word(b), self._word(c)]

    def _word(self, x: Any) -> int:
        if type(x) is int:
            return x
        self.alive.append(x)
        return int(x.__array_interface__["data"][0]) if type(x) is Table else id(x)

    def block(self, *words: Any) -> Table:
        """Words in memory, for an instruction that needs more than two; objects by address."""
        return table([w if type(w) is int else self._word(w) for w in words], ())

    # -------------------------------------------------------------- what takes several words

    def array(self, register: int, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        """The array in a register is C-contiguous, of this dtype and shape: the next pointer."""
        one = entry.array(dtype, shape, _strides(dtype, shape))
        axes = (word for axis in entry.axes(one) for word in axis)
        self.add(
            code.ARRAY,
            register,
            self.pointer(),
            self.block(dtype, len(shape), one.align - 1, *axes),
        )

    def empty(self, dtype: np.dtype, shape: tuple[int, ...]) -> int:
        """A fresh array, the next pointer."""
        register = self.register()
        self.add(code.EMPTY, register, self.pointer(), self.block(len(shape), dtype.num, *shape))
        return register

    def borrow(self, make: Callable[..., Any], dtype: np.dtype, shape: tuple[int, ...]) -> int:
        """An array that a Python callable makes, the next pointer."""
        register = self.register()
        self.add(code.BORROW, register, self.pointer(), self.block(make, (shape, dtype)))
        return register

    def box(self, operation: int, registers: Sequence[int]) -> int:
        """A tuple or a list of registers."""
        register = self.register()
        self.add(operation, register, len(registers), self.block(*registers))
        return register

    def mapping(self, keys: Sequence[object], registers: Sequence[int]) -> int:
        """A dict of registers."""
        register = self.register()
        words: list[Any] = []
        for key, r in zip(keys, registers, strict=True):
            self.alive.append(key)
            words += [id(key), r]
        self.add(code.MAKE_DICT, register, len(registers), self.block(*words))
        return register

    # -------------------------------------------------------------- the end

    def table(
        self,
        kernel: int,
        sizes: Sequence[int],
        consts: Sequence[float],
        *,
        nogil: bool,
        shared: bool,
        guards: int = 0,
        keep: object = None,
    ) -> Table:
        """The finished table; `shared` if the program has memory that two calls cannot share."""
        program, extra = table(self.words, ()), table(sizes, consts)
        left = table([0] * guards, ())
        start = int(extra.__array_interface__["data"][0])
        words = [0] * code.TABLE
        words[code.PROGRAM] = int(program.__array_interface__["data"][0])
        words[code.KERNEL] = kernel
        words[code.SIZES], words[code.CONSTS] = start, start + 8 * len(sizes)
        words[code.POINTERS], words[code.REGISTERS] = self.pointers + 1, self.registers + 1
        words[code.NOGIL], words[code.SHARED] = nogil, shared
        words[code.LEFT] = int(left.__array_interface__["data"][0])
        made = table(words, ())
        made.keep = (left, program, extra, self.alive, keep)
        return made


def table(words: Sequence[int], floats: Sequence[float]) -> Table:
    """Words in memory, integers and then floats."""
    made = np.zeros(max(1, len(words) + len(floats)), np.int64).view(Table)
    made[: len(words)] = words
    made[len(words) : len(words) + len(floats)].view(np.float64)[:] = floats
    return made


def calls(made: Table) -> int:
    """How many calls a table answered."""
    return int(made[code.CALLS])


def left(made: Table) -> list[int]:
    """How many calls left a table at each of its guards, and were taken by another one."""
    keep: Any = made.keep
    return [int(n) for n in keep[0]]


class Front:
    """The builtin over a chain of tables; lists that are not empty send every call to `slow`."""

    def __init__(self, slow: Callable[..., Any], quiet: tuple[list[Any], list[Any]]) -> None:
        self._head = table([id(quiet[0]), id(quiet[1]), id(slow), 0], ())
        self._head.keep = (slow, quiet)
        self._chain: list[Table] = []
        create = ctypes.pythonapi.PyCFunction_NewEx
        create.restype = ctypes.py_object
        create.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        self.call: Any = create(ctypes.addressof(_method()), self._head, None)

    def show(self, tables: Sequence[Table]) -> None:
        """Answer calls by these tables from now on, the first that takes them."""
        addresses = [int(t.__array_interface__["data"][0]) for t in tables]
        for one, after in zip(tables, [*addresses[1:], 0], strict=False):
            one[code.NEXT] = after
        self._head[3] = addresses[0] if addresses else 0
        # A call in another thread may be inside an old table: it stays until that has ended.
        used = [t for t in self._chain if t[code.USERS] and not any(t is new for new in tables)]
        for one in used:
            one[code.NEXT] = 0
        self._chain = [*tables, *used]


@functools.cache
def works() -> bool:
    """Whether compiled fronts work here."""
    if not entry.native():
        return False
    try:
        return bool(_method())
    except (OSError, RuntimeError, AttributeError) as error:
        log.debug("calls go through Python: %s", error)
        return False


@functools.cache
def _method() -> MethodDef:
    """The compiled function; the structure must live as long as the process."""
    key = cache.key("front" + code.CODE)
    found = cache.load(key, (".o",))
    made = found.files[".o"] if found else None
    if made is None:
        made = engine.compile_text(code.CODE)
        cache.store(key, {".o": made}, {"name": "adjit_front"})
    imports = {name: entry.c_address(name) for name in code.C_FUNCTIONS}
    imports |= {
        "_Py_TrueStruct": id(True),
        "PyArray_Type": id(np.ndarray),
        "PyArray_New": _array_function(_NEW),
    }
    address = engine.load_object(made, "adjit_front", imports)
    return MethodDef(b"compiled", address, _FLAGS, b"Check the arguments, run the program.")


def _array_function(index: int) -> int:
    """The address of a function of NumPy's C API."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    start = get(import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    return ctypes.c_void_p.from_address(start + 8 * index).value or 0


def _strides(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, ...]:
    steps, step = [], dtype.itemsize
    for n in reversed(shape):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))
