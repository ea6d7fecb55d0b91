"""Arrays that rounds carry, which no round copies.

What a round makes lies where the next one reads it: in the row of what the loop stacks, if that is
what is carried, else in one of two arrays, which take turns.  The pointers are named at the head of
a round; nothing else in it points to the same memory (`ll.alone`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..ir.core import Op, Value
from ..ir.plan import Body
from ..ir.records import dataclass
from .emit import At

if TYPE_CHECKING:
    from .loops import Writer


@dataclass(frozen=True, eq=False)
class Turn:
    """What a loop carries as result `y`, of which a round makes the next value `v`.

    own    the pointer to the memory of `y`
    other  what stands for that of `v`: an array, or (with `rows`) what is stacked
    rows   the result whose rows the values are, and whether row i is what round i makes
    """

    y: Value
    v: Value
    own: str
    other: str
    rows: Value | None = None
    after: bool = False


def in_turn(w: Writer, body: Body, op: Op) -> dict[int, Turn]:
    """Which of the results of a loop are carried so, by their number."""
    found = {}
    for k, (v, y) in enumerate(zip(body.outs, op.outs, strict=False)):
        stacked = body.rows.get(k)
        if stacked is not None:
            j, after = stacked
            found[k] = Turn(y, v, _start_of(w, y), "", op.outs[j], after)
        elif k in body.turns:
            found[k] = Turn(y, v, _start_of(w, y), w.pointer(v))
    return found


def _start_of(w: Writer, y: Value) -> str:
    """The pointer to the first element of a result."""
    base, prefix, extents = w.held(y)
    at = w.offset(prefix, [*extents, *y.shape]) if prefix else "0"
    return (
        w.pointer(base) if at == "0" else _named(w, y, "own", f"blas.at({w.pointer(base)}, {at})")
    )


def _named(w: Writer, y: Value, what: str, text: str) -> str:
    name = w.names.fresh(f"{y.hint or 't'}_{what}")
    w.line(f"{name} = {text}")
    return name


def _row(w: Writer, t: Turn, at: At) -> str:
    """The pointer to a row of what is stacked."""
    assert t.rows is not None
    base, prefix, extents = w.held(t.rows)
    offset = w.offset((*prefix, at), [*extents, *t.rows.shape])
    return w.pointer(base) if offset == "0" else f"blas.at({w.pointer(base)}, {offset})"


def start(w: Writer, t: Turn, x: Value, n: str, reverse: bool) -> None:
    """Set the row that the first of `n` rounds reads to the first value."""
    at: At = (None, 0, 0)
    if reverse:
        last = w.names.fresh("i")
        w.line(f"{last} = {n} - 1")
        w.of_var[last] = w.scope.depth
        at = (last, 0, 1)
    first = _named(w, t.y, "first", f"{_row(w, t, at)} if {n} > 0 else {t.own}")
    with w.nest(t.y.shape) as index:
        w.line(f"{first}[{w.offset(index, t.y.shape)}] = {w.pull(x, tuple(index))}")


@contextmanager
def turned(w: Writer, turns: Collection[Turn], up: str, at: At, n: str) -> Iterator[None]:
    """One of `n` rounds, the `up`-th, whose row is `at`."""
    before = dict(w.turned)
    for t in turns:
        here, there = _pair(w, t, up, at, n)
        for v, what, text in ((t.y, "here", here), (t.v, "next", there)):
            base, prefix, _ = w.held(v)
            name = _named(w, t.y, what, f"ll.alone({text})")
            # The pointer to a row of what a loop around stacks stands for that row alone.
            w.turned[v if prefix else w.plan.slots.get(base, base)] = name
    yield
    w.turned = before


def _pair(w: Writer, t: Turn, up: str, at: At, n: str) -> tuple[str, str]:
    """What a round reads, and what it writes."""
    if t.rows is None:
        first = f"({up} & 1) == 0"
        return f"{t.own} if {first} else {t.other}", f"{t.other} if {first} else {t.own}"
    who, _, _ = at
    step = 1 if who == up else -1
    row, beside = _row(w, t, at), _row(w, t, (who, -step if t.after else step, 1))
    if t.after:
        return f"{beside} if {up} > 0 else {t.own}", row
    return row, f"{beside} if {up} + 1 < {n} else {t.own}"


def finish(w: Writer, t: Turn, n: str, reverse: bool) -> None:
    """Put what the last of `n` rounds made where the result is."""
    if t.rows is None:
        with w.body(f"if ({n} & 1) == 1:"):
            _copy(w, t, t.other)
    elif t.after:
        at: At = (None, 0, 0)
        if not reverse:
            last = w.names.fresh("i")
            w.line(f"{last} = {n} - 1")
            w.of_var[last] = w.scope.depth
            at = (last, 0, 1)
        _copy(w, t, _named(w, t.y, "last", f"{_row(w, t, at)} if {n} > 0 else {t.own}"))


def _copy(w: Writer, t: Turn, source: str) -> None:
    with w.nest(t.y.shape) as index:
        at = w.offset(index, t.y.shape)
        value = w.names.fresh(t.y.hint or "t")
        w.line(f"{value} = {source}[{at}]")
        w.line(f"{t.own}[{at}] = {value}")
