"""What `.grad_fn` shows: the recorded operations, seen from their results."""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any

from .tape import Node, flows

_metadata: weakref.WeakKeyDictionary[Node, dict[Any, Any]] = weakref.WeakKeyDictionary()
_ARITHMETIC = frozenset(
    f"{n}Backward{k}" for n in ("Add", "Sub", "Mul", "Div", "Pow") for k in (0, 1)
)


class GradFn:
    """One recorded operation; `next_functions` are those its operands came from."""

    _kind = ""

    def __init__(self, node: Any) -> None:
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
        if node.piece.operation.name not in _ARITHMETIC:  # indices and masks are none
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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        return f"<{self._kind} object at {id(self._node):#x}>"


def grad_fn_of(node: Node) -> GradFn:
    """The view of a tracked node."""
    return _class_of("AccumulateGrad" if node.piece is None else node.piece.operation.name)(node)


@cache
def _class_of(kind: str) -> type[GradFn]:
    """Each kind of operation has a class of its own, which walks of the graph ask for its name."""
    return type(kind, (GradFn,), {"_kind": kind})
