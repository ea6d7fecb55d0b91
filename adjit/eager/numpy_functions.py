"""NumPy's functions on Tensors, through NumPy's protocols: recorded like any other operation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tracer.surface import is_tracer
from ..tracer.tree import Tree, flatten, register_leaf
from . import functions as F
from .arithmetic import method
from .modes import recording
from .tape import Operation, record
from .tensor_object import Tensor, held, shown

register_leaf(Tensor)

_TITLES = {
    np.add: "Add", np.subtract: "Sub", np.multiply: "Mul", np.divide: "Div", np.power: "Pow",
    np.negative: "Neg", np.absolute: "Abs", np.matmul: "Mm", np.reshape: "View",
    np.concatenate: "Cat",
}  # fmt: skip
_OPERATORS: dict[Any, Any] = {
    np.add: F.add, np.subtract: F.sub, np.multiply: F.mul, np.divide: F.div, np.power: F.pow,
    np.equal: F.eq, np.not_equal: F.ne, np.less: F.lt, np.less_equal: F.le, np.greater: F.gt,
    np.greater_equal: F.ge,
}  # fmt: skip
# What only looks at values or shapes: answered from the arrays, whatever is recorded.
_FACTS = {
    np.shape, np.ndim, np.size, np.allclose, np.array_equal, np.isclose, np.array_repr,
    np.array_str, np.array2string, np.shares_memory, np.may_share_memory, np.result_type,
    np.iscomplexobj, np.isrealobj, np.nonzero, np.argwhere, np.unique, np.histogram, np.save,
}  # fmt: skip
_operations: dict[Any, tuple[Operation, list[Any]]] = {}


@method("__array_ufunc__")
def on_ufunc(
    self: Tensor, ufunc: np.ufunc, how: str, *inputs: Any, out: Any = None, **options: Any
) -> Any:
    """A ufunc, or one of its methods; `out` is written in place."""
    entry = _OPERATORS.get(ufunc)
    if how == "__call__" and entry is not None and not options:
        inputs = tuple(x if not isinstance(x, np.ndarray) else held(x) for x in inputs)

        def compute() -> Any:
            return entry(*inputs)
    else:
        call = ufunc if how == "__call__" else getattr(ufunc, how)

        def compute() -> Any:
            return _answer(call, inputs, options)

    if out is None:
        return compute()
    (target,) = out
    if not isinstance(target, Tensor):
        raise TypeError(f"np.{ufunc.__name__}: out= is an array; use x.detach().numpy() as operand")
    return target._write(compute)


@method("__array_function__")
def on_function(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """Any other function of NumPy's."""
    return _answer(func, args, kwargs)


def _answer(func: Any, args: Any, kwargs: Any) -> Any:
    leaves, tree = flatten((args, kwargs))
    tracked = any(isinstance(x, Tensor) and x.requires_grad for x in leaves)
    if func not in _FACTS and recording.on and tracked:
        return _recorded(func, leaves, tree)
    given, named = tree.unflatten([x._value() if isinstance(x, Tensor) else x for x in leaves])
    return _wrapped(func(*given, **named)) if func not in _FACTS else func(*given, **named)


def _wrapped(x: Any) -> Any:
    if isinstance(x, np.ndarray) and x.dtype.kind in "biufc":
        return held(np.array(x))
    if isinstance(x, np.generic):
        return held(np.array(x))
    if type(x) in (tuple, list):
        return type(x)(map(_wrapped, x))
    return x


def _recorded(func: Any, leaves: list[Any], tree: Tree) -> Any:
    moving = tuple(isinstance(x, Tensor | np.ndarray) for x in leaves)
    fixed = tuple((type(x), x) for x, m in zip(leaves, moving, strict=True) if not m)
    key = (func, getattr(func, "__self__", None), tree, moving, fixed)
    if key not in _operations:
        _operations[key] = _operation(func, leaves, tree, moving)
    operation, kind = _operations[key]
    operands = [
        x if isinstance(x, Tensor) else held(x) for x, m in zip(leaves, moving, strict=True) if m
    ]
    node = record(operation, tuple(x._ref() for x in operands))
    results = [shown(node, i) for i in range(len(node.avals))]
    return kind[0](results) if kind[0] is not None else results[0]


def _operation(
    func: Any, leaves: list[Any], tree: Tree, moving: tuple[bool, ...]
) -> tuple[Operation, list[Any]]:
    """The operation, and (once it was traced) the container of its results."""
    kind: list[Any] = [None]
    fixed = [None if m else x for x, m in zip(leaves, moving, strict=True)]

    def call(*operands: Any) -> Any:
        rest = iter(operands)
        args, kwargs = tree.unflatten(
            [next(rest) if m else x for x, m in zip(fixed, moving, strict=True)]
        )
        found = func(*args, **kwargs)
        if not is_tracer(found):
            if type(found) not in (tuple, list) or not all(map(is_tracer, found)):
                raise TypeError(
                    f"np.{func.__name__} of a Tensor that requires grad is no array; use x.detach()"
                )
            kind[0] = type(found)
        return found

    name = _TITLES.get(func, "".join(w.capitalize() for w in func.__name__.split("_")))
    return Operation(f"{name}Backward0", call), kind
