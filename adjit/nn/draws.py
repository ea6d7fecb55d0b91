"""What is drawn at random: dropout, and functions with noise."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..eager import creation
from ..eager.rows import row
from ..eager.softmax import softmax
from ..ir.ops import arithmetic
from ..tracer.record import stack
from .lift import lifted, over, shape_of, tracing


class _Keys(threading.local):
    def __init__(self) -> None:
        self.open: list[list[Any]] = []  # a key, and how many have drawn from it


_keys = _Keys()


@contextmanager
def keyed(key: Any) -> Iterator[None]:
    """A block in which dropout without a generator draws from this whole number.

    Inside a traced function it is an argument; equal keys drop equal places.
    """
    _keys.open.append([key, 0])
    try:
        yield
    finally:
        _keys.open.pop()


def _hashed(key: Any, count: int, draw: int = 0) -> Any:
    """Numbers in [0, 1) from a key: splitmix64 (Steele, Lea, Flood 2014) of a counter."""
    first = 1 + (draw << 40)
    z = np.arange(first, first + count).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = z + np.asarray(key).astype(np.uint64) if not tracing(key) else z + key.astype(np.uint64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _uniform(shape: tuple[int, ...], generator: Any) -> Any:
    if tracing(generator) or isinstance(generator, int | np.integer | np.ndarray):
        return _hashed(generator, math.prod(shape)).reshape(shape)
    if generator is None and _keys.open:
        known = _keys.open[-1]
        known[1] += 1
        return _hashed(known[0], math.prod(shape), known[1]).reshape(shape)
    if stack():
        raise TypeError(
            "dropout: a generator cannot draw inside a traced function, where every call would "
            "see the same numbers; pass a whole number, an argument of the function, as "
            "generator=, or call the model inside `with nn.keyed(number)`"
        )
    if generator is None:
        generator = creation._default
    rng = generator.numpy if isinstance(generator, creation.Generator) else generator
    return rng.random(shape, np.float32)


@lifted("MulBackward0")
def _dropped(x: Any, kept: Any, *, scale: float) -> Any:
    return np.where(kept, x * scale, 0)


def _probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(
    input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *,
    generator: Any = None,
) -> Any:  # fmt: skip
    """Elements set to zero with probability p, the others scaled by 1 / (1 - p).

    `generator` draws (NumPy's or ours); a whole number instead is a key, and equal keys drop equal
    places: inside a traced function, where nothing can be drawn, it is an argument of the function.
    """
    _probability(p)
    if not training or p == 0.0:
        return input
    kept = _kept(shape_of(input), p, generator)
    found = _dropped(input, kept, scale=1.0 / (1.0 - p) if p < 1 else 0.0)
    return over(input, found) if inplace else found


def _kept(shape: tuple[int, ...], p: float, generator: Any) -> Any:
    """Which elements stay."""
    return np.zeros(shape, bool) if p == 1 else _uniform(shape, generator) >= p


def _channels(rank: int) -> Any:
    def drop(
        input: Any, p: float = 0.5, training: bool = True, inplace: bool = False, *,
        generator: Any = None,
    ) -> Any:  # fmt: skip
        """Dropout of whole channels: dim 1, or dim 0 without a batch."""
        _probability(p)
        s = shape_of(input)
        if rank == 1 and len(s) not in (2, 3):
            raise RuntimeError(
                f"dropout1d: expected 2D or 3D input, but received a {len(s)}D input of shape {s}"
            )
        if not training or p == 0.0:
            return input
        lead = 1 if len(s) == rank + 1 and rank != 2 else 2
        kept = _kept((*s[:lead], *(1,) * (len(s) - lead)), p, generator)
        found = _dropped(input, kept, scale=1.0 / (1.0 - p) if p < 1 else 0.0)
        return over(input, found) if inplace else found

    drop.__name__ = drop.__qualname__ = f"dropout{rank}d"
    return drop


dropout1d, dropout2d, dropout3d = map(_channels, (1, 2, 3))

LOW = -1.7580993408473766  # what selu tends to, far below zero


@lifted("AddBackward0")
def _mixed(x: Any, kept: Any, *, p: float) -> Any:
    a = ((LOW**2 * p + 1) * (1 - p)) ** -0.5
    return np.where(kept, a * x, a * LOW) - a * LOW * p


def _alpha(input: Any, p: float, training: bool, inplace: bool, generator: Any, dims: int) -> Any:
    _probability(p)
    if not training or p == 0.0:
        return input
    s = shape_of(input)
    shape = s if dims < 0 else (*s[:dims], *(1,) * (len(s) - dims))
    kept = _kept(shape, p, generator)
    found = _mixed(input, kept, p=float(p)) if p < 1 else input * 0
    return over(input, found) if inplace else found


def alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, *,
    generator: Any = None,
) -> Any:  # fmt: skip
    """Elements set to the lowest value of selu, and all moved so that mean and variance stay."""
    return _alpha(input, p, training, inplace, generator, -1)


def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False, *,
    generator: Any = None,
) -> Any:  # fmt: skip
    """`alpha_dropout` of whole channels (dim 1)."""
    return _alpha(input, p, training, inplace, generator, 2)


# ------------------------------------------------------------------ other draws


@lifted("RreluWithNoiseBackward0")
def _rrelu(x: Any, slope: Any) -> Any:
    return np.where(x > 0, x, slope * x)


def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
    inplace: bool = False, *, generator: Any = None,
) -> Any:  # fmt: skip
    """x where it is positive, else x times an even draw from [lower, upper], or their mean."""
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} is above upper {upper}")
    slope: Any = np.asarray((lower + upper) / 2)
    if training:
        slope = lower + (upper - lower) * _uniform(shape_of(input), generator)
    found = _rrelu(input, slope.astype(np.dtype(input.dtype)))
    return over(input, found) if inplace else found


@lifted("SoftmaxBackward0")
def _gumbel(x: Any, drawn: Any, *, tau: float, hard: bool, dim: int) -> Any:
    z = (x - np.log(-np.log(drawn))) / tau
    soft = softmax(z, dim)
    if not hard:
        return soft
    best = np.expand_dims(np.argmax(soft, axis=dim), dim)
    places = np.arange(x.shape[dim]).reshape((-1, *(1,) * (-1 - dim)))
    one = np.where(places == best, np.ones((), x.dtype), np.zeros((), x.dtype))
    return one + (soft - row(arithmetic.stop_gradient, soft))


def gumbel_softmax(
    logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1, *,
    generator: Any = None,
) -> Any:  # fmt: skip
    """A draw from the classes along a dim, with a slope; `hard` gives ones and zeros.

    Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", 2017.
    """
    ndim, dtype = len(shape_of(logits)), np.dtype(logits.dtype)
    drawn = _uniform(shape_of(logits), generator).astype(dtype)
    tiny = np.finfo(dtype).tiny
    inside = tiny + drawn * (1 - np.finfo(dtype).eps)  # neither 0 nor 1
    at = (dim % ndim) - ndim
    return _gumbel(logits, inside, tau=float(tau), hard=bool(hard), dim=at)
