"""Reductions and running reductions: sums, means, extrema, their NaN-ignoring kin, sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from ..ir.types import KIND, NUMPY, Aval, broadcast_shapes
from .promote import dtype_name
from .surface import (
    as_bool,
    as_float,
    cast,
    filled,
    is_tracer,
    many_axes,
    method,
    number,
    one_axis,
    refuse,
    surface,
    value,
    wrap,
)
from .surface_ufunc import call, store
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


def _accumulator(dtype: str) -> str:
    """The dtype that NumPy adds and multiplies integers in."""
    kind = KIND[dtype]
    if kind == "b" or (kind == "i" and dtype != "i64"):
        return "i64"
    return "u64" if kind == "u" else dtype


def _masked(x: Value, where: Any, fill: Any) -> Value:
    """`x` with `fill` where the mask excludes it."""
    if where is _NONE or where is True:
        return x
    mask = value(where, "bool")
    shape = broadcast_shapes(mask.shape, x.shape)
    return ops.select(
        ops.shape.broadcast_to(mask, shape), ops.shape.broadcast_to(x, shape), number(fill, x)
    )


def _fold(row: Any, fill: Any, combine: np.ufunc) -> Any:
    """sum or prod: fold over axes from an initial value."""

    def reduce(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = _NONE,
        initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:
        x = value(a)
        x = cast(x, dtype_name(dtype) if dtype is not None else _accumulator(x.aval.dtype))
        x = _masked(x, where, fill)
        axes = many_axes(axis, x.ndim)
        v = kept(row(x, axes=axes) if axes else x, x.shape, axes, keepdims)
        if initial is not _NONE and not (not is_tracer(initial) and initial == fill):
            v = call(combine, (v, initial))
        return finish(v, out)

    return reduce


sum_ = surface(np.sum)(_fold(_sum, 0, np.add))
prod = surface(np.prod)(_fold(ops.prod, 1, np.multiply))


def _limit(dtype: str, largest: bool) -> Any:
    kind = KIND[dtype]
    if kind == "f":
        return np.inf if largest else -np.inf
    if kind == "b":
        return largest
    info = np.iinfo(NUMPY[dtype])
    return info.max if largest else info.min


def _extremum(row: Any, largest_fill: bool, combine: np.ufunc) -> Any:
    def reduce(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = _NONE,
        initial: Any = _NONE,
        where: Any = _NONE,
    ) -> Any:
        x = value(a)
        if x.aval.kind == "c":
            raise refuse("the maximum or minimum of complex numbers")
        if where is not _NONE and where is not True:
            if initial is _NONE:
                raise ValueError(
                    f"reduction operation '{combine.__name__}' does not have an identity, so to "
                    "use a where mask one has to specify 'initial'"
                )
            x = _masked(x, where, _limit(x.aval.dtype, largest_fill))
        axes = many_axes(axis, x.ndim)
        if x.aval.size == 0 and initial is not _NONE:
            shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
            v = filled(_limit(x.aval.dtype, largest_fill), Aval(x.aval.dtype, shape))
        else:
            v = row(x, axes=axes) if axes else x
        v = kept(v, x.shape, axes, keepdims)
        if initial is not _NONE:
            v = call(combine, (v, initial))
        return finish(v, out)

    return reduce


max_ = surface(np.max, np.amax)(_extremum(ops.max_, False, np.maximum))
min_ = surface(np.min, np.amin)(_extremum(ops.min_, True, np.minimum))


def _logical(row: Any, fill: bool) -> Any:
    def reduce(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, *, where: Any = _NONE,
        dtype: Any = None, initial: Any = _NONE,
    ) -> Any:  # fmt: skip
        x = _masked(as_bool(value(a)), where, fill)
        axes = many_axes(axis, x.ndim)
        return finish(kept(row(x, axes=axes) if axes else x, x.shape, axes, keepdims), out)

    return reduce


any_ = surface(np.any)(_logical(ops.any_, False))
all_ = surface(np.all)(_logical(ops.all_, True))


# ------------------------------------------------------------------ moments


def _count(x: Value, axes: tuple[int, ...], where: Any, keepdims: Any, dtype: str) -> Any:
    """How many elements each result is made of: a number, or a value where there is a mask."""
    if where is _NONE or where is True:
        n = 1
        for a in axes:
            n *= x.shape[a]
        return n
    ones = _masked(filled(1, Aval(dtype, x.shape)), where, 0)
    return kept(_sum(ones, axes=axes), x.shape, axes, keepdims)


def _mean(x: Value, axes: tuple[int, ...], where: Any, keepdims: Any) -> Value:
    total = _masked(x, where, 0)
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
    square = _masked(square, where, 0)
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
        if axis is None:
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


def _running(row: Any) -> Any:
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        x = value(a)
        x = cast(x, dtype_name(dtype) if dtype is not None else _accumulator(x.aval.dtype))
        if axis is None:
            x, axis = ops.shape.reshaped(x, (x.aval.size,)), 0
        return finish(row(x, axis=one_axis(axis, x.ndim)), out)

    return run


cumsum = surface(np.cumsum)(_running(ops.cumsum))
cumprod = surface(np.cumprod)(_running(ops.cumprod))


# ------------------------------------------------------------------ NaN-ignoring


def _nan_mask(a: Any) -> Any:
    """Where elements count: not NaN."""
    x = value(a)
    return True if x.aval.kind not in "fc" else wrap(ops.not_(ops.isnan(x)))


def _nan_free(f: Any) -> Any:
    def reduce(a: Any, axis: Any = None, **options: Any) -> Any:
        options = {k: v for k, v in options.items() if v is not _NONE}
        mask = _nan_mask(a)
        if "where" in options and options["where"] is not True:
            mask = mask & options.pop("where")
        return f(a, axis=axis, where=mask, **options)

    return reduce


surface(np.nansum)(_nan_free(sum_))
surface(np.nanprod)(_nan_free(prod))
surface(np.nanmean)(_nan_free(mean))
surface(np.nanvar)(_nan_free(var))
surface(np.nanstd)(_nan_free(std))


def _nan_extremum(f: Any, row: Any, largest_fill: bool) -> Any:
    def reduce(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _NONE, **o: Any) -> Any:
        x = value(a)
        if o.get("where", _NONE) not in (_NONE, True) or x.aval.kind != "f":
            return f(a, axis, out, keepdims, **o)
        axes = many_axes(axis, x.ndim)
        nan = ops.isnan(x)
        best = row(ops.select(nan, number(_limit(x.aval.dtype, largest_fill), x), x), axes=axes)
        # Where everything is NaN the result is NaN.
        best = ops.select(ops.all_(nan, axes=axes), number(np.nan, best), best)
        return finish(kept(best, x.shape, axes, keepdims), out)

    return reduce


nanmax = surface(np.nanmax)(_nan_extremum(max_, ops.max_, False))
nanmin = surface(np.nanmin)(_nan_extremum(min_, ops.min_, True))


def _nan_running(f: Any, fill: Any) -> Any:
    def run(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
        x = value(a)
        if x.aval.kind in "fc":
            x = ops.select(ops.isnan(x), number(fill, x), x)
        return f(wrap(x, "array"), axis, dtype, out)

    return run


surface(np.nancumsum)(_nan_running(cumsum, 0))
surface(np.nancumprod)(_nan_running(cumprod, 1))


def _nan_position(f: Any, largest_fill: bool) -> Any:
    def find(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _NONE) -> Any:
        x = value(a)
        if x.aval.kind == "f":
            x = ops.select(ops.isnan(x), number(_limit(x.aval.dtype, largest_fill), x), x)
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
        n = _count(value(a), many_axes(axis, value(a).ndim), _NONE, False, "f64")
        return (out, out * 0 + n) if returned else out
    x, w = wrap(value(a), "array"), wrap(value(weights), "array")
    if w.shape != x.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        axes = many_axes(axis, x.ndim)
        if w.shape != tuple(x.shape[i] for i in axes):
            raise ValueError("Shape of weights must be consistent with shape of a along axis.")
        w = w.reshape(tuple(n if i in axes else 1 for i, n in enumerate(x.shape)))
        w = wrap(ops.shape.broadcast_to(value(w), x.shape), "array")
    total = sum_(w, axis=axis, keepdims=keepdims)
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
