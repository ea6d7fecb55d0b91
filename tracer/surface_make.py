"""The table of interception: constructors, converters, `math`, random draws, lists of Tracers."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import NUMPY, Aval
from . import environment, impure, intercept, moments, raised
from .intercept import DECLINE
from .lent import made
from .promote import common_dtype, dtype_name
from .record import is_tracing, recorder
from .surface import (
    FUNCTIONS,
    array,
    as_float,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    key,
    shape_tuple,
    value,
    values,
    wrap,
)
from .surface_array import copy as copy_handle
from .surface_array import in_order, laid
from .surface_shape import handle
from .surface_ufunc import call
from .tracer import ENTRY, Tracer
from .watched import leaves

_shape = ops.shape


def _bound(names: str, args: Any, kwargs: Any) -> dict[str, Any]:
    """Arguments by name, for functions whose signature Python cannot tell."""
    return dict(zip(names.split(), args, strict=False)) | kwargs


def _numeric(dtype: Any) -> str | None:
    """The IR's name of a dtype, None if it has none (object, str, structured)."""
    try:
        return dtype_name(dtype)
    except TypeError:
        return None


# ------------------------------------------------------------------ filled arrays


def _filled(fill: Any) -> intercept.Act:
    def make(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        given = _bound("shape dtype order", args, kwargs)
        given.pop("device", None)
        name = _numeric(given.get("dtype") or float)
        if not user or name is None or given.get("like") is not None:
            return DECLINE
        v = filled(fill, Aval(name, shape_tuple(given["shape"])))
        return array(v, given.get("order"))

    return make


def _full(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    given = _bound("shape fill_value dtype order", args, kwargs)
    x = given.get("fill_value")
    if not user and not holds_tracer(x):
        return DECLINE
    dtype = given.get("dtype")
    if dtype is not None and _numeric(dtype) is None:
        return DECLINE
    try:
        v = value(x, None if dtype is None else dtype_name(dtype))
    except TypeError:
        return DECLINE
    return array(_shape.broadcast_to(v, shape_tuple(given["shape"])), given.get("order"))


def _constant(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """A constructor whose plain result becomes an array of the trace that may be written."""
    if not user:
        return DECLINE
    out = original(*args, **kwargs)
    if not isinstance(out, np.ndarray) or out.dtype not in NUMPY.values():
        return out
    return array(value(recorder().made(out, leaves((args, kwargs)))), _order_of(out))


def _order_of(x: np.ndarray) -> str:
    return "F" if x.flags.f_contiguous and not x.flags.c_contiguous else "C"


def _plain(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """A constructor that makes plain arrays, unless all that are made are traced."""
    return DECLINE


def _like(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """zeros_like and kin of a plain array: an array of the trace."""
    if not user:
        return DECLINE
    a = args[0] if args else kwargs.get("a")
    if holds_tracer(a) or (type(a) is np.ndarray and a.dtype in NUMPY.values()):
        return FUNCTIONS[original](*args, **kwargs)
    return DECLINE


# ------------------------------------------------------------------ converters


def _array(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """np.array."""
    given = _bound("object dtype", args, kwargs)
    x: Any = given.get("object")
    dtype = given.get("dtype")
    if not holds_tracer(x):
        return _plain_copy(original, user, args, kwargs)
    if dtype is not None and _numeric(dtype) is None:
        return DECLINE
    v = value(x)
    v = v if dtype is None else cast(v, dtype_name(dtype))
    ndmin, order = given.get("ndmin", 0), given.get("order") or "K"
    if v.ndim < ndmin:
        v = _shape.reshaped(v, (1,) * (ndmin - v.ndim) + v.shape)
        return array(v, order)
    if is_tracer(x) and x._kind == "array":
        if not _truth(given.get("copy", True)) and v.aval.dtype == x._value.aval.dtype:
            return in_order(x, order)
        return wrap(v, "array", laid(x, v.aval.dtype, order))
    return array(v, order)


def _truth(copy: Any) -> bool:
    """NumPy's copy= may be an enum that has no truth value: copy if needed."""
    return copy is True or copy == 1


def _plain_copy(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """Floats of the user's become an array of the trace; anything else stays what it is."""
    if not user:
        return DECLINE
    source = args[0] if args else kwargs.get("object", kwargs.get("a"))
    out = original(*args, **kwargs)
    if type(out) is not np.ndarray or out.dtype.kind not in "fc" or out.dtype not in NUMPY.values():
        return out
    if type(source) is np.ndarray and source.dtype == out.dtype and source.shape == out.shape:
        return array(value(source), _order_of(out))  # it may be live: copy it in the program
    return array(value(recorder().made(out, leaves((args, kwargs)))), _order_of(out))


def _convert(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """np.asarray and kin: a Tracer stays itself, a list of them becomes an array."""
    given = _bound("a dtype order", args, kwargs)
    x: Any = given.get("a")
    dtype, order = given.get("dtype"), given.get("order") or "K"
    if not holds_tracer(x):
        return DECLINE
    if dtype is not None and _numeric(dtype) is None:
        return DECLINE
    v = value(x)
    if dtype is not None:
        v = cast(v, dtype_name(dtype))
    if is_tracer(x) and x._kind == "array":
        if v.aval.dtype == x._value.aval.dtype and not given.get("copy"):
            return in_order(x, order)
        return wrap(v, "array", laid(x, v.aval.dtype, order))
    return array(v, order)


def _contiguous(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    x = args[0] if args else kwargs.get("a")
    if not holds_tracer(x):
        return DECLINE
    out = _convert(original, user, args, kwargs)
    out = handle(FUNCTIONS[np.atleast_1d](out))
    return out if out._strides is None else copy_handle(out, "C")


def _fortran(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    x = args[0] if args else kwargs.get("a")
    if not holds_tracer(x):
        return DECLINE
    out = FUNCTIONS[np.atleast_1d](_convert(original, user, args, kwargs))
    return in_order(handle(out), "F")


def _require(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    given = _bound("a dtype requirements", args, kwargs)
    if not holds_tracer(given.get("a")):
        return DECLINE
    wanted = {str(w)[0].upper() for w in given.get("requirements") or ()}
    order = "C" if "C" in wanted else "F" if "F" in wanted else "A"
    out = _convert(original, user, (given["a"], given.get("dtype"), order), {})
    owned = not wanted & {"O", "W"} or not (out._views or (out._store and out._store.frozen))
    return out if owned else copy_handle(out, order)


def _from_iterable(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """np.fromiter, which asks each element for its number."""
    given = _bound("iter dtype count", args, kwargs)
    if not user or _numeric(given.get("dtype")) is None or given.get("like") is not None:
        return DECLINE
    count = given.get("count", -1)
    found = list(itertools.islice(given["iter"], count if count >= 0 else None))
    if not holds_tracer(found):
        return recorder().made(original(found, given["dtype"], count), found)
    if len(found) < count:
        raise ValueError(f"iterator too short: Expected {count} but iterator had only {len(found)}")
    return _array(np.array, user, (found, given["dtype"]), {})


# ------------------------------------------------------------------ ranges


def _arange(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    if not any(map(is_tracer, (*args, *kwargs.values()))):
        return DECLINE
    given = _bound("start stop step dtype", args, kwargs)
    start, stop, step = given.get("start", 0), given.get("stop"), given.get("step", 1)
    if stop is None:
        start, stop = 0, start
    count = math.ceil((stop - start) / step)  # a size: decided by the values, or refused
    out = array(ops.iota(shape=(max(count, 0),), axis=0, dtype="i64")) * step + start
    return out.astype(given["dtype"]) if given.get("dtype") is not None else out


def _linspace(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    given = _bound("start stop num endpoint retstep dtype axis", args, kwargs)
    start, stop = given["start"], given["stop"]
    if not (holds_tracer(start) or holds_tracer(stop)):
        return DECLINE
    num, endpoint = operator.index(given.get("num", 50)), given.get("endpoint", True)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    start, stop = (value(x) if isinstance(x, (list, tuple)) else x for x in (start, stop))
    found = common_dtype((key(start), key(stop), float))
    a, b = (wrap(value(x, found), "array") for x in (start, stop))
    div = num - 1 if endpoint else num
    count = np.arange(num, dtype=NUMPY[found])
    steps = count.reshape((-1,) + (1,) * max(a.ndim, b.ndim))
    step = (b - a) / div if div > 0 else b * np.nan
    out = a + steps * (step if div > 0 else 0.0)
    if endpoint and num > 1:  # the last point is exact
        head = ENTRY["getitem"](out, slice(None, -1))
        last = _shape.broadcast_to(value(b), out.shape[1:])
        out = FUNCTIONS[np.concatenate]((head, wrap(_shape.reshaped(last, (1, *last.shape)))))
    if given.get("dtype") is not None:
        whole = np.dtype(given["dtype"]).kind in "iu"
        out = (np.floor(out) if whole else out).astype(given["dtype"])
    if given.get("axis", 0):
        out = FUNCTIONS[np.moveaxis](out, 0, given["axis"])
    return (out, step) if given.get("retstep") else out


def _logspace(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    given = _bound("start stop num endpoint base dtype axis", args, kwargs)
    if not any(map(is_tracer, given.values())):
        return DECLINE
    base = given.pop("base", 10.0)
    grid = _linspace(None, user, (), {k: v for k, v in given.items() if k != "dtype"})
    if grid is DECLINE:
        grid = np.linspace(given["start"], given["stop"], given.get("num", 50))
    return base**grid


def _geomspace(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    given = _bound("start stop num endpoint dtype axis", args, kwargs)
    if not any(map(is_tracer, given.values())):
        return DECLINE
    start, stop = (wrap(as_float(v)) for v in values(given.pop("start"), given.pop("stop")))
    dtype = given.pop("dtype", None)
    steps = np.linspace(0.0, 1.0, given.pop("num", 50), endpoint=given.get("endpoint", True))
    steps = steps.reshape((-1,) + (1,) * max(start.ndim, stop.ndim))
    out = start * (stop / start) ** steps
    if given.get("axis", 0):
        out = FUNCTIONS[np.moveaxis](out, 0, given["axis"])
    return out if dtype is None else out.astype(dtype)


# ------------------------------------------------------------------ np.c_, np.r_


class _Joiner:
    """np.r_ or np.c_ that also joins Tracers."""

    def __init__(self, original: Any, columns: bool) -> None:
        self._original = original
        self._columns = columns
        self.__doc__ = original.__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __len__(self) -> int:
        return 0

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        if not holds_tracer(keys) and not any(map(_has_traced_ends, keys)):
            rec = recorder() if is_tracing() else None
            return self._original[key] if rec is None else made(rec, self._original[key], [key])
        items = list(key) if isinstance(key, tuple) else [key]
        axis, least, first = (-1, 2, 0) if self._columns else (0, 1, -1)
        if isinstance(items[0], str):
            directive = items.pop(0)
            try:
                given = [int(n) for n in directive.split(",")]
            except ValueError:
                raise ValueError(f"unknown special directive {directive!r}") from None
            axis, least, first = (*given, *(axis, least, first)[len(given) :])[:3]
        parts = _joinable(items, [self._part(k, least, first) for k in items])
        return FUNCTIONS[np.concatenate](parts, axis)

    def _part(self, key: Any, least: int, first: int) -> Value:
        """An item with at least so many dims, its own ones from `first` on."""
        if isinstance(key, str):
            raise ValueError("special directives must be the first entry.")
        v = value(self._range(key)) if isinstance(key, slice) else value(key)
        missing = least - v.ndim
        if missing <= 0:
            return v
        v, own = _shape.reshaped(v, (1,) * missing + v.shape), v.ndim
        if own and first != -1:  # move the dims that were there in front
            order = list(range(least))
            start = first + missing + 1 if first < 0 else first
            order = [*range(missing)]
            order[start:start] = range(missing, least)
            v = _shape.permuted(v, order)
        return v

    def _range(self, key: slice) -> Any:
        if not _has_traced_ends(key):
            return self._original[key].ravel()
        start = 0 if key.start is None else key.start
        stop, step = key.stop, 1 if key.step is None else key.step
        if isinstance(step, complex):
            return _linspace(None, False, (start, stop, int(abs(step))), {})
        return _arange(None, False, (start, stop, step), {})


def _has_traced_ends(key: Any) -> bool:
    return type(key) is slice and any(map(is_tracer, (key.start, key.stop, key.step)))


class _Grid:
    """np.mgrid or np.ogrid, whose arrays are traced where all are that are made."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self.__doc__ = original.__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def __getitem__(self, key: Any) -> Any:
        out = self._original[key]
        return made(recorder(), out, [key]) if is_tracing() else out


def _joinable(items: list[Any], parts: list[Value]) -> list[Value]:
    """The parts in one dtype; Python's numbers take that of the arrays beside them."""
    weak = (int, float, complex)
    keys = [
        key(k) if is_tracer(k) or type(k) in weak else p.aval.dtype
        for k, p in zip(items, parts, strict=True)
    ]
    if all(isinstance(k, type) for k in keys):
        return parts
    dtype = common_dtype(keys)
    return [cast(p, dtype) for p in parts]


# ------------------------------------------------------------------ math


def _number(x: Any) -> Any:
    """An argument of `math`: one number, whatever it came in."""
    if not is_tracer(x):
        return x
    v = value(x)
    if v.aval.size != 1:
        raise TypeError("only 0-dimensional arrays can be converted to Python scalars")
    return wrap(cast(_shape.reshaped(v, ()), "f64"), "python")  # C's functions are of doubles


def _python(v: Value) -> Any:
    return Tracer(recorder(), v, "python")


def _math(f: Any) -> intercept.Act:
    """A function of `math` on Tracers: by a ufunc, or by a function of Tracers."""

    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(is_tracer, args)):
            return DECLINE
        given = [_number(a) for a in args]
        raised.check_domain(original.__name__, given)
        if isinstance(f, np.ufunc):
            return _python(call(f, given))
        if isinstance(f, str):
            return _python(getattr(ops, f)(*(value(a, "f64") for a in given)))
        return f(*given, **kwargs)

    return act


def _log(x: Any, base: Any = None) -> Any:
    out = _python(call(np.log, (x,)))
    return out if base is None else out / _python(call(np.log, (base,)))


def _hypot(*xs: Any) -> Any:
    total = abs(xs[0])
    for x in xs[1:]:
        total = _python(call(np.hypot, (total, x)))
    return total


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    near = np.maximum(rel_tol * np.maximum(abs(a), abs(b)), abs_tol)
    return _python(value((a == b) | (np.isfinite(a) & np.isfinite(b) & (abs(a - b) <= near))))


def _listed(f: Any) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        given = [a if is_tracer(a) or not isinstance(a, Iterable) else list(a) for a in args]
        if not any(map(holds_tracer, given)):
            return original(*given, **kwargs)  # a generator has been run
        return f(*given, **kwargs)

    return act


def _dist(p: Any, q: Any) -> Any:
    return _hypot(*(_number(a) - _number(b) for a, b in zip(p, q, strict=True)))


_MATH: dict[str, Any] = {
    **{
        n: getattr(np, n)
        for n in (
            "exp", "exp2", "expm1", "log2", "log10", "log1p", "sqrt", "cbrt", "sin", "cos", "tan",
            "sinh", "cosh", "tanh", "degrees", "radians", "fabs", "fmod", "copysign", "isnan",
            "isinf", "isfinite",
        )
    },
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "atan2": np.arctan2,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power,
    "log": _log, "hypot": _hypot, "erf": "erf", "erfc": "erfc", "lgamma": "gammaln",
    "gamma": "gamma", "isclose": _isclose,
}  # fmt: skip


# ------------------------------------------------------------------ array functions


def _with_lists(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """An array function dispatches on its arguments but does not look into lists: we do."""
    for a in (*args, *kwargs.values()):
        if isinstance(a, (list, tuple, np.poly1d)) and holds_tracer(a):
            return FUNCTIONS[original](*args, **kwargs)
    return DECLINE


_MADE = ("indices", "hanning", "hamming", "blackman", "bartlett", "kaiser", "tril_indices",
         "triu_indices", "diag_indices")  # fmt: skip


def fill_table() -> None:
    entries: dict[str, intercept.Act] = {
        "zeros": _filled(0), "empty": _filled(0), "ones": _filled(1), "full": _full,
        "eye": _constant, "identity": _constant, "array": _array, "copy": _plain_copy,
        "asarray": _convert, "asanyarray": _convert, "asarray_chkfinite": _convert,
        "ascontiguousarray": _contiguous, "asfortranarray": _fortran, "require": _require,
        "arange": _arange, "linspace": _linspace, "logspace": _logspace, "geomspace": _geomspace,
        "fromiter": _from_iterable,
        **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "full_like"), _like),
        **dict.fromkeys(_MADE, _plain),
    }  # fmt: skip
    for name, act in entries.items():
        intercept.enter(np, name, act)
    for name in ("fftfreq", "rfftfreq"):
        intercept.enter(np.fft, name, _plain)
    intercept.enter_object(np, "r_", _Joiner(np.r_, False))
    intercept.enter_object(np, "c_", _Joiner(np.c_, True))
    intercept.enter_object(np, "mgrid", _Grid(np.mgrid))
    intercept.enter_object(np, "ogrid", _Grid(np.ogrid))
    for name, f in _MATH.items():
        intercept.enter(math, name, _math(f))
    intercept.enter(math, "fsum", _listed(moments.fsum))
    intercept.enter(math, "dist", _listed(_dist))
    impure.enter()
    environment.enter()
    raised.enter()
    moments.enter()
    for module in (np, np.linalg):
        for name, f in list(vars(module).items()):  # `dir` would load NumPy's lazy modules
            if name not in entries and not isinstance(f, type) and _entered(f):
                intercept.enter(module, name, _with_lists)

    for original_id, new in intercept.replacements():
        original = getattr(new, "__wrapped__", None)
        if original is not None and id(original) == original_id and _entered(original):
            FUNCTIONS[new] = FUNCTIONS[
                original
            ]  # our own code looks names up while they are swapped


def _entered(f: Any) -> bool:
    try:
        return f in FUNCTIONS and f not in (np.shape, np.ndim, np.size)
    except TypeError:
        return False
