"""One implementation for arrays and Tensors: functions in NumPy's terms, recorded for Tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..eager.arithmetic import operands
from ..eager.elementwise import to
from ..eager.saved import scalar_name
from ..eager.tape import Operation, of_row, record, rows
from ..eager.tensor_object import Tensor, as_tensor, shown
from ..tracer.surface import is_tracer
from ..tracer.trace import lift


class Lifted:
    """A function of arrays (None where one is left out) and static settings given by name.

    Called with a Tensor it is one operation of the graph; else it just runs.
    """

    def __init__(
        self, name: str | Callable[..., str], fn: Callable[..., Any], keeps: bool = True
    ) -> None:
        self.name = name
        self.fn = fn
        self.keeps = keeps
        self._operations: dict[Any, Operation] = {}
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
        name = self.name if isinstance(self.name, str) else self.name(*xs, **statics)
        operation = self._operation(tuple([x is not None for x in xs]), name)
        node = record(operation, refs, (tuple(statics.items()),))
        if len(node.avals) == 1:
            return shown(node)
        return tuple([shown(node, i) for i in range(len(node.avals))])

    def _operation(self, present: tuple[bool, ...], name: str) -> Operation:
        known = self._operations.get((present, name))
        if known is None:

            def fn(*given: Any) -> Any:
                *arrays, statics = given
                rest = iter(arrays)
                return self.fn(*(next(rest) if p else None for p in present), **dict(statics))

            known = self._operations[present, name] = Operation(name, fn, self.keeps)
        return known


def lifted(
    name: str | Callable[..., str], keeps: bool = True
) -> Callable[[Callable[..., Any]], Lifted]:
    """Make a function of arrays one of Tensors as well; `name` is what the graph shows.

    The name may be a function of the arguments.
    """
    return lambda fn: Lifted(name, fn, keeps)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a Tensor or of anything array-like."""
    if isinstance(x, Tensor):
        return x._aval_shape()
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


# What PyTorch says of operands of different dtypes: by its names of them, or by those of C.
DIFFER = "expected scalar type {0} but found {1}"
MATRICES = "mat1 and mat2 must have the same dtype, but got {1} and {0}"
IMAGES = "Input type ({3}) and bias type ({2}) should be the same"
_C_NAMES = {"Long": "long int", "Byte": "unsigned char", "Char": "signed char"}


def same_dtype(name: str, *xs: Any, words: str = DIFFER) -> None:
    """Refuse Tensors of different dtypes; arrays are promoted as NumPy does."""
    found = [x.dtype for x in xs if isinstance(x, Tensor)]
    other = next((d for d in found if d != found[0]), None)
    if other is not None:
        first = found[0]
        mine, its = scalar_name(first.dtype), scalar_name(other.dtype)
        in_c = [_C_NAMES.get(n, n.lower()) for n in (its, mine)]
        raise RuntimeError(
            f"{words.format(its, mine, *in_c)}\n  {name}: the Tensors have dtypes {first} and "
            f"{other}; convert one, by .float() or .double()"
        )


def alike(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Two Tensors in their common dtype: PyTorch's, where whole numbers do not widen floats."""
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)) or x._dtype == y._dtype:
        return x, y
    dtype = operands(name, x, y)[0]
    return to(x, dtype), to(y, dtype)


def tracing(*xs: Any) -> bool:
    """Whether a value of an open trace is among these."""
    return any(map(is_tracer, xs))


def unknown(x: Any) -> bool:
    """Whether it stands for one row of what `vmap` maps over, whose values are not known."""
    return rows.open > 0 and isinstance(x, Tensor) and of_row(x._ref()[0])


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
