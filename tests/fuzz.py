"""Long random programs through every stage: `python tests/fuzz.py --seconds 300`.

Each program is verified, printed and read back, differentiated both ways, simplified, and run as
kernels; every stage is compared with the interpreter.  A failure is shown as the smallest program
of its seed that still fails, as text for tests/golden.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence

import numpy as np
from programs import random_function, wrt

from adjit.ir import Function, evaluate, parse, show, verify
from adjit.ir.core import all_ops
from adjit.passes import pipeline
from adjit.passes.jvp import jvp
from adjit.passes.schedule import schedule
from adjit.passes.vjp import vjp

Arrays = Sequence[np.ndarray]


def directions(arrays: Arrays, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(x.shape), x.dtype) for x in arrays]


def floats(function: Function, results: Arrays) -> list[np.ndarray]:
    return [x for v, x in zip(function.outs, results, strict=True) if v.dtype in ("f32", "f64")]


def inner(left: Arrays, right: Arrays) -> float:
    return sum(float(np.vdot(x, y)) for x, y in zip(left, right, strict=True))


def check_text(function: Function, args: Arrays) -> None:
    """The text form reads back as the same text."""
    verify(function)
    text = show(function)
    if show(parse(text)) != text:
        raise AssertionError("the text does not survive the parser")


def check_modes(function: Function, args: Arrays) -> None:
    """<ct, J t> equals <Jᵀ ct, t>."""
    which = wrt(function)
    results = floats(function, evaluate(function, *args))
    if not which or not results:
        return
    ts, cts = directions([args[i] for i in which], 1), directions(results, 2)
    pushed = evaluate(jvp(function, which), *args, *ts)[len(function.outs) :]
    pulled = evaluate(vjp(function, which, primal_outs=False), *args, *cts)
    forward, reverse = inner(cts, pushed), inner(pulled, ts)
    scale = sum(float(np.sum(np.abs(x * y))) for x, y in zip(pulled, ts, strict=True))
    if abs(forward - reverse) > tolerance(function) * (1.0 + scale):
        raise AssertionError(f"forward mode {forward!r}, reverse mode {reverse!r}")


def joint(function: Function, args: Arrays) -> tuple[Function, list[np.ndarray]]:
    """The joint function and arguments for it."""
    cts = directions(floats(function, evaluate(function, *args)), 3)
    return vjp(function, wrt(function)), [*args, *cts]


def tolerance(function: Function) -> float:
    """Results of any type may have passed through single precision."""
    return (
        1e-3 if any(v.dtype == "f32" for op in all_ops(function.block) for v in op.outs) else 1e-8
    )


def assert_same(who: str, results: Arrays, truth: Arrays, rtol: float) -> None:
    for i, (x, y) in enumerate(zip(results, truth, strict=True)):
        if x.dtype != y.dtype or x.shape != y.shape or not pipeline.close(y, x, rtol):
            raise AssertionError(f"{who}: result {i} is {x!r}, the interpreter's was {y!r}")


def check_passes(function: Function, args: Arrays) -> None:
    """Each pass keeps the value, before and after differentiation."""
    stages = ((pipeline.PRIMAL, function, args), (pipeline.JOINT, *joint(function, args)))
    for passes, before, samples in stages:
        dumps: dict[str, Function] = {}
        pipeline.run(before, passes, check=True, dumps=dumps)
        truth = evaluate(before, *samples)
        for name, after in dumps.items():
            assert_same(name, evaluate(after, *samples), truth, tolerance(function))


def check_kernels(function: Function, args: Arrays) -> None:
    """The compiled joint function gives what the interpreter gives."""
    from adjit.codegen.program import build

    whole, samples = joint(function, args)
    program = build(schedule(pipeline.run(whole, pipeline.JOINT)))
    assert_same("kernel", program.call(samples), evaluate(whole, *samples), tolerance(function))


CHECKS: tuple[Callable[[Function, Arrays], None], ...] = (
    check_text,
    check_modes,
    check_passes,
    check_kernels,
)


def failing(seed: int, size: int) -> str | None:
    """The first check that fails, with its traceback; None if none does."""
    function, args = random_function(seed, size)
    for check in CHECKS:
        try:
            with np.errstate(all="ignore"):
                check(function, args)
        except Exception:
            return f"{check.__name__}\n{traceback.format_exc(limit=-3)}"
    return None


def report(seed: int, size: int) -> None:
    """The smallest program of this seed that fails."""
    for smaller in range(1, size + 1):
        found = failing(seed, smaller)
        if found is not None:
            print(f"\nseed {seed}, size {smaller}: {found}", flush=True)
            print(show(random_function(seed, smaller)[0]), flush=True)
            return


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--size", type=int, default=40, help="statements of the longest programs")
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    seed = failed = 0
    with tempfile.TemporaryDirectory() as store:
        os.environ["ADJIT_CACHE_DIR"] = store
        while time.monotonic() < end and failed < 10:
            size = 4 + seed * 7 % options.size
            if failing(options.seed + seed, size) is not None:
                failed += 1
                report(options.seed + seed, size)
            seed += 1
    print(f"{seed - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
