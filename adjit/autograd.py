"""Derivatives of Tensors without `.grad`: `grad`, `backward`, and whole functions."""

from __future__ import annotations

from typing import Any

from . import autograd_function as function
from . import autograd_functional as functional
from . import autograd_graph as graph
from .anomalies import detect_anomaly, set_detect_anomaly
from .autograd_function import Function
from .backward import backward as _backward
from .backward import hooked, seed_of, settle
from .creation import zeros_like
from .gradcheck import gradcheck, gradgradcheck
from .modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from .shapes import stack
from .sweep import Sweep
from .tape import Ref
from .tensor_object import Tensor, shown

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The Tensor, as older programs ask for it."""
    return data.detach().requires_grad_(requires_grad)


def _listed(x: Any) -> list[Any]:
    return [x] if isinstance(x, Tensor) or x is None else list(x)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the derivatives of several results to `.grad` of the leaves."""
    roots = _listed(tensors)
    given = [None] * len(roots) if grad_tensors is None else _listed(grad_tensors)
    _backward(roots, given, retain_graph, create_graph, inputs)


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
    roots, asked = _listed(outputs), _listed(inputs)
    given = [None] * len(roots) if grad_outputs is None else _listed(grad_outputs)
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
    sweep = Sweep(seeds, results, create_graph)
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


def __getattr__(name: str) -> Any:
    if name == "forward_ad":
        raise AttributeError(
            "there are no dual Tensors here: use torch.func.jvp(f, primals, tangents), or "
            "torch.autograd.functional.jvp"
        )
    raise AttributeError(f"module 'torch.autograd' has no attribute {name!r}")
