"""Optimisers of Tensors: each keeps its state per parameter and writes into the parameter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..modes import enable_grad
from ..tensor_object import Tensor
from . import rules
from .fused import apply
from .rules import Rule


class Optimizer:
    """Parameters in groups with settings of their own; `update` is one parameter's step."""

    counts = False  # whether the state has the number of steps

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts"
            )
        listed = list(params)
        if not listed:
            raise ValueError("optimizer got an empty parameter list")
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """More parameters, perhaps with other settings."""
        given = group["params"]
        params = [given] if isinstance(given, Tensor) else list(given)
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one is {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        self.param_groups.append({**self.defaults, **group, "params": params})

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines += [f"Parameter Group {k}"]
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
            lines += [""]
        return "\n".join([*lines[:-1], ")"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad = p.grad.detach()
                    p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    array = p._own()
                    p._storage.touch()
                    p._source = None
                    self.update(array, p.grad._value(), self.state.setdefault(p, {}), group)
        return loss

    def update(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Write the parameter's next value into it, and its next state."""
        if self.counts:
            state["step"] = state.get("step", 0) + 1
        rule = self.rule(group, state)
        for name in rule.states:
            if name not in state:
                state[name] = self.start(name, p, group)
        apply(rule, [p, g, *(state[name] for name in rule.states)], self.numbers(group, state))

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        raise NotImplementedError

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        raise NotImplementedError

    def start(self, name: str, p: np.ndarray, group: dict[str, Any]) -> np.ndarray:
        """The state before the first step."""
        return np.zeros_like(p)

    def state_dict(self) -> dict[str, Any]:
        """The settings and the state, parameters by number."""
        params = [p for group in self.param_groups for p in group["params"]]
        place = {p: i for i, p in enumerate(params)}
        groups = [
            {**group, "params": [place[p] for p in group["params"]]} for group in self.param_groups
        ]
        return {
            "state": {place[p]: _copied(s) for p, s in self.state.items()},
            "param_groups": groups,
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from a saved state."""
        params = [p for group in self.param_groups for p in group["params"]]
        sizes = [len(g["params"]) for g in self.param_groups]
        if [len(g["params"]) for g in saved["param_groups"]] != sizes:
            raise ValueError("loaded state dict has other parameter groups than this optimizer")
        for group, other in zip(self.param_groups, saved["param_groups"], strict=True):
            group.update({k: v for k, v in other.items() if k != "params"})
        self.state = {params[i]: _copied(s) for i, s in saved["state"].items()}


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in state.items()}


def _numbers(group: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in group.items() if isinstance(v, int | float)}


def _positive(**settings: float) -> None:
    for name, x in settings.items():
        if not x >= 0.0:
            raise ValueError(f"Invalid {name}: {x}")


def _betas(betas: tuple[float, float]) -> None:
    for k, b in enumerate(betas):
        if not 0.0 <= b < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {b}")


class SGD(Optimizer):
    """Gradient descent: buf = momentum * buf + g (at first g), p = p - lr * buf."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
    ) -> None:
        _positive(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.sgd(
            momentum=bool(group["momentum"]),
            first="momentum_buffer" not in state,
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            decayed=bool(group["weight_decay"]),
        )

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        return {**_numbers(group), "fresh": 1 - group["dampening"]}


class Adam(Optimizer):
    """Steps by the first and second moments of the gradient."""

    decay = "l2"
    counts = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        _positive(lr=lr, eps=eps, weight_decay=weight_decay)
        _betas(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize,
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        decay = self.decay if group["weight_decay"] else ""
        return rules.adam(amsgrad=group["amsgrad"], maximize=group["maximize"], decay=decay)

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        (b1, b2), k, lr = group["betas"], state["step"], group["lr"]
        return {
            **_numbers(group),
            "fresh1": 1 - b1,
            "beta2": b2,
            "fresh2": 1 - b2,
            "root": math.sqrt(1 - b2**k),
            "size": lr / (1 - b1**k),
            "shrink": 1 - lr * group["weight_decay"],
        }


class AdamW(Adam):
    """Adam with the weights themselves decayed."""

    decay = "own"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize)


class RMSprop(Optimizer):
    """Steps by the gradient over the root of its second moment."""

    counts = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        maximize: bool = False,
    ) -> None:
        _positive(lr=lr, eps=eps, alpha=alpha, momentum=momentum, weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered, "maximize": maximize,
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.rmsprop(
            momentum=group["momentum"] > 0,
            centered=group["centered"],
            maximize=group["maximize"],
            decayed=bool(group["weight_decay"]),
        )

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        return {**_numbers(group), "fresh": 1 - group["alpha"]}


class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of its squares so far."""

    counts = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        maximize: bool = False,
    ) -> None:
        _positive(lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
        })  # fmt: skip

    def start(self, name: str, p: np.ndarray, group: dict[str, Any]) -> np.ndarray:
        """The state before the first step."""
        return np.full_like(p, group["initial_accumulator_value"])

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.adagrad(maximize=group["maximize"], decayed=bool(group["weight_decay"]))

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        lr = group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])
        return {**_numbers(group), "lr": lr}


class Adadelta(Optimizer):
    """Steps whose size follows from earlier steps."""

    counts = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        _positive(lr=lr, rho=rho, weight_decay=weight_decay, eps=eps)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.adadelta(maximize=group["maximize"], decayed=bool(group["weight_decay"]))

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        return {**_numbers(group), "fresh": 1 - group["rho"]}
