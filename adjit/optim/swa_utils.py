"""Averages of a model's weights over the steps of training, and the rates to go with them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np

from ..eager.modes import no_grad
from ..eager.tensor_object import Tensor, held
from ..nn.module import Module, overwrite
from .optimizers import Optimizer
from .schedule import LRScheduler

Average = Callable[[list[Tensor], list[Tensor], Any], Any]


def _checked(decay: float) -> float:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )
    return decay


def get_ema_multi_avg_fn(decay: float = 0.999) -> Average:
    """Averages that forget: decay * average + (1 - decay) * weights."""
    _checked(decay)

    def average(old: list[Tensor], new: list[Tensor], _: Any) -> None:
        for a, b in zip(old, new, strict=True):
            overwrite(a, decay * a._value() + (1 - decay) * b._value())

    return average


def get_swa_multi_avg_fn() -> Average:
    """Averages of all steps alike."""

    def average(old: list[Tensor], new: list[Tensor], averaged: Any) -> None:
        n = int(averaged)
        for a, b in zip(old, new, strict=True):
            overwrite(a, a._value() + (b._value() - a._value()) / (n + 1))

    return average


def get_ema_avg_fn(decay: float = 0.999) -> Callable[[Any, Any, Any], Any]:
    """The same, of one Tensor."""
    _checked(decay)
    return lambda old, new, _: decay * old + (1 - decay) * new


def get_swa_avg_fn() -> Callable[[Any, Any, Any], Any]:
    """The same, of one Tensor."""
    return lambda old, new, n: old + (new - old) / (n + 1)


class AveragedModel(Module):
    """A copy of a model whose weights are averages; `update_parameters` takes the next ones."""

    def __init__(
        self, model: Module, device: Any = None, avg_fn: Any = None, multi_avg_fn: Any = None,
        use_buffers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", held(np.zeros((), np.int64)))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model computes."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the weights of the model into the averages; the first ones as they are."""
        old, new = (self._averaged(m) for m in (self.module, model))
        count = self.n_averaged
        with no_grad():
            if not int(count):
                for a, b in zip(old, new, strict=True):
                    overwrite(a, b._value())
            elif self.avg_fn is not None:
                for a, b in zip(old, new, strict=True):
                    overwrite(a, self.avg_fn(a.detach(), b.detach(), count)._value())
            else:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(old, new, count)
        if not self.use_buffers:
            for a, b in zip(self.module.buffers(), model.buffers(), strict=True):
                overwrite(a, b._value())
        overwrite(count, count._value() + 1)

    def _averaged(self, model: Module) -> list[Tensor]:
        return [*model.parameters(), *(model.buffers() if self.use_buffers else ())]


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Make the running statistics of batch norms those of the model, over all batches."""
    norms = {m: m.momentum for m in model.modules() if hasattr(m, "reset_running_stats")}
    if not norms:
        return
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
    before = model.training
    model.train()
    with no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, tuple | list) else batch)
    for m, momentum in norms.items():
        m.momentum = momentum
    model.train(before)


class SWALR(LRScheduler):
    """From the rates in use to fixed ones, along a cosine or a line."""

    def __init__(
        self, optimizer: Optimizer, swa_lr: Any, anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos", last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        rates = swa_lr if isinstance(swa_lr, list | tuple) else [swa_lr] * 10**6
        for rate, group in zip(rates, optimizer.param_groups, strict=False):
            group["swa_lr"] = rate
        self.anneal_epochs, self._anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How much of the fixed rates there is at a step."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        """The rates at the next step, from those in use."""
        step = self._step_count
        if not self.anneal_epochs:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        found = []
        for group in self.optimizer.param_groups:
            fixed, lr = group["swa_lr"], group["lr"]
            start = fixed if before == 1 else (lr - before * fixed) / (1 - before)
            found.append(fixed * now + start * (1 - now))
        return found


__all__ = [
    "SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
    "get_swa_multi_avg_fn", "update_bn",
]  # fmt: skip
