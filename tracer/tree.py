"""Containers of arrays and numbers as a list of leaves and a comparable description of the rest."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..ir.records import dataclass
from .alike import CONTAINERS, alike
from .errors import UnsupportedArgument

DEEPEST = 100  # containers within each other: each is some calls on Python's stack
_NUMERIC = (np.number, np.bool_)
_registered: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {}
_leaf_types: set[type] = {int, float, complex, np.ndarray}


class _Same:
    """A static object compared by type and ==, by identity where == has no plain answer."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if type(other) is not _Same:
            return NotImplemented
        a, b = self.value, other.value
        if a is b:
            return True
        if type(a) is not type(b):  # True == 1 and 1 == 1.0, yet they trace differently
            return False
        try:
            return alike(a, b) if type(a) in CONTAINERS else bool(a == b)
        except Exception:  # an == of the user's that raises or answers an array
            return False

    def __hash__(self) -> int:
        try:
            return hash((type(self.value), self.value))
        except TypeError:
            return hash(type(self.value))

    def __repr__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Tree:
    """The structure of a container: `kind` is "leaf", "static" or the container's class.

    `data` is what the class needs besides its children: keys, field names, the static value.
    """

    kind: Any
    data: Any = None
    children: tuple[Tree, ...] = ()

    @property
    def leaf_count(self) -> int:
        """The number of leaves below this node."""
        return 1 if self.kind == "leaf" else sum(c.leaf_count for c in self.children)

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """The container with these leaves in the places of the old ones."""
        it = iter(leaves)
        out = self._build(it)
        rest = sum(1 for _ in it)
        if rest:
            raise ValueError(f"{rest} leaves too many for a tree of {self.leaf_count}")
        return out

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind == "leaf":
            try:
                return next(leaves)
            except StopIteration:
                raise ValueError("too few leaves for this tree") from None
        if self.kind == "static":
            return self.data.value
        parts = [c._build(leaves) for c in self.children]
        return join(self.kind, self.data, parts)

    def paths(self, prefix: str = "") -> list[str]:
        """Where each leaf stands, spelled as Python would index it: "[0]", "['w']", ".bias"."""
        if self.kind == "leaf":
            return [prefix]
        if self.kind == "static":
            return []
        names = _names(self.kind, self.data, len(self.children))
        return [p for n, c in zip(names, self.children, strict=True) for p in c.paths(prefix + n)]

    def steps(self) -> list[str]:
        """How each child is reached: "[0]", "['w']", ".bias"."""
        return _names(self.kind, self.data, len(self.children))

    def __repr__(self) -> str:
        if self.kind == "leaf":
            return "*"
        if self.kind == "static":
            return repr(self.data)
        names = _names(self.kind, self.data, len(self.children))
        inner = ", ".join(f"{n}: {c!r}" for n, c in zip(names, self.children, strict=True))
        return f"{self.kind.__name__}({inner})"


LEAF = Tree("leaf")


def register_container(
    cls: type, flatten: Callable[[Any], Any], unflatten: Callable[[Any, Any], Any]
) -> None:
    """Make `cls` a container: flatten(obj) -> (children, data); unflatten(data, children) -> obj.

    `data` is hashable and compared by ==; children are containers or leaves themselves, which its
    `names`, if it has any, spell.
    """
    _registered[cls] = (flatten, unflatten)


def register_leaf(cls: type) -> None:
    """Make instances of `cls` leaves (the tracer's own class is one)."""
    _leaf_types.add(cls)


def flatten(obj: Any) -> tuple[list[Any], Tree]:
    """The leaves (arrays and numbers, depth first) and the structure they stand in."""
    leaves: list[Any] = []
    try:
        return leaves, _walk(obj, leaves, ())
    except UnsupportedArgument as error:
        raise error.with_traceback(None) from None  # not a line for each container


def is_leaf(obj: Any) -> bool:
    """Whether the object is an array or a number (bool is static, and so is a length of time)."""
    t = type(obj)
    return t in _leaf_types or (
        t is not bool
        and t is not np.timedelta64
        and isinstance(obj, (np.ndarray, *_NUMERIC, int, float, complex))
        and not _is_enum(t)
    )


def _is_enum(t: type) -> bool:
    return any(b.__module__ == "enum" for b in t.__mro__)


def _walk(obj: Any, leaves: list[Any], above: tuple[int, ...]) -> Tree:
    if is_leaf(obj):
        leaves.append(obj)
        return LEAF
    found = split(obj)
    if found is None:
        return Tree("static", _Same(obj))
    if id(obj) in above:
        raise ValueError(f"a {type(obj).__name__} contains itself")
    if len(above) > DEEPEST + 1:  # what a call is given lies in (args, kwargs)
        raise UnsupportedArgument(
            f"a {type(obj).__name__} lies more than {DEEPEST} containers deep, which is the most\n"
            "  Use a flat list instead, or one array of all (np.stack)."
        )
    parts, data = found
    above = (*above, id(obj))
    return Tree(type(obj), data, tuple(_walk(p, leaves, above) for p in parts))


def split(obj: Any) -> tuple[list[Any], Any] | None:
    """Children and data of a container, None if the object is not one."""
    t = type(obj)
    if t in _registered:
        parts, data = _registered[t][0](obj)
        return list(parts), data
    if isinstance(obj, dict):
        data = tuple(_Same(k) for k in obj)
        if isinstance(obj, defaultdict):
            data = (data, obj.default_factory)
        return list(obj.values()), data
    if isinstance(obj, (tuple, list)):
        return list(obj), None
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        names = tuple(f.name for f in dataclasses.fields(obj) if hasattr(obj, f.name))
        return [getattr(obj, n) for n in names], names
    return None


def is_opaque(cls: type) -> bool:
    """Whether only what registered a class of containers knows what is in them."""
    return cls in _registered


def is_record(cls: type) -> bool:
    """Whether objects of a class are containers by their fields as a dataclass."""
    return (
        dataclasses.is_dataclass(cls)
        and cls not in _registered
        and not issubclass(cls, (dict, tuple, list))
    )


def join(cls: type, data: Any, parts: list[Any]) -> Any:
    """The inverse of `split`."""
    if cls in _registered:
        return _registered[cls][1](data, parts)
    if issubclass(cls, defaultdict):
        keys, factory = data
        return cls(factory, {k.value: p for k, p in zip(keys, parts, strict=True)})
    if issubclass(cls, dict):
        pairs = {k.value: p for k, p in zip(data, parts, strict=True)}
        if cls in (dict, OrderedDict):
            return cls(pairs)
        new: dict[Any, Any] = cls.__new__(cls)  # its __init__ may want other arguments than pairs
        new.update(pairs)
        return new
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return cls(*parts)
    if issubclass(cls, (tuple, list)):
        return cls(parts)
    out = object.__new__(cls)  # a dataclass: __init__ and __post_init__ ran when it was made
    for name, part in zip(data, parts, strict=True):
        object.__setattr__(out, name, part)
    return out


def _names(cls: type, data: Any, n: int) -> list[str]:
    if cls in _registered and hasattr(data, "names"):
        return list(data.names)
    if issubclass(cls, dict) and cls not in _registered:
        keys = data[0] if issubclass(cls, defaultdict) else data
        return [f"[{k!r}]" for k in keys]
    if cls not in _registered and hasattr(cls, "_fields"):
        return [f".{f}" for f in cls._fields]
    if cls not in _registered and dataclasses.is_dataclass(cls):
        return [f".{f}" for f in data]
    return [f"[{i}]" for i in range(n)]
