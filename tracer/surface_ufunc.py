"""Ufuncs and operators: which row a ufunc is, in which dtype it computes, and its methods."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.core import Const, Value
from ..ir.prim import Prim
from ..ir.types import NUMPY, Aval, broadcast_shapes, name_of
from . import mutation
from .errors import UntracedWrite
from .ledger import Recipe
from .promote import can_cast, loop_dtypes
from .recipes import recipe
from .record import fail, recorder
from .refusals import refusal, refused
from .surface import (
    as_bool,
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


def _reciprocal(x: Value) -> Value:
    """1 / x; of integers what is left when the fraction is dropped."""
    if x.aval.kind in "fc":
        return ops.div(number(1, x), x)
    one = ops.equal(x if x.aval.kind == "u" else ops.abs_(x), number(1, x))
    return ops.select(one, x, number(0, x))


def _predicate(row: Any, otherwise: bool) -> Callable[[Value], Value]:
    def answer(x: Value) -> Value:
        if x.aval.kind in "fc":
            return row(x)
        return filled(otherwise, Aval("bool", x.shape))

    return answer


def _complex_order(strict: Any, row: Any) -> Callable[[Value, Value], Value]:
    """A comparison of complex numbers: by real part, then by imaginary part, false beside NaN."""

    def compare(a: Value, b: Value) -> Value:
        (ra, ia), (rb, ib) = ((ops.real(z), ops.imag(z)) for z in (a, b))
        known = ops.not_(ops.or_(ops.isnan(ia), ops.isnan(ib)))
        return ops.or_(ops.and_(strict(ra, rb), known), ops.and_(ops.equal(ra, rb), row(ia, ib)))

    return compare


def _complex_extremum(row: Any, nan_wins: bool) -> Callable[[Value, Value], Value]:
    """The first of two complex numbers where it is in order or NaN decides, else the other."""

    def choose(a: Value, b: Value) -> Value:
        decided = ops.isnan(a if nan_wins else b)
        return ops.select(ops.or_(decided, row(a, b)), a, b)

    return choose


_MORE = _complex_order(ops.greater, ops.greater_equal)
_LESS = _complex_order(ops.less, ops.less_equal)
_COMPLEX: dict[np.ufunc, Callable[..., Value]] = {  # where the row of the ufunc is for reals
    np.less: _complex_order(ops.less, ops.less),
    np.less_equal: _LESS,
    np.greater: _complex_order(ops.greater, ops.greater),
    np.greater_equal: _MORE,
    np.maximum: _complex_extremum(_MORE, True),
    np.minimum: _complex_extremum(_LESS, True),
    np.fmax: _complex_extremum(_MORE, False),
    np.fmin: _complex_extremum(_LESS, False),
}


def _rint(x: Value) -> Value:
    if x.aval.kind == "c":
        return ops.complex_(ops.rint(ops.real(x)), ops.rint(ops.imag(x)))
    return ops.rint(x)


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
    np.reciprocal: _reciprocal,
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
    np.rint: _rint,
    np.isnan: _predicate(ops.isnan, False),
    np.isinf: _predicate(ops.isinf, False),
    np.isfinite: _predicate(ops.isfinite, True),
}
PRODUCTS: dict[np.ufunc, Callable[..., Any]] = {}  # matmul and kin, entered by surface_linalg
PAIR: list[Callable[..., Any]] = []  # the short path of two operands, from surface_operators
_lowerings: dict[Any, Any] = {}
# Of scipy.special, by name: ufuncs that are no single row, and why others are refused.
SCIPY: dict[str, Callable[..., Any]] = {}
SCIPY_REASONS: dict[str, str] = {}
OF_REALS: set[str] = set()  # whose loops take complex numbers, but not here
_scipy_found = False


def lowering(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """How a ufunc is said in rows; None if it cannot be."""
    found = SPECIAL.get(ufunc) or ops.UFUNCS.get(ufunc) or _lowerings.get(ufunc)
    if found is None and ufunc not in _lowerings:
        found = _lowerings[ufunc] = _scipy_lowering(ufunc)
    return found


def lowering_for(ufunc: np.ufunc, loop: Sequence[str]) -> Any:
    """`lowering`, with NumPy's order of complex numbers, and of signed and unsigned integers."""
    if ufunc in _COMPLEX and loop[0][0] == "c":
        return _COMPLEX[ufunc]
    lower = lowering(ufunc)
    if ufunc.nin == 2 and {*loop[:2]} == {"i64", "u64"} and isinstance(lower, Prim):
        return _mixed(lower)
    return lower


def _mixed(row: Prim) -> Callable[[Value, Value], Value]:
    """A comparison of i64 with u64: a negative number lies below every unsigned one."""

    def compare(a: Value, b: Value) -> Value:
        signed = a if a.aval.dtype == "i64" else b
        below = bool(row.ref(-1, 0) if signed is a else row.ref(0, -1))
        same = row(cast(a, "u64"), cast(b, "u64"))
        negative = ops.less(signed, number(0, signed))
        return ops.select(negative, Const(below, "bool"), same)

    return compare


def _scipy_lowering(ufunc: np.ufunc) -> Any:
    """The row of a ufunc of scipy.special: it is there only if SciPy was imported by the user."""
    special = sys.modules.get("scipy.special")
    if special is None:
        return None
    table = getattr(ops, "SPECIAL_UFUNCS", {})
    name = ufunc.__name__
    if getattr(special, name, None) is not ufunc:  # erfc is called `erfc`, others `_log_ndtr`
        name = next((n for n, f in vars(special).items() if f is ufunc), name)
    return SCIPY.get(name) or table.get(name)


# ------------------------------------------------------------------ the call


def call(ufunc: np.ufunc, args: Sequence[Any], dtype: Any = None) -> Any:
    """The result, or tuple of results, of a ufunc on anything, as values."""
    lower = lowering(ufunc)
    if lower is None:
        raise _refused(ufunc)
    if len(args) != ufunc.nin:
        raise TypeError(
            f"{ufunc.__name__}() takes {ufunc.nin} positional arguments but {len(args)} were given"
        )
    args = [value(a) if isinstance(a, (list, tuple)) else a for a in args]
    keys = tuple(map(key, args))
    if ufunc.__name__ in OF_REALS and any(k is complex or str(k)[0] == "c" for k in keys):
        raise refuse(f"scipy.special.{ufunc.__name__} of complex values")
    loop = loop_dtypes(ufunc, keys, dtype)
    lower = lowering_for(ufunc, loop)
    vs = [value(a, d) for a, d in zip(args, loop, strict=False)]
    out = lower(*vs)
    want = loop[ufunc.nin :]
    if type(out) is tuple:
        return tuple(cast(v, d) for v, d in zip(out, want, strict=True))
    return out if out.aval.dtype == want[0] else cast(out, want[0])


def _refused(ufunc: np.ufunc) -> Any:
    """The error of a ufunc that cannot be said in rows."""
    name = ufunc.__name__.lstrip("_")
    if ufunc.types and all(set(t) <= set("O->") for t in ufunc.types):
        return refused("numpy.frompyfunc", f"({name})")
    if name in SCIPY_REASONS:
        return refuse(f"the ufunc {name}", SCIPY_REASONS[name])
    module = "numpy.strings" if hasattr(np.strings, name) else "numpy"
    if refusal(f"{module}.{name}"):
        return refused(f"{module}.{name}")
    return refuse(f"the ufunc {name}")


def on_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], options: Any) -> Any:
    """What `__array_ufunc__` answers."""
    if method == "__call__" and not options:
        if len(inputs) == 2 and ufunc in ops.UFUNCS:
            quick = PAIR[0](recorder(), ufunc, *inputs, False)
            if quick is not NotImplemented:
                return quick
        if len(inputs) == 1:
            quick = quick_unary(ufunc, inputs[0])
            if quick is not None:
                return quick
        if ufunc in PRODUCTS:
            return PRODUCTS[ufunc](*inputs)
        if any(isinstance(a, (list, tuple)) and holds_tracer(a) for a in inputs):
            inputs = tuple(wrap(value(a)) if isinstance(a, (list, tuple)) else a for a in inputs)
        return finish(call(ufunc, inputs), inputs)
    return UFUNC_METHODS[method](ufunc, *inputs, **options)


_singles: dict[Any, tuple[Any, str, str]] = {}  # (ufunc, key) -> row, dtypes


_ones: dict[Any, tuple[Recipe, Aval]] = {}  # (row, id of a type that is kept alive)
_FEW = 10_000


def quick_unary(ufunc: np.ufunc, a: Any) -> Any:
    """The common case of a ufunc: one row, one operand, C order."""
    if type(a) is not Tracer or a._strides is not None:
        return None
    memo = (ufunc, a._value.aval.dtype if a._kind != "python" else a._key())
    known = _singles.get(memo)
    if known is None:
        row = lowering(ufunc)
        if row is None or ufunc.nout != 1 or ufunc.nin != 1:
            return None
        loop = loop_dtypes(ufunc, memo[1:], None)
        known = _singles[memo] = (row, loop[0], loop[1])
    row, take, want = known
    rec = recorder()
    v = a._read() if a._rec is rec else rec.outer(a)
    if take == want == v.aval.dtype and type(row) is Prim:
        one = _ones.get((row, id(v.aval)))
        if one is None:
            if len(_ones) > _FEW:
                _ones.clear()
            one = _ones[row, id(v.aval)] = recipe(row, None, (v.aval,)), v.aval
        out = rec.builder.one(one[0], v)
        return Tracer(rec, out, "array" if out.aval.shape else "scalar")
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


def call_with_options(
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
    if ufunc in PRODUCTS and outs[0] is not None and np.shape(outs[0]) != results.shape:
        raise ValueError(
            f"{ufunc.__name__}: the output operand has the shape {np.shape(outs[0])}, the result "
            f"{results.shape}"
        )
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
    check_traced(out)
    if not can_cast(result.aval.dtype, out._value.aval.dtype, casting):
        sample = np.zeros((), NUMPY[result.aval.dtype])
        add: Any = np.add
        add(
            sample, sample, out=np.zeros((), out.dtype), casting=casting
        )  # raises NumPy's own error
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


def check_traced(out: Any) -> None:
    """Refuse to write traced values into a plain array."""
    if is_tracer(out):
        return
    raise fail(
        UntracedWrite,
        f"a traced value is written into a plain array of shape {np.shape(out)}",
        "Make that array in the function by np.zeros, np.copy(G) or np.array(z), so that it is "
        "traced too; z += y can be z = z + y.",
    )


# ------------------------------------------------------------------ methods of ufuncs

UFUNC_METHODS: dict[str, Callable[..., Any]] = {"__call__": call_with_options}
# reduce, accumulate and the others are entered by surface_folds.


ENTRY["ufunc"] = on_ufunc
