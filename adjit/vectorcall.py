"""A class whose objects CPython calls by an address of their own, as it calls builtins.

Python code cannot make such a class, CPython's stable interface can (PEP 590): a subclass with room
for the address of a C function, and for an object that belongs to it.  `f(x)` then jumps to that
address with the arguments where they lie; before one is set, it is an ordinary call of `__call__`.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from typing import Any

_T_OBJECT_EX, _T_SSIZE, _READONLY = 16, 19, 1
_MEMBERS = 72  # a slot of PyType_Spec
_BASETYPE, _HAVE_VECTORCALL = 1 << 10, 1 << 11
_WORD = ctypes.sizeof(ctypes.c_void_p)
_alive: list[object] = []  # what the classes made here point to


class _Member(ctypes.Structure):
    """CPython's PyMemberDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Slot(ctypes.Structure):
    """CPython's PyType_Slot."""

    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    """CPython's PyType_Spec."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("item_size", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


def vectorcalled(cls: type) -> Any:
    """A subclass of the same name with such room, its place as `_place`; `cls` where there is none.

    The room begins with the address to be called; the attribute `_head` lies behind it.
    """
    cls._place = 0  # type: ignore[attr-defined]
    # A debug build wants the slot of `__call__` filled in before it is inherited.
    if platform.python_implementation() != "CPython" or hasattr(sys, "gettotalrefcount"):
        return cls
    place = cls.__basicsize__
    members = (_Member * 3)(
        _Member(b"__vectorcalloffset__", _T_SSIZE, place, _READONLY, None),
        _Member(b"_head", _T_OBJECT_EX, place + _WORD, 0, None),
        _Member(None, 0, 0, 0, None),
    )
    slots = (_Slot * 2)(_Slot(_MEMBERS, ctypes.addressof(members)), _Slot(0, None))
    name = f"{cls.__module__}.{cls.__qualname__}".encode()
    spec = _Spec(name, place + 2 * _WORD, 0, _BASETYPE | _HAVE_VECTORCALL, slots)
    _alive.append((members, slots, spec))
    make = ctypes.pythonapi.PyType_FromSpecWithBases
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object]
    try:
        made = make(ctypes.addressof(spec), (cls,))
    except (SystemError, TypeError):
        return cls
    made.__doc__ = cls.__doc__
    made._place = place
    return made
