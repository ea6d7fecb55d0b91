"""Modules as containers: their arrays apart from what they compute, and put back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..eager.tensor_object import Tensor
from ..tracer.tree import _Same


class _Skeleton:
    """A module without its arrays: equal to those that compute the same from theirs."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.facts = _facts(module)

    @property
    def names(self) -> list[str]:
        """How each leaf is spelled."""
        buffers = {id(b) for b in self.module.buffers()}
        found = [*self.module.named_parameters(), *self.module.named_buffers()]
        leaves = {id(x) for x in _slots(self.module)}
        return [
            f".{name}" + (" (a buffer)" if id(x) in buffers else "")
            for name, x in found
            if id(x) in leaves
        ]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Skeleton) and self.facts == other.facts

    def __hash__(self) -> int:
        return hash((type(self.module), len(self.facts)))

    def __repr__(self) -> str:
        return type(self.module).__name__


_OWN = frozenset((
    "_parameters", "_buffers", "_modules", "_temporary", "_hooks", "_before", "_backward",
    "_backward_before", "_after_load", "_computed",
))  # fmt: skip


def _facts(module: Any) -> tuple[Any, ...]:
    facts: list[Any] = []
    for path, m in module.named_modules():
        facts.append((path, type(m), tuple(m._computed)))
        facts += [(k, _Same(v)) for k, v in vars(m).items() if k not in _OWN]
        facts += [(k, v is None) for k, v in (*m._parameters.items(), *m._buffers.items())]
    return tuple(facts)


def _slots(module: Any) -> Iterator[Any]:
    """Parameters, and buffers of floats, each once: what is a leaf of the container."""
    yield from module.parameters()
    for b in module.buffers():
        if np.dtype(b.dtype).kind in "fc":
            yield b


def leaves_of(module: Any) -> tuple[list[Any], _Skeleton]:
    found = [x._value() if isinstance(x, Tensor) else x for x in _slots(module)]
    return found, _Skeleton(module)


def with_leaves(skeleton: _Skeleton, leaves: Any) -> Any:
    new = {id(old): x for old, x in zip(_slots(skeleton.module), leaves, strict=True)}
    return replaced(skeleton.module, new)


def replaced(module: Any, new: Mapping[int, Any], memo: Any = None) -> Any:
    """A copy of a module with other arrays in the places of those of these ids."""
    memo = {} if memo is None else memo
    if id(module) in memo:
        return memo[id(module)]
    copy = memo[id(module)] = object.__new__(type(module))
    fields = dict(vars(module))
    for place in ("_parameters", "_buffers"):
        fields[place] = {k: new.get(id(x), x) for k, x in fields[place].items()}
    fields["_modules"] = {
        k: None if m is None else replaced(m, new, memo) for k, m in module._modules.items()
    }
    vars(copy).update(fields)
    return copy


def functional_call(module: Any, params: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
    """The module's result with arrays by name in the places of its parameters and buffers."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    extra = [k for k in params if k not in named]
    if extra:
        raise KeyError(f"functional_call: {type(module).__name__} has no {', '.join(extra)}")
    new = {id(x): params[k] for k, x in named.items() if k in params}
    rest = {
        id(x): x._value() for k, x in named.items() if k not in params and isinstance(x, Tensor)
    }
    if any(isinstance(x, Tensor) for x in params.values()):
        rest = {}
    return replaced(module, {**rest, **new})(*args, **kwargs)
