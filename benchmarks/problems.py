"""The problems: each is one plain NumPy function, which every contestant is given, and its data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import special

# ------------------------------------------------------------------ functions


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


def log_sum_exp(x, axis):
    top = np.max(x, axis=axis, keepdims=True)
    return np.sum(top, axis=axis) + np.log(np.sum(np.exp(x - top), axis=axis))


def mixture(weights, means, factors, x, place, gamma, freedom):
    """Gaussian mixture with a Wishart prior, as in ADBench but for an additive constant.

    A row of factors holds a lower triangle: logarithms of the diagonal, then columns below it.
    """
    n, d = x.shape
    logs, below = factors[:, :d], factors[:, d:]
    diagonal, volume = np.exp(logs), np.sum(logs, axis=1)
    lower = np.concatenate([below, np.zeros_like(logs[:, :1])], axis=1)[:, place]
    centred = x[None, :, :] - means[:, None, :]
    y = diagonal[:, None, :] * centred + centred @ np.swapaxes(lower, 1, 2)
    scores = (weights + volume)[:, None] - 0.5 * np.sum(y * y, axis=2)
    squares = np.sum(diagonal * diagonal, axis=1) + np.sum(below * below, axis=1)
    prior = np.sum(0.5 * gamma * gamma * squares - freedom * volume)
    return np.sum(log_sum_exp(scores, 0)) - n * log_sum_exp(weights, 0) + prior


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def cell(weight, bias, hidden, memory, given):
    """ADBench's cell, in which a unit sees its own input and its own hidden value alone."""
    n = given.shape[0]
    gates = np.concatenate([given, hidden, given, hidden]) * weight + bias
    memory = memory * sigmoid(gates[:n]) + sigmoid(gates[n : 2 * n]) * np.tanh(gates[3 * n :])
    return sigmoid(gates[2 * n : 3 * n]) * np.tanh(memory), memory


def predict(main, extra, state, given):
    """The logarithms of the next character's odds, and the next state."""
    x, following = given * extra[0], []
    for k in range(0, len(state), 2):
        x, memory = cell(main[k], main[k + 1], state[k], state[k + 1], x)
        following += [x, memory]
    odds = x * extra[1] + extra[2]
    return odds - np.log(2.0 + np.sum(np.exp(odds))), following


def lstm(main, extra, start, text, steps):
    state, total = [start[k] for k in range(4)], 0.0
    for t in range(steps - 1):
        guess, state = predict(main, extra, state, text[t])
        total = total + np.sum(text[t + 1] * guess)
    return -total / ((steps - 1) * text.shape[1])


def hunt(prey, hunters, a, b, c, d):
    """Lotka and Volterra's equations."""
    return a * prey - b * prey * hunters, c * prey * hunters - d * hunters


def rk4_step(x, y, a, b, c, d, h):
    p1, q1 = hunt(x, y, a, b, c, d)
    p2, q2 = hunt(x + 0.5 * h * p1, y + 0.5 * h * q1, a, b, c, d)
    p3, q3 = hunt(x + 0.5 * h * p2, y + 0.5 * h * q2, a, b, c, d)
    p4, q4 = hunt(x + h * p3, y + h * q3, a, b, c, d)
    x = x + h / 6.0 * (p1 + 2.0 * p2 + 2.0 * p3 + p4)
    return x, y + h / 6.0 * (q1 + 2.0 * q2 + 2.0 * q3 + q4)


def rk4(u, p, h, steps):
    x, y = u[0], u[1]
    for _ in range(steps):
        x, y = rk4_step(x, y, p[0], p[1], p[2], p[3], h)
    return x * x + x * y


def tanh_chain(x, a, b, c):
    return np.tanh(c @ np.tanh(b @ np.tanh(a @ x)))


# ----------------------------------------------------------------------- data


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


def clusters(rng, n, d, k):
    strict = d * (d - 1) // 2
    place = np.full((d, d), strict, np.int64)  # what lies outside of the triangle reads a zero
    place.T[np.triu_indices(d, 1)] = np.arange(strict)
    return (
        rng.standard_normal(k),
        rng.uniform(size=(k, d)),
        0.3 * rng.standard_normal((k, d + strict)),
        rng.standard_normal((n, d)),
        place,
        1.0,
        0,
    )


def text(rng, steps, units):
    main, extra = rng.uniform(-1.0, 1.0, (4, 4 * units)), rng.uniform(-1.0, 1.0, (3, units))
    start = rng.uniform(-1.0, 1.0, (4, units))
    return main, extra, start, (rng.uniform(size=(steps, units)) > 0.5).astype(float), steps


def animals(rng, steps):
    return np.array([1.0, 1.2]), np.array([1.1, 0.4, 0.1, 0.4]), 20.0 / steps, steps


def square_matrices(rng, n):
    return rng.standard_normal(n), *(rng.standard_normal((n, n)) / math.sqrt(n) for _ in range(3))


def image(rng, side):
    return rng.standard_normal((1, 3, side, side)), rng.integers(0, 1000, 1)


# ---------------------------------------------------------------------- table

KINDS = ("gradient", "hvp", "hessian", "jacobian", "step")


@dataclass(frozen=True)
class Problem:
    """A function, how its arguments are drawn, by which it is differentiated, and what is asked.

    A "gradient" comes with the value; a "step" is one of training, of a model of the contestant's.
    """

    name: str
    fn: Callable[..., Any] | None
    draw: Callable[..., tuple[Any, ...]]
    sizes: tuple[int, ...]
    argnums: tuple[int, ...] = (0,)
    dtype: str = "float64"
    kind: str = "gradient"

    def args(self, dtype: str | None = None) -> tuple[Any, ...]:
        """The arguments, the same in every process."""
        drawn = self.draw(np.random.default_rng(0), *self.sizes)
        return tuple(
            np.ascontiguousarray(a, dtype=dtype or self.dtype)
            if isinstance(a, np.ndarray) and a.dtype.kind == "f"
            else a
            for a in drawn
        )

    def direction(self) -> np.ndarray:
        """The vector that a Hessian is multiplied with."""
        shape = np.shape(self.args()[0])
        return np.random.default_rng(1).standard_normal(shape).astype(self.dtype)


MLP = (128, 784, 256, 256, 10)
DIGITS = (1797, 64, 128, 10)
PROBLEMS = {
    p.name: p
    for p in (
        Problem("rosenbrock-2", rosenbrock, points, (2,)),
        Problem("rosenbrock-10", rosenbrock, points, (10,)),
        Problem("rosenbrock-1e6", rosenbrock, points, (1_000_000,)),
        Problem("logistic-10000x100", logistic, regression, (10_000, 100)),
        Problem("mlp-784-256-256-10", network, layers, MLP, (2, 3, 4, 5, 6, 7), "float32"),
        Problem("digits-64-128-10", network, layers, DIGITS, (2, 3, 4, 5), "float32"),
        Problem("black-scholes-1e6", black_scholes, market, (1_000_000,), (0, 1, 2, 3, 4)),
        Problem("gmm-d10-k25", mixture, clusters, (1000, 10, 25), (0, 1, 2)),
        Problem("gmm-d32-k50", mixture, clusters, (1000, 32, 50), (0, 1, 2)),
        Problem("lstm-100", lstm, text, (100, 14), (0, 1)),
        Problem("lstm-1024", lstm, text, (1024, 14), (0, 1)),
        Problem("rk4-1000", rk4, animals, (1000,), (0, 1)),
        Problem("rk4-10000", rk4, animals, (10_000,), (0, 1)),
        Problem("hvp-logistic", logistic, regression, (10_000, 100), kind="hvp"),
        Problem("hessian-rosenbrock-20", rosenbrock, points, (20,), kind="hessian"),
        Problem("jacobian-tanh-100", tanh_chain, square_matrices, (100,), kind="jacobian"),
        Problem("resnet18-64", None, image, (64,), (), "float32", "step"),
    )
}
