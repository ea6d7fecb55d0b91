"""Logistic regression by Newton's method: the gradient, and Hessian-vector products for CG."""

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

from adjit import hvp, value_and_grad


def loss(params, x, y):
    """Mean log-loss for labels of -1 and 1, with a little weight decay."""
    margin = y * (x @ params["w"] + params["b"])
    return np.mean(np.logaddexp(0.0, -margin)) + 0.5e-3 * np.sum(params["w"] ** 2)


def data(rng, n, d):
    x = rng.standard_normal((n, d))
    truth = rng.standard_normal(d)
    return x, np.where(x @ truth + rng.standard_normal(n) > 0.0, 1.0, -1.0)


def pack(params):
    return np.append(params["w"], params["b"])


def unpack(v):
    return {"w": v[:-1], "b": v[-1]}


def main():
    x, y = data(np.random.default_rng(0), 5000, 20)
    value_and_gradient, product = value_and_grad(loss), hvp(loss)
    params = unpack(np.zeros(21))
    print(value_and_gradient.ir(params, x, y))

    v = np.linspace(-1.0, 1.0, 21)
    gradient = pack(value_and_gradient(params, x, y)[1])
    numeric = (loss(unpack(1e-6 * v), x, y) - loss(unpack(-1e-6 * v), x, y)) / 2e-6
    print(f"\nslope along a direction: {gradient @ v:.9f}, by differences {numeric:.9f}")
    np.testing.assert_allclose(gradient @ v, numeric, rtol=1e-6)

    for step in range(8):
        value, gradients = value_and_gradient(params, x, y)
        g = pack(gradients)
        print(f"step {step}: loss {value:.12f}, |gradient| {np.linalg.norm(g):.1e}")
        if np.linalg.norm(g) < 1e-8:
            break

        def curvature(v, at=params):
            return pack(product(at, unpack(v), x, y))

        hessian = LinearOperator((21, 21), curvature, dtype=float)
        params = unpack(pack(params) - cg(hessian, g, rtol=1e-10)[0])
    assert np.linalg.norm(g) < 1e-8


if __name__ == "__main__":
    main()
