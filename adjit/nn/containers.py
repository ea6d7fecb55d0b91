"""Modules made of modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

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
            if not isinstance(m, Module):
                raise TypeError(f"{type(m).__name__} is not a Module subclass")
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
        self._modules[list(self._modules)[_place(index, len(self))]] = module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Sequential:
        """One layer more."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Sequential:
        """Several layers more."""
        for m in modules:
            self.append(m)
        return self


def _place(index: Any, n: int) -> int:
    i = operator.index(index)
    if not -n <= i < n:
        raise IndexError(f"index {i} is out of range")
    return i % n


class ModuleList(Module):
    """Layers by number."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def __getitem__(self, index: Any) -> Any:
        listed = list(self._modules.values())
        return (
            ModuleList(listed[index])
            if isinstance(index, slice)
            else listed[_place(index, len(listed))]
        )

    def __setitem__(self, index: int, module: Module) -> None:
        self._modules[str(_place(index, len(self)))] = module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, module: Module) -> ModuleList:
        """One layer more."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Several layers more."""
        for m in modules:
            self.append(m)
        return self

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
        return f"ModuleList({inner}\n)" if lines else "ModuleList()"


class ModuleDict(Module):
    """Layers by name."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        for name, m in (modules or {}).items():
            self.add_module(name, m)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """The layers."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and layers."""
        return self._modules.items()


class ParameterList(Module):
    """Parameters by number."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        for i, x in enumerate(values):
            self.register_parameter(str(i), x if isinstance(x, Parameter) else Parameter(x))

    def __getitem__(self, index: int) -> Any:
        return list(self._parameters.values())[_place(index, len(self))]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())
