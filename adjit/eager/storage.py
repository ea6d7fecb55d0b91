"""What a Tensor is made of besides its values: its shape, the memory it shares, its hooks."""

from __future__ import annotations

import math
import weakref
from typing import Any

from .saved import Written, written
from .tape import Node


class Size(tuple[int, ...]):
    """A shape."""

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self)

    def __add__(self, other: Any) -> Size:
        return Size((*self, *other))

    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return Size(found) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"


class Storage:
    """Memory that Tensors share: who reads it is told before it is written."""

    __slots__ = ("exported", "families", "readers", "shared", "version")

    def __init__(self, exported: bool = False) -> None:
        self.exported = exported  # whether an array of the user's shares the memory
        self.shared = False  # whether a Tensor of another history shares it
        self.version = 0  # how often it was written
        self.readers: list[weakref.ref[Node]] = []
        self.families: list[weakref.ref[Any]] | None = None

    def read_by(self, node: Node) -> None:
        """Remember a node that holds this memory."""
        if len(self.readers) > 8:
            self.readers = [r for r in self.readers if r() is not None]
        self.readers.append(weakref.ref(node))

    def shown_by(self, family: Any) -> None:
        """Remember Tensors whose values stand in this memory."""
        if self.families is None:
            self.families = []
        elif len(self.families) > 8:
            self.families = [r for r in self.families if r() is not None]
        self.families.append(weakref.ref(family))

    def part(self) -> None:
        """Let recorded nodes keep the values they were recorded with."""
        for reader in self.readers:
            node = reader()
            if node is not None and node.values is not None:
                node.values = tuple([x.copy() for x in node.values])
        self.readers = []

    def touch(self, counted: bool = True) -> None:
        """Be told of a write, before it; one that is not counted is nobody's error."""
        if counted:
            for reader in self.readers:
                node = reader()
                if node is not None:
                    written[node] = Written(None, self.version, self)
            self.version += 1
        self.part()
        for known in self.families or ():
            family = known()
            if family is not None:
                family.follow(counted)


class RemovableHandle:
    """What `register_hook` answers."""

    def __init__(self, place: list[Any], hook: Any) -> None:
        self._place = place
        self._hook = hook

    def remove(self) -> None:
        """Take the hook away."""
        if self._hook in self._place:
            self._place.remove(self._hook)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
