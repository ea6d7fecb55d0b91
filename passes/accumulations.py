"""Products that the rounds of a loop add up become one product of all rounds, after the loop.

So is the derivative by the weights of a recurrent network: a sum over the steps of products of few
rows, each of which would read and write all of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.builder import Builder
from ..ir.core import Block, Function, Op, Value, definitions, use_counts
from ..ir.ops.arithmetic import add
from ..ir.ops.contract import dot
from ..ir.ops.shape import transpose
from .dce import pure, sweep
from .replay import rebuild
from .simplify import guarded


class Sum(NamedTuple):
    """A carry to which each round adds x.T @ y, or its transpose."""

    x: Value
    y: Value
    turned: bool


def accumulations(function: Function, strict: int | None = None) -> Function:
    """The function with such sums of its loops apart, but those of the first `strict` results."""
    loops = [op for op in function.ops if op.prim.name == "loop"]
    if not loops:
        return function
    kept = set() if strict is None else guarded(function.block, strict)
    found = {op: sums for op in loops if op not in kept and (sums := _sums(op))}
    if not found:
        return function

    def visit(b: Builder, op: Op, args: tuple[Value, ...]) -> Sequence[Value] | None:
        return _apart(b, op, args, found[op]) if op in found else None

    apart = rebuild(function, visit)
    return Function(function.name, sweep(apart.block))


def _sums(op: Op) -> dict[int, Sum]:
    """The carries of a loop that only add such products up, where stacks of those are smaller."""
    if op.attrs["length"] < 2 or op.attrs.get("states") or not pure(op):
        return {}
    body, first = op.blocks["body"], 1 + op.attrs["consts"]
    made, uses = definitions(body), use_counts(body)
    found = {}
    for k in range(op.attrs["carries"]):
        p, y = body.params[first + k], body.outs[k]
        total = made.get(y)
        if total is None or total.prim is not add or uses[y] != 1 or uses.get(p) != 1:
            continue
        if p not in total.args:
            continue
        added = total.args[total.args[0] is p]
        one = _product(added, made, uses)
        if one is None or not {one.x, one.y}.isdisjoint(body.params[:first]):
            continue
        if one.x.aval.size + one.y.aval.size < p.aval.size:
            found[k] = one
    return found


def _product(v: Value, made: dict[Value, Op], uses: dict[Value, int]) -> Sum | None:
    op = made.get(v)
    turned = op is not None and op.prim is transpose and uses[v] == 1
    if turned:
        assert op is not None
        v = op.args[0]
        op = made.get(v)
    if op is None or op.prim is not dot or uses[v] != 1:
        return None
    if op.attrs["contract"] != ((0,), (0,)) or op.attrs["batch"] != ((), ()):
        return None
    x, y = op.args
    return Sum(x, y, turned) if x.ndim == y.ndim == 2 and v.aval.kind == "f" else None


def _apart(b: Builder, op: Op, args: tuple[Value, ...], sums: dict[int, Sum]) -> Sequence[Value]:
    """The loop without these carries, whose factors it yields, and the products after it."""
    body, consts, n = op.blocks["body"], op.attrs["consts"], op.attrs["carries"]
    first = 1 + consts
    gone = {first + k for k in sums}
    rows = {p: args[first + n + j] for j, p in enumerate(body.params[first + n :])}
    factors = dict.fromkeys(v for s in sums.values() for v in s[:2])
    stacked = [v for v in factors if v not in rows and v not in body.outs[n:]]
    outs = [v for k, v in enumerate(body.outs) if k not in sums] + stacked
    params = tuple(p for j, p in enumerate(body.params) if j not in gone)
    block = sweep(Block(params, body.ops, tuple(outs)))
    b.where = op.where
    attrs = {**op.attrs, "carries": n - len(sums)}
    hints = [v.hint for k, v in enumerate(op.outs) if k not in sums]
    given = [a for j, a in enumerate(args) if j not in gone]
    results = iter(b.add(op.prim, given, attrs, {"body": block}, [*hints, *("" for _ in stacked)]))
    done = [next(results) if k not in sums else None for k in range(len(op.outs))]
    for v, whole in zip((*body.outs[n:], *stacked), (*done[n:], *results), strict=True):
        if whole is not None:
            rows.setdefault(v, whole)
    for k, s in sums.items():
        both = ((0, 1), (0, 1))
        whole = dot(rows[s.x], rows[s.y], batch=((), ()), contract=both)
        done[k] = add(args[first + k], transpose(whole, perm=(1, 0)) if s.turned else whole)
    return [v for v in done if v is not None]
