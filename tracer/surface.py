"""The tables of what a Tracer understands, and the few steps that every entry takes.

An entry receives the user's arguments as NumPy's function would and returns Tracers.  Between,
it works on IR values: `value` (or `values` with a common dtype) in, `wrap` out.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..ir import ops
from ..ir.builder import current, literal
from ..ir.core import Const, Value
from ..ir.types import KIND, NUMPY, Aval, broadcast_shapes, default_dtype, name_of
from .errors import UnsupportedOp
from .hidden import Hidden
from .ledger import Recipe
from .mutation import ordered_strides
from .promote import Key, common_dtype
from .recipes import TraceBuilder
from .record import NoSample, fail, recorder
from .tracer import Tracer

FUNCTIONS: dict[Any, Callable[..., Any]] = {}  # NumPy functions that dispatch
METHODS: dict[str, Callable[..., Any]] = {}  # of ndarray

_PYTHON = (bool, int, float, complex)


def surface(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function as the meaning of these NumPy functions."""

    def enter(f: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            FUNCTIONS[function] = f
        return f

    return enter


def method(f: Callable[..., Any]) -> Callable[..., Any]:
    """Enter a function as the ndarray method of its name (a trailing underscore dropped)."""
    name = f.__name__.rstrip("_")

    @wraps(f)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder().enter(sys._getframe(1))
        return f(self, *args, **kwargs)

    METHODS[name] = f
    setattr(Tracer, name, call)
    return f


# ------------------------------------------------------------------ in


def is_tracer(x: Any) -> bool:
    """Whether the object is a Tracer (isinstance answers as for the real array)."""
    return type(x) is Tracer


def holds_tracer(x: Any, depth: int = 6) -> bool:
    """Whether a nested list or tuple holds a Tracer."""
    if type(x) is Tracer:
        return True
    if depth and isinstance(x, (list, tuple)):
        return any(holds_tracer(e, depth - 1) for e in x)
    if type(x) is np.poly1d:
        return is_tracer(x.coeffs)
    return (
        depth > 0
        and type(x) is np.ndarray
        and x.dtype == object
        and any(type(e) is Tracer for e in x.flat)
    )


def value(x: Any, dtype: str | None = None) -> Value:
    """The IR value of anything array-like, cast to `dtype` if one is given."""
    kind = type(x)
    if kind is Tracer:
        rec = recorder()
        v = x._read() if x._rec is rec else rec.outer(x)
    elif kind is np.ndarray:
        v = recorder().lift(x)
    elif kind in _PYTHON:
        v = literal(x, dtype or default_dtype(kind))
    elif isinstance(x, Value):
        v = x
    elif kind is Hidden:
        raise x._refuse()
    elif isinstance(x, np.generic):
        v = recorder().scalar(x)
    elif isinstance(x, (list, tuple)) and holds_tracer(x):
        v = stack_nested(x)
    elif isinstance(x, np.ndarray):
        v = recorder().lift(x)
    elif isinstance(x, np.poly1d):
        v = value(x.coeffs)
    else:
        plain = np.asarray(x)
        v = literal(plain[()]) if plain.ndim == 0 else recorder().lift(plain)
    return v if dtype is None else cast(v, dtype)


def cast(v: Value, dtype: str) -> Value:
    """The value in another dtype, as `astype` converts it."""
    if v.aval.dtype == dtype:
        return v
    if type(v) is Const:
        with np.errstate(all="ignore"):
            return Const(v.data.astype(NUMPY[dtype]), dtype)
    if v.aval.kind == "c" and KIND[dtype] != "c":
        if dtype == "bool":
            return ops.not_equal(v, Const(0, v.aval.dtype))
        return cast(ops.real(v), dtype)
    return ops.cast(v, dtype=dtype)


def stack_nested(x: Any) -> Value:
    """The array that np.array makes of a nested list with Tracers in it."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        x = x.tolist()
    if not isinstance(x, (list, tuple)):
        return value(x)
    if not holds_tracer(x):
        return value(np.asarray(x))
    parts = values(*(e if not isinstance(e, (list, tuple)) else stack_nested(e) for e in x))
    shapes = {p.shape for p in parts}
    if len(shapes) > 1:
        raise ValueError(
            "setting an array element with a sequence. The requested array has an "
            f"inhomogeneous shape: the elements have shapes {sorted(shapes)}"
        )
    return _stacked(parts)


_stacks: dict[Any, tuple[Recipe, Recipe, Aval]] = {}  # by id of a type that is kept alive
_FEW = 10_000


def _stacked(parts: Sequence[Value]) -> Value:
    """`ops.shape.stack`, of many numbers of one type in few steps."""
    builder = current()
    aval = parts[0].aval
    if type(builder) is not TraceBuilder or any(p.aval is not aval for p in parts):
        return ops.shape.stack(parts)
    known = _stacks.get((id(aval), len(parts)))
    if known is None:
        first = len(builder.recipes)
        out = ops.shape.stack(parts)
        *apart, joined = builder.recipes[first:]
        if len(apart) == len(parts) == len(joined.takes) and len(set(apart)) == 1:
            if len(_stacks) > _FEW:
                _stacks.clear()
            _stacks[id(aval), len(parts)] = apart[0], joined, aval
        return out
    each, joined, _ = known
    return builder.put(joined, [builder.one(each, p) for p in parts])[0]


def key(x: Any) -> Key:
    """What promotion needs to know of an operand: a dtype name, or the type of a weak number."""
    kind = type(x)
    if kind is Tracer:
        return x._key()
    if kind in _PYTHON:
        return "bool" if kind is bool else kind
    return x.dtype if isinstance(x, Value) else name_of(np.asarray(x).dtype)


def values(*xs: Any, dtype: str | None = None, weak: bool = False) -> list[Value]:
    """IR values of one dtype: the given one, else NumPy's common one."""
    xs = tuple(x if not isinstance(x, (list, tuple)) else value(x) for x in xs)
    if dtype is None:
        keys = [key(x) for x in xs]
        if not weak:
            keys = [default_dtype(k) if isinstance(k, type) else k for k in keys]
        dtype = common_dtype(keys)
    return [value(x, dtype) for x in xs]


def as_float(v: Value) -> Value:
    """The value, integers and booleans as float64."""
    return v if v.aval.kind in "fc" else cast(v, "f64")


def as_bool(v: Value) -> Value:
    """Whether each element is not zero."""
    return v if v.aval.dtype == "bool" else ops.not_equal(v, Const(0, v.aval.dtype))


def number(x: Any, like: Value) -> Const:
    """A literal of the dtype of `like`."""
    return Const(x, like.aval.dtype)


def _decided(v: Value) -> np.ndarray | None:
    """The array behind a value that is concrete, or (masks and indices) that may be guarded."""
    found = recorder().concrete(v)
    if found is not None or v.aval.kind not in "biu":
        return found
    try:
        return recorder().decide_array(v)
    except NoSample:
        return None


def plain(x: Any, what: str) -> np.ndarray:
    """An argument that must not depend on traced inputs, as an array."""
    if type(x) is Tracer or isinstance(x, (list, tuple)):
        found = _decided(value(x)) if holds_tracer(x) else np.asarray(x)
        if found is None:
            raise fail(
                UnsupportedOp,
                f"{what} depends on a traced input; it must be known here",
                "In the rows of vmap, or for shapes alone, nothing is decided by values; "
                "np.where(mask, x, 0) keeps its shape.",
            )
        return np.asarray(found)
    return np.asarray(x)


# ------------------------------------------------------------------ out


def wrap(v: Value, kind: str | None = None, strides: Any = None) -> Any:
    """A Tracer of a fresh result: 0-d results are NumPy scalars unless said otherwise."""
    return Tracer(recorder(), v, kind or ("array" if v.aval.shape else "scalar"), strides)


def array(v: Value, order: Any = "C") -> Any:
    """A Tracer of a fresh array, also where it is 0-d."""
    strides = ordered_strides(v.shape, v.aval.dtype, order) if order == "F" else None
    return Tracer(recorder(), v, "array", strides)


# ------------------------------------------------------------------ axes


def one_axis(axis: Any, ndim: int) -> int:
    """A non-negative axis; NumPy's AxisError if there is none."""
    a = operator.index(axis)
    if not -ndim <= a < ndim:
        raise AxisError(a, ndim)
    return a % ndim


def many_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Sorted non-negative axes of None (all), an int or a tuple of ints."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (one_axis(axis, ndim),)
    found = sorted(one_axis(a, ndim) for a in axis)
    if len(set(found)) != len(found):
        raise ValueError("duplicate value in 'axis'")
    return tuple(found)


def shape_tuple(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of ints."""
    if isinstance(shape, Iterable) and not (type(shape) is Tracer and shape.ndim == 0):
        return tuple(map(operator.index, shape))
    return (operator.index(shape),)


def filled(x: Any, aval: Aval) -> Value:
    """An array of this aval filled with a number."""
    return ops.shape.full(Const(x, aval.dtype), aval)


def refuse(what: str, advice: str = "") -> Any:
    """The error of something that cannot be traced."""
    return fail(UnsupportedOp, f"{what} cannot be traced", advice)


def broadcast_all(vs: Sequence[Value]) -> list[Value]:
    """The values stretched to their common shape."""
    shape = broadcast_shapes(*(v.shape for v in vs))
    return [ops.shape.broadcast_to(v, shape) for v in vs]
