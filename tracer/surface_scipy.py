"""SciPy's Python functions that have a meaning in rows; entered once the user imports them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Value
from . import intercept
from .intercept import DECLINE
from .surface import (
    FUNCTIONS,
    array,
    as_float,
    broadcast_all,
    cast,
    holds_tracer,
    many_axes,
    number,
    refuse,
    value,
    values,
    wrap,
)

_shape = ops.shape
_sum = ops.shape.sum_


def _keep(v: Value, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Value:
    kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    return _shape.reshaped(v, kept) if keepdims else v


def _shift(x: Value, axes: tuple[int, ...]) -> Value:
    """The finite maximum along axes, kept: what exponents are taken relative to."""
    high = _keep(ops.max_(x, axes=axes), x.shape, axes, True)
    return ops.stop_gradient(ops.select(ops.isfinite(high), high, number(0, high)))


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """scipy.special.logsumexp."""
    if b is None:
        (x,) = values(a)
    else:
        x, weights = broadcast_all(values(a, b))
    x = as_float(x)
    if x.aval.kind == "c":
        raise refuse("scipy.special.logsumexp of complex values")
    axes = many_axes(axis, x.ndim)
    if b is not None:
        x = ops.select(ops.equal(weights, number(0, weights)), number(-np.inf, x), x)
    high = _shift(x, axes)
    terms = ops.exp(ops.sub(x, high))
    if b is not None:
        terms = ops.mul(terms, cast(weights, x.aval.dtype))
    total = _keep(_sum(terms, axes=axes) if axes else terms, x.shape, axes, keepdims)
    if not keepdims:
        high = _shape.reshaped(high, total.shape)
    if return_sign:
        return wrap(ops.add(ops.log(ops.abs_(total)), high)), wrap(ops.sign(total))
    return wrap(ops.add(ops.log(total), high))


def softmax(x: Any, axis: Any = None) -> Any:
    """scipy.special.softmax."""
    v = as_float(value(x))
    axes = many_axes(axis, v.ndim)
    terms = ops.exp(ops.sub(v, _shift(v, axes)))
    total = _keep(_sum(terms, axes=axes), v.shape, axes, True)
    return array(ops.div(terms, total))


def log_softmax(x: Any, axis: Any = None) -> Any:
    """scipy.special.log_softmax."""
    v = as_float(value(x))
    axes = many_axes(axis, v.ndim)
    moved = ops.sub(v, _shift(v, axes))
    total = _keep(_sum(ops.exp(moved), axes=axes), v.shape, axes, True)
    return array(ops.sub(moved, ops.log(total)))


def multigammaln(a: Any, d: int) -> Any:
    """scipy.special.multigammaln."""
    v = cast(as_float(value(a)), "f64")
    total = number(d * (d - 1) / 4 * np.log(np.pi), v)
    out: Value = total
    for j in range(d):
        out = ops.add(out, ops.gammaln(ops.sub(v, number(j / 2, v))))
    return wrap(out)


def polygamma(n: Any, x: Any) -> Any:
    """scipy.special.polygamma of an order known while tracing."""
    if holds_tracer(n):
        raise refuse("scipy.special.polygamma of a traced order")
    return array(ops.polygamma(as_float(value(x)), n=int(n)))


def _act(f: Any) -> intercept.Act:
    def act(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
        if not any(map(holds_tracer, (*args, *kwargs.values()))):
            return DECLINE
        return f(*args, **kwargs)

    return act


def _numpy(name: str) -> Any:
    return lambda *args, **kwargs: FUNCTIONS[getattr(np, name)](*args, **kwargs)


_TABLE: dict[str, dict[str, Any]] = {
    "scipy.special": {
        "logsumexp": logsumexp,
        "softmax": softmax,
        "log_softmax": log_softmax,
        "multigammaln": multigammaln,
        "polygamma": polygamma,
    },
    "scipy.integrate": {"trapezoid": _numpy("trapezoid")},
}


def filler(module: str, entries: dict[str, Any]) -> Any:
    """What enters these functions of a module, once that module is there."""

    def fill() -> bool:
        found = sys.modules.get(module)
        if found is None:
            return False
        for name, f in entries.items():
            intercept.enter(found, name, _act(f))
        return True

    return fill


for _module, _entries in _TABLE.items():
    intercept.when_imported(filler(_module, _entries))
