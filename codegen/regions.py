"""Control rows as kernel text: plain `for`, `while` and `if` around the text of their regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..ir.core import Op, Value
from ..ir.plan import Body, Root, Stmts, members
from . import rounds
from .emit import At, Scope
from .reader import Bound

UNSEEN = 1 << 24  # elements between two looks at Python's signals: some ten milliseconds
SCALAR = 8  # elements that take as long as a scalar, with what it is computed from
UNKNOWN = 64  # for numbers of rounds and rows that are not known
UNROLLED = 16  # statements of a round that LLVM may unroll
NO_MEMORY = 2  # the status of a kernel that could not have room for its tapes
INTERRUPTED = 3  # of one that was stopped; Python's exception is set

if TYPE_CHECKING:
    from .loops import Writer


def region(w: Writer, r: Root) -> None:
    """The text of a control op."""
    assert r.op is not None
    _REGIONS[r.op.prim.name](w, r, r.op)
    for y in r.op.outs:
        if y.ndim == 0 and w.plan.storage[y].place in ("output", "given"):
            w.line(f"{w.cell(y, ())} = {w.local[y]}")


@contextmanager
def _inside(w: Writer) -> Iterator[None]:
    """What is read here is mutable, or conditional: it is computed in this body, not before it."""
    before = w.floor
    w.floor = w.scope.depth
    yield
    w.floor = before


def _outside(w: Writer, params: Sequence[Value], args: Sequence[Value]) -> None:
    """Params that stand for values from outside."""
    for p, a in zip(params, args, strict=True):
        w.bound[p] = Bound(a, (), w.floor)


def _loop(w: Writer, r: Root, op: Op) -> None:
    body = r.bodies["body"]
    a, k = op.attrs.get("consts", 0), op.attrs.get("carries", 0)
    consts, moving, inputs = op.args[1 : 1 + a], op.args[1 + a : 1 + a + k], op.args[1 + a + k :]
    n = w.pull(op.args[0], ())
    if n.isdigit():
        known = int(n)
        n = w.names.size(known) if _short(body) else w.names.argument(known)
    _tapes(w, n, op.outs[k:])
    turns, back = rounds.in_turn(w, body, op), op.attrs.get("reverse", False)
    early = {j: t for j, t in turns.items() if t.rows is not None and not t.after}
    for j, t in early.items():
        rounds.start(w, t, moving[j], n, back)
    carries = _start(w, op.outs[:k], moving, early)
    _outside(w, body.params[1 : 1 + a], consts)
    length, floor = op.attrs.get("length", -1), w.floor
    var = w.names.fresh("i")
    with _counted(w, r, var, n, length) as scope, _inside(w):
        w.of_var[var], up = scope.depth, var
        if back:
            var = w.names.fresh("i")
            w.line(f"{var} = {n} - 1 - {up}")
            w.of_var[var] = scope.depth
        if length > 0:
            w.ranges[var] = (0, length - 1)
        at: At = (var, 0, 1)
        w.local[body.params[0]] = var
        _bind(w, body.params[1 + a : 1 + a + k], op.outs[:k], carries)
        for p, x in zip(body.params[1 + a + k :], inputs, strict=True):
            w.bound[p] = Bound(x, (at,), floor)
        _settle(w, body, {j: Bound(y, () if j < k else (at,)) for j, y in enumerate(op.outs)})
        with rounds.turned(w, turns.values(), up, at, n):
            for j, (stacked, after) in body.rows.items():
                w.bound[body.outs[stacked]] = Bound(body.outs[j] if after else op.outs[j])
            w.items(body.items)
            _move(w, body.outs[:k], op.outs[:k], carries, turns)
    for t in turns.values():
        rounds.finish(w, t, n, back)


@contextmanager
def _counted(w: Writer, r: Root, var: str, n: str, length: int) -> Iterator[Scope]:
    """The rounds of a `for`; between parts of a long one there is time to look at signals."""
    each = _unseen(r)
    if 0 <= length <= each:
        with w.body(f"for {var} in range({n}):") as scope:
            yield scope
        return
    w.endless = w.endless or length > each or length < 0
    first = w.names.fresh("first")
    with w.body(f"for {first} in range(0, {n}, {each}):"):
        _poll(w, f"{first} > 0")
        with w.body(f"for {var} in range({first}, min({first} + {each}, {n})):") as scope:
            yield scope


def _tapes(w: Writer, n: str, outs: Sequence[Value]) -> None:
    """Room for rows whose number is known now: memory that stays with the workspace."""
    for y in outs:
        if -1 not in y.shape:
            continue
        w.cells = w.cells or w.names.fresh("cells")
        name, place = w.names.fresh((y.hint or "t") + "_tape"), 2 * len(w.tapes)
        w.tapes[y] = name
        size = w.product(y.shape[1:])
        w.line(f"{name} = ll.tape_{y.dtype}({w.cells}, {place}, {n}, {size})")
        w.line(f"if ll.missing({name}):")
        w.line(f"    return {NO_MEMORY}")


def _start(
    w: Writer, outs: Sequence[Value], args: Sequence[Value], early: Container[int] = ()
) -> list[str]:
    """Set what the rounds carry to its first value: names of scalars, "" for arrays.

    Those of `early` have it.
    """
    names = []
    for k, (y, x) in enumerate(zip(outs, args, strict=True)):
        if y.ndim == 0:
            name = w.names.fresh(y.hint or "c")
            w.line(f"{name} = {w.pull(x, ())}")
            w.moving.add(name)
            names.append(name)
            continue
        names.append("")
        if k in early or w.same_place(x, y):
            continue
        with w.nest(y.shape) as index:
            w.line(f"{w.cell(y, index)} = {w.pull(x, tuple(index))}")
    for y, name in zip(outs, names, strict=True):
        if name:
            w.local[y] = name
    return names


def _bind(
    w: Writer, params: Sequence[Value], outs: Sequence[Value], carries: Sequence[str]
) -> None:
    """Params that stand for what the rounds carry."""
    for p, y, name in zip(params, outs, carries, strict=True):
        if name:
            w.local[p] = name
        else:
            w.bound[p] = Bound(y)


def _short(body: Body) -> bool:
    """Whether a few rounds of a body may stand there one after the other."""
    if not all(isinstance(i, Stmts) for i in body.items):
        return False
    return sum(len(members(i)) for i in body.items) <= UNROLLED


def _settle(w: Writer, body: Body, places: dict[int, Bound]) -> None:
    """Say where in the results of a region its values lie."""
    for v, j in body.homes.items():
        w.bound[v] = places[j]
    w.updates |= body.updates


def _move(
    w: Writer,
    new: Sequence[Value],
    outs: Sequence[Value],
    carries: Sequence[str],
    turns: Container[int],
) -> None:
    """The end of a round: its results become what the next one is given."""
    for k, (v, y, name) in enumerate(zip(new, outs, carries, strict=True)):
        if not name and k not in turns and w.plan.storage[v].place != "given":
            with w.nest(y.shape) as index:
                w.line(f"{w.cell(y, index)} = {w.pull(v, tuple(index))}")
    _assign(w, [n for n in carries if n], [v for v, n in zip(new, carries, strict=True) if n])


def _assign(w: Writer, names: Sequence[str], values: Sequence[Value]) -> None:
    """Assign at once: a value may be what another name stands for."""
    texts = [w.pull(v, ()) for v in values]
    moved = []
    for name, text in zip(names, texts, strict=True):
        if text in names and text != name:
            kept = w.names.fresh("t")
            w.line(f"{kept} = {text}")
            text = kept
        moved.append(text)
    for name, text in zip(names, moved, strict=True):
        if text != name:
            w.line(f"{name} = {text}")


def _while(w: Writer, r: Root, op: Op) -> None:
    test, body = r.bodies["test"], r.bodies["body"]
    a = op.attrs.get("consts", 0)
    outs = op.outs[:-1]
    turns = rounds.in_turn(w, body, op)
    carries = _start(w, outs, op.args[a:])
    w.endless = True
    count = w.names.fresh("rounds")
    w.line(f"{count} = 0")
    w.moving.add(count)
    for block in (test, body):
        _outside(w, block.params[:a], op.args[:a])
    with w.body("while True:"), _inside(w):
        for block in (test, body):
            _bind(w, block.params[a:], outs, carries)
        _settle(w, body, {j: Bound(y) for j, y in enumerate(outs)})
        with rounds.turned(w, turns.values(), count, (None, 0, 0), count):
            w.items(test.items)
            w.line(f"if not {w.pull(test.outs[0], ())}:")
            w.line("    break")
            w.items(body.items)
            _move(w, body.outs, outs, carries, turns)
        w.line(f"{count} = {count} + 1")
        _poll(w, f"{count} & {_unseen(r) - 1} == 0")
    for t in turns.values():
        rounds.finish(w, t, count, reverse=False)
    w.local[op.outs[-1]] = count


def _unseen(r: Root) -> int:
    """How many rounds of a loop, a power of two, there may be between two looks at signals."""
    return 1 << (UNSEEN // _work(r)).bit_length() >> 1 or 1


def _work(r: Root) -> int:
    """Roughly how many elements a root computes in a round, or a region in one of its rounds."""
    if not r.bodies:
        elements = math.prod(n if n >= 0 else UNKNOWN for n in r.dims)
        return max(elements >> 4 if r.kind == "gemm" else elements, SCALAR)
    each = 0
    for m in (m for b in r.bodies.values() for i in b.items for m in members(i)):
        times = m.op.attrs.get("length", 1) if m.bodies and m.op is not None else 1
        each += _work(m) * (times if times >= 0 else UNKNOWN)
    return max(each, SCALAR)


def _poll(w: Writer, now: str) -> None:
    """Ctrl-C ends a loop that would not end, or not soon, by itself."""
    w.stops = True
    w.line(f"if {now}:")
    w.line("    if ll.stopped():")
    w.line(f"        return {INTERRUPTED}")


def _cond(w: Writer, r: Root, op: Op) -> None:
    condition = w.pull(op.args[0], ())
    names = [w.names.fresh(y.hint or "t") if y.ndim == 0 else "" for y in op.outs]
    # What the branches read from outside is printed before them both.
    then, otherwise = (_branch(w, r.bodies[label], op, names) for label in ("then", "else"))
    w.line(f"if {condition}:")
    w.scope.lines.extend(f"    {text}" for text in then)
    if otherwise != ["pass"]:
        w.line("else:")
        w.scope.lines.extend(f"    {text}" for text in otherwise)
    for y, name in zip(op.outs, names, strict=True):
        if name:
            w.local[y] = name


def _branch(w: Writer, body: Body, op: Op, names: Sequence[str]) -> list[str]:
    """The lines of one branch, which end by assigning its results."""
    _outside(w, body.params, op.args[1:])
    with w.aside() as scope, _inside(w):
        _settle(w, body, {j: Bound(y) for j, y in enumerate(op.outs)})
        w.items(body.items)
        for v, name in zip(body.outs, names, strict=True):
            if name:
                w.line(f"{name} = {w.pull(v, ())}")
    return scope.lines or ["pass"]


_REGIONS: dict[str, Callable[[Writer, Root, Op], None]] = {
    "cond": _cond,
    "loop": _loop,
    "while": _while,
}
