"""Operands of operations on Tensors, and arithmetic with numbers and arrays."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .promotion import NUMBER, default, floating, number_dtype, promoted
from .tape import Operation, Ref, record, source
from .tensor_object import Tensor, applied, as_tensor, known, shown

# What `tensors` shows.
# fmt: off
__all__ = [
    "add", "arctan2", "atan2", "bitwise_and", "bitwise_or", "bitwise_xor", "div", "eq",
    "floor_divide", "ge", "greater", "greater_equal", "gt", "le", "less", "less_equal",
    "logical_and", "logical_or", "lt", "maximum", "minimum", "mul", "ne", "pow", "reciprocal",
    "remainder", "sub", "trunc",
]
# fmt: on

Dims = int | Sequence[int] | None
Binary = Callable[[Any, Any], Tensor]


def method(*names: str) -> Callable[[Any], Any]:
    """Enter a function as these methods of Tensor."""

    def enter(f: Any) -> Any:
        for name in names:
            setattr(Tensor, name, f)
        return f

    return enter


# ------------------------------------------------------------------ operands


def cast(x: Any, dtype: np.dtype) -> Any:
    return x if x.dtype == dtype else x.astype(dtype)


_numbers: dict[Any, Ref] = {}


def number(x: Any, dtype: np.dtype) -> Ref:
    """A plain number as an operand."""
    key = (x, dtype) if x else None  # 0.0 equals -0.0
    known = _numbers.get(key)
    if known is None:
        known = source(np.array(x).astype(dtype)), 0  # an integer out of bounds wraps around
        if key is not None and len(_numbers) < 1000:
            _numbers[key] = known
    return known


def fitting(x: Any, dtype: np.dtype) -> Any:
    """A number that is written into a Tensor of this dtype, which must have room for it."""
    names = {"f": {8: "double"}.get(dtype.itemsize, "float"), "b": "bool"}
    kind = names.get(dtype.kind, f"{dtype.name}_t")
    lost = isinstance(x, complex | np.complexfloating) and dtype.kind != "c" and x.imag
    if not lost and dtype.kind in "iu" and isinstance(x, int | float):
        top = np.iinfo(dtype).max
        lost = not math.isfinite(x) or not -top - 1 <= x <= top
    if lost:
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
    return x


_TAKEN = (Tensor, bool, int, float, complex, np.generic)


def _standing(x: Any) -> tuple[np.dtype, int]:
    if isinstance(x, Tensor):
        return x._standing()
    return (x.dtype if isinstance(x, np.bool_) else number_dtype(_kind(x))), NUMBER


def _kind(x: Any) -> type:
    return type(x.item()) if isinstance(x, np.generic) else type(x)


def operands(name: str, *xs: Any) -> tuple[np.dtype, list[Any]]:
    """The common dtype of operands, arrays among them as Tensors."""
    found = [x if isinstance(x, _TAKEN) else _taken(name, x) for x in xs]
    return promoted(tuple([_standing(x) for x in found])), found


def _taken(name: str, x: Any) -> Tensor:
    return as_tensor(x) if _arraylike(x) else _refuse(name, x)


def _arraylike(x: Any) -> bool:
    return isinstance(x, np.ndarray | list | tuple)


_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "** or pow()", "floor_divide": "//",
    "remainder": "%", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip


def _refuse(name: str, x: Any) -> Any:
    kind = type(x).__name__
    told = f"{name}: a {kind} is neither a Tensor nor a number"
    if name in _SIGNS:
        told = f"unsupported operand type(s) for {_SIGNS[name]}: 'Tensor' and '{kind}'\n  {told}"
    raise TypeError(told)


def operand(x: Any, dtype: np.dtype) -> Ref:
    return x._ref() if isinstance(x, Tensor) else number(x, dtype)


def binary(operation: Operation, a: Any, b: Any, dtype: np.dtype) -> Tensor:
    try:
        node = record(operation, (operand(a, dtype), operand(b, dtype)), (dtype,))
    except ValueError as error:
        raise _sizes(a, b) or error from None
    return shown(node)


def fits(name: str, s: tuple[int, ...], t: tuple[int, ...]) -> None:
    """Refuse input and target whose shapes do not broadcast."""
    for k, (a, b) in enumerate(zip(reversed(s), reversed(t), strict=False), 1):
        if a != b and 1 not in (a, b):
            raise RuntimeError(
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                f"non-singleton dimension {max(len(s), len(t)) - k}\n  {name}: shapes {s} and {t}"
            )


def _sizes(a: Any, b: Any) -> RuntimeError | None:
    """The complaint about shapes that do not broadcast."""
    s, t = np.shape(a) if not isinstance(a, Tensor) else tuple(a.shape), tuple(as_tensor(b).shape)
    for back in range(1, builtins.min(len(s), len(t)) + 1):
        if s[-back] != t[-back] and 1 not in (s[-back], t[-back]):
            at = builtins.max(len(s), len(t)) - back
            return RuntimeError(
                f"The size of tensor a ({s[-back]}) must match the size of tensor b ({t[-back]}) "
                f"at non-singleton dimension {at}: shapes {list(s)} and {list(t)}"
            )
    return None


Unary = Callable[[Tensor], Tensor]


def unary(names: str, fn: Any, title: str = "", keeps: bool = True, floats: bool = True) -> Unary:
    """One function; integers become floats first where `floats` says so."""
    first = names.split()[0]
    lower = (lambda x: fn(x if x.dtype.kind in "fc" else x.astype(default()))) if floats else fn
    operation = Operation(title or f"{first.capitalize()}Backward0", lower, keeps)

    def call(input: Any) -> Tensor:
        if not isinstance(input, Tensor | np.ndarray):
            kind = type(input).__name__
            raise TypeError(f"{first}(): argument 'input' (position 1) must be Tensor, not {kind}")
        return applied(operation, [as_tensor(input)])

    call.__name__ = call.__qualname__ = first
    return method(*names.split())(call)


reciprocal = unary("reciprocal", lambda x: 1 / x)
trunc = unary("trunc fix", np.trunc, keeps=False, floats=False)


# ------------------------------------------------------------------ arithmetic


def _two(ufunc: Any) -> Callable[..., Any]:
    return lambda a, b, dtype: ufunc(cast(a, dtype), cast(b, dtype))


ADD = Operation("AddBackward0", _two(np.add), keeps=False)
SUB = Operation("SubBackward0", _two(np.subtract), keeps=False)
RSUB = Operation("RsubBackward1", lambda a, b, d: np.subtract(cast(b, d), cast(a, d)), False, 1)
MUL = Operation("MulBackward0", _two(np.multiply))
DIV = Operation("DivBackward0", _two(np.divide))
MAXIMUM = Operation("MaximumBackward0", _two(np.maximum))
MINIMUM = Operation("MinimumBackward0", _two(np.minimum))
POWER = Operation("PowBackward1", _two(np.power))
RPOWER = Operation("PowBackward2", lambda a, b, d: np.power(cast(b, d), cast(a, d)), True, 1)
FIXED_POWER = Operation("PowBackward0", lambda a, n, d: np.power(cast(a, d), n))
ATAN2 = Operation("Atan2Backward0", _two(np.arctan2))
FLOOR_DIVIDE = Operation("FloorDivideBackward0", _two(np.floor_divide))
REMAINDER = Operation("RemainderBackward0", _two(np.remainder))


def _scaled(a: Any, b: Any, alpha: Any) -> Any:
    """alpha * b, in the dtype of the result."""
    if type(alpha) is not bool and alpha == 1:
        return b
    dtype, (_, b) = operands("add", a, b)
    if dtype.kind != "b" and isinstance(alpha, bool):
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if dtype.kind in "iub" and isinstance(alpha, float):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    return binary(MUL, b, alpha, dtype) if isinstance(b, Tensor) else b * alpha


@method("add", "__add__", "__radd__")
def add(a: Any, b: Any, *, alpha: Any = 1) -> Tensor:
    """a + alpha * b."""
    dtype, (a, b) = operands("add", a, _scaled(a, b, alpha))
    return binary(ADD, a, b, dtype)


@method("sub", "subtract", "__sub__")
def sub(a: Any, b: Any, *, alpha: Any = 1) -> Tensor:
    """a - alpha * b."""
    dtype, (a, b) = operands("sub", a, _scaled(a, b, alpha))
    if dtype.kind == "b":
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
            "`logical_xor()` operator instead."
        )
    if not isinstance(a, Tensor):
        return binary(RSUB, b, a, dtype)
    return binary(SUB, a, b, dtype)


@method("__rsub__")
def rsub(a: Any, b: Any) -> Tensor:
    """b - a."""
    dtype, (a, b) = operands("rsub", a, b)
    return binary(RSUB, a, b, dtype)


@method("mul", "multiply", "__mul__", "__rmul__")
def mul(a: Any, b: Any) -> Tensor:
    """a * b."""
    dtype, (a, b) = operands("mul", a, b)
    return binary(MUL, a, b, dtype)


@method("div", "divide", "true_divide", "__truediv__")
def div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Tensor:
    """a / b, also of integers; rounding_mode "floor" or "trunc"."""
    dtype, (a, b) = operands("div", a, b)
    if rounding_mode == "floor":
        return floor_divide(a, b)
    if rounding_mode not in (None, "trunc"):
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    if rounding_mode == "trunc" and dtype.kind in "iu":
        return _cut_divide(a, b)
    if not isinstance(a, Tensor):
        found = mul(reciprocal(b), a)
    else:
        found = binary(DIV, a, b, floating(dtype))
    return found if rounding_mode is None else trunc(found)


@method("__rtruediv__")
def rdiv(a: Any, b: Any) -> Tensor:
    """b / a."""
    return mul(reciprocal(a), b) if not isinstance(b, np.ndarray) else div(b, a)


@method("pow", "__pow__")
def pow(a: Any, b: Any) -> Tensor:
    """a ** b."""
    dtype, (a, b) = operands("pow", a, b)
    if dtype.kind in "iu" and type(b) is int and b < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if not isinstance(a, Tensor):
        return binary(RPOWER, b, a, dtype)
    if isinstance(b, Tensor):
        return binary(POWER, a, b, dtype)
    return applied(FIXED_POWER, [a], b.item() if isinstance(b, np.generic) else b, dtype)


@method("__rpow__")
def rpow(a: Any, b: Any) -> Tensor:
    """b ** a."""
    return pow(b, a)


def pairwise(name: str, operation: Operation, floats: bool = False) -> Binary:
    def call(a: Any, b: Any) -> Tensor:
        dtype, (a, b) = operands(name, a, b)
        return binary(operation, a, b, floating(dtype) if floats else dtype)

    call.__name__ = call.__qualname__ = name
    return call


maximum = method("maximum")(pairwise("maximum", MAXIMUM))
minimum = method("minimum")(pairwise("minimum", MINIMUM))
atan2 = arctan2 = method("atan2", "arctan2")(pairwise("atan2", ATAN2, True))


def _whole(name: str, operation: Operation) -> Binary:
    """Of whole numbers a division by zero is an error, if it is known to be one."""

    def call(a: Any, b: Any) -> Tensor:
        dtype, (a, b) = operands(name, a, b)
        if dtype.kind in "iu":
            divisor = known(b) if isinstance(b, Tensor) else b
            if divisor is not None and not np.all(divisor):
                raise RuntimeError("ZeroDivisionError")
        return binary(operation, a, b, dtype)

    call.__name__ = call.__qualname__ = name
    return call


def _cut(a: Any, b: Any, dtype: Any) -> Any:
    """Quotients of whole numbers, cut off towards zero."""
    a, b = cast(a, dtype), cast(b, dtype)
    low = np.floor_divide(a, b)
    return low + ((low < 0) & (low * b != a)).astype(dtype)


_cut_divide = _whole("div", Operation("DivBackward1", _cut))
floor_divide = method("floor_divide", "__floordiv__")(_whole("floor_divide", FLOOR_DIVIDE))
remainder = method("remainder", "__mod__")(_whole("remainder", REMAINDER))


@method("__rfloordiv__")
def _rfloordiv(a: Any, b: Any) -> Tensor:
    return floor_divide(b, a)


@method("__rmod__")
def _rmod(a: Any, b: Any) -> Tensor:
    return remainder(b, a)


@method("__divmod__")
def _divmod(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    return floor_divide(a, b), remainder(a, b)


def _comparison(name: str, ufunc: Any) -> Binary:
    return pairwise(name, Operation(name, _two(ufunc)))


eq = method("eq")(_comparison("eq", np.equal))
ne = method("ne")(_comparison("ne", np.not_equal))
lt = less = method("lt", "less", "__lt__")(_comparison("lt", np.less))
le = less_equal = method("le", "less_equal", "__le__")(_comparison("le", np.less_equal))
gt = greater = method("gt", "greater", "__gt__")(_comparison("gt", np.greater))
ge = greater_equal = method("ge", "greater_equal", "__ge__")(_comparison("ge", np.greater_equal))


def _of_anything(compare: Binary) -> Callable[[Any, Any], Any]:
    """The operator, which leaves what is no number to the other object, and to Python."""

    def call(a: Any, b: Any) -> Any:
        if isinstance(b, _TAKEN) or _arraylike(b):
            return compare(a, b)
        return NotImplemented

    return call


method("__eq__")(_of_anything(eq))
method("__ne__")(_of_anything(ne))
bitwise_and = method("bitwise_and", "__and__", "__rand__")(_comparison("and", np.bitwise_and))
bitwise_or = method("bitwise_or", "__or__", "__ror__")(_comparison("or", np.bitwise_or))
bitwise_xor = method("bitwise_xor", "__xor__", "__rxor__")(_comparison("xor", np.bitwise_xor))
logical_and = method("logical_and")(_comparison("logical_and", np.logical_and))
logical_or = method("logical_or")(_comparison("logical_or", np.logical_or))
