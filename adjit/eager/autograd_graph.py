"""`torch.autograd.graph`: what can be asked of, and hooked to, recorded operations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .graph import GradFn, grad_fn_of
from .storage import RemovableHandle
from .tensor_object import Tensor

__all__ = [
    "GradientEdge", "Node", "disable_saved_tensors_hooks", "get_gradient_edge",
    "increment_version", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip

Node = GradFn


class GradientEdge(NamedTuple):
    """A place in the graph: an operation, and which of its results."""

    node: GradFn
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place of a Tensor in the graph."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not "
                           "require gradients")  # fmt: skip
    node, i = tensor._ref()
    return GradientEdge(grad_fn_of(node), i)


def increment_version(tensor: Any) -> None:
    """Count one more write in place."""
    for t in [tensor] if isinstance(tensor, Tensor) else tensor:
        t._own()
        if t._storage is not None:
            t._storage.touch()


class saved_tensors_hooks:
    """Refused: the derivative of a recorded operation reads what its program keeps or computes."""

    def __init__(self, pack_hook: Any, unpack_hook: Any) -> None:
        raise RuntimeError(
            "saved_tensors_hooks: no operation saves Tensors one by one here, programs keep or "
            "compute again what derivatives read. To save memory use "
            "torch.utils.checkpoint.checkpoint; to keep things of your own, autograd.Function."
        )


@contextlib.contextmanager
def save_on_cpu(pin_memory: bool = False, device_type: str = "cuda") -> Iterator[None]:
    """Nothing: all is on the processor."""
    yield


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Nothing: there are no such hooks."""
    yield


class _Handles:
    def __init__(self, handles: Sequence[RemovableHandle]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take the hook away."""
        for h in self._handles:
            h.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[..., Any], *, mode: str = "all"
) -> Any:
    """Call `fn` when the derivatives by all (or any) of these Tensors are known."""
    got: dict[int, Tensor] = {}

    def arrived(k: int) -> Callable[[Tensor], None]:
        def hook(g: Tensor) -> None:
            first = not got
            got[k] = g
            if mode == "any":
                if first:
                    fn(g)
            elif len(got) == len(tensors):
                fn([got[i] for i in range(len(tensors))])
                got.clear()

        return hook

    return _Handles([t.register_hook(arrived(k)) for k, t in enumerate(tensors)])
