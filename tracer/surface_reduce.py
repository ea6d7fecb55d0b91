"""Reductions and running reductions: sums, means, extrema, their NaN-ignoring kin, sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import Aval
from .errors import AdjitError
from .promote import dtype_name
from .record import recorder
from .surface import (
    as_bool,
    as_float,
    cast,
    filled,
    many_axes,
    method,
    number,
    one_axis,
    surface,
    value,
    wrap,
)
from .surface_folds import accumulate, fold_axes, limit, masked, reduce
from .surface_ufunc import store
from .tracer import Tracer

_NONE = np._NoValue
_sum = ops.shape.sum_
_shape = ops.shape


def _given(x: Any, default: Any) -> Any:
    return default if x is _NONE else x


def finish(v: Value, out: Any, casting: str = "unsafe") -> Any:
    return wrap(v) if out is None or out is _NONE else store(out, v, True, casting)


def kept(v: Value, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: Any) -> Value:
    """The result with the reduced axes back as extents of 1."""
    if not _given(keepdims, False):
        return v
    return ops.shape.reshaped(v, tuple(1 if i in axes else n for i, n in enumerate(shape)))


def _fold(ufunc: np.ufunc) -> Any:
    """sum or prod: fold over axes from an initial value."""

    def fold(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = _NONE,
        initial: Any = _NONE,
        where: Any = True,
    ) -> Any:
        return reduce(ufunc, a, axis, dtype, out, keepdims, initial, where)

    return fold


def _extremum(ufunc: np.ufunc) -> Any:
    def fold(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = _NONE,
        initial: Any = _NONE,
        where: Any = True,
    ) -> Any:
        return reduce(ufunc, a, axis, None, out, keepdims, initial, where)

    return fold


def _logical(ufunc: np.ufunc) -> Any:
    def fold(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, *, where: Any = True
    ) -> Any:
        return reduce(ufunc, a, axis, None, out, keepdims, _NONE, where)

    return fold


sum_ = surface(np.sum)(_fold(np.add))
prod = surface(np.prod)(_fold(np.multiply))
max_ = surface(np.max, np.amax)(_extremum(np.maximum))
min_ = surface(np.min, np.amin)(_extremum(np.minimum))
any_ = surface(np.any)(_logical(np.logical_or))
all_ = surface(np.all)(_logical(np.logical_and))


# ------------------------------------------------------------------ moments


def _count(x: Value, axes: tuple[int, ...], where: Any, keepdims: Any, dtype: str) -> Any:
    """How many elements each result is made of: a number, or a value where there is a mask."""
    if where is _NONE or where is True:
        n = 1
        for a in axes:
            n *= x.shape[a]
        return n
    ones = masked(filled(1, Aval(dtype, x.shape)), where, 0)
    return kept(_sum(ones, axes=axes), x.shape, axes, keepdims)


def _mean(x: Value, axes: tuple[int, ...], where: Any, keepdims: Any) -> Value:
    total = masked(x, where, 0)
    total = kept(_sum(total, axes=axes) if axes else total, x.shape, axes, keepdims)
    n = _count(x, axes, where, keepdims, x.aval.dtype)
    return ops.div(total, n if isinstance(n, Value) else number(n, total))


def _mean_dtype(x: Value, dtype: Any) -> tuple[Value, str]:
    """The operand in the dtype NumPy averages in, and that of the result."""
    if dtype is not None:
        name = dtype_name(dtype)
        return cast(x, name), name
    x = as_float(x)
    return (cast(x, "f32"), "f16") if x.aval.dtype == "f16" else (x, x.aval.dtype)


@surface(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _NONE,
    *, where: Any = _NONE,
) -> Any:  # fmt: skip
    """np.mean."""
    x, want = _mean_dtype(value(a), dtype)
    v = _mean(x, many_axes(axis, x.ndim), where, keepdims)
    return finish(cast(v, want), out)


def _variance(
    a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, where: Any, mean_: Any, corr: Any
) -> tuple[Value, str]:
    if corr is not _NONE:
        ddof = corr
    x, want = _mean_dtype(value(a), dtype)
    axes = many_axes(axis, x.ndim)
    centre = _mean(x, axes, where, True) if mean_ is _NONE else value(mean_, x.aval.dtype)
    d = ops.sub(x, centre)
    if x.aval.kind == "c":
        re, im = ops.real(d), ops.imag(d)
        square = ops.add(ops.mul(re, re), ops.mul(im, im))
        want = square.aval.dtype
    else:
        square = ops.mul(d, d)
    square = masked(square, where, 0)
    total = kept(_sum(square, axes=axes) if axes else square, x.shape, axes, keepdims)
    n = _count(x, axes, where, keepdims, total.aval.dtype)
    if isinstance(n, Value):
        left = ops.maximum(ops.sub(n, number(ddof, n)), number(0, n))
        return ops.div(total, left), want
    return ops.div(total, number(max(n - ddof, 0), total)), want


@surface(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    keepdims: Any = _NONE, *, where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE,
) -> Any:  # fmt: skip
    """np.var."""
    v, want = _variance(a, axis, dtype, ddof, keepdims, where, mean, correction)
    return finish(cast(v, want), out)


@surface(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: Any = 0,
    keepdims: Any = _NONE, *, where: Any = _NONE, mean: Any = _NONE, correction: Any = _NONE,
) -> Any:  # fmt: skip
    """np.std."""
    v, want = _variance(a, axis, dtype, ddof, keepdims, where, mean, correction)
    return finish(cast(ops.sqrt(v), want), out)


@surface(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE) -> Any:
    """np.ptp."""
    high = value(max_(a, axis=axis, keepdims=keepdims))
    return finish(ops.sub(high, value(min_(a, axis=axis, keepdims=keepdims))), out)


# ------------------------------------------------------------------ positions


def _position(row: Any) -> Any:
    def find(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NONE) -> Any:
        x = value(a)
        shape = x.shape
        if axis is None or fold_axes(axis, x.ndim) == ():
            v = row(ops.shape.reshaped(x, (x.aval.size,)), axis=0)
            axes = tuple(range(len(shape)))
        else:
            axes = (one_axis(axis, x.ndim),)
            v = row(x, axis=axes[0])
        return finish(kept(v, shape, axes, keepdims), out)

    return find


argmax = surface(np.argmax)(_position(ops.argmax))
argmin = surface(np.argmin)(_position(ops.argmin))


# ------------------------------------------------------------------ running


def _running(ufunc: np.ufunc) -> Any:
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        x = value(a)
        if axis is None or fold_axes(axis, x.ndim) == ():
            a, axis = ops.shape.reshaped(x, (x.aval.size,)), 0
        return accumulate(ufunc, a, axis, dtype, out)

    return run


cumsum = surface(np.cumsum)(_running(np.add))
cumprod = surface(np.cumprod)(_running(np.multiply))


# ------------------------------------------------------------------ NaN-ignoring


def _nan_mask(a: Any) -> Any:
    """Where elements count: not NaN."""
    x = value(a)
    return True if x.aval.kind not in "fc" else wrap(ops.not_(ops.isnan(x)))


def _nan_free(f: Any, *names: str) -> Any:
    def reduce_(a: Any, axis: Any = None, dtype: Any = None, *rest: Any, **given: Any) -> Any:
        given = {"dtype": dtype, **dict(zip(names, rest, strict=False)), **given}
        options = {k: v for k, v in given.items() if v is not _NONE}
        mask = _nan_mask(a)
        if mask is not True and fold_axes(axis, value(a).ndim) == ():
            axis = None
        if mask is True:
            return f(a, axis=axis, **options)
        where = options.pop("where", True)
        if where is not True:
            masked(value(a), where, 0)  # an error if the mask is wider than the array
            mask = mask & where
        return f(a, axis=axis, where=mask, **options)

    return reduce_


surface(np.nansum)(_nan_free(sum_, "out", "keepdims", "initial", "where"))
surface(np.nanprod)(_nan_free(prod, "out", "keepdims", "initial", "where"))
nanmean = surface(np.nanmean)(_nan_free(mean, "out", "keepdims"))
surface(np.nanvar)(_nan_free(var, "out", "ddof", "keepdims"))
surface(np.nanstd)(_nan_free(std, "out", "ddof", "keepdims"))
nanmax = surface(np.nanmax)(_extremum(np.fmax))
nanmin = surface(np.nanmin)(_extremum(np.fmin))


def _nan_running(f: Any, fill: Any) -> Any:
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        x = value(a)
        if x.aval.kind in "fc":
            x = ops.select(ops.isnan(x), number(fill, x), x)
        return f(wrap(x, "array"), axis, dtype, out)

    return run


surface(np.nancumsum)(_nan_running(cumsum, 0))
surface(np.nancumprod)(_nan_running(cumprod, 1))


def _is_known(t: Any) -> bool:
    """Whether a truth is true in this call; False where it cannot be asked (rows, loops)."""
    try:
        return bool(t)
    except AdjitError:
        return False


def _nan_position(f: Any, largest_fill: bool) -> Any:
    def find(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NONE) -> Any:
        x = value(a)
        if x.aval.kind in "fc" and x.aval.size:
            missing = ops.isnan(x)
            if _is_known(any_(all_(wrap(missing, "array"), axis=axis))):
                raise ValueError("All-NaN slice encountered")
            x = ops.select(missing, number(limit(x.aval.dtype, largest_fill), x), x)
        return f(wrap(x, "array"), axis, out, keepdims=keepdims)

    return find


surface(np.nanargmax)(_nan_position(argmax, False))
surface(np.nanargmin)(_nan_position(argmin, True))


@surface(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.count_nonzero."""
    return sum_(wrap(as_bool(value(a))), axis=axis, keepdims=keepdims)


@surface(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = _NONE
) -> Any:
    """np.average."""
    if weights is None:
        out = mean(a, axis=axis, keepdims=keepdims)
        if not returned:
            return out
        n = value(a).aval.size / out.size  # NumPy's own ZeroDivisionError where there is nothing
        return out, out * 0 + n
    x, w = wrap(value(a), "array"), wrap(value(weights), "array")
    if w.shape != x.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        axes = many_axes(axis, x.ndim)
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along axis.")
        w = w.reshape(tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))
        w = wrap(ops.shape.broadcast_to(value(w), x.shape), "array")
    kinds = (x.dtype, w.dtype, *((np.float64,) if x.dtype.kind in "biu" else ()))
    total = sum_(w, axis=axis, dtype=np.result_type(*kinds), keepdims=keepdims)
    known = recorder().concrete(value(total))  # traced weights that sum to zero give NaN
    if total.size and (not w.size or (known is not None and np.any(known == 0))):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    out = sum_(x * w, axis=axis, keepdims=keepdims) / total
    return (out, total) if returned else out


# ------------------------------------------------------------------ methods


def as_method(name: str, f: Any) -> None:
    """Enter a function as the method of this name."""

    def call_(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return f(self, *args, **kwargs)

    call_.__name__ = name
    method(call_)


for _name, _f in {
    "sum": sum_, "prod": prod, "max": max_, "min": min_, "any": any_, "all": all_, "mean": mean,
    "var": var, "std": std, "argmax": argmax, "argmin": argmin, "cumsum": cumsum,
    "cumprod": cumprod,
}.items():  # fmt: skip
    as_method(_name, _f)
