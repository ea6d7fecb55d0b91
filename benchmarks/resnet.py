"""A training step of ResNet-18 at 3x64x64 beside PyTorch's, on one thread, and after how many steps
compiling has paid: `python benchmarks/resnet.py [batch ...]`.

Each line is the least and the median of steps taken in turn, in milliseconds of processor time.
PyTorch is left out where it is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import statistics
import sys
import time
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before NumPy is loaded
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

ROUNDS = 16


def step(model: Any, optimizer: Any, x: Any, y: Any) -> float:
    """The processor time of one step."""
    start = time.process_time()
    loss = (model(x) - y).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return time.process_time() - start


class Torch:
    """The same net in PyTorch, layer by layer."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        import torch

        torch.set_num_threads(1)
        self.nn = torch.nn
        self.model = self.net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)

    def net(self) -> Any:
        nn = self.nn
        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(3, 2, 1))
        before = 64
        for after in (64, 128, 256, 512):
            layers += [self.block(before, after), self.block(after, after)]
            before = after
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))

    def block(self, before: int, after: int) -> Any:
        nn, stride = self.nn, 1 if before == after else 2

        class Block(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.path = nn.Sequential(
                    nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True), nn.Conv2d(after, after, 3, 1, 1, bias=False),
                    nn.BatchNorm2d(after),
                )  # fmt: skip
                around = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
                self.around = nn.Sequential(*(around if stride == 2 else []))

            def forward(self, x: Any) -> Any:
                return (self.path(x) + self.around(x)).relu_()

        return Block()


class Adjit:
    """ResNet-18 of `adjit.nn`."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        import adjit.tensors as tensors
        from adjit import nn

        self.model = nn.models.resnet18()
        self.optimizer = tensors.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)
        self.x, self.y = tensors.tensor(x), tensors.tensor(y)


def measure(batch: int) -> None:
    """Print the lines of one batch size."""
    rng = np.random.default_rng(0)
    x, y = rng.random((batch, 3, 64, 64), np.float32), rng.random((batch, 1000), np.float32)
    kinds = [Adjit] + ([Torch] if importlib.util.find_spec("torch") else [])
    sides = {kind.__name__.lower(): kind(x, y) for kind in kinds}
    first = [step(s.model, s.optimizer, s.x, s.y) for s in [sides["adjit"]] for _ in range(5)]
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, s in sides.items():
            taken[name] += [step(s.model, s.optimizer, s.x, s.y) for _ in range(2)]
    for name, times in taken.items():
        least, middle = 1e3 * min(times), 1e3 * statistics.median(times)
        print(f"batch {batch}  {name:6} {least:8.1f} {middle:8.1f}")
    print(f"batch {batch}  ratio  {min(taken['adjit']) / min(taken.get('torch', [np.nan])):8.2f}")
    interpreted, hot = min(first[1:3]), min(taken["adjit"])
    paid = (max(first) - interpreted) / (interpreted - hot)
    print(
        f"batch {batch}  interpreted {1e3 * interpreted:.1f}; compiling {max(first):.1f} s has paid"
    )
    print(f"         after {paid:.0f} steps; peak {resource.getrusage(0).ru_maxrss >> 10} MB")


if __name__ == "__main__":
    for batch in map(int, sys.argv[1:] or ("1", "2", "8")):
        measure(batch)
