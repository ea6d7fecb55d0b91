"""One implementation for arrays and Tensors: functions in NumPy's terms, recorded for Tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..eager.tape import Operation, record
from ..eager.tensor_object import Tensor, as_tensor, shown
from ..ir.prim import Prim
from ..tracer.place import here
from ..tracer.record import recorder
from ..tracer.surface import array, is_tracer, values
from ..tracer.trace import lift


class Lifted:
    """A function of arrays (None where one is left out) and static settings given by name.

    Called with a Tensor it is one operation of the graph; else it just runs.
    """

    def __init__(self, name: str, fn: Callable[..., Any], keeps: bool = True) -> None:
        self.name = name
        self.fn = fn
        self.keeps = keeps
        self._operations: dict[tuple[bool, ...], Operation] = {}
        functools.update_wrapper(self, fn)

    def __call__(self, *xs: Any, **statics: Any) -> Any:
        if not any(isinstance(x, Tensor) for x in xs):
            return self.fn(*xs, **statics)
        if any(map(is_tracer, xs)):
            raise TypeError(
                f"{self.fn.__name__.strip('_')}: Tensors cannot be read inside a traced function; "
                "pass the module (its parameters are arrays there), or arrays, as an argument"
            )
        refs = tuple([as_tensor(x)._ref() for x in xs if x is not None])
        operation = self._operation(tuple([x is not None for x in xs]))
        node = record(operation, refs, (tuple(statics.items()),))
        if len(node.avals) == 1:
            return shown(node)
        return tuple([shown(node, i) for i in range(len(node.avals))])

    def _operation(self, present: tuple[bool, ...]) -> Operation:
        known = self._operations.get(present)
        if known is None:

            def fn(*given: Any) -> Any:
                *arrays, statics = given
                rest = iter(arrays)
                return self.fn(*(next(rest) if p else None for p in present), **dict(statics))

            known = self._operations[present] = Operation(self.name, fn, self.keeps)
        return known


def lifted(name: str, keeps: bool = True) -> Callable[[Callable[..., Any]], Lifted]:
    """Make a function of arrays one of Tensors as well; `name` is what the graph shows."""
    return lambda fn: Lifted(name, fn, keeps)


def row(prim: Prim, *xs: Any, **attrs: Any) -> Any:
    """One row of the IR on arrays: recorded in a trace, else evaluated."""
    if any(map(is_tracer, xs)):
        recorder().builder.where = here()
        return array(prim(*values(*xs), **attrs))
    dtype = np.result_type(*xs)
    return prim.ref(*(np.asarray(x, dtype) for x in xs), **attrs)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a Tensor or of anything array-like."""
    if isinstance(x, Tensor):
        return x._aval_shape()
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def same_dtype(name: str, *xs: Any) -> None:
    """Refuse Tensors of different dtypes; arrays are promoted as NumPy does."""
    kinds = {x.dtype for x in xs if isinstance(x, Tensor)}
    if len(kinds) > 1:
        raise RuntimeError(
            f"{name}: the Tensors have dtypes {' and '.join(sorted(map(str, kinds)))}; "
            "convert one, by .float() or .double()"
        )


def tracing(*xs: Any) -> bool:
    """Whether a value of an open trace is among these."""
    return any(map(is_tracer, xs))


def rows_of(table: Any, index: Any) -> Any:
    """Rows of an array by number."""
    if is_tracer(index) and not is_tracer(table):
        table = lift(table)
    return np.take(table, index, axis=0)


def blank(shape: tuple[int, ...], like: Any) -> Any:
    """Zeros of this dtype that parts of `like` can be written into."""
    zeros = np.zeros(shape, np.dtype(like.dtype))
    return lift(zeros) if is_tracer(like) else zeros


def over(input: Any, result: Any) -> Any:
    """A result as the new value of the Tensor that it was made of; arrays stay what they were.

    Raises RuntimeError for a leaf that requires grad.
    """
    if not isinstance(input, Tensor):
        return result
    pending = input._node is not None and not input._view  # no memory that another one shares
    if pending and (result._tracked() or not input._tracked()):
        return input._replace(result)
    return input._write(lambda: result)
