"""What is known of a value without its data: dtype and shape, and NumPy's rules for them."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

import numpy as np

from .records import dataclass

_NAMES = {
    "bool": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "u8": np.uint8,
    "u16": np.uint16,
    "u32": np.uint32,
    "u64": np.uint64,
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "c64": np.complex64,
    "c128": np.complex128,
}
NUMPY: dict[str, np.dtype] = {name: np.dtype(t) for name, t in _NAMES.items()}
_BY_NUMPY: dict[np.dtype, str] = {d: name for name, d in NUMPY.items()}
KIND: dict[str, str] = {name: d.kind for name, d in NUMPY.items()}  # b, i, u, f or c


class Extent(int):
    """An extent that knows which others are the same by construction, and whether it varies.

    It is an ordinary integer to everything but the names in a kernel's text.
    """

    label: Hashable
    varies: bool

    def __new__(cls, n: int, label: Hashable, varies: bool = False) -> Extent:
        made = super().__new__(cls, n)
        made.label, made.varies = label, varies
        return made

    def __add__(self, other: int) -> int:
        if other == 0:
            return self
        return Extent(int(self) + int(other), (self.label, int(other)), self.varies)

    def __sub__(self, other: int) -> int:
        return self + -other


@dataclass(frozen=True, slots=True)
class Aval:
    """Abstract value: a dtype name and a shape (-1 is an extent known at run time only)."""

    dtype: str
    shape: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    @property
    def kind(self) -> str:
        return KIND[self.dtype]


# The types of scalars: one object each, so that most comparisons end at the identity.
SCALARS: dict[str, Aval] = {name: Aval(name) for name in NUMPY}


def name_of(dtype: np.dtype) -> str:
    """The IR's name of a NumPy dtype; a TypeError if the IR has none."""
    name = _BY_NUMPY.get(dtype)
    if name is None:  # a byte-swapped or structured dtype, an object array, a string
        raise TypeError(f"arrays of dtype {dtype!r} are not supported; use a native numeric dtype")
    return name


def aval_of(x: object) -> Aval:
    """The abstract value of an array or NumPy scalar."""
    return Aval(name_of(x.dtype), x.shape)  # type: ignore[attr-defined]


def is_float(dtype: str) -> bool:
    """Whether values of this dtype carry derivatives."""
    return KIND[dtype] in "fc"


@lru_cache(maxsize=4096)
def promote(*dtypes: str) -> str:
    """The dtype NumPy gives a binary ufunc of strongly typed operands."""
    return name_of(np.result_type(*(NUMPY[d] for d in dtypes)))


_WEAK = {bool: 0, int: 1, float: 2, complex: 3}


@lru_cache(maxsize=4096)
def promote_weak(dtype: str, kind: type) -> str:
    """The dtype of an array op with a Python number of type `kind`, which is weak (NEP 50)."""
    example = {0: True, 1: 1, 2: 1.0, 3: 1j}[_WEAK[kind]]
    return name_of(np.result_type(NUMPY[dtype], example))


def default_dtype(kind: type) -> str:
    """The dtype of a Python number that meets no array."""
    return ("bool", "i64", "f64", "c128")[_WEAK[kind]]


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The common shape of operands, by NumPy's broadcasting; a ValueError if there is none."""
    first = shapes[0] if shapes else ()
    if all(s == first for s in shapes):
        return first
    n = max(map(len, shapes))
    out = [1] * n
    for s in shapes:
        for i, d in enumerate(s, n - len(s)):
            if d != 1:
                if out[i] not in (1, d):
                    listed = " ".join(str(tuple(t)) for t in shapes)
                    raise ValueError(
                        f"operands could not be broadcast together with shapes {listed}"
                    )
                out[i] = d
    return tuple(out)
