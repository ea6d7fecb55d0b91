"""Long Python loops: what the first gradient takes as the number of rounds grows.

    python benchmarks/long_loops.py [--python PYTHON] [--markdown benchmarks/RESULTS.md]

Each row is a process of its own that finds nothing on disk: the seconds of its first gradient,
what of them is tracing and what is compiling (all that is not tracing), the least of later calls,
and the peak of its resident memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from time import perf_counter
from typing import Any

import numpy as np
from processes import duration, heading, installed, machine
from sections import first_python, parser_of, told, write

ROWS = (
    ("rk4", 1_000),
    ("rk4", 10_000),
    ("ranged", 1_000),
    ("ranged", 100_000),
    ("lstm", 100),
    ("lstm", 1_024),
)
NAMES = {"rk4": "RK4, for", "ranged": "RK4, adjit.range", "lstm": "LSTM, for"}


def call_of(kind: str, steps: int) -> tuple[Any, tuple[Any, ...]]:
    """The compiled gradient of a problem with so many rounds, and its arguments."""
    from problems import PROBLEMS, rk4_step

    import adjit

    if kind == "lstm":
        problem = PROBLEMS[f"lstm-{steps}"]
        return adjit.value_and_grad(problem.fn, problem.argnums), problem.args()

    def ranged(u: Any, p: Any, h: Any, steps: Any) -> Any:
        x, y = u[0], u[1]
        for _ in adjit.range(steps):
            x, y = rk4_step(x, y, p[0], p[1], p[2], p[3], h)
        return x * x + x * y

    problem = PROBLEMS["rk4-1000"]
    u, p, h, _ = problem.args()
    args = (u, p, h * 1_000 / steps, steps)  # the same span of time
    return adjit.value_and_grad(ranged if kind == "ranged" else problem.fn, (0, 1)), args


def child(kind: str, steps: int) -> None:
    """Print seconds of the first call, of tracing, of compiling, of a later call; megabytes."""
    f, args = call_of(kind, steps)
    start = perf_counter()
    f(*args)
    first, later = perf_counter() - start, []
    for _ in range(30):
        start = perf_counter()
        f(*args)
        later.append(perf_counter() - start)
    spent = f.variants()[0].seconds
    compiling = sum(spent.values()) - spent["trace"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([first, spent["trace"], compiling, float(np.min(later)), peak]))


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], int(options.child[1]))
        return 0
    python = first_python(options)
    title, rows = heading(machine(installed(python)), 1), []
    for kind, steps in ROWS:
        *seconds, peak = told(python, __file__, kind, steps)
        rows.append([f"{NAMES[kind]}, {steps}", *map(duration, seconds), f"{peak:.0f} MB"])
    head = ["rounds", "first gradient", "tracing", "compiling", "later", "peak"]
    write(options, "Long loops", title, head, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
