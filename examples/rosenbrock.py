"""Minimise Rosenbrock's function by SciPy's L-BFGS, which asks for value and gradient at once."""

import numpy as np
from scipy.optimize import approx_fprime, minimize

from adjit import value_and_grad


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def main():
    step = value_and_grad(rosenbrock)
    x = np.linspace(-1.5, 1.5, 100)

    print(step.ir(x))
    print("\nits adjoint, simplified:")
    print(step.ir(x, stage="simplified"))

    numeric = approx_fprime(x, rosenbrock, 1e-7)
    worst = np.max(np.abs(step(x)[1] - numeric)) / np.max(np.abs(numeric))
    print(f"\ngradient against finite differences: {worst:.1e} relative")
    assert worst < 1e-5

    found = minimize(step, x, jac=True, method="L-BFGS-B", options={"maxiter": 5000})
    print(f"{found.nit} iterations, {found.nfev} calls, down to f = {found.fun:.1e}")
    assert found.success


if __name__ == "__main__":
    main()
