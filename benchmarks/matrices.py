"""Jacobians, Hessians and products with them, beside JAX.

    python benchmarks/matrices.py [--python PYTHON] [--markdown benchmarks/RESULTS.md]

The Jacobian of three layers of tanh in 100 dimensions, the Hessian of Rosenbrock's function of 20
numbers, and the product of the Hessian of a logistic regression with a vector; dense ones, and the
Jacobian of a reaction-diffusion residual on 100 000 points as a sparse matrix.
"""

from __future__ import annotations

import sys

import numpy as np
from calls import Cases, main
from problems import logistic, regression, rosenbrock


def chain(x, a, b, c):
    return np.tanh(c @ np.tanh(b @ np.tanh(a @ x)))


def residual(u):
    return u[2:] - 2.0 * u[1:-1] + u[:-2] - 1e-4 * np.exp(u[1:-1])


RNG = np.random.default_rng(0)
LAYERS = tuple(RNG.standard_normal((100, 100)) / 10.0 for _ in range(3))
MODEL = regression(RNG, 10_000, 100)
CASES: Cases = {
    "Jacobian, tanh chain, n = 100": (("jacobian", chain), (RNG.standard_normal(100), *LAYERS)),
    "Hessian, Rosenbrock, n = 20": (("hessian", rosenbrock), (np.linspace(-1.0, 1.0, 20),)),
    "HVP, logistic regression, 10000x100": (("hvp", logistic), MODEL),
    "sparse Jacobian, n = 1e5": (("sparse", residual), (np.linspace(0.0, 1.0, 100_000),)),
}


def adjit(case, args):
    from adjit import hessian, hvp, jacobian, sparse

    kind, fn = case
    if kind == "hvp":
        w, *rest = args
        return hvp(fn), (w, np.ones(w.size), *rest)
    return {"jacobian": jacobian, "hessian": hessian, "sparse": sparse.jacobian}[kind](fn), args


def jax(case, args):
    import jax
    import jax.numpy as jnp

    kind, fn = case
    if kind == "sparse":
        raise NotImplementedError("JAX has no sparse Jacobians")
    f = type(fn)(fn.__code__, {**fn.__globals__, "np": jnp}, fn.__name__)
    given = tuple(jnp.asarray(a) for a in args)

    def product(w, v, *rest):
        return jax.jvp(jax.grad(lambda w: f(w, *rest)), (w,), (v,))[1]

    if kind == "hvp":
        w, *rest = given
        step, given = jax.jit(product), (w, jnp.ones(w.size), *rest)
    else:
        step = jax.jit({"jacobian": jax.jacfwd, "hessian": jax.hessian}[kind](f))
    return (lambda *a: step(*a).block_until_ready()), given


if __name__ == "__main__":
    sys.exit(main(__file__, "Matrices", CASES, {"adjit": adjit, "jax": jax}))
