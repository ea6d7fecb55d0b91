"""`backward` of Tensors: by a plan where a graph like it was met before, else by a sweep."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.records import dataclass
from .anomalies import anomaly
from .arithmetic import add, method
from .elementwise import to
from .modes import no_grad
from .plans import Graph, Plan
from .saved import check, records
from .storage import RemovableHandle
from .sweep import Sweep, _without_values, release
from .tape import Node, Ref, ones, rows, run, waiting
from .tensor_object import Tensor, as_tensor, held, shown

NOT_SCALAR = "grad can be implicitly created only for scalar outputs"


@method("backward")
def _backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the derivatives of this Tensor to `.grad` of the leaves it was made from."""
    backward([self], [gradient], retain_graph, create_graph, inputs)


@method("retain_grad")
def retain_grad(self: Tensor) -> None:
    """Fill `.grad` of this result too."""
    if not self.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._node is None or self._retains:
        return
    self._retains = True
    me = weakref.ref(self)

    def keep(ct: Tensor) -> None:
        tensor = me()
        if tensor is not None:
            deposit(tensor, ct)

    self._add_hook(keep)._hook.retains = True  # it follows writes in place


def seed_of(root: Tensor, gradient: Any) -> tuple[Ref, Ref]:
    """A result, and the cotangent it is given."""
    if not root.requires_grad:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    shape = root._aval_shape()
    if gradient is None:
        if root._dtype.kind == "c":
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {root.dtype}"
            )
        if math.prod(shape) != 1:
            raise RuntimeError(
                f"{NOT_SCALAR}\n  This one has shape {list(shape)}: reduce it (.sum(), .mean()), "
                "or pass gradient= of that shape."
            )
        ref = root._ref()
        return ref, (ones(ref[0].avals[ref[1]]), 0)
    if gradient.__class__ in (list, tuple) and gradient and not isinstance(gradient[0], Tensor):
        kind = type(gradient[0]).__name__
        raise TypeError(f"gradients can be either Tensors or None, but got {kind}")
    ct = as_tensor(gradient)
    if ct._aval_shape() != shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {ct.shape} and output[0] has a "
            f"shape of {root.shape}."
        )
    return root._ref(), (ct if ct._dtype == root._dtype else to(ct, root._dtype))._ref()


def backward(
    roots: Sequence[Tensor],
    gradients: Sequence[Any],
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the derivatives of these results to `.grad` of the leaves."""
    keep = create_graph if retain_graph is None else retain_graph
    seeds = [seed_of(t, g) for t, g in zip(roots, gradients, strict=True)]
    asked = None
    listed: list[Tensor] = []
    if inputs is not None:
        listed = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if not listed:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        asked = {id(t) for t in listed}
    graph = None
    plain = asked is None and not anomaly.on and not rows.open
    if len(seeds) == 1 and not create_graph and plain and roots[0]._node is not None:
        if seeds[0][1][0].values is None:  # a plan takes it as an array
            run([seeds[0][1][0]])
        graph = Graph(*seeds[0])
        plan = graph.plan() if graph.plain else None
        if plan is not None and not any(leaf._hooks for leaf in graph.leaves):
            if records:
                check(graph.order)
            follow(graph, plan, keep)
            return
    between = [t for t in listed if t._node is not None]
    sweep = Sweep(seeds, [t._ref() for t in between], create_graph, listed if asked else None)
    arrived = [
        (leaf, hooked(leaf, ct))
        for leaf, ct in sweep.leaves.values()
        if asked is None or id(leaf) in asked
    ]
    arrived += [(t, sweep.found[t._ref()]) for t in between if t._ref() in sweep.found]
    if graph is not None and graph.plain and not any(leaf._hooks for leaf in graph.leaves):
        graph.learn([leaf for leaf, _ in arrived], [ct for _, ct in arrived])
    settle(sweep, roots, [ct for _, ct in arrived], keep)
    for leaf, ct in arrived:
        deposit(leaf, shown(*ct), create_graph)
        for hook in leaf._hooks or ():
            if isinstance(hook, After):
                hook.call(leaf)


def follow(graph: Graph, plan: Plan, keep: bool) -> None:
    """`backward` by a plan."""
    found = iter(plan.run(graph.operands, graph.order))
    for k in plan.alive:
        node = graph.order[k]
        node.values = tuple([next(found) for _ in node.avals])
    for node in graph.joined:
        waiting.pop(node, None)
    for k in plan.leaves:
        leaf, value = graph.leaves[k], next(found)
        if leaf._grad is None:
            leaf._grad = held(value)
        else:
            deposit(leaf, held(value))
    if not keep:
        release([n for n in graph.order if n.tracked])
        _forget(graph.order)
    for node in graph.order:
        if not node.tracked and node.values is not None:
            node.inputs = ()


def _forget(order: Sequence[Node]) -> None:
    """Let go of the operands of results that nothing can ask for any more.

    Else the memory of parameters would be copied before an optimiser writes it.
    """
    inside: dict[Node, int] = {}
    for node in order:
        for n, _ in node.inputs:
            inside[n] = inside.get(n, 0) + 1
    asked: set[Node] = set()  # what may yet be computed, and all that it needs
    for node in reversed(order):
        if node.values is not None:
            continue
        shown = node.owner is not None and node.owner() is not None
        if shown or inside.get(node, 0) != node.readers or node in asked:
            asked.update([n for n, _ in node.inputs])
        else:
            node.inputs = tuple([(_without_values(n), i) for n, i in node.inputs])


def hooked(leaf: Tensor, ct: Ref) -> Ref:
    """The cotangent of a leaf after its hooks."""
    for hook in leaf._hooks or ():
        if not isinstance(hook, After):
            ct = hook(ct)
    return ct


@dataclass(frozen=True, eq=False)
class After:
    """What is called with a leaf after its `.grad` was added to."""

    call: Callable[[Tensor], Any]


@method("register_post_accumulate_grad_hook")
def after_accumulation(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call `hook` with this leaf whenever its `.grad` was added to."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if self._hooks is None:
        self._hooks = []
    entry: Any = After(hook)
    self._hooks.append(entry)
    return RemovableHandle(self._hooks, entry)


def settle(sweep: Sweep, roots: Sequence[Tensor], cts: Sequence[Ref], keep: bool) -> None:
    """Run what a sweep recorded, and free the graph unless it is to be kept."""
    nodes = [n for n, _ in cts]
    if keep or rows.open:
        if not rows.open:
            run(nodes)
        return
    alive = [n for n in sweep.visited if n.values is None and n.owner and n.owner() is not None]
    run([*nodes, *alive])
    sweep.release()


def run_refs(refs: Sequence[Ref]) -> None:
    """Compute these results."""
    run([n for n, _ in refs])


def deposit(leaf: Tensor, ct: Tensor, create_graph: bool = False) -> None:
    """Add to `.grad`."""
    known = leaf._grad
    if create_graph and ct._tracked():
        leaf._grad = ct if known is None else add(known, ct)
    elif known is None:
        leaf._grad = held(np.array(ct._value()))
    elif known._tracked():
        with no_grad():
            known.add_(ct.detach())
    else:
        array = known._own()
        assert known._storage is not None
        known._storage.touch()
        array += ct._value()
