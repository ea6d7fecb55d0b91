"""Values and gradients written by hand in Numba, as an expert would: the practical limit.

Fused loops, own vector functions, BLAS by np.dot, outputs and workspaces allocated once.  They give
what the differentiated NumPy functions give; the derivatives are worked out on paper.
"""

import os

import numpy as np
from numba import njit, prange
from vector import exp, exp32, log, log1p, normal

CACHE = "BENCH_NUMBA_CACHE" in os.environ
PARTS = int(os.environ.get("NUMBA_NUM_THREADS", "1"))  # what the large kernels are cut into
kernel = njit(fastmath=True, error_model="numpy", cache=CACHE)
threads = njit(fastmath=True, error_model="numpy", cache=CACHE, parallel=PARTS > 1)

ROWS = 32  # of a matrix at a time: they stay in the first cache between both uses


@kernel
def rosenbrock_ends(x, g):
    """The outer two slopes, and the term of the first point."""
    n = x.size
    a, b = x[1] - x[0] * x[0], 1.0 - x[0]
    g[0] = -400.0 * a * x[0] - 2.0 * b
    g[n - 1] = 200.0 * (x[n - 1] - x[n - 2] * x[n - 2])
    return 100.0 * a * a + b * b


@kernel
def rosenbrock_inner(left, here, right, g):
    """All points but the ends; slices that start at zero keep Numba's index test out of the way."""
    value = 0.0
    for i in range(g.size):
        m = here[i]
        a, b = right[i] - m * m, 1.0 - m
        value += 100.0 * a * a + b * b
        g[i] = 200.0 * (m - left[i] * left[i]) - 400.0 * a * m - 2.0 * b
    return value


@threads
def rosenbrock_large(x, g):
    inner, total = g[1:-1], rosenbrock_ends(x, g)
    for part in prange(PARTS):
        a, b = part * inner.size // PARTS, (part + 1) * inner.size // PARTS
        total += rosenbrock_inner(x[a:b], x[a + 1 : b + 1], x[a + 2 : b + 2], inner[a:b])
    return total


@kernel
def rosenbrock_small(x, g):
    value, carried = 0.0, 0.0
    for i in range(x.size - 1):
        a, b = x[i + 1] - x[i] * x[i], 1.0 - x[i]
        value += 100.0 * a * a + b * b
        g[i] = carried - 400.0 * a * x[i] - 2.0 * b
        carried = 200.0 * a
    g[x.size - 1] = carried
    return value


def rosenbrock(x):
    g = np.empty_like(x)
    run = rosenbrock_small if x.size < 1000 else rosenbrock_large
    return lambda: (run(x, g), g)


@kernel
def slopes(z, y, scale):
    """The margins become slopes; returns the sum of log(1 + exp(-y z))."""
    total = 0.0
    for r in range(z.size):
        m = y[r] * z[r]
        e = exp(-abs(m))
        total += max(-m, 0.0) + log1p(e)
        z[r] = -scale * y[r] * (e if m > 0.0 else 1.0) / (1.0 + e)
    return total


@kernel
def curvatures(z, t, scale):
    """The margins become their tangents t times the second derivative of the loss."""
    for r in range(z.size):
        e = exp(-abs(z[r]))
        q = 1.0 + e
        z[r] = scale * t[r] * e / (q * q)


@kernel
def products(x, w, z):
    for r in range(z.size):
        row, s = x[r], 0.0
        for j in range(w.size):
            s += row[j] * w[j]
        z[r] = s


@kernel
def add_rows(g, x, s):
    """g += s @ x, four rows at a time."""
    n = x.shape[0]
    for r in range(n // 4):
        x0, x1, x2, x3 = x[4 * r], x[4 * r + 1], x[4 * r + 2], x[4 * r + 3]
        s0, s1, s2, s3 = s[4 * r], s[4 * r + 1], s[4 * r + 2], s[4 * r + 3]
        for j in range(g.size):
            g[j] += (s0 * x0[j] + s1 * x1[j]) + (s2 * x2[j] + s3 * x3[j])
    for r in range(n // 4 * 4, n):
        for j in range(g.size):
            g[j] += s[r] * x[r, j]


@kernel
def logistic_rows(w, v, x, y, g, z, scale):
    """One pass over x, block by block: margins, slopes, gradient; along v if there is a v."""
    total = 0.0
    g[:] = 0.0
    for start in range(0, x.shape[0], ROWS):
        m = min(ROWS, x.shape[0] - start)
        block = x[start : start + m]
        products(block, w, z[0, :m])
        if v.size:
            products(block, v, z[1, :m])
            curvatures(z[0, :m], z[1, :m], scale)
        else:
            total += slopes(z[0, :m], y[start : start + m], scale)
        add_rows(g, block, z[0, :m])
    return total


@threads
def logistic_whole(w, v, x, y, out, g, z):
    n, total, squares = x.shape[0], 0.0, 0.0
    for part in prange(PARTS):
        a, b = part * n // PARTS, (part + 1) * n // PARTS
        total += logistic_rows(w, v, x[a:b], y[a:b], g[part], z[part], 1.0 / n)
    along = v if v.size else w
    for j in range(w.size):
        squares += w[j] * w[j]
        out[j] = 0.001 * along[j]
        for part in range(PARTS):
            out[j] += g[part, j]
    return total / n + 0.0005 * squares


def logistic(w, x, y):
    out, g, z, none = np.empty_like(w), np.empty((PARTS, w.size)), np.empty((PARTS, 2, ROWS)), w[:0]
    return lambda: (logistic_whole(w, none, x, y, out, g, z), out)


def logistic_product(v, w, x, y):
    """The Hessian times v."""
    out, g, z = np.empty_like(w), np.empty((PARTS, w.size)), np.empty((PARTS, 2, ROWS))

    def run():
        logistic_whole(w, v, x, y, out, g, z)
        return out

    return run


@kernel
def black_scholes_part(spot, strike, time, rate, volatility, gs, gk, gt, gr, gv):
    total = 0.0
    for i in range(spot.size):
        s, k, t, r, v = spot[i], strike[i], time[i], rate[i], volatility[i]
        root = np.sqrt(t)
        d1 = (log(s / k) + (r + 0.5 * v * v) * t) / (v * root)
        n1, p1 = normal(d1)
        n2, _ = normal(d1 - v * root)
        paid = k * exp(-r * t) * n2
        total += s * n1 - paid
        # s n(d1) = k exp(-r t) n(d2): the slopes by d1 and d2 cancel but for this one.
        slope = s * p1 * 0.3989422804014327 * root
        gs[i] = n1
        gk[i] = -paid / k
        gt[i] = slope * v / (2.0 * t) + r * paid
        gr[i] = t * paid
        gv[i] = slope
    return total


@threads
def black_scholes_whole(s, k, t, r, v, gs, gk, gt, gr, gv):
    total = 0.0
    for p in prange(PARTS):
        a, b = p * s.size // PARTS, (p + 1) * s.size // PARTS
        total += black_scholes_part(
            s[a:b], k[a:b], t[a:b], r[a:b], v[a:b], gs[a:b], gk[a:b], gt[a:b], gr[a:b], gv[a:b]
        )
    return total


def black_scholes(*args):
    g = [np.empty_like(a) for a in args]
    return lambda: (black_scholes_whole(*args, *g), *g)


@kernel
def add_bias_and_clip(h, b):
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            h[i, j] = max(h[i, j] + b[j], np.float32(0.0))


@kernel
def mask_and_sum(dh, h, db):
    db[:] = np.float32(0.0)
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            t = dh[i, j] if h[i, j] > np.float32(0.0) else np.float32(0.0)
            dh[i, j] = t
            db[j] += t


@kernel
def cross_entropy(z, b, y, db):
    """The logits become the slopes of the mean loss, which is returned."""
    n, m = z.shape
    scale, total = np.float32(1.0 / n), np.float32(0.0)
    db[:] = np.float32(0.0)
    for i in range(n):
        row, label = z[i], y[i]
        top = row[0] + b[0]
        for j in range(m):
            row[j] += b[j]
            top = max(top, row[j])
        chosen, mass = np.float32(0.0), np.float32(0.0)
        for j in range(m):
            shifted = row[j] - top
            chosen += shifted * label[j]
            row[j] = exp32(shifted)
            mass += row[j]
        total += np.float32(np.log(mass)) - chosen
        share = np.float32(1.0) / mass
        for j in range(m):
            row[j] = (row[j] * share - label[j]) * scale
            db[j] += row[j]
    return total * scale


@kernel
def two_layers(x, y, w1, b1, w2, b2, h, z, dh, gw1, gb1, gw2, gb2):
    np.dot(x, w1, h)
    add_bias_and_clip(h, b1)
    np.dot(h, w2, z)
    value = cross_entropy(z, b2, y, gb2)
    np.dot(h.T, z, gw2)
    np.dot(z, w2.T, dh)
    mask_and_sum(dh, h, gb1)
    np.dot(x.T, dh, gw1)
    return value


@kernel
def three_layers(
    x, y, w1, b1, w2, b2, w3, b3, h1, h2, z, d1, d2, gw1, gb1, gw2, gb2, gw3, gb3
):  # fmt: skip
    np.dot(x, w1, h1)
    add_bias_and_clip(h1, b1)
    np.dot(h1, w2, h2)
    add_bias_and_clip(h2, b2)
    np.dot(h2, w3, z)
    value = cross_entropy(z, b3, y, gb3)
    np.dot(h2.T, z, gw3)
    np.dot(z, w3.T, d2)
    mask_and_sum(d2, h2, gb2)
    np.dot(h1.T, d2, gw2)
    np.dot(d2, w2.T, d1)
    mask_and_sum(d1, h1, gb1)
    np.dot(x.T, d1, gw1)
    return value


def network(x, y, *params):
    run = {4: two_layers, 6: three_layers}[len(params)]
    g = [np.empty_like(p) for p in params]
    hidden = [np.empty((len(x), b.size), x.dtype) for b in params[1::2]]
    slopes = [np.empty_like(h) for h in hidden[:-1]]
    return lambda: (run(x, y, *params, *hidden, *slopes, *g), *g)
