"""ndarray beside its shape: copies, casts, questions, complex parts, attributes and methods."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import NUMPY, Aval
from . import mutation
from .promote import can_cast, common_dtype, dtype_name
from .record import recorder, stack
from .refusals import refused
from .surface import (
    FUNCTIONS,
    METHODS,
    array,
    cast,
    filled,
    is_tracer,
    key,
    many_axes,
    method,
    refuse,
    shape_tuple,
    surface,
    value,
    wrap,
)
from .surface_shape import handle, is_fortran, matrix_transpose, ravel, transpose
from .tracer import ENTRY, Tracer

Shape = tuple[int, ...]


# ------------------------------------------------------------------ copies and casts


def copy(h: Any, order: str = "K") -> Tracer:
    """A fresh array (or the same scalar) with the content of this one."""
    if h._kind != "array":
        return Tracer(recorder(), value(h), h._kind)
    return Tracer(recorder(), value(h), "array", laid(h, h._value.aval.dtype, order))


def in_order(h: Tracer, order: str) -> Tracer:
    """The array itself if it lies in C or Fortran order as asked for, else a copy that does."""
    if order == "C" and h._strides is not None:
        return copy(h, "C")
    if order == "F" and not is_fortran(h):
        return copy(h, "F")
    return h


def laid(h: Any, dtype: str, order: str) -> Any:
    """The strides of a fresh array of this dtype with the content of `h`."""
    if order in "KA":
        return mutation.fresh_strides(h.shape, dtype, h)
    return mutation.ordered_strides(h.shape, dtype, order)


@surface(np.copy)
def copy_function(a: Any, order: str = "K", subok: bool = False) -> Any:
    """np.copy."""
    return copy(handle(a), order)


@method
def copy_(self: Tracer, order: str = "C") -> Any:
    """ndarray.copy."""
    return copy(self, order)


@method
def astype(
    self: Tracer, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
    copy: Any = True,
) -> Any:  # fmt: skip
    """ndarray.astype."""
    want = dtype_name(dtype)
    have = self._value.aval.dtype
    if not can_cast(have, want, casting):
        raise TypeError(
            f"Cannot cast array data from {self.dtype!r} to {NUMPY[want]!r} according to the rule "
            f"{casting!r}"
        )
    if want == have and not copy:
        return self
    v = cast(value(self), want)
    kind = "array" if self._kind == "array" else "scalar"
    return Tracer(recorder(), v, kind, laid(self, want, order))


@surface(np.astype)
def astype_function(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """np.astype."""
    return METHODS["astype"](x, dtype, copy=copy)


# ------------------------------------------------------------------ facts


@surface(np.shape)
def shape_of(a: Any) -> Shape:
    """np.shape."""
    return value(a).shape


@surface(np.ndim)
def ndim_of(a: Any) -> int:
    """np.ndim."""
    return value(a).ndim


@surface(np.size)
def size_of(a: Any, axis: Any = None) -> int:
    """np.size."""
    shape = value(a).shape
    if axis is None:
        return Aval("bool", shape).size
    out = 1
    for i in many_axes(axis, len(shape)):
        out *= shape[i]
    return out


@surface(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """np.iscomplexobj."""
    return value(x).aval.kind == "c"


@surface(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """np.isrealobj."""
    return value(x).aval.kind != "c"


@surface(np.result_type)
def result_type(*args: Any) -> np.dtype:
    """np.result_type."""
    keys = [
        dtype_name(a) if isinstance(a, (np.dtype, type, str)) and not is_tracer(a) else key(a)
        for a in args
    ]
    return NUMPY[common_dtype(keys)]


@surface(np.can_cast)
def can_cast_function(from_: Any, to: Any, casting: str = "safe") -> bool:
    """np.can_cast."""
    return bool(np.can_cast(from_.dtype if is_tracer(from_) else from_, to, casting))  # type: ignore


@surface(np.min_scalar_type)
def min_scalar_type(a: Any, /) -> Any:
    """np.min_scalar_type."""
    return a.dtype


@surface(np.may_share_memory, np.shares_memory)
def shares_memory(a: Any, b: Any, *_: Any, **__: Any) -> Any:
    """np.shares_memory."""
    raise refused("numpy.shares_memory")


# ------------------------------------------------------------------ complex parts


def real_part(val: Any) -> Any:
    """np.real: a view of a complex array."""
    v = value(val)
    if v.aval.kind != "c":
        return val if is_tracer(val) else array(v)
    if not is_tracer(val) or val._kind != "array":
        return wrap(ops.real(v), val._kind if is_tracer(val) else None)
    how = mutation.View(ops.real, lambda base, new: ops.complex_(new, ops.imag(base)))
    return _part(val, how)


def imag_part(val: Any) -> Any:
    """np.imag: a view of a complex array, zeros for a real one."""
    v = value(val)
    if v.aval.kind != "c":
        return wrap(filled(0, v.aval), val._kind if is_tracer(val) else None)
    if not is_tracer(val) or val._kind != "array":
        return wrap(ops.imag(v), val._kind if is_tracer(val) else None)
    how = mutation.View(ops.imag, lambda base, new: ops.complex_(ops.real(base), new))
    return _part(val, how)


def _part(h: Tracer, how: mutation.View) -> Any:
    """A view of every other number: never contiguous."""
    part = "f32" if h._value.aval.dtype == "c64" else "f64"
    return mutation.view(h, how, mutation.normal(h.shape, mutation.strides_of(h), part))


surface(np.real)(real_part)
surface(np.imag)(imag_part)


@surface(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """np.angle."""
    v = value(z)
    of_complex = ops.elementwise.angle
    out: Any = wrap(of_complex(v)) if v.aval.kind == "c" else np.arctan2(0, wrap(v))
    return out * (180 / np.pi) if deg else out


@surface(np.real_if_close)
def real_if_close(a: Any, tol: Any = 100) -> Any:
    """np.real_if_close; whether all imaginary parts are small is decided."""
    z = wrap(value(a), "array")
    if z.dtype.kind != "c":
        return a
    bound = tol * float(np.finfo(z.dtype).eps) if tol > 1 else tol
    return z.real if bool(np.all(np.absolute(z.imag) < bound)) else z


# ------------------------------------------------------------------ attributes, other methods


class Flat:
    """`x.flat`: C-order elements, readable and writable."""

    def __init__(self, base: Tracer) -> None:
        self._base = base
        self.index = 0  # of the element that comes next

    @property
    def coords(self) -> tuple[int, ...]:
        """The indices of the element that comes next; one row too far after the last."""
        rest, out = self.index, []
        for n in self._base.shape[:0:-1]:
            rest, i = divmod(rest, max(n, 1))
            out.append(i)
        return (rest, *reversed(out)) if self._base.shape else ()

    def __getitem__(self, index: Any) -> Any:
        v = value(self._base)
        return ENTRY["getitem"](array(ops.shape.reshaped(v, (v.aval.size,))), index)

    def __setitem__(self, index: Any, x: Any) -> None:
        mutation.check_writable(self._base, recorder())
        v = self._base._read()
        line = array(ops.shape.reshaped(v, (v.aval.size,)))
        if value(x).ndim:  # as often over as it takes
            count = np.arange(v.aval.size)[index].size
            x = ravel(x)
            x = x if x.size in (1, count) else x[np.arange(count) % x.size]
        ENTRY["setitem"](line, index, x)
        mutation.write(self._base, ops.shape.reshaped(line._read(), v.shape))

    def __len__(self) -> int:
        return self._base.size

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self.index >= len(self):
            raise StopIteration
        self.index += 1
        return self[self.index - 1]


def _flags(t: Tracer) -> Any:
    strides = mutation.strides_of(t)
    return mutation._dummy(t.shape, strides, t._value.aval.dtype).flags


_ATTRIBUTES: dict[str, Any] = {
    "T": transpose,
    "mT": matrix_transpose,
    "real": real_part,
    "imag": imag_part,
    "flat": Flat,
    "itemsize": lambda t: t.dtype.itemsize,
    "nbytes": lambda t: t.size * t.dtype.itemsize,
    "strides": mutation.strides_of,
    "flags": _flags,
    "base": lambda t: None,
    "device": lambda t: "cpu",
}


def _assign(name: str) -> Any:
    def set_(self: Tracer, x: Any) -> None:
        if name not in ("real", "imag", "flat"):
            raise AttributeError(f"attribute {name!r} of a traced array is not writable")
        if name == "real" and self._value.aval.kind != "c":
            ENTRY["setitem"](self, ..., x)
        else:
            target = _ATTRIBUTES[name](self)
            target[slice(None) if name == "flat" else ...] = x

    return set_


def _read(get: Any) -> Any:
    def read(self: Tracer) -> Any:
        if stack():
            recorder().enter(sys._getframe(1))
        return get(self)

    return read


def _install_attributes() -> None:
    for name, get in _ATTRIBUTES.items():
        setattr(Tracer, name, property(_read(get), _assign(name)))


_install_attributes()


def _missing(t: Tracer, name: str) -> Any:
    """Attributes that a Tracer has no answer for: a refusal, or Python's AttributeError."""
    if hasattr(np.ndarray, name) and not name.startswith("__"):
        raise refused(f"numpy.ndarray.{name}")
    raise AttributeError(f"{t.__class__.__name__!r} object has no attribute {name!r}")


ENTRY["getattr"] = _missing
ENTRY["copy"] = copy


@method
def fill(self: Tracer, value: Any) -> None:
    """ndarray.fill."""
    ENTRY["setitem"](self, ..., value)


@method
def resize(self: Tracer, *new_shape: Any, refcheck: bool = True) -> None:
    """ndarray.resize of an array that was made in the function: zeros where it grows."""
    mutation.check_writable(self, recorder())
    if self._views:
        raise ValueError("cannot resize this array: it does not own its data")
    if self._strides is not None:
        raise refuse("x.resize of an array that is not in C order", "Write x = np.resize(...).")
    shape = shape_tuple(new_shape[0] if len(new_shape) == 1 else new_shape)
    v, n = self._read(), math.prod(shape)
    flat = ops.shape.reshaped(v, (v.aval.size,))
    if n <= v.aval.size:
        flat = ops.shape.narrow(flat, 0, 0, n)
    else:
        more = filled(0, Aval(v.aval.dtype, (n - v.aval.size,)))
        flat = value(FUNCTIONS[np.concatenate]([wrap(flat, "array"), wrap(more, "array")]))
    self._value = ops.shape.reshaped(flat, shape)
    self._store = self._strides = None
    self._version = 0


@method
def item(self: Tracer, *args: Any) -> Any:
    """ndarray.item: a 0-d Tracer."""
    v = value(self)
    if not args and v.aval.size != 1:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    if not args:
        return wrap(_pythons(ops.shape.reshaped(v, ())), "python")
    if len(args) > 1 and len(args) != v.ndim:
        raise ValueError("incorrect number of indices for array")
    index = args[0] if len(args) == 1 else args
    if not isinstance(index, tuple):
        v, index = ops.shape.reshaped(v, (v.aval.size,)), (index,)
    return wrap(_pythons(value(ENTRY["getitem"](array(v), index))), "python")


def _pythons(v: Value) -> Value:
    """A number in the dtype that a Python number of its kind has."""
    wide = {"f": "f64", "i": "i64", "u": "i64", "c": "c128"}.get(v.aval.kind)
    return v if wide is None or v.aval.dtype == "u64" else cast(v, wide)


@method
def to_device(self: Tracer, device: Any, /, *, stream: Any = None) -> Any:
    """ndarray.to_device."""
    if stream is not None:
        raise ValueError("The stream argument in to_device() is not supported")
    if device != "cpu":
        raise ValueError(f'Unsupported device: {device}. Only "cpu" is accepted.')
    return self


@method
def tolist(self: Tracer) -> Any:
    """ndarray.tolist: nested lists of 0-d Tracers."""
    if not self.shape:
        return item(self)
    return [tolist(row) for row in self]


@method
def conj(self: Tracer) -> Any:
    """ndarray.conj."""
    v = value(self)
    return wrap(ops.conj(v), self._kind) if v.aval.kind == "c" else self


@method
def conjugate(self: Tracer) -> Any:
    """ndarray.conjugate."""
    return conj(self)


@method
def is_integer(self: Tracer) -> bool:
    """float.is_integer."""
    return bool(self == np.trunc(self))


def _through(name: str, function: Any) -> None:
    """A method that is NumPy's function of the same name on the array."""

    def call(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return FUNCTIONS[function](self, *args, **kwargs)

    call.__name__ = name
    method(call)


for _name in (
    "clip", "dot", "take", "repeat", "diagonal", "trace", "round", "nonzero", "searchsorted",
    "choose",
):  # fmt: skip
    _through(_name, getattr(np, _name))


@method
def compress(self: Tracer, condition: Any, axis: Any = None, out: Any = None) -> Any:
    """ndarray.compress."""
    return FUNCTIONS[np.compress](condition, self, axis, out)


@method
def put(self: Tracer, indices: Any, values: Any, mode: str = "raise") -> None:
    """ndarray.put."""
    Flat(self)[indices] = values


@method
def view(self: Tracer, *args: Any, dtype: Any = None) -> Any:
    """ndarray.view of the same dtype, or of complex numbers as their parts, and back."""
    wanted = args[0] if args else dtype
    if wanted is None or wanted is np.ndarray:
        return ENTRY["getitem"](self, ...)
    if isinstance(wanted, type) and issubclass(wanted, np.ndarray):
        raise refuse(
            f"{wanted.__module__}.{wanted.__name__}, a class of arrays of its own,",
            "Use plain arrays: np.where(mask, x, 0) and np.nanmean for masked ones, x @ y for "
            "matrices.",
        )
    have, want = self._value.aval.dtype, dtype_name(wanted)
    if have == want:
        return ENTRY["getitem"](self, ...)
    if {have, want} not in ({"c128", "f64"}, {"c64", "f32"}) or self._kind != "array":
        raise refuse(
            "x.view(dtype), which reads the bits of numbers as others,", "x.astype(dtype) converts."
        )
    return _parts(self, want)


def _parts(h: Tracer, want: str) -> Any:
    """Complex numbers as real and imaginary parts in turn, or such pairs as complex numbers."""
    strides = mutation.strides_of(h)
    size, new = h.itemsize, NUMPY[want].itemsize
    if not h.ndim or (strides[-1] != size and h.shape[-1] != 1) or h.shape[-1] * size % new:
        raise ValueError(
            "To change to a dtype of a different size, the last axis must be contiguous, and hold "
            "pairs where they become complex numbers"
        )
    shape = (*h.shape[:-1], h.shape[-1] * size // new)
    forth, back = (_interleaved, _paired) if new < size else (_paired, _interleaved)
    how = mutation.View(forth, lambda base, parts: back(parts))
    return mutation.view(h, how, mutation.normal(shape, (*strides[:-1], new), want))


def _interleaved(z: Value) -> Value:
    pairs = ops.shape.stack([ops.real(z), ops.imag(z)], z.ndim)
    return ops.shape.reshaped(pairs, (*z.shape[:-1], 2 * z.shape[-1]))


def _paired(x: Value) -> Value:
    pairs = ops.shape.reshaped(x, (*x.shape[:-1], x.shape[-1] // 2, 2))
    re, im = (ops.shape.narrow(pairs, x.ndim, k, 1) for k in (0, 1))
    return ops.shape.squeeze(ops.complex_(re, im), (x.ndim,))


@method
def setflags(self: Tracer, **_: Any) -> None:
    """ndarray.setflags."""
    raise refused("numpy.ndarray.setflags")


def _round(self: Tracer, digits: Any = None) -> Any:
    """Python's round: to an int without digits, which is a branch on the value."""
    out = FUNCTIONS[np.round](self, digits or 0)
    if digits is None:
        return int(out)
    return Tracer(out._rec, value(out), "python") if self._kind == "python" else out


Tracer.__round__ = _round  # type: ignore[attr-defined]
Tracer.__trunc__ = lambda self: int(np.trunc(self))  # type: ignore
Tracer.__floor__ = lambda self: int(np.floor(self))  # type: ignore[attr-defined]
Tracer.__ceil__ = lambda self: int(np.ceil(self))  # type: ignore[attr-defined]
