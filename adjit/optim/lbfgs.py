"""L-BFGS by SciPy, for a loss that can be asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..eager.modes import enable_grad
from .optimizers import Optimizer


class LBFGS(Optimizer):
    """`step(closure)` runs SciPy's L-BFGS-B on all parameters together.

    The closure clears the gradients, computes the loss, calls backward and returns the loss.  Line
    searches are SciPy's, so steps differ from those of other implementations; minima do not.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval or max_iter * 5 // 4,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise from here; returns the loss at the start."""
        from scipy.optimize import minimize

        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that computes the loss again")
        group = self.param_groups[0]
        params = group["params"]
        first: list[Any] = []

        def put(flat: np.ndarray) -> None:
            at = 0
            for p in params:
                array = p._own()
                p._storage.touch()
                p._source = None
                array[...] = flat[at : at + array.size].reshape(array.shape)
                at += array.size

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            put(flat)
            with enable_grad():
                found = closure()
            if not first:
                first.append(found)
            grads = [
                np.zeros(p.numel()) if p.grad is None else p.grad._value().ravel() for p in params
            ]
            return float(found), np.concatenate(grads).astype(np.float64)

        start = np.concatenate([p._value().ravel() for p in params]).astype(np.float64)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={
            "maxiter": group["max_iter"], "maxfun": group["max_eval"],
            "maxcor": group["history_size"], "gtol": group["tolerance_grad"],
            "ftol": group["tolerance_change"],
        })  # fmt: skip
        put(found.x)
        state = self.state.setdefault(params[0], {})
        state["func_evals"] = state.get("func_evals", 0) + int(found.nfev)
        state["n_iter"] = state.get("n_iter", 0) + int(found.nit)
        return first[0]
