"""The problems: each is one plain NumPy function, which every contestant is given, and its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def logistic(w, x, y):
    return np.mean(np.logaddexp(0.0, -y * (x @ w))) + 0.0005 * np.sum(w * w)


def normal_cdf(x):
    return 0.5 * (1.0 + special.erf(x * 0.7071067811865476))


def black_scholes(spot, strike, time, rate, volatility):
    spread = volatility * np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + 0.5 * volatility * volatility) * time) / spread
    present = strike * np.exp(-rate * time)
    return np.sum(spot * normal_cdf(d1) - present * normal_cdf(d1 - spread))


def network(x, y, *params):
    for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        x = np.maximum(x @ w + b, 0.0)
    z = x @ params[-2] + params[-1]
    z = z - np.max(z, axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * y, axis=1))


def points(rng, n):
    return (rng.uniform(-1.5, 1.5, n),)


def regression(rng, n, d):
    x, w = rng.standard_normal((n, d)), rng.standard_normal(d) / np.sqrt(d)
    y = np.where(x @ w + 0.5 * rng.standard_normal(n) > 0.0, 1.0, -1.0)
    return 0.5 * rng.standard_normal(d) / np.sqrt(d), x, y


def market(rng, n):
    ranges = ((50.0, 150.0), (50.0, 150.0), (0.1, 2.0), (0.0, 0.1), (0.1, 0.5))
    return tuple(rng.uniform(lo, hi, n) for lo, hi in ranges)


def layers(rng, batch, *sizes):
    x = rng.standard_normal((batch, sizes[0]))
    y = np.eye(sizes[-1])[rng.integers(0, sizes[-1], batch)]
    params = []
    for n, m in pairwise(sizes):
        params += [rng.standard_normal((n, m)) * np.sqrt(2.0 / n), 0.1 * rng.standard_normal(m)]
    return x, y, *params


@dataclass(frozen=True)
class Problem:
    """A function, how its arguments are drawn, and by which it is differentiated."""

    name: str
    fn: Callable[..., Any]
    draw: Callable[..., tuple[np.ndarray, ...]]
    sizes: tuple[int, ...]
    argnums: tuple[int, ...]
    dtype: str = "float64"

    def args(self, dtype: str | None = None) -> tuple[np.ndarray, ...]:
        """The arguments, the same in every process."""
        drawn = self.draw(np.random.default_rng(0), *self.sizes)
        return tuple(np.ascontiguousarray(a, dtype=dtype or self.dtype) for a in drawn)


PROBLEMS = {
    p.name: p
    for p in (
        Problem("rosenbrock-2", rosenbrock, points, (2,), (0,)),
        Problem("rosenbrock-10", rosenbrock, points, (10,), (0,)),
        Problem("rosenbrock-1e6", rosenbrock, points, (1_000_000,), (0,)),
        Problem("logistic-10000x100", logistic, regression, (10_000, 100), (0,)),
        Problem("black-scholes-1e6", black_scholes, market, (1_000_000,), (0, 1, 2, 3, 4)),
        Problem("digits-64-128-10", network, layers, (1797, 64, 128, 10), (2, 3, 4, 5), "float32"),
        Problem(
            "mlp-784-256-256-10",
            network,
            layers,
            (128, 784, 256, 256, 10),
            (2, 3, 4, 5, 6, 7),
            "float32",
        ),
    )
}
