"""What a module owns besides layers: parameters that it learns, and buffers that it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..eager.storage import Storage
from ..eager.tensor_object import Tensor, plain


def _hold(t: Tensor, data: Any) -> None:
    """Share the memory of a Tensor, or hold a copy of an array."""
    if isinstance(data, Tensor):
        found = data.detach()
        t._hold(found._own(), found._storage or Storage())
    else:
        t._hold(plain(data), Storage())


class Parameter(Tensor):
    """A Tensor that a module learns: it asks for its gradient."""

    __slots__ = ()

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        _hold(self, data)
        if requires_grad:
            self._made_to_learn()

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: Any) -> Parameter:
        return Parameter(self._value().copy(), self.requires_grad)

    def __reduce__(self) -> Any:
        return Parameter, (self._value(), self.requires_grad)


class Buffer(Tensor):
    """A Tensor that a module keeps when it is assigned to it; saved with it if it is persistent."""

    __slots__ = ("persistent",)

    def __init__(self, data: Any = (), persistent: bool = True) -> None:
        _hold(self, data)
        self.persistent = persistent


def overwrite(t: Tensor, values: Any) -> None:
    """Write into a Tensor, whatever it requires."""
    array = t._own()
    assert t._storage is not None
    t._storage.touch()
    np.copyto(array, values)
    t._source = None
