"""Scripts as scientists write them: plain NumPy functions of a page or less."""

from __future__ import annotations

from typing import Any

import numpy as np
from differential import Entry, entry

# ------------------------------------------------------------------ statistics


def mahalanobis(x: Any) -> Any:
    centred = x - x.mean(axis=0)
    inverse = np.linalg.inv(np.cov(x, rowvar=False) + 0.1 * np.eye(x.shape[1]))
    return np.sqrt(np.einsum("ij,jk,ik->i", centred, inverse, centred))


def robust_scale(x: Any) -> Any:
    centre = np.median(x, axis=0)
    spread = np.median(np.abs(x - centre), axis=0) * 1.4826
    low, high = np.percentile(x, [10, 90], axis=0)
    return np.clip((x - centre) / (spread + 0.1), low - 1, high + 1)


def ranks_and_ties(x: Any) -> Any:
    order = np.argsort(x[:, 0])
    groups, index, counts = np.unique(order % 2, return_inverse=True, return_counts=True)
    means = np.array([x[index == g].mean() for g in range(len(groups))])
    return means * counts


def kernel_density(x: Any) -> Any:
    grid = np.linspace(x.min(), x.max(), 7)
    width = 1.06 * x.std(ddof=1) * x.size ** (-0.2)
    z = (grid[:, None] - x.ravel()[None]) / width
    return np.exp(-0.5 * z * z).sum(axis=1) / (x.size * width * np.sqrt(2 * np.pi))


def bootstrap_mean(x: Any) -> Any:
    rng = np.random.default_rng(3)
    picks = rng.integers(0, len(x), size=(5, len(x)))
    return np.quantile(x[picks].mean(axis=1), [0.25, 0.75], axis=0)


def weighted_regression(x: Any) -> Any:
    a = np.c_[np.ones(len(x)), x[:, 0]]
    w = np.exp(-(x[:, 2] ** 2))
    beta = np.linalg.solve(a.T @ (w[:, None] * a), a.T @ (w * x[:, 1]))
    residual = x[:, 1] - a @ beta
    return beta, (w * residual**2).sum() / w.sum()


def autocorrelation(x: Any) -> Any:
    y = x.ravel() - x.mean()
    full = np.correlate(y, y, mode="full")
    half = full[full.size // 2 :]
    return half[:6] / half[0]


# ------------------------------------------------------------------ images


def sobel(x: Any) -> Any:
    p = np.pad(x, 1, mode="edge")
    gx = p[:-2, 2:] + 2 * p[1:-1, 2:] + p[2:, 2:] - p[:-2, :-2] - 2 * p[1:-1, :-2] - p[2:, :-2]
    gy = p[2:, :-2] + 2 * p[2:, 1:-1] + p[2:, 2:] - p[:-2, :-2] - 2 * p[:-2, 1:-1] - p[:-2, 2:]
    return np.hypot(gx, gy)


def median_filter(x: Any) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, 1, "reflect"), (3, 3))
    return np.median(windows.reshape(*x.shape, 9), axis=-1)


def bilinear(x: Any) -> Any:
    rows, columns = np.meshgrid(np.linspace(0, 2.9, 4), np.linspace(0, 2.9, 5), indexing="ij")
    i, j = np.floor(rows).astype(int), np.floor(columns).astype(int)
    di, dj = rows - i, columns - j
    p = np.pad(x, ((0, 1), (0, 1)), "edge")
    top = p[i, j] * (1 - dj) + p[i, j + 1] * dj
    return top * (1 - di) + (p[i + 1, j] * (1 - dj) + p[i + 1, j + 1] * dj) * di


def histogram_equalised(x: Any) -> Any:
    counts, edges = np.histogram(x, bins=5, range=(-6.0, 6.0))
    cdf = np.cumsum(counts) / counts.sum()
    return np.interp(x, edges[1:], cdf * x.std())


def connected(x: Any) -> Any:
    out = x.copy()
    out[1:-1, 1:-1] = 0.25 * (x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:])
    out[out < -2] *= 0.5
    return np.where(np.isclose(out, 0), 1.0, out) * np.tri(*x.shape)


# ------------------------------------------------------------------ physics


def heat(x: Any) -> Any:
    u = x.copy()
    for _ in range(4):
        u[1:-1, 1:-1] += 0.1 * (
            u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
        )
    return u


def lennard_jones(x: Any) -> Any:
    i, j = np.triu_indices(len(x), k=1)
    r2 = ((x[i] - x[j]) ** 2).sum(axis=-1) + 1.0
    s6 = (1.0 / r2) ** 3
    return np.sum(4 * (s6**2 - s6))


def runge_kutta(x: Any) -> Any:
    def flow(y: Any) -> Any:
        return np.stack([y[1], -np.sin(y[0]) - 0.1 * y[1]])

    y, path = x[:2], []
    for _ in range(5):
        k1 = flow(y)
        k2 = flow(y + 0.05 * k1)
        k3 = flow(y + 0.05 * k2)
        k4 = flow(y + 0.1 * k3)
        y = y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(y)
    return np.array(path)


def ising(x: Any) -> Any:
    neighbours = sum(np.roll(x, s, axis=a) for s in (-1, 1) for a in (0, 1))
    return -0.5 * np.sum(x * neighbours) + np.logaddexp.reduce(x, axis=None)


def rotation(x: Any) -> Any:
    a, b, c = x[0, :3]
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return rz @ rx @ x[1:4, :3].T + b * np.cross(x[1, :3], x[2, :3])[:, None]


def advection(x: Any) -> Any:
    u = x.ravel()
    speed = np.where(u > 0, 1.0, -0.5)
    flux = np.select([speed > 0, speed <= 0], [u * speed, np.roll(u, -1) * speed])
    return u - 0.2 * np.diff(flux, prepend=flux[-1:])


# ------------------------------------------------------------------ finance and signals


def drawdown(x: Any) -> Any:
    wealth = np.cumprod(1 + 0.01 * x.ravel())
    peak = np.maximum.accumulate(wealth)
    return np.max((peak - wealth) / peak), np.min(wealth), np.ptp(wealth)


def portfolio(x: Any) -> Any:
    w = np.exp(x[0]) / np.exp(x[0]).sum()
    returns = x[1:] @ w
    sharpe = returns.mean() / (returns.std() + 0.1)
    var = np.quantile(returns, 0.2)
    return sharpe + returns[returns < var].sum()


def black_scholes(x: Any) -> Any:
    strike, rate, sigma = 1.0, 0.02, 0.3
    spot = np.abs(x) + 0.5
    d1 = (np.log(spot / strike) + (rate + 0.5 * sigma**2)) / sigma
    phi = 0.5 * (1 + np.tanh(0.8 * (d1 + 0.044715 * d1**3)))
    return np.piecewise(spot, [spot < 1, spot >= 1], [lambda s: s * 0.1, lambda s: s - 0.9]) * phi


def ema(x: Any) -> Any:
    out = [x[0]]
    for row in x[1:]:
        out.append(0.3 * row + 0.7 * out[-1])
    return np.vstack(out)


def windowed(x: Any) -> Any:
    y = x.ravel() * np.hanning(x.size)
    smooth = np.convolve(y, np.ones(3) / 3, mode="same")
    peaks = np.flatnonzero((smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] > smooth[2:])) + 1
    return smooth[peaks], np.trapezoid(smooth, dx=0.1), np.unwrap(np.cumsum(smooth))


def polynomial_trend(x: Any) -> Any:
    t = np.arange(x.size) / x.size
    fit = np.polyfit(t, x.ravel(), 2)
    return x.ravel() - np.polyval(fit, t), np.polyder(fit), np.polyint(fit)


# ------------------------------------------------------------------ sparse indices, ML


def coo_product(x: Any) -> Any:
    rows, columns = np.array([0, 0, 1, 3, 2]), np.array([1, 2, 0, 3, 1])
    out = np.zeros(x.shape[0])
    np.add.at(out, rows, x[rows, columns] * x[columns, 0])
    return out + np.bincount(columns, weights=x[rows, 1], minlength=len(out))


def segment_softmax(x: Any) -> Any:
    segment = np.array([0, 0, 1, 1])
    z = np.exp(x - np.maximum.reduceat(x, [0, 2])[segment])
    return z / np.add.reduceat(z, [0, 2])[segment]


def top_k(x: Any) -> Any:
    picked = np.argpartition(x, -2, axis=1)[:, -2:]
    values = np.sort(np.take_along_axis(x, picked, axis=1), axis=1)
    mask = np.zeros_like(x)
    np.put_along_axis(mask, np.sort(picked, axis=1), values, axis=1)
    return values.sum() + (mask * x).mean(axis=0)


def triplet(x: Any) -> Any:
    distance = np.linalg.norm(x[:, None] - x[None] + 0.1, axis=-1)
    labels = np.arange(len(x)) % 2
    same = labels[:, None] == labels[None]
    hardest = np.max(np.where(same, distance, -np.inf), axis=1)
    nearest = np.min(np.where(same, np.inf, distance), axis=1)
    return np.maximum(hardest - nearest + 0.5, 0).mean()


def focal(x: Any) -> Any:
    target = np.eye(x.shape[1])[[0, 2, 1, 1]]
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    pt = np.sum(p * target, axis=1)
    return np.average(-((1 - pt) ** 2) * np.log(pt), weights=[1, 2, 1, 0.5])


def attention(x: Any) -> Any:
    q, k, v = np.split(np.tile(x, (1, 3)), 3, axis=1)
    scores = np.where(np.tril(np.ones((len(x), len(x)), bool)), q @ k.T, -1e9)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.matmul(weights / weights.sum(-1, keepdims=True), v)


def newton(x: Any) -> Any:
    y, steps = np.abs(x[0]).sum() + 1.0, 0
    z = y
    while abs(z * z - y) > 1e-9 and steps < 50:
        z = 0.5 * (z + y / z)
        steps += 1
    return z * x[1]


_SCRIPTS = [
    mahalanobis, robust_scale, ranks_and_ties, kernel_density, bootstrap_mean,
    weighted_regression, autocorrelation, sobel, median_filter, bilinear, histogram_equalised,
    connected, heat, lennard_jones, runge_kutta, ising, rotation, advection, drawdown, portfolio,
    black_scholes, ema, windowed, polynomial_trend, coo_product, segment_softmax, top_k, triplet,
    focal, attention, newton,
]  # fmt: skip


def table() -> list[Entry]:
    """The entries of scripts."""
    return [
        entry(f"script.{f.__name__}", f, domains="distinct", shapes=(4, 4), kinds="C, single",
              rtol=1e-9, kernel=False) for f in _SCRIPTS
    ]  # fmt: skip
