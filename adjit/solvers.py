"""What finds a solution on plain arrays: SciPy's solvers, a plain iteration, or the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import NotConverged
from .ir.records import dataclass

# Up to this many unknowns, Newton steps bring a solution to full precision: the derivative is that
# of an exact solution, and is as wrong as the solution is.
POLISHED = 200
_STEPS = 4
_SECOND_ORDER = ("newton-cg", "dogleg", "trust-ncg", "trust-krylov", "trust-exact")
_NO_SLOPE = ("nelder-mead", "powell", "cobyla", "cobyqa")

Flat = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Problem:
    """A system of n equations for n unknowns, as functions of a vector.

    residual   what must vanish
    jacobian   its derivative, n by n
    objective  of a minimisation: (value, gradient); of least squares: (residuals, their Jacobian)
    """

    name: str
    x0: np.ndarray
    residual: Flat
    jacobian: Flat
    objective: Flat | None = None


@dataclass(frozen=True)
class Solver:
    """How to solve: a kind of problem, and what to tell SciPy."""

    kind: str
    method: str | None = None
    tol: float | None = None
    options: tuple[tuple[str, Any], ...] = ()
    linear: str | None = None

    def __call__(self, p: Problem) -> np.ndarray:
        """The solution; a `NotConverged` error if there is none to be had."""
        x, found, why = _WAYS[self.kind](self, p)
        return settled(p, np.asarray(x, p.x0.dtype).reshape(p.x0.shape), found, why)


def settled(p: Problem, x: np.ndarray, found: bool, why: str) -> np.ndarray:
    """The solution to full precision, where that costs little; an error if it is none."""
    first, start = _size(p.residual(x)), _size(p.residual(p.x0))
    x, left = _polished(p, x, first) if np.isfinite(first) else (x, first)
    eps = float(np.finfo(x.dtype).eps)
    good = left <= max(1e-5, 1e3 * eps) * (1.0 + min(start, 1e6))
    if np.isfinite(left) and (found or left <= 1e3 * eps * (1.0 + start)) and good:
        return x
    raise NotConverged(
        f"{p.name} found no solution: {why or 'the residual is not small'}\n"
        f"  The largest residual is {left:.3g}, that of the first guess {start:.3g}.\n"
        "  Begin with a better x0, or choose another method, tol or options."
    )


def _message(found: Any) -> str:
    """What SciPy says of it, in one line."""
    return " ".join(str(found.message).split())


def _size(r: Any) -> float:
    r = np.asarray(r)
    return float(np.max(np.abs(r))) if r.size else 0.0


def _polished(p: Problem, x: np.ndarray, left: float) -> tuple[np.ndarray, float]:
    """Newton steps as long as they help."""
    for _ in range(_STEPS if x.size <= POLISHED else 0):
        if left == 0.0:
            break
        try:
            step = np.linalg.solve(p.jacobian(x), p.residual(x))
        except np.linalg.LinAlgError:
            break
        # No step may leave for another solution.
        if not np.all(np.isfinite(step)) or _size(step) > 1e-2 * (1.0 + _size(x)):
            break
        better = (x - step).astype(x.dtype)
        now = _size(p.residual(better))
        if not now < left:
            break
        x, left = better, now
    return x, left


# ------------------------------------------------------------------ the system of a derivative

DENSE = 500  # up to as many unknowns: a matrix; beyond, products with it


def linear_way(kind: str, linear: str | None, size: int) -> str:
    """How the system of the implicit function theorem is solved: "dense", "cg" or "gmres"."""
    if linear not in (None, "dense", "cg", "gmres"):
        raise ValueError(f"{kind}: linear={linear!r} is none of 'dense', 'cg', 'gmres'")
    if linear is not None:
        return linear
    if size <= DENSE:
        return "dense"
    return "cg" if kind in ("minimize", "least_squares") else "gmres"


def by_products(name: str, way: str, product: Flat, b: np.ndarray) -> np.ndarray:
    """u with A u = b from products with A."""
    from scipy.sparse import linalg

    n, eps = b.size, float(np.finfo(b.dtype).eps)
    a = linalg.LinearOperator((n, n), matvec=product, dtype=b.dtype)
    how: dict[str, Any] = {"rtol": max(1e-11, 10 * eps), "atol": 0.0}
    if way == "cg":
        u, info = linalg.cg(a, b, maxiter=10 * n, **how)
    else:
        u, info = linalg.gmres(a, b, restart=min(n, 100), maxiter=100, **how)
    if info != 0:
        raise NotConverged(
            f"{name}: the linear system of the derivative was not solved by {way}\n"
            "  Say linear='dense', or linear='gmres' where the matrix is not positive definite."
        )
    return np.asarray(u, b.dtype)


# ------------------------------------------------------------------ the ways


def _root(s: Solver, p: Problem) -> tuple[Any, bool, str]:
    from scipy import optimize

    method, given = s.method or "hybr", dict(s.options)
    jac = p.jacobian if method in ("hybr", "lm") else None
    found = optimize.root(
        p.residual, p.x0, jac=jac, method=method, tol=s.tol, options=given or None
    )
    return found.x, bool(found.success), _message(found)


def _fixed_point(s: Solver, p: Problem) -> tuple[Any, bool, str]:
    if s.method == "newton":
        return _root(Solver("root", None, s.tol, s.options), p)
    rounds = int(dict(s.options).get("maxiter", 1000))
    x, eps = p.x0, float(np.finfo(p.x0.dtype).eps)
    tol = s.tol if s.tol is not None else 100 * eps
    for _ in range(rounds):
        step = p.residual(x)  # x - f(x)
        x = x - step
        size = _size(step)
        if not np.isfinite(size):
            return x, False, "the iteration diverged"
        if size <= tol * (1.0 + _size(x)):
            return x, True, ""
    return x, False, f"the iteration did not settle in {rounds} rounds (method='newton' may)"


def _minimize(s: Solver, p: Problem) -> tuple[Any, bool, str]:
    from scipy import optimize

    method = s.method or "BFGS"
    assert p.objective is not None
    objective, second, slope = p.objective, method.lower() in _SECOND_ORDER, True
    if method.lower() in _NO_SLOPE:
        slope = False
    found = optimize.minimize(
        objective if slope else lambda x: objective(x)[0],
        p.x0,
        jac=slope or None,
        hess=p.jacobian if second else None,
        method=method,
        tol=s.tol,
        options=dict(s.options) or None,
    )
    # A line search that cannot improve the last digits any more is no failure.
    lost = "precision loss" in _message(found)
    return found.x, bool(found.success) or lost, _message(found)


def _least_squares(s: Solver, p: Problem) -> tuple[Any, bool, str]:
    from scipy import optimize

    assert p.objective is not None
    objective, given = p.objective, dict(s.options)
    tol = 1e-12 if s.tol is None else s.tol
    found = optimize.least_squares(
        lambda x: objective(x)[0],
        p.x0,
        jac=lambda x: objective(x)[1],
        method=s.method or "trf",
        **{"ftol": tol, "xtol": tol, "gtol": tol, **given},
    )
    return found.x, bool(found.success), _message(found)


_WAYS: dict[str, Callable[[Solver, Problem], tuple[Any, bool, str]]] = {
    "root": _root,
    "fixed_point": _fixed_point,
    "minimize": _minimize,
    "least_squares": _least_squares,
}


def named(options: dict[str, Any] | None) -> tuple[tuple[str, Any], ...]:
    """Options as a fact that can be compared."""
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"options is a dict, not a {type(options).__name__}")
    return tuple(sorted((options or {}).items()))
