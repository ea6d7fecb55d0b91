"""What a Tensor is made of besides its values: its shape, the memory it shares, its hooks."""

from __future__ import annotations

import math
import weakref
from typing import Any

from .tape import Node


class Size(tuple[int, ...]):
    """A shape."""

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"


class Storage:
    """Memory that Tensors share: who reads it is told before it is written."""

    __slots__ = ("exported", "readers")

    def __init__(self, exported: bool = False) -> None:
        self.exported = exported  # whether an array of the user's shares the memory
        self.readers: list[weakref.ref[Node]] = []

    def read_by(self, node: Node) -> None:
        """Remember a node that holds this memory."""
        if len(self.readers) > 8:
            self.readers = [r for r in self.readers if r() is not None]
        self.readers.append(weakref.ref(node))

    def touch(self) -> None:
        """Let recorded nodes keep the values they were recorded with."""
        for reader in self.readers:
            node = reader()
            if node is not None and node.values is not None:
                node.values = tuple([x.copy() for x in node.values])
        self.readers = []


class Handle:
    """What `register_hook` answers."""

    def __init__(self, place: list[Any], hook: Any) -> None:
        self._place = place
        self._hook = hook

    def remove(self) -> None:
        """Take the hook away."""
        if self._hook in self._place:
            self._place.remove(self._hook)
