"""A Python callable around a kernel: one compiled function checks the arguments and jumps.

There is one such function per process (LLVM text below, METH_FASTCALL).  Each callable is that
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
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import cache, engine

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


HEAD = 7  # words: kernel, arguments, nogil, sizes, consts, pointers, records

# self+16 and array+16 are `data` of PyArrayObject_fields; 24 nd, 32 dimensions, 40 strides,
# 56 descr; object+8 is the type, object+16 the value of a scalar object.
CODE = """
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare void @Py_IncRef(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
@_Py_NoneStruct = external global i8
@_Py_TrueStruct = external global i8
@PyArray_Type = external global i8

define ptr @adjit_call(ptr %self, ptr %args, i64 %nargs) {
entry:
  %data = getelementptr i8, ptr %self, i64 16
  %spec = load ptr, ptr %data
  %p.nargs = getelementptr i64, ptr %spec, i64 1
  %wanted = load i64, ptr %p.nargs
  %enough = icmp eq i64 %nargs, %wanted
  br i1 %enough, label %begin, label %miss

begin:
  %p.pointers = getelementptr i64, ptr %spec, i64 5
  %pointers = load i64, ptr %p.pointers
  %table = alloca ptr, i64 %pointers
  %values = alloca i64, i64 %pointers
  %overflow = alloca i32
  %p.records = getelementptr i64, ptr %spec, i64 6
  %records = load i64, ptr %p.records
  %first = getelementptr i64, ptr %spec, i64 7
  br label %next

next:
  %record = phi ptr [ %first, %begin ], [ %record.new, %stored ]
  %arg = phi ptr [ %args, %begin ], [ %arg.new, %stored ]
  %slot = phi ptr [ %table, %begin ], [ %slot.new, %stored ]
  %value = phi ptr [ %values, %begin ], [ %value.new, %stored ]
  %left = phi i64 [ %records, %begin ], [ %left.new, %stored ]
  %done = icmp eq i64 %left, 0
  br i1 %done, label %ready, label %dispatch

dispatch:
  %kind = load i64, ptr %record
  %word1 = getelementptr i64, ptr %record, i64 1
  %about = load ptr, ptr %word1
  %fixed = icmp eq i64 %kind, 4
  br i1 %fixed, label %constant, label %argument

constant:
  %record.fixed = getelementptr i64, ptr %record, i64 2
  br label %store

argument:
  %object = load ptr, ptr %arg
  %arg.next = getelementptr ptr, ptr %arg, i64 1
  %p.type = getelementptr i8, ptr %object, i64 8
  %p.data = getelementptr i8, ptr %object, i64 16
  switch i64 %kind, label %miss [
    i64 0, label %array
    i64 1, label %scalar
    i64 2, label %unchecked
    i64 3, label %same
    i64 5, label %integer
  ]

scalar:
  %scalar.type = load ptr, ptr %p.type
  %scalar.ok = icmp eq ptr %scalar.type, %about
  %record.scalar = getelementptr i64, ptr %record, i64 2
  br i1 %scalar.ok, label %store, label %miss

integer:
  %integer.type = load ptr, ptr %p.type
  %integer.ok = icmp eq ptr %integer.type, %about
  br i1 %integer.ok, label %convert, label %miss

convert:
  %converted = call i64 @PyLong_AsLongLongAndOverflow(ptr %object, ptr %overflow)
  %too.big = load i32, ptr %overflow
  %fits = icmp eq i32 %too.big, 0
  store i64 %converted, ptr %value
  %record.integer = getelementptr i64, ptr %record, i64 2
  br i1 %fits, label %store, label %miss

same:
  %same.ok = icmp eq ptr %object, %about
  %record.same = getelementptr i64, ptr %record, i64 2
  br i1 %same.ok, label %stored, label %miss

unchecked:
  %unchecked.data = load ptr, ptr %p.data
  %record.unchecked = getelementptr i64, ptr %record, i64 2
  br label %store

array:
  %type = load ptr, ptr %p.type
  %is.array = icmp eq ptr %type, @PyArray_Type
  br i1 %is.array, label %typed, label %miss

typed:
  %p.descr = getelementptr i8, ptr %object, i64 56
  %descr = load ptr, ptr %p.descr
  %dtype.ok = icmp eq ptr %descr, %about
  br i1 %dtype.ok, label %ranked, label %miss

ranked:
  %p.nd = getelementptr i8, ptr %object, i64 24
  %nd32 = load i32, ptr %p.nd
  %nd = sext i32 %nd32 to i64
  %word2 = getelementptr i64, ptr %record, i64 2
  %nd.wanted = load i64, ptr %word2
  %nd.ok = icmp eq i64 %nd, %nd.wanted
  br i1 %nd.ok, label %placed, label %miss

placed:
  %array.data = load ptr, ptr %p.data
  %array.address = ptrtoint ptr %array.data to i64
  %word3 = getelementptr i64, ptr %record, i64 3
  %mask = load i64, ptr %word3
  %low = and i64 %array.address, %mask
  %aligned = icmp eq i64 %low, 0
  br i1 %aligned, label %shaped, label %miss

shaped:
  %p.dims = getelementptr i8, ptr %object, i64 32
  %dims = load ptr, ptr %p.dims
  %p.strides = getelementptr i8, ptr %object, i64 40
  %strides = load ptr, ptr %p.strides
  %axes = getelementptr i64, ptr %record, i64 4
  br label %axis

axis:
  %i = phi i64 [ 0, %shaped ], [ %i.next, %axis.ok ]
  %at = phi ptr [ %axes, %shaped ], [ %at.next, %axis.ok ]
  %axes.done = icmp eq i64 %i, %nd
  br i1 %axes.done, label %store, label %axis.check

axis.check:
  %p.dim = getelementptr i64, ptr %dims, i64 %i
  %dim = load i64, ptr %p.dim
  %dim.wanted = load i64, ptr %at
  %dim.differs = xor i64 %dim, %dim.wanted
  %p.stride = getelementptr i64, ptr %strides, i64 %i
  %stride = load i64, ptr %p.stride
  %at1 = getelementptr i64, ptr %at, i64 1
  %stride.wanted = load i64, ptr %at1
  %stride.xor = xor i64 %stride, %stride.wanted
  %at2 = getelementptr i64, ptr %at, i64 2
  %stride.mask = load i64, ptr %at2
  %stride.differs = and i64 %stride.xor, %stride.mask
  %differs = or i64 %dim.differs, %stride.differs
  %axis.same = icmp eq i64 %differs, 0
  br i1 %axis.same, label %axis.ok, label %miss

axis.ok:
  %i.next = add i64 %i, 1
  %at.next = getelementptr i64, ptr %at, i64 3
  br label %axis

store:
  %pointer = phi ptr [ %about, %constant ], [ %p.data, %scalar ], [ %value, %convert ],
                     [ %unchecked.data, %unchecked ], [ %array.data, %axis ]
  %record.after = phi ptr [ %record.fixed, %constant ], [ %record.scalar, %scalar ],
                     [ %record.integer, %convert ], [ %record.unchecked, %unchecked ],
                     [ %at, %axis ]
  %arg.after = phi ptr [ %arg, %constant ], [ %arg.next, %scalar ], [ %arg.next, %convert ],
                     [ %arg.next, %unchecked ], [ %arg.next, %axis ]
  store ptr %pointer, ptr %slot
  %slot.next = getelementptr ptr, ptr %slot, i64 1
  %value.next = getelementptr i64, ptr %value, i64 1
  br label %stored

stored:
  %record.new = phi ptr [ %record.after, %store ], [ %record.same, %same ]
  %arg.new = phi ptr [ %arg.after, %store ], [ %arg.next, %same ]
  %slot.new = phi ptr [ %slot.next, %store ], [ %slot, %same ]
  %value.new = phi ptr [ %value.next, %store ], [ %value, %same ]
  %left.new = sub i64 %left, 1
  br label %next

ready:
  %kernel = load ptr, ptr %spec
  %p.nogil = getelementptr i64, ptr %spec, i64 2
  %nogil = load i64, ptr %p.nogil
  %p.sizes = getelementptr i64, ptr %spec, i64 3
  %sizes = load ptr, ptr %p.sizes
  %p.consts = getelementptr i64, ptr %spec, i64 4
  %consts = load ptr, ptr %p.consts
  %keep.gil = icmp eq i64 %nogil, 0
  br i1 %keep.gil, label %held, label %released

held:
  %status.held = call i64 %kernel(ptr %table, ptr %sizes, ptr %consts)
  br label %returned

released:
  %thread = call ptr @PyEval_SaveThread()
  %status.released = call i64 %kernel(ptr %table, ptr %sizes, ptr %consts)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %returned

returned:
  %status = phi i64 [ %status.held, %held ], [ %status.released, %released ]
  %fine = icmp eq i64 %status, 0
  br i1 %fine, label %finish, label %failed

failed:
  %number = call ptr @PyLong_FromLongLong(i64 %status)
  ret ptr %number

finish:
  call void @Py_IncRef(ptr @_Py_TrueStruct)
  ret ptr @_Py_TrueStruct

miss:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}
"""

METH_FASTCALL = 0x80
C_FUNCTIONS = (
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "Py_IncRef",
    "PyLong_FromLongLong",
    "PyLong_AsLongLongAndOverflow",
)


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
    if not _native():
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
        axes = (word for axis in _axes(one) for word in axis)
        return [ARRAY, id(one.about), len(one.shape), one.align - 1, *axes]
    if one.kind == FIXED:
        return [FIXED, _signed(one.about)]
    return [one.kind, id(one.about)]


def _axes(one: ArgSpec) -> list[tuple[int, int, int]]:
    """Extent, stride and the stride bits that matter, of each axis."""
    empty = 0 in one.shape
    return [
        (extent, stride, 0 if empty or extent == 1 else -1)
        for extent, stride in zip(one.shape, one.strides, strict=True)
    ]


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


@functools.cache
def _native() -> bool:
    """Whether compiled entries work here; the layouts they read are tried out first."""
    if os.environ.get("ADJIT_ENTRY") == "python" or platform.python_implementation() != "CPython":
        return False
    if sys.maxsize < 2**63 - 1 or sys.byteorder != "little" or "free-threading" in sys.version:
        return False
    try:
        return _layout_is_known() and bool(_method())
    except (OSError, RuntimeError, AttributeError) as error:
        log.debug("arguments are checked in Python: %s", error)
        return False


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
            ctypes.c_double.from_address(id(one) + 16).value == 1.5
            for one in (float("1.5"), np.float64("1.5"), complex("1.5"))
        )
        and ctypes.c_int64.from_address(id(np.int64(7)) + 16).value == 7
    )


@functools.cache
def _method() -> MethodDef:
    """The compiled entry; the structure must live as long as the process."""
    key = cache.key("entry" + CODE)
    found = cache.load(key, (".o",))
    code = found.files[".o"] if found else None
    if code is None:
        code = engine.compile_text(CODE)
        cache.store(key, {".o": code}, {"name": "adjit_call"})
    imports = {name: _c_address(name) for name in C_FUNCTIONS}
    imports |= {
        "_Py_NoneStruct": id(None),
        "_Py_TrueStruct": id(True),
        "PyArray_Type": id(np.ndarray),
    }
    address = engine.load_object(code, "adjit_call", imports)
    return MethodDef(b"kernel", address, METH_FASTCALL, b"Check the arguments, run the kernel.")


def _c_address(name: str) -> int:
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
            for stride, (_, wanted, mask) in zip(arg.strides, _axes(one), strict=True)
        )
        and arg.__array_interface__["data"][0] % one.align == 0
    )
