"""Functions of every element of a Tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.ops import special
from ..tracer.surface import array, value
from .arithmetic import _sizes, cast, method, number, operand, operands, unary
from .dtypes import device as _device
from .dtypes import processor
from .saved import scalar_name
from .tape import Operation, Ref, record
from .tensor_object import Tensor, applied, as_tensor, held, shown

# What `tensors` shows.
# fmt: off
__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "allclose",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_not",
    "ceil",
    "clamp",
    "clip",
    "clone",
    "cos",
    "cosh",
    "equal",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_not",
    "neg",
    "negative",
    "positive",
    "relu",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "where",
]
# fmt: on


def _row(emit: Any) -> Callable[[Any], Any]:
    """A function on Tracers that is one row of the IR; of half precision it is one of single."""

    def call(x: Any) -> Any:
        half = x.dtype == np.float16
        found = array(emit(value(x.astype(np.float32) if half else x)))
        return found.astype(np.float16) if half else found

    return call


def _relu(x: Any) -> Any:
    return np.where(x <= 0, 0, x)


sin = unary("sin", np.sin)
cos = unary("cos", np.cos)
tan = unary("tan", np.tan)
asin = arcsin = unary("asin arcsin", np.arcsin)
acos = arccos = unary("acos arccos", np.arccos)
atan = arctan = unary("atan arctan", np.arctan)
sinh = unary("sinh", np.sinh)
cosh = unary("cosh", np.cosh)
tanh = unary("tanh", np.tanh)
asinh = arcsinh = unary("asinh arcsinh", np.arcsinh)
acosh = arccosh = unary("acosh arccosh", np.arccosh)
atanh = arctanh = unary("atanh arctanh", np.arctanh)
exp = unary("exp", np.exp)
exp2 = unary("exp2", np.exp2)
expm1 = unary("expm1", np.expm1)
log = unary("log", np.log)
log2 = unary("log2", np.log2)
log10 = unary("log10", np.log10)
log1p = unary("log1p", np.log1p, "Log1PBackward0")
sqrt = unary("sqrt", np.sqrt)
rsqrt = unary("rsqrt", lambda x: 1 / np.sqrt(x))
square = unary(
    "square",
    lambda x: np.square(x.astype(np.int64) if x.dtype.kind == "b" else x),
    "PowBackward0",
    floats=False,
)


def _negated(x: Any) -> Any:
    if x.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return np.negative(x)


def _sign(x: Any) -> Any:
    """Of NaN it is 0."""
    if x.dtype.kind == "b":
        return x
    return np.sign(np.where(x != x, 0, x) if x.dtype.kind == "f" else x)


neg = negative = unary("neg negative __neg__", _negated, keeps=False, floats=False)
positive = unary("positive __pos__", lambda x: x, floats=False)
abs = absolute = unary("abs absolute __abs__", np.abs, floats=False)
sign = unary("sign sgn", _sign, keeps=False, floats=False)
floor = unary("floor", np.floor, keeps=False, floats=False)
ceil = unary("ceil", np.ceil, keeps=False, floats=False)
ROUND = Operation("RoundBackward0", lambda x, n: np.round(x, n), keeps=False)


@method("round")
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest whole numbers (or decimals), halves to even."""
    return applied(ROUND, [as_tensor(input)], decimals)


sigmoid = unary("sigmoid", _row(special.expit))
relu = unary("relu", _relu, floats=False)
erf = unary("erf", _row(special.erf))
isnan = unary("isnan", np.isnan)
isinf = unary("isinf", np.isinf)
isfinite = unary("isfinite", np.isfinite)
logical_not = unary("logical_not", np.logical_not, floats=False)
bitwise_not = unary("bitwise_not __invert__", np.invert, floats=False)
_clone = unary("clone", lambda x: x.copy(), keeps=False, floats=False)


@method("clone")
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy."""
    return _clone(input)


softplus = unary("softplus", lambda x: np.logaddexp(x, 0.0))


CLAMP_MIN = Operation("ClampBackward1", lambda x, lo, _: _clamped(x, x < lo, lo), edges=1)
CLAMP_MAX = Operation("ClampBackward1", lambda x, hi, _: _clamped(x, x > hi, hi), edges=1)
CLAMP = Operation(
    "ClampBackward1", lambda x, lo, hi, _: _clamped(_clamped(x, x < lo, lo), x > hi, hi), edges=1
)
WHERE = Operation("WhereBackward0", lambda c, a, b, d: np.where(c, cast(a, d), cast(b, d)))
TO = Operation("ToCopyBackward0", lambda x, dtype: x.astype(dtype), keeps=False)


def _clamped(x: Any, outside: Any, bound: Any) -> Any:
    """At the bound itself the derivative is one."""
    return np.where(outside, bound, x)


@method("clamp", "clip")
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """The elements, none below `min` or above `max`."""
    bounds = [x for x in (min, max) if x is not None]
    if not bounds:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    dtype, (input, *bounds) = operands("clamp", input, *bounds)
    operation = CLAMP if len(bounds) == 2 else CLAMP_MIN if max is None else CLAMP_MAX
    refs = [cast_ref(x, dtype) for x in (input, *bounds)]
    return shown(record(operation, tuple(refs), (dtype,)))


def cast_ref(x: Any, dtype: np.dtype) -> Ref:
    return to(x, dtype)._ref() if isinstance(x, Tensor) else number(x, dtype)


clip = clamp


def where(condition: Tensor, a: Any = None, b: Any = None) -> Any:
    """Elements of `a` where the condition holds, else of `b`; alone: where it holds."""
    if a is None and b is None:
        return tuple(held(i) for i in np.nonzero(condition._value()))
    if condition._dtype.kind != "b":
        raise RuntimeError(
            "where expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{scalar_name(condition._dtype)}"
        )
    dtype, (a, b) = operands("where", a, b)
    refs = (as_tensor(condition)._ref(), operand(a, dtype), operand(b, dtype))
    return shown(record(WHERE, refs, (dtype,)))


@method("where")
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    return where(condition, self, other)


@method("to")
def _to(
    self: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **_: Any
) -> Tensor:
    """The Tensor in another dtype, by the dtype, a device, or another Tensor."""
    for x in args:
        if isinstance(x, Tensor):
            dtype = x._dtype
        elif isinstance(x, str | _device):
            device = x
        elif x is not None and not isinstance(x, bool):
            dtype = x
    if device is not None:
        processor(device)
    found = self if dtype is None else to(self, dtype)
    return found.clone() if copy and found is self else found


def to(self: Tensor, dtype: Any) -> Tensor:
    """The Tensor in another dtype."""
    wanted = np.dtype(dtype)
    return self if self._dtype == wanted else applied(TO, [self], wanted)


def _converter(name: str, dtype: Any) -> None:
    setattr(Tensor, name, lambda self, **_: to(self, dtype))


for _name, _dtype in (
    ("float", np.float32), ("double", np.float64), ("half", np.float16), ("int", np.int32),
    ("long", np.int64), ("bool", np.bool_), ("short", np.int16),
):  # fmt: skip
    _converter(_name, _dtype)


@method("type_as")
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The Tensor in the dtype of another."""
    return to(self, other.dtype)


@method("allclose")
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements agree."""
    if input._dtype != other._dtype:
        names = scalar_name(input._dtype), scalar_name(other._dtype)
        raise RuntimeError(f"{names[0]} did not match {names[1]}")
    wrong = _sizes(input, other)
    if wrong is not None:
        raise wrong
    return bool(np.allclose(input._value(), other._value(), rtol, atol, equal_nan))


@method("equal")
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shape and elements are the same."""
    return np.array_equal(input._value(), other._value())
