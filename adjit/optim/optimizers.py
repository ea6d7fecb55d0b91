"""Optimisers of Tensors: each keeps its state per parameter and writes into the parameter."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..eager.modes import enable_grad
from ..eager.storage import RemovableHandle
from ..eager.tensor_object import Tensor, held
from . import rules
from .fused import Step, apply_all
from .rules import Rule


class Optimizer:
    """Parameters in groups with settings of their own; `update` is one parameter's step."""

    counts = False  # whether the state has the number of steps
    # Settings of PyTorch's that say how a step is run, and make no difference here.
    ways: Mapping[str, Any] = {"foreach": None, "capturable": False, "differentiable": False}

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {params.type()}"
            )
        defaults = {k: _number(v) for k, v in defaults.items()}
        listed = list(params)
        if not listed:
            raise ValueError("optimizer got an empty parameter list")
        self.defaults = defaults
        self._before: list[Callable[..., Any]] = []
        self._after: list[Callable[..., Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        groups = listed if isinstance(listed[0], dict) else [{"params": listed}]
        for group in groups:
            self.add_param_group(group)

    def unused(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings in `ways`, as they are given; TypeError for others."""
        for k in given:
            if k not in self.ways:
                raise TypeError(
                    f"{type(self).__name__}.__init__() got an unexpected keyword argument '{k}'"
                )
        if given.get("differentiable"):
            raise NotImplementedError(
                f"{type(self).__name__}: differentiable=True is not there; the optimisers of "
                "adjit.optim.functional can be differentiated, in traced functions"
            )
        return {**self.ways, **given}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """More parameters, perhaps with other settings."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        params = [given] if isinstance(given, Tensor) else list(given)
        names: dict[str, Any] = {}
        if params and all(isinstance(p, tuple) and len(p) == 2 for p in params):
            names = {"param_names": [name for name, _ in params]}
            params = [p for _, p in params]
        if self.param_groups and bool(names) != ("param_names" in self.param_groups[0]):
            raise ValueError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if names else 'without'} names to the optimizer"
            )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is "
                    f"{type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        if known & {id(p) for p in params}:
            raise ValueError("some parameters appear in more than one parameter group")
        if len({id(p) for p in params}) < len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; in future, this "
                "will cause an error",
                stacklevel=3,
            )
        settings = {k: _number(v) for k, v in param_group.items() if k != "params"}
        self.param_groups.append({"params": params, **self.defaults, **settings, **names})

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
        for hook in self._before:
            hook(self, () if closure is None else (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        steps: list[Step] = []
        for group in self.param_groups:
            settings = {k: _number(v) for k, v in group.items()}  # whoever changed them since
            for p in group["params"]:
                grad = p._grad
                if grad is not None:
                    array = p._own()
                    p._storage.touch()
                    p._source = None
                    steps.append(
                        self.update(array, grad._value(), self.state.setdefault(p, {}), settings)
                    )
        apply_all(steps)
        for hook in self._after:
            hook(self, () if closure is None else (closure,), {})
        return loss

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before every step."""
        return _entered(self._before, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after every step."""
        return _entered(self._after, hook)

    def update(
        self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]
    ) -> Step:
        """What writes the parameter's next value into it, and its next state."""
        if self.counts:
            state["step"] = state.get("step", 0) + 1
        rule = self.rule(group, state)
        for name in rule.states:
            if name not in state:
                state[name] = held(self.start(name, p, group))
        arrays = [p, g, *[_written(state[name]) for name in rule.states]]
        return Step(rule, arrays, self.numbers(group, state))

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
            {
                **{k: v for k, v in group.items() if k != "params"},
                "params": [place[p] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        return {
            "state": {place[p]: _shown(s) for p, s in self.state.items() if s and p in place},
            "param_groups": groups,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state, also one that PyTorch saved; nothing is half loaded."""
        params = [p for group in self.param_groups for p in group["params"]]
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        sizes = [len(g["params"]) for g in self.param_groups]
        if [len(g["params"]) for g in groups] != sizes:
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                f"optimizer's group: {[len(g['params']) for g in groups]} parameters for {sizes}"
            )
        places = [i for g in groups for i in g["params"]]
        owner = dict(zip(places, params, strict=True))
        kept = type(self).rule is Optimizer.rule  # a user's optimiser, whose state are Tensors
        state = {
            owner[i]: _copied(s) if kept else _restored(s, owner[i])
            for i, s in state_dict["state"].items()
        }
        for group, other in zip(self.param_groups, groups, strict=True):
            group.update({k: _number(v) for k, v in other.items() if k != "params"})
        self.state = defaultdict(dict, state)


def _entered(place: list[Any], hook: Callable[..., Any]) -> RemovableHandle:
    place.append(hook)
    return RemovableHandle(place, hook)


def _written(state: Tensor) -> np.ndarray:
    """The memory of a state that a step is about to write."""
    array = state._own()
    assert state._storage is not None
    state._storage.touch()
    state._source = None
    return array


def _shown(state: dict[str, Any]) -> dict[str, Any]:
    """As PyTorch saves it: the number of steps is a Tensor, too."""
    return {
        k: held(np.array(v, np.float32)) if k == "step" and isinstance(v, int) else v
        for k, v in _copied(state).items()
    }


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {k: _copy(v) for k, v in state.items()}


def _copy(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.detach().clone()
    return x.copy() if isinstance(x, np.ndarray) else x


def _restored(state: Mapping[str, Any], p: Tensor) -> dict[str, Any]:
    """A parameter's state as Tensors of its dtype, and numbers."""
    found: dict[str, Any] = {}
    for k, v in state.items():
        if isinstance(v, Tensor) or hasattr(v, "detach"):
            v = v.detach().numpy()
        if not isinstance(v, np.ndarray):
            found[k] = v
        elif v.shape == tuple(p.shape) and (v.ndim or k not in ("step", "mu_product", "eta", "mu")):
            found[k] = held(np.array(v, np.dtype(p.dtype), order="C"))
        elif v.size == 1:
            found[k] = int(v.item()) if k == "step" else v.item()
        else:
            raise ValueError(
                f"loaded state dict: {k} of shape {v.shape} for a parameter of shape "
                f"{tuple(p.shape)}"
            )
    return found


def _number(x: Any) -> Any:
    """A setting; one that is given as a Tensor or a scalar of NumPy's is a number as well."""
    return x.item() if isinstance(x, (Tensor, np.generic)) else x


def numbers_of(group: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in group.items() if isinstance(v, int | float)}


WORDS = {"lr": "learning rate", "eps": "epsilon value"}


def positive(**settings: Any) -> None:
    for name, x in settings.items():
        if not _number(x) >= 0.0:
            raise ValueError(f"Invalid {WORDS.get(name, name + ' value')}: {x}")


def check_betas(betas: tuple[float, float]) -> None:
    for k, b in enumerate(betas):
        if not 0.0 <= b < 1.0:
            raise ValueError(f"Invalid beta parameter at index {k}: {b}")


class SGD(Optimizer):
    """Gradient descent: buf = momentum * buf + g (at first g), p = p - lr * buf."""

    ways: Mapping[str, Any] = {"foreach": None, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **unused: Any,
    ) -> None:
        positive(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, **self.unused(unused),
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
        return {**numbers_of(group), "fresh": 1 - group["dampening"]}


class Adam(Optimizer):
    """Steps by the first and second moments of the gradient."""

    counts = True
    ways: Mapping[str, Any] = {**Optimizer.ways, "fused": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **unused: Any,
    ) -> None:
        positive(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize, **self.unused(unused),
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        decay = "own" if group["decoupled_weight_decay"] else "l2"
        decay = decay if group["weight_decay"] else ""
        return rules.adam(amsgrad=group["amsgrad"], maximize=group["maximize"], decay=decay)

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        (b1, b2), k, lr = group["betas"], state["step"], group["lr"]
        return {
            **numbers_of(group),
            "fresh1": 1 - b1,
            "beta2": b2,
            "fresh2": 1 - b2,
            "root": math.sqrt(1 - b2**k),
            "size": lr / (1 - b1**k),
            "shrink": 1 - lr * group["weight_decay"],
        }


class AdamW(Adam):
    """Adam with the weights themselves decayed."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **unused: Any,
    ) -> None:
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize,
            decoupled_weight_decay=True, **unused,
        )  # fmt: skip


class RMSprop(Optimizer):
    """Steps by the gradient over the root of its second moment."""

    counts = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **unused: Any,
    ) -> None:
        positive(lr=lr, eps=eps, alpha=alpha, momentum=momentum, weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
            "momentum": momentum, "centered": centered, "maximize": maximize,
            **self.unused(unused),
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
        return {**numbers_of(group), "fresh": 1 - group["alpha"]}


class Adagrad(Optimizer):
    """Steps by the gradient over the root of the sum of its squares so far."""

    counts = True
    ways: Mapping[str, Any] = {"foreach": None, "differentiable": False, "fused": None}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **unused: Any,
    ) -> None:
        positive(lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
            **self.unused(unused),
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
        return {**numbers_of(group), "lr": lr}


class Adadelta(Optimizer):
    """Steps whose size follows from earlier steps."""

    counts = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **unused: Any,
    ) -> None:
        positive(lr=lr, rho=rho, weight_decay=weight_decay, eps=eps)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            **self.unused(unused),
        })  # fmt: skip

    def rule(self, group: dict[str, Any], state: dict[str, Any]) -> Rule:
        """This parameter's step."""
        return rules.adadelta(maximize=group["maximize"], decayed=bool(group["weight_decay"]))

    def numbers(self, group: dict[str, Any], state: dict[str, Any]) -> dict[str, float]:
        """What the step is told."""
        return {**numbers_of(group), "fresh": 1 - group["rho"]}
