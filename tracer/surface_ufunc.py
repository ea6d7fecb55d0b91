"""Ufuncs and operators: which row a ufunc is, in which dtype it computes, and its methods."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.builder import literal
from ..ir.core import Const, Value
from ..ir.prim import Prim
from ..ir.types import KIND, NUMPY, broadcast_shapes, name_of
from . import mutation
from .errors import UntracedWrite
from .place import OURS, Place, _owners, here
from .promote import Key, can_cast, loop_dtypes
from .record import fail, recorder
from .surface import (
    as_bool,
    as_float,
    cast,
    filled,
    holds_tracer,
    is_tracer,
    key,
    number,
    refuse,
    value,
    wrap,
)
from .tracer import ENTRY, Tracer

# ------------------------------------------------------------------ ufuncs that are not one row


def _scaled(factor: float) -> Callable[[Value], Value]:
    return lambda x: ops.mul(x, number(factor, x))


def _logical(row: Any) -> Callable[..., Value]:
    return lambda *xs: row(*map(as_bool, xs))


def _absolute(x: Value) -> Value:
    return ops.elementwise.modulus(x) if x.aval.kind == "c" else ops.abs_(x)


def _sign(x: Value) -> Value:
    if x.aval.kind != "c":
        return ops.sign(x)
    size = ops.elementwise.modulus(x)
    zero = ops.equal(size, number(0, size))
    unit = ops.div(x, cast(ops.select(zero, number(1, size), size), x.aval.dtype))
    return ops.select(zero, number(0, x), unit)


def _modf(x: Value) -> tuple[Value, Value]:
    whole = ops.trunc(x)
    infinite = ops.isinf(x)
    part = ops.select(infinite, number(0, x), ops.sub(x, whole))
    return ops.copysign(part, x), whole


def _divmod(a: Value, b: Value) -> tuple[Value, Value]:
    return ops.floordiv(a, b), ops.remainder(a, b)


def _whole(row: Any) -> Callable[[Value], Value]:
    """Rounding leaves integers and booleans alone."""
    return lambda x: row(x) if x.aval.kind == "f" else x


def _predicate(row: Any, otherwise: bool) -> Callable[[Value], Value]:
    def answer(x: Value) -> Value:
        if x.aval.kind in "fc":
            return row(x)
        from ..ir.types import Aval

        return filled(otherwise, Aval("bool", x.shape))

    return answer


def _complex_order(row: Any) -> Callable[[Value, Value], Value]:
    return row  # type: ignore[no-any-return]


def _power(x: Value, p: Value) -> Value:
    if type(p) is Const:
        if p.data == 2:
            return ops.mul(x, x)
        if p.data == 1:
            return x
        if x.aval.kind == "f" and p.data == 0.5:
            return ops.sqrt(x)
        if x.aval.kind == "f" and p.data == -1:
            return ops.div(number(1, x), x)
    return ops.pow_(x, p)


def _ldexp(x: Value, n: Value) -> Value:
    return ops.mul(x, ops.exp2(cast(n, x.aval.dtype)))


SPECIAL: dict[np.ufunc, Callable[..., Any]] = {
    np.absolute: _absolute,
    np.sign: _sign,
    np.fabs: lambda x: ops.abs_(x),
    np.square: lambda x: ops.mul(x, x),
    np.reciprocal: lambda x: (ops.div if x.aval.kind in "fc" else ops.floordiv)(number(1, x), x),
    np.positive: lambda x: x,
    np.conjugate: lambda x: ops.conj(x) if x.aval.kind == "c" else x,
    np.power: _power,
    np.float_power: _power,
    np.degrees: _scaled(180 / math.pi),
    np.rad2deg: _scaled(180 / math.pi),
    np.radians: _scaled(math.pi / 180),
    np.deg2rad: _scaled(math.pi / 180),
    np.logical_and: _logical(ops.and_),
    np.logical_or: _logical(ops.or_),
    np.logical_xor: _logical(ops.xor),
    np.logical_not: _logical(ops.not_),
    np.modf: _modf,
    np.divmod: _divmod,
    np.ldexp: _ldexp,
    np.floor: _whole(ops.floor),
    np.ceil: _whole(ops.ceil),
    np.trunc: _whole(ops.trunc),
    np.rint: lambda x: ops.rint(x),
    np.isnan: _predicate(ops.isnan, False),
    np.isinf: _predicate(ops.isinf, False),
    np.isfinite: _predicate(ops.isfinite, True),
}
PRODUCTS: dict[np.ufunc, Callable[..., Any]] = {}  # matmul and kin, entered by surface_linalg
_lowerings: dict[Any, Any] = {}
_scipy_found = False


def lowering(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """How a ufunc is said in rows; None if it cannot be."""
    found = SPECIAL.get(ufunc) or ops.UFUNCS.get(ufunc) or _lowerings.get(ufunc)
    if found is None and ufunc not in _lowerings:
        found = _lowerings[ufunc] = _scipy_lowering(ufunc)
    return found


def _scipy_lowering(ufunc: np.ufunc) -> Any:
    """The row of a ufunc of scipy.special: it is there only if SciPy was imported by the user."""
    special = sys.modules.get("scipy.special")
    if special is None:
        return None
    table = getattr(ops, "SPECIAL_UFUNCS", {})
    name = ufunc.__name__
    if getattr(special, name, None) is not ufunc:  # erfc is called `erfc`, others `_log_ndtr`
        name = next((n for n, f in vars(special).items() if f is ufunc), name)
    return table.get(name)


# ------------------------------------------------------------------ the call


def dtypes_for(ufunc: np.ufunc, keys: tuple[Key, ...], dtype: Any) -> tuple[str, ...]:
    """The loop's dtypes; NumPy's own TypeError where there is none."""
    return loop_dtypes(ufunc, keys, dtype)


def call(ufunc: np.ufunc, args: Sequence[Any], dtype: Any = None) -> Any:
    """The result, or tuple of results, of a ufunc on anything, as values."""
    lower = lowering(ufunc)
    if lower is None:
        raise refuse(f"the ufunc {ufunc.__name__}", _ADVICE.get(ufunc.__name__, ""))
    if len(args) != ufunc.nin:
        raise TypeError(
            f"{ufunc.__name__}() takes {ufunc.nin} positional arguments but {len(args)} were given"
        )
    args = [value(a) if isinstance(a, (list, tuple)) else a for a in args]
    loop = dtypes_for(ufunc, tuple(map(key, args)), dtype)
    vs = [value(a, d) for a, d in zip(args, loop, strict=False)]
    out = lower(*vs)
    want = loop[ufunc.nin :]
    if type(out) is tuple:
        return tuple(cast(v, d) for v, d in zip(out, want, strict=True))
    return out if out.aval.dtype == want[0] else cast(out, want[0])


_ADVICE = {
    "matmul": "",
    "frexp": "Use np.log2 and np.exp2.",
    "isnat": "Dates are not numbers.",
}


def on_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: Any) -> Any:
    """What `__array_ufunc__` answers."""
    if method == "__call__" and not options:
        if len(inputs) == 1:
            quick = _quick_unary(ufunc, inputs[0])
            if quick is not None:
                return quick
        if ufunc in PRODUCTS:
            return PRODUCTS[ufunc](*inputs)
        if any(isinstance(a, (list, tuple)) and holds_tracer(a) for a in inputs):
            inputs = tuple(wrap(value(a)) if isinstance(a, (list, tuple)) else a for a in inputs)
        return finish(call(ufunc, inputs), inputs)
    return UFUNC_METHODS[method](ufunc, *inputs, **options)


_singles: dict[Any, tuple[Any, str, str]] = {}  # (ufunc, key) -> row, dtypes


def _quick_unary(ufunc: np.ufunc, a: Any) -> Any:
    """The common case of a ufunc: one row, one operand, C order."""
    if type(a) is not Tracer or a._strides is not None:
        return None
    memo = (ufunc, a._value.aval.dtype if a._kind != "python" else a._key())
    known = _singles.get(memo)
    if known is None:
        row = lowering(ufunc)
        if row is None or ufunc.nout != 1 or ufunc.nin != 1:
            return None
        loop = dtypes_for(ufunc, memo[1:], None)
        known = _singles[memo] = (row, loop[0], loop[1])
    row, take, want = known
    rec = recorder()
    v = a._read() if a._rec is rec else rec.outer(a)
    out = row(v if v.aval.dtype == take else cast(v, take))
    if out.aval.dtype != want:
        out = cast(out, want)
    return Tracer(rec, out, "array" if out.aval.shape else "scalar")


def finish(out: Any, inputs: Sequence[Any]) -> Any:
    """Tracers of results, laid out as NumPy would lay them out."""
    if type(out) is tuple:
        return tuple(finish(v, inputs) for v in out)
    strides = None
    if any(type(a) is Tracer and a._strides is not None for a in inputs):
        arrays = [a for a in inputs if type(a) is Tracer and a.shape == out.aval.shape]
        strides = mutation.fresh_strides(out.aval.shape, out.aval.dtype, *arrays)
    return wrap(out, None, strides)


def _call_with_options(
    ufunc: np.ufunc,
    *inputs: Any,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    casting: str = "same_kind",
    order: str = "K",
    subok: bool = True,
    signature: Any = None,
    **options: Any,
) -> Any:
    if signature is not None:
        raise refuse(f"signature= of {ufunc.__name__}", "Use dtype=.")
    if ufunc in PRODUCTS:
        results = PRODUCTS[ufunc](*inputs, **options)
        results = cast(value(results), name_of(np.dtype(dtype))) if dtype else value(results)
    else:
        results = call(ufunc, inputs, dtype)
    if out is None and where is True:
        return finish(results, inputs)
    outs = out if isinstance(out, tuple) else (out,)
    several = results if type(results) is tuple else (results,)
    written = tuple(store(o, v, where, casting) for o, v in zip(outs, several, strict=True))
    return written if type(results) is tuple else written[0]


def store(out: Any, result: Value, where: Any = True, casting: str = "same_kind") -> Any:
    """Write a result where the user asked for it."""
    if out is None:
        if where is True:
            return wrap(result)
        # NumPy leaves what `where` excludes uninitialised; zero is as good as anything.
        return wrap(ops.select(value(where, "bool"), result, number(0, result)))
    if not is_tracer(out):
        raise untraced_write(out)
    if not can_cast(result.aval.dtype, out._value.aval.dtype, casting):
        raise np._core._exceptions._UFuncOutputCastingError(  # the class a user may catch
            np.add, casting, NUMPY[result.aval.dtype], out.dtype, 0
        )
    new = cast(result, out._value.aval.dtype)
    if where is not True:
        new = ops.select(value(where, "bool"), new, out._read())
    if broadcast_shapes(new.shape, out.shape) != out.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {out.shape} doesn't match the "
            f"broadcast shape {new.shape}"
        )
    mutation.write(out, ops.shape.broadcast_to(new, out.shape))
    return out


def untraced_write(out: Any) -> Exception:
    """The error of a write of traced values into a plain array."""
    return fail(
        UntracedWrite,
        f"a traced value is written into a plain array of shape {np.shape(out)}",
        "Make that array in the function by np.zeros, np.copy(G) or np.array(z), so that it is "
        "traced too; z += y can be z = z + y.",
    )


# ------------------------------------------------------------------ methods of ufuncs


def _function_of(table: dict[Any, str], ufunc: np.ufunc, method: str) -> Any:
    from .surface import FUNCTIONS

    try:
        return FUNCTIONS[getattr(np, table[ufunc])]
    except KeyError:
        raise refuse(f"{ufunc.__name__}.{method}") from None


REDUCTIONS: dict[Any, str] = {
    np.add: "sum", np.multiply: "prod", np.maximum: "max", np.minimum: "min",
    np.logical_and: "all", np.logical_or: "any", np.fmax: "nanmax", np.fmin: "nanmin",
}  # fmt: skip
ACCUMULATIONS: dict[Any, str] = {np.add: "cumsum", np.multiply: "cumprod"}


def _reduce(ufunc: np.ufunc, a: Any, axis: Any = 0, **options: Any) -> Any:
    options = {k: v for k, v in options.items() if v is not np._NoValue}
    out = options.pop("out", None)
    if isinstance(out, tuple):
        (out,) = out
    if ufunc in (np.logaddexp, np.logaddexp2):
        return _reduce_pairwise(ufunc, a, axis)
    result = _function_of(REDUCTIONS, ufunc, "reduce")(a, axis=axis, **options)
    return result if out is None else store(out, value(result))


def _reduce_pairwise(ufunc: np.ufunc, a: Any, axis: Any) -> Any:
    x = value(a)
    axis = axis % x.ndim
    parts = [
        ops.shape.squeeze(ops.shape.narrow(x, axis, i, 1), (axis,)) for i in range(x.shape[axis])
    ]
    total = parts[0]
    for p in parts[1:]:
        total = call(ufunc, (total, p))
    return wrap(total)


def _accumulate(ufunc: np.ufunc, a: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Any:
    if ufunc in (np.maximum, np.minimum):
        from .surface import one_axis

        v = value(a)
        row = ops.cummax if ufunc is np.maximum else ops.cummin
        result = wrap(row(v, axis=one_axis(axis, v.ndim)))
    else:
        result = _function_of(ACCUMULATIONS, ufunc, "accumulate")(a, axis=axis, dtype=dtype)
    if isinstance(out, tuple):
        (out,) = out
    return result if out is None else store(out, value(result))


def _outer(ufunc: np.ufunc, a: Any, b: Any, **options: Any) -> Any:
    va, vb = value(a), value(b)
    if vb.ndim == 0:
        return ufunc(a, b, **options)
    left = va if va.ndim == 0 else ops.shape.reshaped(va, va.shape + (1,) * vb.ndim)
    first = Tracer(recorder(), left, a._kind) if va.ndim == 0 and is_tracer(a) else wrap(left)
    return _call_with_options(ufunc, first, b, **options)


def _at(ufunc: np.ufunc, a: Any, index: Any, b: Any = None) -> None:
    if not is_tracer(a):
        raise untraced_write(a)
    rows = {np.add: (ops.scatter_add, 1), np.subtract: (ops.scatter_add, -1)}
    if b is None or ufunc not in rows:
        raise refuse(f"{ufunc.__name__}.at")
    row, sign = rows[ufunc]
    update = value(b, a._value.aval.dtype)
    ENTRY["scatter"](a, index, update if sign == 1 else ops.neg(update), row)


def _reduceat(ufunc: np.ufunc, a: Any, *rest: Any, **options: Any) -> Any:
    raise refuse(f"{ufunc.__name__}.reduceat", "Use np.add.at, or sums of slices.")


UFUNC_METHODS = {
    "__call__": _call_with_options,
    "reduce": _reduce,
    "accumulate": _accumulate,
    "outer": _outer,
    "at": _at,
    "reduceat": _reduceat,
}


# ------------------------------------------------------------------ operators

_pairs: dict[Any, tuple[Any, str, str, str]] = {}  # (ufunc, keys) -> lowering, dtypes
_NUMBERS = (int, float, complex, bool)


def binary(ufunc: np.ufunc, a: Any, b: Any) -> Any:
    """An operator of two operands of which one is a Tracer."""
    rec = recorder()
    frame = sys._getframe(2)
    file = frame.f_code.co_filename
    rec.builder.where = (
        Place(frame.f_code, frame.f_lasti) if _owners.get(file, OURS) == 2 else here(frame)
    )
    python, strided = True, False
    if type(a) is Tracer:
        va = a._read() if a._rec is rec else rec.outer(a)
        dtype = va.aval.dtype
        if a._kind == "python":
            ka = {"f64": float, "i64": int, "c128": complex}.get(dtype, dtype)
        else:
            ka, python = dtype, False
            strided = a._strides is not None
    elif type(a) in _NUMBERS:
        va, ka = a, "bool" if type(a) is bool else type(a)
    else:
        va = _operand(a)
        if va is NotImplemented:
            return NotImplemented
        ka, python = va.aval.dtype, False
    if type(b) is Tracer:
        vb = b._read() if b._rec is rec else rec.outer(b)
        dtype = vb.aval.dtype
        if b._kind == "python":
            kb = {"f64": float, "i64": int, "c128": complex}.get(dtype, dtype)
        else:
            kb, python = dtype, False
            strided = strided or b._strides is not None
    elif type(b) in _NUMBERS:
        vb, kb = b, "bool" if type(b) is bool else type(b)
    else:
        vb = _operand(b)
        if vb is NotImplemented:
            return NotImplemented
        kb, python = vb.aval.dtype, False
    memo = (ufunc, ka, kb)
    known = _pairs.get(memo)
    if known is None:
        known = _pairs[memo] = _pair(ufunc, ka, kb)
    lower, da, db, want = known
    if not isinstance(va, Value):
        va = _number(va, da)
    elif va.aval.dtype != da:
        va = cast(va, da)
    if not isinstance(vb, Value):
        vb = _number(vb, db)
    elif vb.aval.dtype != db:
        vb = cast(vb, db)
    out = rec.builder.add(lower, (va, vb))[0] if type(lower) is Prim else lower(va, vb)
    if out.aval.dtype != want:
        out = cast(out, want)
    if python:
        return Tracer(rec, out, "python")
    if strided:
        return finish(out, (a, b))
    return Tracer(rec, out, "array" if out.aval.shape else "scalar")


_numbers: dict[Any, Const] = {}


def _number(x: Any, dtype: str) -> Const:
    """A literal; those that compare equal only when they are the same are kept."""
    memo = (x, type(x), dtype)
    known = _numbers.get(memo)
    if known is None:
        known = _checked_number(x, dtype)
        if x != 0 and x == x and len(_numbers) < 10_000:
            _numbers[memo] = known
    return known


def _checked_number(x: Any, dtype: str) -> Const:
    kind = KIND[dtype]
    if kind in "iu" and type(x) is int:
        info = np.iinfo(NUMPY[dtype])
        if not info.min <= x <= info.max:
            raise OverflowError(f"Python integer {x} out of bounds for {NUMPY[dtype].name}")
    return Const(x, dtype)


def _operand(x: Any) -> Any:
    """The value of a plain operand of an operator, or NotImplemented."""
    if isinstance(x, (np.ndarray, np.generic, list, tuple)) and not isinstance(x, np.character):
        return value(x)
    if isinstance(x, (int, float, complex)):
        return literal(x.__index__() if isinstance(x, int) else x, None)
    return NotImplemented


def _pair(ufunc: np.ufunc, ka: Key, kb: Key) -> tuple[Any, str, str, str]:
    if ufunc is np.power and ka is int and kb is int:
        kb = int
    loop = dtypes_for(ufunc, (ka, kb), None)
    lower = SPECIAL.get(ufunc) or ops.UFUNCS.get(ufunc)
    if lower is None:
        raise refuse(f"the operator {ufunc.__name__}")
    return lower, loop[0], loop[1], loop[2]


def unary(ufunc: np.ufunc, a: Tracer) -> Tracer:
    """An operator of one operand."""
    rec = recorder()
    rec.builder.where = here(sys._getframe(2))
    out = call(ufunc, (a,))
    if a._kind == "python":
        return Tracer(rec, out, "python")
    return finish(out, (a,))  # type: ignore[no-any-return]


def _power_operator(a: Any, b: Any) -> Any:
    """Python's int ** negative int is a float; NumPy raises for integer arrays."""
    if type(a) is Tracer and a._kind == "python" and type(b) is int and b < 0:
        b = float(b)
    elif type(b) in (int, np.int64) and b < 0 and type(a) is Tracer and a._value.aval.kind in "iu":
        raise ValueError("Integers to negative integer powers are not allowed.")
    return binary(np.power, a, b)


def _absent(answer: bool) -> Callable[[Any, Any], Any]:
    """`t == None` compares elementwise with something that no number equals."""

    def compare(a: Any, b: Any) -> Any:
        out = np.full(a.shape, answer)
        return out if a.shape else out[()]

    return compare


_BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift,
    "rshift": np.right_shift,
}  # fmt: skip
_COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def _inplace(a: Tracer, result: Any) -> Any:
    """`a op= b`: arrays are written, scalars are rebound."""
    if result is NotImplemented or a._kind != "array":
        return result
    store(a, value(result))
    return a


def _install() -> None:
    def reflected(ufunc: Any) -> Any:
        return lambda a, b: binary(ufunc, b, a)

    def forward(ufunc: Any) -> Any:
        return lambda a, b: binary(ufunc, a, b)

    def inplace(operator: Any) -> Any:
        return lambda a, b: _inplace(a, operator(a, b))

    for name, ufunc in _BINARY.items():
        setattr(Tracer, f"__{name}__", forward(ufunc))
        setattr(Tracer, f"__r{name}__", reflected(ufunc))
        setattr(Tracer, f"__i{name}__", inplace(forward(ufunc)))
    for name, ufunc in _COMPARISONS.items():
        setattr(Tracer, f"__{name}__", forward(ufunc))
    for name, answer in (("eq", False), ("ne", True)):
        compare, absent = getattr(Tracer, f"__{name}__"), _absent(answer)

        def either(a: Any, b: Any, compare: Any = compare, absent: Any = absent) -> Any:
            return absent(a, b) if b is None or isinstance(b, str) else compare(a, b)

        setattr(Tracer, f"__{name}__", either)
    Tracer.__hash__ = None  # type: ignore[assignment]
    Tracer.__pow__ = lambda a, b, mod=None: _power_operator(a, b)  # type: ignore[attr-defined]
    Tracer.__rpow__ = lambda a, b, mod=None: binary(np.power, b, a)  # type: ignore[attr-defined]
    Tracer.__ipow__ = lambda a, b: _inplace(a, _power_operator(a, b))  # type: ignore[attr-defined]
    Tracer.__neg__ = lambda a: unary(np.negative, a)  # type: ignore[attr-defined]
    Tracer.__pos__ = lambda a: unary(np.positive, a)  # type: ignore[attr-defined]
    Tracer.__abs__ = lambda a: unary(np.absolute, a)  # type: ignore[attr-defined]
    Tracer.__invert__ = lambda a: unary(np.invert, a)  # type: ignore[attr-defined]
    Tracer.__divmod__ = lambda a, b: (a // b, a % b)  # type: ignore[attr-defined]
    Tracer.__rdivmod__ = lambda a, b: (b // a, b % a)  # type: ignore[attr-defined]
    Tracer.__matmul__ = lambda a, b: PRODUCTS[np.matmul](a, b)  # type: ignore[attr-defined]
    Tracer.__rmatmul__ = lambda a, b: PRODUCTS[np.matmul](b, a)  # type: ignore[attr-defined]
    Tracer.__imatmul__ = lambda a, b: _inplace(a, a @ b)  # type: ignore[attr-defined]


_install()
ENTRY["ufunc"] = on_ufunc
_ = as_float
