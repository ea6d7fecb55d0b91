"""Which values of a primal its adjoint is handed, and which it computes again: a minimum cut.

A value that the adjoint needs is either kept, which costs memory traffic, or computed again, which
costs the work of its op and the need of its operands.  The cheapest choice is the minimum cut of a
graph in which a value points to its op by an edge that costs keeping it, the op to the sink by one
that costs its work, and the op to its operands by edges that can not be cut (as in Dantzig-Wolfe's
project selection; see also Chen et al., Training Deep Nets with Sublinear Memory Cost, 2016).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .core import Const, Op, Value
from .prim import Expr, Fold, View
from .types import NUMPY

KEEP = 16  # additions that take as long as writing a double to memory and reading it later
SQRT_COST = 8  # of a small whole or half power
HALVES = {k / 2 for k in range(9)}
MUCH = 40 * KEEP  # of what a round hands over: a loop of many may fill the caches
MOST_OPS = 2000  # of a graph whose cut is sought; its time grows faster than its size


def keep_cost(v: Value) -> int:
    """Additions' worth of handing a value over."""
    return max(1, KEEP * abs(v.aval.size) * NUMPY[v.aval.dtype].itemsize // 8)


def work(op: Op) -> int | None:
    """Additions' worth of computing an op again; None where that is out of the question."""
    emit = op.prim.emit
    if isinstance(emit, View) or op.prim.name in ("reshape", "iota"):
        return 0
    if isinstance(emit, Expr):
        return (SQRT_COST if _is_half(op) else emit.cost) * op.outs[0].aval.size
    if isinstance(emit, Fold):
        return op.args[0].aval.size
    each = {"gather": 4, "concatenate": 1}.get(op.prim.name)
    return None if each is None else each * op.outs[0].aval.size


def _is_half(op: Op) -> bool:
    """Whether it is a power that becomes products and a square root."""
    power = op.args[1] if op.prim.name == "pow" else None
    return type(power) is Const and power.aval.size == 1 and abs(float(power.data)) in HALVES


def cost(again: Collection[Op], kept: Collection[Value]) -> int:
    """The cost of a choice; ops that only a minimum cut would not compute again count as free."""
    return sum(work(op) or 0 for op in again) + sum(map(keep_cost, kept))


def worth_seeking(
    ops: Sequence[Op], needed: Collection[Value], free: Collection[Value], known: int
) -> bool:
    """Whether a minimum cut may be well below a `known` cost; it takes a while to find."""
    if known <= MUCH or len(ops) > MOST_OPS:
        return False
    live, total = set(needed), 0
    for op in reversed(ops):
        if not live.isdisjoint(op.outs):
            again = work(op)
            if again is None:  # what it makes must be kept, whatever else is
                return known > 8 * MUCH
            total += again
            live.update(op.args)
    made = {v for op in ops for v in op.outs}
    total += sum(keep_cost(v) for v in live - made - set(free) if type(v) is not Const)
    return 5 * total < 4 * known


def least(
    ops: Sequence[Op], needed: Collection[Value], free: Collection[Value], ragged: Collection[Op]
) -> tuple[set[Op], set[Value]]:
    """The ops to compute again and the values to keep, so that `needed` is had at least cost.

    `free` values are there anyway.  `ragged` ops have no fixed shape: they are computed again.
    """
    import networkx as nx  # not at the top: it takes longer to load than most programs to compile

    made = {v: op for op in ops for v in op.outs}
    g: Any = nx.DiGraph()
    wanted = [v for v in needed if v not in free and type(v) is not Const]
    g.add_edges_from(("start", v) for v in wanted)
    g.add_nodes_from(("start", "end"))
    seen, stack = set(wanted), list(wanted)
    while stack:
        v = stack.pop()
        op = made.get(v)
        if op is None:
            g.add_edge(v, "end", capacity=keep_cost(v))
            continue
        if op in ragged:
            g.add_edge(v, op)
        else:
            g.add_edge(v, op, capacity=keep_cost(v))
        if op in g and "end" in g[op]:
            continue
        again = 0 if op in ragged else work(op)
        g.add_edge(op, "end", **({} if again is None else {"capacity": again}))
        for a in op.args:
            if a not in free and type(a) is not Const:
                g.add_edge(op, a)
                if a not in seen:
                    seen.add(a)
                    stack.append(a)
    flow = nx.algorithms.flow.boykov_kolmogorov
    _, (near, _) = nx.minimum_cut(g, "start", "end", flow_func=flow)
    again_ops = {op for op in ops if op in near}
    return again_ops, {v for v in seen if v in near and made.get(v) not in again_ops}
