"""Functions that write into a Tensor: methods and functions with an underscore, and `out=`."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import (
    arithmetic,
    elementwise,
    indexing,
    joins,
    matrices,
    pointwise,
    reductions,
    scatters,
    selections,
    shapes,
)
from .aliases import View
from .arithmetic import fitting, method
from .elementwise import to
from .modes import recording
from .tape import Operation
from .tensor_object import LEAF_WRITE, Tensor, _own, applied, as_tensor, held

_HOMES = (
    arithmetic, elementwise, reductions, selections, pointwise, shapes, indexing, joins, matrices,
    scatters,
)  # fmt: skip
_NAMES = """
abs absolute acos acosh add addbmm addcdiv addcmul addmm addmv addr arccos arccosh arcsin arcsinh
arctan arctan2 arctanh asin asinh atan atan2 atanh baddbmm bitwise_and bitwise_left_shift
bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip
copysign cos cosh cumprod cumsum deg2rad digamma div divide eq erf erfc erfinv exp exp2 expm1 fix
float_power floor floor_divide fmod frac gcd ge greater greater_equal gt heaviside hypot i0 igamma
igammac lcm ldexp le lerp less less_equal lgamma log log10 log1p log2 logical_and logical_not
logical_or logical_xor logit lt masked_fill mul multiply mvlgamma nan_to_num ne neg negative
nextafter not_equal polygamma pow rad2deg reciprocal relu remainder renorm round rsqrt sgn sigmoid
sign sin sinc sinh sqrt square sub subtract tan tanh tril triu true_divide trunc xlogy
""".split()  # noqa: SIM905
_OPERATORS = {
    "__iand__": "bitwise_and", "__ior__": "bitwise_or", "__ixor__": "bitwise_xor",
    "__ifloordiv__": "floor_divide", "__imod__": "remainder", "__ilshift__": "bitwise_left_shift",
    "__irshift__": "bitwise_right_shift", "__iadd__": "add", "__isub__": "sub", "__imul__": "mul",
    "__itruediv__": "div", "__ipow__": "pow",
}  # fmt: skip
functions: dict[str, Any] = {}


def found(name: str) -> Any:
    """The function of that name."""
    for home in _HOMES:
        if hasattr(home, name):
            return getattr(home, name)
    return getattr(Tensor, name, None)


def _enter(name: str, fn: Any) -> None:
    def call(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._write(lambda: fn(self, *args, **kwargs))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{fn.__name__}, in place."
    setattr(Tensor, name, call)
    if not name.startswith("__"):
        functions[name] = call


for _name in _NAMES:
    _fn = found(_name)
    if _fn is not None:
        _enter(f"{_name}_", _fn)
for _name, _of in _OPERATORS.items():
    _enter(_name, found(_of))

# ------------------------------------------------------------------ filled

FILL = Operation("FillBackward0", lambda x, v: np.broadcast_to(v, x.shape) + 0 * v, keeps=False)
FILL_NUMBER = Operation("FillBackward0", lambda x, v: np.full(x.shape, v, x.dtype), keeps=False)
ZERO = Operation("ZeroBackward0", lambda x: np.zeros(x.shape, x.dtype), keeps=False)


def _filled(self: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return applied(FILL, [self, to(value, self._dtype)])
    filling = np.array(fitting(value, self._dtype)).astype(self._dtype)
    return held(np.full(self._aval_shape(), filling))


def fill(input: Tensor, value: Any) -> Tensor:
    """A Tensor of that shape with one number."""
    return _filled(input, value)


_enter("fill_", fill)
_enter("copy_", lambda x, src, non_blocking=False: shapes.expand(
    to(as_tensor(src), x._dtype), x._aval_shape()))  # fmt: skip
_enter("zero_", lambda x: held(np.zeros(x._aval_shape(), x._dtype)))


def _diagonal_filled(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    array = np.zeros(self._aval_shape(), bool)
    np.fill_diagonal(array, True, wrap)
    return indexing.masked_fill(self, held(array), fill_value)


_enter("fill_diagonal_", _diagonal_filled)


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with elements written (or added) at places of the flat Tensor."""
    flat = shapes.reshape(input, -1)
    moved = scatters.index_put(flat, (index.reshape(-1),), source.reshape(-1), accumulate)
    return moved.reshape(input._aval_shape())


method("put")(put)
_enter("put_", put)

# ------------------------------------------------------------------ in other shapes


def _become(self: Tensor, shown: Tensor) -> Tensor:
    """Show what a view of this Tensor shows."""
    if recording.on and self._node is None and self._requires:
        raise RuntimeError(LEAF_WRITE)
    known = self._view
    if shown._node is not None:
        self._node, self._index = shown._node, shown._index
        _own(self._node, self)
        self._array = None
    else:
        self._array = shown._array
    if isinstance(known, View):
        self._view = shown._view
    if not isinstance(known, View):
        self._view = None
    self._source = None
    if self._storage is not None:
        self._storage.version += 1
    return self


for _name in ("squeeze", "unsqueeze", "t", "transpose", "swapaxes", "swapdims"):
    _view = found(_name)

    def _in_shape(self: Tensor, *args: Any, _view: Any = _view, **kwargs: Any) -> Tensor:
        return _become(self, _view(self, *args, **kwargs))

    _in_shape.__name__ = f"{_name}_"
    setattr(Tensor, f"{_name}_", _in_shape)


@method("resize_")
def resize_(self: Tensor, *size: Any, memory_format: Any = None) -> Tensor:
    """Another shape; what is new is zero."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    wanted = shapes._sizes(size)
    array = np.zeros(wanted, self._dtype)
    old = self._own().reshape(-1)
    n = min(old.size, array.size)
    array.reshape(-1)[:n] = old[:n]
    self._hold(array, type(self._storage)())  # type: ignore[misc]
    return self


method("resize_as_")(lambda self, other, **_: self.resize_(*other.shape))


@method("set_")
def set_(self: Tensor, source: Tensor) -> Tensor:
    """The memory of another Tensor."""
    self._hold(source.detach()._own(), source._storage)  # type: ignore[arg-type]
    return self


@method("apply_")
def apply_(self: Tensor, callable: Any) -> Tensor:
    """A Python function of every element, in place."""
    if self.requires_grad:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use "
                           "var.detach().apply_() instead.")  # fmt: skip
    new = np.array([callable(v) for v in self._value().ravel().tolist()], self._dtype)
    return self._write(lambda: held(new.reshape(self._aval_shape())))


@method("map_")
def map_(self: Tensor, other: Tensor, callable: Any) -> Tensor:
    """A Python function of every two elements, in place."""
    pairs = zip(self._value().ravel().tolist(), other._value().ravel().tolist(), strict=True)
    new = np.array([callable(a, b) for a, b in pairs], self._dtype)
    return self._write(lambda: held(new.reshape(self._aval_shape())))


def zero_(input: Tensor) -> Tensor:
    """Zeros, in place."""
    return input.zero_()


def detach_(input: Tensor) -> Tensor:
    """Forget the history in place."""
    return input.detach_()


functions.update(fill=fill, put=put, zero_=zero_, detach_=detach_)

# ------------------------------------------------------------------ out=


def with_out(name: str, fn: Any) -> Any:
    """The function, which also takes `out=`, a Tensor to write the result into."""

    @functools.wraps(fn)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is None:
            return fn(*args, **kwargs)
        targets = out if isinstance(out, tuple | list) else (out,)
        given = [x for x in (*args, *targets) if isinstance(x, Tensor)]
        if recording.on and any(x.requires_grad for x in given):
            raise RuntimeError(
                f"{name}(): functions with out=... arguments don't support automatic "
                "differentiation, but one of the arguments requires grad."
            )
        results = fn(*args, **kwargs)
        pairs = zip(targets, results if isinstance(results, tuple) else (results,), strict=True)
        for target, result in pairs:
            _written(target, as_tensor(result))
        return out

    return call


def _written(target: Tensor, result: Tensor) -> None:
    if target._aval_shape() != result._aval_shape():
        target.resize_(*result._aval_shape())
    target._write(lambda: result)
