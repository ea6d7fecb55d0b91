"""Schedules that go up and down."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .optimizers import Optimizer
from .schedule import LRScheduler, per_group


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine down to `eta_min`, over and over; each `T_mult` times as long as the last."""

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        self._at: float = 0
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        at, length = self._at, self.T_0
        while at >= length:
            at, length = at - length, length * self.T_mult
        wave = 1 + math.cos(math.pi * at / length)
        return [self.eta_min + (lr - self.eta_min) * wave / 2 for lr in self.base_lrs]

    def move(self, epoch: float | None = None) -> None:
        """Set the rates of the next epoch, or of a given one, which may be a fraction."""
        if epoch is not None and epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        self._at = self.last_epoch + 1 if epoch is None else epoch
        super().move(math.floor(self._at))


def _check_momentum(optimizer: Optimizer, wanted: bool) -> None:
    if wanted and not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )


def _set_momenta(optimizer: Optimizer, momenta: list[float]) -> None:
    for group, momentum in zip(optimizer.param_groups, momenta, strict=True):
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class OneCycleLR(LRScheduler):
    """Up to `max_lr`, then down far below the start; momentum goes the other way.

    With `three_phase` it comes down as it went up, and then far below.  Smith and Topin,
    "Super-convergence", 2017.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: Any = 0.85,
        max_momentum: Any = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
        three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError(
                    "You must define either total_steps OR (epochs AND steps_per_epoch)"
                )
            for name, n in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
                if n <= 0 or not isinstance(n, int):
                    raise ValueError(f"Expected positive integer {name}, but got {n}")
            total_steps = epochs * steps_per_epoch
        elif total_steps <= 0 or not isinstance(total_steps, int):
            raise ValueError(f"Expected positive integer total_steps, but got {total_steps}")
        if not 0 <= pct_start <= 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        _check_momentum(optimizer, cycle_momentum)
        self.total_steps, self.anneal = total_steps, anneal_strategy
        peak, last = pct_start * total_steps - 1, total_steps - 1
        self.ends = [peak, 2 * peak, last] if three_phase else [peak, last]
        tops = per_group("max_lr", optimizer, max_lr)
        starts = [top / div_factor for top in tops]
        self.lrs = []
        for start, top in zip(starts, tops, strict=True):
            down = [start] if three_phase else []
            self.lrs.append([start, top, *down, start / final_div_factor])
        low = per_group("base_momentum", optimizer, base_momentum)
        high = per_group("max_momentum", optimizer, max_momentum)
        tail = 2 if three_phase else 1
        self.momenta = [[b, a, *[b] * tail] for a, b in zip(low, high, strict=True)]
        self.cycle_momentum = cycle_momentum
        if last_epoch == -1:
            for group, points in zip(optimizer.param_groups, self.lrs, strict=True):
                group["initial_lr"] = points[0]
                group["max_lr"], group["min_lr"] = points[1], points[-1]
        super().__init__(optimizer, last_epoch)

    def _between(self, points: list[float]) -> float:
        start = 0.0
        for i, end in enumerate(self.ends):
            if self.last_epoch <= end or i == len(self.ends) - 1:
                done = (self.last_epoch - start) / (end - start)
                a, b = points[i], points[i + 1]
                break
            start = end
        if self.anneal == "linear":
            return a + (b - a) * done
        return b + (a - b) / 2.0 * (1 + math.cos(math.pi * done))

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"Tried to step {self.last_epoch} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        if self.cycle_momentum:
            _set_momenta(self.optimizer, [self._between(points) for points in self.momenta])
        return [self._between(points) for points in self.lrs]


class CyclicLR(LRScheduler):
    """Up and down between two rates.

    The height is times `scale_fn` of the cycle (from 1) or of the iteration, as `scale_mode` says;
    else `mode` "triangular2" halves it each cycle, "exp_range" has `gamma` to the iteration.
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000,
        step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[Any], float] | None = None, scale_mode: str = "cycle",
        cycle_momentum: bool = True, base_momentum: Any = 0.8, max_momentum: Any = 0.9,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        _check_momentum(optimizer, cycle_momentum)
        base = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr
        self.scale = scale_fn
        self.mode, self.gamma, self.scale_mode = mode, gamma, scale_mode
        self.up = step_size_up
        self.down = step_size_up if step_size_down is None else step_size_down
        low = per_group("base_momentum", optimizer, base_momentum)
        high = per_group("max_momentum", optimizer, max_momentum)
        self.momenta = list(zip(low, high, strict=True)) if cycle_momentum else None
        self.base_lrs = base
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base

    def _height(self) -> float:
        cycle, at = divmod(self.last_epoch, self.up + self.down)
        height = at / self.up if at <= self.up else 1 - (at - self.up) / self.down
        if self.scale is not None:
            return height * self.scale(cycle + 1 if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "exp_range":
            return height * float(self.gamma**self.last_epoch)
        return height * (0.5**cycle if self.mode == "triangular2" else 1.0)

    def get_lr(self) -> list[float]:
        height = self._height()
        if self.momenta is not None:
            moved = [high - (high - low) * height for low, high in self.momenta]
            _set_momenta(self.optimizer, moved)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height for low, high in pairs]
