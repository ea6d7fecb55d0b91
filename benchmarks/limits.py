"""What the machine can do, and what each problem needs of it: the least time a gradient can take.

    python benchmarks/limits.py [--threads N]

Of each problem the resource that is short is named: memory, arithmetic of matrix products, vector
functions, a chain of operations that wait for each other, or a call with its results.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from timeit import Timer
from typing import Any

import numpy as np
from problems import DIGITS, MLP


@dataclass(frozen=True)
class Need:
    """Megabytes moved, millions of flops, thousands of function values, dependent operations."""

    megabytes: float = 0.0
    mflops: float = 0.0
    dtype: str = "float64"
    functions: dict[str, float] = field(default_factory=dict)
    chain: int = 0
    calls: int = 0


def products(sizes: tuple[int, ...]) -> float:
    """Of a network: three products a layer, but the data's slopes are not asked."""
    batch, *widths = sizes
    each = [n * m for n, m in pairwise(widths)]
    return 2e-6 * batch * (3 * sum(each) - each[0])


def mixture(n: int, d: int, k: int) -> Need:
    """Triangular factors times the points, the moments, a share for each point and cluster."""
    triangle = d * (d + 1) // 2
    mflops = 2e-6 * n * k * (triangle + triangle + d + 1)
    return Need(mflops=mflops, functions={"exp": n * k / 1e3})


def lstm(steps: int) -> Need:
    units = 14
    return Need(functions={"exp": steps * 7 * units / 1e3, "tanh": steps * 4 * units / 1e3})


def rk4(steps: int) -> Need:
    """Forward: three operations a stage and four to join them; back: as many, and one to begin."""
    return Need(chain=steps * (14 + 15))


PARAMETERS = (
    44.8  # megabytes of ResNet-18's; read by both passes and by SGD, which keeps a momentum
)
NEEDS = {
    "rosenbrock-2": Need(calls=1),
    "rosenbrock-10": Need(calls=1),
    "rosenbrock-1e6": Need(megabytes=16.0),
    "logistic-10000x100": Need(8.0, 4.0, functions={"exp": 10.0, "log": 10.0}),
    "mlp-784-256-256-10": Need(mflops=products(MLP), dtype="float32"),
    "digits-64-128-10": Need(mflops=products(DIGITS), dtype="float32"),
    "black-scholes-1e6": Need(80.0, functions={"normal": 2e3, "log": 1e3, "exp": 1e3}),
    "gmm-d10-k25": mixture(1000, 10, 25),
    "gmm-d32-k50": mixture(1000, 32, 50),
    "lstm-100": lstm(100),
    "lstm-1024": lstm(1024),
    "rk4-1000": rk4(1000),
    "rk4-10000": rk4(10_000),
    "hvp-logistic": Need(8.0, 6.0, functions={"exp": 10.0}),
    "hessian-rosenbrock-20": Need(calls=1),
    "jacobian-tanh-100": Need(mflops=4.0),
    "resnet18-64": Need(8 * PARAMETERS, 890.0, "float32"),
}


def limit(need: Need, machine: dict[str, Any]) -> tuple[str, float]:
    """The resource that is short, and the seconds it takes."""
    each = {
        "memory": need.megabytes * 1e6 / bandwidth(machine, need.megabytes * 1e6),
        "matrix products": need.mflops * 1e6 / machine["gemm"][need.dtype],
        "functions": sum(1e3 * n * machine["function"][f] for f, n in need.functions.items()),
        "a chain": need.chain * machine["operation"],
        "the call": need.calls * machine["call"],
    }
    return max(each.items(), key=lambda item: item[1])


def bandwidth(machine: dict[str, Any], size: float) -> float:
    """Bytes a second where the arrays together have this size: the caches are faster."""
    known = machine["bandwidth"]
    return known[min(known, key=lambda k: abs(np.log(float(k) / max(size, 1.0))))]


# ------------------------------------------------------------- the measuring


def seconds(call: Callable[[], Any]) -> float:
    """The least time of several, each of some milliseconds."""
    timer = Timer(call)
    call()
    count = max(1, round(5e-3 / max(timer.timeit(1), 1e-7)))
    return min(timer.repeat(9, count)) / count


def measured(threads: int) -> dict[str, Any]:
    """What this process can do with so many threads."""
    import vector
    from numba import njit, prange

    wide = njit(fastmath=True, error_model="numpy", parallel=threads > 1)

    @wide
    def triad(a, b, c):
        for part in prange(threads):
            lo, hi = part * a.size // threads, (part + 1) * a.size // threads
            x, y, z = a[lo:hi], b[lo:hi], c[lo:hi]
            for i in range(x.size):
                x[i] = y[i] + 3.0 * z[i]

    @njit(fastmath={"contract"}, error_model="numpy")
    def chain(x, n):
        for _ in range(n):
            x = x * 0.999 + 0.5
        return x

    def over(function):
        @wide
        def whole(x, out):
            for part in prange(threads):
                lo, hi = part * x.size // threads, (part + 1) * x.size // threads
                a, b = x[lo:hi], out[lo:hi]
                for i in range(a.size):
                    b[i] = function(a[i])

        return whole

    @vector.inline
    def normal(x):
        cumulative, density = vector.normal(x)
        return cumulative + density

    found: dict[str, Any] = {"bandwidth": {}, "gemm": {}, "function": {}}
    for size in (3e5, 3e6, 1.2e7, 6e7, 2.4e8):
        a, b, c = (np.ones(int(size / 24)) for _ in range(3))
        found["bandwidth"][str(size)] = 24 * a.size / seconds(lambda a=a, b=b, c=c: triad(a, b, c))
    for dtype in ("float32", "float64"):
        a, b, c = (np.ones((768, 768), dtype) for _ in range(3))
        taken = seconds(lambda a=a, b=b, c=c: np.matmul(a, b, out=c))
        found["gemm"][dtype] = 2 * 768**3 / taken
    x, out = np.linspace(0.1, 5.0, 20_000), np.empty(20_000)
    for name, f in (
        ("exp", vector.exp),
        ("log", vector.log),
        ("tanh", vector.tanh),
        ("normal", normal),
    ):
        whole = over(f)
        found["function"][name] = seconds(lambda whole=whole: whole(x, out)) / x.size
    found["operation"] = seconds(lambda: chain(0.5, 100_000)) / 100_000
    found["call"] = seconds(lambda: (np.empty(()), np.empty(10)))
    return found


def sentence(machine: dict[str, Any]) -> str:
    """The machine's limits in words."""
    speeds = [
        f"{float(k) / 1e6:g} MB at {v / 1e9:.0f} GB/s" for k, v in machine["bandwidth"].items()
    ]
    gemm = ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in machine["gemm"].items())
    functions = ", ".join(f"{k} {1e9 * v:.2f} ns" for k, v in machine["function"].items())
    return (
        f"a + 3 b over arrays of together {', '.join(speeds)}; matrix products {gemm}; "
        f"vector functions {functions}; a dependent operation {1e9 * machine['operation']:.2f} ns; "
        f"a call with two small results {1e9 * machine['call']:.0f} ns"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "1")))
    print(json.dumps(measured(parser.parse_args().threads)))
