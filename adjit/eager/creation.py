"""New Tensors: from data, filled, counted and drawn."""

from __future__ import annotations

import builtins
import json
from typing import Any

import numpy as np

from .arithmetic import fitting, method
from .dtypes import processor
from .promotion import default, number_dtype
from .shapes import _sizes
from .storage import Storage
from .tape import rows
from .tensor_object import Tensor, held, plain

# What `tensors` shows.
# fmt: off
__all__ = [
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "Generator",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "arange",
    "as_tensor",
    "asarray",
    "empty",
    "empty_like",
    "empty_strided",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "manual_seed",
    "meshgrid",
    "ones",
    "ones_like",
    "range",
    "scalar_tensor",
    "tensor",
    "zeros",
    "zeros_like",
]
# fmt: on


def placed(options: dict[str, Any]) -> None:
    """Refuse other devices than the processor."""
    if options.get("device") is not None:
        processor(options["device"])


def _made(array: np.ndarray, requires_grad: bool) -> Tensor:
    t = held(array)
    return t._made_to_learn() if requires_grad else t


def tensor(
    data: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None, **_: Any
) -> Tensor:
    """A copy of the data; Python's floats are single precision, NumPy's arrays keep their dtype."""
    if device is not None:
        processor(device)
    return _made(plain(data, dtype), requires_grad)


def scalar_tensor(s: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    """One number."""
    return held(np.array(s, dtype or default()))


def asarray(
    obj: Any, *, dtype: Any = None, copy: bool | None = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """The Tensor itself, one on the memory of an array, or a copy."""
    found = tensor(obj, dtype) if copy else as_tensor(obj, dtype)
    return found._made_to_learn() if requires_grad else found


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The Tensor itself, a Tensor on the memory of an array, or a copy."""
    if device is not None:
        processor(device)
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

    make.of = dtype  # type: ignore[attr-defined]
    return make


FloatTensor = _typed(np.float32)
DoubleTensor = _typed(np.float64)
LongTensor = _typed(np.int64)
IntTensor = _typed(np.int32)
BoolTensor = _typed(np.bool_)
ByteTensor, CharTensor, ShortTensor = map(_typed, (np.uint8, np.int8, np.int16))
HalfTensor = _typed(np.float16)
for _name, _make in list(globals().items()):
    if _name.endswith("Tensor") and hasattr(_make, "of"):
        _make.__name__ = _name


# ------------------------------------------------------------------ filled


def _full(fill: Any) -> Any:
    def make(
        *size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None,
        out: Any = None, **_: Any,
    ) -> Tensor:  # fmt: skip
        if device is not None:
            processor(device)
        shape = _sizes(size or (_.get("size", ()),))
        if any(n < 0 for n in shape):
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}"
            )
        return _made(np.full(shape, fill, dtype or default()), requires_grad)

    return make


zeros, ones = _full(0), _full(1)
zeros.__name__, ones.__name__ = "zeros", "ones"
zeros.__doc__, ones.__doc__ = "Zeros.", "Ones."


empty = zeros


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """One number everywhere."""
    placed(_)
    kind = np.dtype(dtype or plain(fill_value).dtype)
    if dtype is None and isinstance(fill_value, float | complex):  # NumPy's doubles among them
        kind = number_dtype(type(fill_value))
    filling = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    filling = np.array(fitting(filling, kind)).astype(kind)
    return _made(np.full(_sizes((size,)), filling), requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """Ones on the diagonal."""
    placed(_)
    return _made(np.eye(n, m, dtype=dtype or default()), requires_grad)


def _like(make: Any) -> Any:
    def call(input: Tensor, dtype: Any = None, requires_grad: bool = False, **_: Any) -> Tensor:
        kind = dtype or input._dtype
        return make(tuple(input.shape), dtype=kind, requires_grad=requires_grad, **_)

    call.__name__ = f"{make.__name__}_like"
    return call


zeros_like = _like(zeros)
ones_like = _like(ones)
empty_like = zeros_like


def full_like(
    input: Tensor, fill_value: Any, dtype: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """One number in the shape of a Tensor."""
    kind = dtype or input._dtype
    return full(tuple(input.shape), fill_value, dtype=kind, requires_grad=requires_grad)


def _new(make: Any) -> Any:
    def call(self: Tensor, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
        return make(*size, dtype=dtype or self._dtype, **options)

    return call


method("new_zeros")(_new(zeros))
method("new_ones")(_new(ones))
method("new_empty")(_new(zeros))
method("new_full")(_new(full))
method("new_tensor")(_new(tensor))


@method("new")
def _renewed(self: Tensor, *data: Any) -> Tensor:
    """Of the same dtype: as many zeros as the sizes say, or a copy of the data."""
    return _typed(self._dtype)(*data)


def empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    """Zeros, with these strides counted in elements."""
    length = 1 + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    memory = np.zeros(length, dtype or default())
    steps = tuple(s * memory.itemsize for s in stride)
    return held(np.lib.stride_tricks.as_strided(memory, tuple(size), steps))


# ------------------------------------------------------------------ counted


def arange(
    start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, requires_grad: bool = False,
    **_: Any,
) -> Tensor:  # fmt: skip
    """Numbers at equal distances; integers from integers."""
    placed(_)
    if end is None:
        start, end = 0, start
    start, end, step = (x.item() if isinstance(x, Tensor) else x for x in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all(isinstance(x, int | np.integer) for x in (start, end, step))
    kind = dtype or (np.int64 if whole else default())
    count = max(int(np.ceil((end - start) / step)), 0)
    return _made((start + step * np.arange(count)).astype(kind), requires_grad)


def range(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None) -> Tensor:
    """Floating-point numbers at equal distances, the end among them."""
    count = int((end - start) / step) + 1
    return held((start + step * np.arange(count)).astype(dtype or default()))


def linspace(
    start: float, end: float, steps: int, *, dtype: Any = None, requires_grad: bool = False,
    **_: Any,
) -> Tensor:  # fmt: skip
    """So many numbers from start to end; the second half is counted from the end."""
    placed(_)
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, not {steps}")
    kind = np.dtype(dtype or default())
    a, b, i = kind.type(start), kind.type(end), np.arange(steps)
    step = (b - a) / kind.type(max(steps - 1, 1))
    up, down = a + step * i.astype(kind), b - step * i[::-1].astype(kind)
    return _made(
        np.where(i < steps // 2, up, down).astype(kind) if steps > 1 else up, requires_grad
    )


def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None,
    requires_grad: bool = False, **_: Any,
) -> Tensor:  # fmt: skip
    """Powers of the base at equal distances of the exponent."""
    found = base ** np.linspace(start, end, steps)
    return _made(found.astype(dtype or default()), requires_grad)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of a grid."""
    listed = (
        list(tensors[0]) if len(tensors) == 1 and not isinstance(tensors[0], Tensor) else tensors
    )
    n, order = len(listed), list(builtins.range(len(listed)))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    sizes = [listed[k].numel() for k in order]
    at = {k: i for i, k in enumerate(order)}
    return tuple(
        t.reshape([-1 if i == at[k] else 1 for i in builtins.range(n)]).expand(*sizes)
        for k, t in enumerate(listed)
    )


# ------------------------------------------------------------------ drawn


class Generator:
    """A source of random numbers."""

    mapped: Any = None  # (randomness, rows) inside vmap

    def __init__(self, device: Any = "cpu") -> None:
        self.device = processor(device)
        self.manual_seed(67280421310721)

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
        self._seed = int(seed)
        self._numpy = np.random.default_rng(self._seed % 2**64)
        return self

    def seed(self) -> int:
        """Start from chance; the seed."""
        self.manual_seed(int(np.random.SeedSequence().entropy) % 2**53)  # type: ignore[arg-type]
        return self._seed

    def initial_seed(self) -> int:
        """What it was started from."""
        return self._seed

    def get_state(self) -> Tensor:
        """The state, as bytes."""
        text = json.dumps([self._seed, self._numpy.bit_generator.state])
        return held(np.frombuffer(text.encode(), np.uint8).copy())

    def set_state(self, new_state: Tensor) -> None:
        """Go on from a state."""
        self._seed, state = json.loads(new_state._value().tobytes().decode())
        self._numpy.bit_generator.state = state

    def clone_state(self) -> Generator:
        """Another one in this state."""
        other = Generator()
        other.set_state(self.get_state())
        return other


_default = Generator()
_default.seed()


def manual_seed(seed: int) -> Generator:
    """Start all draws from a seed; the numbers are NumPy's."""
    return _default.manual_seed(seed)


def _drawn(draw: Any) -> Any:
    def call(
        *size: Any,
        dtype: Any = None,
        requires_grad: bool = False,
        generator: Generator | None = None,
        **_: Any,
    ) -> Tensor:
        placed(_)
        rng = (generator or _default).numpy
        wanted = _sizes(size or (_.get("size", ()),))
        return _made(np.asarray(draw(rng, wanted)).astype(dtype or default()), requires_grad)

    return call
