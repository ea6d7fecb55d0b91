"""`Tracer` stands for an array or number while a function is traced.

This file holds the object and Python's protocols; what NumPy's functions and methods mean on it
stands in the tables of `surface` and is entered by the `surface_*` modules.
"""

from __future__ import annotations

import functools
import sys
import warnings
from typing import Any

import numpy as np

from ..ir.core import Const, Value
from ..ir.types import NUMPY
from . import mutation
from .array_api import namespace
from .errors import EscapedTracer, TracedBranch, TracedConversion, UnsupportedOp, UntracedWrite
from .library import advice as library_advice
from .library import caller
from .place import Place, here
from .promote import WEAK
from .record import NoSample, Recorder, fail, recorder, stack
from .watched import Watched, traced

try:  # NumPy 2.4 wants no dims, as Python's errors will say
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        float(np.ones(1))
    _ONLY_0D = False
except TypeError:
    _ONLY_0D = True
_F_STRING = (
    "The format by % wants Python's numbers; an f-string shows what each call has: f'{x:.3f}'."
)
_PYTHON_TYPES = {"b": bool, "i": int, "u": int, "f": float, "c": complex}


class Tracer:
    """A value of the trace, seen as an ndarray, a NumPy scalar or a Python number.

    It is a handle: it looks at a storage through a chain of views (see `mutation`).  Fresh
    results have no storage until a view is taken of them or something is written.
    """

    __slots__ = (
        "__weakref__", "_kind", "_rec", "_store", "_strides", "_value", "_version", "_views",
    )  # fmt: skip
    __array_priority__ = 1e6

    def __init__(
        self,
        rec: Recorder,
        value: Value,
        kind: str,
        strides: tuple[int, ...] | None = None,
        store: mutation.Storage | None = None,
    ) -> None:
        self._rec = rec
        self._value = value
        self._kind = kind
        self._strides = strides
        self._store = store
        self._views: tuple[mutation.View, ...] = ()
        self._version = 0

    # -------------------------------------------------------------- reading

    def _read(self) -> Value:
        store = self._store
        if store is None or store.version == self._version:
            return self._value
        return mutation.refresh(self)

    def _key(self) -> Any:
        dtype = self._value.aval.dtype
        return WEAK.get(dtype, dtype) if self._kind == "python" else dtype

    def _concrete(self) -> Any | None:
        """The value if it depends on no traced input, else None."""
        rec = self._rec
        if rec is not recorder():
            _check_open(rec)
        return rec.concrete(self._read())

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        if self._kind == "array":
            return np.ndarray
        dtype = NUMPY[self._value.aval.dtype]
        return dtype.type if self._kind == "scalar" else _PYTHON_TYPES[dtype.kind]

    # -------------------------------------------------------------- NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        recorder().enter(sys._getframe(1))
        return ENTRY["ufunc"](ufunc, method, inputs, options)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        recorder().enter(sys._getframe(1))
        if Watched in map(type, args) or Watched in map(type, kwargs.values()):
            return traced(functools.partial(ENTRY["function"], func), args, kwargs)
        return ENTRY["function"](func, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return namespace(sys._getframe(1), api_version)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        known = self._concrete()
        if known is None:
            _check_place(self)
            name = caller(sys._getframe(1))
            raise fail(
                TracedConversion,
                f"{self._noun()} depends on a traced input and cannot become a plain array "
                f"{f'in {name}' if name else 'here'}",
                library_advice(name)
                if name
                else "A list with a traced value in it, np.float64(x), a method of a plain array "
                "or compiled code asked for it: np.array([...]) makes an array of the list, "
                "x.astype(float) is the number, and A.dot(x) is A @ x.",
            )
        out = np.array(known, dtype=dtype)
        out.flags.writeable = False  # what compiled code wrote into it would be lost
        return out

    # -------------------------------------------------------------- Python's protocols

    def __bool__(self) -> bool:
        if self._value.aval.size != 1 and self._kind == "array":
            if self._value.aval.size == 0:
                raise ValueError(
                    "The truth value of an empty array is ambiguous. Use `array.size > 0`."
                )
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        advice = (
            "Choose between values by np.where(condition, a, b), or by adjit.cond(condition, f, g);"
            " a `while` is adjit.while_loop(test, body, init)."
        )
        return bool(self._known("bool", advice))

    def __index__(self) -> int:
        whole = "iub" if self._kind == "python" else "iu"
        if self._value.aval.kind not in whole or self._value.aval.shape:
            raise TypeError("only integer scalar arrays can be converted to a scalar index")
        advice = "Pass sizes and axes as they are (an int from x.shape), not as traced values."
        decided = len(self._rec.builder.recipes)
        found = int(self._known("an index or a size", advice))
        if len(self._rec.builder.recipes) > decided and _indexes(here()):
            stack()[0].indexed = True
        return found

    def __int__(self) -> int:
        self._single()
        return int(self._known("int", "Use np.trunc or x.astype(int) on the array."))

    def __float__(self) -> float:
        self._single()
        place = here()
        formats = place is not None and place.instruction == "BINARY_OP"
        advice = _F_STRING if formats else "Drop `float`: 0-d values act as numbers already."
        return float(self._number("float", advice))

    def __complex__(self) -> complex:
        self._single()
        return complex(self._number("complex", "Write a + 1j * b."))

    def _single(self) -> None:
        if self._value.aval.size != 1 or (_ONLY_0D and self._value.aval.shape):
            raise TypeError("only 0-dimensional arrays can be converted to Python scalars")

    def _known(self, wanted: str, advice: str) -> Any:
        known = self._concrete()
        if known is not None:
            return np.asarray(known).reshape(())[()]
        try:
            return self._rec.decide(self._read(), wanted)
        except NoSample:
            error: Any = fail(
                TracedBranch,
                f"{wanted} of {self._noun()}, which depends on a traced input, would decide what "
                "the program does next",
                advice,
            )
            error.indexed = _indexes(here())
            raise error from None

    def _number(self, wanted: str, advice: str) -> Any:
        known = self._concrete()
        if known is None:
            _check_place(self)
            name = caller(sys._getframe(2))
            raise fail(
                TracedConversion,
                f"{f'{name} asks for ' if name else ''}{wanted}() of {self._noun()}, which depends "
                "on a traced input: that would cut it off from its derivative",
                library_advice(name) if name else advice,
            )
        return np.asarray(known).reshape(())[()]

    def _noun(self) -> str:
        name = self._value.hint
        return f"`{name}` ({self._value.aval})" if name else f"a value {self._value.aval}"

    def __len__(self) -> int:
        shape = self._value.aval.shape
        if not shape:
            raise TypeError("len() of unsized object")
        return shape[0]

    def __iter__(self) -> Any:
        if not self._value.aval.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self._value.aval.shape[0]))

    def __contains__(self, x: Any) -> bool:
        return bool((self == x).any())

    def __hash__(self) -> int:
        """That of the integer it is in this call, as a key of a dict or in a set."""
        if self._kind == "array":
            raise TypeError("unhashable type: 'numpy.ndarray'")
        if self._value.aval.kind not in "iub":
            raise TypeError(
                f"unhashable: {self._noun()} depends on a traced input, so what is found by it "
                "would be another in every call. Take a number that is not traced for a key: an "
                "index, or a name."
            )
        return hash(int(self._known("a key", "Take an integer that is not traced for a key.")))

    def __repr__(self) -> str:
        return f"Tracer<{self._value.hint or self._kind}: {self._value.aval}>"

    def __str__(self) -> str:
        return repr(self) if self._rec is not _innermost() else ENTRY["mark"](self, "")

    def __format__(self, spec: str) -> str:
        if self._rec is not _innermost():
            return repr(self)
        known = self._concrete() if spec else None
        return ENTRY["mark"](self, spec) if known is None else format(np.asarray(known)[()], spec)

    def __copy__(self) -> Tracer:
        return ENTRY["copy"](self, "C")

    def __deepcopy__(self, memo: Any) -> Tracer:
        return ENTRY["copy"](self, "C")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise fail(TracedConversion, f"{self._noun()} cannot be pickled while it is traced")

    # -------------------------------------------------------------- items and attributes

    def __getitem__(self, index: Any) -> Any:
        recorder().enter(sys._getframe(1))
        return ENTRY["getitem"](self, index)

    def __setitem__(self, index: Any, x: Any) -> None:
        recorder().enter(sys._getframe(1))
        ENTRY["setitem"](self, index, x)

    def __getattr__(self, name: str) -> Any:
        return ENTRY["getattr"](self, name)

    def __dir__(self) -> list[str]:
        return dir(np.ndarray)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.aval.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        raise unsupported("assignment to .shape", "Write x = x.reshape(...).")

    @property
    def ndim(self) -> int:
        return len(self._value.aval.shape)

    @property
    def size(self) -> int:
        return self._value.aval.size

    @property
    def dtype(self) -> np.dtype:
        return NUMPY[self._value.aval.dtype]

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        raise unsupported("assignment to .dtype", "Write x = x.astype(...).")


# What the surface modules answer to the protocols above, by name.
ENTRY: dict[str, Any] = {}


# CPython 3.12 and later have instructions of their own for slices.
_READS, _WRITES = ("BINARY_SUBSCR", "BINARY_SLICE"), ("STORE_SUBSCR", "STORE_SLICE")


def _check_place(t: Tracer) -> None:
    """An error that says so, if the user's line writes into a plain array, or indexes one."""
    place = here()
    if place is None:
        return
    if place.instruction in _WRITES:
        raise fail(
            UntracedWrite,
            f"{t._noun()} is written into an array from outside of the function, or one that "
            "other code than NumPy's functions made",
            "A traced function leaves those alone: write into a copy, z = np.copy(a), and return "
            "it.",
        )
    if place.instruction in _READS:
        raise fail(
            TracedConversion,
            f"a plain array is indexed by {t._noun()}, which depends on a traced input",
            "Write np.array(a)[i]: what NumPy's constructors make in the function is traced.",
        )


def _indexes(place: Place | None) -> bool:
    """Whether the user's code reads an item there."""
    return place is not None and place.instruction in _READS


def _innermost() -> Recorder | None:
    return stack()[-1] if stack() else None


def _check_open(rec: Recorder) -> None:
    if rec not in stack():
        raise fail(EscapedTracer, "a traced value is used after its trace has ended")


def unsupported(what: str, advice: str = "") -> UnsupportedOp:
    """The refusal of something that a Tracer cannot do."""
    return fail(UnsupportedOp, f"{what} cannot be traced", advice)  # type: ignore[return-value]


def constant(rec: Recorder, x: Any, dtype: str) -> Tracer:
    """A NumPy scalar of the trace."""
    return Tracer(rec, Const(x, dtype), "scalar")
