"""What can be hooked to recorded operations, and what they show of their operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .graph import GradFn
from .storage import RemovableHandle
from .sweep import AFTER, AGAIN, BEFORE
from .tape import Node, Ref, statics_of
from .tensor_object import Tensor, shown

_SAVED = {
    "_saved_self": 0, "_saved_other": 1, "_saved_mat2": 1, "_saved_exponent": 1,
    "_saved_result": -1,
}  # fmt: skip


def _shown(refs: Any) -> tuple[Tensor | None, ...]:
    return tuple(None if ref is None else shown(*ref) for ref in refs)


def _refs(x: Any) -> list[Ref | None]:
    listed = list(x) if isinstance(x, tuple | list) else [x]
    return [None if t is None else t._ref() for t in listed]


def _hooked(node: Node, place: int, call: Callable[..., Any]) -> RemovableHandle:
    if node.hooks is None:
        node.hooks = {}
    hooks = node.hooks.setdefault(place, [])
    hooks.append(call)
    return RemovableHandle(hooks, call)


def register_prehook(self: GradFn, hook: Callable[[Any], Any]) -> RemovableHandle:
    """Call `hook` with the cotangents of the results; what it returns replaces them."""

    def call(cts: Any) -> Any:
        found = hook(_shown(cts))
        return cts if found is None else _refs(found)

    return _hooked(self._node, BEFORE, call)


def register_hook(self: GradFn, hook: Callable[[Any, Any], Any]) -> RemovableHandle:
    """Call `hook` with the cotangents of operands and results; it may replace the former."""
    node: Node = self._node
    if node.piece is None:
        return node.leaf.register_post_accumulate_grad_hook(lambda t: hook((), (t.grad,)))

    def call(found: Any, cts: Any) -> Any:
        other = hook(_shown(found), _shown(cts))
        return found if other is None else _refs(other)

    return _hooked(node, AFTER, call)


def saved(self: GradFn, name: str) -> Any:
    """`_saved_self`, `_saved_other`, `_saved_result`: what the derivative reads."""
    node: Node = self._node
    if name not in _SAVED or node.piece is None:
        raise AttributeError(f"{self._kind!r} object has no attribute {name!r}")
    if name == "_saved_exponent" and len(node.inputs) < 2:
        return next(iter(statics_of(node)), None)
    if node.freed:
        raise RuntimeError(AGAIN)
    at = _SAVED[name]
    if at < 0:
        return shown(node)
    operand, i = node.inputs[at]
    return operand.leaf if operand.leaf is not None else shown(operand, i)


GradFn.register_hook = register_hook  # type: ignore[attr-defined]
GradFn.register_prehook = register_prehook  # type: ignore[attr-defined]
GradFn.__getattr__ = saved  # type: ignore[attr-defined]
