"""Plain Python loops over NumPy values, as users write them: the shapes and wirings of rolling.

Each program takes a vector of six numbers (and a number of rounds, where it has one).
"""

from __future__ import annotations

import functools

import numpy as np


def invariant(x, n):
    y = x[0]
    for _ in range(n):
        y = y + np.sin(x[1]) * 0.1
    return y


def carried(x, n):
    y = x
    for _ in range(n):
        y = y + 0.1 * np.sin(y)
    return np.sum(y)


def int_start(x, n):
    total = 0
    for i in range(n):
        total = total + x[i % 6] * i
    return total


def clock(x, n):
    y, t, dt = x[0], 0.0, 0.1
    for _ in range(n):
        y = y + dt * np.sin(y + t)
        t = t + dt
    return y


def fibonacci(x, n):
    a, b = x[0] * 0.01, x[1] * 0.01
    for _ in range(n):
        a, b = b, np.tanh(a + b)
    return a + 2 * b


def delay(x, n):
    h = [x[k] for k in range(6)]
    for _ in range(n):
        h.append(np.sin(h[-1]) + 0.1 * h[-5])
    return h[-1] + h[-2]


def swapped(x, n):
    new, old = np.zeros(6), x
    for _ in range(n):
        new, old = np.sin(old) + 0.1 * new, new
        new, old = old, new
    return np.sum(new * old)


def windows(x, n):
    s = 0.0
    for i in range(2, 4):
        s = s + x[i - 2] * x[i + 2] + x[i]
    z = np.concatenate([x, x, x])
    for i in range(2, 2 + min(n, 14)):
        s = s + z[i - 2] * z[i + 2] * z[i]
    return s


def slices(x, n):
    z = np.concatenate([x, x, x])
    s = 0.0
    for i in range(min(n, 12)):
        s = s + np.sum(z[i : i + 4] * z[i + 4])
    return s


def table(x, n):
    weights = [0.3, 0.1, 0.7, -0.2, 0.5, 1.5, 0.25]
    s = x[0]
    for k in range(n):
        s = np.sin(s) * weights[k % 7] + x[1]
    return s


def listed(x, n):
    parts = [x * (k + 1.5) for k in range(n)]
    s = np.zeros(6)
    for p in parts:
        s = np.tanh(s + p)
    return np.sum(s)


def history(x, n):
    ys, y = [], x[0]
    for _ in range(n):
        y = np.sin(y) + x[1]
        ys.append(y)
    return np.sum(np.array(ys) ** 2) + ys[n // 2]


def horner(x, n):
    y = 0.0
    coefficients = list(x)
    for _ in range(max(n // 6, 1)):
        for c in reversed(coefficients):
            y = 0.1 * y * x[0] + c
    return y


def writes(x, n):
    z = np.zeros(n + 1)
    z[0] = x[0]
    for i in range(n):
        z[i + 1] = np.sin(z[i]) + x[1]
    return np.sum(z * z)


def writes_rows(x, n):
    z = np.zeros((n, 6))
    for i in range(n):
        z[i] = x * i
        z[i, 2:4] = np.sin(x[:2])
    return np.sum(z * z * 0.01)


def writes_back(x, n):
    z = np.concatenate([x, x, x])
    for i in range(min(n, 16)):
        z[i + 1] = z[i + 1] * 0.5 + np.cos(z[i])
        z[i] += 1.0
    return np.sum(z * z)


def columns(x, n):
    z = np.outer(x, np.ones(n))
    s = x[0] * 0
    for i in range(n):
        s = np.tanh(s + np.sum(z[:, i]) * 0.1)
    return s


def rows(x, n):
    z = np.outer(np.ones(n), x)
    s = np.zeros(6)
    for row in z:
        s = np.tanh(s + row)
    return np.sum(s)


def first_special(x, n):
    z0, y = None, x[0]
    for k in range(n):
        y = np.sin(y) + x[1]
        if k == 0:
            z0 = y
    return y * (1.0 if z0 is None else z0)


def last_special(x, n):
    u, y = x[0], x[1]
    for i in range(n):
        y = np.sin(y + u)
        if i >= n - 2:
            y = np.cos(y)
    return y


def every_third(x, n):
    y = x[0]
    for i in range(n):
        y = np.sin(y) if i % 3 else np.cos(y) * x[1]
    return y


def nested(x, n):
    s = x[0]
    for i in range(n):
        r = x[1]
        for j in range(4):
            r = r * 0.5 + x[j] * i
        s = np.tanh(s + r)
    return s


def matrix(x, n):
    a = np.outer(x, x)
    s = 0.0
    for _ in range(max(n // 12, 1)):
        for i in range(6):
            for j in range(6):
                s = s + a[i, j] * (i + 1)
    return s


def triangular(x, n):
    a = np.outer(x, x)
    s = x[0] * 0
    for i in range(6):
        for j in range(i):
            s = s + np.sin(a[i, j])
        s = s * 0.5
    return s


def nested_lists(x, n):
    out, y = [], x[0]
    for _ in range(n):
        row = []
        for j in range(4):
            y = np.sin(y) + x[j]
            row.append(y)
        out.append(row)
    return np.sum(np.array(out) ** 2)


def _step(y, p):
    k1 = np.sin(y) * p
    k2 = np.sin(y + 0.05 * k1) * p
    return y + 0.1 * k2


def helper(x, n):
    y = x
    for _ in range(n):
        y = _step(y, x[0])
    return np.sum(y)


def _many(y, n):
    for _ in range(n):
        y = _step(y, 0.5)
    return y


def loop_in_helper(x, n):
    y = x
    for _ in range(n):
        y = _many(y, 5) * 0.9
    return np.sum(y)


def generator(x, n):
    def states():
        y = x[0]
        for _ in range(n):
            y = np.sin(y) + x[1]
            yield y

    s = 0.0
    for y in states():
        s = s + y * y
    return s


def comprehension(x, n):
    return np.sum(np.array([np.sin(x[0] * k) * x[1] for k in range(n)]))


def summed(x, n):
    return sum(np.sin(x[0] * k) for k in range(n)) + x[1]


def reduced(x, n):
    return functools.reduce(lambda a, b: np.sin(a) + b, [x[0]] * n, x[1])


def zipped(x, n):
    s = 0.0
    for i, (a, b) in enumerate(zip(x, x[::-1], strict=True)):
        s = s + a * b * i
    return s + 0 * n


def finally_(x, n):
    y = x[0]
    for _ in range(n):
        try:
            y = np.sin(y)
        finally:
            y = y + x[1]
    return y


def rnn(x, n):
    w = np.outer(x, x) * 0.1
    h = np.zeros(6)
    for i in range(n):
        h = np.tanh(w @ h + x[i % 6])
    return np.sum(h)


def sequence(x, n):
    y = x[0]
    for _ in range(n):
        y = np.sin(y)
    for _ in range(n):
        y = np.cos(y) * x[1]
    return y


def index_after(x, n):
    y = x[0]
    i = 0
    for i in range(n):  # noqa: B007
        y = np.sin(y)
    return y * i


def accumulate(x, n):
    s = np.zeros(3)
    for i in range(n):
        s[i % 3] += x[i % 6]
    return np.sum(s * s)


def recursion(x, n):
    def h(y, k):
        return y if k == 0 else h(np.sin(y), k - 1)

    return h(x[0], n)


def unused(x, n):
    for i in range(n):
        np.sin(x * i)
    return np.sum(x)


def continued(x, n):
    y = x[0]
    for i in range(n):
        y = np.sin(y)
        if i % 2:
            continue
        y = y + x[1]
    return y


PROGRAMS = {
    f.__name__: f
    for f in (
        invariant, carried, int_start, clock, fibonacci, delay, swapped, windows, slices, table,
        listed, history, horner, writes, writes_rows, writes_back, columns, rows, first_special,
        last_special, every_third, nested, matrix, triangular, nested_lists, helper,
        loop_in_helper, generator, comprehension, summed, reduced, zipped, finally_, rnn, sequence,
        index_after, accumulate, recursion, unused, continued,
    )
}  # fmt: skip
