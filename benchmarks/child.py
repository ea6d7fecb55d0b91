"""One contestant on one problem: run.py starts it and talks to it by lines of JSON.

It says how long its imports and its first result took, with the peaks of memory; then a line with
seconds is answered by the times of single steps, and an empty answer means that a step takes long.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from time import perf_counter
from timeit import Timer
from typing import Any

import numpy as np
from contestants import OURS, Refused, Step
from peers import PEERS
from problems import PROBLEMS, Problem

CONTESTANTS = {**OURS, **PEERS}
IMPORTS = {
    "hand": ("numba", "hand_loops", "hand_matrices", "hand_mixture"),
    "adjit": ("adjit", "adjit.api"),  # the package itself loads nothing before it is used
    "numpy_f": (),
    "jax": ("jax", "jax.numpy", "jax.scipy.special"),
    "torch_compile": ("torch",),
    "pytensor": ("pytensor", "pytensor.tensor"),
    "casadi_c": ("casadi",),
    "autograd": ("autograd.numpy", "autograd.scipy.special"),
}
EAGER = {"torch", "autograd"}  # the first gradient takes no longer than the next
SHORTEST = 1e-3  # seconds that a sample lasts at least: short steps are timed in batches
STEPS = 100  # of a training step, after which programs of Tensors are compiled
LONG = 1.0  # seconds of a step that is not asked again


def slope_error(problem: Problem, gradients: list[np.ndarray]) -> float:
    """The gradient along a direction against the central difference of the NumPy function."""
    args = list(problem.args("float64"))
    rng = np.random.default_rng(1)
    along = {k: rng.standard_normal(args[k].shape) * np.std(args[k]) for k in problem.argnums}
    step = 1e-5
    ends = [
        problem.fn(*[a + s * along[k] if k in along else a for k, a in enumerate(args)])
        for s in (step, -step)
    ]
    numeric = (ends[0] - ends[1]) / (2.0 * step)
    terms = [np.vdot(g.astype(float), v) for g, v in zip(gradients, along.values(), strict=True)]
    return float(abs(sum(terms) - numeric) / (abs(numeric) + 1e-300))


def memory(key: str) -> float | None:
    """Megabytes of this process now (VmRSS) or at its peak (VmHWM); None where nobody tells."""
    try:
        with open("/proc/self/status") as status:
            found = next(line for line in status if line.startswith(key))
    except (OSError, StopIteration):
        return None
    return int(found.split()[1]) / 1024.0


def forget_peak() -> None:
    """What came before, like the drawing of the data, is not the contestant's."""
    try:
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
    except OSError:
        pass


def timer_of(step: Step) -> Timer:
    """The call alone, with nothing around it."""
    names = {f"a{k}": a for k, a in enumerate(step.args)}
    return Timer(f"call({', '.join(names)})", globals={"call": step.call, **names})


def calibrated(timer: Timer, times: int) -> tuple[int, float]:
    """How many steps a sample has, and how long one is, after some that are not counted."""
    one = min(timer.timeit(1) for _ in range(times))
    count = 1
    while one * count < SHORTEST and count < 1 << 20:
        count *= 2
        one = timer.timeit(count) / count
    return count, one


def measure(timer: Timer, seconds: float, count: int) -> list[float]:
    """Times of one step, each a mean over a short batch."""
    samples, end = [], perf_counter() + seconds
    while not samples or perf_counter() < end:
        samples.append(timer.timeit(count) / count)
    return samples


def begin(name: str, problem: Problem) -> tuple[Step, Any, dict[str, Any]]:
    """The step, its first result, and what both took."""
    args = problem.args()
    forget_peak()
    start = perf_counter()
    for module in IMPORTS.get(name, (name,)):
        importlib.import_module(module)
    facts: dict[str, Any] = {"import": perf_counter() - start, "imported": memory("VmRSS")}
    start = perf_counter()
    step = CONTESTANTS[name](problem, args)
    found = step.call(*step.args)
    facts |= {"first": perf_counter() - start, "peak": memory("VmHWM")}
    return step, found, facts


def main() -> None:
    name, problem_name, results = sys.argv[1:4]
    talk = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a contestant prints is no answer
    problem = PROBLEMS[problem_name]
    try:
        step, found, facts = begin(name, problem)
    except Refused as reason:
        talk.write(json.dumps({"refused": str(reason)}) + "\n")
        return
    talk.write(json.dumps({"arrived": True}) + "\n")
    arrays = step.collect(found)
    if name != "numpy_f":
        np.savez(results, *arrays)
    if name == "hand" and problem.kind == "gradient":
        facts["slope_error"] = slope_error(problem, arrays[1:])
    del found, arrays
    forget_peak()
    timer = timer_of(step)
    if name in EAGER and facts["first"] > LONG:
        count, one = 1, facts["first"]
    else:
        count, one = calibrated(timer, STEPS if problem.kind == "step" else 2)
    talk.write(json.dumps(facts) + "\n")
    for asked, line in enumerate(sys.stdin):
        samples = measure(timer, float(line), count) if one < LONG or not asked else []
        talk.write(json.dumps({"samples": samples, "peak": memory("VmHWM")}) + "\n")


if __name__ == "__main__":
    main()
