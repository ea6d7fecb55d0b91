"""Python that decides by traced values, points for both of its ways, slopes by differences."""

from __future__ import annotations

import numpy as np

# Each takes a vector and is called at points that take different paths.


def if_(x):
    y = np.sum(x * x)
    if x[0] > 0:
        y = y + np.sin(x[0])
    return y


def elif_(x):
    s = np.sum(x)
    if s > 2:
        return s * s
    elif s > 0:
        return np.exp(s) * x[0]
    else:
        return np.sum(np.cos(x))


def while_(x):
    s = np.sum(x * x)
    while s > 1:
        s = s / 3 + 0.01 * np.sin(s)
    return s


def early_return(x):
    for k in range(len(x)):
        if x[k] > 0.5:
            return x[k] ** 2 * np.sum(x)
    return np.sum(x**3)


def break_(x):
    total = 0.0
    for v in x:
        if v < -0.5:
            break
        total = total + np.exp(v)
    return total + x[-1] ** 2


def continue_(x):
    total = x[0] ** 2
    for v in x:
        if v < 0:
            continue
        total += np.sqrt(v + 1)
    return total


def ternary(x):
    s = np.sum(x)
    return s**3 if s > 0 else np.cos(s)


def and_or(x):
    if x[0] > 0 and not x[1] > 0:
        return x[0] * x[1] ** 2
    if x[0] > 1 or x[1] < -1:
        return np.sum(x**2) * 2
    return np.sum(np.sin(x))


def min_max_sorted(x):
    a, b = sorted([x[0], x[1] * 1.1])
    return max(a * a, b, x[0] * 0.3) * np.sum(x) + min(a, b * b)


def assert_(x):
    assert np.sum(x) < 100, "too large"
    return np.sum(x * x * x)


def int_as_index(x):
    table = [1.0, 2.0, 4.0, 8.0, 16.0]
    k = int(np.clip(np.sum(x) + 2, 0, 4))
    return table[k] * np.sum(x**2)


def int_as_size(x):
    n = int(abs(x[0]) * 2) + 1
    return sum(np.sum(x) ** (k + 1) for k in range(n))


def argmax(x):
    k = int(np.argmax(x))
    return x[k] ** 2 + np.sum(x) * k


def recursion(x, depth=0):
    s = np.sum(x * x)
    if s < 0.3 or depth > 6:
        return s + np.sum(np.sin(x))
    return recursion(x * 0.5, depth + 1) * 1.5


def nested(x):
    y = np.sum(x)
    for k in range(3):
        if y > 0:
            while y > 1:
                y = y * 0.4 - 0.01 * k
        else:
            y = y * y + x[0]
    return y * y


def chained(x):
    s = np.sum(x)
    return s**2 if -0.5 < s < 0.5 else s**3 + x[0]


def contains(x):
    return np.sum(x**2) if 1 in np.sign(x) else np.sum(x**4)


def match_(x):
    match int(np.sign(np.sum(x))):
        case 1:
            return np.sum(np.exp(x * 0.3))
        case -1:
            return np.sum(x**2)
        case _:
            return x[0] + 0.0


FLOWS = [
    if_, elif_, while_, early_return, break_, continue_, ternary, and_or, min_max_sorted, assert_,
    int_as_index, int_as_size, argmax, recursion, nested, chained, contains, match_,
]  # fmt: skip
POINTS = {
    "small": [[1.1, -0.7], [-1.2, 0.4], [0.2, 0.1], [2.1, 1.9], [-0.4, -1.6]],
    "array": [np.random.default_rng(k).normal(size=12) * (0.2 + 0.4 * k) for k in range(5)],
}


def scalar_form(f):
    """The same flow of one number."""
    return lambda t: f(np.array([t, 0.9 - t * t]))


def difference(f, x, h=1e-6):
    """The gradient by central differences."""
    x = np.asarray(x, float)
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        d = np.zeros(x.shape)
        d[at] = h
        out[at] = (f(x + d) - f(x - d)) / (2 * h)
    return out
