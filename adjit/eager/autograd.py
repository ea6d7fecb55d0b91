"""Derivatives of Tensors without `.grad`: `grad`, `backward`, and whole functions."""

from __future__ import annotations

from typing import Any

from . import autograd_function as function
from . import autograd_functional as functional
from . import autograd_graph as graph
from . import graph_hooks as _graph_hooks  # noqa: F401  # enters methods of operations
from .anomalies import detect_anomaly, set_detect_anomaly
from .autograd_function import Function
from .backward import backward as _backward
from .gradcheck import gradcheck, gradgradcheck
from .gradients import grad, listed
from .modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from .tensor_object import Tensor

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


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the derivatives of several results to `.grad` of the leaves."""
    roots = listed(tensors)
    given = [None] * len(roots) if grad_tensors is None else listed(grad_tensors)
    _backward(roots, given, retain_graph, create_graph, inputs)


def __getattr__(name: str) -> Any:
    if name == "forward_ad":
        raise AttributeError(
            "there are no dual Tensors here: use torch.func.jvp(f, primals, tangents), or "
            "torch.autograd.functional.jvp"
        )
    raise AttributeError(f"module 'torch.autograd' has no attribute {name!r}")
