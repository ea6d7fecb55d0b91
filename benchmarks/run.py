"""Gradients of one set of problems: adjit, Numba by hand, and every peer that is installed.

    python benchmarks/run.py                 all problems, with one thread and with two
    python benchmarks/run.py --quick         a look at it, in a minute
    python benchmarks/run.py --python A:B    peers are looked for in the interpreters A and B
    python benchmarks/run.py --markdown benchmarks/RESULTS.md --json FILE --chart FILE.png

Each contestant has a process of its own.  The first finds empty stores; where something is stored,
a second one starts with it.  These are kept alive and asked in turn for several rounds, so that
drift of the machine meets all alike; the figures are medians over all rounds.  Gradients are
compared with the hand-written ones, and along a direction with the difference quotient.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import report
from contestants import OURS
from peers import PEERS
from problems import PROBLEMS
from processes import (
    HERE,
    Child,
    absolute,
    default_python,
    environment,
    heading,
    interpreters,
    machine,
    whose,
)

Result = dict[str, Any]
CONTESTANTS = {**OURS, **PEERS}
STORING = {"hand", "adjit", "jax"}  # what these store is looked at: they start twice
AGAIN = {"adjit"}  # those that start twice even when the others do not
ALONE = {"hand", "adjit", "jax"}  # nothing else starts meanwhile
NEAR = 8.0  # a peer so many times slower than the best one does not run with more threads
WRONG = {"float64": 1e-5, "float32": 1e-3}  # relative errors from which a gradient counts as wrong
QUICK = "rosenbrock-10,rosenbrock-1e6,logistic-10000x100,digits-64-128-10,lstm-100"
QUICK_NAMES = "hand,adjit,numpy_f,jax,torch"


def start(command: list[str], env: dict[str, str], patience: float) -> tuple[Child | None, Result]:
    """A child with its first result, or what became of it."""
    begin = perf_counter()
    child = Child(command, env)
    found = child.ask(timeout=patience)
    if found is None:
        late = perf_counter() - begin >= patience
        told = child.end()
        return None, {"failed": f"no gradient in {patience:.0f} s" if late else told}
    if "refused" in found:
        child.end()
        return None, found
    arrived = perf_counter() - begin
    facts = child.ask(timeout=patience)
    if facts is None:
        return None, {"failed": child.end()}
    return child, {**facts, "start": arrived, "rounds": []}


def starts(
    name: str, problem: str, store: Path, threads: int, options: argparse.Namespace
) -> tuple[Child | None, Result]:
    """The child that stays, with the facts of a cold start and of one with what that stored."""
    python = whose(name, options.known)
    if python is None:
        return None, {"absent": "not installed"}
    env = environment(threads, store)
    command = [python, "child.py", name, problem, f"{store}/{name}-{threads}.npz"]
    child, facts = start(command, env, options.patience)
    twice = AGAIN if options.once else STORING
    if child is None or name not in twice or not options.first:
        return child, facts
    child.end()
    child, warm = start(command, env, options.patience)
    return child, warm if child is None else {**warm, "cold": facts}


def gathered(
    names: list[str], problem: str, store: Path, threads: int, options: argparse.Namespace
) -> tuple[dict[str, Child], dict[str, Result]]:
    """The children that stay, and the facts of all."""

    def one(name: str) -> tuple[Child | None, Result]:
        return starts(name, problem, store, threads, options)

    found = {name: one(name) for name in names if name in ALONE}
    others = [name for name in names if name not in ALONE]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found |= zip(others, pool.map(one, others), strict=True)
    alive = {name: found[name][0] for name in names if found[name][0] is not None}
    return alive, {name: found[name][1] for name in names}


def compete(
    problem: str, names: list[str], threads: int, store: Path, options: argparse.Namespace
) -> dict[str, Result]:
    """The results of all contestants on one problem, by name."""
    alive, results = gathered(names, problem, store, threads, options)
    for _ in range(options.rounds):
        for name, child in alive.items():
            answer = child.ask(str(options.seconds))
            if answer is not None:
                results[name]["rounds"].append(answer["samples"])
                results[name]["lasting"] = answer["peak"]
    for child in alive.values():
        child.end()
    truth = next((n for n in ("hand", "jax", "torch") if n in alive), None)
    for name in alive:
        results[name]["error"] = error(store, name, truth, threads)
        summarise(results[name])
    return results


def error(store: Path, name: str, truth: str | None, threads: int) -> float | None:
    """The largest error of a gradient against the hand-written one, relative to its largest."""
    paths = [store / f"{n}-{threads}.npz" for n in (name, truth)]
    if name == truth or not all(p.exists() for p in paths):
        return None
    with np.load(paths[0]) as a, np.load(paths[1]) as b:
        if len(a.files) != len(b.files):
            return None
        return max(
            float(np.max(np.abs(a[k] - b[k])) / (np.max(np.abs(b[k])) + 1e-300)) for k in b.files
        )


def summarise(result: Result) -> None:
    rounds = [r for r in result.pop("rounds") if r]
    if not rounds:
        result["failed"] = "died in the rounds"
        return
    result["median"] = median(t for r in rounds for t in r)
    result["least"] = min(t for r in rounds for t in r)
    result["medians"] = [median(r) for r in rounds]


def complaints(problem: str, results: dict[str, Result]) -> Iterable[str]:
    """What went wrong: a contestant that failed, a gradient that is not right."""
    wrong = WRONG[PROBLEMS[problem].dtype]
    for name, result in results.items():
        if "failed" in result:
            yield f"{problem}: {name} failed: {result['failed']}"
        for key in ("error", "slope_error"):
            if not (result.get(key) or 0.0) <= wrong:
                yield f"{problem}: {name}: {key} {result[key]:.1e}"


def limits(threads: int, known: dict[str, dict[str, str]]) -> dict[str, Any] | None:
    """What the machine can do, measured where Numba is."""
    python = whose("hand", known)
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as store:
        env = environment(threads, store)
        command = [python, "limits.py", "--threads", str(threads)]
        done = subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add(
        "--python",
        type=absolute,
        default=default_python(),
        help="the interpreters of the children, A:B:C",
    )
    add("--problems", help="a comma list")
    add("--contestants", help="a comma list")
    add("--threads", default="1,2", help="a comma list")
    add("--cpus", help="a comma list of the processors to run on")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=0.12, help="of a contestant in a round")
    add("--patience", type=float, default=60.0, help="seconds to wait for a first gradient")
    add("--stat", choices=("median", "least"), default="median", help="what is compared")
    add("--once", action="store_true", help="of adjit alone a second start with filled stores")
    add("--quick", action="store_true", help="few problems, few rounds, one thread")
    add("--json", type=Path, help="write all figures here")
    add("--markdown", type=Path, help="put the tables into this page")
    add("--chart", type=Path, help="draw the ratios (needs matplotlib)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.once, options.threads = 3, 0.05, True, "1"
    options.problems = options.problems or (QUICK if options.quick else ",".join(PROBLEMS))
    names = QUICK_NAMES if options.quick else ",".join(CONTESTANTS)
    options.contestants = options.contestants or names
    options.known = interpreters(options.python)
    return options


def promising(results: dict[str, Result], stat: str) -> list[str]:
    """Who runs again with more threads: JAX, and all peers that are not far behind the best one."""
    peer = report.best_peer(results, stat)
    far = NEAR * peer[1] if peer else 0.0
    return [n for n, r in results.items() if n in OURS or n == "jax" or r.get(stat, far + 1) <= far]


def every(options: argparse.Namespace) -> dict[str, dict[str, dict[str, Result]]]:
    """All results, by the number of threads, then by problem."""
    counts = [int(n) for n in options.threads.split(",")]
    found: dict[str, dict[str, dict[str, Result]]] = {str(n): {} for n in counts}
    for problem in options.problems.split(","):
        names = options.contestants.split(",")
        with tempfile.TemporaryDirectory() as store:
            for n in counts:
                options.first = n == counts[0]
                results = compete(problem, names, n, Path(store), options)
                found[str(n)][problem] = results
                print(report.line(problem, n, results, options.stat), flush=True)
                if options.json:  # what is there already, should the rest not be waited for
                    options.json.write_text(json.dumps({"results": found}, indent=1))
                names = promising(results, options.stat)
    return found


def main() -> int:
    begin, options = monotonic(), arguments()
    if options.cpus:
        os.sched_setaffinity(0, [int(c) for c in options.cpus.split(",")])
    versions: dict[str, str] = {}
    for has in reversed(options.known.values()):
        versions |= has
    whole: dict[str, Any] = {"machine": machine(versions), "stat": options.stat}
    print(heading(whole["machine"]), flush=True)
    lacking = [n for n in options.contestants.split(",") if whose(n, options.known) is None]
    if lacking:
        print(f"not installed, hence not compared: {', '.join(lacking)}", flush=True)
    whole["results"] = every(options)
    measured = [] if options.quick else whole["results"]
    whole["limits"] = {n: limits(int(n), options.known) for n in measured}
    whole["minutes"] = (monotonic() - begin) / 60.0
    found = whole["results"].values()
    wrong = [line for by in found for problem, r in by.items() for line in complaints(problem, r)]
    print("\n".join(["", report.text(whole), "", *wrong, f"{whole['minutes']:.1f} minutes"]))
    if options.json:
        options.json.write_text(json.dumps(whole, indent=1))
    if options.markdown:
        report.publish_all(options.markdown, whole)
    if options.chart:
        import chart

        print(chart.draw(whole, options.chart))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
