"""The gradient of the Gaussian mixture, by hand: two matrix products and a pass for each 32 points.

With Q the triangular factor of a cluster and p the share of a point in it, the slope by Q is -Q S
where S is the second moment about the mean under p: so the moments of all clusters are one product
of shares with the points' packed outer squares, and nothing of points x clusters x dims is kept.
"""

import numpy as np
from hand import ROWS, kernel
from vector import exp


@kernel
def factors_and_shifts(means, factors, wide, shifts, volumes, gamma, freedom):
    """All factors side by side (wide), Q times the mean, log determinants; returns the prior."""
    k, d = means.shape
    prior = 0.0
    wide[:] = 0.0
    for c in range(k):
        row, mean, first = factors[c], means[c], c * d
        volume, squares, at = 0.0, 0.0, d
        for i in range(d):
            q = exp(row[i])
            wide[i, first + i] = q
            volume += row[i]
            squares += q * q
            for j in range(i + 1, d):
                wide[i, first + j] = row[at]
                squares += row[at] * row[at]
                at += 1
        for j in range(d):
            shifts[first + j] = 0.0
        for i in range(d):
            for j in range(i, d):
                shifts[first + j] += wide[i, first + j] * mean[i]
        volumes[c] = volume
        prior += 0.5 * gamma * gamma * squares - freedom * volume
    return prior


@kernel
def shares(y, shifts, offsets, p):
    """Each point's share in each cluster; returns the sum of the points' log likelihoods."""
    n, k = p.shape
    d = shifts.size // k
    total = 0.0
    for r in range(n):
        row, top = y[r], -np.inf
        for c in range(k):
            s = 0.0
            for j in range(c * d, (c + 1) * d):
                t = row[j] - shifts[j]
                s += t * t
            score = offsets[c] - 0.5 * s
            p[r, c] = score
            top = max(top, score)
        mass = 0.0
        for c in range(k):
            p[r, c] = exp(p[r, c] - top)
            mass += p[r, c]
        part = 1.0 / mass
        for c in range(k):
            p[r, c] *= part
        total += top + np.log(mass)
    return total


@kernel
def pack(x, packed):
    """A row of packed: the lower triangle of the point's outer square, the point, one."""
    n, d = x.shape
    for r in range(n):
        at, point, row = 0, x[r], packed[r]
        for i in range(d):
            for j in range(i + 1):
                row[at + j] = point[i] * point[j]
            at += i + 1
        for i in range(d):
            row[at + i] = point[i]
        row[at + d] = 1.0


@kernel
def centred(moment, mean, s):
    """The second moment about the mean, both triangles."""
    d, at = mean.size, 0
    first = d * (d + 1) // 2
    mass = moment[first + d]
    for i in range(d):
        for j in range(i + 1):
            about = mass * mean[i] * mean[j]
            about -= moment[first + i] * mean[j] + mean[i] * moment[first + j]
            s[i, j] = s[j, i] = moment[at + j] + about
        at += i + 1


@kernel
def slopes_of_cluster(moment, mean, row, q, s, m, g_mean, g_row, gamma, freedom):
    d = mean.size
    first = d * (d + 1) // 2
    mass = moment[first + d]
    centred(moment, mean, s)
    np.dot(q, s, m)
    at = d
    for i in range(d):
        g_row[i] = mass - m[i, i] * q[i, i] + gamma * gamma * q[i, i] * q[i, i] - freedom
        for j in range(i + 1, d):
            g_row[at] = gamma * gamma * row[at] - m[j, i]
            at += 1
        g_mean[i] = 0.0
    for j in range(d):
        t = 0.0
        for i in range(j + 1):
            t += q[j, i] * (moment[first + i] - mass * mean[i])
        for i in range(j + 1):
            g_mean[i] += q[j, i] * t


@kernel
def mixture_whole(
    weights, means, factors, x, gamma, freedom, g_weights, g_means, g_factors,
    wide, shifts, offsets, y, p, packed, part, moments, q, s, m,
):  # fmt: skip
    n, d = x.shape
    k = weights.size
    total = factors_and_shifts(means, factors, wide, shifts, offsets, gamma, freedom)
    for c in range(k):
        offsets[c] += weights[c]
    moments[:] = 0.0
    for start in range(0, n, ROWS):
        block = x[start : start + ROWS]
        rows = block.shape[0]
        np.dot(block, wide, y[:rows])
        total += shares(y[:rows], shifts, offsets, p[:rows])
        pack(block, packed[:rows])
        np.dot(p[:rows].T, packed[:rows], part)
        moments += part
    top, mass = weights.max(), 0.0
    for c in range(k):
        mass += np.exp(weights[c] - top)
    for c in range(k):
        g_weights[c] = moments[c, -1] - n * np.exp(weights[c] - top) / mass
        for i in range(d):
            for j in range(d):
                q[j, i] = wide[i, c * d + j]
        slopes_of_cluster(
            moments[c], means[c], factors[c], q, s, m, g_means[c], g_factors[c], gamma, freedom
        )
    return total - n * (top + np.log(mass))


def mixture(weights, means, factors, x, place, gamma, freedom):
    k, d = means.shape
    columns = d * (d + 1) // 2 + d + 1
    shapes = (
        (d, k * d), k * d, k, (ROWS, k * d), (ROWS, k), (ROWS, columns), (k, columns), (k, columns),
        (d, d), (d, d), (d, d),
    )  # fmt: skip
    space = [np.empty(shape) for shape in shapes]
    g = [np.empty_like(a) for a in (weights, means, factors)]
    given = (weights, means, factors, x, float(gamma), float(freedom), *g, *space)
    return lambda: (mixture_whole(*given), *g)
