"""Fit real data by every solver of scipy.optimize that takes derivatives.

Needs scikit-learn for its data sets: measurements of breast tumours, and of diabetes patients.
"""

import numpy as np
from scipy import optimize

from adjit import grad, hessian, hvp, jacobian, jit, minimize, value_and_grad

try:
    from sklearn.datasets import load_breast_cancer, load_diabetes
except ImportError as error:
    raise SystemExit(f"{error}: this example needs the extra: pip install '.[examples]'") from None


# ------------------------------------------------------------------ which tumours are benign


def logistic(w, x, y, penalty):
    """Mean logistic loss of labels -1 and 1, with an L2 penalty."""
    return np.mean(np.logaddexp(0.0, -y * (x @ w))) + 0.5 * penalty * np.sum(w**2)


def tumours():
    x, labels = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    x = np.hstack([x, np.ones((len(x), 1))])
    y = np.where(labels == 1, 1.0, -1.0)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    return (x[:400], y[:400]), (x[400:], y[400:])


def classify():
    (x, y), (x_held, y_held) = tumours()
    start, args = np.zeros(x.shape[1]), (x, y, 1e-2)
    slope = value_and_grad(logistic)
    second, product = hessian(logistic), hvp(logistic)
    ways = {
        "L-BFGS-B, jac=True": {"method": "L-BFGS-B"},
        "Newton-CG, hessp=hvp": {"method": "Newton-CG", "hessp": product},
        "trust-exact, hess=hessian": {"method": "trust-exact", "hess": second},
        "trust-ncg, hessp=hvp": {"method": "trust-ncg", "hessp": product},
    }
    print(f"benign or not: {x.shape[1]} weights, {len(x)} tumours")
    for name, how in ways.items():
        found = optimize.minimize(slope, start, args=args, jac=True, tol=1e-9, **how)
        right = np.mean(np.sign(x_held @ found.x) == y_held)
        print(f"  {name:27}{found.nit:4} steps  loss {found.fun:.6f}  held out {100 * right:.1f} %")
    still = optimize.root(grad(logistic), found.x * 0.9, args=args, jac=second)
    loss = logistic(still.x, *args)
    print(f"  {'root of grad, jac=hessian':27}{still.nfev:4} calls  loss {loss:.6f}")
    np.testing.assert_allclose(still.x, found.x, atol=1e-5)
    return slope.ir(start, *args)


# ------------------------------------------------------------------ how diabetes goes on


def residuals(w, x, y):
    return x @ w[1:] + w[0] - y


def curve(bmi, level, rate):
    """Progress that grows by the same factor with each unit of the body mass index."""
    return level * np.exp(rate * bmi)


def diabetes():
    x, y = load_diabetes(return_X_y=True)
    x = x / x.std(axis=0)
    start = np.zeros(x.shape[1] + 1)
    robust = optimize.least_squares(
        residuals, start, jac=jacobian(residuals), args=(x, y), loss="soft_l1", f_scale=50.0
    )
    off = np.median(np.abs(residuals(robust.x, x, y)))
    print(f"\nprogress of diabetes: least_squares, {robust.njev} Jacobians, median error {off:.1f}")

    bmi, by_each = x[:, 2], jacobian(curve, argnums=(1, 2))
    found, covariance = optimize.curve_fit(
        curve, bmi, y, p0=(100.0, 0.0), jac=lambda *args: np.stack(by_each(*args), axis=1)
    )
    errors = np.sqrt(np.diag(covariance))
    listed = (f"{p:.2f}±{e:.2f}" for p, e in zip(found, errors, strict=True))
    print(f"curve_fit to the body mass index: level, rate {', '.join(listed)}")


# ------------------------------------------------------------------ the penalty, by its gradient


def tune():
    """The penalty that is best for held-out tumours, by the derivative through the fit itself."""
    (x, y), (x_held, y_held) = tumours()

    def held_out(log_penalty):
        w = minimize(logistic, np.zeros(x.shape[1]), x, y, np.exp(log_penalty))
        return logistic(w, x_held, y_held, 0.0)

    both = jit(value_and_grad(held_out))
    best = optimize.minimize_scalar(
        lambda t: both(t)[0], bounds=(-9.0, 0.0), method="bounded", options={"xatol": 1e-6}
    )
    root = optimize.root_scalar(lambda t: both(t)[1], bracket=(best.x - 1, best.x + 1))
    print(f"\nbest penalty {np.exp(root.root):.4f}: held-out loss {both(root.root)[0]:.4f}")
    assert abs(root.root - best.x) < 1e-2


def main():
    program = classify()
    diabetes()
    tune()
    print(f"\nthe loss of the tumours, as it was traced\n{program}")


if __name__ == "__main__":
    main()
