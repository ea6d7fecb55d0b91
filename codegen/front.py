"""What a compiled function is to CPython: machine code that unpacks, checks, allocates and jumps.

A `Program` of instructions stands for one variant; a `Front` puts a chain of them before an object
whose class has room for that (adjit/vectorcall.py).  A call goes through the tables in order, and
to the object's Python if none of them takes it, so the Python in front of a variant
(adjit/wrapper.py) stays the definition of what a call means.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from . import entry, link
from . import front_words as code
from .entry import Table
from .front_code import C_FUNCTIONS, CODE

# Places in NumPy's table of C functions, the same since NumPy 1.0.
_ARRAY_FUNCTIONS = {"PyArray_CopyInto": 50, "PyArray_NewCopy": 85, "PyArray_NewFromDescr": 94}

_WORD = ctypes.sizeof(ctypes.c_void_p)

log = logging.getLogger("adjit.entry")


class Program:
    """The instructions of one variant, being written; registers and pointers are numbered."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.registers = 0
        self.pointers = 0
        self.alive: list[object] = []  # what the words point to

    def register(self, count: int = 1) -> int:
        """A new register, the first of as many."""
        self.registers += count
        return self.registers - count

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
        return _address(x) if type(x) is Table else id(x)

    def held(self, x: Any) -> Any:
        """An object as a word, which it is by itself unless it is an int."""
        if type(x) is not int:
            return x
        self.alive.append(x)
        return id(x)

    def block(self, *words: Any) -> Table:
        """Words in memory, for an instruction that needs more than two; objects by address."""
        return table([w if type(w) is int else self._word(w) for w in words], ())

    # -------------------------------------------------------------- what takes several words

    def code_of(self, function: FunctionType, wanted: CodeType) -> None:
        """The function has this code."""
        self.alive.append(function)
        self.add(code.WORD, 0, id(function) + _place_of_code(), wanted)

    def array(
        self, register: int, dtype: np.dtype, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> int:
        """The array in a register is like this: the next pointer, which is returned."""
        pointer = self.pointer()
        words = entry.array_words(entry.array(dtype, shape, strides))
        self.add(code.ARRAY, register, pointer, self.block(dtype, *words))
        return pointer

    def laid(self, register: int, dtype: np.dtype, shape: tuple[int, ...], bits: int | None) -> int:
        """The array in a register has this dtype and shape, not in C order: the next pointer.

        `bits` are the flags of its order: 2 for Fortran alone, 0 for neither, None for any.
        """
        one = entry.array(dtype, shape, entry.strides(dtype, shape))
        words = entry.array_words(one, strided=True)
        pointer = self.pointer()
        self.add(code.ARRAY, register, pointer, self.block(dtype, *words))
        if bits is not None:
            self.add(code.ORDER, register, bits)
        return pointer

    def target(
        self, register: int, dtype: np.dtype, shape: tuple[int, ...], strided: bool = False
    ) -> int:
        """The array in a register can be written to, in C order: the next pointer, returned."""
        pointer = self.pointer()
        one = entry.array(dtype, shape, entry.strides(dtype, shape))
        words = entry.array_words(one, strided)
        self.add(code.TARGET, register, pointer, self.block(dtype, *words))
        return pointer

    def store(self, to: int, source: int, count: int) -> None:
        """Copy bytes from one pointer to another, once the kernel has run."""
        self.add(code.STORE, to, source, count)

    def disjoint(self, written: Sequence[tuple[int, int]], read: Sequence[tuple[int, int]]) -> None:
        """What is written, pairs of pointer and bytes, overlaps with nothing else."""
        pieces = [word for pair in (*written, *read) for word in pair]
        count = len(written) + len(read)
        self.add(code.DISJOINT, 0, 0, self.block(len(written), count, *pieces))

    def empty(self, dtype: np.dtype, shape: tuple[int, ...]) -> int:
        """A fresh array, the next pointer."""
        register = self.register()
        self.add(code.EMPTY, register, self.pointer(), self.block(dtype, len(shape), *shape))
        return register

    def borrow(
        self,
        make: Callable[..., Any],
        dtype: np.dtype,
        shape: tuple[int, ...],
        pointer: int | None = None,
    ) -> int:
        """An array that a Python callable makes, the next pointer or this one."""
        register = self.register()
        place = self.pointer() if pointer is None else pointer
        self.add(code.BORROW, register, place, self.block(make, (shape, dtype)))
        return register

    def box(self, operation: int, registers: Sequence[int]) -> int:
        """A tuple or a list of registers."""
        register = self.register()
        self.add(operation, register, len(registers), self.block(*registers))
        return register

    def like(self, kind: type, registers: Sequence[int]) -> int:
        """An object of a subclass of tuple that adds nothing to it."""
        register = self.register()
        self.add(code.MAKE_LIKE, register, len(registers), self.block(kind, *registers))
        return register

    def mapping(self, keys: Sequence[object], registers: Sequence[int]) -> int:
        """A dict of registers."""
        register = self.register()
        words: list[Any] = [dict.fromkeys(keys)]
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
        around: Sequence[Callable[[], None]] = (),
        keep: object = None,
    ) -> Table:
        """The finished table; `shared` if the program has memory that two calls cannot share.

        `around` is called before and after the kernel, if there is anything to call.
        """
        program, extra = table(self.words, ()), table(sizes, consts)
        left, frame = table([0] * guards, ()), self.block(*around)
        start = _address(extra)
        words = [0] * code.TABLE
        words[code.PROGRAM] = _address(program)
        words[code.AROUND] = _address(frame) if around else 0
        words[code.KERNEL] = kernel
        words[code.SIZES], words[code.CONSTS] = start, start + 8 * len(sizes)
        words[code.POINTERS], words[code.REGISTERS] = self.pointers + 1, self.registers + 1
        words[code.NOGIL], words[code.SHARED] = nogil, shared
        words[code.LEFT] = _address(left)
        made = table(words, ())
        made.keep = (left, program, extra, frame, self.alive, keep)
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
    """The tables in front of an object: one chain, and some for the values of a context variable.

    `place` is where the object's address to be called lies, in front of the room for a head.  While
    the list `quiet` is not empty, every call goes to the object's Python; while `aside` is not, the
    value of `variable` says which chain counts: the main one where that is None.
    """

    def __init__(
        self, owner: Any, place: int, quiet: list[Any], aside: list[Any], variable: ContextVar[Any]
    ) -> None:
        self._alive = quiet, aside, variable
        words = [0] * code.HEAD
        words[code.QUIET], words[code.ASIDE] = id(quiet), id(aside)
        words[code.VARIABLE], words[code.NONE] = id(variable), id(None)
        self._head = table(words, ())
        self._chains: dict[int, tuple[object, list[Table]]] = {}  # by the word of the first table
        address = _entry(place + 8, type(owner).__call__)
        owner._head = self._head  # the machine code finds it there, and no longer than it lives
        ctypes.c_void_p.from_address(id(owner) + place).value = address

    def show(self, tables: Sequence[Table], scope: object = None) -> None:
        """Answer calls by these tables from now on, the first that takes them.

        Those where the context variable has the object `scope`; the oldest scope of too many goes.
        """
        first = code.FIRST if scope is None else self._place(scope)
        addresses = [_address(t) for t in tables]
        for one, after in zip(tables, [*addresses[1:], 0], strict=False):
            one[code.NEXT] = after
        _, before = self._chains.get(first, (None, []))
        if scope is not None:
            self._head[first - 1] = 0
        self._head[first] = addresses[0] if addresses else 0
        if scope is not None:
            self._head[first - 1] = id(scope)
        # A call in another thread may be inside an old table: it stays until that has ended.
        used = [t for t in before if t[code.USERS] and not any(t is new for new in tables)]
        for one in used:
            one[code.NEXT] = 0
        self._chains.pop(first, None)
        self._chains[first] = scope, [*tables, *used]
        self._head.keep = (self._alive, tuple(self._chains.values()))

    def knows(self, scope: object) -> bool:
        """Whether it was shown tables for this object, and has them still."""
        return any(known is scope for known, _ in self._chains.values())

    def clear(self) -> None:
        """Answer no call."""
        for scope, _ in list(self._chains.values()):
            self.show((), scope)

    def _place(self, scope: object) -> int:
        """The word of the first table of a scope, which is its own, free or the oldest one's."""
        for place, (known, _) in self._chains.items():
            if known is scope:
                return place
        scoped = [place for place in self._chains if place != code.FIRST]
        if len(scoped) < code.MOST_SCOPES:
            return code.SCOPES + 1 + 2 * len(scoped)
        return scoped[0]


@functools.cache
def works() -> bool:
    """Whether compiled fronts work here."""
    if not entry.native():
        return False
    try:
        return bool(_tuples_are_known() and _object() and _imports())
    except (OSError, RuntimeError, AttributeError) as error:
        log.debug("calls go through Python: %s", error)
        return False


@functools.cache
def _place_of_code() -> int:
    """Where a function holds its code."""
    f: Any = _place_of_code.__wrapped__
    places = range(2 * _WORD, type(f).__basicsize__, _WORD)
    return next(k for k in places if _word(id(f) + k) == id(f.__code__))


def _word(address: int) -> int | None:
    return ctypes.c_void_p.from_address(address).value


@functools.cache
def _entry(room: int, slow: Callable[..., Any]) -> int:
    """The compiled function for objects with this room, which `slow(self, ...)` answers else."""
    imports = {**_imports(), "adjit_slow": id(slow), "adjit_room": room}
    return link.load_object(_object(), "adjit_front", imports)


def _tuples_are_known() -> bool:
    """Whether the entries of tuples and lists lie where the code looks for them."""
    one = (object(), object())
    many = list(one)
    starts = id(one) + 24, _word(id(many) + 24) or 0
    return all(_word(start + _WORD * k) == id(x) for start in starts for k, x in enumerate(one))


@functools.cache
def _imports() -> dict[str, int]:
    found = {name: entry.c_address(name) for name in C_FUNCTIONS}
    found |= {name: _array_function(place) for name, place in _ARRAY_FUNCTIONS.items()}
    return found | {"_Py_TrueStruct": id(True), "PyArray_Type": id(np.ndarray)}


@functools.cache
def _object() -> bytes:
    """The object code, from the kernel store if it is there."""
    return link.compiled("adjit_front", CODE)


def _array_function(index: int) -> int:
    """The address of a function of NumPy's C API."""
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    start = get(import_module("numpy._core._multiarray_umath")._ARRAY_API, None)
    address = ctypes.c_void_p.from_address(start + 8 * index).value
    if not address:  # LLVM would end the process
        raise AttributeError(f"NumPy has no C function {index}")
    return address


def _address(x: Table) -> int:
    return int(x.__array_interface__["data"][0])
