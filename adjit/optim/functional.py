"""Optimisers of containers of arrays: `init(params)`, `update(grads, state, params)`.

    optimizer = functional.adam(lr=1e-3)
    state = optimizer.init(params)
    params, state = optimizer.update(grads, state, params)

Parameters come back as new arrays.  The state is the optimiser's own memory, written in place;
inside a traced function everything is new.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..ir.records import dataclass
from ..tracer.surface import is_tracer
from ..tracer.tree import flatten
from . import rules
from .fused import apply
from .rules import Rule

Rate = float | Callable[[Any], Any]


class State(NamedTuple):
    """The number of steps, and the state arrays of every parameter by name."""

    step: Any
    arrays: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Transform:
    """An optimiser: which rule a step uses, and what numbers it is told."""

    rule: Callable[[bool], Rule]
    numbers: Callable[[Any, Any], dict[str, Any]]  # of the learning rate and the step
    lr: Rate
    initial: float = 0.0

    def init(self, params: Any) -> State:
        """The state before the first step."""
        leaves, _ = flatten(params)
        names = self.rule(False).states
        start = [{k: np.full_like(p, self.initial) for k in names} for p in leaves]
        return State(0, tuple(start))

    def update(self, grads: Any, state: State, params: Any) -> tuple[Any, State]:
        """Parameters and state after a step; ValueError if the containers differ."""
        leaves, tree = flatten(params)
        slopes, other = flatten(grads)
        if other != tree:
            raise ValueError(f"gradients {other} are no container like the parameters {tree}")
        step = state.step + 1
        lr = self.lr(step) if callable(self.lr) else self.lr
        numbers = self.numbers(lr, step)
        rule = self.rule(False)
        new, arrays = [], []
        for p, g, s in zip(leaves, slopes, state.arrays, strict=True):
            if any(map(is_tracer, (p, g, *s.values()))) or not isinstance(p, np.ndarray):
                found = _pure(rule, p, g, s, numbers)
            else:
                found = np.array(p), s
                apply(rule, [found[0], g, *(s[k] for k in rule.states)], numbers)
            new.append(found[0])
            arrays.append(found[1])
        return tree.unflatten(new), State(step, tuple(arrays))


def _pure(rule: Rule, p: Any, g: Any, s: dict[str, Any], numbers: Any) -> tuple[Any, Any]:
    given = {k: numbers[k] for k in rule.numbers}
    p, *rest = rule.step(p, g, *(s[k] for k in rule.states), **given)
    return p, dict(zip(rule.states, rest, strict=True))


def sgd(
    lr: Rate, momentum: float = 0.0, dampening: float = 0.0, weight_decay: float = 0.0,
    nesterov: bool = False, maximize: bool = False,
) -> Transform:  # fmt: skip
    """Gradient descent with momentum; the first step's buffer is (1 - dampening) g."""

    def rule(first: bool) -> Rule:
        return rules.sgd(
            momentum=bool(momentum), first=first, nesterov=nesterov, maximize=maximize,
            decayed=bool(weight_decay),
        )  # fmt: skip

    def numbers(lr: Any, step: Any) -> dict[str, Any]:
        fresh = 1 - dampening
        return {"lr": lr, "momentum": momentum, "fresh": fresh, "weight_decay": weight_decay}

    return Transform(rule, numbers, lr)


def adam(
    lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 0.0, amsgrad: bool = False, maximize: bool = False, decay: str = "l2",
) -> Transform:  # fmt: skip
    """Steps by the first and second moments of the gradient."""
    b1, b2 = betas

    def rule(first: bool) -> Rule:
        return rules.adam(amsgrad=amsgrad, maximize=maximize, decay=decay if weight_decay else "")

    def numbers(lr: Any, step: Any) -> dict[str, Any]:
        return {
            "fresh1": 1 - b1, "beta2": b2, "fresh2": 1 - b2, "eps": eps,
            "root": np.sqrt(1 - b2**step), "size": lr / (1 - b1**step),
            "shrink": 1 - lr * weight_decay, "weight_decay": weight_decay,
        }  # fmt: skip

    return Transform(rule, numbers, lr)


def adamw(
    lr: Rate = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 1e-2, amsgrad: bool = False, maximize: bool = False,
) -> Transform:  # fmt: skip
    """Adam with the weights themselves decayed."""
    return adam(lr, betas, eps, weight_decay, amsgrad, maximize, "own")


def rmsprop(
    lr: Rate = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
    momentum: float = 0.0, centered: bool = False, maximize: bool = False,
) -> Transform:  # fmt: skip
    """Steps by the gradient over the root of its second moment."""

    def rule(first: bool) -> Rule:
        return rules.rmsprop(
            momentum=momentum > 0, centered=centered, maximize=maximize,
            decayed=bool(weight_decay),
        )  # fmt: skip

    def numbers(lr: Any, step: Any) -> dict[str, Any]:
        return {
            "lr": lr, "alpha": alpha, "fresh": 1 - alpha, "eps": eps, "momentum": momentum,
            "weight_decay": weight_decay,
        }  # fmt: skip

    return Transform(rule, numbers, lr)


def adagrad(
    lr: Rate = 1e-2, eps: float = 1e-10, weight_decay: float = 0.0,
    initial_accumulator_value: float = 0.0, maximize: bool = False,
) -> Transform:  # fmt: skip
    """Steps by the gradient over the root of the sum of its squares so far."""

    def rule(first: bool) -> Rule:
        return rules.adagrad(maximize=maximize, decayed=bool(weight_decay))

    def numbers(lr: Any, step: Any) -> dict[str, Any]:
        return {"lr": lr, "eps": eps, "weight_decay": weight_decay}

    return replace(Transform(rule, numbers, lr), initial=initial_accumulator_value)


# ------------------------------------------------------------------ gradients


def global_norm(grads: Any) -> Any:
    """The root of the sum of squares of all arrays of a container."""
    total = sum(np.sum(g * g) for g in flatten(grads)[0])
    return np.sqrt(total) if is_tracer(total) else math.sqrt(total)


def clip_by_norm(grads: Any, max_norm: float) -> Any:
    """The gradients, scaled so that their norm together is at most max_norm."""
    leaves, tree = flatten(grads)
    factor = np.minimum(max_norm / (global_norm(grads) + 1e-6), 1.0)
    return tree.unflatten(
        [
            g * np.asarray(factor).astype(g.dtype)
            if not is_tracer(factor)
            else g * factor.astype(g.dtype)
            for g in leaves
        ]
    )


def clip_by_value(grads: Any, clip_value: float) -> Any:
    """The gradients, every element cut off at ± clip_value."""
    leaves, tree = flatten(grads)
    return tree.unflatten([np.clip(g, -clip_value, clip_value) for g in leaves])
