"""Shapes: reshape, transposition, broadcasting, flips, copies, and ndarray's attributes."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Const, Value
from ..ir.types import NUMPY, Aval
from . import mutation
from .errors import UnsupportedOp
from .promote import can_cast, dtype_name
from .record import fail, recorder
from .surface import (
    FUNCTIONS,
    METHODS,
    array,
    as_bool,
    cast,
    filled,
    is_tracer,
    many_axes,
    method,
    one_axis,
    refuse,
    shape_tuple,
    surface,
    value,
    wrap,
)
from .surface_ufunc import store, untraced_write
from .tracer import ENTRY, Tracer

Shape = tuple[int, ...]


def handle(a: Any) -> Tracer:
    """Anything as an array of the trace that views may be taken of."""
    if is_tracer(a) and a._kind == "array":
        return a  # type: ignore[no-any-return]
    return array(value(a))


# ------------------------------------------------------------------ reshape


def _settle(shape: Shape, size: int) -> Shape:
    """The shape with -1 replaced by what is left."""
    if -1 in shape:
        known = 1
        for n in shape:
            known *= n if n != -1 else 1
        if shape.count(-1) > 1:
            raise ValueError("can only specify one unknown dimension")
        if known and size % known == 0:
            return tuple(size // known if n == -1 else n for n in shape)
    total = 1
    for n in shape:
        total *= n
    if total != size or any(n < 0 for n in shape):
        raise ValueError(f"cannot reshape array of size {size} into shape {shape}")
    return shape


def _fortran(h: Tracer, shape: Shape) -> Any:
    """A reshape in Fortran order: C order of the transposed arrays."""
    back = transpose(reshape(transpose(h), shape[::-1]))
    return back


@surface(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: Any = None, **old: Any) -> Any:
    """np.reshape: a view where the strides allow it."""
    h = handle(a)
    new = _settle(shape_tuple(old.get("newshape", shape)), h.size)
    if order == "A":
        order = "F" if h._strides is not None and _is_fortran(h) else "C"
    if order == "F" and (h.ndim > 1 or len(new) > 1):
        out = _fortran(h, new)
        return Tracer(recorder(), value(out), "array") if copy else out
    is_view, strides = mutation.reshaped_strides(h, new)
    if is_view and not copy:
        return mutation.view(h, mutation.reshape_view(new), strides)
    if copy is False:
        raise ValueError("Unable to avoid creating a copy while reshaping.")
    return array(ops.shape.reshaped(value(h), new))


def _is_fortran(h: Tracer) -> bool:
    return mutation.normal(h.shape[::-1], mutation.strides_of(h)[::-1], h._value.aval.dtype) is None


@surface(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """np.ravel: a view only where the array is contiguous in that order."""
    h = handle(a)
    fortran = _is_fortran(h)
    if order == "K" and h._strides is not None:  # the order of memory
        old = mutation.strides_of(h)
        perm = sorted(range(h.ndim), key=lambda i: -abs(old[i]))
        return ravel(transpose(h, perm))
    if order == "A":
        order = "F" if fortran and h._strides is not None else "C"
    contiguous = h._strides is None if order in "CK" else fortran
    return reshape(h, (h.size,), "F" if order == "F" else "C", copy=None if contiguous else True)


@method
def reshape_(self: Tracer, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    """ndarray.reshape."""
    if len(shape) == 1 and (shape[0] is None or not isinstance(shape[0], (int, np.integer))):
        (shape,) = shape
    return reshape(self, shape, order, copy=copy)


@method
def ravel_(self: Tracer, order: str = "C") -> Any:
    """ndarray.ravel."""
    return ravel(self, order)


@method
def flatten(self: Tracer, order: str = "C") -> Any:
    """ndarray.flatten."""
    v = value(self)
    if order == "F" and v.ndim > 1:
        v = ops.shape.permuted(v, tuple(range(v.ndim))[::-1])
    return array(ops.shape.reshaped(v, (v.aval.size,)))


@surface(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """np.squeeze."""
    h = handle(a)
    axes = (
        tuple(i for i, n in enumerate(h.shape) if n == 1)
        if axis is None
        else many_axes(axis, h.ndim)
    )
    if any(h.shape[i] != 1 for i in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return _restrided(h, [i for i in range(h.ndim) if i not in axes])


@surface(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """np.expand_dims."""
    h = handle(a)
    n = h.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1)
    axes = many_axes(axis, n)
    old = iter(range(h.ndim))
    return _restrided(h, [None if i in axes else next(old) for i in range(n)])


def _restrided(h: Tracer, dims: list[int | None]) -> Any:
    """A view with dims of extent 1 dropped or inserted."""
    old = mutation.strides_of(h)
    shape = tuple(1 if d is None else h.shape[d] for d in dims)
    strides = tuple(0 if d is None else old[d] for d in dims)
    strides_ = mutation.normal(shape, strides, h._value.aval.dtype)
    return mutation.view(h, mutation.reshape_view(shape), strides_)


@method
def squeeze_(self: Tracer, axis: Any = None) -> Any:
    """ndarray.squeeze."""
    return squeeze(self, axis)


def _at_least(n: int, place: Any) -> Any:
    def widen(*arys: Any) -> Any:
        out = [place(handle(a)) if handle(a).ndim < n else handle(a) for a in arys]
        return out[0] if len(out) == 1 else tuple(out)

    return widen


def _to_3d(h: Tracer) -> Tracer:
    shape = {0: (1, 1, 1), 1: (1, *h.shape, 1), 2: (*h.shape, 1)}[h.ndim]
    return reshape(h, shape)  # type: ignore[no-any-return]


surface(np.atleast_1d)(_at_least(1, lambda h: reshape(h, (1,))))
surface(np.atleast_2d)(
    _at_least(2, lambda h: reshape(h, (1, 1) if h.ndim == 0 else (1, h.shape[0])))
)
surface(np.atleast_3d)(_at_least(3, _to_3d))

# ------------------------------------------------------------------ transposition


@surface(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Any:
    """np.transpose."""
    h = handle(a)
    if axes is None:
        perm = tuple(range(h.ndim))[::-1]
    else:
        if len(axes) != h.ndim:
            raise ValueError("axes don't match array")
        perm = tuple(one_axis(i, h.ndim) for i in axes)
        if len(set(perm)) != len(perm):
            raise ValueError("repeated axis in transpose")
    old = mutation.strides_of(h)
    shape = tuple(h.shape[p] for p in perm)
    strides = mutation.normal(shape, tuple(old[p] for p in perm), h._value.aval.dtype)
    return mutation.view(h, mutation.transpose_view(perm), strides)


@method
def transpose_(self: Tracer, *axes: Any) -> Any:
    """ndarray.transpose."""
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list))):
        (axes,) = axes
    return transpose(self, axes or None)


@surface(np.swapaxes)
def swapaxes(a: Any, axis1: Any, axis2: Any) -> Any:
    """np.swapaxes."""
    h = handle(a)
    i, j = one_axis(axis1, h.ndim), one_axis(axis2, h.ndim)
    perm = list(range(h.ndim))
    perm[i], perm[j] = j, i
    return transpose(h, perm)


@method
def swapaxes_(self: Tracer, axis1: Any, axis2: Any) -> Any:
    """ndarray.swapaxes."""
    return swapaxes(self, axis1, axis2)


@surface(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """np.moveaxis."""
    h = handle(a)
    one = isinstance(source, (int, np.integer))
    pairs = [(source, destination)] if one else list(zip(source, destination, strict=True))
    placed = sorted((one_axis(d, h.ndim), one_axis(s, h.ndim)) for s, d in pairs)
    order = [i for i in range(h.ndim) if i not in {s for _, s in placed}]
    for d, s in placed:
        order.insert(d, s)
    return transpose(h, order)


@surface(np.rollaxis)
def rollaxis(a: Any, axis: Any, start: Any = 0) -> Any:
    """np.rollaxis."""
    h = handle(a)
    i = one_axis(axis, h.ndim)
    start = start + h.ndim if start < 0 else start
    return moveaxis(h, i, start - 1 if i < start else start)


@surface(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """np.matrix_transpose."""
    return swapaxes(x, -1, -2)


# ------------------------------------------------------------------ flips and turns


@surface(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """np.flip."""
    h = handle(m)
    index = [slice(None)] * h.ndim
    for i in many_axes(axis, h.ndim):
        index[i] = slice(None, None, -1)
    return ENTRY["getitem"](h, tuple(index))


@surface(np.fliplr)
def fliplr(m: Any) -> Any:
    """np.fliplr."""
    if handle(m).ndim < 2:
        raise ValueError("Input must be >= 2-d.")
    return flip(m, 1)


@surface(np.flipud)
def flipud(m: Any) -> Any:
    """np.flipud."""
    if handle(m).ndim < 1:
        raise ValueError("Input must be >= 1-d.")
    return flip(m, 0)


@surface(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """np.roll by shifts that are known while tracing."""
    x = value(a)
    if axis is None:
        flat = ops.shape.reshaped(x, (x.aval.size,))
        return array(ops.shape.reshaped(_rolled(flat, operator.index(shift), 0), x.shape))
    shifts, axes = np.broadcast_arrays(np.asarray(shift), np.asarray(axis))
    for s, i in zip(shifts.ravel().tolist(), axes.ravel().tolist(), strict=True):
        x = _rolled(x, s, one_axis(i, x.ndim))
    return array(x)


def _rolled(x: Value, shift: int, axis: int) -> Value:
    n = x.shape[axis]
    shift = shift % n if n else 0
    if not shift:
        return x
    tail = ops.shape.narrow(x, axis, n - shift, shift)
    return ops.concatenate(tail, ops.shape.narrow(x, axis, 0, n - shift), axis=axis)


@surface(np.rot90)
def rot90(m: Any, k: Any = 1, axes: Any = (0, 1)) -> Any:
    """np.rot90."""
    h = handle(m)
    i, j = (one_axis(a, h.ndim) for a in axes)
    if i == j:
        raise ValueError("Axes must be different.")
    k = operator.index(k) % 4
    if k == 0:
        return ENTRY["getitem"](h, ...)
    if k == 2:
        return flip(flip(h, i), j)
    return swapaxes(flip(h, j), i, j) if k == 1 else flip(swapaxes(h, i, j), j)


# ------------------------------------------------------------------ broadcasting


@surface(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """np.broadcast_to: a read-only view."""
    h = handle(array)
    new = shape_tuple(shape)
    old = mutation.strides_of(h)
    extra = len(new) - h.ndim
    view = mutation.view(h, mutation.broadcast_view(new), None)
    strides = [0] * extra + [
        0 if n == 1 and m != 1 else s for n, m, s in zip(h.shape, new[extra:], old, strict=True)
    ]
    view._strides = mutation.normal(new, tuple(strides), h._value.aval.dtype)
    return view


@surface(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """np.broadcast_arrays."""
    shape = np.broadcast_shapes(*(np.shape(a) if not is_tracer(a) else a.shape for a in args))
    return tuple(handle(a) if handle(a).shape == shape else broadcast_to(a, shape) for a in args)


# ------------------------------------------------------------------ copies and casts


def copy(h: Any, order: str = "K") -> Tracer:
    """A fresh array (or the same scalar) with the content of this one."""
    if h._kind != "array":
        return Tracer(recorder(), value(h), h._kind)
    strides = None
    if order in "KA" and h._strides is not None:
        strides = mutation.fresh_strides(h.shape, h._value.aval.dtype, h)
    elif order == "F" and h.ndim > 1:
        back = mutation.natural_strides(h.shape[::-1], h._value.aval.dtype)[::-1]
        strides = mutation.normal(h.shape, back, h._value.aval.dtype)
    return Tracer(recorder(), value(h), "array", strides)


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
    strides = None
    if self._strides is not None and order in "KA":
        strides = mutation.fresh_strides(self.shape, want, self)
    v = cast(value(self), want)
    return Tracer(recorder(), v, "array" if self._kind == "array" else "scalar", strides)


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
    from .promote import common_dtype
    from .surface import key

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
    raise refuse("a question about memory")


# ------------------------------------------------------------------ complex parts


def real_part(a: Any) -> Any:
    """np.real: a view of a complex array."""
    v = value(a)
    if v.aval.kind != "c":
        return a if is_tracer(a) else array(v)
    if not is_tracer(a) or a._kind != "array":
        return wrap(ops.real(v), a._kind if is_tracer(a) else None)
    how = mutation.View(ops.real, lambda base, new: ops.complex_(new, ops.imag(base)))
    return mutation.view(a, how, None)


def imag_part(a: Any) -> Any:
    """np.imag: a view of a complex array, zeros for a real one."""
    v = value(a)
    if v.aval.kind != "c":
        return wrap(filled(0, v.aval), a._kind if is_tracer(a) else None)
    if not is_tracer(a) or a._kind != "array":
        return wrap(ops.imag(v), a._kind if is_tracer(a) else None)
    how = mutation.View(ops.imag, lambda base, new: ops.complex_(ops.real(base), new))
    return mutation.view(a, how, None)


surface(np.real)(real_part)
surface(np.imag)(imag_part)


@surface(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """np.angle."""
    v = value(z)
    if v.aval.kind == "c":
        out = wrap(ops.elementwise.angle(v))
    else:
        zero = wrap(filled(0, v.aval))
        out = np.arctan2(zero, wrap(v))  # type: ignore[call-overload]
    return out * (180 / np.pi) if deg else out


@surface(np.real_if_close)
def real_if_close(a: Any, tol: Any = 100) -> Any:
    """np.real_if_close of a real array."""
    if value(a).aval.kind == "c":
        raise refuse("np.real_if_close of complex values", "Use np.real.")
    return a


# ------------------------------------------------------------------ attributes and the other methods


class Flat:
    """`x.flat`: C-order elements, readable and writable."""

    def __init__(self, base: Tracer) -> None:
        self._base = base

    def __getitem__(self, index: Any) -> Any:
        v = value(self._base)
        return ENTRY["getitem"](array(ops.shape.reshaped(v, (v.aval.size,))), index)

    def __setitem__(self, index: Any, x: Any) -> None:
        mutation.check_writable(self._base, recorder())
        v = self._base._read()
        line = array(ops.shape.reshaped(v, (v.aval.size,)))
        if value(x).ndim > 1:
            x = ravel(x)
        ENTRY["setitem"](line, index, x)
        mutation.write(self._base, ops.shape.reshaped(line._read(), v.shape))

    def __len__(self) -> int:
        return self._base.size

    def __iter__(self) -> Any:
        return iter(ravel(self._base))


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


def _install_attributes() -> None:
    for name, get in _ATTRIBUTES.items():
        setattr(Tracer, name, property(get, _assign(name)))


_install_attributes()


def _missing(t: Tracer, name: str) -> Any:
    """Attributes that a Tracer has no answer for: a refusal, or Python's AttributeError."""
    if hasattr(np.ndarray, name) and not name.startswith("__"):
        raise fail(UnsupportedOp, f"x.{name} of a traced array is not supported")
    raise AttributeError(f"{t.__class__.__name__!r} object has no attribute {name!r}")


ENTRY["getattr"] = _missing
ENTRY["copy"] = copy


@method
def fill(self: Tracer, value: Any) -> None:
    """ndarray.fill."""
    ENTRY["setitem"](self, ..., value)


@method
def item(self: Tracer, *args: Any) -> Any:
    """ndarray.item: a 0-d Tracer."""
    v = value(self)
    if not args and v.aval.size != 1:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    if not args:
        return wrap(ops.shape.reshaped(v, ()), "python")
    index = args[0] if len(args) == 1 else args
    if not isinstance(index, tuple):
        v, index = ops.shape.reshaped(v, (v.aval.size,)), (index,)
    return wrap(value(ENTRY["getitem"](array(v), index)), "python")


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
    "clip", "dot", "take", "repeat", "diagonal", "trace", "round", "nonzero", "compress",
    "searchsorted", "choose",
):  # fmt: skip
    _through(_name, getattr(np, _name))


@method
def put(self: Tracer, indices: Any, values: Any, mode: str = "raise") -> None:
    """ndarray.put."""
    Flat(self)[indices] = values


@method
def view(self: Tracer, *args: Any) -> Any:
    """ndarray.view of the same dtype."""
    wanted = args[0] if args else None
    if (
        wanted is None
        or wanted is np.ndarray
        or (
            (not isinstance(wanted, type) or issubclass(wanted, np.generic))
            and np.dtype(wanted) == self.dtype
        )
    ):
        return ENTRY["getitem"](self, ...)
    raise refuse("x.view(dtype)", "Use x.astype(dtype).")


@method
def setflags(self: Tracer, **_: Any) -> None:
    """ndarray.setflags."""
    raise refuse("x.setflags")


def _round(self: Tracer, digits: Any = None) -> Any:
    """Python's round: to an int without digits, which is a branch on the value."""
    out = FUNCTIONS[np.round](self, digits or 0)
    return int(out) if digits is None else out


Tracer.__round__ = _round  # type: ignore[attr-defined]
Tracer.__trunc__ = lambda self: int(np.trunc(self))  # type: ignore
Tracer.__floor__ = lambda self: int(np.floor(self))  # type: ignore[attr-defined]
Tracer.__ceil__ = lambda self: int(np.ceil(self))  # type: ignore[attr-defined]
_ = (Const, untraced_write, store, as_bool)
