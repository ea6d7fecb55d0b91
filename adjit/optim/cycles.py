"""Schedules that go up and down, or follow a measure, or end at a given step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .optimizers import Optimizer
from .schedule import LRScheduler


class PolynomialLR(LRScheduler):
    """Down to zero in `total_iters` steps, as (1 - done)^power."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        done = min(self.last_epoch, self.total_iters) / self.total_iters
        return [lr * (1 - done) ** self.power for lr in self.base_lrs]


class MultiplicativeLR(LRScheduler):
    """The rate before, times a function of the epoch."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float], last_epoch: int = -1
    ) -> None:
        self.lr_lambdas = [lr_lambda] * len(optimizer.param_groups)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        known = self.get_last_lr()
        if self.last_epoch <= 0:
            return known
        return [lr * f(self.last_epoch) for lr, f in zip(known, self.lr_lambdas, strict=True)]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to `eta_min`, over and over; each `T_mult` times as long as the last."""

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        at, length = self.last_epoch, self.T_0
        while at >= length:
            at, length = at - length, length * self.T_mult
        wave = (1 + math.cos(math.pi * at / length)) / 2
        return [self.eta_min + (lr - self.eta_min) * wave for lr in self.base_lrs]


def _check_momentum(optimizer: Optimizer, wanted: bool) -> None:
    if wanted and not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )


def _set_momentum(optimizer: Optimizer, momentum: float) -> None:
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class OneCycleLR(LRScheduler):
    """Up to `max_lr`, then down far below the start; momentum goes the other way.

    Smith and Topin, "Super-convergence", 2017.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float, total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float = 0.85,
        max_momentum: float = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            total_steps = epochs * steps_per_epoch
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        _check_momentum(optimizer, cycle_momentum)
        self.total_steps, self.pct_start, self.anneal = total_steps, pct_start, anneal_strategy
        start = max_lr / div_factor
        self.lrs = (start, max_lr, start / final_div_factor)
        self.momenta = (max_momentum, base_momentum, max_momentum)
        self.cycle_momentum = cycle_momentum
        super().__init__(optimizer, last_epoch)

    def _between(self, points: tuple[float, float, float]) -> float:
        low, top, end = points
        peak = self.pct_start * self.total_steps - 1
        if self.last_epoch <= peak:
            a, b, done = low, top, self.last_epoch / peak
        else:
            a, b, done = top, end, (self.last_epoch - peak) / (self.total_steps - 1 - peak)
        if self.anneal == "linear":
            return a + (b - a) * done
        return b + (a - b) * (1 + math.cos(math.pi * done)) / 2

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"Tried to step {self.last_epoch} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        if self.cycle_momentum:
            _set_momentum(self.optimizer, self._between(self.momenta))
        return [self._between(self.lrs)] * len(self.base_lrs)


class CyclicLR(LRScheduler):
    """Up and down between two rates; `mode` "triangular2" halves each cycle."""

    def __init__(
        self, optimizer: Optimizer, base_lr: float, max_lr: float, step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        cycle_momentum: bool = True, base_momentum: float = 0.8, max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError("mode is invalid and scale_fn is None")
        _check_momentum(optimizer, cycle_momentum)
        self.momenta = (max_momentum, base_momentum) if cycle_momentum else None
        self.base_lr, self.max_lr, self.mode, self.gamma = base_lr, max_lr, mode, gamma
        self.up = step_size_up
        self.down = step_size_up if step_size_down is None else step_size_down
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        cycle, at = divmod(self.last_epoch, self.up + self.down)
        height = at / self.up if at <= self.up else 1 - (at - self.up) / self.down
        scale = {"triangular": 1.0, "triangular2": 0.5**cycle}.get(
            self.mode, self.gamma**self.last_epoch
        )
        if self.momenta is not None:
            top, low = self.momenta
            _set_momentum(self.optimizer, top - (top - low) * height * scale)
        lr = self.base_lr + (self.max_lr - self.base_lr) * height * scale
        return [lr] * len(self.base_lrs)


class ReduceLROnPlateau:
    """Times `factor` where a measure has not got better for more than `patience` epochs."""

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0,
        min_lr: float = 0.0, eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: mode {mode!r} or {threshold_mode!r} is unknown")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _better(self, x: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = self.threshold
        if self.threshold_mode == "rel" and math.isfinite(self.best):
            margin *= self.best * sign
        return sign * x < sign * self.best - margin

    def step(self, metrics: Any) -> None:
        """The measure of another epoch."""
        self.last_epoch += 1
        if self._better(float(metrics)):
            self.best, self.num_bad_epochs = float(metrics), 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs <= self.patience:
            return
        for group in self.optimizer.param_groups:
            new = max(group["lr"] * self.factor, self.min_lr)
            if group["lr"] - new > self.eps:
                group["lr"] = new
        self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser."""
        return {k: v for k, v in vars(self).items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        vars(self).update(state_dict)
