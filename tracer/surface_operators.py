"""Operators of a Tracer: the hot path, and where Python's numbers keep their own kind."""

from __future__ import annotations

import operator
import sys
from array import array as pyarray
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from ..ir.builder import literal
from ..ir.core import Const, Value
from ..ir.prim import Prim
from ..ir.types import KIND, NUMPY, SCALARS, Aval
from .beyond import beyond
from .hidden import check_not_hidden
from .ledger import Recipe
from .promote import WEAK, Key, loop_dtypes
from .raised import check_divisor
from .recipes import recipe
from .record import Recorder, recorder
from .surface import cast, refuse, value
from .surface_ufunc import PAIR, PRODUCTS, call, finish, lowering_for, quick_unary, store
from .tracer import Tracer

# (ufunc, keys) -> how it is said in rows, the dtypes of its operands and its result
_pairs: dict[Any, tuple[Any, str, str, str]] = {}
_NUMBERS = (int, float, complex, bool)
_NUMPYS: dict[type, str] = {dtype.type: name for name, dtype in NUMPY.items() if name != "bool"}
_FEW = 10_000
_new: Any = object.__new__


def _operator(ufunc: np.ufunc, reflected: bool = False) -> Callable[..., Any]:
    """An operator of a Tracer and anything.

    What was seen before, of two values or of one and a number, takes few steps.
    """
    # By the types of both, which are kept alive; None where it is not one op.
    singles: dict[Any, tuple[Single | None, Any]] = {}

    def operate(a: Any, b: Any, frame: FrameType | None = None) -> Any:
        rec = recorder()
        rec.enter(frame or sys._getframe(1))
        if a._rec is not rec or a._strides is not None:
            return combine(rec, ufunc, *((b, a) if reflected else (a, b)), True)
        va = a._value if a._store is None else a._read()
        other = type(b)
        if other is Tracer:
            if b._rec is not rec or b._strides is not None:
                return combine(rec, ufunc, *((b, a) if reflected else (a, b)), True)
            vb = b._value if b._store is None else b._read()
            key: Any = (id(va.aval), a._kind, id(vb.aval), b._kind)
        else:
            vb = None
            key = (id(va.aval), a._kind, other)
        known = singles.get(key)
        if known is None:
            if other is not Tracer and other not in _NUMBERS and other not in _NUMPYS:
                return combine(rec, ufunc, *((b, a) if reflected else (a, b)), True)
            if len(singles) > _FEW:
                singles.clear()
            known = singles[key] = _single(ufunc, a, b, reflected)
        single = known[0]
        if single is None:
            return combine(rec, ufunc, *((b, a) if reflected else (a, b)), True)
        recipe, aval, kind, dtype, divides = single
        if divides:
            check_divisor(a if reflected else b)
        if vb is None:
            if other in _NUMPYS and id(b) not in rec.guarded:
                rec.derived = True
            try:
                vb = _numbers.get((b, other, dtype)) or _number(b, dtype)
            except OverflowError:
                return _beyond(rec, ufunc, *((b, a) if reflected else (a, b)), True)
        ledger = rec.ledger
        ledger.recipes.append(recipe)
        ledger.wheres.append(rec.builder.where)
        ledger.args += (vb, va) if reflected else (va, vb)
        out = _new(Value)
        out.aval = aval
        out.hint = ""
        ledger.outs.append(out)
        t: Any = _new(Tracer)
        t._rec = rec
        t._value = out
        t._kind = kind
        t._strides = t._store = None
        t._views = ()
        t._version = 0
        return t

    return operate


class Single(NamedTuple):
    """An operator that is one op: its recipe, what it gives, and the dtype of a number in it.

    divides  whether it divides Python's numbers
    """

    recipe: Recipe
    aval: Aval
    kind: str
    dtype: str
    divides: bool


def _single(ufunc: np.ufunc, a: Any, b: Any, reflected: bool) -> tuple[Single | None, Any]:
    """How an operator is one op of its operands as they are, None if it is not; and their types."""
    sides: list[tuple[Key, Aval | None, bool]] = []
    held: list[Aval] = []
    for x in (b, a) if reflected else (a, b):
        if type(x) is Tracer:
            aval = x._read().aval
            held.append(aval)
            sides.append((x._key(), aval, x._kind == "python"))
        elif type(x) in _NUMBERS:
            sides.append(("bool" if type(x) is bool else type(x), None, True))
        else:
            sides.append((_NUMPYS[type(x)], None, False))
    (ka, va, python), (kb, vb, too) = sides
    if python and too and ka == kb == "bool" and ufunc in _COUNTS:
        return None, held
    lower, da, db, want = _pair(ufunc, ka, kb)
    avals = [x or SCALARS[d] for x, d in ((va, da), (vb, db))]
    plain = ((va, python, ka, da), (vb, too, kb, db))
    if any(x is None and not weak and k != d for x, weak, k, d in plain):
        return None, held  # a NumPy scalar that is to be cast
    if type(lower) is not Prim or [x.dtype for x in avals] != [da, db]:
        return None, held
    found = recipe(lower, None, avals)
    aval = found.gives[0]
    if len(found.gives) != 1 or aval.dtype != want:
        return None, held
    kind = "python" if python and too else "array" if aval.shape else "scalar"
    divides = kind == "python" and ufunc in _DIVISIONS
    return Single(found, aval, kind, da if va is None else db, divides), held


def combine(rec: Recorder, ufunc: np.ufunc, a: Any, b: Any, operator: bool) -> Any:
    """The result of a ufunc that is said in one row or a few, or NotImplemented.

    `operator` says whether Python numbers give a Python number (np.add gives a NumPy scalar).
    """
    va, ka, strided, python = _side(rec, a)
    vb, kb, also, too = _side(rec, b)
    if va is NotImplemented or vb is NotImplemented:
        return _with_object(ufunc, a, b)
    if operator and python and too:
        if ufunc in _DIVISIONS:
            check_divisor(b)
        if ka == kb == "bool" and ufunc in _COUNTS:
            va, vb = _counted(va), _counted(vb)
            ka = kb = int
    memo = (ufunc, ka, kb)
    known = _pairs.get(memo)
    if known is None:
        known = _pairs[memo] = _pair(ufunc, ka, kb)
    lower, da, db, want = known
    if python and isinstance(va, Value):
        va = _fitting(a, va, da)
    if too and isinstance(vb, Value):
        vb = _fitting(b, vb, db)
    try:
        va = _number(va, da) if not isinstance(va, Value) else cast(va, da)
        vb = _number(vb, db) if not isinstance(vb, Value) else cast(vb, db)
    except OverflowError:
        return _beyond(rec, ufunc, a, b, operator)
    out = rec.builder.add(lower, (va, vb))[0] if type(lower) is Prim else lower(va, vb)
    if out.aval.dtype != want:
        out = cast(out, want)
    if operator and python and too:
        return Tracer(rec, out, "python")
    if strided or also:
        return finish(out, (a, b))
    return Tracer(rec, out, "array" if out.aval.shape else "scalar")


def _beyond(rec: Recorder, ufunc: np.ufunc, a: Any, b: Any, operator: bool) -> Any:
    """What `combine` answers where an int fits no dtype, within the handling of that error."""
    found = beyond(ufunc, a, b, operator)
    if found is None:
        raise
    python = operator and (a if type(a) is Tracer else b)._kind == "python"
    kind = "python" if python else "array" if found.aval.shape else "scalar"
    return Tracer(rec, found, kind)


def _side(rec: Recorder, x: Any) -> tuple[Any, Key, bool, bool]:
    """One operand: value or number, key, whether it has strides, whether it is Python's."""
    kind = type(x)
    if kind is Tracer:
        v = x._read() if x._rec is rec else rec.outer(x)
        dtype = v.aval.dtype
        if x._kind == "python":
            return v, WEAK.get(dtype, dtype), False, True
        return v, dtype, x._strides is not None, False
    if kind in _NUMBERS:
        return x, "bool" if kind is bool else kind, False, True
    v = _operand(x)
    return v, None if v is NotImplemented else v.aval.dtype, False, False


# Python's bools are ints in arithmetic; NumPy's are not.
_COUNTS = {
    np.add, np.subtract, np.multiply, np.true_divide, np.floor_divide, np.remainder, np.power,
    np.left_shift, np.right_shift,
}  # fmt: skip


_DIVISIONS = {np.true_divide, np.floor_divide, np.remainder}


def _counted(x: Any) -> Any:
    """A Python bool as the int that it is."""
    return cast(x, "i64") if isinstance(x, Value) else int(x)


def _with_object(ufunc: np.ufunc, a: Any, b: Any) -> Any:
    """What an operator is with the object that NumPy has wrapped in a 0-d array (a Polynomial)."""
    operate = _OPERATORS.get(ufunc)
    if operate is None or not (_wraps(a) or _wraps(b)):
        return NotImplemented
    return operate(a.item() if _wraps(a) else a, b.item() if _wraps(b) else b)


def _wraps(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype == object and not x.shape


_OPERATORS: dict[np.ufunc, Any] = {
    np.add: operator.add, np.subtract: operator.sub, np.multiply: operator.mul,
    np.true_divide: operator.truediv, np.power: operator.pow,
}  # fmt: skip


def _fitting(x: Any, v: Value, dtype: str) -> Any:
    """A traced Python int that meets a narrower integer: its value, which NumPy wants to fit."""
    narrow = v.aval.dtype == "i64" and dtype != "i64" and KIND[dtype] in "iu"
    return int(x) if narrow else v


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


_ARRAYS = (np.ndarray, np.generic, list, tuple, range, memoryview, pyarray)


def _operand(x: Any) -> Any:
    """The value of a plain operand of an operator, or NotImplemented."""
    if _wraps(x):
        return NotImplemented
    if isinstance(x, _ARRAYS) and not isinstance(x, np.character):
        return value(x)
    if isinstance(x, (int, float, complex)):
        check_not_hidden(x)
        return literal(x.__index__() if isinstance(x, int) else x, None)
    return NotImplemented


def _pair(ufunc: np.ufunc, ka: Key, kb: Key) -> tuple[Any, str, str, str]:
    loop = loop_dtypes(ufunc, (ka, kb))
    lower = lowering_for(ufunc, loop)
    if lower is None:
        raise refuse(f"the operator {ufunc.__name__}")
    return lower, loop[0], loop[1], loop[2]


def unary(ufunc: np.ufunc, a: Tracer) -> Tracer:
    """An operator of one operand."""
    rec = recorder()
    rec.enter(sys._getframe(2))
    if a._kind == "python" and a._value.aval.dtype == "bool":
        a = Tracer(rec, _counted(value(a)), "python")
    quick = quick_unary(ufunc, a)
    if quick is not None:
        quick._kind = "python" if a._kind == "python" else quick._kind
        return quick
    out = call(ufunc, (a,))
    if a._kind == "python":
        return Tracer(rec, out, "python")
    return finish(out, (a,))


def _product(a: Any, b: Any) -> Any:
    """`a @ b`."""
    recorder().enter(sys._getframe(2))
    if type(b) is not Tracer and _operand(b) is NotImplemented and hasattr(b, "__rmatmul__"):
        return NotImplemented  # a sparse matrix, say
    return PRODUCTS[np.matmul](a, b)


def _power_operator(a: Any, b: Any) -> Any:
    """Python's int ** negative int is a float, NumPy raises for integers; masks are squared."""
    if _is_count(a) and _is_count(b) and (type(b) is not Tracer or int(b) < 0) and b < 0:
        b = float(b) if type(b) is int else b * 1.0
    elif type(b) in (int, np.int64) and b < 0 and type(a) is Tracer and a._value.aval.kind in "iu":
        raise ValueError("Integers to negative integer powers are not allowed.")
    elif type(b) is int and b == 2 and type(a) is Tracer and _is_mask(a):
        return unary(np.square, a)  # in int8
    return _power(a, b, sys._getframe(2))


def _reflected_power(rpower: Any, a: Any, b: Any) -> Any:
    """`b ** a` of a plain number and a Tracer."""
    if type(b) is int and _is_count(a) and int(a) < 0:
        a = a * 1.0
    return rpower(a, b, sys._getframe(2))


def _is_count(a: Any) -> bool:
    """Whether it is an int of Python's."""
    return type(a) is int or (
        type(a) is Tracer and a._kind == "python" and a._value.aval.kind in "iu"
    )


def _power_of(a: Any, b: Any, mod: Any) -> Any:
    """`pow(a, b, mod)`, of Python's ints alone."""
    if mod is None:
        return _power_operator(a, b)
    if not (_is_count(a) and _is_count(b) and _is_count(mod)):
        raise TypeError("pow() 3rd argument not allowed unless all arguments are integers")
    return pow(int(a), int(b), int(mod))


def _is_mask(a: Tracer) -> bool:
    return a._kind == "array" and a._value.aval.kind == "b"


_power = _operator(np.power)


def _absent(answer: bool) -> Callable[[Any, Any], Any]:
    """`t == None` compares elementwise with something that no number equals."""

    def compare(a: Any, b: Any) -> Any:
        out = np.full(a.shape, answer)
        return out if a.shape else answer if a._kind == "python" else out[()]

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
    def inplace(operator: Any) -> Any:
        return lambda a, b: _inplace(a, operator(a, b, sys._getframe(1)))

    for name, ufunc in _BINARY.items():
        operator = _operator(ufunc)
        setattr(Tracer, f"__{name}__", operator)
        setattr(Tracer, f"__r{name}__", _operator(ufunc, reflected=True))
        setattr(Tracer, f"__i{name}__", inplace(operator))
    for name, ufunc in _COMPARISONS.items():
        setattr(Tracer, f"__{name}__", _operator(ufunc))
    for name, answer in (("eq", False), ("ne", True)):
        compare, absent = getattr(Tracer, f"__{name}__"), _absent(answer)

        def either(a: Any, b: Any, compare: Any = compare, absent: Any = absent) -> Any:
            if b is None or isinstance(b, str):
                return absent(a, b)
            return compare(a, b, sys._getframe(1))

        setattr(Tracer, f"__{name}__", either)
    rpower = _operator(np.power, reflected=True)
    methods: dict[str, Any] = {
        "pow": lambda a, b, mod=None: _power_of(a, b, mod),
        "rpow": lambda a, b, mod=None: _reflected_power(rpower, a, b),
        "ipow": lambda a, b: _inplace(a, _power_operator(a, b)),
        "neg": lambda a: unary(np.negative, a),
        "pos": lambda a: unary(np.positive, a),
        "abs": lambda a: unary(np.absolute, a),
        "invert": lambda a: unary(np.invert, a),
        "divmod": lambda a, b: (a // b, a % b),
        "rdivmod": lambda a, b: (b // a, b % a),
        "matmul": lambda a, b: _product(a, b),
        "rmatmul": lambda a, b: _product(b, a),
        "imatmul": lambda a, b: _inplace(a, a @ b),
    }
    for name, method in methods.items():
        setattr(Tracer, f"__{name}__", method)


_install()
PAIR.append(combine)
