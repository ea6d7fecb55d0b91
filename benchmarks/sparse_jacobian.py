"""The sparse Jacobian of a reaction-diffusion residual: time and memory as n grows.

    python benchmarks/sparse_jacobian.py [--python PYTHON] [--markdown benchmarks/RESULTS.md]

Each n is a process of its own: the first call with all that it compiles (nothing is on disk), the
median of later calls, and by how much resident memory grew at its peak since before the first call.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from statistics import median
from time import perf_counter

import numpy as np
from processes import duration, heading, installed, machine
from sections import first_python, parser_of, told, write

SIZES = (1_000, 10_000, 100_000, 1_000_000)


def residual(u):
    return u[2:] - 2.0 * u[1:-1] + u[:-2] - 1e-4 * np.exp(u[1:-1])


def child(n: int) -> None:
    """Print the seconds of the first call and of a later one, megabytes, and the entries."""
    from adjit import sparse

    f, u = sparse.jacobian(residual), np.linspace(0.0, 1.0, n)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, perf_counter()
    found = f(u)
    first, later = perf_counter() - start, []
    for _ in range(20):
        start = perf_counter()
        f(u)
        later.append(perf_counter() - start)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps([first, median(later), grown, found.nnz]))


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return 0
    python = first_python(options)
    title, rows = heading(machine(installed(python)), 1), []
    for n in SIZES:
        first, later, grown, entries = told(python, __file__, n)
        rows.append([f"n = {n}", duration(first), duration(later), f"{grown:.0f} MB", str(entries)])
    head = ["sparse Jacobian", "first call", "later", "memory", "entries"]
    write(options, "Sparse Jacobian", title, head, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
