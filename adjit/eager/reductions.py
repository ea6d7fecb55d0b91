"""Sums, extremes and their like, of all elements or along axes."""

from __future__ import annotations

import builtins
import collections
import functools
from typing import Any, NamedTuple

import numpy as np

from . import softmax as softmaxes
from .arithmetic import Binary, Dims, cast, maximum, method, minimum
from .elementwise import clone, to
from .promotion import floating
from .saved import scalar_name
from .softmax import top
from .tape import Operation, record
from .tensor_object import Tensor, applied, held, shown

# What `tensors` shows.
# fmt: off
__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "cumprod", "cumsum", "log_softmax",
    "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "sum", "var",
]
# fmt: on


def axes_of(dim: Dims, ndim: int) -> tuple[int, ...] | None:
    """The axes as a tuple, None for all."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return None
    listed = (dim,) if isinstance(dim, int) else tuple(dim)
    for d in listed:
        if not -builtins.max(ndim, 1) <= d < builtins.max(ndim, 1):
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-builtins.max(ndim, 1)}, "
                f"{builtins.max(ndim, 1) - 1}], but got {d})"
            )
    found = tuple(d % ndim for d in listed) if ndim else None
    if found is not None and len(set(found)) < len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return found


def one_axis(dim: int, ndim: int) -> int:
    found = axes_of(dim, ndim)
    return found[0] if found else 0


def whole_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.int64) if dtype.kind in "bi" or dtype.kind == "u" else dtype


def _sum(x: Any, axes: Any, keep: bool, dtype: np.dtype) -> Any:
    return cast(np.sum(cast(x, dtype), axis=axes, keepdims=keep), dtype)


def _mean(x: Any, axes: Any, keep: bool, dtype: np.dtype) -> Any:
    return np.mean(cast(x, dtype), axis=axes, keepdims=keep)


def _reduction(name: str, fn: Any, keeps: bool = True) -> tuple[Operation, Operation]:
    """Of all elements, and along axes."""
    return tuple(Operation(f"{name}Backward{k}", fn, keeps) for k in (0, 1))  # type: ignore[return-value]


SUMS = _reduction("Sum", _sum, keeps=False)
MEANS = _reduction("Mean", _mean, keeps=False)
PRODS = _reduction("Prod", lambda x, a, k, d: cast(np.prod(cast(x, d), axis=a, keepdims=k), d))
AMAX = Operation("AmaxBackward0", lambda x, a, k: np.max(x, axis=a, keepdims=k))
AMIN = Operation("AminBackward0", lambda x, a, k: np.min(x, axis=a, keepdims=k))
MAX = Operation("MaxBackward1", lambda x: np.max(x))
MIN = Operation("MinBackward1", lambda x: np.min(x))
ALL = Operation("all", lambda x, a, k: _truth(x, np.all(x, axis=a, keepdims=k)))
ANY = Operation("any", lambda x, a, k: _truth(x, np.any(x, axis=a, keepdims=k)))


def _truth(x: Any, found: Any) -> Any:
    """Of bytes it is a byte, as before there were truth values."""
    return cast(found, np.dtype(np.uint8)) if x.dtype == np.uint8 else found


def _reduce(
    pair: tuple[Operation, Operation], x: Tensor, dim: Dims, keepdim: bool, dtype: np.dtype
) -> Tensor:
    return applied(pair[dim is not None], [x], axes_of(dim, x.ndim), bool(keepdim), dtype)


@method("sum")
def sum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of all elements, or along axes."""
    return _reduce(SUMS, input, dim, keepdim, np.dtype(dtype or whole_dtype(input._dtype)))


@method("mean")
def mean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of all elements, or along axes."""
    kind = np.dtype(dtype or input.dtype)
    if kind.kind not in "fc":
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {scalar_name(kind)}"
        )
    return _reduce(MEANS, input, dim, keepdim, kind)


@method("prod")
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The product of all elements, or along an axis."""
    return _reduce(PRODS, input, dim, keepdim, np.dtype(dtype or whole_dtype(input._dtype)))


def root(total: Any, p: float) -> Any:
    """The p-th root; its derivative at zero is zero, not NaN."""
    total = cast(total, floating(total.dtype))
    zero = total == 0
    safe = np.where(zero, 1, total)
    return np.where(zero, 0, np.sqrt(safe) if p == 2 else safe ** (1 / p)).astype(total.dtype)


def _spread(name: str, rooted: bool) -> Any:
    def lower(x: Any, axes: Any, keep: bool, correction: int) -> Any:
        found = np.var(x, axis=axes, keepdims=keep, ddof=correction)
        return root(found, 2) if rooted else found

    operation = Operation(f"{name.capitalize()}Backward0", lower)

    def call(
        input: Tensor,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: int | None = None,
    ) -> Tensor:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if input._dtype.kind not in "fc":
            raise RuntimeError("std and var only support floating point and complex dtypes")
        ddof = int(unbiased) if correction is None else correction
        return applied(operation, [input], axes_of(dim, input.ndim), bool(keepdim), ddof)

    call.__name__ = name
    return method(name)(call)


var = _spread("var", False)
std = _spread("std", True)


class Extremes(NamedTuple):
    """Values along an axis, and where they stand."""

    values: Tensor
    indices: Tensor


def _repr(self: Any) -> str:
    parts = ",\n".join(f"{k}={v!r}" for k, v in zip(self._fields, self, strict=True))
    return f"torch.return_types.{type(self).__name__}(\n{parts})"


@functools.cache
def extremes(name: str, *fields: str) -> Any:
    """The kind of tuple that the function of this name returns."""
    base: Any = collections.namedtuple(name, fields) if fields else Extremes
    return type(name, (base,), {"__slots__": (), "__repr__": _repr})


def filled(name: str, x: Tensor, dim: Any) -> None:
    """Refuse an extreme of no elements."""
    s = x._aval_shape()
    if 0 not in s:
        return
    if dim is None or dim == ():
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )
    for d in axes_of(dim, len(s)) or ():
        if not s[d]:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def _extreme(name: str, whole: Operation, arg: Any, pairwise: Binary) -> Any:
    def lower(x: Any, axis: int, keep: bool) -> Any:
        at = arg(x, axis=axis, keepdims=True)
        found = np.take_along_axis(x, at, axis)
        return (found, at) if keep else (np.squeeze(found, axis), np.squeeze(at, axis))

    along = Operation(f"{name.capitalize()}Backward0", lower)
    kind = extremes(name)

    def call(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None:
            filled(name, input, None)
            return applied(whole, [input])
        if isinstance(dim, Tensor):
            return pairwise(input, dim)
        if not input.ndim:
            return kind(clone(input), held(np.zeros((), np.int64)))
        filled(name, input, dim)
        node = record(along, (input._ref(),), (one_axis(dim, input.ndim), bool(keepdim)))
        return kind(shown(node, 0), shown(node, 1))

    call.__name__ = name
    return method(name)(call)


max = _extreme("max", MAX, np.argmax, maximum)
min = _extreme("min", MIN, np.argmin, minimum)


def applied_along(name: str, operation: Operation) -> Any:
    """A function of all elements, or along axes."""

    def call(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
        if name in ("amax", "amin"):
            filled(name, input, dim)
        return applied(operation, [input], axes_of(dim, input.ndim), bool(keepdim))

    call.__name__ = name
    return method(name)(call)


amax = applied_along("amax", AMAX)
amin = applied_along("amin", AMIN)
all = applied_along("all", ALL)
any = applied_along("any", ANY)


def _position(name: str, arg: Any) -> Any:
    operation = Operation(name, lambda x, a, k: arg(x, axis=a, keepdims=k))

    def call(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
        axis = None if dim is None else one_axis(dim, input.ndim)
        if axis is None and not input.numel():
            raise IndexError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
            )
        if axis is not None:
            filled(name, input, axis)
        return applied(operation, [input], axis, bool(keepdim))

    call.__name__ = name
    return method(name)(call)


argmax = _position("argmax", np.argmax)
argmin = _position("argmin", np.argmin)


def _logsumexp(x: Any, axes: Any, keep: bool) -> Any:
    x = cast(x, floating(x.dtype))
    if 0 in x.shape:
        return np.log(np.sum(np.exp(x), axis=axes, keepdims=keep))
    high = top(x, axes)
    high = np.where(np.isfinite(high), high, 0)  # of -inf alone it is -inf, not NaN
    total = np.log(np.sum(np.exp(x - high), axis=axes, keepdims=True)) + high
    return total if keep else np.squeeze(total, axes)


def _along(ufunc: Any) -> Any:
    return lambda x, a: ufunc(cast(x, whole_dtype(x.dtype)), axis=a)


LOGSUMEXP = Operation("LogsumexpBackward0", _logsumexp)
SOFTMAX = Operation("SoftmaxBackward0", softmaxes.softmax)
LOG_SOFTMAX = Operation("LogSoftmaxBackward0", softmaxes.log_softmax)
CUMSUM = Operation("CumsumBackward0", _along(np.cumsum), keeps=False)
CUMPROD = Operation("CumprodBackward0", _along(np.cumprod))
logsumexp = applied_along("logsumexp", LOGSUMEXP)


def _by_axis(name: str, operation: Operation) -> Any:
    def call(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        x = input if dtype is None else to(input, dtype)
        if x._dtype.kind not in "fc" and "softmax" in name:
            raise NotImplementedError(
                f'"{name}" not implemented for {scalar_name(x._dtype)!r}: convert by .float()'
            )
        axis = one_axis(dim, x.ndim)
        if x.ndim:
            found = applied(operation, [x], axis)
        else:  # a number is a row of one
            found = applied(operation, [x.reshape(1)], 0).reshape(())
        return found if dtype is None else to(found, dtype)

    call.__name__ = name
    return method(name)(call)


softmax = _by_axis("softmax", SOFTMAX)
log_softmax = _by_axis("log_softmax", LOG_SOFTMAX)
cumsum = _by_axis("cumsum", CUMSUM)
cumprod = _by_axis("cumprod", CUMPROD)


def _norm(x: Any, p: float, axes: Any, keep: bool) -> Any:
    if x.dtype.kind == "c":
        x = np.abs(x)
    if p == np.inf:
        return np.max(np.abs(x), axis=axes, keepdims=keep)
    if p == 1:
        return np.sum(np.abs(x), axis=axes, keepdims=keep)
    if p == 2:
        return root(np.sum(x * x, axis=axes, keepdims=keep), 2)
    if p in (0, -np.inf):
        fold: Any = np.sum if p == 0 else np.min
        return fold((x != 0).astype(x.dtype) if p == 0 else np.abs(x), axis=axes, keepdims=keep)
    return root(np.sum(np.abs(x) ** p, axis=axes, keepdims=keep), p)


NORM = Operation("LinalgVectorNormBackward0", _norm)


@method("norm")
def norm(
    input: Tensor, p: Any = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """The p-norm of all elements, or along axes."""
    if dtype is not None:
        input = to(input, dtype)
    if input._dtype.kind not in "fc":
        raise RuntimeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{scalar_name(input._dtype)}"
        )
    if p == "nuc":
        return input.nuclear_norm((-2, -1) if dim is None else dim, keepdim)
    order = 2.0 if p in ("fro", None) else float(p)
    return applied(NORM, [input], order, axes_of(dim, input.ndim), bool(keepdim))
