"""Training by `adjit.tensors` beside PyTorch: ResNet-18, and an expression of two variables.

    python benchmarks/training.py [--python A:B] [--markdown benchmarks/RESULTS.md]

A step is the forward pass of images of 3x64x64, loss = (prediction - labels).sum(), backward, and
SGD(lr=1e-2, momentum=0.9).step(), in float32 on one thread.  Each side and batch is a process; they
are asked in turn, and the figures are medians.  `first` is adjit's first step, `compiling` the
slowest of the next ones, with an empty store and with what that left in it.  `gradients` is the
largest difference of a parameter's gradients in the first step, relative to its largest one.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from processes import HERE, duration, environment, heading, interpreters, machine, whose
from sections import parser_of, write

BATCHES = (1, 2, 8)
ROUNDS, STEPS = 9, 2
WARM_UP = 5  # adjit interprets the first steps
MOST = 8000  # until it has compiled them


def resnet(name: str, batch: int) -> tuple[Any, Any]:
    """A step, and what gives the gradients of all parameters."""
    from nets import fill, torch_net

    rng = np.random.default_rng(batch)
    images = rng.random((batch, 3, 64, 64), np.float32)
    labels = rng.random((batch, 1000), np.float32)
    if name == "adjit":
        import adjit.tensors as torch
        from adjit import nn

        model, wrap = nn.models.resnet18(), torch.tensor
    else:
        import torch

        torch.set_num_threads(1)
        model, wrap = torch_net(), torch.from_numpy
    fill(model, wrap)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    x, y = wrap(images), wrap(labels)

    def step() -> None:
        optimizer.zero_grad()
        (model(x) - y).sum().backward()
        optimizer.step()

    return step, lambda: [p.grad.numpy().copy() for p in model.parameters()]


def two_variables(name: str) -> tuple[Any, Any]:
    """Q = 3a^3 - b^2 with a gradient from outside, as PyTorch's documents have it."""
    if name == "adjit":
        import adjit.tensors as torch
    else:
        import torch

        torch.set_num_threads(1)
    found: list[Any] = []

    def step() -> None:
        a = torch.tensor([2.0, 3.0], requires_grad=True)
        b = torch.tensor([6.0, 4.0], requires_grad=True)
        q = 3 * a**3 - b**2
        q.backward(gradient=torch.tensor([1.0, 1.0]))
        found[:] = [a.grad, b.grad]

    return step, lambda: [g.numpy().copy() for g in found]


def compiled() -> bool:
    """Whether adjit has made a program of the steps; quick ones are interpreted for a while."""
    import adjit.tensors as torch

    return "runs, compiled" in torch.explain()


def timed(step: Any, repeat: int) -> float:
    """Seconds of one of so many steps."""
    start = perf_counter()
    for _ in range(repeat):
        step()
    return (perf_counter() - start) / repeat


def child(name: str, batch: int, gradients: str) -> None:
    """Warm up, write the first gradients; then take the time of steps when a line asks for it."""
    step, grads = resnet(name, batch) if batch else two_variables(name)
    early = [timed(step, 1)]
    np.savez(gradients, *grads())
    early += [timed(step, 1) for _ in range(WARM_UP if batch else 500)]
    while name == "adjit" and len(early) < MOST and not compiled():
        early.append(timed(step, 1))
    print(early[0], max(early[1:]), flush=True)
    repeat = STEPS if batch else 500
    for line in sys.stdin:
        if line.strip() == "end":
            break
        print(timed(step, repeat), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def started(
    python: str, name: str, batch: int, store: str
) -> tuple[subprocess.Popen[str], list[str]]:
    """A child that is ready, and how long its first step and the slowest of the next ones took."""
    made = subprocess.Popen(
        [python, os.path.abspath(__file__), "--child", name, str(batch), f"{store}/{name}.npz"],
        env=environment(1, store),
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert made.stdout is not None
    told = made.stdout.readline().split()
    if len(told) != 2:
        raise RuntimeError(f"{name} failed at batch {batch}")
    return made, [duration(float(t)) for t in told]


def asked(side: subprocess.Popen[str], line: str) -> float:
    assert side.stdin is not None and side.stdout is not None
    side.stdin.write(line + "\n")
    side.stdin.flush()
    return float(side.stdout.readline())


def compete(batch: int, pythons: dict[str, str]) -> list[str]:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as store:
        cold_side, cold = started(pythons["adjit"], "adjit", batch, store)
        asked(cold_side, "end")
        cold_side.wait()
        sides, early = {}, {}
        for name, python in pythons.items():
            sides[name], early[name] = started(python, name, batch, store)
        times: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, side in sides.items():
                times[name].append(asked(side, "go"))
        peaks = {name: asked(side, "end") for name, side in sides.items()}
        kept = [np.load(f"{store}/{name}.npz") for name in sides]
        pairs = [[k[f] for k in kept] for f in kept[0].files]
    step = {name: median(t) for name, t in times.items()}
    error = max(float(np.abs(p[0] - p[-1]).max() / np.abs(p[-1]).max()) for p in pairs)
    both = len(sides) == 2
    return [
        f"ResNet-18, batch {batch}" if batch else "two variables",
        duration(step["adjit"]),
        duration(step["torch"]) if both else "-",
        f"{step['adjit'] / step['torch']:.2f}" if both else "-",
        *(f"{peaks[name]:.0f} MB" if name in peaks else "-" for name in ("adjit", "torch")),
        *(f"{a}, {b}" for a, b in zip(cold, early["adjit"], strict=True)),
        f"{error:.0e}" if both else "-",
    ]


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]), options.child[2])
        return 0
    known = interpreters(options.python)
    found = {name: whose(name, known) for name in ("adjit", "torch")}
    pythons = {name: python for name, python in found.items() if python}
    versions: dict[str, str] = {}
    for has in reversed(known.values()):
        versions |= has
    title = heading(machine(versions), 1)
    head = [
        "a step", "adjit", "torch", "ratio", "peak", "torch's", "first", "compiling", "gradients",
    ]  # fmt: skip
    write(options, "Training", title, head, [compete(batch, pythons) for batch in (*BATCHES, 0)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
