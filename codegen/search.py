"""Where values stand among sorted keys, by halving: each step in one vector loop for many values.

A search with branches waits for one misprediction per step. Here every value takes the same steps,
which the number of keys alone decides, and a step is a gather, a comparison and a sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Value
from ..ir.plan import Root
from ..ir.types import KIND
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer

BLOCK = 256  # values that take a step together


def searchsorted(w: Writer, r: Root) -> None:
    """How many keys are less than each value (at most it, on the right); NaN come last."""
    assert r.op is not None
    keys, x = r.op.args
    n = int(keys.shape[0])
    steps = max(n - 1, 0).bit_length()
    size = w.names.argument(keys.shape[0])
    with w.nest(x.shape[:-1]) as around:
        if not x.ndim:
            _steps(w, r, (keys, x), (), [], size, steps)
            return
        first, rows = w.names.fresh("s"), w.names.argument(x.shape[-1])
        with w.body(f"for {first} in range(0, {rows}, {BLOCK}):") as scope:
            end = w.names.fresh("m")
            w.line(f"{end} = min({first} + {BLOCK}, {rows})")
            w.of_var[first] = w.of_var[end] = scope.depth
            _steps(w, r, (keys, x), tuple(around), [first, end], size, steps)


def _steps(
    w: Writer,
    r: Root,
    args: tuple[Value, Value],
    around: tuple[At, ...],
    bounds: list[str],
    size: str,
    steps: int,
) -> None:
    """The steps of a block of values, between these bounds, or of a single one."""

    def each(write: str, half: str) -> None:
        """One statement for each value of the block."""
        if not bounds:
            _step(w, r, args, around, write, half)
            return
        var = w.names.fresh("i")
        with w.body(f"for {var} in range({', '.join(bounds)}):") as scope:
            w.of_var[var] = scope.depth
            w.ranges[var] = (0, args[1].shape[-1] - 1)
            _step(w, r, args, (*around, (var, 0, 1)), write, half)

    left = w.names.fresh("n")
    w.line(f"{left} = {size}")
    each("0", "")
    step = w.names.fresh("k")
    with w.body(f"for {step} in range({steps}):"):
        half = w.names.fresh("h")
        w.line(f"{half} = {left} // 2")
        each(half, half)
        w.line(f"{left} = {left} - {half}")
    each("1", "1")


def _step(
    w: Writer,
    r: Root,
    args: tuple[Value, Value],
    at: tuple[At, ...],
    write: str,
    half: str,
) -> None:
    """Move one position on by `write` if the key before that place is below the value."""
    assert r.op is not None
    cell = w.target(r, at)
    if not half:
        w.line(f"{cell} = {write}")
        return
    keys, x = args
    here, k, a = (w.names.fresh(name) for name in ("p", "q", "a"))
    w.line(f"{here} = {cell}")
    w.line(f"{k} = {here} + {half} - 1")
    w.of_var[k] = w.scope.depth
    w.line(f"{a} = {w.cell(keys, [(k, 0, 1)])}")
    v = w.pull(x, at)
    below = f"({a} <= {v})" if r.op.attrs.get("right", False) else f"({a} < {v})"
    if KIND[x.dtype] == "f":
        known = (
            f"({v} != {v})" if r.op.attrs.get("right", False) else f"({v} != {v}) & ({a} == {a})"
        )
        below = f"{below} | ({known})"
    w.line(f"{cell} = {here} + ll.select({below}, {write}, 0)")
