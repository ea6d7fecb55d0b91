"""What all schedules share: an optimiser, and the steps counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .optimizers import Optimizer


def checked(optimizer: Any) -> Optimizer:
    """The optimiser; TypeError if it is none."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def per_group(name: str, optimizer: Optimizer, x: Any) -> list[Any]:
    """A setting for each group of parameters."""
    n = len(optimizer.param_groups)
    if not isinstance(x, list | tuple):
        return [x] * n
    if len(x) != n:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. {name} has {len(x)} "
            f"values, param_groups has {n}."
        )
    return list(x)


class LRScheduler:
    """Sets the learning rate of every group; `last_epoch` counts the steps.

    `get_lr` goes on from the rates in use, so that schedules can be chained.
    """

    optimizer: Optimizer
    last_epoch: int
    first = False  # whether this is the step that the constructor takes
    _step_count = 0

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming an "
                    "optimizer"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.begin()

    def begin(self) -> None:
        """Take the first step."""
        self.first = True
        self.step()
        del self.first

    @property
    def rates(self) -> list[float]:
        """The learning rates of all groups."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_lr(self) -> Sequence[float]:
        """The learning rates at `last_epoch`, from those in use."""
        raise NotImplementedError

    def closed(self) -> Sequence[float]:
        """The learning rates at `last_epoch`, from those at the start."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The learning rates in use."""
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """On to the next epoch, or to a given one."""
        self.move(epoch)

    def move(self, epoch: int | None = None) -> None:
        """Set the rates of the next epoch, or of a given one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        found = self.get_lr() if epoch is None else self.closed()
        for group, lr in zip(self.optimizer.param_groups, found, strict=True):
            group["lr"] = lr
        self._last_lr = self.rates
        self._step_count += 1

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser and functions."""
        skipped = ("optimizer", "lr_lambdas", "_schedulers", "scale")
        return {k: v for k, v in vars(self).items() if k not in skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        vars(self).update(state_dict)


_LRScheduler = LRScheduler  # the name of PyTorch's past, of which users derive
