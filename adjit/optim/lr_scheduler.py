"""How the learning rate of an optimiser changes from one `step()` to the next."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from .cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from .optimizers import Optimizer
from .plateau import ReduceLROnPlateau
from .schedule import LRScheduler, _LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "_LRScheduler",
]


class _Factor(LRScheduler):
    """The initial rates times a factor of the epoch."""

    def factor(self, epoch: int) -> float:
        """What the initial rates are multiplied by."""
        raise NotImplementedError

    def ratio(self, epoch: int) -> float:
        """What the rates before are multiplied by."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        if self.first:
            return (
                [lr * self.factor(0) for lr in self.rates] if self.last_epoch == 0 else self.rates
            )
        ratio = self.ratio(self.last_epoch)
        return [lr * ratio for lr in self.rates]

    def closed(self) -> list[float]:
        factor = self.factor(self.last_epoch)
        return [lr * factor for lr in self.base_lrs]


class _Functions(LRScheduler):
    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        listed = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * count
        if len(listed) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(listed)}")
        self.lr_lambdas: list[Callable[[int], float]] = listed
        super().__init__(optimizer, last_epoch)


class LambdaLR(_Functions):
    """The initial rates times functions of the epoch."""

    def get_lr(self) -> list[float]:
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [lr * f(self.last_epoch) for lr, f in pairs]


class MultiplicativeLR(_Functions):
    """The rates before, times functions of the epoch."""

    def get_lr(self) -> list[float]:
        if self.first:
            return self.rates
        return [lr * f(self.last_epoch) for lr, f in zip(self.rates, self.lr_lambdas, strict=True)]


class StepLR(_Factor):
    """Times gamma every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma ** (epoch // self.step_size)

    def ratio(self, epoch: int) -> float:
        return self.gamma if epoch and epoch % self.step_size == 0 else 1.0


class MultiStepLR(_Factor):
    """Times gamma at each milestone."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma ** bisect_right(sorted(self.milestones.elements()), epoch)

    def ratio(self, epoch: int) -> float:
        return self.gamma ** self.milestones[epoch]


class ExponentialLR(_Factor):
    """Times gamma at every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self.gamma**epoch

    def ratio(self, epoch: int) -> float:
        return self.gamma


class LinearLR(_Factor):
    """From one factor to another within so many epochs: a warm-up."""

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0,
        total_iters: int = 5, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not 0 < start_factor <= 1:
            raise ValueError(
                "Starting multiplicative factor expected to be greater than 0 and less or equal to "
                "1."
            )
        if not 0 <= end_factor <= 1:
            raise ValueError("Ending multiplicative factor expected to be between 0 and 1.")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done

    def ratio(self, epoch: int) -> float:
        if epoch > self.total_iters:
            return 1.0
        rise = self.end_factor - self.start_factor
        return 1.0 + rise / (self.total_iters * self.start_factor + (epoch - 1) * rise)


class ConstantLR(_Factor):
    """Times a factor for so many epochs."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if not 0 <= factor <= 1:
            raise ValueError("Constant multiplicative factor expected to be between 0 and 1.")
        self._factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        return self._factor if epoch < self.total_iters else 1.0

    def ratio(self, epoch: int) -> float:
        return 1.0 / self._factor if epoch == self.total_iters else 1.0


class PolynomialLR(_Factor):
    """Down to zero in `total_iters` steps, as (1 - done)^power."""

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor(self, epoch: int) -> float:
        done = min(epoch, self.total_iters) / self.total_iters
        return float((1.0 - done) ** self.power)

    def ratio(self, epoch: int) -> float:
        if epoch == 0 or epoch > self.total_iters:
            return 1.0
        left = (1.0 - epoch / self.total_iters) / (1.0 - (epoch - 1) / self.total_iters)
        return float(left**self.power)


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial rate to `eta_min` in `T_max` epochs, and back again."""

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def _wave(self, epoch: int) -> float:
        return 1 + math.cos(math.pi * epoch / self.T_max)

    def get_lr(self) -> list[float]:
        if self.first:
            return self.rates
        k, low = self.last_epoch, self.eta_min
        if (k - 1 - self.T_max) % (2 * self.T_max) == 0:  # up again, from where the ratio is 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            pairs = zip(self.rates, self.base_lrs, strict=True)
            return [lr + (base - low) * rise for lr, base in pairs]
        ratio = self._wave(k) / self._wave(k - 1)
        return [ratio * (lr - low) + low for lr in self.rates]

    def closed(self) -> list[float]:
        low, wave = self.eta_min, self._wave(self.last_epoch)
        return [low + (lr - low) * wave / 2 for lr in self.base_lrs]


# ------------------------------------------------------------------ several


class _Several(LRScheduler):
    """Schedules of one optimiser, under one `step`."""

    _schedulers: list[LRScheduler]

    def _checked(self, schedulers: Sequence[Any], optimizer: Any) -> list[LRScheduler]:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(
                f"{name} expects at least one scheduler to be chained, but got no scheduler."
            )
        first = schedulers[0].optimizer if optimizer is None else optimizer
        for i, one in enumerate(schedulers):
            if not hasattr(one, "optimizer"):
                raise TypeError(f"{name} at index {i} should have `optimizer` as its attribute.")
            if isinstance(one, ReduceLROnPlateau):
                raise ValueError(
                    f"{name} does not support `ReduceLROnPlateau` scheduler as it requires "
                    f"additional kwargs to be specified when calling `step`, but got one at index "
                    f"{i} in the given schedulers sequence."
                )
            if one.optimizer is not first:
                raise ValueError(
                    f"{name} expects all schedulers to belong to the same optimizer, but got "
                    f"scheduler {type(one).__name__} at index {i} of another one."
                )
        self.optimizer = first
        return list(schedulers)

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser, and the states of the schedules."""
        return {**super().state_dict(), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for one, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            one.load_state_dict(state)


class SequentialLR(_Several):
    """One scheduler after the other, changing at milestones: a warm-up and what follows."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        self._schedulers = self._checked(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                f"the number of milestone points, but got number of schedulers {len(schedulers)} "
                f"and the number of milestones to be equal to {len(milestones)}"
            )
        self.milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _undo(self)
        first = self._schedulers[bisect_right(self.milestones, 0)]
        first.begin()
        self._last_lr = first.get_last_lr()

    def step(self, epoch: int | None = None) -> None:
        """On to the next epoch, of this scheduler or of the next one."""
        self.last_epoch += 1
        k = bisect_right(self.milestones, self.last_epoch)
        one = self._schedulers[k]
        if k and self.milestones[k - 1] == self.last_epoch:
            one.move(0)
        else:
            one.step()
        self._last_lr = one.get_last_lr()


def _undo(one: LRScheduler) -> None:
    """Take back the steps that schedules took when they were made."""
    for inner in getattr(one, "_schedulers", ()):
        _undo(inner)
        if not isinstance(inner, _Several):
            inner.last_epoch -= 1


class ChainedScheduler(_Several):
    """Several schedules at once: each goes on from the rates that the one before has set."""

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._schedulers = self._checked(schedulers, optimizer)
        self._last_lr = self.rates

    def step(self, epoch: int | None = None) -> None:
        """On to the next epoch, of every schedule."""
        for one in self._schedulers:
            one.step()
        self._last_lr = self.rates
