"""One contestant on one problem: run.py starts it and talks to it by lines of JSON."""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter

import numpy as np
from contestants import CONTESTANTS
from problems import PROBLEMS, Problem

SHORTEST = 1e-3  # seconds that a sample lasts at least: short steps are timed in batches


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


def measure(step, seconds: float, estimate: float) -> list[float]:
    """Times of one step, each a mean over a short batch."""
    batch = max(1, round(SHORTEST / estimate))
    samples, end = [], perf_counter() + seconds
    while not samples or perf_counter() < end:
        start = perf_counter()
        for _ in range(batch):
            step()
        samples.append((perf_counter() - start) / batch)
    return samples


def main() -> None:
    name, problem_name, results = sys.argv[1:4]
    talk = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a contestant prints is no answer
    problem = PROBLEMS[problem_name]
    args = problem.args()
    start = perf_counter()
    step = CONTESTANTS[name](problem, args)
    first = step()
    facts: dict[str, object] = {"first": perf_counter() - start}
    value, *gradients = [np.asarray(x) for x in first]
    if gradients:
        facts["slope_error"] = slope_error(problem, gradients)
        np.savez(results, value, *gradients)
    batch, estimate = 1, 0.0
    while estimate * batch < SHORTEST:
        batch *= 2
        start = perf_counter()
        for _ in range(batch):
            step()
        estimate = (perf_counter() - start) / batch
    talk.write(json.dumps(facts) + "\n")
    for line in sys.stdin:
        talk.write(json.dumps(measure(step, float(line), estimate)) + "\n")


if __name__ == "__main__":
    main()
