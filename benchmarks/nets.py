"""A training step of ResNet-18 by `adjit.nn` and by PyTorch: the same weights, the same data."""

from __future__ import annotations

from typing import Any

import numpy as np
from contestants import Step


def fill(model: Any, wrap: Any) -> None:
    """Set every parameter by its name and its place: the order is the same in both libraries."""
    rng = np.random.default_rng(0)
    for name, p in model.named_parameters():
        shape = tuple(p.shape)
        if len(shape) > 1:
            drawn = rng.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
        else:
            drawn = np.full(shape, float(name.endswith("weight")))
        p.data = wrap(np.ascontiguousarray(drawn, np.float32))


def training(model: Any, optimizer: Any, loss: Any, x: Any, y: Any) -> Step:
    """Loss, gradients, update; what is compared are the gradients of the first one."""

    def step() -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    def collect(value: Any) -> list[np.ndarray]:
        gradients = [p.grad.numpy().copy() for p in model.parameters()]
        return [np.asarray(value.detach().numpy()), *gradients]

    return Step(step, (), collect)


def adjit_step(args: tuple[Any, ...]) -> Step:
    import adjit.tensors as tensors
    from adjit import nn

    model = nn.models.resnet18()
    fill(model, tensors.tensor)
    optimizer = tensors.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    x, y = map(tensors.tensor, args)
    return training(model, optimizer, nn.functional.cross_entropy, x, y)


def torch_step(args: tuple[Any, ...], compiled: bool) -> Step:
    import torch

    model = torch_net()
    fill(model, torch.from_numpy)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    x, y = map(torch.from_numpy, args)
    run = torch.compile(model) if compiled else model
    step = training(run, optimizer, torch.nn.functional.cross_entropy, x, y)
    return step


def torch_net() -> Any:
    """ResNet-18 layer by layer."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            stride = 1 if before == after else 2
            self.path = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
                nn.Conv2d(after, after, 3, 1, 1, bias=False),
                nn.BatchNorm2d(after),
            )
            around = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
            self.around = nn.Sequential(*(around if stride == 2 else []))

        def forward(self, x: Any) -> Any:
            return torch.relu_(self.path(x) + self.around(x))

    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    before = 64
    for after in (64, 128, 256, 512):
        layers += [Block(before, after), Block(after, after)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
