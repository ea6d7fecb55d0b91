"""Time of a value and gradient: adjit, Numba by hand, JAX, and the NumPy function alone.

    python benchmarks/run.py                 all problems
    python benchmarks/run.py --quick         a look at it
    python benchmarks/run.py --python PYTHON --markdown benchmarks/RESULTS.md --json FILE

Each contestant has a process of its own.  They are kept alive and asked in turn for several rounds,
so that drift of the machine meets all alike; the figures are medians over all rounds.  Gradients
are compared with the hand-written ones, and along a direction with the difference quotient.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from contestants import CONTESTANTS
from problems import PROBLEMS
from processes import Child, default_python, duration, environment, heading, machine, publish, table

Result = dict[str, Any]
WRONG = {"float64": 1e-5, "float32": 1e-3}  # relative errors from which a gradient counts as wrong


def compete(problem: str, names: Iterable[str], options: argparse.Namespace) -> dict[str, Result]:
    """The results of all contestants on one problem, by name."""
    results: dict[str, Result] = {}
    alive: dict[str, Child] = {}
    with tempfile.TemporaryDirectory() as store:
        env = environment(options.threads, store)
        for name in names:
            command = [options.python, "child.py", name, problem, f"{store}/{name}.npz"]
            child = Child(command, env)
            facts = child.ask()
            if facts is None:
                results[name] = {"failed": child.end()}
            else:
                alive[name], results[name] = child, {**facts, "rounds": []}
        for _ in range(options.rounds):
            for name, child in alive.items():
                results[name]["rounds"].append(child.ask(str(options.seconds)))
        for child in alive.values():
            child.end()
        for name in alive:
            results[name]["error"] = error(Path(store), name)
    for name in alive:
        summarise(results[name])
    return results


def error(store: Path, name: str) -> float | None:
    """The largest error of a gradient against the hand-written one, relative to its largest."""
    ours, truth = store / f"{name}.npz", store / "hand.npz"
    if not ours.exists() or not truth.exists():
        return None
    with np.load(ours) as a, np.load(truth) as b:
        return max(
            float(np.max(np.abs(a[k] - b[k])) / (np.max(np.abs(b[k])) + 1e-300)) for k in b.files
        )


def summarise(result: Result) -> None:
    rounds = [r for r in result.pop("rounds") if r]
    result["median"] = median(t for r in rounds for t in r)
    result["least"] = min(t for r in rounds for t in r)
    result["medians"] = [median(r) for r in rounds]


def row(problem: str, results: dict[str, Result]) -> list[str]:
    """A line of the table: times, with their ratio to the hand-written one, and errors."""
    base = results.get("hand", {}).get("median")
    cells = [problem]
    for name in CONTESTANTS:
        result = results.get(name, {})
        if "median" not in result:
            cells.append("failed" if "failed" in result else "-")
        elif base is None or name == "hand":
            cells.append(duration(result["median"]))
        else:
            cells.append(f"{duration(result['median'])} ({result['median'] / base:.2f}x)")
    ours = results.get("adjit", {})
    cells.append(f"{ours['error']:.0e}" if ours.get("error") is not None else "-")
    return cells


def complaints(problem: str, results: dict[str, Result]) -> Iterable[str]:
    """What went wrong: a contestant that failed, a gradient that is not right."""
    limit = WRONG[PROBLEMS[problem].dtype]
    for name, result in results.items():
        if "failed" in result:
            yield f"{problem}: {name} failed: {result['failed']}"
        for key in ("error", "slope_error"):
            if (result.get(key) or 0.0) > limit:
                yield f"{problem}: {name}: {key} {result[key]:.1e}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=default_python(), help="the children's interpreter")
    parser.add_argument("--problems", default=",".join(PROBLEMS), help="a comma list")
    parser.add_argument("--contestants", default=",".join(CONTESTANTS), help="a comma list")
    parser.add_argument("--threads", type=int, default=1, help="for BLAS and JAX")
    parser.add_argument("--cpus", help="a comma list of the processors to run on")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a contestant in a round")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.05 s")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--markdown", type=Path, help="put the table into this page")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 0.05
    return options


def main() -> int:
    options = arguments()
    if options.cpus:
        os.sched_setaffinity(0, [int(c) for c in options.cpus.split(",")])
    with tempfile.TemporaryDirectory() as store:
        facts = machine(options.python, environment(options.threads, store))
    title = heading(facts, options.threads)
    print(title, flush=True)
    every: dict[str, dict[str, Result]] = {}
    for problem in options.problems.split(","):
        every[problem] = compete(problem, options.contestants.split(","), options)
        print("  ".join(row(problem, every[problem])), flush=True)
    header = ["value and gradient", *CONTESTANTS, "error"]
    text = table(header, [row(problem, results) for problem, results in every.items()])
    wrong = [line for problem, results in every.items() for line in complaints(problem, results)]
    print("\n".join(["", text, "", *wrong]))
    if options.markdown:
        publish(options.markdown, "Value and gradient", title, text)
    if options.json:
        whole = {"machine": facts, "threads": options.threads, "results": every}
        options.json.write_text(json.dumps(whole, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
