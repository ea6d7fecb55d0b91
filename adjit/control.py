"""`cond`, `while_loop`, `fori_loop` and `scan`: loops and branches whose bodies are functions.

While tracing they become one row each, whatever the number of rounds; on plain arrays they are
the Python loops that they stand for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .ir.types import NUMPY
from .tracer import control
from .tracer.record import is_tracing, recorder
from .tracer.trace import is_tracer, trace
from .tracer.tree import flatten

Fn = Callable[..., Any]


def cond(p: Any, then: Fn, otherwise: Fn, *args: Any) -> Any:
    """`then(*args) if p else otherwise(*args)`, both in one program where `p` is traced.

    Both results must have the same structure, shapes and dtypes (a Python number takes the dtype
    of its counterpart), else a `ControlFlow` error.  Only the branch taken is computed.
    """
    if not is_tracing() or not is_tracer(p):
        return then(*args) if p else otherwise(*args)
    _note_place()
    return control.record_cond(p, then, otherwise, args)


def while_loop(test: Fn, body: Fn, init: Any) -> Any:
    """The last `carry` of `while test(carry): carry = body(carry)`, beginning with `init`.

    The carry is a number, an array or a container of them; each round must leave its structure,
    shapes and dtypes as they were, else a `ControlFlow` error.  `body` may write into its arrays.
    """
    if is_tracing():
        _note_place()
        return control.record_while(test, body, init)
    carry = _own(init)
    while test(carry):
        carry = body(carry)
    return carry


def fori_loop(
    low: Any,
    high: Any,
    body: Fn,
    init: Any,
    *,
    checkpoint: bool | int = False,
    states: int | None = None,
) -> Any:
    """The last `carry` of `for i in range(low, high): carry = body(i, carry)`.

    The bounds may be traced.  The carry is as that of `while_loop`.  With `checkpoint=k` the
    reverse derivative keeps every k-th carry (True: about sqrt(n) of them) and computes the rounds
    between them again; with `states=s` it keeps s carries at a time, by the binomial schedule,
    which computes rounds again more often; else it keeps what it needs of every round.
    """
    every, budget = _every(checkpoint), _budget(states, checkpoint)
    if is_tracing():
        _note_place()
        return control.record_fori(low, high, body, init, every, budget)
    carry = _own(init)
    for i in range(low, high):
        carry = body(i, carry)
    return carry


def scan(
    f: Fn,
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
    *,
    checkpoint: bool | int = False,
    states: int | None = None,
) -> tuple[Any, Any]:
    """`carry, y = f(carry, x)` for each row of the arrays `xs`: the last carry and all y, stacked.

    `xs` is an array or a container of arrays with equal first axes; without it, `length` is the
    number of rounds and x is None.  `reverse` begins at the last row; the y keep their places.
    `checkpoint` and `states` are as those of `fori_loop`.
    """
    every, budget = _every(checkpoint), _budget(states, checkpoint)
    if is_tracing():
        _note_place()
        return control.record_scan(f, init, xs, length, reverse, every, budget)
    n = _count(xs, length)
    leaves, tree = flatten(xs)
    carry, rows = _own(init), []
    for i in range(n - 1, -1, -1) if reverse else range(n):
        carry, y = f(carry, tree.unflatten([np.asarray(x)[i] for x in leaves]))
        found, shape = flatten(y)
        rows.append([np.array(a) for a in found])
    if not rows:
        return carry, _no_rows(f, carry, tree.unflatten(list(map(_row, leaves))))
    if reverse:
        rows.reverse()
    return carry, shape.unflatten([np.stack(column) for column in zip(*rows, strict=True)])


def _every(checkpoint: bool | int) -> int | None:
    """How many rounds a segment has: None for no segments, 0 for the square root of all."""
    if checkpoint is False or checkpoint is None:
        return None
    if checkpoint is True:
        return 0
    if checkpoint < 1:
        raise ValueError(f"checkpoint={checkpoint}: a segment has one round or more")
    return int(checkpoint)


def _budget(states: int | None, checkpoint: bool | int) -> int:
    """How many carries the reverse derivative may keep at a time; 0 for no such budget."""
    if states is None:
        return 0
    if checkpoint is not False:
        raise ValueError("give checkpoint or states, not both")
    if states < 1:
        raise ValueError(f"states={states}: the first carry is kept in any case")
    return int(states)


def _note_place() -> None:
    recorder().enter(sys._getframe(1))


def _own(init: Any) -> Any:
    """The first carry, its arrays copied: the body may write into them."""
    leaves, tree = flatten(init)
    return tree.unflatten([x.copy() if type(x) is np.ndarray else x for x in leaves])


def _count(xs: Any, length: Any) -> int:
    """The number of rounds of a plain scan."""
    lengths = {len(x) for x in flatten(xs)[0]}
    if length is not None:
        lengths.add(int(length))
    if len(lengths) != 1:
        raise ValueError(f"scan: the numbers of rows differ: {sorted(lengths)}" if lengths else
                         "scan: without arrays to run over it needs a length")  # fmt: skip
    return lengths.pop()


def _row(x: Any) -> Any:
    """A row of an array that may have none."""
    x = np.asarray(x)
    return np.zeros(x.shape[1:], x.dtype)[()]


def _no_rows(f: Fn, carry: Any, x: Any) -> Any:
    """What no round stacks: arrays without rows, of the types that a round would give."""

    def stacked(c: Any, row: Any) -> Any:
        parts, tree = flatten(c)
        return f(tree.unflatten(parts), row)[1]  # a body may change the containers of its carry

    t = trace(stacked, (carry, x))
    avals = [v.aval for v in t.function.outs]
    return t.outs_tree.unflatten([np.zeros((0, *a.shape), NUMPY[a.dtype]) for a in avals])
