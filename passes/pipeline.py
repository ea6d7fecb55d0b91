"""The order of the passes: plain lists, checked, timed and dumped on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..ir.core import Block, Function, all_ops
from ..ir.interp import evaluate
from ..ir.ops.elementwise import stop_gradient
from ..ir.ops.guards import guard
from ..ir.ops.show import muted, show, shows
from ..ir.records import dataclass
from ..ir.verify import verify
from .accumulations import accumulations
from .calls import expand
from .carries import carries
from .constant_shifts import constant_shifts
from .dce import dce
from .dots import opened, tiny
from .factorings import factorings
from .inward import inward
from .layouts import layouts
from .licm import licm
from .orders import orders
from .outward import outward, unmasked
from .parts import parts
from .planes import planes
from .puts import puts
from .ranks import ranks
from .replay import rebuild
from .scalars import scalars
from .simplify import cleanup, simplify
from .triangles import triangles
from .trips import trips
from .twins import twins
from .weave import weave

# How far results may move, relative to the largest, when a pass may reassociate.
RTOL = {"exact": 0.0, "rounding": 1e-9}
_LOOSE = 1e5  # times as much for single precision


@dataclass(frozen=True, slots=True)
class Pass:
    """A named step from function to function, and what it may change."""

    name: str
    run: Callable[[Function], Function]
    legality: str = "exact"


def shows_last(function: Function) -> Function:
    """The function with what it prints at its end: by then nothing can miss or fail any more."""
    ops = function.ops
    if not any(op.prim is show for op in ops):
        return function
    # A loop that prints in its rounds stays where it is, and what is printed before it.
    fixed = max((k for k, op in enumerate(ops) if op.prim is not show and shows(op)), default=-1)
    late = tuple(op for op in ops[fixed + 1 :] if op.prim is show)
    rest = tuple(op for op in ops[fixed + 1 :] if op.prim is not show)
    block = Block(function.params, (*ops[: fixed + 1], *rest, *late), function.outs)
    return Function(function.name, block)


# Before differentiation: little, so that derivatives are those of what the user wrote.
PRIMAL: list[Pass] = [
    Pass("shows", shows_last),
    Pass("puts", puts),
    Pass("cleanup", cleanup),
    Pass("ranks", ranks),
    Pass("constant_shifts", constant_shifts),
    Pass("triangles", triangles, "rounding"),
    Pass("inward", inward),
    Pass("outward", outward, "rounding"),
    Pass("dce", dce),
]


def unguarded(function: Function) -> Function:
    """The function without the guards that decided in the call which was traced, and is at hand."""
    block = function.block
    ops = tuple([op for op in block.ops if op.prim is not guard])
    return dce(Function(function.name, Block(block.params, ops, block.outs)))


# The same for a program that runs once: to simplify it takes longer than it saves.
BRIEF: list[Pass] = [
    Pass("shows", shows_last),
    Pass("unguarded", unguarded),
    Pass("puts", puts),
    Pass("dce", dce),
]


def release(function: Function) -> Function:
    """The function without `stop_gradient`, once nothing will be differentiated any more."""
    if not any(op.prim is stop_gradient for op in all_ops(function.block)):
        return function
    return rebuild(function, lambda b, op, args: args if op.prim is stop_gradient else None)


def joint(strict: int | None = None) -> list[Pass]:
    """The passes after differentiation; the first `strict` results are the primal's."""
    return [
        Pass("release", release),
        Pass("unmasked", unmasked),
        Pass("calls", expand),
        Pass("trips", trips),
        Pass("planes", planes, "rounding"),
        Pass("orders", orders),
        Pass("factorings", factorings, "rounding"),
        Pass("scalars", scalars),
        Pass("layouts", layouts),
        Pass("twins", twins),
        Pass("simplify", partial(simplify, strict=strict, rounds=2), "rounding"),
        Pass("accumulations", partial(_accumulations, strict=strict), "rounding"),
        Pass("products", partial(_products, strict=strict), "rounding"),
        Pass("licm", licm),
        Pass("carries", partial(_carries, strict=strict), "rounding"),
        Pass("weave", partial(_weave, strict=strict), "rounding"),
        Pass("parts", parts),
    ]


def _accumulations(function: Function, strict: int | None) -> Function:
    """The function with sums of products after the loops, in normal form again."""
    apart = accumulations(function, strict)
    return function if apart is function else simplify(apart, strict=strict, rounds=2)


def _products(function: Function, strict: int | None) -> Function:
    """The function with tiny matrix products as sums, in normal form again."""
    if not any(tiny(op) for op in all_ops(function.block)):
        return function
    return simplify(opened(function), strict=strict, rounds=2)


def _carries(function: Function, strict: int | None) -> Function:
    """The function whose loops carry scalars for small arrays, in normal form again."""
    apart = carries(function)
    return function if apart is function else licm(simplify(apart, strict=strict, rounds=2))


def _weave(function: Function, strict: int | None) -> Function:
    """The function with strided pads in pieces, in normal form again."""
    pieces = weave(function)
    return function if pieces is function else licm(simplify(pieces, strict=strict, rounds=2))


JOINT: list[Pass] = joint()


class Miscompiled(AssertionError):
    """A pass changed what a function means."""


def run(
    function: Function,
    passes: Sequence[Pass],
    *,
    check: bool = False,
    samples: Sequence[Any] | None = None,
    dumps: dict[str, Function] | None = None,
    timings: dict[str, float] | None = None,
) -> Function:
    """The function after all the passes.

    `check` verifies after each; `samples`, arguments, are interpreted before and after each, and
    the results compared; `dumps` and `timings` are filled by the passes' names.
    """
    for p in passes:
        start = time.perf_counter()
        after = p.run(function)
        if timings is not None:
            timings[p.name] = timings.get(p.name, 0.0) + time.perf_counter() - start
        if check:
            verify(after)
        if samples is not None:
            compare(function, after, samples, p)
        if dumps is not None:
            dumps[p.name] = after
        function = after
    return function


def compare(before: Function, after: Function, samples: Sequence[Any], p: Pass) -> None:
    """Interpret both functions; a `Miscompiled` error if results differ by more than allowed."""
    with muted():
        pairs = zip(evaluate(before, *samples), evaluate(after, *samples), strict=True)
    for i, (x, y) in enumerate(pairs):
        if x.dtype != y.dtype or x.shape != y.shape:
            raise Miscompiled(f"{p.name}: result {i} was {x.dtype}{x.shape}, is {y.dtype}{y.shape}")
        if not close(x, y, RTOL[p.legality]):
            raise Miscompiled(f"{p.name}: result {i} of {before.name} was {x!r}, is {y!r}")


def close(x: np.ndarray, y: np.ndarray, rtol: float) -> bool:
    """Whether two results agree, relative to the largest finite element; NaN equals NaN."""
    if x.dtype.kind not in "fc" or rtol == 0.0:
        return np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")
    if x.dtype in (np.float32, np.complex64, np.float16):
        rtol *= _LOOSE
    finite = np.abs(x[np.isfinite(x)])
    scale = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(y, x, rtol=rtol, atol=rtol * scale, equal_nan=True))
