"""Paths to captured values: a base object, then items, attributes and cell contents.

What a weak reference or a context variable stands for is a step as well, a call.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ..ir.records import dataclass

# What following a path may raise once the program has changed.
GONE = (LookupError, AttributeError, TypeError, ValueError)
CODE = (("attr", "__code__"),)  # of a function; tools that load changed modules again exchange it


def reads_of(x: Any) -> Callable[[Any], Any] | None:
    """What gives the object that another one stands for."""
    if isinstance(x, weakref.ref):
        return weakref.ref.__call__
    return ContextVar.get if isinstance(x, ContextVar) else None


@dataclass(frozen=True, repr=False)
class Path:
    """How to reach a value: `text` names the base and the first `told` steps."""

    base: Any
    text: str
    steps: tuple[tuple[str, Any], ...] = ()
    told: int = 0

    def __repr__(self) -> str:
        return f"Path({self.describe()})"

    @property
    def key(self) -> tuple[int, tuple[tuple[str, Any], ...]]:
        """Equal for paths that lead the same way, whatever they are called."""
        return id(self.base), self.steps

    def read(self) -> Any:
        """The value of now; LookupError where the path leads nowhere."""
        x = self.base
        try:
            for kind, key in self.steps:
                x = key(x) if kind == "call" else x[key] if kind == "item" else getattr(x, key)
        except GONE as error:
            raise LookupError(self.describe()) from error
        return x

    def reader(self) -> Callable[[], Any]:
        """`read`, short where the path is."""
        base = self.base
        if len(self.steps) == 1 and self.steps[0][0] == "item":
            key = self.steps[0][1]
            return lambda: base[key]
        return self.read

    def then(self, kind: str, key: Any) -> Path:
        """The path one step further."""
        return Path(self.base, self.text, (*self.steps, (kind, key)), self.told)

    def parent(self) -> Path:
        """The path one step back, as far as steps go that the text does not tell."""
        if len(self.steps) == self.told:
            return self
        return Path(self.base, self.text, self.steps[:-1], self.told)

    def describe(self) -> str:
        """The path as Python would spell it: "global net.layers[0].W"."""
        form: dict[str, Callable[[Any], str]] = {
            "attr": lambda name: f".{name}",
            "item": lambda key: f"[{key!r}]",
            "call": lambda f: "()" if f is weakref.ref.__call__ else ".get()",
        }
        return self.text + "".join(form[kind](key) for kind, key in self.steps[self.told :])

    def expression(self, name: str, names: dict[str, Any]) -> str:
        """The path as Python text, the base under this name, and in `names` what else it names."""
        text = name
        for kind, key in self.steps:
            if kind == "attr":
                text = f"{text}.{key}"
            elif type(key) in (str, int):
                text = f"{text}[{key!r}]"
            else:
                names[f"key{id(key)}"] = key
                text = f"{text}[key{id(key)}]" if kind == "item" else f"key{id(key)}({text})"
        return text


def of_global(names: dict[str, Any], name: str) -> Path:
    """The path of a global."""
    return Path(names, f"global {name}", (("item", name),), 1)


def of_cell(cell: Any, name: str) -> Path:
    """The path of what a closure cell holds."""
    return Path(cell, f"closure {name}", (("attr", "cell_contents"),), 1)


def of_default(function: Any, index: int) -> Path:
    """The path of a default argument."""
    steps = (("attr", "__defaults__"), ("item", index))
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    name = names[index - len(function.__defaults__)]
    return Path(function, f"default {name} of {function.__name__}", steps, 2)


def of_keyword_default(function: Any, name: str) -> Path:
    """The path of the default of a keyword-only argument."""
    steps = (("attr", "__kwdefaults__"), ("item", name))
    return Path(function, f"default {name} of {function.__name__}", steps, 2)
