"""Between which numbers all elements of an integer lie: what an index need not be checked for."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from ..ir.access import view_map
from ..ir.core import Const, Op, Value

if TYPE_CHECKING:
    from .reader import Reader

Interval = tuple[float, float]
UNKNOWN: Interval = (-inf, inf)
DEEP = 24  # ops that are looked through
FAR = 1 << 62  # what reaches as far might leave 64 bits


def interval(w: Reader, v: Value) -> Interval:
    """The least and the largest number that an element may be; infinite where that is not known."""
    return _Search(w).of(v, DEEP)


class _Search:
    """The intervals that are found on the way to one."""

    def __init__(self, w: Reader) -> None:
        self.w = w
        self.known: dict[Value, Interval] = {}

    def of(self, v: Value, deep: int) -> Interval:
        """That of a value, by at most so many ops one after the other."""
        if isinstance(v, Const):
            return int(v.data), int(v.data)
        if v.dtype != "i64" or not deep:
            return UNKNOWN
        w, name = self.w, self.w.local.get(v)
        if name in w.ranges:
            return w.ranges[name]
        if v in w.bound:
            return self.of(w.bound[v].value, deep - 1)
        found = self.known.get(v)
        if found is None:
            op = w.plan.defs.get(v)
            found = self.known[v] = UNKNOWN if op is None else self._made(op, deep - 1)
        return found

    def _made(self, op: Op, deep: int) -> Interval:
        name = op.prim.name
        if name == "iota":
            return 0, int(op.outs[0].shape[op.attrs["axis"]]) - 1
        view = view_map(op)
        if view is not None:
            low, high = self.of(op.args[0], deep)
            return (min(low, 0), max(high, 0)) if view.windows else (low, high)
        if name == "gather":
            return self.of(op.args[0], deep)
        if name in ("concatenate", "select"):
            parts = [self.of(a, deep) for a in op.args[name == "select" :]]
            return min(p[0] for p in parts), max(p[1] for p in parts)
        if name in _ARITHMETIC:
            a, b = (self.of(x, deep) for x in op.args)
            return _ARITHMETIC[name](*a, *b)
        return UNKNOWN


def _sum(a: float, b: float, c: float, d: float) -> Interval:
    return _near(a + c, b + d)


def _difference(a: float, b: float, c: float, d: float) -> Interval:
    return _near(a - d, b - c)


def _product(a: float, b: float, c: float, d: float) -> Interval:
    if inf in map(abs, (a, b, c, d)):
        return UNKNOWN
    ends = a * c, a * d, b * c, b * d
    return _near(min(ends), max(ends))


def _near(low: float, high: float) -> Interval:
    return (low, high) if low > -FAR and high < FAR else UNKNOWN


_ARITHMETIC: dict[str, Callable[[float, float, float, float], Interval]] = {
    "add": _sum,
    "sub": _difference,
    "mul": _product,
    "minimum": lambda a, b, c, d: (min(a, c), min(b, d)),
    "maximum": lambda a, b, c, d: (max(a, c), max(b, d)),
}
