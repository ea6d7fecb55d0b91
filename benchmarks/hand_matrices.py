"""A Hessian and a Jacobian by hand."""

import numpy as np
from hand import kernel
from vector import tanh


@kernel
def rosenbrock_hessian_whole(x, out):
    out[:] = 0.0
    for i in range(x.size - 1):
        out[i, i] += 1200.0 * x[i] * x[i] - 400.0 * x[i + 1] + 2.0
        out[i + 1, i + 1] += 200.0
        out[i, i + 1] = out[i + 1, i] = -400.0 * x[i]


def rosenbrock_hessian(x):
    out = np.empty((x.size, x.size))

    def run():
        rosenbrock_hessian_whole(x, out)
        return out

    return run


@kernel
def layer(w, x, y, s):
    """tanh(w @ x) and its slopes."""
    np.dot(w, x, y)
    for i in range(y.size):
        y[i] = tanh(y[i])
        s[i] = 1.0 - y[i] * y[i]


@kernel
def scale_rows(m, s, out):
    for i in range(s.size):
        for j in range(m.shape[1]):
            out[i, j] = s[i] * m[i, j]


@kernel
def tanh_chain_jacobian_whole(x, a, b, c, y1, y2, y3, s1, s2, s3, p, q, out):
    layer(a, x, y1, s1)
    layer(b, y1, y2, s2)
    layer(c, y2, y3, s3)
    scale_rows(a, s1, p)
    np.dot(b, p, q)
    scale_rows(q, s2, q)
    np.dot(c, q, out)
    scale_rows(out, s3, out)


def tanh_chain_jacobian(x, a, b, c):
    rows, squares = [np.empty_like(x) for _ in range(6)], [np.empty_like(a) for _ in range(3)]

    def run():
        tanh_chain_jacobian_whole(x, a, b, c, *rows, *squares)
        return squares[-1]

    return run
