"""What a call costs when the arithmetic is nothing.

    python benchmarks/calls.py [--python PYTHON] [--markdown benchmarks/RESULTS.md]

Value and gradient of Rosenbrock's function of 2 and of 10 numbers, and of x*x + x*y for arrays of
one element; in each process by the contestant's ordinary call, nothing around it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from timeit import Timer
from typing import Any

import numpy as np
from problems import rosenbrock
from processes import (
    HERE,
    default_python,
    duration,
    environment,
    heading,
    machine,
    publish,
    table,
)

Cases = dict[str, tuple[Any, tuple[Any, ...]]]
Callers = dict[str, Callable[..., Any]]


def products(x, y):
    return np.sum(x * x + x * y)


CASES: Cases = {
    "rosenbrock, n = 2": (rosenbrock, (np.array([-1.2, 1.0]),)),
    "rosenbrock, n = 10": (rosenbrock, (np.linspace(-1.0, 1.0, 10),)),
    "x*x + x*y, n = 1": (products, (np.array([1.5]), np.array([0.5]))),
}


def which(args):
    """By the only argument, or by all."""
    return tuple(range(len(args))) if len(args) > 1 else 0


def adjit(fn, args):
    from adjit import value_and_grad

    return value_and_grad(fn, argnums=which(args)), args


def jax(fn, args):
    import jax
    import jax.numpy as jnp

    renamed = type(fn)(fn.__code__, {**fn.__globals__, "np": jnp}, fn.__name__)
    step = jax.jit(jax.value_and_grad(renamed, argnums=which(args)))
    return step, tuple(jnp.asarray(a) for a in args)


def numba(fn, args):
    """Written by hand, outputs allocated in the kernel."""
    from hand import rosenbrock_small
    from numba import njit

    @njit(error_model="numpy")
    def products(x, y):
        value, gx, gy = 0.0, np.empty_like(x), np.empty_like(y)
        for i in range(x.size):
            value += x[i] * x[i] + x[i] * y[i]
            gx[i] = 2.0 * x[i] + y[i]
            gy[i] = x[i]
        return value, (gx, gy)

    @njit(error_model="numpy")
    def rosenbrock(x):
        g = np.empty_like(x)
        return rosenbrock_small(x, g), g

    return (rosenbrock if len(args) == 1 else products), args


CALLERS = {f.__name__: f for f in (numba, adjit, jax)}


def child(name: str, cases: Cases, callers: Callers) -> None:
    """Print the time of a call in each case."""
    found = {}
    for case, (fn, args) in cases.items():
        try:
            step, given = callers[name](fn, args)
        except NotImplementedError:
            continue
        step(*given)
        names = [f"a{k}" for k in range(len(given))]
        timer = Timer(
            f"step({', '.join(names)})", globals=dict(zip(names, given, strict=True), step=step)
        )
        count, _ = timer.autorange()
        count = max(1, count // 20)  # runs of about 10 ms
        found[case] = median(timer.repeat(40, count)) / count
    print(json.dumps(found))


def main(file: str, section: str, cases: Cases, callers: Callers) -> int:
    """Time the cases in processes of their own, which run `file --child NAME`."""
    parser = argparse.ArgumentParser(description=section)
    parser.add_argument("--python", default=default_python(), help="the children's interpreter")
    parser.add_argument("--rounds", type=int, default=3, help="processes per contestant")
    parser.add_argument("--markdown", type=Path, help="put the table into this page")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, cases, callers)
        return 0
    times: dict[str, dict[str, list[float]]] = {name: {} for name in callers}
    with tempfile.TemporaryDirectory() as store:
        env = environment(1, store)
        title = heading(machine(options.python, env), 1)
        print(title, flush=True)
        for _ in range(options.rounds):
            for name in callers:
                command = [options.python, os.path.abspath(file), "--child", name]
                done = subprocess.run(command, env=env, cwd=HERE, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
                    continue
                for case, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                    times[name].setdefault(case, []).append(seconds)
    rows = [
        [case, *(duration(median(t[case])) if case in t else "-" for t in times.values())]
        for case in cases
    ]
    text = table(["one call", *callers], rows)
    print(f"\n{text}")
    if options.markdown:
        publish(options.markdown, section, title, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(__file__, "A call", CASES, CALLERS))
