"""What all schedules share: an optimiser, and the steps counted."""

from __future__ import annotations

from typing import Any

from .optimizers import Optimizer


class LRScheduler:
    """Sets the learning rate of every group; `last_epoch` counts the steps."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rates at `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self) -> None:
        """On to the next epoch."""
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser and functions."""
        skipped = ("optimizer", "lr_lambdas", "schedulers")
        return {k: v for k, v in vars(self).items() if k not in skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        vars(self).update(state_dict)
