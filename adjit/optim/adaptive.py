"""Optimisers with step sizes of their own, besides Adam and its like."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from . import rules
from .optimizers import Optimizer, check_betas, numbers_of, positive
from .rules import Rule


class Adamax(Optimizer):
    """Adam by the largest gradient in the place of the second moment."""

    counts = True

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        *, maximize: bool = False, **unused: Any,
    ) -> None:  # fmt: skip
        positive(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, **self.unused(unused),
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.adamax(maximize=group["maximize"], decayed=bool(group["weight_decay"]))

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        b1, b2 = group["betas"]
        size = group["lr"] / (1 - b1 ** state["step"])
        return {**numbers_of(group), "fresh1": 1 - b1, "beta2": b2, "size": size}


class _Moments(Optimizer):
    """First and second moments; decay by the gradient's way or of the weights themselves."""

    counts = True

    def _decay(self, group: dict[str, Any]) -> str:
        if not group["weight_decay"]:
            return ""
        return "own" if group["decoupled_weight_decay"] else "l2"

    def _shared(self, group: dict[str, Any]) -> dict[str, float]:
        b1, b2 = group["betas"]
        shrink = 1 - group["lr"] * group["weight_decay"]
        found = {"fresh1": 1 - b1, "beta2": b2, "fresh2": 1 - b2, "shrink": shrink}
        return {**numbers_of(group), **found}


class NAdam(_Moments):
    """Adam with Nesterov's momentum."""

    def __init__(
        self, params: Iterable[Any], lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
        maximize: bool = False, **unused: Any,
    ) -> None:  # fmt: skip
        positive(lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay)
        check_betas(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, **self.unused(unused),
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.nadam(maximize=group["maximize"], decay=self._decay(group))

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        (b1, b2), k, lr = group["betas"], state["step"], group["lr"]
        now, then = (b1 * (1 - 0.5 * 0.96 ** (i * group["momentum_decay"])) for i in (k, k + 1))
        product = state["mu_product"] = state.get("mu_product", 1.0) * now
        return {
            **self._shared(group),
            "root": math.sqrt(1 - b2**k),
            "near": lr * (1 - now) / (1 - product),
            "far": lr * then / (1 - product * then),
        }


class RAdam(_Moments):
    """Adam whose second moment counts only once it is known well."""

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0,
        decoupled_weight_decay: bool = False, *, maximize: bool = False, **unused: Any,
    ) -> None:  # fmt: skip
        positive(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
            **self.unused(unused),
        })  # fmt: skip

    @staticmethod
    def _length(b2: float, k: int) -> tuple[float, float]:
        """How many gradients the second moment is the mean of, after k and at last."""
        last = 2 / (1 - b2) - 1
        return last - 2 * k * b2**k / (1 - b2**k), last

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        length, _ = self._length(group["betas"][1], state["step"])
        decay = self._decay(group)
        return rules.radam(rectified=length > 5, maximize=group["maximize"], decay=decay)

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        (b1, b2), k = group["betas"], state["step"]
        length, last = self._length(b2, k)
        size = group["lr"] / (1 - b1**k)
        if length > 5:
            spread = (length - 4) * (length - 2) * last / ((last - 4) * (last - 2) * length)
            size *= math.sqrt(spread) * math.sqrt(1 - b2**k)
        return {**self._shared(group), "size": size}


class Rprop(Optimizer):
    """Steps by the sign of the gradient, each with a size of its own."""

    counts = True

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50), *, maximize: bool = False, **unused: Any,
    ) -> None:  # fmt: skip
        positive(lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize,
            **self.unused(unused),
        })  # fmt: skip

    def start(self, name: str, p: np.ndarray, group: dict[str, Any]) -> np.ndarray:
        """The state before the first step."""
        return np.full_like(p, group["lr"] if name == "step_size" else 0.0)

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.rprop(maximize=group["maximize"])

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        (shorter, longer), (least, most) = group["etas"], group["step_sizes"]
        return {"shorter": shorter, "longer": longer, "one": 1.0, "least": least, "most": most}


class ASGD(Optimizer):
    """Gradient descent with shrinking steps, and the mean of where it was (state `ax`)."""

    counts = True

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-2, lambd: float = 1e-4, alpha: float = 0.75,
        t0: float = 1e6, weight_decay: float = 0, *, maximize: bool = False, **unused: Any,
    ) -> None:  # fmt: skip
        positive(lr=lr, weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "maximize": maximize, **self.unused(unused),
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.asgd(maximize=group["maximize"], decayed=bool(group["weight_decay"]))

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told; the next step's size is known now."""
        eta, mu = state.get("eta", group["lr"]), state.get("mu", 1.0)
        k, lr, lambd = state["step"], group["lr"], group["lambd"]
        state["eta"] = lr / (1 + lambd * lr * k) ** group["alpha"]
        state["mu"] = 1 / max(1, k - group["t0"])
        return {**numbers_of(group), "eta": eta, "mu": mu, "shrink": 1 - lambd * eta}


class SparseAdam(Optimizer):
    """Refused: there are no sparse gradients."""

    def __init__(self, params: Iterable[Any], *_: Any, **__: Any) -> None:
        raise NotImplementedError(
            "SparseAdam: gradients are dense here, also those of embeddings; use Adam"
        )
