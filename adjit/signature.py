"""What selects a variant: the structure of a call and, per leaf, dtype, shape and layout."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .ir.records import dataclass
from .ir.types import NUMPY
from .lying import SMALL, Lie, lie_of
from .tracer.tree import Tree, flatten, register_container


@dataclass(frozen=True, slots=True)
class Spec:
    """What a variant knows of one leaf.

    kind    "array", "scalar" (NumPy scalar), "python" (int, float, complex), or "other"
    layout  "C", "F", "S" for other strides that are worth a program, "A" for any
    lie     how the elements lie in memory, where that is not C order
    """

    kind: str
    type: type
    dtype: np.dtype
    shape: tuple[int, ...] = ()
    layout: str = "C"
    lie: Lie | None = None

    def __str__(self) -> str:
        if self.kind == "python":
            return self.type.__name__
        order = {"C": "", "F": " in F order", "A": ", strided"}.get(self.layout, "")
        if self.lie is not None and self.layout == "S":
            axes = tuple(range(len(self.shape)))
            turned = "" if self.lie.order == axes else f", axes {list(self.lie.order)}"
            order = f" within {list(self.lie.room)}{turned}"
        scalar = " scalar" if self.kind == "scalar" else list(self.shape)
        return f"{self.dtype}{scalar}{order}"


@dataclass(frozen=True, slots=True)
class Signature:
    """The structure of a call `(args, kwargs)` and the specs of its leaves."""

    tree: Tree
    specs: tuple[Spec, ...]

    def describe(self, names: Sequence[str]) -> str:
        """The call in words: `w: float64[3], lr: float`."""
        return ", ".join(f"{n}: {s}" for n, s in zip(names, self.specs, strict=True))


_PYTHON = {float: Spec("python", float, np.dtype(float)), int: Spec("python", int, np.dtype(int))}
_PYTHON[complex] = Spec("python", complex, np.dtype(complex))


_OWN = {d: d for d in NUMPY.values()}


def spec_of(leaf: Any) -> Spec:
    """The spec of one leaf."""
    kind = type(leaf)
    if kind is np.ndarray:
        return Spec("array", kind, leaf.dtype, leaf.shape, *layout_of(leaf))
    known = _PYTHON.get(kind)
    if known is not None:
        if kind is int and not -(2**63) <= leaf < 2**63:
            raise OverflowError(
                f"Python integer {leaf} out of bounds for int64; pass it as a float"
            )
        return known
    if isinstance(leaf, np.generic):
        return Spec("scalar", kind, leaf.dtype)
    # A subclass of ndarray or of a number: whether it can be traced is the tracer's to say.
    return Spec("other", kind, getattr(leaf, "dtype", np.dtype(object)), getattr(leaf, "shape", ()))


def layout_of(x: np.ndarray) -> tuple[str, Lie | None]:
    """The layout class of an array, and how it lies."""
    flags = x.flags
    if flags.c_contiguous:
        return "C", None
    lie = lie_of(x)
    if lie is None or (x.size < SMALL and x.size < prod(lie.room)):
        return "A", None
    return "F" if flags.f_contiguous else "S", lie


@dataclass(frozen=True, slots=True)
class Fixed:
    """An integer that the program depends on, as a container without leaves: see `fixing`."""

    value: Any


register_container(Fixed, lambda x: ((), (type(x.value), x.value)), lambda data, _: data[1])


def signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], Signature]:
    """The leaves of a call as plain, aligned arrays, and its signature."""
    leaves, tree = flatten((args, kwargs))
    leaves = [x if type(x) in _PYTHON else _plain(x) for x in leaves]
    return leaves, Signature(tree, tuple(map(spec_of, leaves)))


def _plain(x: Any) -> Any:
    """A leaf that machine code can read: aligned, no memory map, no subclass of a number."""
    if isinstance(x, np.ndarray):
        return plain_array(x)
    if isinstance(x, np.generic):
        return x
    return next((kind(x) for kind in _PYTHON if isinstance(x, kind)), x)


def own_dtype(dtype: np.dtype) -> np.dtype:
    """The one object for equal dtypes, which may be two: unpickled ones for instance."""
    return _OWN.get(dtype, dtype)


def plain_array(x: Any) -> Any:
    """An array as machine code can read it; whatever else it may be, as it is."""
    if isinstance(x, np.memmap):
        x = x.view(np.ndarray)
    if type(x) is not np.ndarray:
        return x  # whether it can be traced is the tracer's to say
    if not x.flags.aligned:
        x = x.copy()
    own = own_dtype(x.dtype)
    return x if own is x.dtype else x.view(own)
