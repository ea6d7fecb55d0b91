"""From the start of a process to its first gradient.

    python benchmarks/coldstart.py [--python PYTHON] [--problem digits-64-128-10] [--markdown FILE]

Cold: nothing on disk. Warm: the contestant finds what it stored there the time before (adjit its
kernels, Numba and JAX their caches). Each start has the imports, data and one gradient in it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from statistics import median
from time import perf_counter

from processes import HERE, environment, heading, interpreters, machine, whose
from sections import parser_of, write

NAMES = ("hand", "adjit", "jax", "numpy_f")
FIRST = """
import sys
from child import CONTESTANTS
from problems import PROBLEMS
problem = PROBLEMS[sys.argv[2]]
step = CONTESTANTS[sys.argv[1]](problem, problem.args())
step.call(*step.args)
print("first", flush=True)
sys.stdin.read()
"""


def start(python: str, name: str, problem: str, env: dict[str, str]) -> float:
    """Seconds until the child has its first gradient (not until it has ended)."""
    begin = perf_counter()
    with subprocess.Popen(
        [python, "-c", FIRST, name, problem],
        env=env,
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None and child.stderr is not None and child.stdin is not None
        line = child.stdout.readline()
        seconds = perf_counter() - begin
        child.stdin.close()
        if line.strip() != "first":
            raise RuntimeError(child.stderr.read().strip().splitlines()[-1])
    return seconds


def both(options: argparse.Namespace, name: str, python: str) -> tuple[float, float]:
    """A cold start, and a warm one behind it."""
    with tempfile.TemporaryDirectory() as store:
        env = environment(options.threads, store)
        cold = start(python, name, options.problem, env)
        return cold, start(python, name, options.problem, env)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--problem", default="digits-64-128-10")
    parser.add_argument("--contestants", default=",".join(NAMES), help="a comma list")
    parser.add_argument("--starts", type=int, default=3, help="of each kind")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    known = interpreters(options.python)
    title = heading(machine(next(iter(known.values()))), options.threads)
    pythons = {name: whose(name, known) for name in options.contestants.split(",")}
    found: dict[str, list[tuple[float, float]]] = {n: [] for n, p in pythons.items() if p}
    rows = []
    for _ in range(options.starts):  # in turn: the machine's slow minutes meet all alike
        for name in list(found):
            try:
                found[name].append(both(options, name, str(pythons[name])))
            except RuntimeError as failure:
                rows.append([name, "failed", str(failure)[:60]])
                del found[name]
    for name, times in found.items():
        rows.append([name, *(f"{median(kind):.2f} s" for kind in zip(*times, strict=True))])
    print("\n".join("  ".join(row) for row in rows), flush=True)
    head = [f"first gradient of {options.problem}", "cold", "warm"]
    write(options, "A process", title, head, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
