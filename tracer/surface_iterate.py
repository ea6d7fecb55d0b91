"""Python loops over elements that NumPy runs: np.vectorize, np.nditer, np.broadcast."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..ir import ops
from . import intercept
from .intercept import DECLINE
from .promote import dtype_name
from .refusals import refused
from .surface import FUNCTIONS, cast, holds_tracer, value, values, wrap
from .surface_shape import handle
from .tracer import Tracer

_shape = ops.shape

# ------------------------------------------------------------------ np.vectorize


def _vectorized(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """A call of an np.vectorize object: its function once per element, or per core array."""
    self, *given = args
    if not any(map(holds_tracer, (*given, *kwargs.values()))):
        return DECLINE
    names = [k for k in kwargs if k not in self.excluded]
    fixed = {i: a for i, a in enumerate(given) if i in self.excluded}
    moving = [a for i, a in enumerate(given) if i not in fixed] + [kwargs[k] for k in names]
    kept = {k: v for k, v in kwargs.items() if k in self.excluded}

    def call(*items: Any) -> Any:
        rest = iter(items)
        places = [fixed[i] if i in fixed else next(rest) for i in range(len(given))]
        return self.pyfunc(*places, **dict(zip(names, rest, strict=True)), **kept)

    cores, outs = _signature(self.signature, len(moving))
    arrays = [handle(a) for a in moving]
    for a, core in zip(arrays, cores, strict=True):
        if a.ndim < core:
            raise ValueError(
                f"{a.ndim}-dimensional argument does not have enough dimensions for all core "
                f"dimensions of the signature {self.signature!r}"
            )
    lead = np.broadcast_shapes(*(a.shape[: a.ndim - c] for a, c in zip(arrays, cores, strict=True)))
    wide = [
        FUNCTIONS[np.broadcast_to](a, lead + a.shape[a.ndim - c :])
        for a, c in zip(arrays, cores, strict=True)
    ]
    # NumPy hands Python's numbers out, which shows in float32 where the result's dtype is given.
    plain = bool(self.otypes) and not any(cores)
    items = [[w[i].item() if plain else w[i] for w in wide] for i in np.ndindex(*lead)]
    results = [call(*item) for item in items]
    if not results:
        raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
    several = isinstance(results[0], tuple) if outs is None else outs > 1
    return _gathered(results, lead, several, self.otypes)


def _signature(text: str | None, count: int) -> tuple[list[int], int | None]:
    """How many core dims each argument has, and how many results there are."""
    if text is None:
        return [0] * count, None
    left, _, right = text.replace(" ", "").partition("->")
    groups = re.findall(r"\(([^)]*)\)", left)
    if len(groups) != count:
        raise TypeError(
            f"wrong number of positional arguments: expected {len(groups)}, got {count}"
        )
    return [len([n for n in g.split(",") if n]) for g in groups], len(re.findall(r"\(", right))


def _gathered(results: Sequence[Any], lead: Any, several: bool, otypes: Any) -> Any:
    columns = list(zip(*results, strict=True)) if several else [results]
    outs = []
    for k, column in enumerate(columns):
        stacked = _shape.stack(values(*column))
        v = _shape.reshaped(stacked, tuple(lead) + stacked.shape[1:])
        outs.append(wrap(cast(v, dtype_name(otypes[k])) if otypes else v, "array"))
    return tuple(outs) if several else outs[0]


# ------------------------------------------------------------------ np.nditer, np.broadcast


def _in_memory(h: Tracer) -> list[int]:
    """The axes of an array from the outermost of its memory to the innermost."""
    strides = h.strides
    return sorted(range(h.ndim), key=lambda i: -abs(strides[i]))


def _nditer(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """np.nditer of arrays that are read: 0-d arrays, in the order of memory."""
    ops_ = args[0] if args else kwargs.get("op")
    operands = list(ops_) if isinstance(ops_, (list, tuple)) else [ops_]
    if not any(map(holds_tracer, operands)):
        return DECLINE
    flags = kwargs.get("flags", args[1] if len(args) > 1 else ())
    writes = any("read" not in f for f in kwargs.get("op_flags", ()) if isinstance(f, str))
    if {"multi_index", "external_loop", "c_index", "f_index"} & set(flags) or writes:
        raise refused("numpy.nditer", "with these flags")
    return _elements(operands, isinstance(ops_, (list, tuple)), kwargs.get("order", "K"))


def _elements(operands: Sequence[Any], several: bool, order: str) -> Iterator[Any]:
    arrays = list(FUNCTIONS[np.broadcast_arrays](*operands)) if len(operands) > 1 else [
        handle(operands[0])]  # fmt: skip
    if order == "K" and len(arrays) == 1:
        arrays = [FUNCTIONS[np.transpose](arrays[0], _in_memory(arrays[0]))]
    elif order == "F":
        arrays = [FUNCTIONS[np.transpose](a) for a in arrays]
    for i in np.ndindex(*arrays[0].shape):
        items = tuple(a[(*i, ...)] for a in arrays)
        yield items if several and len(items) > 1 else items[0]


class Broadcast:
    """What np.broadcast of traced arrays knows, and an iteration over tuples of elements."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        shapes = [value(a).shape for a in arrays]
        try:
            self.shape = np.broadcast_shapes(*shapes)
        except ValueError:
            raise ValueError(
                "shape mismatch: objects cannot be broadcast to a single shape: "
                f"{' '.join(map(str, shapes))}"
            ) from None
        self._lines = [
            FUNCTIONS[np.ravel](FUNCTIONS[np.broadcast_to](handle(a), self.shape)) for a in arrays
        ]
        self.index = 0
        self.numiter = len(arrays)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    nd = ndim

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def iters(self) -> tuple[Any, ...]:
        return tuple(iter(line) for line in self._lines)

    def reset(self) -> None:
        """Start again."""
        self.index = 0

    def __iter__(self) -> Broadcast:
        return self

    def __next__(self) -> tuple[Any, ...]:
        if self.index >= self.size:
            raise StopIteration
        self.index += 1
        return tuple(line[self.index - 1] for line in self._lines)


def _broadcast(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    return Broadcast(args) if any(map(holds_tracer, args)) else DECLINE


def fill_table() -> None:
    """Enter what is swapped while a trace is open."""
    intercept.enter(np.vectorize, "__call__", _vectorized, direct=False)
    intercept.enter(np, "nditer", _nditer)
    intercept.enter(np, "broadcast", _broadcast)
