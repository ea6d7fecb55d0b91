"""Modules made of modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..eager.tensor_object import Tensor
from .module import Module, Parameter


class Sequential(Module):
    """Layers one after the other."""

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], OrderedDict):
            pairs = list(layers[0].items())
        else:
            pairs = [(str(i), m) for i, m in enumerate(layers)]
        for name, m in pairs:
            self.add_module(name, m)

    def forward(self, input: Any) -> Any:
        """The result of the last layer."""
        for m in self._modules.values():
            input = m(input)
        return input

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return list(self._modules.values())[_place(index, len(self))]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._modules)[_place(index, len(self))], module)

    def __delitem__(self, index: Any) -> None:
        listed = list(self._modules.values())
        if not isinstance(index, slice):
            index = _place(index, len(listed))
        del listed[index]
        _renumbered(self, listed)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __add__(self, other: Iterable[Module]) -> Sequential:
        return Sequential(*self, *other)

    def __iadd__(self, other: Iterable[Module]) -> Sequential:
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        if times <= 0:
            raise ValueError(f"Non-positive multiplication factor {times} for {type(self)}")
        return Sequential(*[m for _ in range(times) for m in self])

    __rmul__ = __mul__

    def append(self, module: Module) -> Sequential:
        """One layer more."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Sequential:
        """Several layers more."""
        for m in list(modules):
            self.append(m)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """One layer more, before the one of this number."""
        _inserted(self, index, module)
        return self

    def pop(self, index: Any) -> Any:
        """Take a layer out."""
        found = self[index]
        del self[index]
        return found


def _renumbered(owner: Module, listed: list[Any]) -> None:
    owner._modules.clear()
    owner._modules.update({str(i): m for i, m in enumerate(listed)})


def _inserted(owner: Any, index: int, module: Any) -> None:
    listed = list(owner._modules.values())
    if not -len(listed) <= index <= len(listed):
        raise IndexError(f"Index out of range: {index}")
    if not isinstance(module, Module):
        raise TypeError(f"{type(module).__name__} is not a Module subclass")
    listed.insert(index, module)
    _renumbered(owner, listed)


def _place(index: Any, n: int) -> int:
    i = operator.index(index)
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of range")
    return i % n


class ModuleList(Module):
    """Layers by number."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, index: Any) -> Any:
        listed = list(self._modules.values())
        if isinstance(index, slice):
            return ModuleList(listed[index])
        return listed[_place(index, len(listed))]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(str(_place(index, len(self))), module)

    def __delitem__(self, index: Any) -> None:
        listed = list(self._modules.values())
        if not isinstance(index, slice):
            index = _place(index, len(listed))
        del listed[index]
        _renumbered(self, listed)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def append(self, module: Module) -> ModuleList:
        """One layer more."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Several layers more."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                "ModuleList.extend should be called with an iterable, but got "
                f"{type(modules).__name__}"
            )
        for m in list(modules):
            self.append(m)
        return self

    def insert(self, index: int, module: Module) -> None:
        """One layer more, before the one of this number."""
        _inserted(self, index, module)

    def pop(self, index: Any) -> Any:
        """Take a layer out."""
        found = self[index]
        del self[index]
        return found

    def __repr__(self) -> str:
        """Equal neighbours are shown once."""
        runs: list[list[Any]] = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [
            f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}"
            for a, b, text in runs
        ]
        inner = "".join("\n  " + line.replace("\n", "\n  ") for line in lines)
        name = self._get_name()
        return f"{name}({inner}\n)" if lines else f"{name}()"


def _pairs(given: Any) -> list[tuple[str, Any]]:
    if isinstance(given, Mapping | ModuleDict | ParameterDict):
        return list(given.items())
    found = [tuple(pair) for pair in given]
    for k, pair in enumerate(found):
        if len(pair) != 2:
            raise ValueError(f"update sequence element #{k} has length {len(pair)}; 2 is required")
    return found


class _Named(Module):
    """What a dict of layers and one of parameters have in common."""

    def _held(self) -> dict[str, Any]:
        raise NotImplementedError

    def __setitem__(self, key: str, x: Any) -> None:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        return self._held()[key]

    def __delitem__(self, key: str) -> None:
        del self._held()[key]

    def __len__(self) -> int:
        return len(self._held())

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __contains__(self, key: str) -> bool:
        return key in self._held()

    def clear(self) -> None:
        """Take all out."""
        self._held().clear()

    def pop(self, key: str) -> Any:
        """Take one out."""
        return self._held().pop(key)

    def update(self, given: Any) -> None:
        """Enter more by name, from a dict or pairs."""
        for name, x in _pairs(given):
            self[name] = x

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._held().keys()

    def values(self) -> Iterable[Any]:
        """What there is."""
        return self._held().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names, and what they name."""
        return self._held().items()


class ModuleDict(_Named):
    """Layers by name."""

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def _held(self) -> dict[str, Any]:
        return self._modules

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)


# ------------------------------------------------------------------ parameters


def _parameter(x: Any) -> Any:
    return x if isinstance(x, Parameter) else Parameter(x)


def _described(x: Any) -> str:
    kind = "Parameter" if isinstance(x, Parameter) else type(x).__name__
    sizes = "x".join(map(str, x.shape))
    name = f"torch.{np.dtype(x.dtype).name}"
    return f"{kind} containing: [{name} of size {sizes}]"


class ParameterList(Module):
    """Parameters by number."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def __getitem__(self, index: Any) -> Any:
        listed = list(self._parameters.values())
        if isinstance(index, slice):
            return ParameterList(listed[index])
        return listed[_place(index, len(self))]

    def __setitem__(self, index: int, param: Any) -> None:
        self._parameters[str(_place(index, len(self)))] = _parameter(param)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __iadd__(self, other: Iterable[Any]) -> ParameterList:
        return self.extend(other)

    def append(self, value: Any) -> ParameterList:
        """One parameter more."""
        self.register_parameter(str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Several parameters more."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                "ParameterList.extend should be called with an iterable, but got "
                f"{type(values).__name__}"
            )
        for x in list(values):
            self.append(x)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"  ({k}): {_described(x)}" for k, x in self._parameters.items())


class ParameterDict(_Named):
    """Parameters by name."""

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def _held(self) -> dict[str, Any]:
        return self._parameters

    def __setitem__(self, key: str, param: Any) -> None:
        self.register_parameter(str(key), _parameter(param))

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of a name, or the default."""
        return self._parameters.get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of a name, which is the default from now on if there was none."""
        if key not in self._parameters:
            self[key] = default
        return self._parameters[key]

    def popitem(self) -> tuple[str, Any]:
        """The name and parameter entered last, no longer in here."""
        return self._parameters.popitem()

    def copy(self) -> ParameterDict:
        """Another of the same parameters."""
        return ParameterDict(dict(self._parameters))

    def extra_repr(self) -> str:
        return "\n".join(f"  ({k}): {_described(x)}" for k, x in self._parameters.items())
