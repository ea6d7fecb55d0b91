"""Optimisers of Tensors: each keeps its state per parameter and writes into the parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .modes import enable_grad
from .tensor_object import Tensor


class Optimizer:
    """Parameters in groups with settings of their own; `update` is one parameter's step."""

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
                    self.update(array, p.grad._value(), self.state.setdefault(p, {}), group)
        return loss

    def update(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Write the parameter's next value into it."""
        raise NotImplementedError

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


def _decayed(p: np.ndarray, g: np.ndarray, decay: float) -> np.ndarray:
    return g + p.dtype.type(decay) * p if decay else g


def _positive(**settings: float) -> None:
    for name, x in settings.items():
        if not x >= 0.0:
            raise ValueError(f"Invalid {name}: {x}")


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
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def update(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """One parameter's step."""
        of, momentum = p.dtype.type, group["momentum"]
        g = _decayed(p, -g if group["maximize"] else g, group["weight_decay"])
        if momentum:
            buf = state.get("momentum_buffer")
            if buf is None:
                buf = state["momentum_buffer"] = np.array(g)
            else:
                buf *= of(momentum)
                buf += of(1 - group["dampening"]) * g
            g = g + of(momentum) * buf if group["nesterov"] else buf
        p -= of(group["lr"]) * g


class Adam(Optimizer):
    """Steps by the first and second moments of the gradient."""

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        _positive(lr=lr, eps=eps, weight_decay=weight_decay)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def update(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """One parameter's step."""
        of, (b1, b2), lr = p.dtype.type, group["betas"], group["lr"]
        if self.decoupled:
            p *= of(1 - lr * group["weight_decay"])
        else:
            g = _decayed(p, g, group["weight_decay"])
        k = state["step"] = state.get("step", 0) + 1
        m = state.setdefault("exp_avg", np.zeros_like(p))
        v = state.setdefault("exp_avg_sq", np.zeros_like(p))
        m += of(1 - b1) * (g - m)
        v *= of(b2)
        v += of(1 - b2) * g * g
        root = np.sqrt(v) / of(np.sqrt(1 - b2**k)) + of(group["eps"])
        p -= of(lr / (1 - b1**k)) * m / root


class AdamW(Adam):
    """Adam with the weights themselves decayed."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


class RMSprop(Optimizer):
    """Steps by the gradient over the root of its second moment."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        _positive(lr=lr, eps=eps, alpha=alpha, momentum=momentum, weight_decay=weight_decay)
        defaults = {"lr": lr, "alpha": alpha, "eps": eps}
        super().__init__(params, {**defaults, "weight_decay": weight_decay, "momentum": momentum})

    def update(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """One parameter's step."""
        of = p.dtype.type
        g = _decayed(p, g, group["weight_decay"])
        v = state.setdefault("square_avg", np.zeros_like(p))
        v *= of(group["alpha"])
        v += of(1 - group["alpha"]) * g * g
        step = g / (np.sqrt(v) + of(group["eps"]))
        if group["momentum"]:
            buf = state.setdefault("momentum_buffer", np.zeros_like(p))
            buf *= of(group["momentum"])
            buf += step
            step = buf
        p -= of(group["lr"]) * step
