"""`grad`: derivatives of some Tensors by others, beside `.grad`."""

from __future__ import annotations

from typing import Any

from .backward import hooked, seed_of, settle
from .creation import zeros_like
from .shapes import stack
from .sweep import Sweep
from .tape import Ref
from .tensor_object import Tensor, shown


def listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor) or x is None else list(x)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
    is_grads_batched: bool = False,
    only_inputs: bool = True,
) -> tuple[Tensor | None, ...]:
    """The derivatives of the outputs by the inputs; `.grad` stays as it is.

    With `is_grads_batched` the grad_outputs have one more axis in front, and so has the result.
    `only_inputs` is of PyTorch's past: it has no other value.
    """
    if not only_inputs:
        raise ValueError("only_inputs argument is deprecated and is ignored now (defaults to True)")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    roots, asked = listed(outputs), listed(inputs)
    if not asked:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    given = [None] * len(roots) if grad_outputs is None else listed(grad_outputs)
    if len(given) != len(roots):
        raise RuntimeError(f"got {len(roots)} tensors and {len(given)} gradients")
    if is_grads_batched:
        cts = zip(*(_rows(g) for g in given), strict=True)
        rows = [
            grad(roots, asked, list(row), True, create_graph, allow_unused, materialize_grads)
            for row in cts
        ]
        return tuple(None if c[0] is None else stack(c) for c in zip(*rows, strict=True))
    seeds = [seed_of(t, g) for t, g in zip(roots, given, strict=True)]
    for x in asked:
        if not isinstance(x, Tensor):
            raise TypeError(f"grad: an input is a {type(x).__name__}, not a Tensor")
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    results = [x._ref() for x in asked if x._node is not None]
    sweep = Sweep(seeds, results, create_graph, asked)
    found = [_of(sweep, x) for x in asked]
    if not (allow_unused or materialize_grads) and None in found:
        raise RuntimeError(
            f"The differentiated Tensor at index {found.index(None)} appears to not have been used "
            "in the graph. Set allow_unused=True if this is the desired behavior."
        )
    keep = create_graph if retain_graph is None else retain_graph
    settle(sweep, roots, [ct for ct in found if ct is not None], keep)
    return tuple(_shown(ct, x, materialize_grads) for ct, x in zip(found, asked, strict=True))


def _rows(ct: Any) -> list[Any]:
    return [ct[i] for i in range(len(ct))]


def _of(sweep: Sweep, x: Tensor) -> Ref | None:
    if x._node is not None:
        return sweep.found.get(x._ref())
    known = sweep.leaves.get(id(x))
    return None if known is None else hooked(x, known[1])


def _shown(ct: Ref | None, x: Tensor, materialize: bool) -> Tensor | None:
    if ct is not None:
        return shown(*ct)
    return zeros_like(x) if materialize else None
