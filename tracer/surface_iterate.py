"""Python loops over elements that NumPy runs: np.vectorize, np.nditer, np.broadcast."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..ir import ops
from ..ir.types import Aval
from . import intercept
from .intercept import DECLINE
from .promote import dtype_name
from .refusals import refused
from .surface import FUNCTIONS, array, cast, filled, holds_tracer, value, values, wrap
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


_UNSEEN = {"external_loop", "buffered", "delay_bufalloc", "reduce_ok", "ranged", "copy_if_overlap"}


def _nditer(original: Any, user: bool, args: Any, kwargs: Any) -> Any:
    """np.nditer of traced arrays."""
    given = dict(zip(("op", "flags", "op_flags", "op_dtypes", "order"), args, strict=False))
    given |= {k: v for k, v in kwargs.items() if k != "casting"}
    operands = given.get("op")
    if not any(map(holds_tracer, operands if isinstance(operands, (list, tuple)) else [operands])):
        return DECLINE
    flags = tuple(given.get("flags") or ())
    if _UNSEEN & {*flags} or not {*given} <= {"op", "flags", "op_flags", "op_dtypes", "order"}:
        raise refused("numpy.nditer", "with these options")
    return Walk(**given)


class Walk:
    """np.nditer: over elements, as 0-d views, in the order of memory.

    Operands that are "readwrite" or "writeonly", and those allocated for None, may be written.
    """

    def __init__(
        self,
        op: Any,
        flags: Any = (),
        op_flags: Any = None,
        op_dtypes: Any = None,
        order: Any = "K",
    ) -> None:
        self._several = isinstance(op, (list, tuple)) and len(op) > 1
        given = list(op) if isinstance(op, (list, tuple)) else [op]
        known = [handle(x) for x in given if x is not None]
        self.shape: tuple[int, ...] = np.broadcast_shapes(*(h.shape for h in known))
        self.ndim, self.nop = len(self.shape), len(given)
        self.itersize, self.iterindex = math.prod(self.shape), 0
        made = _dtype_of(op_dtypes) or values(*known)[0].aval.dtype
        self.operands = tuple(
            array(filled(0, Aval(made, self.shape))) if x is None else handle(x) for x in given
        )
        writes = _written(op_flags, given)
        self._arrays = []
        for h, written in zip(self.operands, writes, strict=True):
            if written and h.shape != self.shape:
                raise ValueError(f"non-broadcastable operand with shape {h.shape}")
            self._arrays.append(h if written else FUNCTIONS[np.broadcast_to](h, self.shape))
        axes = list(range(self.ndim))
        if order == "K" and self.nop == 1:
            axes = _in_memory(self.operands[0])
        elif order == "F":
            axes = axes[::-1]
        back = [axes.index(i) for i in range(self.ndim)]
        turned = np.ndindex(*(self.shape[i] for i in axes))
        self._places = [tuple(place[k] for k in back) for place in turned]
        self._fortran = "f_index" in (flags or ())

    @property
    def finished(self) -> bool:
        """Whether all elements were seen."""
        return self.iterindex >= self.itersize

    @property
    def multi_index(self) -> tuple[int, ...]:
        """The place of the element."""
        return self._places[self.iterindex]

    @property
    def index(self) -> int:
        """The place of the element, counted in C order or in Fortran's."""
        shape, place = self.shape, self.multi_index
        if self._fortran:
            shape, place = shape[::-1], place[::-1]
        return int(np.ravel_multi_index(place, shape)) if shape else 0

    @property
    def value(self) -> Any:
        """The element, or a tuple of them."""
        items = tuple(a[(*self.multi_index, ...)] for a in self._arrays)
        return items if self._several else items[0]

    def __getitem__(self, k: Any) -> Any:
        return self._arrays[k][(*self.multi_index, ...)]

    def __setitem__(self, k: Any, x: Any) -> None:
        self._arrays[k][(*self.multi_index, ...)] = x

    def __len__(self) -> int:
        return self.nop

    def iternext(self) -> bool:
        """Go on; whether there is another element."""
        self.iterindex += 1
        return not self.finished

    def reset(self) -> None:
        """Start again."""
        self.iterindex = 0

    def __iter__(self) -> Iterator[Any]:
        while not self.finished:
            yield self.value
            self.iterindex += 1

    def __enter__(self) -> Walk:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def close(self) -> None:
        """What was written is in the operands already."""


def _dtype_of(op_dtypes: Any) -> str | None:
    """The dtype that is asked for where an operand is made."""
    asked = op_dtypes if isinstance(op_dtypes, (list, tuple)) else [op_dtypes]
    named = [d for d in asked if d is not None]
    return dtype_name(named[-1]) if named else None


def _written(op_flags: Any, given: Sequence[Any]) -> list[bool]:
    """Which operands may be written; without flags those that are made here."""
    if not op_flags:
        return [x is None for x in given]
    each = op_flags if isinstance(op_flags[0], (list, tuple)) else [op_flags] * len(given)
    return [bool({"readwrite", "writeonly"} & {*modes}) for modes in each]


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
