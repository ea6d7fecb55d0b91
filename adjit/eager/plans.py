"""`backward` of a graph like one seen before: what the sweep recorded then runs on new arrays."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Block, Function, Value
from ..ir.records import dataclass
from ..ir.types import Aval, name_of
from ..passes.replay import inline
from . import hot
from .tape import Foreign, Node, Ref, applied_block, joining, pending, structure_of, waiting

_LIMIT = 20_000


@dataclass(frozen=True)
class Step:
    """A piece on numbered arrays."""

    block: Block
    reads: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The program of a sweep.  Its inputs are numbered operands of the graph, or fixed arrays.

    Its results are the values of the nodes `alive`, then the gradients of `leaves`.
    """

    structure: hot.Structure
    inputs: tuple[Any, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]
    alive: tuple[int, ...]
    leaves: tuple[int, ...]

    def run(self, operands: Sequence[Ref], order: Sequence[Node]) -> list[np.ndarray]:
        """The results for these operands."""
        env = []
        for kind, x in self.inputs:
            if kind < 0:
                env.append(x)
            else:
                node, i = operands[kind] if x is None else (order[kind], x)
                env.append(node.values[i])
        known = self.structure
        if known.due():
            known.adopt(self._function(env))
        if known.program is not None:
            known.runs += 1
            return known.program.call([hot.ready(x) for x in env])
        start = perf_counter()
        with np.errstate(all="ignore"):
            for step in self.steps:
                env += applied_block(step.block, [env[k] for k in step.reads])
        known.seconds += perf_counter() - start
        known.runs += 1
        given = set(range(len(self.inputs)))
        results = []
        for k in self.results:
            results.append(env[k].copy() if k in given else env[k])
            given.add(k)
        return results

    def _function(self, arrays: Sequence[np.ndarray]) -> Function:
        """The steps as one function."""
        params = tuple(Value(Aval(name_of(x.dtype), x.shape)) for x in arrays)
        env: list[Value] = list(params)
        with Builder(params) as b:
            for step in self.steps:
                env += inline(step.block, [env[k] for k in step.reads])
            return Function("tensors", b.done([env[k] for k in self.results]))


_plans: dict[Any, Plan] = {}


def _array(ref: Ref) -> np.ndarray:
    values = ref[0].values
    assert values is not None
    return values[ref[1]]


class Graph:
    """The operations below a result, in order, and what tells whether a known plan fits."""

    def __init__(self, root: Ref, seed: Ref) -> None:
        self.order = order = _below([root[0]])
        self.joined = joining(order) if waiting else []
        if self.joined:
            self.order = order = _below([root[0], *self.joined])
        self.operands: list[Ref] = [seed]
        self.leaves: list[Any] = []
        self.alive: list[int] = []
        # Not so in the presence of hooks or of an earlier sweep.
        self.plain = len(order) <= hot.LARGEST
        if not self.plain:
            return
        place = {n: -1 - k for k, n in enumerate(order)}
        given: dict[Ref, int] = {}
        leaves: dict[int, int] = {}
        facts: list[Any] = [root[1], id(seed[0].avals[0])]
        for k, node in enumerate(order):
            if node.hooks or node.freed or isinstance(node.piece, Foreign):
                self.plain = False
                return
            waits = node.values is None
            wanted = waits and node.owner is not None and node.owner() is not None
            if wanted:
                self.alive.append(k)
            assert node.piece is not None
            facts += (node.piece.serial, node.tracked, waits, wanted)
            for ref in node.inputs:
                at = place.get(ref[0])
                if at is not None:
                    facts += (at, ref[1])
                    continue
                at = given.get(ref)
                if at is None:
                    at = given[ref] = len(self.operands)
                    self.operands.append(ref)
                    facts.append(id(ref[0].avals[ref[1]]))
                    leaf = ref[0].leaf
                    if leaf is None:
                        facts.append(-1)
                    else:
                        facts.append(leaves.setdefault(id(leaf), len(leaves)))
                        if len(leaves) > len(self.leaves):
                            self.leaves.append(leaf)
                facts.append(at)
        facts += (given.get(seed), place.get(seed[0]))  # whether the graph reads it, too
        self.given = given
        self.place = place
        self.key = tuple(facts)

    def plan(self) -> Plan | None:
        """The plan made for a graph like this one."""
        return _plans.get(self.key)

    def learn(self, leaves: Sequence[Any], cts: Sequence[Ref]) -> None:
        """Keep what a sweep recorded, before it runs."""
        targets = [*(self.order[k] for k in self.alive), *(n for n, _ in cts)]
        order = pending(targets)
        number: dict[Ref, int] = {}
        inputs: list[Any] = []
        for ref in structure_of(order, targets)[1]:
            number[ref] = len(inputs)
            inputs.append(self._source(ref))
        steps, count = [], len(inputs)
        for node in order:
            assert node.piece is not None
            block = node.piece.function.block
            steps.append(Step(block, tuple(number[r] for r in node.inputs)))
            number.update(((node, i), count + i) for i in range(len(node.avals)))
            count += len(node.avals)
        results = [(self.order[k], i) for k in self.alive for i in range(len(self.order[k].avals))]
        wanted = [*results, *cts]
        if any(ref not in number for ref in wanted):  # the gradient is the seed itself
            return
        if len(_plans) > _LIMIT:
            _plans.clear()
        places = {id(leaf): i for i, leaf in enumerate(self.leaves)}
        _plans[self.key] = Plan(
            hot.Structure(len(order)),
            tuple(inputs),
            tuple(steps),
            tuple(number[r] for r in wanted),
            tuple(self.alive),
            tuple(places[id(leaf)] for leaf in leaves),
        )

    def _source(self, ref: Ref) -> tuple[int, Any]:
        """Where an input of the plan comes from: (operand, None), (node, result), (-1, array)."""
        if ref == self.operands[0]:
            return 0, None
        at = self.given.get(ref)
        if at is not None:
            return at, None
        at = self.place.get(ref[0])
        return (-1 - at, ref[1]) if at is not None else (-1, _array(ref))


def _below(roots: Sequence[Node]) -> list[Node]:
    """The operations below nodes that are recorded or pending, operands first."""
    order: list[Node] = []
    seen: set[Node] = set()
    todo: list[Node | None] = [*reversed(roots)]
    path: list[Node] = []
    while todo:
        node = todo.pop()
        if node is None:
            order.append(path.pop())
        elif node not in seen:
            seen.add(node)
            path.append(node)
            todo.append(None)
            for n, _ in node.inputs:
                if n.piece is not None and (n.tracked or n.values is None) and n not in seen:
                    todo.append(n)
    return order
