"""Arrays that were made while tracing and that their indices say: counts, triangles, diagonals.

What `np.arange`, `np.eye` and `np.tri` give, and what is made of that with numbers alone, is then
no input that a kernel reads but a comparison of two indices, of which passes know more.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Const, Op, Value
from ..ir.ops.elementwise import equal, greater_equal, less, not_equal, select, sub
from ..ir.ops.shape import iota
from ..ir.types import NUMPY
from .facts import Capture

FEW = 16  # rows or columns: smaller arrays become scalars, each a number


def said_by_indices(v: Value, c: Capture) -> list[Op]:
    """Ops that make the array a hidden input stands for, as this value; none if they cannot."""
    x = c.value
    if c.live or type(x) is not np.ndarray or x.dtype != NUMPY.get(v.dtype):
        return []
    make = _counting(v, x) or _diagonal(v, x)
    if make is None:
        return []
    with Builder(number=False) as b:
        make()
    last = b.ops[-1]
    return [*b.ops[:-1], Op(last.prim, last.args, last.attrs, (v,))]


def _counting(v: Value, x: np.ndarray) -> Callable[[], Value] | None:
    """An array that counts from 0 along an axis.

    Rows that are found by such indices are read one after the other, without looking at any.
    """
    if x.dtype != np.int64 or x.size < 2:
        return None
    axes = [d for d, n in enumerate(x.shape) if n == x.size]
    if not axes or not np.array_equal(x.reshape(-1), np.arange(x.size)):
        return None
    return lambda: iota(shape=v.shape, axis=axes[0], dtype=v.dtype)


def _diagonal(v: Value, x: np.ndarray) -> Callable[[], Value] | None:
    """A matrix of one number on a diagonal and one beside it, or on either side of a diagonal."""
    if x.ndim != 2 or min(x.shape) < FEW or x.dtype.kind not in "fb" or x.dtype.itemsize > 8:
        return None
    bits = x.view(f"u{x.itemsize}") if x.flags.c_contiguous else None
    if bits is None:
        return None
    # The elements by column minus row, each as often as it comes in a row of equal ones.
    line = np.concatenate([bits[::-1, 0], bits[0, 1:]])
    cuts = np.flatnonzero(line[1:] != line[:-1])[:3] + 1
    alone = len(cuts) == 2 and cuts[1] - cuts[0] == 1 and line[0] == line[-1]
    if not (alone or len(cuts) == 1) or not np.array_equal(bits[1:, 1:], bits[:-1, :-1]):
        return None
    numbers = np.concatenate([x[::-1, 0], x[0, 1:]])
    first, second = (Const(numbers[k], v.dtype) for k in (cuts[0] - 1, cuts[0]))
    k = int(cuts[0]) - x.shape[0] + 1  # column minus row of the first element that differs

    inside, outside = (equal, not_equal) if alone else (greater_equal, less)

    def make() -> Value:
        rows, columns = (iota(shape=v.shape, axis=d, dtype="i64") for d in (0, 1))
        ahead = sub(columns, rows)
        if v.dtype == "bool":
            return inside(ahead, k) if second.data else outside(ahead, k)
        if second.data == 0:
            return select(outside(ahead, k), first, second)
        return select(inside(ahead, k), second, first)

    return make
