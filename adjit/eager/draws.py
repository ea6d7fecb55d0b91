"""Random Tensors: numbers, choices and permutations, from a generator or the default one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from .arithmetic import method
from .creation import Generator, _default, _drawn, _like, _made
from .dtypes import processor
from .promotion import default
from .shapes import _sizes
from .tensor_object import Tensor, held

# What `tensors` shows.
# fmt: off
__all__ = [
    "bernoulli", "binomial", "get_rng_state", "initial_seed", "multinomial", "normal", "poisson",
    "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "random", "randperm",
    "seed", "set_rng_state",
]
# fmt: on

rand = _drawn(lambda rng, size: rng.random(size, np.float32))
randn = _drawn(lambda rng, size: rng.standard_normal(size))
rand.__name__, randn.__name__ = "rand", "randn"
rand_like, randn_like = _like(rand), _like(randn)


def _rng(generator: Generator | None) -> np.random.Generator:
    return (generator or _default).numpy


def randint(
    low: int, high: Any = None, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any,
) -> Tensor:  # fmt: skip
    """Whole numbers from low to high - 1."""
    if size is None:
        low, high, size = 0, low, high
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= "
                           f"to={high}")  # fmt: skip
    processor(device or "cpu")
    drawn = _rng(generator).integers(low, high, _sizes((size,)))
    return _made(np.asarray(drawn).astype(dtype or np.int64), requires_grad)


def randint_like(input: Tensor, low: int, high: Any = None, *, dtype: Any = None, **_: Any) -> Any:
    """Whole numbers in the shape of a Tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), dtype=dtype or input._dtype)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, **_: Any) -> Tensor:
    """The numbers below n in random order."""
    return held(_rng(generator).permutation(n).astype(dtype or np.int64))


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, requires_grad: bool = False, **_: Any,
) -> Tensor:  # fmt: skip
    """Normally distributed numbers; mean and deviation may be Tensors."""
    given: list[Any] = [x._value() if isinstance(x, Tensor) else x for x in (mean, std)]
    if np.any(np.asarray(given[1]) < 0):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    kind = next((x._dtype for x in (mean, std) if isinstance(x, Tensor)), dtype or default())
    shape = None if size is None else _sizes((size,))
    return _made(
        np.asarray(_rng(generator).normal(given[0], given[1], shape)).astype(kind), requires_grad
    )


@method("bernoulli")
def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """Ones with the probabilities of the elements, else zeros."""
    chance = input._value() if p is None else np.broadcast_to(p, input._aval_shape())
    if np.any((chance < 0) | (chance > 1)):
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return held((_rng(generator).random(chance.shape) < chance).astype(input._dtype))


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts whose means are the elements."""
    return held(_rng(generator).poisson(input._value()).astype(input._dtype))


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of successes."""
    drawn = _rng(generator).binomial(count._value().astype(np.int64), prob._value())
    return held(np.asarray(drawn).astype(count._dtype))


@method("multinomial")
def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *,
    generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """Places drawn by the weights of a vector, or of every row of a matrix."""
    weights = np.asarray(input._value(), np.float64)
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if (weights < 0).any() or not np.isfinite(weights).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    rows = weights.reshape(-1, weights.shape[-1])
    if (rows.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement and num_samples > rows.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    rng = _rng(generator)
    if replacement:
        found = [rng.choice(len(r), num_samples, p=r / r.sum()) for r in rows]
    else:  # the largest of log w + Gumbel noise are a draw without replacement
        with np.errstate(divide="ignore"):
            keys = np.log(rows) + rng.gumbel(size=rows.shape)
        found = list(np.argsort(-keys, axis=-1, kind="stable")[:, :num_samples])
    return held(np.array(found, np.int64).reshape(*input._aval_shape()[:-1], num_samples))


def _filled(name: str, draw: Callable[..., Any]) -> None:
    def call(self: Tensor, *args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
        def drawn() -> Tensor:
            found = draw(_rng(generator), self._aval_shape(), *args, **kwargs)
            return held(np.asarray(found).astype(self._dtype))

        return self._write(drawn)

    call.__name__ = name
    call.__doc__ = "Random numbers, in place."
    method(name)(call)


def _whole(rng: np.random.Generator, shape: Any, *bounds: Any, **named: Any) -> Any:
    low, high = (0, *bounds) if len(bounds) == 1 else bounds or (0, 2**24)
    return rng.integers(named.get("from", low), named.get("to", high), shape)


def _bernoulli(rng: np.random.Generator, shape: Any, p: Any = 0.5) -> Any:
    return rng.random(shape) < (p._value() if isinstance(p, Tensor) else p)


_filled("normal_", lambda rng, shape, mean=0.0, std=1.0: rng.normal(mean, std, shape))
_filled(
    "uniform_",
    lambda rng, shape, a=0.0, b=1.0, **n: rng.uniform(n.get("from", a), n.get("to", b), shape),
)
_filled("random_", _whole)
_filled("bernoulli_", _bernoulli)
_filled("exponential_", lambda rng, shape, lambd=1.0: rng.exponential(1 / lambd, shape))
_filled("geometric_", lambda rng, shape, p: rng.geometric(p, shape))
_filled("cauchy_", lambda rng, shape, median=0.0, sigma=1.0: median
        + sigma * rng.standard_cauchy(shape))  # fmt: skip
_filled("log_normal_", lambda rng, shape, mean=1.0, std=2.0: rng.lognormal(mean, std, shape))


# ------------------------------------------------------------------ states


def seed() -> int:
    """Start the default generator from chance; the seed."""
    return _default.seed()


def initial_seed() -> int:
    """What the default generator was started from."""
    return _default.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator, as bytes."""
    return _default.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Go on from a state of the default generator."""
    _default.set_state(new_state)


@contextmanager
def _forked(*_: Any, **__: Any) -> Iterator[None]:
    """A block after which the default generator goes on as if it had not been."""
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)


random = SimpleNamespace(
    fork_rng=_forked, get_rng_state=get_rng_state, initial_seed=initial_seed,
    manual_seed=_default.manual_seed, seed=seed, set_rng_state=set_rng_state,
)  # fmt: skip
