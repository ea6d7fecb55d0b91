"""What `.grad_fn` shows: the recorded operations, seen from their results."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from .storage import Handle
from .tape import Node, flows

_metadata: weakref.WeakKeyDictionary[Node, dict[Any, Any]] = weakref.WeakKeyDictionary()
_SAVED = {
    "_saved_self": 0, "_saved_other": 1, "_saved_mat2": 1, "_saved_exponent": 1,
    "_saved_result": -1,
}  # fmt: skip


_ARITHMETIC = frozenset(
    f"{n}Backward{k}" for n in ("Add", "Sub", "Mul", "Div", "Pow") for k in (0, 1)
)


def _static(node: Node) -> Any:
    """The exponent that an operation was recorded with."""
    from .tape import statics_of

    found = statics_of(node)
    if not found:
        raise AttributeError(f"{node.piece!r} has no fixed exponent")
    return found[0]


def _listed(x: Any) -> list[Any]:
    return list(x) if isinstance(x, tuple | list) else [x]


class GradFn:
    """One recorded operation; `next_functions` are those its operands came from."""

    def __init__(self, kind: str, node: Any) -> None:
        self._kind = kind
        self._node = node

    def name(self) -> str:
        """As `repr` of a Tensor shows it."""
        return self._kind

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        node: Node = self._node
        if node.piece is None:
            return ()
        inputs = node.inputs[: node.piece.shown]
        if (
            node.piece.operation.name not in _ARITHMETIC
        ):  # indices and masks are none
            inputs = tuple((n, i) for n, i in inputs if n.avals[i].kind in "fc")
        return tuple((grad_fn_of(n), i) if flows((n, i)) else (None, 0) for n, i in inputs)

    @property
    def variable(self) -> Any:
        """The leaf whose gradient is accumulated."""
        if self._kind != "AccumulateGrad":
            raise AttributeError(f"{self._kind} has no variable")
        return self._node.leaf

    @property
    def metadata(self) -> dict[Any, Any]:
        """What the user keeps with the operation."""
        return _metadata.setdefault(self._node, {})

    def register_prehook(self, hook: Callable[[Any], Any]) -> Handle:
        """Call `hook` with the cotangents of the results; what it returns replaces them."""
        from .tensor_object import shown

        def call(cts: Any) -> Any:
            found = hook(tuple(None if ct is None else shown(*ct) for ct in cts))
            return (
                cts if found is None else [None if t is None else t._ref() for t in _listed(found)]
            )

        return self._hook(-1, call)

    def register_hook(self, hook: Callable[[Any, Any], Any]) -> Handle:
        """Call `hook` with the cotangents of operands and results; it may replace the former."""
        from .tensor_object import shown

        node: Node = self._node
        if node.piece is None:
            leaf = node.leaf
            return leaf.register_post_accumulate_grad_hook(lambda t: hook((), (t.grad,)))

        def call(found: Any, cts: Any) -> Any:
            given = tuple(None if ct is None else shown(*ct) for ct in found)
            other = hook(given, tuple(None if ct is None else shown(*ct) for ct in cts))
            if other is None:
                return found
            return [None if t is None else t._ref() for t in _listed(other)]

        return self._hook(-2, call)

    def _hook(self, place: int, call: Callable[..., Any]) -> Handle:
        node: Node = self._node
        if node.hooks is None:
            node.hooks = {}
        hooks = node.hooks.setdefault(place, [])
        hooks.append(call)
        return Handle(hooks, call)

    def __getattr__(self, name: str) -> Any:
        """`_saved_self`, `_saved_other`, `_saved_result`: what the derivative reads."""
        if name not in _SAVED or self._node.piece is None:
            raise AttributeError(f"{self._kind!r} object has no attribute {name!r}")
        from .tensor_object import shown

        node: Node = self._node
        if name == "_saved_exponent" and len(node.inputs) < 2:
            return _static(node)
        if node.freed:
            from .sweep import AGAIN

            raise RuntimeError(AGAIN)
        at = _SAVED[name]
        if at < 0:
            return shown(node)
        operand, i = node.inputs[at]
        return operand.leaf if operand.leaf is not None else shown(operand, i)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{self._kind} object at {id(self._node):#x}>"


def grad_fn_of(node: Node) -> GradFn:
    """The view of a tracked node."""
    return GradFn("AccumulateGrad" if node.piece is None else node.piece.operation.name, node)
