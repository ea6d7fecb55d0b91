"""New Tensors: from data, filled, counted and drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import method
from .dtypes import device as placed
from .promotion import default
from .shapes import _sizes
from .storage import Storage
from .tape import rows
from .tensor_object import Tensor, held, plain

# What `tensors` shows.
# fmt: off
__all__ = [
    "BoolTensor", "DoubleTensor", "FloatTensor", "Generator", "IntTensor", "LongTensor",
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like",
    "linspace", "logspace", "manual_seed", "meshgrid", "normal", "ones", "ones_like", "rand",
    "rand_like", "randint", "randn", "randn_like", "randperm", "tensor", "zeros", "zeros_like",
]
# fmt: on


def _made(array: np.ndarray, requires_grad: bool) -> Tensor:
    t = held(array)
    return t.requires_grad_() if requires_grad else t


def tensor(
    data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **_: Any
) -> Tensor:
    """A copy of the data; Python's floats are single precision, NumPy's arrays keep their dtype."""
    if device is not None:
        placed(device)
    return _made(plain(data, dtype), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The Tensor itself, a Tensor on the memory of an array, or a copy."""
    if device is not None:
        placed(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and dtype in (None, data.dtype):
        return from_numpy(data)
    return tensor(data, dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A Tensor on the memory of an array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(array).__name__})")
    if array.dtype.kind not in "biufc" or not array.dtype.isnative:
        raise TypeError(f"a Tensor cannot have dtype {array.dtype}")
    return held(array, Storage(exported=True))


def _typed(dtype: Any) -> Any:
    def make(*data: Any) -> Tensor:
        if data and all(type(n) is int for n in data):
            return held(np.zeros(data, dtype))
        return held(plain(data[0] if data else [], dtype))

    return make


FloatTensor = _typed(np.float32)
DoubleTensor = _typed(np.float64)
LongTensor = _typed(np.int64)
IntTensor = _typed(np.int32)
BoolTensor = _typed(np.bool_)


# ------------------------------------------------------------------ filled


def zeros(
    *size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **rest: Any
) -> Tensor:
    """Zeros."""
    if device is not None:
        placed(device)
    wanted = rest.get("size", size)
    return _made(np.zeros(_sizes(wanted), dtype or default()), requires_grad)


def ones(
    *size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **rest: Any
) -> Tensor:
    """Ones."""
    if device is not None:
        placed(device)
    wanted = rest.get("size", size)
    return _made(np.ones(_sizes(wanted), dtype or default()), requires_grad)


empty = zeros


def full(
    size: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False,
    device: Any = None, **_: Any,
) -> Tensor:  # fmt: skip
    """One number everywhere."""
    if device is not None:
        placed(device)
    kind = dtype or (plain(fill_value).dtype)
    return _made(np.full(_sizes((size,)), fill_value, kind), requires_grad)


def eye(
    n: int, m: int | None = None, dtype: Any = None, requires_grad: bool = False,
    device: Any = None, **_: Any,
) -> Tensor:  # fmt: skip
    """Ones on the diagonal."""
    if device is not None:
        placed(device)
    return _made(np.eye(n, m, dtype=dtype or default()), requires_grad)


def _like(make: Any) -> Any:
    def call(input: Tensor, dtype: Any = None, requires_grad: bool = False, **rest: Any) -> Tensor:
        kind = dtype or input.dtype
        return make(tuple(input.shape), dtype=kind, requires_grad=requires_grad, **rest)

    call.__name__ = f"{make.__name__}_like"
    return call


zeros_like = _like(zeros)
ones_like = _like(ones)
empty_like = zeros_like


def full_like(input: Tensor, fill_value: Any, dtype: Any = None, **rest: Any) -> Tensor:
    """One number in the shape of a Tensor."""
    return full(tuple(input.shape), fill_value, dtype or input.dtype, **rest)


@method("new_zeros")
def _new_zeros(self: Tensor, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return zeros(*size, dtype=dtype or self.dtype, **rest)


@method("new_ones")
def _new_ones(self: Tensor, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return ones(*size, dtype=dtype or self.dtype, **rest)


@method("new_full")
def _new_full(self: Tensor, size: Any, fill_value: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return full(size, fill_value, dtype=dtype or self.dtype, **rest)


@method("new_empty")
def _new_empty(self: Tensor, *size: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return zeros(*size, dtype=dtype or self.dtype, **rest)


@method("new_tensor")
def _new_tensor(self: Tensor, data: Any, dtype: Any = None, **rest: Any) -> Tensor:
    return tensor(data, dtype or self.dtype, **rest)


# ------------------------------------------------------------------ counted


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False,
    device: Any = None, **_: Any,
) -> Tensor:  # fmt: skip
    """Numbers at equal distances; integers from integers."""
    if device is not None:
        placed(device)
    if end is None:
        start, end = 0, start
    whole = all(isinstance(x, int | np.integer) for x in (start, end, step))
    kind = dtype or (np.int64 if whole else default())
    count = max(int(np.ceil((end - start) / step)), 0)
    return _made((start + step * np.arange(count)).astype(kind), requires_grad)


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False,
    device: Any = None, **_: Any,
) -> Tensor:  # fmt: skip
    """So many numbers from start to end; the second half is counted from the end."""
    if device is not None:
        placed(device)
    kind = np.dtype(dtype or default())
    a, b, i = kind.type(start), kind.type(end), np.arange(steps)
    step = (b - a) / kind.type(max(steps - 1, 1))
    up, down = a + step * i.astype(kind), b - step * i[::-1].astype(kind)
    return _made(
        np.where(i < steps // 2, up, down).astype(kind) if steps > 1 else up, requires_grad
    )


def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None,
    requires_grad: bool = False, device: Any = None, **_: Any,
) -> Tensor:  # fmt: skip
    """Powers of the base at equal distances of the exponent."""
    if device is not None:
        placed(device)
    found = base ** np.linspace(start, end, steps)
    return _made(found.astype(dtype or default()), requires_grad)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid."""
    arrays = [t._value() for t in tensors]
    return tuple(held(x.copy()) for x in np.meshgrid(*arrays, indexing=indexing))  # type: ignore[call-overload]


# ------------------------------------------------------------------ drawn


class Generator:
    """A source of random numbers."""

    mapped: Any = None  # (randomness, rows) inside vmap

    def __init__(self) -> None:
        self._numpy = np.random.default_rng()

    @property
    def numpy(self) -> np.random.Generator:
        """What draws."""
        if rows.open and _default.mapped and _default.mapped[0] != "same":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use "
                "the 'same' or 'different' randomness flags on vmap or perform the randomness "
                "operation out of vmap"
                if _default.mapped[0] == "error"
                else "vmap: randomness='different' is not available; draw before vmap and map over "
                "what was drawn"
            )
        return self._numpy

    def manual_seed(self, seed: int) -> Generator:
        """Start from a seed."""
        self._numpy = np.random.default_rng(seed)
        return self


_default = Generator()


def manual_seed(seed: int) -> Generator:
    """Start all draws from a seed; the numbers are NumPy's."""
    return _default.manual_seed(seed)


def _drawn(draw: Any) -> Any:
    def call(
        *size: Any,
        dtype: Any = None,
        requires_grad: bool = False,
        generator: Generator | None = None,
        device: Any = None,
        **rest: Any,
    ) -> Tensor:
        if device is not None:
            placed(device)
        rng = (generator or _default).numpy
        wanted = _sizes(rest.get("size", size))
        return _made(np.asarray(draw(rng, wanted)).astype(dtype or default()), requires_grad)

    return call


rand = _drawn(lambda rng, size: rng.random(size, np.float32))
randn = _drawn(lambda rng, size: rng.standard_normal(size))
rand.__name__, randn.__name__ = "rand", "randn"
rand_like = _like(rand)
randn_like = _like(randn)


def randint(
    low: int, high: Any = None, size: Any = None, *, dtype: Any = None,
    generator: Generator | None = None, requires_grad: bool = False, device: Any = None, **_: Any,
) -> Tensor:  # fmt: skip
    """Whole numbers from low to high - 1."""
    if device is not None:
        placed(device)
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    drawn = (generator or _default).numpy.integers(low, high, tuple(size))
    return _made(drawn.astype(dtype or np.int64), requires_grad)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None, **_: Any
) -> Tensor:
    """The numbers below n in random order."""
    if device is not None:
        placed(device)
    return held((generator or _default).numpy.permutation(n).astype(dtype or np.int64))


def normal(mean: float = 0.0, std: float = 1.0, size: Any = ()) -> Tensor:
    """Normally distributed numbers."""
    return held(_default.numpy.normal(mean, std, tuple(size)).astype(default()))


def _filled(draw: Any) -> Any:
    return lambda self, *args: self._write(
        lambda: held(np.asarray(draw(_default.numpy, tuple(self.shape), *args)).astype(self.dtype))
    )


method("normal_")(_filled(lambda rng, size, mean=0.0, std=1.0: rng.normal(mean, std, size)))
method("uniform_")(_filled(lambda rng, size, low=0.0, high=1.0: rng.uniform(low, high, size)))
