"""Dataclasses that cost an import little: `import adjit` makes more than a hundred of them.

The standard library writes and compiles up to six functions for each class, 0.7 ms for one that is
frozen.  Here a function is written and compiled when it is first called, most of them never.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

Names = dict[str, Any]  # what a text refers to
_ABSENT: Any = object()  # stands for an argument that a factory makes


def _initialised(cls: Any, frozen: bool, names: Names) -> str:
    """The text of `__init__`, whose arguments are the fields."""
    names |= {"put_": object.__setattr__, "absent_": _ABSENT}
    given, named, body = ["self"], list[str](), list[str]()
    for f in dataclasses.fields(cls):
        default, value = "", f.name if f.init else f"default_{f.name}"
        if f.default is not dataclasses.MISSING:
            names[f"default_{f.name}"] = f.default
            default = f" = default_{f.name}"
        elif f.default_factory is not dataclasses.MISSING:
            names[f"make_{f.name}"] = f.default_factory
            made = f"make_{f.name}()"
            default = " = absent_"
            value = f"{made} if {f.name} is absent_ else {f.name}" if f.init else made
        if f.init:
            (named if f.kw_only else given).append(f.name + default)
        slot = getattr(cls, f.name, None) if "__slots__" in vars(cls) else None
        if slot is not None and frozen:  # the fastest way past `__setattr__`
            names[f"set_{f.name}"] = slot.__set__
            body.append(f"set_{f.name}(self, {value})")
        else:
            way = f"put_(self, {f.name!r}, {value})" if frozen else f"self.{f.name} = {value}"
            body.append(way)
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    parameters = ", ".join([*given, *(["*", *named] if named else [])])
    return "\n    ".join([f"def __init__({parameters}):", *body, "return None"])


def _compared(cls: Any, frozen: bool, names: Names) -> str:
    mine, others = (
        "".join(f"{who}.{f.name}, " for f in dataclasses.fields(cls) if f.compare)
        for who in ("self", "other")
    )
    return f"""def __eq__(self, other):
    if other.__class__ is not self.__class__:
        return NotImplemented
    return ({mine}) == ({others})"""


def _hashed(cls: Any, frozen: bool, names: Names) -> str:
    fields = "".join(f"self.{f.name}, " for f in dataclasses.fields(cls) if f.compare)
    return f"def __hash__(self):\n    return hash(({fields}))"


_Writer = Callable[[Any, bool, Names], str]


def _once_called(cls: Any, name: str, write: _Writer, frozen: bool) -> Callable[..., Any]:
    """A method that compiles itself, puts the result into its place, and calls that."""

    def first(self: Any, *args: Any, **kwargs: Any) -> Any:
        names: Names = {}
        exec(write(cls, frozen, names), names)
        setattr(cls, name, names[name])
        return names[name](self, *args, **kwargs)

    return first


@reprlib.recursive_repr()
def _shown(self: Any) -> str:
    shown = (f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refused(self: Any, name: str, *value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _restored(self: Any, state: Any) -> None:
    """What fills the copies of frozen objects with slots."""
    for name, value in state[1].items():
        object.__setattr__(self, name, value)


def _methods(cls: Any, frozen: bool, repr: bool, eq: bool) -> Mapping[str, Any]:
    """What a class is given, unless it says something else by itself."""
    made: dict[str, Any] = {"__init__": _once_called(cls, "__init__", _initialised, frozen)}
    if repr:
        made["__repr__"] = _shown
    if frozen:
        made |= {"__setattr__": _refused, "__delattr__": _refused}
        if "__slots__" in vars(cls):
            made["__setstate__"] = _restored
    if eq:
        made["__eq__"] = _once_called(cls, "__eq__", _compared, frozen)
        made["__hash__"] = _once_called(cls, "__hash__", _hashed, frozen) if frozen else None
    return made


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, repr=True, eq=True, **options):
        """The standard library's `dataclass`, as far as it is used here."""

        def completed(cls):
            cls = dataclasses.dataclass(cls, init=False, repr=False, eq=False, **options)
            own = vars(cls)
            for name, method in _methods(cls, frozen, repr, eq).items():
                if own.get(name) is None:  # `__eq__` in a class makes its `__hash__` None
                    setattr(cls, name, method)
            return cls

        return completed if cls is None else completed(cls)
