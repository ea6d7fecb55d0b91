"""`backward`: one sweep over the recorded nodes; each is pulled by the adjoint of its piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..ir.types import NUMPY
from .anomalies import anomaly, inspect
from .modes import recording
from .saved import check_one, records
from .tape import Foreign, Node, Operation, Ref, flows, node_of, record, source

ACCUMULATE = Operation("AddBackward0", np.add, keeps=False)

AGAIN = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you "
    "call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward "
    "through the graph a second time or if you need to access saved tensors after calling "
    "backward."
)
Hook = Callable[[Ref], Ref]
BEFORE, AFTER = -1, -2  # where the hooks of an operation stand among those of its results


class Sweep:
    """The cotangents met on the way from the results to the leaves, as pending nodes."""

    def __init__(
        self, seeds: Sequence[tuple[Ref, Ref]], wanted: Sequence[Ref], keep: bool,
        leaves: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        """Of all leaves, or of what leads to the wanted results and these leaves alone."""
        self.keep = keep  # whether the cotangents are recorded for derivatives of their own
        self.cts: dict[Ref, Ref] = {}
        self.leaves: dict[int, tuple[Any, Ref]] = {}  # by the identity of the leaf
        self.found: dict[Ref, Ref] = {}
        self.visited: list[Node] = []
        self._wanted = set(wanted)
        before, recording.on = recording.on, keep
        try:
            for at, ct in seeds:
                self._add(at, ct)
            order = _order([n for (n, _), _ in seeds])
            needed = None if leaves is None else _leading(order, self._wanted, leaves)
            for node in reversed(order):
                if needed is None or node in needed:
                    self._visit(node)
                else:
                    self._pass(node)
        finally:
            recording.on = before

    def _add(self, at: Ref, ct: Ref) -> None:
        known = self.cts.get(at)
        self.cts[at] = ct if known is None else (record(ACCUMULATE, (known, ct)), 0)

    def _pass(self, node: Node) -> None:
        """Only note what is wanted: the operation leads to nothing that is."""
        for ref in [(node, i) for i in range(len(node.avals))]:
            if ref in self._wanted and ref in self.cts:
                self._hooked(ref)

    def _visit(self, node: Node) -> None:
        refs = [(node, i) for i in range(len(node.avals))]
        cts = [self._hooked(ref) if ref in self.cts else None for ref in refs]
        if all(ct is None for ct in cts):
            return
        if node.hooks and BEFORE in node.hooks:
            for before in node.hooks[BEFORE]:
                cts = before(cts)
        if node.piece is None:
            self._arrive(node.leaf, cts[0])
            return
        if node.freed and node.piece.operation.keeps:
            raise RuntimeError(AGAIN)
        if records:
            check_one(node)
        self.visited.append(node)
        inputs = node.inputs
        active = tuple(map(flows, inputs))
        if not any(active):
            return
        if isinstance(node.piece, Foreign):
            self._ask(node, node.piece, cts)
            return
        pull = node.piece.pull(active)
        given = [ct or _zero(ref) for ct, ref in zip(cts, refs, strict=True) if node_is_float(ref)]
        operands = (*inputs, *given)
        tracked = self.keep and any(flows(operands[i]) for i in pull.reads)
        made = node_of(pull, operands, tracked)
        if anomaly.on:
            inspect(node, made)
        wanted = [ref for ref, a in zip(inputs, active, strict=True) if a]
        found: list[Ref | None] = [(made, i) for i in range(len(wanted))]
        if node.hooks and AFTER in node.hooks:
            found = self._seen(node, active, found, cts)
        for ref, ct in zip(wanted, found, strict=True):
            if ct is not None:
                self._add(ref, ct)

    def _seen(
        self, node: Node, active: Sequence[bool], found: list[Ref | None], cts: Sequence[Ref | None]
    ) -> list[Ref | None]:
        """The cotangents of the operands after the hooks of the operation."""
        rest = iter(found)
        every = [next(rest) if a else None for a in active]
        assert node.hooks is not None and node.piece is not None
        n = node.piece.shown
        for hook in node.hooks[AFTER]:
            every = [*hook(every[:n], cts), *every[n:]]
        return [ct for ct, a in zip(every, active, strict=True) if a]

    def _ask(self, node: Node, piece: Foreign, cts: Sequence[Ref | None]) -> None:
        """The cotangents by a function of the user's."""
        for ref, ct in zip(node.inputs, piece.pulled(cts), strict=True):
            if ct is not None:
                self._add(ref, ct)

    def _hooked(self, ref: Ref) -> Ref:
        node, i = ref
        ct = self.cts[ref]
        hooks = (node.hooks or {}).get(i)
        for hook in sorted(hooks, key=_retains) if hooks else ():
            ct = hook(ct)
        if ref in self._wanted:
            self.found[ref] = ct
        return ct

    def _arrive(self, leaf: Any, ct: Ref | None) -> None:
        assert ct is not None
        known = self.leaves.get(id(leaf))
        if known is not None:
            ct = record(ACCUMULATE, (known[1], ct)), 0
        self.leaves[id(leaf)] = leaf, ct

    def release(self) -> None:
        """Free what the recorded operations keep for another sweep."""
        release(self.visited)


def _retains(hook: Any) -> bool:
    """Whether this hook fills `.grad`: it comes last, whenever it was registered."""
    return getattr(hook, "retains", False)


def release(nodes: Iterable[Node]) -> None:
    """Free what recorded operations keep for their derivatives."""
    for node in nodes:
        node.freed = True
        if node.values is not None and node.piece is not None and node.piece.operation.keeps:
            node.inputs = tuple([(_without_values(n), i) for n, i in node.inputs])


def _without_values(node: Node) -> Node:
    """The same place in the graph; leaves and constants without their memory."""
    if not node.tracked:
        return GONE
    return node if node.piece is not None else Node(None, (), node.avals, None, True, node.leaf)


GONE = Node(None, (), (), None, False)


def node_is_float(ref: Ref) -> bool:
    """Whether a value carries a cotangent."""
    return ref[0].avals[ref[1]].kind in "fc"


def _zero(ref: Ref) -> Ref:
    aval = ref[0].avals[ref[1]]
    return source(np.zeros(aval.shape, NUMPY[aval.dtype])), 0


def _leading(order: Sequence[Node], wanted: set[Ref], leaves: Sequence[Any]) -> set[Node]:
    """The nodes that lead to wanted results or to these leaves."""
    own = {id(leaf) for leaf in leaves}
    found: set[Node] = set()
    for node in order:
        if node.piece is None:
            leads = id(node.leaf) in own
        else:
            leads = any(ref in wanted or ref[0] in found for ref in node.inputs)
        if leads:
            found.add(node)
    return found


def _order(roots: Sequence[Node]) -> list[Node]:
    """The tracked nodes below these, operands first."""
    order: list[Node] = []
    seen: set[Node] = set()
    todo: list[Node | None] = list(roots)
    path: list[Node] = []
    while todo:
        node = todo.pop()
        if node is None:
            order.append(path.pop())
        elif node.tracked and node not in seen:
            seen.add(node)
            path.append(node)
            todo.append(None)
            todo.extend([n for n, _ in node.inputs if n.tracked and n not in seen])
    return order
